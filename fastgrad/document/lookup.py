"""Nodes found by number or name, and what they depend on."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from fastgrad.errors import InputError
from fastgrad.tape import Node, Tape

__all__ = ["NodeSequence", "names_of_nodes", "node_number", "numbers_by_name", "users"]

# names that the message about an unknown one suggests
MAX_SUGGESTED = 3


class NodeSequence(Sequence[Node]):
    """Some nodes of a tape in the order of the tape, each made when it is asked for.

    ``numbers`` holds their numbers; slices are again such sequences. A node, its number or its name may be asked for
    with ``in``.
    """

    def __init__(self, tape: Tape, numbers: range | NDArray[np.int64]) -> None:
        self._tape = tape
        self._numbers = numbers

    @property
    def numbers(self) -> NDArray[np.int64]:
        return np.asarray(self._numbers, np.int64)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Node: ...
    @overload
    def __getitem__(self, index: slice) -> NodeSequence: ...
    def __getitem__(self, index: int | slice) -> Node | NodeSequence:
        if isinstance(index, slice):
            return NodeSequence(self._tape, self._numbers[index])
        return self._tape.node(int(self._numbers[index]))

    def __iter__(self) -> Iterator[Node]:
        return (self._tape.node(number) for number in self.numbers.tolist())

    def __contains__(self, node: object) -> bool:
        if isinstance(node, str):
            number = self._tape._numbers_by_name.get(node, -1)
        elif isinstance(node, Node):
            return node.number in self._set and _is_same(node, self._tape.node(node.number))
        elif isinstance(node, (int, np.integer)):
            number = int(node)
        else:
            return False
        return number in self._set

    @cached_property
    def _set(self) -> Container[int]:
        return self._numbers if isinstance(self._numbers, range) else set(self._numbers.tolist())

    def __repr__(self) -> str:
        return f"<{len(self)} of the {len(self._tape)} nodes of a tape>"


def _is_same(node: Node, other: Node) -> bool:
    # the arrays of constants are compared by identity: one number for each element is no answer
    if isinstance(node.attribute, np.ndarray) or isinstance(other.attribute, np.ndarray):
        return node.attribute is other.attribute and node._replace(attribute=None) == other._replace(attribute=None)
    return node == other


def numbers_by_name(tape: Tape) -> dict[str, int]:
    """The node that each name stands for; an input's name goes before a node's, and that before an output's."""
    found = dict(zip(tape.output_names, tape.outputs.tolist(), strict=False))
    found |= dict(zip(tape.node_names, tape.named_nodes.tolist(), strict=True))
    found |= dict(zip(tape.input_names, tape.inputs.tolist(), strict=False))
    return found


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


def node_number(tape: Tape, node: Any) -> int:
    """The number of the node that a number, a name or a node stands for.

    Raises InputError where the tape has no node of that name (with the names that are near it), IndexError for a number
    outside it.
    """
    if isinstance(node, str):
        number = tape._numbers_by_name.get(node)
        if number is None:
            raise InputError(_unknown(tape, node))
        return number
    if isinstance(node, Node):
        node = node.number
    if isinstance(node, bool) or not isinstance(node, (int, np.integer)):
        raise InputError(f"a node is a number, a name or a node of the tape, not {type(node).__name__}.")
    if not 0 <= node < len(tape):
        raise IndexError(f"node {node} of a tape with {len(tape)} nodes")
    return int(node)


def _unknown(tape: Tape, name: str) -> str:
    names = tape._numbers_by_name
    # the last part of a path is what people remember
    last_parts = {known.rpartition("/")[2]: known for known in names}
    near = get_close_matches(name, names, MAX_SUGGESTED)
    near += [last_parts[part] for part in get_close_matches(name, last_parts, MAX_SUGGESTED)]
    near = list(dict.fromkeys(near))[:MAX_SUGGESTED]
    if near:
        remedy = f"Is it {' or '.join(map(repr, near))}?"
    elif names:
        remedy = f"It has the names {', '.join(map(repr, list(names)[:10]))}{', ...' if len(names) > 10 else ''}."
    else:
        remedy = "It has no names: give them with fastgrad.name(value, name) in the recorded function."
    return f"the tape has no node named {name!r}. {remedy}"


def users(tape: Tape) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Who uses each node: node i is an operand of ``users[starts[i]:starts[i + 1]]`` (``starts``, ``users``)."""
    counts = np.bincount(tape.operands, minlength=len(tape))
    starts = np.concatenate([[0], np.cumsum(counts)])
    lengths: NDArray[np.int64] = np.diff(tape.operand_starts.astype(np.int64))  # type: ignore[assignment]
    owners = np.repeat(np.arange(len(tape)), lengths)
    return starts, owners[np.argsort(tape.operands, kind="stable")]
