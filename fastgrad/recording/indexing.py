"""``x[index]`` on recorded values: NumPy's indexing as slices, reshapes and gathers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fastgrad import array_ops
from fastgrad.recording.recorded_array import RecordedArray, apply_array, stacked

SCALARS = (int, np.integer)


def getitem(x: RecordedArray, index: Any) -> Any:
    """``x[index]`` for every index that NumPy takes; recorded whole numbers in it are guarded."""
    items = [_plain(item) for item in (index if isinstance(index, tuple) else (index,))]
    if any(isinstance(item, np.ndarray) for item in items):
        return _advanced(x, tuple(items))
    return _basic(x, items)


def _plain(item: Any) -> Any:
    """An index entry as None, Ellipsis, an int, a slice, or an array of integers or truth values."""
    if item is None or item is Ellipsis or (isinstance(item, SCALARS) and not isinstance(item, bool)):
        return item
    if isinstance(item, slice):
        return slice(*(None if part is None else operator.index(part) for part in (item.start, item.stop, item.step)))
    if isinstance(item, (list, tuple)):
        item = stacked(item)
    if isinstance(item, RecordedArray):
        return _guarded_array(item)
    if isinstance(item, (bool, np.bool_, np.ndarray)):
        array = np.asarray(item)
        return array.astype(np.intp) if array.size == 0 and array.dtype.kind == "f" else array
    return operator.index(item)


def _guarded_array(item: RecordedArray) -> Any:
    """The concrete value of a recorded index; each element is guarded, since the result depends on all of them."""
    if item.shape == ():
        return bool(item) if item.dtype.kind == "b" else operator.index(item)
    array: Any = item
    for element in array.ravel():
        bool(element) if item.dtype.kind == "b" else operator.index(element)
    return np.asarray(item.value)


def _basic(x: RecordedArray, items: list[Any]) -> Any:
    if Ellipsis not in items:
        items = [*items, Ellipsis]
    n_axes = sum(1 for item in items if item is not None and item is not Ellipsis)
    if n_axes > x.ndim:
        x.value[tuple(items)]  # raises NumPy's own IndexError
    where = items.index(Ellipsis)
    if Ellipsis in items[where + 1 :]:
        raise IndexError("an index can only have a single ellipsis ('...')")
    items[where : where + 1] = [slice(None)] * (x.ndim - n_axes)
    spec: list[tuple[int, int, int]] = []
    shape: list[int] = []
    for item in items:
        if item is None:
            shape.append(1)
            continue
        length = x.shape[len(spec)]
        if isinstance(item, slice):
            start, stop, step = item.indices(length)
            count = len(range(start, stop, step))
            spec.append((start if count else 0, count, step))
            shape.append(count)
        else:
            position = operator.index(item)
            if not -length <= position < length:
                raise IndexError(f"index {position} is out of bounds for axis {len(spec)} with size {length}")
            spec.append((position % length, 1, 1))
    if any(axis != (0, length, 1) for axis, length in zip(spec, x.shape, strict=True)):
        x = apply_array(array_ops.slice_, (x,), tuple(spec))
    return x if x.shape == tuple(shape) else apply_array(array_ops.reshape, (x,), tuple(shape))


def _advanced(x: RecordedArray, items: tuple[Any, ...]) -> Any:
    """Integer arrays and masks: NumPy itself says which element goes where."""
    positions = np.arange(x.size).reshape(x.shape)[items]
    return apply_array(array_ops.gather, (x, positions), None)
