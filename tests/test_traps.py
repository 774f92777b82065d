"""Points at which derivatives usually go wrong, each in every mode, and at a second order."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fastgrad as fg

INF, NAN = np.inf, np.nan
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

# function, point, derivative by the convention of docs/derivatives.md
AT_ODD_POINTS: dict[str, tuple[Any, Any, Any]] = {
    "abs at 0": (abs, 0.0, 0.0),
    "maximum at a tie": (lambda x: np.maximum(x, 1.0), 1.0, 0.5),
    "maximum of itself": (lambda x: np.maximum(x, x), 1.0, 1.0),
    "minimum at a tie": (lambda x: np.minimum(x, 1.0), 1.0, 0.5),
    "fmax beside NaN": (lambda x: np.fmax(x, NAN), 1.0, 1.0),
    "max of equal values": (lambda x: np.max(x), np.array([2.0, 1.0, 2.0]), np.array([0.5, 0.0, 0.5])),
    "min of equal values": (lambda x: np.min(x), np.zeros(4), np.full(4, 0.25)),
    "sign": (lambda x: np.sign(x), 0.0, 0.0),
    "floor": (lambda x: np.floor(x), 1.0, 0.0),
    "x**0 at 0": (lambda x: x**0, 0.0, 0.0),
    "x**0.0 at 0": (lambda x: x**0.0, 0.0, 0.0),
    "x**2 at 0": (lambda x: x**2, 0.0, 0.0),
    "x**1 at 0": (lambda x: x**1, 0.0, 1.0),
    "x**2.0 of a negative": (lambda x: x**2.0, -3.0, -6.0),
    "0**y": (lambda y: 0.0**y, 2.0, 0.0),
    "sqrt at 0": (lambda x: np.sqrt(x), 0.0, INF),
    "sqrt of a square at 0": (lambda x: np.sqrt(x * x), 0.0, 0.0),
    "norm at 0": (lambda x: np.linalg.norm(x), np.zeros(3), np.zeros(3)),
    "sqrt of a sum at 0": (lambda x: np.sqrt(np.sum(x * x)), np.zeros(3), np.zeros(3)),
    "std of equal values": (lambda x: np.std(x), np.ones(4), np.zeros(4)),
    "hypot at 0": (lambda x: np.hypot(x[0], x[1]), np.zeros(2), np.zeros(2)),
    "where and sqrt": (lambda x: np.where(x > 0, np.sqrt(x), 0.0), 0.0, 0.0),
    "where and log": (lambda x: np.where(x > 0, np.log(x), 0.0), -1.0, 0.0),
    "where and division": (
        lambda x: np.sum(np.where(x != 0, 1 / x, 0.0)),
        np.array([0.0, 2.0]),
        np.array([0.0, -0.25]),
    ),
    "product with a zero": (lambda x: np.prod(x), np.array([2.0, 0.0, 3.0]), np.array([0.0, 6.0, 0.0])),
    "product with two zeros": (lambda x: np.prod(x), np.array([0.0, 0.0, 3.0]), np.zeros(3)),
    "infinite constant times 0 slope": (lambda x: np.where(x > 5, x * INF, x), 1.0, 1.0),
    "exp that overflows, not taken": (lambda x: np.where(x < 700, x, np.exp(x * 1e3)), 1.0, 1.0),
    "log1p(exp(x)) far out": (lambda x: np.logaddexp(0.0, x), 1000.0, 1.0),
    "sum of nothing": (lambda x: np.sum(x[:0]), np.ones(2), np.zeros(2)),
    "clip at its end": (lambda x: np.clip(x, 0.0, 1.0), 1.0, 0.5),
    "NaN stays": (lambda x: x * x, NAN, NAN),
    "NaN elsewhere": (lambda x: x[0] * 2.0 + 0.0 * x[1], np.array([1.0, NAN]), np.array([2.0, 0.0])),
    "a difference of equals": (lambda x: (x - x) / 1.0, 2.0, 0.0),
    "arctan2 at the origin": (lambda x: np.arctan2(x, 0.0), 0.0, 0.0),
}


@pytest.mark.parametrize("name", AT_ODD_POINTS)
def test_derivative_in_every_mode(name):
    function, x, expected = AT_ODD_POINTS[name]
    total = lambda x: np.sum(function(x))  # noqa: E731
    np.testing.assert_array_equal(fg.grad(total)(x), expected)
    np.testing.assert_array_equal(fg.jacobian(total)(x), expected)
    np.testing.assert_array_equal(fg.vjp(total, x)[1](1.0)[0], expected)
    for k in range(np.size(x)):
        direction = np.zeros(np.size(x))
        direction[k] = 1.0
        tangent = fg.jvp(total, (x,), (direction.reshape(np.shape(x))[()],))[1]
        np.testing.assert_array_equal(tangent, np.ravel(expected)[k])
    # inside another recording the adjoint is a tape of its own
    nested = fg.jacobian(lambda s: fg.grad(lambda x: s * total(x))(x))(1.0)
    np.testing.assert_array_equal(nested, expected)
    batch = fg.vmap(fg.grad(total))(np.stack([x] * 3))
    np.testing.assert_array_equal(batch, np.stack([np.asarray(expected)] * 3))


SECOND: dict[str, tuple[Any, Any, Any]] = {
    "where and sqrt": (lambda x: np.where(x > 0, x**1.5, x**2), 0.0, 2.0),
    "cube at 0": (lambda x: x**3, 0.0, 0.0),
    "square at 0": (lambda x: x**2, 0.0, 2.0),
    "power 2.0 at 0": (lambda x: np.power(x, 2.0), 0.0, 2.0),
    "product with a zero": (lambda x: np.prod(x), np.array([0.0, 2.0, 3.0]), [[0, 3, 2], [3, 0, 0], [2, 0, 0]]),
    "product with two zeros": (lambda x: np.prod(x), np.array([0.0, 0.0, 3.0]), [[0, 3, 0], [3, 0, 0], [0, 0, 0]]),
    "abs": (lambda x: abs(x) * x, 0.0, 0.0),
    "of a constant gradient": (lambda x: 3.0 * np.sum(x), np.ones(2), np.zeros((2, 2))),
    "of nothing": (lambda x: 3.0, np.ones(2), np.zeros((2, 2))),
}


@pytest.mark.parametrize("name", SECOND)
def test_second_derivative(name):
    function, x, expected = SECOND[name]
    total = lambda x: np.sum(function(x))  # noqa: E731
    np.testing.assert_array_equal(fg.hessian(total)(x), expected)
    np.testing.assert_array_equal(fg.jacobian(fg.grad(total))(x), expected)


def test_recording_warns_as_numpy_does_and_running_the_tape_does_not():
    gradient = fg.grad(lambda x: np.log(x))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        gradient(0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gradient(0.0) == INF


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
