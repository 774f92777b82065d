"""Jacobians in one run: a tape of derivatives for all seeds at once, as ``batching`` has them for all examples.

What does not hang on the seeds is computed once, and products of a matrix with each seed become one product of
matrices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from fastgrad import array_ops
from fastgrad.tape import Shape, Tape
from fastgrad.tape_names import input_names
from fastgrad.transform.adjoint import adjoint
from fastgrad.transform.batching import Batch, BatchedValue, BatchingError
from fastgrad.transform.jacobian import is_reverse, jacobian_names
from fastgrad.transform.symbolic import SymbolicTape, Value
from fastgrad.transform.tangent import tangent

__all__ = ["batched_jacobian"]

# Elements of the largest array that such a tape may hold: some 32 MB.
MAX_ELEMENTS = 1 << 22


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
        replayed = Batch(symbolic, n_seeds).replay(
            derived, [*(BatchedValue(value, False) for value in given), *_identities(symbolic, seeded, n_seeds)]
        )
    except BatchingError:
        return None
    results = [replayed[node] for node in derived.outputs.tolist()]
    values, rows = results[: len(tape.outputs)], results[len(tape.outputs) :]
    if any(value.varies for value in values):
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


def _identities(symbolic: SymbolicTape, shapes: Sequence[Shape], n_seeds: int) -> list[BatchedValue]:
    """For each shape an array of ``n_seeds`` of these: a 1 for each element in turn, over all shapes."""
    found = []
    for shape, first in zip(shapes, _starts(shapes), strict=True):
        array = np.eye(n_seeds, math.prod(shape), -first).reshape(n_seeds, *shape)
        array.flags.writeable = False
        found.append(BatchedValue(symbolic.fixed(array), True))
    return found


def _block(symbolic: SymbolicTape, row: BatchedValue, first: int, seed: Shape, of: Shape, by_rows: bool) -> Value:
    """The derivatives by (or of) one seeded array, of shape out + in."""
    if not row.varies:  # it does not hang on any seed
        return symbolic.filled(0.0, seed + of if by_rows else of + seed)
    spec = ((first, math.prod(seed), 1), *((0, length, 1) for length in of))
    part = symbolic.apply_array(array_ops.slice_, (row.value,), spec)
    if by_rows:
        return symbolic.apply_array(array_ops.reshape, (part,), seed + of)
    last = symbolic.apply_array(array_ops.transpose, (part,), (*range(1, len(of) + 1), 0))
    return symbolic.apply_array(array_ops.reshape, (last,), of + seed)
