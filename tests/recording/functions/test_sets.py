"""Distinct elements and sets: values, derivatives, and what is guarded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy

X = np.array([3.0, -1.0, 2.5, 0.5, -2.0, 1.5])
OTHERS = np.array([0.75, 2.25, -3.0])


def twice(x: Any) -> Any:
    return np.concatenate([x, x[::2]])


CALLS: dict[str, Any] = {
    "unique": lambda x: np.unique(twice(x)),
    "unique options": lambda x: np.unique(twice(x), return_index=True, return_inverse=True, return_counts=True),
    "unique of a matrix": lambda x: np.unique(np.reshape(twice(x)[:8], (2, 4)), return_inverse=True),
    "unique rows": lambda x: np.unique(
        np.reshape(np.concatenate([x, x[:4]]), (5, 2)), axis=0, return_index=True, return_inverse=True
    ),
    "unique columns": lambda x: np.unique(np.reshape(x, (2, 3))[:, [0, 1, 0, 2]], axis=-1, return_counts=True),
    "unique unsorted": lambda x: np.sort(np.unique(twice(x), sorted=False)),
    "unique_values": lambda x: np.sort(np.unique_values(twice(x))),
    "unique_counts": lambda x: tuple(np.unique_counts(twice(x))),
    "unique_inverse": lambda x: tuple(np.unique_inverse(np.reshape(x, (2, 3)))),
    "unique_all": lambda x: tuple(np.unique_all(twice(x))),
    "isin": lambda x: x * np.isin(x, x[:3]) + np.isin(x, [x[1], 7.0], invert=True) * x + np.isin(x, []),
    "union1d": lambda x: np.union1d(x, OTHERS),
    "union1d of both": lambda x: np.union1d(twice(x), np.reshape(x, (2, 3))),
    "intersect1d": lambda x: np.intersect1d(x, np.concatenate([OTHERS, twice(x[1:4])])),
    "intersect1d indices": lambda x: np.intersect1d(twice(x), x[::-1], return_indices=True),
    "intersect1d unique": lambda x: np.intersect1d(x, x[3:], assume_unique=True, return_indices=True),
    "setxor1d": lambda x: np.setxor1d(twice(x), np.concatenate([OTHERS, x[:2]])),
    "setdiff1d": lambda x: np.setdiff1d(twice(x), x[4:]),
    "setdiff1d unique": lambda x: np.setdiff1d(x, np.concatenate([x[:1], OTHERS]), assume_unique=True),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    check(CALLS[name], X)


@pytest.mark.parametrize("name", CALLS)
def test_values_while_recording_are_numpys(name):
    assert_shown_as_numpy(CALLS[name], X)


@pytest.mark.parametrize("name", CALLS)
def test_other_elements_need_no_new_recording_while_their_number_stays(name):
    n_guards = len(fg.record(CALLS[name], X).guard_nodes)
    assert n_guards <= 3
    # order and values change; which elements coincide does not
    assert_right_later(CALLS[name], X, -1.1 * X, X[[2, 0, 3, 5, 4, 1]] + 10.0, n_guards=n_guards)


def test_another_number_of_elements_is_recorded_anew():
    jacobian = fg.jacobian(lambda x: np.unique(np.floor(x)) + x[0])
    assert jacobian(np.array([0.5, 1.5])).shape == (2, 2)
    assert jacobian(np.array([0.5, 0.7])).shape == (1, 2)


def test_of_equal_elements_the_first_takes_the_derivative():
    np.testing.assert_array_equal(fg.jacobian(np.unique)(np.array([2.0, 1.0, 2.0])), [[0, 1, 0], [1, 0, 0]])
    by_x, by_y = fg.jacobian(np.intersect1d, argnums=(0, 1))(np.array([2.0, 1.0]), np.array([3.0, 2.0]))
    np.testing.assert_array_equal(by_x, [[1.0, 0.0]])
    np.testing.assert_array_equal(by_y, [[0.0, 0.0]])


def test_nan_is_one_element_unless_asked_otherwise():
    x = np.array([np.nan, 1.0, np.nan])
    for function in (np.unique, lambda x: np.unique(x, equal_nan=False), lambda x: tuple(np.unique_counts(x))):
        assert_shown_as_numpy(function, x)
        n_guards = len(fg.record(function, x).guard_nodes)
        assert_right_later(function, x, x[::-1].copy(), n_guards=n_guards)
    assert_shown_as_numpy(lambda x: np.isin(x, x), x)


def test_results_have_numpys_names():
    def function(x):
        found = np.unique_all(x)
        assert type(found).__name__ == "UniqueAllResult"
        return found.values * found.counts

    check(function, X)


@pytest.mark.parametrize(
    "function", [np.unique, lambda x: np.union1d(x, x), lambda x: np.setxor1d(x, x), np.unique_values]
)
def test_empty_sets(function):
    check(function, np.zeros(0))
