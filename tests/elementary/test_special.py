"""The error functions and the normal distribution against mpmath: every region, special points, lanes, vector code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from fastgrad.elementary import special
from tests.elementary.checks import check_error, check_scalar_equals_vector, check_vectorises, random_floats
from tests.llvm_harness import evaluate
from tests.ulp import same_bits

POINTS_PER_REGION = 150
INFINITY, NAN = float("inf"), float("nan")
REPOSITORY = Path(__file__).resolve().parents[2]


def exact_ndtr(x: Any) -> Any:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def exact_log_ndtr(x: Any) -> Any:
    if x > 0:
        return mp.log1p(-exact_ndtr(-x))
    if x > -100:
        return mp.log(exact_ndtr(x))
    term = total = mpf(1)
    for n in range(1, 25):
        term *= -(2 * n - 1) / (x * x)
        total += term
    return -x * x / 2 - mp.log(-x * mp.sqrt(2 * mp.pi)) + mp.log(total)


def exact_inverse_mills_ratio(x: Any) -> Any:
    if x > -100:
        return mp.npdf(x) / exact_ndtr(x)
    return mp.exp(-x * x / 2 - exact_log_ndtr(x)) / mp.sqrt(2 * mp.pi) if x > -1e6 else -x - 1 / x


def exact_erfcx(x: Any) -> Any:
    if x < 100:
        return mp.exp(x * x) * mp.erfc(x)
    term = total = mpf(1)
    for n in range(1, 15):
        term *= -(2 * n - 1) / (2 * x * x)
        total += term
    return total / (x * mp.sqrt(mp.pi))


def exact_erfcinv(y: Any) -> Any:
    """By Newton's method on the logarithm, from what the asymptotic series begins with."""
    if y > 0.1:
        return mp.erfinv(1 - y)
    size = -mp.log(y)
    r = mp.sqrt(size - mp.log(mp.pi * size) / 2)
    for _ in range(12):
        tail = mp.erfc(r)
        r += mp.log(tail / y) * tail * mp.sqrt(mp.pi) / 2 * mp.exp(r * r)
    return r


def exact_erfinv(x: Any) -> Any:
    return mp.erfinv(x) if abs(x) < 0.9 else mp.sign(x) * exact_erfcinv(1 - abs(x))


def exact_ndtri(p: Any) -> Any:
    return mp.sqrt(2) * (-exact_erfcinv(2 * p) if p < 0.5 else exact_erfcinv(2 * (1 - p)))


def below_one(low: float, high: float, sign: float = 1.0) -> Callable[[Any, int], Any]:
    return lambda generator, n: sign * (1 - np.exp(generator.uniform(np.log(low), np.log(high), n)))


def uniform(low: float, high: float) -> Callable[[Any, int], Any]:
    return lambda generator, n: generator.uniform(low, high, n)


def every_size(low: float, high: float, sign: float = 1.0) -> Callable[[Any, int], Any]:
    return lambda generator, n: sign * np.exp(generator.uniform(np.log(low), np.log(high), n))


# function, exact function, accepted error in ULP, regions
CASES = {
    "erf": (
        special.erf,
        mp.erf,
        2.0,
        [uniform(-1, 1), uniform(0.99, 1.01), uniform(1, 1.4), uniform(1.4, 6), uniform(-7, -1), every_size(1e-320, 1)],
    ),
    "erfc": (
        special.erfc,
        mp.erfc,
        2.0,
        [
            *(uniform(*ends) for ends in ((-7, -1), (-1, 0), (0, 0.5), (0.5, 2), (2, 8), (8, 26), (26, 27.3))),
            every_size(1e-320, 1),
            every_size(1e-20, 1, -1.0),
        ],
    ),
    "ndtr": (
        special.ndtr,
        exact_ndtr,
        2.0,
        [
            *(uniform(*ends) for ends in ((-38.6, -37), (-37, -12), (-12, -4), (-4, -1), (-1, 0), (0, 1), (1, 9))),
            every_size(1e-320, 1),
            every_size(1e-20, 1, -1.0),
        ],
    ),
    "log_ndtr": (
        special.log_ndtr,
        exact_log_ndtr,
        4.0,
        [
            *(uniform(*ends) for ends in ((-40, -37), (-37, -12), (-12, -4), (-4, -1), (-1, 0), (0, 1), (1, 9))),
            uniform(9, 38.6),
            every_size(38, 1e5, -1.0),
            every_size(1e5, 1.8e154, -1.0),
            every_size(1e-300, 1),
            every_size(1e-300, 1, -1.0),
        ],
    ),
    "erfcx": (
        special.erfcx,
        exact_erfcx,
        2.0,
        [
            *(uniform(*ends) for ends in ((-26.6, -5), (-5, -1), (-1, 0), (0, 0.5), (0.5, 2), (2, 8), (8, 30))),
            every_size(1e-300, 1),
            every_size(1, 1e12),
            every_size(1e12, 1e307),
        ],
    ),
    "erfinv": (
        special.erfinv,
        exact_erfinv,
        2.0,
        [
            *(uniform(*ends) for ends in ((-1, -0.5), (-0.5, 0), (0, 0.5), (0.49, 0.51), (0.5, 1))),
            every_size(1e-320, 1),
            below_one(1e-16, 0.5),
            below_one(1e-16, 0.5, -1.0),
        ],
    ),
    "ndtri": (
        special.ndtri,
        exact_ndtri,
        2.0,
        [
            *(uniform(*ends) for ends in ((0, 0.25), (0.24, 0.26), (0.25, 0.5), (0.5, 0.75), (0.74, 0.76), (0.75, 1))),
            every_size(5e-324, 1e-260),
            every_size(1e-260, 0.5),
            below_one(1e-16, 0.5),
            lambda generator, n: 0.5 + np.exp(generator.uniform(np.log(1e-16), np.log(0.4), n)),
        ],
    ),
    "slope_of_erf": (
        special.slope_of_erf,
        lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-x * x),
        1.0,
        [uniform(-28, 28), uniform(26, 27.3), every_size(1e-320, 1), every_size(1, 1e300, -1.0)],
    ),
    "normal_density": (
        special.normal_density,
        mp.npdf,
        1.0,
        [uniform(-40, 40), uniform(37, 38.7), every_size(1e-320, 1), every_size(1, 1e300, -1.0)],
    ),
    "inverse_mills_ratio": (
        special.inverse_mills_ratio,
        exact_inverse_mills_ratio,
        4.0,
        [
            *(uniform(*ends) for ends in ((-40, -4), (-4, -1), (-1, 0), (0, 1), (1, 9), (9, 38.6))),
            every_size(38, 1e5, -1.0),
            every_size(1e6, 1e300, -1.0),
        ],
    ),
}

# at 0, -0, inf, -inf, NaN, the smallest number, 1e308, -1e308
SPECIAL_POINTS = (0.0, -0.0, INFINITY, -INFINITY, NAN, 5e-324, 1e308, -1e308)
AT_SPECIAL_POINTS = {
    "erf": (0.0, -0.0, 1.0, -1.0, NAN, 5e-324, 1.0, -1.0),
    "erfc": (1.0, 1.0, 0.0, 2.0, NAN, 1.0, 0.0, 2.0),
    "ndtr": (0.5, 0.5, 1.0, 0.0, NAN, 0.5, 1.0, 0.0),
    "log_ndtr": (-np.log(2), -np.log(2), 0.0, -INFINITY, NAN, -np.log(2), 0.0, -INFINITY),
    "erfcx": (1.0, 1.0, 0.0, INFINITY, NAN, 1.0, 1 / np.sqrt(np.pi) / 1e308, INFINITY),
    "erfinv": (0.0, -0.0, NAN, NAN, NAN, 5e-324, NAN, NAN),
    "ndtri": (-INFINITY, -INFINITY, NAN, NAN, NAN, -38.467405617144344, NAN, NAN),
    "slope_of_erf": (*(2 / np.sqrt(np.pi),) * 2, 0.0, 0.0, NAN, 2 / np.sqrt(np.pi), 0.0, 0.0),
    "normal_density": (*(1 / np.sqrt(2 * np.pi),) * 2, 0.0, 0.0, NAN, 1 / np.sqrt(2 * np.pi), 0.0, 0.0),
    "inverse_mills_ratio": (*(np.sqrt(2 / np.pi),) * 2, 0.0, INFINITY, NAN, np.sqrt(2 / np.pi), 0.0, 1e308),
}


def points_of(name: str) -> np.ndarray:
    generator = np.random.default_rng(20)
    return np.concatenate([draw(generator, POINTS_PER_REGION) for draw in CASES[name][3]])


@pytest.mark.parametrize("name", CASES)
def test_every_region_is_within_the_stated_error(name: str) -> None:
    function, exact, accepted, _ = CASES[name]
    check_error(function, exact, accepted, points_of(name))


@pytest.mark.parametrize("name", CASES)
def test_special_points_are_exact(name: str) -> None:
    assert same_bits(evaluate(CASES[name][0], SPECIAL_POINTS) + 0.0, np.array(AT_SPECIAL_POINTS[name]) + 0.0)


@pytest.mark.parametrize("name", ["erf", "erfinv"])
def test_the_sign_of_zero_is_kept(name: str) -> None:
    assert same_bits(evaluate(CASES[name][0], [0.0, -0.0]), [0.0, -0.0])


def test_inverses_are_infinite_at_the_ends_and_nan_beyond() -> None:
    beyond = 1 + 2.0**-52
    assert same_bits(evaluate(special.erfinv, [1.0, -1.0, beyond, -beyond]), [INFINITY, -INFINITY, NAN, NAN])
    assert same_bits(evaluate(special.ndtri, [1.0, 0.5, -5e-324, beyond]), [INFINITY, 0.0, NAN, NAN])


@pytest.mark.parametrize("name", ["erfinv", "ndtri"])
def test_inverses_are_antisymmetric_to_the_bit(name: str) -> None:
    # multiples of 2**-40, whose complements are exact
    x = np.random.default_rng(21).integers(1, 2**39, 2000) * 2.0**-40
    opposite = -x if name == "erfinv" else 1 - x
    assert same_bits(evaluate(CASES[name][0], opposite), -evaluate(CASES[name][0], x))


def test_log_ndtr_far_out_is_minus_half_the_square() -> None:
    assert same_bits(evaluate(special.log_ndtr, [-1e150, -1e155]), [-0.5 * 1e150 * 1e150, -INFINITY])


@pytest.mark.parametrize("name", CASES)
def test_one_lane_gives_the_bits_of_eight(name: str) -> None:
    check_scalar_equals_vector(CASES[name][0], np.concatenate([points_of(name), SPECIAL_POINTS, random_floats(1000)]))


@pytest.mark.parametrize("name", CASES)
def test_eight_lanes_are_vector_code_without_calls(name: str) -> None:
    check_vectorises(CASES[name][0], 1)


def test_the_coefficients_are_those_of_the_script() -> None:
    command = [sys.executable, "scripts/special_coefficients.py", "--check"]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == 0
