"""Functions that rearrange elements: reshape, transpose, stack, split, repeat."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fastgrad import array_ops
from fastgrad.recording.functions.registry import (
    as_array,
    axes_of,
    implements,
    only,
    positions_of,
    reshape,
    unsupported,
    whole,
)
from fastgrad.recording.indexing import getitem
from fastgrad.recording.recorded_array import RecordedArray, apply_array


@implements(np.reshape)
def numpy_reshape(a: Any, /, shape: Any = None, order: str = "C", *, copy: Any = None) -> Any:
    x = as_array(a)
    if order not in ("C", "A", "K"):
        return transpose(reshape(transpose(x), np.empty(x.shape).reshape(shape, order="C").shape[::-1]))
    return reshape(x, np.broadcast_to(0, x.shape).reshape(shape).shape)


@implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    x = as_array(a)
    return reshape(transpose(x) if order == "F" else x, (x.size,))


@implements(np.transpose, np.permute_dims)
def transpose(a: Any, axes: Any = None) -> Any:
    x = as_array(a)
    order = tuple(range(x.ndim))[::-1] if axes is None else tuple(int(axis) % max(x.ndim, 1) for axis in axes)
    if sorted(order) != list(range(x.ndim)):
        raise ValueError("axes don't match array")
    if order == tuple(range(x.ndim)):
        return x
    return apply_array(array_ops.transpose, (x,), order) if isinstance(x, RecordedArray) else x.transpose(order)


@implements(np.matrix_transpose)
def matrix_transpose(x: Any) -> Any:
    return swapaxes(x, -1, -2)


@implements(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    x = as_array(a)
    return transpose(x, _swapped(x.ndim, axis1, axis2))


def _swapped(ndim: int, axis1: int, axis2: int) -> list[int]:
    order = list(range(ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return order


@implements(np.moveaxis)
def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    x = as_array(a)
    # NumPy moves the axes of an array whose axis k has length k + 2, which names them
    moved = np.moveaxis(np.broadcast_to(0, tuple(range(2, x.ndim + 2))), source, destination).shape
    return transpose(x, [length - 2 for length in moved])


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    x = as_array(a)
    return reshape(x, np.expand_dims(np.broadcast_to(0, x.shape), axis).shape)


@implements(np.squeeze)
def _squeeze(a: Any, axis: Any = None) -> Any:
    x = as_array(a)
    return reshape(x, np.squeeze(np.broadcast_to(0, x.shape), axis).shape)


@implements(np.atleast_1d)
def _atleast_1d(*arrays: Any) -> Any:
    xs = [as_array(a) for a in arrays]
    results = [reshape(x, (1,)) if x.ndim == 0 else x for x in xs]
    return results[0] if len(results) == 1 else tuple(results)


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    x = as_array(array)
    shape = tuple(map(operator.index, shape)) if isinstance(shape, (tuple, list)) else (operator.index(shape),)
    if x.shape == shape:
        return x
    np.broadcast_to(np.broadcast_to(0, x.shape), shape)  # raises NumPy's own error
    return (
        apply_array(array_ops.broadcast_to, (x,), shape) if isinstance(x, RecordedArray) else np.broadcast_to(x, shape)
    )


@implements(np.flip)
def _flip(m: Any, axis: Any = None) -> Any:
    x = as_array(m)
    axes = axes_of(axis, x.ndim)
    return getitem(x, tuple(slice(None, None, -1) if k in axes else slice(None) for k in range(x.ndim)))


@implements(np.concatenate, np.concat)
def concatenate(arrays: Any, axis: int | None = 0, out: Any = None, **kwargs: Any) -> Any:
    only({"out": out, **kwargs}, "np.concatenate", casting="same_kind")
    xs = [as_array(x) for x in arrays]
    if axis is None:
        xs, axis = [ravel(x) for x in xs], 0
    np.concatenate([np.broadcast_to(0, x.shape) for x in xs], axis)  # raises NumPy's own error
    return apply_array(array_ops.concatenate, tuple(xs), axis % xs[0].ndim)


@implements(np.stack)
def _stack(arrays: Any, axis: int = 0, out: Any = None, **kwargs: Any) -> Any:
    xs = [as_array(x) for x in arrays]
    if len({x.shape for x in xs}) != 1:
        raise ValueError("all input arrays must have the same shape")
    position = axis % (xs[0].ndim + 1)
    return concatenate([expand_dims(x, position) for x in xs], position, out, **kwargs)


@implements(np.vstack)
def _vstack(tup: Any, **kwargs: Any) -> Any:
    return concatenate([reshape(x, (1, x.size)) if x.ndim < 2 else x for x in map(as_array, tup)], 0, **kwargs)


@implements(np.hstack)
def _hstack(tup: Any, **kwargs: Any) -> Any:
    xs = [_atleast_1d(x) for x in tup]
    return concatenate(xs, 0 if xs[0].ndim == 1 else 1, **kwargs)


@implements(np.column_stack)
def _column_stack(tup: Any) -> Any:
    return concatenate([reshape(x, (x.size, 1)) if x.ndim < 2 else x for x in map(as_array, tup)], 1)


@implements(np.split)
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    x = as_array(ary)
    np.split(np.broadcast_to(0, x.shape), indices_or_sections, axis)  # raises NumPy's own error
    return _array_split(x, indices_or_sections, axis)


@implements(np.array_split)
def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    x = as_array(ary)
    pieces = np.array_split(np.arange(x.shape[axis]), indices_or_sections)
    at = (slice(None),) * (axis % x.ndim)
    return [getitem(x, (*at, slice(p[0], p[-1] + 1) if len(p) else slice(0, 0))) for p in pieces]


@implements(np.take)
def take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    only({"out": out}, "np.take")
    x = as_array(a)
    if mode != "raise":
        raise unsupported(f"np.take with mode={mode!r}")
    if axis is None:
        return getitem(ravel(x), indices)
    return getitem(x, (slice(None),) * (axis % x.ndim) + (indices,))


@implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    x = as_array(a)
    return apply_array(array_ops.gather, (x, np.diagonal(positions_of(x), offset, axis1, axis2).copy()), None)


@implements(np.roll)
def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    x = as_array(a)
    return apply_array(array_ops.gather, (x, np.roll(positions_of(x), whole(shift), axis)), None)


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    x = as_array(a)
    return apply_array(array_ops.gather, (x, np.repeat(positions_of(x), whole(repeats), axis)), None)


@implements(np.tile)
def _tile(A: Any, reps: Any) -> Any:
    x = as_array(A)
    return apply_array(array_ops.gather, (x, np.tile(positions_of(x), whole(reps))), None)
