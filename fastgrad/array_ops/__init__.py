"""The table of array operations; see ``table`` for what an entry holds."""

# the order of these modules gives operations their codes
from fastgrad.array_ops.table import TABLE, ArrayOperation, ScalarWriter, Shape, Slots

from fastgrad.array_ops.movement import clear_slice, concatenate, gather, place, reshape, scatter_add, slice_, slices_of, transpose, update_slice  # isort: skip
from fastgrad.array_ops.reductions import broadcast_to, cumsum, max_, min_, sum_, sum_to_shape  # isort: skip
from fastgrad.array_ops.products import matmul  # isort: skip

__all__ = [
    "TABLE",
    "ArrayOperation",
    "ScalarWriter",
    "Shape",
    "Slots",
    "broadcast_to",
    "clear_slice",
    "concatenate",
    "cumsum",
    "gather",
    "matmul",
    "max_",
    "min_",
    "place",
    "reshape",
    "scatter_add",
    "slice_",
    "slices_of",
    "sum_",
    "sum_to_shape",
    "transpose",
    "update_slice",
]
