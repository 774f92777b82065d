"""The warning of a function that is recorded at most of its calls: when, how often, and what it names."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.branch_choice import MAX_BRANCHES
from fastgrad.recording_watch import TOO_MANY, RecordingWatch


def steps(x: Any) -> Any:
    for _ in range(int(x)):
        x = x * 1.5
    return x


def line_of(function: Any, text: str) -> str:
    lines, first = inspect.getsourcelines(function)
    return f"{__file__}:{first + next(k for k, line in enumerate(lines) if text in line)}, in {function.__name__}"


@pytest.fixture
def found() -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def test_a_guard_that_keeps_failing_is_named_with_its_line_once(found: Any) -> None:
    gradient = fg.grad(steps)
    for k in range(3 * TOO_MANY):
        gradient(k % 50 + 0.5)
    (warning,) = found
    assert warning.category is fg.RecordingWarning
    assert warning.filename == __file__
    message = str(warning.message)
    assert message.startswith("steps is recorded anew at most of its calls")
    assert line_of(steps, "range(int(x))") in message
    assert "np.where" in message


@pytest.mark.parametrize("n_ways", [2, 12, 20])
def test_a_function_with_a_dozen_branches_is_no_reason(found: Any, n_ways: int) -> None:
    gradient = fg.grad(steps)
    for x in np.random.default_rng(0).uniform(0, n_ways, 400):
        gradient(x)
    assert not found


def test_a_dozen_branches_for_each_of_a_few_shapes_are_no_reason(found: Any) -> None:
    gradient = fg.grad(lambda x: np.sum(steps(x[0]) * x))
    for x in np.random.default_rng(0).uniform(0, 6, 400):
        gradient(np.full(1 + int(10 * x) % 3, x))
    assert not found


def test_calls_that_the_kernels_answer_count(found: Any) -> None:
    gradient = fg.grad(steps)
    for k in range(2 * TOO_MANY):
        for _ in range(5):
            gradient(1.5)
        gradient(k % MAX_BRANCHES + 0.5)
    prepared = fg.grad(steps).prepare(1.5)
    for k in range(2 * TOO_MANY):
        for _ in range(5):
            prepared(1.5)
        prepared(k % MAX_BRANCHES + 0.5)
    assert not found


CAPTURED: Any = None


def test_what_changes_around_the_function_is_named(found: Any) -> None:
    def scaled(x: Any) -> Any:
        return np.sum(x * factor * CAPTURED)

    gradient = fg.grad(scaled)
    for k in range(2 * TOO_MANY):
        globals()["CAPTURED"] = np.full(2, float(k))
        factor = 1.0
        gradient(np.ones(2))
    (warning,) = found
    assert "global CAPTURED" in str(warning.message)
    assert "factor" not in str(warning.message)


def test_an_argument_that_changes_is_named(found: Any) -> None:
    def power(x: Any, n: Any, how: str) -> Any:
        return np.sum(x**n)

    gradient = fg.grad(power)
    for k in range(2 * TOO_MANY):
        gradient(np.ones(2), k, "plain")
    assert "the value of argument n" in str(found[0].message)
    assert "how" not in str(found[0].message).split("changing: ")[1].split(".")[0]
    other = fg.grad(power)
    for k in range(2 * TOO_MANY):
        other(np.ones(k + 1), 2, how="plain")
    assert "the shape or dtype of argument x" in str(found[1].message)
    assert len(found) == 2


def test_few_shapes_are_no_reason(found: Any) -> None:
    gradient = fg.grad(lambda x: np.sum(x**2))
    for k in range(300):
        gradient(np.ones(1 + k % 15))
    assert not found


def test_a_batch_with_more_branches_than_are_kept_is_a_reason(found: Any) -> None:
    batched = fg.vmap(fg.grad(steps))
    np.testing.assert_allclose(batched(np.arange(MAX_BRANCHES - 2) + 0.5), 1.5 ** np.arange(MAX_BRANCHES - 2))
    assert not found
    many = np.arange(MAX_BRANCHES + TOO_MANY + 2)
    np.testing.assert_allclose(fg.vmap(fg.grad(steps))(many + 0.5), 1.5**many)
    (warning,) = found
    assert line_of(steps, "range(int(x))") in str(warning.message)


def test_an_error_made_of_the_warning_leaves_the_derivative_usable() -> None:
    gradient = fg.grad(steps)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(fg.RecordingWarning):
            [gradient(k + 0.5) for k in range(MAX_BRANCHES)]
        assert gradient(2.5) == 1.5**2
        assert gradient(TOO_MANY + 0.5) == pytest.approx(1.5**TOO_MANY)


def test_recordings_long_ago_do_not_count(found: Any) -> None:
    watch = RecordingWatch("f")
    for _ in range(20 * TOO_MANY):
        watch.called(3)
        watch.recorded_branch("line")
    assert not found
    for _ in range(TOO_MANY):
        watch.called()
        watch.recorded_branch("line")
    assert len(found) == 1
