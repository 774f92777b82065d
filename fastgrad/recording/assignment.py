"""``x[index] = value`` on recorded arrays, and everything that writes in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import ops
from fastgrad.errors import LostDerivativeError, UnsupportedError, located
from fastgrad.recording.indexing import plain_index
from fastgrad.recording.recorded_array import RecordedArray, apply, node_of, normal_operand, value_of
from fastgrad.recording.recorder import Recorder, innermost_recorder
from fastgrad.recording.source import user_line
from fastgrad.recording.storage import Piece, Storage, root_of

__all__ = ["setitem", "update_at"]


def setitem(x: RecordedArray, index: Any, value: Any) -> None:
    """``x[index] = value``, seen by every array that shares the memory.

    Raises LostDerivativeError where the array's dtype would drop a derivative, UnsupportedError for an array of an
    enclosing recording, and NumPy's own errors.
    """
    if not isinstance(x.value, np.ndarray):
        raise TypeError(f"{type(x.value).__name__!r} object does not support item assignment")
    value = normal_operand(value)
    if _is_mask_of(index, x) and np.size(value_of(value)) == 1:
        # a choice for each element, which needs no guard on the mask
        mask = np.reshape(index, index.shape + (1,) * (x.ndim - index.ndim))
        index, value = Ellipsis, apply(ops.where, (mask, np.reshape(value, ()), x))
    _refuse_lost(x, value)
    recorder = x.recorder
    if innermost_recorder() is not recorder:
        len(recorder.rows)  # refuses a value whose recording has ended
        raise UnsupportedError(
            located(
                "an inner differentiated function changed an array of an enclosing one in place, which is not repeated "
                "when the inner recording is used again",
                user_line(),
                "Make the array inside the inner function, or return the new values from it.",
            )
        )
    index = plain_index(index)
    if isinstance(value, RecordedArray) and x.dtype.kind == "b" and x.storage is not None and x.storage.below:
        value = _guarded(value)
    node = node_of(recorder, value)
    x.value[index] = value_of(value)
    if not isinstance(value, RecordedArray):
        node = _converted(recorder, node, np.asarray(value), x.dtype)
    storage_of(x).write(x.value, index, Piece(node, np.shape(value_of(value))))


def _guarded(value: Any) -> Any:
    """Truth values that the recording depends on: code that knows no protocol may see them."""
    concrete = value.value.copy()
    bool(np.all(value == concrete))
    return concrete


def _converted(recorder: Recorder, node: int, value: NDArray[Any], dtype: np.dtype[Any]) -> int:
    """A plain value as an array of that dtype holds it: fractions are cut off, truth values are 0 or 1."""
    if dtype.kind in "iu" and value.dtype.kind == "f":
        return recorder.add(ops.trunc.code, (node,), value.shape)
    if dtype.kind == "b" and value.dtype.kind != "b":
        return recorder.add(ops.not_equal.code, (node, recorder.scalar(0.0)), value.shape)
    return node


def _is_mask_of(index: Any, x: RecordedArray) -> bool:
    return (
        isinstance(index, RecordedArray)
        and index.dtype.kind == "b"
        and index.ndim > 0
        and index.shape == x.shape[: index.ndim]
    )


def _refuse_lost(x: RecordedArray, value: Any) -> None:
    given = value.dtype if isinstance(value, RecordedArray) else None
    if given is not None and given.kind == "f" and x.dtype.kind != "f":
        raise LostDerivativeError(
            located(
                f"a recorded value was to be written into an array of {x.dtype}, which would drop its derivative",
                user_line(),
                "Make the array one of floats: np.zeros(n), or .astype(float).",
            )
        )
    if given is not None and given.kind in "iu" and x.dtype.kind == "b":
        raise UnsupportedError(
            located("recorded whole numbers cannot be written into an array of bool", user_line(), "Write y != 0.")
        )


def storage_of(x: RecordedArray) -> Storage:
    """The notes on the memory of ``x``, made at the first write into it."""
    recorder = x.recorder
    root = root_of(x.value)
    storage = recorder.storages.get(id(root))
    if storage is None:
        if not _is_without_gaps(root) or root.dtype != x.dtype:
            raise UnsupportedError(
                located(
                    "assignment into an array that is a view of other memory cannot be recorded",
                    user_line(),
                    "Write into a copy of it.",
                )
            )
        storage = recorder.storages[id(root)] = Storage(recorder, root)
    return storage


def _is_without_gaps(root: NDArray[Any]) -> bool:
    """Whether a copy that keeps the order of the axes, as the notes on the elements are, has the same strides."""
    contiguous: bool = root.flags.c_contiguous or root.flags.f_contiguous
    return contiguous or np.empty_like(root, subok=False).strides == root.strides


def update_at(ufunc: np.ufunc, x: RecordedArray, indices: Any, *operands: Any) -> None:
    """``ufunc.at``: elements that are named several times are changed several times, one after the other."""
    compute: Callable[..., Any] = ufunc
    positions = np.arange(x.size).reshape(x.shape)[plain_index(indices)]
    flat = positions.ravel()
    given = [np.broadcast_to(operand, positions.shape).reshape(-1) for operand in operands]
    pending = np.arange(flat.size)
    while pending.size:
        _, first = np.unique(flat[pending], return_index=True)
        now = pending[first]
        where = np.unravel_index(flat[now], x.shape)
        array: Any = x
        array[where] = compute(array[where], *(operand[now] for operand in given))
        pending = np.delete(pending, first)
