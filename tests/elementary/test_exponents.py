"""Exponents, mantissas, fractions and neighbours: the bits of NumPy, whatever the operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastgrad.elementary import exponents
from tests.elementary.checks import EDGES, check_scalar_equals_vector, check_vectorises, random_floats
from tests.llvm_harness import evaluate
from tests.ulp import same_bits

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

RANDOM = np.random.default_rng(0)
FLOATS = np.concatenate([EDGES, random_floats(3000), RANDOM.normal(size=1000) * 2.0 ** RANDOM.integers(-9, 60, 1000)])
OF_ONE: dict[str, Callable[..., Any]] = {
    "binary_exponent": lambda x: np.frexp(x)[1].astype(float),
    "binary_mantissa": lambda x: np.frexp(x)[0],
    "fraction": lambda x: np.modf(x)[0],
    "spacing": np.spacing,
}


@pytest.mark.parametrize("name", OF_ONE)
def test_functions_of_one_number_give_the_bits_of_numpy(name):
    computed, expected = evaluate(getattr(exponents, name), FLOATS), OF_ONE[name](FLOATS)
    assert same_bits(computed[~np.isnan(FLOATS)] + 0.0, expected[~np.isnan(FLOATS)] + 0.0)
    if name != "binary_exponent":
        assert np.isnan(computed[np.isnan(FLOATS)]).all()
        finite = ~np.isnan(computed)
        assert (np.signbit(computed[finite]) == np.signbit(expected[finite])).all()


def test_the_neighbour_is_that_of_numpy():
    x, y = (side.ravel() for side in np.meshgrid(EDGES, EDGES))
    x, y = np.concatenate([x, random_floats(2000, 1)]), np.concatenate([y, random_floats(2000, 2)])
    computed, expected = evaluate(exponents.nextafter, x, y), np.nextafter(x, y)
    numbers = ~np.isnan(expected)
    assert same_bits(computed[numbers], expected[numbers])
    assert np.isnan(computed[~numbers]).all()


@pytest.mark.parametrize("low", [-2300, -1100, -60, 900, 2000])
def test_scaling_by_a_power_of_two_rounds_once(low):
    x = np.concatenate([EDGES, random_floats(3000, 3)])
    n = RANDOM.integers(low, low + 300, len(x))
    computed, expected = evaluate(exponents.ldexp, x, n.astype(float)), np.ldexp(x, n)
    numbers = ~np.isnan(expected)
    assert same_bits(computed[numbers], expected[numbers])
    assert np.isnan(computed[~numbers]).all()


def test_halves_at_the_end_of_the_range_round_to_even_as_in_numpy():
    x = np.concatenate([1.0 + np.arange(64) / 64, 1.0 + RANDOM.integers(0, 2**52, 500) * 2.0**-52])
    for n in range(-1080, -1015):
        assert same_bits(evaluate(exponents.ldexp, x, np.full(len(x), float(n))), np.ldexp(x, n))


def test_scaling_by_nan_is_nan():
    assert np.isnan(evaluate(exponents.ldexp, np.array([1.0, np.inf]), np.array([np.nan, np.nan]))).all()


@pytest.mark.parametrize("name", [*OF_ONE, "nextafter", "ldexp"])
def test_one_number_at_a_time_gives_the_bits_of_eight(name):
    operands = (random_floats(800, 4), np.round(RANDOM.normal(size=800) * 500))
    operands = operands[:1] if name in OF_ONE else operands
    check_scalar_equals_vector(getattr(exponents, name), *operands)
    check_vectorises(getattr(exponents, name), len(operands))
