"""Forward mode from tape to tape: each node's value, then its tangent from the tangents of its operands."""

from __future__ import annotations

from collections.abc import Sequence

from fastgrad import array_ops, ops
from fastgrad.tape import ARRAY_OPERATION, INPUT, Tape
from fastgrad.tape_names import input_names, names_of, output_names
from fastgrad.transform.adjoint import active_nodes, is_zero
from fastgrad.transform.symbolic import SymbolicTape, Value

__all__ = ["tangent"]


def tangent(tape: Tape, wrt: Sequence[int], n_outputs: int) -> Tape:
    """The tape of values and tangents.

    ``wrt`` gives positions among the inputs. The result's inputs are those of ``tape`` and one tangent for each input
    in ``wrt``; its outputs are those of ``tape`` and the tangent of each of the first ``n_outputs``.
    """
    symbolic = SymbolicTape(tape.sources)
    inputs = [symbolic.input(shape, name) for shape, name in zip(tape.input_shapes, input_names(tape), strict=True)]
    wanted = [int(tape.inputs[position]) for position in wrt]
    given = input_names(tape)
    tangents: dict[int, Value] = {
        node: symbolic.input(tape.shape_of(node), f"tangent({given[position]})")
        for node, position in zip(wanted, wrt, strict=True)
    }
    values = symbolic.replay(tape, inputs)
    active = active_nodes(tape, wanted)
    places = symbolic.places_of(tape, "tangent")
    names = names_of(tape)
    for index in range(len(tape)):
        if active[index] and tape.opcodes[index] < INPUT:
            symbolic.place = places[index]
            found = _tangent_of(symbolic, tape, index, values, tangents)
            if found is not None and not found.is_zero:
                tangents[index] = found
                if index in names:
                    symbolic.name(found, f"tangent({names[index]})")
    outputs = tape.outputs.tolist()
    moved = [tangents.get(node) or symbolic.filled(0.0, tape.shape_of(node)) for node in outputs[:n_outputs]]
    of_values = output_names(tape)
    return symbolic.build(
        [*(values[node] for node in outputs), *moved],
        [*of_values, *(f"tangent({name})" for name in of_values[:n_outputs])],
    )


def _tangent_of(
    symbolic: SymbolicTape, tape: Tape, index: int, values: list[Value], tangents: dict[int, Value]
) -> Value | None:
    operands = tape.operands_of(index).tolist()
    opcode, shape = int(tape.opcodes[index]), tape.shape_of(index)
    given = [values[operand] for operand in operands]
    moved = [tangents.get(operand) for operand in operands]
    if opcode >= ARRAY_OPERATION:
        entry = array_ops.TABLE[opcode - ARRAY_OPERATION]
        if entry.jvp is not None:
            result: Value = entry.jvp(tape.attribute_of(index), moved, *given, values[index])
            return result
        return (
            None if moved[0] is None else symbolic.apply_array(entry, (moved[0], *given[1:]), tape.attribute_of(index))
        )
    total: Value | None = None
    for partial, direction in zip(ops.TABLE[opcode].partials(*given, values[index]), moved, strict=True):
        if direction is not None and not is_zero(partial):
            product = symbolic.apply(ops.zero_product, (direction, partial))
            total = product if total is None else symbolic.apply(ops.add, (total, product))
    if total is None or total.shape == shape:
        return total
    return symbolic.apply_array(array_ops.broadcast_to, (total,), shape)
