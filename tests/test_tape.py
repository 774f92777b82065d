"""The tape: reading, printing, identity, pickling, and the check of every invariant."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import array_ops, ops
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Source, Tape, is_number, number_array
from fastgrad.tape_builder import TapeBuilder

SCALE = np.array([1.0, 2.0, 3.0])


def model(x: Any, y: Any) -> Any:
    z = x[1:] * 2.5 + y
    if z[0] > 0:
        z = z * SCALE[1:]
    return np.sum(z), z


def recorded() -> Tape:
    return fg.record(model, np.array([0.5, 1.5, 2.5]), 1.0)


def test_a_tape_can_be_read_node_by_node():
    tape = recorded()
    assert len(tape) == len(list(tape)) == len(tape.opcodes)
    assert [node.operation for node in tape] == [
        "input", "input", "slice", "constant", "multiply", "add", "slice", "reshape", "constant", "greater", "constant",
        "multiply", "sum",
    ]  # fmt: skip
    assert tape.input_names == ("x", "y")
    assert tape.input_shapes == ((3,), ())
    assert tape.output_shapes == ((), (2,))
    assert tape.n_operations == 8
    node = tape.node(2)
    assert (node.number, node.operands, node.shape, node.attribute) == (2, (0,), (2,), ((1, 2, 1),))
    assert tape.node(3).attribute == 2.5
    for wrong in (-1, len(tape)):
        with pytest.raises(IndexError, match=f"node {wrong} of a tape with 13 nodes"):
            tape.node(wrong)


def test_a_printed_tape_shows_operations_shapes_guards_and_lines():
    tape = recorded()
    line = model.__code__.co_firstlineno
    assert repr(tape) == "<Tape 2 inputs, 8 operations, 2 outputs>"
    assert str(tape).splitlines() == [
        f"tape {tape.hash[:12]}: 2 inputs, 8 operations, 2 outputs",
        "  %0 x = input                    [3]",
        "  %1 y = input",
        f"  %2   = slice(x, ((1, 2, 1),))   [2]       # test_tape.py:{line + 1}",
        f"  %3   = 2.5                                # test_tape.py:{line + 1}",
        f"  %4   = multiply(%2, %3)         [2]       # test_tape.py:{line + 1}",
        f"  %5   = add(%4, y)               [2]       # test_tape.py:{line + 1}",
        f"  %6   = slice(%5, ((0, 1, 1),))  [1]       # test_tape.py:{line + 2}",
        f"  %7   = reshape(%6, ())                    # test_tape.py:{line + 2}",
        f"  %8   = 0                                  # test_tape.py:{line + 2}",
        f"  %9   = greater(%7, %8)                    # test_tape.py:{line + 2}",
        f"  guard 0: %9 must be 1  # test_tape.py:{line + 2}",
        f"  %10  = [2. 3.]                  [2]       # test_tape.py:{line + 3}",
        f"  %11  = multiply(%5, %10)        [2]       # test_tape.py:{line + 3}",
        f"  %12  = sum(%11, (0,))                     # test_tape.py:{line + 4}",
        "  return %12, %11",
    ]


def test_arrays_of_a_tape_are_read_only():
    tape = recorded()
    for entry in fields(tape):
        value = getattr(tape, entry.name)
        if isinstance(value, np.ndarray):
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 0
    with pytest.raises(AttributeError):
        tape.opcodes = tape.opcodes


# ---- identity


def test_equal_functions_have_equal_tapes():
    one, other = recorded(), recorded()
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other}) == 1
    assert one != "tape"


def test_the_hash_is_the_same_in_every_process():
    program = (
        "import numpy as np, fastgrad as fg\n"
        "print(fg.record(lambda x: np.sum(np.exp(x) * 2.5) if x[0] > 0 else x, np.ones(3)).hash)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {fg.record(lambda x: np.sum(np.exp(x) * 2.5) if x[0] > 0 else x, np.ones(3)).hash}


DIFFERENT = [
    (lambda x: x + 1.0, 1.0),
    (lambda x: x + 2.0, 1.0),
    (lambda x: x - 1.0, 1.0),
    (lambda x: 1.0 - x, 1.0),
    (lambda x: x + 0.0, 1.0),
    (lambda x: x + -0.0, 1.0),
    (lambda x: x + 1.0, np.ones(2)),
    (lambda x: x + 1.0, np.ones((2, 1))),
    (lambda x: (x + 1.0, x), 1.0),
    (lambda x: (x, x + 1.0), 1.0),
    (lambda x: x + np.array([1.0, 2.0]), 1.0),
    (lambda x: x + np.array([[1.0, 2.0]]), 1.0),
    (lambda x: x + np.array([1, 2]), 1.0),
    (lambda x: x[:2], np.ones(3)),
    (lambda x: x[1:], np.ones(3)),
    (lambda x: x * 2.0 if x > 0 else x, 1.0),
    (lambda x: x * 2.0 if x > 0 else 2.0 * x, -1.0),
    (lambda x: x * 2.0, 1.0),
]


def test_different_content_has_different_hashes():
    tapes = [fg.record(function, x) for function, x in DIFFERENT]
    assert len({tape.hash for tape in tapes}) == len(tapes)
    assert all(len(tape.hash) == 32 and int(tape.hash, 16) >= 0 for tape in tapes)


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_pickled_and_back_is_the_same_tape(protocol):
    tape = recorded()
    back = pickle.loads(pickle.dumps(tape, protocol))
    assert back == tape
    assert str(back) == str(tape)
    for entry in fields(tape):
        one, other = getattr(tape, entry.name), getattr(back, entry.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
            assert not other.flags.writeable
            np.testing.assert_array_equal(one, other)
    # numbers stay numbers, which transforms may compute with, and captured data stays data
    assert [is_number(constant) for constant in back.constants] == [is_number(constant) for constant in tape.constants]


def test_a_damaged_pickle_is_refused():
    tape = recorded()
    broken = replace(tape, outputs=np.array([99], np.uint32))
    with pytest.raises(fg.TapeError, match="outputs points outside the tape"):
        pickle.loads(pickle.dumps(broken))


# ---- validation


def changed(array: Any, position: int, value: Any) -> Any:
    new = array.copy()
    new[position] = value
    return new


def broken_tapes() -> dict[str, tuple[dict[str, Any], str]]:
    t = recorded()
    opcodes, starts = t.opcodes, t.operand_starts
    n_ops = len(ops.TABLE)
    return {
        "dtype": ({"opcodes": opcodes.astype(np.int64)}, "opcodes must be a one-dimensional array of uint16"),
        "not an array": ({"operands": [0, 1]}, "operands must be a one-dimensional array of uint32"),
        "two dimensions": ({"inputs": t.inputs.reshape(1, -1)}, "inputs must be a one-dimensional array of uint32"),
        "guard dtype": ({"guard_values": np.ones(1, np.float32)}, "guard_values must be .* float64"),
        "shape indices too few": ({"shape_indices": t.shape_indices[:-1]}, "shape_indices has 12 entries for 13 nodes"),
        "attribute indices too few": ({"attribute_indices": t.attribute_indices[:-1]}, "attribute_indices has 12"),
        "starts too few": ({"operand_starts": starts[:-1]}, "operand_starts must rise"),
        "starts begin late": ({"operand_starts": changed(starts, 0, 1)}, "operand_starts must rise"),
        "starts fall": ({"operand_starts": changed(starts, 4, 9)}, "operand_starts must rise"),
        "starts end early": ({"operand_starts": changed(starts, -1, 2)}, "operand_starts must rise"),
        "operand ahead": ({"operands": changed(t.operands, 0, 5)}, "an operand does not come before"),
        "operand of itself": ({"operands": changed(t.operands, 0, 2)}, "an operand does not come before"),
        "input outside": ({"inputs": np.array([0, 50], np.uint32)}, "inputs points outside the tape"),
        "output outside": ({"outputs": np.array([13], np.uint32)}, "outputs points outside the tape"),
        "guard outside": ({"guard_nodes": np.array([13], np.uint32)}, "guard_nodes points outside the tape"),
        "shape outside": ({"shape_indices": changed(t.shape_indices, 2, 9)}, "shape_indices points outside the tape"),
        "source outside": (
            {"source_indices": changed(t.source_indices, 2, 9)},
            "source_indices points outside the sources",
        ),
        "source below": ({"source_indices": changed(t.source_indices, 2, -2)}, "source_indices points outside"),
        "guard source outside": (
            {"guard_sources": np.array([9], np.int32)},
            "guard_sources points outside the sources",
        ),
        "guards differ in length": ({"guard_values": np.ones(2)}, "the guard arrays differ in length"),
        "guard of an array": ({"guard_nodes": np.array([5], np.uint32)}, "a guard must be on a scalar"),
        "negative shape": ({"shapes": ((), (-1,), *t.shapes[2:])}, "shapes must be tuples of non-negative"),
        "shape of floats": ({"shapes": ((), (3.0,), *t.shapes[2:])}, "shapes must be tuples of non-negative"),
        "shape as list": ({"shapes": ((), [3], *t.shapes[2:])}, "shapes must be tuples of non-negative"),
        "constant of text": (
            {"constants": (np.array("a"), *t.constants[1:])},
            "constants must be arrays of real numbers",
        ),
        "constant of objects": ({"constants": (np.array(None), *t.constants[1:])}, "constants must be arrays"),
        "long double": (
            {"constants": (np.longdouble([1])[0].reshape(()), *t.constants[1:])},
            "constants must be arrays",
        ),
        "no array": ({"constants": (2.5, *t.constants[1:])}, "constants must be arrays of real numbers"),
        "names": ({"input_names": ("x",)}, "there must be one name for each input"),
        "names of numbers": ({"input_names": ("x", 1)}, "there must be one name for each input"),
        "input missing": (
            {"inputs": np.array([0], np.uint32), "input_names": ()},
            "inputs must list every input node once",
        ),
        "input twice": ({"inputs": np.array([0, 1, 1], np.uint32), "input_names": ()}, "inputs must list every"),
        "input no node": ({"inputs": np.array([0, 2], np.uint32)}, "inputs must list every input node once"),
        "unknown opcode": ({"opcodes": changed(opcodes, 2, n_ops)}, f"node 2 has the unknown opcode {n_ops}"),
        "unknown array opcode": (
            {"opcodes": changed(opcodes, 2, ARRAY_OPERATION + 3000)},
            "node 2 has the unknown opcode",
        ),
        "attribute outside": (
            {"attribute_indices": changed(t.attribute_indices, 2, 99)},
            "points outside the attributes",
        ),
        "attribute below": (
            {"attribute_indices": changed(t.attribute_indices, 2, -2)},
            "points outside the attributes",
        ),
        "constant outside": ({"attribute_indices": changed(t.attribute_indices, 3, 9)}, "constant node 3 does not fit"),
        "constant of another shape": (
            {"attribute_indices": changed(t.attribute_indices, 3, 2)},
            "constant node 3 does not",
        ),
        "operation of other arity": ({"opcodes": changed(opcodes, 4, ops.sin.code)}, r"node 4 \(sin\) has 2 operands"),
        "wrong shape": ({"shape_indices": changed(t.shape_indices, 4, 0)}, r"node 4 \(multiply\) cannot have shape"),
        "shapes that do not broadcast": ({"operands": changed(t.operands, 2, 0)}, r"node 5 \(add\) cannot have shape|"),
        "wrong attribute": ({"attributes": (((9, 2, 1),), *t.attributes[1:])}, r"node 2 \(slice\) cannot have shape"),
        "attribute of another kind": ({"attributes": ("a", *t.attributes[1:])}, r"node 2 \(slice\) cannot have shape"),
        "attribute object": ({"attributes": (object(), *t.attributes[1:])}, "attributes must be"),
        "sources of text": ({"sources": ("a", *t.sources[1:])}, "sources must be"),
    }


@pytest.mark.parametrize("name", broken_tapes())
def test_every_broken_invariant_is_found(name):
    changes, message = broken_tapes()[name]
    with pytest.raises(fg.TapeError, match="these arrays are not a tape: .*" + message):
        replace(recorded(), **changes).validate()


def test_recorded_and_derived_tapes_are_valid():
    tape = recorded()
    assert tape.validate() is tape
    for function, x in DIFFERENT:
        fg.record(function, x).validate()


def test_positions_outside_the_array_are_found():
    tape = fg.record(lambda x: x[[0, 2]], np.ones(3))
    assert tape.validate() is tape
    for positions in ([0, 3], [-1, 0], [0.5, 1], [np.nan, 0]):
        with pytest.raises(fg.TapeError, match="positions"):
            replace(tape, constants=(np.array(positions),)).validate()


def test_a_tape_built_by_hand():
    builder = TapeBuilder(sources=(Source("model.py", 3, "f"),))
    x = builder.append_input((2,), "x")
    two = builder.append_constant(number_array(2.0))
    y = builder.append(ops.multiply.code, (x, two), (2,), source_index=0)
    total = builder.append(ARRAY_OPERATION + array_ops.sum_.code, (y,), (), (0,))
    assert builder.attribute_of(total) == (0,)
    tape = builder.build([total, x]).validate()
    assert [int(code) for code in tape.opcodes[:2]] == [INPUT, CONSTANT]
    assert tape.node(2).source == Source("model.py", 3, "f")
    assert tape.node(3).source is None
    assert tape.output_shapes == ((), (2,))
