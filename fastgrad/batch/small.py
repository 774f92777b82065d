"""Small batches without Python: the kernels of ``vm/fast_call.py`` answer calls of one size that plans have answered.

Python takes some 25 us for a call by a plan, as long as lanes take for a thousand examples. A batch not worth a second
thread has entries like those of single calls, one for each size and memory layout that comes back. Arrays that are not
in C order are copied, and so are those that hold several numbers for each example.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgrad.batch.repeated import Plan, Plans
from fastgrad.calls import layout_of
from fastgrad.vm.batch_executor import BatchExecutor, BoundTiles
from fastgrad.vm.call_structures import Unpacking, packing_of
from fastgrad.vm.fast_call import Entry, FastCalls, Given, entry_for, places_of

__all__ = ["SmallBatches"]

_Key = tuple[int, int, tuple[str, ...]]
# kinds of call that are counted before the counts begin anew
MAX_COUNTED = 256


class SmallBatches:
    """The entries of one function over batches."""

    def __init__(self, fast: FastCalls, plans: Plans) -> None:
        self._fast, self._plans = fast, plans
        self._made: dict[_Key, tuple[Plan, BoundTiles, Entry]] = {}
        self._counts: dict[_Key, int] = {}

    def answered(self, plan: Plan, args: tuple[Any, ...]) -> None:
        """The plan has answered these arguments; the kernels may answer others like them from now on."""
        n = next(value.shape[g.axis] for g, value in zip(plan.given, args, strict=True) if g.axis is not None)
        executor = plan.executor
        if not isinstance(executor, BatchExecutor) or not executor.is_one_share(n):
            return
        key = id(plan), n, tuple(map(layout_of, args))
        made = self._made.get(key)
        if made is not None and made[1].is_current and any(made[2] is entry for entry in self._fast.entries):
            made[2].account()
        elif self._comes_back(key) or (made is not None and not made[1].is_current):
            self._make(key, plan, executor, args)

    def _comes_back(self, key: _Key) -> bool:
        """Whether to make an entry: at the 2nd, 4th, 8th ... call, since one takes as long as some calls save."""
        if len(self._counts) >= MAX_COUNTED:
            self._counts = {}
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return count > 1 and count & (count - 1) == 0

    def _make(self, key: _Key, plan: Plan, executor: BatchExecutor, args: tuple[Any, ...]) -> None:
        places = places_of(plan.places, plan.values)
        if places is None or any(axis != 0 for number, axis in plan.leaves if number is not None):
            return
        _, n, layouts = key
        results = [np.empty((n, *shape)) for shape in plan.shapes]
        rows = [given.rows(np.asarray(value, order="C")) for given, value in zip(plan.given, args, strict=True)]
        tiles = executor.bound(n, rows, results)
        packing = packing_of(plan.nested, results)
        if tiles is None or packing is None:
            return
        registers = tuple(range(len(args)))
        unpacking = Unpacking(len(args), (), (), registers, len(args))
        given = [Given(value, np.shape(value), layout=layout) for value, layout in zip(args, layouts, strict=True)]
        entry = entry_for(tiles, plan.branch, unpacking, given, packing)
        if entry is None:
            return
        entry.expect(places)
        others = {key: made for key, made in self._made.items() if made[2] in self._fast.entries}
        old = others.pop(key, None)
        if old is not None:
            self._fast.set([other for other in self._fast.entries if other is not old[2]])
        self._fast.add(entry)
        self._made = {**others, key: (plan, tiles, entry)}

    def drop_old_ones(self) -> None:
        """Keep only what belongs to plans that are still in use."""
        old = [made[2] for made in self._made.values() if made[0] not in self._plans]
        if old:
            self._made = {key: made for key, made in self._made.items() if made[2] not in old}
            self._fast.set([entry for entry in self._fast.entries if entry not in old])
