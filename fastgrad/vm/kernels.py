"""The kernels: sweeps over a program and its edges, and the two drivers. Each is Python that reads as what it does.

Numba compiles them, through :mod:`fastgrad.vm.numba_kernel`; the code of single operations comes from the op table
through :mod:`fastgrad.vm.operations`. What programs, edges and jobs are is told in :mod:`fastgrad.vm.instructions`.

*Careful* sweeps take a factor of exactly 0 to give 0, whatever the other factor is. The drivers run the plain sweep,
and repeat it carefully only if a wanted result is NaN: a 0 * inf leaves NaN in every result that it reaches.
Adjoints start at +0, to which no addition gives -0, so the two sweeps agree to the bit wherever neither gives NaN.
"""

# Numba reads these functions: integers are int64 throughout (an int64 with a uint64 would become a float).

from __future__ import annotations

from typing import Any

from numba import int64

from fastgrad.vm import instructions as isa
from fastgrad.vm.numba_kernel import (
    FLOAT,
    FLOATS,
    INTEGER,
    INTEGERS,
    NOTHING,
    WORDS,
    address_of,
    caller,
    external,
    floats_at,
    integers_at,
    kernel,
    part,
    words_at,
)

run_common = external("run_common", INTEGER, WORDS, INTEGER, FLOATS)
step = external("step", INTEGER, WORDS, INTEGER, FLOATS)
step_lanes = external("step_lanes", INTEGER, WORDS, INTEGER, FLOATS, INTEGER)
check_lanes = external("check_lanes", NOTHING, WORDS, INTEGER, FLOATS, INTEGER, INTEGERS)
add_product = external("add_product", NOTHING, FLOATS, FLOATS, FLOATS, INTEGER)
add_product_careful = external("add_product_careful", NOTHING, FLOATS, FLOATS, FLOATS, INTEGER)
add_scaled = external("add_scaled", NOTHING, FLOATS, FLOATS, FLOAT, INTEGER)
add_scaled_careful = external("add_scaled_careful", NOTHING, FLOATS, FLOATS, FLOAT, INTEGER)
sum_of_row = external("sum_of_row", FLOAT, FLOATS, INTEGER)

call_1, call_5 = caller(1), caller(5)

END = isa.END
GUARD_WORDS = isa.GUARD_WORDS
N_OPERATIONS = len(isa.INSTRUCTIONS)

# ---- one evaluation


@kernel(INTEGER, WORDS, FLOATS)
def forward(words: Any, memory: Any) -> Any:
    """Run the program; the first failed guard, or -1."""
    position = 0
    while True:
        position = run_common(words, position, memory)
        opcode = words[position]
        if opcode < N_OPERATIONS:
            position = step(words, position, memory)
        elif opcode < END:
            return int64(words[position + 1])  # a guard is stopped at only where it fails
        else:
            return -1


@kernel(NOTHING, WORDS, INTEGER, FLOATS, FLOATS)
def reverse(edges: Any, n_edges: Any, memory: Any, adjoints: Any) -> None:
    for k in range(n_edges):
        i, a, d = int64(edges[3 * k]), int64(edges[3 * k + 1]), int64(edges[3 * k + 2])
        adjoints[a] += adjoints[i] * memory[d]


@kernel(NOTHING, WORDS, INTEGER, FLOATS, FLOATS)
def reverse_careful(edges: Any, n_edges: Any, memory: Any, adjoints: Any) -> None:
    for k in range(n_edges):
        i, a, d = int64(edges[3 * k]), int64(edges[3 * k + 1]), int64(edges[3 * k + 2])
        if adjoints[i] != 0.0 and memory[d] != 0.0:
            adjoints[a] += adjoints[i] * memory[d]


@kernel(NOTHING, WORDS, INTEGER, FLOATS, FLOATS)
def tangent(edges: Any, n_edges: Any, memory: Any, tangents: Any) -> None:
    for k in range(n_edges - 1, -1, -1):
        i, a, d = int64(edges[3 * k]), int64(edges[3 * k + 1]), int64(edges[3 * k + 2])
        tangents[i] += tangents[a] * memory[d]


@kernel(NOTHING, WORDS, INTEGER, FLOATS, FLOATS)
def tangent_careful(edges: Any, n_edges: Any, memory: Any, tangents: Any) -> None:
    for k in range(n_edges - 1, -1, -1):
        i, a, d = int64(edges[3 * k]), int64(edges[3 * k + 1]), int64(edges[3 * k + 2])
        if tangents[a] != 0.0 and memory[d] != 0.0:
            tangents[i] += tangents[a] * memory[d]


# ---- one evaluation, many seeds: memory holds numbers, adjoints hold rows


@kernel(NOTHING, WORDS, INTEGER, FLOATS, FLOATS, INTEGER)
def reverse_rows(edges: Any, n_edges: Any, memory: Any, adjoints: Any, n_seeds: Any) -> None:
    for k in range(n_edges):
        i, a, d = int64(edges[3 * k]), int64(edges[3 * k + 1]), int64(edges[3 * k + 2])
        add_scaled(part(adjoints, a * n_seeds), part(adjoints, i * n_seeds), memory[d], n_seeds)


@kernel(NOTHING, WORDS, INTEGER, FLOATS, FLOATS, INTEGER)
def reverse_rows_careful(edges: Any, n_edges: Any, memory: Any, adjoints: Any, n_seeds: Any) -> None:
    for k in range(n_edges):
        i, a, d = int64(edges[3 * k]), int64(edges[3 * k + 1]), int64(edges[3 * k + 2])
        add_scaled_careful(part(adjoints, a * n_seeds), part(adjoints, i * n_seeds), memory[d], n_seeds)


@kernel(NOTHING, WORDS, INTEGER, FLOATS, FLOATS, INTEGER)
def tangent_rows(edges: Any, n_edges: Any, memory: Any, tangents: Any, n_seeds: Any) -> None:
    for k in range(n_edges - 1, -1, -1):
        i, a, d = int64(edges[3 * k]), int64(edges[3 * k + 1]), int64(edges[3 * k + 2])
        add_scaled(part(tangents, i * n_seeds), part(tangents, a * n_seeds), memory[d], n_seeds)


@kernel(NOTHING, WORDS, INTEGER, FLOATS, FLOATS, INTEGER)
def tangent_rows_careful(edges: Any, n_edges: Any, memory: Any, tangents: Any, n_seeds: Any) -> None:
    for k in range(n_edges - 1, -1, -1):
        i, a, d = int64(edges[3 * k]), int64(edges[3 * k + 1]), int64(edges[3 * k + 2])
        add_scaled_careful(part(tangents, i * n_seeds), part(tangents, a * n_seeds), memory[d], n_seeds)


# ---- many evaluations at once: memory and adjoints hold rows


@kernel(NOTHING, WORDS, FLOATS, INTEGER, INTEGERS)
def forward_lanes(words: Any, memory: Any, lanes: Any, failed: Any) -> None:
    """Run the program in every lane; ``failed`` keeps the first failed guard of each."""
    position = 0
    while True:
        opcode = words[position]
        if opcode < N_OPERATIONS:
            position = step_lanes(words, position, memory, lanes)
        elif opcode < END:
            check_lanes(words, position, memory, lanes, failed)
            position += GUARD_WORDS
        else:
            return


@kernel(NOTHING, WORDS, INTEGER, FLOATS, FLOATS, INTEGER)
def reverse_lanes(edges: Any, n_edges: Any, memory: Any, adjoints: Any, lanes: Any) -> None:
    for k in range(n_edges):
        i, a, d = int64(edges[3 * k]) * lanes, int64(edges[3 * k + 1]) * lanes, int64(edges[3 * k + 2]) * lanes
        add_product(part(adjoints, a), part(adjoints, i), part(memory, d), lanes)


@kernel(NOTHING, WORDS, INTEGER, FLOATS, FLOATS, INTEGER)
def reverse_lanes_careful(edges: Any, n_edges: Any, memory: Any, adjoints: Any, lanes: Any) -> None:
    for k in range(n_edges):
        i, a, d = int64(edges[3 * k]) * lanes, int64(edges[3 * k + 1]) * lanes, int64(edges[3 * k + 2]) * lanes
        add_product_careful(part(adjoints, a), part(adjoints, i), part(memory, d), lanes)


@kernel(NOTHING, WORDS, INTEGER, FLOATS, FLOATS, INTEGER)
def tangent_lanes(edges: Any, n_edges: Any, memory: Any, tangents: Any, lanes: Any) -> None:
    for k in range(n_edges - 1, -1, -1):
        i, a, d = int64(edges[3 * k]) * lanes, int64(edges[3 * k + 1]) * lanes, int64(edges[3 * k + 2]) * lanes
        add_product(part(tangents, i), part(tangents, a), part(memory, d), lanes)


@kernel(NOTHING, WORDS, INTEGER, FLOATS, FLOATS, INTEGER)
def tangent_lanes_careful(edges: Any, n_edges: Any, memory: Any, tangents: Any, lanes: Any) -> None:
    for k in range(n_edges - 1, -1, -1):
        i, a, d = int64(edges[3 * k]) * lanes, int64(edges[3 * k + 1]) * lanes, int64(edges[3 * k + 2]) * lanes
        add_product_careful(part(tangents, i), part(tangents, a), part(memory, d), lanes)


# ---- the fields of a job and of its records, in 64-bit words

J_WORDS = isa.field_offset(isa.JOB, "words")
J_EDGES = isa.field_offset(isa.JOB, "edges")
J_N_EDGES = isa.field_offset(isa.JOB, "n_edges")
J_DIRECTION = isa.field_offset(isa.JOB, "direction")
J_MEMORY = isa.field_offset(isa.JOB, "memory")
J_ADJOINTS = isa.field_offset(isa.JOB, "adjoints")
J_N_ADJOINTS = isa.field_offset(isa.JOB, "n_adjoints")
J_N_SWEEPS = isa.field_offset(isa.JOB, "n_sweeps")
J_CONSTANTS = isa.field_offset(isa.JOB, "constants")
J_N_CONSTANTS = isa.field_offset(isa.JOB, "n_constants")
J_INPUTS = isa.field_offset(isa.JOB, "inputs")
J_N_INPUTS = isa.field_offset(isa.JOB, "n_inputs")
J_SEEDS = isa.field_offset(isa.JOB, "seeds")
J_N_SEEDS = isa.field_offset(isa.JOB, "n_seeds")
J_OUTPUTS = isa.field_offset(isa.JOB, "outputs")
J_N_OUTPUTS = isa.field_offset(isa.JOB, "n_outputs")
J_SEED_WIDTH = isa.field_offset(isa.JOB, "seed_width")
J_LANES = isa.field_offset(isa.JOB, "lanes")
J_NDIM = isa.field_offset(isa.JOB, "ndim")
J_SHAPE = isa.field_offset(isa.JOB, "shape")
J_FIRST_TILE = isa.field_offset(isa.JOB, "first_tile")
J_LAST_TILE = isa.field_offset(isa.JOB, "last_tile")
J_FAILED = isa.field_offset(isa.JOB, "failed")
J_FAILED_LANES = isa.field_offset(isa.JOB, "failed_lanes")
J_NATIVE = isa.field_offset(isa.JOB, "native")
J_ROWS = isa.field_offset(isa.JOB, "rows")
J_SCRATCH = isa.field_offset(isa.JOB, "scratch")
J_HAS_GUARDS = isa.field_offset(isa.JOB, "has_guards")

CONSTANT_SIZE = isa.record_size(isa.CONSTANT)
CONSTANT_SLOT = isa.field_offset(isa.CONSTANT, "slot")
CONSTANT_VALUE = isa.field_offset(isa.CONSTANT, "value")

INPUT_SIZE = isa.record_size(isa.INPUT)
INPUT_ADDRESS = isa.field_offset(isa.INPUT, "address")
INPUT_POSITION = isa.field_offset(isa.INPUT, "position")
INPUT_COUNT = isa.field_offset(isa.INPUT, "count")

SEED_SIZE = isa.record_size(isa.SEED)
SEED_SWEEP = isa.field_offset(isa.SEED, "sweep")
SEED_KIND = isa.field_offset(isa.SEED, "kind")
SEED_POSITION = isa.field_offset(isa.SEED, "position")
SEED_COUNT = isa.field_offset(isa.SEED, "count")
SEED_VALUE = isa.field_offset(isa.SEED, "value")
SEED_ADDRESS = isa.field_offset(isa.SEED, "address")

OUTPUT_SIZE = isa.record_size(isa.OUTPUT)
OUTPUT_SWEEP = isa.field_offset(isa.OUTPUT, "sweep")
OUTPUT_KIND = isa.field_offset(isa.OUTPUT, "kind")
OUTPUT_POSITION = isa.field_offset(isa.OUTPUT, "position")
OUTPUT_STEP = isa.field_offset(isa.OUTPUT, "step")
OUTPUT_COUNT = isa.field_offset(isa.OUTPUT, "count")
OUTPUT_ADDRESS = isa.field_offset(isa.OUTPUT, "address")

INPUT_ROW_SIZE = isa.record_size(isa.INPUT_ROW)
INPUT_ROW_SLOT = isa.field_offset(isa.INPUT_ROW, "slot")
INPUT_ROW_ADDRESS = isa.field_offset(isa.INPUT_ROW, "address")
INPUT_ROW_UNIFORM = isa.field_offset(isa.INPUT_ROW, "uniform")
INPUT_ROW_STRIDES = isa.field_offset(isa.INPUT_ROW, "strides")

SEED_ROW_SIZE = isa.record_size(isa.SEED_ROW)
SEED_ROW_SWEEP = isa.field_offset(isa.SEED_ROW, "sweep")
SEED_ROW_KIND = isa.field_offset(isa.SEED_ROW, "kind")
SEED_ROW_SLOT = isa.field_offset(isa.SEED_ROW, "slot")
SEED_ROW_VALUE = isa.field_offset(isa.SEED_ROW, "value")
SEED_ROW_ADDRESS = isa.field_offset(isa.SEED_ROW, "address")
SEED_ROW_STRIDES = isa.field_offset(isa.SEED_ROW, "strides")

OUTPUT_ROW_SIZE = isa.record_size(isa.OUTPUT_ROW)
OUTPUT_ROW_SWEEP = isa.field_offset(isa.OUTPUT_ROW, "sweep")
OUTPUT_ROW_KIND = isa.field_offset(isa.OUTPUT_ROW, "kind")
OUTPUT_ROW_MODE = isa.field_offset(isa.OUTPUT_ROW, "mode")
OUTPUT_ROW_SLOT = isa.field_offset(isa.OUTPUT_ROW, "slot")
OUTPUT_ROW_ADDRESS = isa.field_offset(isa.OUTPUT_ROW, "address")
OUTPUT_ROW_STRIDES = isa.field_offset(isa.OUTPUT_ROW, "strides")

TANGENT = isa.TANGENT
FROM_CONSTANT = isa.SEED_CONSTANT
OUT_VALUE, OUT_ADJOINT, OUT_ZERO = isa.OUT_VALUE, isa.OUT_ADJOINT, isa.OUT_ZERO
STORE, ACCUMULATE, TILE_SUM = isa.STORE, isa.ACCUMULATE, isa.TILE_SUM
NAN_FOUND = isa.NAN_FOUND
FLOAT_BYTES = 8


@kernel(NOTHING, FLOATS, FLOAT, INTEGER)
def fill(target: Any, value: Any, count: Any) -> None:
    for k in range(count):
        target[k] = value


@kernel(NOTHING, INTEGERS, INTEGER, INTEGER)
def fill_integers(target: Any, value: Any, count: Any) -> None:
    for k in range(count):
        target[k] = value


# ---- the scalar driver


@kernel(INTEGER, INTEGERS)
def run_scalar(job: Any) -> Any:
    """Inputs, forward sweep, derivative sweeps, outputs. The first failed guard (then nothing is written), or -1."""
    if job[J_NATIVE] != 0:
        status = call_1(job[J_NATIVE], address_of(job))
        if status != NAN_FOUND:
            return status
    memory = floats_at(job[J_MEMORY])
    read_scalar_inputs(job, memory)
    failed = forward(words_at(job[J_WORDS]), memory)
    if failed != -1:
        return failed
    if job[J_N_EDGES] == 0:
        write_scalar_outputs(job, 0)
        return -1
    for sweep in range(job[J_N_SWEEPS]):
        sweep_scalar(job, sweep, False)
        if scalar_adjoints_hold_nan(job, sweep):
            sweep_scalar(job, sweep, True)
        write_scalar_outputs(job, sweep)
    return -1


@kernel(NOTHING, INTEGERS, FLOATS)
def read_scalar_inputs(job: Any, memory: Any) -> None:
    for k in range(job[J_N_CONSTANTS]):
        place = job[J_CONSTANTS] + FLOAT_BYTES * CONSTANT_SIZE * k
        memory[integers_at(place)[CONSTANT_SLOT]] = floats_at(place)[CONSTANT_VALUE]
    for k in range(job[J_N_INPUTS]):
        record = integers_at(job[J_INPUTS] + FLOAT_BYTES * INPUT_SIZE * k)
        source = floats_at(record[INPUT_ADDRESS])
        target = part(memory, record[INPUT_POSITION])
        for j in range(record[INPUT_COUNT]):
            target[j] = source[j]


@kernel(NOTHING, INTEGERS, INTEGER, INTEGER)
def sweep_scalar(job: Any, sweep: Any, careful: Any) -> None:
    """Zero the adjoints, seed them, and walk the edges."""
    width = job[J_SEED_WIDTH]
    memory, adjoints = floats_at(job[J_MEMORY]), floats_at(job[J_ADJOINTS])
    edges, n_edges = words_at(job[J_EDGES]), job[J_N_EDGES]
    fill(adjoints, 0.0, job[J_N_ADJOINTS] * width)
    for k in range(job[J_N_SEEDS]):
        place = job[J_SEEDS] + FLOAT_BYTES * SEED_SIZE * k
        record = integers_at(place)
        if record[SEED_SWEEP] == sweep:
            target = part(adjoints, record[SEED_POSITION])
            value = floats_at(place)[SEED_VALUE]
            source = floats_at(record[SEED_ADDRESS])
            for j in range(record[SEED_COUNT]):
                target[j] += value if record[SEED_KIND] == FROM_CONSTANT else source[j]
    if width == 1:
        if job[J_DIRECTION] == TANGENT:
            if careful:
                tangent_careful(edges, n_edges, memory, adjoints)
            else:
                tangent(edges, n_edges, memory, adjoints)
        elif careful:
            reverse_careful(edges, n_edges, memory, adjoints)
        else:
            reverse(edges, n_edges, memory, adjoints)
    elif job[J_DIRECTION] == TANGENT:
        if careful:
            tangent_rows_careful(edges, n_edges, memory, adjoints, width)
        else:
            tangent_rows(edges, n_edges, memory, adjoints, width)
    elif careful:
        reverse_rows_careful(edges, n_edges, memory, adjoints, width)
    else:
        reverse_rows(edges, n_edges, memory, adjoints, width)


@kernel(INTEGER, INTEGERS, INTEGER)
def scalar_adjoints_hold_nan(job: Any, sweep: Any) -> Any:
    for k in range(job[J_N_OUTPUTS]):
        record = integers_at(job[J_OUTPUTS] + FLOAT_BYTES * OUTPUT_SIZE * k)
        if record[OUTPUT_SWEEP] == sweep and record[OUTPUT_KIND] == OUT_ADJOINT:
            source = part(floats_at(job[J_ADJOINTS]), record[OUTPUT_POSITION])
            for j in range(record[OUTPUT_COUNT]):
                value = source[j * record[OUTPUT_STEP]]
                if value != value:
                    return 1
    return 0


@kernel(NOTHING, INTEGERS, INTEGER)
def write_scalar_outputs(job: Any, sweep: Any) -> None:
    for k in range(job[J_N_OUTPUTS]):
        record = integers_at(job[J_OUTPUTS] + FLOAT_BYTES * OUTPUT_SIZE * k)
        if record[OUTPUT_SWEEP] == sweep:
            target = floats_at(record[OUTPUT_ADDRESS])
            if record[OUTPUT_KIND] == OUT_ZERO:
                fill(target, 0.0, record[OUTPUT_COUNT])
            else:
                origin = job[J_MEMORY] if record[OUTPUT_KIND] == OUT_VALUE else job[J_ADJOINTS]
                source = part(floats_at(origin), record[OUTPUT_POSITION])
                for j in range(record[OUTPUT_COUNT]):
                    target[j] = source[j * record[OUTPUT_STEP]]


# ---- the driver over tiles


@kernel(INTEGER, INTEGERS)
def run_tiles(job: Any) -> Any:
    """The job over the tiles [first_tile, last_tile) of its index space; the first failing element's guard, or -1."""
    lanes, shape, ndim = job[J_LANES], integers_at(job[J_SHAPE]), job[J_NDIM]
    memory, failed_lanes = floats_at(job[J_MEMORY]), integers_at(job[J_FAILED_LANES])
    length = shape[ndim - 1]
    tiles_in_row = (length + lanes - 1) // lanes
    first_failed, is_prepared = -1, False
    fill_integers(failed_lanes, -1, lanes)
    for tile in range(job[J_FIRST_TILE], job[J_LAST_TILE]):
        outer = tile // tiles_in_row
        start = (tile - outer * tiles_in_row) * lanes
        valid = lanes if start + lanes <= length else length - start
        is_done = job[J_NATIVE] != 0 and run_native_tile(job, outer, start, valid) != NAN_FOUND
        if not is_done:
            if not is_prepared:
                fill_constants(job)
                is_prepared = True
            for k in range(job[J_N_INPUTS]):
                record = integers_at(job[J_INPUTS] + FLOAT_BYTES * INPUT_ROW_SIZE * k)
                row = part(memory, record[INPUT_ROW_SLOT] * lanes)
                strides = part(record, INPUT_ROW_STRIDES)
                read_row(job, row, record[INPUT_ROW_ADDRESS], strides, outer, start, valid, False)
            forward_lanes(words_at(job[J_WORDS]), memory, lanes, failed_lanes)
        if not is_done or job[J_HAS_GUARDS]:
            failed = note_failures(job, failed_lanes, start, valid)
            if failed != -1:
                if first_failed == -1:
                    first_failed = failed
                if job[J_FAILED] == 0:
                    return first_failed
                fill_integers(failed_lanes, -1, lanes)
        if is_done:
            continue
        if job[J_N_EDGES] == 0:
            write_tile(job, 0, tile, outer, start, valid)
        else:
            for sweep in range(job[J_N_SWEEPS]):
                sweep_tile(job, sweep, outer, start, valid, False)
                if tile_adjoints_hold_nan(job, sweep):
                    sweep_tile(job, sweep, outer, start, valid, True)
                write_tile(job, sweep, tile, outer, start, valid)
    return first_failed


@kernel(NOTHING, INTEGERS)
def fill_constants(job: Any) -> None:
    lanes, memory = job[J_LANES], floats_at(job[J_MEMORY])
    for k in range(job[J_N_CONSTANTS]):
        place = job[J_CONSTANTS] + FLOAT_BYTES * CONSTANT_SIZE * k
        fill(part(memory, integers_at(place)[CONSTANT_SLOT] * lanes), floats_at(place)[CONSTANT_VALUE], lanes)


@kernel(INTEGER, INTEGERS, INTEGER, INTEGER, INTEGER)
def run_native_tile(job: Any, outer: Any, start: Any, valid: Any) -> Any:
    """One tile by native code, on the caller's memory wherever lanes lie there in a row; NAN_FOUND where it gave up."""
    lanes, rows, n = job[J_LANES], integers_at(job[J_ROWS]), 0
    last = job[J_NDIM] - 1
    is_full = valid == lanes
    for k in range(job[J_N_INPUTS]):
        record = integers_at(job[J_INPUTS] + FLOAT_BYTES * INPUT_ROW_SIZE * k)
        strides = part(record, INPUT_ROW_STRIDES)
        if record[INPUT_ROW_UNIFORM] or (is_full and strides[last] == 1):
            rows[n] = record[INPUT_ROW_ADDRESS] + FLOAT_BYTES * offset_of(job, strides, outer, start)
        else:
            rows[n] = job[J_SCRATCH] + FLOAT_BYTES * lanes * n
            read_row(job, floats_at(rows[n]), record[INPUT_ROW_ADDRESS], strides, outer, start, valid, False)
        n += 1
    for k in range(job[J_N_SEEDS]):
        record = integers_at(job[J_SEEDS] + FLOAT_BYTES * SEED_ROW_SIZE * k)
        if record[SEED_ROW_KIND] != FROM_CONSTANT:
            rows[n] = job[J_SCRATCH] + FLOAT_BYTES * lanes * n
            strides = part(record, SEED_ROW_STRIDES)
            read_row(job, floats_at(rows[n]), record[SEED_ROW_ADDRESS], strides, outer, start, valid, False)
            n += 1
    first_output = n
    for k in range(job[J_N_OUTPUTS]):
        record = integers_at(job[J_OUTPUTS] + FLOAT_BYTES * OUTPUT_ROW_SIZE * k)
        strides = part(record, OUTPUT_ROW_STRIDES)
        if is_full and strides[last] == 1 and record[OUTPUT_ROW_MODE] == STORE:
            rows[n] = record[OUTPUT_ROW_ADDRESS] + FLOAT_BYTES * offset_of(job, strides, outer, start)
        else:
            rows[n] = job[J_SCRATCH] + FLOAT_BYTES * lanes * n
        n += 1
    status = call_5(job[J_NATIVE], job[J_ROWS], lanes, job[J_FAILED_LANES], job[J_MEMORY], job[J_ADJOINTS])
    if status == NAN_FOUND:
        return status
    for k in range(job[J_N_OUTPUTS]):
        record = integers_at(job[J_OUTPUTS] + FLOAT_BYTES * OUTPUT_ROW_SIZE * k)
        n = first_output + k
        if rows[n] == job[J_SCRATCH] + FLOAT_BYTES * lanes * n:
            strides = part(record, OUTPUT_ROW_STRIDES)
            target = part(floats_at(record[OUTPUT_ROW_ADDRESS]), offset_of(job, strides, outer, start))
            kind, mode = record[OUTPUT_ROW_KIND], record[OUTPUT_ROW_MODE]
            write_row(target, floats_at(rows[n]), kind, mode, strides[last], valid)
    return status


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER, INTEGER)
def note_failures(job: Any, failed_lanes: Any, start: Any, valid: Any) -> Any:
    """Copy the tile's failures to the caller's array if there is one; the first of them, or -1."""
    if job[J_FAILED] != 0:
        target = part(integers_at(job[J_FAILED]), start)
        for lane in range(valid):
            target[lane] = failed_lanes[lane]
    # counted first: a search that may stop early takes one lane at a time, 0.5 ns each
    n_failed = 0
    for lane in range(valid):
        n_failed += int64(failed_lanes[lane] != -1)
    if n_failed == 0:
        return -1
    for lane in range(valid):
        if failed_lanes[lane] != -1:
            return failed_lanes[lane]
    return -1


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER, INTEGER)
def offset_of(job: Any, strides: Any, outer: Any, start: Any) -> Any:
    """Where a tile begins in an array: the outer axes by the digits of ``outer``, the last by ``start``."""
    shape, axis = integers_at(job[J_SHAPE]), job[J_NDIM] - 1
    offset = start * strides[axis]
    while axis > 1:
        axis -= 1
        rest = outer // shape[axis]
        offset += (outer - rest * shape[axis]) * strides[axis]
        outer = rest
    if axis == 1:
        offset += outer * strides[0]
    return offset


@kernel(NOTHING, INTEGERS, FLOATS, INTEGER, INTEGERS, INTEGER, INTEGER, INTEGER, INTEGER)
def read_row(job: Any, row: Any, address: Any, strides: Any, outer: Any, start: Any, valid: Any, add: Any) -> None:
    """Fill a row (or add to it) from an array; lanes past the last valid one repeat it."""
    lanes, stride = job[J_LANES], strides[job[J_NDIM] - 1]
    source = part(floats_at(address), offset_of(job, strides, outer, start))
    if add:
        for lane in range(lanes):
            row[lane] += source[(lane if lane < valid else valid - 1) * stride]
    elif stride == 0:
        fill(row, source[0], lanes)
    else:
        if stride == 1:
            for lane in range(valid):
                row[lane] = source[lane]
        else:
            for lane in range(valid):
                row[lane] = source[lane * stride]
        if valid < lanes:
            fill(part(row, valid), source[(valid - 1) * stride], lanes - valid)


@kernel(NOTHING, INTEGERS, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER)
def sweep_tile(job: Any, sweep: Any, outer: Any, start: Any, valid: Any, careful: Any) -> None:
    """Zero the adjoint rows, seed them, and walk the edges."""
    lanes = job[J_LANES]
    memory, adjoints = floats_at(job[J_MEMORY]), floats_at(job[J_ADJOINTS])
    edges, n_edges = words_at(job[J_EDGES]), job[J_N_EDGES]
    fill(adjoints, 0.0, job[J_N_ADJOINTS] * lanes)
    for k in range(job[J_N_SEEDS]):
        place = job[J_SEEDS] + FLOAT_BYTES * SEED_ROW_SIZE * k
        record = integers_at(place)
        if record[SEED_ROW_SWEEP] == sweep:
            row = part(adjoints, record[SEED_ROW_SLOT] * lanes)
            if record[SEED_ROW_KIND] == FROM_CONSTANT:
                value = floats_at(place)[SEED_ROW_VALUE]
                for lane in range(lanes):
                    row[lane] += value
            else:
                strides = part(record, SEED_ROW_STRIDES)
                read_row(job, row, record[SEED_ROW_ADDRESS], strides, outer, start, valid, True)
    if job[J_DIRECTION] == TANGENT:
        if careful:
            tangent_lanes_careful(edges, n_edges, memory, adjoints, lanes)
        else:
            tangent_lanes(edges, n_edges, memory, adjoints, lanes)
    elif careful:
        reverse_lanes_careful(edges, n_edges, memory, adjoints, lanes)
    else:
        reverse_lanes(edges, n_edges, memory, adjoints, lanes)


@kernel(INTEGER, INTEGERS, INTEGER)
def tile_adjoints_hold_nan(job: Any, sweep: Any) -> Any:
    """Whether a wanted row holds NaN; unused lanes repeat a valid one, so all are looked at."""
    lanes = job[J_LANES]
    for k in range(job[J_N_OUTPUTS]):
        record = integers_at(job[J_OUTPUTS] + FLOAT_BYTES * OUTPUT_ROW_SIZE * k)
        if record[OUTPUT_ROW_SWEEP] == sweep and record[OUTPUT_ROW_KIND] == OUT_ADJOINT:
            row = part(floats_at(job[J_ADJOINTS]), record[OUTPUT_ROW_SLOT] * lanes)
            n_nan = 0
            for lane in range(lanes):
                n_nan += int64(row[lane] != row[lane])
            if n_nan:
                return 1
    return 0


@kernel(NOTHING, INTEGERS, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER)
def write_tile(job: Any, sweep: Any, tile: Any, outer: Any, start: Any, valid: Any) -> None:
    lanes, last = job[J_LANES], job[J_NDIM] - 1
    for k in range(job[J_N_OUTPUTS]):
        record = integers_at(job[J_OUTPUTS] + FLOAT_BYTES * OUTPUT_ROW_SIZE * k)
        if record[OUTPUT_ROW_SWEEP] == sweep:
            kind, mode = record[OUTPUT_ROW_KIND], record[OUTPUT_ROW_MODE]
            strides = part(record, OUTPUT_ROW_STRIDES)
            stride = strides[last]
            target = floats_at(record[OUTPUT_ROW_ADDRESS])
            origin = job[J_MEMORY] if kind == OUT_VALUE else job[J_ADJOINTS]
            row = part(floats_at(origin), record[OUTPUT_ROW_SLOT] * lanes)
            if mode == TILE_SUM:
                target[tile] = 0.0 if kind == OUT_ZERO else sum_of_row(row, valid)
            else:
                write_row(part(target, offset_of(job, strides, outer, start)), row, kind, mode, stride, valid)


@kernel(NOTHING, FLOATS, FLOATS, INTEGER, INTEGER, INTEGER, INTEGER)
def write_row(target: Any, row: Any, kind: Any, mode: Any, stride: Any, valid: Any) -> None:
    if mode == STORE:
        if kind == OUT_ZERO:
            for lane in range(valid):
                target[lane * stride] = 0.0
        elif stride == 1:
            for lane in range(valid):
                target[lane] = row[lane]
        else:
            for lane in range(valid):
                target[lane * stride] = row[lane]
    elif kind != OUT_ZERO:
        if stride == 0:
            target[0] += sum_of_row(row, valid)
        elif stride == 1:
            for lane in range(valid):
                target[lane] += row[lane]
        else:
            for lane in range(valid):
                target[lane * stride] += row[lane]
