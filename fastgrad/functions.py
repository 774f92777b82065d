"""The elementary functions that NumPy does not have, as functions of arrays and of recorded values.

They are read off ``ops.TABLE``: an operation that answers to ``fastgrad.<name>`` is ``fastgrad.<name>``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastgrad import ops
from fastgrad.recording.recorded_array import RecordedArray, apply, concrete

__all__ = ["NAMES", "function_named"]

_PREFIX = "fastgrad."
_OPERATIONS = {
    name.removeprefix(_PREFIX): operation
    for operation in ops.TABLE
    for name in operation.answers_to
    if name.startswith(_PREFIX)
}
NAMES = tuple(_OPERATIONS)


def function_named(name: str) -> Callable[..., Any]:
    """The function ``fastgrad.<name>``. Raises AttributeError."""
    operation = _OPERATIONS.get(name)
    if operation is None:
        raise AttributeError(f"module 'fastgrad' has no attribute {name!r}")

    def function(*operands: Any) -> Any:
        if len(operands) != operation.arity:
            raise TypeError(f"fastgrad.{name} takes {operation.arity} arguments; it got {len(operands)}.")
        if any(isinstance(operand, RecordedArray) for operand in operands):
            return apply(operation, operands)
        return concrete(operation)(*operands)

    function.__name__ = function.__qualname__ = name
    function.__module__ = "fastgrad"
    function.__doc__ = f"{operation.reference or operation.name}, element by element, on arrays that broadcast."
    return function
