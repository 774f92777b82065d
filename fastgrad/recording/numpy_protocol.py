"""NumPy's functions, ufuncs and methods on recorded values.

``FUNCTIONS`` maps each NumPy function to what it is in terms of the two operation tables, in a line or two; ufuncs that
are elementary operations are read off ``ops.TABLE``. Whatever is not found is refused by name.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.errors import LostDerivativeError, UnsupportedError, located
from fastgrad.recording.indexing import getitem
from fastgrad.recording.recorded_array import (
    RecordedArray,
    apply,
    apply_array,
    copy_of,
    normal_operand,
    require_truth_values,
    stacked,
    value_of,
)
from fastgrad.recording.source import user_line

FUNCTIONS: dict[Any, Callable[..., Any]] = {}
METHODS: dict[str, Callable[..., Any]] = {}
_UFUNCS: dict[Any, ops.Operation] = {
    getattr(np, name.partition(".")[2]): operation
    for operation in ops.TABLE
    for name in operation.answers_to
    if name.startswith("numpy.") and isinstance(getattr(np, name.partition(".")[2], None), np.ufunc)
}


# ---- the two protocols


def apply_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``RecordedArray.__array_ufunc__``."""
    _refuse_out(kwargs)
    if method == "__call__":
        if ufunc is np.matmul:
            return matmul(*inputs, **kwargs)
        if ufunc is np.divmod:
            return apply(ops.floor_divide, inputs), apply(ops.remainder, inputs)
        operation = _UFUNCS.get(ufunc) or _scipy_operation(ufunc)
        if operation is not None:
            _only(kwargs, f"np.{ufunc.__name__}", where=True, casting="same_kind", order="K", dtype=None)
            if ufunc in _ON_BITS:
                require_truth_values(inputs)
            return apply(operation, inputs)
        if ufunc in _DERIVED_UFUNCS:
            return _DERIVED_UFUNCS[ufunc](*inputs)
    reduction = _REDUCTIONS.get((ufunc, method))
    if reduction is not None:
        return reduction(*inputs, **kwargs)
    if method == "outer" and ufunc in _UFUNCS:
        x, y = map(_as_array, inputs)
        return apply(_UFUNCS[ufunc], (reshape(x, x.shape + (1,) * y.ndim), y))
    name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    raise _unsupported(name)


def _scipy_operation(ufunc: np.ufunc) -> ops.Operation | None:
    """The operation that a ufunc of scipy.special stands for; found only if the caller has imported SciPy."""
    special = sys.modules.get("scipy.special")
    if special is None or getattr(special, ufunc.__name__, None) is not ufunc:
        return None
    name = f"scipy.special.{ufunc.__name__}"
    for operation in ops.TABLE:
        if name in operation.answers_to:
            return _UFUNCS.setdefault(ufunc, operation)
    return None


def apply_function(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``RecordedArray.__array_function__``."""
    handler = FUNCTIONS.get(function)
    if handler is None:
        raise _unsupported(f"np{function.__module__.removeprefix('numpy')}.{function.__name__}")
    return handler(*args, **kwargs)


def bound_method(x: RecordedArray, name: str) -> Any:
    """``RecordedArray.__getattr__``: the array methods, and functions by name for arrays of objects (``.exp()``)."""
    method = METHODS.get(name)
    if method is None and not name.startswith("_") and name in ops.BY_NAME and ops.BY_NAME[name].arity == 1:
        operation = ops.BY_NAME[name]
        return lambda: apply(operation, (x,))
    if method is None:
        if not name.startswith("_") and hasattr(np.ndarray, name):
            raise _unsupported(f"the array method .{name}")
        raise AttributeError(f"a recorded array has no attribute {name!r}")
    return lambda *args, **kwargs: method(x, *args, **kwargs)


def _unsupported(name: str) -> UnsupportedError:
    return UnsupportedError(
        located(
            f"{name} cannot be recorded",
            user_line(),
            "Write it with functions that can (arithmetic, elementary functions, indexing, reshape, concatenate, "
            "sums, products of matrices), or take it out of the differentiated function.",
        )
    )


def _refuse_out(kwargs: dict[str, Any]) -> None:
    out = kwargs.pop("out", None)
    if any(target is not None for target in (out if isinstance(out, tuple) else (out,))):
        raise LostDerivativeError(
            located(
                "a recorded value was to be written into an existing array (by out= or by an operator such as += on a "
                "plain array), which would drop its derivative",
                user_line(),
                "Make a new array: write y = y + x instead of y += x.",
            )
        )


def _only(kwargs: dict[str, Any], name: str, **allowed: Any) -> None:
    """Refuse keyword arguments that are given and differ from the value that changes nothing."""
    for key, value in kwargs.items():
        neutral = allowed.get(key, _NOTHING)
        if (
            value is None
            or value is neutral
            or (neutral is not _NOTHING and isinstance(value, str) and value == neutral)
        ):
            continue
        if key == "dtype" and np.dtype(value) == np.float64:
            continue
        raise _unsupported(f"the argument {key}={value!r} of {name}")


_NOTHING = object()


def _as_array(x: Any) -> Any:
    x = normal_operand(x)
    if isinstance(x, (RecordedArray, np.ndarray)):
        return x
    array = np.asarray(x)
    # a number, which nobody can change, and not captured data
    array.flags.writeable = False
    return array


def _implements(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(handler: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            FUNCTIONS[function] = handler
        return handler

    return register


@_implements(np.copyto)
def _copyto(dst: Any, src: Any, *args: Any, **kwargs: Any) -> None:
    _refuse_out({"out": dst})


# ---- shapes


def reshape(x: Any, shape: Any) -> Any:
    """Reshape to a complete shape, without a node where nothing changes; plain arrays stay plain."""
    shape = tuple(shape)
    if x.shape == shape:
        return x
    return apply_array(array_ops.reshape, (x,), shape) if isinstance(x, RecordedArray) else x.reshape(shape)


@_implements(np.reshape)
def _reshape(a: Any, /, shape: Any = None, order: str = "C", *, copy: Any = None) -> Any:
    x = _as_array(a)
    if order not in ("C", "A", "K"):
        return transpose(reshape(transpose(x), np.empty(x.shape).reshape(shape, order="C").shape[::-1]))
    return reshape(x, np.broadcast_to(0, x.shape).reshape(shape).shape)


@_implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    x = _as_array(a)
    return reshape(transpose(x) if order == "F" else x, (x.size,))


@_implements(np.transpose, np.permute_dims)
def transpose(a: Any, axes: Any = None) -> Any:
    x = _as_array(a)
    order = tuple(range(x.ndim))[::-1] if axes is None else tuple(int(axis) % max(x.ndim, 1) for axis in axes)
    if sorted(order) != list(range(x.ndim)):
        raise ValueError("axes don't match array")
    if order == tuple(range(x.ndim)):
        return x
    return apply_array(array_ops.transpose, (x,), order) if isinstance(x, RecordedArray) else x.transpose(order)


@_implements(np.matrix_transpose)
def _matrix_transpose(x: Any) -> Any:
    return _swapaxes(x, -1, -2)


@_implements(np.swapaxes)
def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    x = _as_array(a)
    return transpose(x, _swapped(x.ndim, axis1, axis2))


def _swapped(ndim: int, axis1: int, axis2: int) -> list[int]:
    order = list(range(ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return order


@_implements(np.moveaxis)
def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    x = _as_array(a)
    # NumPy moves the axes of an array whose axis k has length k + 2, which names them
    moved = np.moveaxis(np.broadcast_to(0, tuple(range(2, x.ndim + 2))), source, destination).shape
    return transpose(x, [length - 2 for length in moved])


@_implements(np.expand_dims)
def _expand_dims(a: Any, axis: Any) -> Any:
    x = _as_array(a)
    return reshape(x, np.expand_dims(np.broadcast_to(0, x.shape), axis).shape)


@_implements(np.squeeze)
def _squeeze(a: Any, axis: Any = None) -> Any:
    x = _as_array(a)
    return reshape(x, np.squeeze(np.broadcast_to(0, x.shape), axis).shape)


@_implements(np.atleast_1d)
def _atleast_1d(*arrays: Any) -> Any:
    xs = [_as_array(a) for a in arrays]
    results = [reshape(x, (1,)) if x.ndim == 0 else x for x in xs]
    return results[0] if len(results) == 1 else tuple(results)


@_implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    x = _as_array(array)
    shape = tuple(map(operator.index, shape)) if isinstance(shape, (tuple, list)) else (operator.index(shape),)
    if x.shape == shape:
        return x
    np.broadcast_to(np.broadcast_to(0, x.shape), shape)  # raises NumPy's own error
    return (
        apply_array(array_ops.broadcast_to, (x,), shape) if isinstance(x, RecordedArray) else np.broadcast_to(x, shape)
    )


@_implements(np.flip)
def _flip(m: Any, axis: Any = None) -> Any:
    x = _as_array(m)
    axes = _axes(axis, x.ndim)
    return getitem(x, tuple(slice(None, None, -1) if k in axes else slice(None) for k in range(x.ndim)))


@_implements(np.concatenate, np.concat)
def concatenate(arrays: Any, axis: int | None = 0, out: Any = None, **kwargs: Any) -> Any:
    _only({"out": out, **kwargs}, "np.concatenate", casting="same_kind")
    xs = [_as_array(x) for x in arrays]
    if axis is None:
        xs, axis = [ravel(x) for x in xs], 0
    np.concatenate([np.broadcast_to(0, x.shape) for x in xs], axis)  # raises NumPy's own error
    return apply_array(array_ops.concatenate, tuple(xs), axis % xs[0].ndim)


@_implements(np.stack)
def _stack(arrays: Any, axis: int = 0, out: Any = None, **kwargs: Any) -> Any:
    xs = [_as_array(x) for x in arrays]
    if len({x.shape for x in xs}) != 1:
        raise ValueError("all input arrays must have the same shape")
    position = axis % (xs[0].ndim + 1)
    return concatenate([_expand_dims(x, position) for x in xs], position, out, **kwargs)


@_implements(np.vstack)
def _vstack(tup: Any, **kwargs: Any) -> Any:
    return concatenate([reshape(x, (1, x.size)) if x.ndim < 2 else x for x in map(_as_array, tup)], 0, **kwargs)


@_implements(np.hstack)
def _hstack(tup: Any, **kwargs: Any) -> Any:
    xs = [_atleast_1d(x) for x in tup]
    return concatenate(xs, 0 if xs[0].ndim == 1 else 1, **kwargs)


@_implements(np.column_stack)
def _column_stack(tup: Any) -> Any:
    return concatenate([reshape(x, (x.size, 1)) if x.ndim < 2 else x for x in map(_as_array, tup)], 1)


@_implements(np.split)
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    x = _as_array(ary)
    np.split(np.broadcast_to(0, x.shape), indices_or_sections, axis)  # raises NumPy's own error
    return _array_split(x, indices_or_sections, axis)


@_implements(np.array_split)
def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    x = _as_array(ary)
    pieces = np.array_split(np.arange(x.shape[axis]), indices_or_sections)
    at = (slice(None),) * (axis % x.ndim)
    return [getitem(x, (*at, slice(p[0], p[-1] + 1) if len(p) else slice(0, 0))) for p in pieces]


@_implements(np.take)
def _take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    _only({"out": out}, "np.take")
    x = _as_array(a)
    if mode != "raise":
        raise _unsupported(f"np.take with mode={mode!r}")
    if axis is None:
        return getitem(ravel(x), indices)
    return getitem(x, (slice(None),) * (axis % x.ndim) + (indices,))


@_implements(np.diagonal)
def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    x = _as_array(a)
    return apply_array(array_ops.gather, (x, np.diagonal(_positions(x), offset, axis1, axis2).copy()), None)


def _whole(numbers: Any) -> Any:
    """Whole numbers that shape a result, recorded ones guarded."""
    if isinstance(numbers, (tuple, list)):
        return [operator.index(number) for number in numbers]
    if isinstance(numbers, RecordedArray):
        return np.reshape([operator.index(number) for number in ravel(numbers)], numbers.shape)
    return numbers


def _positions(x: Any) -> Any:
    return np.arange(x.size).reshape(x.shape)


@_implements(np.roll)
def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    x = _as_array(a)
    return apply_array(array_ops.gather, (x, np.roll(_positions(x), _whole(shift), axis)), None)


@_implements(np.repeat)
def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    x = _as_array(a)
    return apply_array(array_ops.gather, (x, np.repeat(_positions(x), _whole(repeats), axis)), None)


@_implements(np.tile)
def _tile(A: Any, reps: Any) -> Any:
    x = _as_array(A)
    return apply_array(array_ops.gather, (x, np.tile(_positions(x), _whole(reps))), None)


# ---- reductions


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes of a reduction as sorted non-negative numbers; None is all of them."""
    if axis is None:
        return tuple(range(ndim))
    chosen = axis if isinstance(axis, tuple) else (axis,)
    for one in chosen:
        if not -ndim <= one < ndim:
            raise np.exceptions.AxisError(one, ndim)
    axes = {int(one) % ndim for one in chosen}
    if len(axes) != len(chosen):
        raise ValueError("duplicate value in 'axis'")
    return tuple(sorted(axes))


def _with_kept_axes(result: Any, x: Any, axes: tuple[int, ...], keepdims: Any) -> Any:
    if not keepdims or keepdims is np._NoValue:
        return result
    return reshape(result, tuple(1 if k in axes else length for k, length in enumerate(x.shape)))


def _reduction(operation: array_ops.ArrayOperation) -> Callable[..., Any]:
    def reduce(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any
    ) -> Any:
        _refuse_options(operation.name, dtype=dtype, out=out, **kwargs)
        x = _as_array(a)
        axes = _axes(axis, x.ndim)
        result = apply_array(operation, (x,), axes)
        return _with_kept_axes(result, x, axes, keepdims)

    return reduce


def _refuse_options(name: str, **kwargs: Any) -> None:
    _only({k: v for k, v in kwargs.items() if v is not np._NoValue}, f"np.{name}", where=True)


sum_ = _reduction(array_ops.sum_)
_max = _reduction(array_ops.max_)
_min = _reduction(array_ops.min_)
FUNCTIONS[np.sum] = sum_


@_implements(np.max, np.amax)
def _amax(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Any:
    return _max(a, axis, None, out, keepdims, **kwargs)


@_implements(np.min, np.amin)
def _amin(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Any:
    return _min(a, axis, None, out, keepdims, **kwargs)


@_implements(np.prod)
def _prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Any:
    """Products of halves, halved again: right derivatives at zeros, of any order, without a rule of its own."""
    _refuse_options("prod", dtype=dtype, out=out, **kwargs)
    x = _as_array(a)
    if x.dtype.kind == "b":
        x = apply(ops.add, (x, 0))  # the product of truth values is a number
    axes = _axes(axis, x.ndim)
    rest = [k for k in range(x.ndim) if k not in axes]
    flat = reshape(transpose(x, (*axes, *rest)), (math.prod(x.shape[k] for k in axes), *(x.shape[k] for k in rest)))
    if flat.shape[0] == 0:
        return _with_kept_axes(np.ones(flat.shape[1:])[()], x, axes, keepdims)
    while flat.shape[0] > 1:
        half = flat.shape[0] // 2
        product = apply(ops.multiply, (getitem(flat, slice(0, half)), getitem(flat, slice(half, 2 * half))))
        flat = concatenate([product, getitem(flat, slice(2 * half, None))]) if flat.shape[0] % 2 else product
    return _with_kept_axes(getitem(flat, 0), x, axes, keepdims)


@_implements(np.mean)
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Any:
    x = _as_array(a)
    count = math.prod(x.shape[k] for k in _axes(axis, x.ndim))
    return apply(ops.divide, (sum_(x, axis, dtype, out, keepdims, **kwargs), float(count)))


@_implements(np.var)
def var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, **kwargs: Any
) -> Any:
    correction = kwargs.pop("correction", np._NoValue)
    ddof = ddof if correction is np._NoValue else correction
    x = _as_array(a)
    deviation = apply(ops.subtract, (x, mean(x, axis, keepdims=True, **kwargs)))
    count = math.prod(x.shape[k] for k in _axes(axis, x.ndim))
    total = sum_(apply(ops.square, (deviation,)), axis, dtype, out, keepdims, **kwargs)
    return apply(ops.divide, (total, float(max(count - ddof, 0))))


@_implements(np.std)
def _std(*args: Any, **kwargs: Any) -> Any:
    return apply(ops.sqrt, (var(*args, **kwargs),))


@_implements(np.cumsum)
def _cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    _refuse_options("cumsum", dtype=dtype, out=out)
    x = ravel(a) if axis is None else _as_array(a)
    return apply_array(array_ops.cumsum, (x,), 0 if axis is None else _axes(axis, x.ndim)[0])


@_implements(np.diff)
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    x = _as_array(a)
    (axis,) = _axes(axis, x.ndim)
    one = tuple(1 if k == axis else length for k, length in enumerate(x.shape))
    ends = [None if end is None or end is np._NoValue else _as_array(end) for end in (prepend, append)]
    before, after = ([] if end is None else [broadcast_to(end, one) if end.ndim == 0 else end] for end in ends)
    if before or after:
        x = concatenate([*before, x, *after], axis)
    at = (slice(None),) * axis
    for _ in range(n):
        later, earlier = x[(*at, slice(1, None))], x[(*at, slice(None, -1))]
        x = apply(ops.not_equal if x.dtype.kind == "b" else ops.subtract, (later, earlier))
    return x


@_implements(np.any)
def _any(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Any:
    _refuse_options("any", out=out, **kwargs)
    return _amax(apply(ops.not_equal, (a, 0.0)), axis, None, keepdims)


@_implements(np.all)
def _all(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Any:
    _refuse_options("all", out=out, **kwargs)
    return _amin(apply(ops.not_equal, (a, 0.0)), axis, None, keepdims)


_REDUCTIONS: dict[Any, Callable[..., Any]] = {
    (np.add, "reduce"): lambda a, axis=0, **kwargs: sum_(a, axis, **kwargs),
    (np.multiply, "reduce"): lambda a, axis=0, **kwargs: _prod(a, axis, **kwargs),
    (np.maximum, "reduce"): lambda a, axis=0, **kwargs: _max(a, axis, **kwargs),
    (np.minimum, "reduce"): lambda a, axis=0, **kwargs: _min(a, axis, **kwargs),
    (np.add, "accumulate"): lambda a, axis=0, **kwargs: _cumsum(a, axis, **kwargs),
}


# ---- products


@_implements(np.dot)
def _dot(a: Any, b: Any, out: Any = None) -> Any:
    _only({"out": out}, "np.dot")
    x, y = _as_array(a), _as_array(b)
    if x.ndim == 0 or y.ndim == 0:
        return apply(ops.multiply, (x, y))
    if y.ndim <= 2 and x.ndim <= 2:
        return matmul(x, y)
    if y.ndim == 1:
        return matmul(x, y)
    return _tensordot(x, y, ((x.ndim - 1,), (y.ndim - 2,)))


@_implements(np.vdot)
def _vdot(a: Any, b: Any, /) -> Any:
    return matmul(ravel(a), ravel(b))


@_implements(np.inner)
def _inner(a: Any, b: Any, /) -> Any:
    x, y = _as_array(a), _as_array(b)
    return apply(ops.multiply, (x, y)) if 0 in (x.ndim, y.ndim) else _tensordot(x, y, ((x.ndim - 1,), (y.ndim - 1,)))


@_implements(np.outer)
def _outer(a: Any, b: Any, out: Any = None) -> Any:
    _only({"out": out}, "np.outer")
    x, y = ravel(a), ravel(b)
    return apply(ops.multiply, (reshape(x, (x.size, 1)), reshape(y, (1, y.size))))


@_implements(np.tensordot)
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    x, y = _as_array(a), _as_array(b)
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
    _only(kwargs, "np.matmul", casting="same_kind", order="K")
    x, y = _as_array(a), _as_array(b)
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


@_implements(np.trace)
def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    return sum_(_diagonal(a, offset, axis1, axis2), -1, dtype, out)


@_implements(np.linalg.norm)
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if ord not in (None, 2, "fro") or (ord == 2 and _as_array(x).ndim != 1 and axis is None):
        raise _unsupported(f"np.linalg.norm with ord={ord!r}")
    return apply(ops.sqrt, (sum_(apply(ops.square, (x,)), axis, keepdims=keepdims),))


# ---- choices and elementwise functions that are not ufuncs


@_implements(np.where)
def _where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    if x is None or y is None:
        raise _unsupported("np.where with one argument")
    return apply(ops.where, (condition, x, y))


@_implements(np.clip)
def _clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None) -> Any:
    _only({"out": out}, "np.clip")
    low, high = (min if _is_absent(a_min) else a_min), (max if _is_absent(a_max) else a_max)
    x = apply(ops.positive, (a,)) if _is_absent(low) and _is_absent(high) else a
    if not _is_absent(low):
        x = apply(ops.maximum, (x, low))
    return x if _is_absent(high) else apply(ops.minimum, (x, high))


def _is_absent(argument: Any) -> bool:
    return argument is None or argument is np._NoValue


@_implements(np.round, np.around)
def _round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    _only({"out": out}, "np.round")
    if decimals == 0:
        return apply(ops.rint, (a,))
    scale = 10.0 ** abs(decimals)
    x = apply(ops.multiply if decimals > 0 else ops.divide, (a, scale))
    return apply(ops.divide if decimals > 0 else ops.multiply, (apply(ops.rint, (x,)), scale))


FUNCTIONS[np.fix] = lambda x, out=None: apply(ops.trunc, (x,))
FUNCTIONS[np.real] = lambda val: val
FUNCTIONS[np.copy] = lambda a, order="K", subok=False: copy_of(a)
FUNCTIONS[np.zeros_like] = lambda a, *args, **kwargs: np.zeros_like(value_of(a), *args, **kwargs)
FUNCTIONS[np.ones_like] = lambda a, *args, **kwargs: np.ones_like(value_of(a), *args, **kwargs)
FUNCTIONS[np.empty_like] = lambda a, *args, **kwargs: np.empty_like(value_of(a), *args, **kwargs)
FUNCTIONS[np.shape] = lambda a: a.shape
FUNCTIONS[np.ndim] = lambda a: a.ndim
FUNCTIONS[np.size] = lambda a, axis=None: a.size if axis is None else a.shape[axis]
FUNCTIONS[np.iscomplexobj] = lambda x: False
FUNCTIONS[np.isrealobj] = lambda x: True


@_implements(np.full_like)
def _full_like(a: Any, fill_value: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(fill_value, RecordedArray):
        return broadcast_to(fill_value, np.shape(value_of(a)))
    return np.full_like(value_of(a), fill_value, *args, **kwargs)


_DERIVED_UFUNCS: dict[Any, Callable[..., Any]] = {
    np.deg2rad: lambda x: _times(x, math.pi / 180),
    np.radians: lambda x: _times(x, math.pi / 180),
    np.rad2deg: lambda x: _times(x, 180 / math.pi),
    np.degrees: lambda x: _times(x, 180 / math.pi),
    np.logaddexp2: lambda x, y: apply(
        ops.divide, (apply(ops.logaddexp, (_times(x, ops.LOG_2), _times(y, ops.LOG_2))), ops.LOG_2)
    ),
}
_ON_BITS = (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert)


def _times(x: Any, factor: float) -> Any:
    """A product with a number; plain operands stay plain."""
    return apply(ops.multiply, (x, factor)) if isinstance(x, RecordedArray) else np.multiply(x, factor)


# ---- methods


def _astype(x: RecordedArray, dtype: Any, *args: Any, **kwargs: Any) -> Any:
    kind = np.dtype(dtype)
    if kind == np.float64:
        return copy_of(x) if x.dtype == kind else apply(ops.multiply, (x, 1.0))
    if kind.kind == "b":
        return apply(ops.not_equal, (x, 0.0))
    if kind == np.int64 and x.dtype.kind in "biu":
        return apply(ops.add, (x, 0))
    raise LostDerivativeError(
        located(
            f"a recorded value was converted to {kind} by astype, which has no derivative",
            user_line(),
            "Use np.floor, np.trunc or np.round and keep it a float, or fastgrad.stop_gradient where it is meant.",
        )
    )


def _item(x: RecordedArray, *index: Any) -> Any:
    if x.size != 1 and not index:
        raise ValueError("can only convert an array of size 1 to a Python scalar")
    element = getitem(x, index) if len(index) > 1 else getitem(ravel(x), index[0] if index else 0)
    return {"b": bool, "i": int, "u": int}.get(x.dtype.kind, float)(element)


def _tolist(x: RecordedArray) -> Any:
    return x if x.ndim == 0 else [_tolist(row) for row in x]


def _reshape_method(x: RecordedArray, *shape: Any, order: str = "C", copy: Any = None) -> Any:
    return _reshape(x, shape[0] if len(shape) == 1 else shape, order)


def _transpose_method(x: RecordedArray, *axes: Any) -> Any:
    return transpose(x, (axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes) if axes else None)


METHODS |= {
    "sum": sum_,
    "prod": _prod,
    "mean": mean,
    "var": var,
    "std": _std,
    "max": _amax,
    "min": _amin,
    "any": _any,
    "all": _all,
    "cumsum": _cumsum,
    "dot": _dot,
    "clip": _clip,
    "round": _round,
    "reshape": _reshape_method,
    "ravel": ravel,
    "flatten": lambda x, order="C": copy_of(ravel(x, order)),
    "transpose": _transpose_method,
    "swapaxes": _swapaxes,
    "squeeze": _squeeze,
    "repeat": _repeat,
    "take": _take,
    "diagonal": _diagonal,
    "trace": _trace,
    "copy": lambda x, order="C": copy_of(x),
    "conj": lambda x: x,
    "conjugate": lambda x: x,
    "astype": _astype,
    "item": _item,
    "tolist": _tolist,
}


def _getattr(x: RecordedArray, name: str) -> Any:
    return bound_method(x, name)


def _array_function(self: RecordedArray, function: Any, types: Iterable[type], args: Any, kwargs: Any) -> Any:
    return apply_function(function, args, kwargs)


def _array_ufunc(self: RecordedArray, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    return apply_ufunc(ufunc, method, inputs, kwargs)


def _install(attributes: Sequence[tuple[str, Any]]) -> None:
    for name, attribute in attributes:
        setattr(RecordedArray, name, attribute)


_install(
    [
        ("__getitem__", getitem),
        ("__getattr__", _getattr),
        ("__array_ufunc__", _array_ufunc),
        ("__array_function__", _array_function),
        ("T", property(transpose)),
        ("mT", property(_matrix_transpose)),
        ("real", property(lambda x: x)),
        ("flat", property(lambda x: iter(ravel(x)))),
    ]
)

__all__ = ["FUNCTIONS", "METHODS", "concatenate", "matmul", "mean", "reshape", "stacked", "sum_", "transpose"]
