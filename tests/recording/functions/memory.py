"""Which results are views, and which can be written into, against NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import fastgrad as fg
from fastgrad.recording.recorded_array import RecordedArray
from fastgrad.recording.structures import flatten


def in_every_layout(x: Any) -> dict[str, tuple[Any, Callable[[Any], Any]]]:
    """Arrays and which view of them holds the numbers: in C or Fortran order, every second element, or backwards."""
    every_second = tuple([slice(None, None, 2)] * x.ndim)
    backwards = tuple([slice(None, None, -1)] * x.ndim)
    spread = np.zeros(tuple(2 * length for length in x.shape))
    spread[every_second] = x
    return {
        "C": (x, lambda y: y),
        "F": (np.asfortranarray(x), lambda y: y),
        "strided": (spread, lambda y: y[every_second]),
        "backwards": (x[backwards].copy(), lambda y: y[backwards]),
        "transposed": (x.T.copy(), lambda y: y.T),
    }


def assert_memory_as_numpy(function: Callable[..., Any], x: Any) -> None:
    """Results share the memory of the argument, and are read-only, where those of NumPy do and are."""
    shown: list[Any] = []

    def recorded(inner: Any) -> Any:
        result = function(view(inner))
        for leaf in flatten(result)[0]:
            shown.append(_memory(leaf.value if isinstance(leaf, RecordedArray) else leaf, inner.value))
        return result

    for base, view in in_every_layout(x).values():
        shown.clear()
        fg.record(recorded, base)
        assert shown == [_memory(leaf, base) for leaf in flatten(function(view(base)))[0]]


def _memory(result: Any, x: Any) -> tuple[Any, ...]:
    array = np.asarray(result)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of np.broadcast_arrays, whose results will be read-only
        can_write = isinstance(result, np.ndarray) and (bool(array.flags.writeable) or array.size == 0)
    return array.dtype, array.shape, bool(np.shares_memory(array, x)), can_write
