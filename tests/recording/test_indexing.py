"""``x[index]`` for every kind of index that NumPy takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastgrad as fg
from tests.derivative_checks import check

CUBE = np.arange(24.0).reshape(2, 3, 4)
MASK = CUBE % 3 == 0
INDICES = {
    "int": 1,
    "negative": -1,
    "np.int64": np.int64(1),
    "tuple": (1, 2, 3),
    "slice": slice(None, None, 2),
    "backwards": (slice(None), slice(None, None, -1)),
    "backwards in part": (0, slice(2, 0, -1)),
    "to the first": (0, slice(2, None, -2)),
    "beyond the end": slice(1, 99),
    "empty": slice(5, 2),
    "ellipsis": (..., 1),
    "ellipsis in the middle": (1, ..., slice(1, 3)),
    "ellipsis for nothing": (1, 2, 3, ...),
    "new axes": (None, 1, None, slice(None), None),
    "nothing": (),
    "list": [1, 0, 1],
    "range": range(1, -1, -1),
    "two ranges": (range(2), range(1, 3)),
    "nested list": [[0, 1], [1, 1]],
    "empty list": [],
    "array": np.array([-1, 0]),
    "two arrays": ([0, 1, 1], [2, 0, -1]),
    "arrays that broadcast": ([[0], [1]], [2, 0]),
    "arrays apart": ([0, 1], slice(None), [2, 0]),
    "array and slice": (slice(None), [2, 0], slice(1, 3)),
    "array and new axis": ([0, 1], None, 1),
    "unsigned": np.array([1, 0], np.uint8),
    "mask": MASK,
    "mask of rows": np.array([True, False]),
    "mask and slice": (slice(None), np.array([True, False, True]), 1),
    "mask as list": [False, True],
    "True": True,
    "False": False,
}


@pytest.mark.parametrize("name", INDICES)
def test_index(name):
    index = INDICES[name]
    check(lambda x: x[index] * 2.0, CUBE)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_basic_index(data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    check(lambda x: x[index] * 1.5, np.arange(float(np.prod(shape, dtype=int))).reshape(shape))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_index_of_whole_numbers(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    index = data.draw(hnp.integer_array_indices(shape))
    check(lambda x: x[index] * 1.5, np.arange(float(np.prod(shape))).reshape(shape))


def test_an_element_taken_twice_has_both_derivatives():
    np.testing.assert_array_equal(fg.grad(lambda x: np.sum(x[[0, 0, 2]]))(np.ones(3)), [2.0, 0.0, 1.0])


def test_whole_slices_and_full_indices_leave_no_node():
    tape = fg.record(lambda x: x[:][...][0:3] * 2.0, np.ones(3))
    assert [node.operation for node in tape] == ["input", "constant", "multiply"]


def test_recorded_positions_are_guarded():
    def function(x):
        position = int(x[0])
        return x[position] ** 2

    gradient = fg.grad(function)
    np.testing.assert_array_equal(gradient(np.array([1.0, 5.0, 7.0])), [0.0, 10.0, 0.0])
    np.testing.assert_array_equal(gradient(np.array([2.0, 5.0, 7.0])), [0.0, 0.0, 14.0])
    np.testing.assert_array_equal(gradient(np.array([2.9, 5.0, 7.0])), [0.0, 0.0, 14.0])


def test_recorded_masks_are_guarded_element_by_element():
    gradient = fg.grad(lambda x: np.sum(x[x > 0] ** 2))
    for x in ([1.0, -2.0, 3.0], [-1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]):
        np.testing.assert_array_equal(gradient(np.array(x)), 2 * np.maximum(x, 0.0))


def test_recorded_counts_are_indices_and_slices():
    def function(x):
        n = (x > 0).sum()
        return np.sum(x[:n]) * 2.0 + x[n - 1]

    for x in ([1.0, -2.0, 3.0], [-1.0, -2.0, 3.0]):
        n = sum(v > 0 for v in x)
        expected = 2.0 * (np.arange(3) < n) + (np.arange(3) == n - 1)
        np.testing.assert_array_equal(fg.grad(function)(np.array(x)), expected)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (3, "index 3 is out of bounds for axis 0 with size 3"),
        ((0, 0), "too many indices for array"),
        ((..., ...), r"an index can only have a single ellipsis"),
        ([0, 5], "index 5 is out of bounds for axis 0 with size 3"),
    ],
)
def test_wrong_indices_raise_numpys_errors(index: Any, message: str):
    with pytest.raises(IndexError, match=message):
        fg.jacobian(lambda x: x[index])(np.ones(3))


def test_a_recorded_float_is_no_index():
    with pytest.raises(TypeError, match=r"'numpy\.float64' object cannot be interpreted as an integer"):
        fg.jacobian(lambda x: x[x[0]])(np.ones(3))
    with pytest.raises(TypeError, match=r"'numpy\.float64' object cannot be interpreted as an integer"):
        fg.jacobian(lambda x: range(x[0]))(np.ones(3))
