"""Positions found by comparing: the order of elements, extrema, places in a sorted row, and counts.

None of these results varies: they are steps, with derivative zero. What is then gathered at the positions varies, so
that a later input with another order needs no new recording. Where elements tie, the positions are those that NumPy
gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.array_ops.movement import transpose
from fastgrad.array_ops.table import ArrayOperation, Cotangents, Examples, Shape, along_axis, array_operation, require


def _no_vjp(*_: Any) -> Cotangents:
    raise AssertionError("a step is never asked for its derivative")


def _step(
    name: str,
    shape_rule: Callable[..., Shape],
    evaluate: Callable[..., Any],
    batch: Callable[[Any, Examples], Any] | None = None,
) -> ArrayOperation:
    return array_operation(name, shape_rule, evaluate, _no_vjp, piecewise_constant=True, batch=batch)


def _require_axis(axis: int, of: Shape) -> None:
    require(0 <= axis < len(of), "no such axis")


def _same_shape(attribute: tuple[int, Any], of: Shape) -> Shape:
    _require_axis(attribute[0], of)
    return of


def _argsort_shape(attribute: tuple[int, str, str], of: Shape) -> Shape:
    axis, _, dtype = attribute
    _require_axis(axis, of)
    require(np.dtype(dtype).kind in "fiub", "not a real number")
    return of


def _running_shape(attribute: tuple[int, str], of: Shape) -> Shape:
    axis, name = attribute
    _require_axis(axis, of)
    require(name in ("maximum", "minimum", "fmax", "fmin"), "no such extremum")
    return of


def _without_axis(axis: int, of: Shape) -> Shape:
    _require_axis(axis, of)
    require(of[axis] > 0, "an empty array has no extremum")
    return of[:axis] + of[axis + 1 :]


def _flat(indices: NDArray[Any], axis: int) -> NDArray[Any]:
    """Indices along an axis as positions in the flattened array."""
    if indices.ndim == 1:
        return indices
    positions = np.arange(indices.size).reshape(indices.shape)
    return np.take_along_axis(positions, indices, axis)


def _argsort(attribute: tuple[int, str, str], x: NDArray[Any]) -> NDArray[Any]:
    axis, kind, dtype = attribute
    # whole numbers and truth values are sorted as such: which of two equal ones comes first may hang on that
    return np.argsort(np.asarray(x).astype(dtype), axis, kind)  # type: ignore[arg-type]


def _sort_positions(attribute: tuple[int, tuple[int, ...]], x: NDArray[Any]) -> NDArray[Any]:
    axis, kth = attribute
    return _flat(np.argpartition(x, kth, axis) if kth else _stable_argsort(np.asarray(x), axis), axis)


def _stable_argsort(x: NDArray[Any], axis: int) -> NDArray[Any]:
    # NumPy's fastest sort takes a fifth of the time; that it may exchange equal elements (or NaN) shows afterwards
    indices = np.argsort(x, axis)
    ordered = np.moveaxis(np.take_along_axis(x, indices, axis), axis, 0)
    return indices if (ordered[1:] > ordered[:-1]).all() else np.argsort(x, axis, "stable")


def _running_extremum(attribute: tuple[int, str], x: NDArray[Any]) -> NDArray[Any]:
    axis, name = attribute
    rows = np.moveaxis(np.asarray(x), axis, 0)
    # -0.0 and 0.0 are equal, and NaN takes over once
    values = getattr(np, name).accumulate(rows)
    later, earlier = values[1:], values[:-1]
    takes_over = (later != earlier) & ~((later != later) & (earlier != earlier))
    numbers = np.arange(1, max(len(rows), 1)).reshape(-1, *[1] * (rows.ndim - 1))
    since = np.zeros(rows.shape, np.intp)
    since[1:] = np.maximum.accumulate(np.where(takes_over, numbers, 0))
    return _flat(np.moveaxis(since, 0, axis), axis)


def _bincount(length: int, x: NDArray[Any]) -> NDArray[Any]:
    return np.bincount(np.ravel(x).astype(np.intp), minlength=length)


def _lexsort_shape(axis: int, of: Shape) -> Shape:
    require(len(of) > 0, "no keys")
    _require_axis(axis, of[1:])
    return of[1:]


def _indices_batch(attribute: tuple[Any, ...], examples: Examples) -> Any:
    axis, *rest = attribute
    return examples.apply((axis + 1, *rest))


def _positions_batch(attribute: tuple[Any, ...], examples: Examples) -> Any:
    return examples.back(_indices_batch(attribute, examples), math.prod(examples.shapes[0]))


def _lexsort_batch(axis: int, examples: Examples) -> Any:
    keys = examples.operands[0]
    return lexsort(transpose(keys, attribute=(1, 0, *range(2, len(keys.shape)))), attribute=axis + 1)


def _searchsorted_batch(side: str, examples: Examples) -> Any:
    return None if examples.varies[0] else searchsorted(*examples.operands, attribute=side)


# indices along an axis; the attribute is (axis, kind of sort, dtype that the elements are shown in)
argsort = _step("argsort", _argsort_shape, _argsort, _indices_batch)
# positions in the flattened array that put it in order along an axis: (axis, places that must be right, () for all)
sort_positions = _step("sort_positions", _same_shape, _sort_positions, _positions_batch)
argmax = _step("argmax", _without_axis, lambda axis, x: np.argmax(x, axis), along_axis)
argmin = _step("argmin", _without_axis, lambda axis, x: np.argmin(x, axis), along_axis)
# positions in the flattened array of the largest (or smallest) element so far: (axis, name of the ufunc)
running_extremum = _step("running_extremum", _running_shape, _running_extremum, _positions_batch)
# the keys are the rows of the operand
lexsort = _step("lexsort", _lexsort_shape, lambda axis, keys: np.lexsort(keys, axis), _lexsort_batch)
# where the second operand belongs in the first; the attribute is "left" or "right"
searchsorted = _step(
    "searchsorted",
    lambda side, of, values: values,
    lambda side, x, values: np.searchsorted(x, values, side),
    _searchsorted_batch,
)
# how often each number below the attribute occurs
bincount = _step("bincount", lambda length, of: (length,), _bincount)
