"""Random programs: an edited tape is the tape of the edited program."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastgrad as fg

Change = Callable[..., Any]
Steps = list[tuple[int, int, int]]

X, W = np.array([0.3, -0.8, 1.1]), np.array([0.9, 0.4, -0.6])
# each is one node
OPERATIONS: list[Callable[..., Any]] = [
    np.sin,
    np.tanh,
    np.arctan,
    np.cumsum,
    lambda a: a[::-1],
    np.add,
    np.subtract,
    np.multiply,
    np.arctan2,
]
N_UNARY = 5
steps = st.lists(
    st.tuples(st.integers(0, len(OPERATIONS) - 1), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=8
)


def program(
    steps: Steps,
    after: Mapping[str, Change] | None = None,
    before: Mapping[tuple[str, int], Change] | None = None,
    instead: Mapping[str, Change] | None = None,
) -> Callable[[Any, Any], Any]:
    """A function whose k-th step is called ``v<k>``, with changes after, before or instead of some steps."""

    def function(x: Any, w: Any) -> Any:
        values = [x, w]
        for k, (code, one, other) in enumerate(steps):
            name = f"v{k}"
            operands = [values[one % len(values)], values[other % len(values)]][: 1 if code < N_UNARY else 2]
            for position in range(len(operands)):
                change = (before or {}).get((name, position))
                operands[position] = change(operands[position]) if change else operands[position]
            value = (instead or {}).get(name, OPERATIONS[code])(*operands)
            value = fg.name(value, name) if name not in (instead or {}) else value
            values.append((after or {}).get(name, lambda value: value)(value))
        return sum(np.sum(np.arctan(value)) * (k + 1.0) for k, value in enumerate(values))

    return function


def tape_of(steps: Steps) -> fg.Tape:
    return fg.record(program(steps), X, W)


def check(tape: fg.Tape, function: Callable[..., Any], *inputs: Any) -> None:
    """The edited tape has the values of the edited program, and its derivatives."""
    tape.validate()
    assert_allclose(tape(*inputs), function(*inputs), rtol=1e-14, atol=1e-14)
    if not inputs:
        return
    every = tuple(range(len(inputs)))
    for found, expected in zip(fg.grad(tape, every)(*inputs), fg.grad(function, every)(*inputs), strict=True):
        assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def smooth(value: Any) -> Any:
    return value * np.cos(value) - 0.5


def is_unary(steps: Steps, k: int) -> bool:
    return steps[k][0] < N_UNARY


@settings(max_examples=40, deadline=None)
@given(steps, st.data())
def test_insertions_and_replacements(steps: Steps, data: Any) -> None:
    tape = tape_of(steps)
    k = data.draw(st.integers(0, len(steps) - 1))
    name, position = f"v{k}", data.draw(st.integers(0, 0 if is_unary(steps, k) else 1))
    check(tape.insert_after(name, smooth), program(steps, after={name: smooth}), X, W)
    edited = tape.insert_before(name, smooth, operand=position)
    check(edited, program(steps, before={(name, position): smooth}), X, W)

    def other(a: Any, b: Any = 1.0) -> Any:
        return a / (1.0 + a * a) + np.sin(b)

    new: Change = (lambda a: other(a)) if is_unary(steps, k) else (lambda a, b: other(a, b))
    check(tape.replace_node(name, new), program(steps, instead={name: new}), X, W)


@settings(max_examples=30, deadline=None)
@given(steps, st.data())
def test_what_is_left_out(steps: Steps, data: Any) -> None:
    tape = tape_of(steps)
    k = data.draw(st.integers(0, len(steps) - 1))
    position = data.draw(st.integers(0, 0 if is_unary(steps, k) else 1))
    expected = program(steps, instead={f"v{k}": lambda *operands: operands[position]})
    check(tape.bypass(f"v{k}", operand=position), expected, X, W)


@settings(max_examples=30, deadline=None)
@given(steps)
def test_inputs_given_shared_and_untied(steps: Steps) -> None:
    tape, function = tape_of(steps), program(steps)
    check(tape.freeze(w=W), lambda x: function(x, W), X)
    check(tape.freeze(x=X), lambda w: function(X, w), W)
    check(tape.share("x", "w"), lambda x: function(x, x), X)
    untied = tape.untie("w") if len(set(tape.users_of("w").tolist())) > 1 else tape
    copies = [name for name in untied.input_names if name.startswith("w")]
    check(untied.share(*copies), function, X, W)
    assert untied(X, *[W] * len(copies)) == tape(X, W)
    gradients = fg.grad(untied, tuple(range(len(untied.inputs))))(X, *[W] * len(copies))
    assert_allclose(sum(gradients[1:]), fg.grad(tape, 1)(X, W), rtol=1e-12, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(steps, st.data())
def test_values_that_are_tapped(steps: Steps, data: Any) -> None:
    tape = tape_of(steps)
    name = f"v{data.draw(st.integers(0, len(steps) - 1))}"
    tapped = tape.tap(name).validate()
    seen: list[Any] = []
    value = program(steps, after={name: lambda value: seen.append(value) or value})(X, W)
    assert_allclose(tapped(X, W)[0], value, rtol=1e-14)
    assert_allclose(tapped(X, W)[1], seen[0], rtol=1e-14, atol=1e-15)
    assert tapped.select(0) == tape.select(0)


@settings(max_examples=40, deadline=None)
@given(steps, st.data())
def test_edits_that_cancel_give_an_equal_tape(steps: Steps, data: Any) -> None:
    tape = tape_of(steps)
    name = f"v{data.draw(st.integers(0, len(steps) - 1))}"
    inserted = tape.insert_after(name, lambda value: fg.name(np.sinh(value), "new"))
    assert inserted != tape
    assert inserted.bypass("new") == tape
    assert tape.replace_node(name, np.sinh if len(tape[name].operands) == 1 else np.hypot) != tape
    assert tape.freeze(w=W).constants_to_inputs("w") == tape
    assert tape.rename({name: "other"}).rename({"other": name}).node_names == tape.node_names
    copies = ["w", *(f"w_{k}" for k in range(2, 1 + len(set(tape.users_of("w").tolist()))))]
    if len(copies) > 1:
        assert tape.untie("w").share(*copies) == tape
    assert tape.tap(name).select(0) == tape
    assert fg.compose(fg.record(lambda y: y, 1.0), tape) == tape


def cut_as_advised(tape: fg.Tape, places: list[Any]) -> tuple[fg.Tape, fg.Tape]:
    """The parts of a tape that is cut at further places as long as the message says so."""
    while True:
        try:
            return tape.cut(*places)
        except fg.InputError as error:
            advised = re.search(r"Cut at it, too: cut\(..., (?:'(.+)'|(\d+))\)", str(error))
            if advised is None:
                raise
            places.append(advised[1] or int(advised[2]))


@settings(max_examples=40, deadline=None)
@given(steps, st.data())
def test_parts_of_a_cut_program_joined_are_the_program(steps: Steps, data: Any) -> None:
    tape = tape_of(steps)
    front, back = cut_as_advised(tape, [f"v{data.draw(st.integers(0, len(steps) - 1))}"])
    joined = fg.compose(back.validate(), front.validate(), share=True).validate()
    order = dict(x=X, w=W)
    assert set(joined.input_names) == {"x", "w"}
    assert joined(**order) == tape(X, W)
    for name in ("x", "w"):
        one, other = joined.input_names.index(name), tape.input_names.index(name)
        found = fg.grad(joined, one)(*(order[key] for key in joined.input_names))
        assert_allclose(found, fg.grad(tape, other)(X, W), rtol=1e-12, atol=1e-13)
    assert sorted(node.operation for node in joined) == sorted(node.operation for node in tape)


@settings(max_examples=25, deadline=None)
@given(steps, steps)
def test_tapes_joined_are_programs_joined(first: Steps, second: Steps) -> None:
    f, g = tape_of(first), tape_of(second)
    inner, outer = program(first), program(second)
    scalars = fg.record(lambda s, v: outer(s * X, v), 0.3, W)
    check(fg.compose(scalars, f), lambda x, w, v: outer(inner(x, w) * X, v), X, W, W / 2)
    both = fg.parallel(f, g, share=True).validate()
    assert_array_equal(both(X, W), (f(X, W), g(X, W)))
    apart = fg.parallel(f, g, groups=("f", "g")).validate()
    assert apart.input_names == ("f/x", "f/w", "g/x", "g/w")
    assert_array_equal(apart(X, W, X / 2, W / 2), (f(X, W), g(X / 2, W / 2)))


@settings(max_examples=15, deadline=None)
@given(steps, st.data())
def test_edited_tapes_are_batched_saved_and_pickled_like_others(steps: Steps, data: Any) -> None:
    name = f"v{data.draw(st.integers(0, len(steps) - 1))}"
    edited = tape_of(steps).insert_after(name, smooth).freeze(w=W)
    many = np.stack([X, X / 2, X - 0.5])
    assert_allclose(fg.vmap(edited)(many), [edited(x) for x in many], rtol=1e-13)
    assert_allclose(fg.vmap(fg.grad(edited))(many), [fg.grad(edited)(x) for x in many], rtol=1e-12, atol=1e-13)
    file = io.BytesIO()
    edited.save(file)
    for other in (fg.load(io.BytesIO(file.getvalue())), pickle.loads(pickle.dumps(edited))):
        assert other == edited
        assert (other.node_names, other.input_names) == (edited.node_names, edited.input_names)
        assert other(X) == edited(X)
    gradient = edited.gradient().validate()
    assert_allclose(gradient(X), fg.grad(edited)(X), rtol=1e-12, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize(
    "edit",
    [
        lambda tape: tape.insert_after("v1", smooth),
        lambda tape: tape.replace_node("v2", lambda a, b: a / (1.0 + b * b)),
        lambda tape: tape.cut("v2", "v0")[0],
        lambda tape: tape >> (lambda y: np.exp(-y * y)),
        lambda tape: tape.rewrite(np.sin, np.arctan),
    ],
)
def test_edited_tapes_become_native_code(edit: Any) -> None:
    edited = edit(tape_of([(0, 0, 0), (1, 2, 0), (7, 3, 1), (3, 4, 0), (0, 5, 0)]))

    def function(x: Any, w: Any) -> Any:
        found = edited(x, w)
        return sum(np.sum(part) for part in found) if isinstance(found, tuple) else found

    native = fg.grad(function, (0, 1), tier="native")(X, W)
    for found, expected in zip(native, fg.grad(function, (0, 1))(X, W), strict=True):
        assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
