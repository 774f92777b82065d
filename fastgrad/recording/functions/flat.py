"""``x.flat``, and assignment to elements that are counted in C order."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad.recording.functions.rearranging import tile
from fastgrad.recording.functions.registry import as_array
from fastgrad.recording.functions.shapes import ravel
from fastgrad.recording.indexing import plain_index
from fastgrad.recording.recorded_array import RecordedArray, value_of

__all__ = ["FlatIterator", "assign_flat", "recycled"]


class FlatIterator:
    """What ``x.flat`` is in NumPy: an iterator over the elements that can be indexed and assigned to."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, base: Any) -> None:
        self.base = base
        self.index = 0

    @property
    def coords(self) -> tuple[int, ...]:
        return tuple([int(k) for k in np.unravel_index(self.index, self.base.shape)])

    def __len__(self) -> int:
        return int(self.base.size)

    def __iter__(self) -> FlatIterator:
        return self

    def __next__(self) -> Any:
        if self.index >= len(self):
            raise StopIteration
        element = self.base[self.coords]
        self.index += 1
        return element

    def __getitem__(self, index: Any) -> Any:
        positions = self._positions(index)
        if positions.ndim == 0:
            return self.base[np.unravel_index(int(positions), self.base.shape)]
        return self.base.ravel()[index].copy()

    def __setitem__(self, index: Any, value: Any) -> None:
        assign_flat(self.base, self._positions(index), value)

    def copy(self) -> Any:
        return self.base.flatten()

    def _positions(self, index: Any) -> Any:
        self.index = 0  # as NumPy does
        return np.asarray(np.arange(len(self))[plain_index(index)])


def _comparing(compare: Callable[[Any, Any], Any]) -> Callable[[FlatIterator, Any], Any]:
    return lambda elements, other: compare(elements.copy(), other)


for _compare in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge):
    setattr(FlatIterator, f"__{_compare.__name__}__", _comparing(_compare))


def assign_flat(x: Any, positions: Any, values: Any) -> None:
    """Write values, repeated where there are too few of them, to places counted in C order."""
    if positions.size:
        row = recycled(values, positions.size)
        if x.ndim:
            x[np.unravel_index(positions.ravel(), x.shape)] = row
        else:
            x[...] = row[-1]


def recycled(values: Any, count: int) -> Any:
    """That many values in a row: the first ones, or all again and again."""
    row = ravel(as_array(values))
    if row.size in (0, 1, count):
        return row
    return row[:count] if row.size > count else tile(row, -(-count // row.size))[:count]


def flat_of(x: RecordedArray) -> FlatIterator:
    return FlatIterator(x)


def set_flat(x: RecordedArray, values: Any) -> None:
    """``x.flat = values``"""
    if np.size(value_of(as_array(values))):
        assign_flat(x, np.arange(x.size), values)
    elif x.size:
        raise ValueError("Error setting single item of array.")
