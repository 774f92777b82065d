"""Counts of what a tape consists of and costs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastgrad as fg
from fastgrad.document.statistics import size_text
from tests.document.test_lookup import random_tape

LEAVES = ("input", "constant")


def test_statistics_of_a_small_function() -> None:
    data = np.ones(4)

    def function(a: Any, x: Any) -> Any:
        y = np.exp(a @ x) + data[:3]
        if y[0] > 0:
            y = y * 2.0
        return np.sum(y), y[1]

    tape = fg.record(function, np.ones((3, 2)), np.ones(2))
    found = tape.statistics()
    assert (found.nodes, found.n_operations, found.guards) == (len(tape), tape.n_operations, 1)
    assert found.operations == dict(Counter(node.operation for node in tape if node.operation not in LEAVES))
    assert list(found.operations.values()) == sorted(found.operations.values(), reverse=True)
    # matmul 12, exp 3, add 3, greater 1, multiply 3, sum 3
    assert found.flops == 25
    assert found.without_flops == ()
    assert found.input_size == 8
    assert found.output_size == 2
    constants = [node for node in tape if node.operation == "constant"]
    assert found.constant_bytes == sum(node.attribute.nbytes for node in constants)
    values = [np.prod(node.shape, dtype=int) for node in tape if node.operation != "constant"]
    assert found.value_bytes == 8 * sum(values)


@pytest.mark.parametrize(
    ("function", "flops", "without"),
    [
        (lambda x: x[::-1].T.reshape(-1), 0, ()),
        (lambda x: x @ x, 2 * 5**3, ()),
        (lambda x: np.cumsum(x), 25, ()),
        (lambda x: np.linalg.inv(x) + x, 25, ("inv",)),
    ],
)
def test_flops_are_those_of_the_tables(function: Any, flops: float, without: Any) -> None:
    found = fg.record(function, np.eye(5)).statistics()
    assert found.flops == flops
    assert found.without_flops == without
    assert (f"(without {', '.join(without)})" in str(found)) == bool(without)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30))
def test_depth_is_the_longest_chain(choices: list[tuple[int, int]]) -> None:
    tape = random_tape(choices)
    depths: list[int] = []
    for node in tape:
        depths.append(0 if not node.operands else 1 + max(depths[k] for k in node.operands))
    assert tape.statistics().depth == max(depths)
    assert tape.statistics().n_operations == tape.n_operations


def test_statistics_print_as_a_table() -> None:
    tape = fg.record(lambda x: np.sum(np.sin(x) * np.sin(x) * 2.0), np.ones(1000))
    assert str(tape.statistics()).splitlines() == [
        "nodes       7",
        "operations  5 (multiply 2, sin 2, sum 1)",
        "depth       4",
        "flops       5,000",
        "values      40 KB",
        "constants   8 B",
        "inputs      1,000 numbers",
        "outputs     1 numbers",
        "guards      0",
    ]


def test_captured_data_used_twice_counts_once() -> None:
    data = np.ones(100)
    assert fg.record(lambda x: x * data + np.sum(data * x), 1.0).statistics().constant_bytes == 800


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (2.5e6, "2.5 MB"), (7e12, "7e+03 GB")]
)
def test_sizes_are_short(n_bytes: float, text: str) -> None:
    assert size_text(n_bytes) == text
