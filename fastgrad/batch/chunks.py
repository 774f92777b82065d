"""Batches that are larger than memory, chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastgrad.batch.arguments import Batch, absolute, axes_of, taken_apart
from fastgrad.batch.batched import Batched
from fastgrad.batch.outputs import refuse_overlap
from fastgrad.errors import InputError
from fastgrad.recording.structures import Structure, flatten

__all__ = ["iterate_chunks", "map_chunks"]

# bytes of the arguments in a chunk, where the caller does not say how many examples it has
CHUNK_BYTES = 1 << 25


def iterate_chunks(
    function: Batched, *args: Any, chunk: int | None = None, threads: int | None = None, **kwargs: Any
) -> Iterator[tuple[slice, Any]]:
    """The results of a batch in turn: for each chunk of its examples, which these are (a slice) and their results.

    ``function`` is what ``vmap`` returns, and ``args`` and ``kwargs`` are what it takes. Arrays may be anything that
    has a shape and gives an array when it is sliced, such as ``np.memmap`` or the datasets of h5py and zarr: only one
    chunk of them is read at a time. ``chunk`` is the number of examples in each, by default as many as fill 32 MiB with
    their arguments. Of batches of batches, the outer ones are cut.

    Raises InputError as the function itself does, when the first chunk is asked for.

    >>> import numpy as np
    >>> from fastgrad import vmap
    >>> for where, squares in iterate_chunks(vmap(lambda x: x * x), np.arange(5.0), chunk=2):
    ...     print(where.start, squares)
    0 [0. 1.]
    2 [4. 9.]
    4 [16.]
    """
    batch = _batch_of(function, args, kwargs)
    for examples in _slices(batch, chunk):
        yield examples, _run(function, batch, examples, None, threads)


def map_chunks(
    function: Batched, *args: Any, out: Any = None, chunk: int | None = None, threads: int | None = None, **kwargs: Any
) -> Any:
    """The results of a batch, computed chunk by chunk and written into ``out``, which is returned.

    ``out`` is nested as the results are, with arrays of their shapes, or anything that has a shape and can be assigned
    to slice by slice, such as ``np.memmap``. Where it is not given the results are in memory. For the other arguments
    see :func:`iterate_chunks`.

    Raises InputError as the function itself does, and where ``out`` does not fit.

    >>> import numpy as np
    >>> from fastgrad import vmap
    >>> map_chunks(vmap(lambda x: x * x), np.arange(5.0), out=np.zeros(5), chunk=2)
    array([ 0.,  1.,  4.,  9., 16.])
    """
    batch = _batch_of(function, args, kwargs)
    targets = None if out is None else _Targets(function, out, batch)
    if out is not None:
        refuse_overlap(out, batch.named_leaves(function.parameters))
    for examples in _slices(batch, chunk):
        if targets is None:
            result = _run(function, batch, examples, None, threads)
            targets = _Targets(function, _like(function, result, batch.lengths[0]), batch)
            targets.write(examples, result)
        elif targets.are_arrays:
            _run(function, batch, examples, targets.part(examples), threads)
        else:
            targets.write(examples, _run(function, batch, examples, None, threads))
    assert targets is not None
    return targets.out


def _batch_of(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Batch:
    if not isinstance(function, Batched):
        raise InputError(f"chunks are taken of what vmap returns; this is {type(function).__name__}. Pass vmap(...).")
    return taken_apart(args, kwargs, function.all_in_axes, function.parameters)


def _slices(batch: Batch, chunk: int | None) -> Iterator[slice]:
    n = batch.lengths[0]
    if chunk is None:
        chunk = max(1, CHUNK_BYTES // max(_bytes_per_example(batch), 1))
    elif isinstance(chunk, bool) or not isinstance(chunk, (int, np.integer)) or chunk < 1:
        raise InputError(f"chunk must be a number of examples from 1 up, or None for the default; it is {chunk!r}.")
    for start in range(0, max(n, 1), chunk):
        yield slice(start, min(start + int(chunk), n))


def _bytes_per_example(batch: Batch) -> int:
    total = 0
    for leaves, axes in zip(batch.leaves, batch.axes, strict=True):
        for leaf, of_leaf in zip(leaves, axes, strict=True):
            if of_leaf[0] is not None:
                total += 8 * math.prod(length for axis, length in enumerate(np.shape(leaf)) if axis != of_leaf[0])
    return total


def _run(function: Batched, batch: Batch, examples: slice, out: Any, threads: int | None) -> Any:
    args, kwargs = batch.part(examples)
    return function.run(args, kwargs, out, threads)


def _part(whole: Any, axis: int | None, examples: slice) -> Any:
    return whole if axis is None else whole[(*[slice(None)] * axis, examples)]


class _Targets:
    """Where the results of chunks go."""

    def __init__(self, function: Batched, out: Any, batch: Batch) -> None:
        self.out = out
        self._leaves, self._structure = flatten(out)
        self._axes = _outer_axes(function, self._leaves, self._structure, "out")
        for leaf, axis, name in zip(self._leaves, self._axes, self._structure.names("out"), strict=True):
            if axis is not None and leaf.shape[axis] != batch.lengths[0]:
                raise InputError(
                    f"{name} has {leaf.shape[axis]} examples along axis {axis}; the arguments have {batch.lengths[0]}."
                )

    @property
    def are_arrays(self) -> bool:
        return all(isinstance(leaf, np.ndarray) for leaf in self._leaves)

    def part(self, examples: slice) -> Any:
        parts = [_part(leaf, axis, examples) for leaf, axis in zip(self._leaves, self._axes, strict=True)]
        return self._structure.unflatten(parts)

    def write(self, examples: slice, result: Any) -> None:
        leaves, structure = flatten(result)
        if structure != self._structure:
            raise InputError("out must be nested as the result is.")
        for target, axis, leaf in zip(self._leaves, self._axes, leaves, strict=True):
            if axis is not None:
                target[(*[slice(None)] * axis, examples)] = leaf


def _outer_axes(function: Batched, leaves: list[Any], structure: Structure, what: str) -> list[int | None]:
    """For each leaf of the result the axis that the outer examples run along; None for what is no array."""
    wanted = axes_of(function.out_axes, structure, len(leaves), "out_axes", "the result")
    found: list[int | None] = []
    for leaf, axis, name in zip(leaves, wanted, structure.names(what), strict=True):
        is_array = hasattr(leaf, "shape")
        remedy = "Give out arrays of the shapes of the results."
        found.append(absolute([axis], len(leaf.shape), name, remedy)[0] if is_array else None)
    return found


def _like(function: Batched, result: Any, n: int) -> Any:
    """Arrays for the results of all examples, from those of a chunk."""
    leaves, structure = flatten(result)
    made = []
    for leaf, axis in zip(leaves, _outer_axes(function, leaves, structure, "the result"), strict=True):
        if axis is None:
            made.append(leaf)
        else:
            shape = list(leaf.shape)
            shape[axis] = n
            made.append(np.empty(shape, leaf.dtype))
    return structure.unflatten(made)
