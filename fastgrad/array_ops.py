"""The table of array operations: what is not elementwise, each written here once.

An entry holds

``name``        the operation's name
``shape_rule``  the result's shape from the attribute and the operands' shapes; raises ValueError where they do not fit
``evaluate``    the result with NumPy, from the attribute and the operands as arrays
``vjp``         the operands' cotangents (None: has none) from attribute, cotangent, operands and result
``jvp``         the result's tangent from attribute, tangents (None: zero), operands and result; None where the
                operation is linear in each operand for itself, which is then used instead
``movement``    elements are moved, repeated or dropped (or zeros put in between) and nothing is computed: ``evaluate``
                is then right for arrays of anything, and the planner runs it on places instead of numbers

``vjp`` and ``jvp`` are written with operators, entries of ``ops`` and entries of this table, so they run on the values
of a tape under construction; derivatives of any order come from these rules alone. A value has a ``shape`` and answers
to ``apply_array_operation``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import ops

__all__ = ["TABLE", "ArrayOperation", "sum_to_shape"]

Shape = tuple[int, ...]
Cotangents = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class ArrayOperation:
    """One entry of the table. Calling it records it on the tape that its operands belong to."""

    name: str
    shape_rule: Callable[..., Shape]
    evaluate: Callable[..., Any]
    vjp: Callable[..., Cotangents]
    jvp: Callable[..., Any] | None
    movement: bool
    code: int

    def __call__(self, *operands: Any, attribute: Any = None) -> Any:
        for operand in operands:
            apply = getattr(operand, "apply_array_operation", None)
            if apply is not None:
                return apply(self, operands, attribute)
        raise TypeError(f"fastgrad: array operation {self.name!r} needs a tape value among its operands.")

    def __repr__(self) -> str:
        return f"<array operation {self.name}>"


TABLE: list[ArrayOperation] = []


def _operation(
    name: str,
    shape_rule: Callable[..., Shape],
    evaluate: Callable[..., Any],
    vjp: Callable[..., Cotangents],
    jvp: Callable[..., Any] | None = None,
    movement: bool = False,
) -> ArrayOperation:
    entry = ArrayOperation(name, shape_rule, evaluate, vjp, jvp, movement, len(TABLE))
    TABLE.append(entry)
    return entry


def _require(fits: bool, problem: str) -> None:
    if not fits:
        raise ValueError(problem)


# ---- moving elements


def _reshape_shape(shape: Shape, of: Shape) -> Shape:
    _require(math.prod(shape) == math.prod(of), "reshape keeps the number of elements")
    return shape


reshape: ArrayOperation = _operation(
    "reshape",
    _reshape_shape,
    lambda shape, x: np.reshape(x, shape),
    lambda shape, ct, x, r: (reshape(ct, attribute=x.shape),),
    movement=True,
)


def _transpose_shape(axes: Shape, of: Shape) -> Shape:
    _require(sorted(axes) == list(range(len(of))), "axes must be a permutation")
    return tuple(of[axis] for axis in axes)


transpose: ArrayOperation = _operation(
    "transpose",
    _transpose_shape,
    lambda axes, x: np.transpose(x, axes),
    lambda axes, ct, x, r: (transpose(ct, attribute=tuple(int(i) for i in np.argsort(axes))),),
    movement=True,
)


def _broadcast_shape(shape: Shape, of: Shape) -> Shape:
    _require(np.broadcast_shapes(shape, of) == shape, "cannot broadcast")
    return shape


broadcast_to: ArrayOperation = _operation(
    "broadcast_to",
    _broadcast_shape,
    lambda shape, x: np.broadcast_to(x, shape),
    lambda shape, ct, x, r: (sum_to_shape(ct, x.shape),),
    movement=True,
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
    _require(len(spec) == len(of), "a slice needs one entry for each axis")
    for (start, count, step), length in zip(spec, of, strict=True):
        last = start + (count - 1) * step
        _require(step != 0 and count >= 0 and (count == 0 or (0 <= start < length and 0 <= last < length)), "outside")


def _slice_shape(spec: SliceSpec, of: Shape) -> Shape:
    _check_slice(spec, of)
    return tuple(count for _, count, _ in spec)


def _place_shape(attribute: tuple[Shape, SliceSpec], of: Shape) -> Shape:
    shape, spec = attribute
    _require(_slice_shape(spec, shape) == of, "the slice does not fit")
    return shape


def _place(attribute: tuple[Shape, SliceSpec], x: NDArray[Any]) -> NDArray[Any]:
    shape, spec = attribute
    out = np.zeros(shape, np.asarray(x).dtype)
    out[slices_of(spec)] = x
    return out


slice_: ArrayOperation = _operation(
    "slice",
    _slice_shape,
    lambda spec, x: x[slices_of(spec)],
    lambda spec, ct, x, r: (place(ct, attribute=(x.shape, spec)),),
    movement=True,
)
# the adjoint of slice: an array of zeros with the operand written into the slice
place: ArrayOperation = _operation(
    "place",
    _place_shape,
    _place,
    lambda attribute, ct, x, r: (slice_(ct, attribute=attribute[1]),),
    movement=True,
)


def _concatenate_shape(axis: int, *shapes: Shape) -> Shape:
    first = shapes[0]
    _require(0 <= axis < len(first), "no such axis")
    rest = [shape[:axis] + shape[axis + 1 :] for shape in shapes]
    _require(all(shape == rest[0] for shape in rest), "the other axes must agree")
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


concatenate: ArrayOperation = _operation(
    "concatenate",
    _concatenate_shape,
    lambda axis, *xs: np.concatenate(xs, axis),
    _concatenate_vjp,
    _concatenate_jvp,
    movement=True,
)

# The second operand of gather and scatter_add holds positions in the first one (or the result), flattened.
gather: ArrayOperation = _operation(
    "gather",
    lambda _, of, positions: positions,
    lambda _, x, positions: np.reshape(x, -1)[positions.astype(np.intp)],
    lambda _, ct, x, positions, r: (scatter_add(ct, positions, attribute=x.shape), None),
)


def _scatter_shape(shape: Shape, of: Shape, positions: Shape) -> Shape:
    _require(of == positions, "one position for each element")
    return shape


def _scatter_add(shape: Shape, x: NDArray[Any], positions: NDArray[Any]) -> NDArray[Any]:
    # bincount adds in the order of the elements, like np.add.at, at many times its speed
    size = math.prod(shape)
    sums = np.bincount(positions.astype(np.intp).ravel(), np.ravel(x), size)
    return sums.astype(np.float64, copy=False).reshape(shape)


scatter_add: ArrayOperation = _operation(
    "scatter_add",
    _scatter_shape,
    _scatter_add,
    lambda shape, ct, x, positions, r: (gather(ct, positions), None),
)


# ---- reductions; the attribute is the tuple of axes, which the result does not have


def _reduced_shape(axes: Shape, of: Shape) -> Shape:
    _require(len(set(axes)) == len(axes) and all(0 <= axis < len(of) for axis in axes), "no such axis")
    return tuple(length for axis, length in enumerate(of) if axis not in axes)


def _extremum_shape(axes: Shape, of: Shape) -> Shape:
    _require(all(of[axis] > 0 for axis in axes), "an empty array has no extremum")
    return _reduced_shape(axes, of)


def _expand(r: Any, axes: Shape, shape: Shape) -> Any:
    """A reduction's result, repeated over the axes that it was taken over."""
    kept = tuple(1 if axis in axes else length for axis, length in enumerate(shape))
    return broadcast_to(reshape(r, attribute=kept), attribute=shape)


sum_: ArrayOperation = _operation(
    "sum",
    _reduced_shape,
    lambda axes, x: np.sum(x, axis=axes),
    lambda axes, ct, x, r: (_expand(ct, axes, x.shape),),
)


def _extremum_weights(axes: Shape, x: Any, r: Any) -> Any:
    # elements that share the extremum share its derivative equally
    chosen = ops.where(ops.equal(x, _expand(r, axes, x.shape)), 1.0, 0.0)
    return chosen / _expand(sum_(chosen, attribute=axes), axes, x.shape)


def _extremum_vjp(axes: Shape, ct: Any, x: Any, r: Any) -> Cotangents:
    return (ops.zero_product(_expand(ct, axes, x.shape), _extremum_weights(axes, x, r)),)


def _extremum_jvp(axes: Shape, tangents: Sequence[Any], x: Any, r: Any) -> Any:
    return sum_(ops.zero_product(tangents[0], _extremum_weights(axes, x, r)), attribute=axes)


max_: ArrayOperation = _operation(
    "max", _extremum_shape, lambda axes, x: np.max(x, axis=axes), _extremum_vjp, _extremum_jvp
)
min_: ArrayOperation = _operation(
    "min", _extremum_shape, lambda axes, x: np.min(x, axis=axes), _extremum_vjp, _extremum_jvp
)


def _cumsum_shape(axis: int, of: Shape) -> Shape:
    _require(0 <= axis < len(of), "no such axis")
    return of


def _flip(x: Any, axis: int) -> Any:
    spec = [(0, length, 1) for length in x.shape]
    spec[axis] = (max(x.shape[axis] - 1, 0), x.shape[axis], -1)
    return slice_(x, attribute=tuple(spec))


cumsum: ArrayOperation = _operation(
    "cumsum",
    _cumsum_shape,
    lambda axis, x: np.cumsum(x, axis),
    lambda axis, ct, x, r: (_flip(cumsum(_flip(ct, axis), attribute=axis), axis),),
)

# ---- products of matrices, with the same leading axes on both sides


def _matmul_shape(_: None, x: Shape, y: Shape) -> Shape:
    _require(len(x) == len(y) >= 2 and x[:-2] == y[:-2] and x[-1] == y[-2], "matrices do not fit")
    return x[:-1] + y[-1:]


def _transposed(x: Any) -> Any:
    n = len(x.shape)
    return transpose(x, attribute=(*range(n - 2), n - 1, n - 2))


def _matmul_jvp(_: None, tangents: Sequence[Any], x: Any, y: Any, r: Any) -> Any:
    parts = []
    if tangents[0] is not None:
        parts.append(matmul(tangents[0], y))
    if tangents[1] is not None:
        parts.append(matmul(x, tangents[1]))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


matmul: ArrayOperation = _operation(
    "matmul",
    _matmul_shape,
    lambda _, x, y: np.matmul(x, y),
    lambda _, ct, x, y, r: (matmul(ct, _transposed(y)), matmul(_transposed(x), ct)),
    _matmul_jvp,
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
