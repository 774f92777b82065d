"""Runs an array plan: segments through the tile driver, the rest with NumPy on views of the buffers."""

from __future__ import annotations

import ctypes
import math
from _thread import interrupt_main
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.native.source import Source
from fastgrad.native.tier import Tier
from fastgrad.plan.array_plan import array_plan
from fastgrad.plan.array_steps import (
    ArrayPlan,
    Blocks,
    Copy,
    Evaluation,
    Place,
    Segment,
    Stretch,
    contiguous,
    places_of,
    touched_by,
)
from fastgrad.plan.derived import derived_tape
from fastgrad.plan.request import Kind, Request, result_shapes
from fastgrad.tape import Tape
from fastgrad.transform.jacobian_in_one_run import batched_jacobian
from fastgrad.transform.symbolic import without_dead_nodes
from fastgrad.vm import instructions as isa
from fastgrad.vm.block_steps import BlockSteps
from fastgrad.vm.memory import Captured, aligned, taken
from fastgrad.vm.segment_call import SegmentCall
from fastgrad.vm.wiring import Wiring

Floats = NDArray[np.float64]
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
        self.nanoseconds = float(sum(s.nanoseconds for s in self.plan.flat_steps if isinstance(s, Segment)))
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
            place.buffer for step in plan.flat_steps if isinstance(step, Segment) for place in places_of(step)
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
        if self.steps == self.calls and len(self.calls) == 1 and not self.captured.has_copies:
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
            touched = _touched(step)
            if waiting or any(place.buffer == stretch.buffer for place in touched for stretch in zeroed):
                yield self._call(waiting, zeroed)
                waiting, zeroed = [], ()
            if isinstance(step, Blocks):
                yield self._blocks(step, plan)
            else:
                yield self._copy(step, plan) if isinstance(step, Copy) else self._evaluation(step, plan)
        if waiting or zeroed:
            yield self._call(waiting, zeroed)

    def _call(self, segments: Sequence[Segment], zeroed: Sequence[Stretch]) -> SegmentCall:
        self.calls.append(SegmentCall(segments, zeroed, self.addresses))
        return self.calls[-1]

    def _blocks(self, step: Blocks, plan: ArrayPlan) -> BlockSteps:
        steps = BlockSteps(step, self.addresses, lambda places: self._arrays(places, plan))
        self.calls.extend(steps.calls)
        return steps

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


def _touched(step: Evaluation | Copy | Blocks) -> list[Place]:
    """What a step reads, and all that blocks write, which may be added to what is there."""
    return list(touched_by(step)) if isinstance(step, Blocks) else [*touched_by(step)][:-1]


def _adopted_buffers(plan: ArrayPlan) -> set[int]:
    """Workspace that is large and filled by NumPy with an array of its own making."""
    return {
        step.result.buffer
        for step in plan.flat_steps
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
