"""A scalar program made ready for the VM: words, edges, and where everything is in memory.

Four rewritings, none of which changes a bit of a result (but the sign of a zero):

- what neither an output nor a needed partial derivative depends on is left out;
- a product that only one sum uses becomes one fused instruction with it (two roundings, as before);
- a comparison that only a guard reads becomes one instruction with it, and a guard that was checked before is left out;
- a slot whose adjoint is merely the adjoint of its only user (a factor of 1.0) is merged with it, so that sums cost no
  edges: a quarter of the edges of a Runge-Kutta step.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import ops
from fastgrad.plan.scalar_program import ScalarProgram
from fastgrad.vm import instructions as isa
from fastgrad.vm.binary import kernels

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Sweep:
    """What the drivers of the VM need to run a scalar program and, if it was planned for them, its derivatives."""

    words: NDArray[np.uint32]
    edges: NDArray[np.uint32]
    n_slots: int
    n_adjoints: int
    # records of isa.CONSTANT
    numbers: NDArray[Any]
    captured: tuple[tuple[NDArray[Any], int], ...]
    input_starts: tuple[int, ...]
    input_sizes: tuple[int, ...]
    outputs: tuple[Integers, ...]
    # the adjoint of each slot, -1 where it has none (its derivative is zero)
    adjoint_of_slot: Integers
    n_instructions: int
    n_guards: int


def plan_sweep(program: ScalarProgram, wrt: Sequence[int] | None, n_hidden: int = 0) -> Sweep:
    """``wrt`` gives the positions of the inputs to differentiate by; None plans the values alone.

    The values of the first ``n_hidden`` outputs are not wanted, only their derivatives.
    """
    analysis = _analyse(program, wrt, n_hidden)
    codes, operands, results, partials = _select(program, analysis)
    opcodes, operands, results, partials = _fuse(program, analysis, codes, operands, results, partials)
    guards, alone = _guards(program, analysis, opcodes, operands, results)
    opcodes, operands, results, partials = opcodes[alone], operands[alone], results[alone], partials[alone]
    words = _encode(guards, opcodes, operands, results, partials)
    edges, adjoint_of_slot, n_adjoints = _merge_edges(program, analysis, wrt)
    numbers = np.zeros(len(analysis.number_slots), isa.CONSTANT)
    numbers["slot"], numbers["value"] = analysis.number_slots, analysis.numbers
    return Sweep(
        words=words,
        edges=edges,
        n_slots=analysis.n_slots,
        n_adjoints=n_adjoints,
        numbers=numbers,
        captured=program.captured,
        input_starts=program.input_starts,
        input_sizes=program.input_sizes,
        outputs=program.outputs,
        adjoint_of_slot=adjoint_of_slot,
        n_instructions=len(opcodes),
        n_guards=len(guards.rows),
    )


@dataclass(frozen=True)
class _Analysis:
    kept: NDArray[np.bool_]
    partial_slots: Integers
    edges: Integers
    n_slots: int
    number_slots: Integers
    numbers: NDArray[np.float64]
    one: int


@lru_cache(maxsize=1)
def _forms() -> tuple[Integers, NDArray[np.float64], Integers]:
    kinds, values = isa.form_tables()
    n_computed = np.array([isa.n_computed_partials(operation) for operation in ops.TABLE], np.int64)
    return kinds, values, n_computed


def _analyse(program: ScalarProgram, wrt: Sequence[int] | None, n_hidden: int) -> _Analysis:
    """Activity, usefulness and liveness of every slot, and the edges."""
    kinds, values, n_computed = _forms()
    # np.unique would do for both lists, but it loads numpy.ma: 7 ms of a process's first gradient
    used_codes = np.flatnonzero(np.bincount(program.codes, minlength=len(kinds)))
    constant = np.zeros(kinds.shape, bool)
    constant[used_codes] = kinds[used_codes] == isa.PARTIAL_CONSTANT
    # the constants among partial derivatives need slots of their own; 1.0 always has one
    partial_numbers = np.sort(np.array(list({1.0, *values[constant].tolist()})))
    number_slots = np.append(program.number_slots, program.n_slots + np.arange(len(partial_numbers)))
    n_slots = program.n_slots + len(partial_numbers)
    form_values = np.where(kinds == isa.PARTIAL_CONSTANT, 0.0, values).astype(np.int64)
    form_values[constant] = program.n_slots + np.searchsorted(partial_numbers, values[constant])

    n = len(program.codes)
    codes = np.ascontiguousarray(program.codes)
    operands = np.ascontiguousarray(program.operands)
    results = np.ascontiguousarray(program.results)
    edge_free = program.edge_free.astype(np.int64)
    extra_starts, extra_edges = _extra_edges_by_instruction(program)
    active, useful, live = (np.zeros(n_slots, np.int64) for _ in range(3))
    for position in () if wrt is None else wrt:
        start = program.input_starts[position]
        active[start : start + program.input_sizes[position]] = 1
    for position, output in enumerate(program.outputs):
        useful[output] = 1
        if position >= n_hidden:
            live[output] = 1
    live[program.guard_slots] = 1
    kept, partial_slots = np.zeros(n, np.int64), np.zeros(n + 1, np.int64)
    partial_slots[n] = n_slots
    edges = np.zeros((3 * n + len(extra_edges), 3), np.int64)
    run = kernels()
    run.mark_active(n, *_addresses(codes, operands, results, edge_free, kinds, active))
    n_edges = run.find_edges(
        n,
        *_addresses(codes, operands, results, edge_free, extra_starts, extra_edges, kinds, form_values, n_computed),
        *_addresses(active, useful, live, kept, partial_slots, edges),
    )
    return _Analysis(
        kept=kept.astype(bool),
        partial_slots=partial_slots[:n],
        edges=edges[:n_edges],
        n_slots=int(partial_slots[n]),
        number_slots=number_slots,
        numbers=np.append(program.numbers, partial_numbers),
        one=program.n_slots + int(np.searchsorted(partial_numbers, 1.0)),
    )


def _addresses(*arrays: NDArray[Any]) -> list[int]:
    return [array.ctypes.data for array in arrays]


def _extra_edges_by_instruction(program: ScalarProgram) -> tuple[Integers, Integers]:
    """The extra edges in the order of the instructions that make their partials, and where those of each begin."""
    producer = np.full(program.n_slots, -1, np.int64)
    producer[program.results] = np.arange(len(program.results))
    at = producer[program.extra_edges[:, 2]]
    order = np.argsort(at, kind="stable")
    starts = np.searchsorted(at[order], np.arange(len(program.results) + 1))
    return starts.astype(np.int64), np.ascontiguousarray(program.extra_edges[order])


def _select(program: ScalarProgram, analysis: _Analysis) -> tuple[Integers, Integers, Integers, Integers]:
    kept = analysis.kept
    partials = analysis.partial_slots[kept]
    codes = program.codes[kept]
    opcodes = np.where(partials >= 0, isa.WITH_PARTIALS[codes], isa.VALUE[codes]).astype(np.int64)
    return opcodes, program.operands[kept], program.results[kept], partials


def _fuse(
    program: ScalarProgram,
    analysis: _Analysis,
    opcodes: Integers,
    operands: Integers,
    results: Integers,
    partials: Integers,
) -> tuple[Integers, Integers, Integers, Integers]:
    """Put each product that only one sum or difference reads into the instruction of that."""
    n_reads = np.zeros(analysis.n_slots, np.int64)
    np.add.at(n_reads, operands[operands >= 0], 1)
    for read in (*program.outputs, program.guard_slots, analysis.edges[:, 2]):
        np.add.at(n_reads, read, 1)
    producer = np.full(analysis.n_slots, -1, np.int64)
    products = np.flatnonzero(opcodes == isa.VALUE[ops.multiply.code])
    producer[results[products]] = products
    producer[n_reads != 1] = -1
    opcodes, operands = opcodes.copy(), operands.copy()
    gone = np.zeros(len(opcodes), bool)
    for operation, side, fused in (
        (ops.add, 0, "multiply_add"),
        (ops.add, 1, "multiply_add"),
        (ops.subtract, 0, "multiply_subtract"),
        (ops.subtract, 1, "subtract_product"),
    ):
        sums = np.flatnonzero(opcodes == isa.VALUE[operation.code])
        sums = sums[producer[operands[sums, side]] >= 0]
        product = producer[operands[sums, side]]
        other = operands[sums, 1 - side]
        opcodes[sums] = isa.FUSED[fused]
        operands[sums, :2] = operands[product, :2]
        operands[sums, 2] = other
        gone[product] = True
    return opcodes[~gone], operands[~gone], results[~gone], partials[~gone]


@dataclass(frozen=True)
class _Guards:
    """Rows of guards, in order: opcode, number, two slots; and how many instructions come before each."""

    rows: Integers
    starts: Integers


def _guards(
    program: ScalarProgram, analysis: _Analysis, opcodes: Integers, operands: Integers, results: Integers
) -> tuple[_Guards, NDArray[np.bool_]]:
    """The guards, each after the instruction that makes what it checks; and which instructions are still needed."""
    alone = np.ones(len(opcodes), bool)
    n_guards = len(program.guard_slots)
    if n_guards == 0:
        return _Guards(np.zeros((0, isa.GUARD_WORDS), np.int64), np.zeros(0, np.int64)), alone
    read = np.zeros(analysis.n_slots, bool)
    for slots in (operands[operands >= 0], *program.outputs, analysis.edges[:, 2]):
        read[slots] = True
    producer = np.full(analysis.n_slots, -1, np.int64)
    producer[results] = np.arange(len(results))
    expected = np.zeros(analysis.n_slots)
    expected[program.number_slots] = program.numbers
    ends = producer[program.guard_slots] + 1
    rows = np.stack(
        [np.full(n_guards, isa.GUARD), program.guard_numbers, program.guard_slots, program.guard_expected], axis=1
    )
    seen: set[tuple[int, ...]] = set()
    chosen = []
    for k in np.argsort(ends, kind="stable").tolist():
        instruction, slot = int(ends[k]) - 1, int(program.guard_slots[k])
        fused = _FUSED_GUARDS.get(int(opcodes[instruction])) if instruction >= 0 and not read[slot] else None
        outcome = expected[program.guard_expected[k]]
        if fused and outcome in (0.0, 1.0):
            *guards, swapped = fused
            rows[k, 0] = guards[int(outcome)]
            rows[k, 2:] = operands[instruction, 1::-1] if swapped else operands[instruction, :2]
            alone[instruction] = False
        check = (int(rows[k, 0]), int(rows[k, 2]), int(rows[k, 3]))
        if check not in seen:
            seen.add(check)
            chosen.append(k)
    before = np.concatenate([[0], np.cumsum(alone)])
    return _Guards(rows[chosen], before[ends[chosen]]), alone


_FUSED_GUARDS = {int(isa.VALUE[code]): guards for code, guards in isa.FUSED_GUARDS.items()}


def _encode(
    guards: _Guards,
    opcodes: Integers,
    operands: Integers,
    results: Integers,
    partials: Integers,
) -> NDArray[np.uint32]:
    """The words of the program."""
    n_operands, n_computed, n_words = isa.N_OPERANDS[opcodes], isa.N_COMPUTED[opcodes], isa.N_WORDS[opcodes]
    n_guards = len(guards.rows)
    length_before = np.concatenate([[0], np.cumsum(n_words)])
    guards_before = np.searchsorted(guards.starts, np.arange(len(opcodes)), side="right")
    starts = length_before[:-1] + isa.GUARD_WORDS * guards_before
    words = np.zeros(int(length_before[-1]) + isa.GUARD_WORDS * n_guards + 1, np.uint32)
    words[starts] = opcodes
    words[starts + 1] = results
    for k in range(operands.shape[1]):
        has = n_operands > k
        words[starts[has] + 2 + k] = operands[has, k]
    for k in range(int(n_computed.max(initial=0))):
        has = n_computed > k
        words[starts[has] + 2 + n_operands[has] + k] = partials[has] + k
    at = length_before[guards.starts] + isa.GUARD_WORDS * np.arange(n_guards)
    for k in range(isa.GUARD_WORDS):
        words[at + k] = guards.rows[:, k]
    words[-1] = isa.END
    return words


def _merge_edges(
    program: ScalarProgram, analysis: _Analysis, wrt: Sequence[int] | None
) -> tuple[NDArray[np.uint32], Integers, int]:
    """The edges between adjoints, after merging; and the adjoint of each slot."""
    edges = analysis.edges
    into = np.bincount(edges[:, 1], minlength=analysis.n_slots)
    fixed = np.zeros(analysis.n_slots, bool)
    for output in program.outputs:
        fixed[output] = True
    for position in () if wrt is None else wrt:
        start = program.input_starts[position]
        fixed[start : start + program.input_sizes[position]] = True
    mergeable = (edges[:, 2] == analysis.one) & (into[edges[:, 1]] == 1) & ~fixed[edges[:, 1]]
    same_as = np.arange(analysis.n_slots)
    same_as[edges[mergeable, 1]] = edges[mergeable, 0]
    while not np.array_equal(same_as[same_as], same_as):
        same_as = same_as[same_as]
    edges = edges[~mergeable]
    sources = same_as[edges[:, 0]]
    used = fixed.copy()
    used[sources] = True
    used[edges[:, 1]] = True
    number = np.cumsum(used) - 1
    triples = np.stack([number[sources], number[edges[:, 1]], edges[:, 2]], axis=1).astype(np.uint32)
    return np.ascontiguousarray(triples), np.where(used, number, -1), int(used.sum())


def with_few_slots(sweep: Sweep) -> Sweep:
    """A sweep without edges whose slots are used again once their value is no longer needed, so that fewer rows of a
    tile fill the cache. Numbers keep theirs, being written once before all tiles; so do outputs, being read at the end.
    """
    instructions = list(_decoded(sweep.words))
    last_use: dict[int, int] = {}
    for position, (_, _, read) in enumerate(instructions):
        for slot in read:
            last_use[slot] = position
    pinned = set(sweep.numbers["slot"].tolist()) | {int(slot) for output in sweep.outputs for slot in output.ravel()}
    number: dict[int, int] = {}
    free: list[int] = []

    def assign(slot: int) -> None:
        if slot not in number:
            number[slot] = free.pop() if free else next(fresh)

    fresh = itertools.count()
    for slot in (*sweep.numbers["slot"].tolist(), *sweep.input_starts):
        assign(slot)
    words = sweep.words.copy()
    for position, (start, written, read) in enumerate(instructions):
        places = range(start + 2, start + 2 + len(read))
        for place, slot in zip(places, read, strict=True):
            words[place] = number[slot]
        for slot in set(read):
            # the kernels read all operands of a chunk of lanes before they write
            if last_use[slot] == position and slot not in pinned:
                free.append(number[slot])
        if written is not None:
            assign(written)
            words[start + 1] = number[written]
    numbers = sweep.numbers.copy()
    numbers["slot"] = [number[slot] for slot in sweep.numbers["slot"].tolist()]
    return replace(
        sweep,
        words=words,
        n_slots=next(fresh),
        numbers=numbers,
        input_starts=tuple(number[slot] for slot in sweep.input_starts),
        outputs=tuple(np.array([number[int(s)] for s in o.ravel()], np.int64).reshape(o.shape) for o in sweep.outputs),
    )


def _decoded(words: NDArray[np.uint32]) -> Iterator[tuple[int, int | None, list[int]]]:
    """For each instruction of a program without partials: where it starts, the slot written, the slots read."""
    flat = words.tolist()
    start = 0
    while flat[start] != isa.END:
        opcode = flat[start]
        if opcode >= isa.GUARD:
            yield start, None, flat[start + 2 : start + 4]
        else:
            yield start, flat[start + 1], flat[start + 2 : start + 2 + int(isa.N_OPERANDS[opcode])]
        start += int(isa.N_WORDS[opcode])
