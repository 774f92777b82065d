"""Functions that put elements into another order, repeat them, or take parts of an array: roll, tile, split, take."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad.recording.functions.conversions import as_numpy, gathered, recorded, with_value
from fastgrad.recording.functions.registry import as_array, axes_of, implements, reshape, whole
from fastgrad.recording.functions.shapes import broadcast_to, concatenate, moveaxis, ravel, swapaxes
from fastgrad.recording.indexing import along_axis, getitem
from fastgrad.recording.recorded_array import RecordedArray, value_of

# runs of positions that are put together as slices; more of them are gathered
_MAX_RUNS = 8

# ---- elements in another order


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    x = as_array(m)
    axes = axes_of(whole(axis), x.ndim)
    return x[tuple([slice(None, None, -1) if k in axes else slice(None) for k in range(x.ndim)])]


@as_numpy(np.fliplr)
def _fliplr(m: Any) -> Any:
    return flip(m, 1)


@as_numpy(np.flipud)
def _flipud(m: Any) -> Any:
    return flip(m, 0)


@as_numpy(np.rot90)
def _rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    x, turns = as_array(m), operator.index(k) % 4
    first, second = axes
    if turns == 0:
        return x
    if turns == 2:
        return flip(flip(x, first), second)
    return swapaxes(flip(x, second), first, second) if turns == 1 else flip(swapaxes(x, first, second), second)


@as_numpy(np.roll)
def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    x = as_array(a)
    if axis is None:
        return reshape(_roll(ravel(x), np.sum(whole(shift)), 0), x.shape)
    for by, along in np.broadcast(whole(shift), axis):
        length = x.shape[along]
        x = take_along(x, np.roll(np.arange(length), by), along % x.ndim)
    return x


def take_along(x: Any, positions: Any, axis: int) -> Any:
    """``np.take(x, positions, axis)`` as slices put together, where these are few: then nothing is looked up."""
    runs = _runs(positions)
    if len(runs) > _MAX_RUNS:
        return x[along_axis(axis, positions)]
    parts = []
    for start, count, step in runs:
        if step:
            stop = start + count * step
            parts.append(x[along_axis(axis, slice(start, stop if stop >= 0 else None, step))])
        else:
            one = x[along_axis(axis, slice(start, start + 1))]
            parts.append(broadcast_to(one, (*one.shape[:axis], count, *one.shape[axis + 1 :])))
    return concatenate(parts, axis) if parts else x[along_axis(axis, slice(0, 0))]


def _runs(positions: Any) -> list[tuple[int, int, int]]:
    """Positions as runs (start, count, step); more than are of use if they are many."""
    runs: list[tuple[int, int, int]] = []
    k = 0
    steps = np.diff(positions)
    while k < len(positions) and len(runs) <= _MAX_RUNS:
        step = int(steps[k]) if k < len(steps) else 1
        ends = np.flatnonzero(steps[k:] != step)
        count = (int(ends[0]) if len(ends) else len(steps) - k) + 1
        runs.append((int(positions[k]), count, step))
        k += count
    return runs


@as_numpy(np.tile)
def tile(A: Any, reps: Any) -> Any:
    x = as_array(A)
    counts = whole(reps)
    counts = list(counts) if np.ndim(counts) else [int(counts)]
    ndim = max(x.ndim, len(counts))
    counts = [1] * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - x.ndim) + x.shape
    # each axis is preceded by one along which it is repeated
    pairs = itertools.chain.from_iterable((1, length) for length in shape)
    repeated = itertools.chain.from_iterable(zip(counts, shape, strict=True))
    whole_array = broadcast_to(reshape(x, tuple(pairs)), tuple(repeated))
    return reshape(whole_array, tuple(c * length for c, length in zip(counts, shape, strict=True)))


@as_numpy(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    x = as_array(a)
    counts = np.asarray(whole(repeats))
    if axis is None:
        x, axis = ravel(x), 0
    axis %= x.ndim
    if counts.size == 1:
        before, after = x.shape[: axis + 1], x.shape[axis + 1 :]
        repeated = broadcast_to(reshape(x, (*before, 1, *after)), (*before, int(counts.item()), *after))
        return reshape(repeated, (*x.shape[:axis], x.shape[axis] * int(counts.item()), *after))
    return take_along(x, np.repeat(np.arange(x.shape[axis]), counts), axis)


@as_numpy(np.resize)
def _resize(a: Any, new_shape: Any) -> Any:
    x = ravel(a)
    shape = np.broadcast_to(0, whole(new_shape)).shape
    size = int(np.prod(shape))
    if x.size == 0 or size == 0:
        return np.zeros(shape, x.dtype)
    return reshape(tile(x, -(-size // x.size))[:size], shape)


# ---- one array in pieces


@implements(np.split)
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    x = as_array(ary)
    cuts = whole(indices_or_sections)
    np.split(np.broadcast_to(0, x.shape), cuts, axis)  # raises NumPy's own error
    return array_split(x, cuts, axis)


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    x = as_array(ary)
    pieces = np.array_split(np.arange(x.shape[axis]), whole(indices_or_sections))
    slices = [slice(p[0], p[-1] + 1) if len(p) else slice(0, 0) for p in pieces]
    return [x[along_axis(axis % x.ndim, piece)] for piece in slices]


def _splitting(function: Callable[..., Any]) -> None:
    """hsplit and its like, which split along the axis that NumPy says."""

    def split(ary: Any, indices_or_sections: Any) -> Any:
        x, cuts = as_array(ary), whole(indices_or_sections)
        function(np.broadcast_to(0, x.shape), cuts)  # raises NumPy's own error
        return array_split(x, cuts, {"hsplit": min(1, x.ndim - 1), "vsplit": 0, "dsplit": 2}[function.__name__])

    implements(function)(split)


for _function in (np.hsplit, np.vsplit, np.dsplit):
    _splitting(_function)


@implements(np.unstack)
def _unstack(x: Any, /, *, axis: int = 0) -> Any:
    array = as_array(x)
    if array.ndim == 0:
        raise ValueError("Input array must be at least 1-d.")
    return tuple(moveaxis(array, axis, 0))


@implements(np.lib.stride_tricks.sliding_window_view)
def _sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    def windows(array: Any) -> Any:
        return np.lib.stride_tricks.sliding_window_view(
            array, whole(window_shape), axis, subok=subok, writeable=writeable
        )

    return gathered(as_array(x), windows)


@implements(np.take)
def take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    x = as_array(a)
    if axis is None:
        x, axis = ravel(x), 0
    (axis,) = axes_of(axis, x.ndim)
    indices = _within(as_array(indices), x.shape[axis], mode)
    if not isinstance(x, RecordedArray):
        x = recorded(x, indices.recorder)
    value = np.take(x.value, value_of(indices), axis)  # raises NumPy's own error
    return with_value(getitem(x, along_axis(axis, indices)), value)


def _within(indices: Any, length: int, mode: str) -> Any:
    """Positions as np.take's mode brings them into an axis."""
    if mode == "raise":
        return indices
    if mode == "wrap":
        return np.remainder(indices, length)
    if mode == "clip":
        return np.clip(indices, 0, length - 1)
    raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
