"""Runs an array plan: segments through the tile driver, the rest with NumPy on views of the buffers."""

from __future__ import annotations

import ctypes
import math
from _thread import interrupt_main
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.native.source import Source
from fastgrad.native.tier import Tier
from fastgrad.plan.array_plan import ArrayPlan, Copy, Evaluation, Place, Segment, Stretch, array_plan, contiguous
from fastgrad.plan.derived import derived_tape
from fastgrad.plan.request import Kind, Request, result_shapes
from fastgrad.tape import Tape
from fastgrad.transform.jacobian_in_one_run import batched_jacobian
from fastgrad.transform.symbolic import without_dead_nodes
from fastgrad.vm import instructions as isa
from fastgrad.vm.binary import kernels
from fastgrad.vm.memory import MAX_LANES, Captured, aligned, fitting_lanes, taken
from fastgrad.vm.wiring import Wiring

Floats = NDArray[np.float64]
MIN_LANES = 32
SHORT_ROW = 32
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int64)
# neither the number of a guard nor -1
CALLED_IN_VAIN = -2
# results of NumPy of so many elements are worked on where they are: a copy of 4,096 takes 1 us, changing places as much
ADOPTED_SIZE = 4096
# views of the caller's arrays that are kept, by where these were
MAX_VIEWS = 8


class ArrayExecutor:
    """A request on a tape of arrays; safe to call from several threads."""

    def __init__(self, tape: Tape, request: Request, tier: str = "vm") -> None:
        self.request = request
        self.result_shapes = result_shapes(tape.output_shapes, tape.input_shapes, request)
        self._n_values = len(tape.outputs) - request.n_hidden
        self._main_shapes = tape.output_shapes[: request.n_outputs]
        batched = batched_jacobian(tape, request.wrt, request.n_outputs) if request.kind is Kind.JACOBIAN else None
        # otherwise the tape is run for one seed after the other
        self._is_repeated = request.kind is Kind.JACOBIAN and batched is None
        derived = _derived(tape, request) if batched is None else _shown(batched, request)
        self._row_shapes = derived.output_shapes
        # what one run computes, if that is all
        self.tape = None if self._is_repeated else derived
        self.plan = array_plan(derived)
        self.nanoseconds = float(sum(s.nanoseconds for s in self.plan.steps if isinstance(s, Segment)))
        self.tier = Tier(tier, self._sources)
        self._pool: list[_Runner] = []

    def _runner(self) -> _Runner:
        runner = _Runner(self.plan)
        self.tier.attach(runner)
        return runner

    def _sources(self) -> list[Source]:
        return _Runner(self.plan).sources()

    @property
    def workspace_bytes(self) -> int:
        return self.plan.workspace_bytes

    @property
    def n_segments(self) -> int:
        return len(self.plan.steps)

    def wiring(self) -> Wiring | None:
        """A runner for the kernels, which call back where NumPy does a step; None where a call takes many runs."""
        if self._is_repeated:
            return None
        return self._runner().wiring()

    def allocate(self) -> list[Floats]:
        return [np.empty(shape) for shape in self.result_shapes]

    def __call__(self, inputs: Sequence[Floats], seeds: Sequence[Floats], results: Sequence[Floats]) -> int:
        """Run on C-contiguous float64 arrays; returns the first failed guard, or -1."""
        runner = taken(self._pool) or self._runner()
        if self._is_repeated:
            failed = self._jacobian(runner, inputs, results)
        else:
            failed = runner.run([*inputs, *seeds], results)
        self._pool.append(runner)
        self.tier.spend(self.nanoseconds)
        return failed

    def bound(self, inputs: Sequence[Floats], results: Sequence[Floats]) -> Callable[[], int]:
        """A call on these arrays, to be repeated: it reads and writes what they hold then, from one thread at a time.

        Where they are is looked up once, which takes 0.4 us for each otherwise. Not for repeated runs of a Jacobian.
        """
        runner = self._runner()
        runner.place(inputs, results)

        def run() -> int:
            _ = inputs, results  # kept while this is
            failed = runner.run_steps()
            self.tier.spend(self.nanoseconds)
            return failed

        return run

    def _jacobian(self, runner: _Runner, inputs: Sequence[Floats], results: Sequence[Floats]) -> int:
        """One reverse run for each element of the outputs."""
        cotangents = [np.zeros(shape) for shape in self._main_shapes]
        rows = [np.empty(shape) for shape in self._row_shapes]
        values, derivatives = rows[: self._n_values], rows[self._n_values :]
        failed = runner.run([*inputs, *cotangents], rows)
        for result, value in zip(results, values, strict=False):
            result[...] = value
        blocks = iter(results[self._n_values :])
        for cotangent in cotangents:
            flats = [next(blocks).reshape(cotangent.size, row.size) for row in derivatives]
            for element in range(cotangent.size):
                if failed >= 0:
                    return failed
                cotangent.flat[element] = 1.0
                failed = runner.run([*inputs, *cotangents], rows)
                cotangent.flat[element] = 0.0
                for flat, row in zip(flats, derivatives, strict=True):
                    flat[element] = row.ravel()
        return failed


def _derived(tape: Tape, request: Request) -> Tape:
    """The request's tape without what it hides; for a Jacobian the tape that is run once for each element."""
    kind = Kind.VJP if request.kind is Kind.JACOBIAN else request.kind
    derived = derived_tape(tape, replace(request, kind=kind))
    if derived is tape:
        return tape
    return _shown(derived, request)


def _shown(derived: Tape, request: Request) -> Tape:
    """The tape without what the request hides."""
    return without_dead_nodes(derived.with_outputs(range(request.n_hidden, len(derived.outputs))))


class _Runner:
    """The workspace and the filled-in jobs of one run at a time."""

    def __init__(self, plan: ArrayPlan) -> None:
        self.captured = Captured([(array, 0) for array in plan.constants])
        self.memory: list[Any] = [None] * len(plan.buffers)
        self._adopted = _adopted_buffers(plan)
        for number, buffer in enumerate(plan.buffers):
            if buffer.kind == "workspace" and number not in self._adopted:
                self.memory[number] = aligned(buffer.size)
            elif buffer.kind == "constant":
                self.memory[number] = self.captured.arrays[buffer.number].reshape(-1)
        self.addresses = np.array([0 if m is None else m.ctypes.data for m in self.memory], np.int64)
        self.outer = [
            (number, buffer.kind == "input", buffer.number)
            for number, buffer in enumerate(plan.buffers)
            if buffer.kind in ("input", "result")
        ]
        # the arrays of steps that move with their memory: the caller's, or what NumPy returned
        self._last_addresses: list[int] = []
        self._followers: list[_Follower] = []
        self._followers_of_adopted: dict[int, list[_Follower]] = {}
        self._in_segments = {
            place.buffer
            for step in plan.steps
            if isinstance(step, Segment)
            for place in (*(place for _, place in step.loads), *(store.place for store in step.stores))
        }
        self.calls: list[SegmentCall] = []
        self.steps = list(self._steps(plan))
        self._callback: Any = None

    def sources(self) -> list[Source]:
        return [source for call in self.calls for source in call.sources().values()]

    def use_native(self, addresses: Sequence[int]) -> None:
        remaining = iter(addresses)
        for call in self.calls:
            call.use_native({number: next(remaining) for number in call.sources()})

    def run(self, inputs: Sequence[Floats], results: Sequence[Floats]) -> int:
        self.place(inputs, results)
        return self.run_steps()

    def place(self, inputs: Sequence[Floats], results: Sequence[Floats]) -> None:
        """Note where the arrays are."""
        for number, is_input, which in self.outer:
            self.addresses[number] = (inputs[which] if is_input else results[which]).ctypes.data

    def run_steps(self) -> int:
        """Run on what is at the addresses."""
        self.captured.refresh()
        if self._followers:
            addresses = self.addresses.tolist()
            if addresses != self._last_addresses:
                for follower in self._followers:
                    follower.follow(addresses[follower.place.buffer])
                self._last_addresses = addresses
        for step in self.steps:
            failed = step()
            if failed >= 0:
                return failed
        return -1

    def _called_back(self) -> int:
        """``run_steps`` for the kernels; after an exception they ask Python code again, which raises it."""
        try:
            return self.run_steps()
        except KeyboardInterrupt:
            interrupt_main()
        except Exception:
            pass
        return CALLED_IN_VAIN

    def wiring(self) -> Wiring:
        words = {
            (is_input, which): int(self.addresses.ctypes.data) + 8 * number for number, is_input, which in self.outer
        }
        n_inputs = sum(is_input for is_input, _ in words)
        reads = [(array.ctypes.data, array.nbytes) for array in self.captured.arrays]
        if len(self.steps) == len(self.calls) == 1 and not self.captured.has_copies:
            driver, job, nanoseconds = isa.RUN_ARRAY, self.calls[0].address, self.calls[0].nanoseconds
        else:
            self._callback = CALLBACK(self._called_back)
            # nothing is gained by letting go of the interpreter's lock, which the steps need
            driver, job, nanoseconds = ctypes.cast(self._callback, ctypes.c_void_p).value or 0, 0, 0
        return Wiring(
            driver=driver,
            job=job,
            input_words=[words[True, k] for k in range(n_inputs)],
            result_words=[np.array([[words[False, k], 0]], np.int64) for k in range(len(words) - n_inputs)],
            reads=np.array(reads, np.int64).reshape(-1, 2),
            nanoseconds=nanoseconds,
            owner=self,
        )

    def _steps(self, plan: ArrayPlan) -> Iterator[Callable[[], int]]:
        """Segments that follow one another are one call; the first that is needed zeroes buffers."""
        zeroed, waiting = plan.zeroed, list[Segment]()
        for step in plan.steps:
            if isinstance(step, Segment):
                if 0 not in step.shape:
                    waiting.append(step)
                continue
            read = (step.source,) if isinstance(step, Copy) else step.operands
            if waiting or any(place.buffer == stretch.buffer for place in read for stretch in zeroed):
                yield self._call(waiting, zeroed)
                waiting, zeroed = [], ()
            yield self._copy(step, plan) if isinstance(step, Copy) else self._evaluation(step, plan)
        if waiting or zeroed:
            yield self._call(waiting, zeroed)

    def _call(self, segments: Sequence[Segment], zeroed: Sequence[Stretch]) -> Callable[[], int]:
        parts = [part for segment in segments for part in _parts(segment)]
        call = SegmentCall(parts, zeroed, self.addresses)
        self.calls.append(call)
        run_array, address = kernels().run_array, call.address

        def run() -> int:
            return int(run_array(address))

        return run

    def _copy(self, step: Copy, plan: ArrayPlan) -> Callable[[], int]:
        arrays = self._arrays((step.target, step.source), plan)

        def copy() -> int:
            arrays[0][...] = arrays[1]
            return -1

        return copy

    def _evaluation(self, step: Evaluation, plan: ArrayPlan) -> Callable[[], int]:
        operation, attribute, number = step.operation, step.attribute, step.result.buffer
        evaluate, into = operation.evaluate, operation.into
        operands = self._arrays(step.operands, plan)
        for position in operation.position_operands:
            positions = _positions(step.operands[position], plan)
            if positions is not None:
                operands[position] = positions
        if number in self._adopted:
            return self._adopting(step, operands)
        result = self._arrays((step.result,), plan)

        def run() -> int:
            if into is None:
                result[0][...] = evaluate(attribute, *operands)
            else:
                into(attribute, result[0], *operands)
            return -1

        return run

    def _adopting(self, step: Evaluation, operands: list[NDArray[Any]]) -> Callable[[], int]:
        """An evaluation whose result becomes the buffer."""
        attribute, evaluate, shape, number = (
            step.attribute,
            step.operation.evaluate,
            step.result.shape,
            step.result.buffer,
        )
        followers = self._followers_of_adopted.setdefault(number, [])
        in_segments, addresses = number in self._in_segments, self.addresses

        def run() -> int:
            result = np.ascontiguousarray(evaluate(attribute, *operands), np.float64)
            if result.shape != shape:
                result = np.broadcast_to(result, shape).copy()
            self.memory[number] = result
            if in_segments:
                addresses[number] = result.ctypes.data
            for follower in followers:
                follower.look_at(result)
            return -1

        return run

    def _arrays(self, places: Sequence[Place], plan: ArrayPlan) -> list[NDArray[Any]]:
        """The arrays at places; those in memory that moves are kept up to date."""
        arrays: list[NDArray[Any]] = []
        for position, place in enumerate(places):
            buffer = plan.buffers[place.buffer]
            moves = buffer.kind in ("input", "result") or place.buffer in self._adopted
            if moves or 0 in place.shape:
                # where an empty array begins may lie beyond its buffer
                arrays.append(np.empty(place.shape))
            else:
                arrays.append(_view(place, self.memory[place.buffer]))
            if moves and 0 not in place.shape:
                follower = _Follower(arrays, position, place, buffer.size)
                if place.buffer in self._adopted:
                    self._followers_of_adopted.setdefault(place.buffer, []).append(follower)
                else:
                    self._followers.append(follower)
        return arrays


def _adopted_buffers(plan: ArrayPlan) -> set[int]:
    """Workspace that is large and filled by NumPy with an array of its own making."""
    return {
        step.result.buffer
        for step in plan.steps
        if isinstance(step, Evaluation)
        and step.operation.into is None
        and plan.buffers[step.result.buffer].kind == "workspace"
        and plan.buffers[step.result.buffer].size >= ADOPTED_SIZE
    }


def _positions(place: Place, plan: ArrayPlan) -> NDArray[np.intp] | None:
    """Constant positions as they are, not as floats."""
    buffer = plan.buffers[place.buffer]
    if buffer.kind != "constant":
        return None
    original = plan.constants[buffer.number]
    as_they_are = original.shape == place.shape and original.dtype == np.intp and original.flags.c_contiguous
    return original if as_they_are else None


def _view(place: Place, memory: Any) -> Floats:
    strides = tuple(8 * stride for stride in place.strides)
    return np.ndarray(place.shape, np.float64, memory, 8 * place.offset, strides)


class _Follower:
    """A view in memory that moves, in the list of arrays that a step works on."""

    __slots__ = ("_arrays", "_position", "_row", "_views", "_whole", "place")

    def __init__(self, arrays: list[NDArray[Any]], position: int, place: Place, size: int) -> None:
        self._arrays, self._position, self.place = arrays, position, place
        self._row = ctypes.c_double * size
        self._views: dict[int, Floats] = {}
        self._whole = (
            place == Place(place.buffer, 0, place.shape, contiguous(place.shape)) and math.prod(place.shape) == size
        )

    def follow(self, address: int) -> None:
        """Look at the caller's memory, which is one of a few places as a rule."""
        view = self._views.get(address)
        if view is None:
            if len(self._views) >= MAX_VIEWS:
                self._views.clear()
            view = self._views[address] = _view(self.place, self._row.from_address(address))
        self._arrays[self._position] = view

    def look_at(self, array: Floats) -> None:
        """Look at an array of the buffer's size."""
        self._arrays[self._position] = (
            array if array.shape == self.place.shape and self._whole else _view(self.place, array)
        )


class SegmentCall:
    """Segments that the driver runs in one call, on buffers at ``addresses``."""

    def __init__(self, segments: Sequence[Segment], zeroed: Sequence[Stretch], addresses: NDArray[np.int64]) -> None:
        self.addresses = addresses
        self.loads = _Rows(isa.INPUT_ROW, sum(len(segment.loads) for segment in segments))
        self.stores = _Rows(isa.OUTPUT_ROW, sum(len(segment.stores) for segment in segments))
        lanes = [_lanes(segment) for segment in segments]
        n_rows = max((s.sweep.n_slots * n for s, n in zip(segments, lanes, strict=True)), default=0)
        self.rows, self.failed_lanes = aligned(n_rows), np.zeros(MAX_LANES, np.int64)
        self.jobs, self.lengths = np.zeros(len(segments), isa.JOB), list[NDArray[np.int64]]()
        self.segments = segments
        self.nanoseconds = sum(segment.nanoseconds for segment in segments)
        for k, (segment, n_lanes) in enumerate(zip(segments, lanes, strict=True)):
            self._fill(self.jobs[k : k + 1], segment, n_lanes)
        stretches = [(stretch.buffer, stretch.first, stretch.count) for stretch in zeroed if stretch.count]
        self.zeroed = np.array(stretches, np.int64).reshape(-1, 3)
        self.job = np.zeros(1, isa.ARRAY_JOB)
        fields = {
            "addresses": self.addresses.ctypes.data,
            "loads": self.loads.address(0),
            "load_places": self.loads.places.ctypes.data,
            "n_loads": self.loads.n,
            "stores": self.stores.address(0),
            "store_places": self.stores.places.ctypes.data,
            "n_stores": self.stores.n,
            "zeroed": self.zeroed.ctypes.data,
            "n_zeroed": len(self.zeroed),
            "jobs": self.jobs.ctypes.data,
            "n_jobs": len(self.jobs),
        }
        isa.set_fields(self.job, fields)
        self.address = self.job.ctypes.data

    def sources(self) -> dict[int, Source]:
        """What native code is made from, for the jobs by number that it is made for."""
        found = {}
        for number, (segment, job) in enumerate(zip(self.segments, self.jobs, strict=True)):
            loads = self.loads.part(int(job["inputs"]), int(job["n_inputs"]))
            stores = self.stores.part(int(job["outputs"]), int(job["n_outputs"]))
            seeds = np.zeros(0, isa.SEED_ROW)
            source = Source(segment.sweep, isa.REVERSE, 1, 1, loads, seeds, stores)
            if source.is_native:
                found[number] = source
        return found

    def use_native(self, addresses: Mapping[int, int]) -> None:
        """Have jobs, by number, use these functions."""
        n_rows = max((int(job["n_inputs"] + job["n_outputs"]) for job in self.jobs), default=0)
        self._native_rows = np.zeros(n_rows, np.int64)
        self._scratch = aligned(n_rows * MAX_LANES)
        self.jobs["rows"], self.jobs["scratch"] = self._native_rows.ctypes.data, self._scratch.ctypes.data
        for number, address in addresses.items():
            self.jobs[number]["native"] = address

    def _fill(self, job: NDArray[Any], segment: Segment, lanes: int) -> None:
        shape, order = _index_space(segment)
        loads = [{"slot": slot, "uniform": order(place.strides)[-1] == 0} for slot, place in segment.loads]
        first_load, n_loads = self.loads.add(loads, [place for _, place in segment.loads], order)
        stores = [
            {"slot": s.slot, "mode": isa.ACCUMULATE if s.accumulate else isa.STORE, "kind": isa.OUT_VALUE}
            for s in segment.stores
        ]
        first_store, n_stores = self.stores.add(stores, [s.place for s in segment.stores], order)
        self.lengths.append(np.array(shape, np.int64))
        fields = {
            "words": segment.sweep.words.ctypes.data,
            "memory": self.rows.ctypes.data,
            "constants": segment.sweep.numbers.ctypes.data,
            "n_constants": len(segment.sweep.numbers),
            "inputs": self.loads.address(first_load),
            "n_inputs": n_loads,
            "outputs": self.stores.address(first_store),
            "n_outputs": n_stores,
            "n_sweeps": 1,
            "lanes": lanes,
            "ndim": len(shape),
            "shape": self.lengths[-1].ctypes.data,
            "last_tile": isa.n_tiles(shape, lanes),
            "failed_lanes": self.failed_lanes.ctypes.data,
            "has_guards": segment.sweep.n_guards > 0,
        }
        isa.set_fields(job, fields)


class _Rows:
    """The rows of all segments of a call, and for each the number of its buffer and its offset there in bytes."""

    def __init__(self, kind: np.dtype[Any], n: int) -> None:
        self.records = np.zeros(n, kind)
        self.places = np.zeros((n, 2), np.int64)
        self.n = 0

    def add(self, rows: Sequence[dict[str, int]], places: Sequence[Place], order: _Order) -> tuple[int, int]:
        first = self.n
        for row, place in zip(rows, places, strict=True):
            record = self.records[self.n]
            for name, value in row.items():
                record[name] = value
            strides = order(place.strides)
            record["strides"][: len(strides)] = strides
            self.places[self.n] = place.buffer, 8 * place.offset
            self.n += 1
        return first, self.n - first

    def address(self, first: int) -> int:
        return self.records.ctypes.data + first * self.records.itemsize

    def part(self, address: int, n: int) -> NDArray[Any]:
        """The records from an address on."""
        first = (address - self.records.ctypes.data) // max(self.records.itemsize, 1)
        return self.records[first : first + n]


_Order = Callable[[Sequence[int]], list[int]]


def _index_space(segment: Segment) -> tuple[tuple[int, ...], _Order]:
    """The segment's axes with neighbours merged wherever every row allows it; and how that maps strides.

    Lanes run along the last axis. Where that is short, the longest axis changes places with it: a softmax over 256 rows
    of 10 takes 15 instead of 47 us.
    """
    rows = [place.strides for _, place in segment.loads] + [store.place.strides for store in segment.stores]
    groups: list[list[int]] = []
    for axis, length in enumerate(segment.shape):
        if length == 1:
            continue
        if groups and all(strides[groups[-1][-1]] == strides[axis] * length for strides in rows):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    if not groups:
        return (1,), lambda strides: [0]
    lengths = [math.prod(segment.shape[axis] for axis in group) for group in groups]
    longest = lengths.index(max(lengths))
    if lengths[-1] < SHORT_ROW:
        groups[longest], groups[-1] = groups[-1], groups[longest]
        lengths[longest], lengths[-1] = lengths[-1], lengths[longest]
    shape = tuple(lengths)
    return shape, lambda strides: [strides[group[-1]] for group in groups]


def _parts(segment: Segment) -> Iterator[Segment]:
    """The segment, or one for each step along its shortest axes where it has more axes than the kernels know."""
    if len(_index_space(segment)[0]) <= isa.MAX_DIMENSIONS:
        yield segment
        return
    length, axis = min((length, axis) for axis, length in enumerate(segment.shape) if length > 1)
    shape = (*segment.shape[:axis], 1, *segment.shape[axis + 1 :])
    for step in range(length):

        def moved(place: Place, step: int = step) -> Place:
            return replace(place, offset=place.offset + step * place.strides[axis], shape=shape)

        loads = tuple((slot, moved(place)) for slot, place in segment.loads)
        stores = tuple(replace(store, place=moved(store.place)) for store in segment.stores)
        yield from _parts(replace(segment, shape=shape, loads=loads, stores=stores))


def _lanes(segment: Segment) -> int:
    """As many as fit and are needed: short rows would be filled up."""
    shape, _ = _index_space(segment)
    needed = 1 << max(shape[-1] - 1, 0).bit_length()
    return min(fitting_lanes(segment.sweep.n_slots, MIN_LANES), max(needed, MIN_LANES))
