"""Positions of what is not zero, and comparisons of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy

X = np.array([[1.0, -2.0, 3.0], [-4.0, 5.0, 6.0]])

CALLS: dict[str, Any] = {
    "nonzero": lambda x: np.nonzero(x > 0),
    "nonzero method": lambda x: x.ravel()[(x.ravel() > 0).nonzero()],
    "nonzero of values": lambda x: x[np.nonzero(x * (x > -3))],
    "where of one argument": lambda x: x[np.where(x < 2)] * 2.0,
    "flatnonzero": lambda x: x.ravel()[np.flatnonzero(x > 2)],
    "argwhere": lambda x: np.argwhere(x < 0),
    "isclose": lambda x: x * np.isclose(x, x + 1e-9) * np.isclose(x, 1.2, rtol=0.5, atol=0.0),
    "allclose": lambda x: x * np.allclose(x, x + 1e-12) + np.allclose(x, 0.0, atol=7.0),
    "array_equal": lambda x: x * np.array_equal(x, x) + np.array_equal(x, x[:1]) + np.array_equal(x, x + 1),
    "array_equiv": lambda x: x * np.array_equiv(x, x) + np.array_equiv(x[0], x) + np.array_equiv(x, x[:, :2]),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    check(CALLS[name], X)


@pytest.mark.parametrize("name", ["nonzero", "argwhere", "isclose"])
def test_values_while_recording_are_numpys(name):
    assert_shown_as_numpy(CALLS[name], X)


def test_only_the_number_of_positions_is_guarded():
    assert_right_later(lambda x: np.nonzero(x > 0), X, X[::-1], np.abs(X) * [[1, 0, 1], [0, 2, 3]], n_guards=1)
    jacobian = fg.jacobian(lambda x: x[np.flatnonzero(x > 0)])
    assert [jacobian(np.array(x)).shape for x in ([1.0, -1.0], [-1.0, -1.0], [1.0, 2.0])] == [(1, 2), (0, 2), (2, 2)]


def test_comparisons_of_arrays_are_values_until_a_branch_asks():
    assert_right_later(lambda x: x * np.allclose(x, 1.0), np.ones(2), np.zeros(2))
    function = fg.grad(lambda x: np.sum(x) if np.allclose(x, 1.0) else np.sum(x * x))
    np.testing.assert_array_equal(function(np.ones(2)), [1.0, 1.0])
    np.testing.assert_array_equal(function(np.array([3.0, 1.0])), [6.0, 2.0])


def test_nan_is_close_only_if_asked():
    x = np.array([1.0, np.nan, np.inf])
    assert_shown_as_numpy(lambda x: (np.isclose(x, x), np.isclose(x, x, equal_nan=True)), x)
    assert_right_later(lambda x: (np.isclose(x, x), np.isclose(x, x, equal_nan=True)), np.ones(3), x)
    assert_right_later(lambda x: (x * np.array_equal(x, x, equal_nan=True))[:1], np.ones(3), x)
