"""Runs a scalar program: one evaluation at a time, or a batch of them in lanes and threads.

A job is filled in once; a run only writes the addresses of its inputs, seeds and results into it. A runner holds its
own memory, so each concurrent call takes one from the executor's pool.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastgrad.plan.request import Kind, Request
from fastgrad.plan.scalar_program import ScalarProgram
from fastgrad.plan.sweep import Sweep, plan_sweep
from fastgrad.vm import instructions as isa
from fastgrad.vm.addresses import address_of
from fastgrad.vm.binary import kernels
from fastgrad.vm.threads import share_out
from fastgrad.vm.wiring import Wiring, address_of_row

T = TypeVar("T")
Floats = NDArray[np.float64]
Shape = tuple[int, ...]

# seeds swept together in a Jacobian; a multiple of the vector width that bounds the workspace
MAX_SEEDS = 64
# Workspace of a tile, in bytes: it should stay in the first-level cache. Black-Scholes with five greeks on a 2.6 GHz
# Xeon takes 20 ns an input at 32 KiB, 26 at 128 KiB.
TILE_BYTES = 1 << 15
MAX_LANES = 256
_LINE = isa.TILE_ALIGNMENT // 8
# Nanoseconds that an instruction, an edge or a row takes for one example, about; and those of a share that is worth a
# thread: handing it over takes some 5 us.
LANE_NANOSECONDS = 0.25
MIN_SHARE_NANOSECONDS = 20_000
# shares of a batch for each thread: a thread that is held up leaves its shares to the others
SHARES_PER_THREAD = 8


@dataclass(frozen=True)
class _Layout:
    """The fixed part of a request on a scalar program, and where the addresses of each array go.

    Each entry of ``inputs``, ``seeds`` and ``results`` is (records, offsets in bytes): the records that refer to one
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

    def __init__(self, program: ScalarProgram, request: Request, shapes: Sequence[Shape]) -> None:
        """``shapes`` are those of the results: the outputs, then what the request adds."""
        self.request = request
        self.sweep = _planned(program, request)
        self.result_shapes = tuple(shapes)
        self.layout = _layout(self.sweep, request)
        self._pool: list[Runner] = []

    def __call__(self, inputs: Sequence[Floats], seeds: Sequence[Floats], results: Sequence[Floats]) -> int:
        """Run on C-contiguous float64 arrays; returns the first failed guard, or -1."""
        runner = taken(self._pool) or Runner(self.layout)
        failed = runner.run(inputs, seeds, results)
        self._pool.append(runner)
        return failed

    def wiring(self) -> Wiring | None:
        """A runner for the kernels alone; None if captured data would have to be converted before each run."""
        runner = Runner(self.layout)
        return None if runner.captured.has_copies else runner.wiring()

    def allocate(self) -> list[Floats]:
        return [np.empty(shape) for shape in self.result_shapes]

    @property
    def workspace_bytes(self) -> int:
        return 8 * (self.sweep.n_slots + self.sweep.n_adjoints * self.layout.seed_width)


def taken(pool: list[T]) -> T | None:
    """One of a pool that threads share, or None."""
    try:
        return pool.pop()
    except IndexError:
        return None


def _planned(program: ScalarProgram, request: Request) -> Sweep:
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


def _is_reverse(n_outputs: int, n_inputs: int) -> bool:
    """Whether a Jacobian takes a reverse sweep for each output, or a tangent sweep for each element of the inputs.

    Single evaluations and batches ask here, so that both give the same bits.
    """
    return n_outputs <= n_inputs


def _jacobian_layout(
    seeds: _Records, outputs: _Records, output_adjoints: list[list[int]], firsts: list[int], sizes: list[int]
) -> tuple[int, int, int]:
    """One seed for each output (reverse) or each input element (forward), whichever are fewer, MAX_SEEDS at a time."""
    n_outputs, n_inputs = sum(map(len, output_adjoints)), sum(sizes)
    reverse = _is_reverse(n_outputs, n_inputs)
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


def allocate_together(shapes: Sequence[Shape]) -> list[Floats]:
    """Uninitialised arrays in one piece of memory: large pieces get huge pages from NumPy, which saves page faults."""
    sizes = [math.prod(shape) for shape in shapes]
    starts = [0, *accumulate(-(-size // _LINE) * _LINE for size in sizes)]
    memory = aligned(starts[-1])
    return [
        memory[start : start + size].reshape(shape) for start, size, shape in zip(starts, sizes, shapes, strict=False)
    ]


def aligned(n: int) -> Floats:
    """``n`` doubles that start at a multiple of the cache line."""
    raw = np.empty(n + isa.TILE_ALIGNMENT // 8)
    shift = -address_of(raw) % isa.TILE_ALIGNMENT // 8
    return raw[shift : shift + n]


class Captured:
    """The captured arrays of a program as float64 memory that always shows their current content."""

    def __init__(self, captured: Sequence[tuple[NDArray[Any], int]]) -> None:
        self._copies: list[tuple[Floats, NDArray[Any]]] = []
        self.arrays: list[Floats] = []
        for array, _ in captured:
            if array.dtype == np.float64 and array.flags.c_contiguous and array.flags.aligned:
                self.arrays.append(array)
            else:
                copy = np.empty(array.shape)
                self._copies.append((copy, array))
                self.arrays.append(copy)

    @property
    def has_copies(self) -> bool:
        return bool(self._copies)

    def refresh(self) -> None:
        for copy, array in self._copies:
            copy[...] = array


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

    def run(self, inputs: Sequence[Floats], seeds: Sequence[Floats], results: Sequence[Floats]) -> int:
        self.captured.refresh()
        for k, array in enumerate(inputs):
            self.inputs["address"][k] = array.ctypes.data
        for array, (place, offsets) in zip(seeds, self.seed_places, strict=True):
            self.seeds["address"][place] = array.ctypes.data + offsets
        for array, (place, offsets) in zip(results, self.output_places, strict=True):
            self.outputs["address"][place] = array.ctypes.data + offsets
        return int(kernels().run_scalar(self.address))

    def wiring(self) -> Wiring:
        sweep = self.layout.sweep
        result_words = []
        for rows, offsets in self.output_places:
            words = np.array([address_of_row(self.outputs, int(row)) for row in rows], np.int64)
            result_words.append(np.stack([words, offsets], axis=-1))
        return Wiring(
            driver=isa.RUN_SCALAR,
            job=self.address,
            input_words=[address_of_row(self.inputs, k) for k in range(len(sweep.input_starts))],
            result_words=result_words,
            reads=np.zeros((0, 2), np.int64),
            nanoseconds=sweep.n_instructions + len(sweep.edges),
            owner=self,
        )


def _moved(
    places: Sequence[tuple[slice, NDArray[np.int64]]], order: NDArray[np.int64]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    return [(position[place], offsets) for place, offsets in places]


def fitting_lanes(n_rows: int, least: int) -> int:
    """How many lanes, a power of two from ``least`` to ``MAX_LANES``, keep that many rows within ``TILE_BYTES``."""
    fitting = max(TILE_BYTES // (8 * max(n_rows, 1)), 1)
    return min(MAX_LANES, max(least, 1 << (fitting.bit_length() - 1)))


# ---- batches


class BatchExecutor:
    """A request on a scalar program over many inputs at once: lanes, and tiles shared out over threads."""

    def __init__(self, program: ScalarProgram, request: Request, shapes: Sequence[Shape]) -> None:
        """``shapes`` are those of the inputs of one example."""
        self.request = request
        self.sweep = _planned(program, request)
        self.lanes = fitting_lanes(self.sweep.n_slots + self.sweep.n_adjoints, isa.CHUNK)
        self._template = _tile_template(self.sweep, request, shapes)
        template = self._template
        n_rows = len(template.inputs.records) + len(template.outputs.records)
        n_edges = len(self.sweep.edges) * template.n_sweeps
        self._nanoseconds = LANE_NANOSECONDS * (self.sweep.n_instructions + n_edges + n_rows)
        self._rows_pool: list[_BoundRows] = []
        self._pool: list[_TileWorkspace] = []

    def n_tiles(self, n: int) -> int:
        return isa.n_tiles((n,), self.lanes)

    def __call__(
        self,
        n: int,
        inputs: Sequence[tuple[Floats, bool]],
        seeds: Sequence[tuple[Floats, bool]],
        results: Sequence[Floats],
        n_threads: int,
        failed: NDArray[np.int64] | None,
    ) -> None:
        """Run on ``n`` examples. Inputs and seeds are (array, whether its first axis runs over the examples)."""
        tiles = self.n_tiles(n)
        worthwhile = min(tiles, int(n * self._nanoseconds / MIN_SHARE_NANOSECONDS))
        n_shares = max(1, min(worthwhile, SHARES_PER_THREAD * n_threads)) if n_threads > 1 else 1
        bounds = [tiles * k // n_shares for k in range(n_shares + 1)]
        rows = taken(self._rows_pool) or _BoundRows(self.sweep, self._template)
        rows.point(n, inputs, seeds, results)

        def work(k: int) -> None:
            workspace = taken(self._pool) or _TileWorkspace(self.sweep, self._template, self.lanes, self.request)
            workspace.run(rows, bounds[k], bounds[k + 1], failed)
            self._pool.append(workspace)

        share_out(work, n_shares, n_threads)
        self._rows_pool.append(rows)


@dataclass(frozen=True)
class _Rows:
    """Row records without their addresses, and for each array they belong to: which they are, and the multi-index of
    the element that each stands for.
    """

    records: NDArray[Any]
    places: tuple[tuple[NDArray[np.intp], NDArray[np.int64]], ...]


class _PointedRows:
    """Rows with the addresses of arrays; what hangs on strides is computed anew only where these have changed."""

    def __init__(self, rows: _Rows) -> None:
        self.records = rows.records.copy()
        self.address = self.records.ctypes.data
        self._addresses, self._strides = self.records["address"], self.records["strides"]
        self._places = rows.places
        # of which array each row is, and where in that
        self._array_numbers = np.zeros(len(self.records), np.intp)
        for number, (place, _) in enumerate(rows.places):
            self._array_numbers[place] = number
        self._offsets = np.zeros(len(self.records), np.int64)
        self._layouts: list[tuple[bool, tuple[int, ...]]] = []

    def point(self, arrays: Sequence[tuple[Floats, bool]]) -> None:
        """Take these arrays: (array, whether its first axis runs over the examples)."""
        layouts = [(batched, array.strides) for array, batched in arrays]
        if layouts != self._layouts:
            for (place, indices), (batched, strides) in zip(self._places, layouts, strict=True):
                of_element = strides[1:] if batched else strides
                self._offsets[place] = np.dot(of_element, indices) if of_element else 0
                self._strides[place, 0] = strides[0] // 8 if batched else 0
            self._layouts = layouts
        if arrays:
            addresses = np.array([address_of(array) for array, _ in arrays])
            self._addresses[...] = addresses[self._array_numbers] + self._offsets


class _BoundRows:
    """The rows of one call at a time."""

    def __init__(self, sweep: Sweep, template: _TileTemplate) -> None:
        self.captured = Captured(sweep.captured)
        self.inputs, self.seeds = _PointedRows(template.inputs), _PointedRows(template.seeds)
        self.outputs = _PointedRows(template.outputs)
        self.shape = np.zeros(1, np.int64)
        self.words = (self.inputs.address, self.seeds.address, self.outputs.address, self.shape.ctypes.data)
        self._captured = [(array, False) for array in self.captured.arrays]

    def point(
        self,
        n: int,
        inputs: Sequence[tuple[Floats, bool]],
        seeds: Sequence[tuple[Floats, bool]],
        results: Sequence[Floats],
    ) -> None:
        self.captured.refresh()
        self.shape[0] = n
        self.inputs.point([*inputs, *self._captured])
        self.seeds.point(seeds)
        self.outputs.point([(result, True) for result in results])


def _rows(kind: np.dtype[Any], groups: Sequence[tuple[Shape, dict[str, Any]]]) -> _Rows:
    """One record for each element of arrays of these shapes, sorted by sweep; the dicts hold fields of the records."""
    records = np.zeros(sum(math.prod(shape) for shape, _ in groups), kind)
    bounds = np.cumsum([0, *(math.prod(shape) for shape, _ in groups)])
    for start, end, (_, fields) in zip(bounds, bounds[1:], groups, strict=False):
        isa.set_fields(records[start:end], fields)
    position = np.arange(len(records))
    if "sweep" in _fields_of(kind):
        order = np.argsort(records["sweep"], kind="stable")
        records, position[order] = records[order], np.arange(len(records))
    places = [
        (position[start:end], np.indices(shape).reshape(len(shape), math.prod(shape)))
        for start, end, (shape, _) in zip(bounds, bounds[1:], groups, strict=False)
    ]
    return _Rows(records, tuple(places))


def _fields_of(kind: np.dtype[Any]) -> tuple[str, ...]:
    return kind.names or ()


@dataclass(frozen=True)
class _TileTemplate:
    inputs: _Rows
    seeds: _Rows
    outputs: _Rows
    n_sweeps: int
    direction: int


def _tile_template(sweep: Sweep, request: Request, shapes: Sequence[Shape]) -> _TileTemplate:
    """The rows of a request, for examples whose inputs have these shapes."""
    inputs: list[tuple[Shape, dict[str, Any]]] = [
        (shape, {"slot": start + np.arange(math.prod(shape))})
        for start, shape in zip(sweep.input_starts, shapes, strict=True)
    ]
    inputs += [(array.shape, {"slot": slot + np.arange(array.size)}) for array, slot in sweep.captured]
    main = [(slots.shape, sweep.adjoint_of_slot[slots.ravel()]) for slots in sweep.outputs[: request.n_outputs]]
    of_inputs = [
        (shapes[p], sweep.adjoint_of_slot[sweep.input_starts[p] + np.arange(sweep.input_sizes[p])]) for p in request.wrt
    ]
    outputs: list[tuple[Shape, dict[str, Any]]] = [
        (slots.shape, {"slot": slots.ravel()}) for slots in sweep.outputs[request.n_hidden :]
    ]
    seeds: list[tuple[Shape, dict[str, Any]]] = []
    fixed: list[tuple[Shape, dict[str, Any]]] = []
    n_sweeps, direction = 1, isa.REVERSE
    match request.kind:
        case Kind.GRADIENT:
            fixed = [(shape, {"kind": isa.SEED_CONSTANT, "value": 1.0, "slot": rows}) for shape, rows in main]
            outputs += [(shape, {"kind": isa.OUT_ADJOINT, "slot": rows}) for shape, rows in of_inputs]
        case Kind.VJP:
            seeds = [(shape, {"kind": isa.SEED_ADDRESS, "slot": rows}) for shape, rows in main]
            outputs += [(shape, {"kind": isa.OUT_ADJOINT, "slot": rows}) for shape, rows in of_inputs]
        case Kind.JVP:
            direction = isa.TANGENT
            seeds = [(shape, {"kind": isa.SEED_ADDRESS, "slot": rows}) for shape, rows in of_inputs]
            outputs += [(shape, {"kind": isa.OUT_ADJOINT, "slot": rows}) for shape, rows in main]
        case Kind.JACOBIAN:
            reverse = _is_reverse(sum(len(rows) for _, rows in main), sum(len(rows) for _, rows in of_inputs))
            direction = isa.REVERSE if reverse else isa.TANGENT
            seeded = main if reverse else of_inputs
            # the sweeps of each output (reverse) or input (forward), one for each of its elements
            n_sweeps, sweeps = 0, list[NDArray[np.int64]]()
            for shape, rows in seeded:
                sweeps.append(n_sweeps + np.arange(len(rows)))
                fixed.append((shape, {"sweep": sweeps[-1], "kind": isa.SEED_CONSTANT, "value": 1.0, "slot": rows}))
                n_sweeps += len(rows)
            for i, (shape, rows) in enumerate(main):
                for j, (of, columns) in enumerate(of_inputs):
                    # the adjoint of an input in an output's sweep, or the tangent of an output in an input's
                    if reverse:
                        slots, of_sweep = np.tile(columns, len(rows)), np.repeat(sweeps[i], len(columns))
                    else:
                        slots, of_sweep = np.repeat(rows, len(columns)), np.tile(sweeps[j], len(rows))
                    outputs.append((shape + of, {"kind": isa.OUT_ADJOINT, "slot": slots, "sweep": of_sweep}))
    return _TileTemplate(
        inputs=_rows(isa.INPUT_ROW, inputs),
        # constant seeds have no address to fill in
        seeds=_Rows(_rows(isa.SEED_ROW, fixed).records, ()) if fixed else _rows(isa.SEED_ROW, seeds),
        outputs=_rows(isa.OUTPUT_ROW, outputs),
        n_sweeps=max(n_sweeps, 1),
        direction=direction,
    )


_INPUTS, _SEEDS, _OUTPUTS, _SHAPE, _FIRST_TILE, _LAST_TILE, _FAILED = (
    isa.field_offset(isa.JOB, name)
    for name in ("inputs", "seeds", "outputs", "shape", "first_tile", "last_tile", "failed")
)


class _TileWorkspace:
    """The job and the memory of one thread."""

    def __init__(self, sweep: Sweep, template: _TileTemplate, lanes: int, request: Request) -> None:
        self._sweep = sweep  # whose arrays the job points to
        self._memory = aligned(sweep.n_slots * lanes)
        self._adjoints = aligned(sweep.n_adjoints * lanes)
        self._failed_lanes = np.zeros(lanes, np.int64)
        job = isa.new_job()
        fields = {
            "words": sweep.words.ctypes.data,
            "edges": sweep.edges.ctypes.data,
            "n_edges": 0 if request.kind is Kind.VALUES else len(sweep.edges),
            "direction": template.direction,
            "memory": self._memory.ctypes.data,
            "adjoints": self._adjoints.ctypes.data,
            "n_adjoints": sweep.n_adjoints,
            "n_sweeps": template.n_sweeps,
            "constants": sweep.numbers.ctypes.data,
            "n_constants": len(sweep.numbers),
            "n_inputs": len(template.inputs.records),
            "n_seeds": len(template.seeds.records),
            "n_outputs": len(template.outputs.records),
            "lanes": lanes,
            "ndim": 1,
            "failed_lanes": self._failed_lanes.ctypes.data,
        }
        isa.set_fields(job, fields)
        self._job = job.view(np.int64)
        self._address = job.ctypes.data

    def run(self, rows: _BoundRows, first: int, last: int, failed: NDArray[np.int64] | None) -> None:
        job = self._job
        job[_INPUTS], job[_SEEDS], job[_OUTPUTS], job[_SHAPE] = rows.words
        job[_FIRST_TILE], job[_LAST_TILE] = first, last
        job[_FAILED] = 0 if failed is None else address_of(failed)
        kernels().run_tiles(self._address)
