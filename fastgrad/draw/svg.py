"""Pictures as SVG, light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from fastgrad.draw.detours import Point
from fastgrad.draw.layout import HEADER, LINE_HEIGHT, NOTE_SIZE, TEXT_SIZE, Arrangement, Rectangle, arrange
from fastgrad.draw.picture import Box, Picture

__all__ = ["to_svg"]

FONT = "'Helvetica Neue', Arial, 'Noto Sans', 'DejaVu Sans', sans-serif"
GAP, TITLE_HEIGHT = 30.0, 34.0

# fill and line of each kind; the text has a contrast of more than 7:1 on every fill
_LIGHT = {
    "paper": ("#ffffff", "none"),
    "input": ("#dbeafe", "#1d4ed8"),
    "parameter": ("#dcfce7", "#15803d"),
    "constant": ("#f3f4f6", "#6b7280"),
    "operation": ("#ffffff", "#4b5563"),
    "output": ("#fef3c7", "#b45309"),
    "folded": ("#ede9fe", "#6d28d9"),
    "frame": ("#f8fafc", "#94a3b8"),
}
_DARK = {
    "paper": ("#111827", "none"),
    "input": ("#1e3a5f", "#60a5fa"),
    "parameter": ("#14432a", "#4ade80"),
    "constant": ("#374151", "#9ca3af"),
    "operation": ("#1f2937", "#9ca3af"),
    "output": ("#4a3410", "#fbbf24"),
    "folded": ("#3b2a63", "#a78bfa"),
    "frame": ("#172033", "#64748b"),
}
_DASHES = {"constant": "4 3", "frame": "2 3"}
_CORNER = {"input": 16.0, "folded": 6.0}


def _rules(theme: str, colours: dict[str, tuple[str, str]], text: str, line: str) -> str:
    root = f".fastgrad-{theme}"
    shapes = "".join(f"{root} .{k}{{fill:{fill};stroke:{stroke}}}" for k, (fill, stroke) in colours.items())
    halo = f"{root} .name{{stroke:{colours['frame'][0]};pointer-events:none}}"
    return f"{shapes}{halo}{root} text{{fill:{text}}}{root} .edge{{fill:none;stroke:{line}}}{root} .head{{fill:{line}}}"


def _style(theme: str) -> str:
    light = _rules(theme, _LIGHT, "#111827", "#4b5563")
    dark = _rules(theme, _DARK, "#f9fafb", "#cbd5e1")
    if theme == "auto":
        return f"{light}@media (prefers-color-scheme:dark){{{dark}}}"
    return dark if theme == "dark" else light


def to_svg(panels: Sequence[Picture], theme: str) -> str:
    """The text of an SVG with the pictures side by side; theme is light, dark or auto (that of the reader)."""
    arrangements = [arrange(picture) for picture in panels]
    has_titles = len(panels) > 1
    top = TITLE_HEIGHT if has_titles else 0.0
    widths = [max(a.width, 260.0) if has_titles else a.width for a in arrangements]
    width = sum(widths) + GAP * (len(panels) - 1)
    height = max(a.height for a in arrangements) + top
    title = escape("; ".join(picture.title for picture in panels))
    description = escape(" ".join(picture.description for picture in panels))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="fastgrad-{theme}" role="img" aria-label="{title}" '
        f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" font-family="{FONT}">',
        f"<title>{title}</title><desc>{description}</desc><style>{_style(theme)}</style>",
        f'<rect class="paper" width="{width:g}" height="{height:g}"/>',
    ]
    left = 0.0
    for number, (picture, arrangement, wide) in enumerate(zip(panels, arrangements, widths, strict=True)):
        parts.append(f'<g transform="translate({left:g} 0)">')
        if has_titles:
            parts.append(f'<text x="16" y="22" font-size="15" font-weight="bold">{escape(picture.title)}</text>')
        parts.append(f'<g transform="translate(0 {top:g})">{"".join(_panel(picture, arrangement, number))}</g></g>')
        left += wide + GAP
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(picture: Picture, arrangement: Arrangement, number: int) -> list[str]:
    parts = []
    for k, (frame, place) in enumerate(zip(picture.frames, arrangement.frames, strict=True)):
        parts.append(
            f'<g class="group" data-frame="{number}.{k}" data-around="{number}.{frame.frame}">'
            f"<title>{escape(f'group {frame.group}')}</title>{_rectangle(place, 'frame', 8.0)}</g>"
        )
    for edge, points in zip(picture.edges, arrangement.edges, strict=True):
        ends = f'data-ends="{number}.{picture.boxes[edge.source].frame} {number}.{picture.boxes[edge.target].frame}"'
        parts.append(f"<g {ends}>{_arrow(points[::-1] if picture.is_reverse else points)}</g>")
    # above the edges, which the line around the letters keeps away
    parts += [
        f'<text class="name" data-around="{number}.{frame.frame}" x="{place.x + 8:g}" y="{place.y + HEADER - 7:g}" '
        f'font-size="{NOTE_SIZE:g}" stroke-width="4" paint-order="stroke">{escape(frame.label)}</text>'
        for frame, place in zip(picture.frames, arrangement.frames, strict=True)
    ]
    parts += [_box(box, place, number) for box, place in zip(picture.boxes, arrangement.boxes, strict=True)]
    return parts


def _box(box: Box, place: Rectangle, number: int) -> str:
    middle = place.x + place.width / 2
    shape = _rectangle(place, box.kind, _CORNER.get(box.kind, 3.0))
    if box.kind == "folded":
        shape = _rectangle(Rectangle(place.x + 4, place.y + 4, place.width, place.height), box.kind, 6.0) + shape
    if box.kind == "output":
        inner = Rectangle(place.x + 3, place.y + 3, place.width - 6, place.height - 6)
        shape += _rectangle(inner, box.kind, 2.0)
    if box.kind == "parameter":
        cut = f"M{place.x + 6:g} {place.y:g}V{place.y + place.height:g}"
        shape += f'<path class="parameter" d="{cut}"/>'
    y = place.y + 20
    lines = [f'<text x="{middle:g}" y="{y:g}" font-size="{TEXT_SIZE:g}" font-weight="bold">{escape(box.label)}</text>']
    for k, note in enumerate(box.notes, 1):
        below = y + k * LINE_HEIGHT
        lines.append(f'<text x="{middle:g}" y="{below:g}" font-size="{NOTE_SIZE:g}">{escape(note)}</text>')
    title = escape(box.title)
    return (
        f'<g class="node" role="img" aria-label="{title}" data-around="{number}.{box.frame}" text-anchor="middle">'
        f"<title>{title}</title>{shape}{''.join(lines)}</g>"
    )


def _rectangle(place: Rectangle, kind: str, corner: float) -> str:
    dash = f' stroke-dasharray="{_DASHES[kind]}"' if kind in _DASHES else ""
    return (
        f'<rect class="{kind}" x="{place.x:.6g}" y="{place.y:.6g}" width="{place.width:.6g}" '
        f'height="{place.height:.6g}" rx="{corner:g}" stroke-width="1.4"{dash}/>'
    )


def _arrow(points: Sequence[Point]) -> str:
    (x, y), (tip_x, tip_y) = points[-2:]
    length = math.hypot(tip_x - x, tip_y - y) or 1.0
    along, across = (tip_x - x) / length, (tip_y - y) / length
    back_x, back_y = tip_x - 8 * along, tip_y - 8 * across
    head = f"M{tip_x:.6g} {tip_y:.6g}L{back_x - 4 * across:.6g} {back_y + 4 * along:.6g}"
    head += f"L{back_x + 4 * across:.6g} {back_y - 4 * along:.6g}Z"
    line = "L".join(f"{x:.6g} {y:.6g}" for x, y in (*points[:-1], (back_x, back_y)))
    return f'<path class="edge" stroke-width="1.3" d="M{line}"/><path class="head" d="{head}"/>'
