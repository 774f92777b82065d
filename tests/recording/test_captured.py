"""What a function sees around itself: a change there is seen at the next call."""

from __future__ import annotations

import functools
import sys
import types
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.recording.captured import Surroundings

RATE = 2.0
SETTINGS = {"rate": 2.0}
HELPER_RATE = 2.0


def with_global(x: Any) -> Any:
    return RATE * x


def helper(x: Any) -> Any:
    return HELPER_RATE * x


def with_helper(x: Any) -> Any:
    return helper(x)


def set_global(name: str, value: Any) -> Any:
    def change(value: Any = value) -> None:
        globals()[name] = value

    return change


class Model:
    shared = 1.0

    def __init__(self, rate: float) -> None:
        self.rate = rate

    @property
    def product(self) -> float:
        return self.rate * self.shared

    def value(self, x: Any) -> Any:
        return self.product * x

    def __call__(self, x: Any) -> Any:
        return self.rate * self.shared * x


class Slotted:
    __slots__ = ("rate", "unset")

    def __init__(self, rate: float) -> None:
        self.rate = rate


@dataclass(slots=True)
class SlottedData:
    rate: float


def seen_changes() -> dict[str, Any]:
    """For each way to see something: a function of x that multiplies by it (2 at first), and what makes it 5."""
    array, zero_d, whole = np.array([2.0]), np.array(2.0), np.array([2])
    numbers, names, bag, queue = [2.0], {"rate": 2.0}, {2.0}, deque([2.0])
    model, slotted, data = Model(2.0), Slotted(2.0), SlottedData(2.0)
    cell = 2.0

    def with_cell(x: Any) -> Any:
        return cell * x

    def change_cell() -> None:
        nonlocal cell
        cell = 5.0

    def with_default(x: Any, rate: Any = 2.0) -> Any:
        return rate * x

    def with_list_default(x: Any, rates: Any = [2.0]) -> Any:  # noqa: B006
        return rates[0] * x

    def with_keyword_default(x: Any, *, rate: Any = 2.0) -> Any:
        return rate * x

    def change_bag() -> None:
        bag.clear()
        bag.add(5.0)

    inner = functools.partial(lambda rates, x: rates[0] * x, numbers)
    named = functools.partial(lambda x, rates: rates[0] * x, rates=numbers)
    namespace = types.ModuleType("made_up_parameters")
    namespace.rate = 2.0
    return {
        "global": (with_global, set_global("RATE", 5.0)),
        "global of a helper": (with_helper, set_global("HELPER_RATE", 5.0)),
        "element of a global dict": (lambda x: SETTINGS["rate"] * x, lambda: SETTINGS.update(rate=5.0)),
        "cell": (with_cell, change_cell),
        "default": (with_default, lambda: setattr(with_default, "__defaults__", (5.0,))),
        "keyword default": (with_keyword_default, lambda: with_keyword_default.__kwdefaults__.update(rate=5.0)),
        "array": (lambda x: array[0] * x * 0 + np.sum(array * x), lambda: array.fill(5.0)),
        "0-d array": (lambda x: zero_d * x, lambda: zero_d.fill(5.0)),
        "array of whole numbers": (lambda x: np.sum(whole * x), lambda: whole.fill(5)),
        "list": (lambda x: numbers[0] * x, lambda: numbers.__setitem__(0, 5.0)),
        "dict": (lambda x: names["rate"] * x, lambda: names.update(rate=5.0)),
        "set": (lambda x: max(bag) * x, change_bag),
        "deque": (lambda x: queue[0] * x, lambda: queue.__setitem__(0, 5.0)),
        "attribute": (lambda x: model.rate * x, lambda: setattr(model, "rate", 5.0)),
        "slot": (lambda x: slotted.rate * x, lambda: setattr(slotted, "rate", 5.0)),
        "slot of a dataclass": (lambda x: data.rate * x, lambda: setattr(data, "rate", 5.0)),
        "attribute of a module": (lambda x: namespace.rate * x, lambda: setattr(namespace, "rate", 5.0)),
        "partial": (inner, lambda: numbers.__setitem__(0, 5.0)),
        "partial by name": (named, lambda: numbers.__setitem__(0, 5.0)),
        "list as a default": (with_list_default, lambda: with_list_default.__defaults__[0].__setitem__(0, 5.0)),
    }


def slope_at(derivative: Any) -> float:
    return float(derivative(3.0))


@pytest.fixture(autouse=True)
def _as_at_first():
    yield
    set_global("RATE", 2.0)()
    set_global("HELPER_RATE", 2.0)()
    SETTINGS["rate"] = 2.0
    Model.shared = 1.0


@pytest.mark.parametrize("way", seen_changes())
@pytest.mark.parametrize("n_calls", [1, 5])
def test_a_change_is_seen_at_the_next_call(way, n_calls):
    function, change = seen_changes()[way]
    gradient = fg.grad(function)
    for _ in range(n_calls):  # from the third call on kernels answer without Python code
        assert slope_at(gradient) == 2.0
    change()
    for _ in range(n_calls):
        assert slope_at(gradient) == 5.0


def test_a_change_of_a_method_s_object_or_of_its_class_is_seen():
    model = Model(2.0)
    for function in (model.value, model, lambda x: model.value(x), lambda x: model(x)):
        derivative = fg.grad(function)
        model.rate, Model.shared = 2.0, 1.0
        assert [slope_at(derivative) for _ in range(4)] == [2.0] * 4
        model.rate = 5.0
        assert [slope_at(derivative) for _ in range(4)] == [5.0] * 4
        Model.shared = 10.0
        assert [slope_at(derivative) for _ in range(4)] == [50.0] * 4


def test_what_is_defined_after_the_derivative_is_seen_too(tmp_path, monkeypatch):
    source = (
        "import fastgrad as fg\n"
        "@fg.grad\n"
        "def slope(x):\n"
        "    return scaled(x)\n"
        "def scaled(x):\n"
        "    return LATE * x\n"
        "LATE = 2.0\n"
    )
    (tmp_path / "late_definitions.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__("late_definitions")
    try:
        assert [module.slope(1.0) for _ in range(4)] == [2.0] * 4
        module.LATE = 5.0
        assert [module.slope(1.0) for _ in range(4)] == [5.0] * 4
        module.scaled = types.FunctionType(compile("lambda x: LATER * x", "f", "eval").co_consts[0], vars(module))
        module.LATER = 7.0
        assert [module.slope(1.0) for _ in range(4)] == [7.0] * 4
        module.LATER = 9.0
        assert [module.slope(1.0) for _ in range(4)] == [9.0] * 4
    finally:
        del sys.modules["late_definitions"]


def test_a_captured_number_that_changes_back_needs_no_new_recording():
    rate, runs = 2.0, np.zeros(1)

    def function(x: Any) -> Any:
        runs[0] += 1
        return rate * x

    gradient = fg.grad(function)
    found = []
    for value in (2.0, 5.0, 2.0, 5.0):
        rate = value
        found.append(float(gradient(1.0)))
    assert found == [2.0, 5.0, 2.0, 5.0]
    assert runs[0] == 2


def described(value: Any) -> tuple[Any, ...]:
    return Surroundings(lambda: value).fingerprint()


@pytest.mark.parametrize(
    ("one", "other"),
    [(0.0, -0.0), (1, 1.0), (1, True), ("a", b"a"), ([0.0], [-0.0]), ((1,), (1.0,)), (None, 0), ([1], [1, 1])],
)
def test_fingerprints_tell_apart(one, other):
    holder = [one] if not isinstance(one, (list, tuple)) else one
    changed = [other] if not isinstance(other, (list, tuple)) else other
    if isinstance(holder, list):
        before = described(holder)
        holder[:] = changed
        assert described(holder)[2:] != before[2:]
    assert described(one)[2:] != described(other)[2:]


def test_nan_is_equal_to_itself_in_a_fingerprint():
    assert described(float("nan"))[2:] == described(float("nan"))[2:]


def test_a_new_object_at_an_old_address_is_another_object():
    gradient = None
    data = np.array([2.0])

    def function(x: Any) -> Any:
        return np.sum(data * x)

    gradient = fg.grad(function)
    for k in range(20):
        data = np.array([float(k)])  # the old array is dropped, and its address may be used again
        assert gradient(1.0) == k


def test_libraries_are_not_looked_into():
    places = Surroundings(lambda x: np.linalg.norm(x) + sys.maxsize).places
    assert [place.name for place in places if place.kind == "item"] == ["np", "sys"]
