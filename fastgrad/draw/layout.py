"""Places for the boxes of a picture, by the layout library graphlay (a layered layout after Sugiyama)."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass

import numpy as np

from fastgrad.draw.detours import Point, around_boxes
from fastgrad.draw.picture import Box, Picture
from fastgrad.errors import UnsupportedError

__all__ = ["HEADER", "LINE_HEIGHT", "NOTE_SIZE", "TEXT_SIZE", "Arrangement", "Rectangle", "arrange", "text_width"]

TEXT_SIZE, NOTE_SIZE, LINE_HEIGHT, HEADER = 14.0, 12.0, 17.0, 22.0
PADDING = 12.0
# an arrow takes a place in each layer that it passes; with more of them than this the layout takes minutes
MAX_PASSED_LAYERS = 2_000
# the most boxes that are placed straight under one another at the cost of time
MAX_SIMPLEX = 200
# the most boxes around which the few lines are led that would still pass through one
MAX_DETOURS = 500


@dataclass(frozen=True)
class Rectangle:
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Arrangement:
    """Where everything stands: boxes, frames and the points of edges in the order of the picture."""

    width: float
    height: float
    boxes: tuple[Rectangle, ...]
    frames: tuple[Rectangle, ...]
    edges: tuple[tuple[Point, ...], ...]


def text_width(text: str, size: float) -> float:
    """At least what the text takes in any of the fonts that the drawings name; the widest is DejaVu Sans."""
    return size * sum(map(_letter_width, text))


def _letter_width(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0.0
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.05
    if letter in "mwMW@%" or (not letter.isascii() and not letter.isalpha()):
        return 1.0
    if letter in "iljtfrI.,:;'|!()[] ":
        return 0.46
    return 0.78 if letter.isupper() or letter in "+=<>~#&" or not letter.isascii() else 0.66


def _size(box: Box) -> tuple[float, float]:
    # labels are bold, which is a tenth wider
    widths = [1.1 * text_width(box.label, TEXT_SIZE), *(text_width(note, NOTE_SIZE) for note in box.notes)]
    return max(*widths, 36.0) + 2 * PADDING, LINE_HEIGHT * (1 + len(box.notes)) + 12.0


def arrange(picture: Picture) -> Arrangement:
    """The picture's arrangement, the same each time. Raises UnsupportedError where graphlay is missing."""
    try:
        import graphlay
    except ImportError as error:
        raise UnsupportedError(
            "this drawing needs a layout library: pip install 'fastgrad[draw]'. "
            'draw(format="mermaid") and draw(format="dot") need none.'
        ) from error
    n = len(picture.boxes)
    graph = graphlay.Graph()
    sizes = [_size(box) for box in picture.boxes] + [(10.0, 10.0)] * len(picture.frames)
    around = [box.frame for box in picture.boxes] + [frame.frame for frame in picture.frames]
    for (width, height), outer in zip(sizes, around, strict=True):
        parent = {"parent": n + outer} if outer >= 0 else {}
        graph.node(width=width, height=height, label="", **parent)
    routed = _routed_edges(picture)
    for k in routed:
        graph.edge(picture.edges[k].source, picture.edges[k].target)
    widest = max((text_width(frame.label, NOTE_SIZE) for frame in picture.frames), default=0.0)
    options = {
        "effort": "balanced" if n <= MAX_SIMPLEX else "fast",
        "direction": "topbottom",
        # along the axes; slanted lines of this library pass through boxes. Arrows from one box share a line
        "routing": {"style": "orthogonal", "merge_edges": "forks"},
        "coords": {"placement": "network_simplex" if n <= MAX_SIMPLEX else "brandes_koepf"},
        "spacing": {"layer_gap": 34.0, "node_gap": 22.0, "dummy_gap": 14.0, "compound_header": HEADER},
    }
    found = graphlay.layout(graph, options=options)
    edges = found.edges
    is_rerouted = bool(picture.frames) or len(routed) < len(picture.edges)
    if is_rerouted:
        # lines into and out of frames pass through boxes in them; routed anew with the frames away they do not
        routed = list(range(len(picture.edges)))
        flat = graphlay.Graph()
        for node in found.nodes[:n]:
            size = node["size"]
            flat.node(width=size["width"], height=size["height"], label="", position=node["center"])
        for k in routed:
            flat.edge(picture.edges[k].source, picture.edges[k].target)
        edges = graphlay.reroute(flat, options=options).edges
    rectangles = [
        Rectangle(
            node["center"]["x"] - node["size"]["width"] / 2,
            node["center"]["y"] - node["size"]["height"] / 2,
            node["size"]["width"],
            node["size"]["height"],
        )
        for node in found.nodes
    ]
    # a narrow frame grows to hold its name
    rectangles[n:] = [_widened(rectangle, min(widest, 300.0)) for rectangle in rectangles[n:]]
    lines = [_straight(rectangles[edge.source], rectangles[edge.target]) for edge in picture.edges]
    for k, edge in zip(routed, edges, strict=True):
        lines[k] = tuple((point["x"], point["y"]) for point in edge["points"])
    if is_rerouted and n <= MAX_DETOURS:
        sides = np.array([(r.x, r.y, r.x + r.width, r.y + r.height) for r in rectangles[:n]])
        lines = [
            around_boxes(line, sides, (edge.source, edge.target))
            for line, edge in zip(lines, picture.edges, strict=True)
        ]
    margin = 16.0
    xs = [x for r in rectangles for x in (r.x, r.x + r.width)] + [x for line in lines for x, _ in line] + [0.0]
    ys = [y for r in rectangles for y in (r.y, r.y + r.height)] + [y for line in lines for _, y in line] + [0.0]
    left, top = min(xs) - margin, min(ys) - margin
    moved = [Rectangle(r.x - left, r.y - top, r.width, r.height) for r in rectangles]
    return Arrangement(
        math.ceil(max(xs) - left + margin),
        math.ceil(max(ys) - top + margin),
        tuple(moved[:n]),
        tuple(moved[n:]),
        tuple(tuple((x - left, y - top) for x, y in line) for line in lines),
    )


def _routed_edges(picture: Picture) -> list[int]:
    """The edges that the layout gets: all, or if they pass too many layers the shortest; the others become straight.

    An edge from the layer before is always among them, so that each box stands below its deepest operand.
    """
    layers = [0] * len(picture.boxes)
    # boxes are in the order of their first nodes; folded ones may also use what comes later
    for edge in sorted(picture.edges, key=lambda edge: edge.target):
        if edge.source < edge.target or picture.boxes[edge.source].copy_of >= 0:
            layers[edge.target] = max(layers[edge.target], layers[edge.source] + 1)
    # what nothing goes into stands just above its first user
    targets = {edge.target for edge in picture.edges}
    first_use: dict[int, int] = {}
    for edge in picture.edges:
        if edge.source not in targets:
            first_use[edge.source] = min(first_use.get(edge.source, layers[edge.target]), layers[edge.target])
    for box, layer in first_use.items():
        layers[box] = layer - 1
    spans = [abs(layers[edge.target] - layers[edge.source]) for edge in picture.edges]
    order = sorted(range(len(spans)), key=lambda k: spans[k])
    passed, chosen = 0, []
    for k in order:
        more = max(spans[k] - 1, 0)
        if passed + more > MAX_PASSED_LAYERS:
            break
        passed += more
        chosen.append(k)
    return sorted(chosen)


def _straight(source: Rectangle, target: Rectangle) -> tuple[Point, ...]:
    """From the lower side of one box to the upper side of another."""
    return (
        (source.x + source.width / 2, source.y + source.height),
        (target.x + target.width / 2, target.y),
    )


def _widened(frame: Rectangle, needed: float) -> Rectangle:
    more = max(0.0, min(needed + 16.0 - frame.width, 40.0))
    return Rectangle(frame.x - more / 2, frame.y, frame.width + more, frame.height)
