"""Systems whose matrix is stored by diagonals, as in ``scipy.linalg.solve_banded``: ``band[u + i - j, j] = a[i, j]``.

The attribute is the numbers (l, u) of diagonals below and above the main one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.array_ops.linalg import scipy_linalg, total
from fastgrad.array_ops.movement import concatenate, place, reshape, slice_
from fastgrad.array_ops.products import with_shared_matrix
from fastgrad.array_ops.reductions import sum_
from fastgrad.array_ops.table import ArrayOperation, Cotangents, Examples, Shape, array_operation, require

Diagonals = tuple[int, int]


def _band_shape(diagonals: Diagonals, band: Shape, b: Shape) -> Shape:
    require(len(diagonals) == 2 and min(diagonals) >= 0, "numbers of diagonals below and above the main one")
    require(len(band) == len(b) == 2 and band == (sum(diagonals) + 1, b[0]), "the band does not fit the right side")
    return b


def _solve_banded(diagonals: Diagonals, band: NDArray[Any], b: NDArray[Any]) -> Any:
    return scipy_linalg().solve_banded(diagonals, band, b, check_finite=False) if b.size else np.zeros(b.shape)


def shifted(x: Any, axis: int, count: int) -> Any:
    """x moved along an axis towards its end (or its start, where ``count`` is negative), with zeros moving in."""
    length = x.shape[axis]
    kept = max(length - abs(count), 0)
    source, target = ([(0, n, 1) for n in x.shape] for _ in range(2))
    source[axis], target[axis] = (max(-count, 0) if kept else 0, kept, 1), (max(count, 0) if kept else 0, kept, 1)
    return place(slice_(x, attribute=tuple(source)), attribute=(x.shape, tuple(target)))


def _diagonal(band: Any, k: int) -> Any:
    return slice_(band, attribute=((k, 1, 1), (0, band.shape[1], 1)))


def transposed_band(band: Any, diagonals: Diagonals) -> Any:
    """The band of the transposed matrix, which has u diagonals below and l above."""
    lower, upper = diagonals
    rows = [shifted(_diagonal(band, lower + upper - k), 1, lower - k) for k in range(lower + upper + 1)]
    return rows[0] if len(rows) == 1 else concatenate(*rows, attribute=0)


def _outer_band(diagonals: Diagonals, left: Any, right: Any) -> Any:
    """The band of ``left @ right.T``."""
    lower, upper = diagonals
    rows = []
    for k in range(lower + upper + 1):
        products = sum_(shifted(left, 0, upper - k) * right, attribute=(1,))
        rows.append(_as_row(products))
    return rows[0] if len(rows) == 1 else concatenate(*rows, attribute=0)


def _as_row(x: Any) -> Any:
    return reshape(x, attribute=(1, *x.shape))


def _product(band: Any, x: Any, diagonals: Diagonals) -> Any:
    """The matrix times x."""
    parts = []
    for k in range(sum(diagonals) + 1):
        column = _as_column(_diagonal(band, k))
        parts.append(shifted(column * x, 0, k - diagonals[1]))
    return total(parts)


def _as_column(x: Any) -> Any:
    return reshape(x, attribute=(x.shape[1], 1))


def _banded_vjp(diagonals: Diagonals, ct: Any, band: Any, b: Any, x: Any) -> Cotangents:
    of_b = solve_banded(transposed_band(band, diagonals), ct, attribute=diagonals[::-1])
    return _outer_band(diagonals, -of_b, x), of_b


def _banded_jvp(diagonals: Diagonals, tangents: Sequence[Any], band: Any, b: Any, x: Any) -> Any:
    of_band, of_b = tangents
    right = total([of_b, None if of_band is None else -_product(of_band, x, diagonals)])
    return solve_banded(band, right, attribute=diagonals)


def _banded_batch(diagonals: Diagonals, examples: Examples) -> Any:
    if examples.varies[0] or examples.n == 0:
        return None
    return with_shared_matrix(solve_banded, diagonals, examples)


solve_banded: ArrayOperation = array_operation(
    "solve_banded", _band_shape, _solve_banded, _banded_vjp, _banded_jvp, batch=_banded_batch
)
