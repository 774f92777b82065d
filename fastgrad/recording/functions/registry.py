"""Which NumPy functions and methods can be recorded, and what their definitions share.

A definition is registered where it is written: ``@implements(np.sum, method="sum")``. It is NumPy's function in terms
of the operation tables, with NumPy's own signature.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import array_ops
from fastgrad.errors import UnsupportedError, located
from fastgrad.recording.recorded_array import RecordedArray, apply_array, normal_operand
from fastgrad.recording.source import user_line

FUNCTIONS: dict[Any, Callable[..., Any]] = {}
METHODS: dict[str, Callable[..., Any]] = {}
# ufuncs that are written in terms of others, and their methods (reduce, accumulate, ...) as (ufunc, method)
UFUNCS: dict[Any, Callable[..., Any]] = {}
UFUNC_METHODS: dict[tuple[Any, str], Callable[..., Any]] = {}
# functions of other packages, by their full name: a stand-in calls the definition where a value is recorded
OUTSIDE: dict[str, Callable[..., Any]] = {}
# functions that users have registered, and their definitions, by the function's identity
REGISTERED: dict[int, tuple[Any, Callable[..., Any]]] = {}


def unsupported(name: str) -> UnsupportedError:
    return UnsupportedError(
        located(
            f"{name} cannot be recorded",
            user_line(),
            "Write it with functions that can be (docs/coverage.md lists them), give it a definition with "
            "fastgrad.interop.register, or take it out of the differentiated function.",
        )
    )


def only(kwargs: dict[str, Any], name: str, **allowed: Any) -> None:
    """Refuse keyword arguments that are given and differ from the value that changes nothing."""
    for key, value in kwargs.items():
        neutral = allowed.get(key, _NOTHING)
        if (
            value is None
            or value is neutral
            or (neutral is not _NOTHING and isinstance(value, str) and value == neutral)
        ):
            continue
        raise unsupported(f"the argument {key}={value!r} of {name}")


_NOTHING = object()


def as_array(x: Any) -> Any:
    x = normal_operand(x)
    if isinstance(x, (RecordedArray, np.ndarray)):
        return x
    array = np.asarray(x)
    # a number, which nobody can change, and not captured data
    array.flags.writeable = False
    return array


def implements(*functions: Any, method: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the definition of NumPy functions, and of the array method of that name."""

    def register(definition: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            # a module may load while a recording runs, when NumPy's names hold stand-ins
            FUNCTIONS[getattr(function, "stands_for", function)] = definition
        if method:
            METHODS[method] = definition
        return definition

    return register


def implements_outside(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the definition of functions outside NumPy, which know no protocol: ``"scipy.linalg.solve"``."""

    def register(definition: Callable[..., Any]) -> Callable[..., Any]:
        OUTSIDE.update(dict.fromkeys(names, definition))
        return definition

    return register


def raise_as_numpy(function: Callable[..., Any], *arrays: Any) -> None:
    """Raise NumPy's own error about arrays of these shapes."""
    function(*(np.broadcast_to(0.0, array.shape) for array in arrays))


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
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


def reshape(x: Any, shape: Any) -> Any:
    """Reshape to a complete shape, without a node where nothing changes; plain arrays stay plain."""
    shape = tuple(shape)
    if x.shape == shape:
        return x
    return apply_array(array_ops.reshape, (x,), shape) if isinstance(x, RecordedArray) else x.reshape(shape)


def with_kept_axes(result: Any, x: Any, axes: tuple[int, ...], keepdims: Any) -> Any:
    if not keepdims or keepdims is np._NoValue:
        return result
    return reshape(result, tuple(1 if k in axes else length for k, length in enumerate(x.shape)))


def whole(numbers: Any) -> Any:
    """Whole numbers that shape a result, recorded ones guarded."""
    if isinstance(numbers, (tuple, list)):
        return type(numbers)([operator.index(number) for number in numbers])
    if not isinstance(numbers, RecordedArray) and hasattr(numbers, "recorded_form"):
        numbers = normal_operand(numbers)
    if isinstance(numbers, RecordedArray):
        return np.reshape([operator.index(number) for number in reshape(numbers, (numbers.size,))], numbers.shape)
    return numbers
