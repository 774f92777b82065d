"""Counts: steps with derivative zero, weights and edges that vary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy

RANDOM = np.random.default_rng(9)
X, Y, W = RANDOM.standard_normal(12), RANDOM.standard_normal(12), RANDOM.uniform(0.5, 2.0, 12)
EDGES = np.array([-2.5, -0.6, 0.05, 0.9, 3.0])

CALLS: dict[str, tuple[Any, ...]] = {
    "histogram": (lambda x: np.histogram(x), X),
    "histogram edges": (lambda x, w: np.histogram(x, EDGES, weights=w), X, W),
    "histogram range": (lambda x, w: np.histogram(x, 4, (-1.3, 1.7), weights=w, density=True), X, W),
    "histogram recorded range": (lambda x, y: np.histogram(x, 3, (-y, y), density=True), X, np.float64(1.5)),
    "histogram density": (lambda x: np.histogram(x, bins=5, density=True), X),
    "histogram recorded edges": (lambda x, e, w: np.histogram(x, np.cumsum(e) - 2.0, weights=w), X, EDGES**2, W),
    "histogram of a matrix": (lambda x, w: np.histogram(x, 3, weights=w), X.reshape(3, 4), W.reshape(3, 4)),
    "histogram of weights": (lambda w: np.histogram(X, EDGES, weights=w, density=True), W),
    "histogram_bin_edges": (lambda x: np.histogram_bin_edges(x, 4) + np.histogram_bin_edges(x, 4, (-1, 1)), X),
    "histogram2d": (lambda x, y: np.histogram2d(x, y, 3), X, Y),
    "histogram2d bins": (lambda x, y, w: np.histogram2d(x, y, (2, EDGES), weights=w, density=True), X, Y, W),
    "histogram2d edges": (lambda x, y, w: np.histogram2d(x, y, EDGES, weights=w), X, Y, W),
    "histogram2d ragged": (lambda x, y, w: np.histogram2d(x, y, [[-9, 0.1, 9], EDGES], weights=w), X, Y, W),
    "histogramdd": (lambda x, w: np.histogramdd(x, (2, 3), [(-2, 2), None], weights=w), np.stack([X, Y], 1), W),
    "histogramdd arrays": (lambda x, y: np.histogramdd((x, y), [EDGES, 2], density=True), X, Y),
    "histogramdd row": (lambda x: np.histogramdd(x, 2), X),
    "bincount": (lambda w: np.bincount([0, 3, 1, 1], w[:4], minlength=6), W),
    "bincount of positions": (lambda x: np.bincount(np.argsort(x) // 3, x * x), X),
    "bincount of counts": (lambda x: x[:2] * np.bincount((x > 0) + 0)[:2], X),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    function, *args = CALLS[name]
    check(function, *args)


@pytest.mark.parametrize("name", CALLS)
def test_values_while_recording_are_numpys(name):
    function, *args = CALLS[name]
    assert_shown_as_numpy(function, *args)


@pytest.mark.parametrize("name", ["histogram range", "histogram of weights", "histogram recorded range"])
def test_second_derivatives_of(name):
    function, *args = CALLS[name]
    fg.check_grads(function, args)


def test_counts_follow_later_inputs_without_a_new_recording():
    on_edges = np.array([-2.5, -0.6, 0.05, 0.9, 3.0, 3.1, -2.6, np.nan, 0.0, 0.0, 0.0, 0.0])
    assert_right_later(lambda x: np.histogram(x, EDGES)[0], X, Y, on_edges)
    assert_right_later(lambda x: np.histogram(x, EDGES, weights=x * x)[0], X, Y)
    assert_right_later(lambda x: np.histogram(x, 4), X, Y, n_guards=1)
    assert_right_later(lambda x: np.histogramdd(np.reshape(x, (6, 2)), [EDGES, EDGES])[0], X, Y)
    assert_right_later(lambda x: np.bincount(np.argsort(x), x), X, Y, n_guards=2)


def test_equal_elements_have_a_bin_of_width_one():
    assert_shown_as_numpy(lambda x: np.histogram(x, 2), np.ones(3))
    function = fg.jacobian(lambda x: np.histogram(x * 0.0 + x[0], 2)[1])
    np.testing.assert_allclose(function(np.array([3.0, 1.0])), [[1.0, 0.0]] * 3)


def test_counts_have_numpys_type():
    def function(x):
        assert np.histogram(x)[0].dtype == np.bincount(np.argsort(x)).dtype == np.intp
        return x

    fg.record(function, X)


def test_numbers_of_bins_that_hang_on_the_data_are_refused():
    with pytest.raises(fg.UnsupportedError, match="bins='auto', whose number hangs on the data, cannot be recorded"):
        fg.jacobian(lambda x: np.histogram(x, "auto")[1])(X)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.histogram(x, 0),
        lambda x: np.histogram(x, [2.0, 1.0]),
        lambda x: np.histogram(x, 3, (2.0, 1.0)),
        lambda x: np.histogram(x, 3, weights=[1.0]),
        lambda x: np.bincount(x),
        lambda x: np.bincount((x > 0) - 1),
        lambda x: np.histogram2d(x, x[:2]),
    ],
)
def test_errors_are_numpys_own(function):
    with pytest.raises(Exception) as expected:  # noqa: PT011 - NumPy says which
        function(-np.ones(3))
    with pytest.raises(type(expected.value)) as found:
        fg.jacobian(function)(-np.ones(3))
    assert str(found.value) == str(expected.value)
