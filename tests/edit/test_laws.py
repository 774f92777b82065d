"""Laws of composition, on random programs: associativity, the chain rule, parallel and partial."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import fastgrad
from fastgrad.recording.replay import replay
from fastgrad.tape import Tape
from tests.tapes import complex_step

_MIX = np.random.default_rng(3).normal(size=(3, 3)) / 2
STEPS = {
    "sine": np.sin,
    "hyperbolic": np.tanh,
    "mixed": lambda x: _MIX @ x,
    "neighbours": lambda x: x * x[::-1] / 2,
    "summed": lambda x: x + np.sum(x * x) / 9,
    "smooth": lambda x: np.exp(x / 3) - 1,
}
programs = st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=4)
POINT = np.array([0.3, -0.8, 1.1])


def program(names: list[str]) -> Any:
    def function(x: Any) -> Any:
        for name in names:
            x = STEPS[name](x)
        return x

    return function


def tape_of(names: list[str]) -> Tape:
    return fastgrad.record(program(names), POINT)


def value(tape: Tape, *inputs: Any) -> Any:
    return replay(tape.validate(), inputs)[0]


def jacobian(tape: Tape, x: Any) -> Any:
    return fastgrad.jacobian(lambda y: tape(y))(x)


@settings(deadline=None)
@given(programs, programs)
def test_a_composition_computes_what_the_whole_program_does(f: list[str], g: list[str]) -> None:
    composed = tape_of(f) >> tape_of(g)
    whole = program(f + g)
    np.testing.assert_array_equal(value(composed, POINT), whole(POINT))
    np.testing.assert_array_equal(jacobian(composed, POINT), fastgrad.jacobian(whole)(POINT))


@settings(deadline=None)
@given(programs, programs)
def test_the_jacobian_of_a_composition_is_the_product_of_the_jacobians(f: list[str], g: list[str]) -> None:
    inner, outer = tape_of(f), tape_of(g)
    found = jacobian(inner >> outer, POINT)
    product = jacobian(outer, value(inner, POINT)) @ jacobian(inner, POINT)
    np.testing.assert_allclose(found, product, rtol=1e-12, atol=1e-12)
    columns = [complex_step(program(f + g), (POINT,), (direction,)) for direction in np.eye(3)]
    np.testing.assert_allclose(found, np.stack(columns, axis=1), rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(programs, programs, programs)
def test_composition_is_associative(f: list[str], g: list[str], h: list[str]) -> None:
    one, two, three = map(tape_of, (f, g, h))
    left, right = (one >> two) >> three, one >> (two >> three)
    assert left.hash == right.hash


@settings(deadline=None)
@given(programs, programs)
def test_side_by_side_over_one_input_each_part_is_itself(f: list[str], g: list[str]) -> None:
    both = fastgrad.parallel(tape_of(f), tape_of(g), share=["x"]).validate()
    assert both.input_names == ("x",)
    for found, names in zip(replay(both, [POINT]), (f, g), strict=True):
        np.testing.assert_array_equal(found, program(names)(POINT))


@settings(deadline=None)
@given(programs, programs)
def test_an_input_made_a_constant_and_an_input_again_computes_the_same(f: list[str], g: list[str]) -> None:
    tape = fastgrad.record(lambda x, y: program(f)(x) * program(g)(y), POINT, POINT)
    given_y = fastgrad.partial(tape, y=POINT / 2)
    np.testing.assert_array_equal(value(given_y, POINT), value(tape, POINT, POINT / 2))
    back = given_y.constants_to_inputs("y")
    np.testing.assert_array_equal(value(back, POINT, POINT), value(tape, POINT, POINT))


@settings(deadline=None)
@given(programs)
def test_what_is_cut_and_joined_computes_the_same(names: list[str]) -> None:
    tape = tape_of(names)
    inserted = tape.insert_after(int(tape.outputs[0]), np.sin)
    np.testing.assert_array_equal(value(inserted, POINT), np.sin(program(names)(POINT)))
    front, back = inserted.cut(int(inserted.operands_of(int(inserted.outputs[0]))[0]))
    np.testing.assert_array_equal(value(front, POINT), program(names)(POINT))
    np.testing.assert_array_equal(value(back, POINT), np.sin(POINT))
    np.testing.assert_array_equal(value(front >> back, POINT), value(inserted, POINT))


@settings(deadline=None)
@given(programs)
def test_edits_that_cancel_give_an_equal_hash(names: list[str]) -> None:
    tape = tape_of(names)
    unedited = tape.select(0)
    inserted = unedited.insert_after(int(unedited.outputs[0]), np.sin)
    assert inserted.hash != unedited.hash
    assert inserted.bypass(int(inserted.outputs[0])).hash == unedited.hash
