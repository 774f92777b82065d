"""Functions of one example, and what they give example by example."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad.recording.structures import flatten


def smooth(x: Any) -> Any:
    return np.sum(np.sin(x) * np.exp(-x * x))


def branching(x: Any) -> Any:
    """Of three numbers; four ways through it."""
    y = x[0] * x[1]
    if x[0] > 0:
        y = y + np.sin(x[2])
    return y * y if x[2] > 0.5 else y - x[2]


def large(x: Any) -> Any:
    """Of an array so large that its tape is run array by array."""
    steep = np.tanh(np.outer(x, x) + 1.0)
    return np.sum(np.sort(steep.ravel())[::7] ** 2)


def serially(function: Callable[..., Any], *columns: Any) -> Any:
    """The function for each example, the results stacked."""
    results = [flatten(function(*example)) for example in zip(*columns, strict=True)]
    structure = results[0][1]
    return structure.unflatten([np.stack(rows) for rows in zip(*(leaves for leaves, _ in results), strict=True)])


def assert_same(found: Any, expected: Any) -> None:
    """Nested alike, and equal to the bit, in dtype too."""
    leaves, structure = flatten(found)
    others, other_structure = flatten(expected)
    assert structure == other_structure
    for leaf, other in zip(leaves, others, strict=True):
        np.testing.assert_array_equal(leaf, other, strict=True)
