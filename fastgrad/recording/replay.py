"""A tape run on any mixture of recorded and concrete values: how a derivative enters an enclosing recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastgrad import array_ops, ops
from fastgrad.recording.recorded_array import RecordedArray, apply, apply_array, concrete, copy_of
from fastgrad.recording.recorder import innermost_recorder
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Tape, is_number

__all__ = ["replay"]


def replay(tape: Tape, operands: Sequence[Any]) -> list[Any]:
    """The outputs of the tape for these inputs; nodes that depend on recorded values are recorded where those are."""
    given = dict(zip(tape.inputs.tolist(), operands, strict=True))
    guards: dict[int, list[float]] = {}
    for node, expected in zip(tape.guard_nodes.tolist(), tape.guard_values.tolist(), strict=True):
        guards.setdefault(node, []).append(expected)
    values: list[Any] = []
    recorder = innermost_recorder()
    prefix = recorder.group if recorder is not None else ""
    paths = ["/".join(filter(None, (prefix, group))) for group in (*tape.groups, "")]
    groups = tape.group_indices.tolist()
    for index, opcode in enumerate(tape.opcodes.tolist()):
        if recorder is not None and recorder.group != paths[groups[index]]:
            recorder.enter_group(paths[groups[index]])
        if opcode == INPUT:
            value = given[index]
        elif opcode == CONSTANT:
            constant = tape.constant_of(index)
            value = float(constant) if is_number(constant) else constant
        else:
            value = _apply(opcode, tape.attribute_of(index), [values[k] for k in tape.operands_of(index).tolist()])
        if index in guards and type(value) is RecordedArray:
            for expected in guards[index]:
                value.recorder.guard(value.node, expected)
        values.append(value)
    if recorder is not None:
        recorder.enter_group(prefix)
    for name, node in zip(tape.node_names, tape.named_nodes.tolist(), strict=True):
        if type(values[node]) is RecordedArray:
            values[node].recorder.name(values[node].node, name)
    outputs = [values[node] for node in tape.outputs.tolist()]
    # an output that is an operand gets a name of its own, as it would have been computed
    return [copy_of(value) if any(value is operand for operand in operands) else value for value in outputs]


def _apply(opcode: int, attribute: Any, operands: list[Any]) -> Any:
    recorded = any(type(operand) is RecordedArray for operand in operands)
    if opcode < len(ops.TABLE):
        operation = ops.TABLE[opcode]
        return apply(operation, tuple(operands)) if recorded else concrete(operation)(*operands)
    entry = array_ops.TABLE[opcode - ARRAY_OPERATION]
    return apply_array(entry, tuple(operands), attribute) if recorded else entry.evaluate(attribute, *operands)
