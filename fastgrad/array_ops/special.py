"""Special functions whose values SciPy computes, element by element, and whose derivatives are written here.

They are what programs rarely call: each such step of a sweep is a call of SciPy. What they call often is an elementary
operation of ``ops``, computed within the sweeps. An entry's ``partials`` are written as in ``ops``, from the operands
and the result ``r``, with operations of both tables; ``REFUSED`` stands for a derivative that is not known: asking for
it raises UnsupportedError, and it costs nothing where nobody asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.array_ops.reductions import broadcast_to, sum_to_shape
from fastgrad.array_ops.table import ArrayOperation, Cotangents, Shape, array_operation, broadcasting, in_stacks
from fastgrad.errors import UnsupportedError, located

REFUSED = None
SPECIAL: dict[str, ArrayOperation] = {}
TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)
ONE_OVER_ROOT_TWO_PI = 1.0 / math.sqrt(2.0 * math.pi)
DEGREE = math.pi / 180.0
_ORDINALS = ("first", "second", "third", "fourth")


def _refuse(message: str, _: Any) -> Any:
    raise UnsupportedError(message)


no_derivative: ArrayOperation = array_operation(
    "no_derivative", lambda _, of: of, _refuse, lambda *_: (), piecewise_constant=True, batch=in_stacks
)


@cache
def _scipy(name: str) -> Callable[..., Any]:
    # SciPy is heavy, and optional: only a program that calls one of these functions needs it
    return getattr(import_module("scipy.special"), name)  # type: ignore[no-any-return]


def _broadcast_shape(_: Any, *shapes: Shape) -> Shape:
    return np.broadcast_shapes(*shapes)


def _whole_where_exact(x: Any) -> Any:
    """Orders as SciPy has them in its better algorithms: as integers."""
    whole = np.asarray(x).astype(np.int64)
    return whole if np.array_equal(whole, x) else x


def special_function(
    name: str,
    partials: Callable[..., tuple[Any, ...]],
    part: int | None = None,
    orders: bool = False,
    compute: Callable[..., Any] | None = None,
) -> ArrayOperation:
    """Add a function of ``scipy.special`` to the table, or one that ``compute`` computes.

    ``part`` chooses one of several results, which ``name`` then has behind a dot. ``orders`` says that the first
    operand is a whole number as a rule.
    """
    function_name = name.partition(".")[0]

    def evaluate(_: Any, *operands: Any) -> Any:
        if orders:
            operands = (_whole_where_exact(operands[0]), *operands[1:])
        result = (_scipy(function_name) if compute is None else compute)(*operands)
        return result if part is None else result[part]

    def checked_partials(given: Sequence[Any]) -> list[Any]:
        found = partials(*given)
        return [
            no_derivative(
                operand,
                attribute=located(
                    f"The derivative of scipy.special.{function_name} by its {ordinal} argument is not known",
                    operand.tape.line,
                    "Differentiate by the others only (argnums), or hold this one fixed with fastgrad.stop_gradient.",
                ),
            )
            if partial is REFUSED
            else partial
            for operand, partial, ordinal in zip(given[:-1], found, _ORDINALS, strict=False)
        ]

    def vjp(_: Any, ct: Any, *given: Any) -> Cotangents:
        return tuple(
            sum_to_shape(ops.zero_product(ct, partial), operand.shape)
            for operand, partial in zip(given[:-1], checked_partials(given), strict=True)
        )

    def jvp(_: Any, tangents: Sequence[Any], *given: Any) -> Any:
        terms = [
            ops.zero_product(tangent, partial)
            for tangent, partial in zip(tangents, checked_partials(given), strict=True)
            if tangent is not None
        ]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        shape = given[-1].shape
        return total if total.shape == shape else broadcast_to(total, attribute=shape)

    entry = array_operation(name, _broadcast_shape, evaluate, vjp, jvp, batch=broadcasting)
    if compute is None:
        SPECIAL[name] = entry
    return entry


# ---- the gamma and beta families
polygamma: ArrayOperation = special_function("polygamma", lambda n, x, r: (REFUSED, polygamma(n + 1.0, x)), orders=True)
zeta: ArrayOperation = special_function("zeta", lambda x, q, r: (REFUSED, -x * zeta(x + 1.0, q)))


def _digamma_differences(a: Any, b: Any, r: Any) -> tuple[Any, Any]:
    of_sum = ops.digamma(a + b)
    return r * (ops.digamma(a) - of_sum), r * (ops.digamma(b) - of_sum)


def _binom_partials(n: Any, k: Any, r: Any) -> tuple[Any, Any]:
    of_rest = ops.digamma(n - k + 1.0)
    return r * (ops.digamma(n + 1.0) - of_rest), r * (of_rest - ops.digamma(k + 1.0))


def _poch_partials(z: Any, m: Any, r: Any) -> tuple[Any, Any]:
    of_sum = ops.digamma(z + m)
    return r * (of_sum - ops.digamma(z)), r * of_sum


beta: ArrayOperation = special_function("beta", _digamma_differences)
betaln: ArrayOperation = special_function("betaln", lambda a, b, r: _digamma_differences(a, b, 1.0))
binom: ArrayOperation = special_function("binom", _binom_partials)
poch: ArrayOperation = special_function("poch", _poch_partials)


def gamma_density(a: Any, x: Any) -> Any:
    """x**(a - 1) * exp(-x) / gamma(a)."""
    density = ops.exp(ops.xlogy(a - 1.0, x) - x - ops.gammaln(a))
    return ops.where(ops.equal(x, math.inf), 0.0, density)


def beta_density(a: Any, b: Any, x: Any) -> Any:
    """x**(a - 1) * (1 - x)**(b - 1) / beta(a, b)."""
    return ops.exp(ops.xlogy(a - 1.0, x) + ops.xlog1py(b - 1.0, -x) - betaln(a, b))


gammainc: ArrayOperation = special_function("gammainc", lambda a, x, r: (REFUSED, gamma_density(a, x)))
gammaincc: ArrayOperation = special_function("gammaincc", lambda a, x, r: (REFUSED, -gamma_density(a, x)))
gammaincinv: ArrayOperation = special_function("gammaincinv", lambda a, p, r: (REFUSED, 1.0 / gamma_density(a, r)))
gammainccinv: ArrayOperation = special_function("gammainccinv", lambda a, p, r: (REFUSED, -1.0 / gamma_density(a, r)))
betainc: ArrayOperation = special_function("betainc", lambda a, b, x, r: (REFUSED, REFUSED, beta_density(a, b, x)))
betaincc: ArrayOperation = special_function("betaincc", lambda a, b, x, r: (REFUSED, REFUSED, -beta_density(a, b, x)))
betaincinv: ArrayOperation = special_function(
    "betaincinv", lambda a, b, p, r: (REFUSED, REFUSED, 1.0 / beta_density(a, b, r))
)
betainccinv: ArrayOperation = special_function(
    "betainccinv", lambda a, b, p, r: (REFUSED, REFUSED, -1.0 / beta_density(a, b, r))
)


def student_density(df: Any, t: Any) -> Any:
    """(1 + t**2/df)**(-(df + 1)/2) / (sqrt(df) * beta(df/2, 1/2))."""
    return ops.exp(-0.5 * (df + 1.0) * ops.log1p(t * t / df) - betaln(0.5 * df, 0.5)) / ops.sqrt(df)


stdtr: ArrayOperation = special_function("stdtr", lambda df, t, r: (REFUSED, student_density(df, t)))
stdtrit: ArrayOperation = special_function("stdtrit", lambda df, p, r: (REFUSED, 1.0 / student_density(df, r)))


# ---- error functions and integrals
def _owens_t_partials(h: Any, a: Any, r: Any) -> tuple[Any, Any]:
    growth = 1.0 + a * a
    by_h = -0.5 * ops.normal_density(h) * ops.erf(a * h * math.sqrt(0.5))
    return by_h, ops.exp(-0.5 * h * h * growth) / (2.0 * math.pi * growth)


owens_t: ArrayOperation = special_function("owens_t", _owens_t_partials)
erfi: ArrayOperation = special_function("erfi", lambda x, r: (TWO_OVER_ROOT_PI * ops.exp(x * x),))
ndtri_exp: ArrayOperation = special_function("ndtri_exp", lambda y, r: (1.0 / ops.inverse_mills_ratio(r),))


def _dawsn_partials(x: Any, r: Any) -> tuple[Any]:
    # 1 - 2*x*r keeps no digits far out: there its asymptotic series
    t = 0.5 / (x * x)
    series: Any = 0.0
    for k in range(41, 0, -2):
        series = k * t * (1.0 + series)
    return (ops.where(ops.absolute(x) > 8.0, -series, 1.0 - 2.0 * x * r),)


dawsn: ArrayOperation = special_function("dawsn", _dawsn_partials)
expi: ArrayOperation = special_function("expi", lambda x, r: (ops.exp(x) / x,))
exp1: ArrayOperation = special_function("exp1", lambda x, r: (-ops.exp(-x) / x,))


def _expn_partials(n: Any, x: Any, r: Any) -> tuple[Any, Any]:
    lower = -expn(ops.maximum(n - 1.0, 0.0), x)
    return REFUSED, ops.where(ops.equal(n, 0.0), -r * (1.0 + 1.0 / x), lower)


expn: ArrayOperation = special_function("expn", _expn_partials, orders=True)
fresnel_sine: ArrayOperation = special_function("fresnel.sine", lambda x, r: (ops.sin(0.5 * math.pi * x * x),), 0)
fresnel_cosine: ArrayOperation = special_function("fresnel.cosine", lambda x, r: (ops.cos(0.5 * math.pi * x * x),), 1)


# ---- angles in degrees, powers
sindg: ArrayOperation = special_function("sindg", lambda x, r: (DEGREE * cosdg(x),))
cosdg: ArrayOperation = special_function("cosdg", lambda x, r: (-DEGREE * sindg(x),))
tandg: ArrayOperation = special_function("tandg", lambda x, r: (DEGREE * (1.0 + r * r),))
cotdg: ArrayOperation = special_function("cotdg", lambda x, r: (-DEGREE * (1.0 + r * r),))
wrightomega: ArrayOperation = special_function("wrightomega", lambda x, r: (r / (1.0 + r),))
powm1: ArrayOperation = special_function(
    "powm1",
    lambda x, y, r: (
        ops.zero_product(y, ops.power(x, y - 1.0)),
        ops.zero_product(ops.power(x, y), ops.log_of_base(x)),
    ),
)


# ---- on tapes in the place of an elementary operation, which is the last of its family
def _pentagamma(x: Any) -> Any:
    return import_module("fastgrad.vm.evaluate").evaluator(ops.pentagamma)(x)


pentagamma: ArrayOperation = special_function("polygamma.3", lambda x, r: (polygamma(4.0, x),), compute=_pentagamma)
