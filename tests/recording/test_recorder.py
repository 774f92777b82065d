"""A recording in progress: what it collects, when it ends, and which recordings see each other's values."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.recording.recorded_array import RecordedArray
from fastgrad.recording.recorder import innermost_recorder, open_anywhere, recording
from fastgrad.tape import Source


def test_a_recording_is_closed_on_every_exit():
    def fails() -> None:
        with recording() as recorder:
            assert innermost_recorder() is recorder
            found.append(recorder)
            raise RuntimeError

    found: list[Any] = []
    with pytest.raises(RuntimeError):
        fails()
    assert innermost_recorder() is None
    assert found[0] not in open_anywhere


def test_an_exception_in_a_function_leaves_nothing_open_and_the_next_call_works():
    def function(x: Any) -> Any:
        if fail:
            raise RuntimeError("no")
        return fg.grad(lambda y: y * y * x)(x)

    fail = True
    gradient = fg.grad(function)
    with pytest.raises(RuntimeError, match="no"):
        gradient(2.0)
    assert innermost_recorder() is None
    fail = False
    assert gradient(2.0) == 8.0


def test_an_exception_in_an_inner_derivative_leaves_the_outer_recording_usable():
    def broken(y: Any) -> Any:
        raise RuntimeError("no")

    def function(x: Any) -> Any:
        try:
            fg.grad(broken)(x)
        except RuntimeError:
            return x * x
        return x

    assert fg.grad(function)(3.0) == 6.0


def test_a_value_used_after_its_recording_is_refused():
    leaked: list[Any] = []

    def leak(x: Any) -> Any:
        leaked.append(x)
        return x * 2.0

    fg.grad(leak)(1.0)
    uses = {
        "arithmetic": lambda: leaked[0] + 1.0,
        "function": lambda: np.sin(leaked[0]),
        "branch": lambda: bool(leaked[0] > 0),
        "truth": lambda: bool(leaked[0]),
        "in another recording": lambda: fg.grad(lambda y: y * leaked[0])(2.0),
        "first in another recording": lambda: fg.grad(lambda y: leaked[0] * y)(2.0),
        "result of another recording": lambda: fg.grad(lambda y: leaked[0])(2.0),
        "inside a nested recording": lambda: fg.grad(lambda y: fg.grad(lambda z: z * leaked[0])(y))(2.0),
    }
    for name, use in uses.items():
        with pytest.raises(fg.LeakedValueError) as raised:
            use()
        message = str(raised.value)
        assert "a recorded value was used outside the recording that it belongs to (at " in message, name
        assert message.endswith(
            ". Return it from the differentiated function instead of keeping it in a variable outside."
        )
        assert __file__ in message


def test_a_value_leaked_from_an_inner_recording_is_refused_in_the_outer_one():
    def function(x: Any) -> Any:
        kept = []

        def inner(y: Any) -> Any:
            kept.append(y)
            return y * y

        fg.grad(inner)(x)
        return kept[0] * x

    with pytest.raises(fg.LeakedValueError):
        fg.grad(function)(1.0)


def test_a_value_of_another_threads_recording_is_refused():
    def function(x: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(fg.grad(lambda y: y * x), 2.0).result()

    with pytest.raises(fg.LeakedValueError):
        fg.grad(function)(1.0)


@pytest.mark.parametrize(
    "operation", [lambda v: v * 2.0, lambda v: np.sin(v), lambda v: bool(v > 0), lambda v: bool(v)]
)
def test_a_value_computed_with_in_another_thread_is_refused(operation):
    def function(x: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(operation, x).result()
        return x

    with pytest.raises(
        fg.UnsupportedError, match=r"in another thread than that of its recording .*take a derivative in"
    ):
        fg.grad(function)(1.0)


def test_threads_record_at_the_same_time_without_seeing_each_other():
    barrier = threading.Barrier(4)

    def work(k: int) -> float:
        def function(x: Any) -> Any:
            barrier.wait(timeout=20)
            for _ in range(300):
                x = x * 1.001 + k * 0.0
            barrier.wait(timeout=20)
            return x * fg.grad(lambda y: y * y * k)(x)

        return float(fg.grad(function)(1.0 + k))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    factor = 1.001**600
    np.testing.assert_allclose(found, [4 * k * factor * (1.0 + k) for k in range(4)], rtol=1e-11)
    assert not open_anywhere


def test_one_derivative_called_first_by_many_threads_gives_each_its_own_result():
    gradient = fg.grad(lambda x: np.sum(np.where(x > 1, x**2, x**3)) if x[0] > 2 else np.sum(x))
    points = [np.array([1.5 + k / 8, 2.0]) for k in range(16)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(gradient, points))
    for point, result in zip(points, found, strict=True):
        np.testing.assert_allclose(result, 2 * point if point[0] > 2 else np.ones(2))


def test_lines_of_the_user_are_on_the_tape():
    def function(x):
        y = np.sin(x)
        if y > 0:
            y = y * 2.0
        return y

    tape = fg.record(function, 1.0)
    start = function.__code__.co_firstlineno
    lines = {node.operation: node.source for node in tape}
    assert lines["sin"] == Source(__file__, start + 1, "function")
    assert lines["multiply"] == Source(__file__, start + 3, "function")
    assert lines["input"] is None
    assert tape.sources[tape.guard_sources[0]] == Source(__file__, start + 2, "function")
    assert str(lines["sin"]) == f"{__file__}:{start + 1}, in function"


def test_an_array_changed_between_two_uses_is_one_constant_for_each_content():
    buffer = np.zeros(2)

    def function(x):
        buffer[:] = 1.0
        first = np.sum(x * buffer)
        buffer[:] = 5.0
        return first * np.sum(x * buffer) + np.sum(buffer * x)

    x = np.array([1.0, 2.0])
    expected = [5.0 * np.sum(x) * 2 + 5.0] * 2
    gradient = fg.grad(function)
    np.testing.assert_allclose(gradient(x), expected)
    buffer[:] = -3.0
    np.testing.assert_allclose(gradient(x), expected)


def test_a_recording_of_nothing_is_a_tape_too():
    tape = fg.record(lambda: ())
    assert len(tape) == 0
    assert tape.validate() is tape


def test_values_of_enclosing_recordings_enter_as_inputs_once():
    with recording() as outer:
        x = RecordedArray(outer, outer.add_input((), "x"), np.float64(2.0))
        with recording() as inner:
            y = RecordedArray(inner, inner.add_input((), "y"), np.float64(3.0))
            z = y * x + x * x
            assert z.recorder is inner
            assert (x + 1.0).recorder is outer
            tape = inner.build([z.node])
    assert tape.input_names == ("y", "lifted0", "lifted1")
    assert len(inner.lifted) == 2
