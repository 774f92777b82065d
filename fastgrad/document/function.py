"""A tape as a function of NumPy arrays."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.branches import Branch, Executor
from fastgrad.config import resolve_tier
from fastgrad.errors import InputError, located
from fastgrad.plan.request import Kind, Request
from fastgrad.recording.recorded_array import RecordedArray, means_more_than_its_data, normal_operand
from fastgrad.recording.recorder import innermost_recorder
from fastgrad.recording.replay import in_floats, replay
from fastgrad.recording.structures import BARE
from fastgrad.tape import Shape, Tape
from fastgrad.tape_names import input_names, output_names, suggestion

__all__ = ["TapeFunction"]

Floats = NDArray[np.float64]


class TapeFunction:
    """What ``Tape.to_function`` returns; a tape that is called does the same.

    On arrays and numbers the tape is run; on values that are being recorded its operations are recorded, so that
    derivatives of the function, or of one that calls it, are as those of the recorded one. Functions can be pickled.
    """

    _changes_no_recording = True  # of a function that calls it; see ``recording.captured``

    def __init__(self, tape: Tape, as_dict: bool = False) -> None:
        self.tape = tape
        self.as_dict = as_dict
        self.parameters = tuple(input_names(tape))
        self._shapes = tape.input_shapes
        self._positions = {name: position for position, name in enumerate(self.parameters)}
        # a branch of its own has the executors of a recorded function, machine code for those often called included
        self._branch = Branch(tape, BARE, (), None, (), None, 0.0)
        signature = _signature(self.parameters)
        if signature is not None:
            self.__signature__ = signature

    def __repr__(self) -> str:
        return f"<function of {repr(self.tape)[1:-1]}>"

    def __reduce__(self) -> Any:
        return TapeFunction, (self.tape, self.as_dict)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """The outputs for these inputs, in order or by name: an array, or a tuple (a dict) of arrays.

        Raises InputError where an input is missing or does not fit, or takes a branch that was not recorded.
        """
        values = [_unwrapped(value) for value in self._in_order(args, kwargs)]
        arrays = [
            _array(value, name, shape) for value, name, shape in zip(values, self.parameters, self._shapes, strict=True)
        ]
        if any(type(value) is RecordedArray for value in values):
            if len(self.tape.guard_nodes):
                self._run(arrays)  # which checks the guards
            # arrays enter by reference, so that a later change of what they hold is seen
            operands = [
                in_floats(value) if isinstance(value, np.ndarray) or type(value) is RecordedArray else array[()]
                for value, array in zip(values, arrays, strict=True)
            ]
            return self._packed([in_floats(result) for result in replay(self.tape, operands)])
        return self._packed([result[()] for result in self._run(arrays)])

    def _in_order(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        names = self.parameters
        if len(args) > len(names):
            raise InputError(f"the tape has {_count(len(names), 'input')}; it was given {len(args)} by position.")
        if not kwargs and len(args) == len(names):
            return list(args)
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in self._positions:
                remedy = suggestion(name, names, f"Its inputs are {', '.join(map(repr, names))}.")
                raise InputError(f"the tape has no input named {name!r}. {remedy}")
            if name in given:
                raise InputError(f"input {name!r} is given twice, by position and by name.")
            given[name] = value
        missing = [name for name in names if name not in given]
        if missing:
            raise InputError(
                f"the tape's {_count(len(missing), 'input')} {', '.join(map(repr, missing))} must be given."
            )
        return [given[name] for name in names]

    def _run(self, arrays: Sequence[Floats]) -> list[Floats]:
        executor = self._executor()
        results = executor.allocate()
        failed = executor(arrays, (), results)
        if failed >= 0:
            raise InputError(
                located(
                    "for these inputs the function takes another way than the recorded one, which the tape holds",
                    self._branch.guard_line(failed),
                    "Record the function at these inputs, fastgrad.record(function, *inputs), for a tape of that way.",
                )
            )
        return results

    def _executor(self) -> Executor:
        tier = resolve_tier(None)
        return self._branch.once(("call", tier), lambda: self._branch.executor(0, Request(Kind.VALUES), (), tier))  # type: ignore[no-any-return]

    def _packed(self, results: list[Any]) -> Any:
        if self.as_dict:
            return dict(zip(output_names(self.tape), results, strict=True))
        return results[0] if len(results) == 1 else tuple(results)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _signature(names: Sequence[str]) -> inspect.Signature | None:
    """The signature with these parameters, or None where names are not ones that Python allows."""
    if not all(name.isidentifier() and not keyword.iskeyword(name) for name in names):
        return None
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature([inspect.Parameter(name, kind) for name in names])


def _unwrapped(value: Any) -> Any:
    """What may hold recorded values (lists, and arrays made in a recording) as a recorded or a plain array."""
    if type(value) is float or type(value) is RecordedArray:
        return value
    if hasattr(value, "recorded_form"):
        return normal_operand(value)
    is_nested = isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype.kind == "O")
    return normal_operand(value) if is_nested and innermost_recorder() is not None else value


def _array(value: Any, name: str, shape: Shape) -> Floats:
    """The content of an input as a float64 array in C order."""
    if type(value) is float and shape == ():
        return np.array(value)
    if means_more_than_its_data(value):
        raise InputError(
            f"input {name!r} is a {type(value).__name__}, whose mask or own arithmetic a tape would lose. Pass a plain "
            "array (np.asarray)."
        )
    array = np.asarray(value.value if type(value) is RecordedArray else value)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise InputError(
            f"input {name!r} is an array of {array.dtype}; a tape takes real numbers (float64, or what converts to it)."
        )
    if array.shape != shape:
        raise InputError(
            f"input {name!r} has shape {array.shape}; the tape was recorded for shape {shape}. "
            "Record the function at inputs of these shapes, or use fastgrad.vmap for many inputs at once."
        )
    return np.asarray(array, np.float64, order="C")
