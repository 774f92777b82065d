"""The table of array operations; see ``table`` for what an entry holds."""

# the order of these modules gives operations their codes
from fastgrad.array_ops.movement import (
    clear_slice,
    concatenate,
    gather,
    place,
    reshape,
    scatter_add,
    slice_,
    slices_of,
    transpose,
    update_slice,
)  # isort: skip
from fastgrad.array_ops.table import TABLE, ArrayOperation, ScalarWriter, Shape, Slots

from fastgrad.array_ops.reductions import broadcast_to, cumsum, max_, min_, sum_, sum_to_shape  # isort: skip
from fastgrad.array_ops.products import matmul  # isort: skip
from fastgrad.array_ops.order import argmax, argmin, argsort, bincount, lexsort  # isort: skip
from fastgrad.array_ops.order import running_extremum, searchsorted, sort_positions  # isort: skip
from fastgrad.array_ops.running import cumprod, fmax, fmin, linear_recurrence, prod  # isort: skip
from fastgrad.array_ops.linalg import (
    cofactor,
    cofactor_slope,
    det,
    det_sign,
    far_from_singular,
    inv,
    log_abs_det,
    solve,
    triangles,
)  # isort: skip

from fastgrad.array_ops.least_squares import lstsq, matrix_rank, pinv  # isort: skip
from fastgrad.array_ops.spectra import (  # isort: skip
    doubtful,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    reciprocals,
    tie_average,
    tied,
)
from fastgrad.array_ops.singular import svd, svdvals  # isort: skip
from fastgrad.array_ops.factorizations import cholesky, dependent, qr  # isort: skip
from fastgrad.array_ops.scipy_linalg import (  # isort: skip
    lu,
    lu_pivots,
    matrix_function,
    row_positions,
    solve_triangular,
    sylvester,
)
from fastgrad.array_ops.convolution import convolve, convolve_valid  # isort: skip
from fastgrad.array_ops.fourier import fft, irfft, rfft  # isort: skip
from fastgrad.array_ops import special, bessel, hypergeometric  # isort: skip
from fastgrad.array_ops.banded import solve_banded  # isort: skip

__all__ = [
    "TABLE",
    "ArrayOperation",
    "ScalarWriter",
    "Shape",
    "Slots",
    "argmax",
    "argmin",
    "argsort",
    "bessel",
    "bincount",
    "broadcast_to",
    "cholesky",
    "clear_slice",
    "cofactor",
    "cofactor_slope",
    "concatenate",
    "convolve",
    "convolve_valid",
    "cumprod",
    "cumsum",
    "dependent",
    "det",
    "det_sign",
    "doubtful",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "far_from_singular",
    "fft",
    "fmax",
    "fmin",
    "gather",
    "hypergeometric",
    "inv",
    "irfft",
    "lexsort",
    "linear_recurrence",
    "log_abs_det",
    "lstsq",
    "lu",
    "lu_pivots",
    "matmul",
    "matrix_function",
    "matrix_rank",
    "max_",
    "min_",
    "pinv",
    "place",
    "prod",
    "qr",
    "reciprocals",
    "reshape",
    "rfft",
    "row_positions",
    "running_extremum",
    "scatter_add",
    "searchsorted",
    "slice_",
    "slices_of",
    "solve",
    "solve_banded",
    "solve_triangular",
    "sort_positions",
    "special",
    "sum_",
    "sum_to_shape",
    "svd",
    "svdvals",
    "sylvester",
    "tie_average",
    "tied",
    "transpose",
    "triangles",
    "update_slice",
]
