"""The table of array operations; see ``table`` for what an entry holds.

Operations that few programs need are in modules that load when one of them is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
)
from fastgrad.array_ops.products import matmul
from fastgrad.array_ops.reductions import broadcast_to, cumsum, max_, min_, sum_, sum_to_shape
from fastgrad.array_ops.table import TABLE, ArrayOperation, ScalarWriter, Shape, Slots, all_operations

if TYPE_CHECKING:
    from fastgrad.array_ops.banded import solve_banded
    from fastgrad.array_ops.convolution import convolve, convolve_valid
    from fastgrad.array_ops.factorizations import cholesky, dependent, qr
    from fastgrad.array_ops.fourier import fft, irfft, rfft
    from fastgrad.array_ops.least_squares import lstsq, matrix_rank, pinv
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
    )
    from fastgrad.array_ops.order import (
        argmax,
        argmin,
        argsort,
        bincount,
        lexsort,
        running_extremum,
        searchsorted,
        sort_positions,
    )
    from fastgrad.array_ops.running import cumprod, fmax, fmin, linear_recurrence, prod
    from fastgrad.array_ops.scipy_linalg import (
        lu,
        lu_pivots,
        matrix_function,
        row_positions,
        solve_triangular,
        sylvester,
    )
    from fastgrad.array_ops.singular import svd, svdvals
    from fastgrad.array_ops.spectra import doubtful, eig, eigh, eigvals, eigvalsh, reciprocals, tie_average, tied

_LATE = {
    "order": "argmax argmin argsort bincount lexsort running_extremum searchsorted sort_positions",
    "running": "cumprod fmax fmin linear_recurrence prod",
    "linalg": "cofactor cofactor_slope det det_sign far_from_singular inv log_abs_det solve triangles",
    "least_squares": "lstsq matrix_rank pinv",
    "spectra": "doubtful eig eigh eigvals eigvalsh reciprocals tie_average tied",
    "singular": "svd svdvals",
    "factorizations": "cholesky dependent qr",
    "scipy_linalg": "lu lu_pivots matrix_function row_positions solve_triangular sylvester",
    "banded": "solve_banded",
    "bits": "bitwise",
    "convolution": "convolve convolve_valid",
    "fourier": "fft irfft rfft",
}
_HOMES = {name: module for module, names in _LATE.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


__all__ = [
    "TABLE",
    "ArrayOperation",
    "ScalarWriter",
    "Shape",
    "Slots",
    "all_operations",
    "argmax",
    "argmin",
    "argsort",
    "bincount",
    "bitwise",
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
