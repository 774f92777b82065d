"""Pictures as Mermaid flowcharts."""

from __future__ import annotations

from collections.abc import Sequence

from fastgrad.draw.picture import Box, Picture

__all__ = ["to_mermaid"]

_SHAPES = {
    "input": ("([", "])"),
    "parameter": ("[/", "/]"),
    "constant": ("[[", "]]"),
    "operation": ("[", "]"),
    "output": ("{{", "}}"),
    "folded": ("[(", ")]"),
}


def to_mermaid(panels: Sequence[Picture]) -> str:
    """The text of a flowchart; several pictures become subgraphs."""
    lines = ["flowchart TB"]
    for k, picture in enumerate(panels):
        if len(panels) > 1:
            lines.append(f'subgraph p{k}["{_escaped(picture.title)}"]')
        lines += _content(picture, f"p{k}", -1)
        for tail, head in picture.arrows:
            lines.append(f"p{k}n{tail} --> p{k}n{head}")
        if len(panels) > 1:
            lines.append("end")
    return "\n".join(lines) + "\n"


def _content(picture: Picture, prefix: str, frame: int) -> list[str]:
    lines = [f"{prefix}n{k}{_written(box)}" for k, box in enumerate(picture.boxes) if box.frame == frame]
    for k, inner in enumerate(picture.frames):
        if inner.frame == frame:
            lines += [f'subgraph {prefix}f{k}["{_escaped(inner.label)}"]', *_content(picture, prefix, k), "end"]
    return lines


def _written(box: Box) -> str:
    left, right = _SHAPES[box.kind]
    return f'{left}"{"<br/>".join(map(_escaped, (box.label, *box.notes)))}"{right}'


def _escaped(text: str) -> str:
    """Everything but letters, digits and spaces as a character code, so that nothing is taken for syntax."""
    return "".join(letter if letter.isalnum() or letter == " " else f"#{ord(letter)};" for letter in text)
