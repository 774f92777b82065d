"""Whether calls lose references or memory."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["assert_nothing_is_lost"]


def assert_nothing_is_lost(calls: Callable[[int], None], n: int, watched: Sequence[Any]) -> None:
    """``calls(n)`` leaves the reference counts of ``watched`` and the memory in use as they are."""
    calls(1000)
    counts = [sys.getrefcount(value) for value in watched]
    tracemalloc.start()
    try:
        calls(100)
        size, _ = tracemalloc.get_traced_memory()
        calls(n)
        grown = tracemalloc.get_traced_memory()[0] - size
    finally:
        tracemalloc.stop()
    assert [sys.getrefcount(value) for value in watched] == counts
    assert grown < 2_000  # one pointer lost in each of 25,000 calls would be 200 kB
