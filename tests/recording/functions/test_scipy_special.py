"""Functions of ``scipy.special``: values of SciPy, derivatives of mpmath, refusals by name.

Functions that know no protocol are called as the stand-ins call them, by their definitions in ``registry.OUTSIDE``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special as special
from mpmath import mp, mpf

import fastgrad as fg
from fastgrad.array_ops.special import SPECIAL
from fastgrad.errors import UnsupportedError
from fastgrad.recording.functions import scipy_special  # noqa: F401 - registers the definitions
from fastgrad.recording.functions.registry import OUTSIDE

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
NAN, INF = np.nan, np.inf
Function = Callable[..., Any]


def outside(name: str) -> Function:
    """The function for recorded values, and SciPy's for others."""
    definition, original = OUTSIDE[f"scipy.special.{name}"], getattr(special, name)

    def function(*args: Any, **kwargs: Any) -> Any:
        recorded = any(type(x).__name__ == "RecordedArray" for x in args)
        return (definition if recorded else original)(*args, **kwargs)

    return function


def exact_gammainc(a: Any, x: Any) -> Any:
    return mp.gammainc(a, 0, x, regularized=True)


def exact_betainc(a: Any, b: Any, x: Any) -> Any:
    return mp.betainc(a, b, 0, x, regularized=True)


def exact_stdtr(df: Any, t: Any) -> Any:
    return mpf("0.5") + mp.sign(t) * exact_betainc(mpf("0.5"), df / 2, t * t / (df + t * t)) / 2


def inverse(function: Function, low: Any, high: Any) -> Function:
    """The inverse of an increasing function of mpmath numbers."""
    return lambda y: mp.findroot(lambda x: function(x) - y, (mpf(low), mpf(high)), solver="anderson", tol=1e-40)


def spherical(function: Function, n: int) -> Function:
    return lambda x: mp.sqrt(mp.pi / (2 * x)) * function(n + mpf("0.5"), x)


def entropy(x: Any, y: Any) -> Any:
    return x * mp.log(x / y)


MIDDLE = (0.13, 0.5, 0.93)
POSITIVE = (0.2, 1.0, 11.0)
BOTH = (-3.3, -0.4, 1.9, 6.0)

# what is called, the same in mpmath, points
CASES: list[tuple[str, Function, Function, tuple[float, ...]]] = [
    ("loggamma", special.loggamma, mp.loggamma, POSITIVE),
    ("rgamma", special.rgamma, mp.rgamma, (*POSITIVE, -0.3, -1.5, -2.0, 0.0, -6.9)),
    ("erfcinv", special.erfcinv, lambda y: mp.erfinv(1 - y), (0.02, 0.3, 1.0, 1.7)),
    ("erfi", special.erfi, mp.erfi, BOTH[1:4]),
    ("dawsn", special.dawsn, lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x), (*BOTH, 0.0, 8.5, -20.0)),
    ("ndtri_exp", special.ndtri_exp, inverse(lambda x: mp.log(mp.ncdf(x)), -9, 3), (-20.0, -3.0, -0.2)),
    ("entr", special.entr, lambda x: -x * mp.log(x), POSITIVE),
    ("rel_entr by x", lambda x: special.rel_entr(x, 0.7), lambda x: entropy(x, mpf(0.7)), (*POSITIVE, 0.7000001)),
    ("rel_entr by y", lambda y: special.rel_entr(0.7, y), lambda y: entropy(mpf(0.7), y), POSITIVE),
    ("kl_div by x", lambda x: special.kl_div(x, 0.7), lambda x: entropy(x, mpf(0.7)) - x + mpf(0.7), POSITIVE),
    ("kl_div by y", lambda y: special.kl_div(0.7, y), lambda y: entropy(mpf(0.7), y) - mpf(0.7) + y, POSITIVE),
    ("huber within", lambda r: special.huber(1.5, r), lambda r: r * r / 2, (-1.2, 0.0, 0.4)),
    ("huber beyond", lambda r: special.huber(1.5, r), lambda r: mpf(1.5) * (abs(r) - mpf(0.75)), (-7.0, 3.0)),
    ("huber by delta", lambda d: special.huber(d, -3.0), lambda d: d * (3 - d / 2), (0.3, 2.5)),
    (
        "pseudo_huber",
        lambda r: special.pseudo_huber(1.5, r),
        lambda r: mpf(1.5) ** 2 * (mp.sqrt(1 + (r / mpf(1.5)) ** 2) - 1),
        (*BOTH, 0.0, 1e-9),
    ),
    (
        "pseudo_huber by delta",
        lambda d: special.pseudo_huber(d, -3.0),
        lambda d: d**2 * (mp.sqrt(1 + (3 / d) ** 2) - 1),
        POSITIVE,
    ),
    ("exp10", special.exp10, lambda x: mpf(10) ** x, BOTH),
    ("cosm1", special.cosm1, lambda x: mp.cos(x) - 1, (*BOTH, 1e-9, 0.0)),
    ("radian", lambda x: special.radian(x, 3.0, x), lambda x: (x + mpf(3) / 60 + x / 3600) * mp.pi / 180, BOTH),
    ("sindg", special.sindg, lambda x: mp.sin(mp.radians(x)), (*BOTH, 0.0, 89.0, 361.0)),
    ("cosdg", special.cosdg, lambda x: mp.cos(mp.radians(x)), (*BOTH, 0.0, 89.0, 361.0)),
    ("tandg", special.tandg, lambda x: mp.tan(mp.radians(x)), (*BOTH, 89.0)),
    ("cotdg", special.cotdg, lambda x: mp.cot(mp.radians(x)), (*BOTH, 89.0)),
    ("powm1 by x", lambda x: special.powm1(x, 0.3), lambda x: x ** mpf(0.3) - 1, POSITIVE),
    ("powm1 by y", lambda y: special.powm1(1.2, y), lambda y: mpf(1.2) ** y - 1, BOTH),
    ("boxcox by x", lambda x: special.boxcox(x, 0.4), lambda x: (x ** mpf(0.4) - 1) / mpf(0.4), POSITIVE),
    ("boxcox by lambda", lambda p: special.boxcox(2.5, p), lambda p: (mpf(2.5) ** p - 1) / p, (-3.0, -0.3, 1e-9, 2.0)),
    ("boxcox1p by x", lambda x: special.boxcox1p(x, -0.4), lambda x: ((1 + x) ** mpf(-0.4) - 1) / mpf(-0.4), POSITIVE),
    ("boxcox1p by lambda", lambda p: special.boxcox1p(1.5, p), lambda p: (mpf(2.5) ** p - 1) / p, (-3.0, 1e-9, 2.0)),
    ("inv_boxcox by y", lambda y: special.inv_boxcox(y, 0.4), lambda y: (1 + mpf(0.4) * y) ** (1 / mpf(0.4)), POSITIVE),
    (
        "inv_boxcox by lambda",
        lambda p: special.inv_boxcox(0.7, p),
        lambda p: mp.exp(mp.log1p(p * mpf(0.7)) / p),
        (-0.9, -0.1, 1e-9, 0.6, 3.0),
    ),
    (
        "inv_boxcox1p by lambda",
        lambda p: special.inv_boxcox1p(0.7, p),
        lambda p: mp.expm1(mp.log1p(p * mpf(0.7)) / p),
        (-0.9, 1e-9, 3.0),
    ),
    ("inv_boxcox1p by y", lambda y: special.inv_boxcox1p(y, 2.0), lambda y: mp.sqrt(1 + 2 * y) - 1, POSITIVE),
    ("wrightomega", special.wrightomega, lambda x: mp.lambertw(mp.exp(x)), BOTH),
    ("beta", lambda a: special.beta(a, 2.5), lambda a: mp.beta(a, mpf(2.5)), (*POSITIVE, -0.4)),
    ("betaln", lambda b: special.betaln(0.3, b), lambda b: mp.log(mp.beta(mpf(0.3), b)), (*POSITIVE, 1e2)),
    ("binom by n", lambda n: special.binom(n, 2.0), lambda n: n * (n - 1) / 2, (2.5, 7.3)),
    ("binom by k", lambda k: special.binom(6.5, k), lambda k: mp.binomial(mpf(6.5), k), (0.5, 2.0, 3.7)),
    ("poch by z", lambda z: special.poch(z, 3.0), lambda z: z * (z + 1) * (z + 2), POSITIVE),
    ("poch by m", lambda m: special.poch(1.5, m), lambda m: mp.rf(mpf(1.5), m), POSITIVE),
    ("gammainc", lambda x: special.gammainc(2.3, x), lambda x: exact_gammainc(mpf(2.3), x), POSITIVE),
    ("gammaincc", lambda x: special.gammaincc(0.4, x), lambda x: 1 - exact_gammainc(mpf(0.4), x), POSITIVE),
    ("gammaincinv", lambda p: special.gammaincinv(2.0, p), inverse(lambda x: exact_gammainc(2, x), 1e-9, 9), MIDDLE),
    (
        "gammainccinv",
        lambda p: special.gammainccinv(2.0, 1 - p),
        inverse(lambda x: exact_gammainc(2, x), 1e-9, 9),
        MIDDLE,
    ),
    ("betainc", lambda x: special.betainc(2.3, 0.6, x), lambda x: exact_betainc(mpf(2.3), mpf(0.6), x), MIDDLE),
    ("betaincc", lambda x: special.betaincc(2.3, 0.6, x), lambda x: 1 - exact_betainc(mpf(2.3), mpf(0.6), x), MIDDLE),
    ("betaincinv", lambda p: special.betaincinv(2.0, 3.0, p), inverse(lambda x: exact_betainc(2, 3, x), 0, 1), MIDDLE),
    (
        "betainccinv",
        lambda p: special.betainccinv(2.0, 3.0, 1 - p),
        inverse(lambda x: exact_betainc(2, 3, x), 0, 1),
        MIDDLE,
    ),
    ("stdtr", lambda t: special.stdtr(2.5, t), lambda t: exact_stdtr(mpf(2.5), t), BOTH),
    ("stdtrit", lambda p: special.stdtrit(3.0, p), inverse(lambda t: exact_stdtr(mpf(3), t), -9, 9), (0.1, 0.4, 0.8)),
    ("chdtr", lambda x: special.chdtr(3.0, x), lambda x: exact_gammainc(mpf(1.5), x / 2), POSITIVE),
    ("chdtrc", lambda x: special.chdtrc(3.0, x), lambda x: 1 - exact_gammainc(mpf(1.5), x / 2), POSITIVE),
    (
        "chdtri",
        lambda p: special.chdtri(4.0, 1 - p),
        inverse(lambda x: exact_gammainc(2, x / 2), 1e-9, 19),
        MIDDLE,
    ),
    ("gdtr", lambda x: special.gdtr(1.3, 2.0, x), lambda x: exact_gammainc(2, mpf(1.3) * x), POSITIVE),
    ("gdtr by a", lambda a: special.gdtr(a, 2.0, 1.3), lambda a: exact_gammainc(2, mpf(1.3) * a), POSITIVE),
    ("gdtrc", lambda x: special.gdtrc(1.3, 2.0, x), lambda x: 1 - exact_gammainc(2, mpf(1.3) * x), POSITIVE),
    ("pdtr", lambda m: special.pdtr(2.0, m), lambda m: mp.exp(-m) * (1 + m + m * m / 2), POSITIVE),
    ("pdtrc", lambda m: special.pdtrc(2.0, m), lambda m: 1 - mp.exp(-m) * (1 + m + m * m / 2), POSITIVE),
    ("bdtr", lambda p: special.bdtr(1.0, 3, p), lambda p: (1 - p) ** 2 * (1 + 2 * p), MIDDLE),
    ("bdtrc", lambda p: special.bdtrc(1.0, 3, p), lambda p: 1 - (1 - p) ** 2 * (1 + 2 * p), MIDDLE),
    ("nbdtr", lambda p: special.nbdtr(1, 2, p), lambda p: p * p * (1 + 2 * (1 - p)), MIDDLE),
    ("nbdtrc", lambda p: special.nbdtrc(1, 2, p), lambda p: 1 - p * p * (1 + 2 * (1 - p)), MIDDLE),
    ("fdtr", lambda x: special.fdtr(3.0, 5.0, x), lambda x: exact_betainc(1.5, 2.5, 3 * x / (5 + 3 * x)), POSITIVE),
    (
        "fdtrc",
        lambda x: special.fdtrc(3.0, 5.0, x),
        lambda x: 1 - exact_betainc(1.5, 2.5, 3 * x / (5 + 3 * x)),
        POSITIVE,
    ),
    (
        "owens_t by h",
        lambda h: special.owens_t(h, 0.7),
        lambda h: mp.quad(lambda t: mp.exp(-h * h * (1 + t * t) / 2) / (1 + t * t), [0, mpf(0.7)]) / (2 * mp.pi),
        BOTH[:4],
    ),
    (
        "owens_t by a",
        lambda a: special.owens_t(1.1, a),
        lambda a: mp.quad(lambda t: mp.exp(-(mpf(1.1) ** 2) * (1 + t * t) / 2) / (1 + t * t), [0, a]) / (2 * mp.pi),
        BOTH[:4],
    ),
    ("expi", special.expi, mp.ei, (-3.0, -0.2, 0.4, 7.0)),
    ("exp1", special.exp1, mp.e1, POSITIVE),
    ("expn", lambda x: special.expn(3, x), lambda x: mp.expint(3, x), POSITIVE),
    ("expn of order 0", lambda x: special.expn(0, x), lambda x: mp.exp(-x) / x, POSITIVE),
    ("sine integral", lambda x: special.sici(x)[0], mp.si, (*BOTH, 0.0)),
    ("cosine integral", lambda x: special.sici(x)[1], mp.ci, POSITIVE),
    ("hyperbolic sine integral", lambda x: special.shichi(x)[0], mp.shi, (*BOTH, 0.0)),
    ("hyperbolic cosine integral", lambda x: special.shichi(x)[1], mp.chi, POSITIVE),
    ("fresnel sine", lambda x: special.fresnel(x)[0], mp.fresnels, BOTH),
    ("fresnel cosine", lambda x: special.fresnel(x)[1], mp.fresnelc, BOTH),
    ("spence", special.spence, lambda x: mp.polylog(2, 1 - x), (0.2, 0.999, 1.0, 1.6)),
    ("jv", lambda x: special.jv(2.5, x), lambda x: mp.besselj(mpf(2.5), x), POSITIVE),
    ("jn", lambda x: special.jn(2, x), lambda x: mp.besselj(2, x), (*BOTH, 0.0)),
    ("jve", lambda x: special.jve(1, x), lambda x: mp.besselj(1, x), BOTH),
    ("yv", lambda x: special.yv(0.3, x), lambda x: mp.bessely(mpf(0.3), x), POSITIVE),
    ("yve", lambda x: special.yve(1.0, x), lambda x: mp.bessely(1, x), POSITIVE),
    ("yn", lambda x: special.yn(3, x), lambda x: mp.bessely(3, x), POSITIVE),
    ("iv", lambda x: special.iv(0.7, x), lambda x: mp.besseli(mpf(0.7), x), POSITIVE),
    ("ive", lambda x: special.ive(2, x), lambda x: mp.besseli(2, x) * mp.exp(-abs(x)), BOTH),
    ("kv", lambda x: special.kv(0.7, x), lambda x: mp.besselk(mpf(0.7), x), POSITIVE),
    ("kve", lambda x: special.kve(1.5, x), lambda x: mp.besselk(mpf(1.5), x) * mp.exp(x), POSITIVE),
    ("kn", lambda x: special.kn(2, x), lambda x: mp.besselk(2, x), POSITIVE),
    *((f"j{n}", getattr(special, f"j{n}"), lambda x, n=n: mp.besselj(n, x), (*BOTH, 0.0)) for n in (0, 1)),
    *((f"i{n}", getattr(special, f"i{n}"), lambda x, n=n: mp.besseli(n, x), (*BOTH, 0.0)) for n in (0, 1)),
    *((f"y{n}", getattr(special, f"y{n}"), lambda x, n=n: mp.bessely(n, x), POSITIVE) for n in (0, 1)),
    *((f"k{n}", getattr(special, f"k{n}"), lambda x, n=n: mp.besselk(n, x), POSITIVE) for n in (0, 1)),
    *((f"i{n}e", getattr(special, f"i{n}e"), lambda x, n=n: mp.besseli(n, x) * mp.exp(-abs(x)), BOTH) for n in (0, 1)),
    *((f"k{n}e", getattr(special, f"k{n}e"), lambda x, n=n: mp.besselk(n, x) * mp.exp(x), POSITIVE) for n in (0, 1)),
    *(
        (
            f"airy {k}",
            lambda x, k=k: special.airy(x)[k],
            lambda x, k=k: (mp.airyai, mp.airybi)[k // 2](x, derivative=k % 2),
            BOTH,
        )
        for k in range(4)
    ),
    ("hyp0f1", lambda x: special.hyp0f1(1.5, x), lambda x: mp.hyp0f1(mpf(1.5), x), BOTH),
    ("hyp1f1", lambda x: special.hyp1f1(0.5, 1.5, x), lambda x: mp.hyp1f1(mpf(0.5), mpf(1.5), x), BOTH),
    (
        "hyp2f1",
        lambda x: special.hyp2f1(0.5, 1.5, 2.5, x),
        lambda x: mp.hyp2f1(mpf(0.5), mpf(1.5), mpf(2.5), x),
        MIDDLE,
    ),
    ("hyperu", lambda x: special.hyperu(0.5, 1.5, x), lambda x: mp.hyperu(mpf(0.5), mpf(1.5), x), POSITIVE),
    ("exprel", special.exprel, lambda x: mp.expm1(x) / x if x else mpf(1), (*BOTH, 1e-9)),
    ("ellipk", special.ellipk, mp.ellipk, (-3.0, -0.1, 1e-9, 0.3, 0.9)),
    ("ellipkm1", special.ellipkm1, lambda p: mp.ellipk(1 - p), (0.01, 0.7, 0.99)),
    ("ellipe", special.ellipe, mp.ellipe, (-3.0, -0.1, 1e-9, 0.3, 0.9)),
    ("ellipkinc", lambda x: special.ellipkinc(x, 0.4), lambda x: mp.ellipf(x, mpf(0.4)), (-1.0, 0.3, 1.4)),
    ("ellipeinc", lambda x: special.ellipeinc(x, 0.4), lambda x: mp.ellipe(x, mpf(0.4)), (-1.0, 0.3, 1.4)),
    *(
        (
            f"legendre {n}",
            lambda x, n=n: special.eval_legendre(n, x),
            lambda x, n=n: mp.legendre(n, x),
            (-0.7, 0.2, 1.0),
        )
        for n in (0, 1, 5)
    ),
    ("chebyc", lambda x: special.eval_chebyc(3, x), lambda x: 2 * mp.chebyt(3, x / 2), (-0.7, 0.2, 3.0)),
    ("chebys", lambda x: special.eval_chebys(3, x), lambda x: mp.chebyu(3, x / 2), (-0.7, 0.2, 1.7)),
    ("sh_chebyt", lambda x: special.eval_sh_chebyt(3, x), lambda x: mp.chebyt(3, 2 * x - 1), MIDDLE),
    ("sh_chebyu", lambda x: special.eval_sh_chebyu(3, x), lambda x: mp.chebyu(3, 2 * x - 1), MIDDLE),
    ("sh_legendre", lambda x: special.eval_sh_legendre(4, x), lambda x: mp.legendre(4, 2 * x - 1), MIDDLE),
    (
        "sh_jacobi",
        lambda x: special.eval_sh_jacobi(3, 2.5, 0.7, x),
        lambda x: mp.jacobi(3, mpf(2.5) - mpf(0.7), mpf(0.7) - 1, 2 * x - 1) / mp.binomial(mpf(7.5), 3),
        MIDDLE,
    ),
    (
        "jacobi",
        lambda x: special.eval_jacobi(4, 0.5, 1.5, x),
        lambda x: mp.jacobi(4, mpf(0.5), mpf(1.5), x),
        (-0.7, 0.2),
    ),
    ("gegenbauer", lambda x: special.eval_gegenbauer(4, 0.7, x), lambda x: mp.gegenbauer(4, mpf(0.7), x), (-0.7, 0.2)),
    ("chebyt", lambda x: special.eval_chebyt(5, x), lambda x: mp.chebyt(5, x), (-0.7, 0.2, 1.0, 1.5)),
    ("chebyu", lambda x: special.eval_chebyu(5, x), lambda x: mp.chebyu(5, x), (-0.7, 0.2, 1.5)),
    ("laguerre", lambda x: special.eval_laguerre(4, x), lambda x: mp.laguerre(4, 0, x), BOTH),
    ("genlaguerre", lambda x: special.eval_genlaguerre(4, 0.5, x), lambda x: mp.laguerre(4, mpf(0.5), x), BOTH),
    ("hermite", lambda x: special.eval_hermite(4, x), lambda x: mp.hermite(4, x), BOTH),
    ("hermitenorm", lambda x: special.eval_hermitenorm(2, x), lambda x: x * x - 1, BOTH),
    ("softplus", outside("softplus"), lambda x: mp.log1p(mp.exp(x)), BOTH),
    *(
        (f"polygamma {n}", lambda x, n=n: outside("polygamma")(n, x), lambda x, n=n: mp.polygamma(n, x), POSITIVE)
        for n in range(6)
        if n != 2  # its second derivative is the last of the elementary ones
    ),
    ("zeta", lambda q: outside("zeta")(2.5, q), lambda q: mp.zeta(mpf(2.5), q), POSITIVE),
    (
        "multigammaln",
        lambda a: outside("multigammaln")(a, 2),
        lambda a: mp.log(mp.pi) / 2 + mp.loggamma(a) + mp.loggamma(a - mpf(0.5)),
        (0.7, 4.0),
    ),
    ("comb", lambda n: outside("comb")(n, 2.0), lambda n: n * (n - 1) / 2, (2.5, 7.3)),
    ("perm", lambda n: outside("perm")(n, 2.0), lambda n: n * (n - 1), (2.5, 7.3)),
    ("factorial", outside("factorial"), lambda n: mp.gamma(n + 1), POSITIVE),
    ("spherical_jn", lambda x: outside("spherical_jn")(2, x), spherical(mp.besselj, 2), POSITIVE),
    ("spherical_jn of order 0", lambda x: outside("spherical_jn")(0, x), spherical(mp.besselj, 0), POSITIVE),
    ("spherical_yn", lambda x: outside("spherical_yn")(2, x), spherical(mp.bessely, 2), POSITIVE),
    ("spherical_in", lambda x: outside("spherical_in")(2, x), spherical(mp.besseli, 2), POSITIVE),
    ("spherical_kn", lambda x: outside("spherical_kn")(2, x), lambda x: spherical(mp.besselk, 2)(x), POSITIVE),
    (
        "slope of spherical_kn",
        lambda x: outside("spherical_kn")(1, x, True),
        lambda x: mp.diff(spherical(mp.besselk, 1), x),
        POSITIVE,
    ),
    ("jvp", lambda x: outside("jvp")(1, x, 2), lambda x: mp.besselj(1, x, derivative=2), POSITIVE),
    ("yvp", lambda x: outside("yvp")(1, x), lambda x: mp.bessely(1, x, derivative=1), POSITIVE),
    ("ivp", lambda x: outside("ivp")(1, x, 3), lambda x: mp.besseli(1, x, derivative=3), POSITIVE),
    ("kvp", lambda x: outside("kvp")(1, x, 1), lambda x: -(mp.besselk(0, x) + mp.besselk(2, x)) / 2, POSITIVE),
]


def check(name: str, computed: Any, exact: list[Any], scale: Any, rtol: float) -> None:
    expected = np.array([float(mp.re(value)) for value in exact])
    errors = np.abs(np.asarray(computed, float) - expected) / (np.abs(expected) + scale)
    assert np.all(errors <= rtol), (name, computed, expected)


@pytest.mark.parametrize(("name", "function", "exact", "points"), CASES, ids=[case[0] for case in CASES])
def test_values_and_derivatives_are_those_of_mpmath(
    name: str, function: Function, exact: Function, points: tuple[float, ...]
) -> None:
    x = np.array(points)
    with mp.workdps(30):
        orders = [[mp.diff(exact, mpf(point), order) for point in points] for order in (1, 2)]
        values = [exact(mpf(point)) for point in points]
    sizes = [np.array([float(abs(v)) for v in column]) for column in (values, *orders)]
    tangent_value, tangent = fg.jvp(function, (x,), (np.ones(len(x)),))
    gradient = fg.grad(lambda x: np.sum(function(x)))
    second = fg.hvp(lambda x: np.sum(function(x)))(x, np.ones(len(x)))
    check("value", tangent_value, values, 1e-3, 1e-12)
    for computed in (tangent, gradient(x)):
        check("slope", computed, orders[0], 1e-3 * sizes[0] + 1e-12, 1e-11)
    check("curvature", second, orders[1], 1e-2 * (sizes[0] + sizes[1]) + 1e-9, 1e-10)


HIGHER: dict[str, tuple[Function, Function, tuple[float, ...]]] = {
    "j0": (special.j0, lambda x: mp.besselj(0, x), (0.0, 1e-3, 1.9, 2.0, 2.1, 30.0)),
    "j1": (special.j1, lambda x: mp.besselj(1, x), (0.0, 1e-3, 1.9, 2.0, 2.1, 30.0)),
    "i0": (special.i0, lambda x: mp.besseli(0, x), (0.0, 1e-3, 1.9, 2.0, 2.1, 30.0)),
    "i1": (special.i1, lambda x: mp.besseli(1, x), (0.0, 1e-3, 1.9, 2.0, 2.1, 30.0)),
    "jv": (lambda x: special.jv(2, x), lambda x: mp.besselj(2, x), (0.0, 1e-3, 2.0, 30.0)),
    "spherical_jn": (lambda x: special.sici(x)[0], mp.si, (0.0, 1e-3, 2.0, 30.0)),
    "gammainc": (lambda x: special.gammainc(3.5, x), lambda x: exact_gammainc(mpf(3.5), x), (1e-3, 0.5, 20.0)),
    "rgamma": (special.rgamma, mp.rgamma, (-3.0, 0.0, 0.5, 3.3)),
    "gamma": (special.gamma, mp.gamma, (-2.5, 0.3, 3.3, 30.0)),
    "erfinv": (special.erfinv, mp.erfinv, (0.0, 0.5, -0.9)),
    "logit": (special.logit, lambda x: mp.log(x) - mp.log1p(-x), (1e-3, 0.5, 0.9)),
}


@pytest.mark.parametrize("name", HIGHER)
def test_derivatives_of_the_third_and_fourth_order(name: str) -> None:
    function, exact, points = HIGHER[name]
    third = fg.grad(fg.grad(fg.grad(function)))
    for point in points:
        with mp.workdps(50):
            expected = [float(mp.diff(exact, mpf(point), order)) for order in (3, 4)]
        np.testing.assert_allclose([third(point), fg.grad(third)(point)], expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["gammaln", "digamma", "gamma", "polygamma 0", "polygamma 2", "polygamma 3"])
@pytest.mark.parametrize("forward", [False, True])
def test_the_family_of_gamma_has_derivatives_of_every_order(name: str, forward: bool) -> None:
    stem, _, n = name.partition(" ")
    function = (lambda x: outside("polygamma")(int(n), x)) if n else getattr(special, stem)
    lowest = {"gammaln": -1, "digamma": 0}.get(stem, int(n or 0))

    def exact(x: float, order: int) -> Any:
        if stem == "gamma":
            return mp.taylor(mp.gamma, mpf(x), order)[order] * mp.factorial(order)
        return mp.psi(lowest + order, mpf(x))

    derivative = function
    for order in range(1, 8):
        derivative = (lambda x, inner=derivative: fg.jvp(inner, (x,), (1.0,))[1]) if forward else fg.grad(derivative)
        for point in (0.3, 2.0, 40.0) if n == "3" else (0.3, 2.0, 40.0, -1.3):
            with mp.workdps(60):
                expected = float(exact(point, order))
            np.testing.assert_allclose(derivative(point), expected, rtol=1e-13, err_msg=f"order {order} at {point}")


def test_every_function_that_scipy_evaluates_is_among_the_cases() -> None:
    covered = " ".join(name for name, *_ in CASES)
    for name in SPECIAL:
        stem = name.removeprefix("eval_").partition(".")[0]
        stem = {"sici": "cosine integral", "shichi": "hyperbolic sine integral"}.get(stem, stem)
        assert stem in covered, name


# ---- sums of exponentials


def log_of_sum(x: Any, axis: Any = None, b: Any = 1.0) -> Any:
    return np.log(np.sum(b * np.exp(x), axis=axis))


ARRAY = np.array([[0.3, -1.2, 2.0], [0.5, 0.5, -30.0]])
WEIGHTS = np.array([[0.5, -0.2, 1.5], [0.0, 2.0, 3.0]])


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_logsumexp_has_the_values_of_scipy_and_the_derivatives_of_its_formula(axis: Any, keepdims: bool) -> None:
    function = outside("logsumexp")
    value, tangent = fg.jvp(lambda x: function(x, axis, keepdims=keepdims), (ARRAY,), (WEIGHTS,))
    _, direction = fg.jvp(lambda x: log_of_sum(x, axis), (ARRAY,), (WEIGHTS,))
    np.testing.assert_allclose(value, special.logsumexp(ARRAY, axis, keepdims=keepdims), rtol=1e-15)
    np.testing.assert_allclose(np.ravel(tangent), np.ravel(direction), rtol=1e-14)
    fg.check_grads(lambda x: function(x, axis, keepdims=keepdims), (ARRAY,))


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_logsumexp_with_weights_and_sign(axis: Any) -> None:
    function = outside("logsumexp")
    weights = -WEIGHTS if axis is None else WEIGHTS * np.array([[-1.0], [2.0]])

    def called(x: Any, b: Any) -> Any:
        return function(x, axis, b, return_sign=True)

    (value, sign), _ = fg.jvp(called, (ARRAY, weights), (ARRAY, weights))
    expected, expected_sign = special.logsumexp(ARRAY, axis, weights, return_sign=True)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    np.testing.assert_array_equal(sign, expected_sign)
    for argnum in (0, 1):
        computed = fg.jacobian(lambda x, b: called(x, b)[0], argnum)(ARRAY, weights)
        exact = fg.jacobian(lambda x, b: np.log(np.abs(np.sum(b * np.exp(x), axis=axis))), argnum)(ARRAY, weights)
        np.testing.assert_allclose(computed, exact, rtol=1e-13, atol=1e-15)


def test_logsumexp_without_sign_is_nan_where_the_sum_is_negative() -> None:
    value, gradient = fg.value_and_grad(lambda x: outside("logsumexp")(x, b=np.array([1.0, -3.0])))(np.zeros(2))
    assert np.isnan(value)
    assert special.logsumexp(np.zeros(2), b=np.array([1.0, -3.0]), return_sign=True)[1] == -1
    np.testing.assert_allclose(gradient, [-0.5, 1.5])


INFINITE = [
    # equal infinities share, as in logaddexp
    ((INF, 1.0), INF, (1.0, 0.0)),
    ((INF, INF), INF, (0.5, 0.5)),
    ((-INF, 1.0), 1.0, (0.0, 1.0)),
    ((-INF, -INF), -INF, (0.5, 0.5)),
    ((INF, -INF), INF, (1.0, 0.0)),
    ((NAN, 1.0), NAN, (NAN, NAN)),
    ((1e308, -1e308), 1e308, (1.0, 0.0)),
    ((800.0, 800.0), 800 + np.log(2), (0.5, 0.5)),
    ((0.0, -40.0), 4.248354255291589e-18, (1.0, 4.248354255291589e-18)),
]


@pytest.mark.parametrize(("point", "expected", "slopes"), INFINITE)
def test_logsumexp_of_the_infinite_and_of_the_nearly_zero(point: Any, expected: float, slopes: Any) -> None:
    value, gradient = fg.value_and_grad(outside("logsumexp"))(np.array(point))
    np.testing.assert_allclose(value, expected, rtol=1e-15)
    np.testing.assert_allclose(value, special.logsumexp(point), rtol=1e-15)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-15)


def test_a_weight_of_zero_hides_what_it_stands_with() -> None:
    weights = np.array([1.0, 0.0])
    value, gradient = fg.value_and_grad(lambda x: outside("logsumexp")(x, b=weights))(np.array([2.0, INF]))
    assert value == special.logsumexp([2.0, INF], b=weights) == 2.0
    np.testing.assert_array_equal(gradient, [1.0, 0.0])


def test_logsumexp_of_nothing_is_minus_infinity() -> None:
    value = fg.vmap(lambda x: outside("logsumexp")(np.reshape(x, (3, 1))[:, :0], axis=1))(np.zeros((2, 3)))
    np.testing.assert_array_equal(value, np.full((2, 3), -INF))


def test_logsumexp_of_a_number_and_of_whole_numbers() -> None:
    assert fg.grad(outside("logsumexp"))(3.0) == 1.0
    np.testing.assert_allclose(fg.grad(outside("logsumexp"))(np.array([1, 2])), special.softmax([1.0, 2.0]))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_softmax_and_its_logarithm(name: str, axis: Any) -> None:
    function = outside(name)
    value, tangent = fg.jvp(lambda x: function(x, axis), (ARRAY,), (WEIGHTS,))
    np.testing.assert_allclose(value, getattr(special, name)(ARRAY, axis), rtol=1e-15)
    shares = special.softmax(ARRAY, axis)
    expected = WEIGHTS - np.sum(shares * WEIGHTS, axis=axis, keepdims=True)
    np.testing.assert_allclose(tangent, expected * shares if name == "softmax" else expected, rtol=1e-13, atol=1e-15)
    fg.check_grads(lambda x: function(x, axis), (ARRAY,))


def test_softmax_of_large_numbers_does_not_overflow() -> None:
    jacobian = fg.jacobian(outside("softmax"))(np.array([1e4, 1e4, -1e4]))
    np.testing.assert_array_equal(jacobian, [[0.25, -0.25, 0.0], [-0.25, 0.25, 0.0], [0.0, 0.0, 0.0]])


def test_many_sums_of_exponentials_run_in_lanes() -> None:
    rows = np.random.default_rng(3).normal(size=(7, 4))
    gradients = fg.vmap(fg.grad(outside("logsumexp")))(rows)
    np.testing.assert_allclose(gradients, special.softmax(rows, axis=1), rtol=1e-14)


# ---- edges

# function, operands, partial derivatives
EDGES: list[tuple[str, Function, tuple[float, ...], tuple[float, ...]]] = [
    ("entr at 0", special.entr, (0.0,), (INF,)),
    ("entr below 0", special.entr, (-1.0,), (0.0,)),
    ("rel_entr at 0", special.rel_entr, (0.0, 2.0), (-INF, 0.0)),
    ("rel_entr at the origin", special.rel_entr, (0.0, 0.0), (0.0, 0.0)),
    ("rel_entr of infinite value", special.rel_entr, (1.0, 0.0), (INF, -INF)),
    ("rel_entr outside", special.rel_entr, (-1.0, 2.0), (0.0, 0.0)),
    ("rel_entr of NaN", special.rel_entr, (NAN, 2.0), (0.0, 0.0)),
    ("rel_entr of far operands", special.rel_entr, (1e-300, 1e300), (-1381.5510557964274 + 1, 0.0)),
    ("kl_div at 0", special.kl_div, (0.0, 2.0), (-INF, 1.0)),
    ("kl_div at the origin", special.kl_div, (0.0, 0.0), (0.0, 1.0)),
    ("kl_div at equal operands", special.kl_div, (3.0, 3.0), (0.0, 0.0)),
    ("huber at its kink", special.huber, (2.0, 2.0), (0.0, 2.0)),
    ("huber of negative delta", special.huber, (-1.0, 2.0), (0.0, 0.0)),
    ("pseudo_huber at 0", special.pseudo_huber, (0.0, -2.0), (2.0, 0.0)),
    ("gammainc at 0", lambda x: special.gammainc(1.0, x), (0.0,), (1.0,)),
    ("gammainc at 0 of small order", lambda x: special.gammainc(0.5, x), (0.0,), (INF,)),
    ("gammainc at infinity", lambda x: special.gammainc(2.5, x), (INF,), (0.0,)),
    ("betainc at 0", lambda x: special.betainc(1.0, 2.0, x), (0.0,), (2.0,)),
    ("betainc at 1", lambda x: special.betainc(2.0, 1.0, x), (1.0,), (2.0,)),
    ("i0e at 0", special.i0e, (0.0,), (0.0,)),
    ("j1 at 0", special.j1, (0.0,), (0.5,)),
    ("boxcox at 0", special.boxcox, (0.0, 2.0), (0.0, 0.25)),
    ("boxcox of the logarithm", special.boxcox, (2.0, 0.0), (0.5, 0.5 * np.log(2.0) ** 2)),
    ("powm1 of exponent 0", special.powm1, (0.0, 0.0), (0.0, -INF)),
    ("rgamma at a pole of gamma", special.rgamma, (-3.0,), (-6.0,)),
    ("binom at a pole", lambda k: special.binom(2.0, k), (3.0,), (NAN,)),
    ("expn at a pole", lambda x: special.expn(1, x), (0.0,), (-INF,)),
    ("dawsn far out", special.dawsn, (1e10,), (-5e-21,)),
    ("loggamma below 0", special.loggamma, (-0.5,), (0.0,)),
]


@pytest.mark.parametrize(("name", "function", "operands", "expected"), EDGES, ids=[case[0] for case in EDGES])
def test_derivatives_at_edges(name: str, function: Function, operands: Any, expected: Any) -> None:
    argnums = tuple(range(len(operands)))
    value, slopes = fg.value_and_grad(function, argnums=argnums)(*operands)
    np.testing.assert_allclose(value, function(*operands), rtol=1e-13)
    np.testing.assert_allclose(slopes, expected, rtol=1e-13, atol=1e-15)


# of one or two operands, at which edges SciPy's values are others: it overflows, or drops a NaN
COMPOSED: dict[str, Function] = {
    **dict.fromkeys(("entr", "cosm1", "exp10", "erfcinv", "huber", "rel_entr"), lambda *operands: False),
    "loggamma": lambda x: x == 1e-310,
    "rgamma": lambda x: x == -INF,
    "kl_div": lambda x, y: (x / y > 1e300) | (y / x > 1e300),
    "pseudo_huber": lambda delta, r: np.isnan(special.pseudo_huber(delta, r)) | np.isnan(delta + r) | (r == 1e300),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_ufuncs_in_terms_of_others_have_the_values_of_scipy_at_edges(name: str) -> None:
    function = getattr(special, name)
    points = np.array([0.0, -0.0, 1.0, -1.0, 0.5, 2.5, 1e-310, 1e300, INF, -INF, NAN])
    columns = [grid.ravel() for grid in np.meshgrid(*[points] * function.nin)]
    same = ~(COMPOSED[name](*columns) | np.zeros(columns[0].shape, bool))
    computed = fg.vmap(lambda *operands: function(*operands))(*columns)
    np.testing.assert_allclose(computed[same], function(*columns)[same], rtol=1e-13)


def test_pseudo_huber_neither_overflows_nor_drops_a_nan() -> None:
    operands = np.array([1e-310, 1e300, INF, 3.0, NAN, 2.0]), np.array([2.5, 2.5, 2.5, INF, 0.0, NAN])
    computed = fg.vmap(special.pseudo_huber)(*operands)
    np.testing.assert_allclose(computed, [2.5e-310, 3.125, 3.125, INF, NAN, NAN])


# ---- what records, and what is refused


def test_captured_arrays_are_read_when_the_derivative_runs() -> None:
    captured = np.array([0.5, 0.25])
    gradient = fg.grad(lambda x: np.sum(special.kl_div(x, captured) + special.jv(captured, x)))
    for content in ([0.5, 0.25], [1.5, 2.0]):
        captured[:] = content
        fresh = fg.grad(lambda x, y: np.sum(special.kl_div(x, y) + special.jv(y, x)))(np.ones(2), captured.copy())
        np.testing.assert_array_equal(gradient(np.ones(2)), fresh)


@pytest.mark.parametrize("function", [special.k0, special.entr, lambda x: special.kv(1.5, x), special.rgamma])
def test_values_while_recording_are_those_of_scipy(function: Function) -> None:
    x = np.array([0.5, 1.5])
    seen = []

    def called(x: Any) -> Any:
        y = function(x)
        seen.append(np.array(y.value))
        return np.sum(y)

    assert fg.grad(called)(x.astype(np.float32)).dtype == np.float32
    np.testing.assert_array_equal(seen[0], function(x))


def test_out_and_dtype_of_ufuncs() -> None:
    def called(x: Any) -> Any:
        y = np.zeros(2)
        special.j1(x, out=y)
        return np.sum(y) + special.j0(x[0], dtype=float)

    x = np.array([0.5, 1.5])
    expected = 0.5 * (special.j0(x) - special.jv(2, x)) - special.j1(0.5) * np.array([1.0, 0.0])
    np.testing.assert_allclose(fg.grad(called)(x), expected, rtol=1e-14)


REFUSED = [
    (lambda x: special.gammainc(x, 2.0), "scipy.special.gammainc by its first"),
    (lambda x: special.betainc(2.0, x, 0.5), "scipy.special.betainc by its second"),
    (lambda x: special.hyp2f1(1.0, 2.0, x, 0.5), "scipy.special.hyp2f1 by its third"),
    (lambda x: special.jv(x, 2.0), "scipy.special.jv by its first"),
]


@pytest.mark.parametrize(("function", "message"), REFUSED)
def test_a_derivative_that_is_not_known_is_refused_by_name_and_line(function: Function, message: str) -> None:
    line = re.escape(f"{message} argument is not known (at {__file__}:{function.__code__.co_firstlineno}, in <lambda>)")
    for derivative in (fg.grad(function), lambda x: fg.jvp(function, (x,), (1.0,)), fg.vmap(fg.grad(function))):
        with pytest.raises(UnsupportedError, match=line + r"\. Differentiate by the others only"):
            derivative(np.ones(2) if isinstance(derivative, type(fg.vmap(function))) else 1.5)


def test_an_argument_without_derivative_may_vary_where_nobody_asks_for_it() -> None:
    gradient = fg.grad(special.gammainc, argnums=1)
    assert gradient(1.0, 2.0) == pytest.approx(np.exp(-2.0), rel=1e-14)
    mixed = fg.grad(lambda a, x: fg.grad(special.gammainc, argnums=1)(a, x))(2.0, 3.0)
    with mp.workdps(30):
        exact = mp.diff(lambda a: mpf(3) ** (a - 1) * mp.exp(-3) / mp.gamma(a), mpf(2))
    assert mixed == pytest.approx(float(exact), rel=1e-13)
    assert fg.grad(lambda a: special.gammainc(fg.stop_gradient(a), a))(1.0) == pytest.approx(np.exp(-1.0), rel=1e-14)


@pytest.mark.parametrize(
    ("called", "name"),
    [
        (lambda x: special.voigt_profile(x, 1.0, 1.0), "scipy.special.voigt_profile"),
        (special.zetac, "scipy.special.zetac"),
        (lambda x: OUTSIDE["scipy.special.lambertw"](x), "scipy.special.lambertw"),
        (lambda x: OUTSIDE["scipy.special.zeta"](x), "scipy.special.zeta of one argument"),
        (lambda x: OUTSIDE["scipy.special.comb"](x, 2, exact=True), "exact=True of scipy.special.comb"),
        (lambda x: special.rel_entr.reduce(np.stack([x, x])), "scipy.special.rel_entr.reduce"),
    ],
)
def test_functions_without_a_definition_are_refused_by_name(called: Function, name: str) -> None:
    with pytest.raises(UnsupportedError, match=name.replace(".", r"\.")) as caught:
        fg.grad(called)(np.array([1.5])[0])
    assert __file__ in str(caught.value)


def test_functions_of_scipy_record_where_they_are_called_by_name() -> None:
    gradient = fg.grad(lambda x: special.logsumexp(x) + special.polygamma(1, x[0]))(np.array([0.5, 1.0]))
    expected = special.softmax([0.5, 1.0]) + np.array([special.polygamma(2, 0.5), 0.0])
    np.testing.assert_allclose(gradient, expected, rtol=1e-13)


def test_multigammaln_outside_its_domain_raises_the_error_of_scipy() -> None:
    with pytest.raises(ValueError, match="not met"):
        fg.grad(outside("multigammaln"))(0.4, 2)


def test_functions_record_with_scipys_support_of_other_arrays_switched_on() -> None:
    program = """
import numpy as np, scipy.special as special, fastgrad as fg
assert not isinstance(special.erf, np.ufunc)
x = np.array([0.5, 1.5])
gradient = fg.grad(lambda x: np.sum(special.erf(x) + special.entr(x) + special.gammainc(2.0, x)) + special.logsumexp(x))
expected = 2 / np.sqrt(np.pi) * np.exp(-x * x) - np.log(x) - 1 + x * np.exp(-x) + special.softmax(x)
np.testing.assert_allclose(gradient(x), expected, rtol=1e-12)
"""
    environment = os.environ | {"SCIPY_ARRAY_API": "1"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


@pytest.mark.parametrize("name", ["gammasgn", "round"])
def test_steps_have_scipys_values_at_every_input_and_derivative_zero(name):
    step, points = getattr(special, name), np.array([2.5, 1.5, 0.0, -0.0, -0.5, -1.5, -2.0, INF, NAN, -3.7])
    values, slopes = fg.jvp(step, (points[::-1].copy(),), (np.ones(10),))
    np.testing.assert_array_equal(values, step(points[::-1]))
    np.testing.assert_array_equal(slopes, 0.0)
    tape = fg.vjp(step, points)[0]
    np.testing.assert_array_equal(tape, step(points))
