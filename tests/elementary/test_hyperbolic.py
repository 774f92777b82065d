from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from fastgrad.elementary import hyperbolic
from tests.elementary.checks import EDGES, check_error, check_scalar_equals_vector, check_vectorises, random_floats
from tests.llvm_harness import evaluate
from tests.ulp import DIGITS, same_bits

INF, NAN = np.inf, np.nan
LARGEST, SMALLEST = np.finfo(float).max, 5e-324
LOG_2 = 0.6931471805599453
N_POINTS = 150

Function = Callable[..., Any]
Pairs = tuple[tuple[float, float], ...]
ODD = ((0.0, 0.0), (-0.0, -0.0), (SMALLEST, SMALLEST), (-1e-310, -1e-310), (1e-9, 1e-9))

# function, reference, regions, pairs of an operand and its exact result
CASES: dict[str, tuple[Function, Function, Pairs, Pairs]] = {
    "sinh": (
        hyperbolic.sinh,
        mp.sinh,
        ((-1e-3, 1e-3), (-0.4, 0.4), (0.3, 1.1), (-5, 5), (18, 20), (-710, 710), (709.7, 710.4758)),
        (*ODD, (INF, INF), (-INF, -INF), (711, INF), (-1e300, -INF)),
    ),
    "cosh": (
        hyperbolic.cosh,
        mp.cosh,
        ((-1e-3, 1e-3), (-0.4, 0.4), (0.3, 1.1), (-5, 5), (18, 20), (-710, 710), (709.7, 710.4758)),
        ((0.0, 1), (-0.0, 1), (SMALLEST, 1), (INF, INF), (-INF, INF), (711, INF), (-1e300, INF)),
    ),
    "tanh": (
        hyperbolic.tanh,
        mp.tanh,
        ((-1e-3, 1e-3), (-0.4, 0.4), (0.3, 1.1), (-5, 5), (18, 20), (-30, 30)),
        (*ODD, (INF, 1), (-INF, -1), (1e300, 1), (-40, -1)),
    ),
    "arcsinh": (
        hyperbolic.arcsinh,
        lambda x: mp.sign(x) * mp.log1p(abs(x) + x * x / (1 + mp.sqrt(x * x + 1))),
        ((-1e-3, 1e-3), (-0.1, 0.1), (-1, 1), (-10, 10), (1e7, 1e9), (-1e200, 1e200)),
        (*ODD, (INF, INF), (-INF, -INF), (LARGEST, 710.475860073944)),
    ),
    "arccosh": (
        hyperbolic.arccosh,
        lambda x: mp.acosh(x) if x >= 1 else mp.nan,
        ((1, 1.0001), (1, 1.1), (1, 3), (1, 100), (1e7, 1e9), (1, 1e200)),
        ((1, 0.0), (1 - 2.0**-53, NAN), (0.0, NAN), (-2, NAN), (-5, NAN), (-INF, NAN), (INF, INF)),
    ),
    "arctanh": (
        hyperbolic.arctanh,
        lambda x: mp.sign(x) * mp.log1p(2 * abs(x) / (1 - abs(x))) / 2,
        ((-1e-3, 1e-3), (-0.1, 0.1), (0.16, 0.18), (-1, 1), (0.999, 1)),
        (*ODD, (1, INF), (-1, -INF), (1 + 2.0**-52, NAN), (-2, NAN), (INF, NAN), (-INF, NAN)),
    ),
    "sigmoid": (
        hyperbolic.sigmoid,
        lambda x: 1 / (1 + mp.exp(-x)),
        ((-1, 1), (-5, 5), (-40, 40), (-745, -708), (-708, 700)),
        ((0.0, 0.5), (-0.0, 0.5), (INF, 1), (-INF, 0.0), (40, 1), (-745.1, SMALLEST), (-1e300, 0.0)),
    ),
    "logit": (
        hyperbolic.logit,
        lambda x: mp.log(x) - mp.log1p(-x),
        ((0, 1e-300), (0, 1e-3), (0, 0.5), (0.3, 0.7), (0.499999, 0.500001), (0.5, 1), (0.999, 1)),
        (
            *((0.5, 0.0), (0.0, -INF), (-0.0, -INF), (1, INF), (1 + 2.0**-52, NAN)),
            (-SMALLEST, NAN),
            (INF, NAN),
            (-INF, NAN),
        ),
    ),
    "log_sigmoid": (
        hyperbolic.log_sigmoid,
        lambda x: -mp.log1p(mp.exp(-x)),
        ((-1, 1), (-5, 5), (-40, 40), (708, 745), (-700, 700)),
        ((0.0, -LOG_2), (-0.0, -LOG_2), (INF, -0.0), (-INF, -INF), (-1e300, -1e300), (745.1, -SMALLEST)),
    ),
    "softplus": (
        hyperbolic.softplus,
        lambda x: mp.log1p(mp.exp(x)),
        ((-1, 1), (-5, 5), (-40, 40), (-745, -708), (-700, 700)),
        ((0.0, LOG_2), (-0.0, LOG_2), (INF, INF), (-INF, 0.0), (1e300, 1e300), (-745.1, SMALLEST)),
    ),
}
NAMES = list(CASES)
OF_TWO = ["logaddexp", "hypot", "log_quotient"]


@pytest.mark.parametrize("name", NAMES)
def test_error_is_within_2_ulp_in_every_region(name: str) -> None:
    function, reference, regions, _ = CASES[name]
    generator = np.random.default_rng(1)
    points = [generator.uniform(*region, N_POINTS) for region in regions]
    check_error(function, reference, 2.0, np.concatenate(points))


def test_slope_of_tanh() -> None:
    generator = np.random.default_rng(2)
    ends = (1e-3, 0.4, 1.1, 5, 20, 300, 373)
    points = np.concatenate([generator.uniform(-end, end, N_POINTS) for end in ends])
    check_error(hyperbolic.slope_of_tanh, lambda x: mp.sech(x) ** 2, 4.0, points)
    special = evaluate(hyperbolic.slope_of_tanh, (0.0, -0.0, SMALLEST, INF, -INF, 1e300, -400.0, NAN))
    assert same_bits(special, (1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, NAN))


@pytest.mark.parametrize("name", NAMES)
def test_special_points_are_exact(name: str) -> None:
    function, _, _, points = CASES[name]
    operands, expected = zip(*points, (NAN, NAN), strict=True)
    assert same_bits(evaluate(function, operands), expected)


@pytest.mark.parametrize("name", ["sinh", "tanh", "arcsinh", "arctanh"])
def test_odd_functions_are_odd_to_the_bit(name: str) -> None:
    x = random_floats(2000)
    function = CASES[name][0]
    assert same_bits(evaluate(function, -x), -evaluate(function, x))


def log_of_sum(x: Any, y: Any) -> Any:
    return max(x, y) + mp.log1p(mp.exp(-abs(x - y)))


@pytest.mark.parametrize("size", [0.5, 10.0, 300.0])
def test_logaddexp_is_within_2_ulp_away_from_zero(size: float) -> None:
    generator = np.random.default_rng(2)
    x, y = generator.uniform(-size, size, (2, 500))
    keep = np.abs(np.logaddexp(x, y)) > 0.25
    check_error(hyperbolic.logaddexp, log_of_sum, 2.0, x[keep], y[keep])


def test_logaddexp_is_right_where_the_smaller_operand_decides() -> None:
    y = np.random.default_rng(3).uniform(-700, -30, 400)
    check_error(hyperbolic.logaddexp, log_of_sum, 2.0, np.zeros(400), y)


def test_logaddexp_near_its_zeros_is_within_2_to_the_minus_53() -> None:
    x = np.random.default_rng(4).uniform(-5, -0.01, 400)
    y = np.log(-np.expm1(x))
    computed = evaluate(hyperbolic.logaddexp, x, y)
    with mp.workdps(DIGITS):
        for a, b, result in zip(x, y, computed, strict=True):
            assert abs(mpf(float(result)) - log_of_sum(mpf(float(a)), mpf(float(b)))) < mpf(2) ** -53


def test_logaddexp_at_edges_is_that_of_numpy() -> None:
    x, y = (grid.ravel() for grid in np.meshgrid(EDGES, EDGES))
    with np.errstate(all="ignore"):
        expected = np.logaddexp(x, y)
    computed = evaluate(hyperbolic.logaddexp, x, y)
    assert same_bits(computed[~np.isfinite(expected)], expected[~np.isfinite(expected)])
    np.testing.assert_allclose(computed, expected, rtol=5e-16, atol=2.0**-53)


@pytest.mark.parametrize("size", [1e-300, 1e-3, 0.5, 1.0])
def test_log_quotient_is_within_1_ulp_however_near_the_operands_are(size: float) -> None:
    generator = np.random.default_rng(9)
    x = 10.0 ** generator.uniform(-300, 300, 400)
    y = x * (1 + generator.uniform(-1, 1, 400) * size * 10.0 ** generator.uniform(-13, 0, 400))
    keep = y > 0
    check_error(hyperbolic.log_quotient, lambda x, y: mp.log(x / y), 1.0, x[keep], y[keep])


def test_log_quotient_is_within_1_ulp_where_the_quotient_is_no_float() -> None:
    x, y = 10.0 ** np.random.default_rng(10).uniform(-323, 308, (2, 400))
    check_error(hyperbolic.log_quotient, lambda x, y: mp.log(x / y), 1.0, x, y)


def test_log_quotient_at_edges_is_the_logarithm_of_the_quotient() -> None:
    x = [0.0, 0.0, 1.0, INF, 1.0, INF, -1.0, 1.0, -1.0, NAN, 1.0, 5.0, SMALLEST, -0.0, 1.0]
    y = [0.0, 1.0, 0.0, 1.0, INF, INF, 1.0, -1.0, -1.0, 1.0, NAN, 5.0, SMALLEST, 1.0, -0.0]
    expected = [NAN, -INF, INF, INF, -INF, NAN, NAN, NAN, NAN, NAN, NAN, 0.0, 0.0, -INF, INF]
    assert same_bits(evaluate(hyperbolic.log_quotient, x, y), expected)


@pytest.mark.parametrize("size", [SMALLEST * 1000, 1e-308, 1e-160, 1.0, 1e160, 1.2e308])
def test_hypot_is_within_2_ulp_at_every_size(size: float) -> None:
    generator = np.random.default_rng(5)
    x, y = generator.uniform(-1, 1, (2, 300)) * size
    y[::3] *= 10.0 ** generator.uniform(-20, 0, 100)
    check_error(hyperbolic.hypot, lambda x, y: mp.sqrt(x * x + y * y), 2.0, x, y)


def test_hypot_at_edges_is_that_of_numpy() -> None:
    x, y = (grid.ravel() for grid in np.meshgrid(EDGES, EDGES))
    with np.errstate(all="ignore"):
        expected = np.hypot(x, y)
    np.testing.assert_allclose(evaluate(hyperbolic.hypot, x, y), expected, rtol=4e-16, atol=SMALLEST)
    assert same_bits(evaluate(hyperbolic.hypot, [INF, NAN, -INF, NAN], [NAN, -INF, 1.0, 1.0]), [INF, INF, INF, NAN])
    assert same_bits(evaluate(hyperbolic.hypot, [3.0, -0.0, 3e300], [-4.0, -0.0, 4e300]), [5.0, 0.0, 5e300])


@pytest.mark.parametrize("name", ["logaddexp", "hypot"])
def test_operands_may_be_exchanged_to_the_bit(name: str) -> None:
    function = getattr(hyperbolic, name)
    x, y = np.random.default_rng(6).uniform(-50, 50, (2, 2000))
    x, y = np.concatenate([x, random_floats(2000, 1)]), np.concatenate([y, random_floats(2000, 2)])
    assert same_bits(evaluate(function, x, y), evaluate(function, y, x))


@pytest.mark.parametrize("name", NAMES)
def test_scalar_code_and_eight_lanes_give_the_same_bits(name: str) -> None:
    function, _, regions, _ = CASES[name]
    generator = np.random.default_rng(7)
    points = [generator.uniform(*region, 500) for region in regions]
    check_scalar_equals_vector(function, np.concatenate([EDGES, random_floats(2000), *points]))


@pytest.mark.parametrize("name", OF_TWO)
def test_scalar_code_and_eight_lanes_give_the_same_bits_for_two_operands(name: str) -> None:
    function = getattr(hyperbolic, name)
    x, y = np.meshgrid(EDGES, EDGES)
    check_scalar_equals_vector(function, x.ravel(), y.ravel())
    check_scalar_equals_vector(function, *np.random.default_rng(8).uniform(-50, 50, (2, 2000)))


@pytest.mark.parametrize("name", [*NAMES, *OF_TWO])
def test_lanes_are_computed_by_packed_arithmetic_without_a_call(name: str) -> None:
    check_vectorises(getattr(hyperbolic, name), 2 if name in OF_TWO else 1)
