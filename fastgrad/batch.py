"""``vmap``: a function or a derivative over many examples at once, in SIMD lanes and threads.

One example is recorded; the batch runs through its tape. Examples whose guards fail went another way through the
function's control flow: those that failed at the same guard are gathered and run through the recorded branches that go
another way there, and where none fits one of them is recorded, until every example has its result. So each branch runs
at full speed on the examples that belong to it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.branch_choice import Trial
from fastgrad.branches import Branch, OutputLeaf
from fastgrad.calls import Call, Key
from fastgrad.config import resolve_threads
from fastgrad.derivative import Derivative
from fastgrad.errors import InputError
from fastgrad.forms import Form
from fastgrad.plan.request import result_shapes
from fastgrad.recording.indexing import along_axis, getitem
from fastgrad.recording.recorded_array import RecordedArray, stacked
from fastgrad.recording.recorder import innermost_recorder
from fastgrad.recording.structures import Structure, flatten
from fastgrad.vm.scalar_executor import allocate_together

__all__ = ["Batched", "vmap"]

Floats = NDArray[np.float64]


def vmap(
    function: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    *,
    threads: int | None = None,
    tier: str | None = None,
) -> Batched:
    """The function over a batch of examples.

    ``function`` takes one example; it may be a derivative (``vmap(grad(f))``). ``in_axes`` is the axis of every
    argument that runs over the examples, or a tuple with one entry for each positional argument: an axis, None (the
    same for all examples), or axes nested as the argument is. Arguments passed by name run over axis 0. ``out_axes`` is
    the axis of the results that runs over the examples, alike. ``threads`` bounds the threads used (default:
    ``config.threads``); results do not depend on it.

    Raises InputError where the arguments do not agree in the number of examples.

    >>> import numpy as np
    >>> vmap(lambda x, y: x @ y, in_axes=(0, None))(np.ones((3, 2)), np.array([1.0, 2.0]))
    array([3., 3., 3.])
    """
    return Batched(function, in_axes, out_axes, threads, tier)


@dataclass(frozen=True)
class _Batch:
    """The arguments of a batched call: leaves, the axis of each (None: the same for all), and how many examples."""

    keys: tuple[Key, ...]
    structures: tuple[Structure, ...]
    leaves: tuple[tuple[Any, ...], ...]
    axes: tuple[tuple[int | None, ...], ...]
    n: int

    def example(self, index: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of one example."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for key, structure, leaves, axes in zip(self.keys, self.structures, self.leaves, self.axes, strict=True):
            value = structure.unflatten([_at(leaf, axis, index) for leaf, axis in zip(leaves, axes, strict=True)])
            if isinstance(key, str):
                kwargs[key] = value
            else:
                args.append(value)
        return tuple(args), kwargs

    @property
    def varying(self) -> frozenset[tuple[Key, int]]:
        return frozenset(
            (key, position)
            for key, axes in zip(self.keys, self.axes, strict=True)
            for position, axis in enumerate(axes)
            if axis is not None
        )

    def arrays(self, call: Call) -> list[tuple[Floats, bool]]:
        """For each input of the tape its float64 array, and whether the first axis runs over the examples."""
        found: list[tuple[Floats, bool]] = []
        for argument, leaves, axes in zip(call.arguments, self.leaves, self.axes, strict=True):
            for leaf, given, axis in zip(argument.leaves, leaves, axes, strict=True):
                if leaf.array is None:
                    continue
                if axis is None:
                    found.append((leaf.array, False))
                else:
                    found.append((_as_rows(_axis_first(np.asarray(given), axis)), True))
        return found


def _at(leaf: Any, axis: int | None, index: int) -> Any:
    if axis is None:
        return leaf
    if isinstance(leaf, RecordedArray):
        return getitem(leaf, along_axis(axis % leaf.ndim, index))
    array = np.asarray(leaf)
    if array.shape[axis] == 0:  # no example to look at: one of ones tells the shapes
        return np.ones(array.shape[:axis] + array.shape[axis:][1:], array.dtype)[()]
    return np.take(array, index, axis)


def _axis_first(array: NDArray[Any], axis: int) -> NDArray[Any]:
    return np.moveaxis(array, axis, 0) if axis else array


def _as_rows(array: NDArray[Any]) -> Floats:
    """Strided float64 memory is used as it is."""
    fits = array.dtype == np.float64 and array.flags.aligned and all(stride % 8 == 0 for stride in array.strides)
    return array if fits else np.ascontiguousarray(array, np.float64)


class Batched:
    """A function over batches, made by :func:`vmap`."""

    def __init__(
        self, function: Callable[..., Any], in_axes: Any, out_axes: Any, threads: int | None, tier: str | None
    ) -> None:
        self.derivative = (
            function if isinstance(function, Derivative) else Derivative(function, Form.VALUE, (), False, tier)
        )
        self.in_axes = in_axes
        self.out_axes = out_axes
        self.threads = threads
        resolve_threads(threads)
        functools.update_wrapper(self, function, updated=())

    def __repr__(self) -> str:
        return f"<vmap of {self.derivative!r}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        batch = _taken_apart(args, kwargs, self.in_axes)
        if innermost_recorder() is not None:
            return self._one_by_one(batch)
        call = self.derivative.bind(*batch.example(0), batch.varying)
        signature = self.derivative.recordings.signature(call)
        run = _Run(self, batch, call, signature)
        return run.results() if run.all() else self._one_by_one(batch)

    def _one_by_one(self, batch: _Batch) -> Any:
        """One call for each example: within recordings, and for tapes of large arrays."""
        results = []
        for index in range(batch.n):
            args, kwargs = batch.example(index)
            results.append(flatten(self.derivative(*args, **kwargs)))
        if not results:
            args, kwargs = batch.example(0)
            leaves, structure = flatten(self.derivative(*args, **kwargs))
            return self.with_out_axes(structure.unflatten([np.empty((0, *np.shape(leaf))) for leaf in leaves]))
        structure = results[0][1]
        if any(other != structure for _, other in results):
            raise InputError(_OTHER_NESTING)
        columns = zip(*(leaves for leaves, _ in results), strict=True)
        return self.with_out_axes(structure.unflatten([_joined(column) for column in columns]))

    def with_out_axes(self, result: Any) -> Any:
        """The result with its first axis, which runs over the examples, where the caller wants it."""
        if self.out_axes == 0 and not isinstance(self.out_axes, bool):
            return result
        leaves, structure = flatten(result)
        axes = _axes_of(self.out_axes, structure, len(leaves), "out_axes", "the result")
        moved = [leaf if axis is None else np.moveaxis(leaf, 0, axis) for leaf, axis in zip(leaves, axes, strict=True)]
        return structure.unflatten(moved)


def _joined(column: Sequence[Any]) -> Any:
    return stacked(list(column)) if any(isinstance(leaf, RecordedArray) for leaf in column) else np.stack(column)


_OTHER_NESTING = (
    "vmap needs results nested alike for all examples; this function nests them differently on different branches. "
    "Return the same keys and lengths on all of them."
)


def _for_both(branch: Branch, other: Branch) -> Branch:
    """The first branch with leaves that hold the results of either. Raises InputError where there are none."""
    if (branch.structure, branch.aux_structure) != (other.structure, other.aux_structure):
        raise InputError(_OTHER_NESTING)
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


@dataclass(frozen=True)
class _Group:
    """Examples (None: all) that failed alike, and the branches that may still fit them."""

    trial: Trial
    examples: NDArray[np.intp] | None


class _Run:
    """One batched call: which examples still have no result, and the arrays that the results go to."""

    def __init__(self, batched: Batched, batch: _Batch, call: Call, signature: Hashable) -> None:
        self.batched = batched
        self.derivative = batched.derivative
        self.recordings = batched.derivative.recordings
        self.batch = batch
        self.call = call
        self.signature = signature
        self.inputs = batch.arrays(call)
        self.arrays: list[Floats] = []
        self.branch: Branch | None = None
        self.n_passed: dict[Branch, int] = {}

    def all(self) -> bool:
        """Run every example; False if the tape is not one for lanes."""
        self.recordings.watch.called()
        unmatched = self._through_known_branches()
        if unmatched is None or not self._through_new_branches(unmatched):
            return False
        used = [branch for branch in self.recordings.branches(self.signature) if branch in self.n_passed]
        self.recordings.remember(self.signature, sorted(used, key=self.n_passed.__getitem__))
        return True

    def _through_known_branches(self) -> list[_Group] | None:
        """The groups that no recorded branch fits; None if the tapes are not for lanes."""
        groups = [_Group(Trial(self.recordings.branches(self.signature)), None)]
        unmatched = []
        while groups:
            group = groups.pop()
            branch = group.trial.next()
            if branch is None:
                unmatched.append(group)
                continue
            failed = self._through(branch, group.examples)
            if failed is None:
                return None
            at = np.flatnonzero(failed >= 0)
            failed = failed[at]
            missed = at if group.examples is None else group.examples[at]
            for guard in np.flatnonzero(np.bincount(failed)).tolist():
                groups.append(_Group(group.trial.after(branch, guard), missed[failed == guard]))
        return unmatched

    def _through_new_branches(self, unmatched: list[_Group]) -> bool:
        """Record until every example has its result."""
        reasons = {int(group.examples[0]): group.trial.failed_at for group in unmatched if group.examples is not None}
        parts = [group.examples for group in unmatched if group.examples is not None]
        remaining = np.sort(np.concatenate(parts)) if parts else None
        while len(unmatched if remaining is None else remaining):
            index = 0 if remaining is None else int(remaining[0])
            example = self.derivative.bind(*self.batch.example(index), self.batch.varying)
            branch = self.recordings.record(example, reasons.get(index))
            self.recordings.file(example, branch)
            failed = self._through(branch, remaining)
            if failed is None:
                return False
            examples = np.arange(self.batch.n) if remaining is None else remaining
            if len(failed) and failed[0] >= 0:
                # the recording itself says which way this example goes; see Branch.without_guards
                self._through(branch.without_guards(), examples[:1])
                failed[0] = -1
            remaining = examples[failed >= 0]
            reasons = {
                int(i): (branch, int(guard)) for i, guard in zip(remaining[:1], failed[failed >= 0], strict=False)
            }
        return True

    def _through(self, branch: Branch, examples: NDArray[np.intp] | None) -> NDArray[np.int64] | None:
        """Run examples (None: all) through a branch: the first failed guard of each or -1; None if not for lanes."""
        derivative, call = self.derivative, self.call
        order, request = derivative.form.order, derivative.request(branch, call)
        executor = branch.batch_executor(order, request, call.wrt)
        if executor is None:
            return None
        tape = branch.tape_for(order, call.wrt)
        shapes = result_shapes(tape.output_shapes, tape.input_shapes, request)
        n = self.batch.n if examples is None else len(examples)
        failed = np.full(n, -1, np.int64)
        inputs = self.inputs
        if examples is not None:
            inputs = [(np.take(array, examples, 0), True) if varies else (array, False) for array, varies in inputs]
        targets = allocate_together([(n, *shape) for shape in shapes])
        if n:
            guarded = len(branch.tape.guard_nodes) > 0
            executor(n, inputs, [], targets, resolve_threads(self.batched.threads), failed if guarded else None)
        passed = failed < 0
        n_passed = int(passed.sum())
        if n and not n_passed:
            return failed
        self.n_passed[branch] = self.n_passed.get(branch, 0) + n_passed
        before, self.branch = self.branch, branch if self.branch is None else _for_both(self.branch, branch)
        if examples is None:
            self.arrays = targets
            return failed
        if before is None:
            self.arrays = allocate_together([(self.batch.n, *shape) for shape in shapes])
        elif [array.shape[1:] for array in self.arrays] != list(shapes):
            raise InputError(
                "vmap needs results of one shape for all examples; this function returns arrays of different shapes "
                "on different branches."
            )
        for array, target in zip(self.arrays, targets, strict=True):
            if n_passed == n:
                array[examples] = target
            else:
                array[examples[passed]] = target[passed]
        return failed

    def results(self) -> Any:
        assert self.branch is not None
        return self.batched.with_out_axes(self.derivative.nesting.package(self.branch, self.call, self.arrays))


# ---- arguments


def _taken_apart(args: tuple[Any, ...], kwargs: dict[str, Any], in_axes: Any) -> _Batch:
    if isinstance(in_axes, (tuple, list)):
        if len(in_axes) != len(args):
            raise InputError(f"in_axes has {len(in_axes)} entries for {len(args)} positional arguments.")
        per_argument = list(in_axes)
    else:
        per_argument = [in_axes] * len(args)
    keys: list[Key] = [*range(len(args)), *kwargs]
    structures, all_leaves, all_axes = [], [], []
    sizes: dict[str, int] = {}
    for key, value, wanted in zip(keys, [*args, *kwargs.values()], [*per_argument, *[0] * len(kwargs)], strict=True):
        leaves, structure = flatten(value)
        axes = _axes_of(wanted, structure, len(leaves), "in_axes", f"argument {key!r}")
        names = structure.names(f"argument {key!r}")
        axes = tuple(_checked_axis(leaf, axis, name) for leaf, axis, name in zip(leaves, axes, names, strict=True))
        for leaf, axis, name in zip(leaves, axes, names, strict=True):
            if axis is not None:
                sizes[name] = np.shape(leaf)[axis]
        structures.append(structure)
        all_leaves.append(tuple(leaves))
        all_axes.append(axes)
    if len(set(sizes.values())) != 1:
        found = ", ".join(f"{name} has {size}" for name, size in sizes.items()) or "in_axes is None for every argument"
        raise InputError(f"vmap needs one number of examples in all arguments that run over them; {found}.")
    n = next(iter(sizes.values()))
    return _Batch(tuple(keys), tuple(structures), tuple(all_leaves), tuple(all_axes), n)


def _axes_of(wanted: Any, structure: Structure, n_leaves: int, what: str, of: str) -> tuple[int | None, ...]:
    """One axis for each leaf, from one for all or from axes nested as the leaves are."""
    if wanted is None or (isinstance(wanted, int) and not isinstance(wanted, bool)):
        return (wanted,) * n_leaves
    axes, found = flatten(wanted)
    valid = all(axis is None or (isinstance(axis, int) and not isinstance(axis, bool)) for axis in axes)
    if found != structure or not valid:
        raise InputError(f"{what} must be an axis, None, or axes nested as {of} is; it is {wanted!r}.")
    return tuple(axes)


def _checked_axis(leaf: Any, axis: int | None, name: str) -> int | None:
    if axis is None:
        return None
    ndim = leaf.ndim if isinstance(leaf, RecordedArray) else np.ndim(leaf)
    if not -ndim <= axis < ndim:
        raise InputError(
            f"{name} has no axis {axis} to run over: it has {ndim} dimension{'s' * (ndim != 1)}. "
            "Give its entry in in_axes, None where it is the same for all examples."
        )
    return axis % ndim
