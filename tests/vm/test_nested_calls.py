"""Calls with nested, named and converted arguments that the kernels answer: as Python does, or left to it."""

from __future__ import annotations

import dataclasses
import gc
import sys
import threading
import warnings
import weakref
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastgrad as fg
from fastgrad.derivative import Derivative
from fastgrad.errors import InputError
from fastgrad.vm import fast_call
from fastgrad.vm.array_executor import _Runner
from tests.leaks import assert_nothing_is_lost
from tests.vm.test_fast_call import Answers, CallsWhenFreed, run_in_threads, warmed

X = np.array([-1.2, 1.0])
F = X.astype(np.float32)

pytestmark = pytest.mark.skipif(not fast_call._install(), reason="the kernels answer no calls on this system")


class Pair(NamedTuple):
    a: Any
    b: Any


Old = namedtuple("Old", "a b")


@dataclasses.dataclass
class Data:
    a: Any
    b: Any


class DictSubclass(dict):  # type: ignore[type-arg]
    pass


class ListSubclass(list):  # type: ignore[type-arg]
    pass


class TextSubclass(str):
    __slots__ = ()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    counted, evaluate = Answers(), Derivative.evaluate

    def counting(*args: Any) -> Any:
        counted.from_python += 1
        return evaluate(*args)

    monkeypatch.setattr(Derivative, "evaluate", counting)
    return counted


def assert_same(found: Any, expected: Any) -> None:
    """Equal in type, nesting, order of keys, dtype, shape, layout and bits."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert [*map(repr, found)] == [*map(repr, expected)]
        assert [type(key) for key in found] == [type(key) for key in expected]
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, (tuple, list)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, (np.ndarray, np.generic)):
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert found.tobytes() == expected.tobytes()
        if isinstance(expected, np.ndarray):
            assert found.flags.owndata
            assert found.flags.writeable
            assert found.flags.c_contiguous
    else:
        assert found == expected


def total(nested: Any) -> Any:
    """Weighs each leaf of a nested value differently."""
    if isinstance(nested, dict):
        return sum(k * total(nested[key]) for k, key in enumerate(sorted(nested), 2))
    if isinstance(nested, (tuple, list)):
        return sum(k * total(part) for k, part in enumerate(nested, 2))
    return np.sum(nested**3)


PARAMETERS = {"w": np.array([1.0, 2.0]), "b": 0.5}
CALLS: dict[str, tuple[Callable[[], Any], tuple[Any, ...], dict[str, Any]]] = {
    "tuple": (lambda: fg.grad(total), ((1.0, 2.0, 3.0),), {}),
    "list": (lambda: fg.grad(total), ([1.0, X, 3.0],), {}),
    "dict": (lambda: fg.value_and_grad(total), (PARAMETERS,), {}),
    "keys are whole numbers": (lambda: fg.grad(total), ({7: X, 3: 2.0},), {}),
    "named tuple": (lambda: fg.grad(lambda p: total(p.a) * p.b), (Pair(X, 2.0),), {}),
    "old named tuple": (lambda: fg.grad(lambda p: total(p.a) * p.b), (Old(X, 2.0),), {}),
    "deep": (lambda: fg.grad(total), ({"l": [X, (X, {"x": 1.5})], "t": ((2.0,),)},), {}),
    "empty parts": (lambda: fg.grad(total), ([X, (), [], {}],), {}),
    "the same array twice": (lambda: fg.grad(total), ([X, X],), {}),
    "one of two": (lambda: fg.value_and_grad(lambda p, x: total(p) + np.sum(x * p["b"])), (PARAMETERS, X), {}),
    "data nested": (lambda: fg.grad(lambda x, d: np.sum(x * d["y"][0])), (X, {"y": [X + 1.0]}), {}),
    "both, in the other order": (
        lambda: fg.grad(lambda p, q: total(p) * total(q), argnums=(1, 0)),
        ((1.0, 2.0), [3.0, X]),
        {},
    ),
    "statics inside": (lambda: fg.grad(lambda x, o: np.sum(x ** o["n"])), (X, {"n": 3, "how": "s", "m": None}), {}),
    "jacobian": (lambda: fg.jacobian(lambda p: {"u": p["b"] * p["w"], "v": (p["b"],)}), (PARAMETERS,), {}),
    "hessian": (lambda: fg.hessian(total), (PARAMETERS,), {}),
    "hessian by two": (lambda: fg.hessian(lambda x, y: np.sum(x * y) * y, argnums=(0, 1)), (X, 2.0), {}),
    "auxiliary data": (
        lambda: fg.value_and_grad(lambda x: (np.sum(x**2), {"x": x * 2, "name": "n", "none": None}), has_aux=True),
        (X,),
        {},
    ),
    "auxiliary whole numbers": (lambda: fg.grad(lambda x: (np.sum(x), np.argmax(x)), has_aux=True), (X,), {}),
    "by name": (lambda: fg.grad(lambda x, s: np.sum(x**3) * s), (X,), {"s": 2.0}),
    "by names, nested": (
        lambda: fg.grad(lambda x, *, p, n: np.sum(x**n) * total(p)),
        (X,),
        {"p": {"b": [1.0, 2.0]}, "n": 3},
    ),
    "all by name": (lambda: fg.grad(lambda x, s: np.sum(x**3) * s, argnums=("s", "x")), (), {"x": X, "s": 2.0}),
    "float32": (lambda: fg.value_and_grad(total), (F,), {}),
    "float32 of rank 0": (lambda: fg.value_and_grad(total), (np.array(1.5, np.float32),), {}),
    "float16": (lambda: fg.value_and_grad(total), (X.astype(np.float16),), {}),
    "float32 and a float": (lambda: fg.value_and_grad(lambda p: total(p)), ((F, 2.0),), {}),
    "float32 and float64": (lambda: fg.value_and_grad(lambda p: total(p)), ((F, X),), {}),
    "float32 and float64 scalar": (lambda: fg.value_and_grad(lambda p: total(p)), ((F, np.float64(2.0)),), {}),
    "whole numbers": (lambda: fg.value_and_grad(total), (np.array([2, 3]),), {}),
    "small whole numbers": (lambda: fg.value_and_grad(total), (np.array([2, 3], np.uint8),), {}),
    "flags": (lambda: fg.value_and_grad(total), (np.array([True, False]),), {}),
    "a whole number": (lambda: fg.value_and_grad(total), (3,), {}),
    "whole numbers in a tuple": (lambda: fg.grad(total), ((3, -2.5, 2**53 + 1),), {}),
    "a float32": (lambda: fg.value_and_grad(total), (np.float32(1.1),), {}),
    "a float16": (lambda: fg.value_and_grad(total), (np.float16(1.1),), {}),
    "a flag": (lambda: fg.value_and_grad(total), (np.True_,), {}),
    "scalars of NumPy": (
        lambda: fg.value_and_grad(total),
        ((np.int64(2**53 + 1), np.uint8(3), np.float32(0.1), X),),
        {},
    ),
    "float32 scalars": (lambda: fg.value_and_grad(total), ((np.float32(0.1), F),), {}),
    "strided": (lambda: fg.value_and_grad(total), (np.arange(6.0)[::2],), {}),
    "backwards": (lambda: fg.grad(total), (X[::-1],), {}),
    "columns": (lambda: fg.grad(lambda x: total(x.ravel() * np.arange(6.0))), (np.arange(6.0).reshape(2, 3).T,), {}),
    "strided float32 nested": (lambda: fg.grad(total), ({"a": np.arange(6, dtype=np.float32)[::3]},), {}),
    "many leaves": (lambda: fg.grad(total), ([float(k) for k in range(300)],), {}),
}


@pytest.mark.parametrize("name", CALLS)
def test_results_are_those_that_python_gives_to_the_bit(name: str, answers: Answers) -> None:
    make, args, kwargs = CALLS[name]
    expected = make()(*args, **kwargs)
    derivative = make()
    for _ in range(2):
        derivative(*args, **kwargs)

    def call() -> None:
        assert_same(derivative(*args, **kwargs), expected)

    assert answers.during(call) == 0
    again = [derivative(*args, **kwargs) for _ in range(3)]
    for found in again:
        assert_same(found, expected)


# ---- what the kernels leave to Python

OTHERS: dict[str, Any] = {
    "one more key": {"w": X, "b": 0.5, "c": 1.0},
    "a key less": {"w": X},
    "another key": {"w": X, "c": 0.5},
    "another key object": {"".join(["w"]): X, "".join(["b"]): 2.5},
    "the other order": {"b": 0.5, "w": X},
    "text of a class of its own": {"w": X, TextSubclass("b"): 0.5},
    "an ordered dict": OrderedDict(w=X, b=0.5),
    "a dict of a class of its own": DictSubclass(w=X, b=0.5),
    "a list": [X, 0.5],
    "nested deeper": {"w": X, "b": [0.5]},
    "another shape": {"w": np.ones(3), "b": 0.5},
    "another dtype": {"w": F, "b": 0.5},
    "a whole number": {"w": X, "b": 2},
    "an array for a number": {"w": X, "b": np.array(0.5)},
    "an array": X,
    "a number": 2.0,
    "nothing": {},
    "text": {"w": X, "b": "text"},
    "a complex number": {"w": X, "b": 1j},
    "a large whole number": {"w": X, "b": 2**70},
    "objects": {"w": np.array([None, 1.0]), "b": 0.5},
}


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return (type(error).__name__, str(error))


@pytest.mark.parametrize("name", OTHERS)
def test_other_arguments_have_the_outcome_of_a_first_call(name: str) -> None:
    value = OTHERS[name]

    def function(p: Any) -> Any:
        return total(p if not isinstance(p, dict) else dict(p))

    expected = outcome(lambda: fg.grad(function)(value))
    g = warmed(fg.grad(function), PARAMETERS)
    for _ in range(4):
        assert_same(outcome(lambda: g(value)), expected)
        assert_same(g(PARAMETERS), fg.grad(function)(PARAMETERS))


@pytest.mark.parametrize(
    "value",
    [[X, X, X], (X, X), [X], [X, [X]], ListSubclass([X, X]), Pair(X, X), Old(X, X), Data(X, X), [], [X, 3]],
    ids=repr,
)
def test_other_sequences_have_the_outcome_of_a_first_call(value: Any) -> None:
    def function(p: Any) -> Any:
        return total((p.a, p.b) if isinstance(p, Data) else p)

    expected = outcome(lambda: fg.grad(function)(value))
    g = warmed(fg.grad(function), [X, X])
    for _ in range(4):
        found = outcome(lambda: g(value))
        if isinstance(expected, Data):
            assert_same((found.a, found.b), (expected.a, expected.b))
        else:
            assert_same(found, expected)
    assert_same(g([X, X]), fg.grad(function)([X, X]))


def test_key_objects_that_are_equal_text_are_taken(answers: Answers) -> None:
    g = warmed(fg.grad(total), PARAMETERS)
    same = {"".join(["", key]): value for key, value in PARAMETERS.items()}
    assert answers.during(lambda: assert_same(g(same), fg.grad(total)(PARAMETERS))) == 1  # of the fresh derivative


@pytest.mark.parametrize(
    "make", [lambda: "".join(["a", " b"]), lambda: int("12345"), lambda: bytes([120, 121]), lambda: np.int32(7)]
)
def test_equal_text_and_whole_numbers_in_new_objects_are_taken(make: Callable[[], Any], answers: Answers) -> None:
    def function(x: Any, how: Any) -> Any:
        return np.sum(x**3) * (2.0 if how == make() else 1.0)

    g = fg.grad(function)
    for _ in range(3):
        g(X, make())
    assert make() is not make()
    assert answers.during(lambda: assert_same(g(X, make()), fg.grad(function)(X, make()))) == 1  # the fresh derivative
    assert len(g._fast.entries) == 1
    for other in ("a c", 12346, True, b"xz", np.int32(8), np.int64(7), 7, TextSubclass("a b"), None):
        for _ in range(3):
            assert_same(g(X, other), fg.grad(function)(X, other))
            assert_same(g(X, make()), fg.grad(function)(X, make()))


@pytest.mark.parametrize("make", [lambda: np.str_("a b"), lambda: complex("1+2j"), lambda: np.longdouble(1)])
def test_other_equal_objects_do_not_make_an_entry_each(make: Callable[[], Any]) -> None:
    g = fg.grad(lambda x, how: np.sum(x**3) * (2.0 if how == make() else 1.0))
    for _ in range(6):
        assert_same(g(X, make()), 2 * fg.grad(lambda x: np.sum(x**3))(X))
    assert len(g._fast.entries) <= 1


def test_each_order_of_keys_is_kept(answers: Answers) -> None:
    g = fg.grad(total)
    orders = [{"b": 0.5, "w": X}, {"w": X, "b": 0.5}]
    for p in orders * 3:
        assert list(g(p)) == list(p)
    assert answers.during(lambda: [g(p) for p in orders]) == 0


def test_names_count_in_any_order(answers: Answers) -> None:
    g = fg.grad(lambda x, a, b: np.sum(x**2) * (a - b))
    expected = g(X, 3.0, 2.0)
    calls: list[Callable[[], Any]] = [
        lambda: g(X, a=3.0, b=2.0),
        lambda: g(X, b=2.0, a=3.0),
        lambda: g(X, 3.0, b=2.0),
        lambda: g(X, **{"".join(["a"]): 3.0, "".join(["b"]): 2.0}),
    ]
    for call in calls * 3:
        assert_same(call(), expected)
    assert answers.during(lambda: [call() for call in calls]) == 0
    for wrong in (lambda: g(X, a=3.0), lambda: g(X, a=3.0, c=2.0), lambda: g(X, 3.0, 2.0, a=3.0)):
        with pytest.raises(TypeError):
            wrong()


def test_prepared_calls_take_nested_arguments_and_names(answers: Answers) -> None:
    p = fg.grad(lambda q, x, s: total(q) * np.sum(x) * s).prepare(PARAMETERS, X, s=2.0)
    expected = fg.grad(lambda q: total(q) * np.sum(X) * 3.0)(PARAMETERS)
    assert answers.during(lambda: assert_same(p(PARAMETERS, X, s=3.0), expected)) == 0
    q, out = fg.grad(lambda x, s: np.sum(x**2) * s["s"]).prepare(X, s={"s": 2.0}), np.zeros(2)
    assert answers.during(lambda: q.into(X, out, s={"s": 3.0})) == 0
    np.testing.assert_array_equal(out, 6 * X)


def test_into_of_converted_arguments() -> None:
    g = fg.grad(lambda x: np.sum(x**2))
    strided, out = np.arange(4.0)[::2], np.zeros(2)
    p = g.prepare(strided)
    p.into(strided, out)
    np.testing.assert_array_equal(out, 2 * strided)
    memory = np.array([1.0, 2.0, 3.0])
    p.into(memory[::2], memory[:2])
    np.testing.assert_array_equal(memory[:2], [2.0, 6.0])
    with pytest.raises(InputError, match="float32"):
        g.prepare(F).into(F, np.zeros(2, np.float32))


def test_a_bound_call_is_not_taken_for_one_of_another_kind() -> None:
    g = fg.grad(lambda x: np.sum(x**2))
    p, out, x = g.prepare(F), np.zeros(2), X.copy()
    update = p.bind(x, out)
    for k in range(4):
        x[:] = k + 1.25, k + 0.125
        update()
        np.testing.assert_array_equal(out, 2 * x)


def test_a_bound_call_writes_each_result_to_its_place() -> None:
    x, y = X.copy(), X + 3.0
    outs = (np.zeros(2), np.zeros(2))
    update = fg.grad(lambda x, y: np.sum(x**2 * y), argnums=(1, 0)).prepare(x, y).bind(x, y, outs)
    for k in range(4):
        x[:] = k + 1.0, k + 2.0
        update()
        np.testing.assert_array_equal(outs[0], x**2)
        np.testing.assert_array_equal(outs[1], 2 * x * y)


def test_a_cast_that_overflows_warns_as_before() -> None:
    g = warmed(fg.grad(lambda x: np.sum(x * x * x) * 1e30), F)
    large = np.array([1e10, 1.0], np.float32)
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert g(large)[0] == np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="overflow"):
            g(large)
        assert_same(g(F), fg.grad(lambda x: np.sum(x * x * x) * 1e30)(F))


def test_whether_a_number_is_one_of_numpys_tells_the_dtype_of_the_value() -> None:
    v = fg.value_and_grad(lambda p: total(p))
    for y in (2.0, np.float64(2.0), np.array(2.0), 2, np.float32(2.0), np.int64(2), np.array(2)):
        for _ in range(3):
            assert_same(v((F, y)), fg.value_and_grad(lambda p: total(p))((F, y)))


def test_layouts_are_told_apart() -> None:
    """ravel() is a view of some and a copy of others."""

    def function(x: Any) -> Any:
        flat = np.ravel(x)
        flat[0] = 5.0
        return np.sum(x**2)

    matrix = np.arange(4.0).reshape(2, 2) + 1.0
    wide = np.ones((2, 4))
    g = fg.grad(function)
    for _ in range(4):
        for x in (matrix, matrix.T, wide[:, ::2]):
            assert_same(g(x), fg.grad(function)(x))


# ---- mutation, exceptions, re-entry


def test_a_container_that_another_thread_empties_during_the_call_keeps_its_leaves() -> None:
    def long(p: Any) -> Any:
        y = p["x"][0]
        for _ in range(3000):
            y = y + 0.001 * np.sin(p["x"][1]) * y
        return y

    g = fg.grad(long)
    expected = g({"x": np.array([0.5, 0.25])})["x"]
    boxes: list[dict[str, Any]] = [{"x": np.array([0.5, 0.25])}]
    warmed(g, boxes[0])
    done = threading.Event()

    def replacing() -> None:
        while not done.is_set():
            boxes[0]["x"] = np.array([0.5, 0.25])  # the old one is freed if nobody else holds it
            junk = [np.full(2, np.nan) for _ in range(20)]
            del junk

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=replacing)
    thread.start()
    try:
        for _ in range(1500):
            np.testing.assert_array_equal(g(boxes[0])["x"], expected)
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_a_container_that_is_emptied_while_python_does_a_step_keeps_its_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    def solving(p: Any) -> Any:
        return np.sum(np.linalg.solve(p["a"], p["b"]))

    a, b = np.eye(40) * 2.0, np.ones(40)
    box = {"a": a.copy(), "b": b.copy()}
    expected = fg.grad(solving)(box)
    called_back, junk = _Runner._called_back, list[Any]()

    def emptying(self: _Runner) -> int:
        if armed and box:
            box.clear()  # who else could hold the leaves now?
            junk.extend(np.full((40, 40), np.nan) for _ in range(50))
        return called_back(self)

    armed = False
    monkeypatch.setattr(_Runner, "_called_back", emptying)
    g = warmed(fg.grad(solving), box)
    armed = True
    assert_same(g(box), expected)
    assert not box
    assert len(junk) == 50


class Failing(NamedTuple):
    a: Any
    b: Any


def test_an_exception_while_results_are_nested_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    g = warmed(fg.grad(lambda p: total(p[0].a) * p[1] * p[0].b), (Failing(X, 2.0), 3.0))
    arguments = (Failing(X, 2.0), 3.0)
    expected = g(arguments)

    def failing(*args: Any) -> Any:
        raise RuntimeError("on purpose")

    def calls() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Failing, "__new__", failing)
            for _ in range(50):
                with pytest.raises(RuntimeError, match="on purpose"):
                    g(arguments)

    calls()
    counts = [sys.getrefcount(value) for value in (X, arguments, Failing, *arguments)]
    calls()
    assert [sys.getrefcount(value) for value in (X, arguments, Failing, *arguments)] == counts
    assert_same(g(arguments), expected)


class Recursive(NamedTuple):
    a: Any
    b: Any


def test_a_derivative_that_its_own_results_call_again(monkeypatch: pytest.MonkeyPatch) -> None:
    g = fg.grad(lambda p: total(p.a) * p.b)
    outer, inner = Recursive(X, 2.0), Recursive(X + 1.0, 3.0)
    expected = fg.grad(lambda p: total(p.a) * p.b)(inner)
    warmed(g, outer)
    new, seen = Recursive.__new__, []

    def calling(cls: Any, *args: Any) -> Any:
        if len(seen) % 2 == 0:
            seen.append(None)
            seen.append(g(inner))
        return new(cls, *args)

    first = g(outer)
    with monkeypatch.context() as patched:
        patched.setattr(Recursive, "__new__", calling)
        assert_same(g(outer), first)
    assert_same(seen[1], expected)


def test_the_garbage_collector_enters_again() -> None:
    g = warmed(fg.value_and_grad(total), {"a": [X, 1.0], "b": (2.0,)})
    expected = g({"a": [X, 1.0], "b": (2.0,)})
    inner: list[Any] = []
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(1000):
            CallsWhenFreed(lambda: inner.append(g({"a": [X, 0.0], "b": (1.0,)})[0]))
            assert_same(g({"a": [X, 1.0], "b": (2.0,)}), expected)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert len(inner) == 1000
    assert len(set(inner)) == 1


def test_out_of_memory_is_an_error_like_any_other() -> None:
    testcapi = pytest.importorskip("_testcapi")
    arguments = ({"a": [X, 1.0], "b": Pair(2.0, F), "c": np.arange(4.0)[::2]},)
    v = fg.value_and_grad(lambda p: total({**p, "b": tuple(p["b"])}))
    warmed(v, *arguments)
    expected = v(*arguments)
    failures = 0
    for start in range(60):
        testcapi.set_nomemory(start, start + 1)
        try:
            v(*arguments)
        except MemoryError:
            failures += 1
        finally:
            testcapi.remove_mem_hooks()
    assert failures
    assert_same(v(*arguments), expected)


def test_inside_a_recording_nested_arguments_are_recorded() -> None:
    g = warmed(fg.grad(total), {"a": [1.0, 2.0]})
    warmed(g, {"a": [1.0, 2.0]})
    # the derivative of 2 * 2 * 3 x^2
    assert fg.grad(lambda x: g({"a": [x, 2.0]})["a"][0])(1.5) == 12.0 * 2 * 1.5


def test_branches_of_nested_arguments(answers: Answers) -> None:
    def branching(p: Any) -> Any:
        return p["x"] ** 2 if p["x"] > 0 else p["x"] * p["y"][0]

    g = fg.grad(branching)
    points: list[Any] = [{"x": 2.0, "y": [3.0]}, {"x": -2.0, "y": [3.0]}]
    for p in points * 3:
        g(p)
    assert answers.during(lambda: [g(p) for p in points * 3]) == 0
    assert g(points[0]) == {"x": 4.0, "y": [0.0]}
    assert g(points[1]) == {"x": 3.0, "y": [-2.0]}


SCALE: Any = 2.0


def scaled(p: Any) -> Any:
    return SCALE * total(p)


def test_what_is_around_the_function_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    g = warmed(fg.grad(scaled), PARAMETERS)
    for value in (3.0, 5.0, 3.0):
        monkeypatch.setitem(globals(), "SCALE", value)
        for _ in range(3):
            assert_same(g(PARAMETERS), fg.grad(scaled)(PARAMETERS))


def test_a_function_that_writes_into_one_of_its_arguments_refuses_shared_memory() -> None:
    def writing(p: Any) -> Any:
        p["a"][0] = 3.0
        return np.sum(p["a"] * p["b"])

    g = fg.grad(writing)
    for _ in range(4):
        assert_same(g({"a": X.copy(), "b": X}), fg.grad(writing)({"a": X.copy(), "b": X}))
    with pytest.raises(fg.UnsupportedError, match="share memory"):
        g({"a": X, "b": X})


# ---- references and memory


def test_references_are_given_back_and_memory_stays() -> None:
    text, static, count = "".join(["ab", "c"]), object(), 12_345
    nested = {"a": [X, (1.5, 2.5)], text: Pair(X, 3)}
    data = {"f": F, "s": np.arange(4.0)[::2], "o": static, "n": count}

    def function(p: Any, d: Any, *, name: Any) -> Any:
        inner = total({"a": p["a"], "b": tuple(p[text])})
        return inner * np.sum(d["f"]) * np.sum(d["s"]) * name[0], (p["a"][0], text, None, d["n"])

    g = fg.value_and_grad(function, has_aux=True, tier="vm")
    name = [2.0]

    def long(p: Any) -> Any:
        y = p[0]
        for _ in range(2000):
            y = y + 0.001 * np.sin(p[1]) * y
        return y

    h, points = fg.grad(long, tier="vm"), [1.0, 2.0]
    single = fg.value_and_grad(total, tier="vm")
    for _ in range(3):
        g(nested, data, name=name)
        h(points)
        single(F)
    watched: tuple[Any, ...] = (nested, data, name, text, static, count, X, F, data["s"], points, points[0])
    watched += (Pair, tuple, list, dict, np.dtype(np.float64), np.dtype(np.float32), g, h, nested["a"], nested[text])
    watched += (*g._fast.entries, *h._fast.entries, *single._fast.entries)

    def calls(n: int) -> None:
        for k in range(n):
            g(nested, data, name=name)
            single(F)
            if k % 50 == 0:
                h(points)

    assert_nothing_is_lost(calls, 100_000, watched)


def test_results_are_freed_with_their_last_reference() -> None:
    g = warmed(fg.grad(total), {"a": [X, 1.0]})
    result = g({"a": [X, 1.0]})
    gone = weakref.ref(result["a"][0])
    del result
    assert gone() is None


def test_an_argument_is_freed_with_its_last_reference() -> None:
    g = warmed(fg.grad(total), {"a": [X, 1.0]})
    x = X + 1.0
    nested = {"a": [x, 1.0]}
    g(nested)
    gone = weakref.ref(x)
    del x, nested
    assert gone() is None


# ---- threads


def test_threads_share_a_derivative() -> None:
    def function(p: Any, *, s: Any) -> Any:
        y = total(p)
        for _ in range(300):
            y = y + 0.01 * np.sin(y) * s
        return y if p["b"] > 0 else -y

    v = fg.value_and_grad(function)
    points = [{"w": X * (k + 1), "b": 1.0 if k % 2 else -1.0} for k in range(4)]
    expected = [fg.value_and_grad(function)(p, s=2.0) for p in points]

    def work(k: int) -> None:
        for _ in range(400):
            assert_same(v(points[k], s=2.0), expected[k])

    run_in_threads(4, work)


# ---- the kernels against Python

LEAVES = st.one_of(
    st.floats(-2, 2),
    st.integers(-5, 5),
    st.just(X),
    st.just(F),
    st.just(np.arange(6.0)[::2]),
    st.just(np.array([1, 2])),
    st.just(np.float64(1.5)),
    st.just(np.float32(1.1)),
    st.just(np.int32(3)),
    st.just(np.array(0.5)),
    st.just(np.arange(4.0).reshape(2, 2).T),
)
NESTED = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.builds(Pair, inner, inner),
        st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(NESTED, NESTED, st.sampled_from([fg.grad, fg.value_and_grad, fg.hessian, fg.jacobian]))
def test_kernels_and_python_agree(one: Any, other: Any, form: Any) -> None:
    def function(p: Any, q: Any) -> Any:
        return total(p) * (1.0 + total(q))

    derivative = form(function)
    expected = [
        outcome(lambda p=p, q=q: derivative.evaluate((p, q), {}, None)) for p, q in ((one, other), (other, one))
    ]
    for _ in range(4):
        assert_same(outcome(lambda: derivative(one, other)), expected[0])
        assert_same(outcome(lambda: derivative(other, one)), expected[1])
