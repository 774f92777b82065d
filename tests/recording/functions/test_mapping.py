"""Functions that call the user's own function on parts of an array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.recording.recorded_array import RecordedArray
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy

X = np.random.default_rng(12).standard_normal((3, 4))
ROW = np.array([0.5, -2.0, 3.5, 1.2])


def bump(t: Any) -> Any:
    return t * t if t > 0 else 3.0 * t


def both(t: Any, u: Any) -> Any:
    return t * u, t - u


CALLS: dict[str, tuple[Any, Any]] = {
    "along an axis": (lambda x: np.apply_along_axis(lambda row: row[0] * row, 0, x), X),
    "along an axis to a number": (lambda x: np.apply_along_axis(lambda row: np.sum(row * row), -1, x), X),
    "along an axis to a matrix": (lambda x: np.apply_along_axis(np.diag, 0, x), X),
    "along an axis to a list": (lambda x: np.apply_along_axis(lambda row: [row[1], row[0]], 1, x), X),
    "along an axis with arguments": (lambda x: np.apply_along_axis(lambda r, k, p: r[k] ** p, 1, x, 2, p=3), X),
    "along the only axis": (lambda x: np.apply_along_axis(np.cumsum, 0, x), ROW),
    "over axes": (lambda x: np.apply_over_axes(np.sum, np.stack([x, x * x]), [0, 2]), X),
    "over axes kept": (lambda x: np.apply_over_axes(lambda a, axis: a.mean(axis, keepdims=True), x, -1), X),
    "vectorize": (lambda x: np.vectorize(bump)(x), X),
    "vectorize a number": (lambda x: np.vectorize(bump)(x[0]), ROW),
    "vectorize otypes": (lambda x: np.vectorize(bump, otypes=[float])(x), ROW),
    "vectorize two": (lambda x: np.vectorize(lambda t, u: t * u + u)(x, x[:, :1]), X),
    "vectorize with a plain array": (lambda x: np.vectorize(lambda t, k: t**k)(x, [1, 2, 3, 2]), X),
    "vectorize two results": (lambda x: np.vectorize(both)(x, 2.0), ROW),
    "vectorize keyword": (lambda x: np.vectorize(lambda t, u: t * u)(x, u=x[::-1]), ROW),
    "vectorize excluded": (lambda x: np.vectorize(lambda t, p: t * p[1], excluded=[1])(x, x), ROW),
    "vectorize excluded name": (lambda x: np.vectorize(lambda t, p: t * p[1], excluded=["p"])(x, p=x), ROW),
    "vectorize signature": (lambda x: np.vectorize(lambda r: np.sum(r * r), signature="(n)->()")(x), X),
    "vectorize products": (lambda x: np.vectorize(np.dot, signature="(m,n),(n)->(m)")(x, np.stack([x[0], x[1]])), X),
    "vectorize outer": (lambda x: np.vectorize(np.outer, signature="(n),(m)->(n,m)")(x, x[0]), X),
    "vectorize math": (lambda x: np.vectorize(lambda t: math.sin(t) * t)(x), ROW),
    "vectorize nothing": (lambda x: np.vectorize(bump, otypes=[float])(x[:0]) * x[:0], ROW),
    "frompyfunc": (lambda x: np.sum(np.frompyfunc(bump, 1, 1)(x) * 2.0), ROW),
    "frompyfunc two": (lambda x: np.stack(list(np.frompyfunc(lambda t, u: t * u, 2, 1)(x, x[::-1]))), ROW),
    "piecewise": (lambda x: np.piecewise(x, [x < 0, x > 1], [lambda t: -t, lambda t: t**2]), ROW),
    "piecewise otherwise": (lambda x: np.piecewise(x, [x < 0], [lambda t: t * 3.0, np.exp]), X),
    "piecewise numbers": (lambda x: x * np.piecewise(x, [x < 0, x > 1], [-1.0, 1.0, 0.0]), ROW),
    "piecewise single": (lambda x: np.piecewise(x, x > 0, [lambda t: t * t]), ROW),
    "piecewise arguments": (lambda x: np.piecewise(x, [x > 0], [lambda t, a, b: a * t + b, 7.0], 2.0, b=1.0), ROW),
    "piecewise of a recorded parameter": (lambda x: np.piecewise(x, [x > 0], [lambda t: x[1] * t, x[0]]), ROW),
    "piecewise combining": (lambda x: np.piecewise(x, [x > 0], [lambda t: t - np.sum(t), 0.0]), ROW),
    "piecewise of plain conditions": (
        lambda x: np.piecewise(x, [[True, False, True, False]], [np.cumsum, np.sin]),
        ROW,
    ),
    "piecewise of a number": (lambda x: np.piecewise(x[0], [x[0] < 0, x[0] > 0], [lambda t: -t, lambda t: t**3]), ROW),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    function, x = CALLS[name]
    check(function, x)


@pytest.mark.parametrize("name", CALLS)
def test_values_while_recording_are_numpys(name):
    function, x = CALLS[name]
    assert_shown_as_numpy(function, x)


ERRORS = {
    "along": lambda x: np.apply_along_axis(np.sum, 2, x),
    "along nothing": lambda x: np.apply_along_axis(np.sum, 0, x[:, :0]),
    "over": lambda x: np.apply_over_axes(lambda a, axis: a.sum(), x, 0),
    "vectorize nothing": lambda x: np.vectorize(bump)(x[:0]),
    "vectorize shapes": lambda x: np.vectorize(lambda t, u: t)(x, x[0, :3]),
    "signature size": lambda x: np.vectorize(np.dot, signature="(n),(n)->()")(x[0], x[:, 0]),
    "signature axes": lambda x: np.vectorize(np.sum, signature="(n,m)->()")(x[0]),
    "signature results": lambda x: np.vectorize(lambda r: (r[0], r[1]), signature="(n)->()")(x),
    "signature arguments": lambda x: np.vectorize(np.sum, signature="(n)->()")(x, x),
    "piecewise": lambda x: np.piecewise(x, [x > 0], [1.0, 2.0, 3.0]),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_numpys(name):
    with pytest.raises((ValueError, TypeError, IndexError)) as expected:
        ERRORS[name](X)
    with pytest.raises(type(expected.value)):
        fg.record(ERRORS[name], X)


def test_pieces_of_each_element_need_no_guards():
    function = lambda x: np.piecewise(x, [x < 0, x > 1], [lambda t: -t, lambda t: np.log(t), 5.0])  # noqa: E731
    assert_right_later(function, ROW, -ROW, ROW[::-1] * 0.3, np.full(4, 2.0))


@pytest.mark.parametrize(
    "piece",
    [
        lambda t: t - np.mean(t),
        lambda t: t / len(t),
        lambda t: t * t.size,
        lambda t: t * np.arange(len(t)),
        lambda t: t * 2.0 if t[0] > 1 else t,
        lambda t: np.cumsum(t),
        lambda t: np.sort(t),
        lambda t: t * np.ones(len(t)),
    ],
)
@pytest.mark.parametrize("first", [np.array([1.0, 2.0, 3.0]), np.array([-1.0, 2.0, 3.0]), np.array([-1.0, -2.0, -3.0])])
def test_pieces_that_know_their_elements_together_are_right_later(piece, first):
    total = lambda x: np.sum(np.piecewise(x, [x > 0], [piece]) * np.arange(1.0, 4.0))  # noqa: E731
    found = fg.value_and_grad(total)
    found(first)
    for x in (np.array([1.5, -2.0, 3.0]), np.array([2.0, 1.0, 3.5]), np.array([0.3, -1.0, -0.7])):
        value, gradient = found(x)
        assert value == pytest.approx(total(x), rel=1e-14)
        step = np.array([(total(x + d) - total(x - d)) / 2e-6 for d in 1e-6 * np.eye(3)])
        np.testing.assert_allclose(gradient, step, rtol=1e-7, atol=1e-8)


def test_the_kind_of_the_first_result_is_that_of_all_as_in_numpy():
    with pytest.raises(fg.LostDerivativeError, match=r"converted to int64 by np\.vectorize"):
        fg.record(lambda x: np.vectorize(lambda t: 0 if t < 1 else t)(x), ROW)
    with pytest.raises(fg.LostDerivativeError, match=r"converted to int64 by np\.apply_along_axis"):
        fg.record(lambda x: np.apply_along_axis(lambda row: 0 if row[0] < 1 else row[0], 0, np.stack([x])), ROW)
    kept = lambda x: np.vectorize(lambda t: 0 if t < 1 else t, otypes=[float])(x)  # noqa: E731
    np.testing.assert_array_equal(fg.jacobian(kept)(ROW), np.diag([0.0, 0.0, 1.0, 1.0]))


def test_branches_for_each_element_are_guarded():
    jacobian = fg.jacobian(lambda x: np.vectorize(bump)(x))
    for x in (ROW, -ROW, ROW[::-1]):
        np.testing.assert_array_equal(jacobian(x), np.diag(np.where(x > 0, 2.0 * x, 3.0)))


def test_a_decorated_function_is_vectorized():
    @np.vectorize
    def function(t, scale=2.0):
        return t * scale

    check(lambda x: function(x) + function(x, scale=x[0]), ROW)


def test_functions_made_by_frompyfunc_give_objects_as_in_numpy():
    def function(x):
        result = np.frompyfunc(bump, 1, 1)(x)
        assert isinstance(result, np.ndarray)
        assert result.dtype == object
        assert isinstance(result[0], RecordedArray)
        return result

    np.testing.assert_array_equal(fg.jacobian(function)(ROW), np.diag(np.where(ROW > 0, 2.0 * ROW, 3.0)))
