"""The small arithmetic in which every elementary operation is written.

An operation's ``forward`` is plain Python over ``+ - * /``, comparisons, ``& | ~`` on conditions, integer
``+ - & << >>``, and the functions below. None of them computes anything here: each asks its operand, so the same
source runs on LLVM values (``fastgrad.emit``), one number or eight lanes at a time. Nothing branches: both sides of
a ``select`` are computed, which is what lets a loop over lanes vectorise. What ordinary operands never need stands
behind ``rarely``, which costs them one predicted branch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = [
    "absolute",
    "ceil",
    "copysign",
    "floor",
    "fma",
    "from_bits",
    "lookup",
    "rarely",
    "repeat_while",
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


def rarely(condition: Any, function: Callable[..., Any], operands: tuple[Any, ...], cheap: Any) -> Any:
    """``function(*operands)`` where the condition holds, else ``cheap``; run only if some lane needs it.

    ``function`` stands at the top level of its module and takes and returns floats: its code is kept out of line, once
    for all its uses. It runs on every lane, also on those whose result is not taken.
    """
    return condition.rarely(function, operands, cheap)


def repeat_while(condition: Callable[..., Any], step: Callable[..., tuple[Any, ...]], *state: Any) -> tuple[Any, ...]:
    """``state = step(*state)`` in every lane as long as ``condition(*state)`` holds there; only behind ``rarely``."""
    repeated: tuple[Any, ...] = _value_among(*state).repeat_while(condition, step, state)
    return repeated


def _value_among(*operands: Any) -> Any:
    for operand in operands:
        if not isinstance(operand, (int, float)):
            return operand
    raise TypeError("fastgrad: a basis function needs at least one value among its operands; it got numbers only.")
