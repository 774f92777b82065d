"""What a plan of arrays is made of: buffers, places within them, and steps from places to places."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from fastgrad import array_ops
from fastgrad.plan.sweep import Sweep
from fastgrad.tape import Shape

__all__ = [
    "ArrayPlan",
    "Blocks",
    "Buffer",
    "Copy",
    "Evaluation",
    "Place",
    "RowStep",
    "Segment",
    "Step",
    "Store",
    "Stretch",
    "contiguous",
    "places_of",
    "touched_by",
    "with_places",
]


@dataclass(frozen=True)
class Buffer:
    """Memory that places lie in: ``kind`` is "input", "constant", "result" (numbered) or "workspace"."""

    kind: str
    number: int
    size: int


@dataclass(frozen=True)
class Place:
    """A strided array within a buffer; offset and strides count elements."""

    buffer: int
    offset: int
    shape: Shape
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Store:
    """A row of a segment's program that goes to memory, or is added to what is there."""

    slot: int
    place: Place
    accumulate: bool


@dataclass(frozen=True)
class Stretch:
    """Neighbouring elements of a buffer."""

    buffer: int
    first: int
    count: int


@dataclass(frozen=True)
class Segment:
    """A scalar program over the index space ``shape``."""

    shape: Shape
    sweep: Sweep
    loads: tuple[tuple[int, Place], ...]
    stores: tuple[Store, ...]

    @property
    def nanoseconds(self) -> int:
        """About how long the VM takes: a tenth of a nanosecond for an instruction in a lane."""
        return self.sweep.n_instructions * math.prod(self.shape) // 10


@dataclass(frozen=True)
class Evaluation:
    """An array operation that NumPy does, from places to a place."""

    operation: array_ops.ArrayOperation
    attribute: Any
    operands: tuple[Place, ...]
    result: Place


@dataclass(frozen=True)
class Copy:
    """Move an array from one place to another."""

    source: Place
    target: Place


@dataclass(frozen=True)
class RowStep:
    """A step of ``Blocks``: which axis of each of its places (of ``places_of``) runs over the rows; None where none.

    An evaluation whose result has no rows is one whose results for all blocks are to be added up.
    """

    step: Segment | Evaluation
    axes: tuple[int | None, ...]

    @property
    def is_added_up(self) -> bool:
        return isinstance(self.step, Evaluation) and self.axes[-1] is None


@dataclass(frozen=True)
class Blocks:
    """Steps that go through the same ``n_rows`` rows, done for ``block`` of them after the other."""

    n_rows: int
    block: int
    steps: tuple[RowStep, ...]


Step = Segment | Evaluation | Copy | Blocks


def places_of(step: Segment | Evaluation) -> tuple[Place, ...]:
    """What a step reads, and then what it writes."""
    if isinstance(step, Evaluation):
        return (*step.operands, step.result)
    return (*(place for _, place in step.loads), *(store.place for store in step.stores))


def with_places(segment: Segment, moved: Callable[[Place], Place]) -> Segment:
    """The segment with each of its places moved."""
    loads = tuple((slot, moved(place)) for slot, place in segment.loads)
    return replace(segment, loads=loads, stores=tuple(replace(s, place=moved(s.place)) for s in segment.stores))


def touched_by(step: Step) -> Iterator[Place]:
    """All that a step reads or writes."""
    if isinstance(step, Blocks):
        for row_step in step.steps:
            yield from places_of(row_step.step)
    elif isinstance(step, Copy):
        yield from (step.source, step.target)
    else:
        yield from places_of(step)


@dataclass(frozen=True)
class ArrayPlan:
    """Steps in order; the parts of buffers in ``zeroed`` start as zeros."""

    buffers: tuple[Buffer, ...]
    constants: tuple[NDArray[Any], ...]
    zeroed: tuple[Stretch, ...]
    steps: tuple[Step, ...]

    @property
    def workspace_bytes(self) -> int:
        return 8 * sum(buffer.size for buffer in self.buffers if buffer.kind == "workspace")

    @property
    def flat_steps(self) -> Iterator[Segment | Evaluation | Copy]:
        """The steps, those of blocks one by one."""
        for step in self.steps:
            if isinstance(step, Blocks):
                yield from (row_step.step for row_step in step.steps)
            else:
                yield step


def contiguous(shape: Shape) -> tuple[int, ...]:
    """The strides of a contiguous array, in elements."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * max(shape[axis + 1], 1)
    return tuple(strides)
