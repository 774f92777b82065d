"""The groups of a tape as a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.document.summary import SummaryRow


def dense(x: Any, w: Any, name: str) -> Any:
    with fg.group(name):
        with fg.group("product"):
            product = w @ x
        return np.tanh(product)


def network(x: Any, p: Any, unused: Any) -> Any:
    hidden = dense(x, p["first"], "dense_1")
    hidden = dense(hidden, p["second"], "dense_2")
    again = dense(hidden, p["second"], "dense_3")
    return np.sum(hidden * again), hidden


PARAMETERS = {"first": np.ones((3, 2)), "second": np.ones((3, 3))}
TAPE = fg.record(network, np.ones(2), PARAMETERS, 1.0)


def test_rows_are_groups_in_order_with_the_parameters_that_they_use_first() -> None:
    found = TAPE.summary()
    layer = {"reshape": 2, "tanh": 1, "matmul": 1}
    assert found.rows == (
        SummaryRow("dense_1", layer, ((3,),), 6),
        SummaryRow("dense_2", layer, ((3,),), 9),
        SummaryRow("dense_3", layer, ((3,),), 0),
        SummaryRow("(no group)", {"multiply": 1, "sum": 1}, ((),), 0),
    )
    assert found.parameters == 15
    assert found.input_shapes == {"x": (2,), "unused": ()}
    assert found.n_operations == TAPE.n_operations
    assert str(found).splitlines() == [
        "input x [2]",
        "input unused",
        "-" * 62,
        "Group       Operations                Output shape  Parameters",
        "-" * 62,
        "dense_1     reshape x2, tanh, matmul  [3]                    6",
        "dense_2     reshape x2, tanh, matmul  [3]                    9",
        "dense_3     reshape x2, tanh, matmul  [3]                    0",
        "(no group)  multiply, sum             scalar                 0",
        "-" * 62,
        "14 operations, 15 parameters (120 B)",
    ]


def test_deeper_groups_have_rows_of_their_own() -> None:
    found = TAPE.summary(2)
    assert [row.group for row in found.rows] == [
        "dense_1/product", "dense_1", "dense_2/product", "dense_2", "dense_3/product", "dense_3", "(no group)",
    ]  # fmt: skip
    assert [row.parameters for row in found.rows] == [6, 0, 9, 0, 0, 0, 0]
    assert found.rows[:2] == (
        SummaryRow("dense_1/product", {"reshape": 2, "matmul": 1}, ((3,),), 6),
        SummaryRow("dense_1", {"tanh": 1}, ((3,),), 0),
    )
    assert found == TAPE.summary(9)


@pytest.mark.parametrize(
    ("names", "parameters", "expected"),
    [
        (("x", "p['first']", "p['second']", "unused"), None, 15),
        (("x", "dense/kernel", "dense/bias", "rate"), None, 15),
        (("x", "a", "b", "c"), None, 16),
        ((), None, 16),
        (("x", "a", "b", "c"), ("x", "c"), 3),
        (("x", "a", "b", "c"), (1,), 6),
        (("x", "a", "b", "c"), (), 0),
    ],
)
def test_which_inputs_are_parameters(names: Any, parameters: Any, expected: int) -> None:
    found = replace(TAPE, input_names=names).summary(parameters=parameters)
    assert found.parameters == sum(row.parameters for row in found.rows) == expected


def test_parameters_that_nothing_uses_have_a_row() -> None:
    assert TAPE.summary(parameters=["unused"]).rows[-1] == SummaryRow("(not used)", {}, (), 1)


def test_wrong_arguments_raise() -> None:
    with pytest.raises(fg.InputError, match="argnums names 'y'; the tape's inputs are x, "):
        TAPE.summary(parameters=["y"])
    for depth in (0, True, 1.5):
        with pytest.raises(fg.InputError, match=f"depth must be a whole number from 1 on, not {depth}"):
            TAPE.summary(depth)  # type: ignore[arg-type]


def test_long_rows_are_abbreviated_and_html_is_escaped() -> None:
    @fg.group("<b>&")
    def many(x: Any) -> Any:
        return [np.sin(x), np.cos(x[:2]), np.exp(x[:1]), np.tanh(x[:0]), x[0] + 1.0, np.sqrt(x[None])]

    found = fg.record(many, np.ones(3)).summary()
    (row,) = found.rows
    assert row.cells[1].endswith(" more")
    assert row.cells[2] == "[3], [2], [1], [0], 2 more"
    page = found._repr_html_()
    assert '<td style="text-align:left">&#x27;&lt;b&gt;&amp;&#x27;</td>' in page
    assert "<b>" not in page
    assert page.count("<tr>") == 2


def test_a_tape_without_groups_or_operations() -> None:
    assert [row.group for row in fg.record(lambda x: x * 2.0, 1.0).summary().rows] == ["(no group)"]
    assert fg.record(lambda x: x, 1.0).summary().rows == ()


def test_groups_of_derivatives_are_listed_too() -> None:
    groups = [row.group for row in TAPE.gradient(output=0).summary().rows]
    assert groups[:3] == ["dense_1", "dense_2", "dense_3"]
    assert "adjoint" in groups
