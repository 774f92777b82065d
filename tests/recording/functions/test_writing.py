"""Functions that write into an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy

X = np.random.default_rng(9).standard_normal((3, 4))
MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])

WRITES: dict[str, Callable[..., Any]] = {
    "copyto": lambda y, x: np.copyto(y, x * x),
    "copyto a number": lambda y, x: np.copyto(y, x[0, 0]),
    "copyto a row": lambda y, x: np.copyto(y, x[0] * 2.0),
    "copyto where": lambda y, x: np.copyto(y, x * x, where=MASK),
    "copyto where row": lambda y, x: np.copyto(y, x[:, :1] * x, where=[True, False, True, False]),
    "copyto where recorded": lambda y, x: np.copyto(y, x * x, where=x > 0),
    "put": lambda y, x: np.put(y, [3, 0, -1], x[0, :3] * 2.0),
    "put a number": lambda y, x: np.put(y, [3, 5], x[0, 0]),
    "put too few": lambda y, x: np.put(y, np.array([[1, 2], [3, 4]]), x[0, :3] ** 2),
    "put too many": lambda y, x: np.put(y, 7, x.ravel()),
    "put twice": lambda y, x: np.put(y, [1, 1, 2], x[0, :3]),
    "put nothing": lambda y, x: np.put(y, [1, 2], x[0, :0]),
    "put wrap": lambda y, x: np.put(y, [13, -14], x[0, :2], mode="wrap"),
    "put clip": lambda y, x: np.put(y, [100, -100], x[0, :2], mode="clip"),
    "put method": lambda y, x: y.put([1, 2], x[1, :2] ** 2),
    "place": lambda y, x: np.place(y, MASK, x[0]),
    "place recorded": lambda y, x: np.place(y, x > 0, [x[0, 0], x[1, 1]]),
    "putmask": lambda y, x: np.putmask(y, MASK, x * 2.0),
    "putmask too few": lambda y, x: np.putmask(y, MASK, x[0, :3]),
    "putmask recorded": lambda y, x: np.putmask(y, x > 0, x * x),
    "put_along_axis": lambda y, x: np.put_along_axis(y, np.array([[0], [3], [1]]), x[:, :1] * 2.0, axis=1),
    "put_along_axis number": lambda y, x: np.put_along_axis(y, np.array([[0, 1, 2, 0]]), x[0, 0], axis=0),
    "put_along_axis flat": lambda y, x: np.put_along_axis(y, np.array([7, 2]), x[0, :2] ** 2, axis=None),
    "put_along_axis recorded": lambda y, x: np.put_along_axis(y, np.argmax(x, 1, keepdims=True), 9.0, axis=1),
    "fill_diagonal": lambda y, x: np.fill_diagonal(y, x[0, 0]),
    "fill_diagonal values": lambda y, x: np.fill_diagonal(y, x[0, :2] ** 2),
    "fill": lambda y, x: y.fill(x[1, 1]),
    "flat": lambda y, x: y.flat.__setitem__(slice(1, 9, 3), x[0, :2]),
    "flat mask": lambda y, x: y.flat.__setitem__(MASK.ravel(), x[0]),
}


def written(name: str, start: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def program(x: Any) -> Any:
        y = start(x)
        above = y[1:, ::2]
        WRITES[name](y, x)
        return y * 1.5, above * x[1:, ::2]

    return program


STARTS: dict[str, Callable[[Any], Any]] = {
    "recorded": lambda x: x * 3.0,
    "zeros": lambda x: np.zeros(x.shape),
    "transposed": lambda x: (x * 3.0).T.copy().T,
    "strided": lambda x: np.repeat(x * 3.0, 2, axis=0)[::2],
}


# NumPy itself refuses to write along axis=None of an array that is not contiguous
CASES = [
    (name, start)
    for name in WRITES
    for start in STARTS
    if name != "put_along_axis flat" or start in ("recorded", "zeros")
]


@pytest.mark.parametrize(("name", "start"), CASES)
def test_value_and_derivatives_of(name, start):
    program = written(name, STARTS[start])
    check(program, X)
    assert_shown_as_numpy(program, X)


@pytest.mark.parametrize("wrap", [False, True])
def test_the_diagonal_of_a_tall_matrix(wrap):
    def program(x):
        y = np.zeros((8, 3))
        np.fill_diagonal(y, x, wrap)
        z = np.ones((3, 3, 3))
        np.fill_diagonal(z, x)
        return y * 2.0, z * 3.0

    check(program, X[0, :3])


def test_masks_that_change_later_need_no_guard():
    x = X[0]

    def program(x):
        y, z = x * 2.0, x * 3.0
        np.putmask(y, x > 0, x * x)
        np.copyto(z, 7.0, where=x < 0)
        return y, z

    assert_right_later(program, x, -x, x[::-1])


def test_arguments_are_changed_in_the_recording_only():
    def program(x):
        np.put(x, 0, 2.0 * x[1])
        np.fill_diagonal(x, 0.0)
        return np.sum(x**2)

    given = X.copy()
    fg.grad(program)(given)
    np.testing.assert_array_equal(given, X)


ERRORS = {
    "copyto": lambda x: np.copyto(x * 1.0, x[0, :3]),
    "copyto casting": lambda x: np.copyto(np.argsort(x[0]), x[0]),
    "put": lambda x: np.put(x * 1.0, 12, 1.0),
    "place": lambda x: np.place(x * 1.0, MASK, []),
    "place shape": lambda x: np.place(x * 1.0, [True], 1.0),
    "putmask": lambda x: np.putmask(x * 1.0, [True], 1.0),
    "put_along_axis": lambda x: np.put_along_axis(x * 1.0, np.array([0]), 1.0, 1),
    "put_along_axis flat": lambda x: np.put_along_axis((x * 1.0).T, np.array([0]), 1.0, None),
    "fill_diagonal": lambda x: np.fill_diagonal(x[0] * 1.0, 1.0),
    "read-only": lambda x: np.put(np.broadcast_to(x * 1.0, (2, 3, 4)), 1, 2.0),
    "fill": lambda x: (x * 1.0).fill([1.0, 2.0]),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_numpys(name):
    with pytest.raises((ValueError, TypeError, IndexError)) as expected:
        ERRORS[name](X)
    with pytest.raises(type(expected.value)) as found:
        fg.record(ERRORS[name], X)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    "write",
    [
        lambda y, x: np.copyto(y, x),
        lambda y, x: np.put(y, 0, x[0]),
        lambda y, x: np.putmask(y, [True, False], x),
        lambda y, x: np.place(y, [True, False], x),
        lambda y, x: np.put_along_axis(y, np.array([0]), x, 0),
    ],
)
def test_plain_arrays_from_outside_are_not_written_into(write):
    outside = np.zeros(2)
    with pytest.raises(fg.LostDerivativeError):
        fg.grad(lambda x: (write(outside, x), np.sum(x))[1])(np.ones(2))
    np.testing.assert_array_equal(outside, np.zeros(2))


@pytest.mark.parametrize(
    "write",
    [
        lambda y, x: np.place(y, np.array(True), x),
        lambda y, x: np.place(y, np.array(False), x),
        lambda y, x: np.put(y, [0, 0], [x, 2.0 * x]),
        lambda y, x: np.put(y, 0, [x, 2.0 * x]),
        lambda y, x: np.putmask(y, x > 0, 3.0 * x),
        lambda y, x: y.flat.__setitem__(0, x),
    ],
)
def test_an_array_without_axes_is_written_into(write):
    def program(x: Any) -> Any:
        y = np.full((), 2.5)
        write(y, x)
        return y * x

    for x in (0.7, -1.3):
        slope = (program(x + 1e-6) - program(x - 1e-6)) / 2e-6
        np.testing.assert_allclose(fg.value_and_grad(program)(x), (program(x), slope), rtol=1e-8)
