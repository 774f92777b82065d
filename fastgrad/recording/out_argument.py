"""``out=``: the results of a function, a method or a ufunc, written into arrays that the call names.

NumPy itself runs first, on plain values and into copies of those arrays: there it raises its errors about shapes and
kinds of numbers, warns, and shows which numbers it writes. Then the results are recorded as they are without ``out``,
and assigned. So no definition needs to know of ``out``; one that takes it by position has a parameter of that name.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.errors import LostDerivativeError, located
from fastgrad.recording.functions.conversions import concrete, with_value
from fastgrad.recording.functions.registry import FUNCTIONS, METHODS
from fastgrad.recording.functions.shapes import broadcast_to
from fastgrad.recording.recorded_array import RecordedArray
from fastgrad.recording.source import user_line

__all__ = ["call_method", "named_out", "write_target", "written_into"]


def written_into(
    out: Any, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], record: Callable[[], Any]
) -> Any:
    """What ``function`` returns with this ``out``, an array or a tuple; ``record`` gives the results without it."""
    targets = out if isinstance(out, tuple) else (out,)
    copies = tuple([None if target is None else _copy_of_target(target) for target in targets])
    options = {name: concrete(option) for name, option in kwargs.items()}
    returned = function(*map(concrete, args), out=copies if isinstance(out, tuple) else copies[0], **options)
    with np.errstate(all="ignore"):
        results = record()
    if not isinstance(results, tuple):
        return _written(targets[0], results, copies[0], returned)
    return tuple(map(_written, targets, results, copies, returned))


def _written(target: Any, result: Any, copy: Any, returned: Any) -> Any:
    if target is None or returned is not copy:
        return result  # some of NumPy's functions ignore ``out``
    write_target(target)[...] = _as_numbers_of(copy, result)
    return target


def _as_numbers_of(copy: NDArray[Any], result: Any) -> Any:
    """The result with the numbers that NumPy has written, which it may compute in the precision of ``out``."""
    if result.dtype == copy.dtype:
        return result
    if not isinstance(result, RecordedArray):
        return copy
    # a change of kind is left to the assignment, which refuses those that lose a derivative
    same_kind = type(result) is RecordedArray and result.dtype.kind == copy.dtype.kind
    return with_value(broadcast_to(result, copy.shape), copy) if same_kind else result


def _copy_of_target(target: Any) -> Any:
    """An array with the content and the layout of one that is to be written into."""
    if type(target) is np.ndarray:
        write_target(target)  # refuses it
    value = concrete(target)
    if not isinstance(value, np.ndarray):
        return value  # for NumPy's own error
    low, high = np.lib.array_utils.byte_bounds(value)
    memory = np.empty(high - low, np.uint8)
    copy: NDArray[Any] = np.ndarray(
        value.shape, value.dtype, memory, value.__array_interface__["data"][0] - low, value.strides
    )
    copy[...] = value
    copy.flags.writeable = value.flags.writeable
    return copy


def write_target(array: Any) -> Any:
    """The recorded array that a function is to write into. Raises LostDerivativeError for a plain one."""
    if isinstance(array, RecordedArray):
        return array
    if hasattr(array, "promoted"):
        return array.promoted()
    raise LostDerivativeError(
        located(
            "a recorded value was to be written into an existing plain array (by out=, by an operator such as += or by "
            "a function that writes in place), which would drop its derivative",
            user_line(),
            "Make the array inside the differentiated function (np.zeros, np.array), or write y = y + x.",
        )
    )


# ---- where ``out`` is among the arguments


def call_method(
    method: Callable[..., Any], name: str, x: RecordedArray, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The definition of an array method on its array, with ``out`` taken care of."""
    if not args and not kwargs:
        return method(x)
    given, kwargs = _named(METHODS.get(name, method), (x, *args), kwargs)
    out = kwargs.pop("out", None)
    if out is None:
        return method(*given, **kwargs)
    return written_into(out, _of_array(name), given, kwargs, lambda: method(*given, **kwargs))


def _of_array(name: str) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


def named_out(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a NumPy function, with ``out`` among those by name."""
    return _named(FUNCTIONS.get(function, function), args, kwargs)


def _named(
    definition: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    position, names = _names_from_out(definition)
    if len(args) <= position:
        return args, kwargs
    return args[:position], kwargs | dict(zip(names, args[position:], strict=False))


@cache
def _names_from_out(definition: Callable[..., Any]) -> tuple[int, tuple[str, ...]]:
    """Which positional argument ``out`` is (more than any call has, where there is none), and the names from there."""
    parameters = inspect.signature(definition).parameters.values()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    position = names.index("out") if "out" in names else sys.maxsize
    return position, tuple(names[position:])
