"""Tapes run for many examples at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgrad.config import resolve_tier
from fastgrad.errors import InputError, UnsupportedError
from fastgrad.plan.request import Kind, Request
from fastgrad.tape import Tape
from fastgrad.transform.batching import batched
from fastgrad.vm.array_executor import ArrayExecutor

__all__ = ["BatchedRun", "binder", "examples", "runner"]

Floats = NDArray[np.float64]
# batch sizes that plans are kept for
MAX_PLANS = 8


def runner(tape: Tape) -> Callable[[Sequence[Floats], Sequence[Floats]], None]:
    """What writes the tape's outputs for some inputs into arrays; both are C-contiguous float64."""
    executor = ArrayExecutor(tape, Request(Kind.VALUES), resolve_tier(None))
    return lambda inputs, results: _checked(lambda: executor(inputs, [], results))


def binder(tape: Tape) -> Callable[[Sequence[Floats], Sequence[Floats]], Callable[[], None]]:
    """As ``runner``, for arrays that stay the same: gives what runs on these."""
    executor = ArrayExecutor(tape, Request(Kind.VALUES), resolve_tier(None))

    def bind(inputs: Sequence[Floats], results: Sequence[Floats]) -> Callable[[], None]:
        run = executor.bound(inputs, results)
        return lambda: _checked(run)

    return bind


def _checked(run: Callable[[], int]) -> None:
    try:
        failed = run()
    except IndexError as error:
        raise InputError(
            f"a position that is looked up does not exist ({error}). An Embedding takes whole numbers "
            "from 0 up to, but not including, its number of rows."
        ) from error
    if failed >= 0:
        raise UnsupportedError(
            "the network takes another way for these parameters than when it was built. Choose between values with "
            "np.where, which computes both, instead of Python's if."
        )


def examples(values: ArrayLike, shape: tuple[int, ...], what: str) -> Floats:
    """Many examples as float64, C-contiguous. Raises InputError where they do not have this shape each."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{what} must be real numbers, not {array.dtype}.")
    if array.ndim == 0 or array.shape[1:] != shape:
        wanted = ", ".join(map(str, ("n", *shape)))
        raise InputError(f"{what} must have the shape ({wanted}) for n examples; it is {array.shape}.")
    return np.ascontiguousarray(array, np.float64)


class BatchedRun:
    """A tape with one output, run for many examples in batches; the inputs at ``varying`` are another for each."""

    def __init__(self, tape: Tape, varying: Collection[int]) -> None:
        self._tape, self._varying = tape, frozenset(varying)
        self._lock = threading.Lock()
        self._runners: dict[int, Callable[[Sequence[Floats], Sequence[Floats]], None]] = {}

    def __call__(self, inputs: Sequence[Floats], batch_size: int) -> Floats:
        """The output for each example; all inputs of ``varying`` have as many."""
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {batch_size}.")
        n_examples = len(inputs[min(self._varying)])
        results = np.empty((n_examples, *self._tape.output_shapes[0]))
        n = min(batch_size, n_examples)
        for start in range(0, n_examples, n or 1):
            parts = [
                _filled_up(array[start : start + n], n) if position in self._varying else array
                for position, array in enumerate(inputs)
            ]
            if start + n <= n_examples:
                self._runner(n)(parts, [results[start : start + n]])
            else:
                last = np.empty((n, *results.shape[1:]))
                self._runner(n)(parts, [last])
                results[start:] = last[: n_examples - start]
        return results

    def _runner(self, n: int) -> Callable[[Sequence[Floats], Sequence[Floats]], None]:
        with self._lock:
            found = self._runners.pop(n, None) or runner(batched(self._tape, self._varying, n))
            self._runners[n] = found  # the last used is the last
            while len(self._runners) > MAX_PLANS:
                self._runners.pop(next(iter(self._runners)))
        return found


def _filled_up(array: Floats, n: int) -> Floats:
    """The array with its last example repeated up to ``n`` examples."""
    return array if len(array) == n else np.concatenate([array, np.repeat(array[-1:], n - len(array), axis=0)])
