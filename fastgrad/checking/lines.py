"""Where two recordings of one function part, and which lines of its code read what no recording sees."""

from __future__ import annotations

import builtins
import dis
import os
from collections.abc import Iterator, Mapping
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from fastgrad.tape import CONSTANT, Source, Tape

__all__ = ["outside_reads", "part_of_tapes"]

# what reads the clock, the environment, files or the operating system's random numbers: by module, its names
_OUTSIDE: dict[str, set[str]] = {
    "time": {"time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time"},
    "datetime": {"now", "today", "utcnow"},
    "os": {"environ", "getenv", "urandom", "getpid", "getcwd", "listdir", "stat", "times"},
    "posix": {"urandom", "getpid", "getcwd", "listdir", "stat", "times"},
    "secrets": {"token_bytes", "token_hex", "randbelow", "randbits", "choice"},
    "uuid": {"uuid1", "uuid4"},
    "io": {"open"},
    "builtins": {"open", "input"},
}


def part_of_tapes(one: Tape, other: Tape) -> tuple[int, str]:
    """The first node that differs, or that uses the first number or array that does, and the user's line of it."""
    for index in range(min(len(one), len(other))):
        if one.opcodes[index] != other.opcodes[index] or not np.array_equal(
            one.operands_of(index), other.operands_of(index)
        ):
            return index, _line(one, index)
        if one.opcodes[index] == CONSTANT:
            x, y = one.constant_of(index), other.constant_of(index)
            if x is not y and not np.array_equal(x, y, equal_nan=x.dtype.kind == y.dtype.kind == "f"):
                used = _first_use(one, index)
                return used, _line(one, used)
        elif one.attribute_of(index) != other.attribute_of(index):
            return index, _line(one, index)
    return len(one), ""


def _first_use(tape: Tape, node: int) -> int:
    uses = (index for index in range(node + 1, len(tape)) if node in tape.operands_of(index))
    return next(uses, node)


def _line(tape: Tape, index: int) -> str:
    source = int(tape.source_indices[index])
    return str(tape.sources[source]) if source >= 0 else ""


def outside_reads(code: CodeType, namespace: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the code reads of the outside world, such as ``time.time``, and at which line."""
    instructions = list(dis.get_instructions(code))
    for k, instruction in enumerate(instructions):
        name = instruction.argval
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME") and isinstance(name, str):
            value = namespace.get(name, getattr(builtins, name, None))
            attributes = [following.argval for following in instructions[k + 1 : k + 3]]
            read = _outside_read(name, value, attributes)
            if read:
                line = instruction.positions.lineno if instruction.positions else None
                yield read, str(Source(code.co_filename, line or code.co_firstlineno, code.co_name))


def _outside_read(name: str, value: Any, attributes: list[Any]) -> str:
    """The name of it; "" where looking this value up reads nothing outside."""
    if isinstance(value, (ModuleType, type)):
        module = value.__name__ if isinstance(value, ModuleType) else value.__module__
        read = [attribute for attribute in attributes if attribute in _OUTSIDE.get(module, ())]
        return f"{name}.{read[0]}" if read else ""
    if type(value) is type(os.environ):
        return name
    if getattr(value, "__name__", None) in _OUTSIDE.get(str(getattr(value, "__module__", None)), ()):
        return name
    return ""
