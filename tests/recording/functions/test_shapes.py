"""Functions that change shapes and put arrays beside each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy
from tests.recording.functions.memory import assert_memory_as_numpy, in_every_layout

RANDOM = np.random.default_rng(4)
X = RANDOM.standard_normal((2, 3, 4))
Y = RANDOM.standard_normal((3, 4))
ROW = RANDOM.standard_normal(5)
ONES = RANDOM.standard_normal((1, 3, 1))

CALLS: dict[str, tuple[Any, Any]] = {
    "reshape": (lambda x: np.reshape(x, (4, -1)), X),
    "reshape F": (lambda x: np.reshape(x, (4, 6), order="F"), X),
    "reshape A": (lambda x: np.reshape(x, (4, 6), order="A"), X),
    "reshape copy": (lambda x: np.reshape(x, (6, 4), copy=True), X),
    "reshape method": (lambda x: x.reshape(6, 4), X),
    "reshape method F": (lambda x: x.reshape((6, 4), order="F"), X),
    "reshape to itself": (lambda x: x.reshape(X.shape), X),
    "ravel C": (lambda x: np.ravel(x), X),
    "ravel F": (lambda x: np.ravel(x, "F"), X),
    "ravel A": (lambda x: x.ravel("A"), X),
    "ravel K": (lambda x: x.ravel("K"), X),
    "ravel K of axes in another order": (lambda x: x.transpose(1, 2, 0).ravel("K"), X),
    "flatten": (lambda x: x.flatten(), X),
    "flatten F": (lambda x: x.flatten("F"), X),
    "transpose": (lambda x: np.transpose(x), X),
    "transpose axes": (lambda x: np.transpose(x, (1, -1, 0)), X),
    "transpose method": (lambda x: x.transpose(2, 0, 1), X),
    "matrix_transpose": (lambda x: np.matrix_transpose(x), X),
    "swapaxes": (lambda x: np.swapaxes(x, 0, -1), X),
    "moveaxis": (lambda x: np.moveaxis(x, (0, 1), (-1, 0)), X),
    "rollaxis": (lambda x: np.rollaxis(x, 2), X),
    "rollaxis start": (lambda x: np.rollaxis(x, 0, 3), X),
    "expand_dims": (lambda x: np.expand_dims(x, (0, -1)), X),
    "squeeze": (lambda x: np.squeeze(x), ONES),
    "squeeze axis": (lambda x: x.squeeze(axis=-1), ONES),
    "squeeze axes": (lambda x: np.squeeze(x, (0, 2)), ONES),
    "atleast_1d": (lambda x: np.atleast_1d(x), Y),
    "atleast_2d": (lambda x: np.atleast_2d(x), ROW),
    "atleast_3d of rows": (lambda x: np.atleast_3d(x), ROW),
    "atleast_3d of matrices": (lambda x: np.atleast_3d(x), Y),
    "atleast many": (lambda x: np.atleast_2d(x, x[0], x[0, 0]), Y),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 3, 4)), Y),
    "broadcast_to itself": (lambda x: np.broadcast_to(x, (3, 4)), Y),
    "broadcast_arrays": (lambda x: np.broadcast_arrays(x, x[:1]), Y),
    "broadcast_arrays of one shape": (lambda x: np.broadcast_arrays(x, x), Y),
    "concatenate": (lambda x: np.concatenate([x, x[:1], x], axis=0), Y),
    "concatenate negative axis": (lambda x: np.concatenate((x, x[:, :1]), axis=-1), Y),
    "concatenate flat": (lambda x: np.concatenate((x, x[0]), axis=None), Y),
    "concatenate unsafe": (lambda x: np.concatenate([x, [1]], dtype=float, casting="unsafe"), ROW),
    "concatenate one": (lambda x: np.concatenate([x]), Y),
    "concat": (lambda x: np.concat([x, [1.0, 2.0]]), ROW),
    "stack": (lambda x: np.stack([x, 2 * x], axis=-1), Y),
    "stack numbers": (lambda x: np.stack([x[0], 2.0, x[1]]), ROW),
    "stack of an array's rows": (lambda x: np.stack(x), Y),
    "vstack": (lambda x: np.vstack([x, x[0]]), Y),
    "hstack": (lambda x: np.hstack([x, x[:, :2]]), Y),
    "hstack rows": (lambda x: np.hstack([x, 1.0, x[1:]]), ROW),
    "dstack": (lambda x: np.dstack([x, x]), Y),
    "dstack rows": (lambda x: np.dstack((x, x * 2)), ROW),
    "column_stack": (lambda x: np.column_stack([x[:, 0], x]), Y),
    "block": (lambda x: np.block([[x, x[:, :1]], [np.zeros((1, 4)), 3.0]]), Y),
    "block of rows": (lambda x: np.block([x, x[:2], 1.0]), ROW),
    "block of one": (lambda x: np.block(x), Y),
    "block three deep": (lambda x: np.block([[[x], [x]], [[x], [2 * x]]]), Y),
    "append": (lambda x: np.append(x, x[:2]), Y),
    "append axis": (lambda x: np.append(x, x[:2], axis=0), Y),
    "append a number": (lambda x: np.append(x, 3.0), ROW),
    "diagonal": (lambda x: np.diagonal(x), Y),
    "diagonal above": (lambda x: np.diagonal(x, 2), Y),
    "diagonal below": (lambda x: x.diagonal(-1), Y),
    "diagonal outside": (lambda x: np.diagonal(x, 9), Y),
    "diagonal axes": (lambda x: np.diagonal(x, 0, 2, 0), X),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    function, x = CALLS[name]
    check(function, x)


@pytest.mark.parametrize("name", CALLS)
def test_values_while_recording_are_numpys(name):
    function, x = CALLS[name]
    for base, view in in_every_layout(x).values():
        assert_shown_as_numpy(lambda base, view=view: function(view(base)), base)


@pytest.mark.parametrize("name", CALLS)
def test_results_are_views_and_read_only_where_numpys_are(name):
    function, x = CALLS[name]
    assert_memory_as_numpy(function, x)


@pytest.mark.parametrize("name", CALLS)
def test_second_derivatives_forward_and_in_reverse(name):
    function, x = CALLS[name]

    def cubes(x):
        result = function(x)
        return sum(np.sum(part**3) for part in (result if isinstance(result, (list, tuple)) else [result]))

    direction = np.random.default_rng(1).standard_normal(x.shape)
    # the gradient of the cubes is 3 n x**2 where an element is n times in the result
    count = fg.grad(cubes)(np.ones(x.shape)) / 3.0
    expected = 6.0 * count * x * direction
    np.testing.assert_allclose(fg.hvp(cubes)(x, direction), expected, rtol=1e-12)
    np.testing.assert_allclose(fg.jvp(fg.grad(cubes), (x,), (direction,))[1], expected, rtol=1e-12)


ERRORS = {
    "reshape": lambda x: x.reshape(5, 5),
    "reshape without copying": lambda x: np.reshape(x.T, 12, copy=False),
    "order": lambda x: np.reshape(x, 12, order="Q"),
    "transpose": lambda x: np.transpose(x, (0, 0)),
    "swapaxes": lambda x: np.swapaxes(x, 0, 2),
    "moveaxis": lambda x: np.moveaxis(x, (0, 1), (0, 0)),
    "matrix_transpose": lambda x: np.matrix_transpose(x[0]),
    "expand_dims": lambda x: np.expand_dims(x, 5),
    "squeeze": lambda x: np.squeeze(x, 0),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 4)),
    "concatenate": lambda x: np.concatenate([x, x[0]]),
    "concatenate nothing along": lambda x: np.concatenate([x, x], axis=2),
    "concatenate casting": lambda x: np.concatenate([x, x], dtype=int),
    "stack": lambda x: np.stack([x, x[:1]]),
    "vstack": lambda x: np.vstack([x, x[:, :1]]),
    "block": lambda x: np.block([[x, x[:1]]]),
    "append": lambda x: np.append(x, x[0], axis=0),
    "diagonal": lambda x: np.diagonal(x[0]),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_numpys(name):
    with pytest.raises((ValueError, TypeError, IndexError)) as expected:
        ERRORS[name](Y)
    with pytest.raises(type(expected.value)) as found:
        fg.record(ERRORS[name], Y)
    assert str(found.value) == str(expected.value)


def test_shapes_of_nothing():
    empty = np.zeros((0, 3))
    for function in (
        lambda x: x.reshape(3, 0),
        lambda x: x.T,
        lambda x: np.concatenate([x, x]),
        lambda x: np.broadcast_to(x, (2, 0, 3)),
        lambda x: np.stack([x, x]),
        lambda x: np.diagonal(x),
        lambda x: np.append(x, 1.0),
    ):
        check(function, empty)
        assert_shown_as_numpy(function, empty)


def test_numbers_become_arrays_as_in_numpy():
    for function in (
        lambda x: np.reshape(x, (1, 1)),
        lambda x: np.ravel(x),
        lambda x: np.atleast_2d(x),
        lambda x: np.stack([x, x]),
        lambda x: np.hstack([x, x]),
        lambda x: np.dstack([x, x]),
        lambda x: np.column_stack([x, x]),
        lambda x: np.block([x, x]),
        lambda x: np.broadcast_to(x, 3),
        lambda x: np.append(x, x),
    ):
        check(function, np.float64(0.7))
        assert_shown_as_numpy(function, np.float64(0.7))


def test_whole_numbers_that_shape_a_result_are_guarded():
    function = lambda x: np.reshape(x, (np.sum(x > 0), -1)) * 2.0  # noqa: E731
    assert fg.jacobian(function)(np.array([1.0, 1.0, -1.0, -1.0])).shape == (2, 2, 4)
    assert fg.jacobian(function)(np.array([1.0, -1.0, -1.0, -1.0])).shape == (1, 4, 4)


def test_views_see_what_is_written_into_their_base_and_the_other_way_round():
    def function(x):
        y = x * 1.0
        diagonal, flat, turned, wide = np.diagonal(y), y.reshape(-1), y.T, np.broadcast_to(y, (2, 3, 3))
        y[1, 1] = x[0, 0] * 5.0
        flat[0] = x[2, 2] ** 2
        turned[2, 0] = x[0, 1] * x[1, 0]
        return diagonal, flat, turned, wide, y

    check(function, RANDOM.standard_normal((3, 3)))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.concatenate([x]),
        lambda x: np.stack([x]),
        lambda x: np.reshape(x, 3, copy=True),
        lambda x: x.flatten(),
        lambda x: np.append(x, []),
        lambda x: np.block(x),
    ],
)
def test_copies_do_not_see_what_is_written_later(function):
    def program(x):
        y = x * 1.0
        result = function(y)
        y[0] = 7.0
        return result * 2.0

    check(program, RANDOM.standard_normal(3))


def test_results_that_numpy_makes_read_only_refuse_to_be_written_into():
    def write_diagonal(x):
        np.diagonal(x * 1.0)[0] = x[0, 0]

    def write_broadcast(x):
        np.broadcast_to(x * 1.0, (3, 4))[0] = x[0]

    for function in (write_diagonal, write_broadcast):
        with pytest.raises(ValueError, match="read-only"):
            fg.record(function, Y)


def test_truth_values_and_whole_numbers_keep_their_kind():
    x = np.array([1.0, -2.0, 3.0])
    assert_shown_as_numpy(lambda x: (np.stack([x > 0, x < 2]), np.append(x > 0, [3]), np.block([x > 0, x > 1])), x)
    assert_right_later(lambda x: np.concatenate([x > 0, [1.5], np.argsort(x)]), x, -x)


def test_float32_is_shown_and_its_derivative_computed_in_double():
    function = lambda x: np.concatenate([x, x], dtype=np.float32)  # noqa: E731
    assert_shown_as_numpy(function, ROW)
    np.testing.assert_array_equal(fg.jacobian(function)(ROW), np.tile(np.eye(5), (2, 1)))


@pytest.mark.parametrize("order", "CFAK")
def test_an_argument_in_fortran_order_keeps_its_orders(order):
    weights = np.arange(12.0)
    for x in (Y, np.asfortranarray(Y)):
        gradient = fg.grad(lambda x: np.ravel(x, order) @ weights)(x)
        # the gradient is where NumPy's own walk through the array meets the weights
        np.testing.assert_array_equal(np.ravel(np.asarray(gradient, order="F" if x.flags.fnc else "C"), order), weights)
