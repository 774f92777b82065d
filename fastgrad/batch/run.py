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
from fastgrad.derivative import Derivative
from fastgrad.errors import InputError
from fastgrad.plan.request import result_shapes
from fastgrad.vm.memory import allocate_together

__all__ = ["OTHER_NESTING", "Run"]

Floats = NDArray[np.float64]
Shape = tuple[int, ...]
# Bytes of converted inputs and results in one block: they stay in the cache while the kernels run on them.
BLOCK_BYTES = 1 << 20
MIN_BLOCK = 1 << 10
# Examples from which on a sample of them is looked at, how many that are, and which part of it must fit the likeliest
# branch so that all examples are run through that first.
MIN_SORTED, N_SAMPLED, ALIKE = 2048, 256, 0.75

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
        self, derivative: Derivative, batch: Batch, out_axes: tuple[Any, ...], n_threads: int, out: Any
    ) -> None:
        self.derivative = derivative
        self.recordings = derivative.recordings
        self.batch = batch
        self.n_threads = n_threads
        self.out = out
        self.call = derivative.bind(*batch.example(0), batch.varying)
        surroundings = self.recordings.surroundings
        self.snapshot = surroundings.snapshot()
        self.signature = (self.call.signature(), surroundings.fingerprint(self.snapshot[1]))
        self.frame = Frame(derivative.nesting, self.call, batch.lengths, out_axes)
        self.rows = batch.rows(self.call)
        self.outputs: OwnArrays | CallersArrays | None = None
        # of all branches that examples went through, with leaves that hold the results of any
        self.branch: Branch | None = None
        self.n_passed: dict[Branch, int] = {}

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
        order, wrt = self.derivative.form.order, self.call.wrt
        request, tape = self.derivative.request(branch, self.call), branch.tape_for(order, wrt)
        shapes = result_shapes(tape.output_shapes, tape.input_shapes, request)
        return branch.batch_executor(order, request, wrt, self.derivative.tier), shapes

    def _block_size(self) -> int:
        """How many examples are run at once: all, unless some of their memory has to be converted."""
        converted = [rows.bytes_per_example for rows in self.rows if rows.varies and not rows.in_place]
        if self.out is not None:
            converted += [array.nbytes // max(self.batch.n, 1) for array in to_be_converted(self.out)]
        if not converted:
            return max(self.batch.n, 1)
        return max(MIN_BLOCK, BLOCK_BYTES * self.n_threads // max(sum(converted), 1))

    def used(self, branch: Branch, n_passed: int) -> None:
        """Note that examples got their results from a branch. Raises InputError where it does not go with others."""
        self.n_passed[branch] = self.n_passed.get(branch, 0) + n_passed
        before = self.branch
        self.branch = branch if before is None else _for_both(before, branch)
        if before is not None and self.branch is not before and self.outputs is not None:
            self.outputs.check(self.branch)

    def outputs_for(self, branch: Branch, shapes: Sequence[Shape]) -> OwnArrays | CallersArrays:
        """Where results of these shapes go. Raises InputError where they do not fit."""
        if self.outputs is None:
            if self.out is None:
                return OwnArrays(self.frame, shapes)
            return CallersArrays(self.frame, self.out, branch, shapes)
        if self.outputs.shapes != tuple(shapes):
            raise InputError(
                "vmap needs results of one shape for all examples; this function returns arrays of different shapes "
                "on different branches."
            )
        return self.outputs


def _by_guard(failed: NDArray[np.int64], examples: NDArray[np.intp] | None) -> list[tuple[int, NDArray[np.intp]]]:
    """The examples (None: all) of each guard that failed; those of -1 passed."""
    n_guards = int(failed.max(initial=-1)) + 1
    # NumPy sorts small whole numbers by their digits
    order = np.argsort(failed.astype(np.int16) if n_guards < 1 << 15 else failed, kind="stable")
    sizes = np.bincount(failed + 1, minlength=n_guards + 1)
    ends = np.cumsum(sizes)
    found = []
    for guard in (np.flatnonzero(sizes) - 1).tolist():
        at = order[ends[guard + 1] - sizes[guard + 1] : ends[guard + 1]]
        found.append((guard, at if examples is None else examples[at]))
    return found


class _Block:
    """The examples from ``start`` to ``stop`` of a run."""

    def __init__(self, run: Run, start: int, stop: int) -> None:
        self.owner = run
        self.start, self.stop = start, stop
        self.n = stop - start
        self.inputs = [(rows.block(start, stop), rows.varies) for rows in run.rows]
        self.targets: list[Floats] | None = None

    def run(self) -> None:
        branches = self.owner.recordings.branches(self.owner.signature)
        groups = self._sorted_out(branches) if self._is_mixed(branches) else [_Group(Trial(branches), None)]
        self._through_new_branches(self._through_known_branches(groups))
        if self.owner.outputs is not None and self.targets is not None:
            self.owner.outputs.written(self.start, self.stop, self.targets)

    # ---- examples of many branches: first the guards alone, then each branch on its own

    def _is_mixed(self, branches: Sequence[Branch]) -> bool:
        """Whether a sample says that sorting the examples out beforehand is worth while."""
        if self.n < MIN_SORTED or len(branches) < 2 or any(branch.guard_executor() is None for branch in branches):
            return False
        sample = np.arange(0, self.n, self.n // N_SAMPLED)
        n_passed = int(np.count_nonzero(self._failed_guards(branches[0], sample) < 0))
        return n_passed < ALIKE * len(sample)

    def _failed_guards(self, branch: Branch, examples: NDArray[np.intp] | None) -> NDArray[np.int64]:
        executor = branch.guard_executor()
        assert executor is not None
        n = self.n if examples is None else len(examples)
        failed = np.full(n, -1, np.int64)
        if len(branch.tape.guard_nodes):
            executor(n, self._inputs_of(examples), [], [], self.owner.n_threads, failed)
        return failed

    def _sorted_out(self, branches: Sequence[Branch]) -> list[_Group]:
        """Run each branch on the examples that it fits; the groups that are left."""
        found: dict[Branch, list[NDArray[np.intp]]] = {}
        left, waiting = [], [_Group(Trial(branches), None)]
        # the longest one tells most of the others apart
        first: Branch | None = max(branches, key=lambda branch: len(branch.tape.guard_nodes))
        while waiting:
            group = waiting.pop()
            branch, first = first or group.trial.next(), None
            if branch is None:
                left.append(group)
            elif branch is group.trial.only and group.examples is not None:
                found.setdefault(branch, []).append(group.examples)
            else:
                for guard, examples in _by_guard(self._failed_guards(branch, group.examples), group.examples):
                    if guard < 0:
                        found.setdefault(branch, []).append(examples)
                    else:
                        waiting.append(_Group(group.trial.after(branch, guard), examples))
        return left + self._through_sorted({branch: np.concatenate(parts) for branch, parts in found.items()}, branches)

    def _through_sorted(self, examples_of: dict[Branch, NDArray[np.intp]], branches: Sequence[Branch]) -> list[_Group]:
        """Run branches on their examples, which are gathered once; the groups whose guards fail after all."""
        executors = {branch: self.owner.executor_for(branch) for branch in examples_of}
        shapes = next(iter(executors.values()))[1] if executors else ()
        # others are for those who say what is wrong with them
        alike = {branch: rows for branch, rows in examples_of.items() if executors[branch][1] == shapes}
        left = [_Group(Trial([branch]), rows) for branch, rows in examples_of.items() if branch not in alike]
        order = np.concatenate([*alike.values(), np.zeros(0, np.intp)])
        inputs = self._inputs_of(order)
        results, failed = allocate_together([(len(order), *shape) for shape in shapes]), np.full(len(order), -1)
        start = 0
        for branch, rows in alike.items():
            stop = start + len(rows)
            part = [(array[start:stop] if varies else array, varies) for array, varies in inputs]
            guarded = len(branch.tape.guard_nodes) > 0
            executors[branch][0](
                len(rows),
                part,
                [],
                [result[start:stop] for result in results],
                self.owner.n_threads,
                failed[start:stop] if guarded else None,
            )
            for guard, missed in _by_guard(failed[start:stop], rows):
                if guard < 0:
                    self.owner.used(branch, len(missed))
                else:
                    left.append(_Group(Trial(branches).after(branch, guard), missed))
            start = stop
        passed = failed < 0
        if passed.any():
            self._keep(next(iter(alike)), order, results, None if passed.all() else passed)
        return left

    # ---- examples of one branch, and what it does not fit

    def _through_known_branches(self, groups: list[_Group]) -> list[_Group]:
        """The groups that no recorded branch fits."""
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
        derivative, recordings, batch = self.owner.derivative, self.owner.recordings, self.owner.batch
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
            example = derivative.bind(*batch.example(self.start + index), batch.varying)
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
        for array, target in zip(found, self.targets, strict=True):
            if passed is None:
                target[examples] = array
            else:
                target[examples[passed]] = array[passed]


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
    raise InputError(
        "vmap returns auxiliary data that does not hang on the arguments as it is, so it must be the same for all "
        f"examples; on different branches this function returns {leaf.static!r} and {other.static!r}. Leave it out, or "
        "compute it from the arguments."
    )
