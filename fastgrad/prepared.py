"""A derivative for arguments of fixed shapes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fastgrad.calls import Call
from fastgrad.errors import InputError
from fastgrad.recording.structures import flatten
from fastgrad.recordings import Recordings
from fastgrad.vm.fast_call import FastCalls, accelerate

__all__ = ["Prepared"]


class _Derivative(Protocol):
    _fast: FastCalls
    recordings: Recordings

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call: ...

    def evaluate(self, args: tuple[Any, ...], kwargs: dict[str, Any], seeds: Any) -> Any: ...


class Prepared:
    """A derivative for arguments of fixed shapes, with all checks done but those of shape and dtype."""

    __slots__ = ("__dict__", "__weakref__", "_fast")

    def __init__(self, derivative: _Derivative, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._derivative = derivative
        call = derivative.bind(args, kwargs)
        self._shapes = [array.shape for array in call.arrays]
        self._kwargs = tuple(kwargs)
        self._fast = FastCalls(type(self))
        for _ in range(2):  # the second time it is worth while to have the kernels answer
            self._evaluate(args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As the derivative itself. Raises InputError for arguments of other shapes."""
        self._check(args, kwargs)
        return self._evaluate(args, kwargs)

    def _evaluate(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._derivative.recordings.watch.called(self._fast.taken_answers())
        result = self._derivative.evaluate(args, kwargs, None)
        self._fast.set([entry for entry in self._derivative._fast.entries if entry.input_shapes == self._shapes])
        return result

    def into(self, *args: Any, **kwargs: Any) -> None:
        """Write the derivative at the leading arguments into the last one, ``out``, nested as the result would be.

        ``out`` holds float64 arrays of the results' shapes, strided or not. Raises InputError where they do not fit.
        """
        *given, out = args
        self._check(tuple(given), kwargs)
        result = self._evaluate(tuple(given), kwargs)
        targets, structure = flatten(out)
        leaves, expected = flatten(result)
        if structure != expected:
            raise InputError("out must be nested as the result is.")
        for target, leaf in zip(targets, leaves, strict=True):
            shape = np.shape(leaf)
            if not isinstance(target, np.ndarray) or target.shape != shape or target.dtype != np.float64:
                found = (
                    f"{target.dtype} of shape {target.shape}"
                    if isinstance(target, np.ndarray)
                    else type(target).__name__
                )
                raise InputError(f"out must be a float64 array of shape {shape}; it is {found}.")
            if not target.flags.writeable:
                raise InputError("out is read-only: pass an array that can be written to.")
            target[...] = leaf

    def _check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        shapes = [array.shape for array in self._derivative.bind(args, kwargs).arrays]
        if shapes != self._shapes:
            raise InputError(
                f"this was prepared for arguments of shapes {self._shapes}; these have shapes {shapes}. "
                "Prepare again, or call the derivative itself, which takes any."
            )


accelerate(Prepared)
