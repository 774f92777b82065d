"""Workspace used again: a segment writes a value over an operand that nothing reads later.

What is stored lies in lines of the cache that have been loaded, where other memory would have to be fetched first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from fastgrad.plan.array_steps import (
    ArrayPlan,
    Blocks,
    Buffer,
    Copy,
    Evaluation,
    Place,
    Segment,
    Step,
    touched_by,
    with_places,
)

__all__ = ["with_values_over_operands"]


def with_values_over_operands(plan: ArrayPlan) -> ArrayPlan:
    """The plan with fewer buffers in use: the rest of them have no elements."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for number, step in enumerate(plan.steps):
        for place in touched_by(step):
            first.setdefault(place.buffer, number)
            last[place.buffer] = number
    kept = _kept(plan)
    becomes: dict[int, int] = {}
    for number, step in enumerate(plan.steps):
        taken: set[int] = set()
        for value, operand in _pairs(step) if isinstance(step, Segment) else ():
            memory = becomes.get(operand, operand)
            if (
                not {value, memory} & kept
                and plan.buffers[value] == plan.buffers[operand]
                and first[value] == last[operand] == number
                and value not in becomes
                and memory not in taken
            ):
                becomes[value] = memory
                taken.add(memory)
    buffers = tuple(Buffer(b.kind, b.number, 0) if number in becomes else b for number, b in enumerate(plan.buffers))
    return replace(plan, buffers=buffers, steps=tuple(_renumbered(step, becomes) for step in plan.steps))


def _kept(plan: ArrayPlan) -> set[int]:
    """Buffers that are the caller's or a constant, start as zeros, or hold an array that NumPy made."""
    made = {
        step.result.buffer for step in plan.flat_steps if isinstance(step, Evaluation) and step.operation.into is None
    }
    others = {number for number, buffer in enumerate(plan.buffers) if buffer.kind != "workspace"}
    return others | made | {stretch.buffer for stretch in plan.zeroed}


def _pairs(segment: Segment) -> Iterator[tuple[int, int]]:
    """Buffers that are stored to and loaded from element by element in the same order, and in no other way."""
    n_loads = Counter(place.buffer for _, place in segment.loads)
    n_stores = Counter(store.place.buffer for store in segment.stores)
    operands: dict[Place, list[int]] = {}
    for _, place in segment.loads:
        if n_loads[place.buffer] == 1 and 0 not in place.strides:
            operands.setdefault(replace(place, buffer=0), []).append(place.buffer)
    for store in segment.stores:
        if n_stores[store.place.buffer] == 1 and not store.accumulate:
            for operand in operands.get(replace(store.place, buffer=0), ()):
                yield store.place.buffer, operand


def _renumbered(step: Step, becomes: dict[int, int]) -> Step:
    def moved(place: Place) -> Place:
        return replace(place, buffer=becomes.get(place.buffer, place.buffer))

    if isinstance(step, Blocks):
        return replace(step, steps=tuple(replace(row, step=_calculation(row.step, moved)) for row in step.steps))
    if isinstance(step, Copy):
        return replace(step, source=moved(step.source), target=moved(step.target))
    return _calculation(step, moved)


def _calculation(step: Segment | Evaluation, moved: Callable[[Place], Place]) -> Segment | Evaluation:
    if isinstance(step, Segment):
        return with_places(step, moved)
    return replace(step, operands=tuple(map(moved, step.operands)), result=moved(step.result))
