"""Array operations that move elements: reshape, transpose, slice, place, concatenate, gather and its adjoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import ops
from fastgrad.array_ops.table import (
    ArrayOperation,
    Cotangents,
    Examples,
    ScalarWriter,
    Shape,
    Slots,
    along_axis,
    array_operation,
    require,
)


def _reshape_shape(shape: Shape, of: Shape) -> Shape:
    require(math.prod(shape) == math.prod(of), "reshape keeps the number of elements")
    return shape


reshape: ArrayOperation = array_operation(
    "reshape",
    _reshape_shape,
    lambda shape, x: np.reshape(x, shape),
    lambda shape, ct, x, r: (reshape(ct, attribute=x.shape),),
    movement=True,
    batch=lambda shape, examples: examples.apply((examples.n, *shape)),
)


def _transpose_shape(axes: Shape, of: Shape) -> Shape:
    require(sorted(axes) == list(range(len(of))), "axes must be a permutation")
    return tuple(of[axis] for axis in axes)


transpose: ArrayOperation = array_operation(
    "transpose",
    _transpose_shape,
    lambda axes, x: np.transpose(x, axes),
    lambda axes, ct, x, r: (transpose(ct, attribute=tuple(int(i) for i in np.argsort(axes))),),
    movement=True,
    batch=lambda axes, examples: examples.apply((0, *(axis + 1 for axis in axes))),
)

# The attribute of a slice is (start, count, step) for each axis.
SliceSpec = tuple[tuple[int, int, int], ...]


def slices_of(spec: SliceSpec) -> tuple[slice, ...]:
    """The Python slices that a slice's attribute stands for."""
    return tuple(_one_slice(*axis) for axis in spec)


def _one_slice(start: int, count: int, step: int) -> slice:
    stop = start + count * step
    # a slice that runs backwards through element 0 has no non-negative stop
    return slice(start, stop if stop >= 0 and count else (None if count else start), step)


def _check_slice(spec: SliceSpec, of: Shape) -> None:
    require(len(spec) == len(of), "a slice needs one entry for each axis")
    for (start, count, step), length in zip(spec, of, strict=True):
        last = start + (count - 1) * step
        require(step != 0 and count >= 0 and (count == 0 or (0 <= start < length and 0 <= last < length)), "outside")


def _slice_shape(spec: SliceSpec, of: Shape) -> Shape:
    _check_slice(spec, of)
    return tuple(count for _, count, _ in spec)


def _place_shape(attribute: tuple[Shape, SliceSpec], of: Shape) -> Shape:
    shape, spec = attribute
    require(_slice_shape(spec, shape) == of, "the slice does not fit")
    return shape


def _place(attribute: tuple[Shape, SliceSpec], x: NDArray[Any]) -> NDArray[Any]:
    shape, spec = attribute
    out = np.zeros(shape, np.asarray(x).dtype)
    out[slices_of(spec)] = x
    return out


def _of_each(spec: SliceSpec, examples: Examples) -> SliceSpec:
    """The slice of each example's array."""
    return ((0, examples.n, 1), *spec)


slice_: ArrayOperation = array_operation(
    "slice",
    _slice_shape,
    lambda spec, x: x[slices_of(spec)],
    lambda spec, ct, x, r: (place(ct, attribute=(x.shape, spec)),),
    movement=True,
    batch=lambda spec, examples: examples.apply(_of_each(spec, examples)),
)
# the adjoint of slice: an array of zeros with the operand written into the slice
place: ArrayOperation = array_operation(
    "place",
    _place_shape,
    _place,
    lambda attribute, ct, x, r: (slice_(ct, attribute=attribute[1]),),
    movement=True,
    batch=lambda attribute, examples: examples.apply(((examples.n, *attribute[0]), _of_each(attribute[1], examples))),
)


def _clear_shape(spec: SliceSpec, of: Shape) -> Shape:
    _check_slice(spec, of)
    return of


def _update_shape(spec: SliceSpec, of: Shape, part: Shape) -> Shape:
    require(part == _slice_shape(spec, of), "the slice does not fit")
    return of


def _updated(spec: SliceSpec, x: NDArray[Any], part: Any) -> NDArray[Any]:
    out = np.array(x)
    out[slices_of(spec)] = part
    return out


def _update_into(spec: SliceSpec, out: NDArray[Any], x: NDArray[Any], part: Any = 0.0) -> None:
    out[...] = x
    out[slices_of(spec)] = part


def _update_jvp(spec: SliceSpec, tangents: Sequence[Any], x: Any, part: Any, r: Any) -> Any:
    of_x, of_part = tangents
    if of_x is None:
        return place(of_part, attribute=(x.shape, spec))
    return clear_slice(of_x, attribute=spec) if of_part is None else update_slice(of_x, of_part, attribute=spec)


# an array with zeros in a slice of it, and one with another array there
clear_slice: ArrayOperation = array_operation(
    "clear_slice",
    _clear_shape,
    lambda spec, x: _updated(spec, x, 0),
    lambda spec, ct, x, r: (clear_slice(ct, attribute=spec),),
    movement=True,
    into=_update_into,
    batch=lambda spec, examples: examples.apply(_of_each(spec, examples)),
)
update_slice: ArrayOperation = array_operation(
    "update_slice",
    _update_shape,
    _updated,
    lambda spec, ct, x, part, r: (clear_slice(ct, attribute=spec), slice_(ct, attribute=spec)),
    _update_jvp,
    movement=True,
    into=_update_into,
    batch=lambda spec, examples: examples.apply(_of_each(spec, examples)),
)


def _concatenate_shape(axis: int, *shapes: Shape) -> Shape:
    first = shapes[0]
    require(0 <= axis < len(first), "no such axis")
    rest = [shape[:axis] + shape[axis + 1 :] for shape in shapes]
    require(all(shape == rest[0] for shape in rest), "the other axes must agree")
    return first[:axis] + (sum(shape[axis] for shape in shapes),) + first[axis + 1 :]


def _concatenate_vjp(axis: int, ct: Any, *operands_and_result: Any) -> Cotangents:
    cotangents, start = [], 0
    for operand in operands_and_result[:-1]:
        spec = [(0, length, 1) for length in operand.shape]
        spec[axis] = (start, operand.shape[axis], 1)
        start += operand.shape[axis]
        cotangents.append(slice_(ct, attribute=tuple(spec)))
    return tuple(cotangents)


def _concatenate_jvp(axis: int, tangents: Sequence[Any], *operands_and_result: Any) -> Any:
    operands = operands_and_result[:-1]
    pieces = [ops.zero_product(operand, 0.0) if t is None else t for t, operand in zip(tangents, operands, strict=True)]
    return concatenate(*pieces, attribute=axis)


concatenate: ArrayOperation = array_operation(
    "concatenate",
    _concatenate_shape,
    lambda axis, *xs: np.concatenate(xs, axis),
    _concatenate_vjp,
    _concatenate_jvp,
    movement=True,
    batch=along_axis,
)


def _gather_slots(writer: ScalarWriter, _: None, x: Slots, positions: Slots) -> Slots:
    return x.ravel()[positions]


def _gather_batch(_: None, examples: Examples) -> Any:
    if not examples.varies[0]:
        return gather(*examples.operands)
    return gather(examples.operands[0], examples.positions(1, math.prod(examples.shapes[0])))


# The second operand of gather and scatter_add holds positions in the first one (or the result), flattened.
gather: ArrayOperation = array_operation(
    "gather",
    lambda _, of, positions: positions,
    lambda _, x, positions: np.reshape(x, -1)[positions.astype(np.intp, copy=False)],
    lambda _, ct, x, positions, r: (scatter_add(ct, positions, attribute=x.shape), None),
    scalar_code=_gather_slots,
    scalar_cost=lambda *_: 0,
    position_operands=(1,),
    batch=_gather_batch,
)


def _scatter_shape(shape: Shape, of: Shape, positions: Shape) -> Shape:
    require(of == positions, "one position for each element")
    return shape


def _scatter_add(shape: Shape, x: NDArray[Any], positions: NDArray[Any]) -> NDArray[Any]:
    # bincount adds in the order of the elements, like np.add.at, at many times its speed
    size = math.prod(shape)
    sums = np.bincount(positions.astype(np.intp, copy=False).ravel(), np.ravel(x), size)
    return sums.astype(np.float64, copy=False).reshape(shape)


def _scatter_slots(writer: ScalarWriter, shape: Sequence[int], x: Slots, positions: Slots) -> Slots:
    """Elements in order, all first additions to a place together, then all second ones, and so on."""
    result = np.zeros(math.prod(shape), np.int64)
    pending, targets = x.ravel(), positions.ravel()
    while len(pending):
        _, first = np.unique(targets, return_index=True)
        now = targets[first]
        taken = result[now] == 0
        result[now[taken]] = pending[first[taken]]
        if not taken.all():
            result[now[~taken]] = writer.emit(ops.add, result[now[~taken]], pending[first[~taken]])
        left = np.ones(len(pending), bool)
        left[first] = False
        pending, targets = pending[left], targets[left]
    return result.reshape(tuple(shape))


def _scatter_batch(shape: Shape, examples: Examples) -> Any:
    positions = examples.positions(1, math.prod(shape))
    return scatter_add(examples.with_axis(0), positions, attribute=(examples.n, *shape))


scatter_add: ArrayOperation = array_operation(
    "scatter_add",
    _scatter_shape,
    _scatter_add,
    lambda shape, ct, x, positions, r: (gather(ct, positions), None),
    scalar_code=_scatter_slots,
    position_operands=(1,),
    batch=_scatter_batch,
)
