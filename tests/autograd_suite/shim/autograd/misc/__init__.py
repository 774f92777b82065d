"""Nested values as vectors; tracing a function into a graph is refused."""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

import autograd.core
from fastgrad.recording.structures import flatten as leaves_of

__all__ = ["const_graph", "flatten"]


def flatten(value: Any) -> tuple[Any, Callable[[Any], Any]]:
    """All numbers of a nested value in a vector, and the way back."""

    def vector(nested: Any) -> Any:
        return np.concatenate([np.zeros(0), *(np.ravel(leaf) for leaf in leaves_of(nested)[0])])

    unflatten, flat = autograd.core.make_vjp(vector, value)
    return flat, unflatten


def const_graph(function: Callable[..., Any], *args: Any, **kwargs: Any) -> NoReturn:
    raise NotImplementedError("fastgrad keeps recordings by itself; there is no const_graph")
