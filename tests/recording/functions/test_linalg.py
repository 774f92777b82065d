"""numpy.linalg: values against NumPy, first and second derivatives against differences and closed forms."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

import fastgrad as fg
from fastgrad.recording.recorded_array import RecordedArray
from fastgrad.recording.structures import flatten
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_shown_as_numpy

RANDOM = np.random.default_rng(11)
INFINITY = float("inf")


def normal(*shape: int) -> Any:
    return RANDOM.standard_normal(shape)


def regular(*shape: int) -> Any:
    """Matrices far from singular."""
    return normal(*shape) + 3.0 * np.eye(shape[-1])


def symmetric(x: Any) -> Any:
    return x + np.swapaxes(x, -1, -2)


def definite(x: Any) -> Any:
    return x @ np.swapaxes(x, -1, -2) + np.eye(x.shape[-1])


def with_singular_values(m: int, n: int, *values: float) -> Any:
    u, v = (np.linalg.qr(normal(k, k))[0] for k in (m, n))
    middle = np.zeros((m, n))
    middle[range(len(values)), range(len(values))] = values
    return u @ middle @ v


def of_rank_two(x: Any) -> Any:
    """Matrices whose rank stays 2 whatever moves."""
    return x[:, :2] @ x[:2, :]


def steps(x: Any) -> Any:
    """x away from ties: distinct numbers of either sign."""
    return (RANDOM.permutation(x.size) - x.size / 2 + 0.3).reshape(x.shape) + 0.1 * x


def scaled(found: Any) -> Any:
    """Eigenvalues and products of vectors with their first elements, where the sign that LAPACK chose cancels."""
    w, v = found
    return w, v * v[..., :1, :]


A, B = regular(3, 3), normal(3)
LONG, WIDE = normal(5, 3), normal(3, 5)
STACK = normal(2, 3, 3)
APART = np.diag([0.0, 5.0, 10.0])

CALLS: dict[str, tuple[Any, ...]] = {
    "solve": (np.linalg.solve, A, B),
    "solve matrix": (np.linalg.solve, A, normal(3, 2)),
    "solve batch": (np.linalg.solve, regular(2, 3, 3), normal(2, 3, 2)),
    "solve broadcast": (np.linalg.solve, regular(2, 1, 3, 3), normal(4, 3, 1)),
    "solve many with one vector": (np.linalg.solve, regular(2, 3, 3), B),
    "solve known matrix": (lambda b: np.linalg.solve(A, b), B),
    "solve known right side": (lambda a: np.linalg.solve(a, B), A),
    "solve transposed": (lambda a, b: np.linalg.solve(a.T, b[::-1]), A, B),
    "solve every other": (lambda a, b: np.linalg.solve(a[::2, ::2], b[::2]), regular(5, 5), normal(5)),
    "solve empty": (np.linalg.solve, np.zeros((0, 0)), np.zeros(0)),
    "inv": (np.linalg.inv, A),
    "inv batch": (np.linalg.inv, regular(2, 2, 3, 3)),
    "inv twice": (lambda a: np.linalg.inv(np.linalg.inv(a) @ a + a), A),
    "inv one": (np.linalg.inv, np.array([[-0.5]])),
    "det": (np.linalg.det, A),
    "det batch": (np.linalg.det, STACK),
    "det rank n-1": (np.linalg.det, with_singular_values(4, 4, 2.0, 1.0, 0.5)),
    "det rank n-2": (lambda a: np.linalg.det(a), with_singular_values(4, 4, 2.0, 1.0)),
    "det zeros": (np.linalg.det, np.zeros((2, 2))),
    "det one": (np.linalg.det, np.array([[0.0]])),
    "slogdet": (np.linalg.slogdet, A),
    "slogdet negative": (np.linalg.slogdet, A[[1, 0, 2]]),
    "slogdet batch": (np.linalg.slogdet, STACK),
    "tensorinv": (lambda x: np.linalg.tensorinv(x, ind=1), regular(6, 6).reshape(6, 2, 3)),
    "tensorinv 2": (np.linalg.tensorinv, regular(6, 6).reshape(3, 2, 2, 3)),
    "tensorsolve": (np.linalg.tensorsolve, regular(6, 6).reshape(2, 3, 6), normal(2, 3)),
    "tensorsolve axes": (
        lambda x, y: np.linalg.tensorsolve(x, y, axes=(0, 2)),
        regular(6, 6).reshape(3, 6, 2),
        normal(6),
    ),
    "matrix_power": (lambda x: [np.linalg.matrix_power(x, k) for k in (-3, -1, 1, 2, 3, 4, 7)], A / 2),
    "matrix_power 0": (lambda x: np.linalg.matrix_power(x, 0) * x, STACK),
    "multi_dot": (lambda *xs: np.linalg.multi_dot(xs), normal(2, 5), normal(5, 1), normal(1, 4), normal(4, 3)),
    "multi_dot vectors": (lambda x, y, z: np.linalg.multi_dot([x, y, z]), normal(2), normal(2, 4), normal(4)),
    "pinv long": (np.linalg.pinv, LONG),
    "pinv wide": (np.linalg.pinv, WIDE),
    "pinv batch": (np.linalg.pinv, normal(2, 4, 3)),
    "pinv rank two": (lambda x: np.linalg.pinv(of_rank_two(x), rcond=1e-9), normal(4, 4)),
    "pinv cutoff": (lambda x: np.linalg.pinv(of_rank_two(x), rtol=1e-9), normal(4, 4)),
    "pinv hermitian": (lambda x: np.linalg.pinv(x, hermitian=True), symmetric(normal(3, 3))),
    "pinv zeros": (lambda x: np.linalg.pinv(x * np.zeros((2, 3))), normal(2, 3)),
    "lstsq long": (lambda a, b: np.linalg.lstsq(a, b, rcond=None)[:2], LONG, normal(5)),
    "lstsq several": (lambda a, b: np.linalg.lstsq(a, b)[:2], LONG, normal(5, 2)),
    "lstsq wide": (lambda a, b: np.linalg.lstsq(a, b, rcond=None)[0], WIDE, normal(3)),
    "lstsq rank two": (lambda x, b: np.linalg.lstsq(of_rank_two(x), b, rcond=1e-9)[0], normal(4, 4), normal(4)),
    "lstsq values": (lambda a, b: np.linalg.lstsq(a, b, rcond=None)[3] * b[:3], LONG, normal(5)),
    "matrix_rank": (lambda x: x * np.linalg.matrix_rank(x), LONG),
    "matrix_rank hermitian": (lambda x: x * np.linalg.matrix_rank(symmetric(x), hermitian=True, tol=0.1), A),
    "cholesky": (lambda x: np.linalg.cholesky(definite(x)), normal(3, 3)),
    "cholesky upper": (lambda x: np.linalg.cholesky(definite(x), upper=True), normal(3, 3)),
    "cholesky batch": (lambda x: np.linalg.cholesky(definite(x)), STACK),
    "cholesky lower triangle": (lambda x: np.linalg.cholesky(x), np.tril(definite(normal(3, 3))) + 7 * np.eye(3)),
    "cholesky upper triangle": (
        lambda x: np.linalg.cholesky(x, upper=True),
        np.triu(definite(normal(3, 3)), -1) + 7 * np.eye(3),
    ),
    "qr long": (np.linalg.qr, LONG),
    "qr square": (np.linalg.qr, A),
    "qr wide": (np.linalg.qr, WIDE),
    "qr batch": (np.linalg.qr, normal(2, 4, 3)),
    "qr r": (lambda x: np.linalg.qr(x, mode="r"), LONG),
    "qr complete square": (lambda x: np.linalg.qr(x, mode="complete"), A),
    "qr complete wide": (lambda x: np.linalg.qr(x, "complete"), WIDE),
    "qr complete r": (lambda x: np.linalg.qr(x, mode="complete")[1], LONG),
    "eigh": (lambda x: np.linalg.eigh(symmetric(x)), A),
    "eigh triangle": (lambda x: np.linalg.eigh(x), normal(3, 3)),
    "eigh upper": (lambda x: np.linalg.eigh(x, UPLO="u"), normal(3, 3)),
    "eigh batch": (lambda x: np.linalg.eigh(x), normal(2, 2, 3, 3)),
    "eigh one": (np.linalg.eigh, np.array([[2.0]])),
    "eigvalsh": (np.linalg.eigvalsh, normal(4, 4)),
    "eigvalsh upper": (lambda x: np.linalg.eigvalsh(x, "U"), normal(4, 4)),
    "eigvalsh batch": (np.linalg.eigvalsh, STACK),
    "eig": (lambda x: scaled(np.linalg.eig(x)), np.triu(normal(3, 3)) + APART + 0.3 * normal(3, 3)),
    "eig symmetric": (lambda x: np.linalg.eig(symmetric(x)), A),
    "eig batch": (lambda x: scaled(np.linalg.eig(x)), 0.3 * STACK + APART),
    "eigvals": (np.linalg.eigvals, 0.3 * normal(3, 3) + APART),
    "eigvals batch": (np.linalg.eigvals, 0.3 * STACK + APART),
    "svd long": (lambda x: np.linalg.svd(x, full_matrices=False), LONG),
    "svd wide": (lambda x: np.linalg.svd(x, full_matrices=False), WIDE),
    "svd square": (np.linalg.svd, A),
    "svd batch": (lambda x: np.linalg.svd(x, False), normal(2, 4, 3)),
    "svd full": (lambda x: (np.linalg.svd(x)[0][:, :3], *np.linalg.svd(x)[1:]), LONG),
    "svd hermitian": (lambda x: np.linalg.svd(x, hermitian=True), symmetric(normal(3, 3))),
    "svd values alone": (lambda x: np.linalg.svd(x, compute_uv=False), LONG),
    "svdvals": (np.linalg.svdvals, normal(2, 3, 4)),
    "cond": (np.linalg.cond, LONG),
    "cond orders": (
        lambda x: [np.linalg.cond(x, p) for p in (2, -2, 1, -1, INFINITY, -INFINITY, "fro", "nuc")],
        steps(A),
    ),
    "cond batch": (np.linalg.cond, STACK),
    "norm": (np.linalg.norm, normal(2, 3, 2)),
    "norm number": (lambda x: np.linalg.norm(x), np.float64(-2.0)),
    "norm of a list": (lambda x: np.linalg.norm([x, 2.0, x * x]), np.float64(-2.0)),
    "norm vector": (
        lambda x: [np.linalg.norm(x, p) for p in (None, 2, 1, 3, 0.5, -1, -2, INFINITY, -INFINITY, 0)],
        steps(normal(5)),
    ),
    "norm axis": (
        lambda x: [np.linalg.norm(x, p, axis=0, keepdims=True) for p in (None, 1, 2.5, INFINITY, -INFINITY)],
        steps(normal(3, 4)),
    ),
    "norm last axis": (lambda x: np.linalg.norm(x, 4, -1), normal(3, 4)),
    "norm matrix": (
        lambda x: [np.linalg.norm(x, p) for p in (None, "fro", "nuc", 1, -1, 2, -2, INFINITY, -INFINITY)],
        steps(normal(3, 4)),
    ),
    "norm two axes": (
        lambda x: [np.linalg.norm(x, p, axis=(2, 0), keepdims=True) for p in (None, "nuc", 1, -1, 2, INFINITY)],
        steps(normal(3, 2, 4)),
    ),
    "norm empty": (lambda x: np.linalg.norm(x) + np.sum(np.linalg.norm(x, axis=0)), np.zeros((0, 3))),
    "matrix_norm": (lambda x: np.linalg.matrix_norm(x, ord="nuc", keepdims=True), normal(2, 3, 4)),
    "vector_norm": (lambda x: np.linalg.vector_norm(x, axis=(0, 2), ord=3, keepdims=True), normal(3, 2, 4)),
    "vector_norm of all": (lambda x: np.linalg.vector_norm(x, ord=INFINITY), steps(normal(3, 2))),
    "cross": (np.linalg.cross, normal(4, 3), normal(3)),
    "outer": (np.linalg.outer, normal(2), normal(3)),
    "trace": (lambda x: np.linalg.trace(x, offset=1), STACK),
    "diagonal": (lambda x: np.linalg.diagonal(x, offset=-1), STACK),
    "matmul": (np.linalg.matmul, normal(2, 3), normal(3)),
    "tensordot": (lambda x, y: np.linalg.tensordot(x, y, axes=((0,), (1,))), normal(2, 3), normal(4, 2)),
    "vecdot": (lambda x, y: np.linalg.vecdot(x, y, axis=0), normal(3, 2), normal(3, 2)),
    "matrix_transpose": (np.linalg.matrix_transpose, STACK),
    "empty matrices": (
        lambda x: [np.linalg.det(x), np.linalg.slogdet(x)[1], np.sum(np.linalg.inv(x)), np.linalg.eigvalsh(x)],
        np.zeros((2, 0, 0)),
    ),
    "no matrices": (
        lambda x: [f(x) for f in (np.linalg.inv, np.linalg.det, np.linalg.eigvalsh, np.linalg.svdvals, np.linalg.qr)],
        np.zeros((0, 3, 3)),
    ),
    "empty factors": (lambda x: [np.linalg.svd(x, False), np.linalg.qr(x), np.linalg.pinv(x)], np.zeros((3, 0))),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    function, *args = CALLS[name]
    check(function, *args)


@pytest.mark.parametrize("name", CALLS)
def test_second_derivatives_of(name):
    function, *args = CALLS[name]
    fg.check_grads(function, args, order=2, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", CALLS)
def test_shown_as_numpy(name):
    assert_shown_as_numpy(CALLS[name][0], *CALLS[name][1:])


SHOWN = {
    "solve": lambda x: np.linalg.solve(x, x[0]),
    "inv": np.linalg.inv,
    "det": np.linalg.det,
    "slogdet": np.linalg.slogdet,
    "pinv": np.linalg.pinv,
    "lstsq": lambda x: np.linalg.lstsq(x, x[0], rcond=None),
    "qr": np.linalg.qr,
    "cholesky": lambda x: np.linalg.cholesky(x @ x.T),
    "eigh": lambda x: np.linalg.eigh(x + x.T),
    "svd": np.linalg.svd,
    "norm": lambda x: [np.linalg.norm(x, p) for p in (None, 1, 2, "nuc", INFINITY)],
    "vector norm": lambda x: [np.linalg.norm(x[0], p) for p in (None, 0, 1, 2, 3, INFINITY)],
    "cond": lambda x: [np.linalg.cond(x), np.linalg.cond(x, 1)],
    "matrix_rank": lambda x: [np.linalg.matrix_rank(x), np.linalg.matrix_rank(x[0])],
    "matrix_power": lambda x: [np.linalg.matrix_power(x, k) for k in (-1, 0, 2, 3)],
    "multi_dot": lambda x: np.linalg.multi_dot([x, x, x[0]]),
}


OTHER_NUMBERS = {
    "float32": (lambda x, matrix: (x + matrix).astype(np.float32), 1e-6),
    # comparisons give truth values, which whole numbers multiply
    "int64": (lambda x, matrix: (x >= 0.0) * matrix.astype(np.int64), 1e-13),
}


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("kind", OTHER_NUMBERS)
def test_matrices_of_other_numbers_are_shown_as_numpy(name, kind):
    matrix, (convert, tolerance) = np.array([[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 4.0]]), OTHER_NUMBERS[kind]
    shown: list[Any] = []

    def recorded(x: Any) -> Any:
        leaves = flatten(SHOWN[name](convert(x, matrix)))[0]
        shown.extend(leaf.value if isinstance(leaf, RecordedArray) else leaf for leaf in leaves)
        return np.sum(x)

    fg.record(recorded, np.zeros((3, 3)))
    expected = flatten(SHOWN[name](convert(np.zeros((3, 3)), matrix)))[0]
    assert [(np.asarray(s).dtype, np.shape(s)) for s in shown] == [(np.asarray(e).dtype, np.shape(e)) for e in expected]
    for one, other in zip(shown, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", SHOWN)
def test_gradients_through_single_precision_are_those_of_double_precision(name):
    matrix = np.array([[2.0, 1.0, 0.2], [1.5, 3.0, 1.0], [0.3, 1.0, 4.0]])

    def total(x: Any) -> Any:
        return sum(np.sum(np.asarray(part) * 1.0) for part in flatten(SHOWN[name](x))[0])

    single = fg.grad(lambda x: total(x.astype(np.float32)))(matrix)
    np.testing.assert_allclose(single, fg.grad(total)(matrix), rtol=1e-5, atol=1e-5)


# ---- closed forms


def test_second_derivative_of_determinants_in_many_digits():
    a, e, d = (RANDOM.standard_normal((4, 4)) for _ in range(3))
    a[3] = a[0] + a[1]
    a[2] = a[0] - 2.0 * a[1]

    def value(s: Any, t: Any) -> Any:
        return mpmath.det(mpmath.matrix(a.tolist()) + s * mpmath.matrix(e.tolist()) + t * mpmath.matrix(d.tolist()))

    with mpmath.workdps(60):
        h = mpmath.mpf(10) ** -20
        mixed = (value(h, h) - value(h, -h) - value(-h, h) + value(-h, -h)) / (4 * h * h)
    found = np.vdot(fg.hvp(np.linalg.det)(a, d), e)
    np.testing.assert_allclose(found, float(mixed), rtol=1e-11)


def test_gradient_of_a_determinant_is_the_cofactors_at_any_rank():
    diagonal = np.diag([0.0, 3.0, 2.0])
    np.testing.assert_allclose(fg.grad(np.linalg.det)(diagonal), np.diag([6.0, 0.0, 0.0]), atol=1e-13)
    assert not fg.grad(np.linalg.det)(np.diag([0.0, 0.0, 2.0])).any()


def test_third_derivative_of_a_determinant_is_right_where_regular_and_nan_where_singular():
    def third(a: Any) -> Any:
        # det(a + t e) is a cubic in t with the leading coefficient det(e)
        e = np.diag([1.0, 2.0, 3.0])
        first = fg.grad(lambda t: np.linalg.det(a + t * e))
        return fg.grad(fg.grad(first))(0.0)

    np.testing.assert_allclose(third(A), 36.0, rtol=1e-10)
    assert np.isnan(third(np.zeros((3, 3))))


def test_gradient_of_log_determinants_and_traces():
    np.testing.assert_allclose(fg.grad(lambda a: np.linalg.slogdet(a)[1])(A), np.linalg.inv(A).T, rtol=1e-12)
    np.testing.assert_allclose(
        fg.grad(lambda a: np.trace(np.linalg.inv(a)))(A), -np.linalg.matrix_power(np.linalg.inv(A), 2).T, rtol=1e-12
    )


def test_log_determinant_of_a_singular_matrix_is_minus_infinity_and_has_no_slope():
    value, gradient = fg.value_and_grad(lambda a: np.linalg.slogdet(a)[1])(np.ones((2, 2)))
    assert value == -INFINITY
    assert np.isnan(gradient).all()


def test_exceptions_are_those_of_numpy():
    for call in (
        lambda x: np.linalg.solve(np.ones((2, 2)) * x, np.ones(2)),
        lambda x: np.linalg.inv(x * np.zeros((3, 3))),
        lambda x: np.linalg.cholesky(-x * np.eye(2)),
        lambda x: np.linalg.det(x * np.ones(3)),
        lambda x: np.linalg.inv(x * np.ones((2, 3))),
        lambda x: np.linalg.solve(x * np.eye(3), np.ones(2)),
        lambda x: np.linalg.cond(x * np.zeros((0, 2))),
        lambda x: np.linalg.norm(x * np.ones((2, 2)), "no"),
        lambda x: np.linalg.norm(x * np.ones((2, 2, 2)), 1),
        lambda x: np.linalg.norm(x * np.ones((2, 2)), axis=(0, 0)),
        lambda x: np.linalg.eigh(x * np.eye(2), "X"),
        lambda x: np.linalg.matrix_power(x * np.eye(2), 0.5),
        lambda x: np.linalg.matrix_power(x * np.ones((2, 3)), 2),
        lambda x: np.linalg.qr(x * np.ones(3)),
        lambda x: np.linalg.svd(x * np.ones(3)),
        lambda x: np.linalg.lstsq(x * np.ones((3, 2)), np.ones(2)),
        lambda x: np.linalg.multi_dot([x * np.ones((2, 2))]),
        lambda x: np.linalg.tensorinv(x * np.eye(2), 0),
    ):
        with pytest.raises(Exception) as expected:  # noqa: PT011
            call(1.0)
        with pytest.raises(expected.type):
            fg.record(call, 1.0)


# ---- only the triangle that is read counts


@pytest.mark.parametrize(
    ("function", "lower"),
    [
        (np.linalg.eigvalsh, True),
        (lambda a: np.linalg.eigvalsh(a, "U"), False),
        (np.linalg.cholesky, True),
        (lambda a: np.linalg.cholesky(a, upper=True), False),
        (lambda a: np.linalg.pinv(a, hermitian=True), True),
        (lambda a: np.linalg.svd(a, compute_uv=False, hermitian=True), True),
    ],
)
def test_only_one_triangle_counts(function, lower):
    matrix = definite(normal(3, 3))
    ignored = np.triu(normal(3, 3), 1) if lower else np.tril(normal(3, 3), -1)
    jacobian = fg.jacobian(function)(matrix + ignored)
    np.testing.assert_allclose(jacobian, fg.jacobian(function)(matrix), rtol=1e-12, atol=1e-13)
    assert not jacobian[..., ignored != 0].any()
    assert jacobian[..., ignored.T != 0].all(axis=-1).any()


# ---- repeated values


def test_functions_of_all_repeated_eigenvalues_are_right_and_their_vectors_are_nan():
    matrix = with_singular_values(4, 4, 1.0, 1.0, 1.0, 1.0)
    repeated = matrix @ np.diag([2.0, 2.0, 2.0, 5.0]) @ matrix.T
    gradient = fg.grad(lambda a: np.sum(np.linalg.eigvalsh(symmetric(a) / 2) ** 3))(repeated)
    np.testing.assert_allclose(gradient, 3 * repeated @ repeated, rtol=1e-12, atol=1e-12)
    gradient = fg.grad(lambda a: np.sum(np.exp(np.linalg.eigh(symmetric(a) / 2)[0])))(repeated)
    w, v = np.linalg.eigh(repeated)
    np.testing.assert_allclose(gradient, (v * np.exp(w)) @ v.T, rtol=1e-12, atol=1e-12)
    assert np.isnan(fg.grad(lambda a: np.linalg.eigh(a)[1][0, 0])(repeated)).all()
    assert np.isnan(fg.jvp(lambda a: np.linalg.eigh(a)[1], (repeated,), (np.eye(4),))[1][:, :3]).all()


def test_vectors_of_simple_eigenvalues_stay_right_beside_repeated_ones():
    turn = with_singular_values(4, 4, 1.0, 1.0, 1.0, 1.0)
    repeated = turn @ np.diag([2.0, 2.0, 2.0, 5.0]) @ turn.T

    def projector(a: Any) -> Any:
        v = np.linalg.eigh(symmetric(a) / 2)[1][:, 3]
        return np.outer(v, v)

    direction = symmetric(normal(4, 4))
    _, found = fg.jvp(projector, (repeated,), (direction,))
    h = 1e-4
    expected = (projector(repeated + h * direction) - projector(repeated - h * direction)) / (2 * h)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_functions_of_all_repeated_singular_values_are_right_and_their_vectors_are_nan():
    matrix = with_singular_values(4, 3, 2.0, 2.0, 1.0)
    # the sum of cubes is the trace of (a'a)^(3/2), whose gradient is 3 u s^2 v'
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    gradient = fg.grad(lambda a: np.sum(np.linalg.svdvals(a) ** 3))(matrix)
    np.testing.assert_allclose(gradient, 3 * (u * s**2) @ vt, rtol=1e-12, atol=1e-12)
    assert np.isnan(fg.grad(lambda a: np.linalg.svd(a)[0][0, 0])(matrix)).all()


def test_vectors_that_complete_a_basis_have_no_derivative():
    assert np.isnan(fg.grad(lambda a: np.linalg.svd(a)[0][0, 4])(LONG)).all()
    assert np.isnan(fg.grad(lambda a: np.linalg.qr(a, mode="complete")[0][0, 4])(LONG)).all()
    assert np.isnan(fg.jvp(lambda a: np.linalg.qr(a, mode="complete")[0], (LONG,), (LONG + 1,))[1][:, 3:]).all()


def test_nuclear_norm_has_derivative_zero_at_zero():
    assert not fg.grad(lambda a: np.linalg.norm(a, "nuc"))(np.zeros((2, 3))).any()


def test_qr_of_dependent_columns_has_no_derivative():
    for shape in [(3, 2), (3, 3), (2, 4), (70, 70)]:
        for part in (0, 1):
            dependent = np.ones(shape)
            assert np.isnan(fg.grad(lambda a, part=part: np.sum(np.linalg.qr(a)[part]))(dependent)).all()
            # where nothing depends on it, its derivative is zero
            unused = fg.grad(lambda a, x, part=part: np.sum(np.where(x > 0.0, np.linalg.qr(a)[part], 1.0)))
            assert (unused(dependent, -1.0) == 0.0).all()


# ---- general eigenvalues


def test_complex_eigenvalues_are_refused():
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    for call in (lambda a: np.sum(np.linalg.eigvals(a)), lambda a: np.sum(np.linalg.eig(a)[0])):
        with pytest.raises(fg.UnsupportedError, match="complex eigenvalues"):
            fg.grad(call)(turn)


def test_defective_matrix_has_no_derivatives_of_eigenvalues():
    assert np.isnan(fg.grad(lambda a: np.linalg.eigvals(a)[0])(np.array([[1.0, 1.0], [0.0, 1.0]]))).all()


def test_raw_householder_vectors_are_refused_by_name():
    with pytest.raises(fg.UnsupportedError, match=r"np\.linalg\.qr with mode='raw'"):
        fg.grad(lambda a: np.sum(np.linalg.qr(a, mode="raw")[0]))(A)


# ---- kinks and ties of norms


@pytest.mark.parametrize("order", [None, 1, 2, 3, INFINITY])
def test_norm_has_derivative_zero_at_zero(order):
    assert not fg.grad(lambda x: np.linalg.norm(x, order))(np.zeros(3)).any()


def test_largest_elements_share_the_derivative_of_the_maximum_norm():
    gradient = fg.grad(lambda x: np.linalg.norm(x, INFINITY))(np.array([2.0, -2.0, 1.0]))
    np.testing.assert_array_equal(gradient, [0.5, -0.5, 0.0])


@pytest.mark.parametrize("order", [1.5, 3, 4])
def test_norm_with_elements_of_zero(order):
    x = np.array([0.0, 3.0, -4.0])
    size = np.sum(np.abs(x) ** order) ** (1 / order)
    expected = np.sign(x) * (np.abs(x) / size) ** (order - 1)
    np.testing.assert_allclose(fg.grad(lambda x: np.linalg.norm(x, order))(x), expected, rtol=1e-13)


# ---- steps that later inputs may change


def test_ranks_are_computed_anew():
    rank = fg.record(lambda a: np.linalg.matrix_rank(a) * 1.0, np.eye(3))
    assert len(rank.guard_nodes) == 0
    function = fg.grad(lambda a: np.sum(a) * np.linalg.matrix_rank(a))
    np.testing.assert_array_equal(function(np.eye(3)), np.full((3, 3), 3.0))
    np.testing.assert_array_equal(function(np.ones((3, 3))), np.full((3, 3), 1.0))


def test_rank_of_a_least_squares_problem_may_change_later():
    function = fg.grad(lambda a: np.sum(np.linalg.lstsq(a, np.arange(3.0), rcond=None)[0] ** 2))
    for matrix in (normal(3, 2), normal(3, 2)):
        expected = fg.grad(lambda a: np.sum((np.linalg.inv(a.T @ a) @ (a.T @ np.arange(3.0))) ** 2))(matrix)
        np.testing.assert_allclose(function(matrix), expected, rtol=1e-9)
    value = fg.value_and_grad(lambda a: np.sum(np.linalg.lstsq(a, np.arange(3.0), rcond=None)[0] ** 2))
    value(normal(3, 2))
    expected = np.sum(np.linalg.lstsq(np.ones((3, 2)), np.arange(3.0), rcond=None)[0] ** 2)
    np.testing.assert_allclose(value(np.ones((3, 2)))[0], expected, rtol=1e-12)


def test_condition_of_a_singular_matrix_is_infinite():
    value, _ = fg.value_and_grad(lambda a: np.linalg.cond(a, 1))(np.ones((2, 2)))
    assert value == INFINITY
    assert np.isnan(fg.value_and_grad(lambda a: np.linalg.cond(a, 1))(np.full((2, 2), np.nan))[0])


def test_sign_of_a_determinant_follows_later_inputs():
    function = fg.value_and_grad(lambda a: np.linalg.slogdet(a)[0])
    assert [function(A)[0], function(A[[1, 0, 2]])[0]] == [np.linalg.slogdet(A)[0], -np.linalg.slogdet(A)[0]]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, b, a: np.linalg.solve(x, b),
        lambda x, b, a: np.linalg.solve(a, x),
        lambda x, b, a: np.linalg.solve(np.stack([x, x]), b),
        lambda x, b, a: np.linalg.lstsq(x, b, rcond=None)[0],
        lambda x, b, a: np.linalg.multi_dot([b, a, a, x]),
        lambda x, b, a: np.linalg.tensorsolve(a, x[0], axes=(0,)),
        lambda x, b, a: np.linalg.cross(x, b),
    ],
)
def test_captured_arrays_are_read_anew(function):
    b, a = normal(3), regular(3, 3)
    derivative = fg.value_and_grad(lambda x: np.sum(function(x, b, a)))
    derivative(A)
    b += 0.5
    a += 0.25
    np.testing.assert_allclose(derivative(A)[0], np.sum(function(A, b, a)), rtol=1e-12)
