"""Calls like one before whose nesting the kernels do not know: dataclasses, other containers, and all with seeds.

A call through ``Derivative.evaluate`` takes some 40-60 us of Python: structures, signatures, branches, results. Here
the arguments are only flattened, and their leaves go to the kernels as the arguments of a flat call, with all the
checks that these make. What they return is nested again: 5-10 us. Whatever does not fit goes the long way, so there is
one meaning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.branches import Branch, Executor
from fastgrad.calls import Argument, Call, Leaf, layout_of
from fastgrad.forms import Form
from fastgrad.recording.structures import Structure, flatten
from fastgrad.results import Nesting
from fastgrad.vm.call_structures import Packing, Unpacking, flat_packing, packing_of, unpacking_of
from fastgrad.vm.fast_call import Entry, FastCalls, Given, accelerate, entry_for

__all__ = ["MISSED", "FlatCall", "FlatCalls", "Frame", "Way", "ways"]

Floats = NDArray[np.float64]
MAX_CALLS = 64
# what is answered where the call goes another way
MISSED = object()


class FlatCall:
    """Calls of one nesting, by their leaves: the kernels return a frame and the results that it nests."""

    __slots__ = ("fast",)

    def __init__(self) -> None:
        self.fast = FastCalls(type(self))

    def __call__(self, *leaves: Any) -> Any:
        """What the kernels return, else MISSED."""
        return MISSED


accelerate(FlatCall)


class Frame:
    """How the results of one branch are nested."""

    def __init__(self, nesting: Nesting, branch: Branch, call: Call, results: Sequence[Floats]) -> None:
        """``results`` are some that the branch's executor may give for this call."""
        self._nesting, self._branch, self._call = nesting, branch, _without_data(call)
        self._slots = [_Slot(k) for k in range(len(results))]
        nested, self._structure = flatten(nesting.package(branch, call, self._slots))
        examples = flatten(nesting.package(branch, call, results))[0]
        self._leaves = [(leaf.number, None) if type(leaf) is _Slot else (-1, leaf) for leaf in nested]
        self.dtypes: list[Any] = [np.dtype(np.float64)] * len(results)
        for (number, _), example in zip(self._leaves, examples, strict=True):
            if number >= 0:
                self.dtypes[number] = example.dtype
        self._has_dicts = any(_has_dicts(argument.structure.tree) for argument in call.arguments)

    def nest(self, results: Sequence[Any], structures: Sequence[Structure]) -> Any:
        """The results as the caller gets them. ``structures`` are those of the call's arguments."""
        structure = self._structure
        if self._has_dicts:
            # structures are equal whatever the order of keys, but results have that of the call
            nested = self._nesting.package(self._branch, _nested_as(structures, self._call), self._slots)
            structure = flatten(nested)[1]
        return structure.unflatten([results[number] if number >= 0 else leaf for number, leaf in self._leaves])


class _Slot:
    """Stands for a result while results are nested."""

    def __init__(self, number: int) -> None:
        self.number = number


def _without_data(call: Call) -> Call:
    dummy = np.zeros(())

    def leaf_of(leaf: Leaf) -> Leaf:
        return Leaf(None, dummy if leaf.is_input else None, leaf.dtype)

    return Call(tuple(replace(argument, leaves=tuple(map(leaf_of, argument.leaves))) for argument in call.arguments))


def _nested_as(structures: Sequence[Structure], call: Call) -> Call:
    pairs = zip(structures, call.arguments, strict=True)
    return Call(tuple(Argument(a.key, structure, a.leaves, a.differentiated) for structure, a in pairs))


def _has_dicts(tree: Any) -> bool:
    if tree is None:
        return False
    return tree.type in (dict, defaultdict) or any(map(_has_dicts, tree.children()))


class FlatCalls:
    """The flat calls of one derivative, by the nesting of arguments and seeds."""

    def __init__(self) -> None:
        self._calls: dict[Hashable, FlatCall] = {}

    def answer(self, given: _Given) -> Any:
        """The results; MISSED where the call goes another way."""
        if not self._calls:
            return MISSED
        leaves, structures = _flattened(given)
        call = self._calls.get(_key(given, structures))
        found: Any = MISSED if call is None else call(*leaves)
        if found is MISSED:
            return MISSED
        frame, *results = found
        return frame.nest(results, structures if given[2] is None else structures[:-1])

    def call_for(self, given: _Given, structures: Sequence[Structure]) -> FlatCall:
        """The one for calls like this; a new one if there is none."""
        key = _key(given, structures)
        found = self._calls.get(key)
        if found is None:
            if len(self._calls) >= MAX_CALLS:
                self._calls = {}
            found = self._calls.setdefault(key, FlatCall())
        return found


# ---- how the kernels may answer a call

_Given = tuple[tuple[Any, ...], dict[str, Any], Any]


@dataclass(frozen=True)
class Way:
    """How calls like one before are answered: by which list of entries, from which leaves, how results are packed."""

    fast: FastCalls
    unpacking: Unpacking
    given: tuple[Given, ...]
    pack: Callable[[Sequence[Floats]], Packing | None]

    @property
    def is_plain(self) -> bool:
        """Whether the kernels take the leaves."""
        return all(leaf.kind is not None for leaf in self.given)

    def entry(self, executor: Executor, branch: Branch) -> Entry | None:
        """The entry for such calls, which may be new; None where the kernels cannot do what it needs."""
        found = next((entry for entry in self.fast.entries if entry.fits(branch, self.unpacking, self.given)), None)
        if found is not None:
            return found
        if any(entry.is_for_the_same(branch, self.unpacking, self.given) for entry in self.fast.entries):
            return None  # else there would be a new entry for each call
        packing = self.pack(executor.allocate())
        return None if packing is None else entry_for(executor, branch, self.unpacking, self.given, packing)


def ways(
    fast: FastCalls, flat: FlatCalls, nesting: Nesting, branch: Branch, call: Call, given: _Given
) -> Iterator[Way]:
    """The ways, the quicker one first, of a call with these arguments by position and by name and these seeds."""
    args, kwargs, seeds = given
    found = [leaf for argument in call.arguments for leaf in argument.leaves]
    originals = [leaf.original for leaf in found]
    leaves = [
        Given(leaf.original, None if leaf.array is None else leaf.array.shape, leaf.dtype, leaf.layout)
        for leaf in found
    ]
    if seeds is None:
        unpacking = unpacking_of(args, kwargs, [argument.structure for argument in call.arguments], originals)
        if unpacking is not None:
            yield Way(fast, unpacking, tuple(leaves), partial(packing_of, partial(nesting.package, branch, call)))
    flattened_leaves, structures = _flattened(given)
    # other threads may have changed the arguments since they were taken apart
    if any(one is not other for one, other in zip(originals, flattened_leaves, strict=False)):
        return
    of_seeds = flattened_leaves[len(leaves) :]
    order = _order_of_seeds(nesting, call, len(of_seeds), structures[-1])
    leaves += [_seed(of_seeds[k]) for k in order]
    registers = (*range(len(originals)), *(len(originals) + k for k in order))
    unpacking = Unpacking(len(registers), (), (), registers, len(registers))
    yield Way(
        flat.call_for(given, structures).fast, unpacking, tuple(leaves), partial(_flat_packing, nesting, branch, call)
    )


def _order_of_seeds(nesting: Nesting, call: Call, n: int, structure: Structure) -> list[int]:
    """Where the executor's seeds are among the leaves of those given."""
    if n == 0 or nesting.form is not Form.HVP:
        return list(range(n))
    return flatten(nesting.in_order_of_arguments(call, structure.unflatten(list(range(n)))))[0]


def _seed(leaf: Any) -> Given:
    array = np.asarray(leaf)
    if array.dtype.kind not in "fiub":
        return Given(leaf, (), None)  # of no kind that the kernels take
    return Given(leaf, array.shape, array.dtype, layout_of(leaf))


def _flat_packing(nesting: Nesting, branch: Branch, call: Call, results: Sequence[Floats]) -> Packing:
    frame = Frame(nesting, branch, call, results)
    return flat_packing(frame, frame.dtypes)


def _flattened(given: _Given) -> tuple[list[Any], list[Structure]]:
    """The leaves of arguments and seeds, and the structure of each."""
    args, kwargs, seeds = given
    leaves: list[Any] = []
    structures: list[Structure] = []
    for value in (*args, *kwargs.values()) if seeds is None else (*args, *kwargs.values(), seeds):
        found, structure = flatten(value)
        leaves += found
        structures.append(structure)
    return leaves, structures


def _key(given: _Given, structures: Sequence[Structure]) -> Hashable:
    args, kwargs, seeds = given
    return (len(args), *kwargs, seeds is None, *[structure.tree for structure in structures])
