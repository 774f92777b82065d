"""Functions of ``math`` outside their domains: what was recorded elsewhere raises what Python raises."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad as fg

INF, NAN = math.inf, math.nan
# a point with a result, and points with an error or a result that is not finite, of which Python says which
CALLS: dict[str, tuple[Callable[[Any], Any], float, tuple[float, ...]]] = {
    "exp": (lambda x: math.exp(x), 1.0, (1e3, INF, -INF, NAN)),
    "expm1": (lambda x: math.expm1(x), 1.0, (1e3, INF, -INF, NAN)),
    "exp2": (lambda x: math.exp2(x), 1.0, (2e3, INF, NAN)),
    "cosh": (lambda x: math.cosh(x), 1.0, (1e3, -1e3, INF, NAN)),
    "sinh": (lambda x: math.sinh(x), 1.0, (1e3, -1e3, INF, NAN)),
    "tanh": (lambda x: math.tanh(x), 1.0, (1e3, INF, NAN)),
    "sin": (lambda x: math.sin(x), 1.0, (INF, -INF, NAN)),
    "cos": (lambda x: math.cos(x), 1.0, (INF, -INF, NAN)),
    "tan": (lambda x: math.tan(x), 1.0, (INF, NAN)),
    "sqrt": (lambda x: math.sqrt(x), 1.0, (-1.0, INF, NAN)),
    "log": (lambda x: math.log(x), 1.0, (0.0, -1.0, INF, NAN)),
    "log by a base": (lambda x: math.log(x, 3.0), 2.0, (0.0, -1.0, INF, NAN)),
    "log by that base": (lambda x: math.log(3.0, x), 2.0, (0.0, -1.0, 1.0, INF, NAN)),
    "log2": (lambda x: math.log2(x), 2.0, (0.0, -1.0, INF, NAN)),
    "log10": (lambda x: math.log10(x), 2.0, (0.0, -1.0, INF, NAN)),
    "log1p": (lambda x: math.log1p(x), 2.0, (-1.0, -2.0, INF, NAN)),
    "asin": (lambda x: math.asin(x), 0.5, (1.5, -INF, NAN)),
    "acosh": (lambda x: math.acosh(x), 1.5, (0.5, INF, NAN)),
    "atanh": (lambda x: math.atanh(x), 0.5, (1.0, -1.0, NAN)),
    "gamma": (lambda x: math.gamma(x), 1.5, (400.0, 0.0, -1.0, INF, -INF, NAN)),
    "lgamma": (lambda x: math.lgamma(x), 1.5, (1e308, 0.0, -1.0, INF, -INF, NAN)),
    "pow": (lambda x: math.pow(x, 2.5), 1.5, (-1.0, 1e200, INF, NAN)),
    "pow to a whole number": (lambda x: math.pow(x, 3.0), 1.5, (1e200, INF, NAN)),
    "pow below zero": (lambda x: math.pow(x, -1.0), 1.5, (0.0, INF, NAN)),
    "pow of a number": (lambda x: math.pow(2.0, x), 1.5, (2e3, INF, -INF, NAN)),
    "fmod": (lambda x: math.fmod(x, 3.0), 4.0, (INF, NAN)),
    "fmod by": (lambda x: math.fmod(4.0, x), 3.0, (0.0, INF, NAN)),
    "remainder": (lambda x: math.remainder(x, 3.0), 4.0, (INF, NAN)),
    "remainder by": (lambda x: math.remainder(4.0, x), 3.0, (0.0, INF, -INF, NAN)),
    "ldexp": (lambda x: math.ldexp(x, 1000), 4.0, (1e30, INF, -INF, NAN)),
    "ldexp of little": (lambda x: math.ldexp(x, 1030), 1e-9, (1e30, 0.0, NAN)),
    "fsum": (lambda x: math.fsum([x, x, 1.0]), 4.0, (1e308, INF, NAN)),
    "fsum of both infinities": (lambda x: math.fsum([x, -x]), 4.0, (INF, NAN)),
    "modf": (lambda x: math.modf(x)[0], 4.5, (INF, -INF, NAN)),
    "hypot": (lambda x: math.hypot(x, 2.0, 3.0), 4.5, (1e200, 1e308, INF, NAN)),
}


def answer(function: Callable[[Any], Any], x: float) -> Any:
    """What Python's function gives, or what it raises."""
    try:
        return function(x)
    except (ArithmeticError, ValueError) as error:
        return type(error)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::fastgrad.RecordingWarning")
def test_a_later_input_raises_what_python_raises_there(name: str) -> None:
    function, inside, others = CALLS[name]
    points = (inside, *others)
    for first in points:
        recorded = fg.value_and_grad(function)
        # what is recorded at one point, even where that raised, never answers for another
        for later in (first, *points, first):
            expected = answer(function, later)
            found = answer(lambda x, recorded=recorded: recorded(x)[0], later)
            if isinstance(expected, type):
                assert found is expected, f"recorded at {first}, called at {later}"
            else:
                assert not isinstance(found, type), f"recorded at {first}, called at {later}"
                np.testing.assert_allclose(found, expected, rtol=1e-13, err_msg=f"{first}, {later}")


def test_an_error_that_the_function_handles_takes_its_way() -> None:
    def safe(x: Any) -> Any:
        try:
            return math.exp(x) * 2.0
        except OverflowError:
            return 3.0 * x

    slope = fg.grad(safe)
    for x in (1.0, 1000.0, 2.0, 800.0, 1.0):
        assert slope(x) == pytest.approx(2.0 * math.exp(x) if x < 700 else 3.0, rel=1e-14)
    assert math.isnan(slope(math.nan))
    np.testing.assert_allclose(fg.vmap(slope)(np.array([1.0, 1e3, 0.0])), [2 * math.e, 3.0, 2.0], rtol=1e-14)


def test_one_guard_belongs_to_a_call_that_can_fail_and_none_to_others() -> None:
    for call, n_guards in ((math.exp, 1), (math.sqrt, 1), (math.sin, 1), (math.tanh, 0), (math.atan, 0), (math.erf, 0)):
        assert len(fg.record(lambda x, call=call: getattr(math, call.__name__)(x), 0.5).guard_nodes) == n_guards
