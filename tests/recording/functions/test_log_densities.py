"""Log-densities written in plain formulas, as in a statistician's program: derivatives by every parameter of mpmath's.

Each is written once, with NumPy and ``scipy.special``, and once in mpmath.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy.special import betaln, expit, gammaln, kv, log_ndtr, logsumexp, ndtri, xlog1py, xlogy

import fastgrad as fg

Function = Callable[..., Any]


def normal(x: Any, mean: Any, scale: Any) -> Any:
    z = (x - mean) / scale
    return -0.5 * z**2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


def gamma(x: Any, shape: Any, rate: Any) -> Any:
    return xlogy(shape, rate) + xlogy(shape - 1, x) - rate * x - gammaln(shape)


def beta(x: Any, a: Any, b: Any) -> Any:
    return xlogy(a - 1, x) + xlog1py(b - 1, -x) - betaln(a, b)


def student(x: Any, df: Any, scale: Any) -> Any:
    constant = gammaln((df + 1) / 2) - gammaln(df / 2) - 0.5 * np.log(np.pi * df) - np.log(scale)
    return constant - (df + 1) / 2 * np.log1p((x / scale) ** 2 / df)


def binomial(k: Any, n: Any, p: Any) -> Any:
    return -betaln(1 + n - k, 1 + k) - np.log(n + 1) + xlogy(k, p) + xlog1py(n - k, -p)


def poisson(k: Any, mean: Any) -> Any:
    return xlogy(k, mean) - gammaln(k + 1) - mean


def negative_binomial(k: Any, r: Any, p: Any) -> Any:
    return gammaln(k + r) - gammaln(k + 1) - gammaln(r) + r * np.log(p) + xlog1py(k, -p)


def weibull(x: Any, shape: Any, scale: Any) -> Any:
    return np.log(shape / scale) + xlogy(shape - 1, x / scale) - (x / scale) ** shape


def skew_normal(x: Any, skew: Any) -> Any:
    return np.log(2) + normal(x, 0.0, 1.0) + log_ndtr(skew * x)


def generalized_inverse_gaussian(x: Any, a: Any, b: Any) -> Any:
    return 0.35 * np.log(a / b) - np.log(2 * kv(0.7, np.sqrt(a * b))) - 0.3 * np.log(x) - (a * x + b / x) / 2


def logistic(x: Any, mean: Any, scale: Any) -> Any:
    p = expit((x - mean) / scale)
    return np.log(p) + np.log1p(-p) - np.log(scale)


def mixture(x: Any, weight: Any, distance: Any) -> Any:
    parts = np.stack([np.log(weight) + normal(x, 0.0, 1.0), np.log1p(-weight) + normal(x, distance, 2.0)])
    return logsumexp(parts, axis=0)


def gaussian_copula(u: Any, v: Any, correlation: Any) -> Any:
    x, y = ndtri(u), ndtri(v)
    rest = 1 - correlation**2
    return -0.5 * np.log(rest) - (correlation**2 * (x * x + y * y) - 2 * correlation * x * y) / (2 * rest)


def exact_normal(x: Any, mean: Any, scale: Any) -> Any:
    return mp.log(mp.npdf(x, mean, scale))


def exact_ndtri(p: Any) -> Any:
    return -mp.sqrt(2) * mp.erfinv(1 - 2 * p)


def exact_copula(u: Any, v: Any, r: Any) -> Any:
    x, y = exact_ndtri(u), exact_ndtri(v)
    return -mp.log(1 - r * r) / 2 - (r * r * (x * x + y * y) - 2 * r * x * y) / (2 * (1 - r * r))


DENSITIES: list[tuple[Function, Function, list[tuple[float, ...]]]] = [
    (normal, exact_normal, [(0.3, -1.2, 0.7), (30.0, 0.0, 2.0)]),
    (
        gamma,
        lambda x, a, b: mp.log(b**a * x ** (a - 1) * mp.exp(-b * x) / mp.gamma(a)),
        [(0.3, 2.5, 1.2), (14.0, 0.4, 3.0)],
    ),
    (
        beta,
        lambda x, a, b: mp.log(x ** (a - 1) * (1 - x) ** (b - 1) / mp.beta(a, b)),
        [(0.3, 2.5, 1.2), (0.99, 0.4, 8.0)],
    ),
    (
        student,
        lambda x, n, s: (
            mp.log(mp.gamma((n + 1) / 2) / (s * mp.sqrt(mp.pi * n) * mp.gamma(n / 2)))
            - (n + 1) / 2 * mp.log(1 + (x / s) ** 2 / n)
        ),
        [(0.3, 2.5, 1.2), (40.0, 7.0, 0.5)],
    ),
    (
        binomial,
        lambda k, n, p: mp.log(mp.binomial(n, k) * p**k * (1 - p) ** (n - k)),
        [(3.0, 10.0, 0.2), (0.5, 4.0, 0.9)],
    ),
    (poisson, lambda k, m: mp.log(m**k * mp.exp(-m) / mp.gamma(k + 1)), [(3.0, 2.5), (40.0, 60.0)]),
    (
        negative_binomial,
        lambda k, r, p: mp.log(mp.gamma(k + r) / mp.gamma(k + 1) / mp.gamma(r) * p**r * (1 - p) ** k),
        [(3.0, 1.5, 0.3)],
    ),
    (
        weibull,
        lambda x, c, s: mp.log(c / s * (x / s) ** (c - 1) * mp.exp(-((x / s) ** c))),
        [(0.7, 1.8, 1.1), (2.0, 0.6, 3.0)],
    ),
    (skew_normal, lambda x, a: mp.log(2 * mp.npdf(x) * mp.ncdf(a * x)), [(0.4, 2.0), (-3.0, 5.0)]),
    (
        generalized_inverse_gaussian,
        lambda x, a, b: mp.log(
            (a / b) ** mpf(0.35)
            / (2 * mp.besselk(mpf(0.7), mp.sqrt(a * b)))
            * x ** mpf(-0.3)
            * mp.exp(-(a * x + b / x) / 2)
        ),
        [(0.4, 2.0, 1.5)],
    ),
    (
        logistic,
        lambda x, m, s: mp.log(mp.exp((x - m) / s) / (s * (1 + mp.exp((x - m) / s)) ** 2)),
        [(0.4, 2.0, 0.7), (6.0, 2.0, 0.7)],
    ),
    (
        mixture,
        lambda x, w, d: mp.log(w * mp.npdf(x) + (1 - w) * mp.npdf(x, d, 2)),
        [(0.4, 0.3, 2.0), (-6.0, 0.9, 5.0)],
    ),
    (gaussian_copula, exact_copula, [(0.3, 0.9, 0.5), (0.01, 0.5, -0.8)]),
]


@pytest.mark.parametrize(("density", "exact", "points"), DENSITIES, ids=[case[0].__name__ for case in DENSITIES])
def test_gradients_and_hessians_of_log_densities_are_those_of_mpmath(
    density: Function, exact: Function, points: list[tuple[float, ...]]
) -> None:
    n = len(points[0])
    argnums = tuple(range(n))
    for point in points:
        with mp.workdps(40):
            numbers = tuple(map(mpf, point))
            value = float(mp.re(exact(*numbers)))
            slopes = [mp.diff(exact, numbers, tuple(int(k == i) for k in range(n))) for i in range(n)]
            curvatures = [
                mp.diff(exact, numbers, tuple(int(k == i) + int(k == j) for k in range(n)))
                for i, j in itertools.product(range(n), repeat=2)
            ]
        computed, gradient = fg.value_and_grad(density, argnums=argnums)(*point)
        hessian = fg.hessian(density, argnums=argnums)(*point)
        np.testing.assert_allclose(computed, value, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(gradient, [float(mp.re(x)) for x in slopes], rtol=1e-12, atol=1e-13)
        exact_hessian = np.reshape([float(mp.re(x)) for x in curvatures], (n, n))
        np.testing.assert_allclose(np.array(hessian, float), exact_hessian, rtol=1e-11, atol=1e-12)


def test_an_outcome_that_cannot_happen_leaves_finite_gradients_of_the_others() -> None:
    counts, probabilities = np.array([0.0, 3.0, 2.0]), np.array([0.0, 0.6, 0.4])
    gradient = fg.grad(lambda p: np.sum(xlogy(counts, p)))(probabilities)
    np.testing.assert_allclose(gradient, [0.0, 5.0, 5.0], rtol=1e-15)


def test_a_likelihood_over_many_observations_is_the_sum_of_theirs() -> None:
    x = np.random.default_rng(0).gamma(2.0, size=500)
    total = fg.grad(lambda a, b: np.sum(gamma(x, a, b)), argnums=(0, 1))(2.0, 1.0)
    single = fg.vmap(fg.grad(gamma, argnums=(1, 2)), in_axes=(0, None, None))(x, 2.0, 1.0)
    np.testing.assert_allclose(total, np.sum(single, axis=1), rtol=1e-12)


def test_distributions_of_scipy_take_recorded_numbers() -> None:
    stats = pytest.importorskip("scipy.stats")
    for call, *args in (
        (lambda s: stats.norm.logpdf(1.0, 0.0, s), 2.0),
        (stats.norm.logpdf, 1.2, 0.3, 2.0),
        (stats.norm.cdf, 1.2, 0.3, 2.0),
        (lambda m, s: stats.norm(m, s).logpdf(1.0), 0.3, 2.0),
        (lambda p, s: stats.norm.ppf(p, 0.0, s), 0.3, 2.0),
        (lambda x, s: stats.t.logpdf(x, 5.0, 0.0, s), 0.3, 2.0),
        (lambda x, a: stats.gamma.logpdf(x, a), 0.7, 1.5),
        (lambda a, b: stats.beta.logpdf(0.3, a, b), 0.7, 1.5),
        (stats.expon.logpdf, 0.7, 0.1, 1.5),
        (lambda mu: stats.poisson.logpmf(3, mu), 1.5),
    ):
        fg.check_grads(call, tuple(args))
    # the branch outside of the support is found later
    density = fg.value_and_grad(lambda x: stats.expon.pdf(x, 0.0, 2.0))
    assert density(1.0) == pytest.approx((0.5 * np.exp(-0.5), -0.25 * np.exp(-0.5)), rel=1e-14)
    assert density(-1.0) == (0.0, 0.0)
