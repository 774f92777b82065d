"""Random numbers that a function draws while it is recorded: later calls repeat them, so its author is told.

The states of the generators that a function can reach are compared before and after: NumPy's and Python's global ones,
those among its arguments, and those that it sees around it. A generator that it makes for itself shows in none.
"""

from __future__ import annotations

import ctypes
import dis
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from fastgrad.errors import RecordingWarning, located
from fastgrad.recording.source import warn_user
from fastgrad.tape import Source

if TYPE_CHECKING:
    from fastgrad.calls import Call
    from fastgrad.recording.captured import Place

__all__ = ["RandomStates", "codes_in", "generators", "likely_drawn", "line_that_names", "warn_of_frozen"]

# of the Mersenne twister, as its documented address gives it: 624 words and the position among them
_MERSENNE_BYTES = 4 * 625
# the position of one that has just been seeded
_UNUSED = 624


@dataclass(frozen=True)
class Generator:
    """A generator, what to call it, and the names by which code may reach it."""

    label: str
    names: tuple[str, ...]
    source: Any

    def state(self) -> Any:
        """Something that changes when numbers are drawn, read in a microsecond or a few."""
        source = self.source
        if hasattr(source, "getstate"):
            _, words, normal = source.getstate()
            return words[0], words[-1], normal
        bits = getattr(source, "bit_generator", None) or source._bit_generator
        if type(bits).__name__ == "MT19937":
            return ctypes.string_at(bits.ctypes.state_address, _MERSENNE_BYTES)
        return str(bits.state)

    def position(self) -> int:
        """How many words of its state a Mersenne twister has handed out since they were made."""
        source = self.source
        if hasattr(source, "getstate"):
            return int(source.getstate()[1][-1])
        return int(source.get_state(legacy=False)["state"].get("pos", _UNUSED))


class RandomStates:
    """The generators that a function can reach, and their states when this was made."""

    def __init__(self, seen: Sequence[tuple[Place, Any]], call: Call, parameters: Sequence[str]) -> None:
        """``seen`` is what the function sees around it."""
        self._before = [(generator, generator.state()) for generator in generators(seen, call, parameters)]

    def drawn(self) -> list[Generator]:
        """Those whose state has changed since, and those made since by an import that are not as they were made."""
        known = {id(generator.source) for generator, _ in self._before}
        new = [generator for generator in global_generators() if id(generator.source) not in known]
        changed = [generator for generator, before in self._before if generator.state() != before]
        return changed + [generator for generator in new if generator.position() != _UNUSED]


def likely_drawn(functions: Sequence[FunctionType], drawn: Sequence[Generator]) -> list[Generator]:
    """Those that these functions, rather than another thread, have drawn from.

    Event loops in threads of their own (Dask's clients and workers have them) draw from Python's module random all the
    time, so it counts beside other threads only where the functions name something of that module.
    """
    if threading.active_count() == 1:
        return list(drawn)
    return [
        generator
        for generator in drawn
        if not _is_pythons(generator) or line_that_names(functions, {"random", *sys.modules["random"].__all__})
    ]


def _is_pythons(generator: Generator) -> bool:
    python_random = sys.modules.get("random")
    return python_random is not None and generator.source is python_random.random.__self__


def warn_of_frozen(name: str, functions: Sequence[FunctionType], drawn: Sequence[Generator]) -> None:
    """Say that a recording of the function of that name, which calls these, holds numbers from these generators."""
    labels = " and ".join(generator.label for generator in drawn)
    happened = f"{name} drew random numbers while it was recorded, from {labels}"
    if threading.active_count() > 1:
        happened += ", unless another thread did"
    names = {name for generator in drawn for name in generator.names}
    message = located(
        f"{happened}; they are frozen: later calls use the same numbers",
        line_that_names(functions, names),
        "Draw them outside and pass them in as an argument.",
    )
    warn_user(message, RecordingWarning)


def global_generators() -> Iterator[Generator]:
    """NumPy's and Python's, which come with modules that NumPy itself loads when they are first asked for."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        yield Generator("NumPy's global generator", ("random",), numpy_random.mtrand._rand)
    python_random = sys.modules.get("random")
    if python_random is not None:
        yield Generator("Python's module random", ("random",), python_random.random.__self__)


def generators(seen: Sequence[tuple[Place, Any]], call: Call, parameters: Sequence[str]) -> Iterator[Generator]:
    """Those that a function can reach: global ones, among its arguments, and in what it sees around it."""
    yield from global_generators()
    kinds: set[type] = set()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        kinds |= {numpy_random.Generator, numpy_random.RandomState}
    python_random = sys.modules.get("random")
    if python_random is not None:
        kinds.add(python_random.Random)
    for argument in call.arguments:
        for leaf in argument.leaves:
            if type(leaf.original) in kinds:
                name = argument.name(parameters)
                yield Generator(f"the generator in argument {name}", (name,), leaf.original)
    for place, value in seen:
        if type(value) in kinds:
            yield Generator(f"the generator in {place.label}", (place.name,), value)


def line_that_names(functions: Sequence[FunctionType], names: set[str]) -> str:
    """The first line of the functions, or of those inside them, that uses one of the names."""
    for code in [code for function in functions for code in codes_in(function.__code__)]:
        for instruction in dis.get_instructions(code):
            if instruction.argval in names and instruction.opname.startswith("LOAD"):
                line = instruction.positions.lineno if instruction.positions else None
                return str(Source(code.co_filename, line or code.co_firstlineno, code.co_name))
    return ""


def codes_in(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of those written inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_in(constant)
