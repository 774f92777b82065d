"""Convolution of two signals, and the part of it where they overlap completely."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.array_ops.movement import slice_
from fastgrad.array_ops.products import product_rule
from fastgrad.array_ops.table import ArrayOperation, Cotangents, ScalarWriter, Shape, Slots, array_operation, require


def _reversed(x: Any) -> Any:
    return slice_(x, attribute=((x.shape[0] - 1, x.shape[0], -1),))


def _full_shape(_: None, x: Shape, y: Shape) -> Shape:
    require(len(x) == len(y) == 1 and min(x[0], y[0]) > 0, "signals have one axis, and are not empty")
    return (x[0] + y[0] - 1,)


def _valid_shape(_: None, x: Shape, y: Shape) -> Shape:
    require(len(x) == len(y) == 1 and x[0] >= y[0] > 0, "the second signal must not be longer")
    return (x[0] - y[0] + 1,)


def _full_vjp(_: None, ct: Any, x: Any, y: Any, r: Any) -> Cotangents:
    return convolve_valid(ct, _reversed(y)), convolve_valid(ct, _reversed(x))


def _valid_vjp(_: None, ct: Any, x: Any, y: Any, r: Any) -> Cotangents:
    return convolve(ct, _reversed(y)), convolve_valid(_reversed(x), ct)


def _full_slots(writer: ScalarWriter, _: None, x: Slots, y: Slots) -> Slots:
    longer, shorter = (x, y) if len(x) >= len(y) else (y, x)
    total = np.zeros(len(x) + len(y) - 1, np.int64)
    for k, slot in enumerate(shorter):
        product = writer.emit(ops.multiply, longer, slot)
        # sums begin with the first product that reaches them
        begun = slice(k, k + len(longer) - 1) if k else slice(0, 0)
        n_begun = begun.stop - begun.start
        if n_begun:
            total[begun] = writer.emit(ops.add, total[begun], product[:n_begun])
        total[k + n_begun : k + len(longer)] = product[n_begun:]
    return total


def _valid_slots(writer: ScalarWriter, _: None, x: Slots, y: Slots) -> Slots:
    n = len(x) - len(y) + 1
    total: Slots | None = None
    for k, slot in enumerate(y[::-1]):
        product = writer.emit(ops.multiply, x[k : k + n], slot)
        total = product if total is None else writer.emit(ops.add, total, product)
    assert total is not None
    return total


convolve: ArrayOperation = array_operation(
    "convolve",
    _full_shape,
    lambda _, x, y: np.convolve(x, y),
    _full_vjp,
    lambda _, tangents, x, y, r: product_rule(convolve, tangents, x, y),
    scalar_code=_full_slots,
    scalar_cost=lambda _, x, y: 2 * x[0] * y[0],
)
# the second signal is not longer than the first one
convolve_valid: ArrayOperation = array_operation(
    "convolve_valid",
    _valid_shape,
    lambda _, x, y: np.convolve(x, y, "valid"),
    _valid_vjp,
    lambda _, tangents, x, y, r: product_rule(convolve_valid, tangents, x, y),
    scalar_code=_valid_slots,
    scalar_cost=lambda _, x, y: 2 * (x[0] - y[0] + 1) * y[0],
)
