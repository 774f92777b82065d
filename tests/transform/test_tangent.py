"""Forward mode from tape to tape, against complex steps and against reverse mode."""

from __future__ import annotations

import numpy as np
import pytest

import fastgrad
from fastgrad.transform.adjoint import adjoint
from fastgrad.transform.tangent import tangent
from tests.tapes import ANALYTIC, complex_step, interpret

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("name", ANALYTIC)
def test_tangents_are_derivatives_along_the_direction(name: str) -> None:
    function, operands = ANALYTIC[name]
    directions = [RNG.normal(size=np.shape(x)) for x in operands]
    derived = tangent(fastgrad.record(function, *operands), range(len(operands)), 1).validate()
    value, along = interpret(derived, [*operands, *directions])
    np.testing.assert_allclose(value, function(*operands), rtol=1e-14)
    np.testing.assert_allclose(along, complex_step(function, operands, directions), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ANALYTIC)
def test_tangents_and_cotangents_agree(name: str) -> None:
    function, operands = ANALYTIC[name]
    tape = fastgrad.record(function, *operands)
    directions = [RNG.normal(size=np.shape(x)) for x in operands]
    seed = RNG.normal(size=tape.output_shapes[0])
    every = range(len(operands))
    along = interpret(tangent(tape, every, 1), [*operands, *directions])[1]
    cotangents = interpret(adjoint(tape, every, 1, seeded=True), [*operands, seed])[1:]
    through = sum(np.sum(c * d) for c, d in zip(cotangents, directions, strict=True))
    assert np.sum(seed * along) == pytest.approx(through, rel=1e-11)


def test_only_wanted_inputs_have_tangents_and_only_main_outputs_have_them() -> None:
    tape = fastgrad.record(lambda x, y: (x * y, x + y), 3.0, 5.0)
    derived = tangent(tape, [1], 1)
    assert len(derived.inputs) == 3
    assert interpret(derived, [3.0, 5.0, 2.0]) == [15.0, 8.0, 6.0]


def test_a_tangent_is_spread_where_its_operand_is() -> None:
    tape = fastgrad.record(lambda a, x: a + 0.0 * x, 3.0, np.ones((2, 2)))
    along = interpret(tangent(tape, [0], 1), [3.0, np.ones((2, 2)), 7.0])[1]
    np.testing.assert_array_equal(along, np.full((2, 2), 7.0))


def test_outputs_without_influence_have_a_zero_of_their_shape() -> None:
    tape = fastgrad.record(lambda x, y: (np.floor(x) * np.ones(3), y), 2.5, 1.0)
    np.testing.assert_array_equal(interpret(tangent(tape, [0], 2), [2.5, 1.0, 9.0])[2], np.zeros(3))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_zero_direction_gives_zero_also_through_an_infinite_slope() -> None:
    tape = fastgrad.record(lambda x, y: np.sqrt(x) + y, 0.0, 1.0)
    assert interpret(tangent(tape, [0, 1], 1), [0.0, 1.0, 0.0, 4.0])[1] == 4.0
