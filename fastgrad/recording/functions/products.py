"""Products of arrays: dot, matmul, tensordot, cross, convolve and their kin."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.recording.functions.conversions import recorded
from fastgrad.recording.functions.einsum import Named, contracted
from fastgrad.recording.functions.lifting import lifted
from fastgrad.recording.functions.reductions import sum_
from fastgrad.recording.functions.registry import (
    UFUNCS,
    as_array,
    implements,
    raise_as_numpy,
    reshape,
    unsupported,
)
from fastgrad.recording.functions.shapes import broadcast_to, diagonal, expand_dims, moveaxis, ravel
from fastgrad.recording.functions.ufunc_options import evaluation
from fastgrad.recording.recorded_array import apply, apply_array, recorder_of, value_of


@implements(np.dot)
def _dot(a: Any, b: Any, out: Any = None) -> Any:
    x, y = as_array(a), as_array(b)
    if x.ndim == 0 or y.ndim == 0:
        return apply(ops.multiply, (x, y))
    if x.shape[-1] != y.shape[max(y.ndim - 2, 0)]:
        raise_as_numpy(np.dot, x, y)
    if y.ndim == 1 or (y.ndim <= 2 and x.ndim <= 2):
        return matmul(x, y)
    return _tensordot(x, y, ((x.ndim - 1,), (y.ndim - 2,)))


@implements(np.vdot)
def _vdot(a: Any, b: Any, /) -> Any:
    x, y = ravel(a), ravel(b)
    if x.size != y.size:
        raise_as_numpy(np.vdot, x, y)
    return matmul(x, y)


@implements(np.inner)
def _inner(a: Any, b: Any, /) -> Any:
    x, y = as_array(a), as_array(b)
    if 0 in (x.ndim, y.ndim):
        return apply(ops.multiply, (x, y))
    if x.shape[-1] != y.shape[-1]:
        raise_as_numpy(np.inner, x, y)
    return _tensordot(x, y, ((x.ndim - 1,), (y.ndim - 1,)))


@implements(np.outer)
def _outer(a: Any, b: Any, out: Any = None) -> Any:
    x, y = ravel(a), ravel(b)
    return apply(ops.multiply, (reshape(x, (x.size, 1)), reshape(y, (1, y.size))))


@implements(np.tensordot)
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    x, y = as_array(a), as_array(b)
    if not np.iterable(axes):
        count = operator.index(axes)
        axes = (range(-count, 0), range(count))
    of_x, of_y = ([operator.index(k) for k in np.atleast_1d(np.asarray(side, int))] for side in axes)
    # NumPy's own errors, from arrays of one element wherever lengths agree
    np.tensordot(_ends(x, of_x), _ends(y, of_y), (of_x, of_y))
    of_x, of_y = [k % x.ndim for k in of_x], [k % y.ndim for k in of_y]
    if x.dtype.kind == y.dtype.kind == "b":
        return apply(ops.not_equal, (_tensordot(x + 0, y + 0, (of_x, of_y)), 0))
    recorder = recorder_of((x, y))
    names = {k: -1 - position for position, k in enumerate(of_x)}
    left = tuple(names.get(k, k) for k in range(x.ndim))
    names = {k: -1 - position for position, k in enumerate(of_y)}
    right = tuple(names.get(k, x.ndim + k) for k in range(y.ndim))
    kept = {label for label in left + right if label >= 0}
    return contracted(Named(recorded(x, recorder), left), Named(recorded(y, recorder), right), kept).array


def _ends(x: Any, axes: list[int]) -> Any:
    """Zeros of the lengths of the axes that are summed, as far as these axes exist; other axes have length 0."""
    known = {k % x.ndim for k in axes if -x.ndim <= k < x.ndim}
    return np.broadcast_to(0.0, tuple(length if k in known else 0 for k, length in enumerate(x.shape)))


def matmul(a: Any, b: Any, /, **kwargs: Any) -> Any:
    """``a @ b`` in all of NumPy's shapes, as products of matrices with equal leading axes."""
    x, y = as_array(a), as_array(b)
    if kwargs:
        return _with_options(np.matmul, (x, y), kwargs, ((-2, -1), (-2, -1)), (-2, -1))
    if x.dtype.kind == y.dtype.kind == "b":
        # NumPy adds truth values as "or"
        return apply(ops.not_equal, (matmul(*(z + 0 for z in (x, y))), 0))
    left = reshape(x, (1, x.size)) if x.ndim == 1 else x
    right = reshape(y, (y.size, 1)) if y.ndim == 1 else y
    if 0 in (x.ndim, y.ndim) or left.shape[-1] != right.shape[-2]:
        raise_as_numpy(np.matmul, x, y)
    try:
        batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    except ValueError:
        raise_as_numpy(np.matmul, x, y)
        raise
    wanted = batch + (() if x.ndim == 1 else left.shape[-2:-1]) + (() if y.ndim == 1 else right.shape[-1:])
    if right.ndim == 2 and left.ndim > 2:
        # one large product instead of many
        left = recorded(left, recorder_of((x, y)))
        left = reshape(left, (left.size // max(left.shape[-1], 1), left.shape[-1])) if left.size else left
    if left.ndim > 2 or right.ndim > 2:
        left = broadcast_to(left, batch + left.shape[-2:])
        right = broadcast_to(right, batch + right.shape[-2:])
    return reshape(apply_array(array_ops.matmul, (left, right), None), wanted)


def _with_options(ufunc: Any, operands: tuple[Any, ...], kwargs: dict[str, Any], cores: Any, of_result: Any) -> Any:
    """A ufunc over core axes with axes=, axis= and keepdims=; NumPy checks them and gives the value.

    ``cores`` has the core axes of each operand as the ufunc without options takes them, ``of_result`` the result's.
    """
    value = evaluation(ufunc, kwargs)(*map(value_of, operands))
    axes, keepdims = kwargs.get("axes"), kwargs.get("keepdims", False)
    if "axis" in kwargs:
        axes = [kwargs["axis"]] * len(operands)
    if axes is not None:
        moved = [np.atleast_1d(one).tolist() for one in axes]
        operands = tuple(
            moveaxis(x, source, core) if core else x
            for x, source, core in zip(operands, moved[: len(operands)], cores, strict=True)
        )
    result = ufunc(*operands)
    if keepdims:
        result = expand_dims(result, moved[-1] if axes is not None and len(moved) > len(operands) else _kept(axes))
    elif axes is not None and len(moved) > len(operands) and of_result:
        result = moveaxis(result, of_result, moved[-1])
    result.value = value
    return result


def _kept(axes: Any) -> Any:
    return -1 if axes is None else axes[0]


def _product_of_vectors(a: Any, b: Any, /, **kwargs: Any) -> Any:
    x, y = as_array(a), as_array(b)
    if kwargs:
        return _with_options(np.vecdot, (x, y), kwargs, ((-1,), (-1,)), ())
    if 0 in (x.ndim, y.ndim) or x.shape[-1] != y.shape[-1]:
        raise_as_numpy(np.vecdot, x, y)
    if x.ndim == y.ndim == 1:
        return matmul(x, y)
    products: Any = apply(ops.multiply, (x, y))
    return np.any(products, -1) if products.dtype.kind == "b" else sum_(products, -1)


def _matrix_times_vector(a: Any, b: Any, /, **kwargs: Any) -> Any:
    x, y = as_array(a), as_array(b)
    if kwargs:
        return _with_options(np.matvec, (x, y), kwargs, ((-2, -1), (-1,)), (-1,))
    if x.ndim < 2 or y.ndim < 1 or x.shape[-1] != y.shape[-1]:
        raise_as_numpy(np.matvec, x, y)
    if y.ndim == 1:
        return matmul(x, y)
    product = matmul(x, reshape(y, (*y.shape, 1)))
    return reshape(product, product.shape[:-1])


def _vector_times_matrix(a: Any, b: Any, /, **kwargs: Any) -> Any:
    x, y = as_array(a), as_array(b)
    if kwargs:
        return _with_options(np.vecmat, (x, y), kwargs, ((-1,), (-2, -1)), (-1,))
    if x.ndim < 1 or y.ndim < 2 or x.shape[-1] != y.shape[-2]:
        raise_as_numpy(np.vecmat, x, y)
    if y.ndim == 2 or x.ndim == 1:
        return matmul(x, y)
    product = matmul(reshape(x, (*x.shape[:-1], 1, x.shape[-1])), y)
    return reshape(product, (*product.shape[:-2], product.shape[-1]))


UFUNCS |= {
    np.matmul: matmul,
    np.vecdot: _product_of_vectors,
    np.matvec: _matrix_times_vector,
    np.vecmat: _vector_times_matrix,
}


@implements(np.kron)
def _kron(a: Any, b: Any) -> Any:
    x, y = as_array(a), as_array(b)
    ndim = max(x.ndim, y.ndim)
    of_x, of_y = ((1,) * (ndim - z.ndim) + z.shape for z in (x, y))
    left = reshape(x, tuple(length for m in of_x for length in (m, 1)))
    right = reshape(y, tuple(length for n in of_y for length in (1, n)))
    product = apply(ops.multiply, (left, right))
    return reshape(product, tuple(m * n for m, n in zip(of_x, of_y, strict=True)))


@implements(np.cross)
def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    x, y = as_array(a), as_array(b)
    # NumPy's own errors and warning
    raise_as_numpy(partial(np.cross, axisa=axisa, axisb=axisb, axisc=axisc, axis=axis), x, y)
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    x, y = moveaxis(x, axisa, -1), moveaxis(y, axisb, -1)
    if x.dtype.kind == y.dtype.kind == "b":
        raise unsupported("np.cross of truth values")

    def product(i: int, j: int) -> Any:
        # a third element that is not there is 0
        return None if i >= x.shape[-1] or j >= y.shape[-1] else apply(ops.multiply, (x[..., i], y[..., j]))

    def component(i: int, j: int) -> Any:
        plus, minus = product(i, j), product(j, i)
        return -minus if plus is None else plus if minus is None else plus - minus

    if x.shape[-1] == y.shape[-1] == 2:
        return component(0, 1)
    return np.stack([component(1, 2), component(2, 0), component(0, 1)], axisc)


@implements(np.trace)
def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    return sum_(diagonal(a, offset, axis1, axis2), -1, dtype)


@implements(np.convolve)
def _convolve(a: Any, v: Any, mode: str = "full") -> Any:
    x, y = _signals(np.convolve, a, v, mode)
    return _in_mode(*((y, x) if y.size > x.size else (x, y)), mode)


@implements(np.correlate)
def _correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    x, y = _signals(np.correlate, a, v, mode)
    if y.size > x.size:
        # NumPy exchanges them, and turns the result round
        return _in_mode(y, x[::-1], mode)[::-1]
    return _in_mode(x, y[::-1], mode)


def _signals(function: Callable[..., Any], a: Any, v: Any, mode: Any) -> tuple[Any, Any]:
    x, y = as_array(a), as_array(v)
    if (
        mode not in ("full", "same", "valid")
        or min(x.ndim, y.ndim) == 0
        or max(x.ndim, y.ndim) > 1
        or 0 in x.shape + y.shape
    ):
        # NumPy's own error, or a scalar that it takes for one element
        function(*(np.broadcast_to(0.0, z.shape) for z in (x, y)), mode)
    if mode not in ("full", "same", "valid"):
        raise unsupported(f"np.{function.__name__} with mode={mode!r}")
    if x.dtype.kind == y.dtype.kind == "b":
        raise unsupported(f"np.{function.__name__} of truth values")
    x, y = lifted(x, y)
    return reshape(x, (x.size,)), reshape(y, (y.size,))


def _in_mode(x: Any, y: Any, mode: str) -> Any:
    """The convolution of a signal with one that is not longer."""
    if mode == "valid":
        return apply_array(array_ops.convolve_valid, (x, y), None)
    full: Any = apply_array(array_ops.convolve, (x, y), None)
    first = y.size - 1 - y.size // 2
    return full if mode == "full" else full[first : first + x.size]
