"""Training on all examples at once with SciPy's L-BFGS-B (Byrd, Lu, Nocedal and Zhu, 1995)."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.nn.execution import runner
from fastgrad.nn.optimisers import LBFGS
from fastgrad.nn.step import TARGET, gradient_tape
from fastgrad.tape import Tape

if TYPE_CHECKING:
    from fastgrad.nn.network import Network

__all__ = ["FullBatch"]

Floats = NDArray[np.float64]
# how often a line search may ask for the loss, on average
FUNCTIONS_PER_ITERATION = 20


class FullBatch:
    """The trainer whose epochs are SciPy's iterations."""

    def __init__(self, network: Network, loss: Tape, inputs: Floats, targets: Floats, optimiser: LBFGS) -> None:
        self._network, self._names, self._optimiser = network, network.trainable, optimiser
        n = len(inputs)
        gradient = gradient_tape(network, loss, n, self._names)
        self._run = runner(gradient)
        self._order = gradient.input_names
        shapes = dict(zip(gradient.input_names, gradient.input_shapes, strict=True))
        masks = {name: np.ones(shapes[name]) for name in network.dropout}
        self._given = {TARGET: targets, network.input_name: inputs, **network.parameters, **masks}
        self._results = [np.zeros(()), *(np.empty(shapes[name]) for name in self._names)]
        self._point = np.concatenate([network.parameters[name].ravel() for name in self._names])

    @property
    def parameters(self) -> dict[str, Floats]:
        return {**self._network.parameters, **self._parts(self._point)}

    def _parts(self, point: Floats) -> dict[str, Floats]:
        shapes = [self._network.parameters[name].shape for name in self._names]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        return {
            name: np.ascontiguousarray(part.reshape(shape))
            for name, shape, part in zip(self._names, shapes, np.split(point, ends[:-1]), strict=True)
        }

    def train(self, epochs: int, after_epoch: Callable[[float], bool]) -> None:
        """At most so many iterations; ``after_epoch`` is told the loss after each, and whether to stop."""
        optimize = import_module("scipy.optimize")

        def after_iteration(intermediate_result: Any) -> None:
            self._point = np.array(intermediate_result.x)
            if after_epoch(float(intermediate_result.fun)):
                raise StopIteration

        found = optimize.minimize(
            self._value_and_gradient,
            self._point,
            jac=True,
            method="L-BFGS-B",
            callback=after_iteration,
            options={
                "maxiter": epochs,
                "maxfun": FUNCTIONS_PER_ITERATION * epochs,
                "maxcor": self._optimiser.history,
                "gtol": self._optimiser.tolerance,
                "ftol": 0.0,
            },
        )
        if not found.nit:  # where it begins there is nothing to gain
            after_epoch(float(found.fun))

    def _value_and_gradient(self, point: Floats) -> tuple[float, Floats]:
        given = {**self._given, **self._parts(point)}
        self._run([given[name] for name in self._order], self._results)
        return float(self._results[0]), np.concatenate([result.ravel() for result in self._results[1:]])
