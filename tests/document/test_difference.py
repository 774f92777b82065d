"""fastgrad.diff: what changed between two tapes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastgrad as fg
from tests.files.test_files import mutated
from tests.test_tape_checks import TAPE

DATA = np.array([1.0, 2.0, 3.0])


def base(x: Any, y: Any) -> Any:
    with fg.group("encoder"):
        hidden = fg.name(np.sin(x) * y, "hidden")
    return np.sum(hidden[1:] * 2.0)


def recorded(function: Any) -> fg.Tape:
    return fg.record(function, np.ones(3), 1.0)


def other_operation(x: Any, y: Any) -> Any:
    with fg.group("encoder"):
        hidden = fg.name(np.cos(x) * y, "hidden")
    return np.sum(hidden[1:] * 2.0)


def other_attribute(x: Any, y: Any) -> Any:
    with fg.group("encoder"):
        hidden = fg.name(np.sin(x) * y, "hidden")
    return np.sum(hidden[:2] * 2.0)


def other_constant(x: Any, y: Any) -> Any:
    with fg.group("encoder"):
        hidden = fg.name(np.sin(x) * y, "hidden")
    return np.sum(hidden[1:] * 2.5)


def other_operands(x: Any, y: Any) -> Any:
    with fg.group("encoder"):
        hidden = fg.name(y * np.sin(x), "hidden")
    return np.sum(hidden[1:] * 2.0)


def inserted(x: Any, y: Any) -> Any:
    with fg.group("encoder"):
        hidden = fg.name(np.tanh(np.sin(x)) * y, "hidden")
    return np.sum(hidden[1:] * 2.0)


def other_name(x: Any, y: Any) -> Any:
    with fg.group("encoder"):
        hidden = fg.name(np.sin(x) * y, "code")
    return np.sum(hidden[1:] * 2.0)


def other_group(x: Any, y: Any) -> Any:
    with fg.group("decoder"):
        hidden = np.sin(x)
    with fg.group("encoder"):
        hidden = fg.name(hidden * y, "hidden")
    return np.sum(hidden[1:] * 2.0)


CHANGES = [
    (other_operation, ["operation"]),
    (other_attribute, ["attribute"]),
    (other_constant, ["value"]),
    (other_operands, ["operands"]),
    (other_name, ["name"]),
    (other_group, ["group"]),
]


@pytest.mark.parametrize(("function", "changes"), CHANGES)
def test_one_change_is_one_changed_node(function, changes):
    difference = fg.diff(recorded(base), recorded(function))
    assert [list(change.changes) for change in difference.changed] == [changes]
    assert (difference.added, difference.removed, difference.interface) == ((), (), ())
    assert difference


def test_an_inserted_node_is_added_and_its_user_changed():
    tape = recorded(inserted)
    difference = fg.diff(recorded(base), tape)
    assert [tape.node(k).operation for k in difference.added] == ["tanh"]
    assert [list(change.changes) for change in difference.changed] == [["operands"]]
    back = fg.diff(tape, recorded(base))
    assert [tape.node(k).operation for k in back.removed] == ["tanh"]
    assert back.added == ()


def test_equal_tapes_have_no_difference():
    difference = fg.diff(recorded(base), recorded(base))
    assert not difference
    assert str(difference) == f"no difference ({len(recorded(base))} nodes)"


def test_the_listing_shows_counts_and_both_forms_of_what_changed():
    a = fg.record(lambda x: np.exp(np.sin(x) * 2.0) + DATA, np.ones(3))
    b = fg.record(lambda x: np.exp(np.cos(x) * 2.0) + DATA * 1.5, np.ones(3))
    assert str(fg.diff(a, b)).splitlines() == [
        "0 added, 0 removed, 2 changed, 5 unchanged",
        "  %0 = input x  [3]",
        "- %1 = sin(%0)  [3]",
        "+ %1 = cos(%0)  [3]",
        "  %2 = 2",
        "  ... 1 unchanged",
        "  %4 = exp(%3)  [3]",
        "- %5 = [1. 2. 3.]  [3]",
        "+ %5 = [1.5 3.  4.5]  [3]  (by at most 1.5, 3 of 3 elements)",
        "  %6 = add(%4, %5)  [3]",
    ]


def test_inputs_outputs_and_guards_that_changed_are_told():
    a = recorded(base)
    assert fg.diff(a, replace(a, input_names=("x", "z"))).interface == ("inputs: x, y became x, z",)
    assert "returned are %0" in fg.diff(a, replace(a, outputs=np.array([0], np.uint32))).interface[0]
    one = fg.record(lambda x: x * 2.0 if x > 0 else x, 1.0)
    other = replace(one, guard_values=np.array([0.0]))
    assert fg.diff(one, other).interface == ("guards: %2 is 1 became %2 is 0",)
    swapped = replace(a, inputs=a.inputs[::-1].copy(), input_names=())
    assert fg.diff(replace(a, input_names=()), swapped)


def test_constants_that_differ_in_bits_only_differ():
    one = fg.record(lambda x: x + np.array([0.0, np.nan]), np.ones(2))
    other = fg.record(lambda x: x + np.array([-0.0, np.nan]), np.ones(2))
    whole = fg.record(lambda x: x + np.array([0, 1]), np.ones(2))
    real = fg.record(lambda x: x + np.array([0.0, 1.0]), np.ones(2))
    assert fg.diff(one, other).changed[0].detail == "in the sign of zero or the bits of NaN"
    assert fg.diff(whole, real).changed[0].detail == "int64 became float64"


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_tapes_with_different_hashes_always_differ(seed):
    tape = mutated(TAPE, np.random.default_rng(seed))
    try:
        tape.validate()
    except fg.TapeError:
        return
    difference = fg.diff(TAPE, tape)
    assert difference or tape.hash == TAPE.hash
    assert len(difference.added) + len(difference.changed) + difference.n_unchanged == len(tape)
    assert len(TAPE) - len(difference.removed) == len(tape) - len(difference.added)
    str(difference)


def test_a_long_difference_is_cut():
    a = fg.record(lambda x: [np.sin(x * k) for k in range(300)], 1.0)
    b = fg.record(lambda x: [np.cos(x * (k + 0.5)) for k in range(300)], 1.0)
    lines = str(fg.diff(a, b)).splitlines()
    assert len(lines) < 210
    assert lines[-1].endswith("more lines")


def test_the_order_of_bytes_is_no_difference() -> None:
    one, other = (fg.record(lambda x, data=data: x * data, 1.0) for data in (np.ones(2), np.ones(2, ">f8")))
    assert one.hash == other.hash
    assert not fg.diff(one, other)
