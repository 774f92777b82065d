"""Recorded values as arrays of another kind of number, and the values that NumPy's own functions give.

The numbers of a tape are float64. A recorded array of float32, whole numbers or truth values shows its value in that
kind, so a conversion often leaves the node as it is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.errors import LostDerivativeError, located
from fastgrad.recording.functions.registry import as_array, implements, implements_outside, reshape
from fastgrad.recording.recorded_array import RecordedArray, apply, apply_array, stacked, value_of
from fastgrad.recording.recorder import Recorder
from fastgrad.recording.source import user_line
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT

__all__ = [
    "any_recorded",
    "array",
    "as_numpy",
    "as_objects",
    "as_positions",
    "asarray",
    "astype",
    "concrete",
    "converted",
    "gathered",
    "holds_recorded",
    "recorded",
    "shown_as",
    "unchanged_kinds",
    "with_value",
]

# ---- values as NumPy gives them


def with_value(result: Any, value: Any) -> Any:
    """A recorded result that shows this value of the same numbers: a view where NumPy gives one, in NumPy's layout."""
    if not isinstance(result, RecordedArray) or value is result.value:
        return result
    shown = RecordedArray(result.recorder, result.node, value)
    storage = shown.storage
    if storage is not None:
        shown.stamp = storage.count  # the node was just asked for, and is right
    return shown


def concrete(argument: Any) -> Any:
    """An argument with the values of recorded arrays in their place, in lists, tuples and object arrays too."""
    if isinstance(argument, RecordedArray):
        return argument.value
    if isinstance(argument, (list, tuple)) and not hasattr(argument, "_fields"):
        return type(argument)(map(concrete, argument))
    if isinstance(argument, np.ndarray):
        if argument.dtype.kind == "O":
            return value_of(stacked(argument))
        fresh: Any = argument
        if hasattr(fresh, "recorded_form"):
            # an array that the function has made
            form = fresh.recorded_form()
            return fresh.plain_form() if form is None else form.value
    return argument


def holds_recorded(x: Any) -> bool:
    """Whether a value, or a list or tuple of values, is or holds a recorded one."""
    if isinstance(x, RecordedArray):
        return True
    if isinstance(x, (list, tuple)):
        return any(map(holds_recorded, x))
    if isinstance(x, np.ndarray):
        if x.dtype.kind == "O":
            return any(map(holds_recorded, x.ravel().tolist()))
        # of arrays that the function has made
        return bool(getattr(x, "is_recorded", False))
    return False


def any_recorded(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a recorded value is among a call's arguments."""
    return holds_recorded(args) or any(map(holds_recorded, kwargs.values()))


def as_numpy(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a definition whose results show what NumPy's function itself gives, which also raises NumPy's errors.

    So the definition needs to care for the nodes only: values, kinds of number, views and copies are NumPy's.
    """

    def register(definition: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(definition)
        def define(*args: Any, **kwargs: Any) -> Any:
            values = functions[0](*map(concrete, args), **{name: concrete(value) for name, value in kwargs.items()})
            return shown_as(definition(*args, **kwargs), values)

        return implements(*functions)(define)

    return register


def shown_as(results: Any, values: Any) -> Any:
    """Recorded results under the values that NumPy gives for them, nested as these are; others are NumPy's own."""
    if isinstance(results, (list, tuple)):
        shown = map(shown_as, results, values)
        return type(values)._make(shown) if hasattr(values, "_make") else type(values)(shown)
    if not isinstance(results, RecordedArray):
        return values
    return with_value(results, values if hasattr(values, "dtype") else np.asarray(values)[()])


def recorded(x: Any, recorder: Recorder) -> RecordedArray:
    """A plain array as a value of a recording that sees its changes, as operands do."""
    return x if isinstance(x, RecordedArray) else RecordedArray(recorder, recorder.array(x), x)


# ---- kinds of numbers


def converted(x: RecordedArray, dtype: Any, what: str) -> RecordedArray:
    """A recorded value as another kind of number; itself where it is of that kind.

    Raises LostDerivativeError where ``what``, the function that converts, would drop a derivative.
    """
    kind = np.dtype(dtype)
    if kind == x.dtype:
        return x
    if kind.kind == "f" and kind.itemsize <= 8:
        return _shown_as(x, kind)
    if kind.kind == "b":
        return apply(ops.not_equal, (x, 0.0))
    if kind.kind in "iu":
        if x.dtype.kind == "f":
            if _has_derivative(x.recorder, x.node):
                raise _lost(kind, what)
            x = _whole(x, kind)
        elif not np.can_cast(x.dtype, kind) and (kind.itemsize < 8 or kind.kind == "u"):
            x = _wrapped(x, kind)
        return _shown_as(x, kind)
    raise _lost(kind, what)


def _shown_as(x: RecordedArray, kind: np.dtype[Any]) -> RecordedArray:
    return RecordedArray(x.recorder, x.node, x.value.astype(kind))


def _whole(x: RecordedArray, kind: np.dtype[Any]) -> RecordedArray:
    """Numbers without their fractions in a whole kind: NumPy converts through 32 or 64 bits and keeps the lowest ones.

    What does not fit there, which C leaves undefined, is NaN on the tape.
    """
    x = apply(ops.trunc, (x,))
    if kind == np.int64:
        return x
    n_bits = 8 * max(kind.itemsize, 4)
    lowest, above = -(2.0 ** (n_bits - 1)), 2.0 ** (n_bits if kind in (np.uint32, np.uint64) else n_bits - 1)
    fits = apply(ops.logical_and, (apply(ops.greater_equal, (x, lowest)), apply(ops.less, (x, above))))
    x = apply(ops.where, (fits, x, math.nan))
    return x if kind == np.int32 else _wrapped(x, kind)


def _wrapped(x: RecordedArray, kind: np.dtype[Any]) -> RecordedArray:
    """Whole numbers as a kind with fewer bits holds them."""
    lowest, count = float(np.iinfo(kind).min), 2.0 ** (8 * kind.itemsize)
    return apply(ops.add, (apply(ops.remainder, (apply(ops.subtract, (x, lowest)), count)), lowest))


def _has_derivative(recorder: Recorder, node: int) -> bool:
    """Whether a node depends on an input in any other way than through steps, such as floor and comparisons."""
    pending, seen = [node], {node}
    while pending:
        opcode, operands, *_ = recorder.rows[pending.pop()]
        if opcode == INPUT:
            return True
        if opcode == CONSTANT or _is_step(opcode):
            continue
        pending += [operand for operand in operands if operand not in seen]
        seen.update(operands)
    return False


def _is_step(opcode: int) -> bool:
    if opcode >= ARRAY_OPERATION:
        return array_ops.TABLE[opcode - ARRAY_OPERATION].piecewise_constant
    return ops.TABLE[opcode].piecewise_constant or ops.TABLE[opcode].boolean


def _lost(kind: np.dtype[Any], what: str) -> LostDerivativeError:
    return LostDerivativeError(
        located(
            f"a recorded value was converted to {kind} by {what}, which has no derivative",
            user_line(),
            "Keep it a float, or use np.floor, np.trunc, np.round or fastgrad.stop_gradient first where it is meant.",
        )
    )


def as_objects(x: Any) -> Any:
    """An object array of the elements, as NumPy makes of arrays that it computes with in Python."""
    x = as_array(x)
    objects = np.empty(x.shape, object)
    flat = reshape(x, (x.size,))
    for k in range(x.size):
        objects.flat[k] = flat[k]
    return objects


# ---- the makers of arrays


def array(
    object: Any,
    dtype: Any = None,
    *,
    copy: bool | None = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    ndmax: int = 0,
    like: Any = None,
) -> Any:
    """``np.array`` of recorded values: in nested lists, object arrays or by themselves."""
    is_object_array = isinstance(object, np.ndarray) and object.dtype.kind == "O"
    if (dtype is None and is_object_array) or (dtype is not None and np.dtype(dtype).kind == "O"):
        x = object if is_object_array else as_objects(object)
        return np.array(x, copy=copy if is_object_array else None, order=order, ndmin=ndmin)  # type: ignore[call-overload]
    x = as_array(object)
    if not isinstance(x, RecordedArray):
        return np.array(object, dtype, copy=copy, order=order, subok=subok, ndmin=ndmin)  # type: ignore[call-overload]
    result = x if dtype is None else converted(x, dtype, "np.array")
    if not isinstance(object, RecordedArray):
        if copy is False:
            np.array([0.0], copy=False)  # raises NumPy's own error
        copy = True  # of one element in a list, what is made so far is a view
    value = np.array(x.value, dtype, copy=copy, order=order, ndmin=ndmin)  # type: ignore[call-overload]
    if value is x.value:
        return x
    return with_value(reshape(result, value.shape), value)


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: bool | None = None, like: Any = None
) -> Any:
    return array(a, dtype, copy=copy, order=order or "K")


implements(np.array)(array)
implements(np.asarray, np.asanyarray)(asarray)


@implements_outside("numpy.fromiter")
def _fromiter(iterable: Any, dtype: Any, count: int = -1, *, like: Any = None) -> Any:
    items = list(iterable)
    return array(items if count < 0 else items[:count], dtype)


@implements(np.ascontiguousarray)
def _ascontiguousarray(a: Any, dtype: Any = None, *, like: Any = None) -> Any:
    return array(a, dtype, copy=None, order="C", ndmin=1)


@implements(np.asfortranarray)
def _asfortranarray(a: Any, dtype: Any = None, *, like: Any = None) -> Any:
    return array(a, dtype, copy=None, order="F", ndmin=1)


@implements(np.asarray_chkfinite)
def _asarray_chkfinite(a: Any, dtype: Any = None, order: Any = None) -> Any:
    x = array(a, dtype, copy=None, order=order or "K")
    if isinstance(x, RecordedArray) and not np.all(np.isfinite(x)):  # type: ignore[call-overload]
        raise ValueError("array must not contain infs or NaNs")
    return x


@implements(np.require)
def _require(a: Any, dtype: Any = None, requirements: Any = None, *, like: Any = None) -> Any:
    x = array(a, dtype, copy=None)
    if not isinstance(x, RecordedArray):
        return np.require(x, dtype, requirements)
    value = np.require(x.value, dtype, requirements)
    return with_value(x, value)


@implements(np.copy)
def _copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    return array(a, order=order)


@implements(np.astype)
def _astype_function(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    return astype(x, dtype, copy=copy)


def astype(
    x: RecordedArray, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
) -> Any:
    """``x.astype``"""
    kind = np.dtype(dtype)
    if kind.kind == "O":
        return as_objects(x)
    value = x.value.astype(kind, order, casting, subok, copy)  # raises NumPy's own error
    return with_value(converted(x, kind, "astype"), value)


def unchanged_kinds(xs: Any, dtype: Any, what: str) -> list[Any]:
    """Operands that are to become this kind of number, converted; raises where that would drop a derivative."""
    return [converted(x, dtype, what) if isinstance(x, RecordedArray) else x for x in xs]


def as_positions(x: Any) -> Any:
    """The place of each element in the flattened array, in the shape of the array."""
    return np.arange(math.prod(x.shape)).reshape(x.shape)


def gathered(x: RecordedArray, function: Callable[[Any], Any]) -> Any:
    """A function that only moves and repeats elements: it says itself where each of them comes from."""
    result = apply_array(array_ops.gather, (x, np.ascontiguousarray(function(as_positions(x)))), None)
    return with_value(result, function(x.value))
