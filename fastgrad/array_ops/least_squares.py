"""Pseudoinverse, least squares and rank of the matrices in the last two axes.

The second operand, ``cutoff``, is the relative size below which a singular value counts as 0. Derivatives are those at
constant rank (Golub and Pereyra, *The differentiation of pseudo-inverses and nonlinear least squares problems whose
variables separate*, SIAM Journal on Numerical Analysis 10, 1973, theorem 4.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.array_ops.linalg import folded, mirrored, total
from fastgrad.array_ops.products import matmul, transposed, with_shared_matrix
from fastgrad.array_ops.reductions import broadcast_to
from fastgrad.array_ops.table import ArrayOperation, Cotangents, Examples, Shape, array_operation, require


def _pinv_shape(_: str | None, a: Shape, cutoff: Shape) -> Shape:
    require(len(a) >= 2 and cutoff in ((), a[:-2]), "a matrix and one cutoff for each")
    return (*a[:-2], a[-1], a[-2])


def _pinv(triangle: str | None, a: NDArray[Any], cutoff: NDArray[Any]) -> Any:
    return np.linalg.pinv(a, cutoff, hermitian=triangle is not None)


def _pinv_vjp(triangle: str | None, ct: Any, a: Any, cutoff: Any, p: Any) -> Cotangents:
    a = a if triangle is None else mirrored(a, triangle)
    pt, gt = transposed(p), transposed(ct)
    left, right = matmul(gt, matmul(p, pt)), matmul(matmul(pt, p), gt)
    of_a = left - matmul(a, matmul(p, left)) + (right - matmul(matmul(right, p), a)) - matmul(matmul(pt, ct), pt)
    return (of_a if triangle is None else folded(of_a, triangle)), None


def _pinv_jvp(triangle: str | None, tangents: Sequence[Any], a: Any, cutoff: Any, p: Any) -> Any:
    of_a = tangents[0]
    if of_a is None:
        return None
    if triangle is not None:
        a, of_a = mirrored(a, triangle), mirrored(of_a, triangle)
    pt, at = transposed(p), transposed(of_a)
    left, right = matmul(matmul(p, pt), at), matmul(at, matmul(pt, p))
    return left - matmul(matmul(left, a), p) + (right - matmul(p, matmul(a, right))) - matmul(matmul(p, of_a), p)


def _with_cutoffs(operation: ArrayOperation, attribute: Any, examples: Examples) -> Any:
    """The ``batch`` of an operation on matrices and one cutoff, or one for each of them."""
    leading = examples.shapes[0][:-2]
    if examples.varies[1] or examples.shapes[1] != ():
        cutoff = broadcast_to(examples.with_rank(1, len(leading)), attribute=(examples.n, *leading))
    else:
        cutoff = examples.operands[1]
    return operation(examples.with_axis(0), cutoff, attribute=attribute)


def _lstsq_batch(_: None, examples: Examples) -> Any:
    if examples.varies[0] or examples.varies[2] or examples.n == 0:
        return None
    return with_shared_matrix(lstsq, None, examples, examples.operands[2])


# the attribute is None, or "L" where the matrix is symmetric and only that triangle read
pinv: ArrayOperation = array_operation(
    "pinv",
    _pinv_shape,
    _pinv,
    _pinv_vjp,
    _pinv_jvp,
    batch=lambda triangle, examples: _with_cutoffs(pinv, triangle, examples),
)


def _lstsq_shape(_: None, a: Shape, b: Shape, cutoff: Shape) -> Shape:
    require(len(a) == len(b) == 2 and a[0] == b[0] and cutoff == (), "one matrix and right sides of its height")
    return (a[1], b[1])


def _lstsq(_: None, a: NDArray[Any], b: NDArray[Any], cutoff: NDArray[Any]) -> Any:
    return np.linalg.lstsq(a, b, float(cutoff))[0]


def _lstsq_vjp(_: None, ct: Any, a: Any, b: Any, cutoff: Any, x: Any) -> Cotangents:
    p = pinv(a, cutoff)
    pt = transposed(p)
    of_b = matmul(pt, ct)
    rest = b - matmul(a, x)
    spread = matmul(matmul(pt, x), transposed(ct))
    of_a = matmul(rest, transposed(matmul(p, of_b))) - matmul(of_b, transposed(x))
    return of_a + (spread - matmul(matmul(spread, p), a)), of_b, None


def _lstsq_jvp(_: None, tangents: Sequence[Any], a: Any, b: Any, cutoff: Any, x: Any) -> Any:
    of_a, of_b, _of_cutoff = tangents
    if of_a is None and of_b is None:
        return None
    p = pinv(a, cutoff)
    right = total([of_b, None if of_a is None else -matmul(of_a, x)])
    result = matmul(p, right)
    if of_a is None:
        return result
    pt, at = transposed(p), transposed(of_a)
    spread = matmul(at, matmul(pt, x))
    return result + matmul(p, matmul(pt, matmul(at, b - matmul(a, x)))) + (spread - matmul(p, matmul(a, spread)))


lstsq: ArrayOperation = array_operation("lstsq", _lstsq_shape, _lstsq, _lstsq_vjp, _lstsq_jvp, batch=_lstsq_batch)


def _rank_shape(_: tuple[str, int], a: Shape, cutoff: Shape) -> Shape:
    require(len(a) >= 2 and cutoff in ((), a[:-2]), "a matrix and one cutoff for each")
    return a[:-2]


def _rank(attribute: tuple[str, int], a: NDArray[Any], cutoff: NDArray[Any]) -> Any:
    kind, hermitian = attribute
    chosen: dict[str, Any] = {kind: cutoff} if kind else {}
    return np.linalg.matrix_rank(a, hermitian=bool(hermitian), **chosen)


# the attribute is how the cutoff is meant, "tol", "rtol" or "" for NumPy's own, and whether the matrix is symmetric
matrix_rank: ArrayOperation = array_operation(
    "matrix_rank",
    _rank_shape,
    _rank,
    lambda *_: (None, None),
    piecewise_constant=True,
    batch=lambda attribute, examples: _with_cutoffs(matrix_rank, attribute, examples),
)
