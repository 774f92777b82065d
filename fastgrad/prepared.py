"""A derivative for arguments of fixed shapes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fastgrad.calls import Call
from fastgrad.errors import InputError
from fastgrad.recording.structures import flatten
from fastgrad.recordings import Recordings
from fastgrad.vm.fast_call import FastCalls, accelerate
from fastgrad.vm.memory import is_plain

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

    def bind(self, *args: Any) -> Bound:
        """``into`` with its arguments fixed: a callable without any, which reads the arrays as they are then.

        >>> import fastgrad as fg
        >>> x, out = np.array([1.0, 2.0]), np.empty(2)
        >>> update = fg.grad(lambda x: np.sum(x**3)).prepare(x).bind(x, out)
        >>> x[0] = 2.0
        >>> update()
        >>> out
        array([12., 12.])
        """
        return Bound(self, args)

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


class Bound:
    """``Prepared.into`` with fixed arguments."""

    __slots__ = ("__dict__", "__weakref__", "_fast")

    def __init__(self, prepared: Prepared, args: tuple[Any, ...]) -> None:
        self._prepared, self._args = prepared, args
        self._fast = FastCalls(type(self))
        self()

    def __call__(self) -> None:
        """Write the derivative at the arguments as they are now into ``out``."""
        self._prepared.into(*self._args)
        if self._fast.entries:
            for entry in self._fast.entries:
                entry.account()
        else:
            self._answer_without_python()

    def _answer_without_python(self) -> None:
        """Have the kernels answer, where they can take the arrays as they are."""
        *given, out = self._args
        targets, _ = flatten(out)
        arrays = [argument for argument in given if isinstance(argument, np.ndarray)]
        entries = self._prepared._fast.entries
        if len(entries) != 1 or len(arrays) != len(given) or not all(map(is_plain, [*arrays, *targets])):
            return
        bound = entries[0].bound_to(arrays, targets)
        if bound is not None:
            self._fast.set([bound])


accelerate(Prepared)
accelerate(Bound)
