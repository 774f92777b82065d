"""What inputs, outputs, nodes and groups of a tape are called."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastgrad.errors import InputError

if TYPE_CHECKING:
    from fastgrad.tape import Tape

__all__ = [
    "all_groups",
    "input_names",
    "is_inside",
    "is_parameter_name",
    "is_within",
    "names_of",
    "names_of_nodes",
    "nodes_of_group",
    "numbers_by_name",
    "output_names",
    "require_part",
    "suggestion",
]

# what nested arguments and layers give
_OF_PARAMETER = re.compile(r"[^(]*(/|\[['\"])")
# names that the message about an unknown one suggests
MAX_SUGGESTED = 3


def input_names(tape: Tape) -> Sequence[str]:
    """One name for each input, made up where the tape has none."""
    return tape.input_names or [f"input{k}" for k in range(len(tape.inputs))]


def output_names(tape: Tape) -> Sequence[str]:
    """One name for each output; where the tape has none it is that of the node, or ``y`` and a number."""
    if tape.output_names:
        return tape.output_names
    of_nodes = names_of(tape)
    fallbacks = ["y"] if len(tape.outputs) == 1 else [f"y{k}" for k in range(len(tape.outputs))]
    return [of_nodes.get(node, name) for node, name in zip(tape.outputs.tolist(), fallbacks, strict=True)]


def names_of(tape: Tape) -> dict[int, str]:
    """The name of each node that was given one; the first where it has several."""
    return dict(zip(tape.named_nodes.tolist()[::-1], tape.node_names[::-1], strict=True))


def names_of_nodes(tape: Tape) -> dict[int, str]:
    """The name of each node that has one: an input's, else the first that it was given, else that of an output."""
    found: dict[int, str] = {}
    for numbers, names in (
        (tape.inputs, tape.input_names),
        (tape.named_nodes, tape.node_names),
        (tape.outputs, tape.output_names),
    ):
        for number, name in zip(numbers.tolist(), names, strict=False):
            found.setdefault(number, name)
    return found


def numbers_by_name(tape: Tape) -> dict[str, int]:
    """The node that each name stands for; an input's name goes before a node's, and that before an output's."""
    found = dict(zip(tape.output_names, tape.outputs.tolist(), strict=False))
    found |= dict(zip(tape.node_names, tape.named_nodes.tolist(), strict=True))
    found |= dict(zip(tape.input_names, tape.inputs.tolist(), strict=False))
    return found


def suggestion(name: str, known: Collection[str], otherwise: str) -> str:
    """The end of a message about an unknown name: those that are near it, or ``otherwise`` where none is."""
    # the last part of a path is what people remember
    last_parts = {path.rpartition("/")[2]: path for path in known}
    near = get_close_matches(name, known, MAX_SUGGESTED)
    near += [last_parts[part] for part in get_close_matches(name, last_parts, MAX_SUGGESTED)]
    near = list(dict.fromkeys(near))[:MAX_SUGGESTED]
    return f"Is it {' or '.join(map(repr, near))}?" if near else otherwise


def is_parameter_name(name: str) -> bool:
    """Whether the name of an input shows that it belongs to a part of the function: ``dense/kernel``, ``w['kernel']``.

    Names of derivatives, such as ``adjoint(dense/output)``, do not.
    """
    return _OF_PARAMETER.match(name) is not None


def require_part(name: object, what: str, remedy: str = "") -> None:
    """Raise InputError for what cannot be a part of a path."""
    if not isinstance(name, str) or not name or "/" in name:
        raise InputError(f"a {what} must be text without slashes, not {name!r}. {remedy}".rstrip())


# ---- groups


def is_inside(path: str, group: str) -> bool:
    """Whether a path is that of something in a group, at any depth."""
    return path.startswith(f"{group}/")


def is_within(path: str, group: str) -> bool:
    """Whether a path is that of a group or of something in it."""
    return path == group or is_inside(path, group)


def all_groups(tape: Tape) -> set[str]:
    """The paths of all groups and of those around them."""
    found: set[str] = set()
    for path in tape.groups:
        parts = path.split("/")
        found.update("/".join(parts[:k]) for k in range(1, len(parts) + 1))
    return found


def nodes_of_group(tape: Tape, path: str) -> NDArray[np.bool_]:
    """Which nodes belong to the group of this path, or to one inside it."""
    belongs = np.array([is_within(group, path) for group in (*tape.groups, "")], bool)
    return belongs[tape.group_indices]
