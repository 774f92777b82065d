"""What asks for the shape of recorded values or makes arrays like them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgrad.recording.functions.registry import FUNCTIONS, implements
from fastgrad.recording.functions.shapes import broadcast_to
from fastgrad.recording.recorded_array import RecordedArray, copy_of, value_of

FUNCTIONS[np.real] = lambda val: val
FUNCTIONS[np.copy] = lambda a, order="K", subok=False: copy_of(a)
FUNCTIONS[np.zeros_like] = lambda a, *args, **kwargs: np.zeros_like(value_of(a), *args, **kwargs)
FUNCTIONS[np.ones_like] = lambda a, *args, **kwargs: np.ones_like(value_of(a), *args, **kwargs)
FUNCTIONS[np.empty_like] = lambda a, *args, **kwargs: np.empty_like(value_of(a), *args, **kwargs)
FUNCTIONS[np.shape] = lambda a: a.shape
FUNCTIONS[np.ndim] = lambda a: a.ndim
FUNCTIONS[np.size] = lambda a, axis=None: a.size if axis is None else a.shape[axis]
FUNCTIONS[np.iscomplexobj] = lambda x: False
FUNCTIONS[np.isrealobj] = lambda x: True


@implements(np.full_like)
def _full_like(a: Any, fill_value: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(fill_value, RecordedArray):
        return broadcast_to(fill_value, np.shape(value_of(a)))
    return np.full_like(value_of(a), fill_value, *args, **kwargs)
