"""Remainders and whole quotients: the bits of NumPy, whatever the operands."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from llvmlite import binding

from fastgrad.elementary import rounding
from tests.llvm_harness import assembly, evaluate
from tests.ulp import same_bits

N = 5000
NAMES = ["fmod", "remainder", "floor_divide"]
Pair = tuple[np.ndarray, np.ndarray]


def special(rng: np.random.Generator) -> Pair:
    values = [0.0, 1.0, 2.0, 3.0, 0.5, 0.1, 7.0, 5e-324, 2.0**-1022, 2.0**53, 2.0**54 + 4, 1.7976931348623157e308]
    values += [-value for value in values] + [np.inf, -np.inf, np.nan]
    x, y = np.meshgrid(values, values)
    return x.ravel(), y.ravel()


def any_bits(rng: np.random.Generator) -> Pair:
    x, y = rng.integers(0, 2**64, (2, N), dtype=np.uint64).view(float)
    return x, y


def moderate(rng: np.random.Generator) -> Pair:
    x, y = rng.normal(size=(2, N)) * 2.0 ** rng.integers(-20, 20, (2, N))
    return x, y


def whole_numbers(rng: np.random.Generator) -> Pair:
    return rng.integers(-50, 50, N).astype(float), rng.integers(-9, 9, N).astype(float)


def beside_multiples(rng: np.random.Generator) -> Pair:
    y = rng.normal(size=N)
    return np.nextafter(y * rng.integers(-1000, 1000, N), rng.choice([-np.inf, np.inf], N)), y


def quotients_about_the_precision(rng: np.random.Generator) -> Pair:
    y = rng.normal(size=N)
    return y * 2.0 ** rng.uniform(48, 56, N), y


def subnormal_divisors(rng: np.random.Generator) -> Pair:
    return rng.normal(size=N) * 2.0 ** rng.integers(-1060, 1000, N), rng.integers(1, 2**52, N).view(float)


REGIONS: list[Callable[[np.random.Generator], Pair]] = [
    special,
    any_bits,
    moderate,
    whole_numbers,
    beside_multiples,
    quotients_about_the_precision,
    subnormal_divisors,
]


@pytest.mark.parametrize("width", [1, 8])
@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("name", NAMES)
def test_every_bit_is_that_of_numpy(name: str, region: Callable[[np.random.Generator], Pair], width: int) -> None:
    x, y = region(np.random.default_rng(7))
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x, y)
    assert same_bits(evaluate(getattr(rounding, name), x, y, width=width), expected)


def test_remainder_of_the_longest_division_is_exact() -> None:
    x, y = 1.7976931348623157e308, 3 * 5e-324
    (result,) = evaluate(rounding.fmod, np.array([x]), np.array([y]))
    assert Fraction(float(result)) == Fraction(x) % Fraction(y)


@pytest.mark.parametrize("name", NAMES)
def test_code_depends_on_nothing_outside_its_object(name: str) -> None:
    if not binding.get_host_cpu_features().get("fma"):
        pytest.skip("without fma instructions the fma of libm is called")
    for width in (1, 8):
        symbols = re.findall(r"(?:call\w*\s+|\$)([A-Za-z_][\w.]*)", assembly(getattr(rounding, name), 2, width))
        assert [symbol for symbol in symbols if not symbol.startswith("fastgrad.")] == []


@pytest.mark.parametrize("name", NAMES)
def test_eight_lanes_are_packed_arithmetic(name: str) -> None:
    if not binding.get_host_cpu_features().get("avx"):
        pytest.skip("the host has no AVX")
    loop = assembly(getattr(rounding, name), 2).split(".Lfunc_end0:")[0]
    assert re.findall(r"\bvdivpd\b.*[yz]mm", loop)
    assert re.findall(r"\bv(?:add|sub|mul|div|fn?madd\w*)sd\b", loop) == []
