"""Operations on the bits of whole numbers, and their common divisors and multiples: steps, with derivative zero.

Tapes hold whole numbers as float64, exactly below 2**53. Where an operand or the result is larger, the result is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.array_ops.table import Cotangents, Shape, array_operation, broadcasting, require

UFUNCS: dict[str, np.ufunc] = {
    ufunc.__name__: ufunc
    for ufunc in (
        np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.left_shift, np.right_shift, np.bitwise_count,
        np.gcd, np.lcm,
    )
}  # fmt: skip
_KINDS = frozenset(np.dtype(code).str for code in "?bBhHiIlLqQ")


def are_exact(x: Any) -> Any:
    """Which whole numbers float64 holds exactly, with none beside them that it would take for the same."""
    return np.abs(np.asarray(x).astype(np.float64)) < 2.0**53


def _shape(attribute: tuple[str, str], *shapes: Shape) -> Shape:
    name, kind = attribute
    require(name in UFUNCS and kind in _KINDS, "no such operation on bits")
    require(len(shapes) == UFUNCS[name].nin, "another number of operands")
    return np.broadcast_shapes(*shapes)


def _evaluate(attribute: tuple[str, str], *operands: Any) -> NDArray[Any]:
    name, kind = attribute
    exact: Any = True
    for operand in operands:
        exact = exact & are_exact(operand)
    whole = [np.where(are_exact(operand), operand, 0).astype(kind) for operand in operands]
    result = UFUNCS[name](*whole)
    return np.where(exact & are_exact(result), result.astype(np.float64), np.nan)


def _no_vjp(*_: Any) -> Cotangents:
    raise AssertionError("a step is never asked for its derivative")


# the attribute is the name of NumPy's ufunc, and the kind of number that it computes with
bitwise = array_operation("bitwise", _shape, _evaluate, _no_vjp, piecewise_constant=True, batch=broadcasting)
