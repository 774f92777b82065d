"""Tapes as text."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastgrad as fg


def model(x: Any, w: Any) -> Any:
    with fg.group("encoder"):
        hidden = fg.name(np.tanh(x * w), "hidden")
    if hidden[0] > 0:
        hidden = hidden * np.array([[1.0], [2.0]])
    return {"loss": np.sum(hidden), "hidden": hidden}


def test_a_listing_shows_names_groups_outputs_guards_and_lines() -> None:
    tape = fg.record(model, np.ones(2), np.ones(2))
    line = model.__code__.co_firstlineno
    assert repr(tape) == "<Tape 2 inputs, 7 operations, 2 outputs>"
    assert str(tape).splitlines() == [
        f"tape {tape.hash[:12]}: 2 inputs, 7 operations, 2 outputs",
        "  %0 x                = input                                [2]",
        "  %1 w                = input                                [2]",
        "  encoder:",
        f"    %2                = multiply(x, w)                       [2]       # test_text.py:{line + 2}",
        f"    %3 encoder/hidden = tanh(%2)                             [2]       # test_text.py:{line + 2}",
        f"  %4                  = slice(encoder/hidden, ((0, 1, 1),))  [1]       # test_text.py:{line + 3}",
        f"  %5                  = reshape(%4, ())                                # test_text.py:{line + 3}",
        f"  %6                  = 0                                              # test_text.py:{line + 3}",
        f"  %7                  = greater(%5, %6)                                # test_text.py:{line + 3}",
        f"  guard 0: %7 must be 1  # test_text.py:{line + 3}",
        f"  %8                  = [[1.] [2.]]                          [2, 1]    # test_text.py:{line + 4}",
        f"  %9 hidden           = multiply(encoder/hidden, %8)         [2, 2]    # test_text.py:{line + 4}",
        f"  %10 loss            = sum(hidden, (0, 1))                            # test_text.py:{line + 5}",
        "  return hidden, loss",
    ]


def test_names_that_could_be_misread_stand_in_quotes() -> None:
    tape = fg.record(lambda x: {"a\n%1 = b": fg.name(np.sin(x), "%1 = evil")}, 1.0)
    assert "%1 '%1 = evil' = sin(x)" in str(tape)
    assert str(tape).splitlines()[-1] == "  return 'a\\n%1 = b': '%1 = evil'"


def loop(x: Any) -> Any:
    for _ in range(500):
        x = np.sin(x)
    return x


def test_a_long_tape_is_abbreviated_and_listed_in_parts() -> None:
    tape = fg.record(loop, 1.0)
    lines = str(tape).splitlines()
    assert len(lines) == 1 + 100 + 1 + 50 + 1
    assert lines[101] == (
        "  ... 351 more nodes (%100 to %450): tape.listing() has all, tape.listing(100, 200) some of them"
    )
    assert lines[100].startswith("  %99")
    assert lines[102].startswith("  %451")
    whole = tape.listing().splitlines()
    assert len(whole) == 1 + 501 + 1
    part = tape.listing(450, 453).splitlines()
    assert [row.split()[0] for row in part] == ["tape", "%450", "%451", "%452", "return"]
    assert tape.listing(-1).splitlines()[1].split()[:4] == ["%500", "=", "sin(%499)", "#"]


def test_large_constants_are_short() -> None:
    data = np.arange(10_000.0).reshape(100, 100)
    line = fg.record(lambda x: x * data, 1.0).listing(1, 2).splitlines()[1]
    assert line.startswith("  %1 = [0.000e+00 1.000e+00 ... 9.998e+03 9.999e+03]  [100, 100]  # test_text.py:")


def test_operands_are_called_by_names_that_mean_them() -> None:
    tape = fg.record(lambda x: {"x": np.sin(fg.name(x * x, "x")) + x}, 1.0)
    lines = [line.split("#")[0].split() for line in tape.listing().splitlines()[1:]]
    assert [" ".join(line) for line in lines] == [
        "%0 x = input",
        "%1 x = multiply(x, x)",
        "%2 = sin(%1)",
        "%3 x = add(%2, x)",
        "return x: %3",
    ]
