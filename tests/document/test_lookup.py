"""Nodes by name and number, their names, and what they depend on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastgrad as fg
from fastgrad.tape import Tape
from fastgrad.transform.symbolic import SymbolicTape


def model(x: Any, weights: Any) -> Any:
    with fg.group("encoder"):
        hidden = fg.name(np.tanh(weights @ x), "hidden")
    return {"loss": np.sum(hidden**2), "parts": (hidden, 2.0)}


TAPE = fg.record(model, np.ones(2), np.ones((3, 2)))


def test_nodes_are_found_by_the_names_of_inputs_nodes_and_outputs() -> None:
    assert (TAPE["x"].operation, TAPE["x"].shape) == ("input", (2,))
    assert (TAPE["weights"].number, TAPE["encoder/hidden"].operation) == (1, "tanh")
    assert TAPE["loss"].operation == "sum"
    assert TAPE["parts[0]"] == TAPE["encoder/hidden"]
    assert TAPE[0] == TAPE["x"] == TAPE.node(0)
    assert (TAPE["encoder/hidden"].name, TAPE["encoder/hidden"].group) == ("encoder/hidden", "encoder")
    assert (TAPE["loss"].name, TAPE["loss"].group) == ("loss", "")
    assert "loss" in TAPE
    assert "lost" not in TAPE
    assert TAPE[3] in TAPE
    assert object() not in TAPE.nodes


def test_the_name_of_an_input_goes_before_that_of_a_node_and_of_an_output() -> None:
    tape = fg.record(lambda x, y: {"x": fg.name(np.sin(x), "y"), "sine": fg.name(np.cos(y), "x")}, 1.0, 2.0)
    assert tape.output_names == ("sine", "x")
    assert tape["x"].operation == tape["y"].operation == "input"
    assert tape["sine"].operation == "cos"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("los", "Is it 'loss'?"),
        ("hidden", "Is it 'encoder/hidden'?"),
        ("weight", "Is it 'weights'?"),
        ("zzz", "It has the names 'loss', 'parts[0]', 'parts[1]', 'encoder/hidden', 'x', 'weights'."),
    ],
)
def test_an_unknown_name_raises_with_names_that_are_near(name: str, remedy: str) -> None:
    with pytest.raises(fg.InputError) as caught:
        TAPE[name]
    assert str(caught.value) == f"the tape has no node named '{name}'. {remedy}"


def test_other_keys_raise() -> None:
    nameless = SymbolicTape()
    nameless.number(1.0)
    with pytest.raises(fg.InputError, match=r"It has no names: give them with fastgrad\.name"):
        nameless.build([])["x"]
    with pytest.raises(IndexError, match=f"node 99 of a tape with {len(TAPE)} nodes"):
        TAPE[99]
    for wrong in (True, 1.0, None):
        with pytest.raises(fg.InputError, match="a node is a number, a name or a node of the tape"):
            TAPE[wrong]  # type: ignore[index]


def test_nodes_are_a_sequence() -> None:
    nodes = TAPE.nodes
    assert len(nodes) == len(TAPE)
    assert list(nodes) == list(TAPE)
    assert list(nodes[2:5]) == list(TAPE)[2:5]
    assert list(nodes[::-1]) == list(TAPE)[::-1]
    assert nodes[-1] == list(TAPE)[-1]
    assert nodes[2:4].numbers.tolist() == [2, 3]
    assert "loss" in nodes
    assert "x" not in nodes[1:]
    assert 1 not in nodes[2:]
    assert repr(nodes[2:5]) == f"<3 of the {len(TAPE)} nodes of a tape>"
    with pytest.raises(IndexError):
        nodes[len(TAPE)]


def random_tape(choices: list[tuple[int, int]]) -> Tape:
    symbolic = SymbolicTape()
    values = [symbolic.input((), "x"), symbolic.input((), "y")]
    for one, other in choices:
        values.append(values[one % len(values)] / values[other % len(values)])
    return symbolic._builder.build([values[-1].node])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30), st.integers(0, 50))
def test_dependencies_and_dependents_are_all_that_paths_lead_to(choices: list[tuple[int, int]], start: int) -> None:
    tape = random_tape(choices)
    node = start % len(tape)
    n = len(tape)
    reaches = np.zeros((n, n), bool)
    for entry in tape:
        for operand in entry.operands:
            reaches[entry.number] |= reaches[operand]
            reaches[entry.number, operand] = True
        assert sorted(tape.users_of(entry.number)) == sorted(
            user.number for user in tape for operand in user.operands if operand == entry.number
        )
    assert tape.dependencies(node).numbers.tolist() == np.flatnonzero(reaches[node]).tolist()
    assert tape.dependents(tape.node(node)).numbers.tolist() == np.flatnonzero(reaches[:, node]).tolist()


def test_dependencies_of_a_name() -> None:
    assert [node.operation for node in TAPE.dependencies("parts[0]")] == ["input", "input"] + [
        node.operation for node in TAPE.nodes[2 : TAPE["encoder/hidden"].number]
    ]
    assert "loss" in TAPE.dependents("x")
    assert "loss" not in TAPE.dependents("parts[1]")


def test_nodes_of_other_tapes_are_not_in_a_tape() -> None:
    one, other = (fg.record(lambda x, data=data: x * data, 1.0) for data in (np.ones(2), np.full(2, 3.0)))
    (constant,) = (node for node in one if node.operation == "constant")
    assert constant in one.nodes
    assert constant in one
    assert constant not in other.nodes
    assert constant._replace(attribute=None) not in one.nodes
    assert one[0] in other.nodes
