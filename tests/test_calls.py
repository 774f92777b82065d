"""A call taken apart: what becomes an input of the tape, and what is part of the signature."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.calls import bind, parameters_of


class Opaque:
    pass


OPAQUE = Opaque()


def inputs(value: Any) -> int:
    return len(bind((1.0, value), {}, (0,), ("x", "data")).inputs) - 1


@pytest.mark.parametrize(
    ("value", "n_inputs"),
    [
        (1.0, 1),
        (np.float32(1), 1),
        (np.ones(3), 1),
        (np.ones(3, np.float16), 1),
        ([1.0, 2.0], 2),
        ({"a": np.ones(2), "n": 3, "name": "x"}, 1),
        (3, 0),
        (True, 0),
        ("text", 0),
        (None, 0),
        (np.arange(3), 0),
        (np.array([True]), 0),
        (1j, 0),
        (np.longdouble(1), 0),
        (OPAQUE, 0),
        (np.array(["a"]), 0),
    ],
    ids=str,
)
def test_floats_are_inputs_and_the_rest_is_static(value, n_inputs):
    assert inputs(value) == n_inputs


def signature(*args: Any, **kwargs: Any) -> Any:
    return bind(args, kwargs, (0,), ("x", "y")).signature()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1.0,), (2.0,)),
        ((np.ones(2), 1.0), (np.zeros(2), -5.0)),
        ((1.0, "a", None, 3), (2.0, "a", None, 3)),
        ((1.0, np.arange(3)), (2.0, np.arange(3))),
        ((1.0, {"a": 1.0, "b": 2}), (1.0, {"b": 2, "a": 3.0})),
        ((1.0, OPAQUE), (1.0, OPAQUE)),
        ((1.0, float("nan")), (1.0, 2.0)),
    ],
)
def test_calls_that_a_recording_serves_alike_have_one_signature(one, other):
    assert signature(*one) == signature(*other)
    assert hash(signature(*one)) == hash(signature(*other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1.0,), (np.ones(1),)),
        ((1.0,), (1,)),
        ((np.ones(2),), (np.ones(2, np.float32),)),
        ((1.0, 3), (1.0, 4)),
        ((1.0, 3), (1.0, 3.0)),
        ((1.0, 1), (1.0, True)),
        ((1.0, 0j), (1.0, -0j)),
        ((1.0, "a"), (1.0, "b")),
        ((1.0, np.arange(3)), (1.0, np.arange(1, 4))),
        ((1.0, np.arange(3)), (1.0, np.arange(3, dtype=np.int32))),
        # ravel() is a view of one and a copy of the other
        ((np.ones((2, 2)),), (np.asfortranarray(np.ones((2, 2))),)),
        ((1.0, [1.0]), (1.0, (1.0,))),
        ((1.0, OPAQUE), (1.0, Opaque())),
    ],
)
def test_calls_that_differ_have_different_signatures(one, other):
    assert signature(*one) != signature(*other)


def test_the_same_value_by_position_and_by_name_are_different_calls():
    assert signature(1.0, 2.0) != signature(1.0, y=2.0)


def test_new_data_of_the_same_kind_need_no_new_recording():
    counter = np.zeros(1)

    def counting(x, data):
        counter[0] += 1
        return np.sum(x * data)

    gradient = fg.grad(counting)
    for k in range(4):
        assert gradient(1.0, np.full(3, float(k))) == 3.0 * k
    assert counter[0] == 1
    assert gradient(1.0, np.ones(4)) == 4.0
    assert counter[0] == 2
    assert gradient(1.0, np.array([1, 2, 3])) == 6.0
    assert gradient(1.0, np.array([1, 2, 4])) == 7.0
    assert counter[0] == 4


def test_data_that_cannot_be_recorded_is_taken_as_static():
    counter = np.zeros(1)

    def function(x: Any, times: Any) -> Any:
        counter[0] += 1
        order = [0, 1, 2] if float(times[0]) > 2 else [2, 1, 0]
        return np.sum(x * order) + float(times[0])

    gradient = fg.grad(function)
    for times in ([3.0, 1.0, 2.0], [1.0, 2.0, 3.0], [3.0, 1.0, 2.0], [1.0, 2.0, 3.0]):
        np.testing.assert_array_equal(gradient(np.ones(3), np.array(times)), [0, 1, 2] if times[0] > 2 else [2, 1, 0])
    assert counter[0] == 4  # for each content, tried with recorded data first


def test_an_argument_that_cannot_be_recorded_is_refused_even_so():
    with pytest.raises(fg.LostDerivativeError, match="turned into a Python float"):
        fg.grad(lambda x, data: float(x[0]) * np.sum(data))(np.ones(3), np.ones(3))


def test_compiled_code_that_calls_back_after_a_refusal_does_not_hide_it():
    optimize = pytest.importorskip("scipy.optimize")
    with pytest.raises(fg.LostDerivativeError, match="turned into a Python float"):
        fg.grad(lambda p: optimize.brentq(lambda s: s * s / p - 1.0, 0.0, 5.0))(2.0)


def test_an_error_of_compiled_code_says_that_it_was_given_recorded_values():
    interpolate = pytest.importorskip("scipy.interpolate")
    with pytest.raises(TypeError, match="No matching signature") as caught:
        fg.grad(lambda y: interpolate.CubicSpline([0.0, 1.0, 2.0], y)(0.5))(np.ones(3))
    (note,) = caught.value.__notes__
    assert note.startswith("fastgrad was recording the function when scipy raised this.")
    assert "fastgrad.interop.register" in note


def test_errors_of_the_users_own_code_and_of_numpy_get_no_note():
    def own(x):
        raise RuntimeError("mine")

    for function, kind in ((own, RuntimeError), (lambda x: np.ones(3) @ x, ValueError)):
        with pytest.raises(kind) as caught:
            fg.grad(function)(np.ones(2))
        assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda x, y: x, ("x", "y")),
        (lambda x, /, y, *rest, z: x, ("x", "y")),
        (np.sin, ()),
        (Opaque, ()),
        (type("Called", (), {"__call__": lambda self, a, b=1: a})(), ("a", "b")),
    ],
)
def test_names_of_positional_parameters(function, names):
    assert parameters_of(function) == names or function is np.sin


def test_inputs_are_named_after_parameters_and_places_in_them():
    tape = fg.record(lambda p, *rest, q: p["a"][0] + rest[0] + q, {"a": [1.0]}, 2.0, q=3.0)
    assert tape.input_names == ("p['a'][0]", "argument1", "q")


@dataclasses.dataclass
class Model:
    rate: float
    name: str


@pytest.mark.parametrize(
    ("nested", "place"),
    [
        (Model(1.0, "fast"), r"text at args\[0\]\.name, which"),
        ({"a": [1.0, 1j]}, r"a complex number at args\[0\]\['a'\]\[1\], which"),
        ([1.0, "a"], r"text at args\[0\]\[1\], which"),
        ({"a": object()}, r"object at args\[0\]\['a'\], which"),
        ({"a": {"kind": None}}, r"NoneType at args\[0\]\['a'\]\['kind'\], which"),
    ],
)
def test_what_cannot_be_differentiated_is_named_by_its_place_in_the_argument(nested, place):
    with pytest.raises(fg.InputError, match=f"holds {place} cannot be.*move it into an argument of its own"):
        fg.grad(lambda p: 0.0)(nested)


def test_an_argument_by_name_is_called_so():
    with pytest.raises(fg.InputError, match=r"argument 'model' holds text at model\.name, which"):
        fg.grad(lambda model: 0.0, argnums="model")(model=Model(1.0, "fast"))
