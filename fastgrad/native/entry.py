"""A request on a tape as one function of machine code that needs nothing else: what compiled callers call.

``i64 entry(inputs, outputs, workspace)``: tables of the addresses of float64 arrays in C order, and room to work in. It
returns -1, or the number of the first guard that does not hold (then nothing is written). It may run in several threads
at once, each with a workspace of its own.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.errors import UnsupportedError
from fastgrad.native import store
from fastgrad.native.routine import NotNativeError, decoded
from fastgrad.native.source import EntrySource, digest_of
from fastgrad.plan.request import Kind, Request, Shape, result_shapes
from fastgrad.plan.scalar_program import scalar_cost, scalar_program
from fastgrad.plan.sweep import Sweep
from fastgrad.tape import Tape
from fastgrad.vm.memory import is_plain
from fastgrad.vm.scalar_executor import Runner, ScalarExecutor

__all__ = ["Entry", "entry_for"]

Floats = NDArray[np.float64]
# scalar instructions that a tape may have; a hundred thousand compile in seconds
MAX_INSTRUCTIONS = 200_000


@dataclass(frozen=True)
class Entry:
    """Machine code for a request.

    ``input_shapes`` are those of the tape's inputs and then of the seeds, if the request takes any; the table of inputs
    that the code is given has the addresses of ``captured`` between the two. ``name`` differs for different code.
    """

    address: int
    name: str
    input_shapes: tuple[Shape, ...]
    n_seeds: int
    captured: tuple[Floats, ...]
    result_shapes: tuple[Shape, ...]
    # doubles
    workspace: int
    owner: Any = field(repr=False)

    @property
    def function(self) -> Any:
        """The code as a ctypes function of three addresses."""
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        return kind(self.address)


def entry_for(tape: Tape, request: Request) -> Entry:
    """Compile a request on a tape, or take its code from the cache.

    Raises UnsupportedError for tapes with operations that only NumPy does, for those too large to be written out, and
    where captured data is not float64 in C order.
    """
    cost = scalar_cost(tape)
    if cost > MAX_INSTRUCTIONS:
        raise UnsupportedError(
            "this function cannot become one piece of machine code: it has operations that only NumPy and LAPACK do."
            if cost == float("inf")
            else f"this function would take {cost:.0f} scalar instructions; up to {MAX_INSTRUCTIONS} are written out. "
            "Call the derivative from Python, or give it smaller arrays."
        )
    shapes = result_shapes(tape.output_shapes, tape.input_shapes, request)
    executor = ScalarExecutor(scalar_program(tape), request, shapes)
    runner = Runner(executor.layout)
    if not all(map(is_plain, _arrays_read(executor.sweep))):
        raise UnsupportedError(
            "machine code reads captured arrays where they are, so they must hold float64 in C order. Convert them "
            "before the function is recorded, with numpy.ascontiguousarray(a, float)."
        )
    source, seed_shapes = _source(runner), _seed_shapes(tape, request)
    try:
        code = store.find([source]) or store.make([source])
    except NotNativeError as error:
        raise UnsupportedError(f"this function cannot become one piece of machine code: {error}.") from None
    return Entry(
        address=code.addresses[0],
        name=f"fastgrad_{digest_of([source])}",
        input_shapes=(*tape.input_shapes, *seed_shapes),
        n_seeds=len(seed_shapes),
        captured=tuple(runner.captured.arrays),
        result_shapes=shapes,
        workspace=source.workspace,
        owner=(code, executor),
    )


def _arrays_read(sweep: Sweep) -> list[NDArray[Any]]:
    """The captured arrays that the program reads; positions for indexing are part of it."""
    read = {slot for instruction in decoded(sweep.words) for slot in instruction.read}
    read.update(sweep.edges[:, 2].tolist(), *(slots.ravel().tolist() for slots in sweep.outputs))
    return [array for array, first in sweep.captured if not read.isdisjoint(range(first, first + array.size))]


def _source(runner: Runner) -> EntrySource:
    source = runner.source()
    seeds = _places(len(source.seeds), runner.seed_places, first_array=len(source.inputs))
    outputs = _places(len(source.outputs), runner.output_places, first_array=0)
    return EntrySource(**vars(source), seed_places=seeds, output_places=outputs)


def _places(n: int, arrays: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], first_array: int) -> Any:
    """For each of ``n`` rows the number of its array, and the element there that it begins with."""
    found = np.zeros((n, 2), np.int64)
    for number, (rows, offsets) in enumerate(arrays):
        found[rows, 0], found[rows, 1] = first_array + number, offsets // 8
    return found


def _seed_shapes(tape: Tape, request: Request) -> tuple[Shape, ...]:
    match request.kind:
        case Kind.VJP:
            return tape.output_shapes[: request.n_outputs]
        case Kind.JVP:
            return tuple(tape.input_shapes[position] for position in request.wrt)
        case _:
            return ()
