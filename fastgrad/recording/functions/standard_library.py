"""Functions of ``math`` and ``statistics`` on recorded values, with the errors that they raise outside their domains.

Where ``math`` raises an error, the function takes another way (or ends); so the domain is a condition that the
recording depends on, and is guarded.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.recording.functions.registry import implements_outside, reshape
from fastgrad.recording.recorded_array import RecordedArray, apply, stacked, value_of

_ABOVE, _BOTH = (math.inf,), (math.inf, -math.inf)


def _scalar(x: Any) -> Any:
    return reshape(x, ()) if isinstance(x, RecordedArray) and x.shape else x


def _elementary(
    name: str, function: Callable[..., Any], inside: Callable[..., Any] | None = None, ends: tuple[float, ...] = ()
) -> None:
    """``math.name`` as a NumPy function; ``inside`` says where ``math`` has a result.

    Where the result reaches one of the ``ends``, or is NaN, the operands say whether ``math`` has one.
    """
    # while a recording runs, the names in ``math`` hold stand-ins
    original = getattr(math, name)

    @implements_outside(f"math.{name}")
    def definition(*operands: Any) -> Any:
        operands = tuple(map(_scalar, operands))
        if inside is not None and not inside(*operands):
            _depend_on(*operands)
        return _result(lambda: original(*map(_plain, operands)), function, operands, ends)


def _plain(x: Any) -> Any:
    return float(x.value) if isinstance(x, RecordedArray) else x


def _result(
    original: Callable[[], Any], function: Callable[..., Any], operands: tuple[Any, ...], ends: tuple[float, ...]
) -> Any:
    """What the function gives; raises what ``math`` raises, on which the recording depends then."""
    try:
        original()
    except (OverflowError, ValueError):
        if ends:
            with np.errstate(all="ignore"):
                _depend_on_ends(function(*operands), ends, operands)
        raise
    result = function(*operands)
    _depend_on_ends(result, ends, operands)
    return result


def _depend_on_ends(result: Any, ends: tuple[float, ...], operands: tuple[Any, ...]) -> None:
    """Guard that the result is within the ends by comparisons, which cost a sweep less than np.isfinite."""
    for end in ends:
        inside = bool(result.value < end if end > 0 else result.value > end)
        recorder, comparison = result.recorder, ops.less if end > 0 else ops.greater
        # apply and bool() would take twice as long to record
        recorder.guard(recorder.add(comparison.code, (result.node, recorder.scalar(end)), ()), inside)
        if not inside:
            _depend_on(result, *operands)
            return


def _depend_on(*numbers: Any) -> None:
    """Guard what ``math`` goes by: whether numbers are finite, positive, negative, or NaN, which is none of these."""
    for number in chain.from_iterable(map(np.ravel, numbers)):
        for test in (np.isfinite, _is_positive, _is_negative):
            bool(test(number))


def _log_gamma(x: Any) -> Any:
    result: Any = apply(ops.gammaln, (x,))
    # at -infinity, where SciPy differs; the recording then depends on what x is
    return np.abs(result) if result.value == -math.inf else result


def _as_float(x: Any) -> Any:
    if isinstance(x, RecordedArray):
        return x if x.dtype.kind == "f" else x * 1.0  # type: ignore[operator]
    return float(x)


def _is_positive(x: Any) -> Any:
    return x > 0


def _is_negative(x: Any) -> Any:
    return x < 0


def _in_unit_interval(x: Any) -> Any:
    return np.abs(x) <= 1


for _name in ("tanh", "copysign", "fabs", "degrees", "radians", "cbrt"):
    _elementary(_name, getattr(np, _name))
# what is bounded below is NaN, or infinite at one end
for _name in ("sin", "cos", "tan", "cosh", "exp", "expm1", "exp2", "fmod"):
    _elementary(_name, getattr(np, _name), ends=_ABOVE)
_elementary("sinh", np.sinh, ends=_BOTH)
for _name, _function in {"atan": np.arctan, "atan2": np.arctan2, "asinh": np.arcsinh}.items():
    _elementary(_name, _function)
for _name in ("log2", "log10"):
    _elementary(_name, getattr(np, _name), _is_positive)
_elementary("log1p", np.log1p, lambda x: x > -1)
_elementary("sqrt", np.sqrt, lambda x: x >= 0)
_elementary("asin", np.arcsin, _in_unit_interval)
_elementary("acos", np.arccos, _in_unit_interval)
_elementary("acosh", np.arccosh, lambda x: x >= 1)
_elementary("atanh", np.arctanh, lambda x: np.abs(x) < 1)
_elementary("isnan", lambda x: bool(np.isnan(x)))
_elementary("isinf", lambda x: bool(np.isinf(x)))
_elementary("isfinite", lambda x: bool(np.isfinite(x)))
_elementary("erf", lambda x: apply(ops.erf, (x,)))
_elementary("erfc", lambda x: apply(ops.erfc, (x,)))
_elementary("gamma", lambda x: apply(ops.gamma_, (x,)), ends=_BOTH)
_elementary("lgamma", _log_gamma, ends=_BOTH)
_elementary("pow", lambda x, y: _as_float(x) ** _as_float(y), ends=_BOTH)
if hasattr(math, "fma"):  # Python 3.13
    _elementary("fma", lambda x, y, z: x * y + z, ends=_BOTH)


@implements_outside("math.log")
def _log(x: Any, base: Any = math.e) -> Any:
    x, base = _scalar(x), _scalar(base)
    _require_positive(x)
    if base is math.e:
        return np.log(x)
    _require_positive(base)
    if base == 1:
        raise ZeroDivisionError("division by zero")
    return np.log(x) / np.log(base)


def _require_positive(x: Any) -> None:
    if not x > 0:
        _depend_on(x)
        if x <= 0:
            raise ValueError("math domain error")


@implements_outside("math.hypot")
def _hypot(*coordinates: Any) -> Any:
    if len(coordinates) == 1:
        return np.abs(_scalar(coordinates[0]))
    # by twos, because a sum of squares may overflow
    return functools.reduce(np.hypot, map(_scalar, coordinates))


@implements_outside("math.dist")
def _distance(p: Any, q: Any) -> Any:
    return np.linalg.norm(np.subtract(stacked(_listed(p)), stacked(_listed(q))))


@implements_outside("math.fsum")
def _sum(values: Any) -> Any:
    items = stacked(_listed(values))
    numbers = np.ravel(items.value).tolist()
    return _result(lambda: _original_sum(numbers), np.sum, (items,), _BOTH)


_original_sum = math.fsum


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
def _ldexp(x: Any, i: Any) -> Any:
    x, exponent = _scalar(x), operator.index(i)
    if not isinstance(x, RecordedArray):
        return _original_ldexp(x, exponent)
    return _result(lambda: _original_ldexp(_plain(x), exponent), lambda x: np.ldexp(x, exponent), (x,), _BOTH)


@implements_outside("math.modf")
def _modf(x: Any) -> Any:
    return np.modf(_scalar(x))


@implements_outside("math.remainder")
def _remainder(x: Any, y: Any) -> Any:
    x, y = _scalar(x), _scalar(y)
    result = _result(
        lambda: _original_remainder(_plain(x), _plain(y)), lambda x, y: x - np.rint(x / y) * y, (x, y), _ABOVE
    )
    if math.isinf(value_of(y)) and math.isfinite(value_of(x)):
        return +x  # an infinite divisor has been guarded, as the quotient is no number
    return result


_original_ldexp, _original_remainder = math.ldexp, math.remainder


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
