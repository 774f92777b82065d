"""Random programs: their derivatives in every mode against complex steps of the same program run by NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import fastgrad as fg

STEP = 1e-150
SIDE = 3
Program = list[tuple[int, int, int]]

# operations that are analytic, bounded and of slope about one, so that programs of any length stay in range
UNARY: list[Callable[[Any], Any]] = [
    np.sin,
    np.tanh,
    lambda x: np.log(4.0 + x * x),
    lambda x: np.sqrt(1.0 + x**2),
    lambda x: np.exp(-x * x),
    lambda x: 1.0 / (2.0 + np.cos(x)),
    lambda x: x[::-1],
    lambda x: np.cumsum(x, axis=0) * 0.3,
    lambda x: np.concatenate([x[1:], x[:1] * 0.5]),
    lambda x: x.T if x.ndim == 2 else x * 1.0,
    lambda x: x - x.mean(axis=0),
    lambda x: np.broadcast_to(np.sum(x, axis=0) * 0.2, x.shape),
    lambda x: x[[2, 0, 0]] * 0.7,
    lambda x: np.reshape(x, -1)[: x.size][::-1].reshape(x.shape),
]
BINARY: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x + y,
    lambda x, y: x - 0.5 * y,
    lambda x, y: x * y * 0.5,
    lambda x, y: x / (2.0 + y * y),
    lambda x, y: np.tensordot(x, y, (0, 0)) * 0.1 + x,
    lambda x, y: np.stack([x, y]).sum(axis=0) * 0.5,
]


def run(program: Program, x: Any) -> Any:
    """Each step applies an operation to results so far."""
    values = [x, np.sin(x) * 0.5]
    for operation, left, right in program:
        one, other = values[left % len(values)], values[right % len(values)]
        if operation < len(UNARY):
            values.append(UNARY[operation](one))
        else:
            values.append(BINARY[(operation - len(UNARY)) % len(BINARY)](one, other))
    return values[-1] * 0.5 + values[len(values) // 2]


programs = st.lists(
    st.tuples(st.integers(0, len(UNARY) + len(BINARY) - 1), st.integers(0, 30), st.integers(0, 30)),
    min_size=1,
    max_size=9,
)
shapes = st.sampled_from([(SIDE,), (SIDE, SIDE)])


def case(seed: int, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(seed)
    x, v = random.uniform(-1.5, 1.5, (2, *shape))
    return x, v, random.standard_normal(shape)


@settings(max_examples=120, deadline=None)
@given(programs, shapes, st.integers(0, 2**32))
def test_first_derivatives_of_random_programs(program, shape, seed):
    x, v, w = case(seed, shape)
    function = lambda x: run(program, x)  # noqa: E731
    exact = np.imag(function(x + 1j * STEP * v)) / STEP
    value, tangent = fg.jvp(function, (x,), (v,))
    np.testing.assert_allclose(value, function(x), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(tangent, exact, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(np.vdot(fg.vjp(function, x)[1](w)[0], v), np.vdot(w, exact), rtol=1e-10, atol=1e-11)
    jacobian = fg.jacobian(function)(x)
    assert jacobian.shape == exact.shape + shape
    np.testing.assert_allclose(np.tensordot(jacobian, v, len(shape)), exact, rtol=1e-10, atol=1e-11)


@settings(max_examples=60, deadline=None)
@given(programs, shapes, st.integers(0, 2**32))
def test_second_derivatives_of_random_programs(program, shape, seed):
    x, v, w = case(seed, shape)
    function = lambda x: np.sum(run(program, x) ** 2)  # noqa: E731
    gradient = fg.grad(function)
    # an independent second derivative: differences of a complex-step gradient along v
    h = 1e-5
    slope = lambda at: np.imag(function(at + 1j * STEP * v)) / STEP  # noqa: E731
    exact = (8 * (slope(x + h * w) - slope(x - h * w)) - (slope(x + 2 * h * w) - slope(x - 2 * h * w))) / (12 * h)
    scale = 1.0 + abs(exact)
    product = fg.hvp(function)(x, v)
    np.testing.assert_allclose(np.vdot(product, w), exact, rtol=1e-7, atol=1e-7 * scale)
    hessian = fg.hessian(function)(x).reshape(x.size, x.size)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-10, atol=1e-11 * np.max(np.abs(hessian), initial=1.0))
    np.testing.assert_allclose(hessian @ v.ravel(), product.ravel(), rtol=1e-10, atol=1e-10 * scale)
    nested = fg.jacobian(gradient)(x).reshape(x.size, x.size)
    np.testing.assert_allclose(nested, hessian, rtol=1e-10, atol=1e-11 * np.max(np.abs(hessian), initial=1.0))


@settings(max_examples=60, deadline=None)
@given(programs, st.lists(st.tuples(st.integers(0, SIDE - 1), st.floats(-1.0, 1.0)), min_size=1, max_size=3),
       st.integers(0, 2**32))  # fmt: skip
def test_random_programs_with_branches_follow_each_input(program, tests, seed):
    """One derivative is called at many points: each must get that of the branch it is in."""

    def branch(x: Any) -> Any:
        for position, bound in tests:
            if x[position] > bound:
                x = x * 1.25
            else:
                x = np.sin(x)
        return np.sum(run(program, x))

    def exact_in(x: Any, v: Any) -> float:
        z = x + 1j * STEP * v
        for position, bound in tests:
            z = z * 1.25 if z[position].real > bound else np.sin(z)
        return float(np.imag(np.sum(run(program, z))) / STEP)

    gradient = fg.grad(branch)
    random = np.random.default_rng(seed)
    for _ in range(12):
        x, v = random.uniform(-1.5, 1.5, (2, SIDE))
        np.testing.assert_allclose(gradient(x) @ v, exact_in(x, v), rtol=1e-10, atol=1e-11)


@settings(max_examples=40, deadline=None)
@given(programs, st.integers(1, 20), st.integers(0, 2**32))
def test_batches_of_random_programs_have_the_bits_of_batches_of_one(program, n, seed):
    gradient = fg.vmap(fg.grad(lambda x: np.sum(run(program, x))))
    x = np.random.default_rng(seed).uniform(-1.5, 1.5, (n, SIDE))
    together = gradient(x)
    for k in range(n):
        np.testing.assert_array_equal(gradient(x[k : k + 1])[0], together[k])


@settings(max_examples=40, deadline=None)
@given(programs, shapes, st.integers(0, 2**32))
def test_derived_tapes_of_random_programs_are_valid(program, shape, seed):
    x, _, _ = case(seed, shape)
    fg.record(lambda x: run(program, x), x).validate()
    fg.record(fg.grad(lambda x: np.sum(run(program, x))), x).validate()
    fg.record(lambda x: fg.jvp(lambda y: run(program, y), (x,), (x,))[1], x).validate()
