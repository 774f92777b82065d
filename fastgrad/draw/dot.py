"""Pictures in the language of Graphviz."""

from __future__ import annotations

from collections.abc import Sequence

from fastgrad.draw.picture import Picture

__all__ = ["to_dot"]

_SHAPES = {
    "input": "oval",
    "parameter": "parallelogram",
    "constant": "note",
    "operation": "box",
    "output": "doubleoctagon",
    "folded": "box3d",
}


def to_dot(panels: Sequence[Picture]) -> str:
    """The text of a directed graph; several pictures become clusters."""
    lines = ["digraph tape {", 'node [fontname="Helvetica"];']
    for k, picture in enumerate(panels):
        if len(panels) > 1:
            lines += [f"subgraph cluster_p{k} {{", f"label={_quoted(picture.title)};"]
        lines += _content(picture, f"p{k}", -1)
        for tail, head in picture.arrows:
            lines.append(f"p{k}n{tail} -> p{k}n{head};")
        if len(panels) > 1:
            lines.append("}")
    return "\n".join([*lines, "}"]) + "\n"


def _content(picture: Picture, prefix: str, frame: int) -> list[str]:
    lines = [
        f"{prefix}n{k} [shape={_SHAPES[box.kind]}, label={_quoted(box.label, *box.notes)}, "
        f"tooltip={_quoted(box.title)}];"
        for k, box in enumerate(picture.boxes)
        if box.frame == frame
    ]
    for k, inner in enumerate(picture.frames):
        if inner.frame == frame:
            lines += [f"subgraph cluster_{prefix}f{k} {{", f"label={_quoted(inner.label)};"]
            lines += [*_content(picture, prefix, k), "}"]
    return lines


def _quoted(*texts: str) -> str:
    """Lines as one quoted string, in which nothing is an escape of Graphviz or an HTML entity."""
    escaped = (t.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for t in texts)
    return '"' + "\\n".join(escaped) + '"'
