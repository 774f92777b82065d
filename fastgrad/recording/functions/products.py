"""Products of arrays: dot, matmul, tensordot and their kin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.recording.functions.reductions import sum_
from fastgrad.recording.functions.registry import (
    UFUNCS,
    as_array,
    implements,
    only,
    reshape,
)
from fastgrad.recording.functions.shapes import broadcast_to, diagonal, ravel, transpose
from fastgrad.recording.recorded_array import apply, apply_array


@implements(np.dot)
def _dot(a: Any, b: Any, out: Any = None) -> Any:
    only({"out": out}, "np.dot")
    x, y = as_array(a), as_array(b)
    if x.ndim == 0 or y.ndim == 0:
        return apply(ops.multiply, (x, y))
    if y.ndim <= 2 and x.ndim <= 2:
        return matmul(x, y)
    if y.ndim == 1:
        return matmul(x, y)
    return _tensordot(x, y, ((x.ndim - 1,), (y.ndim - 2,)))


@implements(np.vdot)
def _vdot(a: Any, b: Any, /) -> Any:
    return matmul(ravel(a), ravel(b))


@implements(np.inner)
def _inner(a: Any, b: Any, /) -> Any:
    x, y = as_array(a), as_array(b)
    return apply(ops.multiply, (x, y)) if 0 in (x.ndim, y.ndim) else _tensordot(x, y, ((x.ndim - 1,), (y.ndim - 1,)))


@implements(np.outer)
def _outer(a: Any, b: Any, out: Any = None) -> Any:
    only({"out": out}, "np.outer")
    x, y = ravel(a), ravel(b)
    return apply(ops.multiply, (reshape(x, (x.size, 1)), reshape(y, (1, y.size))))


@implements(np.tensordot)
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    x, y = as_array(a), as_array(b)
    if isinstance(axes, (int, np.integer)):
        axes = (tuple(range(x.ndim - int(axes), x.ndim)), tuple(range(int(axes))))
    of_x, of_y = ((side,) if isinstance(side, (int, np.integer)) else tuple(side) for side in axes)
    of_x, of_y = tuple(k % x.ndim for k in of_x), tuple(k % y.ndim for k in of_y)
    if [x.shape[k] for k in of_x] != [y.shape[k] for k in of_y]:
        raise ValueError("shape-mismatch for sum")
    rest_x = [k for k in range(x.ndim) if k not in of_x]
    rest_y = [k for k in range(y.ndim) if k not in of_y]
    inner = math.prod(x.shape[k] for k in of_x)
    left = reshape(transpose(x, (*rest_x, *of_x)), (math.prod(x.shape[k] for k in rest_x), inner))
    right = reshape(transpose(y, (*of_y, *rest_y)), (inner, math.prod(y.shape[k] for k in rest_y)))
    return reshape(matmul(left, right), (*(x.shape[k] for k in rest_x), *(y.shape[k] for k in rest_y)))


def matmul(a: Any, b: Any, /, **kwargs: Any) -> Any:
    """``a @ b`` in all of NumPy's shapes, as products of matrices with equal leading axes."""
    only(kwargs, "np.matmul", casting="same_kind", order="K")
    x, y = as_array(a), as_array(b)
    if x.dtype.kind == y.dtype.kind == "b":
        # NumPy adds truth values as "or"
        return apply(ops.not_equal, (matmul(*(z + 0 for z in (x, y))), 0))
    shape = (
        np.matmul(np.broadcast_to(0.0, x.shape), np.broadcast_to(0.0, y.shape)).shape if x.size * y.size == 0 else None
    )
    if 0 in (x.ndim, y.ndim):
        raise ValueError("matmul: operands need at least one dimension")
    left = reshape(x, (1, x.size)) if x.ndim == 1 else x
    right = reshape(y, (y.size, 1)) if y.ndim == 1 else y
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(f"matmul: shapes {x.shape} and {y.shape} do not fit")
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left = broadcast_to(left, batch + left.shape[-2:])
    right = broadcast_to(right, batch + right.shape[-2:])
    product = apply_array(array_ops.matmul, (left, right), None)
    wanted = batch + (() if x.ndim == 1 else left.shape[-2:-1]) + (() if y.ndim == 1 else right.shape[-1:])
    return reshape(product, wanted if shape is None else shape)


@implements(np.trace)
def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    return sum_(diagonal(a, offset, axis1, axis2), -1, dtype, out)


UFUNCS[np.matmul] = matmul
