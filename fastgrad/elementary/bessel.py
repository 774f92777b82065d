"""Bessel functions of order 0 and 1, ordinary and modified: branch-free arithmetic over :mod:`fastgrad.basis`.

Each is one polynomial in x**2 near 0. Far out the modified ones are exp(x)/sqrt(x) times a polynomial in 1/x, and the
ordinary ones Hankel's cosine and sine of a shifted phase, whose factors are polynomials in 1/x**2. The error stated
with each function is the largest seen over the whole range: in units in the last place for the modified ones, and for
the ordinary ones, which have zeros, relative to their amplitude, sqrt(2/(pi*x)), or to 1 where that is larger.
"""

from __future__ import annotations

from typing import Any

from fastgrad.basis import absolute, copysign, fma, select, sqrt
from fastgrad.elementary import _bessel_coefficients as coefficients
from fastgrad.elementary.exponential import INFINITY, even_odd_polynomial, exp
from fastgrad.elementary.special import times_exp
from fastgrad.elementary.trigonometric import cos, sin

MODIFIED_FROM = 8.0
MIDDLE_FROM, ORDINARY_FROM = 2.5, 8.0
ONE_OVER_ROOT_PI = 0.5641895835477563


def i0(x: Any) -> Any:
    """Modified Bessel function of the first kind of order 0, 2 ULP."""
    size = absolute(x)
    near, far = _modified(size, coefficients.I0_NEAR, coefficients.I0_FAR)
    return select(size < MODIFIED_FROM, near, _times_growth(far, size))


def i1(x: Any) -> Any:
    """Modified Bessel function of the first kind of order 1, 2 ULP."""
    size = absolute(x)
    near, far = _modified(size, coefficients.I1_NEAR, coefficients.I1_FAR)
    return select(size < MODIFIED_FROM, x * near, copysign(_times_growth(far, size), x))


def i0e(x: Any) -> Any:
    """i0(x)*exp(-|x|), 2.5 ULP."""
    size = absolute(x)
    near, far = _modified(size, coefficients.I0_NEAR, coefficients.I0_FAR)
    return select(size < MODIFIED_FROM, near * exp(-size), far)


def i1e(x: Any) -> Any:
    """i1(x)*exp(-|x|), 2.5 ULP."""
    size = absolute(x)
    near, far = _modified(size, coefficients.I1_NEAR, coefficients.I1_FAR)
    return select(size < MODIFIED_FROM, x * near * exp(-size), copysign(far, x))


def j0(x: Any) -> Any:
    """Bessel function of the first kind of order 0, within 2**-52 of its amplitude."""
    size = absolute(x)
    near, cosine, sine = _ordinary(
        size, coefficients.J0_NEAR, coefficients.J0_MIDDLE, coefficients.J0_COSINE, coefficients.J0_SINE
    )
    # the phase is x - pi/4
    far = fma(cosine + sine, cos(x), (cosine - sine) * sin(size))
    return select(size < ORDINARY_FROM, near, _decaying(far, size))


def j1(x: Any) -> Any:
    """Bessel function of the first kind of order 1, within 2**-52 of its amplitude."""
    size = absolute(x)
    near, cosine, sine = _ordinary(
        size, coefficients.J1_NEAR, coefficients.J1_MIDDLE, coefficients.J1_COSINE, coefficients.J1_SINE
    )
    # the phase is x - 3*pi/4
    far = fma(cosine + sine, sin(size), (sine - cosine) * cos(x))
    return select(size < ORDINARY_FROM, x * near, copysign(1.0, x) * _decaying(far, size))


def _modified(size: Any, near: tuple[float, ...], far: tuple[float, ...]) -> tuple[Any, Any]:
    inside = select(size < MODIFIED_FROM, size, 0.0)
    outside = select(size < MODIFIED_FROM, MODIFIED_FROM, size)
    scaled = even_odd_polynomial(1.0 / outside - 1.0 / 16.0, far) / sqrt(outside)
    return even_odd_polynomial(inside * inside, near), scaled


def _times_growth(x: Any, size: Any) -> Any:
    growing = times_exp(x, 0.0 * x, select(size > 720.0, 720.0, size), 0.0 * x)
    return select(size > 720.0, INFINITY, growing)


def _ordinary(
    size: Any,
    near: tuple[float, ...],
    middle: tuple[float, ...],
    cosine: tuple[float, ...],
    sine: tuple[float, ...],
) -> tuple[Any, Any, Any]:
    """The value for x < ORDINARY_FROM, and the factors of Hankel's cosine and sine."""
    inside = select(size < ORDINARY_FROM, size, 0.0)
    u = inside * inside
    value = select(
        size < MIDDLE_FROM,
        even_odd_polynomial(select(size < MIDDLE_FROM, u, 0.0), near),
        even_odd_polynomial(fma(inside, inside, -35.0), middle),
    )
    inverse = 1.0 / select(size < ORDINARY_FROM, ORDINARY_FROM, size)
    t = inverse * inverse
    return value, even_odd_polynomial(t, cosine), inverse * even_odd_polynomial(t, sine)


def _decaying(wave: Any, size: Any) -> Any:
    return select(size == INFINITY, 0.0, ONE_OVER_ROOT_PI * wave / sqrt(size))
