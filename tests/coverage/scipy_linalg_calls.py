"""Sample calls of the functions of ``scipy.linalg``."""

from __future__ import annotations

from tests.coverage.drawing import Call, positive, real
from tests.coverage.elementwise_calls import Calls
from tests.coverage.product_calls import DEFINITE, REGULAR, SYMMETRIC

# a positive definite matrix and the right side's, in bands
BAND = "np.stack([x, 4.0 + x, x])"
DEFINITE_BAND = "np.stack([x, 5.0 + x])"


def of_matrix(text: str) -> list[Call]:
    return [Call(text, x="3 3")]


def no_array(text: str) -> list[Call]:
    return [Call(text)]


SCIPY_LINALG: Calls = {
    # ---- systems
    "solve": [
        Call(f"linalg.solve({REGULAR}, y)", x="n n", y="n"),
        Call(f"linalg.solve({REGULAR}, y, transposed=True)", x="n n", y="n m"),
        *(
            Call(f"linalg.solve({DEFINITE}, y, assume_a={kind!r})", x="3 3", y="3")
            for kind in ("sym", "pos", "diagonal", "lower triangular", "upper triangular", "tridiagonal", "banded")
        ),
        Call(f"linalg.solve({REGULAR}, y)", x="2 n n", y="2 n m"),
    ],
    "solve_triangular": [
        Call(f"linalg.solve_triangular({REGULAR}, y, lower=lower, trans=trans)", x="n n", y="n",
             lower=(False, True), trans=(0, 1)),
        Call("linalg.solve_triangular(x, y, unit_diagonal=True)", x="n n", y="n m"),
    ],
    "solve_banded": [Call(f"linalg.solve_banded((1, 1), {BAND}, y)", x="5", y="5")],
    "solveh_banded": [Call(f"linalg.solveh_banded({DEFINITE_BAND}, y)", x="5", y="5 2")],
    "solve_circulant": [Call("linalg.solve_circulant(x, y)", x=positive("4"), y="4")],
    "solve_toeplitz": [Call("linalg.solve_toeplitz((np.array([9.0, 0.0, 0.0]) + x, y), z)", x="3", y="3", z="3")],
    "matmul_toeplitz": [Call("linalg.matmul_toeplitz((x, y), z)", x="3", y="4", z="4 2")],
    "solve_sylvester": [Call(f"linalg.solve_sylvester({REGULAR}, 6.0 * np.eye(2) + y, z)", x="3 3", y="2 2", z="3 2")],
    "solve_continuous_lyapunov": [Call(f"linalg.solve_continuous_lyapunov({REGULAR}, y)", x="3 3", y="3 3")],
    "solve_lyapunov": [Call(f"linalg.solve_lyapunov({REGULAR}, y)", x="3 3", y="3 3")],
    "solve_discrete_lyapunov": [Call("linalg.solve_discrete_lyapunov(0.1 * x, y)", x="3 3", y="3 3")],
    "solve_continuous_are": [
        Call(f"linalg.solve_continuous_are(x, y, {DEFINITE}, np.eye(2))", x="3 3", y="3 2"),
    ],
    "solve_discrete_are": [Call(f"linalg.solve_discrete_are(x, y, {DEFINITE}, np.eye(2))", x="3 3", y="3 2")],
    "lstsq": [Call("linalg.lstsq(x, y)", x="4 2", y="4"), Call("linalg.lstsq(x, y)[0]", x="2 4", y="2 3")],
    # ---- factorizations
    "cholesky": [Call(f"linalg.cholesky({DEFINITE}, lower=lower)", x="n n", lower=(False, True))],
    "cho_factor": [Call(f"linalg.cho_factor({DEFINITE}, lower=lower)[0]", x="n n", lower=(False, True))],
    "cho_solve": [
        Call(f"linalg.cho_solve(linalg.cho_factor({DEFINITE}, lower=lower), y)", x="n n", y="n", lower=(False, True)),
    ],
    "cholesky_banded": [Call(f"linalg.cholesky_banded({DEFINITE_BAND})", x="5")],
    "cho_solve_banded": [Call("linalg.cho_solve_banded((np.ones((2, 5)), False), x)", x="5")],
    "lu": [Call(f"linalg.lu({REGULAR})", x="3 3"), Call(f"linalg.lu({REGULAR}, permute_l=True)", x="3 3")],
    "lu_factor": of_matrix(f"linalg.lu_factor({REGULAR})[0]"),
    "lu_solve": [Call(f"linalg.lu_solve(linalg.lu_factor({REGULAR}), y)", x="3 3", y="3")],
    "ldl": of_matrix(f"linalg.ldl({DEFINITE})"),
    "qr": [
        Call("linalg.qr(x, mode='economic')", x="4 3"),
        Call(f"linalg.qr({REGULAR})", x="3 3"),
        Call("linalg.qr(x, mode='r')", x="4 3"),
        Call("linalg.qr(x, mode='economic', pivoting=True)", x="4 3"),
    ],
    "qr_multiply": [Call("linalg.qr_multiply(x, y)", x="3 3", y="3")],
    "qr_update": [Call("linalg.qr_update(np.eye(3), np.eye(3), x, x)", x="3")],
    "qr_insert": [Call("linalg.qr_insert(np.eye(3), np.eye(3), x, 1)", x="3")],
    "qr_delete": of_matrix("linalg.qr_delete(np.eye(3), x, 1)"),
    "rq": of_matrix(f"linalg.rq({REGULAR})"),
    "svd": [
        Call("linalg.svd(x, compute_uv=False)", x="4 3"),
        Call("np.abs(linalg.svd(x, full_matrices=False)[0])", x="4 3"),
    ],
    "svdvals": [Call("linalg.svdvals(x)", x="4 3")],
    "polar": [Call("linalg.polar(x)", x="4 3"), Call("linalg.polar(x, side='left')", x="3 4")],
    "schur": of_matrix(f"linalg.schur({SYMMETRIC})"),
    "rsf2csf": of_matrix("linalg.rsf2csf(np.triu(x), np.eye(3))"),
    "hessenberg": of_matrix("linalg.hessenberg(x)"),
    "qz": [Call("linalg.qz(x, y)", x="3 3", y="3 3")],
    "ordqz": [Call("linalg.ordqz(x, y)", x="3 3", y="3 3")],
    "cossin": [Call(f"linalg.cossin(linalg.qr({REGULAR})[0], p=1, q=1)", x="3 3")],
    "matrix_balance": of_matrix("linalg.matrix_balance(x)"),
    # ---- eigenvalues
    "eig": of_matrix(f"linalg.eig({SYMMETRIC})[0].real"),
    "eigvals": of_matrix(f"linalg.eigvals({SYMMETRIC}).real"),
    "eigh": [
        Call(f"linalg.eigh({SYMMETRIC}, eigvals_only=True, lower=lower)", x="3 3", lower=(False, True)),
        Call(f"w, v = linalg.eigh({SYMMETRIC}); return w, v * v", x="3 3"),
        Call(f"linalg.eigh({SYMMETRIC}, y @ y.T + np.eye(3), eigvals_only=True)", x="3 3", y="3 3"),
        Call(f"linalg.eigh({SYMMETRIC}, eigvals_only=True, subset_by_index=[1, 2])", x="3 3"),
    ],
    "eigvalsh": [Call(f"linalg.eigvalsh({SYMMETRIC}, lower=lower)", x="3 3", lower=(False, True))],
    "eig_banded": [Call(f"linalg.eig_banded({DEFINITE_BAND})", x="4")],
    "eigvals_banded": [Call(f"linalg.eigvals_banded({DEFINITE_BAND})", x="4")],
    "eigh_tridiagonal": [Call("linalg.eigh_tridiagonal(x, np.ones(3))", x="4")],
    "eigvalsh_tridiagonal": [Call("linalg.eigvalsh_tridiagonal(x, np.ones(3))", x="4")],
    "cdf2rdf": [Call("linalg.cdf2rdf(x, np.eye(3))", x="3")],
    # ---- numbers, inverses, spaces
    "inv": [
        *of_matrix(f"linalg.inv({REGULAR})"),
        *(Call(f"linalg.inv({DEFINITE}, assume_a={kind!r})", x="3 3") for kind in ("sym", "pos", "upper triangular")),
    ],
    "pinv": [Call("linalg.pinv(x)", x="4 3")],
    "pinvh": of_matrix(f"linalg.pinvh({SYMMETRIC})"),
    "det": [Call("linalg.det(x)", x="* 3 3")],
    "norm": [
        *of_matrix("linalg.norm(x)"),
        Call("linalg.norm(x, ord)", x="3 2", ord=(1, -1, 2, -2, float("inf"), "nuc", "fro")),
        Call("linalg.norm(x, ord, axis=0)", x="3 2", ord=(1, 2, 3, float("inf"))),
    ],
    "orth": [Call("linalg.orth(x)", x="4 2")],
    "null_space": [Call("linalg.null_space(x)", x="2 3")],
    "subspace_angles": [Call("linalg.subspace_angles(x, y)", x="4 2", y="4 2")],
    "orthogonal_procrustes": [Call("linalg.orthogonal_procrustes(x, y)", x="4 3", y="4 3")],
    "expm_cond": [Call("linalg.expm_cond(x)", x="2 2")],
    "bandwidth": of_matrix("linalg.bandwidth(x)"),
    "issymmetric": of_matrix("linalg.issymmetric(x)"),
    "ishermitian": of_matrix("linalg.ishermitian(x)"),
    # ---- functions of matrices
    **{name: of_matrix(f"linalg.{name}(0.3 * x)")
       for name in ("expm", "cosm", "sinm", "tanm", "coshm", "sinhm", "tanhm")},
    "logm": of_matrix(f"linalg.logm({REGULAR})"),
    "sqrtm": of_matrix(f"linalg.sqrtm({REGULAR})"),
    "signm": of_matrix(f"linalg.signm({REGULAR})"),
    "funm": of_matrix("linalg.funm(x, np.exp)"),
    "expm_frechet": [Call("linalg.expm_frechet(0.3 * x, y)", x="3 3", y="3 3")],
    "fractional_matrix_power": [
        Call(f"linalg.fractional_matrix_power({REGULAR}, y)", x="3 3", y=real("", 0.2, 0.4)),
        Call(f"linalg.fractional_matrix_power({REGULAR}, 3)", x="3 3"),
    ],
    # ---- structured matrices
    "block_diag": [Call("linalg.block_diag(x, y, 2.0)", x="n m", y="n")],
    "toeplitz": [Call("linalg.toeplitz(x)", x="n"), Call("linalg.toeplitz(x, y)", x="n", y="m")],
    "hankel": [Call("linalg.hankel(x)", x="n"), Call("linalg.hankel(x, y)", x="n", y="m")],
    "circulant": [Call("linalg.circulant(x)", x="n")],
    "companion": [Call("linalg.companion(x)", x=positive("4"))],
    "convolution_matrix": [
        Call("linalg.convolution_matrix(x, 5, mode=mode)", x="3", mode=("full", "same", "valid")),
    ],
    "fiedler": [Call("linalg.fiedler(x)", x="4")],
    "fiedler_companion": [Call("linalg.fiedler_companion(x)", x=positive("4"))],
    "leslie": [Call("linalg.leslie(x, y)", x="4", y="3")],
    "diagsvd": [Call("linalg.diagsvd(x, 3, 4)", x="3")],
    "khatri_rao": [Call("linalg.khatri_rao(x, y)", x="n m", y="2 m")],
    "clarkson_woodruff_transform": [Call("linalg.clarkson_woodruff_transform(x, 2, rng=1)", x="5 3")],
    **{name: no_array(f"linalg.{name}({n})")
       for name, n in (("dft", 3), ("hadamard", 4), ("helmert", 3), ("hilbert", 3), ("invhilbert", 3),
                       ("invpascal", 3), ("pascal", 3))},
    # ---- which routine computes something
    "find_best_blas_type": no_array("linalg.find_best_blas_type((np.ones(2),))[0]"),
    "get_blas_funcs": no_array("linalg.get_blas_funcs('dot').typecode"),
    "get_lapack_funcs": no_array("linalg.get_lapack_funcs('gesv').typecode"),
}  # fmt: skip
