"""Functions of ``scipy.special``: ufuncs that SciPy evaluates or that are written in terms of others, and functions
that know no protocol.

Loaded when ``scipy.special`` is. Ufuncs that are elementary operations are read off ``ops.TABLE``.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.array_ops import bessel, hypergeometric  # noqa: F401 - whose entries are in SPECIAL too
from fastgrad.array_ops.special import SPECIAL
from fastgrad.recording.functions import scipy_fft, scipy_refused  # noqa: F401 - they load together
from fastgrad.recording.functions.registry import UFUNCS, axes_of, implements_outside, only, unsupported, whole
from fastgrad.recording.functions.ufunc_options import composes, evaluation
from fastgrad.recording.recorded_array import (
    RecordedArray,
    apply,
    apply_array,
    node_of,
    normal_operand,
    recorder_of,
    value_of,
)

_special: Any = import_module("scipy.special")


def _ufunc(name: str) -> Any:
    """``scipy.special.name``; functions wrap the ufunc where SciPy's support of other arrays is switched on."""
    return inspect.unwrap(getattr(_special, name))


def _recorded(*operands: Any) -> tuple[Any, ...]:
    """Operands of a composition: captured arrays as recorded ones too, so that NumPy combines none before that."""
    given = tuple(map(normal_operand, operands))
    recorder = recorder_of(given)

    def recorded(operand: Any) -> Any:
        # a recorded value says to isinstance that it is an array
        if not issubclass(type(operand), np.ndarray):
            return operand
        return RecordedArray(recorder, node_of(recorder, operand), operand)

    return tuple(map(recorded, given))


# ---- ufuncs that SciPy evaluates


def _evaluated(ufunc: np.ufunc, *entries: str) -> Callable[..., Any]:
    """A ufunc as one array operation, or as one for each of its results."""

    def recorded(*inputs: Any, **kwargs: Any) -> Any:
        operands = tuple(map(normal_operand, inputs))
        results = tuple([apply_array(SPECIAL[entry], operands, None) for entry in entries])
        if kwargs:
            values = evaluation(ufunc, kwargs)(*map(value_of, operands))
            for result, value in zip(results, values if ufunc.nout > 1 else (values,), strict=True):
                result.value = value
        return results if ufunc.nout > 1 else results[0]

    return recorded


_PARTS: dict[str, list[str]] = {}
for _entry in SPECIAL:
    _PARTS.setdefault(_entry.partition(".")[0], []).append(_entry)
for _name, _entries in _PARTS.items():
    if isinstance(_ufunc(_name), np.ufunc):
        UFUNCS[_ufunc(_name)] = _evaluated(_ufunc(_name), *_entries)
# on real numbers, where their scale is 1
for _name, _entry in {"jve": "jv", "yve": "yv"}.items():
    UFUNCS[_ufunc(_name)] = _evaluated(_ufunc(_name), _entry)


def special(name: str, *operands: Any) -> Any:
    """``scipy.special.name`` of recorded values."""
    return apply_array(SPECIAL[name], tuple(map(normal_operand, operands)), None)


# ---- ufuncs in terms of others


def _elementary(operation: ops.Operation, *operands: Any) -> Any:
    return apply(operation, operands)


def _composes(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(definition: Callable[..., Any]) -> Callable[..., Any]:
        composes(_ufunc(name))(lambda *operands: definition(*_recorded(*operands)))
        return definition

    return register


@_composes("loggamma")
def _loggamma(x: Any) -> Any:
    return np.where(x < 0, math.nan, _elementary(ops.gammaln, x))


@_composes("erfcinv")
def _erfcinv(y: Any) -> Any:
    return -math.sqrt(0.5) * _elementary(ops.ndtri, 0.5 * y)


@_composes("rgamma")
def _rgamma(x: Any) -> Any:
    # by reflection left of 1/2, where gamma has poles
    left = x < 0.5
    reflected = np.where(left, 1 - x, 1.0)
    nearest = np.rint(x)
    sine = (1 - 2 * np.mod(nearest, 2)) * np.sin(math.pi * (x - nearest)) / math.pi
    right = 1 / _elementary(ops.gamma_, np.where(left, 1.0, x))
    return np.where(left, sine * _elementary(ops.gamma_, reflected), right)


@_composes("entr")
def _entr(x: Any) -> Any:
    return np.where(x < 0, -math.inf, 0.0 - _elementary(ops.xlogy, x, x))


def _relative_entropy(x: Any, y: Any) -> Any:
    """x*log(x/y) where neither is negative; at (0, 0) it is NaN, which is not taken."""
    return apply(ops.zero_product, (x, _elementary(ops.log_quotient, x, y)))


def _outside_of_entropy(x: Any, y: Any, at_zero: Any) -> Any:
    return np.where(np.equal(x, 0) & np.equal(y, 0), at_zero, np.where(np.isnan(x) | np.isnan(y), math.nan, math.inf))


def _in_entropy(x: Any, y: Any) -> Any:
    return np.greater_equal(x, 0) & np.greater_equal(y, 0) & np.greater(x + y, 0)


@_composes("rel_entr")
def _rel_entr(x: Any, y: Any) -> Any:
    return np.where(_in_entropy(x, y), _relative_entropy(x, y), _outside_of_entropy(x, y, 0.0))


@_composes("kl_div")
def _kl_div(x: Any, y: Any) -> Any:
    relative = _relative_entropy(x, y)
    inside = np.where(np.equal(y, 0), relative, relative - x + y)
    return np.where(_in_entropy(x, y), inside, _outside_of_entropy(x, y, y))


@_composes("huber")
def _huber(delta: Any, r: Any) -> Any:
    size = np.abs(r)
    inside = np.where(np.less_equal(size, delta), 0.5 * np.square(r), delta * (size - 0.5 * delta))
    return np.where(np.less(delta, 0), math.inf, inside)


@_composes("pseudo_huber")
def _pseudo_huber(delta: Any, r: Any) -> Any:
    size = np.abs(r)
    far = delta * (size - delta)
    near = np.square(r) / (1.0 + np.hypot(1.0, r / delta))
    inside = np.where(np.greater(1e-9 * size, delta), far, near)
    at_zero = np.where(np.equal(delta, 0), _elementary(ops.zero_product, delta, size), math.inf)
    return np.where(np.greater(delta, 0), inside, np.where(np.isnan(delta) | np.isnan(r), math.nan, at_zero))


@_composes("exp10")
def _exp10(x: Any) -> Any:
    return _elementary(ops.power, 10.0, x)


@_composes("cosm1")
def _cosm1(x: Any) -> Any:
    return -2.0 * np.square(np.sin(0.5 * x))


@_composes("radian")
def _radian(degrees: Any, minutes: Any, seconds: Any) -> Any:
    return ((60.0 * degrees + minutes) * 60.0 + seconds) * (math.pi / 648000)


@_composes("gammasgn")
def _gammasgn(x: Any) -> Any:
    below = np.floor(x)
    at_pole = np.where(np.equal(x, 0), np.copysign(1.0, x), math.nan)
    left = np.where(np.equal(x, below), at_pole, 1.0 - 2.0 * np.mod(below, 2.0))
    return np.where(np.greater(x, 0), 1.0, left)


_composes("round")(np.rint)

_IN_TERMS_OF_OTHERS: dict[str, Callable[..., Any]] = {
    # ---- Chebyshev's, Legendre's and Jacobi's polynomials in other variables
    "eval_chebyc": lambda n, x: 2.0 * special("eval_chebyt", n, 0.5 * x),
    "eval_chebys": lambda n, x: special("eval_chebyu", n, 0.5 * x),
    "eval_sh_chebyt": lambda n, x: special("eval_chebyt", n, 2.0 * x - 1.0),
    "eval_sh_chebyu": lambda n, x: special("eval_chebyu", n, 2.0 * x - 1.0),
    "eval_sh_legendre": lambda n, x: special("eval_legendre", n, 2.0 * x - 1.0),
    "eval_sh_jacobi": lambda n, p, q, x: (
        special("eval_jacobi", n, p - q, q - 1.0, 2.0 * x - 1.0) / _ufunc("binom")(2.0 * n + p - 1.0, n)
    ),
    # ---- distribution functions, in terms of the incomplete gamma and beta functions
    "chdtr": lambda df, x: special("gammainc", 0.5 * df, 0.5 * x),
    "chdtrc": lambda df, x: special("gammaincc", 0.5 * df, 0.5 * x),
    "chdtri": lambda df, p: 2.0 * special("gammainccinv", 0.5 * df, p),
    "gdtr": lambda a, b, x: special("gammainc", b, a * x),
    "gdtrc": lambda a, b, x: special("gammaincc", b, a * x),
    "pdtr": lambda k, m: special("gammaincc", np.floor(k) + 1.0, m),
    "pdtrc": lambda k, m: special("gammainc", np.floor(k) + 1.0, m),
    "bdtr": lambda k, n, p: special("betaincc", np.floor(k) + 1.0, n - np.floor(k), p),
    "bdtrc": lambda k, n, p: special("betainc", np.floor(k) + 1.0, n - np.floor(k), p),
    "nbdtr": lambda k, n, p: special("betainc", n, np.floor(k) + 1.0, p),
    "nbdtrc": lambda k, n, p: special("betaincc", n, np.floor(k) + 1.0, p),
    "fdtr": lambda n, d, x: special("betainc", 0.5 * n, 0.5 * d, n * x / (d + n * x)),
    "fdtrc": lambda n, d, x: special("betaincc", 0.5 * n, 0.5 * d, n * x / (d + n * x)),
}
for _name, _definition in _IN_TERMS_OF_OTHERS.items():
    _composes(_name)(_definition)


# ---- functions that are no ufuncs


def _outside(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return implements_outside(f"scipy.special.{name}")


@_outside("softplus")
def _softplus(x: Any, **kwargs: Any) -> Any:
    return np.logaddexp(0, x, **kwargs)


def _peak(x: Any, axis: Any) -> Any:
    """The largest elements, which an exponential is taken relative to, as steps."""
    return _elementary(ops.stop_gradient, np.max(x, axis=axis, keepdims=True))


@_outside("logsumexp")
def _logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    x, weights = _recorded(a, 1.0 if b is None else b)
    if b is not None:
        x, weights = np.broadcast_arrays(*(_as_recorded_array(operand) for operand in (x, weights)))
    x = np.atleast_1d(x if x.dtype.kind == "f" else x * 1.0)
    axes = axes_of(axis, x.ndim)
    shape = tuple(1 if k in axes else length for k, length in enumerate(x.shape))
    if 0 in (x.shape[k] for k in axes):
        result: Any = np.full(shape, -math.inf)
        sign: Any = -np.ones(shape)
    else:
        result, sign = _log_of_weighted_sum(x, None if b is None else np.atleast_1d(weights), axes, return_sign)
    if not keepdims:
        shape = tuple(length for k, length in enumerate(shape) if k not in axes)
    result, sign = (np.reshape(found, shape)[()] for found in (result, sign))
    return (result, sign) if return_sign else result


def _log_of_weighted_sum(x: Any, weights: Any, axes: tuple[int, ...], signed: bool) -> tuple[Any, Any]:
    """log|sum(weights*exp(x))| and the sum's sign, as the peak and log1p of the rest: right near 0 too."""
    with np.errstate(all="ignore"):
        # what a weight of 0 hides may be infinite or NaN
        seen = x if weights is None else np.where(np.equal(weights, 0), -math.inf, x)
        peak = _peak(seen, axes)
        at_peak = np.equal(seen, peak)
        terms = np.exp(_elementary(ops.excess, x, peak))
        if weights is None:
            count = np.sum(at_peak, axis=axes, keepdims=True)
            total = np.sum(terms - at_peak, axis=axes, keepdims=True) + (count - 1)
            sign: Any = np.ones(peak.shape)
        else:
            terms = _elementary(ops.zero_product, weights, terms)
            largest = np.sum(np.where(at_peak, terms, 0.0), axis=axes, keepdims=True)
            rest = np.sum(np.where(at_peak, 0.0, terms), axis=axes, keepdims=True)
            sign = np.sign(largest + rest) if signed else 1.0
            total = (sign * largest - 1.0) + sign * rest
        return peak + np.log1p(total), np.where(np.equal(peak, -math.inf), 0.0, sign)


def _as_recorded_array(x: Any) -> Any:
    return x if isinstance(x, RecordedArray) else np.asarray(x)


@_outside("softmax")
def _softmax(x: Any, axis: Any = None) -> Any:
    (x,) = _recorded(x)
    terms = np.exp(x - _peak(x, axis))
    return terms / np.sum(terms, axis=axis, keepdims=True)


@_outside("log_softmax")
def _log_softmax(x: Any, axis: Any = None) -> Any:
    (x,) = _recorded(x)
    peak = _peak(x, axis)
    shifted = x - np.where(np.isfinite(peak), peak, 0.0)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


@_outside("polygamma")
def _polygamma(n: Any, x: Any) -> Any:
    order = whole(n) if isinstance(n, RecordedArray) else np.asarray(n)
    if np.shape(order) == () and 0 <= order <= 2:
        return apply((ops.digamma, ops.trigamma, ops.tetragamma)[int(order)], (x,))
    return special("polygamma", np.asarray(order, float)[()], x)


@_outside("zeta")
def _zeta(x: Any, q: Any = None, out: Any = None) -> Any:
    only({"out": out}, "scipy.special.zeta")
    if q is None:
        raise unsupported("scipy.special.zeta of one argument")
    return special("zeta", x, q)


@_outside("multigammaln")
def _multigammaln(a: Any, d: Any) -> Any:
    (d,) = whole((d,))
    if np.any(a <= 0.5 * (d - 1)):
        raise ValueError(f"condition a ({value_of(a):f}) > 0.5 * (d-1) ({0.5 * (d - 1):f}) not met")
    return sum((_elementary(ops.gammaln, a - 0.5 * j) for j in range(d)), d * (d - 1) * 0.25 * math.log(math.pi))


@_outside("comb")
def _comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Any:
    only({"exact": exact or None}, "scipy.special.comb")
    N, k = _recorded(N, k)
    if repetition:
        chosen = special("binom", N + k - 1, k)
        return np.where(np.equal(k, 0) & np.greater_equal(N, 0), 1.0, chosen)
    inside = np.less_equal(k, N) & np.greater_equal(N, 0) & np.greater_equal(k, 0)
    return np.where(inside, special("binom", N, k), 0.0)


@_outside("perm")
def _perm(N: Any, k: Any, exact: bool = False) -> Any:
    only({"exact": exact or None}, "scipy.special.perm")
    N, k = _recorded(N, k)
    inside = np.less_equal(k, N) & np.greater_equal(N, 0) & np.greater_equal(k, 0)
    return np.where(inside, special("poch", N - k + 1, k), 0.0)


@_outside("factorial")
def _factorial(n: Any, exact: bool = False, extend: str = "zero") -> Any:
    only({"exact": exact or None, "extend": extend}, "scipy.special.factorial", extend="zero")
    return np.where(np.less(n, 0), 0.0, _elementary(ops.gamma_, n + 1.0))


def _spherical(name: str, sign: float, sign_of_next: float) -> None:
    @_outside(name)
    def definition(n: Any, z: Any, derivative: bool = False) -> Any:
        order = np.asarray(whole(n), int)
        if not derivative:
            return special(name, order, z)
        before, after = special(name, np.maximum(order - 1, 0), z), special(name, order + 1, z)
        return sign * (order * before + sign_of_next * (order + 1) * after) / (2.0 * order + 1.0)


_spherical("spherical_jn", 1.0, -1.0)
_spherical("spherical_yn", 1.0, -1.0)
_spherical("spherical_in", 1.0, 1.0)
_spherical("spherical_kn", -1.0, 1.0)


def _derivative_of_bessel(name: str, entry: str, sign: float, sign_of_next: float) -> None:
    """The n-th derivative, as the n-th difference of the neighbouring orders."""

    @_outside(name)
    def definition(v: Any, z: Any, n: Any = 1) -> Any:
        (n,) = whole((n,))
        if n < 0:
            raise ValueError("n must be a non-negative integer.")
        (v, z) = _recorded(v, z)
        terms = (sign_of_next**k * math.comb(n, k) * special(entry, v - n + 2 * k, z) for k in range(n + 1))
        return (0.5 * sign) ** n * sum(terms)


_derivative_of_bessel("jvp", "jv", 1.0, -1.0)
_derivative_of_bessel("yvp", "yv", 1.0, -1.0)
_derivative_of_bessel("ivp", "iv", 1.0, 1.0)
_derivative_of_bessel("kvp", "kv", -1.0, 1.0)


# ---- what SciPy wraps


def _unwrapped(ufunc: np.ufunc) -> Callable[..., Any]:
    return lambda *args, **kwargs: ufunc(*args, **kwargs)


for _name in dir(_special):
    _found = getattr(_special, _name)
    if inspect.isfunction(_found) and isinstance(inspect.unwrap(_found), np.ufunc):
        _outside(_name)(_unwrapped(inspect.unwrap(_found)))
