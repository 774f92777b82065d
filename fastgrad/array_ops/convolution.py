"""Convolution of the signals on the last axis, and the part of it where they overlap completely.

Leading axes, if any, are the same on both sides.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastgrad import ops
from fastgrad.array_ops.movement import slice_
from fastgrad.array_ops.products import product_rule
from fastgrad.array_ops.table import (
    ArrayOperation,
    Cotangents,
    ScalarWriter,
    Shape,
    Slots,
    array_operation,
    in_stacks,
    require,
)


def _reversed(x: Any) -> Any:
    *leading, length = x.shape
    return slice_(x, attribute=(*((0, n, 1) for n in leading), (length - 1, length, -1)))


def _require_signals(x: Shape, y: Shape) -> None:
    require(len(x) == len(y) >= 1 and x[:-1] == y[:-1], "signals must have the same leading axes")
    require(min(x[-1], y[-1]) > 0, "a signal is empty")


def _full_shape(_: None, x: Shape, y: Shape) -> Shape:
    _require_signals(x, y)
    return (*x[:-1], x[-1] + y[-1] - 1)


def _valid_shape(_: None, x: Shape, y: Shape) -> Shape:
    _require_signals(x, y)
    require(x[-1] >= y[-1], "the second signal must not be longer")
    return (*x[:-1], x[-1] - y[-1] + 1)


def _each_signal(mode: Literal["full", "valid"], shape: Shape, x: NDArray[Any], y: NDArray[Any]) -> Any:
    if x.ndim == 1:
        return np.convolve(x, y, mode)
    result = np.empty(shape)
    for index in np.ndindex(shape[:-1]):
        result[index] = np.convolve(x[index], y[index], mode)
    return result


def _full_vjp(_: None, ct: Any, x: Any, y: Any, r: Any) -> Cotangents:
    return convolve_valid(ct, _reversed(y)), convolve_valid(ct, _reversed(x))


def _valid_vjp(_: None, ct: Any, x: Any, y: Any, r: Any) -> Cotangents:
    return convolve(ct, _reversed(y)), convolve_valid(_reversed(x), ct)


def _full_slots(writer: ScalarWriter, _: None, x: Slots, y: Slots) -> Slots:
    longer, shorter = (x, y) if x.shape[-1] >= y.shape[-1] else (y, x)
    length = longer.shape[-1]
    total = np.zeros((*x.shape[:-1], x.shape[-1] + y.shape[-1] - 1), np.int64)
    for k in range(shorter.shape[-1]):
        product = writer.emit(ops.multiply, longer, shorter[..., k, np.newaxis])
        # sums begin with the first product that reaches them
        begun = slice(k, k + length - 1) if k else slice(0, 0)
        n_begun = begun.stop - begun.start
        if n_begun:
            total[..., begun] = writer.emit(ops.add, total[..., begun], product[..., :n_begun])
        total[..., k + n_begun : k + length] = product[..., n_begun:]
    return total


def _valid_slots(writer: ScalarWriter, _: None, x: Slots, y: Slots) -> Slots:
    n = x.shape[-1] - y.shape[-1] + 1
    total: Slots | None = None
    for k in range(y.shape[-1]):
        product = writer.emit(ops.multiply, x[..., k : k + n], y[..., -1 - k, np.newaxis])
        total = product if total is None else writer.emit(ops.add, total, product)
    assert total is not None
    return total


convolve: ArrayOperation = array_operation(
    "convolve",
    _full_shape,
    lambda _, x, y: _each_signal("full", _full_shape(None, x.shape, y.shape), x, y),
    _full_vjp,
    lambda _, tangents, x, y, r: product_rule(convolve, tangents, x, y),
    scalar_code=_full_slots,
    scalar_cost=lambda _, x, y: 2 * math.prod(x) * y[-1],
    batch=in_stacks,
)
# the second signal is not longer than the first one
convolve_valid: ArrayOperation = array_operation(
    "convolve_valid",
    _valid_shape,
    lambda _, x, y: _each_signal("valid", _valid_shape(None, x.shape, y.shape), x, y),
    _valid_vjp,
    lambda _, tangents, x, y, r: product_rule(convolve_valid, tangents, x, y),
    scalar_code=_valid_slots,
    scalar_cost=lambda _, x, y: 2 * (x[-1] - y[-1] + 1) * math.prod(y),
    batch=in_stacks,
)
