"""Calls of which Python only flattens the arguments and nests the results: as the long way gives them."""

from __future__ import annotations

import dataclasses
import gc
import sys
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.calls import Call
from fastgrad.derivative import Derivative
from fastgrad.errors import InputError
from fastgrad.recordings import Recordings
from fastgrad.repeated import MISSED, FlatCalls
from fastgrad.vm import fast_call
from tests.vm.test_fast_call import run_in_threads

X = np.array([-1.2, 1.0])
F = X.astype(np.float32)

pytestmark = pytest.mark.skipif(not fast_call._install(), reason="the kernels answer no calls on this system")


@dataclasses.dataclass
class Data:
    a: Any
    b: Any


class LongWay:
    """Counts the calls that went the long way."""

    def __init__(self) -> None:
        self.n = 0

    def during(self, call: Callable[[], Any]) -> int:
        before = self.n
        call()
        return self.n - before


@pytest.fixture
def long_way(monkeypatch: pytest.MonkeyPatch) -> LongWay:
    counted, fitting_branch = LongWay(), Recordings.fitting_branch

    def counting(self: Recordings, call: Call, run: Any) -> Any:
        counted.n += 1
        return fitting_branch(self, call, run)

    monkeypatch.setattr(Recordings, "fitting_branch", counting)
    return counted


def assert_same(found: Any, expected: Any) -> None:
    """Equal in type, nesting, order of keys, dtype, shape and bits."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        if isinstance(expected, defaultdict):
            assert found.default_factory is expected.default_factory
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, Data):
        found, expected = [found.a, found.b], [expected.a, expected.b]
    if isinstance(expected, (tuple, list, deque)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, (np.ndarray, np.generic)):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()
        if isinstance(expected, np.ndarray):
            assert found.flags.owndata
            assert found.flags.writeable
    else:
        assert found == expected


def product(p: Any) -> Any:
    return np.sum(p.a**2) * p.b


def squares(x: Any) -> Any:
    return np.stack([x[0] * x[1], x[1] ** 2, np.sin(x[0])])


def loss(x: Any, y: Any) -> Any:
    return np.sum(x**3) * y["s"] ** 2 + np.sum(x) * y["t"]


def to_a_dict(x: Any) -> Any:
    return {"b": x, "a": x[0]}


Y = {"s": 2.0, "t": 0.5}


def pull(function: Callable[..., Any], *primals: Any) -> Callable[[Any], Any]:
    return lambda cotangent: fg.vjp(function, *primals)[1](cotangent)


CALLS: dict[str, tuple[Callable[[], Any], tuple[Any, ...]]] = {
    "dataclass": (lambda: fg.grad(product), (Data(X, 2.0),)),
    "dataclass of float32": (lambda: fg.value_and_grad(product), (Data(F, np.array(2.0, np.float32)),)),
    "dataclass in a list": (lambda: fg.value_and_grad(lambda p: product(p[0]) * p[1]), ([Data(X, 2.0), 3.0],)),
    "dict in a dataclass": (
        lambda: fg.grad(lambda p: np.sum(p.a["x"]) * p.a["c"] * p.b),
        (Data({"x": X, "c": 2.0}, 1),),
    ),
    "ordered dict": (lambda: fg.grad(lambda p: np.sum(p["x"] ** 2) * p["a"]), (OrderedDict(x=X, a=2.0),)),
    "default dict": (lambda: fg.grad(lambda p: np.sum(p["x"] ** 2)), (defaultdict(list, x=X),)),
    "deque": (lambda: fg.grad(lambda p: np.sum(p[0] ** 2) * p[1]), (deque([X, 2.0]),)),
    "keys that are tuples": (lambda: fg.grad(lambda p: np.sum(p[1, 2] ** 2)), ({(1, 2): X},)),
    "hessian of a dataclass": (lambda: fg.hessian(product), (Data(X, 2.0),)),
    "jacobian that is a dataclass": (lambda: fg.jacobian(lambda x: Data(x * x, x[0])), (X,)),
    "auxiliary dataclass": (lambda: fg.grad(lambda x: (np.sum(x**2), Data(x * 2, "text")), has_aux=True), (X,)),
    "statics beside": (lambda: fg.grad(lambda p, n: np.sum(p.a**n) * p.b), (Data(X, 2.0), 3)),
    "two, in the other order": (lambda: fg.grad(lambda x, p: product(p) * x, argnums=(1, 0)), (2.0, Data(X, 3.0))),
    "hvp": (lambda: fg.hvp(lambda x: np.sum(x**3) * x[0]), (X, X + 1.0)),
    "hvp of a number": (lambda: fg.hvp(lambda x: x**3), (1.5, 2.0)),
    "hvp nested": (lambda: fg.hvp(lambda p: loss(p["x"], p["y"])), ({"y": Y, "x": X}, {"x": X, "y": Y})),
    "hvp by two": (lambda: fg.hvp(loss, argnums=(0, 1)), (X, Y, (X, Y))),
    "hvp by two, in the other order": (lambda: fg.hvp(loss, argnums=(1, 0)), (X, Y, ({"t": 1.5, "s": 3.0}, X + 3))),
    "hvp of float32": (lambda: fg.hvp(lambda x: np.sum(x**3)), (F, X)),
    "hvp with whole numbers": (lambda: fg.hvp(lambda x: np.sum(x**3)), (X, np.array([1, 2]))),
    "hvp strided": (lambda: fg.hvp(lambda x: np.sum(x**3)), (X, np.arange(4.0)[::2])),
    "hvp of many": (
        lambda: fg.hvp(lambda x: np.sum(np.sin(x) * np.cumsum(x))),
        (np.linspace(0, 1, 3000), np.ones(3000)),
    ),
    "jvp": (lambda: lambda x, v: fg.jvp(squares, (x,), (v,)), (X, X + 1.0)),
    "jvp nested": (lambda: lambda *v: fg.jvp(loss, (X, Y), v), (X + 1.0, {"s": 1.0, "t": 2})),
    "jvp to a dict": (lambda: lambda v: fg.jvp(to_a_dict, (X,), (v,)), (X,)),
    "jvp of many": (lambda: lambda v: fg.jvp(np.sin, (np.linspace(0, 1, 3000),), (v,)), (np.ones(3000),)),
    "vjp": (lambda: pull(squares, X), (np.array([1.0, 2.0, 3.0]),)),
    "vjp of float32": (lambda: pull(squares, F), (np.array([1.0, 2.0, 3.0]),)),
    "vjp strided": (lambda: pull(squares, X), (np.arange(6.0)[::2],)),
    "vjp of a number": (lambda: pull(loss, X, Y), (2.5,)),
    "vjp of whole numbers": (lambda: pull(loss, X, Y), (2,)),
    "vjp nested": (lambda: pull(lambda x: [x[0], {"a": x * x}], X), ([2.0, {"a": X}],)),
    "vjp of many": (lambda: pull(lambda x: np.sin(x) * x[0], np.linspace(0, 1, 3000)), (np.linspace(1, 2, 3000),)),
    "vjp of nothing": (lambda: pull(lambda x: x * 2.0, np.zeros(0)), (np.zeros(0),)),
}


@pytest.mark.parametrize("name", CALLS)
def test_results_are_those_of_the_long_way_to_the_bit(
    name: str, long_way: LongWay, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, args = CALLS[name]
    with monkeypatch.context() as patched:
        patched.setattr(FlatCalls, "answer", lambda self, given: MISSED)
        expected = make()(*args)
    derivative = make()
    for _ in range(3):
        derivative(*args)

    def call() -> None:
        for _ in range(3):
            assert_same(derivative(*args), expected)

    assert long_way.during(call) == 0


def test_keys_come_in_the_order_of_the_call(long_way: LongWay) -> None:
    g = fg.grad(lambda p: np.sum(p.a["x"]) * p.a["c"] * p.b)
    orders = [Data({"x": X, "c": 2.0}, 1.0), Data({"c": 2.0, "x": X}, 1.0)]
    for p in orders * 3:
        g(p)
    assert long_way.during(lambda: [g(p) for p in orders]) == 0
    assert [list(g(p).a) for p in orders] == [["x", "c"], ["c", "x"]]


WRONG: dict[str, tuple[Any, type[Exception]]] = {
    "another shape": (np.ones(3), InputError),
    "a number": (1.0, InputError),
    "nested": ([X], InputError),
    "text": ("text", InputError),
    "complex": (X + 1j, InputError),
    "objects": (np.array([None, 1.0]), InputError),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_seeds_are_refused_as_before(name: str) -> None:
    seed, kind = WRONG[name]

    def function(x: Any) -> Any:
        return np.sum(x**3)

    with pytest.raises(kind) as expected:
        fg.hvp(function)(X, seed)
    h = fg.hvp(function)
    for _ in range(4):
        h(X, X)
        with pytest.raises(kind) as found:
            h(X, seed)
        assert str(found.value) == str(expected.value)
    np.testing.assert_allclose(h(X, X), 6 * X * X, rtol=1e-15)


def test_other_arguments_go_the_long_way() -> None:
    g = fg.grad(product)
    points = [Data(X, 2.0), Data(np.ones(3), 2.0), Data(F, 2.0), Data(1.5, 2.0), Data(X, 2), Data(X, np.array(2.0))]
    for _ in range(4):
        for p in points:
            assert_same(g(p), fg.grad(product)(p))
    with pytest.raises(InputError):
        g(Data(X, "text"))


def test_each_static_value_has_its_recording() -> None:
    g = fg.grad(lambda p, n: np.sum(p.a**n) * p.b)
    for _ in range(4):
        for n in (2, 3):
            np.testing.assert_allclose(g(Data(X, 1.0), n).a, n * X ** (n - 1), rtol=1e-15)


def test_branches_with_results_of_other_nesting(long_way: LongWay) -> None:
    def function(x: Any) -> Any:
        return Data(x * x, 1.0) if x > 0 else [x]

    j = fg.jacobian(function)
    for _ in range(3):
        j(2.0), j(-2.0)

    def call() -> None:
        assert_same(j(2.0), Data(np.float64(4.0), np.float64(0.0)))
        assert_same(j(-2.0), [np.float64(1.0)])

    assert long_way.during(call) == 0


SCALE: Any = 2.0


def scaled(p: Any) -> Any:
    return SCALE * product(p)


def test_what_is_around_the_function_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    g, h = fg.grad(scaled), fg.hvp(lambda x: SCALE * np.sum(x**2))
    for value in (2.0, 3.0, np.array(5.0), 3.0):
        monkeypatch.setitem(globals(), "SCALE", value)
        for _ in range(4):
            np.testing.assert_array_equal(g(Data(X, 1.0)).a, 2 * value * X)
            np.testing.assert_array_equal(h(X, X), 2 * value * X)


def test_inside_a_recording_seeds_and_leaves_are_recorded() -> None:
    g, h = fg.grad(product), fg.hvp(lambda x: np.sum(x**3))
    for _ in range(4):
        g(Data(X, 2.0)), h(X, X)
    # g gives 2 x b; its first element by b
    assert fg.grad(lambda b: g(Data(X, b)).a[0])(3.0) == 2 * X[0]
    np.testing.assert_array_equal(fg.grad(lambda v: np.sum(h(X, v)))(X), 6 * X)


def test_a_function_that_writes_into_one_of_its_arguments_refuses_shared_memory() -> None:
    def writing(p: Any) -> Any:
        p.a[0] = 3.0
        return np.sum(p.a * p.b)

    g = fg.grad(writing)
    for _ in range(4):
        np.testing.assert_array_equal(g(Data(X.copy(), X)).b, [3.0, 1.0])
    with pytest.raises(fg.UnsupportedError, match="share memory"):
        g(Data(X, X))


def test_references_are_given_back() -> None:
    g, h = fg.grad(product, tier="vm"), fg.hvp(lambda x: np.sum(x**3), tier="vm")
    p = Data(X, 2.5)
    watched = (p, p.b, X, g, h, g._flat, *g._flat._calls.values())

    def calls() -> None:
        for _ in range(2000):
            g(p), h(X, X)

    calls()
    counts = [sys.getrefcount(value) for value in watched]
    calls()
    assert [sys.getrefcount(value) for value in watched] == counts


def test_a_derivative_nobody_holds_is_freed_at_once_and_keeps_no_argument() -> None:
    def function(p: Any) -> Any:
        return np.sum(p.a) * p.b

    g = fg.grad(function)
    x = X.copy()
    for _ in range(4):
        g(Data(x, 2.0))
    of_argument, gone = weakref.ref(x), weakref.ref(g)
    gc.disable()
    try:
        del x
        assert of_argument() is None
        del g
        assert gone() is None
    finally:
        gc.enable()


def test_calls_count_for_the_watch_of_recordings(long_way: LongWay) -> None:
    g = fg.grad(product)
    before = g.recordings.watch._n_calls
    for _ in range(10):
        g(Data(X, 2.0))
    assert g.recordings.watch._n_calls == before + 10


def test_threads_share_a_derivative() -> None:
    def function(p: Any) -> Any:
        y = product(p)
        for _ in range(200):
            y = y + 0.01 * np.sin(y)
        return y if p.b > 0 else -y

    v = fg.value_and_grad(function)
    points = [Data(X * (k + 1), 1.0 if k % 2 else -1.0) for k in range(4)]
    expected = [fg.value_and_grad(function)(p) for p in points]

    def work(k: int) -> None:
        for _ in range(300):
            assert_same(v(points[k]), expected[k])

    run_in_threads(4, work)


def test_a_subclass_of_the_derivative_still_evaluates() -> None:
    class Doubled(Derivative):
        def evaluate(self, *given: Any) -> Any:
            return super().evaluate(*given)

    doubled = Doubled(product, fg.grad(product).form)
    for _ in range(4):
        assert_same(doubled(Data(X, 2.0)), fg.grad(product)(Data(X, 2.0)))
