"""NumPy's factorizations with their results written where they are wanted.

``np.linalg`` has no ``out=``: its functions allocate, and what they return has to be copied, which with their checks of
the arguments is 1 to 5 us for small matrices and two passes over memory for large ones. They are thin layers over
universal functions of the module ``numpy.linalg._umath_linalg``, which bear the same names from NumPy 2.1 to 2.4. That
module is not public; so where one is missing, or a factorization fails, ``written`` says so, and the public function is
called, which computes the same or raises its exception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT64 = np.dtype(np.float64)
_MODULE = getattr(np.linalg, "_umath_linalg", None)


def routine(name: str) -> Callable[..., Any] | None:
    """NumPy's universal function of that name, if there is one."""
    return getattr(_MODULE, name, None)


# a failure is told to the processor's flags; as a decorator this is quicker than in a with statement
@np.errstate(all="ignore")
def written(
    function: Callable[..., Any] | None, outs: NDArray[Any] | tuple[NDArray[Any], ...], *operands: NDArray[Any]
) -> bool:
    """Whether a routine has written its results for matrices into ``outs``.

    Where it has not, ``outs`` hold nothing of use: there is no such routine, matrices are empty or of other numbers, or
    the first result begins with NaN, as do those of a factorization that failed, and maybe others.
    """
    if function is None or operands[0].size == 0 or operands[0].dtype != FLOAT64:
        return False
    function(*operands, out=outs)
    first = outs[0] if isinstance(outs, tuple) else outs
    if operands[0].ndim == 2:
        number = first.item(0)
        return bool(number == number)
    return not np.isnan(first).any()


def into(name: str, evaluate: Callable[..., Any]) -> Callable[..., None]:
    """The ``into`` of an operation with one result, for which ``evaluate`` calls the public function."""
    function = routine(name)

    def write(attribute: Any, out: NDArray[Any], *operands: NDArray[Any]) -> None:
        if not written(function, out, *operands):
            out[...] = evaluate(attribute, *operands)

    return write


def into_by_triangle(lower: str, upper: str, evaluate: Callable[..., Any]) -> Callable[..., None]:
    """``into`` of an operation whose attribute is the triangle, "L" or "U"."""
    by_triangle = {"L": into(lower, evaluate), "U": into(upper, evaluate)}

    def write(triangle: str, out: NDArray[Any], a: NDArray[Any]) -> None:
        by_triangle[triangle](triangle, out, a)

    return write
