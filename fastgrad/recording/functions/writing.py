"""Functions that write into an array: copyto, put, place, putmask, put_along_axis, fill_diagonal."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgrad.recording.functions.conversions import concrete
from fastgrad.recording.functions.flat import assign_flat, recycled
from fastgrad.recording.functions.making import whole_truth
from fastgrad.recording.functions.registry import as_array, implements, reshape
from fastgrad.recording.functions.selection import index_along, where
from fastgrad.recording.functions.shapes import broadcast_to
from fastgrad.recording.indexing import plain_index
from fastgrad.recording.out_argument import write_target
from fastgrad.recording.recorded_array import RecordedArray, value_of


def _target(x: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
    """The recorded array that is written into; the call on an array like it raises NumPy's own errors."""
    target = write_target(x)
    trial = np.empty_like(target.value)
    trial.flags.writeable = target.value.flags.writeable
    function(trial, *map(concrete, args), **kwargs)
    return target


@implements(np.copyto)
def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    target = _target(dst, np.copyto, src, casting=casting, where=concrete(where))
    if where is True:
        target[...] = src
    else:
        _write_where(target, as_array(where), as_array(src))


def _write_where(target: Any, mask: Any, values: Any) -> None:
    """Write where a mask is true, without a guard on it."""
    if isinstance(mask, RecordedArray):
        target[...] = where(mask, values, target)
    else:
        chosen = np.broadcast_to(mask, target.shape)
        target[chosen] = broadcast_to(values, target.shape)[chosen]


@implements(np.put)
def _put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    target = _target(a, np.put, ind, v, mode)
    if np.size(value_of(as_array(v))):
        assign_flat(target, np.arange(target.size).take(plain_index(ind), mode=mode), v)  # type: ignore[call-overload]


@implements(np.place)
def _place(arr: Any, mask: Any, vals: Any) -> None:
    target = _target(arr, np.place, mask, vals)
    chosen = as_array(mask)
    assign_flat(target, np.flatnonzero(whole_truth(chosen if chosen.dtype.kind == "b" else chosen != 0)), vals)


@implements(np.putmask)
def _putmask(a: Any, /, mask: Any, values: Any) -> None:
    target = _target(a, np.putmask, mask, values)
    chosen, given = as_array(mask), as_array(values)
    if given.size:
        chosen = reshape(chosen if chosen.dtype.kind == "b" else chosen != 0, target.shape)
        given = recycled(given, target.size)
        _write_where(target, chosen, given if given.size == 1 else reshape(given, target.shape))


@implements(np.put_along_axis)
def _put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    target = _target(arr, np.put_along_axis, indices, values, axis)
    if axis is None:
        assign_flat(target, np.arange(target.size)[plain_index(indices)], values)
    else:
        target[index_along(target.shape, as_array(indices), axis % target.ndim)] = values


@implements(np.fill_diagonal)
def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    target = _target(a, np.fill_diagonal, val, wrap)
    chosen = np.zeros(target.shape, bool)
    np.fill_diagonal(chosen, True, wrap)
    assign_flat(target, np.flatnonzero(chosen), val)
