"""The table of array operations; see ``table`` for what an entry holds."""

# the order of these modules gives operations their codes
from fastgrad.array_ops.table import TABLE, ArrayOperation, ScalarWriter, Shape, Slots

from fastgrad.array_ops.movement import clear_slice, concatenate, gather, place, reshape, scatter_add, slice_, slices_of, transpose, update_slice  # isort: skip
from fastgrad.array_ops.reductions import broadcast_to, cumsum, max_, min_, sum_, sum_to_shape  # isort: skip
from fastgrad.array_ops.products import matmul  # isort: skip
from fastgrad.array_ops.order import argmax, argmin, argsort, bincount, lexsort, running_extremum, searchsorted, sort_positions  # isort: skip
from fastgrad.array_ops.running import cumprod, fmax, fmin, linear_recurrence, prod  # isort: skip

__all__ = [
    "TABLE",
    "ArrayOperation",
    "ScalarWriter",
    "Shape",
    "Slots",
    "argmax",
    "argmin",
    "argsort",
    "bincount",
    "broadcast_to",
    "clear_slice",
    "concatenate",
    "cumprod",
    "cumsum",
    "fmax",
    "fmin",
    "gather",
    "lexsort",
    "linear_recurrence",
    "matmul",
    "max_",
    "min_",
    "place",
    "prod",
    "reshape",
    "running_extremum",
    "scatter_add",
    "searchsorted",
    "slice_",
    "slices_of",
    "sort_positions",
    "sum_",
    "sum_to_shape",
    "transpose",
    "update_slice",
]
