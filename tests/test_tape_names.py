"""What inputs, outputs, nodes and groups are called."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.tape import Tape
from fastgrad.tape_names import (
    all_groups,
    input_names,
    is_inside,
    is_within,
    names_of_nodes,
    nodes_of_group,
    numbers_by_name,
    output_names,
    suggestion,
)


def grouped(x: Any, y: Any) -> Any:
    with fg.group("outer"):
        with fg.group("inner"):
            hidden = fg.name(np.sin(x), "hidden")
        hidden = hidden * y
    with fg.group("outermost"):
        return {"loss": np.exp(hidden), "copy": x}


@pytest.fixture
def tape() -> Tape:
    return fg.record(grouped, 1.0, 2.0)


def test_a_name_stands_for_a_node_and_the_name_of_an_input_goes_before_that_of_an_output(tape: Tape) -> None:
    assert numbers_by_name(tape) == {"x": 0, "y": 1, "outer/inner/hidden": 2, "loss": 4, "copy": 0}
    assert names_of_nodes(tape) == {0: "x", 1: "y", 2: "outer/inner/hidden", 4: "loss"}


def test_names_are_made_up_where_there_are_none(tape: Tape) -> None:
    nameless = replace(tape, input_names=(), output_names=())
    assert list(input_names(nameless)) == ["input0", "input1"]
    assert list(output_names(nameless)) == ["y0", "y1"]
    assert list(output_names(replace(nameless, outputs=tape.outputs[:1]))) == ["y"]
    assert list(output_names(replace(nameless, outputs=tape.named_nodes))) == ["outer/inner/hidden"]


def test_a_group_holds_what_is_in_groups_within_it_and_not_what_begins_alike(tape: Tape) -> None:
    assert all_groups(tape) == {"outer", "outer/inner", "outermost"}
    assert np.flatnonzero(nodes_of_group(tape, "outer")).tolist() == [2, 3]
    assert np.flatnonzero(nodes_of_group(tape, "outer/inner")).tolist() == [2]
    assert not nodes_of_group(tape, "out").any()


@pytest.mark.parametrize(
    ("path", "inside", "within"), [("a/b", True, True), ("a", False, True), ("ab/c", False, False), ("", False, False)]
)
def test_paths_are_compared_by_their_parts(path: str, inside: bool, within: bool) -> None:
    assert is_inside(path, "a") is inside
    assert is_within(path, "a") is within


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hiden", "Is it 'encoder/hidden'?"),
        ("encoder/hiden", "Is it 'encoder/hidden'?"),
        ("kernel", "Is it 'dense/kernel'?"),
        ("zzz", "There is none."),
    ],
)
def test_names_near_an_unknown_one_are_suggested_by_their_last_part_too(name: str, expected: str) -> None:
    assert suggestion(name, ["encoder/hidden", "dense/kernel"], "There is none.") == expected
