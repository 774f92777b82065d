"""The gamma function, its logarithm and the derivatives of that: branch-free arithmetic over :mod:`fastgrad.basis`.

Every function is one polynomial in s = 1/(y + c) for all y >= 1, infinity included: the asymptotic series is one in
1/y, and c makes the polynomial short. Two of them are wrapped in a logarithm such that nothing cancels, not even at
their zeros. Below 1 the recurrence in x takes y = x + 1, and for x < 0 the reflection formula takes y = 1 - x; both
add a power of 1/v, or the logarithm of v, where v = x for x > 0 and v = sin(pi*x)/pi up to its sign for x < 0. Near the
zeros that lie below 0 the error is a few units in the last place of the two terms that cancel.
"""

from __future__ import annotations

from typing import Any

from fastgrad.basis import absolute, fma, rint, select
from fastgrad.elementary._exponential_coefficients import LOG_2
from fastgrad.elementary._gamma_coefficients import (
    DIGAMMA,
    INVERSE_ZERO_OF_DIGAMMA,
    LOG_GAMMA,
    PENTAGAMMA,
    ROOT_TWO_PI,
    SINE,
    STIRLING,
    TETRAGAMMA,
    TRIGAMMA,
    ZERO_OF_DIGAMMA,
)
from fastgrad.elementary.exponential import (
    even_odd_polynomial,
    fast_two_sum,
    log,
    log_double,
    log_parts,
    two_product,
    two_sum,
)
from fastgrad.elementary.special import times_exp

INFINITY = float("inf")
NAN = float("nan")
PI = 3.141592653589793


def gamma(x: Any) -> Any:
    """Gamma function, 1.6 ULP: sqrt(2*pi)*y**(y - 1/2)*exp(-y)*p(s), s = 1/(y + 1/2), its exponent in two floats."""
    size = absolute(x)
    size = select(size > 200.0, 200.0, size)
    negative = x < 0.0
    shift = select(x < 1.0, 1.0, 0.0)
    y = size + shift
    y_low = size - (y - shift)
    s = 1.0 / (y + 0.5)
    p, p_low = fast_two_sum(STIRLING[0], s * even_odd_polynomial(s, STIRLING[1:]))
    p, p_low = _times_root_two_pi(p, p_low)
    log_high, log_low = log_double(y)
    high, low = two_product(y - 0.5, log_high)
    low = fma(y - 0.5, log_low, fma(y_low, fma(s, -0.5, log_high), low))
    high, rest = two_sum(high, -y)
    low = low + rest
    # p*exp(high) over x where 0 < x < 1, and for x < 0 the inverse of v*p*exp(high)
    tiny = size < 2.0**-60
    v = _shift_base(x)
    product, product_low = two_product(p, v)
    reflected = negative & ~tiny
    divisor = select(reflected, product, select(x < 1.0, x, 1.0))
    divisor_low = select(reflected, fma(p_low, v, product_low), 0.0)
    inverse = 1.0 / divisor
    quotient = select(negative, 1.0, p) * inverse
    residual = fma(-quotient, divisor_low, fma(-quotient, divisor, select(negative, 1.0, p)))
    residual = (residual + select(negative, 0.0, p_low)) * inverse
    result = times_exp(quotient, residual, select(negative, -high, high), select(negative, -low, low))
    half = rint(x) * 0.5
    result = select(negative & (rint(half) != half), -result, result)
    result = select(tiny, inverse, select(negative & (v == 0.0), NAN, result))
    return select(x == INFINITY, x, result)


def _times_root_two_pi(x: Any, x_low: Any) -> tuple[Any, Any]:
    product, product_low = two_product(x, ROOT_TWO_PI[0])
    return product, fma(x, ROOT_TWO_PI[1], fma(x_low, ROOT_TWO_PI[0], product_low))


def gammaln(x: Any) -> Any:
    """log|gamma(x)|, 2.5 ULP for x > 0: (y - 1/2)*log(1 + (y - 1)*(y - 2)*s*p(s)), s = 1/(y - 1/4)."""
    size = absolute(x)
    shifted = x < 1.0
    s, s_error = _inverse(size, select(shifted, 0.75, -0.25))
    less_one = select(shifted, size, size - 1.0)
    less_two = size - select(shifted, 1.0, 2.0)
    left, left_low = two_product(less_one, s)
    right, right_low = two_product(less_two, even_odd_polynomial(s - 0.25, LOG_GAMMA))
    growth, growth_low = two_product(left, right)
    growth_low = fma(left, right_low, fma(left_low, right, growth_low))
    growth_low = fma(growth * fma(s, 0.75, 1.0), s_error, growth_low)  # the slope of s*p(s)
    total, rest = two_sum(growth * 0.0 + 1.0, growth)
    high, low = _log_high_and_low(total, rest + growth_low)
    factor = size + select(shifted, 0.5, -0.5)
    result = fma(factor, high, factor * low)
    result = select(x < 0.0, -result, result)
    v = absolute(_shift_base(x))
    result = select(shifted, select(v == 0.0, INFINITY, result - log(v)), result)
    return select(size == INFINITY, x, result)


def digamma(x: Any) -> Any:
    """gamma'(x)/gamma(x), 2.0 ULP for x > 0: log(y/z) + (y - z)*s*p(s), s = 1/(y + 1/2), z the zero at 1.46."""
    size = absolute(x)
    shift = select(x < 1.0, 1.0, 0.0)
    y = size + shift
    y_low = size - (y - shift)
    s, _ = _inverse(size, shift + 0.5)
    beyond_zero = (y - ZERO_OF_DIGAMMA[0]) + (y_low - ZERO_OF_DIGAMMA[1])
    ratio = y * INVERSE_ZERO_OF_DIGAMMA[0]
    ratio_low = fma(y, INVERSE_ZERO_OF_DIGAMMA[0], -ratio)
    ratio_low = fma(y, INVERSE_ZERO_OF_DIGAMMA[1], fma(y_low, INVERSE_ZERO_OF_DIGAMMA[0], ratio_low))
    high, low = _log_high_and_low(ratio, ratio_low)
    result = high + fma(beyond_zero * s, even_odd_polynomial(s, DIGAMMA), low)
    v = _shift_base(x)
    result = select(x < 1.0, result - _cosine(x) / v, result)
    pole = (x < 0.0) & (v == 0.0)
    return select(pole, NAN, select(x == INFINITY, x, result))


def trigamma(x: Any) -> Any:
    """Derivative of digamma, 2.3 ULP for x > 0: s*p(s), s = 1/(y + 1/2)."""
    s, s_error = _inverse(absolute(x), select(x < 1.0, 1.5, 0.5))
    result = s * even_odd_polynomial(s, TRIGAMMA)
    result = fma(result * fma(s, 1.8, 1.0), s_error, result)
    v = _shift_base(x) * 2.0**100  # keeps the square out of the subnormal range
    power = 2.0**200 / (v * v)
    return select(x < 1.0, power + select(x < 0.0, -result, result), result)


def tetragamma(x: Any) -> Any:
    """Second derivative of digamma, 3.0 ULP for x > 0: s**2*p(s), s = 1/(y + 1/2)."""
    s, s_error = _inverse(absolute(x), select(x < 1.0, 1.5, 0.5))
    result = s * (s * even_odd_polynomial(s, TETRAGAMMA))
    result = fma(result * fma(s, 3.0, 2.0), s_error, result)
    v = _shift_base(x) + 0.0  # at -0 the pole of +0
    power = (2.0 * _cosine(x)) / (v * v * v)
    return select(x < 1.0, result - power, result)


def pentagamma(x: Any) -> Any:
    """Third derivative of digamma, 3.5 ULP for x > 0: s**3*p(s), s = 1/(y + 1/2)."""
    s, s_error = _inverse(absolute(x), select(x < 1.0, 1.5, 0.5))
    result = s * (s * (s * even_odd_polynomial(s - 0.125, PENTAGAMMA)))
    result = fma(result * fma(s, 4.0, 3.0), s_error, result)
    v = _shift_base(x)
    cosine = _cosine(x)
    square = v * v
    power = fma(cosine * cosine, 4.0, 2.0) / (square * square)
    return select(x < 1.0, power + select(x < 0.0, -result, result), result)


def _inverse(x: Any, constant: Any) -> tuple[Any, Any]:
    """1/(x + constant) and the fraction of it that is missing (0 where it is 0)."""
    total = x + constant
    total_low = x - (total - constant)
    s = 1.0 / total
    return s, select(s > 0.0, fma(-s, total_low, fma(-s, total, 1.0)), 0.0)


def _shift_base(x: Any) -> Any:
    """x, and for x < 0 sin(pi*x)/pi up to its sign: that of the sine after a whole number of half turns."""
    f = x - rint(x)
    return select(x < 0.0, f * even_odd_polynomial(f * f, SINE), x)


def _cosine(x: Any) -> Any:
    """1, and for x < 0 cos(pi*x) after the same number of half turns, from the sine of the complement."""
    f = 0.5 - absolute(x - rint(x))
    return select(x < 0.0, PI * f * even_odd_polynomial(f * f, SINE), 1.0)


def _log_high_and_low(x: Any, x_low: Any) -> tuple[Any, Any]:
    """log(x + x_low) as a sum that is not yet rounded."""
    k, f, g = log_parts(x, x_low)
    high, low = fast_two_sum(k * LOG_2[0], f)
    return high, low + fma(k, LOG_2[1], g)
