"""Sums, extrema, products and moments over axes, and running sums."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.recording.functions.registry import (
    FUNCTIONS,
    UFUNC_METHODS,
    as_array,
    axes_of,
    implements,
    refuse_options,
    reshape,
    with_kept_axes,
)
from fastgrad.recording.functions.shapes import broadcast_to, concatenate, ravel, transpose
from fastgrad.recording.indexing import getitem
from fastgrad.recording.recorded_array import apply, apply_array


def _reduction(operation: array_ops.ArrayOperation) -> Callable[..., Any]:
    def reduce(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any
    ) -> Any:
        refuse_options(operation.name, dtype=dtype, out=out, **kwargs)
        x = as_array(a)
        axes = axes_of(axis, x.ndim)
        result = apply_array(operation, (x,), axes)
        return with_kept_axes(result, x, axes, keepdims)

    return reduce


sum_ = _reduction(array_ops.sum_)
_max = _reduction(array_ops.max_)
_min = _reduction(array_ops.min_)
FUNCTIONS[np.sum] = sum_


@implements(np.max, np.amax)
def _amax(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Any:
    return _max(a, axis, None, out, keepdims, **kwargs)


@implements(np.min, np.amin)
def _amin(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Any:
    return _min(a, axis, None, out, keepdims, **kwargs)


@implements(np.prod)
def _prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Any:
    """Products of halves, halved again: right derivatives at zeros, of any order, without a rule of its own."""
    refuse_options("prod", dtype=dtype, out=out, **kwargs)
    x = as_array(a)
    if x.dtype.kind == "b":
        x = apply(ops.add, (x, 0))  # the product of truth values is a number
    axes = axes_of(axis, x.ndim)
    rest = [k for k in range(x.ndim) if k not in axes]
    flat = reshape(transpose(x, (*axes, *rest)), (math.prod(x.shape[k] for k in axes), *(x.shape[k] for k in rest)))
    if flat.shape[0] == 0:
        return with_kept_axes(np.ones(flat.shape[1:])[()], x, axes, keepdims)
    while flat.shape[0] > 1:
        half = flat.shape[0] // 2
        product = apply(ops.multiply, (getitem(flat, slice(0, half)), getitem(flat, slice(half, 2 * half))))
        flat = concatenate([product, getitem(flat, slice(2 * half, None))]) if flat.shape[0] % 2 else product
    return with_kept_axes(getitem(flat, 0), x, axes, keepdims)


@implements(np.mean)
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Any:
    x = as_array(a)
    count = math.prod(x.shape[k] for k in axes_of(axis, x.ndim))
    return apply(ops.divide, (sum_(x, axis, dtype, out, keepdims, **kwargs), float(count)))


@implements(np.var)
def var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, **kwargs: Any
) -> Any:
    correction = kwargs.pop("correction", np._NoValue)
    ddof = ddof if correction is np._NoValue else correction
    x = as_array(a)
    deviation = apply(ops.subtract, (x, mean(x, axis, keepdims=True, **kwargs)))
    count = math.prod(x.shape[k] for k in axes_of(axis, x.ndim))
    total = sum_(apply(ops.square, (deviation,)), axis, dtype, out, keepdims, **kwargs)
    return apply(ops.divide, (total, float(max(count - ddof, 0))))


@implements(np.std)
def _std(*args: Any, **kwargs: Any) -> Any:
    return apply(ops.sqrt, (var(*args, **kwargs),))


@implements(np.cumsum)
def _cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    refuse_options("cumsum", dtype=dtype, out=out)
    x = ravel(a) if axis is None else as_array(a)
    return apply_array(array_ops.cumsum, (x,), 0 if axis is None else axes_of(axis, x.ndim)[0])


@implements(np.diff)
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    x = as_array(a)
    (axis,) = axes_of(axis, x.ndim)
    one = tuple(1 if k == axis else length for k, length in enumerate(x.shape))
    ends = [None if end is None or end is np._NoValue else as_array(end) for end in (prepend, append)]
    before, after = ([] if end is None else [broadcast_to(end, one) if end.ndim == 0 else end] for end in ends)
    if before or after:
        x = concatenate([*before, x, *after], axis)
    at = (slice(None),) * axis
    for _ in range(n):
        later, earlier = x[(*at, slice(1, None))], x[(*at, slice(None, -1))]
        x = apply(ops.not_equal if x.dtype.kind == "b" else ops.subtract, (later, earlier))
    return x


@implements(np.any)
def _any(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Any:
    refuse_options("any", out=out, **kwargs)
    return _amax(apply(ops.not_equal, (a, 0.0)), axis, None, keepdims)


@implements(np.all)
def _all(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Any:
    refuse_options("all", out=out, **kwargs)
    return _amin(apply(ops.not_equal, (a, 0.0)), axis, None, keepdims)


UFUNC_METHODS |= {
    (np.add, "reduce"): lambda a, axis=0, **kwargs: sum_(a, axis, **kwargs),
    (np.multiply, "reduce"): lambda a, axis=0, **kwargs: _prod(a, axis, **kwargs),
    (np.maximum, "reduce"): lambda a, axis=0, **kwargs: _max(a, axis, **kwargs),
    (np.minimum, "reduce"): lambda a, axis=0, **kwargs: _min(a, axis, **kwargs),
    (np.add, "accumulate"): lambda a, axis=0, **kwargs: _cumsum(a, axis, **kwargs),
}
