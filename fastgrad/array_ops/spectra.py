"""Eigenvalues, singular values and their vectors, for the matrices in the last two axes.

A node has one result, so values and vectors are packed into one array, which slices take apart: eigenvalues are the
first row above their vectors; u, the singular values and vt follow one another on a flat last axis.

Where values are equal (up to rounding), their vectors have no derivative: any that depends on them is NaN. The values
themselves share the derivative of their sum equally, so what depends on all of them alike is right. A singular value of
0 is a kink, with derivative 0. See J. R. Magnus, *On differentiating eigenvalues and eigenvectors*, Econometric Theory
1, 1985, and J. Townsend, *Differentiating the singular value decomposition*, 2016.

A cotangent that does not turn the vectors of equal values (the antisymmetric part of v' ct is 0 among them) is NaN too,
though the function may be smooth: the rule divides that 0 by the difference of the values, another 0, and the limit is
not 0. Of trace(v diag(w) v' c), which is trace(a c), it is the part of c among these vectors, which no first derivative
by v and w tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import sub as subtract
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fastgrad import ops
from fastgrad.array_ops.linalg import (
    EPS,
    NAN,
    SINGULAR_IS_ZERO,
    each_matrix,
    folded,
    folded_symmetric,
    inv,
    mirrored,
    poison,
    present,
    require_square,
    room,
    scipy_linalg,
    sum_of_matrix,
    total,
)
from fastgrad.array_ops.movement import concatenate, reshape, slice_
from fastgrad.array_ops.products import matmul, transposed
from fastgrad.array_ops.reductions import sum_
from fastgrad.array_ops.routines import routine, written
from fastgrad.array_ops.table import ArrayOperation, Cotangents, Shape, array_operation, in_stacks
from fastgrad.errors import UnsupportedError

# ---- equal values


def _tolerance(w: NDArray[Any]) -> Any:
    """Values closer than this may be equal ones with the error of their computation."""
    return 8.0 * w.shape[-1] * EPS * np.abs(w).max(-1, initial=0.0)


def _are_ordered_apart(with_zero: int, w: NDArray[Any]) -> bool:
    """Whether values are ordered, as NumPy's of symmetric matrices and singular values are, and no two are equal."""
    first, last = w.item(0), w.item(-1)
    tolerance = 8.0 * w.size * EPS * max(abs(first), abs(last))
    if with_zero and min(first, last) <= tolerance:
        return False
    if w.size <= 20:
        # quicker than calls of NumPy; differences end with the shorter list, and a NaN is not greater
        numbers = w.tolist()
        high, low = (numbers[1:], numbers) if first < last else (numbers, numbers[1:])
        return all(map(tolerance.__lt__, map(subtract, high, low)))
    upwards = w if first < last else w[::-1]
    return bool(np.minimum.reduce(upwards[1:] - upwards[:-1]) > tolerance)


def _groups(with_zero: int, w: NDArray[Any]) -> NDArray[Any] | None:
    """Numbers that are the same for equal values (-1: equal to 0, if that counts); None if no two are equal."""
    # as a rule this answers
    if w.ndim == 1 and w.size > 1 and _are_ordered_apart(with_zero, w):
        return None
    tolerance = np.asarray(_tolerance(w))[..., None]
    order = np.argsort(w, -1)
    ordered = np.take_along_axis(w, order, -1)
    apart = ordered[..., 1:] - ordered[..., :-1] > tolerance
    zero = (ordered <= tolerance) if with_zero else np.zeros(w.shape, bool)
    if apart.all() and not zero.any():
        return None
    groups = np.zeros(w.shape)
    np.cumsum(apart, -1, out=groups[..., 1:])
    groups[zero] = -1.0
    result = np.empty(w.shape)
    np.put_along_axis(result, order, groups, -1)
    return result


def _tie_average(with_zero: int, x: NDArray[Any], w: NDArray[Any]) -> Any:
    groups = _groups(with_zero, w)
    if groups is None:
        return x
    same = (groups[..., :, None] == groups[..., None, :]) & (groups >= 0.0)[..., None]
    return np.sum(np.where(same, x[..., None, :], 0.0), -1) / np.maximum(same.sum(-1), 1)


def _average_jvp(with_zero: int, tangents: Sequence[Any], x: Any, w: Any, r: Any) -> Any:
    return None if tangents[0] is None else tie_average(tangents[0], w, attribute=with_zero)


# x with the mean over equal values of w in place of each; 0 where w is 0, if the attribute is 1
tie_average: ArrayOperation = array_operation(
    "tie_average",
    lambda _, x, w: w,
    _tie_average,
    lambda with_zero, ct, x, w, r: (tie_average(ct, w, attribute=with_zero), None),
    _average_jvp,
    batch=in_stacks,
)


def _tied(with_zero: int, w: NDArray[Any]) -> Any:
    groups = _groups(with_zero, w)
    if groups is None:
        return np.zeros(w.shape)
    same = groups[..., :, None] == groups[..., None, :]
    return ((same.sum(-1) > 1) | ((groups < 0.0) if with_zero == 2 else False)).astype(np.float64)


# 1 where a value has an equal (attribute 1: all near 0 are; 2: one near 0 counts by itself), else 0
tied: ArrayOperation = array_operation(
    "tied", lambda _, w: w, _tied, lambda *_: (None,), piecewise_constant=True, batch=in_stacks
)


def _reciprocals(sign: int, w: NDArray[Any]) -> Any:
    numbers = w[..., None, :] + sign * w[..., :, None]
    near = ~(np.abs(numbers) > np.asarray(_tolerance(w))[..., None, None])
    diagonal = np.arange(w.shape[-1])
    near[..., diagonal, diagonal] = True
    numbers[near] = np.inf
    return 1.0 / numbers


def _reciprocals_vjp(sign: int, ct: Any, w: Any, r: Any) -> Cotangents:
    scaled, n = -ops.zero_product(ct, r * r), len(w.shape)
    down, across = sum_(scaled, attribute=(n - 1,)), sum_(scaled, attribute=(n,))
    return (down + across if sign > 0 else down - across,)


def _reciprocals_jvp(sign: int, tangents: Sequence[Any], w: Any, r: Any) -> Any:
    across, down = row(tangents[0]), column(tangents[0])
    return -ops.zero_product(across + down if sign > 0 else across - down, r * r)


# 1 / (w_j + sign w_i); 0 on the diagonal and where it would divide by 0
reciprocals: ArrayOperation = array_operation(
    "reciprocals", lambda _, w: (*w, w[-1]), _reciprocals, _reciprocals_vjp, _reciprocals_jvp, batch=in_stacks
)


def row(x: Any) -> Any:
    return reshape(x, attribute=(*x.shape[:-1], 1, x.shape[-1]))


def column(x: Any) -> Any:
    return reshape(x, attribute=(*x.shape, 1))


# ---- symmetric matrices

Symmetric = tuple[str, str]  # whose function it is, "numpy" or "scipy", and which triangle it reads, "L" or "U"


def _eigvalsh(attribute: Symmetric, a: NDArray[Any]) -> Any:
    package, triangle = attribute
    if package == "numpy":
        return np.linalg.eigvalsh(a, cast(Any, triangle))

    def one(a: NDArray[Any]) -> Any:
        return scipy_linalg().eigh(a, lower=triangle == "L", eigvals_only=True)

    return each_matrix(one, a.shape[:-1], a)


def _eigvalsh_vjp(attribute: Symmetric, ct: Any, a: Any, w: Any) -> Cotangents:
    _, v = eigen_parts(eigh(a, attribute=attribute))
    shared = tie_average(ct, w, attribute=0)
    return (folded_symmetric(matmul(v * row(shared), transposed(v)), attribute[1]),)


def _eigvalsh_jvp(attribute: Symmetric, tangents: Sequence[Any], a: Any, w: Any) -> Any:
    _, v = eigen_parts(eigh(a, attribute=attribute))
    return moved_values(v, matmul(mirrored(tangents[0], attribute[1]), v), w, 0)


def moved_values(u: Any, moved: Any, w: Any, with_zero: int) -> Any:
    return tie_average(sum_(u * moved, attribute=(len(u.shape) - 2,)), w, attribute=with_zero)


eigvalsh: ArrayOperation = array_operation(
    "eigvalsh", lambda _, a: require_square(a)[:-1], _eigvalsh, _eigvalsh_vjp, _eigvalsh_jvp, batch=in_stacks
)


_SYMMETRIC = {"L": routine("eigh_lo"), "U": routine("eigh_up")}


def _eigh(attribute: Symmetric, a: NDArray[Any]) -> Any:
    out = room(_eigen_shape(attribute, a.shape), attribute[0], a)
    _eigh_into(attribute, out, a)
    return out


def _eigh_into(attribute: Symmetric, out: NDArray[Any], a: NDArray[Any]) -> None:
    package, triangle = attribute
    if package == "numpy":
        values, vectors = out[..., 0, :], out[..., 1:, :]
        if not written(_SYMMETRIC[triangle], (values, vectors), a):
            values[...], vectors[...] = np.linalg.eigh(a, cast(Any, triangle))
        return
    for index in np.ndindex(a.shape[:-2]):
        out[index][0], out[index][1:] = scipy_linalg().eigh(a[index], lower=triangle == "L")


def _eigen_shape(_: Any, a: Shape) -> Shape:
    require_square(a)
    return (*a[:-2], a[-1] + 1, a[-1])


def eigen_parts(packed: Any) -> tuple[Any, Any]:
    """Eigenvalues and eigenvectors."""
    n, leading = packed.shape[-1], [(0, length, 1) for length in packed.shape[:-2]]
    w = slice_(packed, attribute=(*leading, (0, 1, 1), (0, n, 1)))
    v = slice_(packed, attribute=(*leading, (1, n, 1), (0, n, 1)))
    return reshape(w, attribute=(*packed.shape[:-2], n)), v


def _eigen_packed(w: Any, v: Any) -> Any:
    return concatenate(row(w), v, attribute=len(v.shape) - 2)


def _eigh_vjp(attribute: Symmetric, ct: Any, a: Any, r: Any) -> Cotangents:
    (w, v), (of_w, of_v) = eigen_parts(r), map(present, eigen_parts(ct))
    scaled = None if of_w is None else v * row(tie_average(of_w, w, attribute=0))
    if of_v is None:
        return (None if scaled is None else folded_symmetric(matmul(scaled, transposed(v)), attribute[1]),)
    turned = matmul(v, ops.zero_product(matmul(transposed(v), of_v), reciprocals(w, attribute=-1)))
    of_a = folded(matmul(total([scaled, turned]), transposed(v)), attribute[1])
    return (of_a + poison(row(tied(w, attribute=0)), of_v),)


def _eigh_jvp(attribute: Symmetric, tangents: Sequence[Any], a: Any, r: Any) -> Any:
    w, v = eigen_parts(r)
    moved = matmul(mirrored(tangents[0], attribute[1]), v)
    turned = ops.zero_product(matmul(transposed(v), moved), reciprocals(w, attribute=-1))
    lost = undefined(row(tied(w, attribute=0)), tangents[0])
    return _eigen_packed(moved_values(v, moved, w, 0), matmul(v, turned) + lost)


def undefined(flags: Any, tangent: Any) -> Any:
    """NaN for flagged columns, if the tangent of their matrix is not zero; else 0."""
    return ops.zero_product(flags, sum_of_matrix(ops.zero_product(tangent, NAN)))


eigh: ArrayOperation = array_operation(
    "eigh", _eigen_shape, _eigh, _eigh_vjp, _eigh_jvp, into=_eigh_into, batch=in_stacks
)


# ---- general matrices with real eigenvalues


def _real(found: Any) -> Any:
    if any(np.iscomplexobj(part) for part in found):
        raise UnsupportedError(
            "a matrix has complex eigenvalues, and complex numbers are not differentiated. "
            "Use np.linalg.eigh for symmetric matrices, or functions that stay real (det, trace, matrix_power, norm)."
        )
    return found


def _eigvals(_: None, a: NDArray[Any]) -> Any:
    return _real((np.linalg.eigvals(a),))[0]


def _eig(_: None, a: NDArray[Any]) -> Any:
    w, v = _real(np.linalg.eig(a))
    return np.concatenate([w[..., None, :], v], -2)


def _condition(v: NDArray[Any]) -> Any:
    s = np.linalg.svd(v, compute_uv=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        return s[..., 0] / s[..., -1]


def _doubtful(kind: str, packed: NDArray[Any]) -> Any:
    """Which eigenvalues or vectors have no derivative that can be trusted: 1.0 for these, in their order."""
    w, v = packed[..., 0, :], packed[..., 1:, :]
    if w.size == 0:
        return np.zeros(w.shape)
    condition = _condition(v)[..., None]
    # nearly dependent eigenvectors: even the values move too fast (Bauer and Fike)
    lost = np.broadcast_to(~(EPS * w.shape[-1] * condition**2 < 0.1), w.shape)
    if kind == "values":
        return lost.astype(np.float64)
    gaps = np.abs(w[..., None, :] - w[..., :, None])
    diagonal = np.arange(w.shape[-1])
    gaps[..., diagonal, diagonal] = np.inf
    return (lost | (gaps.min(-1) <= condition * _tolerance(w)[..., None])).astype(np.float64)


doubtful: ArrayOperation = array_operation(
    "doubtful",
    lambda _, packed: (*packed[:-2], packed[-1]),
    _doubtful,
    lambda *_: (None,),
    piecewise_constant=True,
    batch=in_stacks,
)


def _eigvals_vjp(_: None, ct: Any, a: Any, w: Any) -> Cotangents:
    packed = eig(a)
    _, v = eigen_parts(packed)
    shared = row(tie_average(ct, w, attribute=0))
    inverse = transposed(inv(v, attribute=SINGULAR_IS_ZERO))
    return (matmul(inverse * shared, transposed(v)) + poison(row(doubtful(packed, attribute="values")), row(ct)),)


def _eigvals_jvp(_: None, tangents: Sequence[Any], a: Any, w: Any) -> Any:
    packed = eig(a)
    _, v = eigen_parts(packed)
    rows = transposed(inv(v, attribute=SINGULAR_IS_ZERO))
    lost = undefined(row(doubtful(packed, attribute="values")), tangents[0])
    return moved_values(rows, matmul(tangents[0], v), w, 0) + reshape(lost, attribute=w.shape)


eigvals: ArrayOperation = array_operation(
    "eigvals", lambda _, a: require_square(a)[:-1], _eigvals, _eigvals_vjp, _eigvals_jvp, batch=in_stacks
)


def _eig_vjp(_: None, ct: Any, a: Any, r: Any) -> Cotangents:
    (w, v), (of_w, of_v) = eigen_parts(r), map(present, eigen_parts(ct))
    inverse = transposed(inv(v, attribute=SINGULAR_IS_ZERO))
    moved, lost = [], []
    if of_w is not None:
        moved.append(inverse * row(tie_average(of_w, w, attribute=0)))
        lost.append(poison(row(doubtful(r, attribute="values")), row(of_w)))
    if of_v is not None:
        # the columns keep the length 1
        lengthwise = sum_(v * of_v, attribute=(len(v.shape) - 2,))
        turned = matmul(transposed(v), of_v - v * row(lengthwise))
        moved.append(matmul(inverse, ops.zero_product(turned, reciprocals(w, attribute=-1))))
        lost.append(poison(row(doubtful(r, attribute="vectors")), of_v))
    return (total([matmul(total(moved), transposed(v)), *lost]) if moved else None,)


def _eig_jvp(_: None, tangents: Sequence[Any], a: Any, r: Any) -> Any:
    w, v = eigen_parts(r)
    inverse, moved = inv(v, attribute=SINGULAR_IS_ZERO), matmul(tangents[0], v)
    turned = matmul(v, ops.zero_product(matmul(inverse, moved), reciprocals(w, attribute=-1)))
    of_v = turned - v * row(sum_(v * turned, attribute=(len(v.shape) - 2,)))
    of_w = row(moved_values(transposed(inverse), moved, w, 0))
    return concatenate(
        of_w + undefined(row(doubtful(r, attribute="values")), tangents[0]),
        of_v + undefined(row(doubtful(r, attribute="vectors")), tangents[0]),
        attribute=len(v.shape) - 2,
    )


eig: ArrayOperation = array_operation("eig", _eigen_shape, _eig, _eig_vjp, _eig_jvp, batch=in_stacks)
