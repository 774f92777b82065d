"""Runs a request on many examples one by one, shared out over threads: for tapes that have no scalar program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastgrad.vm.threads import share_out

__all__ = ["ExampleLoop"]

Floats = NDArray[np.float64]
SHARES_PER_THREAD = 8


class _Executor(Protocol):
    def __call__(self, inputs: Sequence[Floats], seeds: Sequence[Floats], results: Sequence[Floats]) -> int: ...


class ExampleLoop:
    """An executor of single examples over a batch; called as a ``BatchExecutor``."""

    def __init__(self, executor: _Executor) -> None:
        self.executor = executor

    def __call__(
        self,
        n: int,
        inputs: Sequence[tuple[Floats, bool]],
        seeds: Sequence[tuple[Floats, bool]],
        results: Sequence[Floats],
        n_threads: int,
        failed: NDArray[np.int64] | None,
    ) -> None:
        """Run on ``n`` examples. Inputs and seeds are (array, whether its first axis runs over the examples)."""
        inputs, seeds = _shared_contiguous(inputs), _shared_contiguous(seeds)
        n_shares = max(1, min(n, SHARES_PER_THREAD * n_threads)) if n_threads > 1 else 1
        bounds = [n * k // n_shares for k in range(n_shares + 1)]

        def work(share: int) -> None:
            for k in range(bounds[share], bounds[share + 1]):
                targets = [result[k, ...] for result in results]
                places = [t if t.flags.c_contiguous else np.empty(t.shape) for t in targets]
                outcome = self.executor(_of_example(inputs, k), _of_example(seeds, k), places)
                if failed is not None:
                    failed[k] = outcome
                for target, place in zip(targets, places, strict=True):
                    if place is not target:
                        target[...] = place

        share_out(work, n_shares, n_threads)


def _shared_contiguous(arrays: Sequence[tuple[Floats, bool]]) -> list[tuple[Floats, bool]]:
    return [(array if varies else _contiguous(array), varies) for array, varies in arrays]


def _of_example(arrays: Sequence[tuple[Floats, bool]], k: int) -> list[Floats]:
    return [_contiguous(array[k, ...]) if varies else array for array, varies in arrays]


def _contiguous(array: NDArray[Any]) -> Floats:
    return array if array.flags.c_contiguous else array.copy()
