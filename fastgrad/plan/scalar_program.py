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


def scalar_cost(tape: Tape) -> float:
    """How many instructions the tape's scalar program would have, about; infinite where it cannot have one."""
    sizes = np.array([math.prod(shape) for shape in tape.shapes], np.int64)
    node_sizes = sizes[tape.shape_indices]
    elementary = tape.opcodes < len(ops.TABLE)
    total = float(node_sizes[elementary].sum())
    for index in np.flatnonzero((tape.opcodes >= ARRAY_OPERATION) & (tape.opcodes < INPUT)).tolist():
        entry = array_ops.TABLE[int(tape.opcodes[index]) - ARRAY_OPERATION]
        operands = tape.operands_of(index).tolist()
        if not entry.movement:
            if not _has_scalar_code(tape, entry, operands):
                return math.inf
            total += entry.scalar_cost(tape.attribute_of(index), *map(tape.shape_of, operands))
        # moving elements costs planning time though it costs no instruction
        total += int(node_sizes[index]) // 8
    return total


def _has_scalar_code(tape: Tape, entry: array_ops.ArrayOperation, operands: Sequence[int]) -> bool:
    return entry.scalar_code is not None and all(tape.opcodes[operands[k]] == CONSTANT for k in entry.position_operands)


def first_without_scalar_code(tape: Tape) -> tuple[str, str] | None:
    """The first operation for which the tape has no scalar program, and the user's line; None if it has one."""
    for index in np.flatnonzero((tape.opcodes >= ARRAY_OPERATION) & (tape.opcodes < INPUT)).tolist():
        entry = array_ops.TABLE[int(tape.opcodes[index]) - ARRAY_OPERATION]
        if not entry.movement and not _has_scalar_code(tape, entry, tape.operands_of(index).tolist()):
            what = entry.name if entry.scalar_code is None else f"{entry.name} at computed positions"
            return what, str(tape.source_of(index) or "")
    return None


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
            return
        for k in entry.position_operands:
            operands[k] = tape.constant_of(nodes[k]).astype(np.int64)
        assert entry.scalar_code is not None
        self._set(index, entry.scalar_code(self, attribute, *operands))

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
