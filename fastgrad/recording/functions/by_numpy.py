"""Definitions whose value, while it is recorded, is what NumPy itself gives, and whose errors are NumPy's own.

Sorting, statistics and searching are called seldom enough to be computed twice while recording: by NumPy, which checks
the arguments, warns, and gives the value with its dtype; and by the definition, in operations that can be recorded.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad.recording.functions.conversions import concrete, shown_as
from fastgrad.recording.functions.registry import FUNCTIONS, METHODS


def by_numpy(*functions: Any, method: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a definition of NumPy functions, which NumPy runs first on the values."""

    def register(definition: Callable[..., Any]) -> Callable[..., Any]:
        recorded = checked_by(functions[0], definition)
        FUNCTIONS.update(dict.fromkeys(functions, recorded))
        if method:
            METHODS[method] = recorded
        return recorded

    return register


def checked_by(function: Callable[..., Any], definition: Callable[..., Any]) -> Callable[..., Any]:
    """The definition, with NumPy's errors and shown values."""
    signature = inspect.signature(definition)

    @functools.wraps(definition)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        # the values themselves must stay in order
        given.arguments.pop("overwrite_input", None)
        value = function(*map(concrete, given.args), **{key: concrete(item) for key, item in given.kwargs.items()})
        with np.errstate(all="ignore"):
            return shown_as(definition(*given.args, **given.kwargs), value)

    return recorded
