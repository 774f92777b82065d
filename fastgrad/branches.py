"""One recording of a function: its tape, and what is made of it.

A *signature* (nesting, shapes, static values, what the function sees around it) has one or more *branches*: one tape
for each way that the function's control flow has gone. Each checks its guards as it runs. If none fits, the function is
recorded again and the new branch is kept beside the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from fastgrad.native.tier import Tier
from fastgrad.plan.request import Request, result_shapes
from fastgrad.plan.scalar_program import ScalarProgram, scalar_cost, scalar_program
from fastgrad.recording.structures import Structure
from fastgrad.tape import Tape
from fastgrad.transform.adjoint import adjoint
from fastgrad.vm.array_executor import ArrayExecutor
from fastgrad.vm.batch_executor import BatchExecutor
from fastgrad.vm.example_blocks import example_blocks
from fastgrad.vm.example_loop import ExampleLoop
from fastgrad.vm.scalar_executor import ScalarExecutor
from fastgrad.vm.wiring import Wiring

Floats = NDArray[np.float64]

# Instructions up to which a tape of arrays runs as straight-line scalar code, measured in CONTRIBUTING.md (Decisions);
# beyond it, up to how many instructions for each scalar node.
SCALAR_LIMIT = 3_000
SCALAR_SHARE = 4
_numbers = count(1)


class Executor(Protocol):
    """What runs a request: fills result arrays, returns the first failed guard or -1."""

    result_shapes: tuple[tuple[int, ...], ...]
    # about what a run takes in the VM
    nanoseconds: float
    tier: Tier

    @property
    def workspace_bytes(self) -> int: ...

    def __call__(self, inputs: Sequence[Floats], seeds: Sequence[Floats], results: Sequence[Floats]) -> int: ...

    def allocate(self) -> list[Floats]: ...

    def wiring(self) -> Wiring | None: ...


@dataclass(frozen=True)
class OutputLeaf:
    """One leaf of a function's result: a recorded output of this dtype, or something that is returned as it is."""

    dtype: np.dtype[Any] | None
    static: Any = None


@dataclass(eq=False)
class Branch:
    """One recording, and what has been made of it so far."""

    tape: Tape
    structure: Structure
    leaves: tuple[OutputLeaf, ...]
    aux_structure: Structure | None
    aux_leaves: tuple[OutputLeaf, ...]
    kept: Any
    record_seconds: float
    # the function writes into one of several arrays that it is given, so they must not share memory
    needs_separate_arguments: bool = False
    # what the function saw around it when this was recorded; None if that changed meanwhile
    fingerprint: Hashable = None
    # tells this branch from all others, also when it is gone
    number: int = field(default_factory=lambda: next(_numbers))
    _made: dict[Any, Any] = field(default_factory=dict)
    _divergences: WeakKeyDictionary[Branch, int] = field(default_factory=WeakKeyDictionary)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def n_main_outputs(self) -> int:
        """Leading outputs of the tape that are differentiated; the rest are auxiliary."""
        return sum(leaf.dtype is not None for leaf in self.leaves)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What was made for this key, which is made now if that is the first time."""
        found = self._made.get(key)
        if found is None:
            with self._lock:
                found = self._made.get(key)
                if found is None:
                    found = self._made[key] = make()
        return found

    def gradient_tape(self, wrt: tuple[int, ...]) -> Tape:
        """The tape whose outputs are this one's and its gradient."""

        def make() -> Tape:
            return adjoint(self.tape, wrt, self.n_main_outputs, seeded=False)

        return self.once(("gradient", wrt), make)  # type: ignore[no-any-return]

    def tape_for(self, order: int, wrt: tuple[int, ...]) -> Tape:
        """The recorded tape (order 0), or the gradient and the auxiliary outputs (order 1)."""
        if order == 0:
            return self.tape
        derived = self.gradient_tape(wrt)
        n_values = len(self.tape.outputs)
        return derived.with_outputs([*range(n_values, len(derived.outputs)), *range(self.n_main_outputs, n_values)])

    def program(self, order: int, wrt: tuple[int, ...]) -> ScalarProgram | None:
        """The scalar program of a tape; None where the tape is one of large arrays."""

        def make() -> tuple[ScalarProgram | None]:
            tape = self.tape_for(order, wrt)
            return (scalar_program(tape) if is_scalar_code(self.tape) else None,)

        return self.once(("program", order, wrt), make)[0]  # type: ignore[no-any-return]

    def executor(self, order: int, request: Request, wrt: tuple[int, ...], tier: str = "vm") -> Executor:
        """What runs ``request`` on the tape of that order, in the VM or, as ``tier`` says, in machine code."""

        def make() -> Executor:
            tape = self.tape_for(order, wrt)
            program = self.program(order, wrt)
            if program is None:
                return ArrayExecutor(tape, request, tier)
            shapes = result_shapes(tape.output_shapes, tape.input_shapes, request)
            return ScalarExecutor(program, request, shapes, tier)

        return self.once(("executor", order, request, wrt, tier), make)  # type: ignore[no-any-return]

    def batch_executor(
        self, order: int, request: Request, wrt: tuple[int, ...], tier: str = "vm"
    ) -> BatchExecutor | ExampleLoop:
        """What runs ``request`` over many examples: in lanes, or one by one where the tape is one of large arrays."""

        def make() -> BatchExecutor | ExampleLoop:
            program = self.program(order, wrt)
            if program is None:
                executor = self.executor(order, request, wrt, tier)
                assert isinstance(executor, ArrayExecutor)
                blocks = None if executor.tape is None else example_blocks(executor.tape, tier)
                return ExampleLoop(executor, blocks)
            return BatchExecutor(program, request, self.tape.input_shapes, tier)

        return self.once(("batch", order, request, wrt, tier), make)  # type: ignore[no-any-return]

    def divergence(self, other: Branch) -> int:
        """The first guard whose outcome differs from that in another branch of the same signature.

        It is -1 where there is no such guard, as when the function takes decisions that no guard shows.
        """
        found = self._divergences.get(other)
        if found is None:
            found = self._divergences[other] = _divergence(self.tape, other.tape)
        return found

    def diverges_later(self, other: Branch, guard: int) -> bool:
        """Whether the other branch has this guard with the same outcome."""
        return self.divergence(other) > guard

    def guard_line(self, guard: int) -> str:
        """The user's line of a guard."""
        return str(self.tape.guard_source_of(guard) or "")

    def without_guards(self) -> Branch:
        """This branch for an input that it was just recorded on.

        Its guards can still fail there, where a comparison hangs on the last bit of a value and NumPy and the VM differ
        in it; the recording itself then says which way is right.
        """

        def make() -> Branch:
            none = np.zeros(0, np.uint32)
            tape = replace(self.tape, guard_nodes=none, guard_values=np.zeros(0), guard_sources=np.zeros(0, np.int32))
            return replace(self, tape=tape, _made={}, _divergences=WeakKeyDictionary(), _lock=threading.RLock())

        return self.once("unguarded", make)  # type: ignore[no-any-return]


def _divergence(tape: Tape, other: Tape) -> int:
    n = min(len(tape.guard_nodes), len(other.guard_nodes))
    x, y = tape.guard_values[:n], other.guard_values[:n]
    differ = (tape.guard_nodes[:n] != other.guard_nodes[:n]) | ((x != y) & ((x == x) | (y == y)))
    if not differ.any():
        return -1
    first = int(differ.argmax())
    return first if tape.guard_nodes[first] == other.guard_nodes[first] else -1


def is_scalar_code(tape: Tape) -> bool:
    """Whether a tape is better run as straight-line scalar code than array by array."""
    cost = scalar_cost(tape)
    return cost <= SCALAR_LIMIT or cost <= SCALAR_SHARE * _n_scalar_nodes(tape)


def _n_scalar_nodes(tape: Tape) -> int:
    scalar = np.array([shape == () for shape in tape.shapes])
    return int(scalar[tape.shape_indices].sum())


__all__ = [
    "Branch",
    "Executor",
    "OutputLeaf",
    "is_scalar_code",
]
