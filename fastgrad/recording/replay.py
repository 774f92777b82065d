"""A tape run on any mixture of recorded and concrete values: how a derivative enters an enclosing recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.recording.recorded_array import (
    RecordedArray,
    apply,
    apply_array,
    concrete,
    copy_of,
    node_of,
    recorder_of,
)
from fastgrad.recording.recorder import Recorder, innermost_recorder
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Tape, is_number

__all__ = ["in_floats", "replay"]


def replay(tape: Tape, operands: Sequence[Any]) -> list[Any]:
    """The outputs of the tape for these inputs, as memory of their own.

    Nodes that depend on recorded values are recorded where those are, and so are those that depend on arrays: what
    these hold is read at run time.
    """
    is_recording = any(type(operand) is RecordedArray for operand in operands)
    target = recorder_of(tuple(operands)) if is_recording else None
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
            value = _recorded_data(target, given[index])
        elif opcode == CONSTANT:
            constant = tape.constant_of(index)
            value = float(constant) if is_number(constant) else _recorded_data(target, constant)
        else:
            parts = [in_floats(values[k]) for k in tape.operands_of(index).tolist()]
            value = _apply(opcode, tape.attribute_of(index), parts)
        if index in guards and type(value) is RecordedArray:
            for expected in guards[index]:
                value.recorder.guard(value.node, expected)
        values.append(value)
    if recorder is not None:
        recorder.enter_group(prefix)
    for name, node in zip(tape.node_names, tape.named_nodes.tolist(), strict=True):
        if type(values[node]) is RecordedArray:
            values[node].recorder.name(values[node].node, name)
    # an output may be an operand, a view of another one, or the same node as another output
    return [value if type(value) is float else copy_of(value) for value in map(values.__getitem__, tape.outputs)]


def in_floats(value: Any) -> Any:
    """A recorded value in the numbers of tapes, float64, in which truth values add up to more than 1."""
    if type(value) is not RecordedArray or value.value.dtype == np.float64:
        return value
    return RecordedArray(value.recorder, value.node, np.asarray(value.value, np.float64)[()])


def _recorded_data(recorder: Recorder | None, value: Any) -> Any:
    """An array as a recorded one, by reference; anything else as it is."""
    if recorder is None or type(value) is RecordedArray or not isinstance(value, np.ndarray):
        return value
    return RecordedArray(recorder, node_of(recorder, value), np.asarray(value, np.float64)[()])


def _apply(opcode: int, attribute: Any, operands: list[Any]) -> Any:
    recorded = any(type(operand) is RecordedArray for operand in operands)
    if not recorded:
        operands = [np.asarray(operand, np.float64)[()] for operand in operands]
    if opcode < len(ops.TABLE):
        operation = ops.TABLE[opcode]
        return apply(operation, tuple(operands)) if recorded else concrete(operation)(*operands)
    entry = array_ops.TABLE[opcode - ARRAY_OPERATION]
    return apply_array(entry, tuple(operands), attribute) if recorded else entry.evaluate(attribute, *operands)
