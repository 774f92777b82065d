"""The driver of array plans: several tile jobs, one after the other, addresses worked out here and not in Python."""

from __future__ import annotations

from typing import Any

from fastgrad.vm import instructions as isa
from fastgrad.vm.numba_kernel import FLOAT, FLOATS, INTEGER, INTEGERS, NOTHING, external, floats_at, integers_at, kernel

run_tiles = external("run_tiles", INTEGER, INTEGERS)
fill = external("fill", NOTHING, FLOATS, FLOAT, INTEGER)

BYTES = 8
ADDRESSES = isa.field_offset(isa.ARRAY_JOB, "addresses")
LOADS = isa.field_offset(isa.ARRAY_JOB, "loads")
LOAD_PLACES = isa.field_offset(isa.ARRAY_JOB, "load_places")
N_LOADS = isa.field_offset(isa.ARRAY_JOB, "n_loads")
STORES = isa.field_offset(isa.ARRAY_JOB, "stores")
STORE_PLACES = isa.field_offset(isa.ARRAY_JOB, "store_places")
N_STORES = isa.field_offset(isa.ARRAY_JOB, "n_stores")
ZEROED = isa.field_offset(isa.ARRAY_JOB, "zeroed")
N_ZEROED = isa.field_offset(isa.ARRAY_JOB, "n_zeroed")
JOBS = isa.field_offset(isa.ARRAY_JOB, "jobs")
N_JOBS = isa.field_offset(isa.ARRAY_JOB, "n_jobs")
JOB_SIZE = isa.record_size(isa.JOB)
LOAD_SIZE, LOAD_ADDRESS = isa.record_size(isa.INPUT_ROW), isa.field_offset(isa.INPUT_ROW, "address")
STORE_SIZE, STORE_ADDRESS = isa.record_size(isa.OUTPUT_ROW), isa.field_offset(isa.OUTPUT_ROW, "address")


@kernel(INTEGER, INTEGERS)
def run_array(array_job: Any) -> Any:
    """Point every row at its buffer, zero what starts as zeros, run the jobs; the first failed guard, or -1."""
    addresses = integers_at(array_job[ADDRESSES])
    point_rows(
        addresses,
        array_job[LOADS] + BYTES * LOAD_ADDRESS,
        LOAD_SIZE,
        integers_at(array_job[LOAD_PLACES]),
        array_job[N_LOADS],
    )
    point_rows(
        addresses,
        array_job[STORES] + BYTES * STORE_ADDRESS,
        STORE_SIZE,
        integers_at(array_job[STORE_PLACES]),
        array_job[N_STORES],
    )
    zeroed = integers_at(array_job[ZEROED])
    for k in range(array_job[N_ZEROED]):
        first = addresses[zeroed[3 * k]] + BYTES * zeroed[3 * k + 1]
        fill(floats_at(first), 0.0, zeroed[3 * k + 2])
    for k in range(array_job[N_JOBS]):
        failed = run_tiles(integers_at(array_job[JOBS] + BYTES * JOB_SIZE * k))
        if failed != -1:
            return failed
    return -1


@kernel(NOTHING, INTEGERS, INTEGER, INTEGER, INTEGERS, INTEGER)
def point_rows(addresses: Any, first: Any, size: Any, places: Any, n: Any) -> None:
    """Write the address of each row: that of its buffer, and its offset in bytes (``places`` holds these in pairs)."""
    for k in range(n):
        target = integers_at(first + BYTES * size * k)
        target[0] = addresses[places[2 * k]] + places[2 * k + 1]
