"""Remainders and the whole quotient, to the bit as NumPy computes them for float64.

``fmod`` is exact. ``remainder`` and ``floor_divide`` follow Python's conventions: the remainder takes the divisor's
sign, a zero too.
"""

from __future__ import annotations

from typing import Any

from fastgrad.basis import absolute, copysign, floor, fma, rarely, repeat_while, select, to_bits, trunc

DIGIT = 2.0**52
WHOLE = 2.0**53
SURELY_WHOLE = 2.0**50


def fmod(x: Any, y: Any) -> Any:
    """``x - y*trunc(x/y)`` without error, with the sign of ``x``; NaN where ``y`` is 0 or ``x`` infinite."""
    a, b = absolute(x), absolute(y)
    return copysign(rarely(_is_long(a, b), _long_division, (a, b), _one_digit(a, b)[1]), x)


def remainder(x: Any, y: Any) -> Any:
    """``x - y*floor(x/y)``, with the sign of ``y``."""
    m = fmod(x, y)
    return select(m == 0.0, copysign(m, y), select((m < 0.0) ^ (y < 0.0), m + y, m))


def floor_divide(x: Any, y: Any) -> Any:
    """``floor(x/y)``; ``x/y`` where ``y`` is 0."""
    a, b = absolute(x), absolute(y)
    whole, r = _one_digit(a, b)
    opposite = (to_bits(x) ^ to_bits(y)) < 0
    usual = select(opposite, -whole, whole) - select(opposite & (r != 0.0), 1.0, 0.0)
    return rarely(a >= b * SURELY_WHOLE, _snapped_quotient, (x, y), usual)


def _snapped_quotient(x: Any, y: Any) -> Any:
    """NumPy's steps, which for smaller quotients come to the exact floor and for these round in their own way."""
    m = fmod(x, y)
    q = (x - m) / y
    q = select((m != 0.0) & ((m < 0.0) ^ (y < 0.0)), q - 1.0, q)
    f = floor(q)
    return select(y == 0.0, x / y, select(q - f > 0.5, f + 1.0, f))


def _one_digit(a: Any, b: Any) -> tuple[Any, Any]:
    """Whole quotient and remainder of a/b < 2**53. The quotient may be one too large; the fma is exact even so."""
    whole = trunc(a / b)
    r = fma(-whole, b, a)
    over = r < 0.0
    return select(over, whole - 1.0, whole), select(a < b, a, select(over, r + b, r))


def _is_long(a: Any, b: Any) -> Any:
    return (b * WHOLE <= a) & (a < float("inf")) & (b > 0.0)


def _long_division(a: Any, b: Any) -> Any:
    """Schoolbook division with digits of 52 bits: no step rounds, whatever the quotient (up to 2**2098)."""
    long = _is_long(a, b)
    a, b = select(long, a, 1.0), select(long, b, 1.0)
    (shifted,) = repeat_while(lambda t: t * WHOLE <= a, lambda t: (t * DIGIT,), b)
    _, r = repeat_while(
        lambda t, r: t > b,
        lambda t, r: (t / DIGIT, _one_digit(r, t / DIGIT)[1]),
        shifted,
        _one_digit(a, shifted)[1],
    )
    return r
