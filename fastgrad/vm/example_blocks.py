"""Some examples at once where that changes no bit: for tapes of small arrays on which one run costs more than its work.

Elementwise operations and moved elements give each example the same bits however many there are. Sums and products of
matrices need not (their order hangs on the shapes), so that tapes with these go example by example.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastgrad import array_ops, ops
from fastgrad.plan.request import Kind, Request
from fastgrad.tape import ARRAY_OPERATION, INPUT, Tape
from fastgrad.transform.batching import batched
from fastgrad.vm.array_executor import ArrayExecutor

__all__ = ["ExampleBlocks", "example_blocks"]

# Elements of the largest array of a block, measured in CONTRIBUTING.md (Decisions): the second cache has room for some.
BLOCK_ELEMENTS = 1 << 14


def example_blocks(tape: Tape, tier: str) -> ExampleBlocks | None:
    """What runs blocks of examples of this tape; None where examples have to be run alone, or are better."""
    size = max(map(math.prod, tape.shapes), default=1)
    n = BLOCK_ELEMENTS // max(size, 1)
    return ExampleBlocks(tape, n, tier) if n > 1 and not len(tape.guard_nodes) and _is_exact(tape) else None


class ExampleBlocks:
    """Executors of ``n`` examples at once, one for each choice of inputs that vary."""

    def __init__(self, tape: Tape, n: int, tier: str) -> None:
        self.n = n
        self._tape, self._tier = tape, tier
        self._executors: dict[tuple[bool, ...], ArrayExecutor | None] = {}

    def executor(self, varies: Sequence[bool]) -> ArrayExecutor | None:
        """What runs blocks whose inputs vary like this; None where their tape would be another for each size."""
        key = tuple(varies)
        if key not in self._executors:
            self._executors[key] = self._made(key)
        return self._executors[key]

    def _made(self, varies: tuple[bool, ...]) -> ArrayExecutor | None:
        tape = batched(self._tape, [position for position, flag in enumerate(varies) if flag], self.n)
        if _elementary(tape) != _elementary(self._tape):
            # simplified, by rules that may change the sign of a zero
            return None
        return ArrayExecutor(tape, Request(Kind.VALUES, n_outputs=len(tape.outputs)), self._tier)


def _is_exact(tape: Tape) -> bool:
    return all(
        code >= INPUT or code < len(ops.TABLE) or array_ops.TABLE[code - ARRAY_OPERATION].movement
        for code in set(tape.opcodes.tolist())
    )


def _elementary(tape: Tape) -> list[int]:
    return sorted(code for code in tape.opcodes.tolist() if code < len(ops.TABLE))
