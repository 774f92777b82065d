"""PyTorch under NumPy's names: what it has under the same name, with the arguments' spelling adapted, and no more.

Where PyTorch means something else by a name, it is the function that means what NumPy does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy
import torch

torch.set_default_dtype(torch.float64)

nan, inf, pi = numpy.nan, numpy.inf, numpy.pi
ndarray = torch.Tensor
newaxis = None


def array(values: Any, dtype: Any = None) -> Any:
    """A tensor; lists that hold tensors are stacked, which keeps their derivatives."""
    if isinstance(values, torch.Tensor):
        return values.clone()
    if isinstance(values, (list, tuple)) and any(_holds_a_tensor(value) for value in values):
        return torch.stack([_as_tensor(array(value)) for value in values])
    return torch.tensor(values, dtype=None if dtype in (None, float) else dtype)


def asarray(values: Any, dtype: Any = None) -> Any:
    return values if isinstance(values, torch.Tensor) else array(values, dtype)


def copy(x: Any) -> Any:
    return x.clone()


def max(x: Any, axis: int | None = None) -> Any:
    return torch.amax(x) if axis is None else torch.amax(x, axis)


def min(x: Any, axis: int | None = None) -> Any:
    return torch.amin(x) if axis is None else torch.amin(x, axis)


# PyTorch means something else by these names: the lower of two middle values, division by n - 1, values with positions


def median(x: Any) -> Any:
    return torch.quantile(x, 0.5)


def var(x: Any, axis: int | None = None) -> Any:
    return torch.var(x, axis, correction=0)


def std(x: Any, axis: int | None = None) -> Any:
    return torch.std(x, axis, correction=0)


def sort(x: Any, axis: int = -1) -> Any:
    return torch.sort(x, axis).values


def power(x: Any, y: Any) -> Any:
    return torch.pow(x, y)


def cumsum(x: Any, axis: int = 0) -> Any:
    return torch.cumsum(x, axis)


def cumprod(x: Any, axis: int = 0) -> Any:
    return torch.cumprod(x, axis)


def full(shape: Any, value: float) -> Any:
    return torch.full((shape,) if isinstance(shape, int) else shape, value)


def ndim(x: Any) -> int:
    return int(_as_tensor(x).ndim)


def shape(x: Any) -> tuple[int, ...]:
    return tuple(_as_tensor(x).shape)


def _holds_a_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor) or (
        isinstance(value, (list, tuple)) and any(_holds_a_tensor(item) for item in value)
    )


def _as_tensor(value: Any) -> Any:
    return value if isinstance(value, torch.Tensor) else torch.as_tensor(value)


def _adapted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of PyTorch that takes numbers, arrays and lists of either as NumPy's functions do."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError:
            # most functions of PyTorch take tensors only
            converted = [_as_tensor(x) if isinstance(x, (float, int, numpy.ndarray)) else x for x in args]
            converted = [array(x) if isinstance(x, list) else x for x in converted]
            return function(*converted, **kwargs)

    return call


class _LinearAlgebra:
    def __getattr__(self, name: str) -> Any:
        return _adapted(getattr(torch.linalg, name))

    def svd(self, x: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
        return torch.linalg.svd(x, full_matrices) if compute_uv else torch.linalg.svdvals(x)


linalg = _LinearAlgebra()
fft = torch.fft


def __getattr__(name: str) -> Any:
    if name == "select":
        raise AttributeError("torch.select takes one index along an axis; there is no choice by conditions")
    found = getattr(torch, name)
    return _adapted(found) if callable(found) and not isinstance(found, (type, torch.dtype)) else found


# ---- derivatives, by the usual way of tensors that require a gradient


def _leaf(x: Any) -> Any:
    """An argument to differentiate by; inside an outer derivative one that still depends on the outer argument."""
    if isinstance(x, torch.Tensor) and x.requires_grad:
        return x.clone()
    tensor = torch.tensor(numpy.array(x)) if not isinstance(x, torch.Tensor) else x.detach().clone()
    return tensor.requires_grad_()


def value_and_gradient(
    function: Callable[..., Any], args: tuple[Any, ...], argnums: tuple[int, ...], create_graph: bool = False
) -> tuple[Any, tuple[Any, ...]]:
    """The value, and the gradients by the arguments ``argnums``."""
    leaves = [
        _leaf(x) if number in argnums else torch.tensor(x) if isinstance(x, numpy.ndarray) else x
        for number, x in enumerate(args)
    ]
    value = _as_tensor(function(*leaves))
    by = [leaves[number] for number in argnums]
    return value, torch.autograd.grad(value, by, create_graph=create_graph, materialize_grads=True)


def grad(function: Callable[..., Any]) -> Callable[..., Any]:
    """What programs that take derivatives themselves call ``grad``."""
    return lambda x: value_and_gradient(function, (x,), (0,), create_graph=True)[1][0]


def hessian(function: Callable[..., Any], x: Any) -> Any:
    """Second derivatives by PyTorch's own function."""
    return torch.autograd.functional.hessian(function, torch.tensor(numpy.array(x)))
