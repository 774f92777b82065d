"""Steps through the same rows: which become blocks, and that nothing but the order of sums changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastgrad as fg
from fastgrad.plan.array_plan import array_plan
from fastgrad.plan.array_steps import Blocks, Evaluation, Step
from fastgrad.plan.request import Kind, Request
from fastgrad.plan.row_blocks import BLOCK_BYTES, MIN_BLOCKS, ROW_MULTIPLE
from fastgrad.tape import Tape
from fastgrad.transform.derivatives import gradient
from fastgrad.vm.array_executor import ArrayExecutor

RNG = np.random.default_rng(5)
N, M = 203, 4
X = RNG.normal(size=(N, M))
LABELS = (RNG.uniform(size=N) < 0.5).astype(float)


def logistic(w: Any) -> Any:
    scores = X @ w
    return np.mean(np.logaddexp(0.0, scores) - LABELS * scores)


def layers(w: Any) -> Any:
    hidden = np.tanh(X @ w.reshape(2, M).T + w[:2])
    return np.sum((hidden @ w[:2] - LABELS) ** 2)


def neighbours(w: Any) -> Any:
    scores = X @ w
    return np.sum((scores[1:] - scores[:-1] ** 2) ** 2) + np.sum(scores[::2])


def backwards(w: Any) -> Any:
    scores = X @ w
    return np.sum(np.tanh((np.sin(scores[::-1]) * scores) @ X))


def normalised(w: Any) -> Any:
    scores = X @ w
    weights = np.exp(scores - np.max(scores))
    return np.log(np.sum(weights)) + np.sum((scores / np.sum(weights)) @ X)


def descent(w: Any) -> Any:
    for _ in range(4):
        w = w - 0.01 * (np.tanh(X @ w) - LABELS) @ X
    return np.sum(w**2)


def as_rows(w: Any) -> Any:
    return np.sum(np.exp(w @ X.T) * LABELS)


def branching(w: Any) -> Any:
    scores = X @ w
    return np.sum(np.sin(scores) if scores[N // 2] < 100 else scores) + np.sum(scores @ X)


PROGRAMS: dict[str, tuple[Callable[..., Any], int]] = {
    "logistic regression": (logistic, M),
    "two layers": (layers, 2 * M),
    "neighbouring rows": (neighbours, M),
    "rows backwards": (backwards, M),
    "sums over rows that rows need": (normalised, M),
    "steps of descent": (descent, M),
    "rows along the last axis": (as_rows, M),
    "a guard on scores": (branching, M),
}


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are many blocks."""
    for name, value in (("BLOCK_BYTES", 8 * 12 * 40), ("ROW_MULTIPLE", 8), ("MIN_BLOCKS", 2)):
        monkeypatch.setattr(f"fastgrad.plan.row_blocks.{name}", value)


def results(tape: Tape, inputs: list[Any], tier: str = "vm") -> list[Any]:
    run = ArrayExecutor(tape, Request(Kind.VALUES, n_outputs=len(tape.outputs)), tier)
    found = run.allocate()
    assert run(inputs, [], found) == -1
    return found


def blocks_of(tape: Tape) -> list[Blocks]:
    return [step for step in array_plan(tape).steps if isinstance(step, Blocks)]


def n_products(steps: Any) -> int:
    return sum(isinstance(step, Evaluation) for step in steps)


@pytest.mark.parametrize("tier", ["vm", "native"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_gradients_and_hessians_in_blocks(name: str, tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, n = PROGRAMS[name]
    w = RNG.normal(size=n) / 2
    value = fg.record(function, w)
    slopes = gradient(value, (0,))
    products = gradient(fg.record(lambda w, v: np.sum(fg.grad(function)(w) * v), w, w[::-1].copy()), (0,))
    for tape, inputs in ((value, [w]), (slopes, [w]), (products, [w, w[::-1].copy()])):
        expected = results(tape, inputs)
        with monkeypatch.context() as patched:
            for setting, to in (("BLOCK_BYTES", 8 * 12 * 40), ("ROW_MULTIPLE", 8), ("MIN_BLOCKS", 2)):
                patched.setattr(f"fastgrad.plan.row_blocks.{setting}", to)
            found = results(tape, inputs, tier)
            for one, other in zip(found, results(tape, inputs), strict=True):
                np.testing.assert_array_equal(one, other)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["logistic regression", "two layers", "steps of descent", "rows along the last axis"])
@pytest.mark.usefixtures("small_blocks")
def test_a_matrix_is_read_once_for_a_gradient(name: str) -> None:
    function, n = PROGRAMS[name]
    found = blocks_of(gradient(fg.record(function, np.ones(n)), (0,)))
    assert found
    assert all(blocks.block % 8 == 0 and 2 * blocks.block <= blocks.n_rows == N for blocks in found)
    assert all(n_products([row.step for row in blocks.steps]) >= 2 for blocks in found)


@pytest.mark.usefixtures("small_blocks")
def test_all_products_with_one_matrix_are_in_one_pass() -> None:
    w = np.ones(M)
    tape = gradient(fg.record(lambda w, v: np.sum(fg.grad(as_rows)(w) * v), w, w), (0,))
    (blocks,) = blocks_of(tape)
    outside = [step for step in array_plan(tape).steps if step is not blocks]
    assert n_products(row.step for row in blocks.steps) == 3
    assert n_products(outside) == 0


@pytest.mark.usefixtures("small_blocks")
def test_what_needs_other_rows_is_done_after_the_blocks() -> None:
    def steps(function: Callable[..., Any]) -> tuple[Step, ...]:
        return array_plan(fg.record(function, np.ones(M))).steps

    def shifted(w: Any) -> Any:
        scores = X @ w
        return np.append(scores[1:], 1.0) * scores @ X

    def turned(w: Any) -> Any:
        scores = X @ w
        return (scores[::-1] * scores) @ X

    def centred(w: Any) -> Any:
        scores = X @ w
        return (scores - np.mean(scores)) @ X

    assert not any(isinstance(step, Blocks) for function in (shifted, turned, centred) for step in steps(function))


def test_arrays_that_fit_the_cache_are_worked_on_whole() -> None:
    def of(n_rows: int) -> list[Blocks]:
        x = np.ones((n_rows, 30))
        return blocks_of(gradient(fg.record(lambda w: np.sum(np.exp(x @ w)), np.ones(30)), (0,)))

    assert not of(569)
    (blocks,) = of(20_000)
    assert blocks.block % ROW_MULTIPLE == 0
    assert 8 * 31 * blocks.block <= BLOCK_BYTES
    assert blocks.n_rows >= MIN_BLOCKS * blocks.block


@pytest.mark.usefixtures("small_blocks")
def test_results_may_go_where_inputs_are_and_repeated_calls_see_what_is_there() -> None:
    f = fg.value_and_grad(lambda w, x: np.sum(np.exp(x @ w)), tier="vm")
    weights = [RNG.normal(size=M) for _ in range(4)]
    matrices = [RNG.normal(size=(n, M)) for n in (N, N, 2_000, 2_001)]
    for w, x in [*zip(weights, matrices, strict=True)] * 4:
        value, slope = f(w, x)
        np.testing.assert_allclose(value, np.sum(np.exp(x @ w)), rtol=1e-12)
        np.testing.assert_allclose(slope, np.exp(x @ w) @ x, rtol=1e-12)
        w *= 0.9
    w = weights[0]
    expected = f(w, matrices[3])[1]
    bound = fg.grad(lambda w, x: np.sum(np.exp(x @ w)), tier="vm").prepare(w, matrices[3])
    bound.into(w, matrices[3], w)
    np.testing.assert_allclose(w, expected, rtol=1e-12)


class _Program:
    """A random program of rows: products with the matrix from both sides, elementwise, slices, sums."""

    def __init__(self, seed: int, n_steps: int) -> None:
        self.seed, self.n_steps = seed, n_steps

    def __call__(self, w: Any, x: Any) -> Any:
        choose = np.random.default_rng(self.seed)
        wide, rows, total = [w], [x @ w], 0.0
        for _ in range(self.n_steps):
            row = rows[choose.integers(len(rows))]
            match choose.integers(8):
                case 0:
                    rows.append(x @ wide[choose.integers(len(wide))])
                case 1:
                    wide.append(np.tanh(row @ x / N))
                case 2:
                    wide.append(x.T @ np.sin(row) / N)
                case 3:
                    rows.append(np.tanh(row) * rows[choose.integers(len(rows))])
                case 4:
                    rows.append(row - np.mean(rows[choose.integers(len(rows))]))
                case 5:
                    rows.append(np.concatenate([row[1:], row[:1]]) + 0.5)
                case 6:
                    rows.append(np.sin((row[:, None] * x) @ wide[choose.integers(len(wide))]))
                case _:
                    total = total + np.sum(row**2) / N
        return total + np.sum(wide[-1] ** 2) + np.mean(rows[-1])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_random_programs_of_rows(seed: int, n_steps: int) -> None:
    w, x = np.random.default_rng(seed).normal(size=M) / 2, X / 2
    tape = gradient(fg.record(_Program(seed, n_steps), w, x), (0, 1))
    expected = results(tape, [w, x])
    with pytest.MonkeyPatch.context() as patched:
        for name, value in (("BLOCK_BYTES", 8 * 20 * 40), ("ROW_MULTIPLE", 8), ("MIN_BLOCKS", 2)):
            patched.setattr(f"fastgrad.plan.row_blocks.{name}", value)
        found = results(tape, [w, x])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)
