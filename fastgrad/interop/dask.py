"""Batches in Dask arrays: ``vmap(grad(f))(x)`` for a Dask array ``x`` gives Dask arrays, computed block by block.

The function is pickled once, with cloudpickle, and is one node of the graph: every worker gets it once, records it
when its first block comes, and runs all its blocks through what it recorded. Needs the extra ``fastgrad[dask]``.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.batch.arguments import Batch, absolute, axes_of, taken_apart
from fastgrad.batch.batched import Batched
from fastgrad.batch.run import OTHER_NESTING
from fastgrad.errors import InputError
from fastgrad.recording.structures import Structure, flatten

try:
    import cloudpickle
    import dask
    import dask.array
except ImportError as error:
    raise ImportError("batches in Dask arrays need Dask: install fastgrad[dask].") from error

__all__ = ["map_batch"]

# functions that a process keeps loaded, the least recently used dropped first
MAX_LOADED = 64


def map_batch(function: Batched, *args: Any, example: tuple[Any, ...] | None = None, **kwargs: Any) -> Any:
    """The results of a batch as Dask arrays, nested as they are for NumPy arrays; nothing is computed yet.

    ``function`` is what ``vmap`` returns: calling it with Dask arrays comes to the same. At least one argument must be
    a Dask array; NumPy arrays may stand beside it. The axis that runs over the examples keeps its chunks (of several
    arrays, the common refinement of theirs), the other axes of each array become one chunk. Results have the chunks of
    the examples along their own axis of examples. Of batches of batches, the outer ones are distributed.

    What results there are, of which shapes and dtypes, is found out on examples of ones. ``example`` is for functions
    that cannot take these: positional arguments, in NumPy arrays, of a batch of one or more examples.

    A block runs on one thread, since Dask runs several blocks at once, unless ``vmap`` was told a number of threads.

    Raises InputError where the arguments do not fit, or where the function fails on the examples of ones.

    >>> import dask.array, numpy as np
    >>> from fastgrad import grad, vmap
    >>> slopes = vmap(grad(lambda x: np.sum(x**2)))(dask.array.ones((5, 3), chunks=2))
    >>> slopes.shape, slopes.dtype, slopes.chunks
    ((5, 3), dtype('float64'), ((2, 2, 1), (3,)))
    >>> float(slopes.sum().compute())
    30.0
    """
    for leaf in flatten((args, kwargs))[0]:
        _is_lazy(leaf)  # refuses other collections of Dask
    batch = taken_apart(args, kwargs, function.all_in_axes, function.parameters)
    expected = _Expected.of(function, batch, example)
    inputs, constants = _distributed(batch)
    block = _Block(function, _without_leaves(batch), constants, expected)
    data = cloudpickle.dumps(block)
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    shipped = dask.delayed(_Shipped(data, digest), name=f"fastgrad-function-{digest}", traverse=False)
    pairs = [part for pair in inputs for part in pair]
    lists = dask.array.blockwise(
        _run_block,
        (_EXAMPLES,),
        shipped,
        None,
        *pairs,
        token="fastgrad-block",
        concatenate=True,
        dtype=object,
        meta=np.empty(0, object),
    )
    return expected.picked_from(lists)


# the label that blockwise knows the axis of examples by; other axes have higher ones
_EXAMPLES = 0


def _distributed(batch: Batch) -> tuple[list[tuple[Any, tuple[Any, ...]]], list[Any]]:
    """Dask arrays and the labels of their axes; and for each leaf the array's number, or what all blocks have."""
    labels = count(_EXAMPLES + 1)
    inputs: list[tuple[Any, tuple[Any, ...]]] = []
    places: list[Any] = []
    for leaf, axes in _leaves(batch):
        axis = axes[0]
        if not _is_lazy(leaf) and axis is None:
            places.append(_Constant(leaf))
            continue
        array = leaf if _is_lazy(leaf) else dask.array.from_array(np.asarray(leaf), chunks=-1)
        array = array.rechunk({k: -1 for k in range(array.ndim) if k != axis})
        places.append(len(inputs))
        inputs.append((array, tuple(_EXAMPLES if k == axis else next(labels) for k in range(array.ndim))))
    if not any(_is_lazy(leaf) and axes[0] is not None for leaf, axes in _leaves(batch)):
        raise InputError("map_batch needs a Dask array among the arguments that run over the examples.")
    return inputs, places


def _leaves(batch: Batch) -> list[tuple[Any, tuple[int | None, ...]]]:
    return [
        pair for leaves, axes in zip(batch.leaves, batch.axes, strict=True) for pair in zip(leaves, axes, strict=True)
    ]


def _is_lazy(leaf: Any) -> bool:
    if isinstance(leaf, dask.array.Array):
        return True
    if dask.is_dask_collection(leaf):
        raise InputError(
            f"arguments may be Dask arrays; this is {type(leaf).__name__}. Make it an array, or compute it."
        )
    return False


def _without_leaves(batch: Batch) -> Batch:
    return replace(batch, leaves=tuple((None,) * len(leaves) for leaves in batch.leaves))


@dataclass(frozen=True)
class _Constant:
    value: Any


@dataclass(frozen=True)
class _Expected:
    """The results of a batch, as found out on a small one: leaves, nesting, and the axis of examples in each array."""

    leaves: tuple[Any, ...]
    structure: Structure
    axes: tuple[int | None, ...]

    @staticmethod
    def of(function: Batched, batch: Batch, example: tuple[Any, ...] | None) -> _Expected:
        if example is not None:
            result = function.run(example, {})
        else:
            args, kwargs = batch.put_together(_small)
            try:
                result = function.run(args, kwargs)
            except Exception as error:
                raise InputError(
                    f"the function fails on examples of ones, which tell the shapes of its results ({error}). "
                    "Give it some that it can take: fastgrad.interop.dask.map_batch(..., example=(...))."
                ) from error
        leaves, structure = flatten(result)
        wanted = axes_of(function.out_axes, structure, len(leaves), "out_axes", "the result")
        axes = []
        for leaf, axis, name in zip(leaves, wanted, structure.names("the result"), strict=True):
            is_array = isinstance(leaf, (np.ndarray, np.generic))
            if is_array and axis is None:
                raise InputError(f"{name} of a Dask array must run over the examples; out_axes is None for it.")
            axes.append(absolute([axis], leaf.ndim, name, "Change out_axes.")[0] if is_array else None)
        kept = [
            leaf if axis is None else np.empty(_without(leaf, axis), leaf.dtype)
            for leaf, axis in zip(leaves, axes, strict=True)
        ]
        return _Expected(tuple(kept), structure, tuple(axes))

    def picked_from(self, lists: Any) -> Any:
        """The leaves as Dask arrays, from blocks that are lists of arrays; nested."""
        found = []
        for number, (leaf, axis) in enumerate(zip(self.leaves, self.axes, strict=True)):
            if axis is None:
                found.append(leaf)
                continue
            labels = tuple(_EXAMPLES if k == axis else _EXAMPLES + 1 + k for k in range(leaf.ndim))
            sizes = {label: leaf.shape[k] for k, label in enumerate(labels) if k != axis}
            found.append(
                dask.array.blockwise(
                    _pick,
                    labels,
                    lists,
                    (_EXAMPLES,),
                    token="fastgrad-result",
                    number=number,
                    new_axes=sizes,
                    dtype=leaf.dtype,
                    meta=np.empty((0,) * leaf.ndim, leaf.dtype),
                )
            )
        return self.structure.unflatten(found)

    def arrays(self, result: Any) -> list[NDArray[Any]]:
        """The leaves of a block's result, in the dtypes that were announced. Raises InputError where they differ."""
        leaves, structure = flatten(result)
        if structure != self.structure:
            raise InputError(OTHER_NESTING)
        return [self._checked(*parts) for parts in zip(leaves, self.leaves, self.axes, strict=True)]

    def _checked(self, leaf: Any, expected: Any, axis: int | None) -> Any:
        if axis is None:
            same = leaf is expected or np.array_equal(leaf, expected)
            found = f"{leaf!r} instead of {expected!r}"
        else:
            same = _without(leaf, axis) == expected.shape and np.can_cast(leaf.dtype, expected.dtype, "same_kind")
            found = f"{leaf.dtype} in {_without(leaf, axis)} instead of {expected.dtype} in {expected.shape}"
        if not same:
            raise InputError(
                f"a block of a Dask array returns {found}, what examples of ones returned. Give map_batch an example= "
                "that goes the way of all blocks, or have the function return the same kind on all its branches."
            )
        return leaf if axis is None else leaf.astype(expected.dtype, copy=False)


def _without(array: NDArray[Any], axis: int | None) -> tuple[int, ...]:
    """The shape, with no length along the axis of examples."""
    return tuple(0 if k == axis else length for k, length in enumerate(array.shape))


def _small(leaf: Any, axes: tuple[int | None, ...]) -> Any:
    """A leaf of one example, of ones; what is the same for all and in memory stays as it is."""
    if not _is_lazy(leaf) and axes[0] is None:
        return leaf
    shape = tuple(1 if axis == axes[0] else length for axis, length in enumerate(leaf.shape))
    return np.ones(shape, leaf.dtype)


@dataclass(frozen=True)
class _Block:
    """What a worker needs besides the arrays of a block."""

    function: Batched
    batch: Batch
    places: list[Any]
    expected: _Expected


@dataclass(frozen=True)
class _Shipped:
    """A pickled block, on its way to a worker."""

    data: bytes = field(compare=False, repr=False)
    digest: str

    def __dask_tokenize__(self) -> str:
        return self.digest


@lru_cache(maxsize=MAX_LOADED)
def _loaded(shipped: _Shipped) -> _Block:
    """One object for the same pickle, so that a process records a function once."""
    return pickle.loads(shipped.data)  # type: ignore[no-any-return]


def _run_block(shipped: _Shipped, *arrays: NDArray[Any]) -> list[NDArray[Any]]:
    block = _loaded(shipped)
    remaining = iter(block.places)

    def leaf(*_: Any) -> Any:
        place = next(remaining)
        return place.value if isinstance(place, _Constant) else arrays[place]

    args, kwargs = block.batch.put_together(leaf)
    function = block.function
    return block.expected.arrays(function.run(args, kwargs, threads=function.threads or 1))


def _pick(arrays: Sequence[NDArray[Any]], number: int) -> NDArray[Any]:
    return arrays[number]
