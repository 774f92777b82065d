"""A tape run again on recorded and plain values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.recording.recorded_array import RecordedArray
from fastgrad.recording.recorder import recording
from fastgrad.recording.replay import replay

DATA = np.array([2.0, 3.0])


def model(x: Any, y: Any) -> Any:
    z = np.sin(x) * DATA + y
    if y > 0:
        z = z * 2.5
    return np.sum(z), z[::-1], x


def test_plain_values_give_plain_results():
    tape = fg.record(model, np.ones(2), 1.0)
    x, y = np.array([0.3, 0.4]), np.float64(2.0)
    for found, expected in zip(replay(tape, [x, y]), model(x, y), strict=True):
        assert not isinstance(found, RecordedArray)
        np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_recorded_values_make_the_same_tape_again():
    tape = fg.record(model, np.ones(2), 1.0)
    with recording() as recorder:
        x = RecordedArray(recorder, recorder.add_input((2,), "x"), np.array([0.3, 0.4]))
        y = RecordedArray(recorder, recorder.add_input((), "y"), np.float64(2.0))
        outputs = replay(tape, [x, y])
        again = recorder.build([output.node for output in outputs])
    assert again == tape
    assert again.validate() is again
    np.testing.assert_array_equal(outputs[0].value, model(np.array([0.3, 0.4]), 2.0)[0])


def test_only_what_depends_on_recorded_values_is_recorded():
    tape = fg.record(lambda x, y: np.exp(x) * np.sin(y), 1.0, 1.0)
    with recording() as recorder:
        x = RecordedArray(recorder, recorder.add_input((), "x"), np.float64(0.5))
        (output,) = replay(tape, [x, 2.0])
        again = recorder.build([output.node])
    assert [node.operation for node in again] == ["input", "exp", "constant", "multiply"]
    assert output.value == pytest.approx(np.exp(0.5) * np.sin(2.0))


def test_guards_come_along_where_their_value_is_recorded():
    tape = fg.record(model, np.ones(2), 1.0)
    for recorded_y, n_guards in ((True, 1), (False, 0)):
        with recording() as recorder:
            x = RecordedArray(recorder, recorder.add_input((2,), "x"), np.ones(2))
            y = RecordedArray(recorder, recorder.add_input((), "y"), np.float64(2.0)) if recorded_y else 2.0
            outputs = replay(tape, [x, y])
            assert len(recorder.build([outputs[0].node]).guard_nodes) == n_guards


def test_an_output_that_is_an_operand_is_another_object():
    tape = fg.record(lambda x: (x, x), np.ones(2))
    x = np.array([1.0, 2.0])
    outputs = replay(tape, [x])
    outputs[0][0] = 9.0
    np.testing.assert_array_equal(x, [1.0, 2.0])
