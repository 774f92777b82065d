"""``scipy.linalg``: functions of matrices, structured matrices, and questions about them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fastgrad import array_ops
from fastgrad.array_ops.scipy_linalg import SMOOTH, slope
from fastgrad.recording.functions import linalg, scipy_refused  # noqa: F401 - they load together
from fastgrad.recording.functions.conversions import concrete
from fastgrad.recording.functions.norms import as_floats
from fastgrad.recording.functions.registry import reshape, unsupported
from fastgrad.recording.functions.scipy_calls import both_recorded, defines
from fastgrad.recording.recorded_array import RecordedArray, apply_array

# ---- functions of matrices


def _function(name: str) -> None:
    @defines(name)
    def define(A: Any, **options: Any) -> Any:
        if options:
            raise unsupported(f"scipy.linalg.{name} with {', '.join(options)}")
        return apply_array(array_ops.matrix_function, (as_floats(A),), name)


for _name in SMOOTH:
    _function(_name)


@defines("expm_frechet")
def _expm_frechet(A: Any, E: Any, method: Any = None, compute_expm: bool = True, check_finite: bool = True) -> Any:
    a, e = both_recorded(A, E)
    found = slope("expm", a, e)
    return (apply_array(array_ops.matrix_function, (a,), "expm"), found) if compute_expm else found


@defines("fractional_matrix_power")
def _fractional_matrix_power(A: Any, t: Any) -> Any:
    a = as_floats(A)
    if not isinstance(t, RecordedArray) and t == int(t):
        return np.linalg.matrix_power(a, operator.index(int(t)))
    (a,) = both_recorded(a, t)[:1]
    return _apply("expm", t * _apply("logm", a))


def _apply(name: str, a: Any) -> Any:
    return apply_array(array_ops.matrix_function, (a,), name)


# ---- structured matrices


@defines("block_diag")
def _block_diag(*arrs: Any) -> Any:
    blocks = [np.atleast_2d(block) for block in both_recorded(*arrs)]
    width, start, rows = sum(block.shape[1] for block in blocks), 0, []
    for block in blocks:
        before, after = (np.zeros((block.shape[0], n)) for n in (start, width - start - block.shape[1]))
        rows.append(np.concatenate([before, block, after], axis=1))
        start += block.shape[1]
    return np.concatenate(rows)


def _picked(values: Any, positions: Any) -> Any:
    return np.take(values, positions, axis=-1)


@defines("toeplitz")
def _toeplitz(c: Any, r: Any = None) -> Any:
    c, r = both_recorded(c, c if r is None else r)
    below = np.subtract.outer(np.arange(c.shape[-1]), np.arange(r.shape[-1]))
    positions = np.where(below >= 0, below, c.shape[-1] - 1 - below)
    return _picked(np.concatenate([c, r[..., 1:]], axis=-1), positions)


@defines("circulant")
def _circulant(c: Any) -> Any:
    c = as_floats(c)
    rows = np.arange(c.shape[-1])
    return _picked(c, np.subtract.outer(rows, rows) % max(c.shape[-1], 1))


@defines("hankel")
def _hankel(c: Any, r: Any = None) -> Any:
    c, r = both_recorded(c, np.zeros(np.shape(concrete(c))) if r is None else r)
    positions = np.add.outer(np.arange(c.shape[-1]), np.arange(r.shape[-1]))
    return _picked(np.concatenate([c, r[..., 1:]], axis=-1), positions)


def _toeplitz_of(c_or_cr: Any) -> Any:
    return _toeplitz.__wrapped__(*c_or_cr) if isinstance(c_or_cr, tuple) else _toeplitz.__wrapped__(c_or_cr)  # type: ignore[attr-defined]


@defines("solve_toeplitz")
def _solve_toeplitz(c_or_cr: Any, b: Any, check_finite: bool = True) -> Any:
    return linalg.solve(_toeplitz_of(c_or_cr), b)


@defines("matmul_toeplitz")
def _matmul_toeplitz(c_or_cr: Any, x: Any, check_finite: bool = False, workers: Any = None) -> Any:
    return np.matmul(_toeplitz_of(c_or_cr), as_floats(x))


@defines("khatri_rao")
def _khatri_rao(a: Any, b: Any) -> Any:
    a, b = both_recorded(a, b)
    product = a[..., :, None, :] * b[..., None, :, :]
    return reshape(product, (*product.shape[:-3], a.shape[-2] * b.shape[-2], a.shape[-1]))


# ---- questions, whose answers are guarded


def _is_symmetric(a: Any, atol: Any = None, rtol: Any = None) -> bool:
    if a.ndim != 2:
        raise unsupported("scipy.linalg.issymmetric of several matrices")
    other = np.matrix_transpose(a)
    if atol or rtol:
        return bool(np.allclose(a, other, atol=atol or 0.0, rtol=rtol or 0.0))
    # NaN on the diagonal does not matter
    return bool(np.all(np.equal(a, other) | np.eye(len(a), dtype=bool)))


for _name in ("issymmetric", "ishermitian"):
    defines(_name)(_is_symmetric)
