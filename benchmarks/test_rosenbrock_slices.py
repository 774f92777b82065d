"""Does it pay where the gradient written by hand in NumPy is only a few array operations?"""

import numpy as np
import pytest
from models import rosenbrock

import fastgrad as fg

BARS = {10: 0.3, 1_000: 0.7, 100_000: 0.5}


def gradient_by_hand(x):
    bend = x[1:] - x[:-1] ** 2
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * x[:-1] * bend - 2 * (1 - x[:-1])
    gradient[1:] += 200 * bend
    return gradient


def value_and_gradient_by_hand(x):
    left = x[:-1]
    bend, rest = x[1:] - left**2, 1 - left
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * left * bend - 2 * rest
    gradient[1:] += 200 * bend
    return 100 * np.dot(bend, bend) + np.dot(rest, rest), gradient


# a loop in C, which computes each bend twice so that it needs no carry
LOOP_BARS = {10: 3.0, 1_000: 1.5, 1_000_000: 1.2}
LOOP_FLOPS, LOOP_TRAFFIC = 11, 16


def point(n):
    return np.random.default_rng(0).uniform(-2, 2, n)


@pytest.mark.parametrize("n", BARS)
def test_gradient(compare, n):
    x = point(n)
    ours = fg.grad(rosenbrock)
    by_hand = {"NumPy": lambda: gradient_by_hand(x)}
    compare(f"Rosenbrock with slices, n={n:,}: gradient", lambda: ours(x), by_hand, bar=BARS[n])
    np.testing.assert_allclose(ours(x), gradient_by_hand(x), rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("n", BARS)
def test_value_and_gradient(compare, n):
    x = point(n)
    ours = fg.value_and_grad(rosenbrock)
    by_hand = {"NumPy": lambda: value_and_gradient_by_hand(x)}
    compare(f"Rosenbrock with slices, n={n:,}: value and gradient", lambda: ours(x), by_hand)
    value, gradient = value_and_gradient_by_hand(x)
    np.testing.assert_allclose(ours(x)[0], value, rtol=1e-12)
    np.testing.assert_allclose(ours(x)[1], gradient, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("n", LOOP_BARS)
def test_gradient_against_a_loop_in_c(compare, by_hand, n):
    x, out, expected = point(n), np.zeros(n), np.zeros(n)
    ours = fg.grad(rosenbrock).prepare(x).bind(x, out)
    loop = by_hand.bound("rosenbrock", x, expected, n)
    compare(
        f"Rosenbrock with slices, n={n:,}: gradient, arrays bound once",
        ours,
        {"loop in C": loop},
        bar=LOOP_BARS[n],
        flops=LOOP_FLOPS * n,
        traffic=LOOP_TRAFFIC * n,
    )
    np.testing.assert_allclose(out, gradient_by_hand(x), rtol=1e-12, atol=1e-10)
    if loop:
        np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-10)
