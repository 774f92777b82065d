"""Functions that choose elements, put them in or leave them out, and that count positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy
from tests.recording.functions.memory import assert_memory_as_numpy, in_every_layout

RANDOM = np.random.default_rng(8)
X = RANDOM.standard_normal((3, 4))
ROW = np.array([0.5, -1.5, 2.5, -0.5, 1.5])
PADDED = np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 1.5, -2.0, 0.0], [0.0, 0.0, 0.5, 0.0]])
WHICH = np.array([[0, 1, 2, 1], [2, 2, 0, 0], [1, 1, 1, 2]])

CALLS: dict[str, tuple[Any, Any]] = {
    "choose": (lambda x: np.choose(WHICH, [x, x * x, 3.0]), X),
    "choose rows": (lambda x: np.choose([2, 0, 1, 2], x), X),
    "choose wrap": (lambda x: np.choose(WHICH - 4, [x, 2 * x, x * x], mode="wrap"), X),
    "choose clip": (lambda x: np.choose(2 * WHICH - 1, (x, x[0], x * x), mode="clip"), X),
    "choose by recorded": (lambda x: np.choose((x > 0) * 1, [x, x * x]), X),
    "choose method": (lambda x: ((x > 0) * 1).choose([x, 1.0]), X),
    "select": (lambda x: np.select([x > 0.5, x > 0], [x, x * x]), X),
    "select default": (lambda x: np.select([x > 0.5, WHICH == 1], [x, 2.0], default=x[0] * 3.0), X),
    "select none": (lambda x: np.select([x > 100], [x], 7.0), X),
    "compress": (lambda x: np.compress([True, False, True], x, axis=0), X),
    "compress shorter": (lambda x: x.compress([0, 1], axis=1), X),
    "compress flat": (lambda x: np.compress([False, True, True], x), X),
    "compress by recorded": (lambda x: np.compress(x > 0, x * x), ROW),
    "extract": (lambda x: np.extract(x > 0, x * x), X),
    "extract by numbers": (lambda x: np.extract(WHICH, x), X),
    "take_along_axis": (lambda x: np.take_along_axis(x, WHICH[:, :2], 1), X),
    "take_along_axis broadcast": (lambda x: np.take_along_axis(x, np.array([[1], [0], [-1]]), axis=-1), X),
    "take_along_axis flat": (lambda x: np.take_along_axis(x, np.array([5, 0, 5]), axis=None), X),
    "take_along_axis sorted": (lambda x: np.take_along_axis(x, np.argsort(x, axis=0), axis=0), X),
    "insert": (lambda x: np.insert(x, 2, 9.0), ROW),
    "insert values": (lambda x: np.insert(x, [1, 3], x[:2] * x[1:3]), ROW),
    "insert at the end": (lambda x: np.insert(x, 5, [x[0], 1.0]), ROW),
    "insert slice": (lambda x: np.insert(x, slice(0, 4, 2), x[-2:]), ROW),
    "insert mask": (lambda x: np.insert(x, np.array([True, False, False, True, False]), x[0]), ROW),
    "insert row": (lambda x: np.insert(x, 1, x[0] * 2.0, axis=0), X),
    "insert columns": (lambda x: np.insert(x, [1, 1, -1], x[:, :1], axis=1), X),
    "insert columns one": (lambda x: np.insert(x, 1, x[:, 0], axis=1), X),
    "insert flat": (lambda x: np.insert(x, [3, -2], 1.0), X),
    "insert into plain": (lambda x: np.insert(x, 0, x[::-1]), ROW),
    "delete": (lambda x: np.delete(x, 1), ROW),
    "delete negative": (lambda x: np.delete(x, [-1, 0, 0]), ROW),
    "delete slice": (lambda x: np.delete(x, slice(None, None, 2)), ROW),
    "delete slice backwards": (lambda x: np.delete(x, slice(4, 0, -2)), ROW),
    "delete mask": (lambda x: np.delete(x, np.array([True, False, True, False, False])), ROW),
    "delete row": (lambda x: np.delete(x, 1, axis=0), X),
    "delete columns": (lambda x: np.delete(x, [0, 2], axis=-1), X),
    "delete flat": (lambda x: np.delete(x, [0, 7]), X),
    "delete nothing": (lambda x: np.delete(x, []), ROW),
    "trim_zeros": (lambda x: np.trim_zeros(x[1]), PADDED),
    "trim_zeros front": (lambda x: np.trim_zeros(x[1], "f"), PADDED),
    "trim_zeros back": (lambda x: np.trim_zeros(x[2], "B"), PADDED),
    "trim_zeros both ways": (lambda x: np.trim_zeros(x), PADDED),
    "trim_zeros axis": (lambda x: np.trim_zeros(x, axis=1), PADDED),
    "trim_zeros of zeros": (lambda x: np.trim_zeros(x[0]), PADDED),
}
# differences of these would leave a zero, at which the shape changes
AT_A_JUMP = [name for name in CALLS if name.startswith("trim_zeros")]
SMOOTH = [name for name in CALLS if name not in AT_A_JUMP]


@pytest.mark.parametrize("name", SMOOTH)
def test_value_and_derivatives_of(name):
    function, x = CALLS[name]
    check(function, x)


@pytest.mark.parametrize("name", AT_A_JUMP)
def test_trimmed_elements_have_derivative_one(name):
    function, x = CALLS[name]
    # which elements are left: of an array whose elements that are not zero are their own positions
    left = np.asarray(function(np.where(x != 0, np.arange(x.size).reshape(x.shape), 0.0)))
    found = fg.jacobian(function)(x).reshape(left.size, x.size)
    np.testing.assert_array_equal(found.sum(axis=1), np.ones(left.size))
    kept = left.ravel() != 0
    np.testing.assert_array_equal(found.argmax(axis=1)[kept], left.ravel()[kept])


@pytest.mark.parametrize("name", CALLS)
def test_values_while_recording_are_numpys(name):
    function, x = CALLS[name]
    for base, view in in_every_layout(x).values():
        assert_shown_as_numpy(lambda base, view=view: function(view(base)), base)


@pytest.mark.parametrize("name", [name for name in CALLS if "recorded" not in name and "method" not in name])
def test_results_are_views_and_read_only_where_numpys_are(name):
    function, x = CALLS[name]
    assert_memory_as_numpy(function, x)


ERRORS = {
    "choose": lambda x: np.choose([0, 3], [x[0, :2], x[1, :2]]),
    "select": lambda x: np.select([x > 0], [x, x]),
    "select numbers": lambda x: np.select([x], [x]),
    "compress": lambda x: np.compress([[True]], x),
    "compress longer": lambda x: np.compress([True] * 9, x, axis=0),
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([0]), 1),
    "take_along_axis out of it": lambda x: np.take_along_axis(x, np.array([[9]]), 1),
    "insert": lambda x: np.insert(x, 20, 1.0),
    "insert shape": lambda x: np.insert(x, 1, x[0, :2], axis=0),
    "delete": lambda x: np.delete(x, 20),
    "delete mask": lambda x: np.delete(x, np.array([True, False])),
    "trim_zeros": lambda x: np.trim_zeros(x[0], "x"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_numpys(name):
    with pytest.raises((ValueError, TypeError, IndexError)) as expected:
        ERRORS[name](X)
    with pytest.raises(type(expected.value)) as found:
        fg.record(ERRORS[name], X)
    assert str(found.value) == str(expected.value)


def test_choices_that_hang_on_values_are_right_later_without_guards():
    x = np.array([0.2, 1.7, -0.4])
    later = (-x, x[::-1], x * 3.0)
    assert_right_later(lambda x: np.select([x > 1, x > 0], [x, x * x], -x), x, *later)
    assert_right_later(lambda x: np.choose((x > 0) * 1 + (x > 1), [x, x * x, -x]), x, *later)
    assert_right_later(lambda x: np.choose(np.argsort(x), [x, x * x, 5.0]), x, *later)
    assert_right_later(lambda x: np.choose(np.argsort(x) + 7, [x, x * x], mode="wrap"), x, *later)
    assert_right_later(lambda x: np.choose(np.argsort(x), [x, x * x], mode="clip"), x, *later)
    assert_right_later(lambda x: np.take_along_axis(x * x, np.argsort(x), 0), x, *later)


def test_choices_out_of_range_later_are_no_numbers():
    gradient = fg.value_and_grad(lambda x: np.sum(np.choose((x > 0) * 1 + (x > 1), [x, 2.0 * x])))
    assert gradient(np.array([-1.0, 0.5]))[0] == 0.0
    assert np.isnan(gradient(np.array([-1.0, 1.5]))[0])


def test_how_many_elements_are_left_is_guarded():
    for function in (
        lambda x: np.compress(x > 0, x),
        lambda x: np.extract(x > 0, x),
        lambda x: np.delete(x, x <= 0),
        lambda x: np.trim_zeros(np.maximum(x, 0.0)),
    ):
        jacobian = fg.jacobian(function)
        assert [jacobian(np.array(x)).shape for x in ([1.0, -1.0], [2.0, 1.0], [-1.0, -1.0])] == [
            (1, 2),
            (2, 2),
            (0, 2),
        ]


def test_whole_numbers_drop_no_derivative():
    with pytest.raises(fg.LostDerivativeError, match=r"converted to int64 by np\.insert"):
        fg.record(lambda x: np.insert(np.argsort(x), 0, x[0]), ROW)


def test_captured_arrays_beside_recorded_values_are_seen_to_change():
    captured = np.array([1.0, 2.0])
    function = fg.value_and_grad(lambda x: np.sum(np.insert(captured, 1, x) ** 2))
    assert function(3.0) == (14.0, 6.0)
    captured[0] = 5.0
    assert function(3.0) == (38.0, 6.0)


POSITIONS = {
    "unravel_index": lambda x: np.unravel_index(np.argsort(x) * 3, (4, 5)),
    "unravel_index F": lambda x: np.unravel_index(np.argsort(x), (2, 3), order="F"),
    "unravel_index of a number": lambda x: np.unravel_index(np.argmax(x), (2, 3)),
    "unravel_index length": lambda x: np.unravel_index(np.argsort(x), 6),
    "ravel_multi_index": lambda x: np.ravel_multi_index((np.argsort(x), np.argsort(-x)), (5, 6)),
    "ravel_multi_index F": lambda x: np.ravel_multi_index((np.argsort(x), np.argsort(-x)), (5, 6), order="F"),
    "ravel_multi_index modes": lambda x: np.ravel_multi_index(
        (np.argsort(x) + 3, np.argsort(-x) - 2), (3, 4), mode=("wrap", "clip")
    ),
}


@pytest.mark.parametrize("name", POSITIONS)
def test_positions_are_counted_anew_later(name):
    assert_shown_as_numpy(POSITIONS[name], ROW)
    assert_right_later(POSITIONS[name], ROW, -ROW, ROW[::-1])


def test_positions_that_a_shape_says():
    check(lambda x: x[np.tril_indices_from(x)] * 2.0, X[:, :3])
    check(lambda x: x[np.triu_indices_from(x, 1)] * 2.0, X)
    check(lambda x: x[np.diag_indices_from(x)] * 2.0, X[:, :3])
    check(lambda x: x[np.diag_indices(3)] + x[np.tril_indices(2, 0, 3)], X)
    check(lambda x: x[np.ix_([0, 2], [1, 3])] * 2.0, X)


def test_positions_out_of_range_raise_numpys_error():
    with pytest.raises(ValueError, match="out of bounds"):
        fg.record(lambda x: np.unravel_index(np.argsort(x), (2, 2)), ROW)
    with pytest.raises(ValueError, match="invalid entry"):
        fg.record(lambda x: np.ravel_multi_index((np.argsort(x),), (2,)), ROW)
