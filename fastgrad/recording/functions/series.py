"""Sums of the series in ``numpy.polynomial``: NumPy's own code, which takes for numbers what is no array of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev, hermite, hermite_e, laguerre, legendre, polynomial

from fastgrad.recording.functions.lifting import lifted
from fastgrad.recording.functions.registry import FUNCTIONS, OUTSIDE

_SUMS: tuple[Any, ...] = (
    polynomial.polyval, chebyshev.chebval, legendre.legval, hermite.hermval, hermite_e.hermeval, laguerre.lagval,
)  # fmt: skip


def _at_points(value: Callable[..., Any]) -> Callable[..., Any]:
    """The sum of a series with coefficients along the first axis of ``c``."""

    def evaluated(x: Any, c: Any, tensor: bool = True) -> Any:
        points, coefficients = lifted(x, c)
        if coefficients.ndim == 0:
            coefficients = coefficients.reshape(1)
        if tensor:
            coefficients = coefficients.reshape(coefficients.shape + (1,) * points.ndim)
        return value(points, coefficients, tensor=False)

    return evaluated


OUTSIDE |= {f"{value.__module__}.{value.__name__}": _at_points(value) for value in _SUMS}


def _in_each_variable(function: Any, **on_tuples: Any) -> Callable[..., Any]:
    """A polynomial in two variables, on a grid or with ``tensor=False`` at points given by coordinates."""

    def evaluated(*points_and_coefficients: Any) -> Any:
        first, *others, c = lifted(*points_and_coefficients)
        if on_tuples and len({points.shape for points in (first, *others)}) > 1:
            # NumPy's own error
            function(*(np.zeros(points.shape) for points in (first, *others)), np.zeros(c.shape))
        c = _polyval(first, c)
        for points in others:
            c = _polyval(points, c, **on_tuples)
        return c

    return evaluated


_polyval = _at_points(polynomial.polyval)
FUNCTIONS[polynomial.polyval2d] = _in_each_variable(polynomial.polyval2d, tensor=False)
FUNCTIONS[polynomial.polygrid2d] = _in_each_variable(polynomial.polygrid2d)
