"""A tape under construction: what is simplified, what must not be, and what is kept of a replayed tape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad
from fastgrad import array_ops, ops
from fastgrad.tape import Tape
from fastgrad.transform.symbolic import SymbolicTape, Value, without_dead_nodes
from tests.tapes import ANALYTIC, interpret

INF, NAN = np.inf, np.nan


def scalars(n: int = 2) -> tuple[SymbolicTape, list[Any]]:
    symbolic = SymbolicTape()
    return symbolic, [symbolic.input((), name) for name in "xyz"[:n]]


def names(tape: Tape) -> list[str]:
    return [node.operation for node in tape if node.operation not in ("input", "constant")]


def test_equal_nodes_are_made_once() -> None:
    symbolic, (x, y) = scalars()
    assert (x * y).node == (x * y).node
    assert (x * y).node != (y * x).node
    assert symbolic.number(0.5).node == symbolic.number(0.5).node
    assert symbolic.number(0.0).node != symbolic.number(-0.0).node
    tape = symbolic.build([ops.sin(x * y) + ops.sin(x * y)])
    assert names(tape) == ["multiply", "sin", "add"]


def test_array_operations_with_different_attributes_differ() -> None:
    symbolic = SymbolicTape()
    x = symbolic.input((2, 3), "x")
    by_rows, by_columns = (symbolic.apply_array(array_ops.sum_, (x,), axes) for axes in ((0,), (1,)))
    assert by_rows.node != by_columns.node
    assert symbolic.apply_array(array_ops.sum_, (x,), (0,)).node == by_rows.node


def same(found: Value, expected: Value) -> bool:
    return (found.node, found.shape) == (expected.node, expected.shape)


def test_neutral_elements_vanish() -> None:
    _, (x, _) = scalars()
    assert all(same(found, x) for found in (x * 1.0, 1.0 * x, x + 0.0, 0.0 + x, x - 0.0, ops.zero_product(x, 1.0)))


def test_arithmetic_on_numbers_is_done_at_once_but_only_where_it_is_finite() -> None:
    symbolic, (x, _) = scalars()
    assert same(x * (symbolic.number(3.0) * 0.5), x * 1.5)
    names_of = names(symbolic.build([x + symbolic.number(1e200) * 1e200, x * (symbolic.number(0.0) * INF)]))
    assert sorted(names_of) == ["add", "multiply", "multiply", "multiply"]


def test_what_would_change_a_value_stays() -> None:
    symbolic, (x,) = scalars(1)
    kept = [x * 0.0, x / x, x - x, 0.0 - x, ops.zero_product(x, INF)]
    tape = symbolic.build(kept)
    assert names(tape) == ["multiply", "divide", "subtract", "subtract", "zero_product"]
    np.testing.assert_array_equal(interpret(tape, [INF])[:3], [NAN, NAN, NAN])
    np.testing.assert_array_equal(interpret(tape, [INF])[4:], [INF])


def test_a_strong_zero_that_is_known_is_zero_at_once() -> None:
    symbolic, (x,) = scalars(1)
    column = symbolic.input((2, 1), "column")
    assert all(found.is_zero for found in (ops.zero_product(x, 0.0), ops.zero_product(-0.0, x)))
    product = ops.zero_product(column, symbolic.filled(0.0, (3,)))
    assert product.is_zero
    assert product.shape == (2, 3)
    # as in the operation itself, NaN and infinity included
    assert ops.zero_product.on_arrays(NAN, 0.0) == ops.zero_product.on_arrays(INF, 0.0) == 0.0
    # a plain product is the user's own
    assert not (column * symbolic.filled(0.0, (2, 1))).is_zero


ROWS = (4, 3)


def slice_of(value: Value, *spec: tuple[int, int, int]) -> Value:
    return value.tape.apply_array(array_ops.slice_, (value,), spec)


def placed(value: Value, *spec: tuple[int, int, int]) -> Value:
    return value.tape.apply_array(array_ops.place, (value,), (ROWS, spec))


def test_a_slice_of_what_was_put_together_from_slices_is_the_part() -> None:
    symbolic = SymbolicTape()
    x, y = symbolic.input((1, 3), "x"), symbolic.input((3, 3), "y")
    first, rest, columns = (0, 1, 1), (1, 3, 1), (0, 3, 1)
    place_x, place_y = placed(x, first, columns), placed(y, rest, columns)
    assert same(slice_of(place_x, first, columns), x)
    assert slice_of(place_x, rest, columns).is_zero
    assert slice_of(place_x, (3, 3, -1), columns).is_zero
    for whole in (place_x + place_y, place_y + place_x, symbolic.apply_array(array_ops.concatenate, (x, y), 0)):
        assert same(slice_of(whole, first, columns), x)
        assert same(slice_of(whole, rest, columns), y)
        assert same(slice_of(whole, (3, 2, -2), columns), slice_of(y, (2, 2, -2), columns))


def test_a_slice_that_takes_a_part_and_more_stays() -> None:
    symbolic = SymbolicTape()
    x, y = symbolic.input((1, 3), "x"), symbolic.input((3, 3), "y")
    columns = (0, 3, 1)
    wholes = [placed(y, (1, 3, 1), columns), symbolic.apply_array(array_ops.concatenate, (x, y), 0)]
    slices = [slice_of(whole, (0, 2, 1), columns) for whole in wholes]
    assert names(symbolic.build(slices)).count("slice") == 2
    values = np.arange(3.0).reshape(1, 3), np.arange(9.0).reshape(3, 3)
    for found, top in zip(interpret(symbolic.build(slices), values), ([0.0] * 3, [0.0, 1.0, 2.0]), strict=True):
        np.testing.assert_array_equal(found, [top, [0.0, 1.0, 2.0]])


def test_zeros_that_are_moved_or_added_up_are_zeros() -> None:
    symbolic = SymbolicTape()
    zeros = symbolic.filled(0.0, (1, 3))
    found = [
        (array_ops.transpose, (zeros,), (1, 0)),
        (array_ops.reshape, (zeros,), (3,)),
        (array_ops.sum_, (zeros,), (0, 1)),
        (array_ops.place, (zeros,), (ROWS, ((0, 1, 1), (0, 3, 1)))),
        (array_ops.concatenate, (zeros, zeros), 0),
    ]
    assert all(symbolic.apply_array(*call).is_zero for call in found)
    ones, x = symbolic.filled(1.0, (1, 3)), symbolic.input((1, 3), "x")
    assert symbolic.number_of(symbolic.apply_array(array_ops.sum_, (ones,), (0, 1))) is None
    assert not symbolic.apply_array(array_ops.concatenate, (zeros, x), 0).is_zero


@pytest.mark.parametrize("factor", [3.0, -2.5, 1.0, -1.0])
def test_a_product_with_a_finite_number_needs_no_strong_zero(factor: float) -> None:
    symbolic, (x,) = scalars(1)
    tape = symbolic.build([ops.zero_product(x, factor)])
    assert "zero_product" not in names(tape)
    for value in (0.0, 2.0, INF, NAN):
        np.testing.assert_array_equal(interpret(tape, [value])[0], value * factor)


def test_numbers_broadcast_without_growing_the_result() -> None:
    symbolic = SymbolicTape()
    x = symbolic.input((2, 1), "x")
    y = symbolic.input((3,), "y")
    assert (x * y).shape == (2, 3)
    assert same(x * 1.0, x)
    ones = symbolic.apply_array(array_ops.broadcast_to, (symbolic.number(1.0),), (2, 3))
    product = x * ones
    assert product.shape == (2, 3)
    np.testing.assert_array_equal(
        interpret(symbolic.build([product]), [[[2.0], [5.0]], np.ones(3)])[0], [[2.0] * 3, [5.0] * 3]
    )


def test_captured_arrays_stay_by_reference() -> None:
    weights = np.array([1.0, 2.0])
    tape = fastgrad.record(lambda x: x * weights, np.ones(2))
    symbolic = SymbolicTape()
    values = symbolic.replay(tape, [symbolic.input((2,), "x")])
    copied = symbolic.build([values[node] for node in tape.outputs.tolist()])
    assert any(constant is weights for constant in copied.constants)


@pytest.mark.parametrize("name", ANALYTIC)
def test_a_replayed_tape_computes_the_same_bits(name: str) -> None:
    function, operands = ANALYTIC[name]
    tape = fastgrad.record(function, *operands)
    symbolic = SymbolicTape(tape.sources)
    inputs = [symbolic.input(shape, "x") for shape in tape.input_shapes]
    values = symbolic.replay(tape, inputs)
    copied = symbolic.build([values[node] for node in tape.outputs.tolist()]).validate()
    assert len(copied) <= len(tape)
    np.testing.assert_array_equal(interpret(copied, operands)[0], interpret(tape, operands)[0])


def test_dead_nodes_go_but_inputs_and_guarded_values_stay() -> None:
    symbolic, (x, y) = scalars()
    symbolic.build([ops.exp(y)])
    tape = symbolic.build([x + 2.0])
    assert names(tape) == ["add"]
    assert len(tape.inputs) == 2
    assert [float(constant) for constant in tape.constants] == [2.0]
    guarded = fastgrad.record(lambda x: x * 2 if np.exp(x) > 1 else x, 3.0)
    assert without_dead_nodes(guarded) is guarded
