"""Functions of ``math`` and ``statistics`` on recorded values, with the errors that they raise outside their domains.

Where ``math`` raises an error, the function takes another way (or ends); so the domain is a condition that the
recording depends on, and is guarded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.recording.functions.registry import implements_outside, reshape
from fastgrad.recording.recorded_array import RecordedArray, apply, stacked, value_of


def _scalar(x: Any) -> Any:
    return reshape(x, ()) if isinstance(x, RecordedArray) and x.shape else x


def _elementary(name: str, function: Any, inside: Callable[..., Any] | None = None) -> None:
    """``math.name`` as a NumPy function; ``inside`` says where ``math`` has a result."""
    original = getattr(math, name)

    @implements_outside(f"math.{name}")
    def definition(*operands: Any) -> Any:
        operands = tuple(map(_scalar, operands))
        if inside is not None:
            bool(inside(*operands))
        _raise_as(original, function, operands)
        return function(*operands)


def _raise_as(original: Any, function: Any, operands: tuple[Any, ...]) -> None:
    """Raise what ``math`` raises, which the recording then depends on: a later input may have a result."""
    try:
        original(*(float(value_of(operand)) for operand in operands))
    except (OverflowError, ValueError):
        with np.errstate(all="ignore"):
            bool(np.isfinite(function(*operands)))
        raise


def _in_unit_interval(x: Any) -> Any:
    return np.abs(x) <= 1


for _name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "expm1", "copysign", "fabs", "degrees", "radians"):
    _elementary(_name, getattr(np, _name))
for _name, _function in {"atan": np.arctan, "atan2": np.arctan2, "asinh": np.arcsinh}.items():
    _elementary(_name, _function)
for _name in ("log2", "log10"):
    _elementary(_name, getattr(np, _name), lambda x: x > 0)
_elementary("log1p", np.log1p, lambda x: x > -1)
_elementary("sqrt", np.sqrt, lambda x: x >= 0)
_elementary("asin", np.arcsin, _in_unit_interval)
_elementary("acos", np.arccos, _in_unit_interval)
_elementary("acosh", np.arccosh, lambda x: x >= 1)
_elementary("atanh", np.arctanh, lambda x: np.abs(x) < 1)
_elementary("fmod", np.fmod, lambda x, y: y != 0)
_elementary("isnan", lambda x: bool(np.isnan(x)))
_elementary("isinf", lambda x: bool(np.isinf(x)))
_elementary("isfinite", lambda x: bool(np.isfinite(x)))
_elementary("erf", lambda x: apply(ops.erf, (x,)))
_elementary("erfc", lambda x: apply(ops.erfc, (x,)))
_elementary("lgamma", lambda x: apply(ops.gammaln, (x,)), lambda x: (x > 0) | (x != np.floor(x)))
_elementary("exp2", np.exp2)
_elementary("cbrt", np.cbrt)
if hasattr(math, "fma"):  # Python 3.13
    _elementary("fma", lambda x, y, z: x * y + z)


@implements_outside("math.gamma")
def _gamma(x: Any) -> Any:
    x = _scalar(x)
    _raise_as(_original_gamma, _gamma_of, (x,))
    result = _gamma_of(x)
    bool(np.isfinite(result))
    return result


# while a recording runs, the names in ``math`` hold stand-ins
_original_gamma = math.gamma


def _gamma_of(x: Any) -> Any:
    return apply(ops.gamma_, (x,))


@implements_outside("math.log")
def _log(x: Any, base: Any = math.e) -> Any:
    x, base = _scalar(x), _scalar(base)
    if not x > 0:
        raise ValueError("math domain error")
    if base is math.e:
        return np.log(x)
    if not base > 0:
        raise ValueError("math domain error")
    if base == 1:
        raise ZeroDivisionError("division by zero")
    return np.log(x) / np.log(base)


@implements_outside("math.pow")
def _power(x: Any, y: Any) -> Any:
    x, y = _scalar(x), _scalar(y)
    result = x**y
    if not np.isfinite(result):
        _original_pow(float(value_of(x)), float(value_of(y)))  # raises what math raises
    return result


_original_pow = math.pow


@implements_outside("math.hypot")
def _hypot(*coordinates: Any) -> Any:
    if len(coordinates) == 2:
        return np.hypot(*map(_scalar, coordinates))
    return np.linalg.norm(np.ravel(stacked(list(coordinates))))


@implements_outside("math.dist")
def _distance(p: Any, q: Any) -> Any:
    return np.linalg.norm(np.subtract(stacked(_listed(p)), stacked(_listed(q))))


@implements_outside("math.fsum")
def _sum(values: Any) -> Any:
    return np.sum(stacked(_listed(values)))


@implements_outside("math.prod")
def _product(values: Any, *, start: Any = 1) -> Any:
    result = start
    for value in _listed(values):
        result = result * value
    return result


@implements_outside("math.sumprod")
def _sum_of_products(p: Any, q: Any) -> Any:
    return np.dot(stacked(_listed(p)), stacked(_listed(q)))


def _listed(values: Any) -> Any:
    return values if isinstance(values, (RecordedArray, np.ndarray)) else list(values)


@implements_outside("math.ldexp")
def _ldexp(x: Any, i: int) -> Any:
    return _scalar(x) * 2.0 ** int(i)


@implements_outside("math.modf")
def _modf(x: Any) -> Any:
    whole = np.trunc(_scalar(x))
    return x - whole, whole


@implements_outside("math.remainder")
def _remainder(x: Any, y: Any) -> Any:
    x, y = _scalar(x), _scalar(y)
    if not y != 0:
        raise ValueError("math domain error")
    return x - np.rint(x / y) * y


@implements_outside("math.isclose")
def _is_close(a: Any, b: Any, *, rel_tol: float = 1e-09, abs_tol: float = 0.0) -> bool:
    if a == b:
        return True
    if np.isinf(a) or np.isinf(b):
        return False
    largest = np.maximum(np.abs(a), np.abs(b))
    return bool(np.abs(a - b) <= np.maximum(rel_tol * largest, abs_tol))


# ---- statistics


@implements_outside("statistics.mean", "statistics.fmean")
def _mean(data: Any, weights: Any = None) -> Any:
    if weights is None:
        return np.mean(stacked(_listed(data)))
    w = stacked(_listed(weights))
    return np.dot(stacked(_listed(data)), w) / np.sum(w)


@implements_outside("statistics.variance")
def _variance(data: Any, xbar: Any = None) -> Any:
    return _spread(data, xbar, 1)


@implements_outside("statistics.pvariance")
def _population_variance(data: Any, mu: Any = None) -> Any:
    return _spread(data, mu, 0)


@implements_outside("statistics.stdev")
def _deviation(data: Any, xbar: Any = None) -> Any:
    return np.sqrt(_spread(data, xbar, 1))


@implements_outside("statistics.pstdev")
def _population_deviation(data: Any, mu: Any = None) -> Any:
    return np.sqrt(_spread(data, mu, 0))


def _spread(data: Any, center: Any, freedom: int) -> Any:
    x = stacked(_listed(data))
    return np.sum((x - (np.mean(x) if center is None else center)) ** 2) / (len(x) - freedom)


@implements_outside("statistics.geometric_mean")
def _geometric_mean(data: Any) -> Any:
    return np.exp(np.mean(np.log(stacked(_listed(data)))))


@implements_outside("statistics.harmonic_mean")
def _harmonic_mean(data: Any) -> Any:
    return 1 / np.mean(1 / stacked(_listed(data)))


@implements_outside("statistics.median")
def _median(data: Any) -> Any:
    return np.median(stacked(_listed(data)))
