"""Names and groups in the graph."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.transform.adjoint import adjoint
from fastgrad.transform.tangent import tangent


def layered(x: Any) -> Any:
    with fg.group("encoder"):
        with fg.group("dense"):
            hidden = fg.name(np.tanh(x), "hidden")
        again = fg.name(hidden * 2.0, "hidden")
    return np.sum(again**2)


def named(tape: fg.Tape) -> dict[str, str]:
    return {name: tape.node(int(node)).operation for name, node in zip(tape.node_names, tape.named_nodes, strict=True)}


def groups(tape: fg.Tape) -> list[str]:
    return [tape.group_of(index) for index in range(len(tape))]


def test_names_and_groups_stand_on_the_tape() -> None:
    tape = fg.record(layered, np.ones(3)).validate()
    assert named(tape) == {"encoder/dense/hidden": "tanh", "encoder/hidden": "multiply"}
    by_name = {tape.node(index).operation: group for index, group in enumerate(groups(tape))}
    assert by_name["tanh"] == "encoder/dense"
    assert by_name["multiply"] == "encoder"
    assert by_name["sum"] == by_name["input"] == ""


def test_a_name_that_is_taken_gets_a_number() -> None:
    def loop(x: Any) -> Any:
        for _ in range(3):
            x = fg.name(np.sin(x), "step")
        return x

    assert fg.record(loop, 1.0).node_names == ("step", "step_2", "step_3")


def test_the_leaves_of_a_nested_value_are_named_by_their_place() -> None:
    tape = fg.record(lambda x: fg.name({"a": np.sin(x), "b": [np.cos(x), 1.0]}, "pair"), 1.0)
    assert named(tape) == {"pair['a']": "sin", "pair['b'][0]": "cos"}


def test_outside_a_recording_nothing_happens() -> None:
    with fg.group("nowhere"):
        assert fg.name(3.0, "number") == 3.0


def test_a_group_decorates_a_function_and_ends_with_an_exception() -> None:
    @fg.group("inner")
    def inner(x: Any) -> Any:
        if isinstance(x, str):
            raise KeyError(x)
        return np.sin(x)

    def outer(x: Any) -> Any:
        with pytest.raises(KeyError):
            inner("word")
        return np.cos(inner(x))

    tape = fg.record(outer, 1.0)
    assert groups(tape) == ["", "inner", ""]


@pytest.mark.parametrize("wrong", ["", "a/b", 3])
def test_names_and_groups_are_text_without_slashes(wrong: Any) -> None:
    with pytest.raises(fg.errors.InputError, match="text without slashes"):
        fg.name(1.0, wrong)
    with pytest.raises(fg.errors.InputError, match="text without slashes"), fg.group(wrong):
        pass


def test_derivatives_keep_names_and_groups() -> None:
    tape = fg.record(layered, np.ones(3))
    for derived, sweep in [(adjoint(tape, [0], 1, seeded=False), "adjoint"), (tangent(tape, [0], 1), "tangent")]:
        derived.validate()
        assert named(derived)["encoder/dense/hidden"] == "tanh"
        assert f"{sweep}(encoder/dense/hidden)" in named(derived)
        assert {"encoder/dense", f"{sweep}/encoder/dense"} <= set(groups(derived))


def test_a_recorded_derivative_keeps_names_and_groups_within_its_own() -> None:
    def outer(x: Any) -> Any:
        with fg.group("outer"):
            return np.cos(fg.grad(layered)(x))

    tape = fg.record(outer, np.ones(3)).validate()
    assert named(tape)["outer/encoder/dense/hidden"] == "tanh"
    assert {"outer", "outer/encoder/dense", "outer/adjoint/encoder"} <= set(groups(tape))


def test_names_survive_pickling_and_change_no_hash() -> None:
    tape = fg.record(layered, np.ones(3))
    again = pickle.loads(pickle.dumps(tape))
    assert (again.node_names, groups(again)) == (tape.node_names, groups(tape))
    assert tape == fg.record(lambda x: np.sum((np.tanh(x) * 2.0) ** 2), np.ones(3))


def test_an_array_that_the_function_has_filled_can_be_named():
    def function(x):
        made = np.zeros(2)
        made[1] = x
        plain = fg.name(np.zeros(2), "plain")
        fg.name(x + 2j * x, "complex")
        return np.sum(fg.name(made, "made") * plain)

    tape = fg.record(function, 1.0)
    assert tape.node_names == ("made",)
    assert tape["made"].shape == (2,)
