"""Functions of other libraries under differentiation, ``fastgrad.interop.register``; their arrays; compiled callers.

Each library has a module of its own, which loads when it is first named: ``fastgrad.interop.dask`` for Dask arrays;
``numba``, ``c``, ``scipy`` and ``nutpie`` for calls from compiled code.

A function that knows none of NumPy's protocols (compiled code, most of SciPy) would drop a derivative, so it is refused
when a recorded value reaches it. ``register`` says what is to run in its place while a function is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np

from fastgrad.errors import InputError
from fastgrad.recording.functions.registry import FUNCTIONS, REGISTERED, UFUNCS

__all__ = ["register"]

Definition = TypeVar("Definition", bound=Callable[..., Any])


def register(function: Callable[..., Any]) -> Callable[[Definition], Definition]:
    """Give a function a definition that can be recorded; to be used as a decorator of the definition.

    While a function is being recorded, a call of ``function`` with a recorded value among its arguments calls the
    definition with the same arguments. It computes the same values with functions that fastgrad knows. Calls without
    recorded values, and those outside recordings, go to ``function`` itself. It is found under every name that a module
    has for it, and as a global or a closure variable of the recorded function.

        @fastgrad.interop.register(scipy.spatial.distance.euclidean)
        def euclidean(u, v):
            return np.sqrt(np.sum((u - v) ** 2))

    A NumPy function or ufunc may be registered too, and functions compiled by Numba, whose Python body is not run then.

    Raises InputError for what cannot be called.
    """
    if not callable(function):
        raise InputError(f"{function!r} cannot be called, so it cannot be registered. Give the function itself.")
    original = getattr(function, "stands_for", function)

    def remember(definition: Definition) -> Definition:
        if isinstance(original, np.ufunc):
            UFUNCS[original] = definition
        elif original in FUNCTIONS:
            FUNCTIONS[original] = definition
        else:
            REGISTERED[id(original)] = (original, definition)
        return definition

    return remember


def __getattr__(name: str) -> Any:
    if name.startswith("__") or find_spec(f"fastgrad.interop.{name}") is None:
        raise AttributeError(f"module 'fastgrad.interop' has no attribute {name!r}")
    return import_module(f"fastgrad.interop.{name}")
