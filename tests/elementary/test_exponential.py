from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from fastgrad.elementary import exponential
from tests.elementary.checks import EDGES, check_error, check_scalar_equals_vector, check_vectorises, random_floats
from tests.llvm_harness import evaluate
from tests.ulp import DIGITS, same_bits

INF, NAN = np.inf, np.nan
LARGEST, SMALLEST = np.finfo(float).max, 5e-324
N_POINTS = 150

Function = Callable[..., Any]


def cube_root(x: Any) -> Any:
    return mp.sign(x) * mp.cbrt(abs(x))


def logarithm(function: Function) -> Function:
    """An mpmath logarithm, NaN instead of a complex number below its domain."""
    return lambda x: function(x) if x > 0 else (-mp.inf if x == 0 else mp.nan)


Pairs = tuple[tuple[float, float], ...]

# function, reference, regions, pairs of an operand and its exact result
CASES: dict[str, tuple[Function, Function, Pairs, Pairs]] = {
    "exp": (
        exponential.exp,
        mp.exp,
        ((-1, 1), (-50, 50), (-708, 709), (-745.2, -708), (709, 710)),
        ((0.0, 1), (-0.0, 1), (-INF, 0), (1e300, INF), (-1e300, 0), (-745.1, SMALLEST), (710, INF)),
    ),
    "exp2": (
        exponential.exp2,
        lambda x: mpf(2) ** x,
        ((-1, 1), (-50, 50), (-1022, 1024), (-1075, -1022)),
        ((0.0, 1), (10, 1024), (1023, 2.0**1023), (1024, INF), (-1074, SMALLEST), (-1075, 0), (-INF, 0)),
    ),
    "expm1": (
        exponential.expm1,
        mp.expm1,
        ((-1e-9, 1e-9), (-1, 1), (0.3, 0.4), (-3, 3), (-45, 709)),
        ((0.0, 0.0), (-0.0, -0.0), (SMALLEST, SMALLEST), (-1e-310, -1e-310), (-INF, -1), (-1e9, -1), (710, INF)),
    ),
    "log": (
        exponential.log,
        logarithm(mp.log),
        ((0.999, 1.001), (0.70, 0.72), (1.40, 1.43), (0.1, 10), (0, 1e-308), (0, 1e300)),
        ((1.0, 0.0), (0.0, -INF), (-0.0, -INF), (-INF, NAN), (-SMALLEST, NAN), (SMALLEST, -744.4400719213812)),
    ),
    "log_of_base": (
        exponential.log_of_base,
        logarithm(mp.log),
        ((0.999, 1.001), (0.70, 0.72), (1.40, 1.43), (0.1, 10), (0, 1e-308), (0, 1e300)),
        ((1.0, 0.0), (0.0, -INF), (-0.0, -INF), (-INF, NAN), (-SMALLEST, NAN), (SMALLEST, -744.4400719213812)),
    ),
    "log2": (
        exponential.log2,
        logarithm(lambda x: mp.log(x) / mp.log(2)),
        ((0.999, 1.001), (0.70, 0.72), (1.40, 1.43), (0.1, 10), (0, 1e-308), (0, 1e300)),
        ((1.0, 0.0), (8, 3), (2.0**-1074, -1074), (2.0**1023, 1023), (0.0, -INF), (-2, NAN)),
    ),
    "log10": (
        exponential.log10,
        logarithm(mp.log10),
        ((0.999, 1.001), (0.70, 0.72), (1.40, 1.43), (0.1, 10), (0, 1e-308), (0, 1e300)),
        ((1.0, 0.0), (0.0, -INF), (-2, NAN), *((10.0**k, float(k)) for k in range(1, 23))),
    ),
    "log1p": (
        exponential.log1p,
        lambda x: mp.log1p(x) if x > -1 else (-mp.inf if x == -1 else mp.nan),
        ((-1e-9, 1e-9), (-0.31, -0.28), (0.40, 0.43), (-1, 1), (-1, -0.999), (0, 1e3), (1e15, 1e16)),
        ((0.0, 0.0), (-0.0, -0.0), (SMALLEST, SMALLEST), (-1, -INF), (-1.5, NAN), (LARGEST, 709.782712893384)),
    ),
    "cbrt": (
        exponential.cbrt,
        cube_root,
        ((-1, 1), (1, 8), (-1e3, 1e3), (0, 1e-308)),
        ((0.0, 0.0), (-0.0, -0.0), (27, 3), (-8, -2), (1e-300, 1e-100), (-INF, -INF), (2.0**-1074, 2.0**-358)),
    ),
}
NAMES = list(CASES)


@pytest.mark.parametrize("name", NAMES)
def test_error_is_within_2_ulp_in_every_region(name: str) -> None:
    function, reference, regions, _ = CASES[name]
    generator = np.random.default_rng(1)
    points = [generator.uniform(*region, N_POINTS) for region in regions]
    check_error(function, reference, 2.0, np.concatenate(points))


@pytest.mark.parametrize("name", ["log", "log_of_base", "log2", "log10", "log1p", "cbrt"])
def test_error_is_within_2_ulp_in_every_binade(name: str) -> None:
    function, reference, *_ = CASES[name]
    x = random_floats(600)
    check_error(function, reference, 2.0, x[np.isfinite(x)])


@pytest.mark.parametrize("name", ["exp", "exp2", "expm1"])
def test_error_is_within_2_ulp_near_the_breakpoints_of_the_reduction(name: str) -> None:
    function, reference, *_ = CASES[name]
    halves = np.arange(-60, 60) + 0.5
    breakpoints = halves if name == "exp2" else halves * np.log(2)
    check_error(function, reference, 2.0, np.concatenate([np.nextafter(breakpoints, way) for way in (-INF, INF)]))


@pytest.mark.parametrize("name", NAMES)
def test_special_points_are_exact(name: str) -> None:
    function, _, _, points = CASES[name]
    operands, expected = zip(*points, (INF, INF), (NAN, NAN), strict=True)
    computed = evaluate(function, operands)
    assert same_bits(computed, expected)


def test_logarithms_are_exact_at_every_power_of_two() -> None:
    k = np.arange(-1074.0, 1024.0)
    assert same_bits(evaluate(exponential.log2, 2.0**k), k)
    assert same_bits(evaluate(exponential.exp2, k), 2.0**k)


def test_cube_root_of_a_cube_is_exact() -> None:
    k = np.arange(-3000.0, 3000.0)
    assert same_bits(evaluate(exponential.cbrt, k**3), k)


@pytest.mark.parametrize(
    ("bases", "results"),
    [((1e-300, 1e300), (-745, 709)), ((0.7, 1.42), (-745, 709)), ((0.999, 1.001), (-745, 709)), ((0.1, 10), (-60, 60))],
)
def test_power_is_within_2_ulp(bases: tuple[float, float], results: tuple[float, float]) -> None:
    generator = np.random.default_rng(2)
    x = np.exp(generator.uniform(*np.log(bases), 400))
    y = generator.uniform(*results, 400) / np.log(x)
    check_error(exponential.power, lambda x, y: x**y, 2.0, x, y)


def test_power_of_a_negative_base_is_within_2_ulp() -> None:
    generator = np.random.default_rng(3)
    x, y = generator.uniform(-50, 0, 400), np.rint(generator.uniform(-40, 40, 400))
    check_error(exponential.power, lambda x, y: x ** int(y), 2.0, x, y)


def test_power_has_the_special_cases_of_numpy() -> None:
    more = np.array([3.0, -3.0, 4.0, -4.0, 2.5, -2.5, 1 / 3, -1 / 3, 2.0**53 - 1, 2.0**53, 1.0 - 2.0**53, 1075.0])
    x, y = (grid.ravel() for grid in np.meshgrid(*[np.concatenate([EDGES, more])] * 2))
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    computed = evaluate(exponential.power, x, y)
    edge = ~np.isfinite(expected) | (expected == 0.0) | (np.abs(x) == 1.0) | (y == 0.0)
    assert same_bits(computed[edge], expected[edge])
    np.testing.assert_allclose(computed[~edge], expected[~edge], rtol=4e-16, atol=SMALLEST)


def test_log_double_carries_68_bits() -> None:
    generator = np.random.default_rng(4)
    x = np.concatenate([generator.uniform(0.7, 1.42, 400), np.exp(generator.uniform(-744, 709, 400)), [0.5, 2.0]])
    high, low = (evaluate(lambda x, i=i: exponential.log_double(x)[i], x) for i in (0, 1))
    with mp.workdps(DIGITS):
        for a, h, part in zip(x, high, low, strict=True):
            exact = mp.log(mpf(float(a)))
            assert abs(mpf(float(h)) + mpf(float(part)) - exact) <= abs(exact) * mpf(2) ** -68


def test_log_double_at_edges_has_low_part_zero() -> None:
    x = np.array([0.0, 1.0, INF, -1.0, NAN])
    high, low = (evaluate(lambda x, i=i: exponential.log_double(x)[i], x) for i in (0, 1))
    np.testing.assert_array_equal(high, [-INF, 0.0, INF, NAN, NAN])
    np.testing.assert_array_equal(low, np.zeros(5))


def test_exp_double_counts_the_low_part() -> None:
    generator = np.random.default_rng(5)
    high = generator.uniform(-745, 709, 400)
    low = high * generator.uniform(-(2.0**-53), 2.0**-53, 400)
    check_error(exponential.exp_double, lambda h, low: mp.exp(h + low), 1.0, high, low)


def test_exp_double_ignores_the_low_part_where_the_high_part_decides() -> None:
    high, low = np.array([INF, -INF, INF, -INF, 1e300, NAN]), np.array([NAN, NAN, -INF, INF, -1e284, 0.0])
    assert same_bits(evaluate(exponential.exp_double, high, low), [INF, 0.0, INF, 0.0, INF, NAN])


@pytest.mark.parametrize("name", NAMES)
def test_scalar_code_and_eight_lanes_give_the_same_bits(name: str) -> None:
    function, _, regions, _ = CASES[name]
    generator = np.random.default_rng(6)
    points = [generator.uniform(*region, 500) for region in regions]
    check_scalar_equals_vector(function, np.concatenate([EDGES, random_floats(2000), *points]))


def test_scalar_power_and_eight_lanes_give_the_same_bits() -> None:
    x, y = np.meshgrid(EDGES, EDGES)
    check_scalar_equals_vector(exponential.power, x.ravel(), y.ravel())
    check_scalar_equals_vector(exponential.power, random_floats(2000, 1), random_floats(2000, 2) % 100)


@pytest.mark.parametrize("name", [*NAMES, "power", "exp_double"])
def test_lanes_are_computed_by_packed_arithmetic_without_a_call(name: str) -> None:
    check_vectorises(getattr(exponential, name), 2 if name in ("power", "exp_double") else 1)
