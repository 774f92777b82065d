"""Random numbers that a function draws while it is recorded: later calls repeat them, so its author is told.

The states of the generators that a function can reach are compared before and after: NumPy's and Python's global ones,
those among its arguments, and those that it sees around it. A generator that it makes for itself shows in none.
"""

from __future__ import annotations

import ctypes
import dis
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any

from fastgrad.errors import RecordingWarning, located
from fastgrad.recording.source import warn_user
from fastgrad.tape import Source

if TYPE_CHECKING:
    from fastgrad.calls import Call
    from fastgrad.recording.captured import Surroundings

__all__ = ["RandomStates", "warn_of_frozen"]

# of the Mersenne twister, as its documented address gives it: 624 words and the position among them
_MERSENNE_BYTES = 4 * 625


@dataclass(frozen=True)
class _Generator:
    """A generator, what to call it, and the names by which code may reach it."""

    label: str
    names: tuple[str, ...]
    state: Callable[[], Any]


class RandomStates:
    """The generators that a function can reach, and their states when this was made."""

    def __init__(self, surroundings: Surroundings, call: Call) -> None:
        self._before = [(generator, generator.state()) for generator in _generators(surroundings, call)]

    def drawn(self) -> list[_Generator]:
        """Those whose state has changed since."""
        return [generator for generator, before in self._before if generator.state() != before]


def warn_of_frozen(function: Callable[..., Any], drawn: Sequence[_Generator]) -> None:
    """Say that a recording holds random numbers from these generators."""
    name = getattr(function, "__name__", "the function")
    labels = " and ".join(generator.label for generator in drawn)
    happened = f"{name} drew random numbers while it was recorded, from {labels}"
    if threading.active_count() > 1:
        happened += ", unless another thread did"
    names = {name for generator in drawn for name in generator.names}
    message = located(
        f"{happened}; they are frozen: later calls use the same numbers",
        _line_that_names(function, names),
        "Draw them outside and pass them in as an argument.",
    )
    warn_user(message, RecordingWarning)


def _generators(surroundings: Surroundings, call: Call) -> Iterator[_Generator]:
    kinds: list[type] = []
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        kinds += [numpy_random.Generator, numpy_random.RandomState]
        legacy = numpy_random.mtrand._rand
        yield _Generator("NumPy's global generator", ("random",), lambda: _state(legacy))
    python_random = sys.modules.get("random")
    if python_random is not None:
        kinds.append(python_random.Random)
        shared = python_random.random.__self__
        yield _Generator("Python's module random", ("random",), lambda: _state(shared))
    if not kinds:
        return
    for argument in call.arguments:
        for leaf in argument.leaves:
            if isinstance(leaf.original, tuple(kinds)):
                yield _Generator(f"the generator in argument {argument.key!r}", (), _reader(leaf.original))
    for place, value in surroundings.everything():
        if isinstance(value, tuple(kinds)):
            yield _Generator(f"the generator in {place.label}", (place.name,), _reader(value))


def _reader(generator: Any) -> Callable[[], Any]:
    return lambda: _state(generator)


def _state(generator: Any) -> Any:
    """Something that changes when numbers are drawn, read in a microsecond or a few."""
    if hasattr(generator, "getstate"):
        _, words, normal = generator.getstate()
        return words[0], words[-1], normal
    bits = generator._bit_generator if hasattr(generator, "_bit_generator") else generator.bit_generator
    if type(bits).__name__ == "MT19937":
        return ctypes.string_at(bits.ctypes.state_address, _MERSENNE_BYTES)
    return str(bits.state)


def _line_that_names(function: Any, names: set[str]) -> str:
    """The first line of the function, or of functions inside it, that uses one of the names."""
    code = getattr(function, "__code__", None)
    for inner in _codes(code) if isinstance(code, CodeType) else ():
        for instruction in dis.get_instructions(inner):
            if instruction.argval in names and instruction.opname.startswith("LOAD"):
                line = instruction.positions.lineno if instruction.positions else None
                return str(Source(inner.co_filename, line or inner.co_firstlineno, inner.co_name))
    return ""


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
