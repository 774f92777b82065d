"""What this processor can do at most, measured in the same run: operations and bytes in a second."""

from functools import cache

import numpy as np
from by_hand import ByHand
from comparison import fastest

# operations that an elementary function takes in fastgrad's own arithmetic, a multiply-add being two
EXP, LOG, LOG1P, SIN, TANH, NORMAL_DISTRIBUTION = 35, 54, 70, 52, 59, 141
SHORTEST_ADD = 48_000  # bytes


class Limits:
    """The peaks of one thread."""

    def __init__(self, by_hand: ByHand) -> None:
        peak = by_hand.bound("peak")
        self.flops = by_hand.peak_operations / fastest({"peak": peak}, 0.3)["peak"] if peak else None

    @classmethod
    def seconds_to_move(cls, traffic: int) -> float:
        """How long these bytes take at the rate of a NumPy add of as many, or of enough to hide its call."""
        enough = max(traffic, SHORTEST_ADD)
        return cls.seconds_for(enough) * traffic / enough

    @staticmethod
    @cache
    def seconds_for(traffic: int) -> float:
        """How long NumPy takes to add two arrays into a third where this many bytes are read and written in all."""
        x, y, out = np.ones((3, max(traffic // 24, 1)))
        return fastest({"add": lambda: np.add(x, y, out=out)}, 0.3, samples=20)["add"]

    def shares(self, seconds: float, flops: float | None, traffic: int | None) -> dict[str, float]:
        """Which part of the peaks work reaches that does so many operations and moves so many bytes."""
        shares = {}
        if flops is not None and self.flops is not None:
            shares["of peak flops"] = flops / seconds / self.flops
        if traffic is not None:
            shares["of bandwidth"] = self.seconds_to_move(traffic) / seconds
        return shares

    def __str__(self) -> str:
        parts = [f"{self.flops / 1e9:.0f} Gflop/s in multiply-adds"] if self.flops else []
        parts += [f"{traffic / self.seconds_for(traffic) / 1e9:.0f} GB/s in a NumPy add of {traffic / 1e6:g} MB"
                  for traffic in (SHORTEST_ADD, 24_000_000)]  # fmt: skip
        return ", ".join(parts)
