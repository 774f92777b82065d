"""Sums, products, extrema and moments over axes, running sums and products, and differences of neighbours.

``where`` and ``initial`` are written with what is there anyway: elements left out become the neutral number, and the
initial value is combined with the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.recording.functions.conversions import shown_as
from fastgrad.recording.functions.registry import (
    FUNCTIONS,
    METHODS,
    UFUNC_METHODS,
    as_array,
    axes_of,
    implements,
    reshape,
    unsupported,
    with_kept_axes,
)
from fastgrad.recording.functions.shapes import broadcast_to, concatenate, ravel, transpose
from fastgrad.recording.indexing import along_axis
from fastgrad.recording.recorded_array import RecordedArray, apply, apply_array, copy_of, value_of

NO_VALUE = np._NoValue


# ---- what reductions share


def reduced_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes of a reduction; NumPy lets a number have an axis 0, too."""
    return () if ndim == 0 and axis in (0, -1) else axes_of(axis, ndim)


def in_dtype(result: Any, dtype: Any, name: str) -> Any:
    """A result in the type that was asked for. Raises UnsupportedError where that would lose a derivative or digits.

    All is computed in double precision, whatever the type.
    """
    if dtype is None or result.dtype == dtype:
        return result
    kind = np.dtype(dtype)
    narrower = kind.kind == "f" and kind.itemsize <= 8
    whole = kind.kind in "iu" and kind.itemsize >= 4 and result.dtype.kind in "biu"
    if not (narrower or whole):
        raise unsupported(f"the argument dtype={dtype!r} of np.{name}")
    return shown_as(result, value_of(result).astype(kind))


def is_given(argument: Any) -> bool:
    """Whether an argument without a default of its own was given."""
    return argument is not NO_VALUE


def selects(where: Any) -> bool:
    """Whether ``where`` leaves any element out, as far as is known."""
    return where is not NO_VALUE and where is not True


def keeps(keepdims: Any) -> bool:
    """Whether reduced axes stay, with length 1."""
    return keepdims is not NO_VALUE and bool(keepdims)


def kept(x: Any, where: Any, other: Any) -> Any:
    """The elements that ``where`` chooses, and ``other`` in place of the rest."""
    if np.broadcast_shapes(np.shape(value_of(where)), x.shape) != x.shape:
        np.sum(np.broadcast_to(0.0, x.shape), where=np.broadcast_to(True, np.shape(value_of(where))))  # NumPy's error
    return np.where(where, x, other)


def _reduced(operation: array_ops.ArrayOperation, x: Any, axis: Any, keepdims: Any) -> Any:
    axes = reduced_axes(axis, x.ndim)
    return with_kept_axes(apply_array(operation, (x,), axes), x, axes, keepdims)


# ---- sums and products


def sum_(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NO_VALUE,
    where: Any = True,
) -> Any:
    """``np.sum``."""
    x = as_array(a)
    if selects(where):
        x = kept(x, where, 0)
    result = _reduced(array_ops.sum_, x, axis, keepdims)
    return in_dtype(np.add(result, initial) if is_given(initial) else result, dtype, "sum")


FUNCTIONS[np.sum] = METHODS["sum"] = sum_


@implements(np.prod, method="prod")
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NO_VALUE,
    where: Any = True,
) -> Any:
    x = as_array(a)
    if selects(where):
        x = kept(x, where, 1)
    axes = reduced_axes(axis, x.ndim)
    rows = rows_first(x, axes)
    if len(rows) == 0:
        result: Any = np.ones(rows.shape[1:])[()]
    else:
        result = apply_array(array_ops.prod, (rows,), 0)
    result = with_kept_axes(result, x, axes, keepdims)
    return in_dtype(np.multiply(result, initial) if is_given(initial) else result, dtype, "prod")


def rows_first(x: Any, axes: tuple[int, ...]) -> Any:
    """The array with these axes in front, as one."""
    rest = [k for k in range(x.ndim) if k not in axes]
    shape = (math.prod(x.shape[k] for k in axes), *(x.shape[k] for k in rest))
    return reshape(transpose(x, (*axes, *rest)), shape)


# ---- extrema


def _extremum(operation: array_ops.ArrayOperation, ufunc: np.ufunc, lowest: float) -> Callable[..., Any]:
    def reduce(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = NO_VALUE, where: Any = True
    ) -> Any:
        x = as_array(a)
        if selects(where):
            if not is_given(initial):
                ufunc.reduce(np.zeros(1), where=np.zeros(1, bool))  # raises NumPy's own error
            x = kept(x, where, lowest if x.dtype.kind == "f" else initial)
        axes = reduced_axes(axis, x.ndim)
        if is_given(initial) and any(x.shape[k] == 0 for k in axes):
            shape = ufunc.reduce(np.zeros(x.shape), axes, keepdims=keeps(keepdims), initial=0.0).shape
            return np.broadcast_to(initial, shape)
        result = with_kept_axes(apply_array(operation, (x,), axes), x, axes, keepdims)
        return ufunc(result, initial) if is_given(initial) else result

    return reduce


amax = _extremum(array_ops.max_, np.maximum, -math.inf)
amin = _extremum(array_ops.min_, np.minimum, math.inf)
FUNCTIONS |= {np.max: amax, np.amax: amax, np.min: amin, np.amin: amin}
METHODS |= {"max": amax, "min": amin}


@implements(np.ptp)
def _ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    return np.subtract(amax(a, axis, None, keepdims), amin(a, axis, None, keepdims))


# ---- truth values


@implements(np.any, method="any")
def _any(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True) -> Any:
    return amax(apply(ops.not_equal, (a, 0.0)), axis, None, keepdims, False, where)


@implements(np.all, method="all")
def _all(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True) -> Any:
    return amin(apply(ops.not_equal, (a, 0.0)), axis, None, keepdims, True, where)


@implements(np.count_nonzero)
def _count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    return sum_(apply(ops.not_equal, (a, 0.0)), axis, keepdims=keepdims)


# ---- moments


def _count(x: Any, axes: tuple[int, ...], where: Any, keepdims: Any) -> Any:
    """How many elements a mean is over."""
    if not selects(where):
        return float(math.prod(x.shape[k] for k in axes))
    return np.sum(np.broadcast_to(where, x.shape), axes, float, keepdims=keeps(keepdims))


@implements(np.mean, method="mean")
def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True
) -> Any:
    x = as_array(a)
    count = _count(x, reduced_axes(axis, x.ndim), where, keepdims)
    return in_dtype(apply(ops.divide, (sum_(x, axis, keepdims=keepdims, where=where), count)), dtype, "mean")


@implements(np.var, method="var")
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: Any = False,
    *,
    where: Any = True,
    mean: Any = NO_VALUE,
    correction: Any = NO_VALUE,
) -> Any:
    if is_given(correction):
        if ddof != 0:
            raise ValueError("ddof and correction can't be provided simultaneously.")
        ddof = correction
    x = as_array(a)
    center = mean if is_given(mean) else _mean(x, axis, keepdims=True, where=where)
    if isinstance(x, RecordedArray) or isinstance(center, RecordedArray):
        squares = apply(ops.square, (apply(ops.subtract, (x, center)),))
    else:  # only ``where`` is recorded
        squares = np.square(x - center)
    count = _count(x, reduced_axes(axis, x.ndim), where, keepdims)
    freedom = max(count - ddof, 0.0) if type(count) is float else np.maximum(count - ddof, 0.0)
    total = sum_(squares, axis, keepdims=keepdims, where=where)
    return in_dtype(apply(ops.divide, (total, freedom)), dtype, "var")


_mean = mean


@implements(np.std, method="std")
def _std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: Any = False,
    *,
    where: Any = True,
    mean: Any = NO_VALUE,
    correction: Any = NO_VALUE,
) -> Any:
    variance = var(a, axis, ddof=ddof, keepdims=keepdims, where=where, mean=mean, correction=correction)
    return in_dtype(apply(ops.sqrt, (variance,)), dtype, "std")


# ---- running sums and products


def _running(operation: array_ops.ArrayOperation) -> Callable[..., Any]:
    def run(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        x = as_array(a)
        if axis is None or (x.ndim == 0 and axis in (0, -1)):
            x, axis = ravel(x), 0
        (along,) = axes_of(axis, x.ndim)
        if x.shape[along] == 0:
            return in_dtype(copy_of(x), dtype, operation.name)
        return in_dtype(apply_array(operation, (x,), along), dtype, operation.name)

    return run


cumsum, cumprod = _running(array_ops.cumsum), _running(array_ops.cumprod)
FUNCTIONS |= {np.cumsum: cumsum, np.cumprod: cumprod}
METHODS |= {"cumsum": cumsum, "cumprod": cumprod}


def _cumulative(run: Callable[..., Any], first: float, name: str) -> Callable[..., Any]:
    def cumulative(
        x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
    ) -> Any:
        x = np.atleast_1d(as_array(x))
        if axis is None and x.ndim != 1:
            getattr(np, name)(np.broadcast_to(0.0, x.shape))  # raises NumPy's own error
        axis = 0 if axis is None else axis
        result = run(x, axis, dtype)
        if not include_initial:
            return result
        shape = list(x.shape)
        shape[axes_of(axis, x.ndim)[0]] = 1
        return concatenate([np.full(shape, first, result.dtype), result], axis)

    return cumulative


FUNCTIONS |= {
    np.cumulative_sum: _cumulative(cumsum, 0.0, "cumulative_sum"),
    np.cumulative_prod: _cumulative(cumprod, 1.0, "cumulative_prod"),
}


# ---- differences


@implements(np.diff)
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = NO_VALUE, append: Any = NO_VALUE) -> Any:
    x = as_array(a)
    if n <= 0 or x.ndim == 0:
        np.diff(np.broadcast_to(0.0, x.shape), n)  # raises NumPy's own error
        return x
    (axis,) = axes_of(axis, x.ndim)
    one = tuple(1 if k == axis else length for k, length in enumerate(x.shape))
    ends = [None if not is_given(end) or end is None else as_array(end) for end in (prepend, append)]
    before, after = ([] if end is None else [broadcast_to(end, one) if end.ndim == 0 else end] for end in ends)
    if before or after:
        x = concatenate([*before, x, *after], axis)
    for _ in range(n):
        later, earlier = x[along_axis(axis, slice(1, None))], x[along_axis(axis, slice(None, -1))]
        x = np.not_equal(later, earlier) if x.dtype.kind == "b" else np.subtract(later, earlier)
    return x


@implements(np.ediff1d)
def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    differences = _diff(ravel(ary))
    ends = [None if end is None else ravel(end) for end in (to_begin, to_end)]
    for name, end in zip(("to_begin", "to_end"), ends, strict=True):
        if end is not None and not np.can_cast(end.dtype, differences.dtype, "same_kind"):
            raise TypeError(f"dtype of `{name}` must be compatible with input `ary` under the `same_kind` rule.")
    before, after = ([] if end is None else [end] for end in ends)
    return concatenate([*before, differences, *after]) if before or after else differences


# those of the ufuncs that are called most; the others are in ``ufunc_methods``
UFUNC_METHODS |= {
    (np.add, "reduce"): lambda a, axis=0, *args, **kwargs: sum_(a, axis, *args, **kwargs),
    (np.multiply, "reduce"): lambda a, axis=0, *args, **kwargs: prod(a, axis, *args, **kwargs),
    (np.maximum, "reduce"): lambda a, axis=0, dtype=None, *args, **kwargs: in_dtype(
        amax(a, axis, *args, **kwargs), dtype, "maximum.reduce"
    ),
    (np.minimum, "reduce"): lambda a, axis=0, dtype=None, *args, **kwargs: in_dtype(
        amin(a, axis, *args, **kwargs), dtype, "minimum.reduce"
    ),
    (np.add, "accumulate"): lambda a, axis=0, *args, **kwargs: cumsum(a, axis, *args, **kwargs),
    (np.multiply, "accumulate"): lambda a, axis=0, *args, **kwargs: cumprod(a, axis, *args, **kwargs),
}
