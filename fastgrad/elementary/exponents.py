"""What the bits of a float hold: exponent, mantissa, fraction and neighbours, as NumPy has them."""

from __future__ import annotations

from typing import Any

from fastgrad.basis import absolute, copysign, from_bits, select, to_bits, trunc
from fastgrad.elementary.exponential import (
    EXPONENT_MASK,
    SMALLEST_NORMAL,
    TO_WHOLE,
    TWO_52_BITS,
    clamp,
    power_of_two,
)

INFINITY = float("inf")
SMALLEST = 5e-324
HALF_BITS = 1022 << 52
# by so much a subnormal is lifted to a normal number
LIFT = 54
# the exponents that one factor takes off; a small factor leaves one below -53, so that only the last product rounds
LARGEST_STEP, LEAST_STEP, LEAST = 1023.0, -969.0, -1022.0


def binary_exponent(x: Any) -> Any:
    """The e of ``x = m * 2**e`` with 0.5 <= abs(m) < 1; 0 for zeros, infinities and NaN."""
    small = absolute(x) < SMALLEST_NORMAL
    bits = to_bits(absolute(select(small, x * 2.0**LIFT, x)))
    e = from_bits(bits.logical_right_shift(52) | TWO_52_BITS) - (2.0**52 + 1022.0)
    return select(_has_exponent(x), select(small, e - float(LIFT), e), 0.0)


def binary_mantissa(x: Any) -> Any:
    """The m of ``x = m * 2**e`` with 0.5 <= abs(m) < 1; ``x`` itself for zeros, infinities and NaN."""
    bits = to_bits(select(absolute(x) < SMALLEST_NORMAL, x * 2.0**LIFT, x))
    return select(_has_exponent(x), from_bits((bits & ~EXPONENT_MASK) | HALF_BITS), x)


def _has_exponent(x: Any) -> Any:
    return (absolute(x) < INFINITY) & (x != 0.0)


def ldexp(x: Any, n: Any) -> Any:
    """``x * 2**n`` with one rounding, for whole ``n``; NaN for a NaN ``n``."""
    left = clamp(n, -2200.0, 2200.0)
    for _ in range(2):
        step = select(left > LARGEST_STEP, LARGEST_STEP, select(left < LEAST, LEAST_STEP, 0.0))
        x, left = _scaled(x, step), left - step
    return select(n != n, n, _scaled(x, left))


def _scaled(x: Any, n: Any) -> Any:
    return x * power_of_two(to_bits(n + TO_WHOLE))


def fraction(x: Any) -> Any:
    """``x - trunc(x)`` with the sign of ``x``; zero for infinities."""
    return copysign(select(absolute(x) == INFINITY, 0.0, x - trunc(x)), x)


def nextafter(x: Any, y: Any) -> Any:
    """The neighbour of ``x`` on the side of ``y``."""
    outwards = (x < y) ^ (x < 0.0)
    bits = to_bits(x)
    moved = select(outwards, from_bits(bits + 1), from_bits(bits - 1))
    moved = select(x == 0.0, copysign(SMALLEST, y), moved)
    return select((x != x) | (y != y), x + y, select(x == y, y, moved))


def spacing(x: Any) -> Any:
    """The distance from ``x`` to its neighbour further from zero, with the sign of ``x``."""
    return nextafter(x, select(x < 0.0, -INFINITY, INFINITY)) - x
