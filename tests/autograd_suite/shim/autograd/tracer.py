"""What tells recorded values from others."""

from typing import Any

from autograd.core import primitive
from fastgrad.recording.recorded_array import RecordedArray

__all__ = ["isbox", "primitive"]


def isbox(value: Any) -> bool:
    return isinstance(value, RecordedArray)
