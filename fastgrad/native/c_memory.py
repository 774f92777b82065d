"""Where values are in C: numbers in the text, captured arrays in tables, all others in the workspace ``w``."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.native.c_expressions import number_text
from fastgrad.native.c_functions import number_lines
from fastgrad.plan.sweep import Sweep

__all__ = ["Memory", "index_text"]

WORKSPACE = "w"


class Memory:
    """What each slot is. The places in the workspace come with ``place``."""

    def __init__(self, sweep: Sweep, prefix: str) -> None:
        self._prefix = prefix
        self.numbers: dict[int, float] = {
            int(slot): float(value) for slot, value in zip(sweep.numbers["slot"], sweep.numbers["value"], strict=True)
        }
        self.captured: list[NDArray[Any]] = [np.asarray(array, np.float64).ravel() for array, _ in sweep.captured]
        self._starts = [start for _, start in sweep.captured]
        self._n_slots = sweep.n_slots
        self._inputs = [range(s, s + n) for s, n in zip(sweep.input_starts, sweep.input_sizes, strict=True)]
        self.places: Mapping[int, int] | range = {}
        self.size = 0

    def region(self, slot: int) -> Hashable:
        """The number that a slot holds, the captured array that it is in, or the workspace."""
        if slot in self.numbers:
            return ("number", slot)
        k = bisect_right(self._starts, slot) - 1
        return k if k >= 0 and slot < self._starts[k] + len(self.captured[k]) else WORKSPACE

    def place(self, slots: Iterable[int]) -> None:
        """Give the inputs, then these slots, a place in the workspace each, in the order of the slots."""
        inputs = [slot for slots_of_input in self._inputs for slot in slots_of_input]
        others = {slot for slot in slots if self.region(slot) == WORKSPACE}.difference(inputs)
        self.places = {slot: place for place, slot in enumerate([*inputs, *sorted(others)])}
        self.size = len(self.places)

    def place_all(self) -> None:
        """Every slot's place is its number: neighbours stay neighbours, as loops need them."""
        self.places = range(self._n_slots)
        self.size = self._n_slots

    @property
    def input_places(self) -> list[int]:
        return [self.places[slots[0]] if slots else 0 for slots in self._inputs]

    def text(self, slot: int, stride: int = 0) -> str:
        """The value as C; with a stride, that of iteration ``k``."""
        region = self.region(slot)
        if region == WORKSPACE:
            return f"w[{index_text(self.places[slot], stride)}]"
        if isinstance(region, int):
            return f"{self._prefix}captured{region}[{index_text(slot - self._starts[region], stride)}]"
        return number_text(self.numbers[slot])

    def offsets(self, region: int) -> Iterator[tuple[int, int]]:
        """Each slot of a captured array and its place in it."""
        return ((self._starts[region] + k, k) for k in range(len(self.captured[region])))

    def captured_tables(self, code: str) -> list[str]:
        """The tables of captured arrays that this code reads: positions of elements, for one, are not read."""
        tables = []
        for k, array in enumerate(self.captured):
            name = f"{self._prefix}captured{k}"
            if re.search(rf"\b{name}\b", code):
                tables.append(
                    f"/* captured */\nstatic const double {name}[] = {{\n{number_lines(array.tolist())}\n}};\n"
                )
        return tables


def index_text(first: int, stride: int) -> str:
    """``first + stride * k``."""
    if stride in (0, 1, -1):
        return str(first) + {0: "", 1: " + k", -1: " - k"}[stride]
    return f"{first} {'+' if stride > 0 else '-'} {abs(stride)} * k"
