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
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Shape, Tape, operation_of
from fastgrad.tape_names import input_names, names_of, output_names
from fastgrad.transform.symbolic import SymbolicTape, Value

__all__ = ["active_nodes", "adjoint", "is_zero"]


def adjoint(tape: Tape, wrt: Sequence[int], n_outputs: int, seeded: bool) -> Tape:
    """The tape of values and cotangents.

    ``wrt`` gives positions among the inputs; the first ``n_outputs`` outputs are differentiated. The result's inputs
    are those of ``tape`` and, if ``seeded``, one cotangent for each of these outputs; otherwise the cotangent of each
    is 1. Its outputs are those of ``tape`` and the cotangent of each input in ``wrt``, of the input's shape.
    """
    symbolic = SymbolicTape(tape.sources)
    inputs = [symbolic.input(shape, name) for shape, name in zip(tape.input_shapes, input_names(tape), strict=True)]
    seeds = [
        symbolic.input(shape, f"adjoint({name})") if seeded else symbolic.filled(1.0, shape)
        for shape, name in zip(tape.output_shapes[:n_outputs], output_names(tape), strict=False)
    ]
    values = symbolic.replay(tape, inputs)
    wanted = [int(tape.inputs[position]) for position in wrt]
    active = active_nodes(tape, wanted)
    cotangents = _Cotangents(values, sums_are_late=_is_one_segment(tape))
    for node, seed in zip(tape.outputs.tolist()[:n_outputs], seeds, strict=True):
        cotangents.add(node, seed)
    places = symbolic.places_of(tape, "adjoint")
    names = names_of(tape)
    for index in range(len(tape) - 1, -1, -1):
        if active[index] and tape.opcodes[index] < INPUT:
            symbolic.place = places[index]
            cotangent = cotangents.pop(index)
            if cotangent is not None:
                if index in names:
                    symbolic.name(cotangent, f"adjoint({names[index]})")
                for operand, contribution in _contributions(tape, index, cotangent, values, active):
                    cotangents.add(operand, contribution)
    outputs = [values[node] for node in tape.outputs.tolist()]
    outputs += [cotangents.pop(node) or symbolic.filled(0.0, tape.shape_of(node)) for node in wanted]
    given = input_names(tape)
    return symbolic.build(outputs, [*output_names(tape), *(f"adjoint({given[position]})" for position in wrt)])


class _Cotangents:
    """What has been added to the cotangent of each node so far; nodes of the same value share theirs.

    Contributions to a node that was broadcast are arrays to be summed up. Where that costs no memory they are added to
    each other first, so that a parameter that is used in each step of a loop takes one sum, not one for each step.
    """

    def __init__(self, values: Sequence[Value], sums_are_late: bool) -> None:
        first: dict[int, int] = {}
        self._same = [first.setdefault(value.node, index) for index, value in enumerate(values)]
        self._values = values
        self._sums_are_late = sums_are_late
        self._found: dict[int, dict[Shape, Value]] = {}

    def add(self, node: int, contribution: Value) -> None:
        """``contribution`` is of the node's shape or of one that it broadcasts to."""
        if not self._sums_are_late:
            contribution = sum_to_shape(contribution, self._values[node].shape)
        found = self._found.setdefault(self._same[node], {})
        before = found.get(contribution.shape)
        found[contribution.shape] = contribution if before is None else before + contribution  # type: ignore[operator]

    def pop(self, node: int) -> Value | None:
        """The cotangent of a node, after which no more is added to it; None where nothing was."""
        found = self._found.pop(node, None)
        if found is None:
            return None
        first, *others = (sum_to_shape(part, self._values[node].shape) for part in found.values())
        for other in others:
            first = first + other
        return first  # type: ignore[no-any-return]


def _is_one_segment(tape: Tape) -> bool:
    """Whether all that the tape computes is elementwise, so that sums of arrays need not go through memory."""
    codes = set(tape.opcodes.tolist())
    return all(
        code < ARRAY_OPERATION
        or code >= INPUT
        or array_ops.TABLE[code - ARRAY_OPERATION].movement
        or array_ops.TABLE[code - ARRAY_OPERATION] is array_ops.sum_
        for code in codes
    )


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
                yield operand, product


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
