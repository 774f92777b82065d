"""Kernels over the flat arrays of a tape, where NumPy has no operation for it. All arrays hold int64."""

from __future__ import annotations

from typing import Any

from fastgrad.vm.numba_kernel import INTEGER, INTEGERS, NOTHING, kernel


@kernel(NOTHING, INTEGER, INTEGERS, INTEGERS, INTEGERS)
def mark_needed(n: Any, starts: Any, operands: Any, needed: Any) -> None:
    """Spread the 1s in ``needed`` from nodes to what they are computed from; other numbers stay and stop it."""
    for back in range(n):
        node = n - 1 - back
        if needed[node] == 1:
            for position in range(starts[node], starts[node + 1]):
                if needed[operands[position]] == 0:
                    needed[operands[position]] = 1


@kernel(NOTHING, INTEGER, INTEGERS, INTEGERS, INTEGERS)
def mark_dependent(n: Any, starts: Any, operands: Any, dependent: Any) -> None:
    """Spread the 1s in ``dependent`` from nodes to all that are computed from them."""
    for node in range(n):
        for position in range(starts[node], starts[node + 1]):
            if dependent[operands[position]] != 0:
                dependent[node] = 1
