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
from fastgrad.recording.captured import Surroundings, is_told_by_identity

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

    def scaled(self, x: Any, factor: float) -> Any:
        return self.rate * factor * x

    doubled = functools.partialmethod(scaled, factor=2.0)

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


class Array:
    def __init__(self, rate: float) -> None:
        self.rates = np.array([rate])


class Private:
    def __init__(self, rate: float) -> None:
        self._state = [rate]

    @property
    def rate(self) -> float:
        return self._state[0]

    def change(self, rate: float) -> None:
        self._state[0] = rate


class Base:
    def __init__(self, rate: float) -> None:
        self.rate = rate

    def value(self, x: Any) -> Any:
        return self.rate * x

    def through_super(self, x: Any) -> Any:
        return self.value(x)


class Derived(Base):
    def through_super(self, x: Any) -> Any:
        return super().through_super(x)


class ClassSettings:
    rate = 2.0

    @classmethod
    def value(cls, x: Any) -> Any:
        return cls.rate * x

    @staticmethod
    def fixed(x: Any) -> Any:
        return RATE * x


class DerivedSettings(ClassSettings):
    pass


class CachedOwner:
    instance: Any = None

    def __init__(self) -> None:
        self.base = 2.0

    @functools.cached_property
    def rate(self) -> float:
        return self.base

    def forget(self) -> None:
        self.base = 5.0
        del self.__dict__["rate"]


CachedOwner.instance = CachedOwner()
INNER_RATE = 2.0


@functools.lru_cache
def cached_rate(k: int) -> float:
    return k * RATE


def loop_function(k: int, rates: list[float]) -> Any:
    return lambda x: rates[0] * x * (k + 1) / (k + 1)


def scaling(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(x: Any) -> Any:
        return function(x) * RATE

    return wrapper


@scaling
def decorated(x: Any) -> Any:
    return 1.0 * x


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

    holder, table, chain = Model(2.0), {"a": {"b": [(1.0, {"c": 2.0})]}}, [[[2.0]]]
    owner, objects, arrays = types.SimpleNamespace(model=Model(2.0)), [Model(2.0)], [Array(2.0)]
    long, counts = [2.0] * 100, {"a": np.array([2]), "keys": {"rate": 2}}
    slots_inside, private, hidden = [Slotted(2.0)], Private(2.0), Derived(2.0)
    steps = [lambda x: x * table_rate[0]]
    table_rate = [2.0]

    def tagged(x: Any) -> Any:
        return tagged.rate * x

    tagged.rate = 2.0

    def with_inner_function(x: Any) -> Any:
        def scaled(y: Any) -> Any:
            return y * INNER_RATE

        return scaled(x)

    def with_import(x: Any) -> Any:
        import made_up_settings

        return made_up_settings.rate * x

    settings = sys.modules["made_up_settings"] = types.ModuleType("made_up_settings")
    settings.rate = 2.0
    settings.inner = types.ModuleType("made_up_settings.inner")
    settings.inner.rate = 2.0
    loops = [lambda x, k=k: x * k for k in (1.0, 2.0)]
    shared = [loop_function(k, numbers) for k in range(2)]
    bound = Model(2.0)
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
        "object in an object": (lambda x: owner.model.rate * x, lambda: setattr(owner.model, "rate", 5.0)),
        "object in a list": (lambda x: objects[0].rate * x, lambda: setattr(objects[0], "rate", 5.0)),
        "method of an object in a list": (lambda x: objects[0].value(x), lambda: setattr(objects[0], "rate", 5.0)),
        "array in an object in a list": (lambda x: np.sum(arrays[0].rates * x), lambda: arrays[0].rates.fill(5.0)),
        "another array in an object in a list": (
            lambda x: np.sum(arrays[0].rates * x),
            lambda: setattr(arrays[0], "rates", np.array([5.0])),
        ),
        "slot of an object in a list": (
            lambda x: slots_inside[0].rate * x,
            lambda: setattr(slots_inside[0], "rate", 5.0),
        ),
        "list in a list in a list": (lambda x: chain[0][0][0] * x, lambda: chain[0][0].__setitem__(0, 5.0)),
        "dict in a tuple in a list in dicts": (
            lambda x: table["a"]["b"][0][1]["c"] * x,
            lambda: table["a"]["b"][0][1].update(c=5.0),
        ),
        "element of a long list": (lambda x: long[80] * x, lambda: long.__setitem__(80, 5.0)),
        "keys of a dict": (
            lambda x: (2.0 if "rate" in counts["keys"] else 5.0) * x,
            lambda: (counts["keys"].clear(), counts["keys"].update(other=2)),
        ),
        "whole numbers in a dict": (lambda x: counts["a"][0] * x, lambda: counts["a"].fill(5)),
        "property of a private attribute": (lambda x: private.rate * x, lambda: private.change(5.0)),
        "attribute through a base class": (lambda x: hidden.value(x), lambda: setattr(hidden, "rate", 5.0)),
        "attribute named by a base class's method": (
            lambda x: hidden.through_super(x),
            lambda: setattr(hidden, "rate", 5.0),
        ),
        "class attribute": (lambda x: ClassSettings.rate * x, lambda: setattr(ClassSettings, "rate", 5.0)),
        "class attribute of a base": (lambda x: DerivedSettings.rate * x, lambda: setattr(ClassSettings, "rate", 5.0)),
        "class method": (lambda x: ClassSettings.value(x), lambda: setattr(ClassSettings, "rate", 5.0)),
        "static method": (lambda x: ClassSettings.fixed(x), set_global("RATE", 5.0)),
        "partial method": (lambda x: holder.doubled(x) / 2, lambda: setattr(holder, "rate", 5.0)),
        "cached property": (lambda x: CachedOwner.instance.rate * x, lambda: CachedOwner.instance.forget()),
        "helper with a cache": (
            lambda x: cached_rate(1) * x,
            lambda: (set_global("RATE", 5.0)(), cached_rate.cache_clear()),
        ),
        "function in a list": (lambda x: steps[0](x), lambda: table_rate.__setitem__(0, 5.0)),
        "replaced function in a list": (lambda x: loops[1](x), lambda: loops.__setitem__(1, lambda x: 5.0 * x)),
        "closure made in a loop": (lambda x: shared[1](x), lambda: numbers.__setitem__(0, 5.0)),
        "attribute of a function": (tagged, lambda: setattr(tagged, "rate", 5.0)),
        "global of an inner function": (with_inner_function, set_global("INNER_RATE", 5.0)),
        "module imported inside": (with_import, lambda: setattr(settings, "rate", 5.0)),
        "attribute of a module in a module": (
            lambda x: settings.inner.rate * x,
            lambda: setattr(settings.inner, "rate", 5.0),
        ),
        "partial of a method": (functools.partial(bound.value), lambda: setattr(bound, "rate", 5.0)),
        "partial of a partial": (
            functools.partial(functools.partial(lambda rates, k, x: rates[k] * x, numbers), 0),
            lambda: numbers.__setitem__(0, 5.0),
        ),
        "decorated": (decorated, set_global("RATE", 5.0)),
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
    ClassSettings.rate = 2.0
    set_global("INNER_RATE", 2.0)()
    CachedOwner.instance = CachedOwner()
    cached_rate.cache_clear()
    sys.modules.pop("made_up_settings", None)


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


@pytest.mark.parametrize("function", [np.linalg.det, np.sum, np.exp])
def test_functions_of_numpy_have_nothing_that_can_change(function):
    assert all(map(is_told_by_identity, Surroundings(function).values()))
    assert all(map(is_told_by_identity, Surroundings(lambda x: function(x)).values()))


@pytest.mark.parametrize("make", [lambda tape: tape, lambda tape: tape.to_function()])
def test_a_tape_is_told_by_identity_whatever_it_keeps_to_be_quicker(make: Any) -> None:
    data = np.array([1, 2])
    tape = make(fg.record(lambda x: np.sum(x * data), 1.0))
    assert is_told_by_identity(tape)
    for function in (lambda x: tape(x), tape):
        surroundings = Surroundings(function)
        before = surroundings.fingerprint()
        tape(3.0)
        fg.grad(function)(3.0)
        assert surroundings.fingerprint() == before
    gradient = fg.grad(lambda x: tape(x))
    assert float(gradient(1.0)) == 3.0
    data[0] = 5
    assert float(gradient(1.0)) == 7.0
    tape = make(fg.record(lambda x: x * 2.0, 1.0))
    assert float(gradient(1.0)) == 2.0
