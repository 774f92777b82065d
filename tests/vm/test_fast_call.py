"""Calls that the kernels answer: the same results, errors and references as the calls that Python answers."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.derivative import Derivative
from fastgrad.errors import InputError
from fastgrad.recording.captured import Surroundings
from fastgrad.vm import fast_call
from fastgrad.vm import instructions as isa
from tests.leaks import assert_nothing_is_lost

ROOT = Path(__file__).parents[2]
X = np.array([-1.2, 1.0])

pytestmark = pytest.mark.skipif(not fast_call._install(), reason="the kernels answer no calls on this system")


def rosenbrock(x: Any) -> Any:
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def rosenbrock_gradient(x: Any) -> Any:
    inner = x[1] - x[0] ** 2
    return np.array([-2 * (1 - x[0]) - 400 * x[0] * inner, 200 * inner])


class Answers:
    """Counts the calls that Python had to answer."""

    def __init__(self) -> None:
        self.from_python = 0

    def during(self, call: Callable[[], Any]) -> int:
        before = self.from_python
        call()
        return self.from_python - before


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    counted, evaluate = Answers(), Derivative.evaluate

    def counting(*args: Any) -> Any:
        counted.from_python += 1
        return evaluate(*args)

    monkeypatch.setattr(Derivative, "evaluate", counting)
    return counted


def warmed(derivative: Any, *args: Any) -> Any:
    """After two calls the kernels answer the third."""
    derivative(*args)
    derivative(*args)
    return derivative


def assert_same(found: Any, expected: Any) -> None:
    """Equal in type, nesting, dtype, shape, layout and bits."""
    assert type(found) is type(expected)
    if isinstance(expected, tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
        return
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()
    if isinstance(expected, np.ndarray):
        assert found.flags.owndata
        assert found.flags.writeable
        assert found.flags.c_contiguous


WEIGHTS = np.array([0.5, 2.0])


def branching(x: Any) -> Any:
    return x[0] ** 2 if x[0] > 0 else np.exp(x[1]) * x[0]


PLAIN = {
    "gradient": (lambda: fg.grad(rosenbrock), (X,)),
    "value and gradient": (lambda: fg.value_and_grad(rosenbrock), (X,)),
    "matrix": (lambda: fg.grad(lambda a: np.sum(a @ a.T)), (np.arange(6.0).reshape(2, 3),)),
    "no elements": (lambda: fg.value_and_grad(lambda x: np.sum(x) + 1.0), (np.zeros(0),)),
    "rank 0": (lambda: fg.value_and_grad(lambda x: np.sin(x)), (np.array(0.5),)),
    "a float": (lambda: fg.value_and_grad(lambda x: x**3), (1.5,)),
    "a NumPy float": (lambda: fg.grad(lambda x: x**3), (np.float64(1.5),)),
    "a read-only array": (lambda: fg.grad(rosenbrock), (np.frombuffer(X.tobytes()),)),
    "two arguments": (lambda: fg.grad(lambda x, y: np.sum(x * y), argnums=(0, 1)), (X, X + 1.0)),
    "value and two": (lambda: fg.value_and_grad(lambda x, y: np.sum(x) * y, argnums=(0, 1)), (X, 3.0)),
    "a tuple of one": (lambda: fg.value_and_grad(rosenbrock, argnums=(0,)), (X,)),
    "the last argument": (lambda: fg.grad(lambda w, x: np.sum(w * x**2), argnums=-1), (X, X + 1.0)),
    "a name": (lambda: fg.grad(lambda w, x: np.sum(w * x**2), argnums="x"), (X, X + 1.0)),
    "a whole number": (lambda: fg.grad(lambda x, n: np.sum(x**n)), (X, 3)),
    "text": (lambda: fg.grad(lambda x, how: np.sum(x) if how == "sum" else np.prod(x)), (X, "prod")),
    "captured array": (lambda: fg.grad(lambda x: np.sum(WEIGHTS * x**2)), (X,)),
    "partial": (lambda: fg.grad(functools.partial(lambda s, x, t: np.sum(s * x**t), 2.0, t=3.0)), (X,)),
    "constant": (lambda: fg.value_and_grad(lambda x: 4.5), (X,)),
    "NaN from 0 * inf": (lambda: fg.grad(lambda x: np.sqrt(np.sum(x * x))), (np.zeros(2),)),
    "jacobian": (lambda: fg.jacobian(lambda x: np.stack([x[0] * x[1], x[1], np.sin(x[0])])), (X,)),
    "jacobian of a number": (lambda: fg.jacobian(lambda x: x * x), (2.0,)),
    "jacobian by two": (lambda: fg.jacobian(lambda x, y: x * y, argnums=(0, 1)), (X, X)),
    "hessian": (lambda: fg.hessian(rosenbrock), (X,)),
    "branch": (lambda: fg.grad(branching), (X,)),
    "400 steps": (lambda: fg.value_and_grad(many_steps), (X,)),
}


def many_steps(x: Any) -> Any:
    y, z = x[0], x[1]
    for _ in range(400):
        y, z = y + 0.01 * z, z - 0.01 * np.sin(y)
    return y * z


@pytest.mark.parametrize("name", PLAIN)
def test_results_are_those_that_python_gives_to_the_bit(name: str, answers: Answers) -> None:
    make, args = PLAIN[name]
    expected = make()(*args)
    derivative = warmed(make(), *args)

    def call() -> None:
        assert_same(derivative(*args), expected)

    assert answers.during(call) == 0
    other = tuple(arg * 1.25 if isinstance(arg, (float, np.ndarray)) else arg for arg in args)
    assert_same(derivative(*other), make()(*other))


def test_each_result_is_an_array_of_its_own() -> None:
    g = warmed(fg.grad(rosenbrock), X)
    first = g(X)
    kept = first.copy()
    assert not np.shares_memory(first, g(X + 1.0))
    np.testing.assert_array_equal(first, kept)


# ---- what the kernels leave to Python


class Subclass(np.ndarray):
    pass


PYTHONS_WORK = {
    "float32": X.astype(np.float32),
    "whole numbers": np.array([2, 3]),
    "strided": np.array([-1.2, 0.0, 1.0, 0.0])[::2],
    "backwards": np.array([1.0, -1.2])[::-1],
    "misaligned": np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float64),
    "other byte order": X.astype(X.dtype.newbyteorder()),
    "a subclass": X.view(Subclass),
    "three elements": np.array([1.0, 2.0, 3.0]),
    "a list": [-1.2, 1.0],
    "a float": 1.5,
}


@pytest.mark.parametrize("name", PYTHONS_WORK)
def test_other_arguments_are_answered_as_before(name: str, answers: Answers) -> None:
    value = PYTHONS_WORK[name]

    def function(x: Any) -> Any:
        return x**2 if np.shape(x) == () else x[0] ** 2 * x[1]

    expected = fg.grad(function)(value)
    g = warmed(fg.grad(function), X)
    assert answers.during(lambda: g(value)) == 1
    found = g(value)
    assert type(found) is type(expected)
    np.testing.assert_array_equal(found, expected)
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
    np.testing.assert_array_equal(g(X), [2 * X[0] * X[1], X[0] ** 2])


BROKEN_CALLS: dict[str, tuple[Callable[[Any], Any], type[Exception]]] = {
    "text": (lambda g: g("x"), InputError),
    "complex": (lambda g: g(X + 1j), InputError),
    "objects": (lambda g: g(np.array([None, 1], object)), InputError),
    "no argument": (lambda g: g(), InputError),
    "one too many": (lambda g: g(X, X), TypeError),
    "unknown name": (lambda g: g(X, y=X), TypeError),
    "too few elements": (lambda g: g(np.zeros(1)), IndexError),
}


@pytest.mark.parametrize("name", BROKEN_CALLS)
def test_errors_are_those_of_the_first_call(name: str) -> None:
    call, kind = BROKEN_CALLS[name]
    with pytest.raises(kind) as expected:
        call(fg.grad(rosenbrock))
    g = warmed(fg.grad(rosenbrock), X)
    with pytest.raises(kind) as found:
        call(g)
    assert str(found.value) == str(expected.value)
    np.testing.assert_allclose(g(X), rosenbrock_gradient(X), rtol=1e-14)


def test_arguments_by_name_are_taken() -> None:
    g = warmed(fg.grad(lambda x, n: np.sum(x**n)), X, 2)
    np.testing.assert_array_equal(g(X, n=3), fg.grad(lambda x: np.sum(x**3))(X))


def test_another_whole_number_is_another_recording(answers: Answers) -> None:
    g = warmed(fg.grad(lambda x, n: np.sum(x**n)), X, 2)
    np.testing.assert_allclose(warmed(g, X, 3)(X, 3), 3 * X**2, rtol=1e-15)
    np.testing.assert_allclose(g(X, 2), 2 * X, rtol=1e-15)
    assert answers.during(lambda: (g(X, 2), g(X, 3))) == 0


@pytest.mark.filterwarnings("ignore::fastgrad.RecordingWarning")
def test_many_shapes_are_answered_right_though_few_have_entries(answers: Answers) -> None:
    g = fg.grad(lambda x: np.sum(x**2))
    for n in [*range(1, 3 * isa.MAX_ENTRIES), *range(1, 3 * isa.MAX_ENTRIES)]:
        np.testing.assert_array_equal(g(np.full(n, 3.0)), np.full(n, 6.0))
    assert len(g._fast.entries) <= isa.MAX_ENTRIES


# ---- into


def prepared() -> Any:
    return fg.grad(rosenbrock).prepare(X)


def test_into_writes_the_gradient_and_returns_nothing(answers: Answers) -> None:
    p, out = prepared(), np.full(2, np.nan)

    def call() -> None:
        assert p.into(X, out) is None

    assert answers.during(call) == 0
    np.testing.assert_array_equal(out, fg.grad(rosenbrock)(X))


def test_into_a_number_of_rank_0(answers: Answers) -> None:
    p, out = fg.grad(lambda x: x**3).prepare(2.0), np.array(np.nan)
    assert answers.during(lambda: p.into(2.0, out)) == 0
    assert out == 12.0


def test_a_prepared_derivative_is_called_without_python(answers: Answers) -> None:
    p = prepared()
    assert answers.during(lambda: assert_same(p(X), fg.grad(rosenbrock)(X))) == 1  # of which 1 is the fresh derivative


OUTS: dict[str, Callable[[], Any]] = {
    "strided": lambda: np.zeros(4)[::2],
    "backwards": lambda: np.zeros(2)[::-1],
    "a subclass": lambda: np.zeros(2).view(Subclass),
}


@pytest.mark.parametrize("name", OUTS)
def test_into_arrays_of_other_layout(name: str) -> None:
    p, out = prepared(), OUTS[name]()
    p.into(X, out)
    np.testing.assert_array_equal(out, fg.grad(rosenbrock)(X))


def read_only() -> Any:
    out = np.zeros(2)
    out.flags.writeable = False
    return out


REFUSED_OUTS: dict[str, tuple[Callable[[], Any], str]] = {
    "read-only": (read_only, "read-only"),
    "float32": (lambda: np.zeros(2, np.float32), "float64"),
    "another shape": (lambda: np.zeros(3), "shape"),
    "another rank": (lambda: np.zeros((2, 1)), "shape"),
    "a float": (lambda: 1.0, "float64 array"),
    "a list": (lambda: [0.0, 0.0], "nested"),
}


@pytest.mark.parametrize("name", REFUSED_OUTS)
def test_into_refuses_what_it_cannot_write_to(name: str) -> None:
    make, text = REFUSED_OUTS[name]
    p, out = prepared(), make()
    before = copy.copy(out)
    with pytest.raises(InputError, match=text):
        p.into(X, out)
    np.testing.assert_array_equal(out, before)


def test_into_the_argument_itself_and_into_memory_that_overlaps_it(answers: Answers) -> None:
    p, expected = prepared(), fg.grad(rosenbrock)(X)
    memory = np.array([-1.2, 1.0, np.nan])
    before = answers.from_python
    p.into(memory[:2], memory[1:])
    np.testing.assert_array_equal(memory[1:], expected)
    x = X.copy()
    p.into(x, x)
    np.testing.assert_array_equal(x, expected)
    assert answers.from_python == before


def test_into_memory_of_a_captured_array() -> None:
    weights = np.array([3.0, 4.0])
    p = fg.grad(lambda x: np.sum(weights * x**2)).prepare(X)
    p.into(X, weights)
    np.testing.assert_array_equal(weights, 2 * np.array([3.0, 4.0]) * X)
    p.into(X, weights)
    np.testing.assert_array_equal(weights, 2 * (2 * np.array([3.0, 4.0]) * X) * X)


def test_a_prepared_derivative_refuses_other_shapes_that_its_derivative_knows() -> None:
    g = fg.grad(lambda x: np.sum(x**2))
    three = np.ones(3)
    warmed(g, three)
    p = g.prepare(X)
    p(X)
    with pytest.raises(InputError, match="prepared for"):
        p(three)
    with pytest.raises(InputError, match="prepared for"):
        p.into(three, np.zeros(3))
    with pytest.raises(ValueError, match="unpack"):
        p.into()


# ---- what is around the function

SCALE: Any = 2.0


def scaled(x: Any) -> Any:
    return np.sum(SCALE * x**2)


def test_a_global_that_is_bound_anew_counts(monkeypatch: pytest.MonkeyPatch, answers: Answers) -> None:
    g = warmed(fg.grad(scaled), X)
    assert answers.during(lambda: g(X)) == 0
    for value in (3.0, np.array([5.0, 7.0]), np.array([5, 7]), 3.0):
        monkeypatch.setitem(globals(), "SCALE", value)
        for _ in range(4):
            np.testing.assert_array_equal(g(X), 2 * value * X)
    monkeypatch.delitem(globals(), "SCALE")
    with pytest.raises(NameError):
        g(X)


def test_an_equal_number_in_a_new_object_costs_python_once(monkeypatch: pytest.MonkeyPatch, answers: Answers) -> None:
    g = warmed(fg.grad(scaled), X)
    monkeypatch.setitem(globals(), "SCALE", float("2.0"))
    assert answers.during(lambda: np.testing.assert_array_equal(g(X), 4 * X)) == 1
    assert answers.during(lambda: np.testing.assert_array_equal(g(X), 4 * X)) == 0


def test_a_closure_variable_that_is_bound_anew_counts() -> None:
    factor: Any = 2.0

    def function(x: Any) -> Any:
        return np.sum(factor * x**2)  # noqa: F821 - deleted at the end

    g = warmed(fg.grad(function), X)
    for value in (3.0, np.array([5.0, 7.0]), -0.0, 0.0):
        factor = value
        for _ in range(4):
            assert g(X).tobytes() == (2 * factor * X + 0.0).tobytes()
    del factor
    with pytest.raises(NameError):
        g(X)


def test_a_helper_that_is_bound_anew_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    g = warmed(fg.grad(lambda x: np.sum(branching(x))), X)
    monkeypatch.setitem(globals(), "branching", lambda x: x[0] * x[1])
    np.testing.assert_array_equal(g(X), X[::-1])


def test_default_arguments_that_are_bound_anew_count() -> None:
    def function(x: Any, power: float = 2.0, *, factor: float = 1.0) -> Any:
        return np.sum(factor * x**power)

    g = warmed(fg.grad(function), X)
    function.__defaults__ = (3.0,)
    np.testing.assert_allclose(warmed(g, X)(X), 3 * X**2, rtol=1e-15)
    function.__kwdefaults__ = {"factor": 5.0}
    np.testing.assert_allclose(warmed(g, X)(X), 15 * X**2, rtol=1e-15)


def test_keyword_defaults_that_appear_count() -> None:
    def function(x: Any, *, factor: Any) -> Any:
        return np.sum(factor * x)

    function.__kwdefaults__ = {"factor": 1.0}
    g = warmed(fg.grad(function), X)
    function.__kwdefaults__["factor"] = 5.0
    np.testing.assert_array_equal(g(X), [5.0, 5.0])


def test_keywords_of_a_partial_function_that_change_count(answers: Answers) -> None:
    partial = functools.partial(lambda x, *factors, scale: np.sum(scale * x), scale=2.0)
    g = warmed(fg.grad(partial), X)
    assert answers.during(lambda: g(X)) == 0
    partial.keywords["scale"] = 3.0
    np.testing.assert_array_equal(g(X), [3.0, 3.0])


class Model:
    def __init__(self) -> None:
        self.scale = 2.0

    def loss(self, x: Any) -> Any:
        return np.sum(self.scale * x**2)


def test_containers_and_objects_are_looked_into_at_every_call() -> None:
    model, factors, table = Model(), [2.0], {"scale": 2.0}
    functions = (model.loss, lambda x: np.sum(factors[0] * x**2), lambda x: np.sum(table["scale"] * x**2))
    derivatives = [warmed(fg.grad(function), X) for function in functions]
    for derivative in derivatives:
        np.testing.assert_array_equal(derivative(X), 4 * X)
    model.scale = factors[0] = table["scale"] = 3.0
    for derivative in derivatives:
        np.testing.assert_array_equal(derivative(X), 6 * X)


def test_a_captured_array_is_read_at_each_call_and_kept_alive() -> None:
    weights = np.array([1.0, 2.0])

    def function(x: Any) -> Any:
        return np.sum(weights * x)

    g = warmed(fg.grad(function), X)
    weights[:] = 5.0, 6.0
    np.testing.assert_array_equal(g(X), [5.0, 6.0])
    old = weakref.ref(weights)
    weights = np.array([7.0, 8.0])
    gc.collect()
    junk = [np.full(2, np.nan) for _ in range(100)]
    for _ in range(4):
        np.testing.assert_array_equal(g(X), [7.0, 8.0])
    weights = old()  # type: ignore[assignment]  # the recording still holds it
    np.testing.assert_array_equal(g(X), [5.0, 6.0])
    assert len(junk) == 100


def test_captured_whole_numbers_that_change_are_seen() -> None:
    counts = np.array([1, 2])
    g = warmed(fg.grad(lambda x: np.sum(counts * x)), X)
    counts[:] = 5, 6
    np.testing.assert_array_equal(g(X), [5.0, 6.0])


# ---- branches


def test_both_branches_are_answered_by_the_kernels(answers: Answers) -> None:
    g, v = fg.grad(branching), fg.value_and_grad(branching)
    positive, negative = np.array([2.0, 1.0]), np.array([-2.0, 1.0])
    for _ in range(3):
        for x in (positive, negative):
            g(x), v(x)
    before = answers.from_python
    for _ in range(5):
        np.testing.assert_array_equal(g(positive), [4.0, 0.0])
        np.testing.assert_allclose(g(negative), np.exp(1.0) * np.array([1.0, -2.0]), rtol=1e-15)
        assert v(positive)[0] == 4.0
    assert answers.from_python == before
    p, out = g.prepare(negative), np.zeros(2)
    p.into(positive, out)
    np.testing.assert_array_equal(out, [4.0, 0.0])


def test_a_new_branch_is_recorded() -> None:
    g = warmed(fg.grad(lambda x: x**2 if x > 0 else -x if x > -1 else x), 2.0)
    assert [g(2.0), g(-0.5), g(-3.0), g(1.0), g(-0.25), g(-4.0)] == [4.0, -1.0, 1.0, 2.0, -1.0, 1.0]


def ways(x: Any) -> Any:
    """Eight ways: a tree of three decisions."""
    y = x * 2 if x > 4 else x * 3
    y = y + 1 if x % 4 >= 2 else y * y
    return np.sin(y) if x % 2 >= 1 else y


WAYS = [k + 0.5 for k in range(8)]


def warmed_on(function: Callable[[Any], Any], points: list[Any]) -> Any:
    g = fg.value_and_grad(function)
    for _ in range(3):
        for x in points:
            g(x)
    return g


def tries_of(g: Any, x: Any) -> int:
    """How many entries the kernels try for this call."""
    for entry in g._fast.entries:
        entry._record["failed"] = -7
    g(x)
    return sum(int(entry._record["failed"][0]) != -7 for entry in g._fast.entries)


@pytest.mark.parametrize("pattern", [[0, 1], [0, 0, 5], [1, 4, 7], [*range(8)], [3, 3, 3, 6, 6]])
def test_the_entry_that_comes_next_in_a_pattern_is_tried_first(pattern: list[int], answers: Answers) -> None:
    g = warmed_on(ways, WAYS)
    points = [WAYS[k] for k in pattern]
    for x in points * 6:
        g(x)
    before = answers.from_python
    assert [tries_of(g, x) for x in points * 4] == [1] * (4 * len(points))
    assert answers.from_python == before


def test_a_failed_guard_leads_to_the_entries_with_the_other_outcome(answers: Answers) -> None:
    g = warmed_on(ways, WAYS)
    before = answers.from_python
    for k in np.random.default_rng(4).integers(0, 8, 300):
        assert tries_of(g, WAYS[k]) <= 4  # one for each decision, then the right one
    assert answers.from_python == before
    for x in WAYS:
        assert_same(g(x), fg.value_and_grad(ways)(x))


@pytest.mark.filterwarnings("ignore::fastgrad.RecordingWarning")
def test_more_branches_than_entries_are_answered_right(answers: Answers) -> None:
    def steps(x: Any) -> Any:
        for _ in range(int(x)):
            x = x * 1.01
        return x

    g = fg.grad(steps)
    points = [k + 0.5 for k in range(isa.MAX_ENTRIES + 4)]
    for _ in range(4):
        for k, x in enumerate(points):
            assert g(x) == pytest.approx(1.01**k, rel=1e-14)
    few = points[:8]
    for _ in range(3):
        for x in few:
            g(x)
    assert answers.during(lambda: [g(x) for x in few * 5]) == 0


def test_prepared_calls_and_into_predict_too(answers: Answers) -> None:
    p, out = warmed_on(ways, WAYS).prepare(0.5), np.zeros(())
    q = fg.grad(ways).prepare(0.5)
    for _ in range(3):
        for x in WAYS:
            p(x), q(x), q.into(x, out)
    before = answers.from_python
    for x in [*WAYS, *WAYS[::-1]]:
        q.into(x, out)
        assert p(x)[1] == out == q(x)
    assert answers.from_python == before


# ---- recordings in progress


def test_a_recording_sees_the_derivative_of_what_the_closure_holds() -> None:
    factor: Any = 2.0

    def inner(x: Any) -> Any:
        return factor * x * x

    g = warmed(fg.grad(inner), 3.0)

    def outer(y: Any) -> Any:
        nonlocal factor
        factor = y
        try:
            return g(3.0) * y  # 6 y, times y
        finally:
            factor = 2.0

    assert fg.grad(outer)(5.0) == 60.0
    assert g(3.0) == 12.0


def test_a_recording_sees_what_lies_deeper_than_surroundings_are_looked_into() -> None:
    factors: Any = ([2.0],)
    g = warmed(fg.grad(lambda x: factors[0][0] * x * x), 3.0)

    def outer(y: Any) -> Any:
        factors[0][0] = y
        try:
            return g(3.0) * y
        finally:
            factors[0][0] = 2.0

    assert fg.grad(outer)(5.0) == 60.0


def test_perturbations_are_told_apart_with_warm_derivatives() -> None:
    g = warmed(fg.grad(lambda x, y: x * y), 1.0, 1.0)
    # d/dx (x * d/dy (x + y)) = 1, not 2
    inner = fg.grad(lambda y, x: x + y)
    warmed(inner, 1.0, 1.0)
    assert fg.grad(lambda x: x * inner(1.0, x))(1.0) == 1.0
    assert fg.grad(lambda x: x * g(1.0, x))(3.0) == 6.0


def test_plain_arguments_inside_a_recording_give_plain_numbers(answers: Answers) -> None:
    g = warmed(fg.grad(rosenbrock), X)
    seen: list[Any] = []

    def outer(y: Any) -> Any:
        seen.append(g(X))
        return np.sum(y * seen[-1])

    np.testing.assert_array_equal(fg.grad(outer)(X), seen[0])
    np.testing.assert_allclose(np.asarray(seen[0], float), rosenbrock_gradient(X), rtol=1e-14)


# ---- references and memory


def test_references_are_given_back_and_memory_stays() -> None:
    weights = np.array([1.0, 2.0])
    g = warmed(fg.value_and_grad(lambda x, y: np.sum(weights * x) * y + branching(x), argnums=(0, 1)), X, 2.0)
    p, out, y, positive = prepared(), np.zeros(2), 2.5, np.array([1.0, 1.0])
    warmed(g, positive, y)
    watched = (X, out, weights, y, positive, np.dtype(np.float64), np.ndarray, np.float64, g, p, g._fast, p._fast)
    watched += (*g._fast.entries, *p._fast.entries)

    def calls(n: int) -> None:
        for _ in range(n):
            g(X, y)
            g(positive, y)  # the first entry's guard fails
            p.into(X, out)
            p(X)

    assert_nothing_is_lost(calls, 25_000, watched)


def test_references_are_given_back_by_calls_that_python_answers() -> None:
    g, p, out = warmed(fg.grad(rosenbrock), X), prepared(), np.zeros(4)
    strided, target = np.array([-1.2, 0.0, 1.0, 0.0])[::2], out[::2]
    watched = (strided, target, g, p, Derivative.evaluate)

    def calls() -> None:
        for _ in range(200):
            g(strided)
            p.into(strided, target)
            with pytest.raises(InputError):
                g("x")

    calls()
    gc.collect()
    counts = [sys.getrefcount(value) for value in watched]
    calls()
    gc.collect()
    assert [sys.getrefcount(value) for value in watched] == counts


def test_a_derivative_nobody_holds_is_freed_at_once() -> None:
    def function(x: Any) -> Any:
        return np.sum(x)

    g = warmed(fg.grad(function), X)
    g(X)
    gone, entry = weakref.ref(g), weakref.ref(g._fast.entries[0])
    gc.disable()
    try:
        del g
        assert gone() is None
        assert entry() is None
    finally:
        gc.enable()


def test_a_bound_call_outlives_the_name() -> None:
    g = warmed(fg.grad(rosenbrock), X)
    call = g.__call__
    del g
    gc.collect()
    np.testing.assert_allclose(call(X), rosenbrock_gradient(X), rtol=1e-14)
    np.testing.assert_allclose(call(X[::1].astype(np.float32)), rosenbrock_gradient(X), rtol=1e-6)


class CallsWhenFreed:
    """Is part of a cycle, so that the garbage collector frees it, and calls a derivative then."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call, self.me = call, self

    def __del__(self) -> None:
        self.call()


def test_a_derivative_that_the_garbage_collector_enters_again() -> None:
    v = warmed(fg.value_and_grad(branching), X)
    expected = v(X)
    inner: list[Any] = []
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(2000):
            CallsWhenFreed(lambda: inner.append(v(np.array([2.0, 0.0]))[0]))
            assert_same(v(X), expected)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert len(inner) == 2000
    assert set(inner) == {4.0}


def test_out_of_memory_is_an_error_like_any_other() -> None:
    testcapi = pytest.importorskip("_testcapi")
    v = warmed(fg.value_and_grad(lambda x, y: np.sum(x) * y, argnums=(0, 1)), X, 2.0)
    expected = v(X, 2.0)
    failures = 0
    for start in range(40):
        testcapi.set_nomemory(start, start + 1)
        try:
            v(X, 2.0)
        except MemoryError:
            failures += 1
        finally:
            testcapi.remove_mem_hooks()
    assert failures
    assert_same(v(X, 2.0), expected)


# ---- threads


def run_in_threads(n: int, work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def guarded(k: int) -> None:
        try:
            work(k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(k,)) for k in range(n)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    if errors:
        raise errors[0]


@pytest.mark.parametrize(("function", "n_calls"), [(rosenbrock, 3000), (branching, 3000), (many_steps, 300)])
def test_threads_share_a_derivative(function: Callable[[Any], Any], n_calls: int) -> None:
    v = fg.value_and_grad(function)
    points = [np.array([s * (1.0 + k), 0.5]) for k, s in enumerate((1, -1, 1, -1))]
    expected = [fg.value_and_grad(function)(x) for x in points]
    p = v.prepare(points[0])

    def work(k: int) -> None:
        for _ in range(n_calls):
            assert_same(v(points[k]), expected[k])
            assert_same(p(points[k]), expected[k])

    run_in_threads(4, work)


def test_threads_with_shapes_that_drive_each_other_out() -> None:
    def many_shapes(x: Any) -> Any:
        return np.sum(np.sin(x)) if len(x) % 2 else many_steps(x)

    g = fg.grad(many_shapes)
    points = [np.linspace(0.1, 1.0, n) for n in range(2, 14)]
    expected = [fg.grad(many_shapes)(x) for x in points]

    def work(k: int) -> None:
        for round_number in range(60):
            for j in range(len(points)):
                at = (j * (2 * k + 1) + round_number) % len(points)
                assert_same(g(points[at]), expected[at])

    run_in_threads(4, work)


def test_a_global_bound_anew_by_another_thread_never_gives_a_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    g = warmed(fg.grad(scaled), X)
    values = [float(v) for v in range(1, 5)]
    allowed = {(2 * value * X).tobytes() for value in values} | {(4 * X).tobytes()}

    def work(k: int) -> None:
        for n in range(400):
            if k == 0:
                globals()["SCALE"] = values[n % len(values)]
            assert g(X).tobytes() in allowed

    run_in_threads(3, work)
    for value in values:
        globals()["SCALE"] = value
        for _ in range(3):
            np.testing.assert_array_equal(g(X), 2 * value * X)


def test_places_being_found_anew_are_not_seen_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    surroundings = Surroundings(scaled)
    whole, seen = surroundings.fingerprint(), []
    visit = Surroundings._visit_function

    def watched_visit(self: Surroundings, function: Any) -> None:
        seen.append(self.fingerprint())
        visit(self, function)
        seen.append(self.fingerprint())

    monkeypatch.setattr(Surroundings, "_visit_function", watched_visit)
    surroundings.refresh()
    assert seen == [whole, whole]


# ---- the object as users see it


def test_the_object_still_looks_like_a_function() -> None:
    g = warmed(fg.grad(rosenbrock), X)
    assert callable(g)
    assert list(inspect.signature(g).parameters) == ["x"]
    assert g.__name__ == "rosenbrock"
    assert repr(g) == "<grad of rosenbrock>"
    assert "shapes" in (type(fg.grad(rosenbrock).prepare(X)).__call__.__doc__ or "")
    with pytest.raises(TypeError):
        Derivative.__call__(3, X)
    np.testing.assert_array_equal(copy.copy(g)(X), g(X))


def test_a_method_s_derivative_is_a_method() -> None:
    class Curve:
        slope = fg.grad(lambda self, x: x**3, argnums=1)

    curve = Curve()
    assert [curve.slope(2.0) for _ in range(4)] == [12.0] * 4


def test_a_subclass_may_answer_calls_itself() -> None:
    class Doubled(Derivative):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return 2 * super().__call__(*args, **kwargs)

    made = fg.grad(rosenbrock)
    doubled = Doubled(rosenbrock, made.form)
    for _ in range(4):
        np.testing.assert_array_equal(doubled(X), 2 * made(X))


def test_an_object_without_initialisation_is_an_error_and_no_crash() -> None:
    with pytest.raises(SystemError):
        Derivative.__new__(Derivative)(X)


# ---- other ways to run the same

SCRIPT = """
import gc, sys, threading
import numpy as np
import fastgrad as fg
from fastgrad.vm import fast_call
if "python" in sys.argv:
    fast_call._layout_is_known = lambda: False
def f(x, y):
    return x[0] ** 2 * y if x[0] > 0 else np.exp(x[1]) * x[0]
def long(x):
    y = x[0]
    for _ in range(2000):
        y = y + 0.001 * np.sin(x[1]) * y
    return y
v, g = fg.value_and_grad(f, argnums=(0, 1)), fg.grad(long)
p = g.prepare(np.ones(2))
out = np.zeros(2)
for n in range(300):
    x = np.array([1.0 if n % 3 else -1.0, 0.5])
    value, (dx, dy) = v(x, 2.0)
    assert value == (2.0 if n % 3 else -np.exp(0.5)) and dx.shape == (2,), (value, dx)
    assert dy == (1.0 if n % 3 else 0.0)
    p.into(x, out)
    assert np.array_equal(out, g(x)) and np.array_equal(p(x), out)
    p.into(x, x)
    if n % 50 == 0:
        gc.collect()
fg.grad(long)(np.ones(2)), fg.grad(long)(np.ones(2))
assert bool(v._fast.entries) == ("python" not in sys.argv)
def forever():
    while True:
        g(np.ones(2))
for _ in range(2):
    threading.Thread(target=forever, daemon=True).start()
print("done")
"""


@pytest.mark.parametrize(
    ("options", "arguments", "environment"),
    [
        ((), (), {"PYTHONMALLOC": "debug"}),
        ((), (), {"PYTHONMALLOC": "malloc", "MALLOC_PERTURB_": "165"}),
        (("-X", "dev"), (), {}),
        ((), ("python",), {}),
    ],
    ids=["debugged memory", "freed memory overwritten", "development mode", "unknown layout"],
)
def test_whole_programs(options: tuple[str, ...], arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, *options, "-c", SCRIPT, *arguments],
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
