"""Many seeds at once: a tape of derivatives with a leading axis of seeds wherever a value hangs on them.

What does not hang on the seeds is computed once, and what does is computed for all of them by one operation: products
of a matrix with each seed become one product of matrices. (The seeds' axis is what other systems call the batch axis of
``vmap``; Bradbury et al., JAX, 2018.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Shape, Tape, is_number
from fastgrad.transform.adjoint import adjoint, input_names
from fastgrad.transform.jacobian import is_reverse, jacobian_names
from fastgrad.transform.symbolic import SymbolicTape, Value
from fastgrad.transform.tangent import tangent

__all__ = ["batched_jacobian"]

# Elements of the largest array that a batched tape may hold: some 32 MB.
MAX_ELEMENTS = 1 << 22


class _NoRuleError(Exception):
    """An operation that hangs on the seeds has no rule here."""


def batched_jacobian(tape: Tape, wrt: Sequence[int], n_outputs: int) -> Tape | None:
    """The tape of values and Jacobians, of outputs and inputs as :func:`fastgrad.transform.jacobian.jacobian` has them.

    It takes a reverse sweep for each element of the outputs, or a forward sweep for each of the inputs where these are
    fewer, all in one. None where an operation has no rule for many seeds, or arrays would be too large.
    """
    outputs = tape.output_shapes[:n_outputs]
    inputs = [tape.input_shapes[position] for position in wrt]
    n_reverse, n_forward = (sum(map(math.prod, shapes)) for shapes in (outputs, inputs))
    if not n_reverse or not n_forward:
        return None
    by_rows = is_reverse(n_reverse, n_forward)
    derived = adjoint(tape, wrt, n_outputs, seeded=True) if by_rows else tangent(tape, wrt, n_outputs)
    n_seeds = min(n_reverse, n_forward)
    if n_seeds * max(map(math.prod, derived.shapes), default=1) > MAX_ELEMENTS:
        return None
    symbolic = SymbolicTape(tape.sources)
    given = [symbolic.input(shape, name) for shape, name in zip(tape.input_shapes, input_names(tape), strict=True)]
    seeded, found = (outputs, inputs) if by_rows else (inputs, outputs)
    try:
        results = _Batch(symbolic, n_seeds).replay(derived, given, _identities(symbolic, seeded, n_seeds))
    except _NoRuleError:
        return None
    values, rows = results[: len(tape.outputs)], results[len(tape.outputs) :]
    if any(value.is_batched for value in values):
        return None
    blocks = {
        (i, j): _block(symbolic, row, first, seed, of, by_rows)
        for j, (row, of) in enumerate(zip(rows, found, strict=True))
        for i, (seed, first) in enumerate(zip(seeded, _starts(seeded), strict=True))
    }
    pairs = [(i, j) if by_rows else (j, i) for i in range(len(outputs)) for j in range(len(inputs))]
    names = jacobian_names(tape, wrt, n_outputs)
    return symbolic.build([*(value.value for value in values), *(blocks[pair] for pair in pairs)], names)


def _starts(shapes: Sequence[Shape]) -> list[int]:
    return list(accumulate(map(math.prod, shapes), initial=0))[:-1]


def _identities(symbolic: SymbolicTape, shapes: Sequence[Shape], n_seeds: int) -> list[_Batched]:
    """For each shape an array of ``n_seeds`` of these: a 1 for each element in turn, over all shapes."""
    found = []
    for shape, first in zip(shapes, _starts(shapes), strict=True):
        array = np.eye(n_seeds, math.prod(shape), -first).reshape(n_seeds, *shape)
        array.flags.writeable = False
        found.append(_Batched(symbolic.constant(array), True))
    return found


def _block(symbolic: SymbolicTape, row: _Batched, first: int, seed: Shape, of: Shape, by_rows: bool) -> Value:
    """The derivatives by (or of) one seeded array, of shape out + in."""
    if not row.is_batched:  # it does not hang on any seed
        return symbolic.filled(0.0, seed + of if by_rows else of + seed)
    spec = ((first, math.prod(seed), 1), *((0, length, 1) for length in of))
    part = symbolic.apply_array(array_ops.slice_, (row.value,), spec)
    if by_rows:
        return symbolic.apply_array(array_ops.reshape, (part,), seed + of)
    last = symbolic.apply_array(array_ops.transpose, (part,), (*range(1, len(of) + 1), 0))
    return symbolic.apply_array(array_ops.reshape, (last,), of + seed)


@dataclass(frozen=True)
class _Batched:
    """A value, and whether its first axis runs over the seeds."""

    value: Value
    is_batched: bool

    @property
    def shape(self) -> Shape:
        """The shape for one seed."""
        return self.value.shape[1:] if self.is_batched else self.value.shape


class _Batch:
    """Replays a tape for ``n`` seeds at once."""

    def __init__(self, symbolic: SymbolicTape, n: int) -> None:
        self.symbolic, self.n = symbolic, n

    def replay(self, tape: Tape, inputs: Sequence[Value], seeds: Sequence[_Batched]) -> list[_Batched]:
        given = dict(zip(tape.inputs.tolist(), [*(_Batched(value, False) for value in inputs), *seeds], strict=True))
        found: list[_Batched] = []
        places = self.symbolic.places_of(tape)
        for index, opcode in enumerate(tape.opcodes.tolist()):
            self.symbolic.place = places[index]
            if opcode == INPUT:
                found.append(given[index])
            elif opcode == CONSTANT:
                array = tape.constant_of(index)
                number = self.symbolic.number(float(array)) if is_number(array) else self.symbolic.constant(array)
                found.append(_Batched(number, False))
            else:
                operands = [found[operand] for operand in tape.operands_of(index).tolist()]
                found.append(self._apply(opcode, tape.attribute_of(index), operands, tape.shape_of(index)))
        nodes = tape.guard_nodes.tolist()
        if any(found[node].is_batched for node in nodes):
            raise _NoRuleError
        self.symbolic.guard([found[node].value for node in nodes], tape)
        return [found[node] for node in tape.outputs.tolist()]

    def _apply(self, opcode: int, attribute: Any, operands: list[_Batched], shape: Shape) -> _Batched:
        if opcode < len(ops.TABLE):
            is_batched = any(operand.is_batched for operand in operands)
            values = [self._aligned(operand, len(shape)) for operand in operands]
            return _Batched(self.symbolic.apply(ops.TABLE[opcode], values), is_batched)
        entry = array_ops.TABLE[opcode - ARRAY_OPERATION]
        if not any(operand.is_batched for operand in operands):
            values = [operand.value for operand in operands]
            return _Batched(self.symbolic.apply_array(entry, values, attribute), False)
        rule = _RULES.get(entry)
        if rule is None:
            raise _NoRuleError
        return _Batched(rule(self, attribute, operands), True)

    def _aligned(self, operand: _Batched, rank: int) -> Value:
        """The value with axes of length 1 after that of the seeds, so that it broadcasts as each seed's would."""
        missing = rank - len(operand.shape)
        if not operand.is_batched or missing <= 0:
            return operand.value
        return self._reshaped(operand.value, (self.n, *(1,) * missing, *operand.shape))

    def _reshaped(self, value: Value, shape: Shape) -> Value:
        return self.symbolic.apply_array(array_ops.reshape, (value,), shape)

    def _for_all(self, operand: _Batched) -> Value:
        if operand.is_batched:
            return operand.value
        return self.symbolic.apply_array(array_ops.broadcast_to, (operand.value,), (self.n, *operand.shape))

    # ---- rules: (attribute, operands) -> value, at least one operand being batched

    def sum(self, axes: Any, operands: list[_Batched]) -> Value:
        return self.symbolic.apply_array(array_ops.sum_, (operands[0].value,), tuple(axis + 1 for axis in axes))

    def reshape(self, shape: Shape, operands: list[_Batched]) -> Value:
        return self._reshaped(operands[0].value, (self.n, *shape))

    def broadcast_to(self, shape: Shape, operands: list[_Batched]) -> Value:
        aligned = self._aligned(operands[0], len(shape))
        return self.symbolic.apply_array(array_ops.broadcast_to, (aligned,), (self.n, *shape))

    def transpose(self, axes: Any, operands: list[_Batched]) -> Value:
        return self.symbolic.apply_array(array_ops.transpose, (operands[0].value,), (0, *(axis + 1 for axis in axes)))

    def slice(self, spec: Any, operands: list[_Batched]) -> Value:
        return self.symbolic.apply_array(array_ops.slice_, (operands[0].value,), ((0, self.n, 1), *spec))

    def place(self, attribute: Any, operands: list[_Batched]) -> Value:
        shape, spec = attribute
        wider = ((self.n, *shape), ((0, self.n, 1), *spec))
        return self.symbolic.apply_array(array_ops.place, (operands[0].value,), wider)

    def concatenate(self, axis: int, operands: list[_Batched]) -> Value:
        parts = [self._for_all(operand) for operand in operands]
        return self.symbolic.apply_array(array_ops.concatenate, parts, axis + 1)

    def matmul(self, _: None, operands: list[_Batched]) -> Value:
        """A matrix that is the same for all seeds multiplies all of theirs at once."""
        x, y = operands
        if len(x.shape) != 2 or (x.is_batched and y.is_batched):
            return self._product(self._for_all(x), self._for_all(y))
        (m, k), p = x.shape, y.shape[1]
        if x.is_batched:
            return self._reshaped(self._product(self._reshaped(x.value, (self.n * m, k)), y.value), (self.n, m, p))
        side_by_side = self._reshaped(self._moved(y.value, (1, 0, 2)), (k, self.n * p))
        return self._moved(self._reshaped(self._product(x.value, side_by_side), (m, self.n, p)), (1, 0, 2))

    def _product(self, x: Value, y: Value) -> Value:
        return self.symbolic.apply_array(array_ops.matmul, (x, y), None)

    def _moved(self, value: Value, axes: tuple[int, ...]) -> Value:
        return self.symbolic.apply_array(array_ops.transpose, (value,), axes)


_Rule = Callable[[_Batch, Any, list[_Batched]], Value]
_RULES: dict[array_ops.ArrayOperation, _Rule] = {
    array_ops.sum_: _Batch.sum,
    array_ops.reshape: _Batch.reshape,
    array_ops.broadcast_to: _Batch.broadcast_to,
    array_ops.transpose: _Batch.transpose,
    array_ops.slice_: _Batch.slice,
    array_ops.place: _Batch.place,
    array_ops.concatenate: _Batch.concatenate,
    array_ops.matmul: _Batch.matmul,
}
