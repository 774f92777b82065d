"""NumPy's functions on complex values of a recording: those that act on the two parts alike, and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad.recording.functions import complex_arithmetic  # noqa: F401 - whose ufuncs belong to these values too
from fastgrad.recording.functions.complex_arithmetic import multiplied
from fastgrad.recording.recorded_array import RecordedArray
from fastgrad.recording.recorded_complex import (
    COMPLEX_FUNCTIONS,
    COMPLEX_METHODS,
    COMPLEX_UFUNCS,
    Parts,
    RecordedComplex,
    apply_function,
    apply_ufunc,
    full_name,
    joined,
    parts_of,
)

__all__ = ["apply_function", "apply_ufunc"]

# of one array, linear in it, and the same for both parts
_LINEAR = (
    np.sum, np.mean, np.cumsum, np.diff, np.trace, np.nansum, np.trapezoid, np.gradient, np.average, np.reshape,
    np.ravel, np.transpose, np.permute_dims, np.matrix_transpose, np.swapaxes, np.moveaxis, np.rollaxis, np.expand_dims,
    np.squeeze, np.flip, np.fliplr, np.flipud, np.roll, np.rot90, np.repeat, np.tile, np.take, np.broadcast_to,
    np.diagonal, np.diag, np.tril, np.triu, np.split, np.array_split, np.hsplit, np.vsplit, np.atleast_1d,
    np.atleast_2d, np.atleast_3d, np.delete, np.copy, np.compress,
)  # fmt: skip
_JOINING = (np.concatenate, np.stack, np.vstack, np.hstack, np.dstack, np.column_stack)
_PRODUCTS = (np.dot, np.inner, np.outer, np.tensordot, np.kron, np.convolve)
_LINEAR_METHODS = (
    "sum", "mean", "cumsum", "trace", "reshape", "ravel", "flatten", "transpose", "swapaxes", "squeeze", "repeat",
    "take", "diagonal", "copy",
)  # fmt: skip


def _both(real: Any, imag: Any) -> Any:
    """Results for the two parts as one complex result, within lists and tuples."""
    if isinstance(real, RecordedArray):
        return RecordedComplex(real, imag)
    return type(real)(_both(*pair) for pair in zip(real, imag, strict=True))


def _linear(function: Callable[..., Any]) -> Callable[..., Any]:
    def on_parts(x: Any, *args: Any, **kwargs: Any) -> Any:
        real, imag = parts_of(x)
        return _both(function(real, *args, **kwargs), function(imag, *args, **kwargs))

    return on_parts


def _joining(function: Callable[..., Any]) -> Callable[..., Any]:
    def on_parts(arrays: Any, *args: Any, **kwargs: Any) -> Any:
        parts = [parts_of(array) for array in arrays]
        imags = [np.zeros(np.shape(part.real)) if part.imag is None else part.imag for part in parts]
        return joined(Parts(function([part.real for part in parts], *args, **kwargs), function(imags, *args, **kwargs)))

    return on_parts


def _product(function: Callable[..., Any]) -> Callable[..., Any]:
    def on_parts(x: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
        return joined(multiplied(lambda a, b: function(a, b, *args, **kwargs), parts_of(x), parts_of(y)))

    return on_parts


def _answers(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(definition: Callable[..., Any]) -> Callable[..., Any]:
        COMPLEX_FUNCTIONS.update(dict.fromkeys(map(full_name, functions), definition))
        return definition

    return register


COMPLEX_FUNCTIONS |= {full_name(function): _linear(function) for function in _LINEAR}
COMPLEX_FUNCTIONS |= {full_name(function): _joining(function) for function in _JOINING}
COMPLEX_FUNCTIONS |= {full_name(function): _product(function) for function in _PRODUCTS}
COMPLEX_FUNCTIONS |= {
    "numpy.real": lambda val: parts_of(val).real,
    "numpy.imag": lambda val: parts_of(val).imag,
    "numpy.shape": lambda a: a.shape,
    "numpy.ndim": lambda a: a.ndim,
    "numpy.iscomplexobj": lambda x: True,
    "numpy.isrealobj": lambda x: False,
    "numpy.zeros_like": lambda a, *args, **kwargs: np.zeros_like(a.value, *args, **kwargs),
    "numpy.ones_like": lambda a, *args, **kwargs: np.ones_like(a.value, *args, **kwargs),
    "numpy.empty_like": lambda a, *args, **kwargs: np.empty_like(a.value, *args, **kwargs),
}


@_answers(np.size)
def _size(a: Any, axis: Any = None) -> Any:
    return np.size(parts_of(a).real, axis)


@_answers(np.angle)
def _angle(z: Any, deg: bool = False) -> Any:
    real, imag = parts_of(z)
    angle = np.arctan2(imag, real)
    return np.rad2deg(angle) if deg else angle


@_answers(np.var)
def _var(a: Any, axis: Any = None, *, ddof: Any = 0, keepdims: Any = False) -> Any:
    real, imag = parts_of(a)
    return np.var(real, axis, ddof=ddof, keepdims=keepdims) + np.var(imag, axis, ddof=ddof, keepdims=keepdims)


@_answers(np.std)
def _std(a: Any, axis: Any = None, *, ddof: Any = 0, keepdims: Any = False) -> Any:
    return np.sqrt(_var(a, axis, ddof=ddof, keepdims=keepdims))


@_answers(np.where)
def _where(condition: Any, x: Any, y: Any, /) -> Any:
    x, y = parts_of(x), parts_of(y)
    imags = (0.0 if part.imag is None else part.imag for part in (x, y))
    return joined(Parts(np.where(condition, x.real, y.real), np.where(condition, *imags)))


@_answers(np.vdot)
def _vdot(a: Any, b: Any, /) -> Any:
    x, y = parts_of(a), parts_of(b)
    return joined(multiplied(np.vdot, x if x.imag is None else COMPLEX_UFUNCS[np.conjugate](x), y))


@_answers(np.correlate)
def _correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    x, y = parts_of(a), parts_of(v)
    conjugate = y if y.imag is None else COMPLEX_UFUNCS[np.conjugate](y)
    return joined(multiplied(lambda p, q: np.correlate(p, q, mode), x, conjugate))


@_answers(np.einsum)
def _einsum(*operands: Any, **kwargs: Any) -> Any:
    if not isinstance(operands[0], str) or len(operands) > 3:
        return NotImplemented
    subscripts, *arrays = operands
    parts = [parts_of(array) for array in arrays]
    if len(parts) == 1:
        real, imag = (np.einsum(subscripts, part, **kwargs) for part in parts[0])
        return RecordedComplex(real, imag)
    return joined(multiplied(lambda a, b: np.einsum(subscripts, a, b, **kwargs), *parts))


@_answers(np.linalg.norm)
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if ord not in (None, "fro") and np.ndim(x) != 1 and not isinstance(axis, int):
        return NotImplemented
    return np.linalg.norm(np.abs(x), ord, axis, keepdims)


@_answers(np.pad)
def _pad(array: Any, pad_width: Any, mode: Any = "constant") -> Any:
    return _linear(np.pad)(array, pad_width, mode)


def _linear_method(name: str) -> Callable[..., Any]:
    return _linear(lambda part, *args, **kwargs: getattr(part, name)(*args, **kwargs))


COMPLEX_METHODS |= {name: _linear_method(name) for name in _LINEAR_METHODS}
COMPLEX_METHODS |= {
    "conj": np.conjugate,
    "conjugate": np.conjugate,
    "dot": COMPLEX_FUNCTIONS["numpy.dot"],
}
