"""The arguments of a batched call, taken apart: leaves, the axes of each that run over examples, how many there are.

``vmap`` of ``vmap`` is one batch with a *level* for each of them, the outer one first. A leaf has, for each level, the
axis that runs over its examples, or None where it is the same for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.batch.plain import Given
from fastgrad.calls import Call, Key
from fastgrad.errors import InputError
from fastgrad.recording.fresh_array import unwrapped
from fastgrad.recording.indexing import along_axis, getitem
from fastgrad.recording.recorded_array import RecordedArray, means_more_than_its_data, stacked, value_of
from fastgrad.recording.structures import Structure, flatten, spread

__all__ = ["Batch", "Rows", "absolute", "axes_of", "is_float64_memory", "merged", "taken_apart"]

Floats = NDArray[np.float64]
Axis = int | None


@dataclass(frozen=True)
class Rows:
    """One input of the tape for all examples; ``lengths`` is empty where it is the same for all of them.

    Otherwise the leading axes of ``array`` run over the examples: one axis of ``prod(lengths)``, or several where one
    could not be had without a copy.
    """

    array: NDArray[Any]
    lengths: tuple[int, ...] = ()

    @property
    def varies(self) -> bool:
        return bool(self.lengths)

    @property
    def in_place(self) -> bool:
        """Whether the memory is used as it is."""
        return len(self.lengths) < 2 and is_float64_memory(self.array)

    @property
    def bytes_per_example(self) -> int:
        return 8 * math.prod(self.array.shape[len(self.lengths) :])

    def block(self, start: int, stop: int) -> Floats:
        """The examples from ``start`` to ``stop`` along the first axis (or what all share), as float64."""
        rows = self.array
        if len(self.lengths) == 1:
            rows = rows[start:stop]
        elif self.lengths:
            rows = rows[np.unravel_index(np.arange(start, stop), self.lengths)]
        return rows if is_float64_memory(rows) else np.ascontiguousarray(rows, np.float64)


def is_float64_memory(array: NDArray[Any]) -> bool:
    """Strided memory is used as it is, if whole numbers of float64 lie between its elements."""
    return array.dtype == np.float64 and array.flags.aligned and all(stride % 8 == 0 for stride in array.strides)


def merged(array: NDArray[Any], lengths: tuple[int, ...]) -> Rows:
    """Rows of an array whose leading axes run over the examples, with one such axis if that needs no copy."""
    if len(lengths) == 1:
        return Rows(array, lengths)
    flat = (math.prod(lengths), *array.shape[len(lengths) :])
    try:
        return Rows(np.reshape(array, flat, copy=False), flat[:1])
    except ValueError:
        return Rows(array, lengths)


@dataclass(frozen=True)
class Batch:
    """The arguments of a batched call; ``axes`` has the axis of each level for each leaf, in the leaf as given."""

    keys: tuple[Key, ...]
    structures: tuple[Structure, ...]
    leaves: tuple[tuple[Any, ...], ...]
    axes: tuple[tuple[tuple[Axis, ...], ...], ...]
    lengths: tuple[int, ...]

    @property
    def n(self) -> int:
        return math.prod(self.lengths)

    def example(self, index: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of one example."""
        at = np.unravel_index(index, self.lengths) if self.n else (0,) * len(self.lengths)
        return self.put_together(lambda leaf, axes: _at(leaf, axes, at))

    def part(self, examples: slice) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of some of the examples of the outer level."""

        def part(leaf: Any, axes: tuple[Axis, ...]) -> Any:
            return leaf if axes[0] is None else leaf[(*[slice(None)] * axes[0], examples)]

        return self.put_together(part)

    def put_together(self, part: Callable[[Any, tuple[Axis, ...]], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for key, structure, leaves, axes in zip(self.keys, self.structures, self.leaves, self.axes, strict=True):
            value = structure.unflatten([part(leaf, of_leaf) for leaf, of_leaf in zip(leaves, axes, strict=True)])
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
            for position, of_leaf in enumerate(axes)
            if _varies(of_leaf)
        )

    def rows(self, call: Call) -> list[Rows]:
        """The inputs of the tape."""
        found: list[Rows] = []
        for argument, leaves, axes in zip(call.arguments, self.leaves, self.axes, strict=True):
            for leaf, given, of_leaf in zip(argument.leaves, leaves, axes, strict=True):
                if leaf.array is None:
                    continue
                found.append(self._rows(given, of_leaf) if _varies(of_leaf) else Rows(leaf.array))
        return found

    def _rows(self, given: Any, axes: tuple[Axis, ...]) -> Rows:
        array = np.asarray(given)
        if axes == (0,):
            return Rows(array, self.lengths)
        there = [axis for axis in axes if axis is not None]
        array = np.moveaxis(array, there, range(len(there)))
        inner = array.shape[len(there) :]
        if len(there) < len(axes):
            lengths = [length if axis is not None else 1 for length, axis in zip(self.lengths, axes, strict=True)]
            array = np.broadcast_to(array.reshape(*lengths, *inner), (*self.lengths, *inner))
        return merged(array, self.lengths)

    def of_values(self) -> Batch:
        """The batch with concrete values in the place of recorded ones."""
        return replace(self, leaves=tuple(tuple(map(value_of, leaves)) for leaves in self.leaves))

    def inputs(self, call: Call) -> list[tuple[Any, tuple[Axis, ...]]] | None:
        """What was given for each input of the tape; None where a recorded value is none."""
        found = []
        for argument, leaves, axes in zip(call.arguments, self.leaves, self.axes, strict=True):
            for leaf, given, of_leaf in zip(argument.leaves, leaves, axes, strict=True):
                if leaf.array is not None:
                    found.append((given, of_leaf))
                elif isinstance(given, RecordedArray):
                    return None
        return found

    def named_leaves(self, parameters: Sequence[str]) -> Iterator[tuple[str, Any]]:
        """Every leaf with its name."""
        for key, structure, leaves in zip(self.keys, self.structures, self.leaves, strict=True):
            yield from zip(structure.names(_name_of(key, parameters)), leaves, strict=True)

    def plain(self) -> tuple[Given, ...] | None:
        """The arguments, where each is passed by position and is a float64 array or a float; of one level only."""
        if len(self.lengths) != 1 or any(isinstance(key, str) for key in self.keys):
            return None
        found = []
        for structure, leaves, axes in zip(self.structures, self.leaves, self.axes, strict=True):
            if structure.tree is not None:
                return None
            ((axis,),), shape = axes, np.shape(leaves[0])
            given = Given(axis, shape if axis is None else shape[:axis] + shape[axis + 1 :])
            if not given.fits(leaves[0]):
                return None
            found.append(given)
        return tuple(found)


def _varies(axes: tuple[Axis, ...]) -> bool:
    return any(axis is not None for axis in axes)


def _at(leaf: Any, axes: tuple[Axis, ...], at: Sequence[Any]) -> Any:
    """A leaf of one example. Where there is no example, ones tell its shape."""
    chosen = {axis: int(index) for axis, index in zip(axes, at, strict=True) if axis is not None}
    if not chosen:
        return leaf
    if isinstance(leaf, RecordedArray):
        for axis in sorted(chosen, reverse=True):
            leaf = getitem(leaf, along_axis(axis, chosen[axis]))
        return leaf
    array = np.asarray(leaf)
    if any(array.shape[axis] == 0 for axis in chosen):
        return np.ones([length for axis, length in enumerate(array.shape) if axis not in chosen], array.dtype)[()]
    part = array[tuple(chosen.get(axis, slice(None)) for axis in range(array.ndim))]
    return part.copy() if isinstance(part, np.ndarray) else part


def taken_apart(
    args: tuple[Any, ...], kwargs: dict[str, Any], in_axes: Sequence[Any], parameters: Sequence[str]
) -> Batch:
    """The batch of a call; ``in_axes`` has an entry for each level. Raises InputError where they do not fit."""
    keys: list[Key] = [*range(len(args)), *kwargs]
    per_level = [_per_argument(wanted, args, kwargs) for wanted in in_axes]
    structures, all_leaves, all_axes = [], [], []
    sizes: list[dict[str, int]] = [{} for _ in in_axes]
    for key, value, *wanted in zip(keys, [*args, *kwargs.values()], *per_level, strict=True):
        root = _name_of(key, parameters)
        leaves, structure = flatten(value)
        leaves = [_usable(leaf, root) for leaf in leaves]
        of_levels = [axes_of(entry, structure, len(leaves), "in_axes", f"argument {root}") for entry in wanted]
        names = structure.names(root)
        axes = []
        for leaf, relative, name in zip(leaves, zip(*of_levels, strict=True), names, strict=True):
            axes.append(_checked_axes(leaf, relative, name))
            for level, axis in enumerate(axes[-1]):
                if axis is not None:
                    sizes[level][f"{name} (axis {axis})"] = np.shape(leaf)[axis]
        structures.append(structure)
        all_leaves.append(tuple(leaves))
        all_axes.append(tuple(axes))
    lengths = tuple(map(_length, sizes))
    return Batch(tuple(keys), tuple(structures), tuple(all_leaves), tuple(all_axes), lengths)


def _per_argument(in_axes: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
    """An entry for each argument; those passed by name run over axis 0."""
    if not isinstance(in_axes, (tuple, list)):
        return [in_axes] * len(args) + [0] * len(kwargs)
    if len(in_axes) != len(args):
        raise InputError(
            f"in_axes has {len(in_axes)} entries for {len(args)} positional arguments. "
            "Give one for each; arguments passed by name run over axis 0."
        )
    return [*in_axes, *[0] * len(kwargs)]


def _name_of(key: Key, parameters: Sequence[str]) -> str:
    if isinstance(key, str):
        return key
    return parameters[key] if key < len(parameters) else f"argument {key}"


def _usable(leaf: Any, root: str) -> Any:
    if means_more_than_its_data(leaf):
        raise InputError(
            f"{root} holds a {type(leaf).__name__}, whose mask or own arithmetic a batch would lose. "
            "Pass a plain array (np.asarray), and a mask as one more argument."
        )
    leaf = unwrapped(leaf)
    is_mixed = isinstance(leaf, np.ndarray) and leaf.dtype.kind == "O"
    return stacked(leaf) if is_mixed and any(isinstance(x, RecordedArray) for x in leaf.flat) else leaf


def _length(sizes: dict[str, int]) -> int:
    """The number of examples that all leaves have. Raises InputError."""
    if not sizes:
        raise InputError(
            "vmap needs an array that runs over the examples; there is none, or in_axes is None for every one."
        )
    # a Dask array may not know its size, which is NaN then
    known = {name: size for name, size in sizes.items() if size == size} or sizes
    first, n = next(iter(known.items()))
    other = next((item for item in known.items() if item[1] != n and n == n), None)
    if other is not None:
        raise InputError(
            f"vmap needs as many examples in every argument that runs over them; {first} has {n}, {other[0]} has "
            f"{other[1]}. Give None in in_axes for what is the same for all examples."
        )
    return n


def axes_of(wanted: Any, structure: Structure, n_leaves: int, what: str, of: str) -> tuple[Axis, ...]:
    """One axis for each leaf, from one for all or from axes nested as the leaves are or less deeply."""
    axes = (wanted,) * n_leaves if _is_axis(wanted) else spread(wanted, structure)
    if axes is None or not all(map(_is_axis, axes)):
        raise InputError(f"{what} must be an axis, None, or axes nested as {of} is; it is {wanted!r}.")
    return tuple(axes)


def _is_axis(wanted: Any) -> bool:
    return wanted is None or (isinstance(wanted, (int, np.integer)) and not isinstance(wanted, bool))


def _checked_axes(leaf: Any, relative: Sequence[Axis], name: str) -> tuple[Axis, ...]:
    ndim = leaf.ndim if isinstance(leaf, RecordedArray) else np.ndim(leaf)
    remedy = "Give its entry in in_axes, None where it is the same for all examples."
    axes = absolute(relative, ndim, name, remedy)
    dtype = getattr(leaf, "dtype", None)
    if _varies(axes) and dtype is not None and (dtype.kind not in "fiub" or dtype.itemsize > 8):
        raise InputError(
            f"{name} is an array of {dtype}, and examples are of real numbers: float64, float32, whole numbers or "
            "truth values. Convert it, or give None in in_axes where it is the same for all examples."
        )
    return axes


def absolute(relative: Sequence[Axis], ndim: int, name: str, remedy: str) -> tuple[Axis, ...]:
    """Axes of the whole array, from axes of what the levels before leave of it. Raises InputError."""
    left = list(range(ndim))
    found: list[Axis] = []
    for axis in relative:
        if axis is not None and not -len(left) <= axis < len(left):
            has = f"{len(left)} dimension{'s' * (len(left) != 1)}"
            besides = "" if len(left) == ndim else " besides those of the outer vmap"
            raise InputError(f"{name} has no axis {axis} to run over: it has {has}{besides}. {remedy}")
        found.append(None if axis is None else left.pop(axis))
    return tuple(found)
