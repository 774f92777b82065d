"""Truth values packed into bytes, and bytes unpacked into bits: steps, with derivative zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgrad.recording.functions.conversions import as_numpy
from fastgrad.recording.functions.lifting import lifted
from fastgrad.recording.functions.registry import axes_of, whole
from fastgrad.recording.functions.shapes import ravel


def _places(bitorder: str) -> Any:
    """What each bit of a byte stands for."""
    places = 2.0 ** np.arange(8)
    return places if bitorder == "little" else places[::-1]


def _last(a: Any, axis: Any) -> tuple[Any, int]:
    """The array with the axis last, which is flattened where there is none, and where the axis belongs."""
    (x,) = lifted(a)
    if axis is None or x.ndim == 0:
        return ravel(x), 0
    (axis,) = axes_of(axis, x.ndim)
    return np.moveaxis(x, axis, -1), axis


@as_numpy(np.packbits)
def _packbits(a: Any, /, axis: Any = None, bitorder: str = "big") -> Any:
    x, axis = _last(a, axis)
    bits: Any = np.not_equal(x, 0)
    n_missing = -x.shape[-1] % 8
    if n_missing:
        bits = np.concatenate([bits, np.zeros((*x.shape[:-1], n_missing))], -1)
    return np.moveaxis((bits.reshape(*x.shape[:-1], -1, 8) * _places(bitorder)).sum(-1), -1, axis)


@as_numpy(np.unpackbits)
def _unpackbits(a: Any, /, axis: Any = None, count: Any = None, bitorder: str = "big") -> Any:
    x, axis = _last(a, axis)
    bits = np.remainder(np.floor_divide(x[..., np.newaxis] * 1.0, _places(bitorder)), 2.0)
    bits = bits.reshape(*x.shape[:-1], x.shape[-1] * 8)
    if count is not None:
        (count,) = whole((count,))
        n_missing = max(count - bits.shape[-1], 0)
        bits = np.concatenate([bits[..., :count], np.zeros((*x.shape[:-1], n_missing))], -1)
    return np.moveaxis(bits, -1, axis)
