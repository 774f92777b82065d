"""Linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.recording.functions.reductions import sum_
from fastgrad.recording.functions.registry import (
    as_array,
    implements,
    unsupported,
)
from fastgrad.recording.recorded_array import apply


@implements(np.linalg.norm)
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if ord not in (None, 2, "fro") or (ord == 2 and as_array(x).ndim != 1 and axis is None):
        raise unsupported(f"np.linalg.norm with ord={ord!r}")
    return apply(ops.sqrt, (sum_(apply(ops.square, (x,)), axis, keepdims=keepdims),))
