"""Order: sorting, partitions, extrema by position, and what is found in a sorted row.

Positions are steps, which later inputs change without a new recording; sorted values are gathered at them. Of equal
elements the one that comes first takes the first place, and the derivative with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import array_ops
from fastgrad.recording.functions.by_numpy import by_numpy
from fastgrad.recording.functions.registry import as_array, axes_of, implements, unsupported, whole, with_kept_axes
from fastgrad.recording.functions.shapes import ravel
from fastgrad.recording.recorded_array import RecordedArray, apply_array
from fastgrad.recording.recorded_complex import Parts, joined


def gathered(x: Any, positions: Any) -> Any:
    """The elements at positions of the flattened array, either of which may be recorded."""
    x, positions = as_array(x), as_array(positions)
    if isinstance(x, RecordedArray) or isinstance(positions, RecordedArray):
        return apply_array(array_ops.gather, (x, positions), None)
    return np.ravel(x)[positions]


def _along(x: Any, axis: Any) -> tuple[Any, int]:
    """The array and its axis as a number from 0, flattened where the axis is None."""
    if axis is None or x.ndim == 0:
        return ravel(x), 0
    return x, axes_of(axis, x.ndim)[0]


# ---- sorting


def sorted_positions(x: Any, axis: int, kth: Any = ()) -> Any:
    """Positions in the flattened array that put it in order along an axis, or partition it."""
    kth = tuple(sorted({int(k) % max(x.shape[axis], 1) for k in kth}))
    return apply_array(array_ops.sort_positions, (x,), (axis, kth))


def _refuse_order(order: Any) -> None:
    if order is not None:
        raise unsupported("sorting by named fields")


@by_numpy(np.sort)
def _sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    _refuse_order(order)
    x, axis = _along(as_array(a), axis)
    return gathered(x, sorted_positions(x, axis))


@by_numpy(np.argsort, method="argsort")
def argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    _refuse_order(order)
    x, axis = _along(as_array(a), axis)
    kind = "stable" if stable else str(kind or "quicksort")
    return apply_array(array_ops.argsort, (x,), (axis, kind, x.dtype.str if x.dtype.kind in "biu" else "<f8"))


def _partition_positions(a: Any, kth: Any, axis: Any, order: Any) -> tuple[Any, int, Any]:
    _refuse_order(order)
    x = as_array(a)
    np.partition(np.broadcast_to(0.0, x.shape), whole(kth), axis)  # raises NumPy's own error
    x, axis = _along(x, axis)
    return x, axis, sorted_positions(x, axis, np.ravel(whole(kth)).tolist())


@implements(np.partition)
def _partition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    x, _, positions = _partition_positions(a, kth, axis, order)
    return gathered(x, positions)


@implements(np.argpartition, method="argpartition")
def _argpartition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    x, axis, positions = _partition_positions(a, kth, axis, order)
    if x.ndim == 1:
        return positions
    return positions // math.prod(x.shape[axis + 1 :]) % x.shape[axis]


@by_numpy(np.lexsort)
def _lexsort(keys: Any, axis: int = -1) -> Any:
    rows = as_array(keys if isinstance(keys, (RecordedArray, np.ndarray)) else list(keys))
    if rows.ndim == 1:  # numbers
        return np.intp(0)
    return apply_array(array_ops.lexsort, (rows,), axes_of(axis, rows.ndim - 1)[0])


@implements(np.sort_complex)
def _sort_complex(a: Any) -> Any:
    return joined(Parts(np.sort(as_array(a)), 0.0))


# ---- extrema by position


def _position_of(operation: array_ops.ArrayOperation, function: Callable[..., Any]) -> Callable[..., Any]:
    def definition(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
        x = as_array(a)
        flat, along = _along(x, axis)
        found = apply_array(operation, (flat,), along)
        return with_kept_axes(found, x, tuple(range(x.ndim)) if axis is None else (along,), keepdims)

    return by_numpy(function, method=function.__name__)(definition)


argmax = _position_of(array_ops.argmax, np.argmax)
argmin = _position_of(array_ops.argmin, np.argmin)


# ---- what is found in a sorted row


@by_numpy(np.searchsorted, method="searchsorted")
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    row, values = as_array(a), as_array(v)
    if sorter is not None:
        row = gathered(row, sorter)
    return _places(row, values, "right" if side[0] == "r" else "left")


def _places(row: Any, values: Any, side: str) -> Any:
    if isinstance(row, RecordedArray) or isinstance(values, RecordedArray):
        return apply_array(array_ops.searchsorted, (row, values), side)
    return np.searchsorted(row, values, side)  # type: ignore[call-overload]


@by_numpy(np.digitize)
def _digitize(x: Any, bins: Any, right: bool = False) -> Any:
    edges, values = as_array(bins), as_array(x)
    side = "left" if right else "right"
    # which way the bins run is control flow
    if bool(np.all(np.diff(edges) >= 0)):
        return _places(edges, values, side)
    if not bool(np.all(np.diff(edges) <= 0)):
        raise ValueError("bins must be monotonically increasing or decreasing")
    return len(edges) - _places(edges[::-1], values, "left" if side == "right" else "right")


@by_numpy(np.interp)
def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """At a knot the derivative is that of the piece that begins there; beyond the last one all is constant."""
    x, xp, fp = as_array(x), as_array(xp), as_array(fp)
    if period is not None:
        period = np.abs(period)
        x, xp = x % period, xp % period
        order = np.argsort(xp, kind="stable")
        xp, fp = gathered(xp, order), gathered(fp, order)
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
        left = right = None
    last = len(xp) - 1
    before = _places(xp, x, "right") - 1
    within = np.clip(before, 0, max(last - 1, 0))
    beyond = np.minimum(within + 1, last)
    x0, x1, f0, f1 = gathered(xp, within), gathered(xp, beyond), gathered(fp, within), gathered(fp, beyond)
    slope = (f1 - f0) / (x1 - x0)
    line = slope * (x - x0) + f0
    # infinite ordinates: NumPy takes the knot itself, the line from the other end, or the value that both ends share
    other = slope * (x - x1) + f1
    other = np.where(np.isnan(other) & (f0 == f1), f0, other)
    line = np.where(np.isnan(line), np.where(x == x0, f0, other), line)
    after = np.where(x > xp[last], fp[last] if right is None else right, fp[last])
    outside = np.where(before < 0, fp[0] if left is None else left, after)
    result = np.where((before < 0) | (before >= last), outside, line)
    return np.where(np.isnan(x), x, result)
