"""Patterns in tapes: what is found, what is not, and what a rewritten tape computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastgrad
from fastgrad.errors import InputError
from fastgrad.recording.replay import replay
from fastgrad.tape import Tape

X = np.array([0.5, 1.5, 2.5])


def value(tape: Tape, *inputs: Any) -> Any:
    return replay(tape.validate(), inputs)[0]


@pytest.mark.parametrize(
    ("function", "pattern", "replacement", "expected", "n"),
    [
        (lambda x: np.log(np.exp(x)) * 2, lambda x: np.log(np.exp(x)), lambda x: x, lambda x: x * 2, 1),
        (lambda x: np.tanh(np.tanh(x)), np.tanh, np.arctan, lambda x: np.arctan(np.arctan(x)), 2),
        (
            lambda x: np.tanh(x) - x,
            np.tanh,
            lambda y: np.maximum(y, 0.0),
            lambda x: np.maximum(x, 0.0) - x,
            1,
        ),
        (lambda x: np.log(1 + x) + np.log(x + 1), lambda y: np.log(1 + y), np.log1p, lambda x: 2 * np.log1p(x), 2),
        (
            lambda x: np.log(np.exp(np.log(np.exp(np.sin(x))))),
            lambda x: np.log(np.exp(x)),
            lambda x: x,
            np.sin,
            2,
        ),
        (
            lambda x: np.sin(x) + np.cos(x) * np.exp(x),
            lambda a, b, c: a * b + c,
            lambda a, b, c: a / b - c,
            lambda x: np.cos(x) / np.exp(x) - np.sin(x),
            1,
        ),
    ],
)
def test_a_rewritten_tape_computes_what_the_rewritten_program_does(
    function: Any, pattern: Any, replacement: Any, expected: Any, n: int
) -> None:
    tape = fastgrad.record(function, X)
    assert len(tape.matches(pattern)) == n
    rewritten = tape.rewrite(pattern, replacement)
    np.testing.assert_allclose(value(rewritten, X), expected(X), rtol=1e-15)
    assert not rewritten.matches(pattern)


def test_gradients_of_a_rewritten_tape_are_those_of_the_program() -> None:
    tape = fastgrad.record(lambda x: np.sum(np.tanh(x) * x), X)
    rewritten = tape.rewrite(np.tanh, np.arctan)
    found = fastgrad.grad(lambda x: rewritten(x))(X)
    np.testing.assert_allclose(found, np.arctan(X) + X / (1 + X * X), rtol=1e-14)


def test_a_value_used_elsewhere_is_not_inside_a_match_unless_that_is_asked() -> None:
    def program(x: Any) -> Any:
        inner = np.exp(x)
        return np.log(inner) + inner

    tape = fastgrad.record(program, 1.0)
    pattern = lambda x: np.log(np.exp(x))  # noqa: E731
    assert tape.matches(pattern) == ()
    (match,) = tape.matches(pattern, shared=True)
    assert (match.result, match.wildcards, match.nodes) == (2, {"x": 0}, (1, 2))
    assert value(tape.rewrite(pattern, lambda x: x, shared=True), 2.0) == 2.0 + np.exp(2.0)


def test_a_wildcard_used_twice_means_one_value() -> None:
    def program(x: Any, y: Any) -> Any:
        inner = np.sin(x)
        return inner / np.sin(y) + inner / inner

    tape = fastgrad.record(program, 1.0, 2.0)
    assert len(tape.matches(lambda a, b: a / b)) == 2
    (match,) = tape.matches(lambda y: y / y)
    assert tape.node(match.result).operands == (match.wildcards["y"],) * 2


def test_numbers_and_attributes_must_be_the_same() -> None:
    tape = fastgrad.record(lambda x: np.sum(x * 2.0, axis=0) * np.sum(np.sin(x)), np.ones((2, 3)))
    assert len(tape.matches(lambda y: y * 2.0)) == 1
    assert not tape.matches(lambda y: y * 3.0)
    rows = fastgrad.record(lambda y: np.sum(y, axis=0), np.ones((2, 3)))
    assert [tape.shape_of(match.result) for match in tape.matches(rows)] == [(3,)]


def test_groups_predicates_and_counts_choose_among_the_matches() -> None:
    def program(x: Any) -> Any:
        with fastgrad.group("first"):
            x = np.tanh(x)
        with fastgrad.group("second"):
            return np.tanh(fastgrad.name(x + 1.0, "shifted"))

    tape = fastgrad.record(program, 0.3)
    expected = np.tanh(np.sin(0.3) + 1.0)
    for chosen in ({"where": "first"}, {"count": 1}, {"where": lambda node: node.operands == (0,)}):
        rewritten = tape.rewrite(np.tanh, np.sin, **chosen)  # type: ignore[arg-type]
        np.testing.assert_allclose(value(rewritten, 0.3), expected, rtol=1e-15)
        assert rewritten.node_names == ("second/shifted",)
        assert rewritten.group_of(1) == "first"


def test_what_cannot_be_a_pattern_or_replacement_is_refused_with_the_reason() -> None:
    tape = fastgrad.record(lambda x: np.tanh(x), X)
    with pytest.raises(InputError, match="the pattern was not found"):
        tape.rewrite(np.sin, np.cos)
    assert tape.rewrite(np.sin, np.cos, missing_ok=True) is tape
    with pytest.raises(InputError, match="one result, which is that of an operation"):
        tape.matches(lambda x: x)
    with pytest.raises(InputError, match="needs all of its arguments"):
        tape.matches(lambda x, y: np.tanh(x))
    with pytest.raises(InputError, match=r"has shape \(3,\); the replacement makes shape \(\)"):
        tape.rewrite(np.tanh, lambda x: np.sum(x))
    with pytest.raises(InputError, match="is a tape or a function whose arguments"):
        tape.matches("tanh")  # type: ignore[arg-type]


def test_equal_numbers_may_be_several_nodes() -> None:
    tape = fastgrad.record(lambda x: x * 2.0, 1.0).insert_after(2, lambda y: y + 2.0)
    assert sum(node.operation == "constant" for node in tape) == 2
    assert len(tape.matches(lambda x: x * 2.0 + 2.0)) == 1
    assert not tape.matches(lambda x: x * 2.0 + 3.0)


def test_long_sums_are_patterns_where_the_order_of_terms_makes_no_difference() -> None:
    tape = fastgrad.record(lambda x: sum((float(k) * x for k in range(1, 20)), np.sin(x)), 0.3)
    terms = [f"x{k}" for k in range(20)]
    products = " + ".join(f"{a} * {b}" for a, b in zip(terms[::2], terms[1::2], strict=True))
    balanced = eval(f"lambda {', '.join(terms)}: {products}")
    with pytest.raises(InputError, match="may hold 6 commutative operations; this has 9"):
        tape.matches(balanced)
    assert len(tape.matches(lambda a, b: a + b)) == 19


@pytest.mark.parametrize(
    "pattern",
    [lambda x: np.sum(x * x), lambda x: x.T * 2.0, lambda a, b: a @ b, lambda x: np.mean(x), lambda x: x[0] * 2.0],
)
def test_functions_of_arrays_are_given_as_tapes(pattern: Any) -> None:
    tape = fastgrad.record(lambda x: np.sum(x * x) * 2.0, X)
    with pytest.raises(InputError, match=r"has operations on arrays, which depend on shapes\. Give it as a tape"):
        tape.matches(pattern)


def test_counts_and_groups_that_cannot_be_are_refused() -> None:
    tape = fastgrad.record(np.tanh, X)
    for count in (-1, 1.5, True):
        with pytest.raises(InputError, match="count says how many matches are replaced at most"):
            tape.rewrite(np.tanh, np.sin, count=count)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no group 'nowhere'; it has none"):
        tape.rewrite(np.tanh, np.sin, where="nowhere")


UNARY = {"sin": np.sin, "tanh": np.tanh, "arctan": np.arctan, "cos": np.cos}


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(UNARY)), min_size=1, max_size=12), st.sampled_from(sorted(UNARY)))
def test_random_chains_are_rewritten_as_their_programs(names: list[str], new: str) -> None:
    def program(chain: list[str]) -> Any:
        def function(x: Any) -> Any:
            for name in chain:
                x = UNARY[name](x) + 0.25 * x
            return np.sum(x)

        return function

    tape = fastgrad.record(program(names), X)
    old = names[0]
    rewritten = tape.rewrite(UNARY[old], UNARY[new]).validate()
    changed = program([new if name == old else name for name in names])
    assert value(rewritten, X) == changed(X)
    np.testing.assert_array_equal(fastgrad.grad(lambda x: rewritten(x))(X), fastgrad.grad(changed)(X))


def test_a_rewriting_that_is_undone_gives_an_equal_hash() -> None:
    tape = fastgrad.record(lambda x: np.sum(np.tanh(x) * 2.0), X)
    assert tape.rewrite(np.tanh, np.sin).rewrite(np.sin, np.tanh).hash == tape.rewrite(np.tanh, np.tanh).hash


def test_each_copy_of_a_replacement_takes_its_decisions() -> None:
    scaled = fastgrad.record(lambda y: y * 2.0 if y > 0.0 else y * 3.0, 1.0)
    tape = fastgrad.record(lambda x, z: np.sin(x) + np.sin(z), 1.0, 1.0).rewrite(np.sin, scaled).validate()
    assert tape(1.0, 2.0) == 6.0
    for inputs in ((-1.0, 2.0), (1.0, -2.0)):
        with pytest.raises(InputError, match=r"test_pattern\.py"):
            tape(*inputs)


def test_wildcards_of_the_same_names_are_paired_by_name() -> None:
    tape = fastgrad.record(lambda x, y: np.arctan2(x, y) * 2.0, 0.3, 0.7)
    edited = tape.rewrite(lambda a, b: np.arctan2(a, b), lambda b, a: a / b)
    assert edited(0.3, 0.7) == 0.3 / 0.7 * 2.0
    edited = tape.rewrite(lambda a, b: np.arctan2(a, b), lambda u, v: u / v)
    assert edited(0.3, 0.7) == 0.3 / 0.7 * 2.0
