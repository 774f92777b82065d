"""Many examples at once: a tape with a leading axis of examples wherever a value is another for each of them.

What is the same for all examples is computed once, and what varies is computed for all by one operation, whose rule is
the field ``batch`` of its entry in the table of array operations. (The axis is the batch axis of ``vmap``; Bradbury et
al., JAX, 2018.)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import array_ops, ops
from fastgrad.errors import InputError, UnsupportedError, located
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Shape, Tape, is_number
from fastgrad.tape_names import input_names
from fastgrad.transform.symbolic import SymbolicTape, Value

__all__ = ["Batch", "BatchedValue", "BatchingError", "VaryingGuardError", "batched"]


class BatchingError(UnsupportedError):
    """A tape that cannot run for many examples at once."""


class VaryingGuardError(BatchingError):
    """The branch that a tape is for hangs on a value that is another for each example."""


def batched(tape: Tape, inputs: Collection[int], n: int) -> Tape:
    """The tape for ``n`` examples at once.

    The inputs at the positions ``inputs`` get a leading axis of length ``n``; all others are the same for all examples
    and stay as they are. Every output gets that axis. Names, groups and lines come along. Values and derivatives are
    those of the examples one by one but for rounding.

    Raises BatchingError for an operation that has no rule, VaryingGuardError where a comparison of Python's (or another
    decision of the recording) hangs on a value that varies, InputError for positions that are none.
    """
    varying = set(inputs)
    if n < 0 or not varying <= set(range(len(tape.inputs))):
        raise InputError(
            f"a tape with {len(tape.inputs)} inputs cannot be batched over inputs {sorted(varying)} with {n} examples. "
            "Give positions of inputs and a length that is not negative."
        )
    symbolic = SymbolicTape(tape.sources)
    batch = Batch(symbolic, n)
    given = [
        BatchedValue(symbolic.input((n, *shape) if position in varying else shape, name), position in varying)
        for position, (shape, name) in enumerate(zip(tape.input_shapes, input_names(tape), strict=True))
    ]
    found = batch.replay(tape, given)
    built = symbolic.build([batch.for_all(found[node]) for node in tape.outputs.tolist()])
    return replace(built, output_names=tape.output_names)


@dataclass(frozen=True)
class BatchedValue:
    """A value, and whether its first axis runs over the examples."""

    value: Value
    varies: bool

    @property
    def shape(self) -> Shape:
        """The shape for one example."""
        return self.value.shape[1:] if self.varies else self.value.shape


class Batch:
    """Replays tapes for ``n`` examples at once."""

    def __init__(self, symbolic: SymbolicTape, n: int) -> None:
        self.symbolic, self.n = symbolic, n
        # constants that came with the tapes, and those made of them here
        self._constants: dict[int, NDArray[Any]] = {}
        self._made: dict[tuple[Any, ...], Value] = {}

    def replay(self, tape: Tape, inputs: Sequence[BatchedValue]) -> list[BatchedValue]:
        """Every node of ``tape``, its inputs being ``inputs``; names and guards come along."""
        given = dict(zip(tape.inputs.tolist(), inputs, strict=True))
        found: list[BatchedValue] = []
        places = self.symbolic.places_of(tape)
        for index, opcode in enumerate(tape.opcodes.tolist()):
            self.symbolic.place = places[index]
            if opcode == INPUT:
                found.append(given[index])
            elif opcode == CONSTANT:
                found.append(BatchedValue(self._constant(tape.constant_of(index)), False))
            else:
                operands = [found[operand] for operand in tape.operands_of(index).tolist()]
                found.append(self._apply(opcode, tape.attribute_of(index), operands))
        for name, node in zip(tape.node_names, tape.named_nodes.tolist(), strict=True):
            self.symbolic.name(found[node].value, name)
        guards = tape.guard_nodes.tolist()
        for position, node in enumerate(guards):
            if found[node].varies:
                raise VaryingGuardError(
                    located(
                        "Which way the function takes hangs on a value that is another for each example",
                        str(tape.guard_source_of(position) or ""),
                        "Choose between values with np.where, which computes both.",
                    )
                )
        self.symbolic.guard([found[node].value for node in guards], tape)
        return found

    def for_all(self, value: BatchedValue) -> Value:
        """The value with the leading axis."""
        if value.varies:
            return value.value
        return self.symbolic.apply_array(array_ops.broadcast_to, (value.value,), (self.n, *value.shape))

    def with_rank(self, value: BatchedValue, rank: int) -> Value:
        """The value with axes of length 1 after that of the examples, so that it broadcasts as each example's would."""
        missing = rank - len(value.shape)
        if not value.varies or missing <= 0:
            return value.value
        return self.symbolic.apply_array(array_ops.reshape, (value.value,), (self.n, *(1,) * missing, *value.shape))

    def _constant(self, array: NDArray[Any]) -> Value:
        if is_number(array):
            return self.symbolic.number(float(array))
        value = self.symbolic.constant(array)
        self._constants[value.node] = array
        return value

    def _apply(self, opcode: int, attribute: Any, operands: list[BatchedValue]) -> BatchedValue:
        varies = any(operand.varies for operand in operands)
        if opcode < len(ops.TABLE):
            rank = max(len(operand.shape) for operand in operands)
            values = [self.with_rank(operand, rank) for operand in operands]
            return BatchedValue(self.symbolic.apply(ops.TABLE[opcode], values), varies)
        entry = array_ops.TABLE[opcode - ARRAY_OPERATION]
        if not varies:
            values = [operand.value for operand in operands]
            return BatchedValue(self.symbolic.apply_array(entry, values, attribute), False)
        result = None if entry.batch is None else entry.batch(attribute, _Examples(self, entry, operands))
        if result is None:
            raise BatchingError(
                located(
                    f"The operation {entry.name} cannot be done for many examples at once",
                    self.symbolic.line,
                    "Use fastgrad.vmap, which runs such functions example by example.",
                )
            )
        return BatchedValue(result, True)

    def starts(self, size: int, rank: int) -> Value:
        """Where each example's ``size`` elements start, with ``rank`` axes of length 1 after that of the examples."""
        made = self._made.get(("starts", size, rank))
        if made is None:
            array = np.arange(self.n).reshape(self.n, *(1,) * rank) * size
            array.flags.writeable = False
            made = self._made["starts", size, rank] = self._constant(array)
        return made

    def positions(self, value: BatchedValue, size: int) -> Value:
        """Positions within ``size`` elements as positions within those of all examples."""
        array = self._constants.get(value.value.node)
        if array is None or value.varies:
            rank = len(value.shape)
            return self.symbolic.apply(ops.add, [self.with_rank(value, rank), self.starts(size, rank)])
        # positions that are known stay a constant, so that what uses them can be compiled
        made = self._made.get(("positions", value.value.node, size))
        if made is None:
            whole = array.astype(np.int64)
            moved = whole + np.arange(self.n).reshape(self.n, *(1,) * whole.ndim) * size
            moved.flags.writeable = False
            made = self._made["positions", value.value.node, size] = self._constant(moved)
        return made


class _Examples:
    """The operands of one operation, as its rule is given them: see ``fastgrad.array_ops.table.Examples``."""

    def __init__(self, batch: Batch, entry: array_ops.ArrayOperation, operands: Sequence[BatchedValue]) -> None:
        self._batch, self._entry, self._values = batch, entry, operands
        self.n = batch.n
        self.operands: Sequence[Value] = [operand.value for operand in operands]
        self.varies: Sequence[bool] = [operand.varies for operand in operands]
        self.shapes: Sequence[Shape] = [operand.shape for operand in operands]

    def apply(self, attribute: Any) -> Value:
        values = [self._batch.for_all(value) for value in self._values]
        return self._batch.symbolic.apply_array(self._entry, values, attribute)

    def apply_broadcast(self, attribute: Any) -> Value:
        rank = max(map(len, self.shapes))
        values = [self._batch.with_rank(value, rank) for value in self._values]
        return self._batch.symbolic.apply_array(self._entry, values, attribute)

    def with_axis(self, position: int) -> Value:
        return self._batch.for_all(self._values[position])

    def with_rank(self, position: int, rank: int) -> Value:
        return self._batch.with_rank(self._values[position], rank)

    def positions(self, position: int, size: int) -> Value:
        return self._batch.positions(self._values[position], size)

    def back(self, positions: Value, size: int) -> Value:
        starts = self._batch.starts(size, len(positions.shape) - 1)
        return self._batch.symbolic.apply(ops.subtract, [positions, starts])
