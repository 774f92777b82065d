"""Tapes as straight-line scalar code, run by a plain interpreter and compared with NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad
from fastgrad import ops
from fastgrad.plan.scalar_program import NO_SLOT, ScalarProgram, scalar_cost, scalar_program
from fastgrad.vm.evaluate import evaluator
from tests.tapes import ANALYTIC

RNG = np.random.default_rng(8)


def run(program: ScalarProgram, operands: Any) -> tuple[list[np.ndarray], np.ndarray]:
    """The outputs of a program and its memory, instruction after instruction."""
    memory = np.full(program.n_slots, np.nan)
    memory[program.number_slots] = program.numbers
    for start, size, operand in zip(program.input_starts, program.input_sizes, operands, strict=True):
        memory[start : start + size] = np.ravel(operand)
    for array, start in program.captured:
        memory[start : start + array.size] = array.ravel()
    for code, slots, result in zip(program.codes, program.operands, program.results, strict=True):
        assert np.isnan(memory[result])  # every slot is written once
        memory[result] = evaluator(ops.TABLE[code])(*memory[slots[slots != NO_SLOT]])
    return [memory[slots] for slots in program.outputs], memory


def program_of(function: Callable[..., Any], *operands: Any) -> ScalarProgram:
    return scalar_program(fastgrad.record(function, *operands))


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = ANALYTIC | {
    "maximum of rows": (lambda x: np.max(x, axis=1) - np.min(x), (RNG.normal(size=(3, 4)),)),
    "ties": (lambda x: np.max(x), (np.array([1.0, 3.0, 3.0]),)),
    "empty": (lambda x: x[3:] * 2, (np.ones(3),)),
    "sum of nothing": (lambda x: np.sum(x[3:]) + x[0], (np.ones(3),)),
    "several outputs": (lambda x, y: (x, y[::-1], x * y), (2.0, np.arange(3.0))),
    "matrices of matrices": (lambda x, y: x @ y, (RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 4, 2)))),
    "truth values": (lambda x: np.where((x > 0) & (x < 1), x, -x), (RNG.normal(size=5),)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_programs_compute_what_numpy_computes(name: str) -> None:
    function, operands = FUNCTIONS[name]
    expected = function(*operands)
    found, _ = run(program_of(function, *operands), operands)
    for value, wanted in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
        assert value.shape == np.shape(wanted)
        np.testing.assert_allclose(value, wanted, rtol=1e-13, atol=1e-15)


MOVEMENTS: list[Callable[[Any], Any]] = [
    lambda x: x.T,
    lambda x: x.reshape(6),
    lambda x: x[::-1, 1:],
    lambda x: np.concatenate([x, x[:1]]),
    lambda x: x[np.array([1, 0, 1])],
    lambda x: np.broadcast_to(x, (4, 2, 3)),
    lambda x: np.stack([x[0], x[1]], axis=1),
]


@pytest.mark.parametrize("function", MOVEMENTS)
def test_moving_elements_costs_no_instruction(function: Any) -> None:
    x = RNG.normal(size=(2, 3))
    program = program_of(function, x)
    assert len(program.codes) == 0
    np.testing.assert_array_equal(run(program, [x])[0][0], function(x))


def test_sums_are_pairwise() -> None:
    program = program_of(lambda x: np.sum(x), np.ones(1024))
    assert len(program.codes) == 1023
    depth = np.zeros(program.n_slots)
    for slots, result in zip(program.operands, program.results, strict=True):
        depth[result] = 1 + depth[slots[slots != NO_SLOT]].max()
    assert depth.max() == 10
    x = RNG.normal(size=1024)
    assert run(program, [x])[0][0] == pytest.approx(np.sum(x), rel=1e-13)


def test_equal_numbers_share_a_slot_and_signs_of_zero_do_not() -> None:
    program = program_of(lambda x: (x * 2.5, x + 2.5, np.copysign(x, -0.0), np.copysign(x, 0.0)), 1.0)
    assert np.count_nonzero(program.numbers == 2.5) == 1
    assert sorted(np.signbit(program.numbers[program.numbers == 0.0])) == [False, True]
    assert [float(value) for value in run(program, [3.0])[0]] == [7.5, 5.5, -3.0, 3.0]


def test_captured_arrays_are_referred_to_and_not_copied() -> None:
    weights = np.arange(3.0)
    program = program_of(lambda x: x * weights, np.ones(3))
    assert program.captured[0][0] is weights


def test_all_elements_that_share_an_extremum_share_its_derivative() -> None:
    x = np.array([1.0, 3.0, 3.0])
    program = program_of(lambda x: np.max(x), x)
    _, memory = run(program, [x])
    assert program.edge_free.any()
    result, operands, weights = program.extra_edges.T
    assert np.all(result == program.outputs[0])
    np.testing.assert_array_equal(operands, program.input_starts[0] + np.arange(3))
    np.testing.assert_array_equal(memory[weights], [0.0, 0.5, 0.5])


def test_guards_are_slots_with_what_they_must_hold() -> None:
    program = program_of(lambda x: x * 2 if x > 1 else x, 3.0)
    _, memory = run(program, [3.0])
    assert memory[program.guard_slots] == memory[program.guard_expected] == 1.0
    _, memory = run(program, [0.5])
    assert memory[program.guard_slots] != memory[program.guard_expected]


@pytest.mark.parametrize("name", ANALYTIC)
def test_the_cost_is_about_the_number_of_instructions(name: str) -> None:
    function, operands = ANALYTIC[name]
    tape = fastgrad.record(function, *operands)
    n = len(scalar_program(tape).codes)
    assert n <= scalar_cost(tape) <= 2 * n + 30
