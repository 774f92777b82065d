"""Reverse mode from tape to tape.

The derivative of a tape is again a tape: the values, then, from the last node to the first, each node's cotangent
multiplied with its partial derivatives and added to its operands' cotangents. A zero factor gives zero whatever the
other factor is (strong zero; Griewank and Walther, *Evaluating Derivatives*, 2008, section 15.2 on 0 times infinity).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastgrad import array_ops, ops
from fastgrad.array_ops import sum_to_shape
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Tape, operation_of
from fastgrad.transform.symbolic import SymbolicTape, Value

__all__ = ["active_nodes", "adjoint", "input_names", "is_zero"]


def adjoint(tape: Tape, wrt: Sequence[int], n_outputs: int, seeded: bool) -> Tape:
    """The tape of values and cotangents.

    ``wrt`` gives positions among the inputs; the first ``n_outputs`` outputs are differentiated. The result's inputs
    are those of ``tape`` and, if ``seeded``, one cotangent for each of these outputs; otherwise the cotangent of each
    is 1. Its outputs are those of ``tape`` and the cotangent of each input in ``wrt``, of the input's shape.
    """
    symbolic = SymbolicTape(tape.sources)
    inputs = [symbolic.input(shape, name) for shape, name in zip(tape.input_shapes, input_names(tape), strict=True)]
    seeds = [
        symbolic.input(shape, f"cotangent{k}") if seeded else symbolic.filled(1.0, shape)
        for k, shape in enumerate(tape.output_shapes[:n_outputs])
    ]
    values = symbolic.replay(tape, inputs)
    wanted = [int(tape.inputs[position]) for position in wrt]
    active = active_nodes(tape, wanted)
    cotangents: dict[int, Value] = {}
    for node, seed in zip(tape.outputs.tolist()[:n_outputs], seeds, strict=True):
        _accumulate(cotangents, node, seed)
    sources = tape.source_indices.tolist()
    for index in range(len(tape) - 1, -1, -1):
        if index in cotangents and active[index] and tape.opcodes[index] < INPUT:
            symbolic.source_index = sources[index]
            for operand, contribution in _contributions(tape, index, cotangents.pop(index), values, active):
                _accumulate(cotangents, operand, contribution)
    outputs = [values[node] for node in tape.outputs.tolist()]
    return symbolic.build(
        outputs + [cotangents.get(node) or symbolic.filled(0.0, tape.shape_of(node)) for node in wanted]
    )


def input_names(tape: Tape) -> Sequence[str]:
    """One name for each input, made up where the tape has none."""
    return tape.input_names or [f"input{k}" for k in range(len(tape.inputs))]


def _accumulate(cotangents: dict[int, Value], node: int, contribution: Value) -> None:
    found = cotangents.get(node)
    cotangents[node] = contribution if found is None else found + contribution  # type: ignore[operator]


def _contributions(
    tape: Tape, index: int, cotangent: Value, values: list[Value], active: list[bool]
) -> Iterator[tuple[int, Value]]:
    """What one node adds to the cotangents of its active operands."""
    operands = tape.operands_of(index).tolist()
    opcode = int(tape.opcodes[index])
    given = [values[operand] for operand in operands]
    if opcode >= ARRAY_OPERATION:
        entry = array_ops.TABLE[opcode - ARRAY_OPERATION]
        for operand, contribution in zip(
            operands, entry.vjp(tape.attribute_of(index), cotangent, *given, values[index]), strict=True
        ):
            if active[operand] and contribution is not None and not contribution.is_zero:
                yield operand, contribution
        return
    for operand, partial in zip(operands, ops.TABLE[opcode].partials(*given, values[index]), strict=True):
        if active[operand] and not is_zero(partial):
            product = cotangent.tape.apply(ops.zero_product, (cotangent, partial))
            if not product.is_zero:
                yield operand, sum_to_shape(product, tape.shape_of(operand))


def is_zero(partial: Any) -> bool:
    """Whether a partial derivative is the number 0: then the operand does not count at all."""
    return isinstance(partial, (int, float)) and partial == 0.0


def active_nodes(tape: Tape, wanted: Sequence[int]) -> list[bool]:
    """Which nodes depend, with a derivative that is not identically zero, on the wanted ones."""
    active = [False] * len(tape)
    for node in wanted:
        active[node] = True
    starts, flat = tape.operand_starts.tolist(), tape.operands.tolist()
    steps = {
        opcode for opcode in set(tape.opcodes.tolist()) if opcode < INPUT and operation_of(opcode).piecewise_constant
    }
    for index, opcode in enumerate(tape.opcodes.tolist()):
        if opcode in (INPUT, CONSTANT) or opcode in steps:
            continue
        active[index] = any(active[operand] for operand in flat[starts[index] : starts[index + 1]])
    return active
