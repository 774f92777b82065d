"""Scalar programs run by the machine: every kind of request, captured data, guards, threads and batches."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastgrad
from fastgrad.plan.request import Kind, Request, result_shapes
from fastgrad.plan.scalar_program import scalar_program
from fastgrad.tape import Tape
from fastgrad.vm.batch_executor import BatchExecutor
from fastgrad.vm.scalar_executor import MAX_SEEDS, ScalarExecutor, runs_of
from tests.tapes import ANALYTIC, jacobians

RNG = np.random.default_rng(9)


def recorded(function: Callable[..., Any], *operands: Any) -> tuple[Tape, list[np.ndarray]]:
    return fastgrad.record(function, *operands), [np.asarray(operand, float) for operand in operands]


def request_of(tape: Tape, kind: Kind, wrt: Any = None, n_outputs: int = 1) -> tuple[Request, Any]:
    wrt = tuple(range(len(tape.inputs))) if wrt is None else wrt
    request = Request(kind, () if kind is Kind.VALUES else wrt, n_outputs)
    return request, result_shapes(tape.output_shapes, tape.input_shapes, request)


def run(tape: Tape, kind: Kind, inputs: Any, seeds: Any = (), **rest: Any) -> list[np.ndarray]:
    request, shapes = request_of(tape, kind, **rest)
    executor = ScalarExecutor(scalar_program(tape), request, shapes)
    results = executor.allocate()
    assert executor(inputs, seeds, results) == -1
    assert [result.shape for result in results] == list(shapes)
    return results


@pytest.mark.parametrize("name", ANALYTIC)
def test_every_kind_of_request_agrees_with_complex_steps(name: str) -> None:
    function, operands = ANALYTIC[name]
    tape, inputs = recorded(function, *operands)
    exact = jacobians(function, operands)
    value = np.asarray(function(*operands))
    seed = RNG.normal(size=value.shape)
    directions = [RNG.normal(size=x.shape) for x in inputs]
    ones = np.ones(value.shape)

    def through(cotangent: np.ndarray) -> list[np.ndarray]:
        return [np.tensordot(cotangent, jacobian, cotangent.ndim) for jacobian in exact]

    along = sum(np.tensordot(jacobian, d, d.ndim) for jacobian, d in zip(exact, directions, strict=True))
    expected: dict[Kind, tuple[Any, list[Any]]] = {
        Kind.VALUES: ((), []),
        Kind.GRADIENT: ((), through(ones)),
        Kind.VJP: ([seed], through(seed)),
        Kind.JVP: (directions, [along]),
        Kind.JACOBIAN: ((), exact),
    }
    for kind, (seeds, derivatives) in expected.items():
        found = run(tape, kind, inputs, seeds)
        for result, wanted in zip(found, [value, *derivatives], strict=True):
            np.testing.assert_allclose(result, wanted, rtol=1e-12, atol=1e-14, err_msg=str(kind))


@pytest.mark.parametrize(
    ("n", "m"), [(1, 1), (3, 8), (8, 3), (MAX_SEEDS + 5, 2 * MAX_SEEDS + 3), (2 * MAX_SEEDS + 3, MAX_SEEDS + 5)]
)
def test_jacobians_of_any_size_in_either_direction(n: int, m: int) -> None:
    matrix = RNG.normal(size=(m, n))
    tape, inputs = recorded(lambda x: matrix @ np.sin(x), np.linspace(0.1, 1.0, n))
    jacobian = run(tape, Kind.JACOBIAN, inputs)[1]
    np.testing.assert_allclose(jacobian, matrix * np.cos(inputs[0]), rtol=1e-14)


def test_the_same_bits_from_a_jacobian_and_from_its_rows_and_columns() -> None:
    tape, inputs = recorded(lambda x: np.exp(x[:3] * x[3:]) + x[0] / x[1], RNG.uniform(1, 2, 6))
    jacobian = run(tape, Kind.JACOBIAN, inputs)[1]
    rows = np.array([run(tape, Kind.VJP, inputs, [seed])[1] for seed in np.eye(3)])
    np.testing.assert_array_equal(rows, jacobian)


def test_blocks_of_several_outputs_and_inputs_stand_by_output_then_input() -> None:
    tape, inputs = recorded(lambda x, y: (x * y, np.sum(x) * np.ones(3)), RNG.normal(size=2), 5.0)
    blocks = run(tape, Kind.JACOBIAN, inputs, wrt=(1, 0), n_outputs=2)[2:]
    x = inputs[0]
    for block, wanted in zip(blocks, [x, 5.0 * np.eye(2), np.zeros(3), np.ones((3, 2))], strict=True):
        np.testing.assert_array_equal(block, wanted)


def test_auxiliary_outputs_have_values_only() -> None:
    tape, inputs = recorded(lambda x: (x * x, np.exp(x)), 0.5)
    assert [float(result) for result in run(tape, Kind.GRADIENT, inputs)] == [0.25, float(np.exp(0.5)), 1.0]


def test_what_has_no_influence_has_derivative_zero() -> None:
    tape, inputs = recorded(lambda x, y: np.floor(x) + 0.0, 2.5, np.ones(2))
    for kind in (Kind.GRADIENT, Kind.JACOBIAN):
        _, by_x, by_y = run(tape, kind, inputs)
        assert by_x == 0
        np.testing.assert_array_equal(by_y, np.zeros(2))


def test_results_of_an_earlier_run_leave_nothing_behind() -> None:
    tape, _ = recorded(lambda x: np.sqrt(x) * x, 4.0)
    request, shapes = request_of(tape, Kind.GRADIENT)
    executor = ScalarExecutor(scalar_program(tape), request, shapes)
    for x in (4.0, np.nan, 9.0, 0.0, 16.0):
        results = executor.allocate()
        executor([np.array(x)], (), results)
        expected = [x * np.sqrt(x), 1.5 * np.sqrt(x)]
        np.testing.assert_allclose([float(result) for result in results], expected, rtol=1e-15)


def test_captured_arrays_are_read_at_every_run_whatever_their_layout() -> None:
    plain, strided, whole = np.array([1.0, 2.0]), np.arange(4.0)[::2], np.array([1, 2])
    tape, inputs = recorded(lambda x: (x * plain + strided) * whole, np.ones(2))
    request, shapes = request_of(tape, Kind.VALUES)
    executor = ScalarExecutor(scalar_program(tape), request, shapes)
    results = executor.allocate()
    for _ in range(2):
        executor(inputs, (), results)
        np.testing.assert_array_equal(results[0], (plain + strided) * whole)
        plain[:], strided[:], whole[:] = 7.0, 5.0, 3


def test_a_failed_guard_is_named_and_nothing_is_written() -> None:
    def branching(x: Any) -> Any:
        y = x * 2 if x > 0 else x
        return y + 1 if x < 10 else y

    tape, _ = recorded(branching, 3.0)
    request, shapes = request_of(tape, Kind.GRADIENT)
    executor = ScalarExecutor(scalar_program(tape), request, shapes)
    results = [np.array(-5.0), np.array(-5.0)]
    assert [executor([np.array(x)], (), results) for x in (-1.0, 20.0)] == [0, 1]
    assert results == [-5.0, -5.0]
    assert executor([np.array(4.0)], (), results) == -1
    assert results == [9.0, 2.0]


def test_threads_share_an_executor() -> None:
    tape, _ = recorded(lambda x: np.sum(np.exp(np.sin(x))), np.ones(50))
    request, shapes = request_of(tape, Kind.GRADIENT)
    executor = ScalarExecutor(scalar_program(tape), request, shapes)
    points = RNG.normal(size=(64, 50))

    def work(point: np.ndarray) -> np.ndarray:
        results = executor.allocate()
        for _ in range(20):
            assert executor([point], (), results) == -1
        return results[1].copy()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, points))
    np.testing.assert_array_equal(found, [work(point) for point in points])


@pytest.mark.parametrize("n", [1, 8, 5000])
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("kind", [Kind.VALUES, Kind.GRADIENT, Kind.JACOBIAN])
def test_a_batch_gives_the_bits_of_single_runs(kind: Kind, n_threads: int, n: int) -> None:
    tape, _ = recorded(lambda x, a: np.stack([np.exp(-x[0] * x[1]), np.sqrt(x[1]) * a]), np.ones(2), 2.0)
    request, shapes = request_of(tape, kind)
    points, a = RNG.uniform(0.5, 2.0, (n, 2)), np.array(3.0)
    results = [np.empty((n, *shape)) for shape in shapes]
    batch = BatchExecutor(scalar_program(tape), request, tape.input_shapes)
    batch(n, [(points, True), (a, False)], (), results, n_threads, None)
    single = ScalarExecutor(scalar_program(tape), request, shapes)
    for k in range(n):
        expected = single.allocate()
        single([points[k], a], (), expected)
        for result, wanted in zip(results, expected, strict=True):
            np.testing.assert_array_equal(result[k], wanted)


def test_runs_of_constant_step_are_found() -> None:
    assert list(runs_of([])) == []
    assert list(runs_of([4])) == [(0, 4, 1, 1)]
    assert list(runs_of([4, 5, 6, 10, 8, 6, 7])) == [(0, 4, 1, 3), (3, 10, -2, 3), (6, 7, 1, 1)]
    positions = RNG.integers(0, 5, 100).tolist()
    covered = [first + k * step for _, first, step, count in runs_of(positions) for k in range(count)]
    assert covered == positions
