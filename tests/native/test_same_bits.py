"""Native code gives the VM's bits: every operation of the table, one number at a time and over lanes, and programs."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

import fastgrad
from fastgrad import ops
from fastgrad.native import store
from fastgrad.native.source import MAX_OPTIMISED, Source
from fastgrad.plan.request import Kind, Request, result_shapes
from fastgrad.plan.scalar_program import scalar_program
from fastgrad.recording.recorded_array import apply
from fastgrad.tape import Tape
from fastgrad.vm.batch_executor import BatchExecutor
from fastgrad.vm.scalar_executor import Runner, ScalarExecutor
from tests.tapes import ANALYTIC

RNG = np.random.default_rng(23)
SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    3.0,
    np.inf,
    -np.inf,
    np.nan,
    5e-324,
    -5e-324,
    1e-310,
    1e308,
    1e-8,
    710.0,
    -745.2,
]


def bits(array: Any) -> np.ndarray:
    """The bits of floats; all NaNs count as one."""
    array = np.array(array, float)
    array[np.isnan(array)] = np.nan
    return array.view(np.int64)


def points_of(operation: ops.Operation) -> list[tuple[float, ...]]:
    random = [tuple(RNG.uniform(*ends) for ends in operation.domain) for _ in range(40)]
    n_special = {1: len(SPECIAL), 2: 12, 3: 6}[operation.arity]
    return random + list(itertools.product(SPECIAL[:n_special], repeat=operation.arity))


def tape_of(operation: ops.Operation) -> Tape:
    return fastgrad.record(lambda *x: apply(operation, x), *points_of(operation)[0])


def request_of(tape: Tape, kind: Kind) -> Request:
    return Request(kind, () if kind is Kind.VALUES else tuple(range(len(tape.inputs))), 1)


def scalar_executor(tape: Tape, kind: Kind, tier: str = "vm") -> ScalarExecutor:
    request = request_of(tape, kind)
    shapes = result_shapes(tape.output_shapes, tape.input_shapes, request)
    return ScalarExecutor(scalar_program(tape), request, shapes, tier)


def in_groups(size: int) -> list[list[ops.Operation]]:
    table = [operation for operation in ops.TABLE if operation.domain]
    return [table[k : k + size] for k in range(0, len(table), size)]


def check_operations(operations: Sequence[ops.Operation]) -> None:
    """All of them from one compilation, as code for one evaluation."""
    executors = [scalar_executor(tape_of(operation), Kind.GRADIENT) for operation in operations]
    sources = [executor._sources()[0] for executor in executors]
    code = store.make(sources)
    for operation, executor, address in zip(operations, executors, code.addresses, strict=True):
        native = Runner(executor.layout)
        native.use_native([address])
        plain = Runner(executor.layout)
        run_native = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(address)
        for point in points_of(operation):
            arrays = [np.array(x) for x in point]
            found, expected = executor.allocate(), executor.allocate()
            assert native.run(arrays, [], found) == plain.run(arrays, [], expected) == -1
            for x, y in zip(found, expected, strict=True):
                assert bits(x) == bits(y), (operation.name, point, x, y)
            # it gives up where a derivative is NaN, and nowhere else
            gives_up = np.isnan(found[1:]).any()
            assert run_native(native.address) == -1 or gives_up or 0.0 in expected[1:]


@pytest.mark.parametrize("operations", in_groups(12), ids=lambda group: group[0].name)
def test_operations_in_optimised_code(operations: list[ops.Operation]) -> None:
    check_operations(operations)


def test_operations_in_code_that_is_translated_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastgrad.native.source.MAX_OPTIMISED", 0)
    monkeypatch.setattr("fastgrad.native.store.find", lambda sources: None)
    check_operations([operation for operation in ops.TABLE if operation.domain])


@pytest.mark.parametrize("operations", in_groups(12), ids=lambda group: group[0].name)
def test_operations_over_lanes(operations: list[ops.Operation]) -> None:
    for operation in operations:
        points = np.array(points_of(operation))
        columns = [(np.ascontiguousarray(column), True) for column in points.T]
        tape = tape_of(operation)
        request = request_of(tape, Kind.GRADIENT)
        found = []
        for tier in ("vm", "native"):
            executor = BatchExecutor(scalar_program(tape), request, tape.input_shapes, tier)
            results = [np.empty(len(points)) for _ in range(1 + operation.arity)]
            executor(len(points), columns, [], results, 1, None)
            found.append(results)
        assert [tier.is_native for tier in executor.tiers.values()] == [True]
        for x, y in zip(*found, strict=True):
            np.testing.assert_array_equal(bits(x), bits(y), err_msg=operation.name)


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.value)
@pytest.mark.parametrize("name", ANALYTIC)
def test_every_request_of_a_program(name: str, kind: Kind) -> None:
    function, operands = ANALYTIC[name]
    tape = fastgrad.record(function, *operands)
    inputs = [np.asarray(operand, float) for operand in operands]
    seeds = {
        Kind.VJP: [RNG.normal(size=tape.output_shapes[0])],
        Kind.JVP: [RNG.normal(size=shape) for shape in tape.input_shapes],
    }.get(kind, [])
    vm, native = scalar_executor(tape, kind), scalar_executor(tape, kind, "native")
    assert native.tier.is_native
    found, expected = native.allocate(), vm.allocate()
    assert native(inputs, seeds, found) == vm(inputs, seeds, expected) == -1
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_array_equal(bits(x), bits(y))


def long_simulation(x: Any, n_steps: int = 700) -> Any:
    """Some ten thousand operations, so that the code has several parts."""
    a, b, c = x
    for _ in range(n_steps):
        a, b, c = a + 0.01 * (b * c - a), b + 0.01 * np.sin(a - c), c + 0.01 * (a * b - c / (1 + b * b))
    return a * b + c


def test_a_long_program_in_several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    point = np.array([0.3, -0.7, 1.1])
    expected = fastgrad.value_and_grad(long_simulation, tier="vm")(point)
    for limit in (MAX_OPTIMISED, 10**9):
        monkeypatch.setattr("fastgrad.native.source.MAX_OPTIMISED", limit)
        monkeypatch.setattr("fastgrad.native.store.find", lambda sources: None)
        derivative = fastgrad.value_and_grad(long_simulation, tier="native")
        found = derivative(point)
        assert derivative.explain(point).tier == "native"
        assert bits(found[0]) == bits(expected[0])
        np.testing.assert_array_equal(bits(found[1]), bits(expected[1]))


@pytest.mark.parametrize("n_steps", [60, 700])
def test_a_long_program_over_lanes(n_steps: int) -> None:
    """Of several parts, and one that is left to the VM."""
    points = RNG.normal(size=(67, 3))
    expected = fastgrad.vmap(fastgrad.grad(partial(long_simulation, n_steps=n_steps), tier="vm"))(points)
    found = fastgrad.vmap(fastgrad.grad(partial(long_simulation, n_steps=n_steps), tier="native"))(points)
    np.testing.assert_array_equal(bits(found), bits(expected))


def branching(x: Any) -> Any:
    total = 0.0 * x[0]
    for k in range(3):
        total = total + (np.exp(x[k]) if x[k] > 0.0 else np.sqrt(-x[k]) * x[k - 1])
    return total


def test_guards_stop_native_code_where_they_stop_the_vm() -> None:
    points = RNG.normal(size=(300, 3))
    points[5, 1] = 0.0
    vm, native = fastgrad.value_and_grad(branching, tier="vm"), fastgrad.value_and_grad(branching, tier="native")
    for point in points[:60]:
        for x, y in zip(vm(point), native(point), strict=True):
            np.testing.assert_array_equal(bits(x), bits(y))
    assert len(native.recordings) == len(vm.recordings) > 4
    for x, y in zip(fastgrad.vmap(vm)(points), fastgrad.vmap(native)(points), strict=True):
        np.testing.assert_array_equal(bits(x), bits(y))


STRONG_ZEROS: dict[str, Callable[..., Any]] = {
    "root behind where": lambda x: np.where(x > 0, np.sqrt(x), 0.0).sum(),
    "norm": lambda x: np.sqrt(np.sum(x * x)),
    "power": lambda x: np.sum(x**0.5 * 0.0),
    "product": lambda x: np.prod(x) + np.log(np.abs(x)).sum() * 0.0,
}


@pytest.mark.parametrize("name", STRONG_ZEROS)
@pytest.mark.parametrize("n", [3, 20_000])
def test_a_factor_of_zero_is_as_strong_as_in_the_vm(name: str, n: int) -> None:
    x = np.zeros(n)
    vm = fastgrad.value_and_grad(STRONG_ZEROS[name], tier="vm")
    native = fastgrad.value_and_grad(STRONG_ZEROS[name], tier="native")
    for x in (np.zeros(n), np.where(np.arange(n) % 3, 0.0, 2.0), np.full(n, np.nan)):
        for found, expected in zip(native(x), vm(x), strict=True):
            np.testing.assert_array_equal(bits(found), bits(expected))


@pytest.mark.parametrize("n", [3_001, 20_000])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sum(np.exp(-x * x) * np.sin(3 * x) + np.log1p(x * x)),
        lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
        lambda x: np.mean(np.tanh(x[::-1] * x[0])) + np.max(x) * np.std(x),
        lambda x: np.sum(np.outer(x[:50], x[-50:]) @ np.cos(x[50:100]) / x[3]),
        lambda x: np.sum(np.cumsum(x.reshape(-1)[:3000].reshape(30, 100), axis=0).T ** 3),
    ],
)
def test_programs_of_arrays(function: Callable[..., Any], n: int) -> None:
    x = RNG.normal(size=n)
    vm, native = fastgrad.value_and_grad(function, tier="vm"), fastgrad.value_and_grad(function, tier="native")
    expected, found = vm(x), native(x)
    assert native.explain(x).tier == "native"
    assert bits(found[0]) == bits(expected[0])
    np.testing.assert_array_equal(bits(found[1]), bits(expected[1]))


@pytest.mark.parametrize("n", [1, 7, 31, 32, 33, 255, 256, 257, 1000])
def test_batches_of_any_size_layout_and_number_of_threads(n: int) -> None:
    def f(x: Any, y: Any, scale: Any) -> Any:
        return np.exp(x[0] / y) * scale + x[1] * x[2]

    wide = RNG.normal(size=(n, 6))
    for x in (wide[:, ::2], np.asfortranarray(wide[:, :3]), wide[::-1, 3:], np.ascontiguousarray(wide[:, :3])):
        y = RNG.uniform(1, 2, n)
        results = []
        for tier, threads in (("vm", 1), ("native", 1), ("native", 3)):
            derivative = fastgrad.value_and_grad(f, (0, 1), tier=tier)
            results.append(fastgrad.vmap(derivative, in_axes=(0, 0, None), threads=threads)(x, y, 1.5))
        for value, (by_x, by_y) in results[1:]:
            np.testing.assert_array_equal(bits(value), bits(results[0][0]))
            np.testing.assert_array_equal(bits(by_x), bits(results[0][1][0]))
            np.testing.assert_array_equal(bits(by_y), bits(results[0][1][1]))


def test_jacobians_of_many_rows() -> None:
    matrix = RNG.normal(size=(70, 9))

    def f(x: Any) -> Any:
        return np.sin(matrix @ x) / (1 + x[0] ** 2)

    x = RNG.normal(size=9)
    vm, native = fastgrad.jacobian(f, tier="vm"), fastgrad.jacobian(f, tier="native")
    np.testing.assert_array_equal(bits(native(x)), bits(vm(x)))
    many = RNG.normal(size=(40, 9))
    np.testing.assert_array_equal(bits(fastgrad.vmap(native)(many)), bits(fastgrad.vmap(vm)(many)))


def test_captured_arrays_are_read_at_each_call() -> None:
    weights = RNG.normal(size=5)

    def f(x: Any) -> Any:
        return np.sum(weights * x**2)

    native = fastgrad.grad(f, tier="native")
    x = np.arange(5.0)
    np.testing.assert_array_equal(native(x), 2 * weights * x)
    weights[:] = 1.0
    np.testing.assert_array_equal(native(x), 2 * x)
    weights[:] = 3.0
    np.testing.assert_array_equal(fastgrad.vmap(native)(np.stack([x, 2 * x])), [6 * x, 12 * x])


def test_results_may_be_written_over_the_arguments() -> None:
    def f(x: Any) -> Any:
        return np.sum(x[1:] * x[:-1] ** 2 + np.sqrt(np.abs(x[:-1])) * 0.0)

    native = fastgrad.grad(f, tier="native")
    for x in (RNG.normal(size=6), np.zeros(6)):
        expected = native(x)
        prepared = native.prepare(x)
        place = x.copy()
        for _ in range(2):
            place[:] = x
            prepared.into(place, place)
            np.testing.assert_array_equal(bits(place), bits(expected))


def test_sources_differ_where_their_code_must() -> None:
    from fastgrad.native.source import digest_of

    def source(function: Callable[..., Any], kind: Kind = Kind.GRADIENT) -> Source:
        return scalar_executor(fastgrad.record(function, np.arange(1.0, 4.0)), kind)._sources()[0]

    functions: list[Callable[..., Any]] = [
        lambda x: x[0] * x[1],
        lambda x: x[0] * x[2],
        lambda x: x[0] / x[1],
        lambda x: x[0] * x[1] * 2.0,
        lambda x: x[0] * x[1] * 2.5,
    ]
    digests = [digest_of([source(f, kind)]) for f in functions for kind in (Kind.VALUES, Kind.GRADIENT, Kind.JACOBIAN)]
    assert len(set(digests)) == len(digests)
    assert digest_of([source(functions[0])]) == digest_of([source(lambda x: x[0] * x[1])])
