"""What runs instead when objects of NumPy's and Numba's classes are called or made while a recording runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad.errors import LostDerivativeError, located
from fastgrad.recording.fresh_array import call_on_fresh
from fastgrad.recording.functions.conversions import any_recorded, holds_recorded
from fastgrad.recording.functions.registry import REGISTERED
from fastgrad.recording.recorder import innermost_recorder
from fastgrad.recording.source import user_line

__all__ = [
    "array_of_polynomial",
    "original_array_of_polynomial",
    "original_polynomial",
    "original_vectorize",
    "polynomial",
    "python_body",
    "vectorized",
]


def python_body(dispatcher: Any, *args: Any, **kwargs: Any) -> Any:
    """A call of a function compiled by Numba: its Python body runs where an argument is recorded."""
    if innermost_recorder() is not None and any_recorded(args, kwargs):
        _, definition = REGISTERED.get(id(dispatcher), (None, dispatcher.py_func))
        return definition(*args, **kwargs)
    return _compiled_call(dispatcher)(*args, **kwargs)


def _compiled_call(dispatcher: Any) -> Callable[..., Any]:
    from numba.core.dispatcher import Dispatcher

    inherited: Callable[..., Any] = super(Dispatcher, dispatcher).__call__
    return inherited


def vectorized(vectorize: Any, *args: Any, **kwargs: Any) -> Any:
    """A call of an ``np.vectorize``."""
    if innermost_recorder() is not None and any_recorded(args, kwargs):
        return call_on_fresh(np.vectorize, (vectorize, *args), kwargs)
    return original_vectorize(vectorize, *args, **kwargs)


original_vectorize = np.vectorize.__call__


def polynomial(made: np.poly1d, c_or_r: Any, r: bool = False, variable: str | None = None) -> None:
    """The making of an ``np.poly1d``, which drops leading zeros."""
    original_polynomial(made, c_or_r, r, variable)
    if r or isinstance(c_or_r, np.poly1d) or innermost_recorder() is None or not holds_recorded([c_or_r]):
        return
    if len(made.coeffs) < np.size(c_or_r):
        raise LostDerivativeError(
            located(
                "an np.poly1d was made of recorded coefficients that begin with 0, which it drops with its derivative",
                user_line(),
                "Keep the coefficients in an array: np.polyval(p, x), np.polyadd, np.convolve.",
            )
        )


def array_of_polynomial(polynomial: np.poly1d, *args: Any, **kwargs: Any) -> Any:
    """An ``np.poly1d`` where NumPy takes it for an array."""
    if holds_recorded([polynomial.coeffs]):
        raise LostDerivativeError(
            located(
                "an np.poly1d with recorded coefficients was taken for an array, which would drop their derivative",
                user_line(),
                "Hand over p.coeffs, or use the polynomial's own methods p(x), p.deriv() and p.integ().",
            )
        )
    return original_array_of_polynomial(polynomial, *args, **kwargs)


original_polynomial, original_array_of_polynomial = np.poly1d.__init__, np.poly1d.__array__
