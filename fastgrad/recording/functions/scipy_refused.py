"""Functions of SciPy that are refused by name: without a definition, recorded values would meet compiled code in them,
whose errors say nothing, or come out as NaN.

Their results are complex in general, or their derivatives are not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from fastgrad.recording.functions.registry import OUTSIDE, unsupported

_OF_SPECIAL = (
    "ai_zeros", "bei_zeros", "beip_zeros", "ber_zeros", "bernoulli", "berp_zeros", "bi_zeros", "erf_zeros", "euler",
    "fresnel_zeros", "fresnelc_zeros", "fresnels_zeros", "jn_zeros", "jnjnp_zeros", "jnp_zeros", "jnyn_zeros",
    "kei_zeros", "keip_zeros", "kelvin_zeros", "ker_zeros", "kerp_zeros", "y0_zeros", "y1_zeros", "y1p_zeros",
    "yn_zeros", "ynp_zeros", "assoc_legendre_p", "assoc_legendre_p_all", "diric", "ellip_harm", "ellip_harm_2",
    "ellip_normal", "factorial2", "factorialk", "h1vp", "h2vp", "lambertw", "legendre_p", "legendre_p_all", "lmbda",
    "lqmn", "lqn", "mathieu_even_coef", "mathieu_odd_coef", "obl_cv_seq", "pbdn_seq", "pbdv_seq", "pbvv_seq",
    "pro_cv_seq", "riccati_jn", "riccati_yn", "roots_gegenbauer", "roots_genlaguerre", "roots_jacobi",
    "roots_sh_jacobi", "sph_harm_y", "sph_harm_y_all", "sph_legendre_p", "sph_legendre_p_all", "stirling2",
)  # fmt: skip
_OF_LINALG = (
    "bandwidth", "cho_solve_banded", "cholesky_banded", "clarkson_woodruff_transform", "cossin", "eig", "eig_banded",
    "eigh_tridiagonal", "eigvals", "eigvals_banded", "eigvalsh_tridiagonal", "funm", "hessenberg", "ldl",
    "matrix_balance", "null_space", "ordqz", "qr_delete", "qr_insert", "qr_multiply", "qr_update", "qz", "rq",
    "rsf2csf", "schur", "signm", "solve_continuous_are", "solve_discrete_are",
)  # fmt: skip
_OF_FFT = (
    "dct",
    "dctn",
    "dst",
    "dstn",
    "fht",
    "hfft2",
    "hfftn",
    "idct",
    "idctn",
    "idst",
    "idstn",
    "ifht",
    "ihfft2",
    "ihfftn",
)


def _refusing(full_name: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise unsupported(full_name)

    return refuse


for _module, _names in {"scipy.special": _OF_SPECIAL, "scipy.linalg": _OF_LINALG, "scipy.fft": _OF_FFT}.items():
    OUTSIDE.update({f"{_module}.{_name}": _refusing(f"{_module}.{_name}") for _name in _names})
