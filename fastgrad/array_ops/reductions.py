"""Sums, extrema and running sums, and broadcasting, whose adjoint is a sum.

The attribute of a reduction is the tuple of its axes, which the result does not have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.array_ops.movement import reshape, slice_
from fastgrad.array_ops.table import (
    ArrayOperation,
    Cotangents,
    Examples,
    ScalarWriter,
    Shape,
    Slots,
    along_axes,
    along_axis,
    array_operation,
    require,
)


def _broadcast_shape(shape: Shape, of: Shape) -> Shape:
    require(np.broadcast_shapes(shape, of) == shape, "cannot broadcast")
    return shape


def _broadcast_batch(shape: Shape, examples: Examples) -> Any:
    return broadcast_to(examples.with_rank(0, len(shape)), attribute=(examples.n, *shape))


broadcast_to: ArrayOperation = array_operation(
    "broadcast_to",
    _broadcast_shape,
    lambda shape, x: np.broadcast_to(x, shape),
    lambda shape, ct, x, r: (sum_to_shape(ct, x.shape),),
    movement=True,
    batch=_broadcast_batch,
)


def _reduced_shape(axes: Shape, of: Shape) -> Shape:
    require(len(set(axes)) == len(axes) and all(0 <= axis < len(of) for axis in axes), "no such axis")
    return tuple(length for axis, length in enumerate(of) if axis not in axes)


def _extremum_shape(axes: Shape, of: Shape) -> Shape:
    require(all(of[axis] > 0 for axis in axes), "an empty array has no extremum")
    return _reduced_shape(axes, of)


def expand(r: Any, axes: Shape, shape: Shape) -> Any:
    """A reduction's result, repeated over the axes that it was taken over."""
    kept = tuple(1 if axis in axes else length for axis, length in enumerate(shape))
    return broadcast_to(reshape(r, attribute=kept), attribute=shape)


def _reduced_first(axes: Sequence[int], x: Slots) -> Slots:
    """The slots with all reduced axes in front, as one."""
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    moved = x.transpose(*axes, *rest)
    return moved.reshape(math.prod(x.shape[axis] for axis in axes), *(x.shape[axis] for axis in rest))


def _sum_slots(writer: ScalarWriter, axes: Sequence[int], x: Slots) -> Slots:
    """Pairwise sums: short chains of dependent additions, and errors that grow with the logarithm of the length."""
    rows = _reduced_first(axes, x)
    if len(rows) == 0:
        return np.zeros(rows.shape[1:], np.int64)
    while len(rows) > 1:
        half = len(rows) // 2
        rows = np.concatenate([writer.emit(ops.add, rows[:half], rows[half : 2 * half]), rows[2 * half :]])
    return np.asarray(rows[0])


sum_: ArrayOperation = array_operation(
    "sum",
    _reduced_shape,
    lambda axes, x: np.sum(x, axis=axes),
    lambda axes, ct, x, r: (expand(ct, axes, x.shape),),
    scalar_code=_sum_slots,
    batch=along_axes,
)


def _extremum_weights(axes: Shape, x: Any, r: Any) -> Any:
    # elements that share the extremum share its derivative equally
    chosen = ops.where(ops.equal(x, expand(r, axes, x.shape)), 1.0, 0.0)
    return chosen / expand(sum_(chosen, attribute=axes), axes, x.shape)


def _extremum_vjp(axes: Shape, ct: Any, x: Any, r: Any) -> Cotangents:
    return (ops.zero_product(expand(ct, axes, x.shape), _extremum_weights(axes, x, r)),)


def _extremum_jvp(axes: Shape, tangents: Sequence[Any], x: Any, r: Any) -> Any:
    return sum_(ops.zero_product(tangents[0], _extremum_weights(axes, x, r)), attribute=axes)


def _extremum_slots(operation: ops.Operation) -> Callable[..., Slots]:
    def write(writer: ScalarWriter, axes: Sequence[int], x: Slots) -> Slots:
        rows = _reduced_first(axes, x)
        result: Slots = np.asarray(rows[0])
        for row in rows[1:]:
            result = writer.emit(operation, result, row, edge_free=True)
        if len(rows) == 1:
            return result
        # all elements that share the extremum share its derivative equally
        chosen = writer.emit(ops.equal, rows, result)
        weights = writer.emit(ops.divide, chosen, _sum_slots(writer, (0,), chosen))
        edges = np.stack(np.broadcast_arrays(result, rows, weights), axis=-1)
        writer.extra_edges.append(edges.reshape(-1, 3))
        return result

    return write


def extremum(name: str, evaluate: Callable[..., Any], operation: ops.Operation) -> ArrayOperation:
    """``evaluate`` is the method ``reduce`` of a ufunc."""
    return array_operation(
        name,
        _extremum_shape,
        lambda axes, x: evaluate(x, axis=axes),
        _extremum_vjp,
        _extremum_jvp,
        scalar_code=_extremum_slots(operation),
        scalar_cost=lambda axes, of: 4 * math.prod(of),
        into=lambda axes, out, x: evaluate(x, axis=axes, out=out),
        batch=along_axes,
    )


max_: ArrayOperation = extremum("max", np.maximum.reduce, ops.maximum)
min_: ArrayOperation = extremum("min", np.minimum.reduce, ops.minimum)


def _cumsum_shape(axis: int, of: Shape) -> Shape:
    require(0 <= axis < len(of), "no such axis")
    return of


def flip(x: Any, axis: int) -> Any:
    spec = [(0, length, 1) for length in x.shape]
    spec[axis] = (max(x.shape[axis] - 1, 0), x.shape[axis], -1)
    return slice_(x, attribute=tuple(spec))


def _cumsum_slots(writer: ScalarWriter, axis: int, x: Slots) -> Slots:
    rows = list(np.moveaxis(x, axis, 0))
    for k in range(1, len(rows)):
        rows[k] = writer.emit(ops.add, rows[k - 1], rows[k])
    return np.moveaxis(np.stack(rows), 0, axis) if rows else x


cumsum: ArrayOperation = array_operation(
    "cumsum",
    _cumsum_shape,
    lambda axis, x: np.cumsum(x, axis),
    lambda axis, ct, x, r: (flip(cumsum(flip(ct, axis), attribute=axis), axis),),
    scalar_code=_cumsum_slots,
    batch=along_axis,
)


def sum_to_shape(x: Any, shape: Shape) -> Any:
    """Sum a value over the axes along which an operand of ``shape`` was broadcast to it."""
    if x.shape == shape:
        return x
    extra = len(x.shape) - len(shape)
    axes = tuple(
        axis for axis, length in enumerate(x.shape) if axis < extra or (shape[axis - extra] == 1 and length != 1)
    )
    summed = sum_(x, attribute=axes) if axes else x
    return summed if summed.shape == shape else reshape(summed, attribute=shape)
