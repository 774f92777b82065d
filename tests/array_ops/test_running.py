"""Products, running products and recurrences as entries of the table."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

import fastgrad as fg
from fastgrad import array_ops
from fastgrad.recording.recorded_array import RecordedArray, apply_array
from tests.derivative_checks import check

RANDOM = np.random.default_rng(12)


def recurrence(factors: Any, terms: Any, axis: int = 0) -> Any:
    """The recurrence as an operation, or row by row."""
    if isinstance(terms, RecordedArray) or isinstance(factors, RecordedArray):
        return apply_array(array_ops.linear_recurrence, (factors, terms), axis)
    rows, steps = np.moveaxis(np.array(terms, float), axis, 0), np.moveaxis(factors, axis, 0)
    for k in range(1, len(rows)):
        rows[k] += np.where((steps[k] == 0) | (rows[k - 1] == 0), 0.0, steps[k] * rows[k - 1])
    return np.moveaxis(rows, 0, axis)


@pytest.mark.parametrize(
    ("shape", "axis"), [((1,), 0), ((6,), 0), ((5, 3), 0), ((3, 5), 1), ((4, 40), 0), ((2, 3, 2), 1)]
)
def test_recurrences_and_their_derivatives(shape, axis):
    factors, terms = RANDOM.standard_normal(shape), RANDOM.standard_normal(shape)
    check(lambda a, b: recurrence(a, b, axis), factors, terms)
    check(lambda a: recurrence(a, terms, axis), factors)
    check(lambda b: recurrence(factors, b, axis), terms)
    if len(shape) == 1:
        fg.check_grads(lambda a, b: np.sum(recurrence(a, b) ** 2), (factors, terms))


def exact_recurrence(factors: np.ndarray, terms: np.ndarray) -> list[float]:
    with mpmath.workdps(60):
        last, found = mpmath.mpf(0), []
        for factor, term in zip(factors.tolist(), terms.tolist(), strict=True):
            last = mpmath.mpf(term) + mpmath.mpf(factor) * last
            found.append(float(last))
    return found


@pytest.mark.parametrize("n", [1, 2, 31, 1023, 1024, 1025, 1089, 5000])
def test_long_recurrences_are_as_accurate_as_short_ones(n):
    factors, terms = RANDOM.uniform(-1.0, 1.0, n), RANDOM.standard_normal(n)
    found = array_ops.linear_recurrence.evaluate(0, factors, terms)
    np.testing.assert_allclose(found, exact_recurrence(factors, terms), rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [8, 2000])
def test_a_zero_factor_gives_zero_whatever_the_other_is(n):
    factors, terms = np.full(n, 0.5), np.zeros(n)
    factors[3], terms[5], factors[6] = np.inf, np.inf, 0.0
    found = array_ops.linear_recurrence.evaluate(0, factors, terms)
    np.testing.assert_array_equal(found, np.where(np.arange(n) == 5, np.inf, 0.0))
    factors[7] = np.nan
    assert not np.isnan(array_ops.linear_recurrence.evaluate(0, factors, terms)).any()
    terms[7] = 1.0
    factors[7], factors[8 % n] = 0.5, np.nan
    assert np.isnan(array_ops.linear_recurrence.evaluate(0, factors, terms)).any() == (n > 8)


def test_running_products_that_overflow_keep_infinities():
    x = np.full(2000, 3.0)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(fg.jvp(np.cumprod, (x,), (x,))[0], np.cumprod(x))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_products_along_any_axis(axis):
    x = RANDOM.standard_normal((2, 3, 4))
    check(lambda x: np.prod(x, axis) ** 2 + np.cumprod(x, axis).sum(axis), x)


def test_extrema_of_numbers_leave_nan_out():
    x = np.array([[np.nan, 2.0, 2.0], [np.nan, np.nan, -1.0]])
    gradient = fg.grad(lambda x: np.fmax.reduce(x, axis=1) @ np.array([1.0, 3.0]))(x)
    np.testing.assert_array_equal(gradient, [[0.0, 0.5, 0.5], [0.0, 0.0, 3.0]])


@pytest.mark.parametrize("operation", [array_ops.prod, array_ops.cumprod])
def test_shapes_that_do_not_fit_are_found(operation):
    for axis, shape in [(1, (3,)), (-1, (3,)), (0, (0, 2))]:
        with pytest.raises(ValueError, match=r"no such axis|nothing along the axis"):
            operation.shape_rule(axis, shape)
    with pytest.raises(ValueError, match="one factor for each term"):
        array_ops.linear_recurrence.shape_rule(0, (3,), (2,))
