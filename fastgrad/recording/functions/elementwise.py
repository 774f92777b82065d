"""Choices and elementwise functions that are not ufuncs, and ufuncs written in terms of others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.recording.functions.registry import (
    FUNCTIONS,
    UFUNCS,
    implements,
    only,
    unsupported,
)
from fastgrad.recording.recorded_array import RecordedArray, apply


@implements(np.where)
def _where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    if x is None or y is None:
        raise unsupported("np.where with one argument")
    return apply(ops.where, (condition, x, y))


@implements(np.clip)
def _clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None) -> Any:
    only({"out": out}, "np.clip")
    low, high = (min if _is_absent(a_min) else a_min), (max if _is_absent(a_max) else a_max)
    x = apply(ops.positive, (a,)) if _is_absent(low) and _is_absent(high) else a
    if not _is_absent(low):
        x = apply(ops.maximum, (x, low))
    return x if _is_absent(high) else apply(ops.minimum, (x, high))


def _is_absent(argument: Any) -> bool:
    return argument is None or argument is np._NoValue


@implements(np.round, np.around)
def _round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    only({"out": out}, "np.round")
    if decimals == 0:
        return apply(ops.rint, (a,))
    scale = 10.0 ** abs(decimals)
    x = apply(ops.multiply if decimals > 0 else ops.divide, (a, scale))
    return apply(ops.divide if decimals > 0 else ops.multiply, (apply(ops.rint, (x,)), scale))


FUNCTIONS[np.fix] = lambda x, out=None: apply(ops.trunc, (x,))

UFUNCS |= {
    np.divmod: lambda x, y: (apply(ops.floor_divide, (x, y)), apply(ops.remainder, (x, y))),
    np.deg2rad: lambda x: _times(x, math.pi / 180),
    np.radians: lambda x: _times(x, math.pi / 180),
    np.rad2deg: lambda x: _times(x, 180 / math.pi),
    np.degrees: lambda x: _times(x, 180 / math.pi),
    np.logaddexp2: lambda x, y: apply(
        ops.divide, (apply(ops.logaddexp, (_times(x, ops.LOG_2), _times(y, ops.LOG_2))), ops.LOG_2)
    ),
}


def _times(x: Any, factor: float) -> Any:
    """A product with a number; plain operands stay plain."""
    return apply(ops.multiply, (x, factor)) if isinstance(x, RecordedArray) else np.multiply(x, factor)
