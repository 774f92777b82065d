"""Singular values and vectors of the matrices in the last two axes; conventions as in ``spectra``.

The attribute of both operations is whose function it is ("numpy", "scipy", or "hermitian" for NumPy's way with
symmetric matrices, which reads the lower triangle); that of ``svd`` is the pair with 1 for full matrices, else 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import ops
from fastgrad.array_ops.linalg import (
    each_matrix,
    folded,
    mirrored,
    parts_of,
    poison,
    present,
    room,
    scipy_linalg,
    total,
    write_parts,
)
from fastgrad.array_ops.movement import concatenate, reshape, slice_
from fastgrad.array_ops.products import matmul, transposed
from fastgrad.array_ops.reductions import broadcast_to
from fastgrad.array_ops.routines import routine, written
from fastgrad.array_ops.spectra import moved_values, reciprocals, row, tie_average, tied, undefined
from fastgrad.array_ops.table import ArrayOperation, Cotangents, Shape, array_operation, in_stacks, require

Attribute = tuple[str, int]


def _values_shape(_: str, a: Shape) -> Shape:
    require(len(a) >= 2, "a matrix has two axes")
    return (*a[:-2], min(a[-2:]))


def _values(kind: str, a: NDArray[Any]) -> Any:
    if kind != "scipy":
        return np.linalg.svd(a, compute_uv=False, hermitian=kind == "hermitian")
    return each_matrix(scipy_linalg().svdvals, _values_shape(kind, a.shape), a)


def _values_vjp(kind: str, ct: Any, a: Any, s: Any) -> Cotangents:
    u, _, vt = singular_parts(svd(a, attribute=(kind, 0)), a.shape, 0)
    of_a = matmul(u * row(tie_average(ct, s, attribute=1)), vt)
    return (folded(of_a, "L") if kind == "hermitian" else of_a,)


def _values_jvp(kind: str, tangents: Sequence[Any], a: Any, s: Any) -> Any:
    u, _, vt = singular_parts(svd(a, attribute=(kind, 0)), a.shape, 0)
    of_a = mirrored(tangents[0], "L") if kind == "hermitian" else tangents[0]
    return moved_values(u, matmul(of_a, transposed(vt)), s, 1)


svdvals: ArrayOperation = array_operation("svdvals", _values_shape, _values, _values_vjp, _values_jvp, batch=in_stacks)


# ---- with the vectors


@lru_cache(maxsize=64)
def _shapes(a: Shape, full: int) -> tuple[Shape, Shape, Shape]:
    """The shapes of u, s and vt."""
    *leading, m, n = a
    k = min(m, n)
    return (*leading, m, m if full else k), (*leading, k), (*leading, n if full else k, n)


def _size(shape: Shape, leading: int) -> int:
    return int(np.prod(shape[leading:], dtype=np.int64))


def _svd_shape(attribute: Attribute, a: Shape) -> Shape:
    require(len(a) >= 2, "a matrix has two axes")
    leading = len(a) - 2
    return (*a[:-2], sum(_size(shape, leading) for shape in _shapes(a, attribute[1])))


def _svd(attribute: Attribute, a: NDArray[Any]) -> Any:
    out = room(_svd_shape(attribute, a.shape), attribute[0], a)
    _svd_into(attribute, out, a)
    return out


_ROUTINES = routine("svd_s"), routine("svd_f")


def _svd_into(attribute: Attribute, out: NDArray[Any], a: NDArray[Any]) -> None:
    kind, full = attribute
    if kind == "numpy":
        u, s, vt = parts_of(out, _shapes(a.shape, full))
        if written(_ROUTINES[full], (u, s, vt), a):
            return
    if kind != "scipy":
        write_parts(out, np.linalg.svd(a, bool(full), hermitian=kind == "hermitian"))
        return
    for index in np.ndindex(a.shape[:-2]):
        write_parts(out[index], scipy_linalg().svd(a[index], full_matrices=bool(full)))


def singular_parts(packed: Any, a: Shape, full: int) -> tuple[Any, Any, Any]:
    """u, the singular values and vt of a packed result for matrices of shape ``a``."""
    leading, start, parts = packed.shape[:-1], 0, []
    for shape in _shapes(a, full):
        size = _size(shape, len(leading))
        flat = slice_(packed, attribute=(*((0, length, 1) for length in leading), (start, size, 1)))
        parts.append(reshape(flat, attribute=shape))
        start += size
    return parts[0], parts[1], parts[2]


def _packed(u: Any, s: Any, vt: Any) -> Any:
    leading = s.shape[:-1]
    flat = [reshape(part, attribute=(*leading, _size(part.shape, len(leading)))) for part in (u, s, vt)]
    return concatenate(*flat, attribute=len(leading))


def _columns(x: Any, start: int, stop: int) -> Any:
    if (start, stop) == (0, x.shape[-1]):
        return x
    return slice_(x, attribute=(*((0, length, 1) for length in x.shape[:-1]), (start, stop - start, 1)))


def _svd_vjp(attribute: Attribute, ct: Any, a: Any, r: Any) -> Cotangents:
    kind, full = attribute
    k = min(a.shape[-2:])
    all_u, s, all_vt = singular_parts(r, a.shape, full)
    of_all_u, of_s, of_all_vt = singular_parts(ct, a.shape, full)
    u, v = _columns(all_u, 0, k), _columns(transposed(all_vt), 0, k)
    of_u, more_of_u = _cotangents_of_columns(of_all_u, k)
    of_v, more_of_v = _cotangents_of_columns(transposed(of_all_vt), k)
    turned_u = None if of_u is None else matmul(transposed(u), of_u)
    turned_v = None if of_v is None else matmul(transposed(v), of_v)
    middle = []
    if present(of_s) is not None:
        middle.append(u * row(tie_average(of_s, s, attribute=1)))
    if of_u is not None or of_v is not None:
        apart = ops.zero_product(total([turned_u, turned_v]), reciprocals(s, attribute=-1))
        difference = total([turned_u, None if turned_v is None else -turned_v])
        together = ops.zero_product(difference, reciprocals(s, attribute=1))
        middle.append(matmul(u, 0.5 * (apart + transposed(apart) + together - transposed(together))))
    parts = [matmul(total(middle), transposed(v))] if middle else []
    m, n = a.shape[-2:]
    if m > k and of_u is not None:
        parts.append(matmul((of_u - matmul(u, turned_u)) * row(_inverse_or_zero(s)), transposed(v)))
    if n > k and of_v is not None:
        parts.append(matmul(u, transposed((of_v - matmul(v, turned_v)) * row(_inverse_or_zero(s)))))
    of_a = total(parts)
    lost = [] if of_a is None else [folded(of_a, "L") if kind == "hermitian" else of_a]
    if of_u is not None:
        lost.append(poison(row(tied(s, attribute=2 if m > k else 1)), of_u))
    if of_v is not None:
        lost.append(poison(row(tied(s, attribute=2 if n > k else 1)), of_v))
    # vectors beyond the singular values are any that complete the basis
    lost += [poison(None, more) for more in (more_of_u, more_of_v) if more is not None]
    return (total(lost),)


def _cotangents_of_columns(x: Any, k: int) -> tuple[Any, Any]:
    """Those of the first k columns and of the rest; None where there are none, or known to be zero."""
    n = x.shape[-1]
    return present(_columns(x, 0, k)), present(_columns(x, k, n)) if n > k else None


def _svd_jvp(attribute: Attribute, tangents: Sequence[Any], a: Any, r: Any) -> Any:
    kind, full = attribute
    m, n = a.shape[-2:]
    k = min(m, n)
    all_u, s, all_vt = singular_parts(r, a.shape, full)
    u, v = _columns(all_u, 0, k), _columns(transposed(all_vt), 0, k)
    of_a = mirrored(tangents[0], "L") if kind == "hermitian" else tangents[0]
    moved = matmul(of_a, v)
    middle = matmul(transposed(u), moved)
    apart = 0.5 * ops.zero_product(middle + transposed(middle), reciprocals(s, attribute=-1))
    together = 0.5 * ops.zero_product(middle - transposed(middle), reciprocals(s, attribute=1))
    of_u, of_v = matmul(u, apart + together), matmul(v, apart - together)
    inverse = row(_inverse_or_zero(s))
    if m > k:
        of_u = of_u + (moved - matmul(u, middle)) * inverse
    if n > k:
        back = matmul(transposed(of_a), u)
        of_v = of_v + (back - matmul(v, transposed(middle))) * inverse
    of_u = of_u + undefined(row(tied(s, attribute=2 if m > k else 1)), tangents[0])
    of_v = of_v + undefined(row(tied(s, attribute=2 if n > k else 1)), tangents[0])
    of_u, of_v = (
        _completed(x, all_of_it.shape, tangents[0]) for x, all_of_it in ((of_u, all_u), (of_v, transposed(all_vt)))
    )
    return _packed(of_u, moved_values(u, moved, s, 1), transposed(of_v))


def _completed(x: Any, shape: Shape, tangent: Any) -> Any:
    """Columns of NaN after those of ``x``: vectors beyond the singular values are any that complete the basis."""
    missing = shape[-1] - x.shape[-1]
    if missing == 0:
        return x
    extra = broadcast_to(undefined(1.0, tangent), attribute=(*shape[:-1], missing))
    return concatenate(x, extra, attribute=len(shape) - 1)


def _inverse_or_zero(s: Any) -> Any:
    # where values are equal or 0 their vectors have no derivative anyway
    return ops.where(tied(s, attribute=2), 0.0, 1.0 / s)


svd: ArrayOperation = array_operation("svd", _svd_shape, _svd, _svd_vjp, _svd_jvp, into=_svd_into, batch=in_stacks)
