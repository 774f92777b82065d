"""Optimisers: how a parameter and what is kept for it change by a gradient, in plain NumPy.

``rate`` is a number or a function of the number of steps done (see ``schedules``). The update is recorded as part of a
training step's tape, so any object with ``rate``, ``initial`` and ``update`` will do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["LBFGS", "SGD", "Adam", "AdamW", "Optimiser", "Rate", "rate_at"]

Floats = NDArray[np.float64]
Rate = float | Callable[[int], float]


class Optimiser(Protocol):
    """What training asks of an optimiser."""

    @property
    def rate(self) -> Rate: ...

    def initial(self, parameter: Floats) -> tuple[Floats, ...]:
        """What is kept for a parameter, before the first step."""
        ...

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], rate: Any, step: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """The parameter and its state after a step; ``step`` counts from 1."""
        ...


def _without_subnormals(x: Any) -> Any:
    """``x``, rounded to multiples of 1e-286 where it is below 1e-270; other numbers keep their bits.

    What is kept of a unit that has died fades to subnormal numbers in 7,000 steps, with which processors take up to a
    hundred times as long: an epoch that takes 2.8 ms at first would take 4.6.
    """
    return (x + 1e-270) - 1e-270


def rate_at(rate: Rate, step: int) -> float:
    """The learning rate after so many steps."""
    return float(rate(step)) if callable(rate) else float(rate)


@dataclass(frozen=True)
class SGD:
    """Gradient descent, with momentum (Polyak) or Nesterov's form of it, and decay of the weights."""

    rate: Rate = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def initial(self, parameter: Floats) -> tuple[Floats, ...]:
        return (np.zeros_like(parameter),) if self.momentum else ()

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], rate: Any, step: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        if not self.momentum:
            return parameter - rate * gradient, ()
        velocity = _without_subnormals(self.momentum * state[0]) + gradient
        direction = gradient + self.momentum * velocity if self.nesterov else velocity
        return parameter - rate * direction, (velocity,)


@dataclass(frozen=True)
class Adam:
    """Adaptive moments (Kingma and Ba, 2015)."""

    rate: Rate = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def initial(self, parameter: Floats) -> tuple[Floats, ...]:
        return np.zeros_like(parameter), np.zeros_like(parameter)

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], rate: Any, step: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        mean, square = state
        mean = _without_subnormals(self.beta1 * mean) + (1.0 - self.beta1) * gradient
        square = self.beta2 * square + (1.0 - self.beta2) * (gradient * gradient)
        # the corrections of both biases, as scalars
        root = np.sqrt(1.0 - self.beta2**step)
        scaled = rate * root / (1.0 - self.beta1**step)
        return parameter - scaled * mean / (np.sqrt(square) + self.epsilon * root), (mean, square)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decay of the weights that the gradient's scale does not touch (Loshchilov and Hutter, 2019)."""

    weight_decay: float = 0.01

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], rate: Any, step: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        decayed = parameter - rate * self.weight_decay * parameter
        return super().update(decayed, gradient, state, rate, step)


@dataclass(frozen=True)
class LBFGS:
    """SciPy's L-BFGS-B on all examples at once; an epoch is an iteration. Needs the extra ``scipy``."""

    history: int = 10
    tolerance: float = 1e-8
