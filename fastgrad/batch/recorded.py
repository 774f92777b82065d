"""A batch inside a recording: one example is recorded, and its scalar program is replayed on all examples at once.

Every instruction becomes one operation on an array with an element for each example, so the tape around it grows with
the function and not with the batch. Where that is not possible (large arrays, examples that go different ways,
operations whose derivative is not that of their instructions, results of whole numbers) the answer is None, and the
examples are recorded one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.batch.arguments import Batch
from fastgrad.branches import SCALAR_LIMIT
from fastgrad.derivative import Derivative, RecordedInside
from fastgrad.plan.scalar_program import NO_SLOT, ScalarProgram, scalar_cost, scalar_program
from fastgrad.recording.indexing import getitem
from fastgrad.recording.recorded_array import RecordedArray, apply, concrete, copy_of, stacked

__all__ = ["all_at_once"]

Shape = tuple[int, ...]


def all_at_once(derivative: Derivative, batch: Batch) -> Any:
    """The results with the examples along the first axes, a level each, nested; None where that is not possible."""
    if batch.n < 2:
        return None
    call = derivative.bind(*batch.of_values().example(0), batch.varying)
    inner = derivative.recorded_inside(call)
    given = batch.inputs(call)
    if inner.call is not call or given is None or not _is_suitable(inner):
        return None
    program = scalar_program(inner.tape)
    if program.edge_free.any() or any(array.dtype != np.float64 for array, _ in program.captured):
        return None
    with np.errstate(all="ignore"):
        values = _replayed(program, [*given, *((value, (None,)) for value in inner.lifted)])
        if values is None:
            return None
        results = [_rows(values, slots, batch.lengths) for slots in program.outputs]
    return derivative.nesting.package(inner.branch, call, results[inner.request.n_hidden :])


def _is_suitable(inner: RecordedInside) -> bool:
    leaves = [*inner.branch.leaves, *inner.branch.aux_leaves]
    floats = all(leaf.dtype is None or leaf.dtype.kind == "f" for leaf in leaves)
    return floats and scalar_cost(inner.tape) <= SCALAR_LIMIT


def _columns(array: Any, axes: Sequence[int | None]) -> Iterator[Callable[[], Any]]:
    """For each element of an example what gives it as an array over the examples.

    Its axes are the levels, of length 1 where it is the same for all examples of one; no axes if it is that for all.
    They are views, so that what is captured is read at run time.
    """
    there = [axis for axis in axes if axis is not None]
    array = np.moveaxis(array, there, range(len(there))) if there else array
    examples = tuple(None if axis is None else slice(None) for axis in axes) if there else ()
    for element in np.ndindex(*np.shape(array)[len(there) :]):
        yield partial(_column, array, (*examples, *element))


def _column(array: Any, index: tuple[Any, ...]) -> Any:
    if type(array) is RecordedArray:
        # an output that is an operand gets a name of its own
        return copy_of(getitem(array, index) if index else array)
    if not isinstance(array, np.ndarray):
        return float(array)
    view = array[(*index, ...)]
    return view if view.dtype == np.float64 else view.astype(np.float64)


def _replayed(program: ScalarProgram, given: Sequence[tuple[Any, Sequence[int | None]]]) -> list[Any] | None:
    """The value of every slot over all examples; None where these do not all pass the guards."""
    values: list[Any] = [None] * program.n_slots
    for slot, number in zip(program.number_slots.tolist(), program.numbers.tolist(), strict=True):
        values[slot] = number
    parts: list[tuple[int, Any, Sequence[int | None]]] = [(start, array, (None,)) for array, start in program.captured]
    parts += [(start, array, axes) for start, (array, axes) in zip(program.input_starts, given, strict=True)]
    used = {*program.operands.ravel().tolist(), *program.guard_slots.tolist()}
    used.update(slot for slots in program.outputs for slot in slots.ravel().tolist())
    for start, array, axes in parts:
        for slot, column in enumerate(_columns(array, axes), start):
            if slot in used:
                values[slot] = column()
    rows = zip(program.codes.tolist(), program.operands.tolist(), program.results.tolist(), strict=True)
    for code, slots, result in rows:
        values[result] = _applied(ops.TABLE[code], tuple(values[slot] for slot in slots if slot != NO_SLOT))
    for slot, expected in zip(program.guard_slots.tolist(), program.guard_expected.tolist(), strict=True):
        if not _passes(values[slot], values[expected]):
            return None
    return values


def _applied(operation: ops.Operation, operands: tuple[Any, ...]) -> Any:
    """An operation on values as tapes have them: truth values are numbers."""
    if not any(type(operand) is RecordedArray for operand in operands):
        return np.asarray(concrete(operation)(*operands), np.float64)[()]
    result = apply(operation, operands)
    if result.value.dtype != np.float64:
        return RecordedArray(result.recorder, result.node, result.value.astype(np.float64))
    return result


def _passes(value: Any, expected: float) -> bool:
    """Whether all examples pass a guard; where they may not do so later, that becomes a guard of the recording."""
    differing = np.sum(np.not_equal(value, expected) * 1.0)
    if type(differing) is not RecordedArray:
        return bool(differing == 0.0)
    if differing.value != 0.0:
        return False
    differing.recorder.guard(differing.node, 0.0)
    return True


def _rows(values: Sequence[Any], slots: Any, lengths: Shape) -> Any:
    """The elements of a result, put together: axes of the examples, then those of one result."""
    parts = [values[slot] for slot in slots.ravel().tolist()]
    parts = [part if np.shape(part) == lengths else np.broadcast_to(part, lengths) for part in parts]
    if not parts:
        return np.zeros((*lengths, *slots.shape))
    if slots.shape == ():
        return parts[0]
    return np.reshape(np.moveaxis(stacked(parts), 0, -1), (*lengths, *slots.shape))
