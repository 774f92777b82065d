"""Sample calls of the functions of ``scipy.special``: each is differentiated by one argument, at fixed other ones."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special

from tests.coverage.drawing import Call, real
from tests.coverage.elementwise_calls import Calls

# an interval of real numbers, or the whole numbers that an argument may be
Domain = tuple[float, float] | Sequence[int]

UNIT, POSITIVE, BOTH = (0.2, 0.9), (0.3, 4.0), (-2.0, 2.0)
ORDER = [1, 2, 3]


def by_each_argument(name: str, *domains: Domain) -> list[Call]:
    """A call for each real argument, which is an array, and the others numbers."""
    names = "abcdefg"[: len(domains)]
    values = {letter: domain if isinstance(domain, list) else within(*domain)
              for letter, domain in zip(names, domains, strict=True)}  # fmt: skip
    real_ones = [letter for letter in names if not isinstance(values[letter], list)]
    return [
        Call(
            f"special.{name}({', '.join(names)})",
            **{
                letter: real("n", *domains[names.index(letter)]) if letter == one else values[letter]
                for letter in names
            },
        )
        for one in real_ones
    ]


def within(low: float, high: float) -> tuple[float, ...]:
    return tuple(round(low + share * (high - low), 3) for share in (0.3, 0.8))


def ufuncs() -> dict[str, Any]:
    """The ufuncs of the module, which functions may wrap."""
    found = {name: inspect.unwrap(getattr(scipy.special, name)) for name in sorted(set(scipy.special.__all__))}
    return {name: ufunc for name, ufunc in found.items() if isinstance(ufunc, np.ufunc)}


# where the values are neither NaN nor infinite; all arguments that are not listed lie in (0.2, 0.9)
_DOMAINS: dict[str, tuple[Domain, ...]] = {
    **dict.fromkeys(("bdtr", "bdtrc"), (ORDER, [5, 7], UNIT)),
    "bdtri": (ORDER, [5, 7], UNIT),
    "bdtrik": (UNIT, (4.0, 7.0), UNIT),
    "bdtrin": ((1.0, 2.0), UNIT, UNIT),
    "besselpoly": (UNIT, POSITIVE, POSITIVE),
    **dict.fromkeys(("eval_chebyc", "eval_chebys", "eval_chebyt", "eval_chebyu"), (ORDER, UNIT)),
    **dict.fromkeys(("eval_legendre", "eval_laguerre", "eval_hermite", "eval_hermitenorm"), (ORDER, UNIT)),
    **dict.fromkeys(("eval_sh_chebyt", "eval_sh_chebyu", "eval_sh_legendre"), (ORDER, UNIT)),
    **dict.fromkeys(("eval_gegenbauer", "eval_genlaguerre"), (ORDER, UNIT, UNIT)),
    "eval_jacobi": (ORDER, UNIT, UNIT, UNIT),
    "eval_sh_jacobi": (ORDER, (2.0, 3.0), UNIT, UNIT),
    "expn": (ORDER, POSITIVE),
    "exp1": (POSITIVE,),
    **dict.fromkeys(("yn", "kn"), (ORDER, POSITIVE)),
    "jn": (ORDER, POSITIVE),
    **dict.fromkeys(("jv", "jve", "yv", "yve", "iv", "ive", "kv", "kve"), (POSITIVE, POSITIVE)),
    **dict.fromkeys(("hankel1", "hankel1e", "hankel2", "hankel2e", "struve", "modstruve"), (POSITIVE, POSITIVE)),
    "nbdtr": (ORDER, [2, 4], UNIT),
    "nbdtrc": (ORDER, [2, 4], UNIT),
    "nbdtri": (ORDER, [2, 4], UNIT),
    "nbdtrik": (UNIT, POSITIVE, UNIT),
    "nbdtrin": (POSITIVE, UNIT, UNIT),
    **dict.fromkeys(("pdtr", "pdtrc"), (ORDER, POSITIVE)),
    "pdtri": (ORDER, UNIT),
    "pdtrik": (UNIT, POSITIVE),
    "smirnov": (ORDER, UNIT),
    "smirnovi": (ORDER, UNIT),
    "ndtri_exp": ((-3.0, -0.1),),
    "log_expit": (BOTH,),
    "lpmv": ([0, 1], [1, 2], UNIT),
    **dict.fromkeys(("mathieu_a", "mathieu_b"), (ORDER, UNIT)),
    **{f"mathieu_{name}": (ORDER, UNIT, POSITIVE)
       for name in ("cem", "sem", "modcem1", "modcem2", "modsem1", "modsem2")},
    **{f"{kind}_ang1": ([0, 1], [1, 2], UNIT, UNIT) for kind in ("pro", "obl")},
    **{f"{kind}_ang1_cv": ([0, 1], [1, 2], UNIT, (2.0, 3.0), UNIT) for kind in ("pro", "obl")},
    **{f"{kind}_cv": ([0, 1], [1, 2], UNIT) for kind in ("pro", "obl")},
    **{f"{kind}_rad{k}": ([0, 1], [1, 2], UNIT, (1.2, 2.0)) for kind in ("pro", "obl") for k in (1, 2)},
    **{f"{kind}_rad{k}_cv": ([0, 1], [1, 2], UNIT, (2.0, 3.0), (1.2, 2.0)) for kind in ("pro", "obl") for k in (1, 2)},
    "pbwa": (UNIT, UNIT),
    "round": (BOTH,),
    "spherical_jn": (ORDER, POSITIVE),
    "zetac": ((1.5, 4.0),),
    "huber": (UNIT, BOTH),
    "stdtrit": (POSITIVE, UNIT),
    "kolmogorov": ((0.5, 1.5),),
    "nctdtrit": (POSITIVE, UNIT, UNIT),
    "wright_bessel": (UNIT, UNIT, POSITIVE),
    "log_wright_bessel": (UNIT, UNIT, POSITIVE),
}  # fmt: skip


def no_array(text: str) -> list[Call]:
    return [Call(text)]


def of_number(*texts: str, at: Domain = UNIT) -> list[Call]:
    """Calls that are differentiated by a number ``x``."""
    return [Call(text, x=real("", *at)) for text in texts]


_ROOTS = {
    "": "legendre chebyt chebyu chebyc chebys hermite hermitenorm laguerre sh_legendre sh_chebyt sh_chebyu",
    ", x": "gegenbauer genlaguerre",
    ", x, 0.7": "jacobi",
    ", 2.5, x": "sh_jacobi",
}
_OLD_NAMES = {
    "": "p_roots t_roots u_roots c_roots s_roots h_roots he_roots l_roots ps_roots ts_roots us_roots",
    ", x": "cg_roots la_roots",
    ", x, 0.7": "j_roots",
    ", 2.5, x": "js_roots",
}


def _roots() -> Calls:
    found: Calls = {}
    for arguments, names in _ROOTS.items():
        make = of_number if arguments else no_array
        for name in names.split():
            found[f"roots_{name}"] = make(f"special.roots_{name}(3{arguments})")
            found[name] = make(f"special.{name}(3{arguments}).coeffs")
    for arguments, names in _OLD_NAMES.items():
        make = of_number if arguments else no_array
        found |= {name: make(f"special.{name}(3{arguments})") for name in names.split()}
    return found


_ZEROS = "ai bei beip ber berp bi erf fresnel fresnelc fresnels jnjnp kei keip kelvin ker kerp y0 y1 y1p"
_ZEROS_OF_ORDER = "jn jnp jnyn yn ynp"

SPECIAL: Calls = {
    **{name: by_each_argument(name, *_DOMAINS.get(name, (UNIT,) * ufunc.nin)) for name, ufunc in ufuncs().items()},
    # ---- numbers out of whole numbers
    **{f"{name}_zeros": no_array(f"special.{name}_zeros(2)") for name in _ZEROS.split()},
    **{f"{name}_zeros": no_array(f"special.{name}_zeros(1, 2)") for name in _ZEROS_OF_ORDER.split()},
    "bernoulli": no_array("special.bernoulli(4)"),
    "euler": no_array("special.euler(4)"),
    "stirling2": [Call("special.stirling2(np.argsort(x), 2)", x="n")],
    "geterr": no_array("special.geterr()"),
    "seterr": no_array("special.seterr(**special.geterr())"),
    **_roots(),
    # ---- reductions
    "logsumexp": [
        Call("special.logsumexp(x)", x="n m"),
        Call("special.logsumexp(x, axis=0, keepdims=True)", x="n m"),
        Call("special.logsumexp(x, axis=1, b=b, return_sign=True)", x="n m", b=real("n m", 0.3, 2.0)),
    ],
    "softmax": [Call("special.softmax(x)", x="n m"), Call("special.softmax(x, axis=1)", x="n m")],
    "log_softmax": [Call("special.log_softmax(x)", x="n m"), Call("special.log_softmax(x, axis=0)", x="n m")],
    # ---- functions of orders
    **{f"spherical_{name}": [*by_each_argument(f"spherical_{name}", ORDER, POSITIVE),
                             Call(f"special.spherical_{name}(2, x, derivative=True)", x=real("n", *POSITIVE))]
       for name in ("jn", "yn", "in", "kn")},
    **{f"{name}vp": [*by_each_argument(f"{name}vp", POSITIVE, POSITIVE),
                     Call(f"special.{name}vp(1, x, 2)", x=real("n", *POSITIVE))] for name in "jyik"},
    "h1vp": by_each_argument("h1vp", ORDER, POSITIVE),
    "h2vp": by_each_argument("h2vp", ORDER, POSITIVE),
    "polygamma": by_each_argument("polygamma", [0, 1, 4], POSITIVE),
    "zeta": [*by_each_argument("zeta", (1.5, 3.0), POSITIVE), Call("special.zeta(x)", x=real("n", 1.5, 3.0))],
    "multigammaln": [Call("special.multigammaln(x, 2)", x=real("", 1.5, 4.0))],
    "comb": [*by_each_argument("comb", (4.0, 7.0), (1.0, 3.0)), *of_number("special.comb(x, 2, repetition=True)")],
    "perm": by_each_argument("perm", (4.0, 7.0), (1.0, 3.0)),
    "factorial": by_each_argument("factorial", POSITIVE),
    "factorial2": [Call("special.factorial2(np.argsort(x))", x="n")],
    "factorialk": [Call("special.factorialk(np.argsort(x), 3)", x="n")],
    "diric": [Call("special.diric(x, 3)", x=real("n", *UNIT))],
    "sinc": by_each_argument("sinc", BOTH),
    "softplus": by_each_argument("softplus", BOTH),
    "lambertw": by_each_argument("lambertw", POSITIVE),
    "assoc_laguerre": [Call("special.assoc_laguerre(x, 2, 0.5)", x=real("n", *UNIT)),
                       Call("special.assoc_laguerre(0.3, 2, x)", x=real("n", *UNIT))],
    "assoc_legendre_p": [Call("special.assoc_legendre_p(2, 1, x)", x=real("n", *UNIT))],
    "assoc_legendre_p_all": of_number("special.assoc_legendre_p_all(2, 1, x)"),
    "legendre_p": [Call("special.legendre_p(2, x)", x=real("n", *UNIT))],
    "legendre_p_all": of_number("special.legendre_p_all(2, x)"),
    "sph_legendre_p": [Call("special.sph_legendre_p(2, 1, x)", x=real("n", *UNIT))],
    "sph_legendre_p_all": of_number("special.sph_legendre_p_all(2, 1, x)"),
    "sph_harm_y": [Call("special.sph_harm_y(2, 1, x, 0.3)", x=real("n", *UNIT)),
                   Call("special.sph_harm_y(2, 1, 0.3, x)", x=real("n", *UNIT))],
    "sph_harm_y_all": of_number("special.sph_harm_y_all(2, 1, x, 0.3)"),
    "ellip_harm": of_number("special.ellip_harm(5.0, 8.0, 1, 1, x)", "special.ellip_harm(x, 8.0, 1, 1, 2.5)"),
    "ellip_harm_2": of_number("special.ellip_harm_2(5.0, 8.0, 1, 1, x)", at=(9.0, 11.0)),
    "ellip_normal": of_number("special.ellip_normal(x, 8.0, 1, 1)", at=(3.0, 5.0)),
    "lmbda": of_number("special.lmbda(1, x)", "special.lmbda(x, 0.7)", at=POSITIVE),
    "lqn": of_number("special.lqn(2, x)"),
    "lqmn": of_number("special.lqmn(1, 2, x)"),
    "mathieu_even_coef": of_number("special.mathieu_even_coef(2, x)"),
    "mathieu_odd_coef": of_number("special.mathieu_odd_coef(2, x)"),
    "obl_cv_seq": of_number("special.obl_cv_seq(1, 3, x)"),
    "pro_cv_seq": of_number("special.pro_cv_seq(1, 3, x)"),
    "pbdn_seq": of_number("special.pbdn_seq(2, x)"),
    "pbdv_seq": of_number("special.pbdv_seq(2.3, x)", "special.pbdv_seq(x, 0.3)", at=POSITIVE),
    "pbvv_seq": of_number("special.pbvv_seq(2.3, x)", "special.pbvv_seq(x, 0.3)", at=POSITIVE),
    "riccati_jn": of_number("special.riccati_jn(2, x)"),
    "riccati_yn": of_number("special.riccati_yn(2, x)"),
}  # fmt: skip
