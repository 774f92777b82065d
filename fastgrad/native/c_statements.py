"""The statements of a planned scalar program, and what of them repeats with slots at constant distances."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastgrad.vm import instructions as isa

__all__ = ["Check", "Instruction", "Loop", "Term", "decoded", "rolled"]

# statements that repeat together: an instruction or a term alone, the terms of an operation with two or three operands
PERIODS = (1, 2, 3)
# repetitions from which they become a loop; fewer are quicker in registers
LEAST_REPEATS = 32


@dataclass(frozen=True)
class Instruction:
    """One instruction of the VM and the slots that it is about."""

    opcode: int
    result: int
    operands: tuple[int, ...]
    partials: tuple[int, ...]

    @property
    def slots(self) -> tuple[int, ...]:
        return (self.result, *self.operands, *self.partials)


@dataclass(frozen=True)
class Check:
    """One guard: its number in the tape and the two slots that it compares."""

    opcode: int
    number: int
    slots: tuple[int, ...]


@dataclass(frozen=True)
class Term:
    """``adjoints[target] += adjoints[source] * memory[factor]``."""

    target: int
    source: int
    factor: int

    @property
    def slots(self) -> tuple[int, ...]:
        return (self.target, self.source, self.factor)


Statement = TypeVar("Statement", Instruction | Check, Term)


@dataclass(frozen=True)
class Loop(Generic[Statement]):
    """The statements of ``body``, ``count`` times, their slots moving on by ``strides``."""

    count: int
    body: tuple[Statement, ...]
    strides: tuple[tuple[int, ...], ...]

    def touched(self, statement: int, position: int) -> range:
        """What a slot of a statement of the body goes through."""
        first, stride = self.body[statement].slots[position], self.strides[statement][position]
        return range(first, first + self.count * stride, stride) if stride else range(first, first + 1)


def decoded(words: Sequence[int]) -> Iterator[Instruction | Check]:
    """What the words of a program say."""
    start = 0
    while words[start] != isa.END:
        opcode = words[start]
        if opcode >= isa.GUARD:
            yield Check(opcode, words[start + 1], (words[start + 2], words[start + 3]))
        else:
            first = start + 2 + int(isa.N_OPERANDS[opcode])
            end = start + int(isa.N_WORDS[opcode])
            yield Instruction(opcode, words[start + 1], tuple(words[start + 2 : first]), tuple(words[first:end]))
        start += int(isa.N_WORDS[opcode])


def rolled(
    statements: Sequence[Statement], kind_of: Callable[[Statement], Hashable]
) -> Iterator[Statement | Loop[Statement]]:
    """The statements in their order, repetitions as loops. Only statements of one kind, not None, repeat each other.

    Neighbouring loops stay apart: as one they are slower where they call functions, 1.7 times for exp, sin and log1p of
    1,000 numbers, and gain a fifth only where arrays leave the cache.
    """
    kinds = [kind_of(statement) for statement in statements]
    slots = [statement.slots for statement in statements]
    position = 0
    while position < len(statements):
        for period in PERIODS:
            count = _n_repeats(kinds, slots, position, period)
            if count >= LEAST_REPEATS:
                break
        else:
            yield statements[position]
            position += 1
            continue
        body = statements[position : position + period]
        strides = [_differences(slots, position + k, period) for k in range(period)]
        yield Loop(count, tuple(body), tuple(strides))
        position += count * period


def _differences(slots: Sequence[tuple[int, ...]], position: int, period: int) -> tuple[int, ...]:
    return tuple(y - x for x, y in zip(slots[position], slots[position + period], strict=True))


def _n_repeats(kinds: Sequence[Hashable], slots: Sequence[tuple[int, ...]], position: int, period: int) -> int:
    """How many times the next ``period`` statements stand there, one after the other."""
    if position + 2 * period > len(kinds) or any(kinds[position + k] is None for k in range(period)):
        return 1
    if kinds[position : position + period] != kinds[position + period : position + 2 * period]:
        return 1
    strides = [_differences(slots, position + k, period) for k in range(period)]
    end = position + period
    while end + period <= len(kinds) and all(
        kinds[end + k] == kinds[position + k] and _differences(slots, end + k - period, period) == strides[k]
        for k in range(period)
    ):
        end += period
    return (end - position) // period
