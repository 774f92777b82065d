"""Functions of ``scipy.linalg`` as definitions: SciPy's own runs first, on the values.

It raises its own errors, and its results are what a recorded result shows. ``overwrite_a`` and its like change nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import numpy as np

from fastgrad.array_ops.scipy_linalg import DRAWING, random_numbers_put_back
from fastgrad.recording.functions.conversions import concrete, with_value
from fastgrad.recording.functions.lifting import lifted
from fastgrad.recording.functions.norms import as_floats
from fastgrad.recording.functions.registry import implements_outside, unsupported
from fastgrad.recording.recorded_array import RecordedArray

_scipy: Any = import_module("scipy.linalg")


def defines(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a definition of these functions, which are the same one."""
    original = getattr(_scipy, names[0])

    def register(definition: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(definition)
        def define(*args: Any, **kwargs: Any) -> Any:
            given = {name: _copied(value) for name, value in kwargs.items()}
            with random_numbers_put_back() if names[0] in DRAWING else nullcontext():
                values = original(*map(_copied, args), **given)
            return _shown(definition(*args, **kwargs), values, names[0])

        return implements_outside(*(f"scipy.linalg.{name}" for name in names))(define)

    return register


def _copied(argument: Any) -> Any:
    """An argument's value, in memory that SciPy may overwrite."""
    if isinstance(argument, tuple):
        return tuple(map(_copied, argument))
    value = concrete(argument)
    return np.array(value) if isinstance(value, np.ndarray) else value


def _shown(result: Any, value: Any, name: str) -> Any:
    if isinstance(result, tuple):
        return tuple(_shown(part, of_part, name) for part, of_part in zip(result, value, strict=True))
    if not isinstance(result, RecordedArray):
        return value
    if np.iscomplexobj(value) or np.shape(value) != result.shape:
        raise unsupported(f"scipy.linalg.{name} with arrays of these shapes, or a complex result,")
    return with_value(result, np.asarray(value)[()])


def both_recorded(*operands: Any) -> tuple[Any, ...]:
    """Arrays of floats, all recorded."""
    return lifted(*map(as_floats, operands))
