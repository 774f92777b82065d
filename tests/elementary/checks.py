"""What every elementary function is checked for: its error, one result at every width, and packed code."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from llvmlite import binding
from mpmath import mp, mpf

from tests.llvm_harness import assembly, evaluate
from tests.ulp import DIGITS, same_bits, ulp_errors

EDGES = np.array(
    [0.0, 5e-324, 1e-310, 2.0**-1022, 1e-300, 1e-20, 0.5, 1.0 - 2.0**-53, 1.0, 1.0 + 2.0**-52, 2.0, 1e20, 1e300]
    + [np.finfo(float).max, np.inf]
)
EDGES = np.concatenate([EDGES, -EDGES, [np.nan]])


def random_floats(n: int, seed: int = 0) -> np.ndarray:
    """Floats with random bits: every binade alike, either sign, now and then NaN."""
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64).view(float)


def check_error(function: Callable[..., Any], reference: Callable[..., Any], limit: float, *operands: Any) -> None:
    """``function`` is within ``limit`` ULP of ``reference`` (on mpmath numbers) at arrays of operands."""
    computed = evaluate(function, *operands)
    with mp.workdps(DIGITS):
        exact = [reference(*[mpf(float(x)) for x in point]) for point in zip(*operands, strict=True)]
    errors = ulp_errors(computed, exact)
    worst = int(np.argmax(errors))
    point = [float(operand[worst]) for operand in operands]
    assert errors[worst] <= limit, f"{errors[worst]:.3g} ULP at {point}: {computed[worst]!r}, not {exact[worst]}"


def check_scalar_equals_vector(function: Callable[..., Any], *operands: Any) -> None:
    scalar, vector = (evaluate(function, *operands, width=width) for width in (1, 8))
    assert same_bits(scalar, vector)


def check_vectorises(function: Callable[..., Any], arity: int) -> None:
    if not binding.get_host_cpu_features().get("avx"):
        pytest.skip("the host has no AVX")
    code = assembly(function, arity)
    assert re.search(r"v\w+pd .*[yz]mm", code.replace("\t", " "))
    assert not re.search(r"\bcallq?\b", code)
