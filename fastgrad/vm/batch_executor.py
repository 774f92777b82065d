"""Runs a scalar program over many inputs at once, in lanes and threads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.native.source import Source
from fastgrad.native.tier import Tier
from fastgrad.plan.request import Kind, Request
from fastgrad.plan.scalar_program import ScalarProgram
from fastgrad.plan.sweep import Sweep
from fastgrad.transform.jacobian import is_reverse
from fastgrad.vm import instructions as isa
from fastgrad.vm.addresses import address_of
from fastgrad.vm.binary import kernels
from fastgrad.vm.memory import MAX_LANES, Captured, aligned, fitting_lanes, taken
from fastgrad.vm.scalar_executor import planned_sweep
from fastgrad.vm.threads import share_out
from fastgrad.vm.wiring import Wiring, address_of_row

Floats = NDArray[np.float64]
Shape = tuple[int, ...]

# Nanoseconds that an instruction, an edge or a row takes for one example, about; and those of a share that is worth a
# thread: handing it over takes some 5 us.
LANE_NANOSECONDS = 0.25
MIN_SHARE_NANOSECONDS = 40_000
# shares of a batch for each thread: a thread that is held up leaves its shares to the others
SHARES_PER_THREAD = 32
# rows of native code are a multiple of the lanes that any processor takes at once
_NATIVE_STEP = 32


class BatchExecutor:
    """A request on a scalar program over many inputs at once: lanes, and tiles shared out over threads."""

    def __init__(self, program: ScalarProgram, request: Request, shapes: Sequence[Shape], tier: str = "vm") -> None:
        """``shapes`` are those of the inputs of one example."""
        self.request = request
        self.sweep = planned_sweep(program, request)
        self.lanes = fitting_lanes(self.sweep.n_slots + self.sweep.n_adjoints, isa.CHUNK)
        self.tiers: dict[tuple[bool, ...], Tier] = {}
        self._setting = tier
        self._template = template = _tile_template(self.sweep, request, shapes)
        n_rows = len(template.inputs.records) + len(template.outputs.records)
        n_edges = len(self.sweep.edges) * template.n_sweeps
        self._nanoseconds = LANE_NANOSECONDS * (self.sweep.n_instructions + n_edges + n_rows)
        self._rows_pool: list[_BoundRows] = []
        self._pool: list[_TileWorkspace] = []

    def _tier(self, rows: _BoundRows) -> Tier:
        """The native code for arguments of which the same ones run over the examples."""
        found = self.tiers.get(rows.uniform)
        if found is None:
            source = rows.source(self.sweep, self._template)
            sources = [source] if source.is_native else []
            found = self.tiers.setdefault(rows.uniform, Tier(self._setting, lambda: sources))
        return found

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
        rows = taken(self._rows_pool) or _BoundRows(self.sweep, self._template)
        rows.point(n, inputs, seeds, results)
        tier = self._tier(rows)
        native = tier.addresses[0] if tier.addresses else 0
        lanes = _native_lanes(n) if native else self.lanes
        tiles = isa.n_tiles((n,), lanes)
        worthwhile = min(tiles, int(n * self._nanoseconds / MIN_SHARE_NANOSECONDS))
        n_shares = max(1, min(worthwhile, SHARES_PER_THREAD * n_threads)) if n_threads > 1 else 1
        bounds = [tiles * k // n_shares for k in range(n_shares + 1)]

        def work(k: int) -> None:
            workspace = taken(self._pool)
            if workspace is None or workspace.lanes != lanes:
                workspace = _TileWorkspace(self.sweep, self._template, lanes, self.request)
            workspace.run(rows, bounds[k], bounds[k + 1], failed, native)
            self._pool.append(workspace)

        share_out(work, n_shares, n_threads)
        self._rows_pool.append(rows)
        tier.spend(n * self._nanoseconds)

    def is_one_share(self, n: int) -> bool:
        """Whether so many examples are not worth a second thread."""
        return n * self._nanoseconds < 2 * MIN_SHARE_NANOSECONDS

    def bound(
        self, n: int, inputs: Sequence[tuple[Floats, bool]], results: Sequence[Floats], are_given: bool = False
    ) -> BoundTiles | None:
        """What runs ``n`` examples that lie as these do; None if captured data would have to be converted each time.

        With ``are_given`` the arrays for results are taken like inputs, after these.
        """
        rows = _BoundRows(self.sweep, self._template)
        if rows.captured.has_copies:
            return None
        rows.point(n, inputs, [], results)
        tier = self._tier(rows)
        native = tier.addresses[0] if tier.addresses else 0
        lanes = _native_lanes(n) if native else self.lanes
        workspace = _TileWorkspace(self.sweep, self._template, lanes, self.request)
        workspace.bind(rows, 0, isa.n_tiles((n,), lanes), None, native)
        shapes = () if are_given else tuple(result.shape for result in results)
        return BoundTiles(shapes, n * self._nanoseconds, tier, native, len(inputs), are_given, rows, workspace)


@dataclass(frozen=True)
class BoundTiles:
    """A job of its own for batches of one size and layout, run as it is but for the addresses of arrays."""

    result_shapes: tuple[Shape, ...]
    nanoseconds: float
    tier: Tier
    native: int
    n_inputs: int
    are_given: bool
    rows: _BoundRows
    workspace: _TileWorkspace

    @property
    def is_current(self) -> bool:
        """Whether no native code has come since, whose tiles have another length."""
        return self.native == (self.tier.addresses[0] if self.tier.addresses else 0)

    def wiring(self) -> Wiring:
        captured = self.rows.captured.arrays
        inputs, results = self.rows.inputs.words()[: self.n_inputs], self.rows.outputs.words()
        return Wiring(
            driver=isa.RUN_TILES,
            job=self.workspace.address,
            input_words=[],
            # an input has several rows where an example is an array
            seed_words=[*inputs, *results] if self.are_given else inputs,
            result_words=[] if self.are_given else results,
            reads=np.array([(address_of(array), array.nbytes) for array in captured], np.int64).reshape(-1, 2),
            nanoseconds=int(self.nanoseconds),
            owner=self,
        )


def _native_lanes(n: int) -> int:
    """Native code keeps values in registers, so long rows cost it nothing; but it computes whole ones."""
    return min(MAX_LANES, -(-n // _NATIVE_STEP) * _NATIVE_STEP)


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
                if self.records.dtype == isa.INPUT_ROW:
                    self.records["uniform"][place] = not batched
            self._layouts = layouts
        if arrays:
            addresses = np.array([address_of(array) for array, _ in arrays])
            self._addresses[...] = addresses[self._array_numbers] + self._offsets

    def words(self) -> list[NDArray[np.int64]]:
        """For each array pairs: where a row's address is, and what it has beyond the array's."""
        return [
            np.array(
                [(address_of_row(self.records, row), self._offsets[row]) for row in place.tolist()], np.int64
            ).reshape(-1, 2)
            for place, _ in self._places
        ]


class _BoundRows:
    """The rows of one call at a time."""

    def __init__(self, sweep: Sweep, template: _TileTemplate) -> None:
        self.captured = Captured(sweep.captured)
        self.inputs, self.seeds = _PointedRows(template.inputs), _PointedRows(template.seeds)
        self.outputs = _PointedRows(template.outputs)
        self.shape = np.zeros(1, np.int64)
        self.uniform: tuple[bool, ...] = ()
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
        self.uniform = tuple(not varies for _, varies in inputs)

    def source(self, sweep: Sweep, template: _TileTemplate) -> Source:
        tables = [rows.records.copy() for rows in (self.inputs, self.seeds, self.outputs)]
        return Source(sweep, template.direction, template.n_sweeps, 1, *tables)


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
            reverse = is_reverse(sum(len(rows) for _, rows in main), sum(len(rows) for _, rows in of_inputs))
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


_INPUTS, _SEEDS, _OUTPUTS, _SHAPE, _FIRST_TILE, _LAST_TILE, _FAILED, _NATIVE = (
    isa.field_offset(isa.JOB, name)
    for name in ("inputs", "seeds", "outputs", "shape", "first_tile", "last_tile", "failed", "native")
)


class _TileWorkspace:
    """The job and the memory of one thread."""

    def __init__(self, sweep: Sweep, template: _TileTemplate, lanes: int, request: Request) -> None:
        self._sweep = sweep  # whose arrays the job points to
        self._memory = aligned(sweep.n_slots * lanes)
        self._adjoints = aligned(sweep.n_adjoints * lanes)
        self._failed_lanes = np.zeros(lanes, np.int64)
        self.lanes = lanes
        n_rows = sum(len(rows.records) for rows in (template.inputs, template.seeds, template.outputs))
        self._rows, self._scratch = np.zeros(n_rows, np.int64), aligned(n_rows * lanes)
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
            "rows": self._rows.ctypes.data,
            "scratch": self._scratch.ctypes.data,
            "has_guards": sweep.n_guards > 0,
        }
        isa.set_fields(job, fields)
        self._job = job.view(np.int64)
        self.address = job.ctypes.data

    def run(self, rows: _BoundRows, first: int, last: int, failed: NDArray[np.int64] | None, native: int) -> None:
        self.bind(rows, first, last, failed, native)
        kernels().run_tiles(self.address)

    def bind(self, rows: _BoundRows, first: int, last: int, failed: NDArray[np.int64] | None, native: int) -> None:
        job = self._job
        job[_INPUTS], job[_SEEDS], job[_OUTPUTS], job[_SHAPE] = rows.words
        job[_FIRST_TILE], job[_LAST_TILE] = first, last
        job[_NATIVE] = native
        job[_FAILED] = 0 if failed is None else address_of(failed)
