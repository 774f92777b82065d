"""Bessel functions, and integrals that they are the slopes of.

Values are SciPy's; see ``special``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastgrad import ops
from fastgrad.array_ops.special import REFUSED, special_function
from fastgrad.array_ops.table import ArrayOperation


def _half_difference(function: Callable[..., Any], v: Any, x: Any) -> Any:
    return 0.5 * (function(v - 1.0, x) - function(v + 1.0, x))


def _mean(function: Callable[..., Any], v: Any, x: Any) -> Any:
    return 0.5 * (function(v - 1.0, x) + function(v + 1.0, x))


jv: ArrayOperation = special_function("jv", lambda v, x, r: (REFUSED, _half_difference(jv, v, x)))
yv: ArrayOperation = special_function("yv", lambda v, x, r: (REFUSED, _half_difference(yv, v, x)))
iv: ArrayOperation = special_function("iv", lambda v, x, r: (REFUSED, _mean(iv, v, x)))
kv: ArrayOperation = special_function("kv", lambda v, x, r: (REFUSED, -_mean(kv, v, x)))
ive: ArrayOperation = special_function("ive", lambda v, x, r: (REFUSED, _mean(ive, v, x) - ops.sign(x) * r))
kve: ArrayOperation = special_function("kve", lambda v, x, r: (REFUSED, r - _mean(kve, v, x)))
yn: ArrayOperation = special_function("yn", lambda n, x, r: (REFUSED, _half_difference(yv, n, x)), orders=True)
kn: ArrayOperation = special_function("kn", lambda n, x, r: (REFUSED, -_mean(kv, n, x)), orders=True)
y0: ArrayOperation = special_function("y0", lambda x, r: (-y1(x),))
y1: ArrayOperation = special_function("y1", lambda x, r: (0.5 * (y0(x) - yv(2.0, x)),))
k0: ArrayOperation = special_function("k0", lambda x, r: (-k1(x),))
k1: ArrayOperation = special_function("k1", lambda x, r: (-0.5 * (k0(x) + kv(2.0, x)),))
k0e: ArrayOperation = special_function("k0e", lambda x, r: (r - k1e(x),))
k1e: ArrayOperation = special_function("k1e", lambda x, r: (r - 0.5 * (k0e(x) + kve(2.0, x)),))


def _spherical_partials(function: Callable[..., Any], sign_of_next: float) -> Callable[..., tuple[Any, Any]]:
    def partials(n: Any, x: Any, r: Any) -> tuple[Any, Any]:
        before, after = function(ops.maximum(n - 1.0, 0.0), x), function(n + 1.0, x)
        return REFUSED, (n * before + sign_of_next * (n + 1.0) * after) / (2.0 * n + 1.0)

    return partials


spherical_jn: ArrayOperation = special_function(
    "spherical_jn", _spherical_partials(lambda n, x: spherical_jn(n, x), -1.0), orders=True
)
spherical_yn: ArrayOperation = special_function(
    "spherical_yn", _spherical_partials(lambda n, x: spherical_yn(n, x), -1.0), orders=True
)
spherical_in: ArrayOperation = special_function(
    "spherical_in", _spherical_partials(lambda n, x: spherical_in(n, x), 1.0), orders=True
)
spherical_kn: ArrayOperation = special_function(
    "spherical_kn", _spherical_partials(lambda n, x: -spherical_kn(n, x), 1.0), orders=True
)
airy_a: ArrayOperation = special_function("airy.a", lambda x, r: (airy_a_slope(x),), 0)
airy_a_slope: ArrayOperation = special_function("airy.a_slope", lambda x, r: (x * airy_a(x),), 1)
airy_b: ArrayOperation = special_function("airy.b", lambda x, r: (airy_b_slope(x),), 2)
airy_b_slope: ArrayOperation = special_function("airy.b_slope", lambda x, r: (x * airy_b(x),), 3)
sine_integral: ArrayOperation = special_function("sici.sine", lambda x, r: (spherical_jn(0.0, x),), 0)
cosine_integral: ArrayOperation = special_function("sici.cosine", lambda x, r: (ops.cos(x) / x,), 1)
sinh_integral: ArrayOperation = special_function("shichi.sine", lambda x, r: (spherical_in(0.0, x),), 0)
cosh_integral: ArrayOperation = special_function("shichi.cosine", lambda x, r: (ops.cosh(x) / x,), 1)
