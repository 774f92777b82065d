"""Functions that put elements into another order, repeat them, or take parts of an array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy
from tests.recording.functions.memory import assert_memory_as_numpy, in_every_layout

RANDOM = np.random.default_rng(5)
X = RANDOM.standard_normal((2, 3, 4))
Y = RANDOM.standard_normal((4, 6))
ROW = RANDOM.standard_normal(6)
windows = np.lib.stride_tricks.sliding_window_view

CALLS: dict[str, tuple[Any, Any]] = {
    "flip": (lambda x: np.flip(x), X),
    "flip axis": (lambda x: np.flip(x, -1), X),
    "flip axes": (lambda x: np.flip(x, (0, 2)), X),
    "fliplr": (lambda x: np.fliplr(x), Y),
    "flipud": (lambda x: np.flipud(x), Y),
    "rot90": (lambda x: np.rot90(x), Y),
    "rot90 by 0": (lambda x: np.rot90(x, 0), Y),
    "rot90 by 2": (lambda x: np.rot90(x, 2), Y),
    "rot90 back": (lambda x: np.rot90(x, -1), Y),
    "rot90 axes": (lambda x: np.rot90(x, 1, (2, 0)), X),
    "roll": (lambda x: np.roll(x, 2), X),
    "roll back": (lambda x: np.roll(x, -9), ROW),
    "roll by nothing": (lambda x: np.roll(x, 6), ROW),
    "roll axis": (lambda x: np.roll(x, 1, axis=-1), X),
    "roll axes": (lambda x: np.roll(x, (1, -1), (0, 2)), X),
    "roll one shift on axes": (lambda x: np.roll(x, 1, (0, 1, 0)), X),
    "tile": (lambda x: np.tile(x, 3), Y),
    "tile both ways": (lambda x: np.tile(x, (2, 3)), ROW),
    "tile fewer": (lambda x: np.tile(x, (2,)), X),
    "tile once": (lambda x: np.tile(x, 1), Y),
    "tile never": (lambda x: np.tile(x, (0, 2)), Y),
    "repeat": (lambda x: np.repeat(x, 3), Y),
    "repeat axis": (lambda x: np.repeat(x, 2, axis=-1), X),
    "repeat each": (lambda x: x.repeat([0, 2, 1, 3], axis=0), Y),
    "repeat each many times": (lambda x: np.repeat(x, [1, 2] * 12), Y),
    "repeat never": (lambda x: np.repeat(x, 0, axis=1), Y),
    "resize larger": (lambda x: np.resize(x, (3, 13)), Y),
    "resize smaller": (lambda x: np.resize(x, 5), Y),
    "resize to nothing": (lambda x: np.resize(x, (0, 3)), Y),
    "split": (lambda x: np.split(x, 3, axis=1), Y),
    "split at": (lambda x: np.split(x, [1, 4], axis=-1), Y),
    "split backwards": (lambda x: np.split(x, [3, 1]), Y),
    "array_split": (lambda x: np.array_split(x, 4, 1), Y),
    "hsplit": (lambda x: np.hsplit(x, 2), Y),
    "hsplit row": (lambda x: np.hsplit(x, [2]), ROW),
    "vsplit": (lambda x: np.vsplit(x, 2), Y),
    "dsplit": (lambda x: np.dsplit(x, [1, 3]), X),
    "unstack": (lambda x: np.unstack(x), Y),
    "unstack axis": (lambda x: np.unstack(x, axis=1), X),
    "windows": (lambda x: windows(x, 3), ROW),
    "windows axis": (lambda x: windows(x, 2, axis=1), X),
    "windows both ways": (lambda x: windows(x, (2, 3)), Y),
    "windows to write": (lambda x: windows(x, 3, writeable=True), ROW),
    "take": (lambda x: np.take(x, [2, 0, 0, -1]), Y),
    "take axis": (lambda x: x.take([[2, 0], [0, -1]], axis=1), Y),
    "take one": (lambda x: np.take(x, 1, axis=0), Y),
    "take wrap": (lambda x: np.take(x, [7, -8, 30], mode="wrap"), ROW),
    "take clip": (lambda x: np.take(x, [7, -8, 3], axis=0, mode="clip"), Y),
    "take nothing": (lambda x: np.take(x, np.zeros(0, int), axis=0), Y),
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


ERRORS = {
    "flip": lambda x: np.flip(x, 2),
    "fliplr": lambda x: np.fliplr(x[0]),
    "flipud": lambda x: np.flipud(x[0, 0]),
    "rot90": lambda x: np.rot90(x, 1, (0, 0)),
    "rot90 of a row": lambda x: np.rot90(x[0]),
    "roll": lambda x: np.roll(x, 1, axis=2),
    "repeat": lambda x: np.repeat(x, [1, 2], axis=0),
    "repeat a negative number of times": lambda x: np.repeat(x, -1),
    "tile": lambda x: np.tile(x, -1),
    "resize": lambda x: np.resize(x, (-1, 3)),
    "split": lambda x: np.split(x, 3),
    "hsplit": lambda x: np.hsplit(x[0, 0], 1),
    "vsplit": lambda x: np.vsplit(x[0], 2),
    "dsplit": lambda x: np.dsplit(x, 2),
    "array_split": lambda x: np.array_split(x, 0),
    "unstack": lambda x: np.unstack(x[0, 0]),
    "windows": lambda x: windows(x, (5, 2)),
    "take": lambda x: np.take(x, 30),
    "take axis": lambda x: np.take(x, [0, 6], axis=1),
    "take mode": lambda x: np.take(x, 0, mode="around"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_numpys(name):
    with pytest.raises((ValueError, TypeError, IndexError)) as expected:
        ERRORS[name](Y)
    with pytest.raises(type(expected.value)) as found:
        fg.record(ERRORS[name], Y)
    assert str(found.value) == str(expected.value)


def test_nothing_is_rearranged():
    empty = np.zeros((0, 3))
    for function in (
        lambda x: np.flip(x),
        lambda x: np.roll(x, 1),
        lambda x: np.tile(x, 2),
        lambda x: np.repeat(x, 2, axis=1),
        lambda x: np.resize(x, (2, 2)),
        lambda x: np.split(x, 1),
        lambda x: np.take(x, np.zeros(0, int), axis=0),
    ):
        check(function, empty)
        assert_shown_as_numpy(function, empty)


def test_a_few_runs_of_elements_are_slices_and_look_nothing_up():
    def names(function, x):
        return {node.operation for node in fg.record(function, x)} & {"gather", "slice", "concatenate", "broadcast_to"}

    x = np.ones((50, 50))
    assert "gather" not in names(lambda x: np.roll(x, 3, axis=1), x)
    assert "gather" not in names(lambda x: np.repeat(x, 3, axis=0), x)
    assert "gather" not in names(lambda x: np.tile(x, (2, 2)), x)
    assert "gather" in names(lambda x: np.take(x, [3, 9, 4, 0]), x)


def test_recorded_positions_may_change_later_and_are_not_guarded():
    x = np.array([3.0, 1.0, 2.0])
    assert_right_later(lambda x: np.take(x * x, np.argsort(x)), x, x[::-1], -x)
    assert_right_later(lambda x: np.take(x, np.argsort(x) + 5, mode="wrap"), x, x[::-1], -x)
    assert_right_later(lambda x: np.take(x, np.argsort(x) - 1, mode="clip"), x, x[::-1], -x)


def test_recorded_counts_that_shape_a_result_are_guarded():
    shifted = fg.jacobian(lambda x: np.roll(x, np.sum(x > 0)))
    np.testing.assert_array_equal(shifted(np.array([1.0, -1.0, -1.0])), np.roll(np.eye(3), 1, axis=0))
    np.testing.assert_array_equal(shifted(np.array([1.0, 1.0, -1.0])), np.roll(np.eye(3), 2, axis=0))
    repeated = fg.jacobian(lambda x: np.repeat(x, (x > 0) + 1))
    assert [len(repeated(np.array(x))) for x in ([1.0, -1.0], [1.0, 1.0])] == [3, 4]


def test_pieces_see_what_is_written_into_the_whole_and_copies_do_not():
    def function(x):
        y = x * 1.0
        first, second = np.split(y, 2)
        turned, window, rolled, tiled = np.rot90(y), windows(y[0], 2), np.roll(y, 1), np.tile(y, 1)
        y[0, 1] = x[3, 3] ** 2
        second[0, 0] = x[0, 0] * 3.0
        turned[0, 0] = x[1, 1]
        return first, second, turned, window, rolled, tiled, y

    check(function, Y)
