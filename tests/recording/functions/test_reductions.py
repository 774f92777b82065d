"""Sums, products, extrema and moments: values, dtypes and derivatives, with every option."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy

RANDOM = np.random.default_rng(11)
MASK = np.array([[True, False, True], [True, True, False]])


def normal(*shape: int) -> Any:
    return RANDOM.standard_normal(shape)


def positive(*shape: int) -> Any:
    return RANDOM.uniform(0.5, 2.0, shape)


CALLS: dict[str, tuple[Any, ...]] = {
    "sum initial": (lambda x: np.sum(x, initial=2.5), normal(2, 3)),
    "sum recorded initial": (lambda x, y: np.sum(x, axis=0, initial=y), normal(2, 3), normal()),
    "sum where": (lambda x: x.sum(axis=1, where=MASK), normal(2, 3)),
    "sum where recorded": (lambda x: np.sum(x, where=x > 0, keepdims=True), normal(2, 3)),
    "sum of a list": (lambda x: np.sum([x[0], 2.0, x[1] * x[0]]), normal(2)),
    "sum of objects": (lambda x: np.sum(np.array([x[0], 2.0, x[1]], object)), normal(2)),
    "sum over no axis": (lambda x: np.sum(x, axis=()), normal(2, 3)),
    "sum of a number": (lambda x: np.sum(x, axis=0) + np.max(x, axis=-1), normal()),
    "prod": (lambda x: np.prod(x, axis=(0, -1), keepdims=True), normal(2, 3, 4)),
    "prod initial": (lambda x: x.prod(axis=0, initial=3.0, where=MASK), normal(2, 3)),
    "prod over no axis": (lambda x: np.prod(x, axis=()), normal(2, 3)),
    "prod of a list": (lambda x: np.prod([x[0], x[1], x[0]]), normal(2)),
    "mean": (lambda x: x.mean(axis=(0, 2), keepdims=True), normal(2, 3, 4)),
    "mean where": (lambda x: np.mean(x, axis=1, where=MASK), normal(2, 3)),
    "mean where recorded": (lambda x: np.mean(x, where=x < 0.5), normal(2, 3)),
    "mean of objects": (lambda x: np.mean(np.array([[x[0], 2.0], [x[1], x[1] * x[0]]], object), axis=0), normal(2)),
    "max of a list": (lambda x: np.max([x[0], -9.0, x[1] * x[1]]), normal(2)),
    "var": (lambda x: np.var(x, axis=(0, 2), ddof=1), normal(2, 3, 4)),
    "var correction": (lambda x: np.var(x, 0, correction=0.5, keepdims=True), normal(4, 2)),
    "var where": (lambda x: np.var(x, axis=0, where=MASK.T, ddof=0.5), normal(3, 2)),
    "var mean": (lambda x: np.var(x, axis=0, mean=np.mean(x, axis=0, keepdims=True)), normal(4, 2)),
    "var other mean": (lambda x, m: np.var(x, axis=1, mean=m), normal(4, 2), normal(4, 1)),
    "std": (lambda x: np.std(x, axis=-1, ddof=1, keepdims=True), normal(2, 4)),
    "std where": (lambda x: x.std(where=MASK), normal(2, 3)),
    "max": (lambda x: np.max(x, axis=(0, 1), keepdims=True), normal(2, 3, 2)),
    "max initial": (lambda x: np.max(x, axis=0, initial=0.2), normal(4, 3)),
    "max where": (lambda x: np.amax(x, axis=1, initial=-3.0, where=MASK), normal(2, 3)),
    "min initial": (lambda x, y: x.min(axis=1, initial=y), normal(4, 3), normal()),
    "min where": (lambda x: np.amin(x, initial=3.0, where=x > 0), normal(2, 3)),
    "ptp": (lambda x: np.ptp(x, axis=1, keepdims=True) + np.ptp(x), normal(3, 4)),
    "cumsum": (lambda x: np.cumsum(x, axis=-2), normal(3, 2)),
    "cumprod": (lambda x: x.cumprod(axis=1) + np.cumprod(x).reshape(3, 2), normal(3, 2)),
    "cumulative_sum": (lambda x: np.cumulative_sum(x, axis=-1, include_initial=True), normal(3, 2)),
    "cumulative_prod": (lambda x: np.cumulative_prod(x, include_initial=True), normal(4)),
    "diff": (lambda x, y: np.diff(x, 2, 0, prepend=y, append=1.0), normal(3, 2), normal()),
    "ediff1d": (lambda x, y: np.ediff1d(x, to_begin=[y, 2.0], to_end=y * y), normal(2, 3), normal()),
    "counts": (lambda x: x * np.count_nonzero(x > 0, axis=0, keepdims=True) * np.count_nonzero(x), normal(3, 2)),
    "any all": (lambda x: x * np.any(x > 0.3, axis=1, keepdims=True) * (x > 9).all() + x, normal(3, 2)),
    "any all where": (lambda x: x * np.any(x, where=MASK) * np.all(x > -9, axis=0, where=MASK), normal(2, 3)),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    function, *args = CALLS[name]
    check(function, *args)


@pytest.mark.parametrize("name", CALLS)
def test_values_while_recording_are_numpys(name):
    function, *args = CALLS[name]
    if name not in ("sum of objects", "mean of objects"):  # which NumPy leaves objects
        assert_shown_as_numpy(function, *args)


SMOOTH = ["prod", "prod initial", "mean where", "var where", "var other mean", "std", "std where", "cumprod",
          "cumulative_prod"]  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_second_derivatives_of(name):
    function, *args = CALLS[name]
    fg.check_grads(function, args)


TYPES = {
    "sum": lambda x: (np.sum(x), np.sum(x, dtype=np.float32), np.sum(x > 0, dtype=np.int32), np.sum(x > 0, axis=0)),
    "prod": lambda x: (np.prod(x, dtype="f4"), np.prod(x > 0), np.prod(x, axis=0, keepdims=True)),
    "mean": lambda x: (np.mean(x, dtype=np.float32), np.mean(x > 0), np.mean(x > 0, axis=0, keepdims=True)),
    "std": lambda x: (np.std(x, dtype=np.float64), np.var(x > 0), np.std(x, axis=0, dtype=np.float32)),
    "max": lambda x: (np.max(x), np.max(x > 0), np.min((x > 0) + 2, axis=0), np.max((x > 0) + 2, initial=7)),
    "any": lambda x: (np.any(x), np.all(x, axis=0), np.any(x, axis=(), keepdims=True)),
    "cumsum": lambda x: (np.cumsum(x, dtype=np.float32), np.cumsum(x > 0), np.cumprod(x > 0, axis=0)),
    "diff": lambda x: (np.diff(x > 0), np.diff((x > 0) + 0), np.ediff1d(x)),
}


@pytest.mark.parametrize("name", TYPES)
def test_dtypes_while_recording_are_numpys(name):
    function = TYPES[name]
    x = np.array([[0.5, -1.0, 2.0], [0.25, 4.0, -8.0]])
    shown: list[Any] = []

    def recorded(x):
        shown.extend(part.value for part in function(x))
        return x

    fg.record(recorded, x)
    for one, other in zip(shown, function(x), strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_allclose(one, other, rtol=1e-6 if one.dtype == np.float32 else 1e-15)


ZEROS = [[2.0, 0.0, 3.0, -1.5], [0.0, 2.0, 0.0, 3.0], [0.0, 0.0, 0.0, 1.0], [1.5, 2.0, -0.5, 3.0], [0.0, 1.0, 2.0, 3.0]]


def product_derivative(x: Any, variables: tuple[int, ...]) -> float:
    """The derivative of a product by different ones of its factors: the product of the others."""
    if len(set(variables)) != len(variables):
        return 0.0
    return math.prod(v for k, v in enumerate(x) if k not in variables)


@pytest.mark.parametrize("x", ZEROS)
def test_products_with_zeros_have_right_derivatives_up_to_the_third(x):
    x = np.array(x)
    n = len(x)
    np.testing.assert_array_equal(fg.grad(np.prod)(x), [product_derivative(x, (i,)) for i in range(n)])
    hessian = [[product_derivative(x, (i, j)) for j in range(n)] for i in range(n)]
    np.testing.assert_array_equal(fg.hessian(np.prod)(x), hessian)
    third = [[[product_derivative(x, (i, j, k)) for k in range(n)] for j in range(n)] for i in range(n)]
    np.testing.assert_array_equal(fg.jacobian(fg.hessian(np.prod))(x), third)


@pytest.mark.parametrize("x", ZEROS)
def test_running_products_with_zeros_have_right_derivatives_up_to_the_third(x):
    x = np.array(x)
    n = len(x)

    def expected(*variables: int) -> list[float]:
        return [product_derivative(x[: m + 1], variables) if max(variables) <= m else 0.0 for m in range(n)]

    jacobian = np.array([expected(i) for i in range(n)]).T
    np.testing.assert_array_equal(fg.jacobian(np.cumprod)(x), jacobian)
    second = np.array([[expected(i, j) for j in range(n)] for i in range(n)])
    np.testing.assert_array_equal(fg.jacobian(fg.jacobian(np.cumprod))(x), np.moveaxis(second, 2, 0))
    weighted = fg.grad(lambda x: np.cumprod(x) @ np.arange(1.0, n + 1))
    third = [[[np.arange(1.0, n + 1) @ expected(i, j, k) for k in range(n)] for j in range(n)] for i in range(n)]
    np.testing.assert_allclose(fg.jacobian(fg.jacobian(weighted))(x), third, rtol=1e-15)


def test_forward_mode_of_running_products_is_right_at_zeros():
    x, direction = np.array([0.0, 2.0, 0.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0])
    _, tangent = fg.jvp(np.cumprod, (x,), (direction,))
    np.testing.assert_array_equal(tangent, fg.jacobian(np.cumprod)(x) @ direction)
    _, tangent = fg.jvp(np.prod, (x,), (direction,))
    assert tangent == fg.grad(np.prod)(x) @ direction


def test_products_of_infinite_factors_have_derivative_zero_where_another_factor_is_zero():
    np.testing.assert_array_equal(fg.grad(np.prod)(np.array([0.0, 0.0, np.inf])), [0.0, 0.0, 0.0])


@pytest.mark.parametrize("n", [2, 17, 300, 3000])
def test_products_of_many_factors_record_few_operations(n):
    x = 1.0 + RANDOM.standard_normal(n) / 100
    assert fg.record(np.prod, x).n_operations == 1
    np.testing.assert_allclose(fg.grad(np.prod)(x), np.prod(x) / x, rtol=1e-12)
    weights = RANDOM.standard_normal(n)
    running = np.cumsum((weights * np.cumprod(x))[::-1])[::-1] / x
    np.testing.assert_allclose(fg.grad(lambda x: np.cumprod(x) @ weights)(x), running, rtol=1e-9, atol=1e-12)


def test_elements_that_share_the_extremum_share_its_derivative():
    x = np.array([1.0, 3.0, 3.0, 3.0])
    np.testing.assert_allclose(fg.grad(np.max)(x), [0.0, 1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(fg.grad(lambda x: np.max(x, initial=3.0))(x), [0.0, 1 / 6, 1 / 6, 1 / 6])
    np.testing.assert_array_equal(
        fg.grad(lambda x: np.max(x, initial=-9.0, where=[True, True, False, False]))(x), [0.0, 1.0, 0.0, 0.0]
    )
    np.testing.assert_allclose(fg.grad(np.ptp)(x), [-1.0, 1 / 3, 1 / 3, 1 / 3])


def test_standard_deviation_of_equal_numbers_has_derivative_zero():
    np.testing.assert_array_equal(fg.grad(np.std)(np.full(4, 2.0)), np.zeros(4))


@pytest.mark.parametrize(
    "function",
    [
        np.sum,
        np.prod,
        lambda x: np.prod(x, initial=2.0) * np.ones(2),
        np.cumprod,
        lambda x: np.max(x, initial=3.0),
        lambda x: np.any(x) + np.all(x) + np.count_nonzero(x),
        lambda x: np.cumulative_sum(x, include_initial=True),
        lambda x: np.ediff1d(x),
    ],
)
def test_empty_arrays(function):
    check(function, np.zeros(0))


def test_extrema_over_an_empty_axis_are_the_initial_value():
    check(lambda x: np.max(x, axis=1, initial=2.0) + np.min(x, axis=1, keepdims=True, initial=2.0), np.zeros((3, 0)))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sum(x, where=np.ones((4, 2, 3), bool)),
        lambda x: np.max(x, where=MASK),
        lambda x: np.cumulative_sum(x),
        lambda x: np.diff(x, -1),
        lambda x: np.std(x, ddof=1, correction=1),
        lambda x: np.max(x[:0]),
        lambda x: np.mean(x, axis=2),
        lambda x: np.sum(x, axis=(0, 0)),
        lambda x: np.ediff1d((x > 0) + 0, to_end=0.5),
    ],
)
def test_errors_are_numpys_own(function):
    with pytest.raises(Exception) as expected:  # noqa: PT011 - NumPy says which
        function(np.ones((2, 3)))
    with pytest.raises(type(expected.value)) as found:
        fg.jacobian(function)(np.ones((2, 3)))
    assert str(found.value)[:30] == str(expected.value)[:30]


@pytest.mark.parametrize("dtype", [int, np.int8, complex, "longdouble"])
def test_a_dtype_that_would_lose_the_derivative_or_digits_is_refused(dtype):
    with pytest.raises(
        fg.UnsupportedError, match=r"the argument dtype=.* of np.sum cannot be recorded \(at .*test_red"
    ):
        fg.grad(lambda x: np.sum(x, dtype=dtype))(np.ones(3))


def test_a_mask_that_was_recorded_follows_later_inputs():
    x, y = np.array([1.0, -2.0, 3.0]), np.array([-1.0, 2.0, 3.0])
    assert_right_later(lambda x: (np.mean(x, where=x > 0), np.var(x, where=x > 0), np.any(x > 2)), x, y)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda x: x[::-1, ::-1], lambda x: np.repeat(x, 2, 1)[:, ::2]])
def test_layouts_of_memory(layout):
    x = normal(3, 4)
    for function in (lambda x: np.prod(x, 0), lambda x: np.cumprod(x, 1), lambda x: np.var(x, 0), np.ptp):
        check(function, layout(x))
