"""Hyperbolic functions and their inverses, the logistic family, and hypot: branch-free arithmetic.

All stand on the reductions of :mod:`fastgrad.elementary.exponential`. The error stated with each function, in units
in the last place, is the largest seen over the whole range, subnormal numbers included.
"""

from __future__ import annotations

from typing import Any

from fastgrad.basis import absolute, copysign, fma, rarely, select, sqrt
from fastgrad.elementary._exponential_coefficients import COSH, EXP, LOG_2, SINH
from fastgrad.elementary.exponential import (
    INFINITY,
    NAN,
    TO_WHOLE_BITS,
    even_odd_polynomial,
    exp,
    exp_double,
    exponent_and_mantissa,
    fast_two_sum,
    log_parts,
    polynomial,
    power_of_two,
    reduce,
    two_product,
    two_sum,
)

TINY = 2.0**-28  # below it f(x) = x to the last bit for every odd function here
LARGE_SLOPE = 350.0  # beyond it exp(-2|x|) nears the smallest normal numbers
HUGE = 2.0**28  # above it sqrt(x**2 + 1) = x to the last bit


# ---- sinh, cosh, tanh
def _doubled_parts(size: Any) -> tuple[Any, Any, Any, Any, Any, Any]:
    """A quarter of 2**n and of 2**-n, r, its low part, cosh r - 1 and sinh r - r, where |x| = n*log(2) + r.

    sinh x = (2**n - 2**-n)/2 * cosh r + (2**n + 2**-n)/2 * sinh r, and cosh x likewise: no division, no cancellation.
    """
    whole, r, r_low = reduce(select(size > 710.8, 710.8, size))
    growing = power_of_two(whole - 2)
    falling = select(size > 50.0, 0.0, power_of_two(2 * TO_WHOLE_BITS - 2 - whole))
    u = r * r
    return growing, falling, r, r_low, u * polynomial(u, COSH), r * u * polynomial(u, SINH)


def _main_and_side(main: Any, main_low: Any, side: Any, parts: list[Any]) -> Any:
    """2*(main*cosh r + side*sinh r)."""
    r, r_low, c, s = parts
    product, product_low = two_product(side, r)
    high, low = fast_two_sum(main, product)
    half = high + (low + fma(main, c, fma(side, s + r_low, product_low + main_low)))
    return half + half


def sinh(x: Any) -> Any:
    """Hyperbolic sine, 0.9 ULP."""
    size = absolute(x)
    growing, falling, *parts = _doubled_parts(size)
    difference, difference_low = fast_two_sum(growing, -falling)
    result = _main_and_side(difference, difference_low, growing + falling, parts)
    return select(size < TINY, x, copysign(result, x))


def cosh(x: Any) -> Any:
    """Hyperbolic cosine, 0.9 ULP."""
    growing, falling, *parts = _doubled_parts(absolute(x))
    total, total_low = fast_two_sum(growing, falling)
    return _main_and_side(total, total_low, growing - falling, parts)


def _parts_of_tanh(x: Any) -> tuple[Any, ...]:
    """With e = exp(-2|x|): e, e - 1 in two parts, 1 + e in two parts, and 1/(1 + e); |x| > 350 counts as 350."""
    size = absolute(x)
    whole, r, r_low = reduce(select(size > LARGE_SLOPE, -2.0 * LARGE_SLOPE, -2.0 * size))
    factor = power_of_two(whole)
    tail = fma(r * r, even_odd_polynomial(r, EXP), r_low)
    start, start_low = fast_two_sum(-1.0, factor)
    high, low = fast_two_sum(start, factor * r)
    high, low = fast_two_sum(high, fma(factor, tail, low + start_low))
    divisor, divisor_low = fast_two_sum(2.0, high)
    return fma(factor, r + tail, factor), high, low, divisor, divisor_low, 1.0 / divisor


def tanh(x: Any) -> Any:
    """Hyperbolic tangent, 0.9 ULP: -e/(2 + e) with e = exp(-2|x|) - 1, the quotient corrected by its residual."""
    _, high, low, divisor, divisor_low, inverse = _parts_of_tanh(x)
    quotient = -(high * inverse)
    residual = fma(-quotient, divisor, -high) - fma(quotient, divisor_low + low, low)
    return select(absolute(x) < TINY, x, copysign(fma(residual, inverse, quotient), x))


def slope_of_tanh(x: Any) -> Any:
    """1/cosh(x)**2, 3.2 ULP: 4e/(1 + e)**2 with e = exp(-2|x|). Beside tanh(x) it takes a few products more."""
    e, _, low, divisor, divisor_low, inverse = _parts_of_tanh(x)
    error = fma(-inverse, divisor, 1.0) - inverse * (divisor_low + low)
    twice = 2.0 * fma(inverse, error, inverse)
    return rarely(absolute(x) > LARGE_SLOPE, _small_slope_of_tanh, (x,), e * (twice * twice))


def _small_slope_of_tanh(x: Any) -> Any:
    """4 exp(-2|x|), down to the smallest numbers."""
    t = 2.0 * exp(-absolute(x))
    return t * t


# ---- inverse hyperbolic functions
def _log1p_double(high: Any, low: Any) -> Any:
    """log(1 + high + low) for high >= 0."""
    total, rest = two_sum(1.0, high)
    return _logarithm(*log_parts(total, rest + low))


def _logarithm(k: Any, f: Any, g: Any) -> Any:
    high, low = fast_two_sum(k * LOG_2[0], f)
    return high + (low + fma(k, LOG_2[1], g))


def _log1p_or_double_log(high: Any, low: Any, x: Any) -> Any:
    """log(1 + high + low), but log(2x) where x is HUGE; infinite for infinite x."""
    huge = x > HUGE
    total, rest = two_sum(1.0, high)
    k, f, g = log_parts(select(huge, x, total), select(huge, 0.0, rest + low))
    return select(x == INFINITY, x, _logarithm(select(huge, k + 1.0, k), f, g))


def arcsinh(x: Any) -> Any:
    """Inverse hyperbolic sine, 1.0 ULP: log1p of |x| + x**2/(1 + sqrt(1 + x**2))."""
    size = absolute(x)
    high, low = fast_two_sum(size, size * size / (1.0 + sqrt(fma(size, size, 1.0))))
    return select(size < TINY, x, copysign(_log1p_or_double_log(high, low, size), x))


def arccosh(x: Any) -> Any:
    """Inverse hyperbolic cosine, 1.9 ULP: log1p of t + sqrt(t**2 + 2t), t = x - 1."""
    t = x - 1.0
    high, low = fast_two_sum(sqrt(fma(t, t, t + t)), t)
    return select(x < 1.0, NAN, _log1p_or_double_log(high, low, x))


def arctanh(x: Any) -> Any:
    """Inverse hyperbolic tangent, 0.9 ULP: half of log1p of 2|x|/(1 - |x|), the quotient with its residual."""
    size = absolute(x)
    divisor = 1.0 - size
    divisor_low = (1.0 - divisor) - size
    inverse = 1.0 / divisor
    quotient = (size + size) * inverse
    residual = fma(-quotient, divisor_low, fma(-quotient, divisor, size + size)) * inverse
    result = select(size < 1.0, 0.5 * _log1p_double(quotient, residual), select(size == 1.0, INFINITY, NAN))
    return select(size < TINY, x, copysign(result, x))


# ---- the logistic family
def sigmoid(x: Any) -> Any:
    """1/(1 + exp(-x)), 1.5 ULP, to the last subnormal number: t/(1 + t) for x < 0, t = exp(-|x|)."""
    t = exp(-absolute(x))
    divisor, divisor_low = fast_two_sum(1.0, t)
    inverse = 1.0 / divisor
    numerator = select(x < 0.0, t, 1.0)
    quotient = numerator * inverse
    residual = fma(-quotient, divisor_low, fma(-quotient, divisor, numerator))
    return fma(residual, inverse, quotient)


def _plus_log1p(x: Any, t: Any) -> Any:
    """x + log(1 + t) for 0 <= t <= 1."""
    k, f, g = log_parts(*fast_two_sum(1.0, t))
    high, low = fast_two_sum(k * LOG_2[0], f)
    total, rest = two_sum(x, high)
    return total + select(absolute(x) < INFINITY, rest + (low + fma(k, LOG_2[1], g)), 0.0)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), 1.7 ULP."""
    return _plus_log1p(select(x > 0.0, x, 0.0), exp(-absolute(x)))


def log_sigmoid(x: Any) -> Any:
    """log of ``sigmoid``, 1.7 ULP."""
    return -softplus(-x)


def logaddexp(x: Any, y: Any) -> Any:
    """log(exp(x) + exp(y)), 1.5 ULP where |result| > 1/4; nearer to 0, where terms cancel, within 2**-53."""
    equal = x == y  # also two equal infinities, whose difference is NaN
    difference, low = two_sum(x, -y)
    larger = x > y
    t = exp_double(-absolute(difference), select(larger, -low, low))
    return _plus_log1p(select(larger, x, y), select(equal, 1.0, t))


def logit(x: Any) -> Any:
    """Inverse of ``sigmoid``, 0.7 ULP: log of x/(1 - x), the quotient with its residual."""
    inside = (x > 0.0) & (x < 1.0)
    edge = select(x == 0.0, -INFINITY, select(x == 1.0, INFINITY, NAN))
    x = select(inside, x, 0.5)
    divisor = 1.0 - x
    divisor_low = (1.0 - divisor) - x
    inverse = 1.0 / divisor
    quotient = x * inverse
    residual = fma(-quotient, divisor_low, fma(-quotient, divisor, x)) * inverse
    return select(inside, _logarithm(*log_parts(quotient, select(x < 2.0**-900, 0.0, residual))), edge)


def log_quotient(x: Any, y: Any) -> Any:
    """log(x/y), 0.6 ULP: exponents apart, and the mantissas' quotient with its residual."""
    inside = (x > 0.0) & (x < INFINITY) & (y > 0.0) & (y < INFINITY)
    ratio = absolute(x) / absolute(y)  # no sign of zero counts
    edge = select(ratio == 0.0, -INFINITY, select(ratio == INFINITY, INFINITY, NAN))
    edge = select((x < 0.0) | (y < 0.0), NAN, edge)
    x_exponent, x_mantissa = exponent_and_mantissa(select(inside, x, 1.0))[:2]
    y_exponent, y_mantissa = exponent_and_mantissa(select(inside, y, 1.0))[:2]
    inverse = 1.0 / y_mantissa
    quotient = x_mantissa * inverse
    k, f, g = log_parts(quotient, fma(-quotient, y_mantissa, x_mantissa) * inverse)
    logarithm = select(x == y, 0.0, _logarithm(k + (x_exponent - y_exponent), f, g))
    return select(inside, logarithm, edge)


# ---- hypot
def hypot(x: Any, y: Any) -> Any:
    """sqrt(x**2 + y**2), 1.0 ULP, scaled by a power of two where a square would overflow or vanish."""
    x, y = absolute(x), absolute(y)
    larger, smaller = select(x > y, x, y), select(x > y, y, x)
    big, small = larger > 2.0**510, larger < 2.0**-450
    factor = select(big, 2.0**-600, select(small, 2.0**600, 1.0))
    larger, smaller = larger * factor, smaller * factor
    result = sqrt(fma(larger, larger, smaller * smaller)) * select(big, 2.0**600, select(small, 2.0**-600, 1.0))
    return select((x == INFINITY) | (y == INFINITY), INFINITY, result)
