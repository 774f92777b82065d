"""What does a gradient through linear algebra cost beside NumPy's own time for the same factorizations?

The bar is 3 us on top of the calls of NumPy that a gradient written by hand would make.
"""

import numpy as np
import pytest

import fastgrad as fg

SIZES = [3, 10, 100]
ALLOWED = 3e-6


def matrix(n):
    return np.random.default_rng(0).standard_normal((n, n)) + n * np.eye(n)


def definite(n):
    return matrix(n) @ matrix(n).T


def solve_by_hand(a, b):
    x = np.linalg.solve(a, b)
    adjoint = np.linalg.solve(a.T, 2.0 * x)
    return np.dot(x, x), -np.outer(adjoint, x), adjoint


@pytest.fixture
def against_numpy(compare):
    """``against_numpy(work, ours, by_hand)``: the bar is a ratio, worked out from NumPy's own time."""
    from comparison import fastest

    def run(work, ours, by_hand):
        own_time = fastest({"NumPy": by_hand}, 0.2)["NumPy"]
        compare(work, ours, {"NumPy by hand": by_hand}, bar=round(1 + ALLOWED / own_time, 2), seconds=0.5)

    return run


@pytest.mark.parametrize("n", SIZES)
def test_solve(against_numpy, n):
    a, b = matrix(n), np.arange(1.0, n + 1)
    ours = fg.value_and_grad(lambda a, b: np.sum(np.linalg.solve(a, b) ** 2), argnums=(0, 1)).prepare(a, b)
    against_numpy(f"np.linalg.solve, n={n}: value and gradient", lambda: ours(a, b), lambda: solve_by_hand(a, b))
    value, (of_a, of_b) = ours(a, b)
    for found, expected in zip((value, of_a, of_b), solve_by_hand(a, b), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("n", SIZES)
def test_inv(against_numpy, n):
    a = matrix(n)

    weights = np.random.default_rng(1).standard_normal((n, n))

    def by_hand(a):
        inverse = np.linalg.inv(a)
        return -inverse.T @ weights @ inverse.T

    ours = fg.grad(lambda a: np.sum(np.linalg.inv(a) * weights)).prepare(a)
    against_numpy(f"np.linalg.inv, n={n}: gradient", lambda: ours(a), lambda: by_hand(a))
    np.testing.assert_allclose(ours(a), by_hand(a), rtol=1e-10)


@pytest.mark.parametrize("n", SIZES)
def test_log_determinant(against_numpy, n):
    a = matrix(n)

    def by_hand(a):
        return np.linalg.slogdet(a)[1], np.linalg.inv(a).T

    ours = fg.value_and_grad(lambda a: np.linalg.slogdet(a)[1]).prepare(a)
    against_numpy(f"np.linalg.slogdet, n={n}: value and gradient", lambda: ours(a), lambda: by_hand(a))
    np.testing.assert_allclose(ours(a)[1], by_hand(a)[1], rtol=1e-10)


@pytest.mark.parametrize("n", SIZES)
def test_eigenvalues(against_numpy, n):
    a = definite(n)

    def by_hand(a):
        w, v = np.linalg.eigh(a)
        s = (v * (2.0 * w)) @ v.T
        # as NumPy reads the lower triangle only
        gradient = np.tril(s) + np.tril(s, -1)
        return np.dot(w, w), gradient

    ours = fg.value_and_grad(lambda a: np.sum(np.linalg.eigh(a)[0] ** 2)).prepare(a)
    against_numpy(f"np.linalg.eigh, n={n}: value and gradient", lambda: ours(a), lambda: by_hand(a))
    np.testing.assert_allclose(ours(a)[1], by_hand(a)[1], rtol=1e-9, atol=1e-9 * n**3)
