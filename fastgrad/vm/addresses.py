"""Where an array's memory begins, in a tenth of the time that ``array.ctypes.data`` takes.

NumPy's binary interface fixes that an array object holds this address right after the object's head. Where that is not
so (other interpreters), the slow way is taken.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["address_of"]

_word_at = ctypes.c_int64.from_address
_HEAD = object.__basicsize__


def _fast(array: NDArray[Any]) -> int:
    return _word_at(id(array) + _HEAD).value


def _slow(array: NDArray[Any]) -> int:
    return int(array.ctypes.data)


def _fast_is_right() -> bool:
    if ctypes.sizeof(ctypes.c_void_p) != 8 or np.ndarray.__basicsize__ < _HEAD + 8:
        return False
    whole = np.arange(24.0).reshape(4, 6)
    return all(_fast(array) == _slow(array) for array in (whole, whole[1:, ::-2], whole.T, np.array(1.0), np.empty(0)))


address_of: Callable[[NDArray[Any]], int] = _fast if _fast_is_right() else _slow
