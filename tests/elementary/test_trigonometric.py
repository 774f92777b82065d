"""Sine, cosine, tangent and their inverses: ULPs against mpmath, special points, same bits in lanes, machine code."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llvmlite import binding
from mpmath import mp

from fastgrad.elementary import trigonometric
from tests.elementary.checks import check_error, check_scalar_equals_vector
from tests.llvm_harness import assembly, evaluate
from tests.ulp import same_bits

N = 300
Sampler = Callable[[np.random.Generator], Any]

INF, NAN, TINY, LARGEST = math.inf, math.nan, 5e-324, 1.7976931348623157e308
PI = math.pi


def binades(low: int, high: int) -> Sampler:
    """Both signs, every binade from 2**low to 2**high alike."""

    def sample(rng: np.random.Generator) -> np.ndarray:
        return np.ldexp(rng.uniform(1, 2, N), rng.integers(low, high, N)) * rng.choice([-1, 1], N)

    return sample


def beside(point: float, low: int = -52, high: int = -3) -> Sampler:
    """Points whose distance from ``point`` has every magnitude from 2**low to 2**high."""
    return lambda rng: point + binades(low, high)(rng)


def near_multiples_of_half_pi(rng: np.random.Generator) -> np.ndarray:
    with mp.workdps(60):
        points = np.array([float(int(k) * mp.pi / 2) for k in 2.0 ** rng.uniform(0, 60, N)])
    return np.nextafter(points, rng.choice([-INF, INF], N))


def nearest_to_multiples_of_half_pi(rng: np.random.Generator) -> np.ndarray:
    """In each sampled binade about the hardest double: a denominator of the continued fraction of its 2**e * 2/pi."""
    hardest = []
    with mp.workprec(1200):
        for e in rng.integers(-20, 970, N // 3):
            rest, before, denominator = mp.frac(mp.mpf(2) ** int(e) * 2 / mp.pi), 0, 1
            while True:
                term = int(1 / rest)
                if term * denominator + before >= 2**53:
                    break
                before, denominator, rest = denominator, term * denominator + before, mp.frac(1 / rest)
            hardest.append(math.ldexp(denominator, int(e)))
    return np.array(hardest)


def pairs(x: Sampler, y: Sampler) -> Sampler:
    return lambda rng: (x(rng), y(rng))


def proportional(low: float, high: float) -> Sampler:
    def sample(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = binades(-20, 20)(rng)
        return x, x * rng.uniform(low, high, N) * rng.choice([-1, 1], N)

    return sample


ANY_ANGLE: dict[str, Sampler] = {
    "subnormal": binades(-1074, -1022),
    "tiny": binades(-1022, -20),
    "small": binades(-20, 1),
    "a few turns": lambda rng: rng.uniform(-30, 30, N),
    "many turns": binades(5, 40),
    "where the reduction changes": beside(2.0**40, -12, 30),
    "huge": binades(40, 1024),
    "near multiples": near_multiples_of_half_pi,
    "nearest to multiples": nearest_to_multiples_of_half_pi,
    "where the polynomials change": beside(PI / 4),
}
UNIT: dict[str, Sampler] = {
    "subnormal": binades(-1074, -1022),
    "tiny": binades(-1022, -20),
    "unit": lambda rng: rng.uniform(-1, 1, N),
    "one half": beside(0.5),
    "minus one half": beside(-0.5),
    "one": lambda rng: 1.0 - np.abs(binades(-53, -1)(rng)),
    "minus one": lambda rng: np.abs(binades(-53, -1)(rng)) - 1.0,
}
LINE: dict[str, Sampler] = {
    "subnormal": binades(-1074, -1022),
    "tiny": binades(-1022, -20),
    "small": binades(-20, 1),
    "one": beside(1.0),
    "large": binades(0, 60),
    "huge": binades(60, 1024),
}
PLANE: dict[str, Sampler] = {
    "anywhere": pairs(binades(-1074, 1024), binades(-1074, 1024)),
    "moderate": pairs(binades(-3, 3), binades(-3, 3)),
    "diagonal": proportional(1 - 1e-6, 1 + 1e-6),
    "octant": proportional(1.2, 4.0),
    "subnormal": pairs(binades(-1074, -1022), binades(-1074, -1022)),
}
# name: the same in mpmath, where to compare, and the largest error in ULP
REFERENCES: dict[str, Any] = {
    "sin": (mp.sin, ANY_ANGLE, 0.9),
    "cos": (mp.cos, ANY_ANGLE, 0.9),
    "tan": (mp.tan, ANY_ANGLE, 1.0),
    "arcsin": (mp.asin, UNIT, 1.2),
    "arccos": (mp.acos, UNIT, 1.2),
    "arctan": (mp.atan, LINE, 1.8),
    "arctan2": (mp.atan2, PLANE, 1.8),
}
CASES = [(name, region) for name, (_, regions, _) in REFERENCES.items() for region in regions]
ARITY = {name: 2 if name == "arctan2" else 1 for name in REFERENCES}


def sampled(name: str, region: str) -> tuple[np.ndarray, ...]:
    operands = REFERENCES[name][1][region](np.random.default_rng(7))
    return operands if isinstance(operands, tuple) else (operands,)


@pytest.mark.parametrize(("name", "region"), CASES)
def test_error_stays_below_two_ulp(name: str, region: str) -> None:
    reference, _, limit = REFERENCES[name]
    check_error(getattr(trigonometric, name), reference, limit, *sampled(name, region))


@pytest.mark.parametrize(("name", "region"), CASES)
def test_lanes_have_the_bits_of_scalar_code(name: str, region: str) -> None:
    check_scalar_equals_vector(getattr(trigonometric, name), *sampled(name, region))


SPECIAL = [
    ("sin", (0.0,), 0.0),
    ("sin", (-0.0,), -0.0),
    ("sin", (TINY,), TINY),
    ("sin", (-TINY,), -TINY),
    ("sin", (INF,), NAN),
    ("sin", (-INF,), NAN),
    ("sin", (NAN,), NAN),
    ("sin", (LARGEST,), 0.004961954789184062),
    ("sin", (1e22,), -0.8522008497671888),
    ("cos", (0.0,), 1.0),
    ("cos", (-0.0,), 1.0),
    ("cos", (TINY,), 1.0),
    ("cos", (INF,), NAN),
    ("cos", (-INF,), NAN),
    ("cos", (NAN,), NAN),
    ("cos", (6381956970095103 * 2.0**797,), -4.6871659242546277e-19),
    ("tan", (0.0,), 0.0),
    ("tan", (-0.0,), -0.0),
    ("tan", (-TINY,), -TINY),
    ("tan", (INF,), NAN),
    ("tan", (NAN,), NAN),
    ("arcsin", (0.0,), 0.0),
    ("arcsin", (-0.0,), -0.0),
    ("arcsin", (1.0,), PI / 2),
    ("arcsin", (-1.0,), -PI / 2),
    ("arcsin", (1.0000000000000002,), NAN),
    ("arcsin", (-INF,), NAN),
    ("arcsin", (NAN,), NAN),
    ("arccos", (1.0,), 0.0),
    ("arccos", (-1.0,), PI),
    ("arccos", (0.0,), PI / 2),
    ("arccos", (-0.0,), PI / 2),
    ("arccos", (-1.0000000000000002,), NAN),
    ("arccos", (INF,), NAN),
    ("arccos", (NAN,), NAN),
    ("arctan", (0.0,), 0.0),
    ("arctan", (-0.0,), -0.0),
    ("arctan", (-TINY,), -TINY),
    ("arctan", (1.0,), PI / 4),
    ("arctan", (INF,), PI / 2),
    ("arctan", (-INF,), -PI / 2),
    ("arctan", (LARGEST,), PI / 2),
    ("arctan", (NAN,), NAN),
]


@pytest.mark.parametrize("width", [1, 8])
@pytest.mark.parametrize(("name", "operands", "expected"), SPECIAL)
def test_special_points_are_exact(name: str, operands: tuple[float, ...], expected: float, width: int) -> None:
    result = evaluate(getattr(trigonometric, name), *[np.array([x]) for x in operands], width=width)
    assert same_bits(result, [expected])


def test_angle_of_every_pair_of_special_coordinates_is_that_of_the_c_library() -> None:
    special = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, TINY, -TINY, LARGEST, -LARGEST]
    x, y = (grid.ravel() for grid in np.meshgrid(special, special))
    expected = np.array([math.atan2(a, b) for a, b in zip(x, y, strict=True)])
    for width in (1, 8):
        assert same_bits(evaluate(trigonometric.arctan2, x, y, width=width), expected)


def test_one_huge_lane_leaves_its_neighbours_alone() -> None:
    x = np.linspace(-3, 3, 8)
    alone = evaluate(trigonometric.sin, x)
    x[3] = 1e300
    together = evaluate(trigonometric.sin, x)
    assert np.array_equal(np.delete(together, 3), np.delete(alone, 3))
    assert together[3] == evaluate(trigonometric.sin, np.array([1e300]), width=1)[0]


@pytest.mark.parametrize("name", REFERENCES)
def test_code_depends_on_nothing_outside_its_object(name: str) -> None:
    if not binding.get_host_cpu_features().get("fma"):
        pytest.skip("without fma instructions the fma of libm is called")
    for width in (1, 8):
        text = assembly(getattr(trigonometric, name), ARITY[name], width)
        # direct calls, and addresses of functions as the large code model loads them
        symbols = re.findall(r"(?:call\w*\s+|\$)([A-Za-z_][\w.]*)", text)
        assert [symbol for symbol in symbols if not symbol.startswith("fastgrad.")] == []


@pytest.mark.parametrize("name", REFERENCES)
def test_eight_lanes_are_packed_arithmetic(name: str) -> None:
    if not binding.get_host_cpu_features().get("avx"):
        pytest.skip("the host has no AVX")
    text = assembly(getattr(trigonometric, name), ARITY[name])
    loop = text.split(".Lfunc_end0:")[0]
    assert len(re.findall(r"\bv\w+pd\b.*[yz]mm", loop)) >= 20
    assert re.findall(r"\bv(?:add|sub|mul|div|fn?madd\w*|sqrt)sd\b", loop) == []


def test_written_coefficients_are_those_of_the_script() -> None:
    script = Path(__file__).parents[2] / "scripts" / "trigonometric_coefficients.py"
    subprocess.run([sys.executable, str(script), "--check"], check=True)
