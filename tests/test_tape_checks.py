"""The checks of a tape's arrays against a simple checker of node after node, on tapes damaged at random."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastgrad as fg
from fastgrad import array_ops, ops
from fastgrad.columns import groups, put_together
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Tape, operation_of
from fastgrad.tape_builder import TapeBuilder


def model(x: Any, y: Any, m: Any) -> Any:
    parts = [x[k : k + 3] * y for k in range(40)]
    z = np.concatenate([np.sin(parts[0]), parts[1][::-1], np.cumsum(parts[2])])
    if z[0] > -5:
        z = z + m.sum(axis=0)[0]
    return np.sum(z[[0, 3, 3]]), m @ m.T, np.max(z), sum(np.sum(part) for part in parts)


TAPE = fg.record(model, np.arange(50.0), 1.5, np.ones((2, 3)))


def is_valid(tape: Tape) -> bool:
    try:
        tape.validate()
    except fg.TapeError:
        return False
    return True


def is_valid_node_by_node(tape: Tape) -> bool:
    """The same rules, one node after the other."""
    inputs = [k for k in range(len(tape)) if tape.opcodes[k] == INPUT]
    if sorted(tape.inputs.tolist()) != inputs:
        return False
    return all(is_valid_node(tape, k) for k in range(len(tape))) and all(
        tape.shape_of(k) == () for k in tape.guard_nodes
    )


def is_valid_node(tape: Tape, index: int) -> bool:
    opcode, position = int(tape.opcodes[index]), int(tape.attribute_indices[index])
    operands, shape = tape.operands_of(index).tolist(), tape.shape_of(index)
    if any(operand >= index for operand in operands):
        return False
    if opcode == CONSTANT:
        return not operands and 0 <= position < len(tape.constants) and tape.constants[position].shape == shape
    if not -1 <= position < len(tape.attributes):
        return False
    if opcode == INPUT:
        return not operands
    try:
        operation = operation_of(opcode)
        shapes = [tape.shape_of(operand) for operand in operands]
        if isinstance(operation, ops.Operation):
            return len(operands) == operation.arity and np.broadcast_shapes(*shapes) == shape
        expected = operation.shape_rule(tape.attribute_of(index), *shapes)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return False
    if expected != shape:
        return False
    if operation in (array_ops.gather, array_ops.scatter_add) and tape.opcodes[operands[1]] == CONSTANT:
        positions = tape.constant_of(operands[1])
        size = math.prod(shapes[0] if operation is array_ops.gather else shape)
        return bool(np.all((positions >= 0) & (positions < size) & (positions == np.floor(positions))))
    return True


PER_NODE = ("opcodes", "shape_indices", "attribute_indices")


@st.composite
def damaged(draw: st.DrawFn) -> Tape:
    changes: dict[str, Any] = {}
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from((*PER_NODE, "operands", "outputs", "guard_nodes")))
        array = changes.get(name, getattr(TAPE, name)).copy()
        at = draw(st.integers(0, len(array) - 1))
        # mostly what stands elsewhere in the array: that is wrong in few ways
        array[at] = array[draw(st.integers(0, len(array) - 1))]
        changes[name] = array
    return replace(TAPE, **changes)


@settings(max_examples=400, deadline=None)
@given(damaged())
def test_damaged_tapes_are_found_as_by_checking_node_after_node(tape):
    assert is_valid(tape) == is_valid_node_by_node(tape)


SPEC = st.tuples(st.integers(-3, 60), st.integers(-2, 60), st.integers(-4, 4))


@settings(max_examples=200, deadline=None)
@given(st.lists(SPEC, min_size=40, max_size=60), st.integers(0, 50))
def test_many_slices_are_checked_as_each_by_its_rule(specs, length):
    builder = TapeBuilder()
    x = builder.append_input((length,), "x")
    expected = []
    for start, count, step in specs:
        builder.append(ARRAY_OPERATION + array_ops.slice_.code, (x,), (max(count, 0),), ((start, count, step),))
        picked = [start + k * step for k in range(count)]
        expected.append(step != 0 and count >= 0 and all(0 <= k < length for k in picked))
    tape = builder.build([x])
    wrong = [k for k, fits in enumerate(expected) if not fits]
    if wrong:
        with pytest.raises(fg.TapeError, match=rf"node {wrong[0] + 1} \(slice\)"):
            tape.validate()
    else:
        tape.validate()


def one_operation(operation: Any, shapes: list[Any], shape: Any, attribute: Any) -> Tape:
    builder = TapeBuilder()
    operands = [builder.append_input(of, f"x{k}") for k, of in enumerate(shapes)]
    return builder.build([builder.append(ARRAY_OPERATION + operation.code, operands, shape, attribute)])


NESTED: Any = 1
for _ in range(40):
    NESTED = (NESTED,)

ABSURD = [
    (array_ops.broadcast_to, [()], (10**12,) * 40, (10**12,) * 40, "a shape has more than"),
    (array_ops.broadcast_to, [()], (1,) * 70, (1,) * 70, "a shape has more than"),
    (array_ops.reshape, [(0,)], (0, 2**61), (0, 2**61), "a shape has more than"),
    (array_ops.broadcast_to, [()], (3,), (10**12,) * 40, r"\(broadcast_to\) cannot have shape"),
    (array_ops.reshape, [(3,)], (3,), NESTED, "attributes must be nested tuples"),
    (array_ops.reshape, [(3,)], (3,), (2**70,), "attributes must be nested tuples"),
    (array_ops.reshape, [(3,)], (3,), (3.0,), r"\(reshape\) cannot have shape"),
    (array_ops.cumsum, [(3,)], (3,), 0.0, r"\(cumsum\) cannot have shape"),
    (array_ops.slice_, [(3,)], (2,), ((0.0, 2.0, 1.0),), r"\(slice\) cannot have shape"),
    (array_ops.slice_, [(3,)], (2,), ((2**61, 2, -(2**61)),), r"\(slice\) cannot have shape"),
    (array_ops.fft, [(2, 4)], (2, 4), ("__class__", 0, "ortho"), r"\(fft\) cannot have shape"),
    (array_ops.running_extremum, [(3,)], (3,), (0, "load"), r"\(running_extremum\) cannot have shape"),
    (array_ops.argsort, [(3,)], (3,), (0, "stable", "O"), r"\(argsort\) cannot have shape"),
    (array_ops.solve_banded, [(3, 2), (2, 1)], (2, 1), (-1, 3), r"\(solve_banded\) cannot have shape"),
    (array_ops.concatenate, [(2,), (2,)], (4,), -1, r"\(concatenate\) cannot have shape"),
    (array_ops.transpose, [(2, 3)], (3, 2), (1, 5), r"\(transpose\) cannot have shape"),
]


@pytest.mark.parametrize(("operation", "shapes", "shape", "attribute", "message"), ABSURD)
def test_absurd_attributes_are_refused_at_once(operation, shapes, shape, attribute, message):
    with pytest.raises(fg.TapeError, match=message):
        one_operation(operation, shapes, shape, attribute).validate()


def test_constants_with_operands_are_refused():
    builder = TapeBuilder()
    x = builder.append_input((), "x")
    builder.append_constant(np.array(1.0))
    tape = builder.build([x])
    tape = replace(tape, operands=np.array([0], np.uint32), operand_starts=np.array([0, 0, 1], np.uint32))
    with pytest.raises(fg.TapeError, match="constant node 1 does not fit"):
        tape.validate()


ATTRIBUTES = st.recursive(
    st.one_of(st.none(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False), st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ATTRIBUTES, max_size=12))
def test_tables_come_back_from_their_columns(entries):
    found: list[Any] = [...] * len(entries)
    for group in groups(entries) if entries else ():
        for position, entry in zip(
            group.positions.tolist(), put_together(group.form, group.columns, len(group.positions)), strict=True
        ):
            found[position] = entry
    assert repr(found) == repr(entries)


@pytest.mark.parametrize("names", ["input_names", "output_names"])
def test_inputs_and_outputs_have_different_names(names: str) -> None:
    tape = fg.record(lambda x, y: {"a": x * y, "b": x}, 1.0, 2.0)
    with pytest.raises(fg.TapeError, match=f"two {names.partition('_')[0]}s have the same name"):
        replace(tape, **{names: ("a", "a")}).validate()
    assert tape.with_outputs([0, 0]).validate().output_names == ("a", "a_2")
