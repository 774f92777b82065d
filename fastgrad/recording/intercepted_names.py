"""The names of functions that stand-ins take the place of; see ``interception``."""

from __future__ import annotations

import numpy as np

__all__ = ["KNOWN_MODULES", "MAKERS", "OF_MODULES", "TAKERS", "UFUNCS_OF_LISTS"]

# NumPy's functions that make arrays of what knows no protocol
MAKERS = (
    "arange", "array", "asanyarray", "asarray", "asarray_chkfinite", "require", "ascontiguousarray",
    "asfortranarray", "concatenate", "concat", "copy", "diag", "diagflat", "empty", "empty_like", "eye", "full",
    "full_like", "geomspace", "hstack", "identity", "indices", "linspace", "logspace", "ones", "ones_like", "outer",
    "repeat", "stack", "tile", "tri", "tril", "triu", "vstack", "where", "zeros", "zeros_like", "column_stack",
    "dstack", "block", "meshgrid", "atleast_1d",
)  # fmt: skip
# those that take lists of recorded values, of which NumPy would make arrays of objects or of floats
TAKERS = (
    "allclose", "amax", "amin", "append", "argmax", "argmin", "argsort", "array_equal", "average", "bincount",
    "corrcoef", "count_nonzero", "cov", "cumprod", "cumsum", "diff", "digitize", "ediff1d", "histogram", "insert",
    "interp", "intersect1d", "isclose", "isin", "lexsort", "max", "mean", "median", "min", "nanmax", "nanmean",
    "nanmedian", "nanmin", "nanpercentile", "nanquantile", "nanstd", "nansum", "nanvar", "pad", "partition",
    "percentile", "piecewise", "polyint", "prod", "ptp", "quantile", "searchsorted", "select", "setdiff1d",
    "setxor1d", "sort", "std", "sum", "union1d", "unique", "var",
)  # fmt: skip
# functions of modules that take lists of recorded values; they make arrays of nothing else
OF_MODULES = {
    np: (
        "angle", "gradient", "histogram2d", "isneginf", "isposinf", "polydiv", "polyfit", "polymul", "sort_complex",
    ),
    np.linalg: (
        "cond", "det", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq", "matrix_norm", "matrix_rank", "norm",
        "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensorinv", "tensorsolve", "cholesky", "matrix_power",
        "multi_dot", "vector_norm",
    ),
    np.fft: (
        "fft", "fft2", "fftn", "hfft", "ifft", "ifft2", "ifftn", "ihfft", "irfft", "irfft2", "irfftn", "rfft", "rfft2",
        "rfftn",
    ),
}  # fmt: skip
# ufuncs that operators call, or of which NumPy's loops over objects compute what is meant: they need no stand-ins
_OF_OBJECTS = frozenset(
    {
        "absolute", "add", "bitwise_and", "bitwise_or", "bitwise_xor", "conjugate", "divide", "equal", "floor_divide",
        "greater", "greater_equal", "isnat", "left_shift", "less", "less_equal", "matmul", "matvec", "multiply",
        "negative", "not_equal", "positive", "power", "reciprocal", "remainder", "right_shift", "square", "subtract",
        "vecdot", "vecmat",
    }
)  # fmt: skip
UFUNCS_OF_LISTS = tuple([x for x in vars(np).values() if isinstance(x, np.ufunc) and x.__name__ not in _OF_OBJECTS])
# modules of packages that are left alone otherwise, in which names are replaced
KNOWN_MODULES = frozenset(
    {
        "numpy", "numpy.lib.stride_tricks", "numpy.linalg", "numpy.fft", "math", "statistics", "json", "ast",
        "scipy.special", "scipy.linalg",
    }
)  # fmt: skip
