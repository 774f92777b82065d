"""What happens around recordings at odd points: warnings, unused parts of arguments, long chains, side effects."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fastgrad as fg

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def test_recording_warns_as_numpy_does_and_running_the_tape_does_not():
    gradient = fg.grad(lambda x: np.log(x))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        gradient(0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gradient(0.0) == np.inf


def test_a_function_that_ignores_part_of_its_argument_has_zeros_there():
    np.testing.assert_array_equal(fg.grad(lambda x: x[1] ** 2)(np.array([1.0, 3.0, 5.0])), [0.0, 6.0, 0.0])
    found = fg.grad(lambda p: p["a"] ** 2)({"a": 3.0, "b": np.ones(2)})
    np.testing.assert_array_equal(found["b"], [0.0, 0.0])


def test_long_chains_do_not_recurse():
    def function(x: Any) -> Any:
        for _ in range(20_000):
            x = x * 1.00001
        return x

    assert fg.grad(function)(1.0) == pytest.approx(1.00001**20_000, rel=1e-11)
    assert fg.grad(fg.grad(lambda x: function(x) * x))(1.0) == pytest.approx(2 * 1.00001**20_000, rel=1e-11)


def test_random_numbers_and_side_effects_happen_once():
    calls = np.zeros(1)

    def function(x: Any) -> Any:
        calls[0] += 1
        return x * np.random.default_rng().standard_normal()

    gradient = fg.grad(function)
    assert len({float(gradient(1.0)) for _ in range(5)}) == 1
    assert calls[0] == 1


def test_a_value_printed_and_asserted_on_within_a_function(capsys):
    def function(x: Any) -> Any:
        print("x is", x, f"{x:.2f}")
        assert x > 0
        assert np.all(np.isfinite(x))
        return x * x

    assert fg.grad(function)(1.5) == 3.0
    assert capsys.readouterr().out == "x is 1.5 1.50\n"
    with pytest.raises(AssertionError):
        fg.grad(function)(-1.0)
