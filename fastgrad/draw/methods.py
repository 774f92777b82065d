"""The methods of a tape that draw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastgrad.tape_methods import as_tape

if TYPE_CHECKING:
    from fastgrad.draw.drawing import Drawing

__all__ = ["DrawingMethods"]


class DrawingMethods:
    """A tape as a picture."""

    def draw(
        self,
        format: str = "svg",
        *,
        values: Sequence[Any] | Mapping[str, Any] | None = None,
        adjoints: bool | Sequence[Any] = False,
        fold_groups: Sequence[str] = (),
        max_boxes: int = 150,
        theme: str = "auto",
    ) -> Drawing:
        """A drawing of the graph, which Jupyter shows and ``.save(path)`` writes.

        ``format`` is ``"svg"``, ``"png"``, ``"html"`` (a page with zoom, search and folding), ``"mermaid"`` or
        ``"dot"``; the first three need ``pip install 'fastgrad[draw]'``. ``values`` are inputs, in order or by name, at
        which each node's value is shown; with ``adjoints`` (True, or the cotangents of the outputs) the reverse sweep
        stands beside it. The groups in ``fold_groups`` are drawn as one box each; a tape that would have more than
        ``max_boxes`` is folded by group, line or runs of nodes. ``theme`` is ``"light"``, ``"dark"`` or ``"auto"``.

        Raises InputError for arguments that do not fit, UnsupportedError where the extra is missing.

        >>> import fastgrad, numpy as np
        >>> print(fastgrad.record(np.sin, 1.0).draw("dot").text.count("->"))
        1
        """
        from fastgrad.draw.drawing import draw

        return draw(
            as_tape(self),
            format,
            values=values,
            adjoints=adjoints,
            fold_groups=fold_groups,
            max_boxes=max_boxes,
            theme=theme,
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """What Jupyter shows: the drawing, or the listing where it cannot be drawn."""
        try:
            return {"text/plain": str(as_tape(self)), "image/svg+xml": self.draw().text}
        except Exception:  # a display must not stand in the way of what was computed
            return {"text/plain": str(as_tape(self))}
