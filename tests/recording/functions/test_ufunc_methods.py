"""reduce, accumulate and reduceat of ufuncs, with every option."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.recording.functions.registry import UFUNC_METHODS
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy

RANDOM = np.random.default_rng(10)
MASK = np.array([[True, False, True, True], [True, True, True, False], [True, True, True, True]])
NUMBERS = ["add", "multiply", "maximum", "minimum", "fmax", "fmin", "logaddexp", "logaddexp2", "hypot", "subtract",
           "divide", "fmod", "remainder"]  # fmt: skip
SEVERAL_AXES = ["add", "multiply", "maximum", "minimum", "fmax", "fmin", "logaddexp", "logaddexp2", "hypot"]
TRUTH = ["logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor"]


def numbers(*shape: int) -> Any:
    """Numbers none of which is close to another, or to a multiple of another."""
    n = int(np.prod(shape))
    return (2.0 + 7.13 * RANDOM.permutation(n) / n + 60.0 * (np.arange(n) % shape[-1] == 0)).reshape(shape)


@pytest.mark.parametrize("name", NUMBERS)
def test_reduce(name):
    ufunc, x = getattr(np, name), numbers(3, 4)
    for function in (
        lambda x: ufunc.reduce(x),
        lambda x: ufunc.reduce(x, axis=-1, keepdims=True),
        lambda x: ufunc.reduce(x, 1, initial=30.0),
        lambda x: ufunc.reduce(x, 1, initial=30.0, where=MASK),
        lambda x: ufunc.reduce(x[0]) * ufunc.reduce(x[0, 0]),
    ):
        check(function, x)
        assert_shown_as_numpy(function, x)


@pytest.mark.parametrize("name", SEVERAL_AXES)
def test_reduce_over_several_axes(name):
    ufunc, x = getattr(np, name), RANDOM.standard_normal((2, 3, 4))
    check(lambda x: ufunc.reduce(x, axis=(0, -1), keepdims=True), x)
    check(lambda x: ufunc.reduce(x, axis=None), x)


@pytest.mark.parametrize("name", [*NUMBERS, "power", "float_power", "arctan2"])
def test_accumulate(name):
    ufunc, x = getattr(np, name), numbers(3, 4) / (40.0 if "power" in name else 1.0)
    for function in (lambda x: ufunc.accumulate(x), lambda x: ufunc.accumulate(x, axis=-1)):
        check(function, x)
        assert_shown_as_numpy(function, x)


@pytest.mark.parametrize("name", NUMBERS)
def test_reduceat(name):
    ufunc, x = getattr(np, name), numbers(3, 5)
    for function in (lambda x: ufunc.reduceat(x, [0, 3, 1, 4], axis=1), lambda x: ufunc.reduceat(x, [1])):
        check(function, x)
        assert_shown_as_numpy(function, x)


@pytest.mark.parametrize("name", ["logaddexp", "hypot", "divide", "multiply"])
def test_second_derivatives(name):
    ufunc, x = getattr(np, name), numbers(3, 4)
    fg.check_grads(lambda x: ufunc.reduce(x, axis=1) + ufunc.accumulate(x, axis=1)[:, -2], (x,))


@pytest.mark.parametrize("name", TRUTH)
def test_truth_values(name):
    ufunc = getattr(np, name)

    def function(x):
        truth = x > 0
        return (
            ufunc.reduce(truth, axis=1), ufunc.accumulate(truth, axis=1), ufunc.reduceat(truth, [0, 2], axis=1),
            ufunc.reduce(truth, axis=0, where=MASK), ufunc.reduce(truth, axis=(0, 1), initial=True),
        )  # fmt: skip

    x = RANDOM.standard_normal((3, 4))
    assert_shown_as_numpy(function, x)
    assert_right_later(function, x, RANDOM.standard_normal((3, 4)), np.abs(x), -np.abs(x))


@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor"])
def test_numbers_as_truth_values(name):
    ufunc = getattr(np, name)
    x = np.array([[0.0, 1.0, 2.0], [0.0, 0.0, -1.0]])
    assert_right_later(lambda x: (ufunc.reduce(x), ufunc.accumulate(x, axis=1)), np.ones((2, 3)), x)


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
def test_running_extrema_of_ties_and_nan(name):
    ufunc = getattr(np, name)
    x = np.array([1.0, 1.0, np.nan, 0.0, 2.0, 2.0])
    for data in (x, x[::-1].copy(), np.array([np.nan, 1.0, np.nan, 3.0, 0.0, 1.0])):
        assert_shown_as_numpy(ufunc.accumulate, data)
        assert_right_later(ufunc.accumulate, np.arange(6.0), data)


def test_of_equal_running_extrema_the_first_takes_the_derivative():
    jacobian = fg.jacobian(np.maximum.accumulate)(np.array([1.0, 1.0, 0.0, 2.0]))
    np.testing.assert_array_equal(jacobian, np.eye(4)[[0, 0, 0, 3]])


def test_folds_of_many_elements_record_few_operations():
    x = RANDOM.standard_normal(1000)
    assert fg.record(np.logaddexp.reduce, x).n_operations < 60
    assert fg.record(np.logaddexp.accumulate, x).n_operations < 60
    assert fg.record(np.maximum.accumulate, x).n_operations == 2
    shares = np.exp(x - np.logaddexp.reduce(x))
    np.testing.assert_allclose(fg.grad(np.logaddexp.reduce)(x), shares, rtol=1e-12)


@pytest.mark.parametrize("name", ["add", "multiply", "logaddexp", "hypot"])
def test_nothing_to_fold_is_the_identity(name):
    ufunc = getattr(np, name)
    check(lambda x: ufunc.reduce(x[:0] * x[0], initial=2.5) * x, np.ones(2))
    assert_shown_as_numpy(lambda x: ufunc.reduce(np.ones((2, 0)) * x[0], axis=1), np.ones(2))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.subtract.reduce(x, axis=(0, 1)),
        lambda x: np.divide.reduce(x[:0]),
        lambda x: np.fmax.reduce(x[:0]),
        lambda x: np.hypot.reduce(x, axis=2),
        lambda x: np.logaddexp.reduceat(x, [7]),
        lambda x: np.bitwise_and.reduce(x),
        lambda x: np.maximum.accumulate(x[0, 0]),
    ],
)
def test_errors_are_numpys_own(function):
    with pytest.raises(Exception) as expected:  # noqa: PT011 - NumPy says which
        function(np.ones((2, 3)))
    with pytest.raises(type(expected.value)) as found:
        fg.jacobian(function)(np.ones((2, 3)))
    assert str(found.value)[:30] == str(expected.value)[:30]


def test_reductions_that_numpy_itself_gets_wrong_are_refused():
    assert (np.power, "reduce") not in UFUNC_METHODS
    with pytest.raises(fg.UnsupportedError, match=r"np.power.reduce cannot be recorded"):
        fg.grad(lambda x: np.power.reduce(x))(np.ones(3))
