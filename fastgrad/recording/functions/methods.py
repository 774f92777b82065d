"""Array methods that no NumPy function has the signature of."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.errors import LostDerivativeError, located
from fastgrad.recording.functions import elementwise, making, products, reductions  # noqa: F401 - whose functions are methods too
from fastgrad.recording.functions.registry import (
    FUNCTIONS,
    METHODS,
)
from fastgrad.recording.functions.shapes import numpy_reshape, ravel, transpose
from fastgrad.recording.indexing import getitem
from fastgrad.recording.recorded_array import RecordedArray, apply, copy_of
from fastgrad.recording.source import user_line


def _astype(x: RecordedArray, dtype: Any, *args: Any, **kwargs: Any) -> Any:
    kind = np.dtype(dtype)
    if kind == np.float64:
        return copy_of(x) if x.dtype == kind else apply(ops.multiply, (x, 1.0))
    if kind.kind == "b":
        return apply(ops.not_equal, (x, 0.0))
    if kind == np.int64 and x.dtype.kind in "biu":
        return apply(ops.add, (x, 0))
    raise LostDerivativeError(
        located(
            f"a recorded value was converted to {kind} by astype, which has no derivative",
            user_line(),
            "Use np.floor, np.trunc or np.round and keep it a float, or fastgrad.stop_gradient where it is meant.",
        )
    )


def _item(x: RecordedArray, *index: Any) -> Any:
    if x.size != 1 and not index:
        raise ValueError("can only convert an array of size 1 to a Python scalar")
    element = getitem(x, index) if len(index) > 1 else getitem(ravel(x), index[0] if index else 0)
    return {"b": bool, "i": int, "u": int}.get(x.dtype.kind, float)(element)


def _tolist(x: RecordedArray) -> Any:
    return x if x.ndim == 0 else [_tolist(row) for row in x]


def _reshape_method(x: RecordedArray, *shape: Any, order: str = "C", copy: Any = None) -> Any:
    return numpy_reshape(x, shape[0] if len(shape) == 1 else shape, order)


def _transpose_method(x: RecordedArray, *axes: Any) -> Any:
    return transpose(x, (axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes) if axes else None)


# these take what the functions of the same name take
_LIKE_FUNCTIONS = (
    "sum", "prod", "mean", "var", "std", "max", "min", "any", "all", "cumsum", "dot", "clip", "round", "swapaxes",
    "squeeze", "repeat", "take", "diagonal", "trace", "ravel",
)  # fmt: skip
METHODS |= {name: FUNCTIONS[getattr(np, name)] for name in _LIKE_FUNCTIONS}
METHODS |= {
    "reshape": _reshape_method,
    "flatten": lambda x, order="C": copy_of(ravel(x, order)),
    "transpose": _transpose_method,
    "copy": lambda x, order="C": copy_of(x),
    "conj": lambda x: x,
    "conjugate": lambda x: x,
    "astype": _astype,
    "item": _item,
    "tolist": _tolist,
}
