"""A training step as one tape: forward, mean loss, gradient and the optimiser's update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.api import record
from fastgrad.errors import InputError
from fastgrad.naming import group
from fastgrad.nn.losses import Loss
from fastgrad.nn.optimisers import Optimiser
from fastgrad.recording.replay import replay
from fastgrad.tape import Shape, Tape
from fastgrad.transform.adjoint import adjoint
from fastgrad.transform.batching import batched

if TYPE_CHECKING:
    from fastgrad.nn.network import Network

__all__ = ["TARGET", "gradient_tape", "loss_tape", "step_tape"]

Floats = NDArray[np.float64]
# the name of the input that a network's output is compared with
TARGET = "target"


def loss_tape(loss: Loss, output_shape: Shape, target_shape: Shape) -> Tape:
    """The tape of a loss for one example; its inputs are what the network gives and the target."""
    with np.errstate(all="ignore"):  # what the example holds means nothing
        tape = record(lambda prediction, target: loss(prediction, target), np.ones(output_shape), np.ones(target_shape))
    if tape.output_shapes != ((),):
        raise InputError(f"a loss gives one number for one example; this one gave shapes {tape.output_shapes}.")
    return replace(tape, input_names=("prediction", TARGET))


def gradient_tape(network: Network, loss: Tape, n: int, names: Sequence[str]) -> Tape:
    """The tape of the mean loss of ``n`` examples and its gradient by the parameters of these names.

    Its inputs are the target and those of the network's tape, with a leading axis for targets, examples and masks.
    """
    tape = network.tape
    varying = [0, *(1 + k for k, name in enumerate(tape.input_names) if name not in network.parameters)]

    def of_example(target: Any, *inputs: Any) -> Any:
        return replay(loss, [replay(tape, inputs)[0], target])[0]

    def of_batch(*inputs: Any) -> Any:
        return np.mean(replay(losses, inputs)[0])

    with np.errstate(all="ignore"):
        losses = batched(record(of_example, *map(np.ones, (loss.input_shapes[1], *tape.input_shapes))), varying, n)
        mean = record(of_batch, *map(np.ones, losses.input_shapes))
    mean = replace(mean, input_names=(TARGET, *tape.input_names))
    return adjoint(mean, [1 + tape.input_names.index(name) for name in names], 1, seeded=False)


def step_tape(gradient: Tape, optimiser: Optimiser, names: Sequence[str], clip_norm: float | None) -> Tape:
    """The tape of one step: inputs of ``gradient``, all that the optimiser keeps, the rate and the number of the step.

    Its outputs are the loss, the parameters of these names and what the optimiser keeps, after the step.
    """
    positions = [gradient.input_names.index(name) for name in names]
    kept = [[part.shape for part in optimiser.initial(np.zeros(gradient.input_shapes[k]))] for k in positions]
    n_inputs = len(gradient.inputs)

    def step(rate: Any, count: Any, *given: Any) -> Any:
        inputs, states = given[:n_inputs], iter(given[n_inputs:])
        loss, *gradients = replay(gradient, inputs)
        with group("update"):
            if clip_norm is not None:
                gradients = _clipped(gradients, clip_norm)
            parameters: list[Any] = []
            after: list[Any] = []
            for position, found, shapes in zip(positions, gradients, kept, strict=True):
                state = tuple(next(states) for _ in shapes)
                parameter, state = optimiser.update(inputs[position], found, state, rate, count)
                parameters.append(parameter)
                after.extend(state)
        return (loss, *parameters, *after)

    shapes = [*gradient.input_shapes, *(shape for of_parameter in kept for shape in of_parameter)]
    with np.errstate(all="ignore"):
        return record(step, 0.0, 1.0, *map(np.ones, shapes))


def _clipped(gradients: Sequence[Any], clip_norm: float) -> list[Any]:
    """All gradients scaled together so that their norm is at most ``clip_norm``."""
    squares = [np.sum(gradient * gradient) for gradient in gradients]
    norm = np.sqrt(sum(squares[1:], squares[0]))
    scale = clip_norm / np.maximum(norm, clip_norm)
    return [gradient * scale for gradient in gradients]
