"""Runs a request on many examples one by one, or some at once, shared out over threads: for tapes of large arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastgrad.vm.example_blocks import ExampleBlocks
from fastgrad.vm.threads import share_out

__all__ = ["ExampleLoop"]

Floats = NDArray[np.float64]
SHARES_PER_THREAD = 8


class _Executor(Protocol):
    def __call__(self, inputs: Sequence[Floats], seeds: Sequence[Floats], results: Sequence[Floats]) -> int: ...


class ExampleLoop:
    """An executor of single examples over a batch; called as a ``BatchExecutor``."""

    def __init__(self, executor: _Executor, blocks: ExampleBlocks | None = None) -> None:
        self.executor, self.blocks = executor, blocks

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
        size, block = 1, None
        if self.blocks is not None and n >= self.blocks.n:
            size, block = self.blocks.n, self.blocks.executor([varies for _, varies in (*inputs, *seeds)])
        n_blocks = -(-n // size)
        n_shares = max(1, min(n_blocks, SHARES_PER_THREAD * n_threads)) if n_threads > 1 else 1
        bounds = [min(n, size * (n_blocks * k // n_shares)) for k in range(n_shares + 1)]

        def work(share: int) -> None:
            k, stop = bounds[share], bounds[share + 1]
            while block is not None and k + size <= stop:
                _run(block, [*inputs, *seeds], [], slice(k, k + size), results)
                if failed is not None:
                    failed[k : k + size] = -1
                k += size
            for one in range(k, stop):
                outcome = _run(self.executor, inputs, seeds, one, results)
                if failed is not None:
                    failed[one] = outcome

        share_out(work, n_shares, n_threads)


def _run(
    executor: _Executor,
    inputs: Sequence[tuple[Floats, bool]],
    seeds: Sequence[tuple[Floats, bool]],
    at: int | slice,
    results: Sequence[Floats],
) -> int:
    """Run on one example or on those of a slice; returns the first failed guard, or -1."""
    targets = [result[at, ...] for result in results]
    places = [t if t.flags.c_contiguous else np.empty(t.shape) for t in targets]
    outcome = executor(_of_examples(inputs, at), _of_examples(seeds, at), places)
    for target, place in zip(targets, places, strict=True):
        if place is not target:
            target[...] = place
    return outcome


def _shared_contiguous(arrays: Sequence[tuple[Floats, bool]]) -> list[tuple[Floats, bool]]:
    return [(array if varies else _contiguous(array), varies) for array, varies in arrays]


def _of_examples(arrays: Sequence[tuple[Floats, bool]], at: int | slice) -> list[Floats]:
    return [_contiguous(array[at, ...]) if varies else array for array, varies in arrays]


def _contiguous(array: NDArray[Any]) -> Floats:
    return array if array.flags.c_contiguous else array.copy()
