"""Norms and condition numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from fastgrad import array_ops
from fastgrad.array_ops.linalg import SINGULAR_IS_NAN
from fastgrad.recording.functions.registry import as_array, axes_of, implements, reshape, with_kept_axes
from fastgrad.recording.recorded_array import apply_array

_INFINITY = float("inf")


def as_floats(x: Any) -> Any:
    """An array of floating-point numbers: NumPy computes with whole numbers as such too."""
    x = as_array(x)
    return x if x.dtype.kind == "f" else x * 1.0


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = as_floats(x)
    whole = axis is None
    if whole and (ord is None or (ord in ("f", "fro") and x.ndim == 2) or (ord == 2 and x.ndim == 1)):
        return np.sqrt(np.sum(np.square(x), axis=None, keepdims=keepdims))
    axes = tuple(range(x.ndim)) if whole else axis if isinstance(axis, tuple) else (_axis(axis),)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    rows, columns = (axes_of(one, x.ndim)[0] for one in axes)
    if rows == columns:
        raise ValueError("Duplicate axes given.")
    return _matrix_norm(x, ord, rows, columns, keepdims)


def _axis(axis: Any) -> int:
    try:
        return int(axis)
    except Exception as error:
        raise TypeError("'axis' must be None, an integer or a tuple of integers") from error


def _vector_norm(x: Any, order: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if order == _INFINITY:
        return _largest(np.abs(x), axes, keepdims)
    if order == -_INFINITY:
        return np.min(np.abs(x), axis=axes, keepdims=keepdims)
    if isinstance(order, str):
        raise ValueError(f"Invalid norm order '{order}' for vectors")
    if order == 0:
        return np.sum((x != 0).astype(x.dtype), axis=axes, keepdims=keepdims)
    if order == 1:
        return np.sum(np.abs(x), axis=axes, keepdims=keepdims)
    if order is None or order == 2:
        return np.sqrt(np.sum(np.square(x), axis=axes, keepdims=keepdims))
    return np.power(np.sum(np.power(np.abs(x), order), axis=axes, keepdims=keepdims), 1.0 / order)


def _largest(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """The maximum of numbers that are not negative; 0 where there are none."""
    kept = np.broadcast_to(0.0, x.shape).sum(axis=axes, keepdims=keepdims)
    return kept if x.size == 0 and kept.size else np.max(x, axis=axes, keepdims=keepdims)


def _matrix_norm(x: Any, order: Any, rows: int, columns: int, keepdims: bool) -> Any:
    if order in (2, -2, "nuc"):
        s = singular_values(np.moveaxis(x, (rows, columns), (-2, -1)))
        if order == "nuc":
            result = np.sum(s, axis=-1)
        else:
            result = _largest(s, (-1,), False) if order == 2 else np.min(s, axis=-1)
    elif order in (1, -1, _INFINITY, -_INFINITY):
        summed, searched = (rows, columns) if abs(order) == 1 else (columns, rows)
        sums = np.sum(np.abs(x), axis=summed)
        searched -= searched > summed
        result = _largest(sums, (searched,), False) if order > 0 else np.min(sums, axis=searched)
    elif order in (None, "fro", "f"):
        result = np.sqrt(np.sum(np.square(x), axis=(rows, columns)))
    else:
        raise ValueError("Invalid norm order for matrices.")
    return with_kept_axes(result, x, (rows, columns), keepdims)


def singular_values(x: Any, kind: str = "numpy") -> Any:
    return apply_array(array_ops.svdvals, (x,), kind)


@implements(np.linalg.matrix_norm)
def _matrix_norm_of_last_axes(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return norm(x, ord, (-2, -1), keepdims)


@implements(np.linalg.vector_norm)
def _vector_norm_of_axes(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    x = as_floats(x)
    axes = axes_of(axis, x.ndim)
    if axis is None:
        flat, over = reshape(x, (x.size,)), 0
    elif isinstance(axis, tuple):
        rest = tuple(k for k in range(x.ndim) if k not in axes)
        flat, over = np.transpose(x, (*axes, *rest)), 0
        flat = np.reshape(flat, (int(np.prod([x.shape[k] for k in axes])), *(x.shape[k] for k in rest)))
    else:
        flat, over = x, axis
    result = norm(flat, ord, over)
    return with_kept_axes(result, x, axes, keepdims)


@implements(np.linalg.cond)
def _cond(x: Any, p: Any = None) -> Any:
    x = as_floats(x)
    if x.ndim >= 2 and x.shape[-1] * x.shape[-2] == 0:
        raise LinAlgError("cond is not defined on empty arrays")
    if p is None or p in (2, -2):
        s = singular_values(x)
        largest, smallest = s[..., 0], s[..., -1]
        with np.errstate(all="ignore"):
            result = smallest / largest if p == -2 else largest / smallest
    else:
        inverse = apply_array(array_ops.inv, (x,), SINGULAR_IS_NAN)
        with np.errstate(all="ignore"):
            result = norm(x, p, (-2, -1)) * norm(inverse, p, (-2, -1))
    # a matrix that cannot be inverted has an infinite condition number, one with NaN in it has NaN
    singular = np.isnan(result) & ~np.any(np.isnan(x), axis=(-2, -1))
    return np.where(singular, _INFINITY, result)
