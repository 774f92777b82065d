"""Random numbers drawn while recording: whoever draws them is told, once, where."""

# ruff: noqa: NPY002 - NumPy's global generator is meant

from __future__ import annotations

import inspect
import random
import subprocess
import sys
import threading
import timeit
import warnings
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.calls import bind
from fastgrad.recording.captured import Surroundings
from fastgrad.recording.randomness import RandomStates

GENERATOR = np.random.default_rng(0)
PYTHON = random.Random(0)
LEGACY = np.random.RandomState(0)
PHILOX = np.random.Generator(np.random.Philox(0))


def noise() -> Any:
    return GENERATOR.normal()


class Model:
    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def value(self, x: Any) -> Any:
        return x * self.generator.normal()


def in_closure() -> Any:
    mine = np.random.default_rng(0)

    def function(x: Any) -> Any:
        return x * mine.uniform()

    return function


DRAWING: dict[str, tuple[Any, str]] = {
    "numpy.random": (lambda x: x * np.random.rand(), "NumPy's global generator"),
    "numpy.random.normal": (lambda x: x * np.random.normal(), "NumPy's global generator"),
    "random": (lambda x: x * random.random(), "Python's module random"),
    "random.gauss": (lambda x: x * random.gauss(0.0, 1.0), "Python's module random"),
    "a global generator": (lambda x: x * GENERATOR.normal(), "the generator in global GENERATOR"),
    "one of Python's": (lambda x: x * PYTHON.random(), "the generator in global PYTHON"),
    "a RandomState": (lambda x: x * LEGACY.normal(), "the generator in global LEGACY"),
    "another kind of bits": (lambda x: x * PHILOX.normal(), "the generator in global PHILOX"),
    "a helper's": (lambda x: x * noise(), "the generator in global GENERATOR"),
    "a closure's": (in_closure(), "the generator in closure variable mine"),
    "a method's": (Model().value, "the generator in the Model whose method value is"),
}


def warnings_of(derivative: Any, *args: Any, n_calls: int = 4) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for _ in range(n_calls):
            derivative(*args)
    return found


@pytest.mark.parametrize("name", DRAWING)
def test_whoever_draws_is_told_once(name: str) -> None:
    function, what = DRAWING[name]
    (warning,) = warnings_of(fg.grad(function), 2.0)
    assert warning.category is fg.RecordingWarning
    assert warning.filename == __file__
    message = str(warning.message)
    assert f"from {what}" in message
    assert ("unless another thread did" in message) == (threading.active_count() > 1)
    assert "they are frozen" in message
    assert message.endswith("Draw them outside and pass them in as an argument.")


def test_the_line_that_draws_is_named() -> None:
    line = inspect.getsourcelines(noise)[1] + 1
    (warning,) = warnings_of(fg.grad(lambda x: x * noise()), 2.0)
    assert f"(at {__file__}:{line}, in noise)" in str(warning.message)


def test_what_another_thread_draws_from_pythons_module_is_not_the_functions() -> None:
    stop, drew = threading.Event(), threading.Event()

    def drawing() -> None:
        while not stop.is_set():
            random.random()
            drew.set()

    def uniform(x: Any) -> Any:
        return x * x + 0.0 * random.uniform(0.0, 1.0)

    def waiting(x: Any) -> Any:
        drew.clear()
        assert drew.wait(10)
        return x * x

    thread = threading.Thread(target=drawing)
    thread.start()
    try:
        assert warnings_of(fg.grad(waiting), 2.0) == []
        (warning,) = warnings_of(fg.grad(uniform), 2.0)
    finally:
        stop.set()
        thread.join()
    assert "from Python's module random, unless another thread did" in str(warning.message)


def test_a_generator_among_the_arguments_is_seen() -> None:
    def function(x: Any, source: Any) -> Any:
        return x * source.normal()

    (warning,) = warnings_of(fg.grad(function), 2.0, np.random.default_rng(0))
    assert "the generator in argument source" in str(warning.message)
    assert ", in function)" in str(warning.message)


def test_two_sources_are_told_together() -> None:
    (warning,) = warnings_of(fg.grad(lambda x: x * np.random.rand() * random.random()), 2.0)
    assert "NumPy's global generator and Python's module random" in str(warning.message)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 2.0,
        lambda x: x * np.random.default_rng(3).normal(),  # the same each time
        lambda x: x * len(np.random.__name__),
        lambda x: x if GENERATOR is not None else -x,
    ],
)
def test_who_draws_nothing_is_told_nothing(function: Any) -> None:
    assert not warnings_of(fg.grad(function), 2.0)


def test_numbers_drawn_outside_and_passed_in_are_no_reason() -> None:
    gradient = fg.grad(lambda x, z: x * z)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            z = np.random.normal() + random.random() + GENERATOR.normal()
            assert gradient(1.0, z) == z


def test_the_first_numbers_are_used_at_all_calls() -> None:
    gradient = fg.grad(lambda x: x * np.random.normal())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len({float(gradient(x)) for x in (1.0, 2.0, 3.0, 4.0)}) == 1


def test_looking_costs_some_microseconds() -> None:
    surroundings = Surroundings(Model().value)
    seen, call = surroundings.everything(), bind((1.0,), {}, (0,), ("x",))
    look = lambda: RandomStates(seen, call, ("x",)).drawn()  # noqa: E731
    assert look() == []
    # it takes 20 us; ten times that would be another way of looking
    assert min(timeit.repeat(look, number=100, repeat=5)) / 100 < 200e-6


@pytest.mark.parametrize(
    ("draw", "warns"),
    [("np.random.normal()", True), ("np.random.seed(3)", False), ("importlib.import_module('random').random()", True)],
)
def test_the_first_numbers_of_a_process_are_noticed_though_their_module_is_loaded_by_that(draw, warns):
    program = f"""
import importlib, sys, warnings, numpy as np, fastgrad as fg
for name in [name for name in sys.modules if name == "random" or name.startswith("numpy.random")]:
    raise SystemExit("loaded before: " + name)
warnings.simplefilter("error", fg.RecordingWarning)
try:
    fg.grad(lambda x: x * (0.0 if {draw} is None else 1.0))(2.0)
except fg.RecordingWarning:
    print("warned")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if "loaded before: random" in done.stderr:
        pytest.skip("Python's module random is loaded from the start")
    assert done.stderr == ""
    assert done.stdout == ("warned\n" if warns else "")
