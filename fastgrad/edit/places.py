"""Which nodes a name, a number or a group of a tape means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastgrad.edit.assembly import described
from fastgrad.errors import InputError
from fastgrad.tape import CONSTANT, INPUT, Node, Tape
from fastgrad.tape_names import all_groups, input_names, nodes_of_group

__all__ = ["Place", "group_at", "input_position", "node_of", "place_of"]


@dataclass(frozen=True)
class Place:
    """A node, or a group with one result, and the values that it works on."""

    result: int
    operands: tuple[int, ...]
    # the nodes inside, in order
    nodes: tuple[int, ...]


def place_of(tape: Tape, place: int | str | Node) -> Place:
    """The place that a node (by number, name or itself) or the path of a group means.

    A group works on the values that it takes from outside other than inputs that only it uses, which are its
    parameters, and constants. Raises InputError for unknown names, and for groups that have not one result.
    """
    if _is_group(tape, place):
        return _group(tape, str(place))
    node = tape.number_of(place)
    return Place(node, tuple(tape.operands_of(node).tolist()), (node,))


def _is_group(tape: Tape, place: int | str | Node) -> bool:
    return isinstance(place, str) and place not in tape and place in all_groups(tape)


def group_at(tape: Tape, place: int | str | Node) -> NDArray[np.bool_] | None:
    """Which nodes belong to the group that a place means; None where it means a node."""
    return nodes_of_group(tape, str(place)) & (tape.opcodes != INPUT) if _is_group(tape, place) else None


def node_of(tape: Tape, place: int | str | Node) -> int:
    """The node that a place stands for: of a group, its result."""
    return place_of(tape, place).result


def input_position(tape: Tape, name: int | str) -> int:
    """The position among the inputs of one that is meant by name or position. Raises InputError for others."""
    names = input_names(tape)
    if isinstance(name, str) and name in names:
        return names.index(name)
    if isinstance(name, int) and not isinstance(name, bool) and 0 <= name < len(tape.inputs):
        return name
    node = tape.number_of(name) if isinstance(name, str) else -1
    found = np.flatnonzero(tape.inputs == node)
    if len(found):
        return int(found[0])
    raise InputError(f"{name!r} is no input of the tape. Its inputs are {', '.join(map(repr, names)) or 'none'}.")


def _group(tape: Tape, path: str) -> Place:
    # constants may be used elsewhere, too
    inside = nodes_of_group(tape, path) & (tape.opcodes < INPUT)
    numbers = np.flatnonzero(inside)
    is_used_inside = np.repeat(inside, tape.operand_counts)
    leaving = tape.operands[inside[tape.operands] & ~is_used_inside]
    results = sorted({*leaving.tolist(), *tape.outputs[inside[tape.outputs]].tolist()})
    if len(results) != 1:
        found = " and ".join(described(tape, node) for node in results[:5]) or "none"
        raise InputError(f"group {path!r} has {len(results)} results ({found}). Name the node that is meant.")
    used_outside = np.zeros(len(tape), bool)
    used_outside[tape.operands[~is_used_inside]] = True
    entering = dict.fromkeys(tape.operands[is_used_inside & ~inside[tape.operands]].tolist())
    operands = [node for node in entering if tape.opcodes[node] != CONSTANT]
    data = [node for node in operands if tape.opcodes[node] != INPUT or used_outside[node]]
    # a group that takes nothing else works on the first of its inputs, its parameters being the others
    first = [node for node in tape.inputs.tolist() if node in entering][:1]
    return Place(results[0], tuple(data or first), tuple(numbers.tolist()))
