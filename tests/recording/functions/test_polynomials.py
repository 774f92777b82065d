"""Polynomials: NumPy's values and derivatives by the coefficients, the points and the data they are fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.sampling import check_orders, check_shown, increasing, normal

series = np.polynomial
CALLS: dict[str, tuple[Any, ...]] = {
    "polyval": (np.polyval, normal(4), normal(3, 2)),
    "polyval of a list": (lambda x: np.polyval([1, 2, 3], x), normal(3, 2)),
    "polyval at a number": (lambda p: np.polyval(p, 2.0), normal(3)),
    "polyval of rows": (np.polyval, normal(3, 2), normal(2)),
    "polyadd": (np.polyadd, normal(3), normal(5)),
    "polysub": (np.polysub, normal(5), normal(3)),
    "polyadd of a number": (lambda p: np.polyadd(p, 2.0), normal(3)),
    "polymul": (np.polymul, normal(5), normal(3)),
    "polydiv": (np.polydiv, normal(6), normal(3)),
    "polydiv by a longer one": (np.polydiv, normal(2), normal(3)),
    "polydiv of a list": (lambda q: np.polydiv([1.0, 2.0, 3.0, 4.0], q), normal(2)),
    "polyder": (lambda p: [np.polyder(p), np.polyder(p, 2), np.polyder(p, 0)], normal(6)),
    "polyint": (lambda p, k: [np.polyint(p), np.polyint(p, 2, k), np.polyint(p, 2, [1, 2.0])], normal(6), normal()),
    "poly": (np.poly, normal(5)),
    "poly of no zeros": (lambda x: np.poly(x[:0]) * x, normal(2)),
    "poly of a matrix": (np.poly, normal(4, 4)),
    "poly1d": (lambda p, x: np.poly1d(p)(x), normal(4), normal(3)),
    "poly1d at recorded points": (lambda x: np.poly1d([1, 2, 3])(x), normal(3)),
    "poly1d arithmetic": (
        lambda p, q: (np.poly1d(p) * np.poly1d(q) + np.poly1d(q) - 2.0).coeffs,
        normal(4),
        normal(3),
    ),
    "poly1d derivative": (lambda p, x: np.poly1d(p).deriv()(x) + np.poly1d(p).integ(2)(x), normal(4), normal(3)),
    "polyfit": (lambda x, y: np.polyfit(x, y, 2), increasing(6), normal(6)),
    "polyfit of columns": (lambda y: np.polyfit(np.arange(6.0), y, 2), normal(6, 2)),
    "polyfit of a constant": (lambda y: np.polyfit(np.arange(6.0), y, 0), normal(6)),
    "polyfit with weights": (lambda y, w: np.polyfit(np.arange(6.0), y, 2, w=w), normal(6), increasing(6)),
    "polyfit of columns with weights": (
        lambda y, w: np.polyfit(np.arange(6.0), y, 1, w=w),
        normal(6, 2),
        increasing(6),
    ),
    "polyfit with covariance": (lambda x, y: np.polyfit(x, y, 2, cov=True), increasing(6), normal(6)),
    "polyfit with unscaled covariance": (
        lambda x, y: np.polyfit(x, y, 2, cov="unscaled"),
        increasing(6),
        normal(6, 2),
    ),
    "polyfit in full": (lambda x, y: np.polyfit(x, y, 2, full=True)[:2], increasing(6), normal(6)),
    "power series": (series.polynomial.polyval, normal(3), normal(4)),
    "power series of rows": (series.polynomial.polyval, normal(3), normal(4, 3)),
    "power series of plain rows": (
        lambda x: series.polynomial.polyval(x, np.arange(12.0).reshape(4, 3)),
        normal(3),
    ),
    "power series, row by row": (lambda x, c: series.polynomial.polyval(x, c, tensor=False), normal(3), normal(4, 3)),
    "power series at plain points": (lambda c: series.polynomial.polyval([1.0, 2.0], c), normal(3, 2)),
    "power series in two variables": (series.polynomial.polyval2d, normal(3), normal(3), normal(4, 2)),
    "power series on a grid": (series.polynomial.polygrid2d, normal(3), normal(2), normal(4, 2)),
    "power series in three variables": (series.polynomial.polyval3d, normal(3), normal(3), normal(3), normal(2, 4, 2)),
    "Chebyshev": (series.chebyshev.chebval, normal(3), normal(4, 3)),
    "Chebyshev in two variables": (series.chebyshev.chebval2d, normal(3), normal(3), normal(2, 3)),
    "Legendre": (series.legendre.legval, normal(3), normal(4)),
    "Hermite": (series.hermite.hermval, normal(3), normal(4)),
    "Hermite of probability": (series.hermite_e.hermeval, normal(3), normal(4)),
    "Laguerre": (series.laguerre.lagval, normal(3), normal(4)),
    "Polynomial": (lambda x, c: np.stack(list(series.Polynomial(c)(x))), normal(3), normal(4)),
    "Chebyshev on a domain": (lambda x: np.stack(list(series.Chebyshev([1, 2, 3], domain=[0, 2])(x))), normal(3)),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_and_derivatives_of(name: str) -> None:
    check_orders(*CALLS[name])
    check_shown(*CALLS[name])


def test_results_of_polynomial_objects_are_polynomial_objects() -> None:
    def function(x: Any) -> Any:
        p = np.poly1d(x)
        results = [p + x, p * p, p.deriv(), p.integ(), np.polysub(2 * x, p), 3.0 - p, p**2, -p]
        assert all(isinstance(result, np.poly1d) for result in results)
        return [result.coeffs for result in results]

    check(function, normal(4))


@pytest.mark.parametrize("call", [lambda p: np.polyder(p), lambda p: p / np.poly1d([1.0, 2.0]), lambda p: np.sum(p)])
def test_polynomial_objects_that_are_taken_for_arrays_are_refused(call: Any) -> None:
    with pytest.raises(fg.LostDerivativeError, match=r"taken for an array.*test_polynomials\.py:\d+.*p\.coeffs"):
        fg.record(lambda x: call(np.poly1d(x)), normal(4))


def test_leading_zeros_of_factors_are_dropped_but_not_their_derivatives() -> None:
    def function(p: Any) -> Any:
        product = np.polymul(p, [1.0, 2.0])
        return np.sum(product * 10.0 ** np.arange(len(product))[::-1])

    gradient = fg.grad(function)
    np.testing.assert_array_equal(gradient(np.array([1.0, 1.0, 1.0])), [1200.0, 120.0, 12.0])
    # the product is shorter here, and has no coefficient for the third power
    np.testing.assert_array_equal(gradient(np.array([0.0, 1.0, 1.0])), [200.0, 120.0, 12.0])
    np.testing.assert_array_equal(np.polymul([0.0, 1.0, 1.0], [1.0, 2.0]), [1.0, 3.0, 2.0])


def test_a_polynomial_object_does_not_drop_the_derivative_by_a_leading_zero() -> None:
    gradient = fg.grad(lambda p: np.poly1d(p)(2.0))
    np.testing.assert_array_equal(gradient(np.array([1.0, 0.0, 0.0])), [4.0, 2.0, 1.0])
    with pytest.raises(fg.LostDerivativeError, match=r"begin with 0, which it drops .*test_polynomials\.py:\d+"):
        gradient(np.zeros(3))
    assert np.poly1d([0.0, 1.0]).order == 0


def test_values_at_infinity_are_those_of_numpy() -> None:
    x = np.array([np.inf, 1.0])
    with np.errstate(invalid="ignore"):
        value, _ = fg.jvp(lambda x: np.polyval([1.0, 2.0], x), (x,), (np.ones(2),))
        np.testing.assert_array_equal(value, np.polyval([1.0, 2.0], x))


def test_roots_that_are_real_and_simple_move_as_the_polynomial_says() -> None:
    p = np.array([2.0, -12.0, 22.0, -12.0])
    roots = np.roots(p)
    expected = -np.vander(roots, 4) / np.polyval(np.polyder(p), roots)[:, np.newaxis]
    np.testing.assert_allclose(fg.jacobian(np.roots)(p), expected, rtol=1e-12, atol=1e-12)
    for first, last in ((0.0, 1.0), (1.0, 0.0)):
        with pytest.raises(fg.UnsupportedError, match="whose first or last coefficient is 0"):
            fg.record(np.roots, np.array([first, -3.0, 1.0, last]))


def test_a_polynomial_of_a_large_matrix_is_refused() -> None:
    with pytest.raises(fg.UnsupportedError, match=r"np\.poly of a matrix with more than 8 rows cannot be recorded"):
        fg.record(np.poly, normal(9, 9))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda p: np.polyder(p, -1), ValueError),
        (lambda p: np.polyint(p, -1), ValueError),
        (lambda p: np.polyint(p, 3, [1.0, 2.0]), ValueError),
        (lambda p: np.polyfit(p, p[:2], 1), TypeError),
        (lambda p: np.polyfit(p, p, -1), ValueError),
        (lambda p: np.roots(np.outer(p, p)), ValueError),
        (lambda p: series.polynomial.polyval2d(p, p[:2], np.ones((2, 2))), ValueError),
    ],
)
def test_what_does_not_fit_raises_numpys_error(call: Any, error: type) -> None:
    p = normal(4)
    with pytest.raises(error) as by_numpy:
        call(p)
    with pytest.raises(error) as recorded:
        fg.record(call, p)
    assert str(recorded.value) == str(by_numpy.value)
