"""Arguments of a batch that need nothing done to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Given"]

Shape = tuple[int, ...]
_FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True)
class Given:
    """A plain argument: its axis of examples (None: it is the same for all), and its shape without that."""

    axis: int | None
    shape: Shape

    def fits(self, value: Any) -> bool:
        # aligned memory has strides of whole numbers of float64
        if type(value) is not np.ndarray or value.dtype is not _FLOAT64 or not value.flags.aligned:
            return self.axis is None and self.shape == () and type(value) in (float, np.float64)
        if self.axis is None:
            return value.shape == self.shape and value.flags.c_contiguous
        shape = value.shape
        return len(shape) > len(self.shape) and shape[: self.axis] + shape[self.axis + 1 :] == self.shape

    def rows(self, value: Any) -> tuple[NDArray[np.float64], bool]:
        if self.axis is None:
            return np.asarray(value, np.float64), False
        return (value if self.axis == 0 else np.moveaxis(value, self.axis, 0)), True
