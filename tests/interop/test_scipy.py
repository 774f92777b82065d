"""Callbacks in machine code: SciPy's own functions give what they give for Python functions."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import fastgrad as fg

pytest.importorskip("scipy")
from scipy import integrate, ndimage

from fastgrad.interop import scipy as callbacks

IMAGE = np.random.default_rng(7).normal(size=(9, 7))


pytestmark = pytest.mark.filterwarnings("ignore:The occurrence of roundoff error")

# ---- integrals


def decay(t: Any, rate: Any) -> Any:
    return np.exp(-rate * t)


def test_integrals_with_parameters() -> None:
    value, _ = integrate.quad(callbacks.integrand(decay, 0.0, 1.0), 0.0, 2.0, args=(3.0,))
    assert value == pytest.approx((1 - np.exp(-6.0)) / 3.0, rel=1e-14)


def test_the_derivative_of_an_integral_is_the_integral_of_the_derivative() -> None:
    slope = callbacks.integrand(fg.grad(decay, 1), 0.0, 1.0)
    value, _ = integrate.quad(slope, 0.0, 2.0, args=(3.0,))
    assert value == pytest.approx(-1 / 9 + np.exp(-6.0) * (2 / 3 + 1 / 9), rel=1e-12)
    named = callbacks.integrand(decay, 0.0, 1.0, derivative="gradient", argnums=1)
    assert integrate.quad(named, 0.0, 2.0, args=(3.0,))[0] == value


@pytest.mark.parametrize(("of_one_number", "signature"), [(False, "double (int, double *)"), (True, "double (double)")])
def test_integrands_of_one_number(of_one_number: bool, signature: str) -> None:
    bell = callbacks.integrand(lambda x: np.exp(-x * x / 2), 0.0, of_one_number=of_one_number)
    assert bell.signature == signature
    assert integrate.quad(bell, -np.inf, np.inf)[0] == pytest.approx(np.sqrt(2 * np.pi), rel=1e-10)


def test_integrals_over_several_variables() -> None:
    def f(x: Any, y: Any, z: Any, power: Any) -> Any:
        return x**power * np.cos(y) * z

    found = integrate.nquad(callbacks.integrand(f, 0.5, 0.0, 0.0, 2.0), [[0, 1], [0, 1], [0, 2]], args=(2.0,))[0]
    assert found == pytest.approx(np.sin(1.0) / 3 * 2, rel=1e-12)
    double = integrate.dblquad(callbacks.integrand(lambda x, y: x * y**2, 0.0, 0.0), 0, 2, 0, 1)[0]
    assert double == pytest.approx(8 / 3 / 2, rel=1e-12)
    triple = integrate.tplquad(callbacks.integrand(lambda p: p[0] * p[1] ** 2 * p[2], np.ones(3)), 0, 1, 0, 2, 0, 3)[0]
    assert triple == pytest.approx(4.5 * 8 / 3 / 2, rel=1e-12)


@pytest.mark.parametrize("of_one_number", [False, True])
def test_user_data_is_read_where_it_is_and_kept_alive(of_one_number: bool) -> None:
    def polynomial(x: Any, coefficients: Any) -> Any:
        return coefficients[0] + coefficients[1] * x + coefficients[2] * x**2

    coefficients = np.array([1.0, 2.0, 3.0])
    given = callbacks.integrand(polynomial, 0.5, user_data=coefficients, of_one_number=of_one_number)
    assert given.signature.endswith("void *)")
    assert integrate.quad(given, 0.0, 1.0)[0] == pytest.approx(3.0, rel=1e-14)
    coefficients *= 2.0
    del coefficients
    gc.collect()
    assert integrate.quad(given, 0.0, 1.0)[0] == pytest.approx(6.0, rel=1e-14)


def test_integrals_of_functions_of_several_variables_with_user_data() -> None:
    scales = np.array([2.0, 3.0])
    given = callbacks.integrand(lambda x, y, scales: scales[0] * x + scales[1] * y, 0.0, 0.0, user_data=scales)
    assert integrate.nquad(given, [[0, 1], [0, 1]])[0] == pytest.approx(2.5, rel=1e-13)


def kinked(x: Any) -> Any:
    return x if x > 0.5 else 0.5 + 0 * x


def test_ways_of_integrands() -> None:
    assert np.isnan(integrate.quad(callbacks.integrand(kinked, 0.7), 0.0, 1.0)[0])
    both = callbacks.integrand(kinked, 0.7, examples=[(0.2,)])
    assert integrate.quad(both, 0.0, 1.0, points=[0.5])[0] == pytest.approx(0.625, rel=1e-12)


def test_another_number_of_parameters_gives_nan() -> None:
    assert np.isnan(integrate.quad(callbacks.integrand(decay, 0.0, 1.0), 0.0, 2.0)[0])


# ---- filters


@pytest.mark.parametrize("mode", ["reflect", "constant"])
def test_generic_filters(mode: str) -> None:
    def spread(window: Any) -> Any:
        return np.sqrt(np.mean((window - np.mean(window)) ** 2))

    footprint = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
    compiled = callbacks.filter_function(spread, np.arange(5.0))
    found = ndimage.generic_filter(IMAGE, compiled, footprint=footprint, mode=mode)
    expected = ndimage.generic_filter(IMAGE, np.std, footprint=footprint, mode=mode)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_filters_with_user_data() -> None:
    weights = np.array([0.25, 0.5, 0.25])
    smooth = callbacks.filter_function(lambda window, weights: window @ weights, np.ones(3), user_data=weights)
    found = ndimage.generic_filter(IMAGE, smooth, size=(1, 3))
    np.testing.assert_allclose(found, ndimage.correlate1d(IMAGE, weights, axis=1), rtol=1e-13)


def test_a_filter_that_is_a_derivative() -> None:
    def loss(window: Any, weight: Any) -> Any:
        return np.sum(np.tanh(weight[0] * window))

    compiled = callbacks.filter_function(loss, np.ones(3), user_data=np.array([0.5]), derivative="gradient", argnums=1)
    found = ndimage.generic_filter(IMAGE, compiled, size=(3, 1))
    expected = ndimage.generic_filter(IMAGE, lambda w: np.sum(w / np.cosh(0.5 * w) ** 2), size=(3, 1))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_filters_of_lines() -> None:
    n = IMAGE.shape[1]
    compiled = callbacks.filter_function1d(lambda line: line[2:] * line[1:-1] - line[:-2], np.ones(n + 2))

    def reference(line: Any, out: Any) -> None:
        out[...] = line[2:] * line[1:-1] - line[:-2]

    found = ndimage.generic_filter1d(IMAGE, compiled, 3, axis=1)
    np.testing.assert_allclose(found, ndimage.generic_filter1d(IMAGE, reference, 3, axis=1), rtol=1e-14)
    with pytest.raises(RuntimeError):
        ndimage.generic_filter1d(IMAGE, compiled, 3, axis=0)


@pytest.mark.parametrize("form", ["array", "tuple"])
def test_mappings(form: str) -> None:
    def turned(o: Any) -> Any:
        return (0.9 * o[0] - 0.2 * o[1], 0.2 * o[0] + 0.9 * o[1] - 0.3)

    example = (0.0, 0.0) if form == "tuple" else np.zeros(2)
    compiled = callbacks.mapping(turned if form == "tuple" else lambda o: np.stack(turned(o)), example)
    found = ndimage.geometric_transform(IMAGE, compiled, output_shape=(8, 9))
    np.testing.assert_allclose(found, ndimage.geometric_transform(IMAGE, turned, output_shape=(8, 9)), atol=1e-13)


def test_mappings_between_ranks_with_user_data() -> None:
    offset = np.array([1.5, 2.0])
    compiled = callbacks.mapping(
        lambda o, offset: np.stack([o[0] + offset[0], offset[1]]), np.zeros(1), user_data=offset
    )
    found = ndimage.geometric_transform(IMAGE, compiled, output_shape=(5,))
    expected = ndimage.geometric_transform(IMAGE, lambda o: (o[0] + 1.5, 2.0), output_shape=(5,))
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_failures_in_filters_raise() -> None:
    positive = callbacks.filter_function(lambda w: w[0] if w[0] > 0 else w[1], np.ones(3))
    with pytest.raises(RuntimeError):
        ndimage.generic_filter(IMAGE, positive, size=(1, 3))
    with pytest.raises(RuntimeError):
        ndimage.generic_filter(np.ones((4, 4)), positive, size=(3, 3))


REFUSED: dict[str, tuple[Any, str]] = {
    "several numbers": (lambda: callbacks.integrand(lambda x: x * np.ones(2), 0.0), "takes one number here; value of"),
    "data of whole numbers": (
        lambda: callbacks.integrand(lambda x, n: x * n[0], 0.0, user_data=np.arange(2)),
        "user_data must be a float64 array in C order",
    ),
    "tangents": (lambda: callbacks.integrand(np.sin, 0.0, derivative="jvp"), "hands over no cotangents or tangents"),
    "parameters of a function of one number": (
        lambda: callbacks.integrand(decay, 0.0, 1.0, of_one_number=True),
        "is for functions of one number; value of decay takes 2 arguments",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_scipy_cannot_take_is_refused(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(fg.InputError, match=message):
        make()
