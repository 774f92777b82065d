"""What makes arrays of numbers, or of a recorded one's shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy
from tests.recording.functions.memory import assert_memory_as_numpy

RANDOM = np.random.default_rng(10)
X = RANDOM.standard_normal((3, 4))
ROW = np.array([0.5, 2.0, 3.5])
TWO = np.array([[0.5, 1.5], [2.0, 4.0]])
SIGNED = np.array([[0.5, 1.5], [-2.0, -4.0]])

CALLS: dict[str, tuple[Any, Any]] = {
    "full": (lambda x: np.full((2, 3), x), ROW),
    "full number": (lambda x: np.full(4, x[0]) * x[1], ROW),
    "full dtype": (lambda x: np.full((2, 3), x, dtype=float, order="F"), ROW),
    "full_like": (lambda x: np.full_like(x, x[0, 0]), X),
    "full_like shape": (lambda x: np.full_like(x, x[0], shape=(2, 4)), X),
    "full_like plain": (lambda x: np.full_like(np.ones(3), x), ROW),
    "likes": (lambda x: np.ones_like(x) * x + np.zeros_like(x, shape=(4,)) + np.zeros_like(x, dtype=int), X),
    "linspace": (lambda x: np.linspace(x[0], x[1], 5), ROW),
    "linspace open": (lambda x: np.linspace(x[0], x[1], 5, endpoint=False), ROW),
    "linspace one": (lambda x: np.linspace(x[0], x[1], 1), ROW),
    "linspace open one": (lambda x: np.linspace(x[0], x[1], 1, endpoint=False), ROW),
    "linspace none": (lambda x: np.linspace(x[0], x[1], 0), ROW),
    "linspace to itself": (lambda x: np.linspace(x[0], x[0], 3), ROW),
    "linspace step": (lambda x: np.linspace(x[0], x[1], 4, retstep=True), ROW),
    "linspace arrays": (lambda x: np.linspace(x, 2.0 * x[::-1], 3), ROW),
    "linspace axis": (lambda x: np.linspace(x, x[0], 3, axis=-1), X),
    "linspace to a number": (lambda x: np.linspace(0.0, x, 4), ROW),
    "logspace": (lambda x: np.logspace(x[0], x[1], 4), ROW),
    "logspace base": (lambda x: np.logspace(0.0, x[1], 4, endpoint=False, base=x[2]), ROW),
    "logspace bases": (lambda x: np.logspace(x[0], 1.0, 3, base=x, axis=-1), ROW),
    "geomspace": (lambda x: np.geomspace(x[0], x[1], 4), ROW),
    "geomspace open": (lambda x: np.geomspace(x[0], 7.0, 4, endpoint=False), ROW),
    "geomspace one": (lambda x: np.geomspace(x[0], x[1], 1), ROW),
    "geomspace negative": (lambda x: np.geomspace(x[1, 1], x[1, 0], 4), SIGNED),
    "geomspace arrays": (lambda x: np.geomspace(x[:, 0], x[:, 1], 3, axis=1), SIGNED),
    "arange": (lambda x: np.arange(x[0], x[2], 0.7), ROW),
    "arange step": (lambda x: np.arange(0.0, 5.1, x[0]), ROW),
    "arange stop": (lambda x: np.arange(x[1] + 0.3) * x[0], ROW),
    "arange down": (lambda x: np.arange(x[2], x[0], -x[0] - 0.2), ROW),
    "arange nothing": (lambda x: np.arange(x[2], x[0]), ROW),
    "meshgrid": (lambda x: np.meshgrid(x, x[:2] * 2.0), ROW),
    "meshgrid ij": (lambda x: np.meshgrid(x, [1.0, 2.0], indexing="ij"), ROW),
    "meshgrid sparse": (lambda x: np.meshgrid(x, x[1:], sparse=True), ROW),
    "meshgrid views": (lambda x: np.meshgrid(x, x[1:], copy=False), ROW),
    "meshgrid three": (lambda x: np.meshgrid(x, 3.0, x[:2]), ROW),
    "meshgrid one": (lambda x: np.meshgrid(x), ROW),
    "ix_": (lambda x: np.ix_(x, x[:2]), ROW),
    "diag": (lambda x: np.diag(x), ROW),
    "diag above": (lambda x: np.diag(x, 2), ROW),
    "diag below": (lambda x: np.diag(x, -1), ROW),
    "diag of a matrix": (lambda x: np.diag(x, 1), X),
    "diagflat": (lambda x: np.diagflat(x, 1), TWO),
    "tril": (lambda x: np.tril(x), X),
    "tril above": (lambda x: np.tril(x, 1), X),
    "tril stack": (lambda x: np.tril(np.stack([x, x * x]), -1), X),
    "tril row": (lambda x: np.tril(x), ROW),
    "triu": (lambda x: np.triu(x), X),
    "triu below": (lambda x: np.triu(x, -1), X),
    "vander": (lambda x: np.vander(x), ROW),
    "vander increasing": (lambda x: np.vander(x, 5, increasing=True), ROW),
    "vander one": (lambda x: np.vander(x, 1), ROW),
    "vander none": (lambda x: np.vander(x, 0), ROW),
    "real and imaginary": (lambda x: np.real(x) + np.imag(x) + x.real * x.imag + np.real_if_close(x), X),
    "angle": (lambda x: np.angle(x) * x + np.angle(x, deg=True) * x, X),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    function, x = CALLS[name]
    check(function, x)


@pytest.mark.parametrize("name", CALLS)
def test_values_while_recording_are_numpys(name):
    function, x = CALLS[name]
    assert_shown_as_numpy(function, x)


@pytest.mark.parametrize("name", CALLS)
def test_results_are_views_and_read_only_where_numpys_are(name):
    function, x = CALLS[name]
    assert_memory_as_numpy(function, x)


ERRORS = {
    "full": lambda x: np.full((2, 2), x[0]),
    "linspace": lambda x: np.linspace(x[0], x[1], -1),
    "linspace num": lambda x: np.linspace(x[0, 0], x[0, 1], 2.5),
    "geomspace": lambda x: np.geomspace(x[0, 0] * 0.0, 1.0),
    "arange": lambda x: np.arange(x[0, 0], 5.0, 0.0 * x[0, 0]),
    "meshgrid": lambda x: np.meshgrid(x[0], indexing="yx"),
    "ix_": lambda x: np.ix_(x),
    "diag": lambda x: np.diag(np.stack([x])),
    "tril": lambda x: np.tril(x[0, 0]),
    "vander": lambda x: np.vander(x),
    "zeros_like": lambda x: np.zeros_like(x, order="Q"),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_numpys(name):
    with pytest.raises((ValueError, TypeError, IndexError, ZeroDivisionError)) as expected:
        ERRORS[name](X)
    with pytest.raises(type(expected.value)) as found:
        fg.record(ERRORS[name], X)
    assert str(found.value) == str(expected.value)


def test_how_long_a_sequence_is_is_guarded():
    gradient = fg.value_and_grad(lambda x: np.sum(np.arange(0.0, 1.0, x)))
    for x in (0.3, 0.45, 0.3, 0.6):
        n = len(np.arange(0.0, 1.0, x))
        value, slope = gradient(x)
        np.testing.assert_allclose([value, slope], [x * n * (n - 1) / 2, n * (n - 1) / 2], rtol=1e-14)
    counted = fg.jacobian(lambda x: np.linspace(x[0], x[1], 2 + np.sum(x > 1)))
    assert [len(counted(np.array(x))) for x in ([0.0, 2.0], [1.5, 2.0], [0.0, 0.5])] == [3, 4, 2]


def test_the_end_of_a_line_is_what_is_given():
    found = fg.jacobian(lambda x: np.linspace(x[0], x[1], 7))(np.array([0.1, 0.7]))
    np.testing.assert_array_equal(found[[0, -1]], np.eye(2))
    found = fg.jacobian(lambda x: np.geomspace(x[0], x[1], 7))(np.array([0.1, 0.7]))
    np.testing.assert_array_equal(found[[0, -1]], np.eye(2))


def test_what_is_not_in_the_triangle_does_not_count_even_when_infinite():
    x = np.array([[1.0, np.inf], [2.0, np.nan]])
    np.testing.assert_array_equal(fg.grad(lambda x: np.sum(np.tril(x, -1)))(x), [[0.0, 0.0], [1.0, 0.0]])
    np.testing.assert_array_equal(fg.grad(lambda x: np.sum(np.tril(np.sqrt(x - 1.0), -1)))(x), [[0.0, 0.0], [0.5, 0.0]])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.full(3, x[0], dtype=int),
        lambda x: np.full_like(np.argsort(x), x[0]),
        lambda x: np.linspace(x[0], x[1], 4, dtype=int),
        lambda x: np.arange(x[0], x[2], dtype=int),
        lambda x: np.logspace(x[0], x[1], 4, dtype=int),
        lambda x: np.geomspace(x[0], x[1], 4, dtype=int),
    ],
)
def test_whole_numbers_drop_no_derivative(function):
    with pytest.raises(fg.LostDerivativeError, match="converted to int64"):
        fg.record(function, ROW)


def test_questions_about_recorded_values():
    def function(x):
        assert np.shape(x) == (3, 4)
        assert (np.ndim(x), np.size(x), np.size(x, 1), len(x)) == (2, 12, 4, 3)
        assert np.isrealobj(x)
        assert not np.iscomplexobj(x)
        assert np.isreal(x).all()
        assert not np.iscomplex(x).any()
        assert np.iterable(x)
        assert not np.iterable(x[0, 0])
        assert np.isscalar(x[0, 0]) == np.isscalar(X[0, 0])
        assert not np.isscalar(x)
        assert np.result_type(x, np.float32) == np.float64
        assert np.result_type(x > 0, np.int8) == np.int8
        assert np.common_type(x, np.ones(2, np.float32)) == np.float64
        assert np.can_cast(x.dtype, np.float64)
        assert np.min_scalar_type(x) == np.float64
        assert np.shares_memory(x, x[1:])
        assert not np.may_share_memory(x[0], x[1])
        assert not np.shares_memory(x, x.copy())
        assert np.array_str(x) == np.array_str(X)
        assert np.array2string(x, precision=2) == np.array2string(X, precision=2)
        assert np.array_repr(x) == np.array_repr(X)
        assert (x.strides, x.device, x.itemsize, x.nbytes) == (X.strides, "cpu", 8, 96)
        assert x.flags.c_contiguous
        return x * 2.0

    check_once = fg.jacobian(function)(X)
    np.testing.assert_array_equal(check_once.reshape(12, 12), 2.0 * np.eye(12))


def test_shapes_that_recorded_numbers_say_are_guarded():
    for make in (np.zeros_like, np.ones_like, np.empty_like):
        lengths = fg.jacobian(lambda x, make=make: x[0] * make(x, shape=(np.sum(x > 0), 2)) ** 0)
        assert [len(lengths(np.array(x))) for x in ([1.0, -1.0], [1.0, 1.0])] == [1, 2]


def test_functions_of_positions_and_plain_grids_meet_recorded_values():
    check(lambda x: np.fromfunction(lambda i, j: x[0] * i + x[1] * j**2, (2, 3)), ROW)
    check(lambda x: np.ogrid[0:3] * x + np.mgrid[0:3, 0:3][0] * x + np.indices((3,))[0] * x, ROW)
    check(lambda x: np.eye(3) * x + np.identity(3) * x + np.tri(3) * x, ROW)
    assert fg.jacobian(lambda x: np.zeros(np.broadcast_shapes((3, 1), x.shape)) + x)(ROW).shape == (3, 3, 3)


def test_masks_that_select_rows_and_columns():
    assert_right_later(lambda x: np.ix_(np.argsort(x), np.argsort(-x)), ROW, -ROW, ROW[[1, 2, 0]])
    check(lambda x: np.outer(x, x)[np.ix_(x > 1, [0, 2])], ROW)


TEXTS = {
    "positional": lambda x: np.format_float_positional(x[0]),
    "positional, cut": lambda x: np.format_float_positional(x[0], precision=2, unique=False)[:3],
    "scientific": lambda x: np.format_float_scientific(x[0]),
    "array2string": lambda x: np.array2string(x[0]),
    "array_repr": lambda x: np.array_repr(x[:1])[7:-2].strip(),
    "array_str": lambda x: np.array_str(x[:1])[1:-1].strip(" "),
    "str": lambda x: str(x[0]),
    "format": lambda x: f"{x[0]:.2f}",
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("number", [float, np.float64])
def test_text_is_that_of_numpy_and_no_number_again(name, number):
    def function(x):
        text = TEXTS[name](x)
        assert text == TEXTS[name](ROW)
        return x[0] * number(text)

    with pytest.raises(
        fg.LostDerivativeError, match=r"the text of a recorded value was turned into a number.*test_making"
    ):
        fg.grad(function)(ROW)


def test_text_of_several_numbers_is_numpys_error():
    for call in (np.format_float_positional, np.format_float_scientific):
        with pytest.raises(TypeError, match="only 0-dimensional arrays"):
            fg.record(call, ROW)
