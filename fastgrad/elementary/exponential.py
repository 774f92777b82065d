"""Exponentials, logarithms, power and cube root: branch-free arithmetic over :mod:`fastgrad.basis`.

The common parts come first: ``reduce`` writes x as n log 2 + r (Cody and Waite), ``log_parts`` writes log x as
k log 2 + f + g, ``log_double`` and ``exp_double`` carry about 68 bits for ``power`` and for other modules. Sums of
two floats with their rounding error follow Dekker (1971) and Knuth; exact products use fma. The error stated with
each function, in units in the last place, is the largest seen over the whole range, subnormal numbers included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastgrad.basis import absolute, copysign, fma, from_bits, rint, select, to_bits
from fastgrad.elementary._exponential_coefficients import (
    ATANH_TAIL,
    CBRT,
    EXP,
    FIFTH,
    FULL_LOG_2,
    INVERSE_LOG_2,
    INVERSE_LOG_10,
    LOG,
    LOG10_2,
    LOG_2,
    THIRD,
)

INFINITY = float("inf")
NAN = float("nan")
SMALLEST_NORMAL = 2.0**-1022
TO_WHOLE = 1.5 * 2.0**52  # a sum with it is rounded to a whole number, which then stands in the lowest bits
TO_WHOLE_BITS = 0x4338 << 48
ONE_BITS = 1023 << 52
ROOT_HALF_BITS = 0x3FE6A09E667F3BCD
EXPONENT_MASK = 0x7FF << 52
MANTISSA_MASK = (1 << 52) - 1
SIGN_MASK = -(1 << 63)
TWO_52_BITS = (1023 + 52) << 52


# ---- common parts
def polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    """The polynomial with these coefficients, lowest power first, by Horner's rule."""
    total: Any = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = fma(total, x, coefficient)
    return total


def even_odd_polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    """The same with even and odd powers apart: half as long a chain, 15 % off the time of ``log``.

    The lowest coefficient is still added last, for its rounding error counts most.
    """
    first, *rest = coefficients
    square = x * x
    return fma(fma(polynomial(square, rest[1::2]), x, polynomial(square, rest[::2])), x, first)


def fast_two_sum(x: Any, y: Any) -> tuple[Any, Any]:
    """``x + y`` and its rounding error, for ``|x| >= |y|`` or ``x == 0``."""
    total = x + y
    return total, y - (total - x)


def two_sum(x: Any, y: Any) -> tuple[Any, Any]:
    """``x + y`` and its rounding error."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def two_product(x: Any, y: Any) -> tuple[Any, Any]:
    """``x * y`` and its rounding error."""
    product = x * y
    return product, fma(x, y, -product)


def clamp(x: Any, low: float, high: float) -> Any:
    """``x`` kept between two bounds; NaN stays."""
    x = select(x > high, high, x)
    return select(x < low, low, x)


def power_of_two(whole: Any) -> Any:
    """2**n for -1022 <= n <= 1023, from the bits of the float TO_WHOLE + n."""
    return from_bits((whole << 52) + ONE_BITS)


def scale(x: Any, whole: Any) -> Any:
    """x * 2**n for -2044 <= n <= 2046, from the bits of TO_WHOLE + n; two factors, so that nothing overflows early."""
    half = whole.logical_right_shift(1)
    return x * power_of_two(half) * power_of_two(whole - half)


def reduce(x: Any) -> tuple[Any, Any, Any]:
    """The bits of TO_WHOLE + n, and r as a high and a low part, where x = n*log(2) + r and |r| <= log(2)/2."""
    shifted = fma(x, INVERSE_LOG_2[0], TO_WHOLE)
    n = shifted - TO_WHOLE
    rough = fma(n, -LOG_2[0], x)
    high = fma(n, -LOG_2[1], rough)
    return to_bits(shifted), high, fma(n, -LOG_2[1], rough - high)


def log_parts(x: Any, low: Any = None) -> tuple[Any, Any, Any]:
    """k, f and g with log(x) = k*log(2) + f + g, g the smaller; with ``low`` those of log(x + low), x > 2**-1022.

    1 + f lies between sqrt(1/2) and sqrt(2). For x = 0, x < 0 and x not finite they are meaningless.
    """
    k, mantissa, shifted = exponent_and_mantissa(x)
    f = mantissa - 1.0
    if low is None:
        return k, f, f * f * even_odd_polynomial(f, LOG)
    twice_inverse = from_bits((2047 << 52) - (shifted & EXPONENT_MASK))  # 2**(1 - k), also for k = 1024
    f, rest = fast_two_sum(f, low * twice_inverse * 0.5)
    # rest/(1 + f), to the few bits that count
    return k, f, fma(f * f, even_odd_polynomial(f, LOG), fma(rest * f, f - 1.0, rest))


def exponent_and_mantissa(x: Any) -> tuple[Any, Any, Any]:
    """k and m with x = m * 2**k, sqrt(1/2) <= m < sqrt(2), and the bits that hold k + 1023 in their exponent."""
    small = x < SMALLEST_NORMAL
    shifted = to_bits(select(small, x * 2.0**54, x)) + (ONE_BITS - ROOT_HALF_BITS)
    bias = select(small, 2.0**52 + 1023.0 + 54.0, 2.0**52 + 1023.0)
    k = from_bits(shifted.logical_right_shift(52) | TWO_52_BITS) - bias
    return k, from_bits((shifted & MANTISSA_MASK) + ROOT_HALF_BITS), shifted


def _logarithm_at_edges(x: Any, result: Any) -> Any:
    """``result`` where x is a finite positive number, else what a logarithm of x is."""
    edge = select(x == 0.0, -INFINITY, NAN)
    return select(x > 0.0, select(x < INFINITY, result, x), edge)


def log_double(x: Any) -> tuple[Any, Any]:
    """log(x) as a high and a low part, relative error 2**-68; infinite or NaN (low part 0) as log(x) is.

    log m = 2 atanh(s), s = (m - 1)/(m + 1); the first terms of the series in s**2 in double-double arithmetic.
    """
    k, mantissa, _ = exponent_and_mantissa(x)
    f = mantissa - 1.0
    d, d_low = fast_two_sum(2.0, f)
    inverse = 1.0 / d
    s = f * inverse
    s_low = fma(-s, d_low, fma(-s, d, f)) * inverse
    u, u_low = two_product(s, s)
    u_low = fma(s + s, s_low, u_low)
    high, low = fast_two_sum(FIFTH[0], u * polynomial(u, ATANH_TAIL))
    high, low = _double_product(u, u_low, high, low + FIFTH[1])
    high, rest = fast_two_sum(THIRD[0], high)
    high, low = _double_product(u, u_low, high, rest + (low + THIRD[1]))
    high, low = _double_product(s + s, s_low + s_low, high, low)
    high, rest = fast_two_sum(s + s, high)
    low = low + rest + (s_low + s_low)
    total, rest = fast_two_sum(k * LOG_2[0], high)
    high, low = fast_two_sum(total, rest + fma(k, LOG_2[1], low))
    finite = (x > 0.0) & (x < INFINITY)
    return _logarithm_at_edges(x, high), select(finite, low, 0.0)


def _double_product(x: Any, x_low: Any, y: Any, y_low: Any) -> tuple[Any, Any]:
    product, rest = two_product(x, y)
    return product, fma(x_low, y, fma(x, y_low, rest))


def exp_double(high: Any, low: Any) -> Any:
    """exp(high + low), rounded to one float, 0.9 ULP; ``low`` counts only where exp(high) is neither 0 nor infinite."""
    inside = absolute(high) < 746.0
    whole, r, r_low = reduce(clamp(high, -746.0, 746.0))
    r, r_low = fast_two_sum(r, r_low + select(inside, low, 0.0))
    return scale(1.0 + (r + fma(r * r, even_odd_polynomial(r, EXP), r_low)), whole)


# ---- exponentials
def exp(x: Any) -> Any:
    """e**x, 0.9 ULP: Cody-Waite reduction, minimax polynomial of degree 11."""
    whole, r, _ = reduce(clamp(x, -746.0, 710.0))
    return scale(fma(fma(even_odd_polynomial(r, EXP), r, 1.0), r, 1.0), whole)


def exp2(x: Any) -> Any:
    """2**x, 0.9 ULP; exact at whole numbers."""
    x = clamp(x, -1076.0, 1025.0)
    shifted = x + TO_WHOLE
    f = x - (shifted - TO_WHOLE)
    r = f * FULL_LOG_2[0]
    r_low = fma(f, FULL_LOG_2[1], fma(f, FULL_LOG_2[0], -r))
    return scale(1.0 + (r + fma(r * r, even_odd_polynomial(r, EXP), r_low)), to_bits(shifted))


def expm1(x: Any) -> Any:
    """e**x - 1, 1.3 ULP: (2**n - 1) + 2**n*(e**r - 1), halved so that n = 1024 is in range."""
    whole, r, r_low = reduce(clamp(x, -40.0, 710.0))
    half = power_of_two(whole - 1)
    high, low = fast_two_sum(half - 0.5, half * r)
    rest = fma(r * r, even_odd_polynomial(r, EXP), r_low)
    return select(absolute(x) < 2.0**-54, x, 2.0 * (high + fma(half, rest, low)))


# ---- logarithms
def log(x: Any) -> Any:
    """Natural logarithm, 1.0 ULP: minimax polynomial of degree 22 in place of a division."""
    k, f, g = log_parts(x)
    high, low = fast_two_sum(k * LOG_2[0], f)
    return _logarithm_at_edges(x, high + (low + fma(k, LOG_2[1], g)))


def log1p(x: Any) -> Any:
    """log(1 + x), 1.0 ULP: ``log`` of 1 + x with its rounding error."""
    high, low = two_sum(1.0, x)
    k, f, g = log_parts(high, low)
    total, rest = fast_two_sum(k * LOG_2[0], f)
    result = _logarithm_at_edges(high, total + (rest + fma(k, LOG_2[1], g)))
    return select(absolute(x) < 2.0**-54, x, result)


def log2(x: Any) -> Any:
    """Logarithm to base 2, 1.1 ULP; exact at powers of two."""
    k, f, g = log_parts(x)
    product, product_low = two_product(f, INVERSE_LOG_2[0])
    high, low = fast_two_sum(k, product)
    return _logarithm_at_edges(x, high + (low + fma(g, INVERSE_LOG_2[0], fma(f, INVERSE_LOG_2[1], product_low))))


def log10(x: Any) -> Any:
    """Logarithm to base 10, 0.9 ULP; exact at powers of ten."""
    k, f, g = log_parts(x)
    product, product_low = two_product(f, INVERSE_LOG_10[0])
    high, low = fast_two_sum(k * LOG10_2[0], product)
    rest = fma(k, LOG10_2[1], fma(f, INVERSE_LOG_10[1], product_low))
    return _logarithm_at_edges(x, high + (low + fma(g, INVERSE_LOG_10[0], rest)))


# ---- powers
def power(x: Any, y: Any) -> Any:
    """x**y, 0.9 ULP: exp of y*log|x| in double-double arithmetic; the special cases are those of C's pow."""
    size = absolute(x)
    log_high, log_low = log_double(size)
    high, low = two_product(log_high, y)
    size_of_power = exp_double(high, fma(log_low, y, low))
    y_is_whole = rint(y) == y
    half = y * 0.5
    y_is_odd = y_is_whole & (rint(half) != half)
    result = from_bits(to_bits(size_of_power) | select(y_is_odd, to_bits(x) & SIGN_MASK, 0))
    result = select((x < 0.0) & (x > -INFINITY) & (absolute(y) < INFINITY) & ~y_is_whole, NAN, result)
    return select((x == 1.0) | (y == 0.0) | ((size == 1.0) & (absolute(y) == INFINITY)), 1.0, result)


def log_of_base(x: Any) -> Any:
    """``log``, 0.6 ULP, the way that ``power`` takes it: beside that it costs nothing."""
    return select(x < 0.0, NAN, log_double(absolute(x))[0])


def cbrt(x: Any) -> Any:
    """Cube root, 0.51 ULP: minimax start for m**(-1/3), a step of third order, a Newton step with exact residual."""
    size = absolute(x)
    small = size < SMALLEST_NORMAL
    bits = to_bits(select(small, size * 2.0**54, size))
    exponent = from_bits(bits.logical_right_shift(52) | TWO_52_BITS) - (2.0**52 + 1023.0)
    # nearest to (exponent - 1)/3: a third of the exponent, rounded down
    shifted = fma(exponent - 1.0, 1.0 / 3.0, TO_WHOLE)
    third = shifted - TO_WHOLE
    rest = fma(third, -3.0, exponent)
    m = from_bits((bits & MANTISSA_MASK) | ONE_BITS)
    z = polynomial(m, CBRT)
    h = fma(z * z, -(m * z), 1.0)
    z = fma(z * h, fma(h, 2.0 / 9.0, 1.0 / 3.0), z)
    # now the factor 2**rest, rest = 0, 1 or 2
    m = m * (1.0 + rest * fma(rest, 0.5, 0.5))
    z = z * select(rest == 0.0, 1.0, select(rest == 1.0, 2.0 ** (-1.0 / 3.0), 2.0 ** (-2.0 / 3.0)))
    root = m * z * z
    square, square_low = two_product(root, root)
    residual = fma(-square, root, m) - square_low * root
    root = fma(residual, z * z * (1.0 / 3.0), root)
    root = root * power_of_two(to_bits(shifted)) * select(small, 2.0**-18, 1.0)
    return select((size > 0.0) & (size < INFINITY), copysign(root, x), x)
