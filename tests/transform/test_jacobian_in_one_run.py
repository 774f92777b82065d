"""Jacobians by many seeds at once, against complex steps and against one seed after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad
from fastgrad.transform.jacobian_in_one_run import MAX_ELEMENTS, batched_jacobian
from tests.tapes import ANALYTIC, interpret, jacobians

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("name", ANALYTIC)
def test_jacobians_agree_with_complex_steps(name: str) -> None:
    function, operands = ANALYTIC[name]
    tape = fastgrad.record(function, *operands)
    batched = batched_jacobian(tape, tuple(range(len(operands))), 1)
    assert batched is not None
    value, *blocks = interpret(batched, [np.asarray(x, float) for x in operands])
    np.testing.assert_allclose(value, function(*operands), rtol=1e-13)
    for block, exact in zip(blocks, jacobians(function, operands), strict=True):
        assert block.shape == exact.shape
        np.testing.assert_allclose(block, exact, rtol=1e-11, atol=1e-13)


A, B = RNG.normal(size=(40, 6)), RNG.normal(size=(6, 50))
LARGE: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "matrix by vector": (lambda x: np.tanh(A @ x), (6,)),
    "vector by matrix": (lambda x: np.exp(x @ B), (6,)),
    "matrix by matrix": (lambda x: (A @ x.reshape(6, 2)).T @ A, (12,)),
    "both of a product": (lambda x: x.reshape(3, 4) @ np.sin(x.reshape(4, 3)), (12,)),
    "running sums": (np.cumsum, (5,)),
    "systems": (lambda x: np.linalg.solve(A[:6], x) + np.linalg.inv(A[:6]) @ np.sort(x), (6,)),
    "sums and broadcasts": (lambda x: np.sum(A * x, axis=1) - np.mean(x) * np.ones(40), (6,)),
    "slices": (lambda x: np.concatenate([x[1:] * x[:-1], x[::-2] ** 2, np.ones(3)]), (9,)),
    "branches": (lambda x: A @ x if x[0] > 0 else A @ x * 2, (6,)),
    "no dependence": (lambda x: A @ np.ones(6) + 0.0 * np.sum(x), (6,)),
    "stacks of matrices": (lambda x: np.matmul(x.reshape(2, 2, 3), np.ones((2, 3, 2))) ** 2, (12,)),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_programs_against_one_seed_after_the_other(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, shape = LARGE[name]
    x = RNG.uniform(0.5, 1.5, shape)
    monkeypatch.setattr("fastgrad.branches.SCALAR_LIMIT", 0)
    monkeypatch.setattr("fastgrad.branches.SCALAR_SHARE", 0)
    found = fastgrad.jacobian(function)(x)
    monkeypatch.setattr("fastgrad.vm.array_executor.batched_jacobian", lambda *_: None)
    np.testing.assert_allclose(found, fastgrad.jacobian(function)(x), rtol=1e-12, atol=1e-13)
    steps = [(function(x + 1e-6 * d) - function(x - 1e-6 * d)) / 2e-6 for d in np.eye(x.size).reshape(-1, *shape)]
    np.testing.assert_allclose(found, np.stack(steps, -1).reshape(found.shape), rtol=1e-7, atol=1e-8)


def test_a_hessian_and_several_arguments_and_outputs() -> None:
    features, labels = RNG.normal(size=(500, 7)), RNG.poisson(1.0, 500) * 1.0

    def loss(weights: Any, offset: Any) -> Any:
        rates = features @ weights + offset
        return np.sum(np.exp(rates) - labels * rates)

    weights, offset = RNG.normal(size=7) * 0.1, 0.3
    (ww, wo), (ow, oo) = fastgrad.hessian(loss, argnums=(0, 1))(weights, offset)
    rates = np.exp(features @ weights + offset)
    np.testing.assert_allclose(ww, (features.T * rates) @ features, rtol=1e-12)
    np.testing.assert_allclose(wo, features.T @ rates, rtol=1e-12)
    np.testing.assert_allclose(ow, wo, rtol=1e-12)
    np.testing.assert_allclose(oo, rates.sum(), rtol=1e-12)


def test_strong_zeros_stay_strong() -> None:
    def f(x: Any) -> Any:
        return np.where(x > 0, np.sqrt(x), 0.0) * np.ones((3000, 4)) @ np.arange(4.0)

    x = np.array([0.0, 1.0, 4.0, 0.0])
    expected = np.zeros((3000, 4))
    expected[:] = [0.0, 0.5, 0.5, 0.0]
    np.testing.assert_allclose(fastgrad.jacobian(f)(x), expected)


def test_what_has_no_room_is_left_to_single_seeds() -> None:
    large = fastgrad.record(lambda x: np.sin(x), np.ones(MAX_ELEMENTS // 1000))
    assert batched_jacobian(large, (0,), 1) is None


def test_products_with_the_seeds_of_an_identity_are_dropped() -> None:
    matrix = RNG.normal(size=(30, 4))

    def likelihood(weights: Any) -> Any:
        return np.sum(np.exp(matrix @ weights))

    weights = RNG.normal(size=4)
    tape = fastgrad.record(fastgrad.grad(likelihood), weights)
    batched = batched_jacobian(tape, (0,), 1)
    assert batched is not None
    products = [node for node in batched.nodes if node.operation == "matmul"]
    assert len(products) == 3  # the scores, the gradient that is a value, and the weighted product
    np.testing.assert_allclose(
        interpret(batched, [weights])[1], (matrix.T * np.exp(matrix @ weights)) @ matrix, rtol=1e-12
    )


def test_a_zero_of_a_seed_hides_what_is_infinite() -> None:
    matrix = np.array([[1.0, np.inf], [2.0, 3.0]])
    tape = fastgrad.record(lambda x: matrix @ x, np.ones(2))
    batched = batched_jacobian(tape, (0,), 1)
    assert batched is not None
    np.testing.assert_array_equal(interpret(batched, [np.ones(2)])[1], matrix)
