"""What the keyword arguments of ufuncs change: the dtype of a value, or which elements are computed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.recording.functions.registry import UFUNCS, unsupported
from fastgrad.recording.recorded_array import RecordedArray, apply, normal_operand, value_of

__all__ = ["chosen", "composes", "evaluation"]


def evaluation(ufunc: np.ufunc, kwargs: dict[str, Any]) -> Callable[..., Any]:
    """The ufunc with those options that change its values only. Raises UnsupportedError for the others.

    Tapes compute float64, so dtype, signature, casting and order show in the value alone.
    """
    if not kwargs:
        return ufunc
    options = {name: option for name, option in kwargs.items() if name not in ("where", "subok")}
    where = normal_operand(kwargs.get("where", True))
    if isinstance(where, RecordedArray) or not np.all(where):
        raise unsupported(f"np.{ufunc.__name__} with where= and without out=, which leaves elements undefined,")
    if where is not True:
        return _with_mask(ufunc, where, evaluation(ufunc, options))
    dtype = options.get("dtype")
    kinds = "fiub" if dtype is None else np.dtype(dtype).kind
    if kinds not in "fiub" or (dtype is not None and np.dtype(dtype).itemsize > 8):
        raise unsupported(f"np.{ufunc.__name__} with dtype={dtype!r}")
    if options.get("casting") == "unsafe" and kinds != "f":
        # operands would be truncated before anything is computed
        raise unsupported(f"np.{ufunc.__name__} with casting='unsafe'")
    return partial(ufunc, **options)


def _with_mask(ufunc: np.ufunc, where: Any, evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """What a mask that is true everywhere leaves as it is, unless it makes the result larger."""

    def masked(*values: Any) -> Any:
        shape = np.broadcast_shapes(*map(np.shape, values))
        if np.broadcast_shapes(shape, np.shape(where)) != shape:
            raise unsupported(f"np.{ufunc.__name__} with a mask that is larger than its operands")
        return evaluate(*values)

    return masked


def chosen(where: Any, results: Any, out: tuple[Any, ...]) -> Any:
    """The results where the mask holds, and what ``out`` held before elsewhere."""
    if where is True:
        return results
    if isinstance(results, tuple):
        return tuple(
            result if target is None else chosen(where, result, (target,))
            for result, target in zip(results, out, strict=True)
        )
    return apply(ops.where, (where, results, out[0]))


def composes(*ufuncs: np.ufunc) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a ufunc that is recorded as several elementary operations; its value is still NumPy's own."""

    def register(definition: Callable[..., Any]) -> Callable[..., Any]:
        for ufunc in ufuncs:
            UFUNCS[ufunc] = _with_values_of(ufunc, definition)
        return definition

    return register


def _with_values_of(ufunc: np.ufunc, definition: Callable[..., Any]) -> Callable[..., Any]:
    def recorded(*inputs: Any, **kwargs: Any) -> Any:
        operands = tuple(map(normal_operand, inputs))
        values = evaluation(ufunc, kwargs)(*map(value_of, operands))
        results = definition(*operands)
        if ufunc.nout == 1:
            results.value = values
        else:
            for result, value in zip(results, values, strict=True):
                result.value = value
        return results

    return recorded
