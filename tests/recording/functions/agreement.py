"""What a recorded call shows and what its recording gives later, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastgrad as fg
from fastgrad.recording.recorded_array import RecordedArray
from fastgrad.recording.structures import flatten
from tests.tapes import interpret


def assert_shown_as_numpy(function: Callable[..., Any], *args: Any) -> None:
    """While recording, values have NumPy's bits (to a few units in the last place), dtypes and shapes."""
    shown: list[Any] = []

    def recorded(*inner: Any) -> Any:
        result = function(*inner)
        shown.extend(leaf.value if isinstance(leaf, RecordedArray) else leaf for leaf in flatten(result)[0])
        return result

    fg.record(recorded, *args)
    expected = flatten(function(*args))[0]
    assert [(np.asarray(s).dtype, np.shape(s)) for s in shown] == [(np.asarray(e).dtype, np.shape(e)) for e in expected]
    for one, other in zip(shown, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14, atol=1e-15)


def assert_right_later(function: Callable[..., Any], first: Any, *later: Any, n_guards: int = 0) -> None:
    """One recording, at ``first``, gives NumPy's values at every later point, and has so many guards."""
    tape = fg.record(function, first)
    assert len(tape.guard_nodes) == n_guards
    for point in later:
        expected = [np.asarray(leaf, float) for leaf in flatten(function(point))[0]]
        for found, leaf in zip(interpret(tape, [point]), expected, strict=True):
            np.testing.assert_allclose(found, leaf, rtol=1e-13, atol=1e-14)
