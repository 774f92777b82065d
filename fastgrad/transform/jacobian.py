"""All derivatives of all outputs, from tape to tape: one reverse sweep for each element of the outputs.

The sweeps share everything that does not depend on their seed, because equal nodes of a tape are made once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastgrad import array_ops
from fastgrad.tape import Tape
from fastgrad.tape_names import input_names, output_names
from fastgrad.transform.adjoint import adjoint
from fastgrad.transform.symbolic import SymbolicTape, Value

__all__ = ["is_reverse", "jacobian", "jacobian_names"]


def is_reverse(n_outputs: int, n_inputs: int) -> bool:
    """Whether a Jacobian takes a reverse sweep for each output, or a tangent sweep for each element of the inputs.

    Single evaluations and batches ask here, so that both give the same bits.
    """
    return n_outputs <= n_inputs


def jacobian(tape: Tape, wrt: Sequence[int], n_outputs: int) -> Tape:
    """The tape of values and Jacobians.

    Inputs are those of ``tape``; outputs are its outputs, then for each of the first ``n_outputs`` and each input in
    ``wrt`` an array of shape ``out.shape + in.shape``.
    """
    derived = adjoint(tape, wrt, n_outputs, seeded=True)
    symbolic = SymbolicTape(tape.sources)
    inputs = [symbolic.input(shape, name) for shape, name in zip(tape.input_shapes, input_names(tape), strict=True)]
    shapes = tape.output_shapes[:n_outputs]
    values: list[Value] = []
    blocks: list[Value] = []
    for k, shape in enumerate(shapes):
        rows: list[list[Value]] = []
        for element in range(math.prod(shape)):
            seeds = [
                _one_hot(symbolic, of, element) if j == k else symbolic.filled(0.0, of) for j, of in enumerate(shapes)
            ]
            replayed = symbolic.replay(derived, [*inputs, *seeds])
            found = [replayed[node] for node in derived.outputs.tolist()]
            values = found[: len(tape.outputs)]
            rows.append(found[len(tape.outputs) :])
        for position, column in zip(wrt, zip(*rows, strict=True), strict=True) if rows else ():
            of = tape.input_shapes[position]
            blocks.append(_stacked(symbolic, column, shape + of))
        if not rows:
            blocks += [symbolic.filled(0.0, shape + tape.input_shapes[position]) for position in wrt]
    if not values:
        replayed = symbolic.replay(tape, inputs)
        values = [replayed[node] for node in tape.outputs.tolist()]
    return symbolic.build([*values, *blocks], jacobian_names(tape, wrt, n_outputs))


def jacobian_names(tape: Tape, wrt: Sequence[int], n_outputs: int) -> list[str]:
    """What the outputs of a tape of Jacobians are called: the values, then ``jacobian(y, x)``."""
    values, inputs = output_names(tape), input_names(tape)
    return [*values, *(f"jacobian({value}, {inputs[position]})" for value in values[:n_outputs] for position in wrt)]


def _one_hot(symbolic: SymbolicTape, shape: tuple[int, ...], element: int) -> Value:
    if shape == ():
        return symbolic.number(1.0)
    array = np.zeros(shape)
    array.flat[element] = 1.0
    array.flags.writeable = False
    return symbolic.constant(array)


def _stacked(symbolic: SymbolicTape, rows: Sequence[Value], shape: tuple[int, ...]) -> Value:
    flat = [symbolic.apply_array(array_ops.reshape, (row,), (1, math.prod(row.shape))) for row in rows]
    joined = flat[0] if len(flat) == 1 else symbolic.apply_array(array_ops.concatenate, flat, 0)
    return symbolic.apply_array(array_ops.reshape, (joined,), shape)
