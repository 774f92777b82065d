"""What is to become machine code: a sweep, where its inputs come from, and where its results go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.plan.sweep import Sweep
from fastgrad.vm import instructions as isa

__all__ = ["Edge", "Instruction", "NotNativeError", "Place", "Result", "Routine", "Seed", "decoded", "edges_of"]


class NotNativeError(Exception):
    """What native code is not made for; the VM goes on. The message says what it is."""


@dataclass(frozen=True)
class Instruction:
    """One instruction or guard of a program: the slots that it writes (the result, then partials) and reads."""

    opcode: int
    written: tuple[int, ...]
    read: tuple[int, ...]
    # of a guard
    number: int = -1


@dataclass(frozen=True)
class Edge:
    """``adjoint[target] += adjoint[source] * memory[partial]`` in one of the sweeps."""

    sweep: int
    target: int
    source: int
    partial: int


@dataclass(frozen=True)
class Place:
    """A number in the caller's memory: an element behind the address in a record of a table of the job, or a row."""

    table: str
    record: int
    element: int = 0
    # the same number for every lane
    uniform: bool = False


@dataclass(frozen=True)
class Seed:
    """What an adjoint of a sweep starts from: a number known beforehand, or one at a place."""

    sweep: int
    adjoint: int
    # which of the derivatives that are swept together
    column: int
    value: float
    place: Place | None


@dataclass(frozen=True)
class Result:
    """A number to write: the value in a slot (sweep -1), or an adjoint after a sweep."""

    sweep: int
    position: int
    column: int
    place: Place


@dataclass(frozen=True)
class Routine:
    """``inputs`` gives the place of every slot that the caller fills. ``width`` derivatives are swept together."""

    sweep: Sweep
    tangent: bool
    n_sweeps: int
    width: int
    inputs: dict[int, Place]
    seeds: tuple[Seed, ...]
    results: tuple[Result, ...]


def decoded(words: NDArray[np.uint32]) -> Iterator[Instruction]:
    """The instructions of a program, in order."""
    flat = words.tolist()
    n_operands, n_computed, n_words = isa.N_OPERANDS.tolist(), isa.N_COMPUTED.tolist(), isa.N_WORDS.tolist()
    at = 0
    while (opcode := flat[at]) != isa.END:
        if opcode >= isa.GUARD:
            yield Instruction(opcode, (), (flat[at + 2], flat[at + 3]), flat[at + 1])
        else:
            first = at + 2
            last = first + n_operands[opcode]
            computed = flat[last : last + n_computed[opcode]]
            yield Instruction(opcode, (flat[at + 1], *computed), tuple(flat[first:last]))
        at += n_words[opcode]


def edges_of(routine: Routine) -> Iterator[Edge]:
    """The edges of all sweeps in their order, without those that carry nothing because no seed reaches them."""
    rows: Sequence[Any] = routine.sweep.edges.tolist()
    for sweep in range(routine.n_sweeps):
        reached = {seed.adjoint for seed in routine.seeds if seed.sweep == sweep}
        for i, a, d in reversed(rows) if routine.tangent else rows:
            source, target = (a, i) if routine.tangent else (i, a)
            if source in reached:
                reached.add(target)
                yield Edge(sweep, target, source, d)
