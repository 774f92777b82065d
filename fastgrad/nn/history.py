"""What happened while a network was trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["History"]


@dataclass(frozen=True, eq=False)
class History(Mapping[str, NDArray[np.float64]]):
    """One array for each quantity, with one number for each epoch: ``loss``, ``val_loss``, ``val_accuracy``, ...

    ``best_epoch`` (from 0) is the one whose parameters the trained network has.
    """

    values_by_name: Mapping[str, NDArray[np.float64]]
    best_epoch: int

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.items() if len(values))
        return f"<History of {len(self['loss'])} epochs: {last}>"

    def plot(self, axes: Any = None) -> Any:
        """Draw all quantities over the epochs and return Matplotlib's axes. Needs the extra ``nn``."""
        if axes is None:
            from matplotlib import pyplot

            _, axes = pyplot.subplots()
        for name, values in self.items():
            axes.plot(np.arange(1, len(values) + 1), values, label=name)
        axes.set_xlabel("epoch")
        axes.legend()
        return axes
