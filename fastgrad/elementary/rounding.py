"""Remainders and the whole quotient, to the bit as NumPy computes them for float64.

``fmod`` is exact. ``remainder`` and ``floor_divide`` are NumPy's own steps from ``fmod`` (Python's conventions: the
remainder takes the divisor's sign, a zero too, and the quotient snaps to the nearest whole number).
"""

from __future__ import annotations

from typing import Any

from fastgrad.basis import absolute, copysign, floor, fma, rarely, repeat_while, select, trunc

DIGIT = 2.0**52
WHOLE = 2.0**53


def fmod(x: Any, y: Any) -> Any:
    """``x - y*trunc(x/y)`` without error, with the sign of ``x``; NaN where ``y`` is 0 or ``x`` infinite."""
    a, b = absolute(x), absolute(y)
    return copysign(rarely(_is_long(a, b), _long_division, (a, b), _one_digit(a, b)), x)


def _one_digit(a: Any, b: Any) -> Any:
    """The remainder of a/b < 2**53. The quotient may come out one too large; the fma is exact in either case."""
    r = fma(-trunc(a / b), b, a)
    return select(a < b, a, select(r < 0.0, r + b, r))


def _is_long(a: Any, b: Any) -> Any:
    return (b * WHOLE <= a) & (a < float("inf")) & (b > 0.0)


def _long_division(a: Any, b: Any) -> Any:
    """Schoolbook division with digits of 52 bits: no step rounds, whatever the quotient (up to 2**2098)."""
    long = _is_long(a, b)
    a, b = select(long, a, 1.0), select(long, b, 1.0)
    (shifted,) = repeat_while(lambda t: t * WHOLE <= a, lambda t: (t * DIGIT,), b)
    _, r = repeat_while(
        lambda t, r: t > b,
        lambda t, r: (t / DIGIT, _one_digit(r, t / DIGIT)),
        shifted,
        _one_digit(a, shifted),
    )
    return r


def remainder(x: Any, y: Any) -> Any:
    """``x - y*floor(x/y)``, with the sign of ``y``."""
    m = fmod(x, y)
    return select(m == 0.0, copysign(m, y), select((m < 0.0) ^ (y < 0.0), m + y, m))


def floor_divide(x: Any, y: Any) -> Any:
    """``floor(x/y)``, from the exact remainder; ``x/y`` where ``y`` is 0."""
    m = fmod(x, y)
    q = (x - m) / y
    q = select((m != 0.0) & ((m < 0.0) ^ (y < 0.0)), q - 1.0, q)
    f = floor(q)
    f = select(q - f > 0.5, f + 1.0, f)
    quotient = x / y
    return select(y == 0.0, quotient, select(q == 0.0, copysign(0.0, quotient), f))
