"""Hypergeometric functions, what has them as slopes, and orthogonal polynomials.

Values are SciPy's; see ``special``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastgrad import ops
from fastgrad.array_ops.special import REFUSED, special_function
from fastgrad.array_ops.table import ArrayOperation

hyp0f1: ArrayOperation = special_function("hyp0f1", lambda b, x, r: (REFUSED, hyp0f1(b + 1.0, x) / b))
hyp1f1: ArrayOperation = special_function(
    "hyp1f1", lambda a, b, x, r: (REFUSED, REFUSED, a / b * hyp1f1(a + 1.0, b + 1.0, x))
)
hyperu: ArrayOperation = special_function(
    "hyperu", lambda a, b, x, r: (REFUSED, REFUSED, -a * hyperu(a + 1.0, b + 1.0, x))
)
hyp2f1: ArrayOperation = special_function(
    "hyp2f1",
    lambda a, b, c, x, r: (REFUSED, REFUSED, REFUSED, a * b / c * hyp2f1(a + 1.0, b + 1.0, c + 1.0, x)),
)


def _exprel_slope(x: Any) -> Any:
    """Derivative of (exp(x) - 1)/x: by the series near 0, else by the quotient rule."""
    near = ops.absolute(x) < 1.0
    return ops.where(near, 0.5 * hyp1f1(2.0, 3.0, ops.where(near, x, 0.0)), (ops.exp(x) * (x - 1.0) + 1.0) / (x * x))


exprel: ArrayOperation = special_function("exprel", lambda x, r: (_exprel_slope(x),))


def _complete_elliptic_slope(m: Any, k: Any, complement: Any) -> Any:
    """Derivative by m of ``ellipk``, ``complement`` being 1 - m."""
    near = ops.absolute(m) < 0.25
    series = (math.pi / 8.0) * hyp2f1(1.5, 1.5, 2.0, ops.where(near, m, 0.0))
    return ops.where(near, series, (ellipe(m) - complement * k) / (2.0 * m * complement))


ellipk: ArrayOperation = special_function("ellipk", lambda m, r: (_complete_elliptic_slope(m, r, 1.0 - m),))
ellipkm1: ArrayOperation = special_function("ellipkm1", lambda p, r: (-_complete_elliptic_slope(1.0 - p, r, p),))


def _ellipe_partials(m: Any, r: Any) -> tuple[Any]:
    near = ops.absolute(m) < 0.25
    series = (-math.pi / 8.0) * hyp2f1(0.5, 1.5, 2.0, ops.where(near, m, 0.0))
    return (ops.where(near, series, (r - ellipk(m)) / (2.0 * m)),)


def _delta(phi: Any, m: Any) -> Any:
    sine = ops.sin(phi)
    return ops.sqrt(1.0 - m * sine * sine)


ellipe: ArrayOperation = special_function("ellipe", _ellipe_partials)
ellipkinc: ArrayOperation = special_function("ellipkinc", lambda phi, m, r: (1.0 / _delta(phi, m), REFUSED))
ellipeinc: ArrayOperation = special_function("ellipeinc", lambda phi, m, r: (_delta(phi, m), REFUSED))
# log(x)/(1 - x), which at 1 has a value
spence: ArrayOperation = special_function("spence", lambda x, r: (-hyp2f1(1.0, 1.0, 2.0, 1.0 - x),))


# ---- powers of Box and Cox
def _boxcox_partials(logarithm: Any, by_x: Any, power: Any) -> tuple[Any, Any]:
    by_power = logarithm * logarithm * _exprel_slope(power * logarithm)
    at_zero = ops.where(power > 0.0, 1.0 / (power * power), by_power)
    return by_x, ops.where(ops.equal(logarithm, -math.inf), at_zero, by_power)


def _inverse_boxcox_slope(y: Any, power: Any, r: Any) -> Any:
    """Derivative by the power of r = (1 + power*y)**(1/power): r*y**2 times that of log(1 + v)/v at v = power*y."""
    v = power * y
    near = ops.absolute(v) < 0.5
    series = -0.5 * hyp2f1(2.0, 2.0, 3.0, -ops.where(near, v, 0.0))
    return r * y * y * ops.where(near, series, (v / (1.0 + v) - ops.log1p(v)) / (v * v))


boxcox: ArrayOperation = special_function(
    "boxcox", lambda x, power, r: _boxcox_partials(ops.log(x), ops.power(x, power - 1.0), power)
)
boxcox1p: ArrayOperation = special_function(
    "boxcox1p",
    lambda x, power, r: _boxcox_partials(ops.log1p(x), ops.exp((power - 1.0) * ops.log1p(x)), power),
)
inv_boxcox: ArrayOperation = special_function(
    "inv_boxcox", lambda y, power, r: (r / (1.0 + power * y), _inverse_boxcox_slope(y, power, r))
)
inv_boxcox1p: ArrayOperation = special_function(
    "inv_boxcox1p",
    lambda y, power, r: ((1.0 + r) / (1.0 + power * y), _inverse_boxcox_slope(y, power, 1.0 + r)),
)


# ---- orthogonal polynomials of constant degree
eval_jacobi: ArrayOperation = special_function(
    "eval_jacobi",
    lambda n, a, b, x, r: (
        *(REFUSED, REFUSED, REFUSED),
        0.5 * (n + a + b + 1.0) * _lower_degree(eval_jacobi, n, a + 1.0, b + 1.0, x),
    ),
    orders=True,
)
eval_gegenbauer: ArrayOperation = special_function(
    "eval_gegenbauer",
    lambda n, a, x, r: (REFUSED, REFUSED, 2.0 * a * _lower_degree(eval_gegenbauer, n, a + 1.0, x)),
    orders=True,
)
eval_legendre: ArrayOperation = special_function(
    "eval_legendre", lambda n, x, r: (REFUSED, _lower_degree(eval_gegenbauer, n, 1.5, x)), orders=True
)
eval_chebyt: ArrayOperation = special_function(
    "eval_chebyt", lambda n, x, r: (REFUSED, n * _lower_degree(eval_chebyu, n, x)), orders=True
)
eval_chebyu: ArrayOperation = special_function(
    "eval_chebyu", lambda n, x, r: (REFUSED, 2.0 * _lower_degree(eval_gegenbauer, n, 2.0, x)), orders=True
)
eval_genlaguerre: ArrayOperation = special_function(
    "eval_genlaguerre",
    lambda n, a, x, r: (REFUSED, REFUSED, -_lower_degree(eval_genlaguerre, n, a + 1.0, x)),
    orders=True,
)
eval_laguerre: ArrayOperation = special_function(
    "eval_laguerre", lambda n, x, r: (REFUSED, -_lower_degree(eval_genlaguerre, n, 1.0, x)), orders=True
)
eval_hermite: ArrayOperation = special_function(
    "eval_hermite", lambda n, x, r: (REFUSED, 2.0 * n * _lower_degree(eval_hermite, n, x)), orders=True
)
eval_hermitenorm: ArrayOperation = special_function(
    "eval_hermitenorm", lambda n, x, r: (REFUSED, n * _lower_degree(eval_hermitenorm, n, x)), orders=True
)


def _lower_degree(polynomial: Callable[..., Any], n: Any, *rest: Any) -> Any:
    """The polynomial of degree n - 1, and 0 for n = 0."""
    return ops.where(ops.greater(n, 0.0), polynomial(ops.maximum(n - 1.0, 0.0), *rest), 0.0)
