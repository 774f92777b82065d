"""Recorded values as arrays, and as arrays of another kind of number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.recording.recorded_array import RecordedArray
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy
from tests.recording.functions.memory import assert_memory_as_numpy

X = np.random.default_rng(11).standard_normal((3, 4))
ROW = np.array([0.5, -2.0, 3.5])

CALLS: dict[str, tuple[Any, Any]] = {
    "array": (lambda x: np.array(x), X),
    "array without copy": (lambda x: np.array(x, copy=None), X),
    "array never copied": (lambda x: np.array(x, copy=False), X),
    "array ndmin": (lambda x: np.array(x, ndmin=4), X),
    "array ndmin view": (lambda x: np.array(x, ndmin=3, copy=None), X),
    "array dtype": (lambda x: np.array(x, dtype=float), X),
    "array order": (lambda x: np.array(x, order="F"), X),
    "array of a list": (lambda x: np.array([x[0], x[1] * x[2]]), X),
    "array of numbers": (lambda x: np.array([x[0, 0], 1.0, x[0, 1] ** 2]), X),
    "array of nested lists": (lambda x: np.array([[x[0, 0], 1], (x[0, 1], x[1, 1])], dtype=float), X),
    "array of one": (lambda x: np.array([x]), X),
    "asarray": (lambda x: np.asarray(x), X),
    "asarray of a list": (lambda x: np.asarray([x, x]), X),
    "asarray order": (lambda x: np.asarray(x, order="F"), X),
    "asarray copy": (lambda x: np.asarray(x, copy=True), X),
    "asanyarray": (lambda x: np.asanyarray(x, dtype="float64"), X),
    "ascontiguousarray": (lambda x: np.ascontiguousarray(x), X),
    "asfortranarray": (lambda x: np.asfortranarray(x), X),
    "asarray_chkfinite": (lambda x: np.asarray_chkfinite(x), X),
    "require": (lambda x: np.require(x, requirements=["F", "W"]), X),
    "require nothing": (lambda x: np.require(x), X),
    "copy": (lambda x: np.copy(x), X),
    "copy order": (lambda x: np.copy(x, order="F"), X),
    "copy method": (lambda x: x.copy(), X),
    "copy method order": (lambda x: x.copy("F"), X),
    "astype": (lambda x: x.astype(float), X),
    "astype without copy": (lambda x: x.astype(float, copy=False), X),
    "astype function": (lambda x: np.astype(x, np.float64), X),
    "astype function without copy": (lambda x: np.astype(x, np.float64, copy=False), X),
    "fromiter": (lambda x: np.fromiter((v * v for v in x[0]), float), X),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    function, x = CALLS[name]
    check(function, x)


@pytest.mark.parametrize("name", CALLS)
def test_values_while_recording_are_numpys(name):
    function, x = CALLS[name]
    assert_shown_as_numpy(function, x)


@pytest.mark.parametrize("name", [name for name in CALLS if name != "fromiter"])
def test_results_are_views_and_read_only_where_numpys_are(name):
    function, x = CALLS[name]
    assert_memory_as_numpy(function, x)


def test_a_number_becomes_an_array_of_no_axes():
    def function(x):
        y = np.array(x)
        y[...] = y * x
        y += 1.0
        return y

    check(function, np.float64(0.7))


def test_copies_are_changed_by_themselves_and_views_together():
    def function(x):
        y = x * 1.0
        copies = np.array(y), np.copy(y), y.copy(), np.array([y])[0], y.astype(float)
        views = np.asarray(y), np.array(y, copy=None), y.view(), np.asarray(y).astype(float, copy=False)
        y[0] = x[1] * x[2]
        views[0][1] = 5.0 * x[0]
        return copies, views

    check(function, ROW)


KINDS: dict[str, Any] = {
    "truth values": lambda x: (x - 1.0).astype(bool),
    "numbers of truth values": lambda x: (x > 0).astype(float) + (x > 0).astype(int),
    "small numbers of truth values": lambda x: (x > 0).astype(np.int8),
    "floor": lambda x: np.floor(x).astype(int),
    "floor through movements": lambda x: np.floor(x)[::-1].reshape(3, 1).T.astype(np.int64),
    "floor plus one": lambda x: (np.floor(x / 2.0) + 1.0).astype(int),
    "rounded": lambda x: np.array(np.round(x), dtype=np.int32),
    "no derivative": lambda x: fg.stop_gradient(x).astype(int),
    "fewer bits": lambda x: (np.floor(x).astype(int) * 100).astype(np.int8),
    "no sign": lambda x: np.floor(x).astype(int).astype(np.uint8),
    "more bits": lambda x: (x > 0).astype(np.uint8).astype(np.int64) - 3,
    "positions": lambda x: np.argsort(x).astype(np.int32),
}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("name", KINDS)
def test_steps_as_whole_numbers_and_truth_values(name):
    function = KINDS[name]
    assert_shown_as_numpy(function, ROW)
    assert_right_later(function, ROW, -ROW, ROW[::-1] * 1.7)
    np.testing.assert_array_equal(fg.jacobian(lambda x: function(x) * 1.0)(ROW), np.zeros((*function(ROW).shape, 3)))


LOST: dict[str, Any] = {
    "astype int": lambda x: x.astype(int),
    "astype complex": lambda x: x.astype(complex),
    "astype text": lambda x: x.astype(str),
    "astype function": lambda x: np.astype(x, np.int32),
    "array": lambda x: np.array(x, dtype=int),
    "array of a list": lambda x: np.array([x[0], 1.0], dtype=int),
    "asarray": lambda x: np.asarray(x, np.uint8),
    "through a sum": lambda x: (np.floor(x) + x).astype(int),
    "concatenate": lambda x: np.concatenate([x, x], dtype=int, casting="unsafe"),
    "ascontiguousarray": lambda x: np.ascontiguousarray(x, int),
    "require": lambda x: np.require(x, int),
}


@pytest.mark.parametrize("name", LOST)
def test_conversions_that_would_drop_a_derivative_are_refused(name):
    with pytest.raises(
        fg.LostDerivativeError, match=r"a recorded value was converted to .* has no derivative \(at .*test"
    ):
        fg.grad(lambda x: np.sum(LOST[name](x) * 1.0))(ROW)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_short_floats_are_shown_and_their_derivatives_computed_in_double(kind):
    for function in (lambda x: x.astype(kind), lambda x: np.array(x, dtype=kind), lambda x: np.asarray(list(x), kind)):
        assert_shown_as_numpy(function, ROW)
        found = fg.jacobian(lambda x, function=function: np.exp(function(x).astype(float)))(ROW)
        np.testing.assert_allclose(found, np.diag(np.exp(ROW)), rtol=1e-15)


def test_object_arrays_hold_recorded_numbers():
    def function(x):
        objects = x.astype(object)
        assert objects.dtype == object
        assert all(isinstance(one, RecordedArray) for one in objects)
        assert np.array(objects).dtype == object
        return np.sum(objects * 2.0) + np.sum(np.array(objects, dtype=float) ** 2)

    check(lambda x: function(x) if isinstance(x, RecordedArray) else 2.0 * np.sum(x) + np.sum(x**2), ROW)


ERRORS = {
    "never copied": lambda x: np.array([x], copy=False),
    "never copied order": lambda x: np.array(x, order="F", copy=False),
    "casting": lambda x: x.astype(np.int64, casting="safe"),
    "not finite": lambda x: np.asarray_chkfinite(x / 0.0),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_numpys(name):
    with pytest.raises((ValueError, TypeError)) as expected:
        ERRORS[name](X)
    with pytest.raises(type(expected.value)) as found:
        fg.record(ERRORS[name], X)
    assert str(found.value) == str(expected.value)


def test_the_function_astype_does_what_the_method_does():
    for dtype in (np.float32, int, bool, np.int8):
        assert_right_later(lambda x, dtype=dtype: np.astype(np.floor(x), dtype) * x, X, X + 0.75)
        assert_shown_as_numpy(lambda x, dtype=dtype: (np.astype(np.floor(x), dtype), np.astype(x[0] > 0, dtype)), X)
    assert_shown_as_numpy(lambda x: np.astype(x, float, copy=False), X)
    for call in (lambda x: np.astype(x, int), lambda x: x.astype(int), lambda x: np.astype(x[0], np.int8)):
        with pytest.raises(fg.LostDerivativeError, match=r"converted to int\d+ by astype, which has no derivative"):
            fg.record(call, X)
    with pytest.raises(TypeError, match="Input should be a NumPy array or scalar"):
        fg.record(lambda x: np.astype([x[0]], int), X)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "uint64"])
def test_floats_as_whole_numbers_wrap_as_numpys_do_and_what_c_leaves_undefined_is_nan(kind):
    def function(x):
        return np.floor(x).astype(kind) * 1.0

    defined = [300.7, -3.2, 127.0, 128.0, -129.0, 70000.1, -40000.0, 2.0**31 - 1, -(2.0**31)]
    defined += [3e9, 2.0**32 - 1] if kind in ("uint32", "uint64") else []
    value, _ = fg.vjp(function, np.array(defined))
    np.testing.assert_array_equal(value, function(np.array(defined)))
    value_and_slope = fg.value_and_grad(function)
    for x in (0.5, *defined):
        assert value_and_slope(x) == (function(np.float64(x)), 0.0)
    for x in (math.nan, math.inf, 1e300, -1e300):
        assert np.isnan(value_and_slope(x)[0])


def test_negative_whole_numbers_as_unsigned_ones_of_64_bits_wrap():
    def function(x):
        return np.floor(x).astype(np.int64).astype(np.uint64) * 1.0

    assert fg.value_and_grad(function)(-3.5) == (2.0**64 - 4, 0.0)
