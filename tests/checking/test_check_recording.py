"""What ``check_recording`` finds: a case of each kind, and nothing in functions that are right."""

# ruff: noqa: NPY002 - NumPy's global generator is meant

from __future__ import annotations

import builtins
import datetime
import decimal
import doctest
import inspect
import os
import random
import time
import types
from typing import Any

import numpy as np
import pytest

import fastgrad as fg

WEIGHTS, MORE = np.array([1.0, 2.0]), np.array([3.0, 4.0])
RATE = 2.0
DEEP = {"a": [{"b": [[{"c": [2.0, 3.0]}]]}]}
LONG: list[Any] = [[float(k)] for k in range(100)]
GENERATOR = np.random.default_rng(0)
BUFFER = np.zeros(2)
LOG: list[Any] = []
COUNT = [0]
CLOCK = time.perf_counter


def combined_first(x: Any) -> Any:
    products = WEIGHTS * MORE
    return np.sum(x * products)


def decided_on_captured_data(x: Any) -> Any:
    return np.sum(x) if WEIGHTS[0] > 1.5 else np.sum(x**2)


def too_deep(x: Any) -> Any:
    return np.sum(x) * DEEP["a"][0]["b"][0][0]["c"][0]


def behind_the_others(x: Any) -> Any:
    return np.sum(x) * LONG[80][0]


def found_by_name(x: Any) -> Any:
    return np.sum(x) * globals()["RATE"]


def asked_by_name(x: Any) -> Any:
    return np.sum(x) * getattr(SETTINGS, "ra" + "te")


SETTINGS = types.SimpleNamespace(inner=types.SimpleNamespace(), rate=2.0)


def drawing(x: Any) -> Any:
    scale = 2.0
    return np.sum(x) * GENERATOR.normal() * scale


def drawing_globally(x: Any) -> Any:
    return np.sum(x) * np.random.rand() * random.random()


def drawing_unseen(x: Any) -> Any:
    return np.sum(x) * np.random.default_rng().normal()


def counting(x: Any) -> Any:
    COUNT[0] += 1
    return np.sum(x) * COUNT[0]


def environment(x: Any) -> Any:
    rate = os.environ.get("THE_RATE", "2.0")
    return np.sum(x) * len(rate)


def clock(x: Any) -> Any:
    return np.sum(x) * CLOCK()


def today(x: Any) -> Any:
    return np.sum(x) * datetime.date.today().year


def reading(x: Any) -> Any:
    with open(__file__) as file:
        return np.sum(x) * len(file.readline())


def through_text(x: Any) -> Any:
    factor = builtins.float(decimal.Decimal(np.array2string(x[:1])[1:-1]))
    return np.sum(x) * factor


def changing_its_argument(x: Any) -> Any:
    x[0] = 3.0
    return np.sum(x**2)


def filling_a_buffer(x: Any) -> Any:
    BUFFER[:] = 2.0
    return np.sum(BUFFER * x)


def noting(x: Any) -> Any:
    LOG.append(1)
    return np.sum(x)


def asking_for_kinds(x: Any) -> Any:
    return np.sum(x) if type(x) is np.ndarray else np.sum(x) * 2


def losing(x: Any) -> Any:
    return float(x[0]) * 2.0


def failing(x: Any) -> Any:
    raise RuntimeError("not today")


CASES: dict[Any, tuple[tuple[str, ...], str]] = {
    combined_first: (("captured data",), "x * products"),
    decided_on_captured_data: (("captured data",), "np.sum(x)"),
    too_deep: (("captured data",), "DEEP"),
    behind_the_others: (("captured data",), "LONG"),
    found_by_name: (("captured data",), "globals()"),
    drawing: (("random numbers",), "GENERATOR"),
    drawing_globally: (("random numbers",), "np.random"),
    drawing_unseen: (("state",), "default_rng"),
    counting: (("side effect", "state"), "* COUNT"),
    environment: (("outside world",), "os.environ"),
    clock: (("outside world", "state"), "CLOCK()"),
    today: (("outside world",), "today()"),
    reading: (("outside world",), "open("),
    through_text: (("frozen value",), "* factor"),
    changing_its_argument: (("changed argument",), ""),
    filling_a_buffer: (("side effect",), ""),
    noting: (("side effect",), ""),
    asking_for_kinds: (("recording differs",), ""),
    losing: (("cannot be recorded",), ""),
    failing: (("fails",), ""),
}
X = np.array([0.5, 1.5])


@pytest.mark.parametrize("function", CASES, ids=lambda function: function.__name__)
def test_each_kind_is_found_with_its_line(function: Any) -> None:
    kinds, text = CASES[function]
    report = fg.check_recording(function, X)
    assert report.kinds == kinds
    assert not report.ok
    assert function.__name__ in str(report)
    assert all(str(finding) in str(report) for finding in report.findings)
    if text:
        lines, first = inspect.getsourcelines(function)
        line = first + next(k for k, line in enumerate(lines) if text in line)
        assert f"{__file__}:{line}, in {function.__name__}" in [finding.where for finding in report.findings]
    np.testing.assert_array_equal(X, [0.5, 1.5])


def newton(x: Any) -> Any:
    y = np.sum(x)
    while abs(y * y - x[1]) > 1e-10:
        y = 0.5 * (y + x[1] / y)
    return y


class Model:
    scale = 2.0

    def __init__(self) -> None:
        self.weights, self.settings = np.ones(2), {"power": 2, "rates": [1.0, [2.0]]}

    def value(self, x: Any) -> Any:
        return np.sum(self.weights * x ** self.settings["power"]) * self.scale * self.settings["rates"][1][0]


RIGHT: dict[str, Any] = {
    "formula": lambda x: np.sum(np.sin(x) * np.exp(-x) / (1 + x**2)),
    "captured arrays": lambda x: np.sum(WEIGHTS * x + MORE),
    "a captured number": lambda x: np.sum(x) * RATE,
    "control flow": newton,
    "a nested result": lambda x: {"a": x * 2, "b": (x[0], [x[1]])},
    "a method": Model().value,
    "whole numbers": lambda x: x * 2 if len(x) > 1 else x,
    "a date": lambda x: x * datetime.date(2020, 1, 1).year,
    "filled": lambda x: _filled(x),
    "seeded": lambda x: x * np.random.default_rng(1).normal(size=2),
    "many values": lambda x: [x[0] * k for k in range(20)],
}


def _filled(x: Any) -> Any:
    y = np.zeros(3)
    y[1:] = x * 2
    return np.sum(y**2)


@pytest.mark.parametrize("name", RIGHT)
def test_nothing_is_found_in_functions_that_are_right(name: str) -> None:
    report = fg.check_recording(RIGHT[name], X)
    assert report.ok, str(report)
    assert report.n_points == 7
    assert "nothing was found" in str(report)


def test_all_kinds_of_arguments_are_taken() -> None:
    def function(p: Any, n: int, how: str, *, scale: Any) -> Any:
        return np.sum(p["a"] ** n) * p["b"][0] * scale if how == "product" else p["b"][0]

    report = fg.check_recording(function, {"a": X, "b": [2.0]}, 3, "product", scale=1.5)
    assert report.ok, str(report)
    assert fg.check_recording(lambda x: x * 2, np.float32(1.5)).ok
    assert fg.check_recording(lambda n: n * 2.0, 3).ok
    assert fg.check_recording(lambda x: x, np.zeros((0, 2))).ok


def test_an_argument_passed_by_name_that_is_changed_is_named() -> None:
    def function(x: Any, *, work: Any) -> Any:
        work[0] = 1.0
        return x * work[0]

    (finding,) = fg.check_recording(function, 2.0, work=np.zeros(2)).findings
    assert finding.kind == "changed argument"
    assert "its argument work" in finding.what


def test_everything_around_the_function_is_as_it_was_afterwards() -> None:
    deep, weights, generator = DEEP["a"][0]["b"][0][0]["c"], WEIGHTS.copy(), np.random.default_rng(5)
    GENERATOR.bit_generator.state = generator.bit_generator.state
    random.seed(1)
    np.random.seed(2)
    states = random.getstate(), np.random.get_state()[1].tolist()
    for function in (combined_first, too_deep, behind_the_others, found_by_name, drawing, drawing_globally):
        fg.check_recording(function, X)
    assert deep == [2.0, 3.0]
    assert LONG[80] == [80.0]
    assert RATE == 2.0
    np.testing.assert_array_equal(WEIGHTS, weights)
    assert GENERATOR.bit_generator.state == generator.bit_generator.state
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states


def test_an_attribute_asked_for_by_a_computed_name_of_a_captured_object_is_seen_by_recordings() -> None:
    assert fg.check_recording(asked_by_name, X).ok


def test_the_example_in_the_documentation() -> None:
    page = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "recording.md")
    found = doctest.testfile(page, module_relative=False)
    assert found.failed == 0
    assert found.attempted >= 5


def test_the_same_report_each_time() -> None:
    assert str(fg.check_recording(through_text, X)) == str(fg.check_recording(through_text, X))
