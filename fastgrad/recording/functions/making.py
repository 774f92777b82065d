"""What makes arrays of numbers or of a recorded one's shape: full, linspace, meshgrid, diag, zeros_like."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.recording.functions.conversions import as_numpy, concrete, converted, with_value
from fastgrad.recording.functions.registry import (
    FUNCTIONS,
    as_array,
    implements,
    implements_outside,
    reshape,
    whole,
)
from fastgrad.recording.functions.shapes import broadcast_to, concatenate, diagonal, moveaxis, ravel, stack
from fastgrad.recording.recorded_array import RecordedArray, RecordedText, apply, apply_array, value_of
from fastgrad.tape import Shape

# ---- arrays like another


def _like(function: Callable[..., Any]) -> None:
    def make(
        a: Any, /, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
    ) -> Any:
        return function(concrete(a), dtype, order, subok, None if shape is None else whole(shape))

    implements(function)(make)


for _function in (np.zeros_like, np.ones_like, np.empty_like):
    _like(_function)


@implements(np.full_like)
def _full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    shape = None if shape is None else whole(shape)
    model = np.empty_like(concrete(a), dtype, order, subok, shape)  # type: ignore[call-overload]
    return _filled(model, fill_value)


@implements(np.full)
def _full(
    shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", *, device: Any = None, like: Any = None
) -> Any:
    kind = as_array(fill_value).dtype if dtype is None else dtype
    return _filled(np.empty(whole(shape), kind, order), fill_value)


def _filled(model: Any, fill_value: Any) -> Any:
    """An array of the shape and kind of ``model`` that holds ``fill_value``, broadcast to it."""
    fill = as_array(fill_value)
    model[...] = value_of(fill)
    if not isinstance(fill, RecordedArray):
        return model
    return with_value(broadcast_to(converted(fill, model.dtype, "np.full"), model.shape), model)


# ---- sequences


@as_numpy(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    first, last = as_array(start), as_array(stop)
    count = operator.index(num)
    difference = last - first
    numbers = np.arange(0.0, count).reshape((-1,) + (1,) * difference.ndim)
    n_steps = count - 1 if endpoint else count
    step = difference / n_steps if n_steps > 0 else np.nan
    y = numbers * (step if n_steps > 0 else difference) + first
    if endpoint and count > 1:
        y = concatenate([y[:-1], reshape(broadcast_to(last, difference.shape), (1, *difference.shape))])
    if dtype is not None and isinstance(y, RecordedArray):
        y = converted(y, dtype, "np.linspace")
    y = moveaxis(y, 0, axis)
    return (y, step) if retstep else y


@as_numpy(np.logspace)
def _logspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    first, last, base = as_array(start), as_array(stop), as_array(base)
    if base.ndim:
        ndim = max(first.ndim, last.ndim, base.ndim)
        first, last, base = (reshape(x, (1,) * (ndim - x.ndim) + x.shape) for x in (first, last, base))
        base = reshape(base, np.expand_dims(np.broadcast_to(0, base.shape), axis).shape)
    y = apply(ops.power, (base, linspace(first, last, num, endpoint, axis=axis))) if num else np.zeros(0)
    return converted(y, dtype, "np.logspace") if dtype is not None and isinstance(y, RecordedArray) else y


@as_numpy(np.geomspace)
def _geomspace(start: Any, stop: Any, num: Any = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    count = operator.index(num)
    sign: Any = np.sign(as_array(start))
    first, last = start / sign, stop / sign
    y = _logspace(np.log10(first), np.log10(last), count, endpoint)
    shape = (1, *y.shape[1:])
    ends = [reshape(broadcast_to(end, shape[1:]), shape) for end in (first, last)]
    # the ends are what is given, and not powers of their logarithms
    if count > 1 and endpoint:
        y = concatenate([ends[0], y[1:-1], ends[1]])
    elif count:
        y = concatenate([ends[0], y[1:]])
    y = moveaxis(y * sign, 0, axis)
    return converted(y, dtype, "np.geomspace") if dtype is not None and isinstance(y, RecordedArray) else y


@implements(np.arange)
def _arange(
    start_or_stop: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None, like: Any = None
) -> Any:
    start, stop = (0, start_or_stop) if stop is None else (start_or_stop, stop)
    step = 1 if step is None else step
    if all(as_array(x).dtype.kind in "biu" for x in (start, stop, step)):
        return np.arange(*[operator.index(x) for x in (start, stop, step)], dtype=dtype)
    ends: list[Any] = [value_of(start), value_of(stop), value_of(step)]
    value = np.arange(*ends, dtype=dtype)  # raises NumPy's own error
    # how many elements there are depends on all three
    count = max(int(np.ceil((stop - start) / step)), 0)
    second: Any = start + step
    y = start + np.arange(0.0, count) * (second - start)
    return with_value(converted(y, value.dtype, "np.arange"), value) if isinstance(y, RecordedArray) else value


# ---- grids


@as_numpy(np.meshgrid)
def _meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    xs = [as_array(x) for x in xi]
    axes = list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        axes[:2] = [1, 0]
    grid = [_along_axis(x, axis, len(xs)) for x, axis in zip(xs, axes, strict=True)]
    if sparse:
        return tuple(grid)
    shape = np.broadcast_shapes(*(x.shape for x in grid))
    return tuple([broadcast_to(x, shape) for x in grid])


@implements(np.ix_)
def _ix(*args: Any) -> Any:
    xs = [as_array(x) for x in args]
    np.ix_(*(np.broadcast_to(0, x.shape) for x in xs))  # raises NumPy's own error
    found = [np.nonzero(whole_truth(x))[0] if x.dtype.kind == "b" else x for x in xs]
    return tuple([_along_axis(x, axis, len(xs)) for axis, x in enumerate(found)])


def whole_truth(mask: Any) -> Any:
    """The truth values of a mask, recorded ones guarded: how many there are shapes a result."""
    return np.reshape([bool(one) for one in ravel(mask)], mask.shape) if isinstance(mask, RecordedArray) else mask


def _along_axis(x: Any, axis: int, ndim: int) -> Any:
    return reshape(x, (1,) * axis + (x.size,) + (1,) * (ndim - axis - 1))


# ---- matrices


@as_numpy(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    x = as_array(v)
    if x.ndim == 2:
        return diagonal(x, k)
    k = operator.index(k)
    n = x.size + abs(k)
    if not x.size:
        return np.zeros((n, n))
    place = ((n * n,), ((k if k > 0 else -k * n, x.size, n + 1),))
    return reshape(apply_array(array_ops.place, (x,), place), (n, n))


@as_numpy(np.diagflat)
def _diagflat(v: Any, k: int = 0) -> Any:
    return diag(ravel(v), k)


@as_numpy(np.tril)
def _tril(m: Any, k: int = 0) -> Any:
    x = as_array(m)
    return apply(ops.where, (_lower_triangle(x.shape, k), x, 0.0))


@as_numpy(np.triu)
def _triu(m: Any, k: int = 0) -> Any:
    x = as_array(m)
    return apply(ops.where, (_lower_triangle(x.shape, k - 1), 0.0, x))


def _lower_triangle(shape: Shape, k: int) -> Any:
    """Which elements are on the k-th diagonal or below it; a row is taken for all rows of a square matrix."""
    return np.tri(shape[-2] if len(shape) > 1 else shape[-1], shape[-1], operator.index(k), dtype=bool)


@as_numpy(np.vander)
def _vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    count = as_array(x).size if N is None else operator.index(N)
    powers = [np.ones(as_array(x).shape)]
    for _ in range(count - 1):
        powers.append(x if len(powers) == 1 else powers[-1] * x)
    return stack(powers[:count] if increasing else powers[:count][::-1], 1) if count else np.zeros((len(x), 0))


# ---- questions, and the parts of real numbers

FUNCTIONS[np.shape] = lambda a: concrete(a).shape
FUNCTIONS[np.ndim] = lambda a: concrete(a).ndim
FUNCTIONS[np.size] = lambda a, axis=None: np.size(concrete(a), axis)
FUNCTIONS[np.iscomplexobj] = lambda x: False
FUNCTIONS[np.isrealobj] = lambda x: True
FUNCTIONS[np.isreal] = lambda x: np.isreal(concrete(x))
FUNCTIONS[np.iscomplex] = lambda x: np.iscomplex(concrete(x))
FUNCTIONS[np.isscalar] = lambda element: isinstance(value_of(element), np.generic)
FUNCTIONS[np.iterable] = lambda y: np.ndim(value_of(y)) > 0
FUNCTIONS[np.real] = lambda val: val
FUNCTIONS[np.real_if_close] = lambda a, tol=100: a
FUNCTIONS[np.imag] = lambda val: np.imag(concrete(val))
for _question in (np.can_cast, np.result_type, np.common_type, np.may_share_memory, np.shares_memory):
    FUNCTIONS[_question] = lambda *args, _question=_question, **kwargs: _question(*map(concrete, args), **kwargs)


def _text(function: Any) -> Any:
    def text(*args: Any, **kwargs: Any) -> RecordedText:
        return RecordedText(function(*map(concrete, args), **{name: concrete(x) for name, x in kwargs.items()}))

    return text


FUNCTIONS |= {function: _text(function) for function in (np.array2string, np.array_repr, np.array_str)}
for _format in (np.format_float_positional, np.format_float_scientific):
    implements_outside(f"numpy.{_format.__name__}")(_text(_format))


@implements(np.min_scalar_type)
def _min_scalar_type(a: Any, /) -> Any:
    return np.min_scalar_type(concrete(a) if concrete(a).ndim else whole(a))


@as_numpy(np.angle)
def _angle(z: Any, deg: bool = False) -> Any:
    angle: Any = apply(ops.arctan2, (0.0, z))
    return angle * (180 / np.pi) if deg else angle


# ---- arrays whose shape is recorded


def _of_shape(function: Any) -> None:
    @implements(function)
    def definition(*args: Any, **kwargs: Any) -> Any:
        return function(*map(whole, args), **{name: whole(x) for name, x in kwargs.items()})


for _maker in (np.zeros, np.ones, np.empty, np.eye, np.identity, np.tri, np.indices):
    _of_shape(_maker)
