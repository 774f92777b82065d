"""Sine, cosine, tangent and their inverses, right to 2 ULP at every float64.

Arguments up to ``LARGE`` lose their multiples of pi/2 by Cody and Waite's subtraction in parts, made exact with fma;
the rest by Payne and Hanek's method (in doubles, from a table of 2**k * 2/pi mod 4) behind a rarely taken branch.
The remainder is kept as a sum of two doubles, so that also the closest arguments to a multiple keep every digit.
"""

from __future__ import annotations

from typing import Any

from fastgrad.basis import (
    absolute,
    fma,
    from_bits,
    lookup,
    rarely,
    rint,
    select,
    sqrt,
    to_bits,
)
from fastgrad.elementary._trigonometric_coefficients import (
    ARCSIN,
    ARCTAN,
    COS,
    HALF_PI,
    HUGE_ROWS,
    SIN,
    TWO_OVER_PI,
)

LARGE = 2.0**40
ROUND = 1.5 * 2.0**52  # added to a float below 2**51, leaves its nearest whole number in the low bits
SIGN = -(1 << 63)


# ---- sine, cosine, tangent
def sin(x: Any) -> Any:
    """Sine; 0.8 ULP."""
    a = absolute(x)
    return _with_sign_of(x, rarely(a > LARGE, _huge_sin, (a,), _sin(*_reduced(a))))


def cos(x: Any) -> Any:
    """Cosine; 0.8 ULP."""
    a = absolute(x)
    return rarely(a > LARGE, _huge_cos, (a,), _cos(*_reduced(a)))


def tan(x: Any) -> Any:
    """Tangent; 1 ULP."""
    a = absolute(x)
    return _with_sign_of(x, rarely(a > LARGE, _huge_tan, (a,), _tan(*_reduced(a))))


def _huge_sin(a: Any) -> Any:
    return _sin(*_reduced_huge(a))


def _huge_cos(a: Any) -> Any:
    return _cos(*_reduced_huge(a))


def _huge_tan(a: Any) -> Any:
    return _tan(*_reduced_huge(a))


def _with_sign_of(x: Any, r: Any) -> Any:
    """``r`` or ``-r``, for an odd function that was evaluated at ``absolute(x)``."""
    return from_bits(to_bits(r) ^ (to_bits(x) & SIGN))


def _sin(n: Any, r: Any, r_low: Any) -> Any:
    """The sine of ``n*pi/2 + r + r_low``."""
    s, s_low, c, c_low = _sine_and_cosine(r, r_low)
    quarter = select((n & 1) == 0, s + s_low, c + c_low)
    return from_bits(to_bits(quarter) ^ ((n & 2) << 62))


def _cos(n: Any, r: Any, r_low: Any) -> Any:
    s, s_low, c, c_low = _sine_and_cosine(r, r_low)
    quarter = select((n & 1) == 0, c + c_low, s + s_low)
    return from_bits(to_bits(quarter) ^ (((n + 1) & 2) << 62))


def _tan(n: Any, r: Any, r_low: Any) -> Any:
    """sin/cos or -cos/sin, the quotient of two sums corrected by its own residue."""
    s, s_low, c, c_low = _sine_and_cosine(r, r_low)
    s, s_low = _ordered_sum(s, s_low)
    c, c_low = _ordered_sum(c, c_low)
    even = (n & 1) == 0
    top, top_low = select(even, s, c), select(even, s_low, c_low)
    bottom, bottom_low = select(even, c, s), select(even, c_low, s_low)
    inverse = 1.0 / bottom
    q = top * inverse
    residue = fma(-q, bottom, top) + fma(-q, bottom_low, top_low)
    return from_bits(to_bits(fma(residue, inverse, q)) ^ (n << 63))


def _sine_and_cosine(r: Any, r_low: Any) -> tuple[Any, Any, Any, Any]:
    """Sine and cosine of ``r + r_low``, |r| <= pi/4, each as a leading part and a correction still to be added."""
    z = r * r
    half = 0.5 * z
    c = 1.0 - half
    s_low = fma(r * z, _polynomial(z, SIN), r_low * c)
    c_low = fma(z * z, _polynomial(z, COS), fma(-r, r_low, (1.0 - c) - half))
    return r, s_low, c, c_low


def _reduced(a: Any) -> tuple[Any, Any, Any]:
    """``a = n*pi/2 + r + r_low`` for 0 <= a <= LARGE: n modulo 4 in the low bits of an integer.

    The first subtraction is exact (both terms are multiples of 2**-53 and the difference is below 1); what the second
    one rounds off is recovered.
    """
    rounded = fma(a, TWO_OVER_PI, ROUND)
    n = rounded - ROUND
    first = fma(-n, HALF_PI[0], a)
    second = n * HALF_PI[1]
    r = first - second
    lost = fma(n, HALF_PI[1], -second)
    return to_bits(rounded), r, ((first - r) - second) - fma(n, HALF_PI[2], lost)


def _reduced_huge(a: Any) -> tuple[Any, Any, Any]:
    """The same for LARGE < a, which is a number below 2**85 times 2**(32*j), and a whole one where j > 0.

    Row j of the table holds 2**(32*j) * 2/pi mod 4 in four doubles. The products' parts are reduced modulo 4 one by
    one, and their sum is made of two doubles by two sweeps of exact additions (Ogita, Rump and Oishi's SumK).
    """
    exponent = to_bits(a).logical_right_shift(52)
    row = select(exponent > 1075, exponent - 1075, 0).logical_right_shift(5)
    a = a * from_bits((1023 - (row << 5)) << 52)
    terms = []
    for part in range(4):
        factor = lookup(HUGE_ROWS, (row << 2) + part)
        product = a * factor
        terms += [product, fma(a, factor, -product)]
    terms = [fma(-4.0, rint(0.25 * term), term) for term in terms[:3]] + terms[3:7]
    rounded = (terms[0] + terms[1] + terms[2]) + ROUND
    terms[0] = terms[0] - (rounded - ROUND)
    for _ in range(2):
        for i in reversed(range(len(terms) - 1)):
            terms[i], terms[i + 1] = _sum(terms[i], terms[i + 1])
    turns, turns_low = _sum(terms[0], sum(reversed(terms[1:])))
    r = turns * HALF_PI[0]
    r_low = fma(turns_low, HALF_PI[0], fma(turns, HALF_PI[1], fma(turns, HALF_PI[0], -r)))
    return (to_bits(rounded), *_ordered_sum(r, r_low))


# ---- arcus functions: t + cube*p, with p a polynomial in t**2 and cube = t**3
def arcsin(x: Any) -> Any:
    """Arcsine; 1.1 ULP. Beyond 1/2 through ``pi/2 - 2*arcsin(sqrt((1 - |x|)/2))``."""
    outer, t, cube, p = _half_arcsin(absolute(x))
    complement, rest = _ordered_sum(HALF_PI[0], -2.0 * t)
    outside = complement + (rest + fma(-2.0 * cube, p, HALF_PI[1]))
    return _with_sign_of(x, select(outer, outside, fma(cube, p, t)))


def arccos(x: Any) -> Any:
    """Arccosine; 1.1 ULP. Beyond 1/2 through ``2*arcsin(sqrt((1 - |x|)/2))`` and its supplement."""
    outer, t, cube, p = _half_arcsin(absolute(x))
    inside = HALF_PI[0] - (_with_sign_of(x, t) + fma(_with_sign_of(x, cube), p, -HALF_PI[1]))
    near_one = fma(cube, p, t)
    near_minus_one = HALF_PI[0] - (t + fma(cube, p, -HALF_PI[1]))
    return select(outer, 2.0 * select(x < 0.0, near_minus_one, near_one), inside)


def _half_arcsin(a: Any) -> tuple[Any, Any, Any, Any]:
    """Is ``a`` > 1/2? And the terms of the arcsine of t: ``a`` if not, sqrt((1 - a)/2) if so."""
    outer = a > 0.5
    z = select(outer, fma(-0.5, a, 0.5), a * a)
    t = select(outer, sqrt(z), a)
    return outer, t, t * z, _polynomial(z, ARCSIN)


def arctan(x: Any) -> Any:
    """Arctangent; 1.7 ULP. Beyond 1 through ``pi/2 - arctan(1/|x|)``."""
    a = absolute(x)
    outer = a > 1.0
    t, cube, p = _arctan(select(outer, 1.0 / a, a))
    complement, rest = _ordered_sum(HALF_PI[0], -t)
    return _with_sign_of(x, select(outer, complement + (rest + fma(-cube, p, HALF_PI[1])), fma(cube, p, t)))


def arctan2(x: Any, y: Any) -> Any:
    """The angle of the point (y, x), all four quadrants and signed zeros and infinities as in C; 1.7 ULP."""
    up, across = absolute(x), absolute(y)
    steep = up > across
    small, large = select(steep, across, up), select(steep, up, across)
    t, cube, p = _arctan(select(small == large, select(large == 0.0, 0.0, 1.0), small / large))
    behind = to_bits(y) < 0
    # from 0 upwards, from pi/2 either way, or from pi downwards
    start = select(steep, HALF_PI[0], select(behind, 2.0 * HALF_PI[0], 0.0))
    start_low = select(steep, HALF_PI[1], select(behind, 2.0 * HALF_PI[1], 0.0))
    falls = steep ^ behind
    start, rest = _ordered_sum(start, select(falls, -t, t))
    return _with_sign_of(x, start + (rest + fma(select(falls, -cube, cube), p, start_low)))


def _arctan(t: Any) -> tuple[Any, Any, Any]:
    """The terms of the arctangent of t, 0 <= t <= 1."""
    z = t * t
    return t, t * z, _polynomial(z, ARCTAN)


# ---- shared arithmetic
def _polynomial(z: Any, coefficients: tuple[float, ...]) -> Any:
    """Horner's rule; before the first four coefficients even and odd powers go apart, to shorten the chain."""
    late, square = coefficients[4:], z * z
    halves = []
    for half in (late[::2], late[1::2]):
        total: Any = half[-1]
        for coefficient in reversed(half[:-1]):
            total = fma(square, total, coefficient)
        halves.append(total)
    total = fma(z, halves[1], halves[0])
    for coefficient in reversed(coefficients[:4]):
        total = fma(z, total, coefficient)
    return total


def _ordered_sum(x: Any, y: Any) -> tuple[Any, Any]:
    """``x + y`` and its rounding error, for |x| >= |y|."""
    total = x + y
    return total, y - (total - x)


def _sum(x: Any, y: Any) -> tuple[Any, Any]:
    """``x + y`` and its rounding error."""
    total = x + y
    other = total - x
    return total, (x - (total - other)) + (y - other)
