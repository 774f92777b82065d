"""The table of elementary operations: each is written here once, and every other place reads it off.

An entry holds

``name``        the operation's name, in NumPy's spelling where NumPy has it
``answers_to``  the NumPy and SciPy functions that record it
``forward``     its value, in the arithmetic of :mod:`fastgrad.basis`
``partials``    its derivatives by each operand, from the operands and the result ``r``; written with operators and
                with operations of this table only, so that it runs on LLVM values and on a tape alike
``reference``   the same function as an mpmath expression in x, y, z (what the tests compare with)
``domain``      where the tests draw each operand from
``ulp``         the largest error, in units in the last place, that the tests accept
``absolute_error``  accepted instead of ``ulp`` where the result is near 0
``boolean``     the result is a truth value (kept as 1.0 or 0.0, shown as ``bool``)
``commutative`` operands may be exchanged without changing a bit
``piecewise_constant``  every derivative is zero
``logical_twin``  what NumPy computes instead when all operands are truth values
``on_arrays``   the operation on NumPy arrays, where neither a NumPy ufunc nor the VM should compute it while recording

To add an operation add one entry. Adjoints and tangents treat a partial of exactly 0.0 as absent.

Derivatives at kinks are conventions: ``absolute`` 0 at 0; ties in ``maximum`` and ``minimum`` share equally; steps
have derivative 0; ``x**0`` has derivative 0 in x everywhere; ``hypot`` and ``arctan2`` 0 at the origin; ``xlogy(0, y)``
is 0 for every y, with derivative log(y) in its first operand and 0 in its second.

Partials are differentiated again for higher orders, so a ``where`` in them must not replace a value at a point where
the formula has a derivative: it would make that derivative 0. ``zero_product`` keeps it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from fastgrad import basis
from fastgrad.elementary import bessel, exponential, exponents, gamma, hyperbolic, rounding, special, trigonometric

Interval = tuple[float, float]
ANY: Interval = (-1e3, 1e3)
POSITIVE: Interval = (1e-3, 1e3)
UNIT: Interval = (-1.0, 1.0)
LOG_2 = 0.6931471805599453
ONE_OVER_LOG_2 = 1.4426950408889634
TWO_OVER_ROOT_PI = 1.1283791670955126
ONE_OVER_LOG_10 = 0.4342944819032518


@dataclass(frozen=True, eq=False)
class Operation:
    """One entry of the table. Calling it applies it to LLVM values or records it on a tape."""

    name: str
    answers_to: tuple[str, ...]
    forward: Callable[..., Any]
    partials: Callable[..., tuple[Any, ...]]
    reference: str = ""
    domain: tuple[Interval, ...] = ()
    ulp: float = 0.5
    absolute_error: float = 0.0
    boolean: bool = False
    commutative: bool = False
    piecewise_constant: bool = False
    logical_twin: str = ""
    on_arrays: Callable[..., Any] | None = None
    code: int = field(default=-1, compare=False)

    @property
    def arity(self) -> int:
        return len(inspect.signature(self.forward).parameters)

    def __call__(self, *operands: Any) -> Any:
        for operand in operands:
            apply = getattr(operand, "apply_operation", None)
            if apply is not None:
                return apply(self, operands)
        raise TypeError(f"fastgrad: operation {self.name!r} needs an LLVM or tape value among its operands.")

    def __repr__(self) -> str:
        return f"<operation {self.name}>"


TABLE: list[Operation] = []
BY_NAME: dict[str, Operation] = {}


def _operation(
    name: str,
    answers_to: str,
    forward: Callable[..., Any],
    partials: Callable[..., tuple[Any, ...]],
    **facts: Any,
) -> Operation:
    entry = Operation(name, tuple(answers_to.split()), forward, partials, code=len(TABLE), **facts)
    TABLE.append(entry)
    BY_NAME[name] = entry
    return entry


def _step(name: str, answers_to: str, forward: Callable[..., Any], reference: str, **facts: Any) -> Operation:
    """An operation that is constant between jumps: every partial is zero."""
    arity = len(inspect.signature(forward).parameters)
    return _operation(
        name,
        answers_to,
        forward,
        lambda *_: (0.0,) * arity,
        reference=reference,
        domain=facts.pop("domain", (ANY,) * arity),
        piecewise_constant=True,
        **facts,
    )


# ---- arithmetic
add = _operation(
    "add",
    "numpy.add",
    lambda x, y: x + y,
    lambda x, y, r: (1.0, 1.0),
    reference="x + y",
    domain=(ANY, ANY),
    commutative=True,
    logical_twin="logical_or",
)
subtract = _operation(
    "subtract",
    "numpy.subtract",
    lambda x, y: x - y,
    lambda x, y, r: (1.0, -1.0),
    reference="x - y",
    domain=(ANY, ANY),
)
multiply = _operation(
    "multiply",
    "numpy.multiply",
    lambda x, y: x * y,
    lambda x, y, r: (y, x),
    reference="x * y",
    domain=(ANY, ANY),
    commutative=True,
    logical_twin="logical_and",
)


def _divide_partials(x: Any, y: Any, r: Any) -> tuple[Any, Any]:
    q = 1.0 / y
    return q, -(r * q)


divide = _operation(
    "divide", "numpy.divide", lambda x, y: x / y, _divide_partials, reference="x / y", domain=(ANY, POSITIVE)
)
negative = _operation("negative", "numpy.negative", lambda x: -x, lambda x, r: (-1.0,), reference="-x", domain=(ANY,))
positive = _operation(
    "positive", "numpy.positive numpy.conjugate", lambda x: x, lambda x, r: (1.0,), reference="x", domain=(ANY,)
)
square = _operation("square", "numpy.square", lambda x: x * x, lambda x, r: (x + x,), reference="x * x", domain=(ANY,))
reciprocal = _operation(
    "reciprocal", "numpy.reciprocal", lambda x: 1.0 / x, lambda x, r: (-(r * r),), reference="1 / x", domain=(POSITIVE,)
)
sqrt = _operation(
    "sqrt",
    "numpy.sqrt",
    basis.sqrt,
    lambda x, r: (0.5 / (r + 0.0),),  # + 0.0: infinity of one sign at either zero
    reference="sqrt(x)",
    domain=(POSITIVE,),
)
cbrt = _operation(
    "cbrt",
    "numpy.cbrt scipy.special.cbrt",
    exponential.cbrt,
    lambda x, r: (1.0 / (3.0 * (r * r)),),
    reference="sign(x) * cbrt(abs(x))",
    domain=(ANY,),
    ulp=2,
)
fused_multiply_add = _operation(
    "fused_multiply_add",
    "fastgrad.fma",
    lambda x, y, z: basis.fma(x, y, z),
    lambda x, y, z, r: (y, x, 1.0),
    reference="x * y + z",
    domain=(ANY, ANY, ANY),
)


def _power_partials(x: Any, y: Any, r: Any) -> tuple[Any, Any]:
    # both stand on the logarithm that the value takes: what a constant exponent makes needless costs nothing
    return zero_product(y, power(x, y - 1.0)), zero_product(r, log_of_base(x))


power = _operation(
    "power",
    "numpy.power numpy.float_power numpy.pow",
    exponential.power,
    _power_partials,
    reference="x ** y",
    domain=((1e-2, 1e2), (-30.0, 30.0)),
    ulp=2,
)


def _zero_product_of_arrays(x: Any, y: Any) -> Any:
    with np.errstate(invalid="ignore"):
        return np.where((np.equal(x, 0.0)) | (np.equal(y, 0.0)), 0.0, np.multiply(x, y))[()]


zero_product = _operation(
    "zero_product",
    "",
    lambda x, y: basis.select((x == 0.0) | (y == 0.0), 0.0, x * y),
    lambda x, y, r: (y, x),
    on_arrays=_zero_product_of_arrays,
    reference="x * y",
    domain=(ANY, ANY),
    commutative=True,
)
excess = _operation(
    "excess",
    "",
    lambda x, y: basis.select(x == y, 0.0, x - y),
    lambda x, y, r: (1.0, -1.0),
    reference="x - y",
    domain=(ANY, ANY),
)

# ---- exponentials and logarithms
exp = _operation(
    "exp", "numpy.exp", exponential.exp, lambda x, r: (r,), reference="exp(x)", domain=((-700.0, 700.0),), ulp=2
)
exp2 = _operation(
    "exp2",
    "numpy.exp2 scipy.special.exp2",
    exponential.exp2,
    lambda x, r: (r * LOG_2,),
    reference="mpf(2) ** x",
    domain=((-1000.0, 1000.0),),
    ulp=2,
)
expm1 = _operation(
    "expm1",
    "numpy.expm1 scipy.special.expm1",
    exponential.expm1,
    lambda x, r: (exp(x),),
    reference="expm1(x)",
    domain=((-50.0, 700.0),),
    ulp=2,
)
log = _operation(
    "log", "numpy.log", exponential.log, lambda x, r: (1.0 / x,), reference="log(x)", domain=(POSITIVE,), ulp=2
)
log_of_base: Operation = _operation(
    "log_of_base", "", exponential.log_of_base, lambda x, r: (1.0 / x,), reference="log(x)", domain=(POSITIVE,), ulp=1
)
log2 = _operation(
    "log2",
    "numpy.log2",
    exponential.log2,
    lambda x, r: (ONE_OVER_LOG_2 / x,),
    reference="log(x) / log(2)",
    domain=(POSITIVE,),
    ulp=2,
)
log10 = _operation(
    "log10",
    "numpy.log10",
    exponential.log10,
    lambda x, r: (ONE_OVER_LOG_10 / x,),
    reference="log10(x)",
    domain=(POSITIVE,),
    ulp=2,
)
log1p = _operation(
    "log1p",
    "numpy.log1p scipy.special.log1p",
    exponential.log1p,
    lambda x, r: (1.0 / (1.0 + x),),
    reference="log1p(x)",
    domain=((-0.999, 1e3),),
    ulp=2,
)
log_quotient = _operation(
    "log_quotient",
    "",
    hyperbolic.log_quotient,
    lambda x, y, r: (1.0 / x, -1.0 / y),
    reference="log(x / y) if x > 0 and y > 0 else nan",
    domain=(POSITIVE, POSITIVE),
    ulp=1,
)
xlogy = _operation(
    "xlogy",
    "scipy.special.xlogy fastgrad.xlogy",
    lambda x, y: basis.select((x == 0.0) & (y == y), 0.0, x * exponential.log(y)),
    lambda x, y, r: (log(y), zero_product(x, 1.0 / y)),
    reference="x * log(y)",
    domain=(ANY, POSITIVE),
    ulp=2,
)
xlog1py = _operation(
    "xlog1py",
    "scipy.special.xlog1py fastgrad.xlog1py",
    lambda x, y: basis.select((x == 0.0) & (y == y), 0.0, x * exponential.log1p(y)),
    lambda x, y, r: (log1p(y), zero_product(x, 1.0 / (1.0 + y))),
    reference="x * log1p(y)",
    domain=(ANY, (-0.999, 1e3)),
    ulp=2,
)
sigmoid: Operation = _operation(
    "sigmoid",
    "scipy.special.expit fastgrad.sigmoid",
    hyperbolic.sigmoid,
    lambda x, r: (r * sigmoid(-x),),
    reference="1 / (1 + exp(-x))",
    domain=((-700.0, 700.0),),
    ulp=2,
)
log_sigmoid = _operation(
    "log_sigmoid",
    "scipy.special.log_expit fastgrad.log_sigmoid",
    hyperbolic.log_sigmoid,
    lambda x, r: (sigmoid(-x),),
    reference="-log1p(exp(-x))",
    domain=((-700.0, 700.0),),
    ulp=2,
)
logit = _operation(
    "logit",
    "scipy.special.logit fastgrad.logit",
    hyperbolic.logit,
    lambda x, r: (1.0 / (x * (1.0 - x)),),
    reference="log(x) - log1p(-x)",
    domain=((0.0, 1.0),),
    ulp=1,
)
softplus = _operation(
    "softplus",
    "fastgrad.softplus",
    hyperbolic.softplus,
    lambda x, r: (sigmoid(x),),
    reference="log1p(exp(x))",
    domain=((-700.0, 700.0),),
    ulp=2,
)


def _logaddexp_partials(x: Any, y: Any, r: Any) -> tuple[Any, Any]:
    difference = x - y

    def share(difference: Any) -> Any:
        # equal infinities share, though their difference is NaN
        return where(isinf(x), where(x == y, 0.5, sigmoid(difference)), sigmoid(difference))

    return share(difference), share(-difference)


logaddexp = _operation(
    "logaddexp",
    "numpy.logaddexp",
    hyperbolic.logaddexp,
    _logaddexp_partials,
    reference="log(exp(x) + exp(y))",
    domain=((-300.0, 300.0), (-300.0, 300.0)),
    ulp=2,
    absolute_error=2.0**-53,
)

# ---- trigonometric and hyperbolic
sin = _operation(
    "sin", "numpy.sin", trigonometric.sin, lambda x, r: (cos(x),), reference="sin(x)", domain=(ANY,), ulp=2
)
cos: Operation = _operation(
    "cos", "numpy.cos", trigonometric.cos, lambda x, r: (-sin(x),), reference="cos(x)", domain=(ANY,), ulp=2
)
tan = _operation(
    "tan", "numpy.tan", trigonometric.tan, lambda x, r: (1.0 + r * r,), reference="tan(x)", domain=(ANY,), ulp=2
)
arcsin = _operation(
    "arcsin",
    "numpy.arcsin numpy.asin",
    trigonometric.arcsin,
    lambda x, r: (1.0 / sqrt(fused_multiply_add(-x, x, 1.0)),),
    reference="asin(x)",
    domain=(UNIT,),
    ulp=2,
)
arccos = _operation(
    "arccos",
    "numpy.arccos numpy.acos",
    trigonometric.arccos,
    lambda x, r: (-1.0 / sqrt(fused_multiply_add(-x, x, 1.0)),),
    reference="acos(x)",
    domain=(UNIT,),
    ulp=2,
)
arctan = _operation(
    "arctan",
    "numpy.arctan numpy.atan",
    trigonometric.arctan,
    lambda x, r: (1.0 / (1.0 + x * x),),
    reference="atan(x)",
    domain=(ANY,),
    ulp=2,
)


def _arctan2_partials(x: Any, y: Any, r: Any) -> tuple[Any, Any]:
    # by the hypotenuse twice, so that neither square overflows or vanishes; 0 far out and at the origin
    q = 1.0 / hypot(x, y)
    return zero_product(zero_product(y, q), q), -zero_product(zero_product(x, q), q)


arctan2 = _operation(
    "arctan2",
    "numpy.arctan2 numpy.atan2",
    trigonometric.arctan2,
    _arctan2_partials,
    reference="atan2(x, y)",
    domain=(ANY, ANY),
    ulp=2,
)
sinh = _operation(
    "sinh",
    "numpy.sinh",
    hyperbolic.sinh,
    lambda x, r: (cosh(x),),
    reference="sinh(x)",
    domain=((-700.0, 700.0),),
    ulp=2,
)
cosh: Operation = _operation(
    "cosh",
    "numpy.cosh",
    hyperbolic.cosh,
    lambda x, r: (sinh(x),),
    reference="cosh(x)",
    domain=((-700.0, 700.0),),
    ulp=2,
)


tanh: Operation = _operation(
    "tanh",
    "numpy.tanh",
    hyperbolic.tanh,
    lambda x, r: (slope_of_tanh(x),),
    reference="tanh(x)",
    domain=(ANY,),
    ulp=2,
)
# keeps its digits where 1 - tanh(x)**2 has lost them
slope_of_tanh: Operation = _operation(
    "slope_of_tanh",
    "",
    hyperbolic.slope_of_tanh,
    lambda x, r: (-2.0 * tanh(x) * r,),
    reference="sech(x) ** 2",
    domain=((-350.0, 350.0),),
    ulp=4,
)
arcsinh = _operation(
    "arcsinh",
    "numpy.arcsinh numpy.asinh",
    hyperbolic.arcsinh,
    lambda x, r: (1.0 / hypot(x, 1.0),),
    reference="asinh(x)",
    domain=(ANY,),
    ulp=2,
)
arccosh = _operation(
    "arccosh",
    "numpy.arccosh numpy.acosh",
    hyperbolic.arccosh,
    lambda x, r: (1.0 / (sqrt(x - 1.0) * sqrt(x + 1.0)),),
    reference="acosh(x)",
    domain=((1.0, 1e3),),
    ulp=2,
)
arctanh = _operation(
    "arctanh",
    "numpy.arctanh numpy.atanh",
    hyperbolic.arctanh,
    lambda x, r: (1.0 / fused_multiply_add(-x, x, 1.0),),
    reference="atanh(x)",
    domain=(UNIT,),
    ulp=2,
)
hypot: Operation = _operation(
    "hypot",
    "numpy.hypot",
    hyperbolic.hypot,
    lambda x, y, r: (where(r == 0.0, 0.0, x / r), where(r == 0.0, 0.0, y / r)),
    reference="hypot(x, y)",
    domain=(ANY, ANY),
    ulp=2,
    commutative=True,
)

# ---- error functions and the gamma family
erf = _operation(
    "erf",
    "scipy.special.erf fastgrad.erf",
    special.erf,
    lambda x, r: (slope_of_erf(x),),
    reference="erf(x)",
    domain=((-6.0, 6.0),),
    ulp=2,
)
erfc = _operation(
    "erfc",
    "scipy.special.erfc fastgrad.erfc",
    special.erfc,
    lambda x, r: (-slope_of_erf(x),),
    reference="erfc(x)",
    domain=((-6.0, 27.0),),
    ulp=2,
)


def _erfcx_partials(x: Any, r: Any) -> tuple[Any]:
    # far right the difference keeps no digits: there the asymptotic series of the derivative
    t = 0.5 / (x * x)
    series: Any = 1.0
    for k in range(41, 1, -2):
        series = 1.0 - k * t * series
    return (where(x > 8.0, -TWO_OVER_ROOT_PI * t * series, 2.0 * x * r - TWO_OVER_ROOT_PI),)


erfcx = _operation(
    "erfcx",
    "scipy.special.erfcx fastgrad.erfcx",
    special.erfcx,
    _erfcx_partials,
    reference="exp(x * x) * erfc(x)",
    domain=((-26.0, 1e3),),
    ulp=2,
)
erfinv = _operation(
    "erfinv",
    "scipy.special.erfinv fastgrad.erfinv",
    special.erfinv,
    lambda x, r: (1.0 / slope_of_erf(r),),
    reference="erfinv(x)",
    domain=(UNIT,),
    ulp=2,
)
slope_of_erf: Operation = _operation(
    "slope_of_erf",
    "",
    special.slope_of_erf,
    lambda x, r: (zero_product(-2.0 * x, r),),
    reference="2 / sqrt(pi) * exp(-x * x)",
    domain=((-27.0, 27.0),),
    ulp=2,
)
normal_density: Operation = _operation(
    "normal_density",
    "",
    special.normal_density,
    lambda x, r: (zero_product(-x, r),),
    reference="npdf(x)",
    domain=((-38.0, 38.0),),
    ulp=2,
)
ndtr = _operation(
    "ndtr",
    "scipy.special.ndtr fastgrad.ndtr",
    special.ndtr,
    lambda x, r: (normal_density(x),),
    reference="ncdf(x)",
    domain=((-38.0, 9.0),),
    ulp=2,
)
ndtri = _operation(
    "ndtri",
    "scipy.special.ndtri fastgrad.ndtri",
    special.ndtri,
    lambda x, r: (1.0 / normal_density(r),),
    reference="-sqrt(2) * erfinv(1 - 2 * x)",
    domain=((0.0, 1.0),),
    ulp=2,
)
log_ndtr = _operation(
    "log_ndtr",
    "scipy.special.log_ndtr fastgrad.log_ndtr",
    special.log_ndtr,
    lambda x, r: (inverse_mills_ratio(x),),
    reference="log(ncdf(x))",
    domain=((-300.0, 9.0),),
    ulp=4,
)


def _inverse_mills_ratio_partials(x: Any, r: Any) -> tuple[Any]:
    # far left r is nearly -x, and x + r keeps no digits: there the asymptotic series of the derivative
    t = 1.0 / (x * x)
    series = -1.0 + t * (1.0 + t * (-6.0 + t * (50.0 + t * (-518.0 + t * 6354.0))))
    return (where(x < -50.0, series, -zero_product(r, x + r)),)


inverse_mills_ratio: Operation = _operation(
    "inverse_mills_ratio",
    "",
    special.inverse_mills_ratio,
    _inverse_mills_ratio_partials,
    reference="exp(-x * x / 2) / sqrt(2 * pi) / ncdf(x)",
    domain=((-300.0, 38.0),),
    ulp=4,
)
gamma_ = _operation(
    "gamma",
    "scipy.special.gamma fastgrad.gamma",
    gamma.gamma,
    lambda x, r: (r * digamma(x),),
    reference="gamma(x)",
    domain=((1e-3, 171.0),),
    ulp=3,
)
gammaln = _operation(
    "gammaln",
    "scipy.special.gammaln fastgrad.gammaln",
    gamma.gammaln,
    lambda x, r: (digamma(x),),
    reference="re(loggamma(x))",
    domain=(POSITIVE,),
    ulp=4,
)
digamma: Operation = _operation(
    "digamma",
    "scipy.special.digamma scipy.special.psi fastgrad.digamma",
    gamma.digamma,
    lambda x, r: (trigamma(x),),
    reference="psi(0, x)",
    domain=(POSITIVE,),
    ulp=4,
)
trigamma: Operation = _operation(
    "trigamma",
    "fastgrad.trigamma",
    gamma.trigamma,
    lambda x, r: (tetragamma(x),),
    reference="psi(1, x)",
    domain=(POSITIVE,),
    ulp=4,
)


def _derivative_of_tetragamma(x: Any) -> Any:
    """``pentagamma``; on a tape the array operation of the same values, which has derivatives of every order."""
    apply_array = getattr(x, "apply_array_operation", None)
    if apply_array is None:
        return pentagamma(x)
    return apply_array(import_module("fastgrad.array_ops.special").pentagamma, (x,), None)


tetragamma: Operation = _operation(
    "tetragamma",
    "fastgrad.tetragamma",
    gamma.tetragamma,
    lambda x, r: (_derivative_of_tetragamma(x),),
    reference="psi(2, x)",
    domain=(POSITIVE,),
    ulp=4,
)
pentagamma: Operation = _operation(
    "pentagamma",
    "",
    gamma.pentagamma,
    lambda x, r: (r * float("nan"),),  # NaN instead of a wrong number; see tetragamma
    reference="psi(3, x)",
    domain=(POSITIVE,),
    ulp=4,
)


# ---- Bessel functions
# (2*k + 1)/(2 * 4**k * k! * (k + 1)!): the slope of i1 in x**2, for abs(x) <= 2 and several derivatives of it
_SLOPE_OF_I1 = tuple((2 * k + 1) / (2 * 4**k * math.factorial(k) * math.factorial(k + 1)) for k in range(15))


def _slope_of_order_one(x: Any, r: Any, lower: Any, sign: float, scale: Any) -> Any:
    """lower - r/x for order 1, by its series near 0, where nothing may be left out that has derivatives."""
    square = x * x
    near = square <= 4.0
    series: Any = _SLOPE_OF_I1[-1]
    for coefficient in _SLOPE_OF_I1[-2::-1]:
        series = series * (sign * square) + coefficient
    far = where(absolute(r) == math.inf, absolute(r), lower - r / where(near, 1.0, x))
    return where(near, series * scale, far)


i0 = _operation(
    "i0",
    "scipy.special.i0 fastgrad.i0",
    bessel.i0,
    lambda x, r: (i1(x),),
    reference="besseli(0, x)",
    domain=((-700.0, 700.0),),
    ulp=4,
)
i1: Operation = _operation(
    "i1",
    "scipy.special.i1 fastgrad.i1",
    bessel.i1,
    lambda x, r: (_slope_of_order_one(x, r, i0(x), 1.0, 1.0),),
    reference="besseli(1, x)",
    domain=((-700.0, 700.0),),
    ulp=4,
)
i0e = _operation(
    "i0e",
    "scipy.special.i0e fastgrad.i0e",
    bessel.i0e,
    lambda x, r: (i1e(x) - sign(x) * r,),
    reference="besseli(0, x) * exp(-abs(x))",
    domain=(ANY,),
    ulp=4,
)
i1e: Operation = _operation(
    "i1e",
    "scipy.special.i1e fastgrad.i1e",
    bessel.i1e,
    lambda x, r: (_slope_of_order_one(x, r, i0e(x), 1.0, exp(-absolute(x))) - sign(x) * r,),
    reference="besseli(1, x) * exp(-abs(x))",
    domain=(ANY,),
    ulp=4,
)
j0 = _operation(
    "j0",
    "scipy.special.j0 fastgrad.j0",
    bessel.j0,
    lambda x, r: (-j1(x),),
    reference="besselj(0, x)",
    domain=(ANY,),
    ulp=2,
    absolute_error=2.0**-51,
)
j1: Operation = _operation(
    "j1",
    "scipy.special.j1 fastgrad.j1",
    bessel.j1,
    lambda x, r: (_slope_of_order_one(x, r, j0(x), -1.0, 1.0),),
    reference="besselj(1, x)",
    domain=(ANY,),
    ulp=2,
    absolute_error=2.0**-51,
)

# ---- signs, steps and remainders
absolute: Operation = _operation(
    "absolute",
    "numpy.absolute numpy.fabs",
    basis.absolute,
    lambda x, r: (sign(x),),
    reference="abs(x)",
    domain=(ANY,),
)
sign: Operation = _step(
    "sign",
    "numpy.sign",
    lambda x: basis.select(x > 0.0, 1.0, basis.select(x < 0.0, -1.0, basis.select(x == 0.0, 0.0, x))),
    "sign(x)",
)
copysign = _operation(
    "copysign",
    "numpy.copysign",
    lambda x, y: basis.copysign(x, y),
    lambda x, y, r: (sign(x) * where(signbit(y), -1.0, 1.0), 0.0),
    reference="abs(x) * sign(y)",
    domain=(ANY, ANY),
)
floor = _step("floor", "numpy.floor", basis.floor, "floor(x)")
ceil = _step("ceil", "numpy.ceil", basis.ceil, "ceil(x)")
rint = _step("rint", "numpy.rint", basis.rint, "nint(x)")
trunc = _step("trunc", "numpy.trunc numpy.fix", basis.trunc, "sign(x) * floor(abs(x))")
heaviside = _operation(
    "heaviside",
    "numpy.heaviside",
    lambda x, y: basis.select(x > 0.0, 1.0, basis.select(x < 0.0, 0.0, basis.select(x == 0.0, y, x))),
    lambda x, y, r: (0.0, where(x == 0.0, 1.0, 0.0)),
    reference="1 if x > 0 else y if x == 0 else 0",
    domain=(ANY, ANY),
)
fmod = _operation(
    "fmod",
    "numpy.fmod",
    rounding.fmod,
    lambda x, y, r: (1.0, -rint((x - r) / y)),  # the quotient x / y itself may round up to the next whole number
    reference="x - y * (sign(x / y) * floor(abs(x / y)))",
    domain=(ANY, POSITIVE),
)
remainder = _operation(
    "remainder",
    "numpy.remainder numpy.mod",
    rounding.remainder,
    lambda x, y, r: (1.0, -floor_divide(x, y)),
    reference="x - y * floor(x / y)",
    domain=(ANY, POSITIVE),
)
floor_divide: Operation = _step(
    "floor_divide", "numpy.floor_divide", rounding.floor_divide, "floor(x / y)", domain=(ANY, POSITIVE)
)
fraction = _operation(
    "fraction",
    "",
    exponents.fraction,
    lambda x, r: (1.0,),
    on_arrays=lambda x: np.modf(x)[0],
    reference="x - sign(x) * floor(abs(x))",
    domain=(ANY,),
)

# ---- exponents and neighbours
binary_exponent = _step(
    "binary_exponent", "", exponents.binary_exponent, "frexp(x)[1]", on_arrays=lambda x: np.frexp(x)[1]
)
binary_mantissa = _operation(
    "binary_mantissa",
    "",
    exponents.binary_mantissa,
    lambda x, r: (ldexp(1.0, -binary_exponent(x)),),
    on_arrays=lambda x: np.frexp(x)[0],
    reference="frexp(x)[0]",
    domain=(ANY,),
)
ldexp: Operation = _operation(
    "ldexp",
    "",
    exponents.ldexp,
    lambda x, y, r: (ldexp(1.0, y), 0.0),
    domain=(ANY, (-5.0, 5.0)),
    on_arrays=lambda x, y: np.ldexp(x, np.asarray(y).astype(np.int64))[()],
)
nextafter = _operation(
    "nextafter", "numpy.nextafter", exponents.nextafter, lambda x, y, r: (1.0, 0.0), domain=(ANY, ANY)
)
spacing = _step("spacing", "numpy.spacing", exponents.spacing, "")


# ---- choices
def _maximum(x: Any, y: Any) -> Any:
    # a NaN in x is kept by the first comparison, one in y by the unordered second
    return basis.select((x > y) | (x != x), x, basis.select(x == y, _larger_zero(x, y), y))


def _minimum(x: Any, y: Any) -> Any:
    return basis.select((x < y) | (x != x), x, basis.select(x == y, _smaller_zero(x, y), y))


def _larger_zero(x: Any, y: Any) -> Any:
    return basis.from_bits(basis.to_bits(x) & basis.to_bits(y))


def _smaller_zero(x: Any, y: Any) -> Any:
    return basis.from_bits(basis.to_bits(x) | basis.to_bits(y))


def _share_larger(x: Any, y: Any, r: Any) -> tuple[Any, Any]:
    return where(x > y, 1.0, where(x < y, 0.0, 0.5)), where(x > y, 0.0, where(x < y, 1.0, 0.5))


def _share_smaller(x: Any, y: Any, r: Any) -> tuple[Any, Any]:
    return where(x < y, 1.0, where(x > y, 0.0, 0.5)), where(x < y, 0.0, where(x > y, 1.0, 0.5))


def _share_larger_number(x: Any, y: Any, r: Any) -> tuple[Any, Any]:
    by_x, by_y = _share_larger(x, y, r)
    return where(y != y, 1.0, where(x != x, 0.0, by_x)), where(x != x, 1.0, where(y != y, 0.0, by_y))


def _share_smaller_number(x: Any, y: Any, r: Any) -> tuple[Any, Any]:
    by_x, by_y = _share_smaller(x, y, r)
    return where(y != y, 1.0, where(x != x, 0.0, by_x)), where(x != x, 1.0, where(y != y, 0.0, by_y))


maximum = _operation("maximum", "numpy.maximum", _maximum, _share_larger, reference="max(x, y)", domain=(ANY, ANY))
minimum = _operation("minimum", "numpy.minimum", _minimum, _share_smaller, reference="min(x, y)", domain=(ANY, ANY))
fmax = _operation(
    "fmax",
    "numpy.fmax",
    lambda x, y: basis.select(y != y, x, basis.select(x != x, y, _maximum(x, y))),
    _share_larger_number,
    reference="max(x, y)",
    domain=(ANY, ANY),
)
fmin = _operation(
    "fmin",
    "numpy.fmin",
    lambda x, y: basis.select(y != y, x, basis.select(x != x, y, _minimum(x, y))),
    _share_smaller_number,
    reference="min(x, y)",
    domain=(ANY, ANY),
)
where: Operation = _operation(
    "where",
    "numpy.where",
    lambda x, y, z: basis.select(_truth(x), y, z),
    lambda x, y, z, r: (0.0, where(x, 1.0, 0.0), where(x, 0.0, 1.0)),
    on_arrays=lambda x, y, z: np.where(x, y, z)[()],  # type: ignore[call-overload]
    reference="y if x != 0 else z",
    domain=(ANY, ANY, ANY),
)


def _truth(x: Any) -> Any:
    return x if hasattr(x, "is_condition") else x != 0.0


# ---- truth values
less = _step("less", "numpy.less", lambda x, y: x < y, "x < y", boolean=True)
less_equal = _step("less_equal", "numpy.less_equal", lambda x, y: x <= y, "x <= y", boolean=True)
greater = _step("greater", "numpy.greater", lambda x, y: x > y, "x > y", boolean=True)
greater_equal = _step("greater_equal", "numpy.greater_equal", lambda x, y: x >= y, "x >= y", boolean=True)
equal = _step("equal", "numpy.equal", lambda x, y: x == y, "x == y", boolean=True, commutative=True)
not_equal = _step("not_equal", "numpy.not_equal", lambda x, y: x != y, "x != y", boolean=True, commutative=True)
logical_and = _step(
    "logical_and",
    "numpy.logical_and numpy.bitwise_and",
    lambda x, y: (x != 0.0) & (y != 0.0),
    "x != 0 and y != 0",
    boolean=True,
    commutative=True,
)
logical_or = _step(
    "logical_or",
    "numpy.logical_or numpy.bitwise_or",
    lambda x, y: (x != 0.0) | (y != 0.0),
    "x != 0 or y != 0",
    boolean=True,
    commutative=True,
)
logical_xor = _step(
    "logical_xor",
    "numpy.logical_xor numpy.bitwise_xor",
    lambda x, y: (x != 0.0) ^ (y != 0.0),
    "(x != 0) != (y != 0)",
    boolean=True,
    commutative=True,
)
logical_not = _step("logical_not", "numpy.logical_not numpy.invert", lambda x: x == 0.0, "x == 0", boolean=True)
stop_gradient = _step("stop_gradient", "", lambda x: x, "x", on_arrays=lambda x: x)
isnan = _step("isnan", "numpy.isnan", lambda x: x != x, "False", boolean=True)
isfinite = _step("isfinite", "numpy.isfinite", lambda x: basis.absolute(x) < float("inf"), "True", boolean=True)
isinf = _step("isinf", "numpy.isinf", lambda x: basis.absolute(x) == float("inf"), "False", boolean=True)
signbit: Operation = _step("signbit", "numpy.signbit", lambda x: basis.to_bits(x) < 0, "x < 0", boolean=True)

# Notes on the odd ones.
# zero_product: the strong-zero product of adjoints: 0 where either factor is 0, whatever the other is.
# excess:       x - y, and 0 between equal infinities, which share in the sum of their exponentials.
# where:        its first operand is a truth value; the branch not taken gets derivative 0, also where it is infinite.
# clip:         recorded as minimum(maximum(x, low), high), which is NumPy's definition.
# round:        with decimals it is recorded as rint(x * 10**d) / 10**d, as NumPy computes it.
