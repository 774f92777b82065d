"""The error functions and the normal distribution against mpmath: every region, special points, lanes, vector code."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llvmlite import binding
from mpmath import mp, mpf

from fastgrad.elementary import special
from tests.llvm_harness import assembly, evaluate
from tests.ulp import DIGITS, same_bits, ulp_errors

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
}

# at 0, -0, inf, -inf, NaN, the smallest number, 1e308, -1e308
SPECIAL_POINTS = (0.0, -0.0, INFINITY, -INFINITY, NAN, 5e-324, 1e308, -1e308)
AT_SPECIAL_POINTS = {
    "erf": (0.0, -0.0, 1.0, -1.0, NAN, 5e-324, 1.0, -1.0),
    "erfc": (1.0, 1.0, 0.0, 2.0, NAN, 1.0, 0.0, 2.0),
    "ndtr": (0.5, 0.5, 1.0, 0.0, NAN, 0.5, 1.0, 0.0),
    "log_ndtr": (-np.log(2), -np.log(2), 0.0, -INFINITY, NAN, -np.log(2), 0.0, -INFINITY),
}


def points_of(name: str) -> np.ndarray:
    generator = np.random.default_rng(20)
    return np.concatenate([draw(generator, POINTS_PER_REGION) for draw in CASES[name][3]])


@pytest.mark.parametrize("name", CASES)
def test_every_region_is_within_the_stated_error(name: str) -> None:
    function, exact, accepted, _ = CASES[name]
    points = points_of(name)
    with mp.workdps(DIGITS):
        errors = ulp_errors(evaluate(function, points), [exact(mpf(float(x))) for x in points])
    worst = int(np.argmax(errors))
    assert errors[worst] <= accepted, f"{errors[worst]:.2f} ULP at {points[worst]!r}"


@pytest.mark.parametrize("name", CASES)
def test_special_points_are_exact(name: str) -> None:
    assert same_bits(evaluate(CASES[name][0], SPECIAL_POINTS) + 0.0, np.array(AT_SPECIAL_POINTS[name]) + 0.0)


def test_erf_keeps_the_sign_of_zero() -> None:
    assert same_bits(evaluate(special.erf, [0.0, -0.0]), [0.0, -0.0])


def test_log_ndtr_far_out_is_minus_half_the_square() -> None:
    assert same_bits(evaluate(special.log_ndtr, [-1e150, -1e155]), [-0.5 * 1e150 * 1e150, -INFINITY])


@pytest.mark.parametrize("name", CASES)
def test_one_lane_gives_the_bits_of_eight(name: str) -> None:
    function = CASES[name][0]
    points = np.concatenate([points_of(name), SPECIAL_POINTS])
    assert same_bits(evaluate(function, points, width=1), evaluate(function, points, width=8))


@pytest.mark.skipif(not binding.get_host_cpu_features().get("avx", False), reason="the host has no AVX")
@pytest.mark.parametrize("name", CASES)
def test_eight_lanes_are_vector_code_without_calls(name: str) -> None:
    code = assembly(CASES[name][0], 1, 8)
    assert re.search(r"v\w+pd .*[yz]mm", code.replace("\t", " "))
    if binding.get_host_cpu_features().get("fma", False):
        assert not re.search(r"\bcall", code)


def test_the_coefficients_are_those_of_the_script() -> None:
    command = [sys.executable, "scripts/special_coefficients.py", "--check"]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == 0
