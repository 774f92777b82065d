"""Steps through the same rows of large arrays become one that takes a block of rows after the other.

A regression reads its matrix twice: for the scores, and for the gradient. In blocks of rows that stay in cache it comes
from memory once, and scores and cotangents never go there. What is added up over rows is added up block by block; the
size of a block depends on the shapes alone, so results do on nothing else either.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from fastgrad import array_ops
from fastgrad.plan.array_steps import Blocks, Copy, Evaluation, Place, RowStep, Segment, Step, places_of

__all__ = ["in_blocks_of_rows"]

# Rows that are worked on at a time: half a megabyte, and a multiple of the lanes of a tile.
BLOCK_BYTES = 1 << 19
ROW_MULTIPLE = 256
# with fewer blocks the arrays fit the cache as they are
MIN_BLOCKS = 4
# how many steps in a row are looked at in vain
PATIENCE = 32

# which axis of a product's operands and result may run over rows
_AXES_OF_A_PRODUCT: tuple[tuple[int | None, int | None, int | None], ...] = ((0, None, 0), (None, 1, 1), (1, 0, None))
# where elements of a place are, and the distance of rows: what is the same for all that go through the same rows
_Elements = tuple[int, frozenset[tuple[int, int]], int]


def in_blocks_of_rows(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps in an order that gives the same, with ``Blocks`` among them where these save memory traffic."""
    done = 0
    for first, step in enumerate(steps):
        n_rows = _rows_of_a_product(step)
        found = _Collection(n_rows, steps[first:]).result() if n_rows is not None else None
        if found is not None:
            before, blocks, after = found
            yield from (*steps[done:first], *before, blocks)
            yield from in_blocks_of_rows(after)
            return
    yield from steps[done:]


def _rows_of_a_product(step: Step) -> int | None:
    """The number of rows that a product of a large matrix gives."""
    if not isinstance(step, Evaluation) or step.operation is not array_ops.matmul or len(step.result.shape) != 2:
        return None
    n_rows = max(step.result.shape)
    large = 8 * max(math.prod(operand.shape) for operand in step.operands)
    return n_rows if n_rows >= MIN_BLOCKS * ROW_MULTIPLE and large >= BLOCK_BYTES else None


class _Collection:
    """Goes through steps, the first of which is a product, and sorts them: blocks, and what is done before or after."""

    def __init__(self, n_rows: int, steps: Sequence[Step]) -> None:
        self.n_rows = n_rows
        self.blocks: list[RowStep] = []
        self.before: list[Step] = []
        self.after: list[Step] = []
        # what blocks have written: elements by buffer; what they read; and what products of them read
        self._written: dict[int, _Elements] = {}
        self._read: set[int] = set()
        self._factors: set[int] = set()
        # the buffers that are complete after the last block, and those that steps after it read
        self._late: set[int] = set()
        self._read_late: set[int] = set()
        self._n_in_vain = 0
        for number, step in enumerate(steps):
            if self._n_in_vain >= PATIENCE:
                self.after.extend(steps[number:])
                break
            self._sort(step)

    def result(self) -> tuple[list[Step], Blocks, list[Step]] | None:
        """None where a pass over blocks reads nothing from memory less often."""
        reads = [place.buffer for row_step in self.blocks for place in self._matrices(row_step)]
        if len(set(reads)) == len(reads):
            return None
        of_row = {
            place.buffer: math.prod(place.shape) // self.n_rows
            for row_step in self.blocks
            for place, axis in zip(places_of(row_step.step), row_step.axes, strict=True)
            if axis is not None and place.strides[axis] != 0
        }
        block = BLOCK_BYTES // (8 * sum(of_row.values())) // ROW_MULTIPLE * ROW_MULTIPLE
        if block == 0 or self.n_rows < MIN_BLOCKS * block:
            return None
        return self.before, Blocks(self.n_rows, block, tuple(self.blocks)), self.after

    def _matrices(self, row_step: RowStep) -> Iterator[Place]:
        """Operands of a product that have rows and are there before."""
        if isinstance(row_step.step, Evaluation):
            for place, axis in zip(row_step.step.operands, row_step.axes, strict=False):
                if axis is not None and place.buffer not in self._written:
                    yield place

    def _sort(self, step: Step) -> None:
        reads, writes = _buffers(step)
        is_late = bool((reads | writes) & self._late or writes & self._read_late)
        joined = None if is_late or isinstance(step, (Copy, Blocks)) else self._joined(step)
        if joined is not None:
            self.blocks.append(joined)
            self._n_in_vain = 0
            return
        self._n_in_vain += 1
        if is_late or (reads | writes) & set(self._written) or writes & self._read:
            self.after.append(step)
            self._late |= writes
            self._read_late |= reads
        else:
            self.before.append(step)

    def _joined(self, step: Segment | Evaluation) -> RowStep | None:
        """The step as one of the blocks' where it can be, and has something to do with them."""
        reads, _ = _buffers(step)
        is_product = isinstance(step, Evaluation)
        if self.blocks and not reads & set(self._written) and not (is_product and reads & self._factors):
            return None
        for axes in self._possible_axes(step):
            written = self._fits(step, axes)
            if written is not None:
                self._written |= {buffer: elements for buffer, elements in written.items() if elements is not None}
                self._late |= {buffer for buffer, elements in written.items() if elements is None}
                self._read |= reads
                self._factors |= reads if is_product else set()
                return RowStep(step, axes)
        return None

    def _possible_axes(self, step: Segment | Evaluation) -> Iterator[tuple[int | None, ...]]:
        if isinstance(step, Segment):
            if step.sweep.n_guards == 0 and self.n_rows in step.shape:
                yield (step.shape.index(self.n_rows),) * len(places_of(step))
        elif step.operation is array_ops.matmul and len(step.result.shape) == 2:
            for axes in _AXES_OF_A_PRODUCT:
                pairs = zip(places_of(step), axes, strict=True)
                if all(axis is None or place.shape[axis] == self.n_rows for place, axis in pairs):
                    yield axes

    def _fits(self, step: Segment | Evaluation, axes: tuple[int | None, ...]) -> dict[int, _Elements | None] | None:
        """What the step writes: elements of each buffer, None where they are complete after the last block.

        None for a step that reads other rows of what blocks write, or that writes to the same rows in another way.
        """
        places = places_of(step)
        n_read = len(step.operands) if isinstance(step, Evaluation) else len(step.loads)
        found: dict[int, _Elements | None] = {}
        for number, (place, axis) in enumerate(zip(places, axes, strict=True)):
            has_rows = axis is not None and place.strides[axis] != 0
            elements = _elements(place, axis) if axis is not None and has_rows else None
            before = self._written.get(place.buffer)
            if number < n_read:
                if before is not None and before != elements:
                    return None
                continue
            is_same = (before or found.get(place.buffer, elements)) == elements
            is_sum = isinstance(step, Evaluation) or step.stores[number - n_read].accumulate
            if place.buffer in self._read or not is_same or (elements is None and not is_sum):
                return None
            found[place.buffer] = elements
        reads, writes = _buffers(step)
        return None if reads & writes else found


def _buffers(step: Step) -> tuple[set[int], set[int]]:
    """The buffers that a step reads, and those that it writes."""
    if isinstance(step, Copy):
        return {step.source.buffer}, {step.target.buffer}
    if isinstance(step, Blocks):
        pairs = [_buffers(row_step.step) for row_step in step.steps]
        return set().union(*(reads for reads, _ in pairs)), set().union(*(writes for _, writes in pairs))
    if isinstance(step, Evaluation):
        return {place.buffer for place in step.operands}, {step.result.buffer}
    return {place.buffer for _, place in step.loads}, {store.place.buffer for store in step.stores}


def _elements(place: Place, axis: int) -> _Elements:
    axes = frozenset(
        (length, stride) for length, stride in zip(place.shape, place.strides, strict=True) if length > 1 and stride
    )
    return place.offset, axes, place.strides[axis]
