"""Segments in one call of the driver: their rows, jobs and addresses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.native.source import Source
from fastgrad.plan.array_steps import Place, Segment, Stretch, with_places
from fastgrad.vm import instructions as isa
from fastgrad.vm.binary import kernels
from fastgrad.vm.memory import MAX_LANES, aligned, fitting_lanes

__all__ = ["SegmentCall"]

MIN_LANES = 32
SHORT_ROW = 32


class SegmentCall:
    """Segments that the driver runs in one call, on buffers at ``addresses``; it returns the first failed guard."""

    def __init__(self, segments: Sequence[Segment], zeroed: Sequence[Stretch], addresses: NDArray[np.int64]) -> None:
        segments = [part for segment in segments for part in _parts(segment)]
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
        self._run_array = kernels().run_array

    def __call__(self) -> int:
        return int(self._run_array(self.address))

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

        yield from _parts(replace(with_places(segment, moved), shape=shape))


def _lanes(segment: Segment) -> int:
    """As many as fit and are needed: short rows would be filled up."""
    shape, _ = _index_space(segment)
    needed = 1 << max(shape[-1] - 1, 0).bit_length()
    return min(fitting_lanes(segment.sweep.n_slots, MIN_LANES), max(needed, MIN_LANES))
