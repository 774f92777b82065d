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
        if type(value) is np.ndarray:
            return (
                value.dtype is _FLOAT64
                and value.ndim == len(self.shape) + (self.axis is not None)
                and self._without_examples(value.shape) == self.shape
                and value.flags.aligned
                and (value.flags.c_contiguous if self.axis is None else not any(s % 8 for s in value.strides))
            )
        return self.axis is None and self.shape == () and type(value) in (float, np.float64)

    def _without_examples(self, shape: Shape) -> Shape:
        return shape if self.axis is None else shape[: self.axis] + shape[self.axis + 1 :]

    def rows(self, value: Any) -> tuple[NDArray[np.float64], bool]:
        if self.axis is None:
            return np.asarray(value, np.float64), False
        return (value if self.axis == 0 else np.moveaxis(value, self.axis, 0)), True
