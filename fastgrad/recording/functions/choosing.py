"""What is not zero, what is equal, and what is close: positions and truth values.

How many elements a condition holds for shapes the result, so that number is guarded; which ones they are is a step that
later inputs change without a new recording.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from fastgrad.recording.functions.by_numpy import by_numpy
from fastgrad.recording.functions.order import gathered, sorted_positions
from fastgrad.recording.functions.registry import as_array
from fastgrad.recording.functions.shapes import ravel
from fastgrad.recording.recorded_array import RecordedArray


def positions_where(condition: Any) -> Any:
    """Positions in the flattened array of what is not zero, in order; their number is guarded."""
    x = as_array(condition)
    if not isinstance(x, RecordedArray):
        return np.flatnonzero(x)
    holds = np.not_equal(ravel(x), 0)
    count = operator.index(np.sum(holds))
    return sorted_positions(np.logical_not(holds), 0)[:count]


def chosen(x: Any, condition: Any) -> Any:
    """The elements of a row for which a condition holds."""
    return gathered(x, positions_where(condition))


@by_numpy(np.nonzero, method="nonzero")
def nonzero(a: Any) -> Any:
    x = as_array(a)
    positions = positions_where(x)
    if x.ndim == 1:
        return (positions,)
    strides = [math.prod(x.shape[k + 1 :]) for k in range(x.ndim)]
    return tuple(positions // stride % length for stride, length in zip(strides, x.shape, strict=True))


@by_numpy(np.flatnonzero)
def _flatnonzero(a: Any) -> Any:
    return positions_where(a)


@by_numpy(np.argwhere)
def _argwhere(a: Any) -> Any:
    x = as_array(a)
    if x.ndim == 0:
        return np.zeros((operator.index(np.sum(np.not_equal(x, 0))), 0), np.intp)
    return np.stack(nonzero(x), 1)


# ---- comparisons of arrays


@by_numpy(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    x, y = as_array(a), as_array(b)
    # an infinity is close to itself alone
    near = np.less_equal(np.abs(x - y), atol + rtol * np.abs(y)) & np.isfinite(y) | np.equal(x, y)
    return near | (np.isnan(x) & np.isnan(y)) if equal_nan else near


@by_numpy(np.allclose)
def _allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    return np.all(isclose(a, b, rtol, atol, equal_nan))


@by_numpy(np.array_equal)
def _array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    x, y = as_array(a1), as_array(a2)
    return _all_equal(x, y, equal_nan) if x.shape == y.shape else False


@by_numpy(np.array_equiv)
def _array_equiv(a1: Any, a2: Any) -> Any:
    x, y = as_array(a1), as_array(a2)
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return _all_equal(x, y, equal_nan=False)


def _all_equal(x: Any, y: Any, equal_nan: bool) -> Any:
    equal = np.equal(x, y)
    return np.all(equal | (np.isnan(x) & np.isnan(y)) if equal_nan else equal)
