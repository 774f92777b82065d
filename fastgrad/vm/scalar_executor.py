"""Runs a scalar program, one evaluation at a time.

A job is filled in once; a run only writes the addresses of its inputs, seeds and results into it. A runner holds its
own memory, so each concurrent call takes one from the executor's pool.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.native.source import Source
from fastgrad.native.tier import Tier
from fastgrad.plan.request import Kind, Request
from fastgrad.plan.scalar_program import ScalarProgram
from fastgrad.plan.sweep import Sweep, plan_sweep
from fastgrad.transform.jacobian import is_reverse
from fastgrad.vm import instructions as isa
from fastgrad.vm.addresses import address_of
from fastgrad.vm.binary import kernels
from fastgrad.vm.memory import Captured, aligned, taken
from fastgrad.vm.wiring import Wiring, address_of_row

Floats = NDArray[np.float64]
Shape = tuple[int, ...]

# seeds swept together in a Jacobian; a multiple of the vector width that bounds the workspace
MAX_SEEDS = 64


@dataclass(frozen=True)
class _Layout:
    """The fixed part of a request on a scalar program, and where the addresses of each array go.

    Each entry of ``seed_places`` and ``output_places`` is (records, offsets in bytes): the records that refer to one
    array and what is added to the array's address in each.
    """

    sweep: Sweep
    direction: int
    seed_width: int
    n_sweeps: int
    seed_records: NDArray[Any]
    output_records: NDArray[Any]
    seed_places: tuple[tuple[slice, NDArray[np.int64]], ...]
    output_places: tuple[tuple[slice, NDArray[np.int64]], ...]


def runs_of(positions: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
    """Cut a list of positions into stretches of constant step: (where in the list, first position, step, count)."""
    n, start = len(positions), 0
    while start < n:
        end = start + 1
        step = positions[end] - positions[start] if end < n else 1
        while end < n and positions[end] - positions[end - 1] == step:
            end += 1
        yield start, int(positions[start]), int(step), end - start
        start = end


class ScalarExecutor:
    """A request on a scalar program, ready to run; safe to call from several threads."""

    def __init__(self, program: ScalarProgram, request: Request, shapes: Sequence[Shape], tier: str = "vm") -> None:
        """``shapes`` are those of the results: the outputs, then what the request adds."""
        self.request = request
        self.sweep = planned_sweep(program, request)
        self.result_shapes = tuple(shapes)
        self.layout = _layout(self.sweep, request)
        self.nanoseconds = float(self.sweep.n_instructions + len(self.sweep.edges) * self.layout.n_sweeps)
        self.tier = Tier(tier, self._sources)
        self._pool: list[Runner] = []

    def __call__(self, inputs: Sequence[Floats], seeds: Sequence[Floats], results: Sequence[Floats]) -> int:
        """Run on C-contiguous float64 arrays; returns the first failed guard, or -1."""
        runner = taken(self._pool) or self._runner()
        failed = runner.run(inputs, seeds, results)
        self._pool.append(runner)
        self.tier.spend(self.nanoseconds)
        return failed

    def _runner(self) -> Runner:
        runner = Runner(self.layout)
        self.tier.attach(runner)
        return runner

    def _sources(self) -> list[Source]:
        return [Runner(self.layout).source()]

    def wiring(self) -> Wiring | None:
        """A runner for the kernels alone; None if captured data would have to be converted before each run."""
        runner = self._runner()
        return None if runner.captured.has_copies else runner.wiring()

    def allocate(self) -> list[Floats]:
        return [np.empty(shape) for shape in self.result_shapes]

    @property
    def workspace_bytes(self) -> int:
        return 8 * (self.sweep.n_slots + self.sweep.n_adjoints * self.layout.seed_width)


def planned_sweep(program: ScalarProgram, request: Request) -> Sweep:
    wrt = None if request.kind is Kind.VALUES else request.wrt
    return _with_some_edge(plan_sweep(program, wrt, request.n_hidden))


def _with_some_edge(sweep: Sweep) -> Sweep:
    """A sweep with derivatives but no edges gets one that changes nothing, since drivers skip sweeps without any."""
    if len(sweep.edges) or not sweep.n_adjoints:
        return sweep
    idle = np.array([[sweep.n_adjoints, sweep.n_adjoints, 0]], np.uint32)
    return Sweep(**{**sweep.__dict__, "edges": idle, "n_adjoints": sweep.n_adjoints + 1})


def _input_adjoints(sweep: Sweep, position: int) -> int:
    """The first adjoint of an input; those of its elements follow one another."""
    return int(sweep.adjoint_of_slot[sweep.input_starts[position]])


class _Records:
    """Collects records and, for each array that they refer to, which they are and at which offsets."""

    def __init__(self, kind: np.dtype[Any]) -> None:
        self.kind = kind
        self.rows: list[dict[str, int | float]] = []
        self.places: list[tuple[slice, NDArray[np.int64]]] = []

    def add_array(self, rows: Sequence[dict[str, int | float]]) -> None:
        start = len(self.rows)
        self.rows.extend(rows)
        offsets = np.array([row["address"] for row in rows], np.int64)
        self.places.append((slice(start, len(self.rows)), offsets))

    def array(self) -> NDArray[Any]:
        records = np.zeros(len(self.rows), self.kind)
        for k, row in enumerate(self.rows):
            for name, value in row.items():
                records[name][k] = value
        return records


def _layout(sweep: Sweep, request: Request) -> _Layout:
    outputs = _Records(isa.OUTPUT)
    seeds = _Records(isa.SEED)
    for slots in sweep.outputs[request.n_hidden :]:
        outputs.add_array(
            [
                {"kind": isa.OUT_VALUE, "position": first, "step": step, "count": count, "address": 8 * at}
                for at, first, step, count in runs_of(slots.ravel().tolist())
            ]
        )
    kind = request.kind
    direction, width, n_sweeps = isa.REVERSE, 1, 1
    main = sweep.outputs[: request.n_outputs]
    output_adjoints = [sweep.adjoint_of_slot[slots.ravel()].tolist() for slots in main]
    sizes = [sweep.input_sizes[position] for position in request.wrt]
    firsts = [_input_adjoints(sweep, position) if sweep.input_sizes[position] else 0 for position in request.wrt]
    if kind in (Kind.VJP, Kind.GRADIENT):
        fixed = kind is Kind.GRADIENT
        for adjoints in output_adjoints:
            rows = [
                {"kind": isa.SEED_CONSTANT if fixed else isa.SEED_ADDRESS, "position": adjoint, "count": 1}
                | {"value": 1.0 if fixed else 0.0, "address": 0 if fixed else 8 * at}
                for at, adjoint in enumerate(adjoints)
            ]
            seeds.add_array(rows)
        for first, size in zip(firsts, sizes, strict=True):
            outputs.add_array(_adjoint_rows(first, 1, size, 0, 0))
    elif kind is Kind.JVP:
        direction = isa.TANGENT
        for first, size in zip(firsts, sizes, strict=True):
            row: dict[str, int | float] = {"kind": isa.SEED_ADDRESS, "position": first, "count": size, "address": 0}
            seeds.add_array([row] if size else [])
        for adjoints in output_adjoints:
            found = [_adjoint_rows(adjoint, 1, 1, 8 * at, 0) for at, adjoint in enumerate(adjoints)]
            outputs.add_array([row for rows in found for row in rows])
    elif kind is Kind.JACOBIAN:
        direction, width, n_sweeps = _jacobian_layout(seeds, outputs, output_adjoints, firsts, sizes)
    return _Layout(
        sweep=sweep,
        direction=direction,
        seed_width=width,
        n_sweeps=n_sweeps,
        seed_records=seeds.array(),
        output_records=outputs.array(),
        seed_places=tuple(seeds.places) if kind in (Kind.VJP, Kind.JVP) else (),
        output_places=tuple(outputs.places),
    )


def _adjoint_rows(position: int, step: int, count: int, address: int, sweep: int) -> list[dict[str, int | float]]:
    row: dict[str, int | float] = {"kind": isa.OUT_ADJOINT, "position": position, "step": step, "count": count}
    return [{**row, "address": address, "sweep": sweep}] if count else []


def _jacobian_layout(
    seeds: _Records, outputs: _Records, output_adjoints: list[list[int]], firsts: list[int], sizes: list[int]
) -> tuple[int, int, int]:
    """One seed for each output (reverse) or each input element (forward), whichever are fewer, MAX_SEEDS at a time."""
    n_outputs, n_inputs = sum(map(len, output_adjoints)), sum(sizes)
    reverse = is_reverse(n_outputs, n_inputs)
    n_seeds = n_outputs if reverse else n_inputs
    width = min(MAX_SEEDS, -(-max(n_seeds, 1) // isa.CHUNK) * isa.CHUNK)
    seeded = (
        [adjoint for adjoints in output_adjoints for adjoint in adjoints]
        if reverse
        else [first + k for first, size in zip(firsts, sizes, strict=True) for k in range(size)]
    )
    seeds.add_array(
        [
            {"sweep": k // width, "kind": isa.SEED_CONSTANT, "position": adjoint * width + k % width, "count": 1}
            | {"value": 1.0, "address": 0}
            for k, adjoint in enumerate(seeded)
        ]
    )
    seed_of_output = 0
    for adjoints in output_adjoints:
        seed_of_input = 0
        for first, size in zip(firsts, sizes, strict=True):
            rows: list[dict[str, int | float]] = []
            for at, adjoint in enumerate(adjoints):
                address = 8 * at * size
                if reverse:
                    seed = seed_of_output + at
                    rows += _adjoint_rows(first * width + seed % width, width, size, address, seed // width)
                    continue
                # a block of neighbouring inputs lies side by side in the rows of one or more sweeps
                k = 0
                while k < size:
                    sweep, column = divmod(seed_of_input + k, width)
                    count = min(size - k, width - column)
                    rows += _adjoint_rows(adjoint * width + column, 1, count, address + 8 * k, sweep)
                    k += count
            outputs.add_array(rows)
            seed_of_input += size
        seed_of_output += len(adjoints)
    return isa.REVERSE if reverse else isa.TANGENT, width, max(-(-n_seeds // width), 1)


class Runner:
    """The job and memory of one evaluation at a time."""

    def __init__(self, layout: _Layout) -> None:
        sweep = layout.sweep
        self.layout = layout
        self.captured = Captured(sweep.captured)
        n_inputs = len(sweep.input_starts)
        self.inputs = np.zeros(n_inputs + len(sweep.captured), isa.INPUT)
        self.inputs["position"] = [*sweep.input_starts, *(slot for _, slot in sweep.captured)]
        self.inputs["count"] = [*sweep.input_sizes, *(array.size for array in self.captured.arrays)]
        self.inputs["address"][n_inputs:] = [array.ctypes.data for array in self.captured.arrays]
        self.seeds, self.outputs = layout.seed_records.copy(), layout.output_records.copy()
        # by sweep, as the driver expects; the places stay valid through these permutations
        seed_order = np.argsort(self.seeds["sweep"], kind="stable")
        output_order = np.argsort(self.outputs["sweep"], kind="stable")
        self.seeds, self.outputs = self.seeds[seed_order], self.outputs[output_order]
        self.seed_places = _moved(layout.seed_places, seed_order)
        self.output_places = _moved(layout.output_places, output_order)
        self.memory = aligned(sweep.n_slots)
        self.adjoints = aligned(sweep.n_adjoints * layout.seed_width)
        self.job = isa.new_job()
        fields = {
            "words": sweep.words.ctypes.data,
            "edges": sweep.edges.ctypes.data,
            "n_edges": len(sweep.edges),
            "direction": layout.direction,
            "memory": self.memory.ctypes.data,
            "adjoints": self.adjoints.ctypes.data,
            "n_adjoints": sweep.n_adjoints,
            "n_sweeps": layout.n_sweeps,
            "constants": sweep.numbers.ctypes.data,
            "n_constants": len(sweep.numbers),
            "inputs": self.inputs.ctypes.data,
            "n_inputs": len(self.inputs),
            "seeds": self.seeds.ctypes.data,
            "n_seeds": len(self.seeds),
            "outputs": self.outputs.ctypes.data,
            "n_outputs": len(self.outputs),
            "seed_width": layout.seed_width,
        }
        isa.set_fields(self.job, fields)
        self.address = self.job.ctypes.data

    def use_native(self, addresses: Sequence[int]) -> None:
        self.job["native"] = addresses[0]

    def source(self) -> Source:
        layout = self.layout
        return Source(
            layout.sweep, layout.direction, layout.n_sweeps, layout.seed_width, self.inputs, self.seeds, self.outputs
        )

    def run(self, inputs: Sequence[Floats], seeds: Sequence[Floats], results: Sequence[Floats]) -> int:
        self.captured.refresh()
        for k, array in enumerate(inputs):
            self.inputs["address"][k] = address_of(array)
        for array, (place, offsets) in zip(seeds, self.seed_places, strict=True):
            self.seeds["address"][place] = address_of(array) + offsets
        for array, (place, offsets) in zip(results, self.output_places, strict=True):
            self.outputs["address"][place] = address_of(array) + offsets
        return int(kernels().run_scalar(self.address))

    def wiring(self) -> Wiring:
        sweep = self.layout.sweep
        return Wiring(
            driver=isa.RUN_SCALAR,
            job=self.address,
            input_words=[address_of_row(self.inputs, k) for k in range(len(sweep.input_starts))],
            result_words=[_words_at(self.outputs, *place) for place in self.output_places],
            seed_words=[_words_at(self.seeds, *place) for place in self.seed_places],
            reads=np.zeros((0, 2), np.int64),
            nanoseconds=sweep.n_instructions + len(sweep.edges),
            owner=self,
        )


def _words_at(records: NDArray[Any], rows: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    words = np.array([address_of_row(records, int(row)) for row in rows], np.int64)
    return np.stack([words, offsets], axis=-1)


def _moved(
    places: Sequence[tuple[slice, NDArray[np.int64]]], order: NDArray[np.int64]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    return [(position[place], offsets) for place, offsets in places]
