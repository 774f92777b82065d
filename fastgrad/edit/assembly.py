"""Nodes of several tapes in one numbering, on their way to a new tape."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.errors import InputError
from fastgrad.reachability import needed_for
from fastgrad.tape import CONSTANT, INPUT, Shape, Source, Tape, distinct
from fastgrad.transform.symbolic import with_nodes

__all__ = ["Assembly", "End", "described"]

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class End:
    """An input or output of the new tape: a node of the assembly and its name."""

    node: int
    name: str


class Assembly:
    """Collects tapes, has their nodes joined otherwise, and makes a new tape of them.

    Nodes are numbered in the order in which they were included; each has a key, by which they are ordered in the end
    (equal keys: by number), so that what is inserted comes where it is needed.
    """

    def __init__(self) -> None:
        self._opcodes: list[NDArray[Any]] = []
        self._operands: list[Indices] = []
        self._lengths: list[Indices] = []
        self._shape_indices: list[Indices] = []
        self._attribute_indices: list[Indices] = []
        self._source_indices: list[Indices] = []
        self._group_indices: list[Indices] = []
        self._keys: list[Indices] = []
        self._n = 0
        self._shapes: dict[Shape, int] = {}
        self._attributes: list[Any] = []
        self._constants: list[NDArray[Any]] = []
        self._positions: dict[int, int] = {}  # of constants, by identity
        self._sources: dict[Source, int] = {}
        self._groups: dict[str, int] = {}
        self._guards: list[tuple[Indices, NDArray[np.float64], Indices]] = []
        self._names: list[tuple[str, int]] = []

    def __len__(self) -> int:
        return self._n

    # ---- taking in

    def include(
        self,
        tape: Tape,
        wires: Mapping[int, int] | None = None,
        *,
        group: str = "",
        default_group: str = "",
        key: int | Indices | None = None,
    ) -> Indices:
        """Add the nodes of a tape; returns for each of them the node of the assembly that it is now.

        ``wires`` says which inputs, by position, are nodes that are there already. Paths of groups and names are put
        under ``group``; nodes in no group belong to ``default_group`` then. The nodes have the key ``key`` (one for
        all, or one each), or else keys after all others.
        """
        n, first = len(tape), self._n
        numbers = np.arange(first, first + n, dtype=np.int64)
        if wires:
            numbers[tape.inputs[list(wires)]] = list(wires.values())
        prefix = f"{group}/" if group else ""
        shapes = _numbered(self._shapes, tape.shapes)
        sources = _numbered(self._sources, tape.sources)
        groups = _numbered(self._groups, [prefix + path for path in tape.groups])
        self._opcodes.append(tape.opcodes)
        self._operands.append(numbers[tape.operands])
        self._lengths.append(tape.operand_counts)
        self._shape_indices.append(shapes[tape.shape_indices])
        self._attribute_indices.append(self._merged_attributes(tape))
        self._source_indices.append(_renumbered(sources, tape.source_indices))
        others = default_group or group
        missing = self._groups.setdefault(others, len(self._groups)) if others else -1
        self._group_indices.append(_renumbered(groups, tape.group_indices, missing))
        self._keys.append(np.arange(first, first + n) if key is None else np.full(n, key))
        guard_sources = _renumbered(sources, tape.guard_sources)
        self._guards.append((numbers[tape.guard_nodes], tape.guard_values, guard_sources))
        named = numbers[tape.named_nodes].tolist()
        self._names += [(prefix + name, node) for name, node in zip(tape.node_names, named, strict=True)]
        self._n += n
        return numbers

    def _merged_attributes(self, tape: Tape) -> Indices:
        indices = tape.attribute_indices.astype(np.int64)
        is_constant = tape.opcodes == CONSTANT
        positions = np.array([self._constant(constant) for constant in tape.constants], np.int64)
        merged: Indices = np.where(indices < 0, -1, indices + len(self._attributes))
        if is_constant.any():
            merged[is_constant] = positions[indices[is_constant]]
        self._attributes += tape.attributes
        return merged

    def _constant(self, constant: NDArray[Any]) -> int:
        position = self._positions.setdefault(id(constant), len(self._constants))
        if position == len(self._constants):
            self._constants.append(constant)
        return position

    def include_copies(self, part: Tape, wires: Indices, at: Indices) -> Indices:
        """Add the operations of a tape with one output once for each row of ``wires``, which are its inputs.

        Each copy gets the line, the group and the place in the order of the node ``at``; names of the tape are left
        out. The copies have their constants in common. Returns the nodes of the outputs.
        """
        is_own = part.opcodes < INPUT
        copies, n = len(wires), int(np.count_nonzero(is_own))
        numbers = np.empty((copies, len(part)), np.int64)
        numbers[:, part.inputs] = wires
        for node in np.flatnonzero(part.opcodes == CONSTANT).tolist():
            numbers[:, node] = self.add_constant(part.constant_of(node))
        numbers[:, is_own] = np.arange(self._n, self._n + copies * n).reshape(copies, n)
        lengths = part.operand_counts
        shapes = _numbered(self._shapes, part.shapes)[part.shape_indices]
        self._operands.append(numbers[:, part.operands].ravel())
        for column, values in (
            (self._opcodes, part.opcodes),
            (self._lengths, lengths),
            (self._shape_indices, shapes),
            (self._attribute_indices, self._merged_attributes(part)),
        ):
            column.append(np.tile(values[is_own], copies))
        for column in (self._source_indices, self._group_indices, self._keys):
            column.append(np.repeat(self._flat(column)[at], n))
        guard_sources = _renumbered(_numbered(self._sources, part.sources), part.guard_sources)
        guards = (
            numbers[:, part.guard_nodes].ravel(),
            np.tile(part.guard_values, copies),
            np.tile(guard_sources, copies),
        )
        self._guards.append(guards)
        self._n += copies * n
        results: Indices = numbers[:, part.outputs[0]]
        return results

    def add_input(self, shape: Shape) -> int:
        """A new input."""
        return self._add(INPUT, shape, -1)

    def add_constant(self, array: NDArray[Any], name: str = "") -> int:
        """A new constant, held by reference; it comes before what computes."""
        node = self._add(CONSTANT, array.shape, self._constant(array))
        if name:
            self._names.append((name, node))
        return node

    def _add(self, opcode: int, shape: Shape, attribute: int) -> int:
        self._opcodes.append(np.array([opcode], np.uint16))
        self._operands.append(np.zeros(0, np.int64))
        columns = (self._lengths, self._shape_indices, self._attribute_indices)
        shape_index = self._shapes.setdefault(shape, len(self._shapes))
        for column, value in zip(columns, (0, shape_index, attribute), strict=True):
            column.append(np.array([value], np.int64))
        for column in (self._source_indices, self._group_indices):
            column.append(np.array([-1], np.int64))
        self._keys.append(np.array([-1], np.int64))
        self._n += 1
        return self._n - 1

    # ---- joining otherwise

    def redirect(self, old: int, new: int, *, before: int | None = None, only: Iterable[int] | None = None) -> None:
        """Turn uses of a node as an operand into uses of another.

        Only those by nodes with numbers below ``before``, or by the nodes ``only``, if one is given.
        """
        operands, lengths = self._flat(self._operands), self._flat(self._lengths)
        uses = operands == old
        if before is not None:
            uses[int(lengths[:before].sum()) :] = False
        if only is not None:
            is_meant = np.zeros(self._n, bool)
            is_meant[list(only)] = True
            uses &= np.repeat(is_meant, lengths)
        if uses.any():
            self._require_same_shape(old, new)
            operands[uses] = new

    def redirect_each_user(self, old: int, new: Sequence[int]) -> None:
        """Turn the uses of a node by the k-th of its users into uses of ``new[k]``."""
        operands = self._flat(self._operands)
        uses = np.flatnonzero(operands == old)
        users = np.searchsorted(np.cumsum(self._flat(self._lengths)), uses, side="right")
        operands[uses] = np.array(new, np.int64)[np.unique(users, return_inverse=True)[1]]

    def redirect_use(self, owner: int, place: int, new: int) -> None:
        """Turn one operand of a node, by its place among them, into another."""
        lengths = self._flat(self._lengths)
        position = int(lengths[:owner].sum()) + place
        operands = self._flat(self._operands)
        self._require_same_shape(int(operands[position]), new)
        operands[position] = new

    def _require_same_shape(self, old: int, new: int) -> None:
        # attributes and constants that follow from the shape (axes, the divisor of a mean) could not be changed with it
        if self.shape_of(old) != self.shape_of(new):
            raise InputError(
                f"what uses the value was recorded for shape {self.shape_of(old)}; it would get shape "
                f"{self.shape_of(new)}. Replace the whole part that has to do with the shape, or cut it off and join "
                "another to what comes before."
            )

    def move_names_and_guards(self, old: int, new: int) -> None:
        """Have another node carry the names of a node, and the guards on it."""
        self._names = [(name, new if node == old else node) for name, node in self._names]
        self.move_guards(old, new)

    def move_guards(self, old: int, new: int) -> None:
        """Have the guards on a node ask another node."""
        for nodes, _, _ in self._guards:
            asked = nodes == old
            if asked.any():
                self._require_same_shape(old, new)
            nodes[asked] = new

    def replace_all(self, old: Indices, new: Indices) -> Indices:
        """Turn uses of many nodes into uses of others, which may themselves be replaced; where each node is now.

        Names and guards go to the new node where it is one that was included later than all the old ones.
        """
        now = np.arange(self._n)
        now[old] = new
        while not np.array_equal(further := now[now], now):  # a replaced node may stand for another
            now = further
        operands = self._flat(self._operands)
        operands[:] = now[operands]
        moved = np.where(now > old.max(initial=0), now, np.arange(self._n))
        self._names = [(name, int(moved[node])) for name, node in self._names]
        self._guards = [(moved[nodes], values, sources) for nodes, values, sources in self._guards]
        return now

    def keep_guards(self, is_kept: Callable[[Indices], NDArray[np.bool_]]) -> None:
        """Leave out the guards on nodes that are not to be kept."""
        kept = [is_kept(nodes) for nodes, _, _ in self._guards]
        self._guards = [
            (nodes[keep], values[keep], sources[keep])
            for keep, (nodes, values, sources) in zip(kept, self._guards, strict=True)
        ]

    def drop_names(self, nodes: Container[int]) -> None:
        self._names = [(name, of) for name, of in self._names if of not in nodes]

    def shape_of(self, node: int) -> Shape:
        return list(self._shapes)[int(self._flat(self._shape_indices)[node])]

    @staticmethod
    def _flat(column: list[Any]) -> Any:
        """The column as one array, which may be changed in place."""
        if len(column) != 1 or not column[0].flags.writeable:
            column[:] = [np.concatenate(column)]
        return column[0]

    # ---- making the tape

    def build(self, inputs: Sequence[End], outputs: Sequence[End], optional: Container[int] = ()) -> Tape:
        """The tape with these inputs and outputs, without what neither outputs nor guards need.

        Inputs that are among ``optional`` are left out where nothing needs them. Other inputs of the included tapes
        must not be needed. Raises InputError for nodes that need each other.
        """
        # inputs come first, in the order of the arguments
        self._flat(self._keys)[np.array([end.node for end in inputs], np.int64)] = np.arange(-len(inputs), 0) - self._n
        order, place, starts, operands = self._arranged()
        guards = [np.concatenate(column) for column in zip(*self._guards, strict=True)] if self._guards else []
        guard_nodes, guard_values, guard_sources = guards or (np.zeros(0, np.int64),) * 3
        results = place[np.array([end.node for end in outputs], np.int64)]
        keep = needed_for((results, place[guard_nodes]), starts, operands)
        inputs = [end for end in inputs if end.node not in optional or keep[place[end.node]]]
        first = place[np.array([end.node for end in inputs], np.int64)]
        keep[first] = True
        # what is left out keeps no name from what takes its place
        named = [(name, node) for name, node in dict.fromkeys(self._names) if keep[place[node]]]
        tape = Tape(
            opcodes=self._flat(self._opcodes)[order],
            operand_starts=starts.astype(np.uint32),
            operands=operands.astype(np.uint32),
            shape_indices=self._flat(self._shape_indices)[order].astype(np.uint32),
            shapes=tuple(self._shapes),
            attribute_indices=self._flat(self._attribute_indices)[order].astype(np.int32),
            attributes=tuple(self._attributes),
            constants=tuple(self._constants),
            inputs=first.astype(np.uint32),
            outputs=results.astype(np.uint32),
            guard_nodes=place[guard_nodes].astype(np.uint32),
            guard_values=np.asarray(guard_values, np.float64),
            guard_sources=guard_sources.astype(np.int32),
            source_indices=self._flat(self._source_indices)[order].astype(np.int32),
            sources=tuple(self._sources),
            input_names=distinct(end.name for end in inputs),
            output_names=distinct(end.name for end in outputs) if any(end.name for end in outputs) else (),
            group_indices=self._flat(self._group_indices)[order].astype(np.int32),
            groups=tuple(self._groups),
            named_nodes=place[np.array([node for _, node in named], np.int64)].astype(np.uint32),
            node_names=distinct(name for name, _ in named),
        )
        return with_nodes(tape, keep)

    def _arranged(self) -> tuple[Any, Indices, Indices, Indices]:
        """The nodes in order, where each is in it, and their operands there (starts, numbers).

        They are ordered by key, or, where that has an operand behind its user, each comes after its operands.
        """
        keys, lengths, operands = (self._flat(column) for column in (self._keys, self._lengths, self._operands))
        starts = _starts(lengths)
        if np.all(keys[:-1] <= keys[1:]):
            if _are_before_users(starts, operands):
                return slice(None), np.arange(self._n), starts, operands
            order = np.arange(self._n)
        else:
            order = np.argsort(keys, kind="stable")
            arranged = _in_order(order, starts, operands)
            if _are_before_users(*arranged[1:]):
                return order, *arranged
        order = _operands_first(order, starts, operands)
        return order, *_in_order(order, starts, operands)


def _starts(lengths: Indices) -> Indices:
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def _are_before_users(starts: Indices, operands: Indices) -> bool:
    users = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return bool(np.all(operands < users))


def _in_order(order: Indices, starts: Indices, operands: Indices) -> tuple[Indices, Indices, Indices]:
    """Where each node is in another order, and the operands there."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    lengths: Indices = np.diff(starts)[order]
    new_starts = _starts(lengths)
    # the position of each operand in the old order, in the new one
    gathered = np.repeat(starts[order] - new_starts[:-1], lengths) + np.arange(new_starts[-1])
    return place, new_starts, place[operands[gathered]]


def _numbered(table: dict[Any, int], entries: Sequence[Any]) -> Indices:
    """The number of each entry in a table, which takes in those that are new."""
    return np.array([table.setdefault(entry, len(table)) for entry in entries], np.int64)


def _renumbered(numbers: Indices, indices: NDArray[Any], missing: int = -1) -> Indices:
    """Indices into a table as such into another; -1 becomes ``missing``."""
    if not len(numbers):
        return np.full(len(indices), missing, np.int64)
    return np.where(indices < 0, missing, numbers[indices])


def _operands_first(order: Indices, starts: Indices, operands: Indices) -> Indices:
    """The nodes in this order, but operands before what uses them. Raises InputError where there is no such order."""
    first, flat = starts.tolist(), operands.tolist()
    state = bytearray(len(order))  # 1: its operands are being placed, 2: it is placed
    placed: list[int] = []
    for root in order.tolist():
        stack = [root]
        while stack:
            node = stack[-1]
            if state[node] == 2:
                stack.pop()
            elif state[node] == 1:
                state[node] = 2
                placed.append(node)
                stack.pop()
            else:
                state[node] = 1
                for operand in flat[first[node] : first[node + 1]]:
                    if state[operand] == 1:
                        raise InputError(
                            "the edit would have a node depend on itself. Insert only what depends on earlier values."
                        )
                    if not state[operand]:
                        stack.append(operand)
    return np.array(placed, np.int64)


def described(tape: Tape, index: int) -> str:
    """A node for a message: its name or number, its operation, and the user's line."""
    node = tape.node(index)
    source = "" if node.source is None else f", {node.source}"
    return f"{node.name!r} ({node.operation}{source})" if node.name else f"node {index} ({node.operation}{source})"
