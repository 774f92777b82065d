"""``numpy.linalg``; what it shares with other parts of NumPy is written there."""

from __future__ import annotations

import operator
import warnings
from typing import Any, cast

import numpy as np

from fastgrad import array_ops
from fastgrad.array_ops.factorizations import qr_parts
from fastgrad.array_ops.linalg import EPS
from fastgrad.array_ops.singular import singular_parts
from fastgrad.array_ops.spectra import eigen_parts
from fastgrad.recording.functions.conversions import recorded
from fastgrad.recording.functions.lifting import lifted
from fastgrad.recording.functions.norms import as_floats, singular_values
from fastgrad.recording.functions.registry import as_array, implements, raise_as_numpy, reshape, unsupported
from fastgrad.recording.functions.shapes import broadcast_to
from fastgrad.recording.recorded_array import RecordedArray, apply_array, copy_of, recorder_of

_ONE = np.eye(1)
_NAMED: tuple[Any, ...] = tuple(
    type(function(_ONE)) for function in (np.linalg.eigh, np.linalg.eig, np.linalg.qr, np.linalg.slogdet, np.linalg.svd)
)
EighResult, EigResult, QRResult, SlogdetResult, SVDResult = _NAMED


def copies(parts: Any) -> Any:
    """Parts of one packed result as arrays of their own."""
    return tuple(copy_of(part) for part in parts)


def is_square(x: Any) -> bool:
    return bool(x.ndim >= 2 and x.shape[-1] == x.shape[-2])


# ---- systems, inverses, determinants


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    matrix, right = as_array(a), as_array(b)
    column = reshape(right, (right.size, 1)) if right.ndim == 1 else right
    if not is_square(matrix) or column.ndim < 2 or column.shape[-2] != matrix.shape[-1]:
        raise_as_numpy(np.linalg.solve, matrix, right)
    leading = np.broadcast_shapes(matrix.shape[:-2], column.shape[:-2])
    matrix = broadcast_to(matrix, leading + matrix.shape[-2:])
    column = broadcast_to(column, leading + column.shape[-2:])
    found = apply_array(array_ops.solve, (matrix, column), None)
    return reshape(found, found.shape[:-1]) if right.ndim == 1 else found


@implements(np.linalg.inv)
def inv(a: Any) -> Any:
    return apply_array(array_ops.inv, (as_array(a),), None)


@implements(np.linalg.det)
def det(a: Any) -> Any:
    return apply_array(array_ops.det, (as_array(a),), None)


@implements(np.linalg.slogdet)
def _slogdet(a: Any) -> Any:
    x = as_array(a)
    return SlogdetResult(apply_array(array_ops.det_sign, (x,), None), apply_array(array_ops.log_abs_det, (x,), None))


@implements(np.linalg.tensorsolve)
def _tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    x, right = as_array(a), as_array(b)
    if axes is not None:
        order = list(range(x.ndim))
        for axis in axes:
            order.remove(axis)
            order.append(axis)
        x = np.transpose(x, order)
    shape = x.shape[right.ndim - x.ndim :]
    size = int(np.prod(shape, dtype=np.int64))
    if x.size != size**2:
        raise_as_numpy(np.linalg.tensorsolve, x, right)
    return reshape(solve(reshape(x, (size, size)), reshape(right, (right.size,))), shape)


@implements(np.linalg.tensorinv)
def _tensorinv(a: Any, ind: int = 2) -> Any:
    x, count = as_array(a), operator.index(ind)
    if count <= 0:
        raise ValueError("Invalid ind argument.")
    size = int(np.prod(x.shape[count:], dtype=np.int64))
    return reshape(inv(np.reshape(x, (size, -1))), x.shape[count:] + x.shape[:count])


@implements(np.linalg.matrix_power)
def _matrix_power(a: Any, n: Any) -> Any:
    x = as_array(a)
    if not is_square(x):
        raise_as_numpy(np.linalg.inv, x)
    try:
        exponent = operator.index(n)
    except TypeError as error:
        raise TypeError("exponent must be an integer") from error
    if exponent == 0:
        return np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape).copy()
    if exponent < 0:
        x, exponent = inv(x), -exponent
    if exponent == 3:
        return np.matmul(np.matmul(x, x), x)
    result, square = None, x
    while True:
        exponent, odd = divmod(exponent, 2)
        if odd:
            result = square if result is None else np.matmul(result, square)
        if not exponent:
            return result
        square = np.matmul(square, square)


# ---- pseudoinverse, least squares, rank


@implements(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Any:
    x = as_array(a)
    if rcond is not None and rtol is not np._NoValue:
        raise ValueError("`rtol` and `rcond` can't be both set.")
    if rcond is None:
        rcond = 1e-15 if rtol is np._NoValue else max(x.shape[-2:]) * EPS if rtol is None else rtol
    return pseudoinverse(x, rcond, "L" if hermitian else None)


def pseudoinverse(x: Any, cutoff: Any, triangle: str | None) -> Any:
    cutoff = as_array(cutoff)
    if cutoff.ndim:
        cutoff = broadcast_to(cutoff, x.shape[:-2])
    return apply_array(array_ops.pinv, (x, cutoff), triangle)


@implements(np.linalg.lstsq)
def _lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    x, right = as_array(a), as_array(b)
    if x.ndim != 2 or right.ndim not in (1, 2) or x.shape[0] != right.shape[0]:
        raise_as_numpy(np.linalg.lstsq, x, right)
    cutoff = as_array(EPS * max(x.shape) if rcond is None else rcond)
    # what LAPACK takes a negative number for
    cutoff = cutoff if isinstance(cutoff, RecordedArray) or cutoff >= 0 else as_array(EPS)
    x = recorded(x, recorder_of((x, right, cutoff)))
    found, residuals, rank = least_squares(as_floats(x), right, cutoff)
    m, n = x.shape
    if rank != n or m <= n:
        residuals = np.zeros(0, found.dtype)
    return found, residuals, np.int32(rank), singular_values(x)


def least_squares(x: Any, right: Any, cutoff: Any) -> tuple[Any, Any, int]:
    """The solution, the sums of squares of what is left, and the rank, which later inputs must have too."""
    columns = reshape(right, (right.size, 1)) if right.ndim == 1 else right
    found = apply_array(array_ops.lstsq, (x, columns, cutoff), None)
    product: Any = np.matmul(x, cast(Any, found))
    residuals = np.sum(np.square(columns - product), axis=0)
    rank = int(apply_array(array_ops.matrix_rank, (x, cutoff), ("rtol", 0)))
    return reshape(found, found.shape[: right.ndim]), residuals, rank


@implements(np.linalg.matrix_rank)
def _matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    if rtol is not None and tol is not None:
        raise ValueError("`tol` and `rtol` can't be both set.")
    x = as_array(A)
    if x.ndim < 2:
        return np.any(x != 0) * 1
    kind = "tol" if tol is not None else "rtol" if rtol is not None else ""
    cutoff = as_array(0.0 if not kind else tol if kind == "tol" else rtol)
    if cutoff.ndim:
        cutoff = broadcast_to(cutoff, x.shape[:-2])
    return apply_array(array_ops.matrix_rank, (x, cutoff), (kind, int(hermitian)))


# ---- factorizations


@implements(np.linalg.cholesky)
def _cholesky(a: Any, /, *, upper: bool = False) -> Any:
    return apply_array(array_ops.cholesky, (as_array(a),), "U" if upper else "L")


@implements(np.linalg.qr)
def _qr(a: Any, mode: str = "reduced") -> Any:
    x = as_array(a)
    if mode in ("f", "full"):
        message = "The 'full' option is deprecated in favor of 'reduced'.\nFor backward compatibility let mode default."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        mode = "reduced"
    if mode in ("raw", "e", "economic"):
        raise unsupported(f"np.linalg.qr with mode={mode!r} (Householder vectors)")
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"Unrecognized mode '{mode}'")
    complete = int(mode == "complete")
    if x.ndim < 2:
        raise_as_numpy(np.linalg.qr, x)
    q, r = copies(qr_parts(apply_array(array_ops.qr, (x,), ("numpy", complete)), x.shape, complete))
    return r if mode == "r" else QRResult(q, r)


def _triangle(UPLO: str) -> str:
    if UPLO.upper() not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return UPLO.upper()


@implements(np.linalg.eigh)
def _eigh(a: Any, UPLO: str = "L") -> Any:
    return EighResult(*copies(eigen_parts(apply_array(array_ops.eigh, (as_array(a),), ("numpy", _triangle(UPLO))))))


@implements(np.linalg.eigvalsh)
def _eigvalsh(a: Any, UPLO: str = "L") -> Any:
    return apply_array(array_ops.eigvalsh, (as_array(a),), ("numpy", _triangle(UPLO)))


@implements(np.linalg.eig)
def _eig(a: Any) -> Any:
    return EigResult(*copies(eigen_parts(apply_array(array_ops.eig, (as_array(a),), None))))


@implements(np.linalg.eigvals)
def _eigvals(a: Any) -> Any:
    return apply_array(array_ops.eigvals, (as_array(a),), None)


@implements(np.linalg.svd)
def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    x, kind = as_array(a), "hermitian" if hermitian else "numpy"
    if not compute_uv:
        return singular_values(x, kind)
    if x.ndim < 2:
        raise_as_numpy(np.linalg.svd, x)
    full = int(bool(full_matrices) and not is_square(x))
    return SVDResult(*copies(singular_parts(apply_array(array_ops.svd, (x,), (kind, full)), x.shape, full)))


@implements(np.linalg.svdvals)
def _svdvals(x: Any, /) -> Any:
    return singular_values(as_array(x))


# ---- products and parts, as in NumPy's main namespace


@implements(np.linalg.multi_dot)
def _multi_dot(arrays: Any, *, out: Any = None) -> Any:
    # products of captured arrays are computed anew, too
    xs = list(lifted(*arrays))
    if len(xs) < 2:
        raise ValueError("Expecting at least two arrays.")
    if len(xs) == 2:
        return np.dot(xs[0], xs[1])
    matrices = list(xs)
    if xs[0].ndim == 1:
        matrices[0] = reshape(xs[0], (1, xs[0].size))
    if xs[-1].ndim == 1:
        matrices[-1] = reshape(xs[-1], (xs[-1].size, 1))
    if any(x.ndim != 2 for x in matrices):
        raise_as_numpy(lambda *zeros: np.linalg.multi_dot(zeros), *xs)
    result = _product(matrices, _cheapest_order([matrices[0].shape[0], *(x.shape[1] for x in matrices)]))
    shape = (() if xs[0].ndim == 1 else result.shape[:1]) + (() if xs[-1].ndim == 1 else result.shape[1:])
    return reshape(result, shape)


def _cheapest_order(lengths: list[int]) -> Any:
    """How to bracket a product of matrices: the place where each range of them is split."""
    n = len(lengths) - 1
    costs, splits = {(i, i): 0 for i in range(n)}, {}
    for width in range(1, n):
        for i in range(n - width):
            j = i + width
            choices = {
                k: costs[i, k] + costs[k + 1, j] + lengths[i] * lengths[k + 1] * lengths[j + 1] for k in range(i, j)
            }
            splits[i, j] = min(choices, key=lambda k: choices[k])
            costs[i, j] = choices[splits[i, j]]
    return splits


def _product(matrices: list[Any], splits: Any) -> Any:
    def part(i: int, j: int) -> Any:
        return matrices[i] if i == j else np.dot(part(i, splits[i, j]), part(splits[i, j] + 1, j))

    return part(0, len(matrices) - 1)


@implements(np.linalg.outer)
def _outer(x1: Any, x2: Any, /) -> Any:
    x, y = as_array(x1), as_array(x2)
    if x.ndim != 1 or y.ndim != 1:
        raise_as_numpy(np.linalg.outer, x, y)
    return np.outer(x, y)


@implements(np.linalg.cross)
def _cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    x, y = as_array(x1), as_array(x2)
    if x.shape[axis] != 3 or y.shape[axis] != 3:
        raise_as_numpy(lambda *zeros: np.linalg.cross(*zeros, axis=axis), x, y)
    return np.cross(x, y, axis=axis)


@implements(np.linalg.trace)
def _trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return np.trace(as_array(x), offset, -2, -1, dtype=dtype)


@implements(np.linalg.diagonal)
def _diagonal(x: Any, /, *, offset: int = 0) -> Any:
    return np.diagonal(as_array(x), offset, -2, -1)


@implements(np.linalg.matmul)
def _matmul(x1: Any, x2: Any, /) -> Any:
    return np.matmul(as_array(x1), as_array(x2))


@implements(np.linalg.tensordot)
def _tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    return np.tensordot(as_array(x1), as_array(x2), axes=axes)


@implements(np.linalg.vecdot)
def _vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    # NumPy's types know no axis here
    return cast(Any, np.vecdot)(as_array(x1), as_array(x2), axis=axis)


@implements(np.linalg.matrix_transpose)
def _matrix_transpose(x: Any, /) -> Any:
    return np.matrix_transpose(as_array(x))
