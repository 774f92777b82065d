"""The gamma family against mpmath: both sides of 0, zeros and poles, special points, lanes, vector code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from fastgrad.elementary import gamma
from tests.elementary.checks import check_error, check_scalar_equals_vector, check_vectorises, random_floats
from tests.llvm_harness import evaluate
from tests.ulp import DIGITS, same_bits

POINTS_PER_REGION = 60
INFINITY, NAN = float("inf"), float("nan")
REPOSITORY = Path(__file__).resolve().parents[2]
ZERO_OF_DIGAMMA = 1.4616321449683623


@cache
def series_terms(n: int) -> list[Any]:
    """Coefficients of the asymptotic series of the n-th derivative of digamma, n > 0."""
    with mp.workdps(DIGITS):
        return [mp.bernoulli(2 * k) * mp.factorial(2 * k + n - 1) / mp.factorial(2 * k) for k in range(1, 30)]


def exact_polygamma(n: int) -> Callable[[Any], Any]:
    """The n-th derivative of digamma: reflection, recurrence up to 40 and asymptotic series; mpmath's own is slow."""

    def right(x: Any) -> Any:
        if n == 0:
            return mp.digamma(x)
        total = mpf(0)
        while x < 40:
            total += mp.factorial(n) / x ** (n + 1)
            x += 1
        total += mp.factorial(n - 1) / x**n + mp.factorial(n) / (2 * x ** (n + 1))
        return (-1) ** (n + 1) * (total + sum(c / x ** (2 * k + 2 + n) for k, c in enumerate(series_terms(n))))

    def everywhere(x: Any) -> Any:
        if x > 0:
            return right(x)
        f = mp.pi * (x - mp.nint(x))
        sine, cosine = mp.sin(f) / mp.pi, mp.cos(f)
        power = (cosine / sine, 1 / sine**2, 2 * cosine / sine**3, (2 + 4 * cosine**2) / sine**4)[n]
        return right(1 - x) - power if n % 2 == 0 else power - right(1 - x)

    return everywhere


def exact_gammaln(x: Any) -> Any:
    if x > 0:
        return mp.loggamma(x)
    return mp.log(abs(mp.pi / mp.sin(mp.pi * (x - mp.nint(x))))) - mp.loggamma(1 - x)


EXACT = {
    "gammaln": exact_gammaln,
    "digamma": exact_polygamma(0),
    "trigamma": exact_polygamma(1),
    "tetragamma": exact_polygamma(2),
    "pentagamma": exact_polygamma(3),
}


def every_size(generator: Any, low: float, high: float) -> Any:
    return np.exp(generator.uniform(np.log(low), np.log(high), POINTS_PER_REGION))


def positive_points() -> np.ndarray:
    generator = np.random.default_rng(10)
    ranges = ((0, 0.5), (0.5, 1), (1, 1.5), (1.5, 2.5), (2.5, 4), (4, 20))
    near = every_size(generator, 1e-16, 0.1)
    return np.concatenate(
        [
            *(generator.uniform(*ends, POINTS_PER_REGION) for ends in ranges),
            *(1.0 - near, 1.0 + near, ZERO_OF_DIGAMMA + near, ZERO_OF_DIGAMMA - near, 2.0 - near, 2.0 + near),
            every_size(generator, 20, 1e5),
            every_size(generator, 1e5, 1e75),
            every_size(generator, 1e-75, 1),
        ]
    )


def negative_points() -> np.ndarray:
    generator = np.random.default_rng(11)
    whole = generator.integers(1, 20, POINTS_PER_REGION)
    return -np.concatenate(
        [
            *(generator.uniform(*ends, POINTS_PER_REGION) for ends in ((0, 1), (1, 3), (3, 10), (10, 200))),
            *(every_size(generator, 200, 1e6), every_size(generator, 1e-60, 1)),
            *(whole + every_size(generator, 1e-12, 1e-2), whole - every_size(generator, 1e-12, 1e-2)),
        ]
    )


def points_of_gamma() -> np.ndarray:
    generator = np.random.default_rng(13)
    whole = generator.integers(1, 170, POINTS_PER_REGION)
    ranges = ((0, 1), (1, 3), (3, 30), (30, 171.6), (-10, 0), (-170, -10), (-183, -170))
    return np.concatenate(
        [
            *(generator.uniform(*ends, POINTS_PER_REGION) for ends in ranges),
            *(every_size(generator, 1e-308, 1), -every_size(generator, 1e-308, 1)),
            *(every_size(generator, 1e-12, 0.1) - whole, -every_size(generator, 1e-12, 0.1) - whole),
        ]
    )


def test_gamma_is_within_three_ulp_on_both_sides_of_zero() -> None:
    check_error(gamma.gamma, mp.gamma, 3.0, points_of_gamma())


def test_gamma_is_exact_at_factorials_up_to_a_rounding() -> None:
    check_error(gamma.gamma, mp.gamma, 1.0, np.arange(1.0, 171.0))


def test_gamma_at_poles_and_beyond_its_range_is_that_of_scipy() -> None:
    points = [0.0, -0.0, 5e-324, -5e-324, -1.0, -2.0, -1e300, INFINITY, -INFINITY, NAN, 171.7, 1e308, -184.5, -185.5]
    expected = [INFINITY, -INFINITY, INFINITY, -INFINITY, NAN, NAN, NAN, INFINITY, NAN, NAN]
    assert same_bits(evaluate(gamma.gamma, points), [*expected, INFINITY, INFINITY, -0.0, 0.0])


def test_one_lane_of_gamma_gives_the_bits_of_eight_in_vector_code() -> None:
    check_scalar_equals_vector(gamma.gamma, np.concatenate([points_of_gamma(), SPECIAL_POINTS, random_floats(1000)]))
    check_vectorises(gamma.gamma, 1)


@pytest.mark.parametrize("name", EXACT)
def test_positive_arguments_are_within_four_ulp_zeros_included(name: str) -> None:
    check_error(getattr(gamma, name), EXACT[name], 4.0, positive_points())


@pytest.mark.parametrize("name", EXACT)
def test_negative_arguments_are_within_a_few_roundings_of_the_terms_that_cancel(name: str) -> None:
    points = negative_points()
    computed = evaluate(getattr(gamma, name), points)
    with mp.workdps(DIGITS):
        for x, value in zip(points, computed, strict=True):
            exact = EXACT[name](mpf(float(x)))
            scale = max(abs(exact), 1, abs(EXACT[name](1 - mpf(float(x)))))
            assert abs(mpf(float(value)) - exact) <= 2e-15 * scale, x


@pytest.mark.parametrize(("name", "low", "high"), [("trigamma", -155, -75), ("tetragamma", -103, -60)])
def test_poles_at_zero_keep_their_digits_up_to_overflow(name: str, low: float, high: float) -> None:
    points = 10.0 ** np.random.default_rng(12).uniform(low, high, 100)
    check_error(getattr(gamma, name), lambda x: 1 / x**2 if name == "trigamma" else -2 / x**3, 4.0, points)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gammaln_of_the_smallest_numbers_is_minus_their_logarithm(sign: float) -> None:
    points = sign * np.array([5e-324, 1e-310, 2.0**-1022, 1e-300, 1e-30])
    check_error(gamma.gammaln, lambda x: -mp.log(abs(x)), 4.0, points)


# at 0, -0, 1, 2, -1, -2, -1e300, inf, -inf, NaN
SPECIAL_POINTS = (0.0, -0.0, 1.0, 2.0, -1.0, -2.0, -1e300, INFINITY, -INFINITY, NAN)
AT_SPECIAL_POINTS = {
    "gammaln": (INFINITY, INFINITY, 0.0, 0.0, INFINITY, INFINITY, INFINITY, INFINITY, -INFINITY, NAN),
    "digamma": (-INFINITY, INFINITY, None, None, NAN, NAN, NAN, INFINITY, NAN, NAN),
    "trigamma": (INFINITY, INFINITY, None, None, INFINITY, INFINITY, INFINITY, 0.0, NAN, NAN),
    "tetragamma": (-INFINITY, -INFINITY, None, None, -INFINITY, -INFINITY, -INFINITY, -0.0, NAN, NAN),
    "pentagamma": (INFINITY, INFINITY, None, None, INFINITY, INFINITY, INFINITY, 0.0, NAN, NAN),
}


@pytest.mark.parametrize("name", EXACT)
def test_poles_and_other_special_points_are_those_of_scipy(name: str) -> None:
    pairs = [(x, y) for x, y in zip(SPECIAL_POINTS, AT_SPECIAL_POINTS[name], strict=True) if y is not None]
    points, expected = zip(*pairs, strict=True)
    assert same_bits(evaluate(getattr(gamma, name), points), expected)


def test_gammaln_overflows_only_where_its_value_does() -> None:
    assert np.isfinite(evaluate(gamma.gammaln, [2.55e305])[0])
    assert same_bits(evaluate(gamma.gammaln, [2.6e305, 1.7e308]), [INFINITY, INFINITY])


@pytest.mark.parametrize("name", EXACT)
def test_one_lane_gives_the_bits_of_eight(name: str) -> None:
    points = np.concatenate([positive_points(), negative_points(), SPECIAL_POINTS, random_floats(1000)])
    check_scalar_equals_vector(getattr(gamma, name), points)


@pytest.mark.parametrize("name", EXACT)
def test_eight_lanes_are_vector_code_without_calls(name: str) -> None:
    check_vectorises(getattr(gamma, name), 1)


def test_the_coefficients_are_those_of_the_script() -> None:
    command = [sys.executable, "scripts/gamma_coefficients.py", "--check"]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == 0
