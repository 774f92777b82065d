"""``x[index]`` on recorded values: NumPy's indexing as slices, reshapes and gathers."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastgrad import array_ops
from fastgrad.recording.recorded_array import RecordedArray, apply_array, normal_operand, stacked, value_of
from fastgrad.recording.storage import Storage
from fastgrad.tape import ARRAY_OPERATION, Shape

SCALARS = (int, np.integer)


def getitem(x: RecordedArray, index: Any) -> Any:
    """``x[index]`` for every index that NumPy takes.

    Recorded arrays of whole numbers are positions that a later input may change; single whole numbers and truth values,
    on which the shape of the result depends, are guarded.
    """
    items = tuple(map(_unwrapped, index if isinstance(index, tuple) else (index,)))
    if any(_is_positions(item) for item in items):
        return _gathered(x, items)
    items = tuple([_plain(item) for item in items])
    value = x.value[items]
    if any(isinstance(item, np.ndarray) for item in items):
        return _advanced(x, items, value)
    return _basic(x, items, value)


def along_axis(axis: int, item: Any) -> tuple[Any, ...]:
    """The index that takes ``item`` of one axis, counted from the first, and all of the others."""
    return (*(slice(None),) * axis, item)


def plain_index(index: Any) -> Any:
    """An index without recorded values; those in it are guarded."""
    return (
        tuple([_plain(_unwrapped(item)) for item in index]) if isinstance(index, tuple) else _plain(_unwrapped(index))
    )


def _unwrapped(item: Any) -> Any:
    """An array that the function has made as the recorded one that it may have become."""
    if type(item) is not np.ndarray and issubclass(type(item), np.ndarray) and hasattr(item, "recorded_form"):
        return normal_operand(item)
    return item


def _is_positions(item: Any) -> bool:
    if isinstance(item, list):
        item = stacked(item)
    return isinstance(item, RecordedArray) and item.dtype.kind in "iu" and item.ndim > 0


def _plain(item: Any) -> Any:
    """An index entry as None, Ellipsis, an int, a slice, or an array of integers or truth values."""
    if item is None or item is Ellipsis or (isinstance(item, SCALARS) and not isinstance(item, bool)):
        return item
    if isinstance(item, slice):
        return slice(*(None if part is None else operator.index(part) for part in (item.start, item.stop, item.step)))
    if isinstance(item, (list, tuple)):
        item = stacked(item)
    if isinstance(item, range):
        item = np.asarray(item, np.intp)
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


def _basic(x: RecordedArray, items: tuple[Any, ...], value: Any) -> Any:
    """A slice and a reshape."""
    if Ellipsis not in items:
        items = (*items, Ellipsis)
    n_axes = sum(1 for item in items if item is not None and item is not Ellipsis)
    where = items.index(Ellipsis)
    items = (*items[:where], *[slice(None)] * (x.ndim - n_axes), *items[where + 1 :])
    spec: list[tuple[int, int, int]] = []
    for item in items:
        if item is None:
            continue
        length = x.shape[len(spec)]
        if isinstance(item, slice):
            start, stop, step = item.indices(length)
            count = len(range(start, stop, step))
            spec.append((start if count else 0, count, step))
        else:
            spec.append((operator.index(item) % length, 1, 1))
    storage = x.storage if x.recorder.storages else None
    if storage is not None and not isinstance(value, np.ndarray):
        # an element is a view for as long as it takes to find its node
        element = x.value[(*items, Ellipsis)]
        return RecordedArray(x.recorder, _element_node(x, storage, element, tuple(spec)), value)
    return x.seen_as(value, lambda node: _sliced(x, node, tuple(spec), value.shape))


def _element_node(x: RecordedArray, storage: Storage, element: Any, spec: Any) -> int:
    if storage.is_all_newer(element, x.stamp):
        return storage.node(element, -1, 0)
    return _sliced(x, x.seen_as(x.value, lambda node: node).node, spec, ())


def _sliced(x: RecordedArray, node: int, spec: tuple[tuple[int, int, int], ...], shape: Shape) -> int:
    add = x.recorder.add
    part = tuple(count for _, count, _ in spec)
    if any(axis != (0, length, 1) for axis, length in zip(spec, x.shape, strict=True)):
        node = add(ARRAY_OPERATION + array_ops.slice_.code, (node,), part, spec)
    return node if part == shape else add(ARRAY_OPERATION + array_ops.reshape.code, (node,), shape, shape)


def _advanced(x: RecordedArray, items: tuple[Any, ...], value: Any) -> Any:
    """Integer arrays and masks: NumPy itself says which element goes where."""
    positions = np.ascontiguousarray(np.arange(x.size).reshape(x.shape)[items])
    return _laid_out(apply_array(array_ops.gather, (x, positions), None), value)


def _laid_out(result: RecordedArray, value: Any) -> RecordedArray:
    """The result with NumPy's own value, of which ravel() may be a copy: x[:, [0, 1]] is in Fortran order."""
    result.value = value
    return result


def _gathered(x: RecordedArray, items: tuple[Any, ...]) -> Any:
    """Arrays of positions that are recorded: where each element comes from is computed, so that it may change later."""
    items = tuple([stacked(item) if _is_positions(item) else _plain(item) for item in items])
    concrete = tuple([value_of(item) for item in items])
    value = x.value[concrete]  # NumPy's own errors
    shape = value.shape
    axes = dict(_axes_of_items(items, x.ndim))
    flat: Any = np.zeros(shape, np.int64)
    for axis, length in enumerate(x.shape):
        position = axes.get(axis)
        if position is None or not isinstance(items[position], RecordedArray):
            along = _ramp(x.shape, axis)[concrete]
        else:
            item: Any = items[position]
            # NumPy says which element of the index array belongs to which element of the result
            numbers = np.arange(item.size).reshape(item.shape)
            numbered = (*concrete[:position], numbers, *concrete[position + 1 :])
            places = _ramp((*x.shape[:axis], item.size, *x.shape[axis + 1 :]), axis)[numbered]
            from_start = np.where(item < 0, item + length, item)
            along = apply_array(array_ops.gather, (from_start, np.ascontiguousarray(places)), None)
        flat = flat * length + along
    return _laid_out(apply_array(array_ops.gather, (x, flat), None), value)


def _ramp(shape: Shape, axis: int) -> Any:
    """An array whose elements are their positions along an axis."""
    return np.broadcast_to(np.arange(shape[axis]).reshape(-1, *(1,) * (len(shape) - axis - 1)), shape)


def _axes_of_items(items: tuple[Any, ...], ndim: int) -> Iterator[tuple[int, int]]:
    """Each axis that an item of an index stands for, with the item's position; slices and numbers included."""
    lengths = [item.ndim if isinstance(item, np.ndarray) and item.dtype.kind == "b" else 1 for item in items]
    lengths = [0 if item is None or item is Ellipsis else n for item, n in zip(items, lengths, strict=True)]
    axis = 0
    for position, (item, n) in enumerate(zip(items, lengths, strict=True)):
        if item is Ellipsis:
            n = ndim - sum(lengths)
        yield from ((axis + k, position) for k in range(n))
        axis += n
