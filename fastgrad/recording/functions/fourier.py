"""``np.fft``: transforms of real signals to complex spectra and back.

Those over several axes are transforms over one axis after the other, in NumPy's order.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import array_ops
from fastgrad.array_ops.fourier import OPPOSITE
from fastgrad.recording.functions import complex_functions  # noqa: F401 - what spectra answer to
from fastgrad.recording.functions.registry import FUNCTIONS, as_array, axes_of, reshape
from fastgrad.recording.functions.shapes import concatenate
from fastgrad.recording.indexing import along_axis, getitem
from fastgrad.recording.recorded_array import RecordedArray, apply_array
from fastgrad.recording.recorded_complex import COMPLEX_FUNCTIONS, RecordedComplex, full_name, parts_of

_OPPOSITE: dict[Any, Any] = {None: "forward"} | OPPOSITE


def _transform(function: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(definition: Callable[..., Any]) -> Callable[..., Any]:
        FUNCTIONS[function] = COMPLEX_FUNCTIONS[full_name(function)] = definition
        return definition

    return register


# ---- one axis


@_transform(np.fft.fft)
def _fft(a: Any, n: Any = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    return _complex_transform("fft", a, n, axis, norm)


@_transform(np.fft.ifft)
def _ifft(a: Any, n: Any = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    return _complex_transform("ifft", a, n, axis, norm)


def _complex_transform(direction: str, a: Any, n: Any, axis: int, norm: str | None) -> Any:
    pair = _pair(a)
    length, axis = _checked(pair.shape[1:], n, axis, norm, lambda m: m)
    pair = _fitted(pair, length, axis + 1)
    return _from_pair(apply_array(array_ops.fft, (pair,), (direction, axis, norm or "backward")))


@_transform(np.fft.rfft)
def _rfft(a: Any, n: Any = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    # NumPy's own error for complex values
    x = as_array(a)
    length, axis = _checked(x.shape, n, axis, norm, lambda m: m)
    return _from_pair(apply_array(array_ops.rfft, (_fitted(x, length, axis),), (axis, norm or "backward", "plain")))


@_transform(np.fft.irfft)
def _irfft(a: Any, n: Any = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    pair = _pair(a)
    length, axis = _checked(pair.shape[1:], n, axis, norm, lambda m: 2 * (m - 1))
    pair = _fitted(pair, length // 2 + 1, axis + 1)
    return apply_array(array_ops.irfft, (pair,), (length, axis, norm or "backward", "plain"))


@_transform(np.fft.hfft)
def _hfft(a: Any, n: Any = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    return _irfft(np.conjugate(a), n, axis, _swapped(norm))


@_transform(np.fft.ihfft)
def _ihfft(a: Any, n: Any = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    return np.conjugate(_rfft(a, n, axis, _swapped(norm)))


def _swapped(norm: Any) -> Any:
    if norm not in _OPPOSITE:
        np.fft.ihfft(np.ones(1), norm=norm)  # raises NumPy's own error
    return _OPPOSITE[norm]


def _checked(shape: tuple[int, ...], n: Any, axis: int, norm: Any, default: Callable[[int], int]) -> tuple[int, int]:
    """Length of the signal and axis, with NumPy's own errors."""
    if norm not in _OPPOSITE or not -len(shape) <= axis < len(shape):
        np.fft.fft(np.ones((1,) * len(shape)), axis=axis, norm=norm)
    length = default(shape[axis]) if n is None else operator.index(n)
    if length < 1:
        np.fft.fft(np.ones(1), length)
    return length, axis % len(shape)


def _pair(a: Any) -> Any:
    """Real and imaginary part on a leading axis."""
    real, imag = parts_of(a)
    real = as_array(real)
    imag = np.zeros(real.shape) if imag is None else imag
    return concatenate([reshape(real, (1, *real.shape)), reshape(imag, (1, *real.shape))], 0)


def _from_pair(pair: Any) -> RecordedComplex:
    return RecordedComplex(getitem(pair, 0), getitem(pair, 1))


def _fitted(x: Any, length: int, axis: int) -> Any:
    """Cut, or lengthened with zeros, along one axis."""
    of_x = x.shape[axis]
    if of_x > length:
        return x[along_axis(axis, slice(0, length))]
    if of_x == length:
        return x
    spec = tuple((0, n, 1) for n in x.shape)
    return apply_array(array_ops.place, (x,), ((*x.shape[:axis], length, *x.shape[axis + 1 :]), spec))


# ---- several axes


def _over_axes(function: Callable[..., Any], real: str | None, default: Any) -> None:
    """Register a transform over several axes, the last of which is ``real`` ("first" or "last" in order) or None."""
    step = _ifft if function.__name__.startswith("i") else _fft

    def transform(a: Any, s: Any = None, axes: Any = default, norm: str | None = None, out: Any = None) -> Any:
        x = a if isinstance(a, RecordedArray) else as_array(a)
        lengths, chosen = _lengths_and_axes(function, x, s, axes, norm)
        order = list(zip(lengths, chosen, strict=True))
        if real == "first":
            x = _rfft(x, *order[-1], norm)
            order = order[:-1]
        last = order.pop() if real == "last" else None
        for length, axis in order if real == "last" else reversed(order):
            x = step(x, length, axis, norm)
        return x if last is None else _irfft(x, *last, norm)

    _transform(function)(transform)


def _lengths_and_axes(function: Callable[..., Any], x: Any, s: Any, axes: Any, norm: Any) -> tuple[list[Any], Any]:
    # NumPy's own errors and warnings
    given = None if s is None else [None if n is None else operator.index(n) for n in s]
    function(np.ones((2,) * x.ndim), given and [n if n in (None, -1) else 2 for n in given], axes, norm)
    if axes is None:
        axes = range(-(x.ndim if given is None else len(given)), 0)
    if given is None:
        return [None for _ in axes], axes
    return [x.shape[k] if n == -1 else n for n, k in zip(given, axes, strict=True)], axes


for _name in ("fftn", "ifftn", "rfftn", "irfftn"):
    _over_axes(getattr(np.fft, _name), {"r": "first", "i": "last"}.get(_name[0]) if "r" in _name else None, None)
for _name in ("fft2", "ifft2", "rfft2", "irfft2"):
    _over_axes(getattr(np.fft, _name), {"r": "first", "i": "last"}.get(_name[0]) if "r" in _name else None, (-2, -1))


# ---- shifts


@_transform(np.fft.fftshift)
def _fftshift(x: Any, axes: Any = None) -> Any:
    return _shifted(x, axes, 1)


@_transform(np.fft.ifftshift)
def _ifftshift(x: Any, axes: Any = None) -> Any:
    return _shifted(x, axes, -1)


def _shifted(x: Any, axes: Any, sign: int) -> Any:
    chosen = axes_of(axes, np.ndim(x)) if axes is None or np.ndim(axes) == 0 else tuple(axes)
    return np.roll(x, [sign * (np.shape(x)[k] // 2) for k in chosen], chosen)
