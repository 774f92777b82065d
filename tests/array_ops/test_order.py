"""Positions as entries of the table: what they evaluate to, and that they have no derivative."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import array_ops
from fastgrad.tape import ARRAY_OPERATION

RANDOM = np.random.default_rng(13)
STEPS = ["argsort", "sort_positions", "argmax", "argmin", "running_extremum", "lexsort", "searchsorted", "bincount"]


@pytest.mark.parametrize("name", STEPS)
def test_positions_are_steps(name):
    assert getattr(array_ops, name).piecewise_constant


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_sort_positions_put_the_flattened_array_in_order(axis):
    for x in (RANDOM.standard_normal((4, 3, 5)), RANDOM.integers(0, 3, (4, 3, 5)).astype(float)):
        positions = array_ops.sort_positions.evaluate((axis, ()), x)
        np.testing.assert_array_equal(x.ravel()[positions], np.sort(x, axis))
        indices = np.argsort(x, axis, kind="stable")
        np.testing.assert_array_equal(positions, np.take_along_axis(np.arange(60).reshape(x.shape), indices, axis))
        positions = array_ops.sort_positions.evaluate((axis, (1,)), x)
        np.testing.assert_array_equal(np.take(x.ravel()[positions], 1, axis), np.take(np.sort(x, axis), 1, axis))


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
def test_running_extrema_are_gathered_at_their_positions(name):
    for x in (RANDOM.standard_normal((3, 6)), np.array([[np.nan, 1.0, 1.0, np.nan, -2.0, 3.0]])):
        positions = array_ops.running_extremum.evaluate((1, name), x)
        np.testing.assert_array_equal(x.ravel()[positions], getattr(np, name).accumulate(x, 1))


def test_nothing_is_sorted_into_nothing():
    assert array_ops.sort_positions.evaluate((0, ()), np.zeros((0, 2))).shape == (0, 2)
    assert array_ops.running_extremum.evaluate((0, "maximum"), np.zeros((0, 2))).shape == (0, 2)
    assert array_ops.bincount.evaluate(3, np.zeros(0)).tolist() == [0, 0, 0]


def test_tapes_of_positions_are_valid_and_can_be_stored():
    tape = fg.record(lambda x: np.sort(x) + np.interp(x, [0.0, 1.0], [1.0, 2.0]) + np.cumprod(x), np.arange(4.0))
    assert tape.validate() is tape
    assert pickle.loads(pickle.dumps(tape)) == tape
    assert ARRAY_OPERATION + array_ops.gather.code in tape.opcodes


def test_shapes_that_do_not_fit_are_found():
    for call in (
        lambda: array_ops.argsort.shape_rule((2, "stable", "<f8"), (3, 3)),
        lambda: array_ops.argmax.shape_rule(0, (0,)),
        lambda: array_ops.lexsort.shape_rule(1, (2, 3)),
        lambda: array_ops.lexsort.shape_rule(0, ()),
    ):
        with pytest.raises(ValueError, match=r"no such axis|no extremum|no keys"):
            call()
