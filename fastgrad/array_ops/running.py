"""Products over an axis and running products, and extrema that leave NaN out.

The derivative of a product by one factor is the product of the others, without a division, so it is right where factors
are zero. In running products that is a recurrence of the first order, whose derivatives are recurrences again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import ops
from fastgrad.array_ops.movement import concatenate, place, slice_
from fastgrad.array_ops.reductions import expand, extremum, flip, sum_
from fastgrad.array_ops.table import (
    ArrayOperation,
    Cotangents,
    ScalarWriter,
    Shape,
    Slots,
    along_axis,
    array_operation,
    require,
)

# fewer columns than this are faster as Python numbers than as rows of NumPy (about 0.1 us and 5 us for a step)
_FEW_COLUMNS = 32
# columns of at least this length are cut into blocks
_LONG_COLUMN = 1024


def _require_rows(axis: int, of: Shape) -> None:
    require(0 <= axis < len(of), "no such axis")
    require(of[axis] > 0, "nothing along the axis")


def _rows(x: Any, axis: int, start: int, count: int) -> Any:
    spec = [(0, length, 1) for length in x.shape]
    spec[axis] = (start, count, 1)
    return slice_(x, attribute=tuple(spec))


def _delayed(x: Any, axis: int) -> Any:
    """Each row where the next one was, and zeros in the first."""
    spec = [(0, length, 1) for length in x.shape]
    spec[axis] = (1, x.shape[axis] - 1, 1)
    return place(_rows(x, axis, 0, x.shape[axis] - 1), attribute=(x.shape, tuple(spec)))


def _before(products: Any, axis: int) -> Any:
    """From running products those of the elements before each: 1 in the first row."""
    ones = ops.zero_product(_rows(products, axis, 0, 1), 0.0) + 1.0
    return concatenate(ones, _rows(products, axis, 0, products.shape[axis] - 1), attribute=axis)


# ---- running products


def _cumprod_shape(axis: int, of: Shape) -> Shape:
    _require_rows(axis, of)
    return of


def _cumprod_vjp(axis: int, ct: Any, x: Any, r: Any) -> Cotangents:
    return (ops.zero_product(_reversed_recurrence(axis, ct, x), _before(r, axis)),)


def _cumprod_jvp(axis: int, tangents: Sequence[Any], x: Any, r: Any) -> Any:
    return linear_recurrence(x, ops.zero_product(tangents[0], _before(r, axis)), attribute=axis)


def _cumprod_slots(writer: ScalarWriter, axis: int, x: Slots) -> Slots:
    rows = list(np.moveaxis(x, axis, 0))
    for k in range(1, len(rows)):
        rows[k] = writer.emit(ops.multiply, rows[k - 1], rows[k])
    return np.moveaxis(np.stack(rows), 0, axis)


cumprod: ArrayOperation = array_operation(
    "cumprod",
    _cumprod_shape,
    lambda axis, x: np.cumprod(x, axis),
    _cumprod_vjp,
    _cumprod_jvp,
    scalar_code=_cumprod_slots,
    batch=along_axis,
)


# ---- recurrences


def _recurrence_shape(axis: int, factors: Shape, terms: Shape) -> Shape:
    require(factors == terms, "one factor for each term")
    _require_rows(axis, terms)
    return terms


def _recurrence(axis: int, factors: NDArray[Any], terms: NDArray[Any]) -> NDArray[Any]:
    result = np.array(terms, np.float64)
    rows, steps = np.moveaxis(result, axis, 0), np.moveaxis(np.asarray(factors), axis, 0)
    width = result.size // max(len(rows), 1)
    if width >= _FEW_COLUMNS:
        with np.errstate(invalid="ignore", over="ignore", under="ignore"):
            for k in range(1, len(rows)):
                idle = (steps[k] == 0.0) | (rows[k - 1] == 0.0)
                rows[k] += np.where(idle, 0.0, steps[k] * rows[k - 1])
        return result
    for column in np.ndindex(rows.shape[1:]):
        at = (slice(None), *column)
        rows[at] = _column(steps[at], rows[at])
    return result


def _column(factors: NDArray[Any], terms: NDArray[Any]) -> Any:
    if len(terms) >= _LONG_COLUMN:
        found = _in_blocks(factors, terms)
        if found is not None:
            return found
    return list(accumulate(zip(factors.tolist(), terms.tolist(), strict=True), _step, initial=0.0))[1:]


def _in_blocks(factors: NDArray[Any], terms: NDArray[Any]) -> NDArray[Any] | None:
    """All blocks of a column side by side, then what each takes over from the one before it (None if not all finite).

    Takes about a seventh of the time of one row after the other.
    """
    n = len(terms)
    length = math.isqrt(n)
    n_blocks = -(-n // length)
    # a row of all blocks at a time
    padding = n_blocks * length - n
    products = np.concatenate([factors, np.zeros(padding)]).reshape(n_blocks, length).T.copy()
    sums = np.concatenate([terms, np.zeros(padding)]).reshape(n_blocks, length).T.copy()
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        for k in range(1, length):
            sums[k] += products[k] * sums[k - 1]
            products[k] *= products[k - 1]
        ends = accumulate(zip(products[-1].tolist(), sums[-1].tolist(), strict=True), _step, initial=0.0)
        found = sums + products * np.array(list(ends)[:-1])
    finite = np.isfinite(products).all() and np.isfinite(found).all()
    return found.T.reshape(-1)[:n] if finite else None


def _step(last: float, pair: tuple[float, float]) -> float:
    factor, term = pair
    return term + (factor * last if factor != 0.0 and last != 0.0 else 0.0)


def _reversed_recurrence(axis: int, ct: Any, factors: Any) -> Any:
    """The recurrence from the last row to the first, each row with the factor of the one after it."""
    delayed = _delayed(flip(factors, axis), axis)
    return flip(linear_recurrence(delayed, flip(ct, axis), attribute=axis), axis)


def _recurrence_vjp(axis: int, ct: Any, factors: Any, terms: Any, r: Any) -> Cotangents:
    of_terms = _reversed_recurrence(axis, ct, factors)
    return ops.zero_product(of_terms, _delayed(r, axis)), of_terms


def _recurrence_jvp(axis: int, tangents: Sequence[Any], factors: Any, terms: Any, r: Any) -> Any:
    of_factors, of_terms = tangents
    moved = None if of_factors is None else ops.zero_product(of_factors, _delayed(r, axis))
    total = of_terms if moved is None else moved if of_terms is None else moved + of_terms
    return linear_recurrence(factors, total, attribute=axis)


def _recurrence_slots(writer: ScalarWriter, axis: int, factors: Slots, terms: Slots) -> Slots:
    rows, steps = list(np.moveaxis(terms, axis, 0)), np.moveaxis(factors, axis, 0)
    for k in range(1, len(rows)):
        rows[k] = writer.emit(ops.add, rows[k], writer.emit(ops.zero_product, steps[k], rows[k - 1]))
    return np.moveaxis(np.stack(rows), 0, axis)


# row k of the result is terms[k] + factors[k] * (row k - 1), where a zero factor gives zero (the first row is terms[0])
linear_recurrence: ArrayOperation = array_operation(
    "linear_recurrence",
    _recurrence_shape,
    _recurrence,
    _recurrence_vjp,
    _recurrence_jvp,
    scalar_code=_recurrence_slots,
    scalar_cost=lambda axis, factors, terms: 2 * math.prod(terms),
    batch=along_axis,
)


# ---- products


def _prod_shape(axis: int, of: Shape) -> Shape:
    _require_rows(axis, of)
    return of[:axis] + of[axis + 1 :]


def _products_of_others(axis: int, x: Any) -> Any:
    before = _before(cumprod(x, attribute=axis), axis)
    after = flip(_before(cumprod(flip(x, axis), attribute=axis), axis), axis)
    return ops.zero_product(before, after)


def _prod_slots(writer: ScalarWriter, axis: int, x: Slots) -> Slots:
    # in order, as NumPy multiplies
    rows = np.moveaxis(x, axis, 0)
    result: Slots = np.asarray(rows[0])
    for row in rows[1:]:
        result = writer.emit(ops.multiply, result, row)
    return result


prod: ArrayOperation = array_operation(
    "prod",
    _prod_shape,
    lambda axis, x: np.prod(x, axis),
    lambda axis, ct, x, r: (ops.zero_product(expand(ct, (axis,), x.shape), _products_of_others(axis, x)),),
    lambda axis, tangents, x, r: sum_(ops.zero_product(tangents[0], _products_of_others(axis, x)), attribute=(axis,)),
    scalar_code=_prod_slots,
    batch=along_axis,
)

# ---- extrema of the elements that are numbers

fmax: ArrayOperation = extremum("fmax.reduce", np.fmax.reduce, ops.fmax)
fmin: ArrayOperation = extremum("fmin.reduce", np.fmin.reduce, ops.fmin)
