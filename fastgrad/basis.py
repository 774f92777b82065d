"""The small arithmetic in which every elementary operation is written.

An operation's ``forward`` is plain Python over ``+ - * /``, comparisons, ``& | ~`` on conditions, integer
``+ - & << >>``, and the functions below. None of them computes anything here: each asks its operand, so the same
source runs on LLVM values (``fastgrad.emit``), one number or eight lanes at a time. Nothing branches: both sides of
a ``select`` are computed, which is what lets a loop over lanes vectorise.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "absolute",
    "ceil",
    "copysign",
    "floor",
    "fma",
    "from_bits",
    "lookup",
    "remainder_of_division",
    "rint",
    "select",
    "sqrt",
    "to_bits",
    "to_float",
    "to_integer",
    "trunc",
]


def fma(x: Any, y: Any, z: Any) -> Any:
    """``x*y + z`` with one rounding; at least one operand is a value, the others may be Python floats."""
    return _value_among(x, y, z).fma(x, y, z)


def select(condition: Any, x: Any, y: Any) -> Any:
    """``x`` where the condition holds, else ``y``."""
    return condition.select(x, y)


def sqrt(x: Any) -> Any:
    """Square root, correctly rounded."""
    return x.unary("sqrt")


def floor(x: Any) -> Any:
    """Largest whole number not above ``x``."""
    return x.unary("floor")


def ceil(x: Any) -> Any:
    """Smallest whole number not below ``x``."""
    return x.unary("ceil")


def trunc(x: Any) -> Any:
    """``x`` without its fraction."""
    return x.unary("trunc")


def rint(x: Any) -> Any:
    """Nearest whole number, ties to even."""
    return x.unary("rint")


def absolute(x: Any) -> Any:
    """``x`` with its sign bit cleared (NaN stays NaN)."""
    return x.unary("fabs")


def copysign(x: Any, y: Any) -> Any:
    """The magnitude of ``x`` with the sign bit of ``y``."""
    return _value_among(x, y).copysign(x, y)


def remainder_of_division(x: Any, y: Any) -> Any:
    """C's ``fmod``: exact at any quotient. The one basis function that is a call and does not vectorise."""
    return _value_among(x, y).remainder_of_division(x, y)


def to_bits(x: Any) -> Any:
    """The 64-bit integer with the bits of the float ``x``."""
    return x.to_bits()


def from_bits(i: Any) -> Any:
    """The float with the bits of the 64-bit integer ``i``."""
    return i.from_bits()


def to_integer(x: Any) -> Any:
    """The float ``x`` as a 64-bit integer, rounded towards zero; ``|x| < 2**63`` is the caller's duty."""
    return x.to_integer()


def to_float(i: Any) -> Any:
    """The 64-bit integer ``i`` as the nearest float."""
    return i.to_float()


def lookup(table: tuple[float, ...], index: Any) -> Any:
    """``table[index]`` for a tuple of floats and an integer value that is within it."""
    return index.lookup(table)


def _value_among(*operands: Any) -> Any:
    for operand in operands:
        if not isinstance(operand, (int, float)):
            return operand
    raise TypeError("fastgrad: a basis function needs at least one value among its operands; it got numbers only.")
