"""Nodes found by number or name, and what they depend on."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from fastgrad.errors import InputError
from fastgrad.tape import Node, Tape
from fastgrad.tape_names import suggestion

__all__ = ["NodeSequence", "guards_by_node", "node_number", "users"]


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
    if names:
        otherwise = f"It has the names {', '.join(map(repr, list(names)[:10]))}{', ...' if len(names) > 10 else ''}."
    else:
        otherwise = "It has no names: give them with fastgrad.name(value, name) in the recorded function."
    return f"the tape has no node named {name!r}. {suggestion(name, names, otherwise)}"


def users(tape: Tape) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Who uses each node: node i is an operand of ``users[starts[i]:starts[i + 1]]`` (``starts``, ``users``)."""
    counts = np.bincount(tape.operands, minlength=len(tape))
    starts = np.concatenate([[0], np.cumsum(counts)])
    owners = np.repeat(np.arange(len(tape)), tape.operand_counts)
    return starts, owners[np.argsort(tape.operands, kind="stable")]


def guards_by_node(tape: Tape) -> dict[int, list[int]]:
    """The positions of the guards on each node that has some."""
    found: dict[int, list[int]] = {}
    for position, node in enumerate(tape.guard_nodes.tolist()):
        found.setdefault(node, []).append(position)
    return found
