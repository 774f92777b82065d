"""Pictures as a page that stands alone: zoom, pan, search, folding of groups."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from fastgrad.draw.picture import Picture
from fastgrad.draw.svg import to_svg

__all__ = ["to_html"]


def to_html(panels: Sequence[Picture], theme: str) -> str:
    """The text of the page; the program in it is ``page.js`` beside this file."""
    title = escape("; ".join(picture.title for picture in panels))
    folder = Path(__file__).parent
    style, program = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width"><style>{style}</style></head><body class="{theme}">
<header><label>Search <input id="search" type="search"></label> <span id="found" role="status"></span>
<button id="in">Zoom in</button><button id="out">Zoom out</button><button id="whole">Whole drawing</button></header>
<main id="drawing" tabindex="0" aria-label="{title}; arrow keys move, + and - zoom, 0 shows all">
{to_svg(panels, theme)}</main>
<aside id="details" aria-live="polite">Point at a box, or move to it with Tab, to see more.</aside>
<script>{program}</script></body></html>
"""
