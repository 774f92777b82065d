"""Functions that call the user's own function on parts of an array: apply_along_axis, vectorize, piecewise."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad.recording.functions.conversions import as_positions, converted
from fastgrad.recording.functions.making import whole_truth
from fastgrad.recording.functions.rearranging import take_along
from fastgrad.recording.functions.registry import as_array, axes_of, implements, reshape
from fastgrad.recording.functions.selection import where
from fastgrad.recording.functions.shapes import broadcast_to, concatenate, moveaxis, ravel, stack, transpose
from fastgrad.recording.recorded_array import RecordedArray, value_of
from fastgrad.recording.recorder import SCALAR
from fastgrad.tape import ARRAY_OPERATION

# ---- along an axis, and over axes


@implements(np.apply_along_axis)
def _apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    x = as_array(arr)
    (axis,) = axes_of(axis, x.ndim)
    rows = moveaxis(x, axis, -1)
    rest = rows.shape[:-1]
    if 0 in rest:
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    results = [as_array(func1d(rows[(*index, ...)], *args, **kwargs)) for index in np.ndindex(rest)]
    inner = results[0].shape
    joined = reshape(_stacked(results, results[0].dtype, "np.apply_along_axis"), (*rest, *inner))
    order = [*range(axis), *range(len(rest), len(rest) + len(inner)), *range(axis, len(rest))]
    return transpose(joined, order)


def _stacked(results: list[Any], dtype: Any, what: str) -> Any:
    """Results as rows of one array of this kind of number, as NumPy writes them into one."""
    rows = [broadcast_to(result, results[0].shape) for result in results]
    if not any(isinstance(row, RecordedArray) for row in rows):
        return np.stack(rows).astype(dtype)
    return converted(stack(rows), dtype, what)


@implements(np.apply_over_axes)
def _apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    x = as_array(a)
    for axis in np.ravel(axes).tolist():
        along = axis + x.ndim if axis < 0 else axis
        result = as_array(func(x, along))
        if result.ndim != x.ndim:
            result = reshape(result, np.expand_dims(np.broadcast_to(0, result.shape), along).shape)
        if result.ndim != x.ndim:
            raise ValueError("function is not returning an array of the correct shape")
        x = result
    return x


# ---- for each element


@implements(np.vectorize)
def vectorized(self: Any, *args: Any, **kwargs: Any) -> Any:
    """A call of an ``np.vectorize``: its function is called with recorded scalars, or with parts of arrays."""
    positions = [k for k in range(len(args)) if k not in self.excluded]
    names = [name for name in kwargs if name not in self.excluded]
    arrays = [as_array(args[k]) for k in positions] + [as_array(kwargs[name]) for name in names]

    def call(parts: list[Any]) -> Any:
        given = list(args)
        for k, part in zip(positions, parts, strict=False):
            given[k] = part
        return self.pyfunc(*given, **kwargs | dict(zip(names, parts[len(positions) :], strict=True)))

    core_axes, core_results = _signature(self.signature, len(arrays))
    sizes = _core_sizes(core_axes, arrays)
    loops = [x.shape[: x.ndim - len(axes)] for x, axes in zip(arrays, core_axes, strict=True)]
    shape = np.broadcast_shapes(*loops)
    if 0 in shape and self.otypes is None:
        raise ValueError("cannot call `vectorize` on size 0 inputs unless `otypes` is set")
    arrays = [broadcast_to(x, shape + x.shape[len(loop) :]) for x, loop in zip(arrays, loops, strict=True)]
    results = [call([x[index] for x in arrays]) for index in np.ndindex(shape)]
    if not results:
        empty = [
            np.empty(shape + tuple([sizes[name] for name in axes]), kind)
            for kind, axes in zip(self.otypes, core_results or [[]] * len(self.otypes), strict=True)
        ]
        return empty[0] if len(empty) == 1 else tuple(empty)
    columns = list(zip(*results, strict=True)) if isinstance(results[0], tuple) else [results]
    if core_results is not None and len(columns) != len(core_results):
        raise ValueError(f"wrong number of outputs from pyfunc: expected {len(core_results)!r}, got {len(columns)!r}")
    outputs = []
    for k, column in enumerate(columns):
        parts = [as_array(part) for part in column]
        # without otypes the first result says what kind of number all are
        kind = parts[0].dtype if self.otypes is None else self.otypes[k]
        outputs.append(reshape(_stacked(parts, kind, "np.vectorize"), shape + parts[0].shape))
    return tuple(outputs) if isinstance(results[0], tuple) else outputs[0]


def _signature(signature: str | None, n_arguments: int) -> tuple[list[list[str]], list[list[str]] | None]:
    """The names of the axes that each argument and each result has, as ``(n,m),(m)->(n)`` says."""
    if signature is None:
        return [[]] * n_arguments, None
    arguments, results = (
        [re.findall(r"\w+", axes) for axes in re.findall(r"\(([^()]*)\)", side)] for side in signature.split("->")
    )
    if len(arguments) != n_arguments:
        raise TypeError(f"wrong number of positional arguments: expected {len(arguments)!r}, got {n_arguments!r}")
    return arguments, results


def _core_sizes(core_axes: list[list[str]], arrays: list[Any]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for x, axes in zip(arrays, core_axes, strict=True):
        if x.ndim < len(axes):
            raise ValueError(
                f"{x.ndim}-dimensional argument does not have enough dimensions for all core dimensions {axes!r}"
            )
        for name, length in zip(axes, x.shape[x.ndim - len(axes) :], strict=True):
            if sizes.setdefault(name, length) != length:
                raise ValueError(f"inconsistent size for core dimension {name!r}: {length!r} vs {sizes[name]!r}")
    return sizes


# ---- by conditions


@implements(np.piecewise)
def _piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    x = as_array(x)
    conditions = [as_array(condition) for condition in _conditions(condlist, x)]
    pieces = list(funclist)
    if len(conditions) == len(pieces) - 1:
        some: Any = np.zeros(x.shape, bool)
        for condition in conditions:
            some = np.logical_or(some, condition)
        conditions.append(np.logical_not(some))
    elif len(conditions) != len(pieces):
        n = len(conditions)
        raise ValueError(f"with {n} condition(s), either {n} or {n + 1} functions are expected")
    result: Any = np.zeros(x.shape)
    for condition, piece in zip(conditions, pieces, strict=True):
        if not callable(piece) and as_array(piece).size == 1:
            result = where(condition, reshape(as_array(piece), ()), result)
            continue
        everywhere = _of_each_element(piece, x, condition, args, kw) if callable(piece) else None
        if everywhere is not None:
            result = where(condition, everywhere, result)
        else:
            result = _replaced(result, x, whole_truth(condition), piece, args, kw)
    return converted(result, x.dtype, "np.piecewise") if isinstance(result, RecordedArray) else result.astype(x.dtype)


def _conditions(condlist: Any, x: Any) -> Any:
    """The list of conditions; a single one need not be in a list."""
    if np.ndim(value_of(condlist)) == 0 and not isinstance(condlist, (list, tuple)):
        return [condlist]
    first = condlist[0]
    is_array = isinstance(first, (list, np.ndarray)) or (isinstance(first, RecordedArray) and first.ndim > 0)
    return [condlist] if not is_array and x.ndim != 0 else condlist


def _replaced(result: Any, x: Any, mask: Any, piece: Any, args: Any, kw: Any) -> Any:
    """The result with the piece where the mask is true: as many elements as there are shape what the piece is given."""
    part = x[mask]
    if not part.size:
        return result
    found = as_array(piece(part, *args, **kw) if callable(piece) else piece)
    places = as_positions(x)
    places[mask] = x.size + np.broadcast_to(as_positions(found), part.shape)
    return reshape(take_along(concatenate([ravel(result), ravel(found)]), places.ravel(), 0), x.shape)


def _of_each_element(function: Any, x: Any, condition: Any, args: Any, kw: Any) -> Any:
    """The function on all of ``x`` if it takes each element for itself, so that the condition needs no guard.

    None if that cannot be said: it may know how many elements it was given, or combine them.
    """
    if not isinstance(x, RecordedArray):
        return None
    recorder = x.recorder
    n_rows, n_guards = len(recorder.rows), len(recorder.guards)
    mask = np.asarray(value_of(condition))
    mask = mask if mask.any() else np.ones(x.shape, bool)
    chosen = np.asarray(x.value)[mask]
    halves = [slice(0, (chosen.size + 1) // 2), slice(chosen.size // 2, None)]
    try:
        # where the condition is false, the function need not be defined
        with np.errstate(all="ignore"):
            everywhere = function(x, *args, **kw)
            new_rows = recorder.rows[n_rows:]
            of_halves = [value_of(function(chosen[half], *args, **kw)) for half in halves]
    except Exception:
        return None
    finally:
        is_free = len(recorder.guards) == n_guards
        del recorder.guards[n_guards:]
    if not is_free or not isinstance(everywhere, RecordedArray) or everywhere.shape != x.shape:
        return None
    if not all(opcode < ARRAY_OPERATION or shape == SCALAR for opcode, _, shape, *_ in new_rows):
        return None
    expected = np.asarray(everywhere.value)[mask]
    same = [_same(found, expected[half]) for found, half in zip(of_halves, halves, strict=True)]
    return everywhere if all(same) else None


def _same(x: Any, y: Any) -> bool:
    return np.shape(x) in ((), y.shape) and np.allclose(x, y, rtol=1e-12, atol=0.0, equal_nan=True)
