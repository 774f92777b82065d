"""``np.pad`` in all its modes: along one axis after the other, what is put before and after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import array_ops
from fastgrad.recording.functions.conversions import concrete, converted, with_value
from fastgrad.recording.functions.making import linspace
from fastgrad.recording.functions.rearranging import flip, take_along
from fastgrad.recording.functions.registry import as_array, implements, reshape, whole
from fastgrad.recording.functions.shapes import broadcast_to, concatenate, moveaxis
from fastgrad.recording.indexing import along_axis
from fastgrad.recording.recorded_array import RecordedArray, apply_array

_STATISTICS: dict[str, Callable[..., Any]] = {
    "maximum": np.max,
    "minimum": np.min,
    "mean": np.mean,
    "median": np.median,
}

# what a mode puts before and after an array along an axis: from the array, the axis and the two widths
Ends = tuple[Any, Any]


@implements(np.pad)
def _pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    x = as_array(array)
    if callable(mode):
        return _padded_by(mode, x, _widths(pad_width, x.ndim), kwargs)
    # what is undefined in an empty array must be the same each time
    shown: Any = "constant" if mode == "empty" and not kwargs else mode
    value = np.pad(concrete(x), concrete(pad_width), shown, **{name: concrete(given) for name, given in kwargs.items()})
    widths = _widths(pad_width, x.ndim)
    only_zeros = not kwargs if shown == "constant" else not x.size
    if only_zeros:
        padded = _with_zeros(x, widths)
    else:
        padded = x
        extend = _extension(shown, kwargs, x.ndim)
        for axis, (before, after) in enumerate(widths):
            if before or after:
                padded = extend(padded, axis, before, after)
    return with_value(padded, value) if isinstance(padded, RecordedArray) else value


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    """How many elements each axis gets before and after it; recorded numbers are guarded."""
    if isinstance(pad_width, dict):
        by_axis: list[Any] = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            by_axis[axis] = width if isinstance(width, tuple) else (width, width)
        pad_width = by_axis
    return _pairs(np.asarray(whole(as_array(pad_width))), ndim)


def _pairs(given: Any, ndim: int) -> list[tuple[Any, Any]]:
    """A pair for each axis: one value for all, a pair for all, or one of both for each."""
    x = as_array(given)
    if x.size == 1:
        x = reshape(x, (1, 1))
    elif x.size == 2 and x.shape != (2, 1):
        x = reshape(x, (1, 2))
    pairs = broadcast_to(x, (ndim, 2))
    return [(pairs[axis, 0], pairs[axis, 1]) for axis in range(ndim)]


def _with_zeros(x: Any, widths: list[tuple[int, int]]) -> Any:
    """The array in the middle of zeros."""
    if not isinstance(x, RecordedArray):
        return np.pad(x, widths)
    shape = tuple([int(before + length + after) for (before, after), length in zip(widths, x.shape, strict=True)])
    spec = tuple([(int(before), length, 1) for (before, _), length in zip(widths, x.shape, strict=True)])
    return apply_array(array_ops.place, (x,), (shape, spec))


def _padded_by(function: Callable[..., Any], x: Any, widths: list[tuple[int, int]], kwargs: dict[str, Any]) -> Any:
    """Zeros around the array, which the user's function replaces in each row, in place."""
    padded = _with_zeros(x, widths)
    for axis in range(padded.ndim):
        rows = moveaxis(padded, axis, -1)
        for index in np.ndindex(rows.shape[:-1]):
            function(rows[(*index, ...)], widths[axis], axis, kwargs)
    return padded


# ---- the modes


def _extension(mode: str, options: dict[str, Any], ndim: int) -> Callable[[Any, int, int, int], Any]:
    """What extends an array along an axis by so many elements before and after."""
    if mode in ("reflect", "symmetric") and options.get("reflect_type", "even") == "odd":
        return lambda x, axis, before, after: _reflected_odd(x, axis, before, after, mode == "symmetric")
    pad: Any = np.pad
    if mode in ("edge", "wrap", "reflect", "symmetric"):
        return lambda x, axis, before, after: take_along(
            x,
            pad(np.arange(x.shape[axis]), (before, after), mode),
            axis,
        )
    if mode == "constant":
        pairs = _pairs(options.get("constant_values", 0), ndim)
        ends: Callable[..., Ends] = lambda x, axis, before, after: pairs[axis]  # noqa: E731
    elif mode == "linear_ramp":
        pairs = _pairs(options.get("end_values", 0), ndim)
        ends = lambda x, axis, before, after: _ramps(x, axis, before, after, pairs[axis])  # noqa: E731
    else:
        given = options.get("stat_length")
        lengths = [(None, None)] * ndim if given is None else _pairs(np.asarray(whole(as_array(given))), ndim)
        ends = lambda x, axis, before, after: _statistics(x, axis, _STATISTICS[mode], lengths[axis])  # noqa: E731
    return lambda x, axis, before, after: _joined(x, axis, before, after, ends(x, axis, before, after))


def _joined(x: Any, axis: int, before: int, after: int, ends: Ends) -> Any:
    """The array between its ends, which are broadcast along the axis."""
    parts = [x]
    for position, width, end in ((0, before, ends[0]), (2, after, ends[1])):
        if width:
            shape = (*x.shape[:axis], int(width), *x.shape[axis + 1 :])
            parts.insert(position, broadcast_to(_of_kind(as_array(end), x.dtype), shape))
    return concatenate(parts, axis)


def _of_kind(x: Any, dtype: np.dtype[Any]) -> Any:
    return converted(x, dtype, "np.pad") if isinstance(x, RecordedArray) else x.astype(dtype)


def _part(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return x[along_axis(axis, slice(start, stop))]


def _ramps(x: Any, axis: int, before: int, after: int, end_values: Ends) -> Ends:
    def ramp(end: Any, edge: Any, width: int) -> Any:
        numbers = linspace(end, reshape(edge, edge.shape[:axis] + edge.shape[axis + 1 :]), width, False, axis=axis)
        return np.floor(numbers) if x.dtype.kind in "iu" else numbers

    left = ramp(end_values[0], _part(x, axis, None, 1), before)
    right = ramp(end_values[1], _part(x, axis, -1, None), after)
    return left, flip(right, axis)


def _statistics(x: Any, axis: int, statistic: Callable[..., Any], lengths: Ends) -> Ends:
    """A statistic of as many elements at both ends."""
    length = x.shape[axis]
    left, right = (length if given is None else min(int(given), length) for given in lengths)
    found = [
        statistic(part, axis=axis, keepdims=True)
        for part in (_part(x, axis, 0, left), _part(x, axis, length - right, length))
    ]
    return tuple([np.round(one) for one in found] if x.dtype.kind in "iu" else found)


def _reflected_odd(x: Any, axis: int, before: int, after: int, include_edge: bool) -> Any:
    """The array reflected at the points of its ends, again and again until there is enough of it."""
    period = x.shape[axis]
    if period == 1:
        return _joined(x, axis, before, after, (x, x))
    skipped = 0 if include_edge else 1
    while before or after:
        length = x.shape[axis]
        usable = (length - skipped) // (period - skipped) * (period - skipped)
        left, right = min(usable, before), min(usable, after)
        parts = []
        if left:
            parts.append(2 * _part(x, axis, 0, 1) - flip(_part(x, axis, skipped, skipped + left), axis))
        parts.append(x)
        if right:
            end = length - skipped
            parts.append(2 * _part(x, axis, length - 1, length) - flip(_part(x, axis, end - right, end), axis))
        x = concatenate(parts, axis)
        before, after = before - left, after - right
    return x
