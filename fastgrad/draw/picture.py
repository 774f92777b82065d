"""What is drawn, in words and not yet in places: between tapes and the formats."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Box", "Edge", "Frame", "Picture"]


@dataclass(frozen=True)
class Box:
    """A node, or many folded into one.

    ``kind`` is input, parameter, constant, operation, output or folded; ``label`` what stands in the box first,
    ``notes`` the lines under it, ``title`` all that is known about it; ``frame`` the position of the frame around it,
    or -1; ``group`` the path of the group that is folded into it. A copy stands for the box at ``copy_of`` beside one
    of its users.
    """

    kind: str
    label: str
    notes: tuple[str, ...]
    title: str
    frame: int = -1
    group: str = ""
    copy_of: int = -1


@dataclass(frozen=True)
class Frame:
    """A group whose boxes are shown: its name, its path and the frame around it, or -1."""

    label: str
    group: str
    frame: int = -1


@dataclass(frozen=True)
class Edge:
    """An arrow between boxes, by their positions."""

    source: int
    target: int


@dataclass(frozen=True)
class Picture:
    """One graph. Edges are in the order of the forward sweep; where ``is_reverse`` the arrows point against it."""

    title: str
    description: str
    boxes: tuple[Box, ...]
    frames: tuple[Frame, ...]
    edges: tuple[Edge, ...]
    is_reverse: bool = False

    @property
    def arrows(self) -> list[tuple[int, int]]:
        """From which box to which each arrow points."""
        return [(e.target, e.source) if self.is_reverse else (e.source, e.target) for e in self.edges]
