"""Calls of a batch like one before, answered with as little Python as it takes.

A call through ``run`` takes some 200 us of Python: structures, signatures, branches, outputs. Where arguments are plain
(each a float64 array or a float, passed by position) and all examples of a call went through one branch that had been
recorded before, that call is kept as a *plan*, and calls that it fits go from the checks of their arguments straight to
the executor. Whatever does not fit goes the long way, so there is one meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.batch.outputs import Frame
from fastgrad.batch.plain import Given
from fastgrad.branches import Branch
from fastgrad.recording.captured import Place, Surroundings, is_told_by_identity
from fastgrad.recording.structures import Structure, flatten
from fastgrad.vm.addresses import address_of
from fastgrad.vm.batch_executor import BatchExecutor
from fastgrad.vm.example_loop import ExampleLoop
from fastgrad.vm.memory import allocate_together, is_plain

__all__ = ["MISSED", "Plan", "Plans", "plan_for"]

Floats = NDArray[np.float64]
Shape = tuple[int, ...]
MAX_PLANS = 8
# what a plan answers for a call that it does not fit
MISSED = object()


@dataclass(frozen=True)
class Plan:
    """One branch for plain arguments of these shapes."""

    given: tuple[Given, ...]
    branch: Branch
    places: list[Place]
    values: list[Any]
    reads: tuple[tuple[Callable[[], Any], Any], ...]
    executor: BatchExecutor | ExampleLoop
    guarded: bool
    shapes: tuple[Shape, ...]
    # for each leaf of the result: the number of the array and its axis of examples, or (None, the leaf)
    leaves: tuple[tuple[int | None, Any], ...]
    structure: Structure

    def answer(self, args: tuple[Any, ...], surroundings: Surroundings, n_threads: int, out: Any = None) -> Any:
        """The results, in the arrays of ``out`` if that is given; MISSED where the call goes another way."""
        n = -1
        if len(args) != len(self.given) or surroundings.places is not self.places:
            return MISSED
        for given, value in zip(self.given, args, strict=True):
            if not given.fits(value):
                return MISSED
            if given.axis is not None:
                length = value.shape[given.axis]
                if n not in (-1, length):
                    return MISSED  # which says what is wrong
                n = length
        if n < 1 or not all(read() is value for read, value in self.reads):
            return MISSED
        inputs = [given.rows(value) for given, value in zip(self.given, args, strict=True)]
        if out is None:
            results = allocate_together([(n, *shape) for shape in self.shapes])
        else:
            given_results = self._results_in(out, n, [rows for rows, _ in inputs])
            if given_results is None:
                return MISSED
            results = given_results
        failed = np.empty(n, np.int64) if self.guarded else None
        self.executor(n, inputs, [], results, n_threads, failed)
        if failed is not None and failed.max() >= 0:
            return MISSED
        return out if out is not None else self.nested(results)

    def nested(self, results: Sequence[Any]) -> Any:
        """Results with the examples first, as the caller gets them."""
        return self.structure.unflatten([_leaf(results, *leaf) for leaf in self.leaves])

    def _results_in(self, out: Any, n: int, inputs: Sequence[Floats]) -> list[Floats] | None:
        """The arrays of ``out`` with their axis of examples first; None where they need a closer look."""
        targets, structure = flatten(out)
        captured = _captured_by(self.executor)
        if structure != self.structure or captured is None or len(targets) != len(self.shapes):
            return None
        results: list[Any] = [None] * len(targets)
        for target, (number, axis) in zip(targets, self.leaves, strict=True):
            if number is None or type(target) is not np.ndarray or not is_plain(target):
                return None
            if not target.flags.writeable:
                return None
            shape = self.shapes[number]
            if target.shape != (*shape[:axis], n, *shape[axis:]):
                return None
            results[number] = target if axis == 0 else np.moveaxis(target, axis, 0)
        # in memory each after the other: whatever begins before the last one has ended is looked at closely
        read = [array for array in (*inputs, *captured) if array.size]
        if any(result is None for result in results) or not all(map(is_plain, read)):
            return None
        spans = sorted(
            (*((address_of(a), a.nbytes, False) for a in read), *((address_of(t), t.nbytes, True) for t in targets))
        )
        end, written_end = 0, 0
        for start, size, is_written in spans:
            if start < (end if is_written else written_end):
                return None
            end = max(end, start + size)
            written_end = max(written_end, start + size) if is_written else written_end
        return results


def _captured_by(executor: Any) -> list[NDArray[Any]] | None:
    """The arrays that an executor reads besides its arguments; None where it does not say."""
    sweep = getattr(executor, "sweep", None)
    return None if sweep is None else [array for array, _ in sweep.captured]


def _leaf(results: Sequence[Floats], number: int | None, axis: Any) -> Any:
    if number is None:
        return axis
    return results[number] if axis == 0 else np.moveaxis(results[number], 0, axis)


class Plans:
    """The plans of one function over batches, the one used last first; safe in several threads."""

    def __init__(self) -> None:
        self._plans: tuple[Plan, ...] = ()

    def __contains__(self, plan: Plan) -> bool:
        return any(plan is known for known in self._plans)

    def answer(
        self, args: tuple[Any, ...], surroundings: Surroundings, n_threads: int, out: Any = None
    ) -> tuple[Any, Plan | None]:
        """The results and the plan that they come from; MISSED and None where none fits."""
        plans = self._plans
        for plan in plans:
            result = plan.answer(args, surroundings, n_threads, out)
            if result is not MISSED:
                if plan is not plans[0]:
                    self._plans = (plan, *(other for other in plans if other is not plan))
                return result, plan
        return MISSED, None

    def add(self, plan: Plan) -> None:
        """Keep a plan, in place of another for the same arguments, whose examples go more than one way."""
        self._plans = (plan, *(other for other in self._plans if other.given != plan.given))[:MAX_PLANS]

    def drop(self, given: tuple[Given, ...]) -> None:
        """Forget what was kept for such arguments."""
        self._plans = tuple(plan for plan in self._plans if plan.given != given)


def plan_for(
    frame: Frame,
    branch: Branch,
    executor: BatchExecutor | ExampleLoop,
    shapes: Sequence[Shape],
    given: tuple[Given, ...],
    surroundings: Surroundings,
    snapshot: tuple[list[Place], list[Any]],
) -> Plan | None:
    """A plan for calls like this one; None where results or surroundings are not plain."""
    places, values = snapshot
    if surroundings.places is not places or not all(map(is_told_by_identity, values)):
        return None  # a recording looks for the places anew
    if any(place.read() is not value for place, value in zip(places, values, strict=True)):
        return None
    leaves = flatten(frame.nesting.package(branch, frame.call, [np.empty((0, *shape)) for shape in shapes]))[0]
    slots, structure = frame.slots(branch, len(shapes))
    axes = frame.leaf_axes(structure, len(leaves))
    found: list[tuple[int | None, Any]] = []
    for slot, leaf, of_leaf in zip(slots, leaves, axes, strict=True):
        if slot is not None and (leaf.dtype != np.float64 or of_leaf[0] is None):
            return None
        found.append((slot, leaf if slot is None else of_leaf[0]))
    reads = tuple((place.read, value) for place, value in zip(places, values, strict=True) if place.kind != "fixed")
    guarded = len(branch.tape.guard_nodes) > 0
    return Plan(given, branch, places, values, reads, executor, guarded, tuple(shapes), tuple(found), structure)
