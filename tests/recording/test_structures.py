"""Nested arguments and results keep their form."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.recording.structures import BARE, flatten, map_leaves


class Rates(NamedTuple):
    birth: Any
    death: Any


Point = namedtuple("Point", "x y")


@dataclass
class Start:
    prey: Any
    predator: Any = 1.0


@dataclass(frozen=True, slots=True)
class Frozen:
    value: Any
    rest: Any = field(default_factory=list)


@dataclass
class Counted:
    value: Any

    def __post_init__(self) -> None:
        raise AssertionError("taking apart and putting together must not run __init__")


VALUES = [
    {"b": 1.0, "a": [2.0, (3.0,)]},
    OrderedDict(z=1.0, a=2.0),
    Rates(1.0, {"x": 2.0}),
    Point(1.0, [2.0]),
    Start(1.0, Rates(2.0, 3.0)),
    Frozen(1.0, (2.0, 3.0)),
    [Start(1.0), Frozen(2.0, [Start(3.0)])],
    (),
    {},
    [],
    [None, 1.0],
    {2: 1.0, 1: 2.0},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_taken_apart_and_put_together_is_the_same(value):
    leaves, structure = flatten(value)
    assert structure.unflatten(leaves) == value
    assert type(structure.unflatten(leaves)) is type(value)
    assert len(structure.names("p")) == len(leaves)
    assert flatten(value)[1] == structure
    assert hash(flatten(value)[1]) == hash(structure)


@pytest.mark.parametrize("leaf", [1.0, 2, "text", None, np.ones(2), np.float32(1), 1j, b"x"], ids=repr)
def test_leaves_are_bare(leaf):
    assert flatten(leaf) == ([leaf], BARE) or isinstance(leaf, np.ndarray)
    assert flatten(leaf)[1] == BARE


def test_structures_that_differ_are_not_equal():
    structures = [flatten(value)[1] for value in VALUES]
    for k, one in enumerate(structures):
        assert all(one != other for other in structures[k + 1 :])


def test_dataclasses_are_rebuilt_without_running_their_init():
    value = object.__new__(Counted)
    value.value = 2.0
    assert map_leaves(lambda x: 2 * x, value).value == 4.0


def test_names_of_leaves_say_where_they_are():
    _, structure = flatten({"rate": [1.0, Start(2.0)]})
    assert structure.names("p") == ["p['rate'][0]", "p['rate'][1].prey", "p['rate'][1].predator"]


def energy(p: Any) -> Any:
    return p["start"].prey ** 2 * p["rates"].birth + np.sum(p["list"][0] * p["list"][1]) + p["start"].predator


def parameters(scale: float = 1.0) -> Any:
    return {
        "start": Start(3.0 * scale),
        "rates": Rates(2.0 * scale, np.ones(2)),
        "list": [np.array([1.0, 2.0]), (np.array([3.0, 4.0]))],
    }


def test_gradients_have_the_structure_of_the_argument():
    found = fg.grad(energy)(parameters())
    assert type(found) is dict
    assert found["start"] == Start(12.0, 1.0)
    assert found["rates"].birth == 9.0
    assert isinstance(found["rates"], Rates)
    np.testing.assert_array_equal(found["rates"].death, [0.0, 0.0])
    np.testing.assert_array_equal(found["list"][0], [3.0, 4.0])
    np.testing.assert_array_equal(found["list"][1], [1.0, 2.0])


def test_results_keep_their_structure_in_every_form():
    def function(x: Any) -> Any:
        return {"a": Rates(x * 2.0, [x[0]]), "b": Frozen(x[1] ** 2, ())}

    x = np.array([1.0, 3.0])
    out, tangent = fg.jvp(function, (x,), (np.array([1.0, 0.0]),))
    assert type(out["a"]) is Rates
    assert type(out["b"]) is Frozen
    np.testing.assert_array_equal(tangent["a"].birth, [2.0, 0.0])
    assert tangent["b"].value == 0.0
    jacobian = fg.jacobian(function)(x)
    np.testing.assert_array_equal(jacobian["a"].birth, 2 * np.eye(2))
    np.testing.assert_array_equal(jacobian["a"].death[0], [1.0, 0.0])
    np.testing.assert_array_equal(jacobian["b"].value, [0.0, 6.0])
    out, pullback = fg.vjp(function, x)
    (cotangent,) = pullback({"a": Rates(np.ones(2), [1.0]), "b": Frozen(1.0, ())})
    np.testing.assert_array_equal(cotangent, [3.0, 8.0])


def test_a_hessian_is_nested_twice():
    found = fg.hessian(lambda p: p["x"] ** 2 * p["y"][0] + p["y"][1] ** 3)({"x": 2.0, "y": np.array([3.0, 5.0])})
    assert found["x"]["x"] == 6.0
    np.testing.assert_array_equal(found["x"]["y"], [4.0, 0.0])
    np.testing.assert_array_equal(found["y"]["x"], [4.0, 0.0])
    np.testing.assert_array_equal(found["y"]["y"], [[0.0, 0.0], [0.0, 30.0]])
