"""Runs steps through the same rows for one block of rows after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.plan.array_steps import Blocks, Place, RowStep, Segment, places_of, with_places
from fastgrad.vm.segment_call import SegmentCall

__all__ = ["BlockSteps"]

_Index = tuple[slice, ...]


class BlockSteps:
    """``Blocks``, ready to run on buffers at ``addresses``; a call returns -1, since they have no guards.

    ``arrays`` gives a list with the arrays at places, which it keeps up to date.
    """

    def __init__(
        self,
        blocks: Blocks,
        addresses: NDArray[np.int64],
        arrays: Callable[[Sequence[Place]], list[NDArray[Any]]],
    ) -> None:
        self._blocks, self._addresses, self._arrays = blocks, addresses, arrays
        starts = range(0, blocks.n_rows, blocks.block)
        self._rows = [slice(start, min(start + blocks.block, blocks.n_rows)) for start in starts]
        # a segment's places in one buffer move by the same number of bytes from block to block, or do not move
        pairs = [
            (place.buffer, _stride(place, axis))
            for row_step in blocks.steps
            if isinstance(row_step.step, Segment)
            for place, axis in zip(places_of(row_step.step), row_step.axes, strict=True)
        ]
        self._numbers = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
        self._buffers = np.array([buffer for buffer, _ in self._numbers], np.int64)
        strides = np.array([stride for _, stride in self._numbers], np.int64)
        self._moves = list(8 * np.outer(starts, strides))
        self._moved = np.zeros(len(self._numbers), np.int64)
        self.calls: list[SegmentCall] = []
        whole = list(self._steps(blocks.block))
        n_last = self._rows[-1].stop - self._rows[-1].start
        last = whole if n_last == blocks.block else list(self._steps(n_last))
        self._runs = [whole] * (len(starts) - 1) + [last]

    def __call__(self) -> int:
        first = self._addresses[self._buffers]
        for number, (moves, steps) in enumerate(zip(self._moves, self._runs, strict=True)):
            np.add(first, moves, out=self._moved)
            for step in steps:
                step(number)
        return -1

    def _steps(self, n_rows: int) -> Iterator[Callable[[int], Any]]:
        """The steps for a block of so many rows; each takes the number of the block."""
        for is_segment, group in groupby(self._blocks.steps, lambda row_step: isinstance(row_step.step, Segment)):
            if is_segment:
                call = SegmentCall([self._segment(row_step, n_rows) for row_step in group], (), self._moved)
                self.calls.append(call)
                yield _ignoring_the_number(call)
            else:
                yield from (self._product(row_step) for row_step in group)

    def _segment(self, row_step: RowStep, n_rows: int) -> Segment:
        """A segment over a block's rows, its buffers numbered as those that move are."""
        segment, axis = row_step.step, row_step.axes[0]
        assert isinstance(segment, Segment)
        assert axis is not None
        shape = (*segment.shape[:axis], n_rows, *segment.shape[axis + 1 :])

        def moved(place: Place) -> Place:
            return replace(place, buffer=self._numbers[place.buffer, _stride(place, axis)], shape=shape)

        return replace(with_places(segment, moved), shape=shape)

    def _product(self, row_step: RowStep) -> Callable[[int], None]:
        step = row_step.step
        assert not isinstance(step, Segment)
        into, attribute = step.operation.into, step.attribute
        assert into is not None
        arrays = self._arrays(places_of(step))
        indices = [[_index(axis, rows) for axis in row_step.axes] for rows in self._rows]
        part = np.empty(step.result.shape)

        def run(number: int) -> None:
            x, y, result = (array[index] for array, index in zip(arrays, indices[number], strict=True))
            if row_step.is_added_up and number:
                into(attribute, part, x, y)
                np.add(result, part, out=result)
            else:
                into(attribute, result, x, y)

        return run


def _ignoring_the_number(call: SegmentCall) -> Callable[[int], int]:
    return lambda _: call()


def _stride(place: Place, axis: int | None) -> int:
    return 0 if axis is None else place.strides[axis]


def _index(axis: int | None, rows: slice) -> _Index:
    return () if axis is None else (*(slice(None),) * axis, rows)
