"""Where the results of a batch go: arrays of its own, or the caller's ``out``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.batch.arguments import Rows, absolute, axes_of, is_float64_memory, merged
from fastgrad.branches import Branch
from fastgrad.calls import Call
from fastgrad.errors import InputError
from fastgrad.recording.structures import Structure, flatten
from fastgrad.results import Nesting
from fastgrad.tape import is_number
from fastgrad.vm.call_structures import ResultSlot
from fastgrad.vm.memory import allocate_together

__all__ = ["CallersArrays", "Frame", "OwnArrays", "refuse_overlap", "to_be_converted", "with_axes"]

Floats = NDArray[np.float64]
Shape = tuple[int, ...]
# how hard two arrays are looked at before they count as overlapping
MAX_WORK = 10_000


@dataclass(frozen=True)
class Frame:
    """What is fixed in one call of a batch: how results are nested, the examples along each level, and ``out_axes``."""

    nesting: Nesting
    call: Call
    lengths: Shape
    out_axes: tuple[Any, ...]

    @property
    def n(self) -> int:
        return math.prod(self.lengths)

    def slots(self, branch: Branch, n_results: int) -> tuple[list[int | None], Structure]:
        """For each leaf of the result which result of the executor it is (None: none), and how they are nested."""
        nested = self.nesting.package(branch, self.call, [ResultSlot(k) for k in range(n_results)])
        leaves, structure = flatten(nested)
        return [leaf.number if isinstance(leaf, ResultSlot) else None for leaf in leaves], structure

    def nested(self, branch: Branch, arrays: Sequence[Floats]) -> Any:
        """Arrays with an axis of examples first, as what the caller gets."""
        shaped = [array.reshape(*self.lengths, *array.shape[1:]) for array in arrays]
        result = self.nesting.package(branch, self.call, shaped)
        if all(_is_first(axes) for axes in self.out_axes):
            return result
        leaves, structure = flatten(result)
        varies = [slot is not None for slot in self.slots(branch, len(arrays))[0]]
        return structure.unflatten(with_axes(leaves, structure, varies, self.out_axes))

    def leaf_axes(self, structure: Structure, n_leaves: int) -> list[tuple[int | None, ...]]:
        """For each leaf the axis of each level, in what it is within the levels before."""
        per_level = [axes_of(axes, structure, n_leaves, "out_axes", "the result") for axes in self.out_axes]
        return list(zip(*per_level, strict=True))


def _is_first(axes: Any) -> bool:
    return axes == 0 and isinstance(axes, (int, np.integer)) and not isinstance(axes, bool)


def with_axes(
    leaves: Sequence[Any], structure: Structure, varies: Sequence[bool], out_axes: Sequence[Any]
) -> list[Any]:
    """Leaves whose first axes run over the examples, a level each, with these axes where ``out_axes`` wants them."""
    per_level = [axes_of(axes, structure, len(leaves), "out_axes", "the result") for axes in out_axes]
    names = structure.names("the result")
    return [
        _with_axes(leaf, axes, name) if moves else leaf
        for leaf, *axes, moves, name in zip(leaves, *per_level, varies, names, strict=True)
    ]


def _with_axes(leaf: Any, axes: Sequence[int | None], name: str) -> Any:
    for level in reversed(range(len(axes))):
        if axes[level] is None:
            leaf = _the_same_for_all(leaf, level, name)
    there = [axis for axis in axes if axis is not None]
    places = absolute(there, np.ndim(leaf), name, "Give the axis that it is to have in out_axes.")
    return np.moveaxis(leaf, range(len(there)), places)  # type: ignore[arg-type]


def _the_same_for_all(leaf: Any, level: int, name: str) -> Any:
    """The one value along an axis where out_axes is None. Raises InputError if there are several."""
    values = np.moveaxis(leaf, level, 0)
    if len(values) and np.all((values == values[:1]) | ((values != values) & (values[:1] != values[:1]))):
        return values[0]
    found = "is not the same for all examples" if len(values) else "has no example to be taken from"
    raise InputError(f"out_axes is None for {name}, which {found}. Give the axis that is to run over the examples.")


class OwnArrays:
    """Results in new arrays, in one piece of memory."""

    in_place = True

    def __init__(self, frame: Frame, shapes: Sequence[Shape]) -> None:
        self.frame = frame
        self.shapes = tuple(shapes)
        self._arrays = allocate_together([(frame.n, *shape) for shape in shapes])

    def block(self, start: int, stop: int) -> list[Floats]:
        return [array[start:stop] for array in self._arrays]

    def written(self, start: int, stop: int, arrays: Sequence[Floats]) -> None:
        """The block's arrays are the results themselves."""

    def check(self, branch: Branch) -> None:
        """Arrays of its own suit every branch of these shapes."""

    def refuse_captured(self, branch: Branch) -> None:
        """Nobody else knows arrays of its own."""

    def result(self, branch: Branch) -> Any:
        return self.frame.nested(branch, self._arrays)


class CallersArrays:
    """Results in the arrays of ``out``: written where they are to be, in blocks only where they must be converted."""

    def __init__(self, frame: Frame, out: Any, branch: Branch, shapes: Sequence[Shape]) -> None:
        """Raises InputError where ``out`` does not fit the results of this branch."""
        self.frame, self.out, self.shapes = frame, out, tuple(shapes)
        slots, structure = frame.slots(branch, len(shapes))
        leaves, found = flatten(out)
        if found != structure:
            raise InputError("out must be nested as the result is.")
        self._names = structure.names("out")
        axes = frame.leaf_axes(structure, len(leaves))
        rows: dict[int, Rows] = {}
        names: dict[int, str] = {}
        for slot, leaf, of_leaf, name in zip(slots, leaves, axes, self._names, strict=True):
            if slot is not None:
                rows[slot], names[slot] = _target(leaf, of_leaf, frame.lengths, shapes[slot], name), name
        self._rows = [rows[k] for k in range(len(shapes))]
        self._slot_names = [names[k] for k in range(len(shapes))]
        self.check(branch)

    @property
    def in_place(self) -> bool:
        return all(rows.in_place for rows in self._rows)

    def refuse_captured(self, branch: Branch) -> None:
        """Raise InputError where an array shares memory with one that the function captures."""
        for array in branch.tape.constants:
            if is_number(array):
                continue
            for rows, name in zip(self._rows, self._slot_names, strict=True):
                if _overlap(rows.array, array):
                    raise InputError(
                        f"{name} shares memory with an array that the function reads, and results are written while "
                        "that is in use. Pass an array of its own."
                    )

    def check(self, branch: Branch) -> None:
        """Raise InputError where a result of this branch has a dtype that the array cannot take."""
        slots, _ = self.frame.slots(branch, len(self.shapes))
        empty = [np.empty((0, *shape)) for shape in self.shapes]
        leaves = flatten(self.frame.nesting.package(branch, self.frame.call, empty))[0]
        for slot, leaf, name in zip(slots, leaves, self._names, strict=True):
            if slot is None:
                continue
            dtype = self._rows[slot].array.dtype
            if not np.can_cast(leaf.dtype, dtype, "same_kind"):
                raise InputError(f"{name} is of {dtype}, which cannot hold results of {leaf.dtype}. Pass {leaf.dtype}.")

    def block(self, start: int, stop: int) -> list[Floats]:
        """Arrays for the results of these examples, to be handed to ``written`` then."""
        return [
            rows.array[start:stop] if rows.in_place else np.empty((stop - start, *shape))
            for rows, shape in zip(self._rows, self.shapes, strict=True)
        ]

    def written(self, start: int, stop: int, arrays: Sequence[Floats]) -> None:
        for rows, array in zip(self._rows, arrays, strict=True):
            if rows.in_place:
                continue
            if len(rows.lengths) == 1:
                np.copyto(rows.array[start:stop], array, casting="unsafe")
            else:
                rows.array[np.unravel_index(np.arange(start, stop), rows.lengths)] = array

    def result(self, branch: Branch) -> Any:
        """``out``, with what is no array in its place."""
        slots, structure = self.frame.slots(branch, len(self.shapes))
        if structure.tree is None:
            return self.out
        nested = self.frame.nesting.package(branch, self.frame.call, [np.empty((0, *s)) for s in self.shapes])
        pairs = zip(slots, flatten(self.out)[0], flatten(nested)[0], strict=True)
        return structure.unflatten([static if slot is None else target for slot, target, static in pairs])


def _target(leaf: Any, axes: Sequence[int | None], lengths: Shape, shape: Shape, name: str) -> Rows:
    if not isinstance(leaf, np.ndarray):
        raise InputError(f"{name} must be an array to write into; it is {type(leaf).__name__}.")
    if any(axis is None for axis in axes):
        raise InputError(f"{name} cannot be given where out_axes is None. Give the axis that runs over the examples.")
    ndim = len(lengths) + len(shape)
    places = [place for place in absolute(axes, ndim, name, "Change out_axes.") if place is not None]
    expected = list(shape)
    for place, length in sorted(zip(places, lengths, strict=True)):
        expected.insert(place, length)
    if leaf.shape != tuple(expected):
        raise InputError(f"{name} must have the shape of the result, {tuple(expected)}; it has shape {leaf.shape}.")
    if not leaf.flags.writeable:
        raise InputError(f"{name} is read-only. Pass an array that can be written to.")
    if leaf.size and any(s == 0 and length > 1 for s, length in zip(leaf.strides, leaf.shape, strict=True)):
        raise InputError(f"{name} has elements that share memory. Pass an array of its own, not a broadcast view.")
    return merged(np.moveaxis(np.asarray(leaf), places, range(len(places))), lengths)


def to_be_converted(out: Any) -> list[NDArray[Any]]:
    """The arrays of ``out`` that the kernels cannot write into."""
    return [array for array in flatten(out)[0] if isinstance(array, np.ndarray) and not is_float64_memory(array)]


def refuse_overlap(out: Any, inputs: Iterable[tuple[str, Any]]) -> None:
    """Raise InputError where an array of ``out`` shares memory with an input or with another of ``out``."""
    leaves, structure = flatten(out)
    named = zip(structure.names("out"), leaves, strict=True)
    targets = [(name, leaf) for name, leaf in named if isinstance(leaf, np.ndarray)]
    sources = [(name, leaf) for name, leaf in inputs if isinstance(leaf, np.ndarray)]
    for k, (name, target) in enumerate(targets):
        for other_name, other in [*sources, *targets[:k]]:
            if _overlap(target, other):
                raise InputError(
                    f"{name} shares memory with {other_name}, and results are written while that is in use. "
                    "Pass an array of its own."
                )


def _overlap(x: NDArray[Any], y: NDArray[Any]) -> bool:
    if not np.may_share_memory(x, y):
        return False
    try:
        return np.shares_memory(x, y, max_work=MAX_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
