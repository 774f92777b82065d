"""Linear algebra at singular and degenerate matrices, and around them."""

import math

import numpy as np

from tests.traps.trap import trap

ROOT = math.sqrt(2.0)
SECOND_OF_DETERMINANT = [
    [[[0.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [-1.0, 0.0]]],
    [[[0.0, -1.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]],
]


@trap([[1.0, 2.0], [2.0, 4.0]], 0.0, [[4.0, -2.0], [-2.0, 1.0]], second=SECOND_OF_DETERMINANT, atol=1e-14)
def determinant_of_a_singular_matrix(a):
    """The derivative is the matrix of cofactors; the rule `det * inverse` has no inverse here."""
    return np.linalg.det(a)


@trap(
    [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 3.0]],
    0.0,
    [[0.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]],
    atol=1e-14,
)
def determinant_of_rank_2(a):
    """One cofactor is not 0."""
    return np.linalg.det(a)


@trap([[0.0] * 3] * 3, 0.0, [[0.0] * 3] * 3, atol=1e-14)
def determinant_of_zeros(a):
    """All cofactors are 0."""
    return np.linalg.det(a)


@trap([[2.0, 1.0], [1.0, 3.0]], math.log(5.0), [[0.6, -0.2], [-0.2, 0.4]], atol=1e-15)
def logarithm_of_a_determinant(a):
    """`slogdet`: the inverse, transposed."""
    return np.linalg.slogdet(a)[1]


@trap([[2.0, 0.0], [0.0, 2.0]], 4.0, [[1.0, 0.0], [0.0, 1.0]], atol=1e-14)
def sum_of_equal_eigenvalues(a):
    """The trace, by way of eigenvalues that coincide."""
    return np.sum(np.linalg.eigvalsh(a))


@trap([[2.0, 0.0], [0.0, 2.0]], 8.0, [[4.0, 0.0], [0.0, 4.0]], atol=1e-13)
def squares_of_equal_eigenvalues(a):
    """`trace(a @ a)`, whose derivative is `2 a`."""
    values, _ = np.linalg.eigh(a)
    return np.sum(values**2)


@trap([[2.0, 0.0], [0.0, 2.0]], 4.0, [[1.0, 0.0], [0.0, 1.0]], atol=1e-13)
def matrix_rebuilt_from_equal_eigenvalues(a):
    """`v @ diag(w) @ v.T` is `a` itself, whatever the eigenvectors of equal eigenvalues are."""
    values, vectors = np.linalg.eigh(a)
    return np.trace((vectors * values) @ vectors.T)


@trap([[2.0, 0.0], [0.0, 2.0]], 4.0, [[1.0, 0.0], [0.0, 1.0]], atol=1e-13)
def nuclear_norm_with_equal_singular_values(a):
    """The sum of singular values is smooth where none is 0."""
    return np.sum(np.linalg.svd(a, compute_uv=False))


@trap([[3.0, 0.0], [0.0, 1.0]], 3.0, [[1.0, 0.0], [0.0, 0.0]], atol=1e-14)
def spectral_norm(a):
    """The largest singular value."""
    return np.linalg.norm(a, 2)


@trap([[0.0, 0.0], [0.0, 0.0]], 0.0, [[0.0, 0.0], [0.0, 0.0]], between=([[-1.0] * 2] * 2, [[1.0] * 2] * 2))
def frobenius_norm_at_0(a):
    """The tip of a cone."""
    return np.linalg.norm(a)


@trap([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], 1.5, [[-1.0, -0.5], [-0.5, -0.25], [1.0, 0.25]], atol=1e-14)
def pseudoinverse_of_a_tall_matrix(a):
    """The sum of `pinv(a)`: an inverse on the columns, and a part across them."""
    return np.sum(np.linalg.pinv(a))


@trap([[2.0, 1.0], [1.0, 3.0]], 0.6, [[-0.36, 0.12], [0.12, -0.04]], atol=1e-15)
def corner_of_an_inverse(a):
    """`-inverse.T @ e e.T @ inverse.T`."""
    return np.linalg.inv(a)[0, 0]


@trap(([[2.0, 1.0], [1.0, 3.0]], [1.0, 2.0]), 0.2, ([[-0.12, -0.36], [0.04, 0.12]], [0.6, -0.2]), atol=1e-15)
def solution_of_a_system(a, b):
    """`solve(a, b)[0]` by the matrix and by the right side."""
    return np.linalg.solve(a, b)[0]


@trap([4.0, 2.0, 3.0], 2.0 + ROOT, [0.25 + 0.125 / ROOT, -0.5 / ROOT, 0.5 / ROOT], atol=1e-15)
def diagonal_of_a_cholesky_factor(x):
    """The trace is `sqrt(x0) + sqrt(x2 - x1^2 / x0)`; the matrix is built from its three numbers."""
    a = np.array([[x[0], x[1]], [x[1], x[2]]])
    return np.trace(np.linalg.cholesky(a))


@trap([[1.0, 2.0], [3.0, 4.0]], 5.0, [[1.0, 0.0], [0.0, 1.0]])
def trace_by_einsum(a):
    """`np.einsum("ii", a)`: a repeated index."""
    return np.einsum("ii", a)


@trap([[1.0, 2.0], [0.0, 1.0]], 2.0, [[0.0, 0.0], [0.0, 0.0]])
def matrix_to_the_power_0(a):
    """The identity, whatever the matrix."""
    return np.sum(np.linalg.matrix_power(a, 0))


@trap([[1.0, 2.0], [0.0, 1.0]], 6.0, [[6.0, 3.0], [4.0, 6.0]])
def matrix_to_the_power_3(a):
    """The corner of `a @ a @ a`."""
    return np.linalg.matrix_power(a, 3)[0, 1]


@trap([1.0, 1.0, 1.0, 1.0], 16.0, [8.0, 8.0, 8.0, 8.0], atol=1e-14)
def power_spectrum_of_a_constant(x):
    """`|rfft(x)|^2` at frequency 0, 1 and 2: at the last two the spectrum is exactly 0, where `abs` has its kink."""
    return np.sum(np.abs(np.fft.rfft(x)) ** 2)


@trap([0.0, 1.0, 2.0], 1.0, [-0.5, 0.0, 0.5], atol=1e-14)
def line_fitted_to_points(y):
    """The slope of `np.polyfit` through three points."""
    return np.polyfit(np.array([0.0, 1.0, 2.0]), y, 1)[0]
