"""Values written over operands: which, and that results stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.plan.array_plan import array_plan
from fastgrad.plan.array_steps import Evaluation, Segment
from fastgrad.plan.request import Kind, Request
from fastgrad.tape import Tape
from fastgrad.transform.derivatives import gradient
from fastgrad.vm.array_executor import ADOPTED_SIZE, ArrayExecutor

RNG = np.random.default_rng(9)
SQUARE = RNG.normal(size=(40, 40)) / 6
LONG = np.argsort(RNG.normal(size=ADOPTED_SIZE))


def results(tape: Tape, inputs: list[Any], tier: str = "vm") -> list[Any]:
    run = ArrayExecutor(tape, Request(Kind.VALUES, n_outputs=len(tape.outputs)), tier)
    found = run.allocate()
    for _ in range(2):  # what the first run leaves must not show in the second
        assert run(inputs, [], found) == -1
    return found


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "a chain of products": (lambda x: np.sum(np.tanh(SQUARE @ np.tanh(SQUARE @ np.tanh(SQUARE @ x)))), (40, 40)),
    "an operand that is used again": (lambda x: np.sum((y := SQUARE @ x) * (SQUARE @ np.sin(y))), (40, 40)),
    "two values of one operand": (
        lambda x: np.sum((np.sin(y := SQUARE @ x) @ SQUARE) * (np.cos(y) @ SQUARE)),
        (40, 40),
    ),
    "an operand read transposed too": (lambda x: np.sum((y := SQUARE @ x) * y.T @ SQUARE), (40, 40)),
    "broadcasts": (lambda x: np.sum(np.exp(y := SQUARE @ x) / np.sum(np.exp(y), axis=1)[:, None] @ SQUARE), (40, 40)),
    "short rows": (lambda x: np.sum(np.log(np.sum(np.exp((y := SQUARE @ x) - np.max(y, 1)[:, None]), 1))), (40, 7)),
    "short rows as one": (lambda x: np.sum(np.cumsum(np.sin(SQUARE @ x).reshape(-1)) ** 2), (40, 7)),
    "sums into slices": (lambda x: np.sum(((y := SQUARE @ x)[1:] * y[:-1]) ** 2), (40, 40)),
    "what NumPy makes": (lambda x: np.sum(np.sin(x[LONG] * 2) ** 2 + np.sort(np.sin(x))), (ADOPTED_SIZE,)),
}


@pytest.mark.parametrize("tier", ["vm", "native"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_results_have_the_bits_that_they_have_without(name: str, tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, shape = PROGRAMS[name]
    x = RNG.normal(size=shape)
    given = x.copy()
    for tape in (fg.record(function, x), gradient(fg.record(function, x), (0,))):
        found = results(tape, [x], tier)
        with monkeypatch.context() as patched:
            patched.setattr("fastgrad.plan.array_plan.with_values_over_operands", lambda plan: plan)
            expected = results(tape, [x])
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(x, given)


def test_a_layer_is_computed_in_the_memory_of_its_product() -> None:
    def layers(x: Any) -> Any:
        return np.tanh(SQUARE @ np.tanh(SQUARE @ x)) @ SQUARE

    plan = array_plan(fg.record(layers, np.ones((40, 40))))
    assert plan.workspace_bytes == 2 * 8 * 40 * 40


def test_inputs_constants_and_values_that_are_read_later_are_left_alone() -> None:
    tape = fg.record(lambda x: (y := SQUARE @ np.sin(x)) * (SQUARE @ np.sin(y)), np.ones((40, 40)))
    plan = array_plan(tape)
    # the first sine, y, the second sine, and its product, which the result is made from
    assert plan.workspace_bytes == 4 * 8 * 40 * 40


def test_values_of_short_rows_are_laid_out_by_columns_where_all_users_take_them() -> None:
    def strides(function: Callable[..., Any]) -> list[tuple[int, ...]]:
        plan = array_plan(fg.record(function, np.ones((40, 7))))
        stored = [store.place for step in plan.flat_steps if isinstance(step, Segment) for store in step.stores]
        return [place.strides for place in stored if plan.buffers[place.buffer].kind == "workspace"]

    assert strides(lambda x: SQUARE @ np.sin(x)) == [(1, 40)]
    assert strides(lambda x: np.cumsum(np.sin(x).reshape(-1))) == [(7, 1)]


def test_a_segment_whose_values_are_all_computed_again_elsewhere_is_dropped() -> None:
    def update(x: Any, scale: Any) -> Any:
        return np.sum(x * scale), np.tanh(x * 0.5 * scale)

    plan = array_plan(fg.record(update, np.ones((40, 40)), 2.0))
    assert all(step.stores for step in plan.flat_steps if isinstance(step, Segment))
    tape = fg.record(lambda x, s: x * 0.5 - np.exp(s) * np.ones((40, 40)), np.ones((40, 40)), 1.0)
    assert all(step.stores for step in array_plan(tape).flat_steps if isinstance(step, Segment))


def test_nothing_is_written_over_an_array_that_numpy_gave_back() -> None:
    """It may be an operand, or read-only."""
    plan = array_plan(fg.record(lambda x: SQUARE @ np.sin(np.sort(x, 0)) @ SQUARE, SQUARE))
    made = {
        step.result.buffer for step in plan.flat_steps if isinstance(step, Evaluation) and step.operation.into is None
    }
    stored = {store.place.buffer for step in plan.flat_steps if isinstance(step, Segment) for store in step.stores}
    assert made
    assert stored
    assert not made & stored
