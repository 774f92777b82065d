"""Learning rates as functions of the number of steps done."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["cosine_decay", "exponential_decay", "warm_up"]


def cosine_decay(rate: float, n_steps: int, last: float = 0.0) -> Callable[[int], float]:
    """From ``rate`` to ``last`` along half a cosine in ``n_steps`` steps, then ``last`` (Loshchilov and Hutter, 2017).

    >>> cosine_decay(1.0, 10)(5)
    0.5
    """
    return lambda step: last + (rate - last) * 0.5 * (1.0 + math.cos(math.pi * min(step / n_steps, 1.0)))


def exponential_decay(rate: float, n_steps: int, factor: float) -> Callable[[int], float]:
    """``rate`` times ``factor`` for every ``n_steps`` steps.

    >>> exponential_decay(1.0, 10, 0.5)(20)
    0.25
    """
    return lambda step: rate * factor ** (step / n_steps)


def warm_up(n_steps: int, after: Callable[[int], float]) -> Callable[[int], float]:
    """A line from near 0 to the first rate of ``after`` in ``n_steps`` steps, then that schedule.

    >>> warm_up(4, cosine_decay(1.0, 10))(1)
    0.5
    """
    return lambda step: after(0) * (step + 1) / n_steps if step < n_steps else after(step - n_steps)
