"""What ``Tape.draw`` returns: a drawing that shows itself and can be saved."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgrad.draw.dot import to_dot
from fastgrad.draw.folding import fold, picture
from fastgrad.draw.html import to_html
from fastgrad.draw.mermaid import to_mermaid
from fastgrad.draw.picture import Picture
from fastgrad.draw.svg import to_svg
from fastgrad.draw.values import adjoints_of, values_of
from fastgrad.errors import InputError, UnsupportedError
from fastgrad.tape_names import all_groups

if TYPE_CHECKING:
    from fastgrad.tape import Tape

__all__ = ["Drawing", "draw"]

THEMES = ("auto", "dark", "light")
_WRITERS: dict[str, Callable[[Sequence[Picture], str], str]] = {
    "svg": to_svg,
    "png": to_svg,
    "html": to_html,
    "mermaid": lambda panels, theme: to_mermaid(panels),
    "dot": lambda panels, theme: to_dot(panels),
}


@dataclass(frozen=True)
class Drawing:
    """A drawing of a tape. Jupyter shows it; ``text`` (also ``str()``) is its source, ``save`` writes it to a file.

    ``panels`` are the pictures that stand side by side.
    """

    panels: tuple[Picture, ...]
    format: str
    theme: str

    @cached_property
    def text(self) -> str:
        """The drawing in its format; of a PNG the SVG that it is made from."""
        # what makes PNG knows no preferences of a reader
        theme = "light" if self.format == "png" and self.theme == "auto" else self.theme
        return _WRITERS[self.format](self.panels, theme)

    @cached_property
    def png(self) -> bytes:
        """The drawing as PNG. Raises UnsupportedError where the package that makes it is missing."""
        try:
            import resvg_py
        except ImportError as error:
            raise UnsupportedError("PNG drawings need a renderer: pip install 'fastgrad[draw]'.") from error
        theme = "light" if self.theme == "auto" else self.theme
        return bytes(resvg_py.svg_to_bytes(svg_string=to_svg(self.panels, theme), zoom=2))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the drawing, in its format, to a file."""
        content = self.png if self.format == "png" else self.text.encode()
        Path(path).write_bytes(content)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Drawing {self.format}: {sum(len(picture.boxes) for picture in self.panels)} boxes>"

    def _repr_svg_(self) -> str | None:
        return self.text if self.format == "svg" else None

    def _repr_png_(self) -> bytes | None:
        return self.png if self.format == "png" else None

    def _repr_html_(self) -> str | None:
        if self.format != "html":
            return None
        from html import escape

        return f'<iframe style="width:100%;height:600px;border:0" srcdoc="{escape(self.text)}"></iframe>'

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        shown = {"image/svg+xml": self._repr_svg_(), "image/png": self._repr_png_(), "text/html": self._repr_html_()}
        if self.format == "mermaid":
            shown["text/vnd.mermaid"] = self.text
        plain = self.text if self.format in ("mermaid", "dot") else repr(self)
        return {"text/plain": plain} | {kind: content for kind, content in shown.items() if content is not None}


def draw(
    tape: Tape,
    format: str = "svg",
    *,
    values: Sequence[Any] | Mapping[str, Any] | None = None,
    adjoints: bool | Sequence[Any] = False,
    fold_groups: Sequence[str] = (),
    max_boxes: int = 150,
    theme: str = "auto",
) -> Drawing:
    """See :meth:`fastgrad.Tape.draw`."""
    if format not in _WRITERS:
        raise InputError(f"format must be one of {', '.join(map(repr, sorted(_WRITERS)))}, not {format!r}.")
    if theme not in THEMES:
        raise InputError(f"theme must be one of {', '.join(map(repr, THEMES))}, not {theme!r}.")
    if not isinstance(max_boxes, int) or isinstance(max_boxes, bool) or max_boxes < 10:
        raise InputError(f"max_boxes must be a whole number from 10 on, not {max_boxes!r}.")
    fold_groups = [fold_groups] if isinstance(fold_groups, str) else list(fold_groups)
    known = all_groups(tape)
    for path in fold_groups:
        if path not in known:
            raise InputError(f"the tape has no group {path!r}; it has {', '.join(map(repr, sorted(known))) or 'none'}.")
    wants_adjoints = adjoints is not False
    if wants_adjoints and values is None:
        raise InputError("adjoints need the inputs at which they are taken: draw(values=inputs, adjoints=True).")
    folding = fold(tape, fold_groups, max_boxes)
    found = {} if values is None else values_of(tape, folding.shown, values)
    if not wants_adjoints:
        return Drawing((picture(tape, folding, "Computation graph", found, {}, False),), format, theme)
    assert values is not None
    reverse = adjoints_of(tape, folding.shown, values, None if adjoints is True else list(adjoints))  # type: ignore[arg-type]
    panels = (
        picture(tape, folding, "Forward sweep: values", found, {}, False),
        picture(tape, folding, "Reverse sweep: adjoints", {}, reverse, True),
    )
    return Drawing(panels, format, theme)
