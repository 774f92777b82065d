"""Layers: parts of a network that hold parameters, called on the value of one example.

An example has no batch axis: a vector ``(n,)``, a sequence ``(length, channels)``, an image ``(height, width,
channels)``. Parameters have the names and shapes that Keras gives them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastgrad import array_ops
from fastgrad.errors import InputError
from fastgrad.nn.building import Layer
from fastgrad.nn.initialisers import Initialiser, glorot_uniform, ones, truncated_normal, zeros
from fastgrad.recording.recorded_array import apply_array

__all__ = ["Activation", "Dense", "Dropout", "Embedding", "Flatten", "LayerNorm", "Reshape", "Residual", "Sequential"]

Function = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Activation(Layer):
    """A function of arrays as a layer, so that it can be found in the network and replaced."""

    function: Function
    name: str | None = field(default=None, kw_only=True)

    def apply(self, x: Any) -> Any:
        return self.function(x)


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """``activation(x @ kernel + bias)`` over the last axis, which becomes ``units`` long.

    Its parameters are ``kernel``, of shape ``(last axis, units)``, and ``bias``; the activation is a layer
    ``activation`` within this one. Raises InputError for ``units`` below 1 and for examples that are single numbers.
    """

    units: int
    activation: Function | None = None
    use_bias: bool = True
    kernel: Initialiser = glorot_uniform
    bias: Initialiser = zeros
    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        require_positive(self, units=self.units)

    def apply(self, x: Any) -> Any:
        if not x.shape:
            raise InputError(f"Dense takes arrays with at least one axis; it got shape {x.shape}.")
        result = x @ self.parameter("kernel", (x.shape[-1], self.units), self.kernel)
        if self.use_bias:
            result = result + self.parameter("bias", (self.units,), self.bias)
        return activated(result, self.activation)


def activated(x: Any, activation: Function | None) -> Any:
    """The activation, as a layer of its own within the one that is being recorded."""
    return x if activation is None else Activation(activation)(x)


def require_positive(layer: Layer, **sizes: int) -> None:
    """Raise InputError for sizes of a layer that are not whole numbers above 0."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise InputError(f"{type(layer).__name__} takes a positive whole number for {name}, not {size!r}.")


@dataclass(frozen=True, eq=False)
class Flatten(Layer):
    """The example as a vector."""

    name: str | None = field(default=None, kw_only=True)

    def apply(self, x: Any) -> Any:
        return np.reshape(x, (-1,))


@dataclass(frozen=True, eq=False)
class Reshape(Layer):
    """The example in another shape of the same size."""

    shape: tuple[int, ...]
    name: str | None = field(default=None, kw_only=True)

    def apply(self, x: Any) -> Any:
        return np.reshape(x, self.shape)


@dataclass(frozen=True, eq=False)
class LayerNorm(Layer):
    """The last axis shifted and scaled to mean 0 and variance 1, then by parameters (Ba, Kiros and Hinton, 2016).

    These are ``gamma`` and ``beta``, as long as that axis; ``epsilon`` is added to the variance.
    """

    epsilon: float = 1e-6
    name: str | None = field(default=None, kw_only=True)

    def apply(self, x: Any) -> Any:
        size = (x.shape[-1],)
        centred = x - np.mean(x, axis=-1, keepdims=True)
        variance = np.mean(centred * centred, axis=-1, keepdims=True)
        scaled = centred / np.sqrt(variance + self.epsilon)
        return scaled * self.parameter("gamma", size, ones) + self.parameter("beta", size, zeros)


@dataclass(frozen=True, eq=False)
class Embedding(Layer):
    """A row of a table for each element, a whole number from 0 to ``n_rows - 1``; others are an IndexError."""

    n_rows: int
    width: int
    table: Initialiser = truncated_normal
    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        require_positive(self, n_rows=self.n_rows, width=self.width)

    def apply(self, x: Any) -> Any:
        table = self.parameter("table", (self.n_rows, self.width), self.table)
        rows = np.expand_dims(x, -1)
        # a row that the table does not have becomes one beyond its end, which NumPy refuses
        exists = (rows >= 0.0) & (rows < self.n_rows) & (rows == np.floor(rows))
        rows = np.where(exists, rows, float(self.n_rows))
        positions = rows * float(self.width) + np.arange(float(self.width))
        return apply_array(array_ops.gather, (table, positions), None)


@dataclass(frozen=True, eq=False)
class Dropout(Layer):
    """In training each element is 0 with probability ``rate``, else divided by ``1 - rate``; otherwise nothing changes.

    The factors are an input of the network's tape, drawn by ``fit`` from its seed (Srivastava et al., 2014).
    """

    rate: float
    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate < 1.0:
            raise InputError(f"Dropout takes a rate from 0 up to, but not including, 1, not {self.rate!r}.")

    def apply(self, x: Any) -> Any:
        return x * self._building().mask(x.shape, float(self.rate))


@dataclass(frozen=True, eq=False)
class Residual(Layer):
    """``x + function(x)``, where the function is a layer or any function of layers."""

    function: Function
    name: str | None = field(default=None, kw_only=True)

    def apply(self, x: Any) -> Any:
        result = self.function(x)
        if result.shape != x.shape:
            raise InputError(f"Residual needs a function that keeps the shape {x.shape}; it gave {result.shape}.")
        return x + result


@dataclass(frozen=True, eq=False, init=False)
class Sequential(Layer):
    """Layers and functions one after the other, in a group of their own."""

    layers: tuple[Function, ...]
    name: str | None = field(default=None, kw_only=True)

    def __init__(self, *layers: Function, name: str | None = None) -> None:
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "name", name)

    def apply(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


def opened(function: Function) -> Function:
    """What a whole network, or its head, is made of: a ``Sequential`` without a name is no group there."""
    return function.apply if isinstance(function, Sequential) and function.name is None else function
