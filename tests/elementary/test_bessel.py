"""The Bessel functions against mpmath: every region, zeros, special points, lanes, vector code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from fastgrad.elementary import bessel
from tests.elementary.checks import EDGES, check_error, check_scalar_equals_vector, check_vectorises, random_floats
from tests.llvm_harness import evaluate
from tests.ulp import same_bits

POINTS_PER_REGION = 60
INFINITY, NAN = float("inf"), float("nan")
REPOSITORY = Path(__file__).resolve().parents[2]
MODIFIED: dict[str, Callable[[Any], Any]] = {
    "i0": lambda x: mp.besseli(0, x),
    "i1": lambda x: mp.besseli(1, x),
    "i0e": lambda x: mp.besseli(0, x) * mp.exp(-abs(x)),
    "i1e": lambda x: mp.besseli(1, x) * mp.exp(-abs(x)),
}
ORDINARY: dict[str, Callable[[Any], Any]] = {"j0": lambda x: mp.besselj(0, x), "j1": lambda x: mp.besselj(1, x)}
NAMES = [*MODIFIED, *ORDINARY]


def points(largest: float) -> np.ndarray:
    generator = np.random.default_rng(30)
    ranges = ((0, 0.5), (0.5, 2.5), (2.4, 2.6), (2.5, 8), (7.9, 8.1), (8, 12), (12, 100), (100, 700), (-20, 0))
    sizes = np.exp(generator.uniform(np.log(1e-300), 0.0, POINTS_PER_REGION))
    far = np.exp(generator.uniform(np.log(600), np.log(largest), POINTS_PER_REGION))
    return np.concatenate([*(generator.uniform(*ends, POINTS_PER_REGION) for ends in ranges), sizes, far])


@pytest.mark.parametrize("name", MODIFIED)
def test_modified_functions_are_within_four_ulp(name: str) -> None:
    check_error(getattr(bessel, name), MODIFIED[name], 4.0, points(713.0 if len(name) == 2 else 1e300))


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_functions_are_within_a_few_roundings_of_their_amplitude(name: str) -> None:
    x = points(1e12)
    amplitude = np.minimum(1.0, np.sqrt(2 / (np.pi * np.abs(x))))
    with mp.workdps(40):
        exact = [ORDINARY[name](mpf(float(point))) for point in x]
        errors = [float(abs(mpf(float(y)) - e)) for y, e in zip(evaluate(getattr(bessel, name), x), exact, strict=True)]
    assert np.max(errors / amplitude) <= 2.0**-50


def test_j1_near_zero_keeps_its_digits() -> None:
    x = 10.0 ** np.random.default_rng(31).uniform(-300, -1, 100)
    check_error(bessel.j1, ORDINARY["j1"], 2.0, x)


# at 0, -0, inf, -inf, NaN, 714.5, -714.5
SPECIAL_POINTS = (0.0, -0.0, INFINITY, -INFINITY, NAN, 714.5, -714.5)
AT_SPECIAL_POINTS = {
    "i0": (1.0, 1.0, INFINITY, INFINITY, NAN, INFINITY, INFINITY),
    "i1": (0.0, -0.0, INFINITY, -INFINITY, NAN, INFINITY, -INFINITY),
    "i0e": (1.0, 1.0, 0.0, 0.0, NAN, None, None),
    "i1e": (0.0, -0.0, 0.0, -0.0, NAN, None, None),
    "j0": (1.0, 1.0, 0.0, 0.0, NAN, None, None),
    "j1": (0.0, -0.0, 0.0, -0.0, NAN, None, None),
}


@pytest.mark.parametrize("name", NAMES)
def test_special_points_are_exact(name: str) -> None:
    pairs = [(x, y) for x, y in zip(SPECIAL_POINTS, AT_SPECIAL_POINTS[name], strict=True) if y is not None]
    at, expected = zip(*pairs, strict=True)
    assert same_bits(evaluate(getattr(bessel, name), at), expected)


@pytest.mark.parametrize("name", NAMES)
def test_symmetry_is_exact(name: str) -> None:
    x = np.concatenate([points(1e300), random_floats(1000)])
    opposite = evaluate(getattr(bessel, name), -x)
    assert same_bits(opposite if name[1] == "0" else -opposite, evaluate(getattr(bessel, name), x))


@pytest.mark.parametrize("name", NAMES)
def test_one_lane_gives_the_bits_of_eight(name: str) -> None:
    check_scalar_equals_vector(getattr(bessel, name), np.concatenate([points(1e300), EDGES, random_floats(1000)]))


@pytest.mark.parametrize("name", MODIFIED)
def test_eight_lanes_are_vector_code_without_calls(name: str) -> None:
    check_vectorises(getattr(bessel, name), 1)


def test_the_coefficients_are_those_of_the_script() -> None:
    command = [sys.executable, "scripts/bessel_coefficients.py", "--check"]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == 0
