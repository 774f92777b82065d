"""Sets: the distinct elements of arrays, and what two arrays have in common.

How many elements a result has is guarded; which ones they are is not. Of equal elements the first one takes the
derivative, and of two arrays the element of the first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgrad import array_ops
from fastgrad.recording.functions.by_numpy import by_numpy, checked_by
from fastgrad.recording.functions.choosing import chosen, positions_where
from fastgrad.recording.functions.order import gathered, sorted_positions
from fastgrad.recording.functions.registry import as_array, axes_of, implements
from fastgrad.recording.functions.shapes import ravel
from fastgrad.recording.recorded_array import RecordedArray, apply_array


class _Distinct:
    """The distinct elements of a row (or distinct rows of a matrix), in order."""

    def __init__(self, rows: Any, equal_nan: bool) -> None:
        self.rows = rows
        self.n = len(rows)
        self.order = _order(rows)
        ordered = _taken(rows, self.order)
        later, earlier = ordered[1:], ordered[:-1]
        differs = np.not_equal(later, earlier)
        if equal_nan and rows.ndim == 1 and rows.dtype.kind == "f":
            differs = differs & ~(np.isnan(later) & np.isnan(earlier))
        if rows.ndim > 1:
            differs = np.any(differs, 1)
        # whether an element is the first one of its kind in the order
        self.first = np.concatenate([np.ones(min(self.n, 1), bool), differs])
        self.starts = positions_where(self.first)

    def index(self) -> Any:
        return gathered(self.order, self.starts)

    def values(self) -> Any:
        return _taken(self.rows, self.index())

    def inverse(self) -> Any:
        number = np.cumsum(self.first) - 1
        return gathered(number, np.argsort(self.order, kind="stable"))

    def counts(self) -> Any:
        return np.diff(np.concatenate([self.starts, [self.n]]))


def _order(rows: Any) -> Any:
    if rows.ndim == 1:
        return sorted_positions(rows, 0)
    # the first column counts most, which lexsort wants last
    return apply_array(array_ops.lexsort, (np.transpose(rows)[::-1],), 0)


def _taken(rows: Any, numbers: Any) -> Any:
    """Rows (or elements) by their numbers."""
    if rows.ndim == 1:
        return gathered(rows, numbers)
    width = rows.shape[1]
    return gathered(rows, np.reshape(numbers, (-1, 1)) * width + np.arange(width))


def _unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: Any = None,
    *, equal_nan: bool = True, sorted: bool = True,
) -> Any:  # fmt: skip
    x = as_array(ar)
    if axis is None:
        found = _Distinct(ravel(x), equal_nan)
        values = found.values()
    else:
        (axis,) = axes_of(axis, x.ndim)
        moved = np.moveaxis(x, axis, 0)
        found = _Distinct(np.reshape(moved, (len(moved), -1)), equal_nan)
        values = found.values()
        values = np.moveaxis(np.reshape(values, (len(values), *moved.shape[1:])), 0, axis)
    results = [values]
    if return_index:
        results.append(found.index())
    if return_inverse:
        results.append(np.reshape(found.inverse(), x.shape) if axis is None else found.inverse())
    if return_counts:
        results.append(found.counts())
    return tuple(results) if len(results) > 1 else values


_checked_unique = checked_by(np.unique, _unique)


@implements(np.unique)
def unique(*args: Any, sorted: bool = True, **kwargs: Any) -> Any:
    """``np.unique``; without ``sorted`` NumPy may give any order, and here it is the sorted one."""
    return _checked_unique(*args, **kwargs)


@implements(np.unique_values)
def _unique_values(x: Any) -> Any:
    return unique(x, equal_nan=False)


@by_numpy(np.unique_counts)
def _unique_counts(x: Any) -> Any:
    return _unique(x, return_counts=True, equal_nan=False)


@by_numpy(np.unique_inverse)
def _unique_inverse(x: Any) -> Any:
    return _unique(x, return_inverse=True, equal_nan=False)


@by_numpy(np.unique_all)
def _unique_all(x: Any) -> Any:
    return _unique(x, True, True, True, equal_nan=False)


# ---- two arrays


@by_numpy(np.isin)
def isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: Any = None
) -> Any:
    x, others = as_array(element), ravel(test_elements)
    if others.size == 0:
        return np.full(x.shape, invert)
    row = np.sort(others)
    places = np.clip(np.searchsorted(row, x), 0, len(row) - 1)
    found = gathered(row, places)
    return np.not_equal(found, x) if invert else np.equal(found, x)


@by_numpy(np.union1d)
def _union1d(ar1: Any, ar2: Any) -> Any:
    return _unique(np.concatenate([ravel(ar1), ravel(ar2)]))


def _as_set(ar: Any, assume_unique: bool) -> tuple[Any, Any]:
    """The elements of a set and their positions in the array."""
    x = ravel(ar)
    if assume_unique:
        return x, np.arange(len(x))
    if not isinstance(x, RecordedArray):
        return np.unique(x, return_index=True)
    found = _Distinct(x, equal_nan=True)
    return found.values(), found.index()


@by_numpy(np.intersect1d)
def _intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    (x, of_x), (y, of_y) = _as_set(ar1, assume_unique), _as_set(ar2, assume_unique)
    both = np.concatenate([x, y])
    order = sorted_positions(both, 0)
    ordered = gathered(both, order)
    common = positions_where(np.equal(ordered[1:], ordered[:-1]))
    positions = gathered(order, common)
    values = gathered(both, positions)
    if not return_indices:
        return values
    return values, gathered(of_x, positions), gathered(of_y, gathered(order, common + 1) - len(x))


@by_numpy(np.setxor1d)
def _setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    both = np.concatenate([_as_set(ar1, assume_unique)[0], _as_set(ar2, assume_unique)[0]])
    ordered = np.sort(both)
    end = np.ones(min(len(both), 1), bool)
    differs = np.not_equal(ordered[1:], ordered[:-1])
    alone = np.concatenate([end, differs]) & np.concatenate([differs, end])
    return chosen(ordered, alone)


@by_numpy(np.setdiff1d)
def _setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    x = _as_set(ar1, assume_unique)[0]
    return chosen(x, isin(x, ar2, invert=True))
