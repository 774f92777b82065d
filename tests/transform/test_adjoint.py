"""Reverse mode from tape to tape, against complex steps and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad
from fastgrad.transform.adjoint import active_nodes, adjoint
from tests.tapes import ANALYTIC, interpret, jacobians

RNG = np.random.default_rng(6)


@pytest.mark.parametrize("name", ANALYTIC)
def test_cotangents_of_the_inputs_are_the_seeds_times_the_jacobians(name: str) -> None:
    function, operands = ANALYTIC[name]
    value = np.asarray(function(*operands))
    seed = RNG.normal(size=value.shape)
    derived = adjoint(fastgrad.record(function, *operands), range(len(operands)), 1, seeded=True).validate()
    found = interpret(derived, [*operands, seed])
    np.testing.assert_allclose(found[0], value, rtol=1e-14)
    for cotangent, jacobian in zip(found[1:], jacobians(function, operands), strict=True):
        np.testing.assert_allclose(cotangent, np.tensordot(seed, jacobian, seed.ndim), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ANALYTIC)
def test_without_seeds_every_cotangent_of_an_output_is_one(name: str) -> None:
    function, operands = ANALYTIC[name]
    tape = fastgrad.record(function, *operands)
    seeded = adjoint(tape, range(len(operands)), 1, seeded=True)
    plain = adjoint(tape, range(len(operands)), 1, seeded=False)
    assert len(plain.inputs) == len(operands)
    ones = np.ones(tape.output_shapes[0])
    for x, y in zip(interpret(plain, operands), interpret(seeded, [*operands, ones]), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-14, atol=1e-300)


def test_the_adjoint_of_the_adjoint_is_the_hessian() -> None:
    matrix, weights, x = RNG.normal(size=(4, 4)), RNG.normal(size=4), RNG.normal(size=4)
    tape = fastgrad.record(lambda x: x @ matrix @ x / 2 + np.sum(x**4) / 12 + np.exp(weights @ x), x)
    first = adjoint(tape, [0], 1, seeded=False)
    # outputs: value and gradient; only the gradient is differentiated again
    gradient = type(first)(**{**vars(first), "outputs": first.outputs[1:]})
    second = adjoint(gradient, [0], 1, seeded=True)
    hessian = np.array([interpret(second, [x, row])[1] for row in np.eye(4)])
    expected = (matrix + matrix.T) / 2 + np.diag(x**2) + np.outer(weights, weights) * np.exp(weights @ x)
    np.testing.assert_allclose(hessian, expected, rtol=1e-12)


def test_wanted_inputs_come_in_the_order_asked_for_and_what_has_no_influence_is_zero() -> None:
    tape = fastgrad.record(lambda x, y, z: x * x * z, 3.0, np.ones((2, 3)), 5.0)
    derived = adjoint(tape, [2, 1, 0], 1, seeded=False)
    _, by_z, by_y, by_x = interpret(derived, [3.0, np.ones((2, 3)), 5.0])
    assert (by_z, by_x) == (9.0, 30.0)
    np.testing.assert_array_equal(by_y, np.zeros((2, 3)))


def test_auxiliary_outputs_are_not_differentiated() -> None:
    tape = fastgrad.record(lambda x: (x * x, x * 100.0), 3.0)
    assert interpret(adjoint(tape, [0], 1, seeded=False), [3.0]) == [9.0, 300.0, 6.0]
    assert interpret(adjoint(tape, [0], 2, seeded=False), [3.0]) == [9.0, 300.0, 106.0]


def test_an_output_that_is_the_input_has_derivative_one() -> None:
    tape = fastgrad.record(lambda x: (x, x, x + x), 3.0)
    assert interpret(adjoint(tape, [0], 3, seeded=False), [3.0])[3:] == [4.0]


def test_guards_and_source_lines_come_along() -> None:
    tape = fastgrad.record(lambda x: x * x if x > 1 else x, 3.0)
    derived = adjoint(tape, [0], 1, seeded=False)
    assert derived.guard_values.tolist() == tape.guard_values.tolist() == [1.0]
    assert derived.node(int(derived.guard_nodes[0])).operation == "greater"
    source = derived.node(int(derived.outputs[-1])).source
    assert source is not None
    assert source.filename == __file__


STRONG_ZEROS: list[tuple[Any, Any, Any]] = [
    (lambda x: np.where(x > 0, np.log(x), 0.0), 0.0, 0.0),
    (lambda x: np.sqrt(np.sum(x * x)), np.zeros(2), np.zeros(2)),
    (lambda x: np.exp(x) * 0.0, 1e4, 0.0),
]


@pytest.mark.parametrize(("function", "point", "expected"), STRONG_ZEROS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_zero_factor_gives_zero_whatever_it_meets(function: Any, point: Any, expected: Any) -> None:
    derived = adjoint(fastgrad.record(function, point), [0], 1, seeded=False)
    np.testing.assert_array_equal(interpret(derived, [point])[1], expected)


def test_nothing_is_active_behind_a_step() -> None:
    tape = fastgrad.record(lambda x, y: np.floor(x) * y, 2.5, 3.0)
    by_x, by_y = active_nodes(tape, [int(tape.inputs[0])]), active_nodes(tape, [int(tape.inputs[1])])
    assert not by_x[int(tape.outputs[0])]
    assert by_y[int(tape.outputs[0])]
