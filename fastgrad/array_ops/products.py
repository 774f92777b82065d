"""Products of matrices, with the same leading axes on both sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.array_ops.movement import reshape, transpose
from fastgrad.array_ops.table import ArrayOperation, Examples, ScalarWriter, Shape, Slots, array_operation, require


def _matmul_shape(_: None, x: Shape, y: Shape) -> Shape:
    require(len(x) == len(y) >= 2 and x[:-2] == y[:-2] and x[-1] == y[-2], "matrices do not fit")
    return x[:-1] + y[-1:]


def transposed(x: Any) -> Any:
    n = len(x.shape)
    return transpose(x, attribute=(*range(n - 2), n - 1, n - 2))


def product_rule(product: ArrayOperation, tangents: Sequence[Any], x: Any, y: Any) -> Any:
    """The tangent of a product that is linear in each of its two operands."""
    parts = []
    if tangents[0] is not None:
        parts.append(product(tangents[0], y))
    if tangents[1] is not None:
        parts.append(product(x, tangents[1]))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _matmul_slots(writer: ScalarWriter, _: None, x: Slots, y: Slots) -> Slots:
    if x.shape[-1] == 0:
        return np.zeros(x.shape[:-1] + y.shape[-1:], np.int64)
    total: Slots | None = None
    for k in range(x.shape[-1]):
        product = writer.emit(ops.multiply, x[..., :, k, np.newaxis], y[..., np.newaxis, k, :])
        total = product if total is None else writer.emit(ops.add, total, product)
    assert total is not None
    return total


def turned(x: Any) -> Any:
    """The matrices transposed, which moves nothing where they are single rows or columns."""
    *leading, rows, columns = x.shape
    return reshape(x, attribute=(*leading, columns, rows)) if 1 in (rows, columns) else transposed(x)


def stacked_rows(x: Any) -> Any:
    """The matrices of all examples (whose axis is the first one) one below the other, as one matrix."""
    n, *leading, rows, columns = x.shape
    k = len(leading)
    return reshape(transpose(x, attribute=(*range(1, k + 1), 0, k + 1, k + 2)), attribute=(*leading, n * rows, columns))


def unstacked_rows(x: Any, n: int) -> Any:
    """The matrices of each example again, from one below the other."""
    *leading, rows, columns = x.shape
    k = len(leading)
    apart = reshape(x, attribute=(*leading, n, rows // max(n, 1), columns))
    return transpose(apart, attribute=(k, *range(k), k + 1, k + 2))


def with_shared_matrix(operation: ArrayOperation, attribute: Any, examples: Examples, *others: Any) -> Any:
    """The ``batch`` of an operation on a matrix, that all share, and right sides, all of which become one matrix."""
    matrix, right = examples.operands[:2]
    result = operation(matrix, turned(stacked_rows(turned(right))), *others, attribute=attribute)
    return turned(unstacked_rows(turned(result), examples.n))


def _matmul_batch(_: None, examples: Examples) -> Any:
    """A matrix that all examples share multiplies those of all at once."""
    (x, y), n = examples.operands, examples.n
    if all(examples.varies) or n == 0:
        return examples.apply(None)
    if examples.varies[0]:
        return unstacked_rows(matmul(stacked_rows(x), y), n)
    return turned(unstacked_rows(matmul(stacked_rows(turned(y)), transposed(x)), n))


matmul: ArrayOperation = array_operation(
    "matmul",
    _matmul_shape,
    lambda _, x, y: np.matmul(x, y),
    lambda _, ct, x, y, r: (matmul(ct, transposed(y)), matmul(transposed(x), ct)),
    lambda _, tangents, x, y, r: product_rule(matmul, tangents, x, y),
    scalar_code=_matmul_slots,
    scalar_cost=lambda _, x, y: 2 * math.prod(x) * y[-1],
    into=lambda _, out, x, y: np.matmul(x, y, out=out),
    batch=_matmul_batch,
)
