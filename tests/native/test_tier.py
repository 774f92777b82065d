"""When native code is made, and that nothing else changes: calls of every kind, threads, forks, ends of processes."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.native import store, tier
from fastgrad.native.routine import NotNativeError

ROOT = Path(__file__).parents[2]
X = np.array([0.3, -0.7, 1.1])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, so that code is made in every test."""
    monkeypatch.setenv("FASTGRAD_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling counts as cheap, so that few calls pay for it; what other tests have started is done first."""
    tier.wait_until_idle()
    for name, value in (("LOOK_AFTER", 1e4), ("FIXED", 1e4), ("OPTIMISED", 0.0), ("QUICK", 0.0)):
        monkeypatch.setattr(tier, name, value)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was asked of the store, in order."""
    found: list[str] = []
    for name in ("find", "make"):
        original = getattr(store, name)

        def note(*args: Any, name: str = name, original: Any = original) -> Any:
            found.append(name)
            return original(*args)

        monkeypatch.setattr(store, name, note)
    yield found
    tier.wait_until_idle()


def simulation(x: Any) -> Any:
    a, b, c = x
    for _ in range(8):
        a, b, c = a + 0.01 * (b * c - a), b + 0.01 * np.sin(a - c), c + 0.01 * (a * b - c / (1 + b * b))
    return a * b + c


def array_function(x: Any) -> Any:
    return np.sum(np.exp(-x * x) * np.sin(3 * x)) + np.sum(x[1:] * x[:-1])


def bits(array: Any) -> Any:
    return np.asarray(array, float).view(np.int64)


def until(condition: Callable[[], bool], step: Callable[[], Any], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        step()
    return condition()


def executors_of(derivative: Any) -> list[Any]:
    branches = derivative.recordings.all_branches()
    return [made for branch in branches for key, made in branch._made.items() if key[0] == "executor"]


def is_native(derivative: Any) -> bool:
    return any(executor.tier.is_native for executor in executors_of(derivative))


# ---- auto


def callers(derivative: Any, x: Any) -> dict[str, Callable[[], Any]]:
    prepared = derivative.prepare(x)
    out = np.empty_like(derivative(x))
    bound = prepared.bind(x, out)
    strided = np.stack([x, x], 1)[:, 0]

    def into() -> Any:
        prepared.into(x, out)
        return out

    def update() -> Any:
        bound()
        return out

    return {
        "a call": lambda: derivative(x),
        "a call that the kernels do not answer": lambda: derivative(strided),
        "a prepared call": lambda: prepared(x),
        "into": into,
        "a bound call": update,
    }


@pytest.mark.parametrize(
    "way", ["a call", "a call that the kernels do not answer", "a prepared call", "into", "a bound call"]
)
@pytest.mark.parametrize("function", [simulation, array_function])
@pytest.mark.usefixtures("eager")
def test_any_kind_of_call_becomes_native(function: Callable[..., Any], way: str) -> None:
    x = X if function is simulation else np.linspace(-2, 2, 5000)
    expected = bits(fg.grad(function, tier="vm")(x))
    derivative = fg.grad(function)
    call = callers(derivative, x)[way]
    assert until(lambda: is_native(derivative), lambda: np.testing.assert_array_equal(bits(call()), expected))
    for _ in range(50):
        np.testing.assert_array_equal(bits(call()), expected)
    tier.wait_until_idle()
    found = next(executor.tier for executor in executors_of(derivative) if executor.tier.is_native)
    assert found.reason == "it has run for as long as compiling takes"
    assert found.compile_seconds > 0


@pytest.mark.usefixtures("eager")
def test_batches_become_native() -> None:
    points = np.random.default_rng(1).normal(size=(500, 3))
    expected = bits(fg.vmap(fg.grad(simulation, tier="vm"))(points))
    batched = fg.vmap(fg.grad(simulation))

    def executors() -> list[Any]:
        branches = batched.derivative.recordings.all_branches()
        return [made for b in branches for key, made in b._made.items() if key[0] == "batch"]

    def is_native() -> bool:
        return any(tier.is_native for executor in executors() for tier in executor.tiers.values())

    assert until(is_native, lambda: np.testing.assert_array_equal(bits(batched(points)), expected))
    np.testing.assert_array_equal(bits(batched(points)), expected)


def test_calls_through_the_kernels_alone_reach_the_real_threshold() -> None:
    tier.wait_until_idle()
    derivative = fg.grad(simulation)
    assert until(lambda: is_native(derivative), lambda: [derivative(X) for _ in range(1000)])


def test_a_few_cheap_calls_ask_for_nothing(asked: list[str]) -> None:
    derivative = fg.grad(simulation)
    for _ in range(100):
        derivative(X)
    tier.wait_until_idle()
    assert asked == []
    found = derivative.explain(X)
    assert (found.tier, found.compile_seconds) == ("vm", 0.0)
    assert found.tier_reason == "it has not run long enough for native code to pay"


def test_code_is_looked_for_early_and_compiled_when_the_vm_has_worked_as_long(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tier, "LOOK_AFTER", 100.0)
    monkeypatch.setattr(tier, "FIXED", 1000.0)
    monkeypatch.setattr(tier, "OPTIMISED", 0.0)
    derivative = fg.grad(simulation, tier="vm")
    derivative(X)
    sources = executors_of(derivative)[0]._sources()
    made = tier.Tier("auto", lambda: sources)
    made.spend(99.0)
    tier.wait_until_idle()
    assert asked == []
    made.spend(1.0)
    tier.wait_until_idle()
    assert asked == ["find"]
    assert made.runs_left(300.0) == 3
    made.spend(899.0)
    tier.wait_until_idle()
    assert asked == ["find"]
    made.spend(1.0)
    tier.wait_until_idle()
    assert asked == ["find", "find", "make"]
    assert made.runs_left(1.0) == -1
    made.spend(1e9)
    tier.wait_until_idle()
    assert len(asked) == 3


def test_code_of_an_earlier_process_is_taken_up_early(asked: list[str]) -> None:
    fg.grad(simulation, tier="native")(X)
    del asked[:]
    derivative = fg.grad(simulation)
    assert until(lambda: is_native(derivative), lambda: derivative(X))
    assert asked == ["find"]
    found = derivative.explain(X)
    assert (found.tier_reason, found.compile_seconds) == ("its code was in the cache", 0.0)


# ---- settings


def test_native_is_made_at_the_first_call(asked: list[str]) -> None:
    derivative = fg.grad(simulation, tier="native")
    derivative(X)
    assert asked == ["find", "make"]
    found = derivative.explain(X)
    assert (found.tier, found.tier_reason) == ("native", "tier is 'native'")
    assert found.compile_seconds > 0
    assert "compiled" in str(found)


@pytest.mark.usefixtures("eager")
def test_vm_never_asks(asked: list[str]) -> None:
    derivative = fg.grad(simulation, tier="vm")
    for _ in range(1000):
        derivative([*X])
    tier.wait_until_idle()
    assert asked == []
    assert derivative.explain(X).tier_reason == "tier is 'vm'"


def test_the_setting_of_the_process_is_the_default() -> None:
    before = fg.config.tier
    try:
        fg.config.tier = "native"
        assert fg.grad(simulation).tier == "native"
        assert fg.vmap(simulation).derivative.tier == "native"
        assert fg.grad(simulation, tier="vm").tier == "vm"
        with pytest.raises(fg.errors.InputError, match="tier must be one of 'auto', 'vm', 'native'; it is 'fast'"):
            fg.config.tier = "fast"
        assert fg.config.tier == "native"
    finally:
        fg.config.tier = before


@pytest.mark.parametrize("setting", ["auto", "vm", "native"])
def test_pickling_keeps_the_tier(setting: str) -> None:
    derivative = pickle.loads(pickle.dumps(fg.grad(simulation, tier=setting)))
    assert derivative.tier == setting
    assert pickle.loads(pickle.dumps(fg.vmap(simulation, tier=setting))).derivative.tier == setting
    assert derivative.explain(X).tier == ("native" if setting == "native" else "vm")


# ---- what goes wrong


def failing(error: Exception) -> Any:
    def make(*_: Any) -> Any:
        raise error

    return make


@pytest.mark.parametrize("setting", ["auto", "native"])
@pytest.mark.usefixtures("eager")
def test_the_vm_goes_on_where_compiling_fails(
    setting: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FASTGRAD_QUIET", raising=False)
    expected = fg.grad(simulation, tier="vm")(X)
    for error, reason in (
        (ValueError("no"), "compiling failed: ValueError('no')"),
        (NotNativeError("what is odd"), "native code is not made for what is odd"),
    ):
        derivative = fg.grad(simulation, tier=setting)
        with monkeypatch.context() as patched:
            patched.setattr(store, "make", failing(error))
            assert until(lambda: derivative.explain(X).tier_reason == reason, lambda: derivative(X))  # noqa: B023
        np.testing.assert_array_equal(derivative(X), expected)
        assert not is_native(derivative)
    assert capsys.readouterr().err.count("the VM goes on") == 1
    # the thread is there for others
    derivative = fg.grad(simulation)
    assert until(lambda: is_native(derivative), lambda: derivative(X))


@pytest.mark.usefixtures("eager")
def test_where_no_thread_can_be_started_the_vm_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    tier._worker.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        derivative = fg.grad(simulation)
        for _ in range(300):
            derivative(X)
        assert "can't start new thread" in derivative.explain(X).tier_reason
    tier._worker.cache_clear()


def test_an_unreadable_end_of_stderr_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> None:
            raise BrokenPipeError

    monkeypatch.delenv("FASTGRAD_QUIET", raising=False)
    monkeypatch.setattr(sys, "stderr", Closed())
    monkeypatch.setattr(store, "make", failing(ValueError("no")))
    assert fg.grad(simulation, tier="native")(X).shape == (3,)


# ---- memory


@pytest.mark.parametrize("setting", ["auto", "vm", "native"])
def test_derivatives_go_without_the_collector_of_garbage(setting: str) -> None:
    gc.collect()
    gc.disable()
    try:
        derivative = fg.grad(simulation, tier=setting)
        for _ in range(5):
            derivative(X)
        (executor,) = map(weakref.ref, executors_of(derivative))
        del derivative
        assert executor() is None
    finally:
        gc.enable()


@pytest.mark.usefixtures("eager")
def test_what_nobody_has_any_more_is_not_compiled(asked: list[str]) -> None:
    held, started = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        held.wait(60)

    tier._worker().put(wait)
    assert started.wait(60)
    derivative = fg.grad(simulation)
    for _ in range(300):
        derivative(X)
    (executor,) = executors_of(derivative)
    assert executor.tier._is_waiting
    del derivative, executor
    gc.collect()
    held.set()
    tier.wait_until_idle()
    assert asked == []


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are counted in /proc")
def test_native_derivatives_keep_no_file_open() -> None:
    derivatives = [fg.grad(lambda x, k=k: np.sum(x * x * (k + 0.5)), tier="native") for k in range(12)]
    before = len(os.listdir("/proc/self/fd"))
    for derivative in derivatives:
        derivative(X)
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="mappings are listed in /proc")
def test_code_is_unmapped_with_its_derivative(cache: Path) -> None:
    def n_mapped() -> int:
        return Path("/proc/self/maps").read_text().count(str(cache))

    derivative = fg.grad(simulation, tier="native")
    derivative(X)
    assert n_mapped() == 1
    del derivative
    gc.collect()
    assert n_mapped() == 0


# ---- arrays that share memory


def test_a_captured_array_may_be_the_target_of_a_bound_call() -> None:
    for setting in ("vm", "native"):
        weights, x = np.linspace(1, 2, 5000), np.linspace(-1, 1, 5000)

        def f(x: Any, weights: Any = weights) -> Any:
            return np.sum(weights[::-1] * x * x)

        prepared = fg.grad(f, tier=setting).prepare(x)
        bound = prepared.bind(x, weights)
        for _ in range(3):
            weights[:] = np.linspace(1, 2, 5000)
            bound()
            np.testing.assert_array_equal(weights, 2 * np.linspace(1, 2, 5000)[::-1] * x)


def test_targets_of_a_bound_call_may_share_memory() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.sum(x * y * y)

    x, y, memory = np.arange(1.0, 4.0), np.arange(4.0, 7.0), np.zeros(5)
    bound = fg.grad(f, (0, 1), tier="native").prepare(x, y).bind(x, y, (memory[:3], memory[2:]))
    for _ in range(3):
        memory[:] = 0.0
        bound()
        np.testing.assert_array_equal(memory, [16.0, 25.0, 8.0, 20.0, 36.0])


def test_a_bound_call_may_write_over_its_argument() -> None:
    for n in (3, 5000):
        x = np.linspace(0.1, 1, n)
        expected = fg.grad(array_function, tier="vm")(x)
        bound = fg.grad(array_function, tier="native").prepare(x).bind(x, x)
        np.testing.assert_array_equal(bits(x), bits(expected))
        for _ in range(2):
            x[:] = np.linspace(0.1, 1, n)
            bound()
            np.testing.assert_array_equal(bits(x), bits(expected))


def test_a_read_only_target_is_refused() -> None:
    out = np.empty(3)
    out.flags.writeable = False
    prepared = fg.grad(simulation, tier="native").prepare(X)
    with pytest.raises(fg.errors.InputError, match="read-only"):
        prepared.into(X, out)
    with pytest.raises(fg.errors.InputError, match="read-only"):
        prepared.bind(X, out)


@pytest.mark.parametrize("n", [0, 1])
def test_empty_and_single_arguments(n: int) -> None:
    x = np.ones(n)

    def f(x: Any) -> Any:
        return np.sum(np.exp(x) * x)

    native = fg.value_and_grad(f, tier="native")
    for _ in range(4):
        value, gradient = native(x)
        assert value == np.sum(np.exp(x))
        np.testing.assert_allclose(gradient, 2 * np.exp(x), rtol=1e-15)
    batch = np.ones((n, 3))
    np.testing.assert_allclose(fg.vmap(fg.grad(f, tier="native"))(batch), 2 * np.exp(batch), rtol=1e-15)
    np.testing.assert_allclose(fg.vmap(fg.grad(f, tier="native"))(np.ones((3, n))), 2 * np.exp(np.ones((3, n))))


def test_rows_at_odd_places_in_records() -> None:
    records = np.zeros(70, np.dtype([("flag", np.int32), ("x", float, 3)]))
    records["x"] = np.random.default_rng(3).normal(size=(70, 3))
    native = fg.vmap(fg.grad(simulation, tier="native"))
    np.testing.assert_array_equal(bits(native(records["x"])), bits(native(records["x"].copy())))


# ---- threads, forks, the end


@pytest.mark.usefixtures("eager")
def test_threads_that_call_while_the_tier_changes_get_the_same_bits() -> None:
    x = np.linspace(-2, 2, 3000)
    for function, point in ((simulation, X), (array_function, x)):
        expected = bits(fg.grad(function, tier="vm")(point))
        derivative = fg.grad(function)
        wrong: list[Any] = []
        stop = threading.Event()

        def call(derivative: Any = derivative, point: Any = point, expected: Any = expected) -> None:
            try:
                while not stop.is_set():  # noqa: B023
                    if not np.array_equal(bits(derivative(point)), expected):
                        wrong.append("bits")  # noqa: B023
            except Exception as error:
                wrong.append(error)  # noqa: B023

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert until(lambda: is_native(derivative), lambda: time.sleep(0.01))  # noqa: B023
        time.sleep(0.1)
        stop.set()
        for thread in threads:
            thread.join(60)
        assert wrong == []


def test_threads_that_compile_at_once() -> None:
    functions = [lambda x, k=k: np.sum(np.sin(x) * x**k) for k in range(6)]
    expected = [fg.grad(function, tier="vm")(X) for function in functions]
    found: dict[int, Any] = {}

    def compile_one(k: int) -> None:
        found[k] = fg.grad(functions[k], tier="native")(X)

    threads = [threading.Thread(target=compile_one, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for k in range(6):
        np.testing.assert_array_equal(found[k], expected[k])


SHORT = """
import os, signal, sys, time
import numpy as np
import fastgrad as fg
from fastgrad.native import store, tier

def long(x):
    a, b = x
    for _ in range(4000):
        a, b = a + 0.01 * b, b - 0.01 * a * b
    return a * b

x = np.array([0.3, 0.7])
tier.FIXED = tier.QUICK = tier.OPTIMISED = 0
derivative = fg.grad(long)
expected = derivative(x)
derivative(x)
(entry,) = derivative._fast.entries
end = time.monotonic() + 60
while "not run long enough" in entry._executor.tier.reason and time.monotonic() < end:
    derivative(x)
time.sleep(float(sys.argv[1]))
"""

FORK = """
child = os.fork()
if child == 0:
    signal.alarm(60)
    native = fg.grad(lambda x: np.sum(x**3), tier="native")
    assert np.allclose(native(x), 3 * x**2) and native.explain(x).tier == "native"
    assert np.array_equal(derivative(x), expected)
    end = time.monotonic() + 50
    while derivative.explain(x).tier != "native" and time.monotonic() < end:
        derivative(x)
    assert derivative.explain(x).tier == "native"
    os._exit(0)
assert np.array_equal(derivative(x), expected)
assert os.waitpid(child, 0)[1] == 0
tier.wait_until_idle()
assert derivative.explain(x).tier == "native"
"""


def run(code: str, *arguments: object, cache: Path) -> str:
    variables = {**os.environ, "FASTGRAD_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    found = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 0, (found.returncode, found.stderr)
    return found.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("delay", [0.0, 0.1, 0.4])
def test_a_fork_while_something_is_compiled(delay: float, cache: Path) -> None:
    assert "Error" not in run(SHORT + FORK, delay, cache=cache)


@pytest.mark.parametrize("delay", [0.0, 0.15, 0.3, 0.5])
def test_a_process_that_ends_while_something_is_compiled(delay: float, cache: Path) -> None:
    start = time.monotonic()
    errors = run(SHORT, delay, cache=cache)
    assert "Error" not in errors
    assert time.monotonic() - start < 120


def test_calls_go_on_while_their_code_is_compiled() -> None:
    """What the longest of them took is printed; the bound is far above it."""

    def long(x: Any) -> Any:
        a, b = x
        for _ in range(4000):
            a, b = a + 0.01 * b, b - 0.01 * a * b
        return a * b

    x = np.array([0.3, 0.7])
    derivative = fg.grad(long)
    took = []

    def call() -> None:
        start = time.perf_counter()
        derivative(x)
        took.append(time.perf_counter() - start)

    derivative(x)
    derivative(x)
    assert until(lambda: is_native(derivative), call)
    (executor,) = executors_of(derivative)
    print(f"longest {1e3 * max(took):.1f} ms, median {1e6 * np.median(took):.0f} us of {len(took)} calls")
    print(f"compiled in {executor.tier.compile_seconds:.2f} s")
    assert max(took) < max(0.5, executor.tier.compile_seconds / 2)
