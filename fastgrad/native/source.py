"""What native code is made from: a sweep and the records of a job for it, as plain arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.native.routine import Place, Result, Routine, Seed
from fastgrad.plan.sweep import Sweep
from fastgrad.vm import instructions as isa

if TYPE_CHECKING:
    from fastgrad.native.straight_line import Entry, Lanes, Scalar

__all__ = ["MAX_OPTIMISED", "MAX_OVER_LANES", "EntrySource", "Source", "digest_of", "is_long", "symbols_of"]

# LLVM instructions up to which code is optimised. Beyond it code for one evaluation is translated as it stands, by the
# quickest of LLVM's ways: 7.7 instead of 7.1 us for the gradient of 200 Runge-Kutta steps, in 0.4 instead of 6 s. Code
# over lanes, which that would make four times as slow, is optimised in any case.
MAX_OPTIMISED = 3_000
# Longer programs over the elements of arrays are left to the VM, which is as fast on them: straight code that is longer
# than the caches of instructions, and hundreds of rows that meet in the same sets of a cache, cost what registers gain.
# Batches, whose rows are longer and whose edges take the VM another pass, gain by a factor of three, but their compile
# time grows faster than they do: 0.8 s for 8,500 instructions, minutes for 40,000.
MAX_OVER_LANES = 2_000
MAX_IN_BATCHES = 12_000


@dataclass(frozen=True)
class Source:
    """A job of the VM without its addresses. Its records hold numbers (``INPUT`` ...) or rows (``INPUT_ROW`` ...)."""

    sweep: Sweep
    direction: int
    n_sweeps: int
    width: int
    inputs: NDArray[Any]
    seeds: NDArray[Any]
    outputs: NDArray[Any]

    @property
    def is_over_lanes(self) -> bool:
        return self.inputs.dtype == isa.INPUT_ROW

    @property
    def length(self) -> int:
        """LLVM instructions, about."""
        return 2 * self.sweep.n_instructions + 2 * len(self.sweep.edges) * self.n_sweeps + 2 * len(self.outputs)

    @property
    def form(self) -> type[Entry] | type[Lanes] | type[Scalar]:
        """What writes the code."""
        from fastgrad.native import straight_line

        return straight_line.Lanes if self.is_over_lanes else straight_line.Scalar

    @property
    def is_native(self) -> bool:
        """Whether there is code for it that the VM does not equal."""
        limit = MAX_IN_BATCHES if len(self.sweep.edges) else MAX_OVER_LANES
        return not self.is_over_lanes or self.length <= limit

    def update(self, digest: Any) -> None:
        """Add everything that the code hangs on to a digest."""
        digest.update(type(self).__name__.encode())
        numbers = [self.direction, self.n_sweeps, self.width, self.is_over_lanes]
        tables = [self.inputs, self.seeds, self.outputs]
        digest.update(np.array([*numbers, *map(len, tables), len(self.sweep.words), len(self.sweep.edges)]).tobytes())
        for array in (self.sweep.words, self.sweep.edges, self.sweep.numbers):
            digest.update(np.ascontiguousarray(array).tobytes())
        for table in tables:
            for name in table.dtype.names or ():
                if name not in ("address", "strides"):
                    digest.update(table[name].tobytes())

    def routine(self) -> Routine:
        return _routine_over_lanes(self) if self.is_over_lanes else _scalar_routine(self)


@dataclass(frozen=True)
class EntrySource(Source):
    """Code that stands alone. Of each row of seeds and outputs: the number of its array, and the first element there.

    The arrays of inputs are the tape's inputs, those that the program captures, and those of seeds.
    """

    seed_places: NDArray[np.int64]
    output_places: NDArray[np.int64]

    @property
    def form(self) -> type[Entry]:
        from fastgrad.native import straight_line

        return straight_line.Entry

    @property
    def workspace(self) -> int:
        """How many doubles the workspace must have at least."""
        return self.sweep.n_slots + self.sweep.n_adjoints * self.width

    @property
    def length(self) -> int:
        return 3 * super().length

    def update(self, digest: Any) -> None:
        super().update(digest)
        digest.update(self.seed_places.tobytes())
        digest.update(self.output_places.tobytes())

    def routine(self) -> Routine:
        made = super().routine()
        seeds = tuple(
            seed if seed.place is None else replace(seed, place=_at_array("inputs", self.seed_places, seed.place))
            for seed in made.seeds
        )
        results = tuple(
            replace(result, place=_at_array("outputs", self.output_places, result.place)) for result in made.results
        )
        return replace(made, seeds=seeds, results=results)


def _at_array(table: str, places: NDArray[np.int64], place: Place) -> Place:
    number, first = places[place.record].tolist()
    return Place(table, number, first + place.element)


def is_long(sources: Sequence[Source]) -> bool:
    """Whether all of them together are more than is optimised at leisure."""
    return sum(source.length for source in sources) > MAX_OPTIMISED


def symbols_of(sources: Sequence[Source]) -> list[str]:
    """The names of the functions made from sources."""
    return [f"fastgrad.native.{k}" for k in range(len(sources))]


def digest_of(sources: Sequence[Source], *more: str) -> str:
    """A hash of sources, and of what else the code hangs on."""
    digest = hashlib.blake2b(repr(more).encode(), digest_size=20)
    for source in sources:
        source.update(digest)
    return digest.hexdigest()


def _scalar_routine(source: Source) -> Routine:
    inputs: dict[int, Place] = {}
    for k, (first, count) in enumerate(zip(*_columns(source.inputs, "position", "count"), strict=True)):
        inputs.update((first + j, Place("inputs", k, j)) for j in range(count))
    seeds: list[Seed] = []
    columns = _columns(source.seeds, "sweep", "kind", "position", "count", "value")
    for k, (sweep, kind, first, count, value) in enumerate(zip(*columns, strict=True)):
        for j in range(count):
            adjoint, column = divmod(first + j, source.width)
            known = kind == isa.SEED_CONSTANT
            seeds.append(Seed(sweep, adjoint, column, value if known else 0.0, None if known else Place("seeds", k, j)))
    results: list[Result] = []
    columns = _columns(source.outputs, "sweep", "kind", "position", "step", "count")
    for k, (sweep, kind, first, step, count) in enumerate(zip(*columns, strict=True)):
        for j in range(count):
            place = Place("outputs", k, j)
            if kind == isa.OUT_VALUE:
                results.append(Result(-1, first + j * step, 0, place))
            else:
                adjoint, column = divmod(first + j * step, source.width)
                results.append(Result(sweep, adjoint, column, place))
    return Routine(
        source.sweep,
        source.direction == isa.TANGENT,
        source.n_sweeps,
        source.width,
        inputs,
        tuple(seeds),
        tuple(results),
    )


def _routine_over_lanes(source: Source) -> Routine:
    inputs = {
        slot: Place("rows", row, uniform=bool(uniform))
        for row, (slot, uniform) in enumerate(zip(*_columns(source.inputs, "slot", "uniform"), strict=True))
    }
    row = len(inputs)
    seeds = []
    for sweep, kind, adjoint, value in zip(*_columns(source.seeds, "sweep", "kind", "slot", "value"), strict=True):
        known = kind == isa.SEED_CONSTANT
        seeds.append(Seed(sweep, adjoint, 0, value if known else 0.0, None if known else Place("rows", row)))
        row += not known
    results = []
    for sweep, kind, position in zip(*_columns(source.outputs, "sweep", "kind", "slot"), strict=True):
        results.append(Result(-1 if kind == isa.OUT_VALUE else sweep, position, 0, Place("rows", row)))
        row += 1
    return Routine(
        source.sweep, source.direction == isa.TANGENT, source.n_sweeps, 1, inputs, tuple(seeds), tuple(results)
    )


def _columns(records: NDArray[Any], *names: str) -> list[list[Any]]:
    return [records[name].tolist() for name in names]
