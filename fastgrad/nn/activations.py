"""Activations: plain functions of arrays, safe where exponentials overflow."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgrad.api import stop_gradient
from fastgrad.functions import function_named

__all__ = ["elu", "gelu", "leaky_relu", "log_softmax", "relu", "sigmoid", "silu", "softmax", "softplus", "tanh"]

# sqrt(1 / 2), by which the argument of the error function is scaled to the normal distribution
_ROOT_HALF = 0.70710678118654752


def relu(x: Any) -> Any:
    """The positive part; its derivative at 0 is 0."""
    return np.where(x <= 0.0, 0.0, x)


def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """``x`` where it is positive, a fraction of it elsewhere."""
    return np.where(x > 0.0, x, slope * x)


def elu(x: Any) -> Any:
    """``x`` where it is positive, ``exp(x) - 1`` elsewhere."""
    return np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0)))


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return np.tanh(x)


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``."""
    return function_named("sigmoid")(x)


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``."""
    return function_named("softplus")(x)


def silu(x: Any) -> Any:
    """``x`` times its sigmoid, also called swish."""
    return x * sigmoid(x)


def gelu(x: Any) -> Any:
    """``x`` times the normal distribution function at ``x`` (Hendrycks and Gimpel, 2016), exact."""
    return 0.5 * x * (1.0 + function_named("erf")(x * _ROOT_HALF))


def softmax(x: Any) -> Any:
    """Exponentials divided by their sum over the last axis."""
    weights = np.exp(shifted(x))
    return weights / np.sum(weights, axis=-1, keepdims=True)


def log_softmax(x: Any) -> Any:
    """The logarithm of :func:`softmax`."""
    below = shifted(x)
    return below - np.log(np.sum(np.exp(below), axis=-1, keepdims=True))


def shifted(x: Any) -> Any:
    """``x`` less its maximum over the last axis, so that exponentials do not overflow.

    Where this is used the shift cancels, so the maximum takes no part in derivatives.
    """
    return x - stop_gradient(np.max(x, axis=-1, keepdims=True))
