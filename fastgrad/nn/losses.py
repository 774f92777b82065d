"""Losses of one example, and metrics of many.

A loss takes what the network gives for one example and the example's target, and returns a number; any function that
does so is one. Training takes the mean over examples. Targets are not differentiated. A metric takes the predictions
and targets of many examples, as arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.errors import InputError
from fastgrad.nn.activations import shifted, softplus

__all__ = [
    "Loss",
    "Metric",
    "absolute_error",
    "accuracy",
    "binary_accuracy",
    "binary_cross_entropy",
    "check_targets",
    "cross_entropy",
    "huber",
    "mean_absolute_error",
    "mean_squared_error",
    "squared_error",
]

Loss = Callable[[Any, Any], Any]
Metric = Callable[[NDArray[Any], NDArray[Any]], float]


def cross_entropy(logits: Any, label: Any) -> Any:
    """Minus the log-probability of a label, a whole number, by the softmax of the logits.

    Classes are on the last axis of ``logits``; where there are other axes, ``label`` has them and the mean is taken.

    >>> round(float(cross_entropy(np.array([0.0, 0.0]), 1)), 4)
    0.6931
    """
    below = shifted(logits)
    chosen = np.arange(float(logits.shape[-1])) == np.expand_dims(label, -1)
    losses = np.log(np.sum(np.exp(below), axis=-1)) - np.sum(np.where(chosen, below, 0.0), axis=-1)
    return np.mean(losses) if losses.ndim else losses


def binary_cross_entropy(logits: Any, target: Any) -> Any:
    """Minus the log-probability of targets between 0 and 1 by the sigmoid of the logits; the mean over elements.

    >>> round(float(binary_cross_entropy(np.array([0.0]), np.array([1.0]))), 4)
    0.6931
    """
    return np.mean(softplus(logits) - target * logits)


def squared_error(prediction: Any, target: Any) -> Any:
    """The mean of the squared differences."""
    return np.mean((prediction - target) ** 2)


def absolute_error(prediction: Any, target: Any) -> Any:
    """The mean of the absolute differences."""
    return np.mean(np.abs(prediction - target))


def huber(prediction: Any, target: Any, delta: float = 1.0) -> Any:
    """Half the square of differences up to ``delta``, beyond it a line of that slope; the mean (Huber, 1964)."""
    distance = np.abs(prediction - target)
    inner = np.minimum(distance, delta)
    return np.mean(inner * (distance - 0.5 * inner))


def accuracy(predictions: NDArray[Any], targets: NDArray[Any]) -> float:
    """The share of labels that have the largest logit."""
    return float(np.mean(np.argmax(predictions, axis=-1) == targets))


def binary_accuracy(logits: NDArray[Any], targets: NDArray[Any]) -> float:
    """The share of targets, 0 or 1, that have the logit's sign."""
    return float(np.mean((logits > 0.0) == (targets > 0.5)))


def mean_squared_error(predictions: NDArray[Any], targets: NDArray[Any]) -> float:
    """The mean of the squared differences."""
    return float(squared_error(predictions, targets))


def mean_absolute_error(predictions: NDArray[Any], targets: NDArray[Any]) -> float:
    """The mean of the absolute differences."""
    return float(absolute_error(predictions, targets))


def check_targets(loss: Loss, targets: NDArray[Any], output_shape: tuple[int, ...]) -> None:
    """Raise InputError where targets of many examples do not fit a loss of this module; others check themselves."""
    shape = targets.shape[1:]
    if loss is cross_entropy:
        if not output_shape or shape != output_shape[:-1]:
            raise InputError(
                f"cross_entropy takes a label of shape {output_shape[:-1]} for each output of shape {output_shape}; "
                f"the labels of an example have shape {shape}."
            )
        n_classes = output_shape[-1]
        wrong = (targets < 0) | (targets >= n_classes) | (targets != np.floor(targets))
        if wrong.any():
            raise InputError(
                f"labels must be whole numbers from 0 to {n_classes - 1}, for the network has {n_classes} outputs; "
                f"example {int(np.argwhere(wrong)[0][0])} has {targets[wrong][0]}."
            )
    elif loss in (binary_cross_entropy, squared_error, absolute_error, huber):
        if shape != output_shape:
            raise InputError(
                f"{loss.__name__} takes targets of the outputs' shape {output_shape}; those of an example have shape "
                f"{shape}."
            )
        if loss is binary_cross_entropy and ((targets < 0) | (targets > 1)).any():
            raise InputError("binary_cross_entropy takes targets from 0 to 1.")
