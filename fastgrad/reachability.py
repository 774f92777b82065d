"""Which nodes of a tape others are computed from, or go into: one pass over its flat arrays each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.vm.binary import kernels

__all__ = ["dependent_on", "needed_for"]

Mask = NDArray[np.bool_]


def needed_for(results: Iterable[Any], starts: NDArray[Any], operands: NDArray[Any], given: Iterable[int] = ()) -> Mask:
    """Which nodes these nodes (arrays of numbers) are computed from, themselves included.

    Node i has the operands ``operands[starts[i]:starts[i + 1]]``, all less than i. What the nodes ``given`` are
    computed from does not count for their sake; they are needed where others use them, or if they are results.
    """
    needed = np.zeros(len(starts) - 1, np.int64)
    for nodes in results:
        needed[nodes] = 1
    stops = np.array(list(given), np.int64)
    is_result = needed[stops] != 0
    needed[stops] = 2
    _run(kernels().mark_needed, starts, operands, needed)
    found: Mask = needed == 1
    if len(stops):
        lengths = np.diff(starts.astype(np.int64))
        uses = np.repeat(found, lengths)  # type: ignore[arg-type]
        found[stops] = is_result | np.isin(stops, operands[uses])
    return found


def dependent_on(nodes: Any, starts: NDArray[Any], operands: NDArray[Any]) -> Mask:
    """Which nodes are computed from any of these (an array of numbers), themselves included; arrays as above."""
    dependent = np.zeros(len(starts) - 1, np.int64)
    dependent[nodes] = 1
    _run(kernels().mark_dependent, starts, operands, dependent)
    found: Mask = dependent != 0
    return found


def _run(kernel: Any, starts: NDArray[Any], operands: NDArray[Any], marks: NDArray[np.int64]) -> None:
    starts, operands = np.ascontiguousarray(starts, np.int64), np.ascontiguousarray(operands, np.int64)
    kernel(len(marks), starts.ctypes.data, operands.ctypes.data, marks.ctypes.data)
