"""Scalar programs made ready for the machine: nothing needless runs, guards stand behind what they check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastgrad
from fastgrad.plan.scalar_program import scalar_program
from fastgrad.plan.sweep import Sweep, plan_sweep
from fastgrad.vm import instructions as isa


def sweep_of(function: Callable[..., Any], *operands: Any, wrt: tuple[int, ...] | None = (0,)) -> Sweep:
    return plan_sweep(scalar_program(fastgrad.record(function, *operands)), wrt)


def instructions(sweep: Sweep) -> Iterator[tuple[str, list[int]]]:
    """Name and slots of each instruction."""
    words, at = sweep.words.tolist(), 0
    while words[at] != isa.END:
        length = int(isa.N_WORDS[words[at]])
        yield isa.OPCODE_NAMES[words[at]], words[at + 1 : at + length]
        at += length
    assert at == len(words) - 1


def names(sweep: Sweep) -> list[str]:
    return [name for name, _ in instructions(sweep)]


def test_values_alone_need_neither_edges_nor_partial_derivatives() -> None:
    sweep = sweep_of(lambda x: np.sin(x) / x, 2.0, wrt=None)
    assert names(sweep) == ["sin", "divide"]
    assert len(sweep.edges) == 0


def test_partial_derivatives_are_computed_where_they_are_needed() -> None:
    assert names(sweep_of(lambda x: np.sin(x) / x, 2.0)) == ["sin_with_partials", "divide_with_partials"]
    # by y alone: the sine needs none
    sweep = sweep_of(lambda x, y: np.sin(x) / y, 2.0, 3.0, wrt=(1,))
    assert names(sweep) == ["sin", "divide_with_partials"]
    assert len(sweep.edges) == 1


def test_what_nothing_depends_on_is_left_out() -> None:
    assert names(sweep_of(lambda x: (np.exp(x), x * x)[1], 2.0)) == ["multiply"]


def test_a_product_in_a_sum_is_one_instruction() -> None:
    assert names(sweep_of(lambda x, y: x * y + 1.0, 2.0, 3.0)) == ["multiply_add"]
    assert names(sweep_of(lambda x, y: x * y - y, 2.0, 3.0)) == ["multiply_subtract"]
    assert names(sweep_of(lambda x, y: y - x * y, 2.0, 3.0)) == ["subtract_product"]


def test_a_product_that_is_needed_elsewhere_stays() -> None:
    def twice(x: Any, y: Any) -> Any:
        product = x * y
        return product + 1.0, product

    assert names(sweep_of(twice, 2.0, 3.0)) == ["multiply", "add"]


def test_sums_cost_no_edges() -> None:
    def summed(x: Any) -> Any:
        return np.exp(x[0]) + np.exp(x[1]) + np.exp(x[2])

    sweep = sweep_of(summed, np.zeros(3))
    assert len(sweep.edges) == 3
    assert sweep.n_adjoints == 4


def test_steps_have_no_edges() -> None:
    assert len(sweep_of(lambda x: np.floor(x) * 2.0, 2.5).edges) == 0


def test_edges_come_in_the_order_of_the_reverse_sweep() -> None:
    sweep = sweep_of(lambda x: np.sin(np.exp(np.tanh(x))), 0.5)
    results = sweep.edges[:, 0].tolist()
    operands = sweep.edges[:, 1].tolist()
    for k, operand in enumerate(operands):
        assert operand not in results[: k + 1]  # nothing is added to an adjoint that was passed on already


def guards(sweep: Sweep) -> list[tuple[str, int]]:
    return [(name, slots[0]) for name, slots in instructions(sweep) if name.startswith("guard")]


def test_a_guard_stands_behind_the_instruction_that_it_checks() -> None:
    def branching(x: Any) -> Any:
        y = x * x
        if y > 1:
            y = np.exp(y)
        if np.trunc(y) == 8103:
            y = -y
        return y if int(y) > 2 else -y

    sweep = sweep_of(branching, 3.0)
    assert names(sweep) == [
        *("multiply", "guard_less", "exp", "trunc", "guard_equal", "negative", "trunc", "guard"),
        "negative",
    ]
    assert [number for _, number in guards(sweep)] == [0, 1, 2]
    made = {0}
    for name, slots in instructions(sweep):
        ready = {*made, *sweep.numbers["slot"].tolist(), *sweep.input_starts}
        assert set(slots[1 : 1 + isa.N_OPERANDS[isa.OPCODE_NAMES.index(name)]]) <= ready
        if not name.startswith("guard"):
            made.add(slots[0])


def decided(x: Any) -> Any:
    """Every comparison, with either outcome."""
    found = [x < 1, x < 5, x <= 1, x <= 5, x > 1, x > 5, x >= 1, x >= 5, x == 2, x == 3, x != 4]
    return x * sum(2.0**k for k, outcome in enumerate(found) if outcome)


def test_a_comparison_that_only_its_guard_reads_is_part_of_it() -> None:
    assert names(sweep_of(decided, 2.0)) == [
        *("guard_not_less", "guard_less", "guard_not_less_equal", "guard_less_equal", "guard_less", "guard_not_less"),
        *("guard_less_equal", "guard_not_less_equal", "guard_equal", "guard_not_equal", "guard_not_equal"),
        "multiply",
    ]
    assert names(sweep_of(lambda x: -x if x != 2 else x, 2.0)) == ["guard_equal"]


def test_a_comparison_that_is_needed_elsewhere_stays() -> None:
    def function(x: Any) -> Any:
        positive = x > 0
        return x * positive if positive else x

    assert names(sweep_of(function, 2.0)) == ["greater", "guard", "multiply"]


def test_a_check_made_twice_is_made_once() -> None:
    def function(x: Any) -> Any:
        total = x
        for _ in range(5):
            if x > 0:
                total = total + 1.0
            if np.less(0, x):
                total = total + 1.0
            if x <= 3:
                total = total + np.exp(x)
        return total

    sweep = sweep_of(function, 2.0)
    assert [name for name, _ in guards(sweep)] == ["guard_less", "guard_less_equal"]
    assert guards(sweep)[0][1] == 0
    assert guards(sweep)[1][1] == 2


def test_guards_on_inputs_stand_first_and_those_of_an_empty_program_alone() -> None:
    assert names(sweep_of(lambda x, y: x if y > 0 else -x, 1.0, 2.0)) == ["guard_less"]
    assert names(sweep_of(lambda x, y: np.exp(x) * 2.0 if y[0] > x else x, 1.0, np.ones(1))) == ["guard_not_less"]


@pytest.mark.parametrize("wrt", [(0,), (1,), (0, 1), (1, 0)])
def test_inputs_that_are_differentiated_by_have_adjoints_side_by_side(wrt: tuple[int, ...]) -> None:
    sweep = sweep_of(lambda x, y: np.sum(x) * np.prod(y), np.ones(3), np.ones(4), wrt=wrt)
    for position in wrt:
        start, size = sweep.input_starts[position], sweep.input_sizes[position]
        adjoints = sweep.adjoint_of_slot[start : start + size]
        np.testing.assert_array_equal(adjoints, adjoints[0] + np.arange(size))
        assert adjoints[0] >= 0
