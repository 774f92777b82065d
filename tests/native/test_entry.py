"""Machine code that stands alone: the VM's bits, guards, strong zeros, captured arrays, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad
from fastgrad.native.entry import Entry, entry_for
from fastgrad.plan.request import Kind, Request
from tests.native.test_same_bits import bits, branching, long_simulation, scalar_executor
from tests.tapes import ANALYTIC

RNG = np.random.default_rng(41)


def call(entry: Entry, arrays: Any) -> tuple[int, list[np.ndarray]]:
    n_inputs = len(entry.input_shapes) - entry.n_seeds
    given = [*arrays[:n_inputs], *entry.captured, *arrays[n_inputs:]]
    results = [np.full(shape, 7.0) for shape in entry.result_shapes]
    inputs = np.array([array.ctypes.data for array in given], np.int64)
    outputs = np.array([array.ctypes.data for array in results], np.int64)
    workspace = np.empty(entry.workspace)
    status = entry.function(inputs.ctypes.data, outputs.ctypes.data, workspace.ctypes.data)
    return status, results


def compared(function: Any, operands: Any, kind: Kind, points: Any = None) -> None:
    tape = fastgrad.record(function, *operands)
    request = Request(kind, () if kind is Kind.VALUES else tuple(range(len(operands))), 1)
    entry = entry_for(tape, request)
    vm = scalar_executor(tape, kind)
    n_inputs = len(tape.inputs)
    for point in points or [operands]:
        arrays = [np.ascontiguousarray(x, float) for x in point]
        seeds = [RNG.normal(size=shape) for shape in entry.input_shapes[n_inputs:]]
        expected = vm.allocate()
        status = vm(arrays, seeds, expected)
        found_status, found = call(entry, [*arrays, *seeds])
        assert found_status == status
        for x, y in zip(found, expected, strict=True):
            if status == -1:
                np.testing.assert_array_equal(bits(x), bits(y))
            else:
                assert (x == 7.0).all(), "nothing is written where a guard fails"


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.value)
@pytest.mark.parametrize("name", ANALYTIC)
def test_every_request_of_a_program(name: str, kind: Kind) -> None:
    function, operands = ANALYTIC[name]
    compared(function, operands, kind)


def test_a_long_program_uses_its_workspace() -> None:
    compared(long_simulation, [np.array([0.3, -0.7, 1.1])], Kind.GRADIENT)


def test_guards() -> None:
    points = [[RNG.normal(size=3)] for _ in range(30)]
    compared(branching, points[0], Kind.GRADIENT, points)


def test_strong_zeros_without_a_vm_to_turn_to() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.where(x > 0, np.sqrt(x), 0.0)) + np.sqrt(np.sum(x[:2] * x[:2])) + x[2] ** 0

    points = [[np.zeros(4)], [np.array([0.0, 0.0, 1.0, 0.0])], [np.array([np.nan, 0.0, 1.0, 2.0])], [np.ones(4)]]
    for kind in (Kind.GRADIENT, Kind.VJP, Kind.JVP, Kind.JACOBIAN):
        compared(f, points[3], kind, points)


def test_captured_arrays_are_read_where_they_are() -> None:
    weights = RNG.normal(size=4)
    tape = fastgrad.record(lambda x: np.sum(weights * x * x), np.ones(4))
    entry = entry_for(tape, Request(Kind.GRADIENT, (0,), 1))
    for _ in range(2):
        status, (value, gradient) = call(entry, [np.arange(4.0)])
        assert status == -1
        np.testing.assert_allclose(gradient, 2 * weights * np.arange(4.0))
        assert value == pytest.approx(np.sum(weights * np.arange(4.0) ** 2))
        weights *= 2.0


def test_the_same_code_has_the_same_name_and_other_code_another() -> None:
    def named(function: Any, kind: Kind = Kind.GRADIENT) -> str:
        return entry_for(fastgrad.record(function, np.ones(3)), Request(kind, (0,), 1)).name

    assert named(lambda x: x[0] * x[1]) == named(lambda x: x[0] * x[1])
    others = [named(lambda x: x[0] * x[2]), named(lambda x: x[0] * x[1]), named(lambda x: x[0] * x[1], Kind.JVP)]
    assert len(set(others)) == 3


def test_what_only_numpy_does_is_refused() -> None:
    tape = fastgrad.record(lambda a: np.linalg.eigvalsh(a)[0], np.eye(3))
    with pytest.raises(fastgrad.UnsupportedError, match="operations that only NumPy and LAPACK do"):
        entry_for(tape, Request(Kind.GRADIENT, (0,), 1))
    large = fastgrad.record(lambda x: np.sum(np.sin(x)), np.ones(300_000))
    with pytest.raises(
        fastgrad.UnsupportedError, match=r"would take \d+ scalar instructions; up to 200000 are written"
    ):
        entry_for(large, Request(Kind.GRADIENT, (0,), 1))
    whole = np.arange(3)
    captured = fastgrad.record(lambda x: np.sum(whole * x), np.ones(3))
    with pytest.raises(fastgrad.UnsupportedError, match="must hold float64 in C order"):
        entry_for(captured, Request(Kind.GRADIENT, (0,), 1))
