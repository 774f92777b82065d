"""The array executor against the scalar executor: the same tapes, run as fused segments and as straight-line code."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastgrad as fg
from fastgrad import array_ops
from fastgrad.plan.array_plan import array_plan
from fastgrad.plan.array_steps import Copy, Evaluation, Segment
from fastgrad.plan.request import Kind, Request, result_shapes
from fastgrad.plan.scalar_program import scalar_program
from fastgrad.tape import Tape
from fastgrad.transform.adjoint import adjoint
from fastgrad.vm.array_executor import ADOPTED_SIZE, ArrayExecutor
from fastgrad.vm.scalar_executor import ScalarExecutor


def both_ways(tape: Tape, request: Request, inputs: list[Any], seeds: list[Any]) -> tuple[list[Any], list[Any]]:
    """The results of a request by either executor."""
    shapes = result_shapes(tape.output_shapes, tape.input_shapes, request)
    found = []
    for executor in (ArrayExecutor(tape, request), ScalarExecutor(scalar_program(tape), request, shapes)):
        results = executor.allocate()
        assert executor(inputs, seeds, results) == -1
        found.append(results)
    return found[0], found[1]


def assert_both_agree(function: Callable[..., Any], *args: Any) -> None:
    """Values, gradients, tangents and Jacobians of either executor are the same up to the order of sums."""
    tape = fg.record(function, *args)
    inputs = [np.asarray(arg, float) for arg in args]
    random = np.random.default_rng(3)
    wrt = tuple(range(len(args)))
    cotangents = [random.standard_normal(shape) for shape in tape.output_shapes]
    tangents = [random.standard_normal(array.shape) for array in inputs]
    for kind, seeds in [
        (Kind.VALUES, []),
        (Kind.GRADIENT, []),
        (Kind.VJP, cotangents),
        (Kind.JVP, tangents),
        (Kind.JACOBIAN, []),
    ]:
        for with_values in (True, False) if kind is not Kind.VALUES else (True,):
            request = Request(kind, wrt if kind is not Kind.VALUES else (), len(tape.outputs), with_values)
            for x, y in zip(*both_ways(tape, request, inputs, seeds), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-11, err_msg=str(kind))


SIZES = st.sampled_from([1, 2, 3, 5, 40])


class Program:
    """A random array program, the same for the same seed."""

    def __init__(self, seed: int, n_steps: int) -> None:
        self.seed, self.n_steps = seed, n_steps

    def __call__(self, x: Any, y: Any) -> Any:
        random = np.random.default_rng(self.seed)
        pool = [x, y, x * 0.5]
        for _ in range(self.n_steps):
            found = self.step(random, pool[random.integers(len(pool))], pool[random.integers(len(pool))])
            if 0 < np.size(found.value if hasattr(found, "value") else found) <= 400:
                pool.append(found)
        total = pool[-1] * 1.0
        for value in pool[:-1]:
            total = total + np.sum(value)
        return total

    def step(self, random: Any, a: Any, b: Any) -> Any:
        a = np.atleast_1d(a)
        match int(random.integers(14)):
            case 0:
                return np.sin(a) * 0.7 + a
            case 1:
                return a[int(random.integers(a.shape[0])) :: int(random.integers(1, 3))]
            case 2:
                return a[::-1]
            case 3:
                return np.sum(a, axis=int(random.integers(a.ndim)))
            case 4:
                return np.transpose(a)
            case 5:
                return np.concatenate([a, np.tanh(a)], axis=int(random.integers(a.ndim)))
            case 6:
                return a.reshape(-1)
            case 7:
                return np.outer(np.ravel(a)[:6], np.ravel(b)[:5])
            case 8:
                return np.ravel(a)[: min(np.size(a), np.size(b))] * np.ravel(b)[: min(np.size(a), np.size(b))]
            case 9:
                return np.matmul(np.reshape(np.ravel(a)[:1], (1, 1)), np.reshape(np.ravel(b)[:1], (1, 1)))
            case 10:
                return np.max(a, axis=0)
            case 11:
                return a[np.array([0, -1, 0])]
            case 12:
                return np.cumsum(a, axis=0)
            case _:
                return np.where(a > 0.1, np.exp(-a * a), b * np.ones_like(a)) if np.shape(a) == np.shape(b) else a / 2.0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(1, 14), SIZES, SIZES)
def test_random_array_programs_agree_with_scalar_code(seed: int, n_steps: int, n: int, m: int) -> None:
    random = np.random.default_rng(seed)
    assert_both_agree(Program(seed, n_steps), random.standard_normal(n), random.standard_normal((m, 3)))


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 25), SIZES, SIZES)
def test_many_long_random_array_programs_agree_with_scalar_code(seed: int, n_steps: int, n: int, m: int) -> None:
    random = np.random.default_rng(seed)
    assert_both_agree(Program(seed, n_steps), random.standard_normal(n), random.standard_normal((m, 3)))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(1, 10))
def test_batches_of_random_programs_have_the_bits_of_single_calls(seed: int, n_steps: int) -> None:
    assert_batches_have_the_bits_of_single_calls(seed, n_steps)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 20))
def test_many_batches_of_random_programs_have_the_bits_of_single_calls(seed: int, n_steps: int) -> None:
    assert_batches_have_the_bits_of_single_calls(seed, n_steps)


def assert_batches_have_the_bits_of_single_calls(seed: int, n_steps: int) -> None:
    random = np.random.default_rng(seed)
    program = Program(seed, n_steps)
    x, y = random.standard_normal((9, 4)), random.standard_normal((9, 2, 3))
    derivative = fg.jacobian(program, argnums=(0, 1))
    batched = fg.vmap(derivative)(x, y)
    for k in range(9):
        for of_batch, single in zip(batched, derivative(x[k], y[k]), strict=True):
            np.testing.assert_array_equal(of_batch[k], single)


@pytest.mark.parametrize("n", [1, 7, 31, 32, 33, 255, 256, 257, 1000])
def test_every_length_of_a_tile_is_right(n: int) -> None:
    x = np.random.default_rng(n).standard_normal(n + 1)
    assert_both_agree(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2 + np.exp(-x[1:])), x)


def test_slices_of_one_operand_are_one_segment_and_their_adjoints_are_stores() -> None:
    tape = fg.record(lambda x: np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2), np.ones(1000))
    steps = array_plan(adjoint(tape, (0,), 1, seeded=False)).steps
    assert [type(step) for step in steps] == [Segment]


def test_matrix_products_are_left_to_numpy() -> None:
    tape = fg.record(lambda x, w: np.sum(np.tanh(x @ w)), np.ones((50, 4)), np.ones((4, 3)))
    steps = array_plan(tape).steps
    assert [type(step) for step in steps] == [Evaluation, Segment]


def test_an_output_that_is_an_input_or_a_view_is_copied() -> None:
    tape = fg.record(lambda x: (x, x[::-1], x * 2.0, np.reshape(x, (2, 3))), np.arange(6.0))
    assert [type(step) for step in array_plan(tape).steps] == [Segment, Copy, Copy, Copy]
    assert_both_agree(lambda x: (x, x[::-1], x * 2.0, np.reshape(x, (2, 3))), np.arange(6.0))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sum(x, axis=0),
        lambda x: np.sum(x, axis=1),
        lambda x: x - np.mean(x, axis=0),
        lambda x: x / np.sum(np.exp(x), axis=1, keepdims=True),
        lambda x: x.T @ x,
        lambda x: np.sum(x.T * np.arange(40.0), axis=0),
        lambda x: np.concatenate([x, x[::-1], 2.0 * x], axis=1),
        lambda x: np.transpose(x).reshape(4, 30),
        lambda x: np.broadcast_to(np.sum(x, axis=0), (5, 3)) * 1.5,
        lambda x: np.max(x, axis=1) - np.min(x),
        lambda x: np.zeros(3) + np.sum(x) * 0.0,
        lambda x: np.stack([x[:, 0], x[:, 2]]) + x[:2, 1:2],
    ],
)
def test_matrix_functions_agree_with_scalar_code(function: Callable[..., Any]) -> None:
    assert_both_agree(function, np.random.default_rng(0).standard_normal((40, 3)))


def test_a_failed_guard_is_reported_and_another_branch_runs() -> None:
    def function(x: Any) -> Any:
        return np.sum(np.exp(x)) if np.sum(x) > 0.0 else np.sum(x * x)

    derivative = fg.grad(function)
    x = np.linspace(0.1, 1.0, 5000)
    np.testing.assert_allclose(derivative(x), np.exp(x), rtol=1e-14)
    np.testing.assert_allclose(derivative(-x), -2.0 * x, rtol=1e-14)
    np.testing.assert_allclose(derivative(2.0 * x), np.exp(2.0 * x), rtol=1e-14)


def test_captured_arrays_are_read_at_run_time() -> None:
    weights = np.linspace(0.0, 1.0, 5000)
    whole = np.arange(5000)
    derivative = fg.grad(lambda x: np.sum(weights * x + whole * x))
    np.testing.assert_array_equal(derivative(np.ones(5000)), weights + whole)
    weights[:] = 3.0
    whole[7] = 1
    np.testing.assert_array_equal(derivative(np.ones(5000)), weights + whole)


def test_zero_times_infinity_gives_zero_in_large_arrays_too() -> None:
    x = np.zeros(5000)
    x[::2] = 4.0
    found = fg.grad(lambda x: np.sum(np.where(x > 0.0, np.sqrt(x), 0.0)))(x)
    np.testing.assert_array_equal(found, np.where(x > 0.0, 0.25, 0.0))
    np.testing.assert_array_equal(fg.grad(lambda x: np.sqrt(np.sum(x * x)))(np.zeros(5000)), np.zeros(5000))


def test_repeated_calls_on_large_arrays_need_no_python_and_see_captured_data() -> None:
    weights = np.linspace(0.0, 1.0, 5000)
    derivative = fg.value_and_grad(lambda x: np.sum(np.sin(x) * weights))
    x = np.random.default_rng(0).standard_normal(5000)
    for scale in (1.0, 2.0, 3.0):
        value, gradient = derivative(x * scale)
        np.testing.assert_allclose(value, np.sum(np.sin(x * scale) * weights), rtol=1e-13)
        np.testing.assert_allclose(gradient, np.cos(x * scale) * weights, rtol=0, atol=1e-15)
    assert derivative._fast.entries
    weights *= 2.0
    np.testing.assert_allclose(derivative(x)[1], np.cos(x) * weights, rtol=0, atol=1e-15)


@pytest.mark.parametrize("target", ["argument", "shifted argument", "captured"])
def test_results_may_go_where_inputs_are(target: str) -> None:
    memory = np.random.default_rng(0).standard_normal(5002)
    weights = np.linspace(0.0, 1.0, 5000)
    derivative = fg.grad(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2) + np.sum(x * weights))
    x = memory[:5000]
    expected = fg.grad(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2) + np.sum(x * weights))(x.copy())
    prepared = derivative.prepare(x)
    apart = np.empty(5000)
    for _ in range(3):
        prepared.into(x, apart)
        np.testing.assert_array_equal(apart, expected)
    out = {"argument": x, "shifted argument": memory[1:5001], "captured": weights}[target]
    prepared.into(x, out)
    np.testing.assert_array_equal(out, expected)


def test_repeated_calls_with_steps_of_numpy_are_answered_by_the_kernels_too() -> None:
    weights = np.arange(3.0)
    derivative = fg.value_and_grad(lambda a, b: np.sum(np.linalg.solve(a, b) * weights), argnums=(0, 1))
    random = np.random.default_rng(1)
    for scale in (1, 2, 3, 4):
        a, b = random.standard_normal((3, 3)) + 3 * np.eye(3), random.standard_normal(3)
        weights[:] = np.arange(3) * scale
        value, (of_a, of_b) = derivative(a, b)
        x, adjoint = np.linalg.solve(a, b), np.linalg.solve(a.T, weights)
        np.testing.assert_allclose(value, weights @ x, rtol=1e-12)
        np.testing.assert_allclose(of_a, -np.outer(adjoint, x), rtol=1e-12)
        np.testing.assert_allclose(of_b, adjoint, rtol=1e-12)
    assert derivative._fast.entries
    derivative._fast.taken_answers()
    derivative(a, b)
    assert derivative._fast.taken_answers() == 1


def test_exceptions_of_steps_of_numpy_reach_the_caller() -> None:
    derivative = fg.grad(lambda a: np.sum(np.linalg.inv(a)))
    for _ in range(3):
        derivative(np.eye(2))
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        derivative(np.zeros((2, 2)))
    np.testing.assert_array_equal(derivative(np.eye(2)), -np.ones((2, 2)))


def test_guards_are_checked_where_numpy_does_steps() -> None:
    def function(a: Any) -> Any:
        return np.sum(np.linalg.inv(a)) if np.sum(a) > 0.0 else np.linalg.det(a)

    derivative, a = fg.grad(function), np.array([[2.0, 1.0], [0.0, 1.0]])
    for _ in range(3):
        inverse = np.linalg.inv(a)
        np.testing.assert_allclose(derivative(a), -np.outer(inverse.sum(0), inverse.sum(1)), rtol=1e-13)
        np.testing.assert_allclose(derivative(-a), np.linalg.det(a) * np.linalg.inv(-a).T, rtol=1e-13)


def test_results_of_steps_of_numpy_may_go_where_inputs_are() -> None:
    a = np.random.default_rng(2).standard_normal((4, 4))
    prepared = fg.grad(lambda a: np.sum(np.linalg.inv(a) ** 2)).prepare(a)
    expected, out = prepared(a), np.empty((4, 4))
    prepared.into(a, out)
    np.testing.assert_array_equal(out, expected)
    prepared.into(a, a)
    np.testing.assert_array_equal(a, expected)


def test_threads_share_a_derivative_with_steps_of_numpy() -> None:
    derivative = fg.grad(lambda a: np.sum(np.linalg.inv(a) ** 2))
    matrices = [np.random.default_rng(k).standard_normal((5, 5)) + 5 * np.eye(5) for k in range(40)]
    expected = [derivative(a) for a in matrices]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            for found, right in zip(pool.map(derivative, matrices), expected, strict=True):
                np.testing.assert_array_equal(found, right)


# ---- steps that NumPy does

BIG = 70  # so that matrices are adopted rather than copied


def regular(seed: int) -> Any:
    return np.random.default_rng(seed).standard_normal((BIG, BIG)) + BIG * np.eye(BIG)


def inverse_gradient(a: Any) -> Any:
    inverse = np.linalg.inv(a)
    return -inverse.T @ (2.0 * inverse) @ inverse.T


def test_large_results_of_numpy_are_followed_from_run_to_run() -> None:
    assert BIG**2 >= ADOPTED_SIZE
    gradient = fg.grad(lambda a: np.sum(np.linalg.inv(a) ** 2))
    matrices = [regular(seed) for seed in range(12)]
    found = [gradient(a) for a in matrices]
    for a, of_a in zip(matrices, found, strict=True):
        np.testing.assert_allclose(of_a, inverse_gradient(a), rtol=1e-9, atol=1e-12)
    prepared = gradient.prepare(matrices[0])
    for a, of_a in zip(matrices, found, strict=True):
        np.testing.assert_array_equal(prepared(a), of_a)


def test_large_results_of_numpy_are_each_threads_own() -> None:
    gradient = fg.grad(lambda a: np.sum(np.linalg.inv(a) ** 2))
    matrices = [regular(seed) for seed in range(4)]
    expected = [gradient(a) for a in matrices]
    with ThreadPoolExecutor(4) as pool:
        for k, found in enumerate(pool.map(lambda k: gradient(matrices[k % 4]), range(40))):
            np.testing.assert_array_equal(found, expected[k % 4])


def test_results_that_numpy_lays_out_in_its_own_way_are_put_in_order() -> None:
    a = regular(1) / BIG
    # cofactors are columns first
    np.testing.assert_allclose(fg.grad(lambda a: np.log(np.linalg.det(a)))(a), np.linalg.inv(a).T, rtol=1e-9, atol=1e-9)
    assert not array_ops.cofactor.evaluate(None, a, np.linalg.det(a)).flags.c_contiguous


def test_a_result_that_is_the_operand_itself_may_be_adopted() -> None:
    stack = np.random.default_rng(2).standard_normal((1024, 4, 4))
    symmetric = stack + np.swapaxes(stack, -1, -2)
    assert 4 * len(stack) >= ADOPTED_SIZE
    gradient = fg.grad(lambda a: np.sum(np.linalg.eigvalsh(a) ** 2))
    for factor in (1.0, 3.0):
        expected = 2.0 * factor * symmetric * (2.0 * np.tril(np.ones((4, 4)), -1) + np.eye(4))
        np.testing.assert_allclose(gradient(factor * symmetric), expected, rtol=1e-9, atol=1e-9)


def test_an_output_that_is_a_reshape_is_made_where_the_caller_wants_it() -> None:
    tape = fg.record(lambda a, b: np.linalg.solve(a, b), regular(0), np.ones(BIG))
    assert [type(step) for step in array_plan(tape).steps] == [Evaluation]
    a, b = regular(0), np.arange(float(BIG))
    solution, twice, column = fg.vjp(
        lambda a, b: (np.linalg.solve(a, b), np.linalg.solve(a, b) * 2.0, np.linalg.solve(a, b).reshape(-1, 1)), a, b
    )[0]
    np.testing.assert_array_equal(solution, np.linalg.solve(a, b))
    np.testing.assert_array_equal(twice, 2.0 * solution)
    np.testing.assert_array_equal(column, solution.reshape(-1, 1))


def test_sums_of_nothing_are_zeros_for_numpy_too() -> None:
    def function(a: Any) -> Any:
        nothing = np.sum(a[:0], axis=0)
        return np.linalg.solve(a, nothing), nothing

    tape = fg.record(function, regular(0))
    executor = ArrayExecutor(tape, Request(Kind.VALUES, (), 2, True))
    results = [np.full(shape, np.nan) for shape in executor.result_shapes]
    assert executor([regular(0)], [], results) == -1
    for result in results:
        np.testing.assert_array_equal(result, np.zeros(BIG))


def test_triangles_are_fused_and_drop_what_is_infinite_outside() -> None:
    a = regular(0) @ regular(0).T
    tape = adjoint(fg.record(lambda a: np.sum(np.linalg.cholesky(a)), a), (0,), 1, seeded=False)
    evaluations = [step.operation.name for step in array_plan(tape).steps if isinstance(step, Evaluation)]
    assert sorted(evaluations) == ["cholesky", "inv", "matmul", "matmul", "matmul"]
    upper = np.triu(np.full((BIG, BIG), np.inf), 1) + np.tril(a)
    gradient = fg.grad(lambda a: np.sum(np.linalg.cholesky(a)))
    np.testing.assert_array_equal(gradient(upper), gradient(a))
    assert not np.triu(gradient(a), 1).any()


@pytest.mark.parametrize("starts", [(0, 1), (1, 0), (0, 255), (3, 0, 700), (5, 5, 2), (0, 256, 257, 1000), (2, 1, 0)])
@pytest.mark.parametrize("length", [3_000, 3_071, 3_072])
@pytest.mark.parametrize("tier", ["vm", "native"])
def test_slices_that_are_added_to_each_other(starts: tuple[int, ...], length: int, tier: str) -> None:
    """The one that lies furthest on is written first, and the others are added to it."""
    n = length + 1_005
    rng = np.random.default_rng(length)
    x, weights = rng.normal(size=n), rng.normal(size=(len(starts), length))

    def f(x: Any) -> Any:
        return sum(np.sum(w * x[start : start + length] ** 2) for start, w in zip(starts, weights, strict=True))

    expected = np.zeros(n)
    for start, w in zip(starts, weights, strict=True):
        expected[start : start + length] += 2 * w * x[start : start + length]
    gradient = fg.grad(f, tier=tier)
    for _ in range(2):
        np.testing.assert_allclose(gradient(x), expected, rtol=1e-13, atol=1e-13)
    out = np.full(n, np.nan)
    prepared = gradient.prepare(x)
    prepared.into(x, out)
    np.testing.assert_array_equal(out, gradient(x))
    place = x.copy()
    prepared.into(place, place)
    np.testing.assert_array_equal(place, out)


@pytest.mark.parametrize("tier", ["vm", "native"])
def test_slices_of_slices_that_are_added_to_each_other(tier: str) -> None:
    """What is added to a slice is itself put together from slices, and no segment makes it."""
    x = np.random.default_rng(5).normal(size=4_000)

    def f(x: Any) -> Any:
        one, other, inner = x[1:], x[:-1], x[2:-3]
        pairs = np.sum(np.sin(one[1:]) * one[:-1]) + np.sum(np.sin(other[1:]) * other[:-1])
        return pairs + np.sum(np.sin(inner[1:]) * inner[:-1]) + np.sum(x[1:-4] ** 2) + np.sum(x[:-5] ** 2)

    expected = np.zeros(len(x))
    for start, end in ((1, len(x)), (0, len(x) - 1), (2, len(x) - 3)):
        expected[start + 1 : end] += np.cos(x[start + 1 : end]) * x[start : end - 1]
        expected[start : end - 1] += np.sin(x[start + 1 : end])
    expected[1:-4] += 2 * x[1:-4]
    expected[:-5] += 2 * x[:-5]
    np.testing.assert_allclose(fg.grad(f, tier=tier)(x), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("n_axes", [8, 9, 11])
@pytest.mark.parametrize("tier", ["vm", "native"])
def test_more_axes_than_the_kernels_know(n_axes: int, tier: str) -> None:
    """Transposed axes cannot be merged, and a Jacobian has one for the seeds besides."""
    x = np.random.default_rng(6).normal(size=(3, *(2,) * (n_axes - 2), 3))

    def f(x: Any) -> Any:
        return np.sin(x) * np.cos(x.T)

    value, gradient = fg.value_and_grad(lambda x: np.sum(f(x)), tier=tier)(x)
    np.testing.assert_allclose(value, np.sum(f(x)), rtol=1e-12)
    np.testing.assert_allclose(gradient, np.cos(x) * np.cos(x.T) - np.sin(x) * np.sin(x.T), rtol=1e-12, atol=1e-15)
    factors = np.array([1.0, 2.0])
    jacobian = fg.jacobian(lambda s: np.sum(f(x * s[0] + s[1]), axis=(0, 2)), tier=tier)(factors)
    moved = x * factors[0] + factors[1]
    slope, of_transposed = np.cos(moved) * np.cos(moved.T), np.sin(moved) * np.sin(moved.T)
    by_factors = [np.sum(slope * d - of_transposed * d.T, axis=(0, 2)) for d in (x, np.ones(x.shape))]
    np.testing.assert_allclose(jacobian, np.stack(by_factors, -1), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda a: np.linalg.inv(a).T,
        lambda a: np.linalg.inv(a).T.reshape(-1),
        lambda a: np.transpose(np.linalg.inv(a.reshape(3, 2, 24)[..., :2] + np.eye(2)), (2, 0, 1)),
        lambda a: (np.linalg.inv(a).T, np.linalg.inv(a)),
        lambda a: (np.linalg.inv(a).T, np.linalg.inv(a).T),
        lambda a: np.sort(a, 0).T,
    ],
)
def test_a_result_of_numpy_that_is_transposed_is_right(function: Callable[..., Any]) -> None:
    a = np.random.default_rng(2).standard_normal((12, 12)) + np.eye(12)
    tape = fg.record(function, a)
    executor = ArrayExecutor(tape, Request(Kind.VALUES, (), len(tape.outputs), True))
    results = executor.allocate()
    assert executor([a], [], results) == -1
    expected = function(a)
    for found, value in zip(results, expected if isinstance(expected, tuple) else (expected,), strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-11, atol=1e-12)


def test_a_result_of_numpy_that_is_transposed_takes_no_copy() -> None:
    plan = array_plan(fg.record(lambda a: np.linalg.inv(a).T, np.eye(3)))
    assert [type(step) for step in plan.steps] == [Evaluation]


def test_a_bound_call_reads_and_writes_its_arrays_as_they_are_then() -> None:
    tape = fg.record(lambda x, y: (np.exp(x) @ y, x + 1.0), np.ones((40, 30)), np.ones((30, 20)))
    executor = ArrayExecutor(tape, Request(Kind.VALUES))
    random = np.random.default_rng(1)
    inputs = [np.zeros(shape) for shape in tape.input_shapes]
    ours, expected = executor.allocate(), executor.allocate()
    run = executor.bound(inputs, ours)
    for _ in range(2):
        for array in inputs:
            array[...] = random.standard_normal(array.shape)
        assert run() == -1
        executor(inputs, [], expected)
        for found, wanted in zip(ours, expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(ours[0], np.exp(inputs[0]) @ inputs[1], rtol=1e-12)


def test_a_bound_call_tells_which_guard_failed() -> None:
    tape = fg.record(lambda x: np.exp(x) if x[0] > 0 else x, np.ones(5))
    x = np.ones(5)
    executor = ArrayExecutor(tape, Request(Kind.VALUES))
    run = executor.bound([x], executor.allocate())
    assert run() == -1
    x[0] = -1.0
    assert run() == 0
