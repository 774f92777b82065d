"""Functions that choose elements, put them in or leave them out, and that count positions."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.recording.functions.conversions import as_numpy, as_positions, concrete, converted, recorded
from fastgrad.recording.functions.making import whole_truth
from fastgrad.recording.functions.rearranging import take_along
from fastgrad.recording.functions.registry import FUNCTIONS, as_array, axes_of, whole
from fastgrad.recording.functions.shapes import concatenate, ravel
from fastgrad.recording.indexing import getitem, plain_index
from fastgrad.recording.recorded_array import RecordedArray, apply, apply_array, recorder_of

# ---- one of several arrays for each element


@as_numpy(np.choose)
def _choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    which: Any = as_array(a)
    arrays = [as_array(choice) for choice in choices]
    if not isinstance(which, RecordedArray):
        starts = np.cumsum([0, *(x.size for x in arrays)])
        places = [start + as_positions(x) for start, x in zip(starts, arrays, strict=False)]
        chosen: Any = np.choose
        return _gather(concatenate([ravel(x) for x in arrays]), chosen(which, places, mode=mode))
    if mode != "raise":
        bring: Any = np.remainder if mode == "wrap" else np.clip
        which = bring(which, *([len(arrays)] if mode == "wrap" else [0, len(arrays) - 1]))
    # what a later input puts out of range is no number
    result: Any = np.nan
    for k, x in reversed(list(enumerate(arrays))):
        result = apply(ops.where, (which == k, x, result))
    return result


@as_numpy(np.select)
def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    result = as_array(default)
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        result = where(condition, choice, result)
    return result


def where(condition: Any, x: Any, y: Any) -> Any:
    """``np.where``; plain if everything is."""
    operands = tuple(map(as_array, (condition, x, y)))
    return apply(ops.where, operands) if any(isinstance(o, RecordedArray) for o in operands) else np.where(*operands)


# ---- elements of one array


@as_numpy(np.compress)
def _compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    x = as_array(a)
    if axis is None:
        x, axis = ravel(x), 0
    (axis,) = axes_of(axis, x.ndim)
    return take_along(x, np.flatnonzero(_truth(condition)), axis)


@as_numpy(np.extract)
def _extract(condition: Any, arr: Any) -> Any:
    return take_along(ravel(arr), np.flatnonzero(_truth(condition)), 0)


def _truth(condition: Any) -> Any:
    """The truth values of a condition, guarded where they are recorded."""
    mask = as_array(condition)
    return whole_truth(mask if mask.dtype.kind == "b" else mask != 0)


@as_numpy(np.take_along_axis)
def _take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    x, chosen = as_array(arr), as_array(indices)
    if axis is None:
        x, axis = ravel(x), 0
    if not isinstance(x, RecordedArray):
        x = recorded(x, recorder_of((chosen,)))
    return getitem(x, index_along(x.shape, chosen, axis % x.ndim))


def index_along(shape: tuple[int, ...], indices: Any, axis: int) -> tuple[Any, ...]:
    """The index of ``take_along_axis``: the other axes count their own elements."""
    ndim = len(shape)
    return tuple(
        [
            indices if k == axis else np.arange(length).reshape((-1,) + (1,) * (ndim - k - 1))
            for k, length in enumerate(shape)
        ]
    )


@as_numpy(np.insert)
def _insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    x, given = as_array(arr), as_array(values)
    if isinstance(given, RecordedArray):
        given = converted(given, x.dtype, "np.insert")
    places = np.insert(as_positions(x), plain_index(obj), x.size + as_positions(given), axis)
    return _gather(concatenate([ravel(x), ravel(given)]), places)


@as_numpy(np.delete)
def _delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    x = as_array(arr)
    if axis is None:
        x, axis = ravel(x), 0
    (axis,) = axes_of(axis, x.ndim)
    return take_along(x, np.delete(np.arange(x.shape[axis]), plain_index(obj)), axis)


def _gather(x: Any, places: Any) -> Any:
    """Elements of an array of one axis; in order, where this is a matter of a few slices."""
    if places.ndim == 1:
        return take_along(x, places, 0)
    return apply_array(array_ops.gather, (x, np.ascontiguousarray(places)), None)


@as_numpy(np.trim_zeros)
def _trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    x = as_array(filt)
    axes = axes_of(tuple(axis) if isinstance(axis, list) else axis, x.ndim)
    bounds = {k: _bounds(np.any(x != 0, axis=tuple(set(range(x.ndim)) - {k})), trim.lower()) for k in axes}
    return x[tuple([bounds.get(k, slice(None)) for k in range(x.ndim)])]


def _bounds(occupied: Any, trim: str) -> slice:
    """Where the part begins and ends that is left; as many truth values as this takes are guarded."""
    length = len(occupied)
    first = next((k for k in range(length) if occupied[k]), length)
    if first == length:
        return slice(0, 0)
    last = next(k for k in range(length - 1, -1, -1) if occupied[k])
    return slice(first if "f" in trim else None, last + 1 if "b" in trim else None)


# ---- positions


@as_numpy(np.unravel_index)
def _unravel_index(indices: Any, shape: Any, order: str = "C") -> Any:
    x = as_array(indices)
    lengths = whole(shape) if isinstance(shape, (tuple, list)) else [operator.index(shape)]
    return tuple([(x // stride) % length for length, stride in zip(lengths, _strides(lengths, order), strict=True)])


@as_numpy(np.ravel_multi_index)
def _ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Any:
    lengths = whole(dims) if isinstance(dims, (tuple, list)) else [operator.index(dims)]
    modes = [mode] * len(lengths) if isinstance(mode, str) else mode
    total: Any = 0
    for x, length, stride, one in zip(multi_index, lengths, _strides(lengths, order), modes, strict=True):
        within = {"raise": lambda x, _: x, "wrap": np.remainder, "clip": lambda x, n: np.clip(x, 0, n - 1)}[one]
        total = total + within(x, length) * stride  # type: ignore[operator]
    return total


def _strides(lengths: Any, order: str) -> list[int]:
    """How many elements lie between neighbours along each axis."""
    n = len(lengths)
    return [math.prod(lengths[k + 1 :] if order == "C" else lengths[:k]) for k in range(n)]


for _indices in (np.tril_indices_from, np.triu_indices_from, np.diag_indices_from):
    FUNCTIONS[_indices] = lambda arr, *args, _indices=_indices, **kwargs: _indices(concrete(arr), *args, **kwargs)
