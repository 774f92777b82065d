"""Sorting, searching and interpolation: values, derivatives, and one recording for every order of the elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy

RANDOM = np.random.default_rng(5)


def normal(*shape: int) -> Any:
    return RANDOM.standard_normal(shape)


def spread(*shape: int) -> Any:
    """Elements in any order, none close to another."""
    n = int(np.prod(shape))
    return (RANDOM.permutation(n) - 0.4 * n + RANDOM.uniform(-0.2, 0.2, n)).reshape(shape)


KNOTS, ORDINATES = np.array([-2.0, -0.5, 0.3, 1.0, 2.5]), np.array([1.0, -1.0, 2.0, 0.5, 3.0])
PLACES = np.array([-3.0, -1.7, -0.45, 0.1, 0.9, 2.2, 4.0])

CALLS: dict[str, tuple[Any, ...]] = {
    "sort": (lambda x: np.sort(x), spread(3, 4)),
    "sort axis": (lambda x: np.sort(x, axis=0, kind="heapsort"), spread(4, 3)),
    "sort flat": (lambda x: np.sort(x, axis=None, stable=True), spread(2, 3)),
    "sort middle axis": (lambda x: np.sort(x, axis=-2), spread(2, 4, 2)),
    "sort of a list": (lambda x: np.sort([x[0], x[1] * x[0], -1.0]), np.array([2.0, 0.7])),
    "sort twice": (lambda x: np.sort(np.sort(x, axis=0) * x, axis=1), spread(3, 3)),
    "sort_complex": (lambda x: np.sort_complex(x).real, spread(5)),
    "argsort": (lambda x: x[np.argsort(x)] * np.argsort(x), spread(6)),
    "argsort axis": (lambda x: x * np.argsort(x, axis=0) + x * x.argsort(kind="stable"), spread(3, 4)),
    "argsort flat": (lambda x: x.ravel() * np.argsort(x, axis=None), spread(3, 2)),
    "partition": (lambda x: np.partition(x, 2)[2], spread(6)),
    "partition axis": (lambda x: np.partition(x, (1, -1), axis=0)[[1, 3]], spread(4, 3)),
    "argpartition": (lambda x: x[np.argpartition(x, 3, axis=None)[3]] * np.argpartition(x, 3)[3], spread(6)),
    "argpartition axis": (lambda x: x[0] * np.argpartition(x, 1, axis=0)[1], spread(3, 2)),
    "argmax": (lambda x: x * np.argmax(x, axis=1, keepdims=True) + x.argmin(), spread(3, 4)),
    "argmin": (lambda x: x * x.argmin(0) + np.argmax(x) * x, spread(3, 4)),
    "lexsort": (lambda x, y: x * np.lexsort((x, y)) + np.lexsort(np.stack([y, x])) * y, spread(4), spread(4)),
    "lexsort axis": (lambda x: x[0] * np.lexsort(x, axis=0), spread(2, 3, 2)),
    "searchsorted": (lambda x, v: v * np.searchsorted(np.sort(x), v), spread(5), spread(2, 3) + 0.45),
    "searchsorted options": (
        lambda x, v: v * np.searchsorted(x, v, side="right", sorter=np.argsort(x)) + np.sort(x).searchsorted(v),
        spread(5),
        normal() + 0.45,
    ),
    "digitize": (lambda x: x * np.digitize(x, [-1.0, 0.0, 2.0]) + np.digitize(x, [2.5, 0.1], right=True), spread(5)),
    "digitize recorded bins": (lambda x, b: x * np.digitize(x, np.cumsum(b**2)), spread(5), normal(3)),
    "interp": (lambda x, xp, fp: np.interp(x, xp, fp), PLACES, KNOTS, ORDINATES),
    "interp ends": (lambda x, y, z: np.interp(x, KNOTS, ORDINATES, left=y, right=z), PLACES, normal(), normal()),
    "interp period": (lambda x, xp, fp: np.interp(x, xp, fp, period=-5.3), PLACES * 1.9, KNOTS[::-1] * 1.1, ORDINATES),
    "interp number": (lambda x, xp: np.interp(x, xp, ORDINATES), np.float64(0.7), KNOTS),
    "interp one knot": (lambda fp: np.interp(PLACES, [0.5], fp), normal(1)),
    "interp of lists": (lambda x: np.interp([x, 0.1], [-1.0, x * x, 3.0], [x, 1.0, 2.0]), np.float64(0.7)),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    function, *args = CALLS[name]
    check(function, *args)


@pytest.mark.parametrize("name", CALLS)
def test_values_while_recording_are_numpys(name):
    function, *args = CALLS[name]
    assert_shown_as_numpy(function, *args)


@pytest.mark.parametrize("name", ["sort twice", "interp", "interp period", "interp of lists"])
def test_second_derivatives_of(name):
    function, *args = CALLS[name]
    fg.check_grads(lambda *args: np.sum(function(*args) ** 2), args)


LATER = {
    "sort": lambda x: np.sort(x * x),
    "sort axis": lambda x: np.sort(np.reshape(x, (2, 3)), axis=0),
    "argsort": lambda x: (np.argsort(x), np.argsort(-x, kind="stable"), np.argsort((x > 0) + 0)),
    "gathered": lambda x: x[np.argsort(x)][::-1],
    "partition": lambda x: (np.partition(x, 2)[2], np.argpartition(x, (1, 4))[4]),
    "argmax": lambda x: (np.argmax(x), x.argmin(), np.argmax(np.reshape(x, (3, 2)), axis=1)),
    "lexsort": lambda x: np.lexsort((x, x > 0)),
    "searchsorted": lambda x: np.searchsorted(np.array([-1.0, 0.0, 1.0]), x),
    "digitize": lambda x: np.digitize(x, [-1.0, 0.0, 1.0]),
    "interp": lambda x: np.interp(x, KNOTS, ORDINATES),
    "interp knots": lambda x: np.interp(PLACES, np.cumsum(np.abs(x)), x),
    "running": lambda x: (np.maximum.accumulate(x), np.fmin.accumulate(x)),
}


@pytest.mark.parametrize("name", LATER)
def test_one_recording_serves_every_order_of_the_elements(name):
    assert_right_later(LATER[name], normal(6), normal(6), normal(6), np.arange(6.0), np.zeros(6))


def test_sorted_values_need_two_operations():
    assert fg.record(np.sort, normal(4, 5)).n_operations == 2


def test_of_equal_elements_the_first_takes_the_first_place():
    x = np.array([2.0, 1.0, 2.0, 1.0, 0.0])
    jacobian = fg.jacobian(np.sort)(x)
    np.testing.assert_array_equal(jacobian, np.eye(5)[[4, 1, 3, 0, 2]])
    # so many that NumPy's fastest sort exchanges equal ones
    x = np.repeat([1.0, 0.0], 200)
    order = np.argsort(x, kind="stable")
    gradient = fg.grad(lambda x: np.sort(x) @ np.arange(400.0))(x)
    np.testing.assert_array_equal(gradient[order], np.arange(400.0))


def test_positions_of_equal_elements_are_numpys_at_later_inputs_too():
    many = np.tile([1.0, 0.0, 1.0], 100)
    assert_right_later(lambda x: (np.argsort(x), np.argsort((x > 0) + 0), np.argmax(x)), normal(300), many)


def test_nan_is_sorted_to_the_end():
    x = np.array([np.nan, 2.0, np.nan, 1.0])
    value, pullback = fg.vjp(np.sort, x)
    np.testing.assert_array_equal(value, [1.0, 2.0, np.nan, np.nan])
    np.testing.assert_array_equal(pullback(np.array([1.0, 2.0, 3.0, 4.0]))[0], [3.0, 2.0, 4.0, 1.0])
    assert_right_later(lambda x: (np.sort(x), np.argmax(x), np.searchsorted([0.0, 1.5], x)), normal(4), x)


def test_interpolation_at_a_knot_takes_the_piece_that_begins_there():
    xp, fp = np.array([0.0, 1.0, 3.0]), np.array([1.0, 2.0, -2.0])
    slopes = [fg.grad(lambda x: np.interp(x, xp, fp))(x) for x in (-1.0, 0.0, 1.0, 2.0, 3.0, 4.0)]
    assert slopes == [0.0, 1.0, -2.0, -2.0, 0.0, 0.0]


def test_interpolation_at_nan_is_nan():
    assert_right_later(lambda x: np.interp(x, KNOTS, ORDINATES), PLACES, np.full(7, np.nan))


@pytest.mark.parametrize("fp", [[0.0, np.inf, np.inf, 1.0], [np.inf, 0.0, 1.0, np.inf], [-np.inf, np.inf, 0.0, 2.0]])
def test_interpolation_between_infinite_ordinates_is_as_in_numpy(fp):
    xp, x = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 0.5, 1.0, 1.25, 2.0, 2.75, 3.0, 5.0])
    value, _ = fg.jvp(lambda x: np.interp(x, xp, fp), (x,), (np.ones(8),))
    np.testing.assert_array_equal(value, np.interp(x, xp, fp))


def test_which_way_bins_run_is_guarded():
    function = fg.jacobian(lambda x: x * np.digitize(x, np.array([0.0, 1.0]) * x[0] + 0.5))
    for x in (np.array([1.0, 2.0, 3.0]), np.array([-1.0, 2.0, -3.0])):
        np.testing.assert_array_equal(function(x), np.diag(np.digitize(x, np.array([0.0, 1.0]) * x[0] + 0.5)))


def test_indices_have_numpys_type_and_can_be_used_as_indices():
    def function(x):
        assert np.argmax(x).dtype == np.argsort(x).dtype == np.searchsorted(np.sort(x), x).dtype == np.intp
        return x[np.argmax(x)] * [1.0, 2.0, 3.0][np.argmin(x)]

    for x in ([1.0, 3.0, 2.0], [3.0, 2.0, 1.0]):
        np.testing.assert_array_equal(fg.grad(function)(np.array(x)), np.eye(3)[np.argmax(x)] * (np.argmin(x) + 1))


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 0), (2, 1)])
def test_empty_and_short_axes(shape):
    for function in (np.sort, np.argsort, lambda x: np.sort(x, axis=0), lambda x: np.sort(x, axis=None)):
        check(lambda x, f=function: f(x) * 1.0, normal(*shape))
    check(lambda x: np.interp(x, KNOTS, ORDINATES) + np.searchsorted(KNOTS, x) + np.digitize(x, KNOTS), normal(*shape))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sort(x, axis=2),
        lambda x: np.argmax(x[:, :0], axis=1),
        lambda x: np.partition(x, 7),
        lambda x: np.argsort(x, kind="nonsense"),
        lambda x: np.interp(x, [0.0, 1.0], [1.0]),
        lambda x: np.interp(x, [0.0, 1.0], [1.0, 2.0], period=0),
        lambda x: np.digitize(x, [0.0, 2.0, 1.0]),
        lambda x: np.searchsorted(x, 1.0),
        lambda x: np.lexsort((x, x[:1])),
    ],
)
def test_errors_are_numpys_own(function):
    with pytest.raises(Exception) as expected:  # noqa: PT011 - NumPy says which
        function(np.ones((2, 3)))
    with pytest.raises(type(expected.value)) as found:
        fg.jacobian(function)(np.ones((2, 3)))
    assert str(found.value)[:30] == str(expected.value)[:30]


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda x: x[::-1, ::-1], lambda x: np.repeat(x, 2, 1)[:, ::2]])
def test_layouts_of_memory(layout):
    check(lambda x: np.sort(x, 0) * np.argsort(x, 1) + np.max(np.partition(x, 1, 0)[1]), layout(spread(3, 4)))


def test_integers_are_sorted_as_numbers():
    def function(x):
        numbers = (x > 0) + (x > 1) * 2
        assert np.sort(numbers).dtype == numbers.dtype
        return x * np.sort(numbers) + np.argmax(numbers) + np.searchsorted(np.sort(numbers), 1)

    check(function, np.array([0.5, 2.0, -1.0, 1.5]))
