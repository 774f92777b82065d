"""Error functions, the normal distribution function and inverses: branch-free arithmetic over :mod:`fastgrad.basis`.

The tails follow Shepherd and Laframboise (1981): exp(x**2)*erfc(x) times a linear function of x is one polynomial in
q = (x - c)/(x + c) for all x >= 0. It is multiplied by exp(-x**2) with the rounding error of x**2 carried along and
scaled by the power of two last, so that results below 2**-1022 are rounded once. The inverses take a rough start in the
tails and one step of third order from it, whose residual comes from that tail. The error stated with each function, in
units in the last place, is the largest seen over the whole range.
"""

from __future__ import annotations

from typing import Any

from fastgrad.basis import absolute, copysign, fma, select, sqrt
from fastgrad.elementary import _special_coefficients as coefficients
from fastgrad.elementary._exponential_coefficients import EXP, FULL_LOG_2
from fastgrad.elementary.exponential import even_odd_polynomial, exp, fast_two_sum, log, reduce, scale, two_product

INFINITY = float("inf")
NAN = float("nan")
ONE_OVER_ROOT_PI = 0.5641895835477563
HALF_ROOT_PI = 0.886226925452758
ROOT_TWO = (1.4142135623730951, -9.667293313452913e-17)
ONE_OVER_ROOT_TWO_PI = (0.3989422804014327, -2.49232720227773e-17)
TWO_OVER_ROOT_PI = (1.1283791670955126, 1.533545961316588e-17)


def erf(x: Any) -> Any:
    """Error function, 1.2 ULP: x*(1 + p(x**2)) below 1, else 1 - exp(-p(x))."""
    size = absolute(x)
    small = fma(size, even_odd_polynomial(size * size, coefficients.ERF), size)
    large = 1.0 - exp(-even_odd_polynomial(select(size > 5.9375, 5.9375, size) - 1.0, coefficients.MINUS_LOG_ERFC))
    return copysign(select(size < 1.0, small, large), x)


def erfc(x: Any) -> Any:
    """1 - erf(x), 1.2 ULP."""
    size = absolute(x)
    size = select(size > 28.0, 28.0, size)
    scaled, rest = _scaled_tail(size, 1.25, 3.5, coefficients.ERFC, coefficients.ERFC_REST)
    tail = _exp_of_minus_square(size, scaled, rest)
    return select(x < 0.0, 2.0 - tail, tail)


def erfcx(x: Any) -> Any:
    """exp(x**2)*erfc(x), 1.5 ULP; 0.7 ULP for x > 0."""
    size = absolute(x)
    far = size > 1e9
    size = select(far, 1e9, size)
    scaled, rest = _scaled_tail(size, 1.25, 3.5, coefficients.ERFC, coefficients.ERFC_REST)
    size = select(size > 27.0, 27.0, size)
    square, square_low = two_product(size, size)
    left = times_exp(size * 0.0 + 2.0, size * 0.0, square, square_low) - scaled
    return select(x < 0.0, left, select(far, ONE_OVER_ROOT_PI / x, scaled + rest))


def slope_of_erf(x: Any) -> Any:
    """2/sqrt(pi)*exp(-x**2), 0.9 ULP; beside ``erfc`` it costs little, the exponential being the same."""
    size = absolute(x)
    return _exp_of_minus_square(select(size > 28.0, 28.0, size), *TWO_OVER_ROOT_PI)


def ndtr(x: Any) -> Any:
    """Distribution function of the standard normal distribution, 1.1 ULP."""
    tail = _exp_of_minus_half_square(*_scaled_normal_tail(absolute(x)))
    return select(x > 0.0, 1.0 - tail, tail)


def normal_density(x: Any) -> Any:
    """exp(-x**2/2)/sqrt(2*pi), 0.9 ULP; beside ``ndtr`` it costs little, the exponential being the same."""
    return _exp_of_minus_half_square(_limited(absolute(x)), *ONE_OVER_ROOT_TWO_PI)


def log_ndtr(x: Any) -> Any:
    """log(ndtr(x)), 2.1 ULP: log1p(-ndtr(-x)) for x > 0, else the logarithms of the factors of ndtr(x)."""
    size, scaled, rest = _scaled_normal_tail(absolute(x))
    tail = _exp_of_minus_half_square(size, scaled, rest)
    right = x > 0.0
    complement, complement_rest = fast_two_sum(1.0, -tail)
    logarithm = log(select(right, complement, scaled + rest))
    # rest/complement, to the few bits that count
    return logarithm + select(right, fma(complement_rest, tail, complement_rest), -0.5 * x * x)


def inverse_mills_ratio(x: Any) -> Any:
    """Slope of ``log_ndtr``, 2.3 ULP: the normal density over ndtr(x), exp(-x**2/2) cancelled where x < 0."""
    size, scaled, rest = _scaled_normal_tail(absolute(x))
    right = x > 0.0
    density = _exp_of_minus_half_square(size, *ONE_OVER_ROOT_TWO_PI)
    mass = select(right, 1.0 - _exp_of_minus_half_square(size, scaled, rest), scaled + rest)
    return select(x < -1e150, -x, select(right, density, ONE_OVER_ROOT_TWO_PI[0]) / mass)


def erfinv(x: Any) -> Any:
    """Inverse of ``erf``, 1.5 ULP: x*p(x**2) below 1/2, else that of erfc at 1 - |x|, which is exact."""
    size = absolute(x)
    y = 1.0 - size
    start, step = _inverse_erfc(select((size < 1.0) & (size > 0.5), y, 0.5))
    edge = select(size < 1.0, start + step, select(size == 1.0, INFINITY, NAN))
    return select(size < 0.5, x * even_odd_polynomial(size * size, coefficients.INVERSE_ERF), copysign(edge, x))


def ndtri(p: Any) -> Any:
    """Inverse of ``ndtr``, 2.0 ULP: -sqrt(2)*erfcinv(2*p), and the same of 1 - p for p >= 1/2."""
    upper = p >= 0.5
    y = 2.0 * select(upper, 1.0 - p, p)
    centred = y > 0.5
    x = 1.0 - y
    start, step = _inverse_erfc(select((y > 0.0) & ~centred, y, 0.5))
    start = select(centred, x * even_odd_polynomial(x * x, coefficients.INVERSE_ERF), start)
    step = select(centred, 0.0, step)
    size = fma(start, ROOT_TWO[0], fma(start, ROOT_TWO[1], step * ROOT_TWO[0]))
    size = select(y > 0.0, size, select(y == 0.0, INFINITY, NAN))
    return select(upper, size, -size)


def _inverse_erfc(y: Any) -> tuple[Any, Any]:
    """The r with erfc(r) = y as two floats to add, for 0 < y <= 1/2, subnormal numbers included."""
    small = y < 2.0**-900
    factor = select(small, 2.0**200, 1.0)
    y = y * factor
    z = sqrt(select(small, 200.0 * FULL_LOG_2[0], 0.0) - log(y))
    r = z * even_odd_polynomial((z - 2.5) / (z + 2.5), coefficients.INVERSE_ERFC_START)
    scaled, rest = _scaled_tail(r, 1.25, 3.5, coefficients.ERFC, coefficients.ERFC_REST)
    square, square_low = two_product(r, r)
    found = times_exp(scaled * factor, rest * factor, -square, -square_low)
    excess = (found - y) / y
    logarithm = excess * fma(excess, fma(excess, 1.0 / 3.0, -0.5), 1.0)
    step = HALF_ROOT_PI * scaled * logarithm
    return r, fma(step, fma(r, step, -0.5 * logarithm), step)


def _scaled_normal_tail(size: Any) -> tuple[Any, Any, Any]:
    size = _limited(size)
    return size, *_scaled_tail(size, 0.875, 5.0, coefficients.NDTR, coefficients.NDTR_REST)


def _limited(size: Any) -> Any:
    return select(size > 1e150, 1e150, size)


def _exp_of_minus_square(size: Any, x: Any, x_low: Any) -> Any:
    """(x + x_low)*exp(-size**2), for size <= 28."""
    square, square_low = two_product(size, size)
    return times_exp(x, x_low, -square, -square_low)


def _exp_of_minus_half_square(size: Any, x: Any, x_low: Any) -> Any:
    """(x + x_low)*exp(-size**2/2); 0 for size > 40."""
    size = select(size > 40.0, 40.0, size)
    square, square_low = two_product(size, size)
    return times_exp(x, x_low, -0.5 * square, -0.5 * square_low)


def _scaled_tail(
    x: Any, slope: float, centre: float, numerator: tuple[float, ...], numerator_rest: float
) -> tuple[Any, Any]:
    """p(q)/(1 + slope*x) at q = (x - centre)/(x + centre), and its rounding error; for 0 <= x <= 1e150."""
    denominator, denominator_low = _linear(x, slope, 1.0)
    distance, distance_low = _linear(x, 1.0, centre)
    both = 1.0 / (denominator * distance)  # one division serves two quotients
    inverse, inverse_error = _with_relative_error(both * distance, denominator, denominator_low)
    scale_of_q, scale_of_q_error = _with_relative_error(both * denominator, distance, distance_low)
    q = fma(x + x, fma(scale_of_q, scale_of_q_error, scale_of_q), -1.0)
    p, p_low = fast_two_sum(numerator[0], q * even_odd_polynomial(q, numerator[1:]))
    scaled, scaled_low = two_product(p, inverse)
    return scaled, scaled_low + fma(p_low + numerator_rest, inverse, scaled * inverse_error)


def _linear(x: Any, slope: float, constant: float) -> tuple[Any, Any]:
    """``slope*x + constant`` and its rounding error, for x >= 0."""
    total = fma(x, slope, constant)
    return total, fma(x, slope, constant - total)


def _with_relative_error(inverse: Any, x: Any, x_low: Any) -> tuple[Any, Any]:
    """``inverse``, about 1/(x + x_low), and the fraction of it that is missing."""
    return inverse, fma(-inverse, x_low, fma(-inverse, x, 1.0))


def times_exp(x: Any, x_low: Any, high: Any, low: Any) -> Any:
    """(x + x_low)*exp(high + low), the power of two applied last; for -1400 < high < 900."""
    whole, r, r_low = reduce(high)
    r, r_low = fast_two_sum(r, r_low + low)
    power, power_low = fast_two_sum(1.0, r + fma(r * r, even_odd_polynomial(r, EXP), r_low))
    return scale(fma(x, power, fma(x, power_low, x_low * power)), whole)
