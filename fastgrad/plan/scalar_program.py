"""A tape of small arrays as straight-line scalar code.

Every element of every node becomes one slot of a memory. What only moves elements (slices, reshapes, stacks) costs
nothing: its result is a rearrangement of its operands' slots, found by running the operation's own ``evaluate`` on
arrays of slot numbers. Slot 0 holds 0.0, which is what such operations pad with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import array_ops, ops
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Tape, is_number

Slots = NDArray[np.int64]
NO_SLOT = -1
MAX_ARITY = 3


@dataclass(frozen=True)
class ScalarProgram:
    """Instructions in order; ``operands`` has a row of ``MAX_ARITY`` slots each, ``NO_SLOT`` where there is none."""

    codes: NDArray[np.int64]
    operands: NDArray[np.int64]
    results: NDArray[np.int64]
    # instructions whose derivative is not by their operands but by ``extra_edges``
    edge_free: NDArray[np.bool_]
    # rows (slot of the result, slot of the operand, slot of the partial derivative)
    extra_edges: NDArray[np.int64]
    n_slots: int
    number_slots: NDArray[np.int64]
    numbers: NDArray[np.float64]
    captured: tuple[tuple[NDArray[Any], int], ...]
    input_starts: tuple[int, ...]
    input_sizes: tuple[int, ...]
    outputs: tuple[Slots, ...]
    guard_slots: NDArray[np.int64]
    guard_expected: NDArray[np.int64]
    # which guards of the tape these are
    guard_numbers: NDArray[np.int64]


def scalar_cost(tape: Tape) -> int:
    """How many instructions the tape's scalar program would have, about."""
    sizes = np.array([math.prod(shape) for shape in tape.shapes], np.int64)
    node_sizes = sizes[tape.shape_indices]
    elementary = tape.opcodes < len(ops.TABLE)
    total = int(node_sizes[elementary].sum())
    for index in np.flatnonzero((tape.opcodes >= ARRAY_OPERATION) & (tape.opcodes < INPUT)).tolist():
        entry = array_ops.TABLE[int(tape.opcodes[index]) - ARRAY_OPERATION]
        first = tape.shape_of(int(tape.operands_of(index)[0]))
        if entry is array_ops.matmul:
            total += 2 * int(node_sizes[index]) * first[-1]
        elif not entry.movement:
            total += math.prod(first) * (4 if entry in (array_ops.max_, array_ops.min_) else 1)
        # moving elements costs planning time though it costs no instruction
        total += int(node_sizes[index]) // 8
    return total


def scalar_program(tape: Tape) -> ScalarProgram:
    """The scalar program of a tape."""
    return _Writer(tape).write()


class _Writer:
    """Builds a scalar program node by node; runs of scalar operations are taken in one step each."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.n_slots = 1
        self.slots: list[Any] = [None] * len(tape)
        self.scalar_slots = np.zeros(len(tape), np.int64)
        self.numbers: dict[Any, int] = {"0.0": 0}
        self.number_values: list[float] = [0.0]
        self.captured: list[tuple[NDArray[Any], int]] = []
        self.codes: list[NDArray[np.int64]] = []
        self.operands: list[NDArray[np.int64]] = []
        self.results: list[NDArray[np.int64]] = []
        self.edge_free: list[NDArray[np.bool_]] = []
        self.extra_edges: list[NDArray[np.int64]] = []

    def write(self) -> ScalarProgram:
        tape = self.tape
        for index in np.flatnonzero(tape.opcodes >= INPUT).tolist():
            self._leaf(index)
        is_scalar_shape = np.array([shape == () for shape in tape.shapes])
        # the operands of a scalar operation are scalars too, since they broadcast to its shape
        scalar = (tape.opcodes < len(ops.TABLE)) & is_scalar_shape[tape.shape_indices]
        pending = np.flatnonzero(tape.opcodes < INPUT)
        breaks = np.flatnonzero(~scalar[pending]).tolist()
        start = 0
        for position in [*breaks, len(pending)]:
            if position > start:
                self._scalar_run(pending[start:position])
            if position < len(pending):
                self._array_node(int(pending[position]))
            start = position + 1
        return self._finish()

    def _allocate(self, n: int) -> Slots:
        slots = np.arange(self.n_slots, self.n_slots + n)
        self.n_slots += n
        return slots

    def number(self, number: float) -> int:
        key = number or str(number)
        slot = self.numbers.get(key)
        if slot is None:
            slot = self.numbers[key] = int(self._allocate(1)[0])
            self.number_values.append(number)
        return slot

    def _set(self, index: int, slots: Slots) -> None:
        self.slots[index] = slots
        if slots.shape == ():
            self.scalar_slots[index] = slots

    def _slots_of(self, index: int) -> Slots:
        slots = self.slots[index]
        return np.asarray(self.scalar_slots[index]) if slots is None else slots

    def _leaf(self, index: int) -> None:
        shape = self.tape.shape_of(index)
        if self.tape.opcodes[index] == CONSTANT:
            array = self.tape.constant_of(index)
            if is_number(array):
                self._set(index, np.asarray(self.number(float(array))))
                return
            slots = self._allocate(array.size).reshape(shape)
            if array.size:
                self.captured.append((array, int(slots.flat[0])))
        else:
            slots = self._allocate(math.prod(shape)).reshape(shape)
        self._set(index, slots)

    def _scalar_run(self, nodes: NDArray[np.int64]) -> None:
        tape = self.tape
        results = self._allocate(len(nodes))
        self.scalar_slots[nodes] = results
        starts = tape.operand_starts[nodes].astype(np.int64)
        lengths = tape.operand_starts[nodes + 1].astype(np.int64) - starts
        operands = np.full((len(nodes), MAX_ARITY), NO_SLOT, np.int64)
        for k in range(MAX_ARITY):
            has = lengths > k
            operands[has, k] = self.scalar_slots[tape.operands[starts[has] + k]]
        self._append(tape.opcodes[nodes].astype(np.int64), operands, results)

    def _append(
        self, codes: NDArray[np.int64], operands: NDArray[np.int64], results: Slots, edge_free: bool = False
    ) -> None:
        self.codes.append(codes)
        self.operands.append(operands)
        self.results.append(results)
        self.edge_free.append(np.full(len(codes), edge_free))

    def emit(self, operation: ops.Operation, *operands: Any, edge_free: bool = False) -> Slots:
        """One instruction for each element of the operands' slots, broadcast together."""
        arrays = np.broadcast_arrays(*operands)
        size = arrays[0].size
        table = np.full((size, MAX_ARITY), NO_SLOT, np.int64)
        for k, array in enumerate(arrays):
            table[:, k] = array.ravel()
        results = self._allocate(size)
        self._append(np.full(size, operation.code, np.int64), table, results, edge_free)
        return results.reshape(arrays[0].shape)

    def _array_node(self, index: int) -> None:
        tape = self.tape
        opcode, attribute = int(tape.opcodes[index]), tape.attribute_of(index)
        nodes = tape.operands_of(index).tolist()
        operands = [self._slots_of(node) for node in nodes]
        if opcode < len(ops.TABLE):
            self._set(index, self.emit(ops.TABLE[opcode], *operands))
            return
        entry = array_ops.TABLE[opcode - ARRAY_OPERATION]
        if entry.movement:
            self._set(index, entry.evaluate(attribute, *operands))
        elif entry in (array_ops.gather, array_ops.scatter_add):
            positions = tape.constant_of(nodes[1]).astype(np.int64)
            self._set(index, _INDEXED[entry](self, attribute, operands[0], positions))
        else:
            self._set(index, _COMPUTED[entry](self, attribute, *operands))

    def _finish(self) -> ScalarProgram:
        tape = self.tape
        expected = [self.number(value) for value in tape.guard_values.tolist()]
        inputs = [self._slots_of(node) for node in tape.inputs.tolist()]
        none = np.zeros((0, MAX_ARITY), np.int64)
        return ScalarProgram(
            codes=_joined(self.codes, np.zeros(0, np.int64)),
            operands=_joined(self.operands, none),
            results=_joined(self.results, np.zeros(0, np.int64)),
            edge_free=_joined(self.edge_free, np.zeros(0, bool)),
            extra_edges=_joined(self.extra_edges, none),
            n_slots=self.n_slots,
            number_slots=np.array(list(self.numbers.values()), np.int64),
            numbers=np.array(self.number_values, np.float64),
            captured=tuple(self.captured),
            input_starts=tuple(int(slots.flat[0]) if slots.size else 0 for slots in inputs),
            input_sizes=tuple(slots.size for slots in inputs),
            outputs=tuple(np.array(self._slots_of(node), np.int64) for node in tape.outputs.tolist()),
            guard_slots=np.array([int(self._slots_of(node)) for node in tape.guard_nodes.tolist()], np.int64),
            guard_expected=np.array(expected, np.int64),
            guard_numbers=np.arange(len(tape.guard_nodes)),
        )


def _joined(parts: Sequence[NDArray[Any]], empty: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else empty


# ---- array operations that compute


def _reduced_first(axes: Sequence[int], x: Slots) -> Slots:
    """The slots with all reduced axes in front, as one."""
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    moved = x.transpose(*axes, *rest)
    return moved.reshape(math.prod(x.shape[axis] for axis in axes), *(x.shape[axis] for axis in rest))


def _sum(writer: _Writer, axes: Sequence[int], x: Slots) -> Slots:
    """Pairwise sums: short chains of dependent additions, and errors that grow with the logarithm of the length."""
    rows = _reduced_first(axes, x)
    if len(rows) == 0:
        return np.zeros(rows.shape[1:], np.int64)
    while len(rows) > 1:
        half = len(rows) // 2
        rows = np.concatenate([writer.emit(ops.add, rows[:half], rows[half : 2 * half]), rows[2 * half :]])
    return np.asarray(rows[0])


def _extremum(writer: _Writer, operation: ops.Operation, axes: Sequence[int], x: Slots) -> Slots:
    rows = _reduced_first(axes, x)
    result: Slots = np.asarray(rows[0])
    for row in rows[1:]:
        result = writer.emit(operation, result, row, edge_free=True)
    if len(rows) == 1:
        return result
    # all elements that share the extremum share its derivative equally
    chosen = writer.emit(ops.equal, rows, result)
    weights = writer.emit(ops.divide, chosen, _sum(writer, (0,), chosen))
    edges = np.stack(np.broadcast_arrays(result, rows, weights), axis=-1)
    writer.extra_edges.append(edges.reshape(-1, 3))
    return result


def _cumsum(writer: _Writer, axis: int, x: Slots) -> Slots:
    rows = list(np.moveaxis(x, axis, 0))
    for k in range(1, len(rows)):
        rows[k] = writer.emit(ops.add, rows[k - 1], rows[k])
    return np.moveaxis(np.stack(rows), 0, axis) if rows else x


def _matmul(writer: _Writer, _: None, x: Slots, y: Slots) -> Slots:
    if x.shape[-1] == 0:
        return np.zeros(x.shape[:-1] + y.shape[-1:], np.int64)
    total: Slots | None = None
    for k in range(x.shape[-1]):
        product = writer.emit(ops.multiply, x[..., :, k, np.newaxis], y[..., np.newaxis, k, :])
        total = product if total is None else writer.emit(ops.add, total, product)
    assert total is not None
    return total


def _gather(writer: _Writer, _: None, x: Slots, positions: NDArray[np.int64]) -> Slots:
    return x.ravel()[positions]


def _scatter_add(writer: _Writer, shape: Sequence[int], x: Slots, positions: NDArray[np.int64]) -> Slots:
    """Elements in order, all first additions to a place together, then all second ones, and so on."""
    result = np.zeros(math.prod(shape), np.int64)
    pending, targets = x.ravel(), positions.ravel()
    while len(pending):
        _, first = np.unique(targets, return_index=True)
        now = targets[first]
        taken = result[now] == 0
        result[now[taken]] = pending[first[taken]]
        if not taken.all():
            result[now[~taken]] = writer.emit(ops.add, result[now[~taken]], pending[first[~taken]])
        left = np.ones(len(pending), bool)
        left[first] = False
        pending, targets = pending[left], targets[left]
    return result.reshape(tuple(shape))


_INDEXED: dict[array_ops.ArrayOperation, Any] = {array_ops.gather: _gather, array_ops.scatter_add: _scatter_add}
_COMPUTED: dict[array_ops.ArrayOperation, Any] = {
    array_ops.sum_: _sum,
    array_ops.max_: lambda writer, axes, x: _extremum(writer, ops.maximum, axes, x),
    array_ops.min_: lambda writer, axes, x: _extremum(writer, ops.minimum, axes, x),
    array_ops.cumsum: _cumsum,
    array_ops.matmul: _matmul,
}
