"""What does a gradient through linear algebra cost beside NumPy's own time for the same factorizations?

Shown is the time added to the calls of NumPy that a gradient written by hand makes, with as many factorizations as
fastgrad's; 0 where fastgrad is faster. The bar is 3 us.
"""

import numpy as np
import pytest
from comparison import Row, fastest

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
def time_added(report):
    """``time_added(work, ours, by_hand)`` reports what fastgrad adds to the time of NumPy."""

    def time_added(work, ours, by_hand):
        times = fastest({"fastgrad": ours, "NumPy by hand": by_hand}, 0.5)
        added = max(times["fastgrad"] - times["NumPy by hand"], 0.0)
        report(Row(f"{work}: time added", added, others=times, bar=ALLOWED, judged_alone=True), ours)

    return time_added


@pytest.mark.parametrize("n", SIZES)
def test_solve(time_added, n):
    a, b = matrix(n), np.arange(1.0, n + 1)
    ours = fg.value_and_grad(lambda a, b: np.sum(np.linalg.solve(a, b) ** 2), argnums=(0, 1)).prepare(a, b)
    time_added(f"np.linalg.solve, n={n}: value and gradient", lambda: ours(a, b), lambda: solve_by_hand(a, b))
    value, (of_a, of_b) = ours(a, b)
    for found, expected in zip((value, of_a, of_b), solve_by_hand(a, b), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("n", SIZES)
def test_inv(time_added, n):
    a = matrix(n)

    weights = np.random.default_rng(1).standard_normal((n, n))

    def by_hand(a):
        inverse = np.linalg.inv(a)
        return -inverse.T @ weights @ inverse.T

    ours = fg.grad(lambda a: np.sum(np.linalg.inv(a) * weights)).prepare(a)
    time_added(f"np.linalg.inv, n={n}: gradient", lambda: ours(a), lambda: by_hand(a))
    np.testing.assert_allclose(ours(a), by_hand(a), rtol=1e-10)


@pytest.mark.parametrize("n", SIZES)
def test_log_determinant(time_added, n):
    a = matrix(n)

    def by_hand(a):
        return np.linalg.slogdet(a)[1], np.linalg.inv(a).T

    ours = fg.value_and_grad(lambda a: np.linalg.slogdet(a)[1]).prepare(a)
    time_added(f"np.linalg.slogdet, n={n}: value and gradient", lambda: ours(a), lambda: by_hand(a))
    np.testing.assert_allclose(ours(a)[1], by_hand(a)[1], rtol=1e-10)


def triangle(n, lower, diagonal):
    return lower * np.tril(np.ones((n, n)), -1) + diagonal * np.eye(n)


@pytest.mark.parametrize("n", SIZES)
def test_determinant(time_added, n):
    a = matrix(n) / n

    def by_hand(a):
        determinant = np.linalg.det(a)
        return determinant, determinant * np.linalg.inv(a).T

    ours = fg.value_and_grad(lambda a: np.linalg.det(a)).prepare(a)
    time_added(f"np.linalg.det, n={n}: value and gradient", lambda: ours(a), lambda: by_hand(a))
    np.testing.assert_allclose(ours(a)[1], by_hand(a)[1], rtol=1e-10)


@pytest.mark.parametrize("n", SIZES)
def test_eigenvalues(time_added, n):
    # as NumPy reads the lower triangle only
    a, weights = definite(n), triangle(n, 2.0, 1.0)

    def by_hand(a):
        w, v = np.linalg.eigh(a)
        return np.dot(w, w), (v * (2.0 * w)) @ v.T * weights

    ours = fg.value_and_grad(lambda a: np.sum(np.linalg.eigh(a)[0] ** 2)).prepare(a)
    time_added(f"np.linalg.eigh, n={n}: value and gradient of eigenvalues", lambda: ours(a), lambda: by_hand(a))
    np.testing.assert_allclose(ours(a)[1], by_hand(a)[1], rtol=1e-9, atol=1e-9 * n**3)


@pytest.mark.parametrize("n", SIZES)
def test_singular_values(time_added, n):
    a = matrix(n)

    def by_hand(a):
        u, s, vt = np.linalg.svd(a)
        return np.dot(s, s), (u * (2.0 * s)) @ vt

    ours = fg.value_and_grad(lambda a: np.sum(np.linalg.svd(a)[1] ** 2)).prepare(a)
    time_added(f"np.linalg.svd, n={n}: value and gradient of singular values", lambda: ours(a), lambda: by_hand(a))
    np.testing.assert_allclose(ours(a)[1], by_hand(a)[1], rtol=1e-9, atol=1e-9 * n**2)


@pytest.mark.parametrize("n", SIZES)
def test_cholesky(time_added, n):
    a, half = definite(n), triangle(n, 1.0, 0.5)

    def by_hand(a):
        factor = np.linalg.cholesky(a)
        inverse = np.linalg.inv(factor)
        found = inverse.T @ (factor.T @ (2.0 * factor) * half) @ inverse
        return np.sum(factor * factor), (found + found.T) * half

    ours = fg.value_and_grad(lambda a: np.sum(np.linalg.cholesky(a) ** 2)).prepare(a)
    time_added(f"np.linalg.cholesky, n={n}: value and gradient", lambda: ours(a), lambda: by_hand(a))
    np.testing.assert_allclose(ours(a)[1], by_hand(a)[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", SIZES)
def test_triangular_factor(time_added, n):
    a, lower, strictly_lower = matrix(n), triangle(n, 1.0, 1.0), triangle(n, 1.0, 0.0)

    def by_hand(a):
        q, r = np.linalg.qr(a)
        middle = r @ (2.0 * r).T
        middle = middle * lower + (middle * strictly_lower).T
        return np.sum(r * r), q @ middle @ np.linalg.inv(r).T

    ours = fg.value_and_grad(lambda a: np.sum(np.linalg.qr(a)[1] ** 2)).prepare(a)
    time_added(f"np.linalg.qr, n={n}: value and gradient of r", lambda: ours(a), lambda: by_hand(a))
    np.testing.assert_allclose(ours(a)[1], by_hand(a)[1], rtol=1e-9, atol=1e-9 * n**2)
