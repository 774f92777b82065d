"""scipy.linalg: values against SciPy, derivatives against its differences, and what is refused."""

from __future__ import annotations

import warnings
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.linalg

import fastgrad as fg
from fastgrad.recording.recorded_array import RecordedArray
from fastgrad.recording.structures import flatten
from tests.derivative_checks import check

RANDOM = np.random.default_rng(5)


def normal(*shape: int) -> Any:
    return RANDOM.standard_normal(shape)


def regular(*shape: int) -> Any:
    """Matrices far from singular."""
    return normal(*shape) + 3.0 * np.eye(shape[-1])


def definite(x: Any) -> Any:
    return x @ np.swapaxes(x, -1, -2) + np.eye(x.shape[-1])


A, B, SEVERAL, LONG, WIDE = regular(3, 3), normal(3), normal(3, 2), normal(5, 3), normal(3, 5)
DEFINITE = definite(normal(3, 3))
# positive eigenvalues, all different
POSITIVE = np.triu(0.3 * normal(3, 3), 1) + 0.1 * normal(3, 3) + np.diag([1.0, 2.0, 4.0])
STACK = regular(2, 3, 3)

CALLS: dict[str, tuple[Any, ...]] = {
    "solve": (scipy.linalg.solve, A, B),
    "solve several": (scipy.linalg.solve, A, SEVERAL),
    "solve stack": (scipy.linalg.solve, STACK, normal(2, 3, 2)),
    "solve known matrix": (lambda b: scipy.linalg.solve(A, b), B),
    "solve transposed": (lambda a, b: scipy.linalg.solve(a, b, transposed=True), A, B),
    **{
        f"solve {kind}{lower}": (
            lambda a, b, kind=kind, lower=lower: scipy.linalg.solve(a, b, lower, assume_a=kind),
            a,
            B,
        )
        for kind, a in (("gen", A), ("sym", DEFINITE), ("pos", DEFINITE), ("diagonal", np.diag([1.0, -2.0, 3.0])))
        for lower in (False, True)
    },
    "solve lower triangular": (lambda a, b: scipy.linalg.solve(a, b, assume_a="lower triangular"), np.tril(A), B),
    "solve tridiagonal": (
        lambda a, b: scipy.linalg.solve(a, b, assume_a="tridiagonal"),
        np.triu(np.tril(regular(4, 4), 1), -1),
        normal(4),
    ),
    "inv": (scipy.linalg.inv, A),
    "inv symmetric": (lambda a: scipy.linalg.inv(a, assume_a="pos", lower=True), DEFINITE),
    "det": (scipy.linalg.det, A),
    "det stack": (scipy.linalg.det, STACK),
    **{
        f"solve_triangular {trans}{lower}{unit}": (
            lambda a, b, options=(trans, lower, unit): scipy.linalg.solve_triangular(a, b, *options),
            A,
            b,
        )
        for trans, b in ((0, B), ("T", SEVERAL))
        for lower in (False, True)
        for unit in (False, True)
    },
    "solve_triangular stack": (lambda a, b: scipy.linalg.solve_triangular(a, b, lower=True), STACK, normal(2, 3, 2)),
    "solve_banded": (
        lambda ab, b: scipy.linalg.solve_banded((2, 1), ab, b),
        normal(4, 6) + [[0], [5], [0], [0]],
        normal(6),
    ),
    "solve_banded several": (
        lambda ab, b: scipy.linalg.solve_banded((1, 1), ab, b),
        normal(3, 4) + [[0], [5], [0]],
        normal(4, 2),
    ),
    "solve_banded one diagonal": (
        lambda ab, b: scipy.linalg.solve_banded((0, 0), ab, b),
        np.array([[1.0, 2.0]]),
        normal(2),
    ),
    "solve_banded small": (lambda ab, b: scipy.linalg.solve_banded((2, 3), ab, b), normal(6, 2) + 5, normal(2)),
    "solveh_banded": (lambda ab, b: scipy.linalg.solveh_banded(ab, b), normal(3, 5) + [[0], [0], [9]], normal(5)),
    "solveh_banded lower": (
        lambda ab, b: scipy.linalg.solveh_banded(ab, b, lower=True),
        normal(3, 5) + [[9], [0], [0]],
        normal(5, 2),
    ),
    "solve_sylvester": (scipy.linalg.solve_sylvester, A, regular(2, 2), SEVERAL),
    "solve_continuous_lyapunov": (scipy.linalg.solve_continuous_lyapunov, A, normal(3, 3)),
    "solve_lyapunov": (scipy.linalg.solve_lyapunov, A, normal(3, 3)),
    "solve_discrete_lyapunov": (scipy.linalg.solve_discrete_lyapunov, 0.3 * A, normal(3, 3)),
    "cholesky": (scipy.linalg.cholesky, DEFINITE),
    "cholesky lower": (lambda a: scipy.linalg.cholesky(a, lower=True), DEFINITE),
    "cho_factor": (lambda a: scipy.linalg.cho_factor(a)[0], DEFINITE),
    "cho_solve": (lambda a, b: scipy.linalg.cho_solve(scipy.linalg.cho_factor(a), b), DEFINITE, B),
    "cho_solve lower": (lambda a, b: scipy.linalg.cho_solve(scipy.linalg.cho_factor(a, True), b), DEFINITE, SEVERAL),
    "cho_solve known factor": (lambda b: scipy.linalg.cho_solve((scipy.linalg.cho_factor(DEFINITE)), b), B),
    "lu": (scipy.linalg.lu, A[[2, 0, 1]]),
    "lu permuted": (lambda a: scipy.linalg.lu(a, permute_l=True), A[[2, 0, 1]]),
    "lu stack": (scipy.linalg.lu, normal(2, 3, 3)),
    "lu_factor": (lambda a: scipy.linalg.lu_factor(a)[0], A[[2, 0, 1]]),
    "lu_solve": (lambda a, b: scipy.linalg.lu_solve(scipy.linalg.lu_factor(a), b), A[[2, 0, 1]], B),
    "lu_solve transposed": (
        lambda a, b: scipy.linalg.lu_solve(scipy.linalg.lu_factor(a), b, trans=1),
        A[[2, 0, 1]],
        SEVERAL,
    ),
    "lu_solve known factors": (lambda b: scipy.linalg.lu_solve(scipy.linalg.lu_factor(A[[2, 0, 1]]), b), SEVERAL),
    "qr": (scipy.linalg.qr, A),
    "qr economic": (lambda a: scipy.linalg.qr(a, mode="economic"), LONG),
    "qr full": (lambda a: scipy.linalg.qr(a)[1], LONG),
    "qr r": (lambda a: scipy.linalg.qr(a, mode="r"), LONG),
    "qr wide": (scipy.linalg.qr, WIDE),
    "svd": (lambda a: scipy.linalg.svd(a, full_matrices=False), LONG),
    "svd square": (scipy.linalg.svd, A),
    "svd values": (lambda a: scipy.linalg.svd(a, compute_uv=False), WIDE),
    "svdvals": (scipy.linalg.svdvals, LONG),
    "eigh": (scipy.linalg.eigh, A),
    "eigh upper": (lambda a: scipy.linalg.eigh(a, lower=False), A),
    "eigh values": (lambda a: scipy.linalg.eigh(a, eigvals_only=True), A),
    "eigvalsh": (lambda a: scipy.linalg.eigvalsh(a, lower=False), A),
    "eigvalsh generalized": (scipy.linalg.eigvalsh, A, DEFINITE),
    "eigh generalized": (lambda a, b: scipy.linalg.eigh(a, b, lower=False, eigvals_only=True), A, DEFINITE),
    "norm": (lambda a: [scipy.linalg.norm(a, p) for p in (None, 1, "nuc")], A),
    "pinv": (lambda a: scipy.linalg.pinv(a), LONG),
    "pinv cutoff": (lambda a: scipy.linalg.pinv(a, atol=1e-9, rtol=1e-9), WIDE),
    "pinvh": (scipy.linalg.pinvh, DEFINITE),
    "pinvh upper": (lambda a: scipy.linalg.pinvh(a, lower=False), DEFINITE),
    "lstsq": (lambda a, b: scipy.linalg.lstsq(a, b)[:2], LONG, normal(5)),
    "lstsq several": (lambda a, b: scipy.linalg.lstsq(a, b)[:2], LONG, normal(5, 2)),
    "lstsq wide": (lambda a, b: scipy.linalg.lstsq(a, b)[0], WIDE, normal(3)),
    "expm": (scipy.linalg.expm, A),
    "expm stack": (scipy.linalg.expm, 0.5 * normal(2, 3, 3)),
    "expm of zeros": (scipy.linalg.expm, np.zeros((2, 2))),
    "expm_frechet": (scipy.linalg.expm_frechet, 0.5 * normal(3, 3), normal(3, 3)),
    "logm": (scipy.linalg.logm, POSITIVE),
    "sqrtm": (scipy.linalg.sqrtm, POSITIVE),
    "fractional_matrix_power": (scipy.linalg.fractional_matrix_power, POSITIVE, np.float64(0.7)),
    "fractional_matrix_power of a diagonal matrix": (
        lambda a: scipy.linalg.fractional_matrix_power(a, 0.5),
        np.diag([1.0, 2.0, 3.0]),
    ),
    "fractional_matrix_power whole": (lambda a: scipy.linalg.fractional_matrix_power(a, 3), A),
    **{
        name: (getattr(scipy.linalg, name), 0.4 * normal(3, 3))
        for name in ("cosm", "sinm", "coshm", "sinhm", "tanm", "tanhm")
    },
    "block_diag": (scipy.linalg.block_diag, normal(2, 2), normal(3), normal(1, 3)),
    "toeplitz": (scipy.linalg.toeplitz, normal(3)),
    "toeplitz two": (scipy.linalg.toeplitz, normal(3), normal(4)),
    "circulant": (scipy.linalg.circulant, normal(4)),
    "hankel": (scipy.linalg.hankel, normal(3)),
    "hankel two": (scipy.linalg.hankel, normal(3), normal(4)),
    "solve_toeplitz": (lambda c, b: scipy.linalg.solve_toeplitz(c, b), normal(3) + [5, 0, 0], B),
    "solve_toeplitz two": (
        lambda c, r, b: scipy.linalg.solve_toeplitz((c, r), b),
        np.array([5.0, 1.0, 2.0]),
        np.array([5.0, -1.0, 0.5]),
        B,
    ),
    "matmul_toeplitz": (lambda c, x: scipy.linalg.matmul_toeplitz(c, x), normal(3), SEVERAL),
    "khatri_rao": (scipy.linalg.khatri_rao, normal(2, 3), normal(4, 3)),
}


# they have no definition: SciPy's own code is recorded
RECORDED_CODE: dict[str, tuple[Any, ...]] = {
    "polar": (scipy.linalg.polar, LONG),
    "companion": (scipy.linalg.companion, normal(4)),
    "convolution_matrix": (lambda a: scipy.linalg.convolution_matrix(a, 3), normal(4)),
    "solve_circulant": (scipy.linalg.solve_circulant, normal(3) + [5, 0, 0], B),
}


@pytest.mark.parametrize("name", RECORDED_CODE)
def test_derivatives_of_code_of_scipy(name):
    function, *args = RECORDED_CODE[name]
    check(function, *args)


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    function, *args = CALLS[name]
    check(function, *args)


@pytest.mark.parametrize("name", CALLS)
def test_second_derivatives_of(name):
    function, *args = CALLS[name]
    fg.check_grads(function, args, order=2, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", CALLS)
def test_shown_as_scipy(name):
    function, *args = CALLS[name]
    shown: list[Any] = []

    def recorded(*args: Any) -> Any:
        shown.extend(leaf.value for leaf in flatten(function(*args))[0] if isinstance(leaf, RecordedArray))
        return sum(np.sum(arg) for arg in args)

    fg.record(recorded, *args)
    expected = [leaf for leaf in flatten(function(*args))[0] if isinstance(leaf, (np.ndarray, float))]
    for one, other in zip(shown, expected, strict=True):
        assert (isinstance(one, float), one.dtype) == (isinstance(other, float), np.asarray(other).dtype)
        np.testing.assert_array_equal(one, other)


def test_pivots_and_ranks_follow_later_inputs():
    function = fg.value_and_grad(lambda a, b: np.sum(scipy.linalg.lu_solve(scipy.linalg.lu_factor(a), b)))
    for matrix in (A, A[[1, 2, 0]], A[[2, 0, 1]]):
        value, gradient = function(matrix, B)
        np.testing.assert_allclose(value, np.sum(np.linalg.solve(matrix, B)), rtol=1e-12)
        adjoint = np.linalg.solve(matrix.T, np.ones(3))
        np.testing.assert_allclose(gradient, -np.outer(adjoint, np.linalg.solve(matrix, B)), rtol=1e-11, atol=1e-12)
    rank = fg.grad(lambda a: np.sum(a) * scipy.linalg.pinv(a, return_rank=True)[1])
    assert [rank(np.eye(2))[0, 0], rank(np.ones((2, 2)))[0, 0]] == [2.0, 1.0]


def test_third_derivative_of_expm_in_many_digits():
    a, e = 0.3 * normal(3, 3), normal(3, 3)

    def along(t: Any) -> Any:
        return scipy.linalg.expm(a + t * e)[0, 1]

    with mpmath.workdps(40):
        h = mpmath.mpf(10) ** -8
        p, q = mpmath.matrix(a.tolist()), mpmath.matrix(e.tolist())
        values = [mpmath.expm(p + k * h * q)[0, 1] for k in (-2, -1, 1, 2)]
        expected = (values[3] - 2 * values[2] + 2 * values[1] - values[0]) / (2 * h**3)
    np.testing.assert_allclose(fg.grad(fg.grad(fg.grad(along)))(0.0), float(expected), rtol=1e-10)


def test_only_the_triangle_that_is_read_counts():
    for lower, ignored in ((True, np.triu(normal(3, 3), 1)), (False, np.tril(normal(3, 3), -1))):
        for function in (
            lambda a, lower=lower: scipy.linalg.cholesky(a, lower=lower),
            lambda a, lower=lower: scipy.linalg.eigvalsh(a, lower=lower),
            lambda a, lower=lower: scipy.linalg.solve(a, B, lower, assume_a="pos"),
            lambda a, lower=lower: scipy.linalg.solve(a, B, lower, assume_a="sym"),
        ):
            jacobian = fg.jacobian(function)(DEFINITE + ignored)
            np.testing.assert_allclose(jacobian, fg.jacobian(function)(DEFINITE), rtol=1e-11, atol=1e-12)
            assert not jacobian[..., ignored != 0].any()


def test_arguments_are_not_overwritten():
    matrix, right = A.copy(), B.copy()
    options = {"overwrite_a": True, "overwrite_b": True}
    fg.grad(lambda a, b: np.sum(scipy.linalg.solve(a, b, **options)), argnums=(0, 1))(matrix, right)
    np.testing.assert_array_equal(matrix, A)
    np.testing.assert_array_equal(right, B)


def test_exceptions_are_those_of_scipy():
    for call in (
        lambda x: scipy.linalg.solve(x * np.ones((2, 2)), np.ones(2)),
        lambda x: scipy.linalg.solve(x * np.eye(3), np.ones(2)),
        lambda x: scipy.linalg.cholesky(-x * np.eye(2)),
        lambda x: scipy.linalg.inv(x * np.full((2, 2), np.nan)),
        lambda x: scipy.linalg.expm(x * np.ones((2, 3))),
    ):
        with pytest.raises(Exception) as expected:  # noqa: PT011
            call(1.0)
        with pytest.raises(expected.type):
            fg.record(call, 1.0)


REFUSED = {
    "with pivoting": lambda a: scipy.linalg.qr(a, pivoting=True)[0],
    "with b and eigenvectors": lambda a: scipy.linalg.eigh(a, DEFINITE)[1],
    "with subset_by_index": lambda a: scipy.linalg.eigh(a, subset_by_index=[0, 1])[1],
    "scipy.linalg.lu of a matrix that is not square": lambda a: scipy.linalg.lu(a[:2])[1],
    "is complex": lambda a: scipy.linalg.logm(-DEFINITE + 0 * a),
    "gelsy": lambda a: scipy.linalg.lstsq(a, B, lapack_driver="gelsy")[0],
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused_by_name(reason):
    with pytest.raises(fg.UnsupportedError, match=reason):
        fg.record(REFUSED[reason], A)


def test_functions_that_become_complex_at_later_inputs_are_refused():
    function = fg.grad(lambda a: np.sum(scipy.linalg.logm(a)))
    function(DEFINITE)
    with pytest.raises(fg.UnsupportedError, match="is complex"):
        function(-DEFINITE)


@pytest.mark.parametrize("name", ["sqrtm", "logm"])
def test_functions_with_infinite_slopes_at_singular_matrices_are_nan_there(name):
    function = getattr(scipy.linalg, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        assert np.isnan(fg.grad(lambda a: np.sum(function(a)))(np.diag([0.0, 1.0]))).all()
    np.testing.assert_allclose(
        fg.grad(lambda a: np.trace(function(a)))(np.diag([1e-12, 1.0])),
        np.diag([5e5, 0.5] if name == "sqrtm" else [1e12, 1.0]),
        rtol=1e-9,
        atol=1e-6,
    )


def test_random_numbers_that_scipy_draws_for_itself_are_not_the_functions():
    np.random.seed(0)  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fg.grad(lambda a: np.sum(scipy.linalg.logm(a)))(POSITIVE)
    found = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    assert found == np.random.random()  # noqa: NPY002


@pytest.mark.parametrize("name", ["eig", "schur", "signm", "ldl", "solve_discrete_are"])
def test_functions_without_definition_are_refused_by_name(name):
    with pytest.raises(fg.UnsupportedError, match=rf"scipy\.linalg\.{name} cannot be recorded"):
        fg.record(lambda a: getattr(scipy.linalg, name)(a), A)


@pytest.mark.parametrize("ask", [scipy.linalg.issymmetric, scipy.linalg.ishermitian])
def test_whether_a_matrix_is_symmetric_is_asked_again_at_every_input(ask):
    def chosen(a):
        return np.sum(a) if ask(a) else np.sum(a * a)

    gradient = fg.grad(chosen)
    symmetric = np.array([[np.nan, 2.0], [2.0, 1.0]])
    other = np.array([[1.0, 2.0], [3.0, 4.0]])
    for a in (symmetric, other, symmetric, np.nan * other, np.eye(2), other):
        np.testing.assert_array_equal(gradient(a), np.ones((2, 2)) if ask(a) else 2 * a)
    near = fg.grad(lambda a: np.sum(a) if ask(a, rtol=0.6) else np.sum(a * a))
    for a in (other, np.array([[1.0, 2.0], [9.0, 4.0]])):
        np.testing.assert_array_equal(near(a), np.ones((2, 2)) if ask(a, rtol=0.6) else 2 * a)
    with pytest.raises(fg.UnsupportedError, match="issymmetric of several matrices"):
        fg.record(ask, np.ones((3, 2, 2)))
