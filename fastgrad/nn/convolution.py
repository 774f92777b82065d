"""Convolutions and pooling over one or two axes; channels are the last axis.

The windows are put together from as many strided slices as a window has places, so that a convolution is one product of
matrices and a maximum is one of slices.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from fastgrad.errors import InputError
from fastgrad.nn.building import Layer
from fastgrad.nn.initialisers import Initialiser, glorot_uniform, zeros
from fastgrad.nn.layers import activated, require_positive

__all__ = ["AveragePool1D", "AveragePool2D", "Conv1D", "Conv2D", "MaxPool1D", "MaxPool2D"]


def _lengths(value: int | tuple[int, ...], n_axes: int, layer: Layer, what: str) -> tuple[int, ...]:
    """One length for each axis."""
    lengths = (value,) * n_axes if isinstance(value, int) else tuple(value)
    if len(lengths) != n_axes:
        raise InputError(f"{type(layer).__name__} takes {n_axes} numbers for {what}, not {value!r}.")
    require_positive(layer, **{what: min(lengths)})
    return lengths


def _checked(layer: Layer, x: Any, n_axes: int) -> None:
    if len(x.shape) != n_axes + 1:
        axes = "(length, channels)" if n_axes == 1 else "(height, width, channels)"
        raise InputError(f"{type(layer).__name__} takes an example of shape {axes}; it got {x.shape}.")


def _padding(lengths: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...]) -> list[tuple[int, int]]:
    """Zeros before and behind each axis, so that there is a window for every stride begun."""
    missing = [
        max((math.ceil(n / step) - 1) * step + size - n, 0)
        for n, size, step in zip(lengths, window, stride, strict=True)
    ]
    return [(total // 2, total - total // 2) for total in missing]


def _slices(layer: Layer, x: Any, window: tuple[int, ...], stride: tuple[int, ...]) -> list[Any]:
    """For each place in the window, what all windows have there."""
    counts = [(n - size) // step + 1 for n, size, step in zip(x.shape, window, stride, strict=False)]
    if min(counts) < 1:
        raise InputError(f"{type(layer).__name__} has the window {window}, longer than what it got: {x.shape}.")
    return [
        x[tuple(slice(k, k + (n - 1) * step + 1, step) for k, n, step in zip(place, counts, stride, strict=True))]
        for place in itertools.product(*map(range, window))
    ]


@dataclass(frozen=True, eq=False)
class _Convolution(Layer):
    filters: int
    kernel_size: int | tuple[int, ...]
    strides: int | tuple[int, ...] = 1
    padding: str = "valid"
    activation: Callable[[Any], Any] | None = None
    use_bias: bool = True
    kernel: Initialiser = glorot_uniform
    bias: Initialiser = zeros
    name: str | None = field(default=None, kw_only=True)
    n_axes: ClassVar[int]

    def __post_init__(self) -> None:
        require_positive(self, filters=self.filters)
        if self.padding not in ("valid", "same"):
            raise InputError(f"padding is 'valid' or 'same', not {self.padding!r}.")

    def apply(self, x: Any) -> Any:
        _checked(self, x, self.n_axes)
        window = _lengths(self.kernel_size, self.n_axes, self, "kernel_size")
        stride = _lengths(self.strides, self.n_axes, self, "strides")
        n_channels = x.shape[-1]
        kernel = self.parameter("kernel", (*window, n_channels, self.filters), self.kernel)
        if self.padding == "same":
            x = np.pad(x, [*_padding(x.shape[:-1], window, stride), (0, 0)])
        columns = np.concatenate(_slices(self, x, window, stride), axis=-1)
        result = columns @ np.reshape(kernel, (math.prod(window) * n_channels, self.filters))
        if self.use_bias:
            result = result + self.parameter("bias", (self.filters,), self.bias)
        return activated(result, self.activation)


class Conv1D(_Convolution):
    """A convolution (as networks have it, a correlation) over the first axis of ``(length, channels)``.

    Gives ``(places, filters)``: a place for each whole window at ``strides`` apart (``padding="valid"``), or for each
    stride begun, with zeros around (``"same"``). Its parameters are ``kernel``, of shape ``(kernel_size, channels,
    filters)``, and ``bias``; the activation is a layer ``activation`` within this one. Raises InputError for sizes
    below 1, for examples with other axes and for windows that are longer than these.
    """

    n_axes = 1


class Conv2D(_Convolution):
    """A convolution (as networks have it, a correlation) over the first two axes of ``(height, width, channels)``.

    As :class:`Conv1D`, with one size and one stride for both axes or one for each.
    """

    n_axes = 2


@dataclass(frozen=True, eq=False)
class _Pool(Layer):
    pool_size: int | tuple[int, ...] = 2
    strides: int | tuple[int, ...] | None = None
    name: str | None = field(default=None, kw_only=True)
    n_axes: ClassVar[int]

    def windows(self, x: Any) -> list[Any]:
        _checked(self, x, self.n_axes)
        size = _lengths(self.pool_size, self.n_axes, self, "pool_size")
        stride = size if self.strides is None else _lengths(self.strides, self.n_axes, self, "strides")
        return _slices(self, x, size, stride)


class _MaxPool(_Pool):
    def apply(self, x: Any) -> Any:
        return functools.reduce(np.maximum, self.windows(x))


class _AveragePool(_Pool):
    def apply(self, x: Any) -> Any:
        windows = self.windows(x)
        return sum(windows[1:], windows[0]) / len(windows)


class MaxPool1D(_MaxPool):
    """The largest element of each window over the first axis of ``(length, channels)``, for each channel.

    Windows are ``strides`` apart, without it side by side; what is left over at the end is dropped. Raises InputError
    as :class:`Conv1D`.
    """

    n_axes = 1


class MaxPool2D(_MaxPool):
    """The largest element of each window over the first two axes, otherwise as :class:`MaxPool1D`."""

    n_axes = 2


class AveragePool1D(_AveragePool):
    """The mean of each window over the first axis, otherwise as :class:`MaxPool1D`."""

    n_axes = 1


class AveragePool2D(_AveragePool):
    """The mean of each window over the first two axes, otherwise as :class:`MaxPool1D`."""

    n_axes = 2
