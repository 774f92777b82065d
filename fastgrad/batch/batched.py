"""``vmap`` and what it returns."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastgrad.batch.arguments import Batch, taken_apart
from fastgrad.batch.outputs import refuse_overlap, with_axes
from fastgrad.batch.recorded import all_at_once
from fastgrad.batch.repeated import MISSED, Plans
from fastgrad.batch.run import OTHER_NESTING, Run, differing_data
from fastgrad.batch.small import SmallBatches
from fastgrad.calls import parameters_of
from fastgrad.config import resolve_threads
from fastgrad.derivative import Derivative, by_reference
from fastgrad.errors import InputError, LostDerivativeError, UnsupportedError
from fastgrad.forms import Form
from fastgrad.recording.recorded_array import RecordedArray, stacked
from fastgrad.recording.recorder import innermost_recorder
from fastgrad.recording.structures import flatten
from fastgrad.vm.fast_call import FastCalls, accelerate

__all__ = ["Batched", "vmap"]


def vmap(
    function: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    *,
    threads: int | None = None,
    tier: str | None = None,
) -> Batched:
    """The function over a batch of examples.

    ``function`` takes one example; it may be a derivative (``vmap(grad(f))``), or the ``vmap`` of another function for
    batches of batches. ``in_axes`` is the axis of every argument that runs over the examples, or a tuple with one entry
    for each positional argument: an axis, None (the same for all examples), or axes nested as the argument is, or less
    deeply. Arguments passed by name run over axis 0. ``out_axes`` is the axis of the results that runs over the
    examples, alike; None where a result is the same for all of them. ``threads`` bounds the threads used (default:
    ``config.threads``); results do not depend on it, nor on the size of the batch. ``tier`` is what runs it (see
    :func:`fastgrad.grad`), by default what runs ``function`` where that is a derivative.

    The result takes two arguments by name beside those of the function (unless that has such parameters itself):
    ``out``, arrays to write the results into, nested as these are, and ``threads``, for this call. float64 memory is
    read and written where it is, strided, reversed or in Fortran order; other dtypes are converted block by block.

    Raises InputError where the arguments do not agree in the number of examples, and where ``out`` does not fit the
    results or shares memory with an argument.

    >>> import numpy as np
    >>> vmap(lambda x, y: x @ y, in_axes=(0, None))(np.ones((3, 2)), np.array([1.0, 2.0]))
    array([3., 3., 3.])
    """
    return Batched(function, in_axes, out_axes, threads, tier)


class Batched:
    """A function over batches, made by :func:`vmap`."""

    __slots__ = ("__dict__", "__weakref__", "_fast")

    def __init__(
        self,
        function: Callable[..., Any],
        in_axes: Any = 0,
        out_axes: Any = 0,
        threads: int | None = None,
        tier: str | None = None,
    ) -> None:
        self.function = function
        self.in_axes = in_axes
        self.out_axes = out_axes
        self.threads = threads
        self.tier = tier
        resolve_threads(threads)
        # a level for each vmap, the outer one first
        inner = function if isinstance(function, Batched) else None
        self.derivative: Derivative = _derivative_of(inner.derivative if inner else function, tier)
        self.all_in_axes: tuple[Any, ...] = (in_axes, *(inner.all_in_axes if inner else ()))
        self.all_out_axes: tuple[Any, ...] = (out_axes, *(inner.all_out_axes if inner else ()))
        self.parameters = parameters_of(self.derivative.function)
        self._plans = Plans()
        self._fast = FastCalls(type(self))
        self._small = SmallBatches(self._fast, self._plans)
        self._options = {"out", "threads"} - _names_of_parameters(self.derivative.function)
        functools.update_wrapper(self, function, updated=())

    def __repr__(self) -> str:
        return f"<vmap of {self.function if isinstance(self.function, Batched) else self.derivative!r}>"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Inside a class it is a method, as the function that it was made from would be."""
        return self if instance is None else functools.partial(self, instance)

    def __reduce__(self) -> Any:
        arguments = (self.function, self.in_axes, self.out_axes, self.threads, self.tier)
        return by_reference(self) or (Batched, arguments)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        options = {name: kwargs.pop(name) for name in self._options if name in kwargs}
        if not kwargs:
            result = self._answer_as_before(args, **options)
            if result is not MISSED:
                return result
        if "dask" in sys.modules and any(hasattr(leaf, "__dask_graph__") for leaf in flatten((args, kwargs))[0]):
            return self._in_dask(args, kwargs, **options)
        return self.run(args, kwargs, **options)

    def _answer_as_before(self, args: tuple[Any, ...], out: Any = None, threads: int | None = None) -> Any:
        """The results where a call like this one has been answered before; else MISSED."""
        if innermost_recorder() is not None:
            return MISSED
        recordings = self.derivative.recordings
        n_threads = resolve_threads(self.threads if threads is None else threads)
        if out is not None and self._small.answer_into(args, out):
            return out
        result, plan = self._plans.answer(args, recordings.surroundings, n_threads, out)
        if plan is not None:
            recordings.watch.called(1 + self._small.taken_answers())
            self._small.answered(plan, args, out)
        return result

    def _in_dask(self, args: tuple[Any, ...], kwargs: dict[str, Any], **options: Any) -> Any:
        """Dask arrays for Dask arrays; see ``fastgrad.interop.dask``."""
        if options:
            raise InputError(
                f"{' and '.join(options)} cannot be given for Dask arrays, whose results are computed later. "
                "Store the result with its method store or to_zarr; give vmap itself the number of threads."
            )
        from fastgrad.interop.dask import map_batch

        return map_batch(self, *args, **kwargs)

    def into(self, *args: Any, threads: int | None = None, **kwargs: Any) -> None:
        """Write the results at the leading arguments into the last one, ``out``, nested as they would be."""
        *given, out = args
        if kwargs or self._answer_as_before(tuple(given), out, threads) is MISSED:
            self.run(tuple(given), kwargs, out, threads)

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any = None, threads: int | None = None) -> Any:
        """The results for these arguments; for ``out`` and ``threads`` see :func:`vmap`."""
        batch = taken_apart(args, kwargs, self.all_in_axes, self.parameters)
        n_threads = resolve_threads(self.threads if threads is None else threads)
        if innermost_recorder() is not None:
            if out is not None:
                raise InputError("out cannot be given while a function is being recorded. Use what vmap returns.")
            return self._recorded(batch)
        if out is not None:
            refuse_overlap(out, batch.named_leaves(self.parameters))
        run = Run(self.derivative, batch, self.all_out_axes, n_threads, out)
        try:
            result = run.result()
        except (UnsupportedError, LostDerivativeError):
            run = Run(self.derivative, batch, self.all_out_axes, n_threads, out, static_data=True)
            if not run.has_static_data:
                raise
            result = run.result()
        except (TypeError, IndexError) as error:
            self._note_scalars(error, batch)
            raise
        given = batch.plain() if batch.n and not run.has_static_data else None
        if given is not None:
            plan = run.plan(given)
            if plan is None:
                self._plans.drop(given)
            else:
                self._plans.add(plan)
            self._small.drop_old_ones()
        return result

    def _note_scalars(self, error: Exception, batch: Batch) -> None:
        """Add to an error about an example without axes what vmap takes for an example."""
        if _OF_SCALARS.search(str(error)):
            leaves = batch.named_leaves(self.parameters)
            shapes = ", ".join(f"{name} of shape {np.shape(leaf)}" for name, leaf in leaves)
            error.add_note(
                "vmap calls the function with one example at a time, which has an axis less than the batch "
                f"({shapes}). Pass one row for each example (x[None] for a single one), or name the axis of the "
                "examples with in_axes, and None for an argument that they share."
            )

    def _recorded(self, batch: Batch) -> Any:
        """The results within a recording."""
        result = all_at_once(self.derivative, batch)
        if result is None:
            return self._one_by_one(batch)
        leaves, structure = flatten(result)
        varies = [isinstance(leaf, (RecordedArray, np.ndarray)) for leaf in leaves]
        return structure.unflatten(with_axes(leaves, structure, varies, self.all_out_axes))

    def _one_by_one(self, batch: Batch) -> Any:
        """One call for each example, within a recording."""
        examples = [batch.example(index) for index in range(max(batch.n, 1))]
        results = [flatten(self.derivative(*args, **kwargs)) for args, kwargs in examples]
        structure = results[0][1]
        if any(other != structure for _, other in results):
            raise InputError(OTHER_NESTING)
        columns = list(zip(*(leaves for leaves, _ in results), strict=True))
        varies = [isinstance(column[0], (RecordedArray, np.ndarray, np.generic, float, int)) for column in columns]
        joined = [
            _joined(column[: batch.n], np.shape(column[0]), batch.lengths) if moves else _the_only_one(column)
            for column, moves in zip(columns, varies, strict=True)
        ]
        return structure.unflatten(with_axes(joined, structure, varies, self.all_out_axes))


accelerate(Batched)

# NumPy's errors about numbers that were taken for arrays
_OF_SCALARS = re.compile("0-d array|scalar variable|has no len|not iterable|not subscriptable")


def _derivative_of(function: Callable[..., Any], tier: str | None) -> Derivative:
    """What ``vmap`` runs: a derivative as it is, or the same for the tier where one is given."""
    if not isinstance(function, Derivative):
        return Derivative(function, Form.VALUE, (), False, tier)
    if tier is None or tier == function.tier:
        return function
    return Derivative(function.function, function.form, function.argnums, function.has_aux, tier)


def _names_of_parameters(function: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return set()


def _joined(column: Sequence[Any], shape: tuple[int, ...], lengths: tuple[int, ...]) -> Any:
    if not column:
        return np.empty((*lengths, *shape))
    recorded = any(isinstance(leaf, RecordedArray) for leaf in column)
    rows = stacked(list(column)) if recorded else np.stack(column)
    return rows if len(lengths) == 1 else np.reshape(rows, (*lengths, *shape))


def _the_only_one(column: Sequence[Any]) -> Any:
    for leaf in column:
        if leaf is not column[0] and leaf != column[0]:
            raise differing_data(column[0], leaf)
    return column[0]
