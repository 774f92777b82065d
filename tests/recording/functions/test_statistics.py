"""Averages, medians, quantiles by every method, covariances: values and derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.recording.functions.statistics import INTERPOLATED, TAKEN
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy

RANDOM = np.random.default_rng(6)
METHODS = [*TAKEN, *INTERPOLATED]


def normal(*shape: int) -> Any:
    return RANDOM.standard_normal(shape)


def spread(*shape: int) -> Any:
    n = int(np.prod(shape))
    return (RANDOM.permutation(n) - 0.4 * n + RANDOM.uniform(-0.2, 0.2, n)).reshape(shape)


def positive(*shape: int) -> Any:
    return RANDOM.uniform(0.5, 2.0, shape)


CALLS: dict[str, tuple[Any, ...]] = {
    "average": (lambda x: np.average(x, axis=(0, -1), keepdims=True), normal(2, 3, 2)),
    "average returned": (lambda x: np.average(x, axis=0, returned=True), normal(2, 3)),
    "average weights": (lambda x, w: np.average(x, weights=w), normal(2, 3), positive(2, 3)),
    "average axis": (lambda x, w: np.average(x, axis=-1, weights=w, returned=True), normal(2, 3), positive(3)),
    "average axes": (
        lambda x, w: np.average(x, axis=(2, 0), weights=w, keepdims=True),
        normal(2, 3, 4),
        positive(4, 2),
    ),
    "average plain": (lambda w: np.average(np.arange(3.0), weights=w), positive(3)),
    "average of a list": (lambda x: np.average([x[0], 2.0, x[1]], weights=[1, 2, 3]), normal(2)),
    "median odd": (lambda x: np.median(x), spread(7)),
    "median even": (lambda x: np.median(x, axis=0, keepdims=True), spread(4, 3)),
    "median axes": (lambda x: np.median(x, axis=(0, -1)), spread(2, 3, 3)),
    "median of a number": (lambda x: np.median(x), normal()),
    "median of a list": (lambda x: np.median([x[0], 5.0, x[1] * x[0]]), np.array([1.0, 2.0])),
    "quantile": (lambda x: np.quantile(x, 0.3), spread(2, 4)),
    "quantile many": (lambda x: np.quantile(x, [[0.1, 0.5], [0.7, 1.0]], axis=0), spread(4, 3)),
    "quantile keepdims": (lambda x: np.quantile(x, [0.2, 0.9], axis=(0, 2), keepdims=True), spread(3, 2, 3)),
    "quantile overwrite": (lambda x: np.quantile(x, 0.3, overwrite_input=True) * x, spread(5)),
    "percentile": (lambda x: np.percentile(x, [0, 35, 100], axis=-1), spread(2, 5)),
    "percentile q": (lambda x, q: np.percentile(x, q, axis=1), spread(2, 5), np.array([12.0, 61.0])),
    "quantile weights": (
        lambda x: np.quantile(x, [0.0, 0.3, 1.0], weights=[0.0, 1.0, 2.0, 0.5, 0.0], method="inverted_cdf"),
        spread(5),
    ),
    "quantile weights axis": (
        lambda x, w: np.quantile(x, 0.6, axis=1, weights=w, method="inverted_cdf", keepdims=True),
        spread(2, 5),
        positive(5),
    ),
    "percentile weights": (
        lambda x, w: np.percentile(x, [20, 70], axis=0, weights=w, method="inverted_cdf"),
        spread(4, 3),
        positive(4, 3),
    ),
    "cov": (lambda x: np.cov(x), normal(3, 5)),
    "cov vector": (lambda x: np.cov(x, ddof=0), normal(5)),
    "cov two": (lambda x, y: np.cov(x, y, rowvar=False, bias=True), normal(5, 2), normal(5, 1)),
    "cov weights": (lambda x, w: np.cov(x, fweights=[1, 2, 0, 3, 1], aweights=w), normal(2, 5), positive(5)),
    "cov frequencies": (lambda x: np.cov(x, fweights=[1, 2, 0, 3, 1], ddof=2), normal(2, 5)),
    "cov weights alone": (lambda x, w: np.cov(x, aweights=w, ddof=0), normal(2, 5), positive(5)),
    "corrcoef": (lambda x: np.corrcoef(x), normal(3, 5)),
    "corrcoef two": (lambda x, y: np.corrcoef(x, y)[0, 1], normal(5), normal(5)),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    function, *args = CALLS[name]
    check(function, *args)


@pytest.mark.parametrize("name", CALLS)
def test_values_while_recording_are_numpys(name):
    function, *args = CALLS[name]
    assert_shown_as_numpy(function, *args)


@pytest.mark.parametrize(
    "name", ["average axis", "average axes", "percentile q", "cov weights", "corrcoef two", "quantile keepdims"]
)
def test_second_derivatives_of(name):
    function, *args = CALLS[name]
    fg.check_grads(function, args)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_quantiles_by_every_method(method, n):
    x = spread(n, 2)
    q = np.array([0.0, 0.06, 0.25, 0.5, 0.71, 1.0])
    check(lambda x: np.quantile(x, q, axis=0, method=method), x)
    assert_shown_as_numpy(lambda x: np.quantile(x, q, axis=0, method=method), x)
    check(lambda x: np.quantile(x, 0.41, method=method), x)


@pytest.mark.parametrize("method", METHODS)
def test_quantiles_are_differentiated_by_the_probability_too(method):
    check(lambda x, q: np.quantile(x, q, axis=0, method=method), spread(6, 2), np.array([[0.07, 0.31], [0.55, 0.93]]))
    check(lambda q: np.quantile(np.arange(5.0) ** 2, q, method=method), np.float64(0.43))


LATER = {
    "median": lambda x: np.median(x),
    "median axis": lambda x: np.median(np.reshape(x, (2, 4)), axis=1),
    "quantile": lambda x: np.quantile(x, [0.1, 0.8]),
    "quantile by itself": lambda x: np.quantile(x, np.abs(x) / 4),
    "weights": lambda x: np.quantile(x, 0.4, weights=np.abs(x) + 1, method="inverted_cdf"),
}


@pytest.mark.parametrize("name", LATER)
def test_one_recording_serves_every_order_of_the_elements(name):
    n_guards = {"quantile by itself": 1}.get(name, 0)
    assert_right_later(
        LATER[name], normal(8) / 2, normal(8) / 2, np.arange(8.0) / 4, np.zeros(8), np.array([1.0] * 7 + [2]),
        n_guards=n_guards,
    )  # fmt: skip


@pytest.mark.parametrize("function", [np.median, lambda x: np.quantile(x, 0.3), lambda x: np.percentile(x, 50)])
def test_a_nan_among_the_elements_makes_the_result_nan(function):
    x = np.array([1.0, np.nan, 3.0, 0.0])
    assert_right_later(function, normal(4), x)
    value, _ = fg.jvp(function, (x,), (np.ones(4),))
    assert np.isnan(value)
    assert_shown_as_numpy(function, x)


def test_a_nan_in_one_column_leaves_the_others():
    x = np.array([[1.0, np.nan], [2.0, 1.0], [4.0, 0.0]])
    jacobian = fg.jacobian(lambda x: np.median(x, axis=0))(x)
    np.testing.assert_array_equal(jacobian[0], [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])


def test_of_tied_elements_those_that_stand_in_the_middle_take_the_derivative():
    gradient = fg.grad(np.median)(np.array([2.0, 2.0, 1.0, 2.0, 2.0]))
    assert sorted(gradient) == [0.0, 0.0, 0.0, 0.0, 1.0]
    assert gradient[2] == 0.0


def test_the_input_stays_in_order_when_numpy_might_overwrite_it():
    x = np.array([3.0, 1.0, 2.0])
    value, _ = fg.jvp(lambda x: (np.median(x, overwrite_input=True), x * 1.0)[1], (x,), (x,))
    np.testing.assert_array_equal(value, [3.0, 1.0, 2.0])
    np.testing.assert_array_equal(x, [3.0, 1.0, 2.0])


def test_probabilities_out_of_range_are_errors_at_later_inputs_too():
    gradient = fg.grad(lambda q: np.quantile(np.arange(4.0), q))
    assert gradient(0.4) == 3.0
    with pytest.raises(ValueError, match="Quantiles must be in the range"):
        gradient(1.4)


def test_weights_that_sum_to_zero_are_an_error_at_later_inputs_too():
    gradient = fg.grad(lambda w: np.average(np.arange(2.0), weights=w))
    np.testing.assert_allclose(gradient(np.array([1.0, 3.0])), [-3 / 16, 1 / 16])
    with pytest.raises(ZeroDivisionError):
        gradient(np.array([1.0, -1.0]))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.quantile(x, 1.5),
        lambda x: np.quantile(x, 0.5, method="nonsense"),
        lambda x: np.quantile(x, 0.5, weights=[1.0, 2.0, 3.0]),
        lambda x: np.median(x, axis=3),
        lambda x: np.average(x, weights=[1.0, 2.0]),
        lambda x: np.average(x, axis=0, weights=[1.0, -1.0]),
        lambda x: np.cov(x, ddof=0.5),
        lambda x: np.cov(x, fweights=[0.5, 1.0, 1.0]),
    ],
)
def test_errors_are_numpys_own(function):
    with pytest.raises(Exception) as expected:  # noqa: PT011 - NumPy says which
        function(np.ones((2, 3)))
    with pytest.raises(type(expected.value)) as found:
        fg.jacobian(function)(np.ones((2, 3)))
    assert str(found.value) == str(expected.value)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_medians_of_nothing_are_nan():
    assert_shown_as_numpy(lambda x: np.median(x[:0]) * x, np.ones(2))


def test_integers():
    def function(x):
        numbers = (x > 0) + (x > 1) * 2
        return x * np.median(numbers) * np.quantile(numbers, 0.4) * np.average(numbers) + np.cov(numbers)

    check(function, np.array([0.5, 2.0, -1.0, 1.5]))
