"""``np.pad`` in all its modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy
from tests.recording.functions.memory import assert_memory_as_numpy

RANDOM = np.random.default_rng(6)
X = RANDOM.standard_normal((2, 3))
WIDTHS = {
    "one": 1,
    "pair": (2, 0),
    "each": ((1, 2), (0, 3)),
    "column": ((1,), (2,)),
    "far": ((5, 3), (7, 8)),
    "none": 0,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "constant": {"mode": "constant"},
    "constant of a value": {"mode": "constant", "constant_values": 2.5},
    "constant of a pair": {"mode": "constant", "constant_values": (1.0, -1.0)},
    "constant of each": {"mode": "constant", "constant_values": ((1.0, 2.0), (3.0, 4.0))},
    "edge": {"mode": "edge"},
    "linear_ramp": {"mode": "linear_ramp"},
    "linear_ramp to": {"mode": "linear_ramp", "end_values": ((1.0, 2.0), (3.0, 4.0))},
    "maximum": {"mode": "maximum"},
    "maximum of some": {"mode": "maximum", "stat_length": 2},
    "mean": {"mode": "mean"},
    "mean of some": {"mode": "mean", "stat_length": ((1, 2), (2, 1))},
    "median": {"mode": "median"},
    "median of some": {"mode": "median", "stat_length": (2, 3)},
    "minimum": {"mode": "minimum", "stat_length": 9},
    "reflect": {"mode": "reflect"},
    "reflect odd": {"mode": "reflect", "reflect_type": "odd"},
    "symmetric": {"mode": "symmetric"},
    "symmetric odd": {"mode": "symmetric", "reflect_type": "odd"},
    "wrap": {"mode": "wrap"},
}
CASES = [(widths, mode) for widths in WIDTHS for mode in OPTIONS]


@pytest.mark.parametrize(("widths", "mode"), CASES)
def test_value_and_derivatives_of(widths, mode):
    function = lambda x: np.pad(x, WIDTHS[widths], **OPTIONS[mode])  # noqa: E731
    check(function, X)
    assert_shown_as_numpy(function, X)
    assert_shown_as_numpy(function, np.asfortranarray(X))


@pytest.mark.parametrize("mode", OPTIONS)
def test_results_are_copies_that_can_be_written_into(mode):
    for widths in (0, 2):
        assert_memory_as_numpy(lambda x, widths=widths: np.pad(x, widths, **OPTIONS[mode]), X)


@pytest.mark.parametrize("mode", [mode for mode in OPTIONS if "each" not in mode and "to" not in mode])
def test_rows_and_single_elements(mode):
    options = OPTIONS[mode] | ({"stat_length": 2} if "some" in mode else {})
    for x in (RANDOM.standard_normal(5), RANDOM.standard_normal(1), RANDOM.standard_normal((1, 2, 1))):
        function = lambda x: np.pad(x, 3, **options)  # noqa: E731
        check(function, x)
        assert_shown_as_numpy(function, x)


def test_widths_by_axis():
    function = lambda x: np.pad(x, {-1: (1, 2), 0: 1}, mode="edge")  # noqa: E731
    check(function, X)
    assert_shown_as_numpy(function, X)


def test_recorded_values_around_the_array():
    check(lambda x: np.pad(x[1:], 2, constant_values=x[0]), RANDOM.standard_normal(4))
    check(lambda x: np.pad(x, 2, constant_values=(x[0, 0], x[1, 1] ** 2)), X)
    check(lambda x: np.pad(x, 2, mode="linear_ramp", end_values=(x[0, 0], 3.0)), X)
    check(lambda x: np.pad(np.ones(3), 2, constant_values=x), np.float64(0.3))


def test_the_extrema_of_what_changes_later():
    x = np.array([3.0, 1.0, 2.0])
    for mode in ("maximum", "minimum", "median", "mean"):
        assert_right_later(lambda x, mode=mode: np.pad(x, 2, mode=mode, stat_length=2), x, -x, x[::-1])


def test_ties_share_the_derivative_of_the_maximum():
    found = fg.jacobian(lambda x: np.pad(x, (1, 0), mode="maximum"))(np.array([2.0, 2.0, 1.0]))
    np.testing.assert_array_equal(found[0], [0.5, 0.5, 0.0])


def test_whole_numbers_are_rounded_as_in_numpy():
    x = np.array([1.0, -1.0, 2.0, 3.0])
    for mode in ("mean", "median", "linear_ramp", "edge", "maximum"):
        function = lambda x, mode=mode: np.pad(np.argsort(x), 3, mode=mode)  # noqa: E731
        assert_shown_as_numpy(function, x)
        assert_right_later(function, x, -x, x[::-1])
    assert_shown_as_numpy(lambda x: np.pad(np.argsort(x), 1, constant_values=2.7), x)


def test_empty_places_hold_the_same_each_time():
    found = fg.jacobian(lambda x: np.pad(x, 1, mode="empty"))(np.ones(2))
    np.testing.assert_array_equal(found, np.pad(np.eye(2), ((1, 1), (0, 0))))


def test_the_users_own_function_writes_into_each_row():
    def twice_the_edge(vector, width, axis, options):
        vector[: width[0]] = options["factor"] * vector[width[0]]
        if width[1]:
            vector[-width[1] :] = vector[-width[1] - 1] ** 2

    function = lambda x: np.pad(x, ((1, 2), (2, 0)), twice_the_edge, factor=2.0)  # noqa: E731
    check(function, X)
    assert_shown_as_numpy(function, X)


def test_nothing_is_padded():
    for options in ({"mode": "constant"}, {"constant_values": 2.0}, {"mode": "empty"}):
        check(lambda x, options=options: np.pad(x, ((1, 1), (0, 2)), **options) * 1.0, np.zeros((0, 2)))
    check(lambda x: np.pad(x, ((0, 0), (1, 1)), mode="edge"), np.zeros((0, 2)))


ERRORS = {
    "mode": lambda x: np.pad(x, 1, mode="around"),
    "option": lambda x: np.pad(x, 1, mode="edge", stat_length=2),
    "option of the empty mode": lambda x: np.pad(x, 1, mode="empty", constant_values=2.0),
    "negative": lambda x: np.pad(x, -1),
    "floats": lambda x: np.pad(x, 1.5),
    "pairs": lambda x: np.pad(x, ((1, 1), (1, 1), (1, 1))),
    "empty": lambda x: np.pad(x[:0], 1, mode="edge"),
    "no statistic": lambda x: np.pad(x, 1, mode="maximum", stat_length=0),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_numpys(name):
    with pytest.raises((ValueError, TypeError)) as expected:
        ERRORS[name](X)
    with pytest.raises(type(expected.value)) as found:
        fg.record(ERRORS[name], X)
    assert str(found.value) == str(expected.value)


def test_zeros_around_an_array_take_one_operation():
    assert str(fg.record(lambda x: np.pad(x, ((1, 2), (3, 4))), X)).count("place") == 1
