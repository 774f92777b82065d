"""Small batches without Python: the kernels of ``vm/fast_call.py`` answer calls of one size that plans have answered.

Python takes some 25 us for a call by a plan, as long as lanes take for a thousand examples. A batch not worth a second
thread has entries like those of single calls, one for each size and memory layout that comes back. Arrays that are not
in C order are copied. With ``out`` the kernels take its arrays as further arguments, and Python only looks whether any
memory is shared, and that once for the same memory.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from fastgrad.batch.repeated import Plan, Plans
from fastgrad.calls import layout_of
from fastgrad.recording.structures import flatten
from fastgrad.repeated import MISSED, FlatCall
from fastgrad.vm.addresses import address_of
from fastgrad.vm.batch_executor import BatchExecutor, BoundTiles
from fastgrad.vm.call_structures import Packing, Unpacking, flat_packing, packing_of
from fastgrad.vm.fast_call import Entry, FastCalls, Given, entry_for, places_of

__all__ = ["SmallBatches"]

# kinds of call that are counted before the counts begin anew
MAX_COUNTED = 256


class SmallBatches:
    """The entries of one function over batches."""

    def __init__(self, fast: FastCalls, plans: Plans) -> None:
        # for calls that write into ``out``: their arguments, then the leaves of that
        self._writing = FlatCall()
        self._entries = _Entries(fast, plans), _Entries(self._writing.fast, plans)
        # the memory of the latest such call that shares none
        self._disjoint: tuple[Any, list[Hashable]] = None, []

    def answer_into(self, args: tuple[Any, ...], out: Any) -> bool:
        """Have the kernels write into ``out``; False where the call goes another way."""
        if not self._writing.fast.entries:
            return False
        leaves, structure = flatten(out)
        known, memory = self._disjoint
        if structure != known or _memory_of((*args, *leaves)) != memory:
            return False
        return self._writing(*args, *leaves) is not MISSED

    def taken_answers(self) -> int:
        """How many calls the kernels have answered since this was last asked."""
        return sum(entries.fast.taken_answers() for entries in self._entries)

    def answered(self, plan: Plan, args: tuple[Any, ...], out: Any) -> None:
        """The plan has answered these arguments; the kernels may answer others like them from now on."""
        n = next(value.shape[g.axis] for g, value in zip(plan.given, args, strict=True) if g.axis is not None)
        if not isinstance(plan.executor, BatchExecutor) or not plan.executor.is_one_share(n):
            return
        targets: list[Any] = []
        if out is not None:
            targets, structure = flatten(out)
            self._disjoint = structure, _memory_of((*args, *targets))
        self._entries[out is not None].answered(plan, plan.executor, n, args, targets)

    def drop_old_ones(self) -> None:
        """Keep only what belongs to plans that are still in use."""
        for entries in self._entries:
            entries.drop_old_ones()


def _memory_of(values: Sequence[Any]) -> list[Hashable]:
    """Equal where arrays, which are in C order, lie in the same places."""
    return [(address_of(value), value.shape) for value in values if type(value) is np.ndarray]


_Key = tuple[int, int, tuple[str, ...]]


class _Entries:
    """Entries in one list, for plans that are in use."""

    def __init__(self, fast: FastCalls, plans: Plans) -> None:
        self.fast, self._plans = fast, plans
        self._made: dict[_Key, tuple[Plan, BoundTiles, Entry]] = {}
        self._counts: dict[_Key, int] = {}

    def answered(
        self, plan: Plan, executor: BatchExecutor, n: int, args: tuple[Any, ...], targets: Sequence[Any]
    ) -> None:
        key = id(plan), n, tuple(map(layout_of, args))
        made = self._made.get(key)
        if made is not None and made[1].is_current and any(made[2] is entry for entry in self.fast.entries):
            made[2].account()
        elif self._comes_back(key) or (made is not None and not made[1].is_current):
            self._make(key, plan, executor, args, targets)

    def _comes_back(self, key: _Key) -> bool:
        """Whether to make an entry: at the 2nd, 4th, 8th ... call, since one takes as long as some calls save."""
        if len(self._counts) >= MAX_COUNTED:
            self._counts = {}
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return count > 1 and count & (count - 1) == 0

    def _make(
        self, key: _Key, plan: Plan, executor: BatchExecutor, args: tuple[Any, ...], targets: Sequence[Any]
    ) -> None:
        places = places_of(plan.places, plan.values)
        if places is None or any(axis != 0 for number, axis in plan.leaves if number is not None):
            return
        _, n, layouts = key
        results = [np.empty((n, *shape)) for shape in plan.shapes]
        rows = [given.rows(np.asarray(value, order="C")) for given, value in zip(plan.given, args, strict=True)]
        tiles = executor.bound(n, rows, results, are_given=bool(targets))
        given = [Given(value, np.shape(value), layout=layout) for value, layout in zip(args, layouts, strict=True)]
        packing: Packing | None
        if targets:
            numbers = [number for number, _ in plan.leaves]
            if numbers != list(range(len(results))) or executor.sweep.captured:
                return  # captured arrays, too, must not be written over
            given += [Given(target, target.shape, layout="written") for target in targets]
            packing = flat_packing(None, [])
        else:
            packing = packing_of(plan.nested, results)
        if tiles is None or packing is None:
            return
        registers = tuple(range(len(given)))
        unpacking = Unpacking(len(given), (), (), registers, len(given))
        entry = entry_for(tiles, plan.branch, unpacking, given, packing)
        if entry is None:
            return
        entry.expect(places)
        others = {key: made for key, made in self._made.items() if made[2] in self.fast.entries}
        old = others.pop(key, None)
        if old is not None:
            self.fast.set([other for other in self.fast.entries if other is not old[2]])
        self.fast.add(entry)
        self._made = {**others, key: (plan, tiles, entry)}

    def drop_old_ones(self) -> None:
        """Keep only what belongs to plans that are still in use."""
        old = [made[2] for made in self._made.values() if made[0] not in self._plans]
        if old:
            self._made = {key: made for key, made in self._made.items() if made[2] not in old}
            self.fast.set([entry for entry in self.fast.entries if entry not in old])
