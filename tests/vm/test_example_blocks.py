"""Blocks of examples of array tapes: the bits of single examples, and only where these are certain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad
from fastgrad.plan.request import Kind, Request
from fastgrad.tape import Tape
from fastgrad.transform.derivatives import gradient
from fastgrad.vm.array_executor import ArrayExecutor
from fastgrad.vm.example_blocks import BLOCK_ELEMENTS, example_blocks
from fastgrad.vm.example_loop import ExampleLoop

RNG = np.random.default_rng(5)


def smoothed(x: Any, w: Any) -> Any:
    for _ in range(2):
        x = np.concatenate([x[:1], 0.25 * x[:-2] + w * x[1:-1], x[-1:]]) * np.cos(x)
    return x[::-1]


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[int, ...], tuple[int, ...]]] = {
    "stencil": (smoothed, (500,), ()),
    "shared row": (lambda x, w: np.exp(-x * w) * np.sin(w), (20, 50), (50,)),
    "turned": (lambda x, w: np.tanh(x.T * w).reshape(-1)[3:], (20, 50), (50, 1)),
    "places": (lambda x, w: np.where(x > w, x, 0.0)[1:, ::-2] + 1.0, (20, 50), ()),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("varies", [(True, False), (True, True)])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_blocks_have_the_bits_of_single_examples(name: str, varies: tuple[bool, bool], n_threads: int) -> None:
    function, *shapes = PROGRAMS[name]
    tape = fastgrad.record(function, *map(np.ones, shapes))
    n = 75
    values = [RNG.normal(size=(n, *shape) if flag else shape) for shape, flag in zip(shapes, varies, strict=True)]
    executor = ArrayExecutor(tape, Request(Kind.VALUES, n_outputs=1))
    blocks = example_blocks(tape, "vm")
    assert blocks is not None
    assert 2 <= blocks.n <= n
    assert n % blocks.n
    block = blocks.executor(varies)
    assert block is not None
    assert block.result_shapes[0][0] == blocks.n
    found, expected = (np.empty((n, *tape.output_shapes[0])) for _ in range(2))
    failed = np.full(n, 7)
    ExampleLoop(executor, blocks)(n, list(zip(values, varies, strict=True)), [], [found], n_threads, failed)
    for k in range(n):
        executor([v[k, ...] if flag else v for v, flag in zip(values, varies, strict=True)], [], [expected[k]])
    np.testing.assert_array_equal(found.view(np.int64), expected.view(np.int64))
    assert (failed == -1).all()


ONE_BY_ONE: dict[str, Callable[[Any], Any]] = {
    "a sum": lambda x: x - np.sum(x),
    "a product of matrices": lambda x: np.ones((3, 500)) @ x,
    "a decision": lambda x: x * 2.0 if x[0] > 0 else x,
    "two examples are too large": lambda x: np.outer(x, x[:40]),
}


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_tapes_whose_bits_or_memory_hang_on_the_number_of_examples_run_one_by_one(name: str) -> None:
    assert example_blocks(fastgrad.record(ONE_BY_ONE[name], np.ones(500)), "vm") is None


def test_simplifications_that_change_the_sign_of_a_zero_are_not_taken() -> None:
    tape = fastgrad.record(lambda x: x + 0.0, np.ones(500))
    blocks = example_blocks(tape, "vm")
    assert blocks is not None
    assert blocks.executor([True]) is None
    executor, found = ArrayExecutor(tape, Request(Kind.VALUES, n_outputs=1)), np.ones((40, 500))
    ExampleLoop(executor, blocks)(40, [(np.full((40, 500), -0.0), True)], [], [found], 1, None)
    assert not found.any()
    assert not np.signbit(found).any()


def test_gradients_of_a_batch_run_in_blocks_to_the_same_bits() -> None:
    def energy(x: Any) -> Any:
        return np.sum(np.exp(-x * x) * np.cos(x))

    x = RNG.normal(size=(100, 1000))
    slopes = fastgrad.grad(energy)
    np.testing.assert_array_equal(fastgrad.vmap(slopes)(x), [slopes(row) for row in x])
    tape: Tape = gradient(fastgrad.record(energy, x[0]))
    assert example_blocks(tape, "vm") is not None
    assert BLOCK_ELEMENTS // 1000 == 16
