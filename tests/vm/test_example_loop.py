"""Examples one by one: contiguous memory for the executor, results where they belong, the failed guard of each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from fastgrad.vm.example_loop import ExampleLoop


def executor(inputs: Sequence[Any], seeds: Sequence[Any], results: Sequence[Any]) -> int:
    assert all(array.flags.c_contiguous for array in [*inputs, *seeds, *results])
    assert all(isinstance(array, np.ndarray) for array in [*inputs, *seeds, *results])
    results[0][...] = inputs[0] * inputs[1]
    results[1][...] = np.sum(inputs[0]) + seeds[0]
    return int(inputs[0].flat[0]) if inputs[0].flat[0] > 0 else -1


@pytest.mark.parametrize("n_threads", [1, 2, 4])
@pytest.mark.parametrize("n", [0, 1, 5, 100])
def test_every_example_is_run_whatever_the_memory(n: int, n_threads: int) -> None:
    random = np.random.default_rng(n)
    shared, seeds, failed = random.normal(size=(3, 4)), np.ones(n), np.full(n, -5)
    examples = random.integers(-3, 3, (n, 4, 3)).astype(float)[:, ::-1]
    first, second = np.empty((n, 3, 4)).transpose(0, 2, 1), np.empty((n, 2))[:, 0]
    ExampleLoop(executor)(n, [(examples, True), (shared.T, False)], [(seeds, True)], [first, second], n_threads, failed)
    np.testing.assert_array_equal(first, examples * shared.T)
    np.testing.assert_array_equal(second, examples.sum((1, 2)) + 1)
    np.testing.assert_array_equal(failed, np.where(examples[:, 0, 0] > 0, examples[:, 0, 0], -1))
