"""``scipy.linalg``: systems, factorizations and norms; functions of matrices and structured ones are in
``scipy_matrices``.

Loaded when ``scipy.linalg`` is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgrad import array_ops
from fastgrad.array_ops.banded import transposed_band
from fastgrad.array_ops.factorizations import qr_parts
from fastgrad.array_ops.linalg import EPS, mirrored, triangles
from fastgrad.array_ops.products import transposed
from fastgrad.array_ops.singular import singular_parts
from fastgrad.array_ops.spectra import eigen_parts
from fastgrad.recording.functions import linalg, scipy_matrices  # noqa: F401 - they load together
from fastgrad.recording.functions.conversions import recorded
from fastgrad.recording.functions.norms import as_floats, norm, singular_values
from fastgrad.recording.functions.registry import reshape, unsupported
from fastgrad.recording.functions.scipy_calls import both_recorded, defines
from fastgrad.recording.functions.shapes import broadcast_to
from fastgrad.recording.recorded_array import apply_array

DIAGONAL, STRICT_LOWER, STRICT_UPPER = (0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
LOWER, UPPER = (1.0, 1.0, 0.0), (0.0, 1.0, 1.0)
_TRANSPOSED = {0: 0, "N": 0, 1: 1, "T": 1, 2: 1, "C": 1}


# ---- systems


def _right_side(a: Any, b: Any) -> tuple[Any, Any]:
    """The matrix and the right side as a matrix, with the same leading axes."""
    column = reshape(b, (b.size, 1)) if b.ndim == 1 else b
    leading = np.broadcast_shapes(a.shape[:-2], column.shape[:-2])
    return broadcast_to(a, leading + a.shape[-2:]), broadcast_to(column, leading + column.shape[-2:])


def _as_given(found: Any, b: Any) -> Any:
    return reshape(found, found.shape[:-1]) if b.ndim == 1 else found


def _triangular(a: Any, b: Any, lower: Any, turned: int, unit: Any = False) -> Any:
    matrix, column = _right_side(a, b)
    attribute = (int(bool(lower)), turned, int(bool(unit)))
    return _as_given(apply_array(array_ops.solve_triangular, (matrix, column), attribute), b)


def _side(lower: Any) -> str:
    return "L" if lower else "U"


def _part_that_is_read(a: Any, assume_a: str | None, lower: Any) -> Any:
    """The matrix that SciPy takes from an array for an assumption about it."""
    if assume_a in (None, "gen", "general", "banded"):
        return a
    if assume_a in ("sym", "symmetric", "her", "hermitian", "pos", "positive definite"):
        return mirrored(a, _side(lower))
    if assume_a == "diagonal":
        return triangles(a, attribute=DIAGONAL)
    if assume_a in ("lower triangular", "upper triangular"):
        return triangles(a, attribute=LOWER if assume_a[0] == "l" else UPPER)
    if assume_a == "tridiagonal":
        rows = np.arange(a.shape[-1])
        return np.where(np.abs(np.subtract.outer(rows, rows)) <= 1, a, 0.0)
    raise unsupported(f"scipy.linalg with assume_a={assume_a!r}")


@defines("solve")
def _solve(
    a: Any,
    b: Any,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    assume_a: str | None = None,
    transposed: bool = False,
) -> Any:
    a, b = both_recorded(a, b)
    matrix = _part_that_is_read(a, assume_a, lower)
    if assume_a in ("pos", "positive definite"):
        factor = apply_array(array_ops.cholesky, (a,), _side(lower))
        return _triangular(factor, _triangular(factor, b, lower, int(not lower)), lower, int(bool(lower)))
    if assume_a in ("lower triangular", "upper triangular"):
        return _triangular(a, b, assume_a[0] == "l", int(transposed))
    return linalg.solve(np.matrix_transpose(matrix) if transposed else matrix, b)


@defines("inv")
def _inv(
    a: Any, overwrite_a: bool = False, check_finite: bool = True, *, assume_a: str | None = None, lower: bool = False
) -> Any:
    return linalg.inv(_part_that_is_read(as_floats(a), assume_a, lower))


@defines("det")
def _det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    return linalg.det(as_floats(a))


@defines("solve_triangular")
def _solve_triangular(
    a: Any,
    b: Any,
    trans: Any = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    a, b = both_recorded(a, b)
    return _triangular(a, b, lower, _TRANSPOSED[trans], unit_diagonal)


@defines("solve_banded")
def _solve_banded(
    l_and_u: Any, ab: Any, b: Any, overwrite_ab: bool = False, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    band, b = both_recorded(ab, b)
    lower, upper = map(int, l_and_u)
    return _banded(band, b, (lower, upper))


def _banded(band: Any, b: Any, diagonals: tuple[int, int]) -> Any:
    _, column = _right_side(band, b)
    return _as_given(apply_array(array_ops.solve_banded, (band, column), diagonals), b)


@defines("solveh_banded")
def _solveh_banded(
    ab: Any,
    b: Any,
    overwrite_ab: bool = False,
    overwrite_b: bool = False,
    lower: bool = False,
    check_finite: bool = True,
) -> Any:
    band, b = both_recorded(ab, b)
    count = band.shape[0] - 1
    other = transposed_band(band, (count, 0) if lower else (0, count))
    whole = np.concatenate([other[:-1], band] if lower else [band, other[1:]])
    return _banded(whole, b, (count, count))


@defines("solve_sylvester")
def _solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    return apply_array(array_ops.sylvester, both_recorded(a, b, q), None)


@defines("solve_continuous_lyapunov", "solve_lyapunov")
def _solve_continuous_lyapunov(a: Any, q: Any) -> Any:
    a, q = both_recorded(a, q)
    return apply_array(array_ops.sylvester, (a, transposed(a), q), None)


@defines("solve_discrete_lyapunov")
def _solve_discrete_lyapunov(a: Any, q: Any, method: Any = None) -> Any:
    a, q = both_recorded(a, q)
    found = linalg.solve(np.eye(q.size) - np.kron(a, a), reshape(q, (q.size,)))
    return reshape(found, q.shape)


# ---- factorizations


@defines("cholesky")
def _cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    return apply_array(array_ops.cholesky, (as_floats(a),), _side(lower))


@defines("cho_factor")
def _cho_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    a = as_floats(a)
    # the other triangle is left as it was
    rest = triangles(a, attribute=STRICT_UPPER if lower else STRICT_LOWER)
    return apply_array(array_ops.cholesky, (a,), _side(lower)) + rest, lower


@defines("cho_solve")
def _cho_solve(c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    c, lower = c_and_lower
    c, b = both_recorded(c, b)
    return _triangular(c, _triangular(c, b, lower, int(not lower)), lower, int(bool(lower)))


def _require_square(a: Any, name: str) -> Any:
    a = as_floats(a)
    if a.shape[-1] != a.shape[-2]:
        raise unsupported(f"scipy.linalg.{name} of a matrix that is not square")
    return a


@defines("lu")
def _lu(
    a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True, p_indices: bool = False
) -> Any:
    a = _require_square(a, "lu")
    if p_indices:
        raise unsupported("scipy.linalg.lu with p_indices=True")
    n = a.shape[-1]
    both = apply_array(array_ops.lu, (a,), None)
    lower = triangles(both, attribute=STRICT_LOWER) + np.eye(n)
    upper = triangles(both, attribute=UPPER)
    positions = apply_array(array_ops.row_positions, (apply_array(array_ops.lu_pivots, (a,), None),), n)
    if permute_l:
        return apply_array(array_ops.scatter_add, (lower, positions), lower.shape), upper
    ones = np.broadcast_to(np.eye(n), a.shape)
    return apply_array(array_ops.scatter_add, (ones, positions), a.shape), lower, upper


@defines("lu_factor")
def _lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    a = _require_square(a, "lu_factor")
    return apply_array(array_ops.lu, (a,), None), apply_array(array_ops.lu_pivots, (a,), None)


@defines("lu_solve")
def _lu_solve(lu_and_piv: Any, b: Any, trans: Any = 0, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    both, pivots = lu_and_piv
    both, b = both_recorded(both, b)
    both, column = _right_side(both, b)
    pivots = recorded(pivots, both.recorder)
    if pivots.ndim != 1 or both.ndim != 2:
        raise unsupported("scipy.linalg.lu_solve with several matrices")
    positions = apply_array(array_ops.row_positions, (pivots,), column.shape[-1])
    if _TRANSPOSED[trans]:
        found = _triangular(both, _triangular(both, column, False, 1), True, 1, unit=True)
        return _as_given(apply_array(array_ops.scatter_add, (found, positions), column.shape), b)
    rows = apply_array(array_ops.gather, (column, positions), None)
    return _as_given(_triangular(both, _triangular(both, rows, True, 0, unit=True), False, 0), b)


@defines("qr")
def _qr(
    a: Any,
    overwrite_a: bool = False,
    lwork: Any = None,
    mode: str = "full",
    pivoting: bool = False,
    check_finite: bool = True,
) -> Any:
    a = as_floats(a)
    if pivoting or mode == "raw":
        raise unsupported("scipy.linalg.qr with pivoting or mode='raw'")
    complete = int(mode != "economic")
    q, r = qr_parts(apply_array(array_ops.qr, (a,), ("scipy", complete)), a.shape, complete)
    return (r,) if mode == "r" else (q, r)


@defines("svd")
def _svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    overwrite_a: bool = False,
    check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:
    a = as_floats(a)
    if not compute_uv:
        return singular_values(a, "scipy")
    if lapack_driver != "gesdd":
        raise unsupported(f"scipy.linalg.svd with lapack_driver={lapack_driver!r}")
    full = int(bool(full_matrices) and not linalg.is_square(a))
    return singular_parts(apply_array(array_ops.svd, (a,), ("scipy", full)), a.shape, full)


@defines("svdvals")
def _svdvals(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    return singular_values(as_floats(a), "scipy")


@defines("eigh")
def _eigh(a: Any, b: Any = None, *, lower: bool = True, eigvals_only: bool = False, **options: Any) -> Any:
    _refuse_ways("eigh", options)
    if b is not None:
        if not eigvals_only:
            raise unsupported("scipy.linalg.eigh with b and eigenvectors")
        return _generalized(a, b, lower)
    a, attribute = as_floats(a), ("scipy", _side(lower))
    if eigvals_only:
        return apply_array(array_ops.eigvalsh, (a,), attribute)
    return eigen_parts(apply_array(array_ops.eigh, (a,), attribute))


@defines("eigvalsh")
def _eigvalsh(a: Any, b: Any = None, *, lower: bool = True, **options: Any) -> Any:
    _refuse_ways("eigvalsh", options)
    if b is not None:
        return _generalized(a, b, lower)
    return apply_array(array_ops.eigvalsh, (as_floats(a),), ("scipy", _side(lower)))


def _refuse_ways(name: str, options: dict[str, Any]) -> None:
    for option in ("subset_by_index", "subset_by_value", "driver"):
        if options.get(option) is not None:
            raise unsupported(f"scipy.linalg.{name} with {option}")
    if options.get("type", 1) != 1:
        raise unsupported(f"scipy.linalg.{name} with type={options['type']}")


def _generalized(a: Any, b: Any, lower: bool) -> Any:
    """Eigenvalues of ``a v = w b v``: those of c with ``l c l' = a`` and ``l l' = b``."""
    a, b = both_recorded(a, b)
    factor = apply_array(array_ops.cholesky, (b,), _side(lower))
    half = _triangular(factor, mirrored(a, _side(lower)), lower, int(not lower))
    c = _triangular(factor, np.matrix_transpose(half), lower, int(not lower))
    return apply_array(array_ops.eigvalsh, (c,), ("numpy", "L"))


# ---- norms, pseudoinverses, least squares


@defines("norm")
def _norm(a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, check_finite: bool = True) -> Any:
    return norm(a, ord, axis, keepdims)


def _cutoff(a: Any, atol: Any, rtol: Any) -> Any:
    relative = max(a.shape[-2:]) * EPS if rtol is None else rtol
    return relative if atol is None else relative + atol / np.max(singular_values(a), axis=-1)


def _with_rank(a: Any, cutoff: Any, triangle: str | None, return_rank: bool) -> Any:
    found = linalg.pseudoinverse(a, cutoff, triangle)
    if not return_rank:
        return found
    return found, np.linalg.matrix_rank(a, hermitian=triangle is not None, rtol=cutoff)


@defines("pinv")
def _pinv(a: Any, *, atol: Any = None, rtol: Any = None, return_rank: bool = False, check_finite: bool = True) -> Any:
    a = as_floats(a)
    return _with_rank(a, _cutoff(a, atol, rtol), None, return_rank)


@defines("pinvh")
def _pinvh(
    a: Any,
    atol: Any = None,
    rtol: Any = None,
    lower: bool = True,
    return_rank: bool = False,
    check_finite: bool = True,
) -> Any:
    a = as_floats(a)
    a = a if lower else np.matrix_transpose(a)
    return _with_rank(a, _cutoff(mirrored(a, "L"), atol, rtol), "L", return_rank)


@defines("lstsq")
def _lstsq(
    a: Any,
    b: Any,
    cond: Any = None,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    lapack_driver: Any = None,
) -> Any:
    a, b = both_recorded(a, b)
    if lapack_driver == "gelsy":
        raise unsupported("scipy.linalg.lstsq with lapack_driver='gelsy'")
    a, cutoff = both_recorded(a, EPS if cond is None else cond)
    found, residuals, rank = linalg.least_squares(a, b, cutoff)
    if rank != a.shape[1] or a.shape[0] <= a.shape[1]:
        residuals = np.zeros(0)
    elif b.ndim == 1:
        residuals = residuals[0]
    return found, residuals, rank, singular_values(a, "scipy")
