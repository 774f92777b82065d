"""Captured arrays as values of a recording.

What a definition rearranges or computes from a captured array with plain NumPy would be frozen; on the tape it is done
again whenever the tape runs, and sees what the array holds by then.
"""

from __future__ import annotations

from typing import Any

from fastgrad.recording.functions.conversions import recorded
from fastgrad.recording.functions.registry import as_array
from fastgrad.recording.recorded_array import recorder_of

__all__ = ["lifted"]


def lifted(*operands: Any) -> tuple[Any, ...]:
    """Operands, one of them recorded, as recorded arrays; None stays."""
    arrays = [None if operand is None else as_array(operand) for operand in operands]
    recorder = recorder_of(tuple(arrays))
    return tuple(None if array is None else recorded(array, recorder) for array in arrays)
