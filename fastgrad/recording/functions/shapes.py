"""Functions that change shapes and put arrays beside each other: reshape, transpose, broadcast, concatenate, stack.

Most definitions say only which nodes make the result; the value, a view or a copy, is what NumPy's function gives.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import array_ops
from fastgrad.recording.functions.conversions import as_numpy, unchanged_kinds, with_value
from fastgrad.recording.functions.registry import (
    as_array,
    implements,
    reshape,
    whole,
)
from fastgrad.recording.recorded_array import RecordedArray, apply_array, value_of

# ---- one array, another shape


@implements(np.reshape)
def numpy_reshape(a: Any, /, shape: Any = None, order: str = "C", *, copy: Any = None) -> Any:
    x = as_array(a)
    shape = _shape(shape)
    concrete_x: Any = value_of(x)
    value = concrete_x.reshape(shape, order=order, copy=copy)
    if order == "F" or (order == "A" and np.isfortran(value_of(x))):
        return with_value(transpose(reshape(transpose(x), value.shape[::-1])), value)
    return with_value(reshape(x, value.shape), value) if order != "C" or copy else reshape(x, value.shape)


def _shape(shape: Any) -> Any:
    return tuple(map(operator.index, shape)) if isinstance(shape, (tuple, list)) else operator.index(shape)


@implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    x = as_array(a)
    concrete_x: Any = value_of(x)
    if order == "C" and concrete_x.flags.c_contiguous:
        return reshape(x, (x.size,))
    value = concrete_x.ravel(order)
    return with_value(reshape(transpose(x, _axes_in_order(concrete_x, order)), (x.size,)), value)


def _axes_in_order(value: Any, order: str) -> list[int]:
    """The axes from that of the longest strides to that of the shortest, as this order walks through the memory."""
    axes = list(range(value.ndim))
    if order == "F" or (order == "A" and np.isfortran(value)):
        return axes[::-1]
    if order in ("A", "C"):
        return axes
    strides = np.empty_like(value).strides  # in the same order, but all positive
    return sorted(axes, key=lambda axis: -strides[axis])


@implements(np.transpose, np.permute_dims)
def transpose(a: Any, axes: Any = None) -> Any:
    x = as_array(a)
    order = tuple(range(x.ndim))[::-1] if axes is None else tuple(operator.index(axis) for axis in axes)
    # the axes of an array whose axis k has length k + 2 are named by their lengths; NumPy's own errors
    order = tuple([length - 2 for length in np.transpose(_named_axes(x.ndim), order).shape])
    if order == tuple(range(x.ndim)):
        return x
    return apply_array(array_ops.transpose, (x,), order) if isinstance(x, RecordedArray) else x.transpose(order)


def _named_axes(ndim: int) -> Any:
    return np.broadcast_to(0, tuple(range(2, ndim + 2)))


@implements(np.matrix_transpose)
def matrix_transpose(x: Any) -> Any:
    if as_array(x).ndim < 2:
        raise ValueError(f"Input array must be at least 2-dimensional, but it is {as_array(x).ndim}")
    return swapaxes(x, -1, -2)


def _reordering(function: Callable[..., Any]) -> Callable[..., Any]:
    """Functions that put axes into another order, which NumPy itself says."""

    def reorder(a: Any, *args: Any, **kwargs: Any) -> Any:
        x = as_array(a)
        return transpose(x, [length - 2 for length in function(_named_axes(x.ndim), *args, **kwargs).shape])

    return implements(function)(reorder)


swapaxes = _reordering(np.swapaxes)
moveaxis = _reordering(np.moveaxis)
_reordering(np.rollaxis)


def _reshaping(function: Callable[..., Any]) -> Callable[..., Any]:
    """Functions that put in or leave out axes of length 1."""

    def change(a: Any, axis: Any = None) -> Any:
        x = as_array(a)
        axis = None if axis is None else whole(axis)
        return reshape(x, function(np.broadcast_to(0, x.shape), axis).shape)

    return implements(function)(change)


expand_dims = _reshaping(np.expand_dims)
squeeze = _reshaping(np.squeeze)


def _at_least(function: Callable[..., Any]) -> Callable[..., Any]:
    def extend(*arrays: Any) -> Any:
        xs = [as_array(a) for a in arrays]
        results = [reshape(x, function(np.broadcast_to(0, x.shape)).shape) for x in xs]
        return results[0] if len(results) == 1 else tuple(results)

    return implements(function)(extend)


atleast_1d = _at_least(np.atleast_1d)
atleast_2d = _at_least(np.atleast_2d)
atleast_3d = _at_least(np.atleast_3d)


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    x = as_array(array)
    shape = tuple(map(operator.index, shape)) if isinstance(shape, (tuple, list)) else (operator.index(shape),)
    np.broadcast_to(np.broadcast_to(0, x.shape), shape)  # raises NumPy's own error
    return (
        apply_array(array_ops.broadcast_to, (x,), shape) if isinstance(x, RecordedArray) else np.broadcast_to(x, shape)
    )


@as_numpy(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    xs = [as_array(x) for x in args]
    shape = np.broadcast_shapes(*(x.shape for x in xs))
    return tuple([x if x.shape == shape else broadcast_to(x, shape) for x in xs])


# ---- several arrays, one beside the other


@implements(np.concatenate, np.concat)
def concatenate(
    arrays: Any, /, axis: int | None = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    xs = [as_array(x) for x in arrays]
    if axis is None:
        xs, axis = [ravel(x) for x in xs], 0
    value = np.concatenate([value_of(x) for x in xs], axis, dtype=dtype, casting=casting)  # type: ignore[call-overload]
    if dtype is not None:
        xs = unchanged_kinds(xs, value.dtype, "np.concatenate")
    if not any(isinstance(x, RecordedArray) for x in xs):
        return value
    joined = apply_array(array_ops.concatenate, tuple(xs), axis % xs[0].ndim)
    return joined if dtype is None else with_value(joined, value)


@implements(np.stack)
def stack(arrays: Any, axis: int = 0, out: Any = None, **kwargs: Any) -> Any:
    xs = [as_array(x) for x in arrays]
    position = np.stack([np.broadcast_to(np.int8(0), x.shape) for x in xs], axis).ndim  # raises NumPy's own error
    return concatenate([expand_dims(x, axis % position) for x in xs], axis % position, **kwargs)


@implements(np.vstack)
def _vstack(tup: Any, **kwargs: Any) -> Any:
    return concatenate([atleast_2d(x) for x in tup], 0, **kwargs)


@implements(np.hstack)
def _hstack(tup: Any, **kwargs: Any) -> Any:
    xs = [atleast_1d(x) for x in tup]
    return concatenate(xs, 0 if xs and xs[0].ndim == 1 else 1, **kwargs)


@implements(np.dstack)
def _dstack(tup: Any) -> Any:
    return concatenate([atleast_3d(x) for x in tup], 2)


@implements(np.column_stack)
def _column_stack(tup: Any) -> Any:
    return concatenate([reshape(x, (x.size, 1)) if x.ndim < 2 else x for x in map(as_array, tup)], 1)


@as_numpy(np.block)
def _block(arrays: Any) -> Any:
    depth = _depth(arrays)
    leaves = list(_leaves(arrays))
    ndim = max(depth, *(x.ndim for x in leaves))

    def joined(part: Any, level: int) -> Any:
        if not isinstance(part, list):
            x = as_array(part)
            return reshape(x, (1,) * (ndim - x.ndim) + x.shape)
        return concatenate([joined(one, level + 1) for one in part], ndim - depth + level)

    return joined(arrays, 0)


def _depth(nested: Any) -> int:
    return 1 + max(map(_depth, nested), default=0) if isinstance(nested, list) else 0


def _leaves(nested: Any) -> Any:
    if isinstance(nested, list):
        for one in nested:
            yield from _leaves(one)
    else:
        yield as_array(nested)


@as_numpy(np.append)
def _append(arr: Any, values: Any, axis: int | None = None) -> Any:
    if axis is None:
        return concatenate([ravel(arr), ravel(values)])
    return concatenate([arr, values], axis)


@as_numpy(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    x = moveaxis(a, (axis1, axis2), (-2, -1))
    *rest, n_rows, n_columns = x.shape
    offset = operator.index(offset)
    first_row, first_column = max(-offset, 0), max(offset, 0)
    count = max(min(n_rows - first_row, n_columns - first_column), 0)
    start = first_row * n_columns + first_column if count else 0
    flat = reshape(x, (*rest, n_rows * n_columns))
    return flat[..., start : start + (count - 1) * (n_columns + 1) + 1 : n_columns + 1] if count else flat[..., :0]
