"""Cholesky and QR factorizations of the matrices in the last two axes.

S. F. Walter, L. Lehmann and R. Lamour, *On evaluating higher-order derivatives of the QR decomposition of tall matrices
with full column rank in forward and reverse mode*, Optimization Methods and Software 27, 2012; I. Murray,
*Differentiation of the Cholesky decomposition*, 2016.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.array_ops.linalg import (
    EPS,
    SINGULAR_IS_NAN,
    SINGULAR_IS_ZERO,
    folded,
    inv,
    mirrored,
    parts_of,
    poison,
    present,
    require_square,
    room,
    scipy_linalg,
    total,
    triangles,
    write_parts,
)
from fastgrad.array_ops.movement import concatenate, place, reshape, slice_
from fastgrad.array_ops.products import matmul, transposed
from fastgrad.array_ops.reductions import broadcast_to
from fastgrad.array_ops.routines import into_by_triangle, routine, written
from fastgrad.array_ops.spectra import undefined
from fastgrad.array_ops.table import ArrayOperation, Cotangents, Shape, array_operation, in_stacks, require

HALF_LOWER, STRICT_LOWER = (1.0, 0.5, 0.0), (1.0, 0.0, 0.0)

# ---- Cholesky; the attribute is the triangle that is read and returned


def _cholesky_vjp(triangle: str, ct: Any, a: Any, r: Any) -> Cotangents:
    factor, of_factor = (r, ct) if triangle == "L" else (transposed(r), transposed(ct))
    inverse = inv(factor, attribute=SINGULAR_IS_NAN)
    middle = triangles(matmul(transposed(factor), of_factor), attribute=HALF_LOWER)
    return (folded(matmul(matmul(transposed(inverse), middle), inverse), triangle),)


def _cholesky_jvp(triangle: str, tangents: Sequence[Any], a: Any, r: Any) -> Any:
    factor = r if triangle == "L" else transposed(r)
    inverse = inv(factor, attribute=SINGULAR_IS_NAN)
    middle = matmul(matmul(inverse, mirrored(tangents[0], triangle)), transposed(inverse))
    moved = matmul(factor, triangles(middle, attribute=HALF_LOWER))
    return moved if triangle == "L" else transposed(moved)


def _cholesky(triangle: str, a: NDArray[Any]) -> Any:
    return np.linalg.cholesky(a, upper=triangle == "U")


cholesky: ArrayOperation = array_operation(
    "cholesky",
    lambda _, a: require_square(a),
    _cholesky,
    _cholesky_vjp,
    _cholesky_jvp,
    into=into_by_triangle("cholesky_lo", "cholesky_up", _cholesky),
    batch=in_stacks,
)

# ---- QR; the attribute is whose function it is ("numpy" or "scipy") and 1 for a square q, else 0
#
# A wide matrix [x, y] is x = q u and v = q' y; so only its square part is factored.

Attribute = tuple[str, int]


@lru_cache(maxsize=64)
def qr_shapes(a: Shape, complete: int) -> tuple[Shape, Shape]:
    """The shapes of q and r."""
    *leading, m, n = a
    k = m if complete else min(m, n)
    return (*leading, m, k), (*leading, k, n)


def _qr_shape(attribute: Attribute, a: Shape) -> Shape:
    require(len(a) >= 2, "a matrix has two axes")
    q, r = qr_shapes(a, attribute[1])
    return (*a[:-2], q[-2] * q[-1] + r[-2] * r[-1])


_REFLECTIONS, _REDUCED, _COMPLETE = routine("qr_r_raw"), routine("qr_reduced"), routine("qr_complete")


def _qr_written(complete: int, q: NDArray[Any], r: NDArray[Any], a: NDArray[Any]) -> bool:
    """Whether the factors of a single matrix are in place, by the calls that ``np.linalg.qr`` makes."""
    # reflections take the matrix's place, below r
    work, scales = np.array(a), np.empty(min(a.shape))
    if not written(_REFLECTIONS, scales, work):
        return False
    if not written(_COMPLETE if complete and a.shape[0] > a.shape[1] else _REDUCED, q, work, scales):
        return False
    r.fill(0.0)
    np.copyto(r, work[: r.shape[0]], where=_upper(r.shape))
    return True


@lru_cache(maxsize=64)
def _upper(shape: Shape) -> NDArray[np.bool_]:
    return ~np.tri(shape[0], shape[1], -1, np.bool_)


def _qr(attribute: Attribute, a: NDArray[Any]) -> Any:
    out = room(_qr_shape(attribute, a.shape), attribute[0], a)
    _qr_into(attribute, out, a)
    return out


def _qr_into(attribute: Attribute, out: NDArray[Any], a: NDArray[Any]) -> None:
    package, complete = attribute
    if package == "numpy" and a.ndim == 2:
        q, r = parts_of(out, qr_shapes(a.shape, complete))
        if _qr_written(complete, q, r, a):
            return
    if package == "numpy":
        write_parts(out, np.linalg.qr(a, "complete" if complete else "reduced"))
        return
    for index in np.ndindex(a.shape[:-2]):
        write_parts(out[index], scipy_linalg().qr(a[index], mode="full" if complete else "economic"))


def qr_parts(packed: Any, a: Shape, complete: int) -> tuple[Any, Any]:
    """q and r of a packed result for matrices of shape ``a``."""
    leading, start, parts = tuple((0, length, 1) for length in packed.shape[:-1]), 0, []
    for shape in qr_shapes(a, complete):
        size = shape[-2] * shape[-1]
        parts.append(reshape(slice_(packed, attribute=(*leading, (start, size, 1))), attribute=shape))
        start += size
    return parts[0], parts[1]


def _part(x: Any, axis: int, start: int, stop: int) -> Any:
    """A range of rows (axis -2) or columns (axis -1)."""
    spec = [(0, length, 1) for length in x.shape]
    spec[axis] = (start, stop - start, 1)
    return x if stop - start == x.shape[axis] else slice_(x, attribute=tuple(spec))


def _dependent(_: None, r: NDArray[Any]) -> Any:
    if r.ndim == 2 and r.size:
        # no column is longer than the whole, so that this answers as a rule
        diagonal = r.diagonal()
        # for a few numbers Python is quicker
        smallest = min(map(abs, diagonal.tolist())) if diagonal.size <= 10 else np.abs(diagonal).min()
        if smallest > 8.0 * r.shape[-1] * EPS * math.sqrt(np.vdot(r, r)):
            return np.zeros((1, 1))
    size = np.sqrt(np.sum(np.square(r), -2))
    diagonal = np.abs(np.diagonal(r, 0, -2, -1))
    return (~(diagonal > 8.0 * r.shape[-1] * EPS * size)).any(-1).astype(np.float64)[..., None, None]


# whether columns of the matrix with the triangular factor r depend on one another
dependent: ArrayOperation = array_operation(
    "dependent", lambda _, r: (*r[:-2], 1, 1), _dependent, lambda *_: (None,), piecewise_constant=True, batch=in_stacks
)


def _qr_vjp(attribute: Attribute, ct: Any, a: Any, packed: Any) -> Cotangents:
    complete = attribute[1]
    m, n = a.shape[-2:]
    k = min(m, n)
    all_q, all_r = qr_parts(packed, a.shape, complete)
    of_all_q, of_all_r = qr_parts(ct, a.shape, complete)
    q, of_q = _part(all_q, -1, 0, k), present(_part(of_all_q, -1, 0, k))
    r, of_r = _part(all_r, -2, 0, k), present(_part(of_all_r, -2, 0, k))
    of_y = None
    if n > k:
        if of_r is not None:
            y, of_v = _part(a, -1, k, n), _part(of_r, -1, k, n)
            of_q, of_y = total([of_q, matmul(y, transposed(of_v))]), matmul(q, of_v)
            of_r = _part(of_r, -1, 0, k)
        r = _part(r, -1, 0, k)
    middle = total(
        [
            None if of_r is None else matmul(r, transposed(of_r)),
            None if of_q is None else -matmul(transposed(of_q), q),
        ]
    )
    lost = [poison(dependent(r), x) for x in map(present, (of_all_q, of_all_r)) if x is not None]
    of_a = None
    if middle is not None:
        turned = mirrored(middle, "L")
        if n <= k:
            # a NaN spreads from here to all elements, without a pass over them
            turned, lost = total([turned, *lost]), []
        of_x = total([of_q, matmul(q, turned)])
        of_a = matmul(of_x, transposed(inv(r, attribute=SINGULAR_IS_ZERO)))
        if of_y is not None:
            of_a = concatenate(of_a, of_y, attribute=len(a.shape) - 1)
        elif n > k:
            of_a = place(of_a, attribute=(a.shape, tuple((0, length, 1) for length in of_a.shape)))
    if all_q.shape[-1] > k and (extra := present(_part(of_all_q, -1, k, m))) is not None:
        # columns beyond the factorization are any that complete the basis
        lost.append(poison(None, extra))
    return (total([of_a, *lost]),)


def _qr_jvp(attribute: Attribute, tangents: Sequence[Any], a: Any, packed: Any) -> Any:
    complete, leading = attribute[1], a.shape[:-2]
    n, k = a.shape[-1], min(a.shape[-2:])
    all_q, all_r = qr_parts(packed, a.shape, complete)
    q, r = _part(all_q, -1, 0, k), _part(_part(all_r, -2, 0, k), -1, 0, k)
    of_x = _part(tangents[0], -1, 0, k)
    scaled = matmul(of_x, inv(r, attribute=SINGULAR_IS_ZERO))
    middle = matmul(transposed(q), scaled)
    lower = triangles(middle, attribute=STRICT_LOWER)
    turn = lower - transposed(lower)
    of_q = matmul(q, turn) + (scaled - matmul(q, middle))
    of_r = triangles(matmul(middle - turn, r), attribute=(0.0, 1.0, 1.0))
    if n > k:
        y, of_y = _part(a, -1, k, n), _part(tangents[0], -1, k, n)
        of_v = matmul(transposed(of_q), y) + matmul(transposed(q), of_y)
        of_r = concatenate(of_r, of_v, attribute=len(a.shape) - 1)
    lost = undefined(dependent(r), of_x)
    of_q, of_r = of_q + lost, of_r + lost
    missing = all_q.shape[-1] - k
    if missing:
        unknown = broadcast_to(undefined(1.0, of_x), attribute=(*all_q.shape[:-1], missing))
        of_q = concatenate(of_q, unknown, attribute=len(a.shape) - 1)
        rows = _part(all_r, -2, k, all_r.shape[-2])
        of_r = concatenate(of_r, rows * 0.0, attribute=len(a.shape) - 2)
    flat = [reshape(x, attribute=(*leading, x.shape[-2] * x.shape[-1])) for x in (of_q, of_r)]
    return concatenate(*flat, attribute=len(leading))


qr: ArrayOperation = array_operation("qr", _qr_shape, _qr, _qr_vjp, _qr_jvp, into=_qr_into, batch=in_stacks)
