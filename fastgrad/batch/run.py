"""One call of a batch: block by block where something must be converted, and every example through its own branch.

One example is recorded; the batch runs through its tape. Examples whose guards fail went another way through the
function's control flow: those that failed at the same guard are gathered and run through the recorded branches that go
another way there, and where none fits one of them is recorded, until every example has its result. So each branch runs
at full speed on the examples that belong to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.batch.arguments import Batch
from fastgrad.batch.outputs import CallersArrays, Frame, OwnArrays, to_be_converted
from fastgrad.batch.plain import Given
from fastgrad.batch.repeated import Plan, plan_for
from fastgrad.branch_choice import Trial
from fastgrad.branches import Branch, OutputLeaf
from fastgrad.calls import Call
from fastgrad.derivative import Derivative
from fastgrad.errors import InputError
from fastgrad.plan.request import result_shapes
from fastgrad.vm.memory import allocate_together

__all__ = ["OTHER_NESTING", "Run", "differing_data"]

Floats = NDArray[np.float64]
Shape = tuple[int, ...]
# Bytes of converted inputs and results in one block: they stay in the cache while the kernels run on them.
BLOCK_BYTES = 1 << 20
MIN_BLOCK = 1 << 10
# Examples run at once where they may go several ways, since those are gathered and their results put back: a mixture of
# four ways takes 52 ns an example, 65 in one piece of 100,000.
MIXED_BLOCK = 1 << 16
# guards up to which looking for each one's examples by itself is quicker than sorting
FEW_GUARDS = 10

OTHER_NESTING = (
    "vmap needs results nested alike for all examples; this function nests them differently on different branches. "
    "Return the same keys and lengths on all of them."
)


@dataclass(frozen=True)
class _Group:
    """Examples (None: all) that failed alike, and the branches that may still fit them."""

    trial: Trial
    examples: NDArray[np.intp] | None


class Run:
    """One batched call: which examples still have no result, and the arrays that the results go to."""

    def __init__(
        self,
        derivative: Derivative,
        batch: Batch,
        out_axes: tuple[Any, ...],
        n_threads: int,
        out: Any,
        static_data: bool = False,
    ) -> None:
        """With ``static_data`` what neither varies nor is differentiated is taken as it is, as part of the function."""
        self.derivative = derivative
        self.recordings = derivative.recordings
        self.batch = batch
        self.n_threads = n_threads
        self.out = out
        self.has_static_data = False
        self.call = self.example(0)
        surroundings = self.recordings.surroundings
        self.snapshot = surroundings.snapshot()
        fingerprint = surroundings.fingerprint(self.snapshot[1])
        self.signature = (self.call.signature(), fingerprint)
        if static_data or not self.recordings.branches(self.signature):
            static = self.call.with_static_data(batch.varying)
            signature = (static.signature(), fingerprint)
            # as for single calls, data that could not be recorded is part of the signature
            self.has_static_data = len(static.inputs) < len(self.call.inputs) and (
                static_data or bool(self.recordings.branches(signature))
            )
            if self.has_static_data:
                self.call, self.signature = static, signature
        self.frame = Frame(derivative.nesting, self.call, batch.lengths, out_axes)
        self.rows = batch.rows(self.call)
        self.outputs: OwnArrays | CallersArrays | None = None
        # of all branches that examples went through, with leaves that hold the results of any
        self.branch: Branch | None = None
        self.n_passed: dict[Branch, int] = {}
        self._executors: dict[Branch, tuple[Any, tuple[Shape, ...]]] = {}

    def example(self, index: int) -> Call:
        """The call of one example."""
        call = self.derivative.bind(*self.batch.example(index), self.batch.varying)
        return call.with_static_data(self.batch.varying) if self.has_static_data else call

    def result(self) -> Any:
        """Run every example."""
        self.recordings.watch.called()
        size = self._block_size()
        for start in range(0, max(self.batch.n, 1), size):
            _Block(self, start, min(start + size, self.batch.n)).run()
        used = [branch for branch in self.recordings.branches(self.signature) if branch in self.n_passed]
        self.recordings.remember(self.signature, sorted(used, key=self.n_passed.__getitem__))
        assert self.branch is not None
        assert self.outputs is not None
        return self.outputs.result(self.branch)

    def plan(self, given: tuple[Given, ...]) -> Plan | None:
        """How to answer calls like this one, after ``result``; None where its examples went more than one way."""
        branches = list(self.n_passed)
        if len(branches) != 1 or branches[0] not in self.recordings.branches(self.signature):
            return None
        (branch,) = branches
        return plan_for(
            self.frame, branch, *self.executor_for(branch), given, self.recordings.surroundings, self.snapshot
        )

    def executor_for(self, branch: Branch) -> tuple[Any, tuple[Shape, ...]]:
        """What runs a branch on examples, and the shapes of what it gives for one."""
        found = self._executors.get(branch)
        if found is not None:
            return found
        order, wrt = self.derivative.form.order, self.call.wrt
        request, tape = self.derivative.request(branch, self.call), branch.tape_for(order, wrt)
        shapes = result_shapes(tape.output_shapes, tape.input_shapes, request)
        executor = branch.batch_executor(order, request, wrt, self.derivative.tier)
        self._executors[branch] = executor, shapes
        return executor, shapes

    def _block_size(self) -> int:
        """How many examples are run at once: all, unless some of their memory has to be converted."""
        converted = [rows.bytes_per_example for rows in self.rows if rows.varies and not rows.in_place]
        if self.out is not None:
            converted += [array.nbytes // max(self.batch.n, 1) for array in to_be_converted(self.out)]
        if not converted:
            n_branches = len(self.recordings.branches(self.signature))
            return max(self.batch.n, 1) if n_branches < 2 else MIXED_BLOCK
        return max(MIN_BLOCK, BLOCK_BYTES * self.n_threads // max(sum(converted), 1))

    def used(self, branch: Branch, n_passed: int) -> None:
        """Note that examples got their results from a branch. Raises InputError where it does not go with others."""
        if branch in self.n_passed:
            self.n_passed[branch] += n_passed
            return
        self.n_passed[branch] = n_passed
        before = self.branch
        self.branch = branch if before is None else _for_both(before, branch)
        if before is not None and self.branch is not before and self.outputs is not None:
            self.outputs.check(self.branch)

    def outputs_for(self, branch: Branch, shapes: Sequence[Shape]) -> OwnArrays | CallersArrays:
        """Where results of these shapes go. Raises InputError where they do not fit."""
        outputs = self.outputs
        if outputs is None:
            own = self.out is None
            outputs = OwnArrays(self.frame, shapes) if own else CallersArrays(self.frame, self.out, branch, shapes)
        elif outputs.shapes != tuple(shapes):
            raise InputError(
                "vmap needs results of one shape for all examples; this function returns arrays of different shapes "
                "on different branches."
            )
        outputs.refuse_captured(branch)
        return outputs


def _by_guard(failed: NDArray[np.int64], examples: NDArray[np.intp] | None) -> list[tuple[int, NDArray[np.intp]]]:
    """The examples (None: all) of each guard that failed; those of -1 passed."""
    sizes = np.bincount(failed + 1)
    guards = (np.flatnonzero(sizes) - 1).tolist()
    if len(guards) <= FEW_GUARDS:
        parts = [np.flatnonzero(failed == guard) for guard in guards]
    else:
        # NumPy sorts small whole numbers by their digits
        order = np.argsort(failed.astype(np.int16) if len(sizes) < 1 << 15 else failed, kind="stable")
        parts = np.split(order, np.cumsum(sizes[sizes > 0])[:-1])
    return [(guard, at if examples is None else examples[at]) for guard, at in zip(guards, parts, strict=True)]


class _Block:
    """The examples from ``start`` to ``stop`` of a run."""

    def __init__(self, run: Run, start: int, stop: int) -> None:
        self.owner = run
        self.start, self.stop = start, stop
        self.n = stop - start
        self.inputs = [(rows.block(start, stop), rows.varies) for rows in run.rows]
        self.targets: list[Floats] | None = None

    def run(self) -> None:
        self._through_new_branches(self._through_known_branches())
        if self.owner.outputs is not None and self.targets is not None:
            self.owner.outputs.written(self.start, self.stop, self.targets)

    def _through_known_branches(self) -> list[_Group]:
        """The groups that no recorded branch fits."""
        groups = [_Group(Trial(self.owner.recordings.branches(self.owner.signature)), None)]
        unmatched = []
        while groups:
            group = groups.pop()
            branch = group.trial.next()
            if branch is None:
                unmatched.append(group)
                continue
            failed = self._through(branch, group.examples)
            if len(failed) and failed.max() >= 0:
                for guard, missed in _by_guard(failed, group.examples):
                    if guard >= 0:
                        examples = None if len(missed) == self.n else missed
                        groups.append(_Group(group.trial.after(branch, guard), examples))
        return unmatched

    def _through_new_branches(self, unmatched: list[_Group]) -> None:
        """Record until every example has its result."""
        recordings = self.owner.recordings
        everything = np.arange(self.n)
        parts = [everything if group.examples is None else group.examples for group in unmatched]
        reasons = {
            int(examples[0]): group.trial.failed_at
            for group, examples in zip(unmatched, parts, strict=True)
            if len(examples)
        }
        remaining = np.sort(np.concatenate(parts)) if parts else everything[:0]
        while unmatched and (len(remaining) or self.owner.branch is None):
            # of no examples at all, one of ones tells shapes
            index = int(remaining[0]) if len(remaining) else 0
            example = self.owner.example(self.start + index)
            branch = recordings.record(example, reasons.get(index))
            recordings.file(example, branch)
            failed = self._through(branch, None if len(remaining) == self.n else remaining)
            if len(failed) and failed[0] >= 0:
                # the recording itself says which way this example goes; see Branch.without_guards
                self._through(branch.without_guards(), remaining[:1])
                failed[0] = -1
            missed = failed >= 0
            remaining = remaining[missed]
            reasons = {int(i): (branch, int(guard)) for i, guard in zip(remaining[:1], failed[missed], strict=False)}

    def _through(self, branch: Branch, examples: NDArray[np.intp] | None) -> NDArray[np.int64]:
        """Run examples (None: all) through a branch: the first failed guard of each or -1."""
        owner = self.owner
        executor, shapes = owner.executor_for(branch)
        n = self.n if examples is None else len(examples)
        failed = np.full(n, -1, np.int64)
        inputs, outputs, misfit = self._inputs_of(examples), None, None
        if examples is None:
            try:
                outputs = owner.outputs_for(branch, shapes)
            except InputError as error:
                misfit = error  # which counts only if an example passes
        if outputs is None:
            targets = allocate_together([(n, *shape) for shape in shapes])
        else:
            targets = outputs.block(self.start, self.stop)
        if n:
            guarded = len(branch.tape.guard_nodes) > 0
            executor(n, inputs, [], targets, owner.n_threads, failed if guarded else None)
        passed = failed < 0
        n_passed = int(np.count_nonzero(passed))
        if n and not n_passed:
            return failed
        if misfit is not None:
            raise misfit
        owner.used(branch, n_passed)
        if outputs is not None:
            owner.outputs, self.targets = outputs, targets
        elif examples is not None:
            self._keep(branch, examples, targets, passed if n_passed < n else None)
        return failed

    def _inputs_of(self, examples: NDArray[np.intp] | None) -> list[tuple[Floats, bool]]:
        if examples is None:
            return self.inputs
        return [(np.take(array, examples, 0), True) if varies else (array, False) for array, varies in self.inputs]

    def _keep(
        self, branch: Branch, examples: NDArray[np.intp], found: Sequence[Floats], passed: NDArray[np.bool_] | None
    ) -> None:
        """Put the results of those examples that passed (None: all of them) where they are to be."""
        self.owner.outputs = self.owner.outputs_for(branch, [array.shape[1:] for array in found])
        if self.targets is None:
            self.targets = self.owner.outputs.block(self.start, self.stop)
        if passed is not None:
            for array, target in zip(found, self.targets, strict=True):
                target[examples[passed]] = array[passed]
        else:
            for array, target in zip(found, self.targets, strict=True):
                target[examples] = array


def _for_both(branch: Branch, other: Branch) -> Branch:
    """The first branch with leaves that hold the results of either. Raises InputError where there are none."""
    if (branch.structure, branch.aux_structure) != (other.structure, other.aux_structure):
        raise InputError(OTHER_NESTING)
    return replace(
        branch,
        leaves=tuple(map(_leaf_for_both, branch.leaves, other.leaves)),
        aux_leaves=tuple(map(_leaf_for_both, branch.aux_leaves, other.aux_leaves)),
    )


def _leaf_for_both(leaf: OutputLeaf, other: OutputLeaf) -> OutputLeaf:
    if leaf.dtype is not None and other.dtype is not None:
        return OutputLeaf(np.result_type(leaf.dtype, other.dtype))
    if leaf.dtype is other.dtype is None and (leaf.static is other.static or np.array_equal(leaf.static, other.static)):
        return leaf
    raise differing_data(leaf.static, other.static)


def differing_data(one: Any, other: Any) -> InputError:
    """What is raised for auxiliary data that differs between examples."""
    return InputError(
        "vmap returns auxiliary data that does not hang on the arguments as it is, so it must be the same for all "
        f"examples; this function returns {one!r} for one and {other!r} for another. Leave it out, or compute it from "
        "the arguments."
    )
