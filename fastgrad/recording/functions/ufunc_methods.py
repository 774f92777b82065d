"""``reduce``, ``accumulate`` and ``reduceat`` of ufuncs of two operands.

What may be grouped in any way is folded in halves, in as many steps as the logarithm of the length; the rest is folded
from the left. Extrema and sums have operations of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import array_ops
from fastgrad.recording.functions.by_numpy import checked_by
from fastgrad.recording.functions.conversions import shown_as
from fastgrad.recording.functions.reductions import (
    NO_VALUE,
    in_dtype,
    is_given,
    kept,
    reduced_axes,
    rows_first,
    selects,
)
from fastgrad.recording.functions.registry import UFUNC_METHODS, as_array, axes_of, whole, with_kept_axes
from fastgrad.recording.indexing import along_axis
from fastgrad.recording.recorded_array import RecordedArray, apply_array

# what may be grouped in any way
_ON_TRUTH = (np.logical_and, np.logical_or, np.logical_xor)
_ON_BITS = (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.gcd, np.lcm)
GROUPED = (np.logaddexp, np.logaddexp2, np.hypot, *_ON_TRUTH, *_ON_BITS)
FROM_THE_LEFT = (np.subtract, np.divide, np.fmod, np.remainder, np.floor_divide)
# not reduced: NumPy 2.4 itself gives x[0] ** x[-1] for power.reduce(x) where AVX-512 computes it
ACCUMULATED_ONLY = (np.power, np.float_power, np.arctan2)
EXTREMA = (np.maximum, np.minimum, np.fmax, np.fmin)


# ---- reduce


def _reduce(ufunc: np.ufunc, fold: Callable[..., Any]) -> Callable[..., Any]:
    def definition(
        array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NO_VALUE,
        where: Any = True,
    ) -> Any:  # fmt: skip
        x = as_array(array)
        axes = reduced_axes(axis, x.ndim)
        rows = rows_first(x, axes)
        mask = rows_first(np.broadcast_to(where, x.shape), axes) if selects(where) else None
        return with_kept_axes(fold(rows, initial, mask), x, axes, keepdims)

    return _with_dtype(ufunc, "reduce", definition)


def _with_dtype(ufunc: np.ufunc, method: str, definition: Callable[..., Any]) -> Callable[..., Any]:
    """The definition, checked and shown by NumPy; any other dtype than NumPy's own choice is one to show it in."""
    checked = checked_by(getattr(ufunc, method), definition)

    def recorded(*args: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return in_dtype(checked(*args, **kwargs), dtype, f"{ufunc.__name__}.{method}")

    return recorded


def _halves(ufunc: np.ufunc) -> Callable[..., Any]:
    def fold(rows: Any, initial: Any, mask: Any) -> Any:
        if mask is not None or len(rows) == 0:
            return _left(ufunc)(rows, initial, mask)
        if ufunc in _ON_TRUTH and rows.dtype.kind != "b":
            rows = np.not_equal(rows, 0)
        while len(rows) > 1:
            half = len(rows) // 2
            folded = ufunc(rows[:half], rows[half : 2 * half])
            rows = np.concatenate([folded, rows[2 * half :]]) if len(rows) % 2 else folded
        return ufunc(initial, rows[0]) if is_given(initial) and initial is not None else rows[0]

    return fold


def _left(ufunc: np.ufunc) -> Callable[..., Any]:
    def fold(rows: Any, initial: Any, mask: Any) -> Any:
        remaining = range(len(rows))
        if is_given(initial) and initial is not None:
            result: Any = np.broadcast_to(initial, rows.shape[1:])
        elif len(rows) == 0 or mask is not None:
            result = np.broadcast_to(_identity(ufunc, rows), rows.shape[1:])
        else:
            result, remaining = rows[0], remaining[1:]
        for k in remaining:
            folded = ufunc(result, rows[k])
            result = folded if mask is None else np.where(mask[k], folded, result)
        return result

    return fold


def _identity(ufunc: np.ufunc, rows: Any) -> Any:
    if ufunc in _ON_TRUTH or (ufunc in _ON_BITS and rows.dtype.kind == "b"):
        return bool(ufunc.identity)
    return np.array(ufunc.identity).astype(rows.dtype)[()] if ufunc in _ON_BITS else float(ufunc.identity)


def _extremum(ufunc: np.ufunc, operation: array_ops.ArrayOperation) -> Callable[..., Any]:
    def fold(rows: Any, initial: Any, mask: Any) -> Any:
        if mask is not None:
            rows = kept(rows, mask, np.nan)
        if len(rows) == 0:
            return np.broadcast_to(initial, rows.shape[1:])
        result = apply_array(operation, (rows,), (0,)) if isinstance(rows, RecordedArray) else ufunc.reduce(rows)
        return ufunc(result, initial) if is_given(initial) and initial is not None else result

    return fold


# ---- accumulate


def _accumulate(ufunc: np.ufunc, run: Callable[[Any, int], Any]) -> Callable[..., Any]:
    def definition(array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        x = np.atleast_1d(as_array(array))
        (axis,) = axes_of(axis, x.ndim)
        return run(x, axis) if x.shape[axis] > 1 else +x

    return _with_dtype(ufunc, "accumulate", definition)


def running_extremum(ufunc: np.ufunc) -> Callable[[Any, int], Any]:
    """The largest (or smallest) element so far; of equal ones the first takes the derivative."""

    def run(x: Any, axis: int) -> Any:
        positions = apply_array(array_ops.running_extremum, (x,), (axis, ufunc.__name__))
        return apply_array(array_ops.gather, (x, positions), None)

    return run


def _doubling(ufunc: np.ufunc) -> Callable[[Any, int], Any]:
    """Folds of 1, 2, 4, ... elements up to each place (Hillis and Steele, CACM 29, 1986, page 1170)."""

    def run(x: Any, axis: int) -> Any:
        rows = np.moveaxis(x, axis, 0)
        if ufunc in _ON_TRUTH and rows.dtype.kind != "b":
            rows = np.not_equal(rows, 0)
        width = 1
        while width < len(rows):
            rows = np.concatenate([rows[:width], ufunc(rows[:-width], rows[width:])])
            width *= 2
        return np.moveaxis(rows, 0, axis)

    return run


def _one_by_one(ufunc: np.ufunc) -> Callable[[Any, int], Any]:
    def run(x: Any, axis: int) -> Any:
        rows = [x[along_axis(axis, k)] for k in range(x.shape[axis])]
        for k in range(1, len(rows)):
            rows[k] = ufunc(rows[k - 1], rows[k])
        return np.stack(rows, axis)

    return run


# ---- reduceat


def _reduceat(ufunc: np.ufunc) -> Callable[..., Any]:
    def recorded(array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        x, starts = as_array(array), np.asarray(whole(indices))
        value = ufunc.reduceat(x.value if isinstance(x, RecordedArray) else x, starts, axis)
        (axis,) = axes_of(axis, x.ndim)
        ends = [*starts[1:].tolist(), x.shape[axis]]
        reduce = UFUNC_METHODS[ufunc, "reduce"]
        parts = []
        for start, end in zip(starts.tolist(), ends, strict=True):
            part = x[along_axis(axis, slice(start, max(end, start + 1)))]
            parts.append(reduce(part, axis, keepdims=True))
        result = np.concatenate(parts, axis) if parts else value
        return in_dtype(shown_as(result, value), dtype, f"{ufunc.__name__}.reduceat")

    return recorded


_EXTREMUM_OPERATIONS = {np.fmax: array_ops.fmax, np.fmin: array_ops.fmin}
UFUNC_METHODS |= {(ufunc, "reduce"): _reduce(ufunc, _halves(ufunc)) for ufunc in GROUPED}
UFUNC_METHODS |= {(ufunc, "reduce"): _reduce(ufunc, _left(ufunc)) for ufunc in FROM_THE_LEFT}
UFUNC_METHODS |= {(f, "reduce"): _reduce(f, _extremum(f, operation)) for f, operation in _EXTREMUM_OPERATIONS.items()}
UFUNC_METHODS |= {(ufunc, "accumulate"): _accumulate(ufunc, _doubling(ufunc)) for ufunc in GROUPED}
UFUNC_METHODS |= {(f, "accumulate"): _accumulate(f, _one_by_one(f)) for f in FROM_THE_LEFT + ACCUMULATED_ONLY}
UFUNC_METHODS |= {(ufunc, "accumulate"): _accumulate(ufunc, running_extremum(ufunc)) for ufunc in EXTREMA}
UFUNC_METHODS |= {
    (ufunc, "reduceat"): _reduceat(ufunc) for ufunc in (np.add, np.multiply, *EXTREMA, *GROUPED, *FROM_THE_LEFT)
}
