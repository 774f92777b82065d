"""Programs for the kernels: how the arguments of a call come apart into leaves, and how its results are nested.

Only exact tuples, lists and dicts, and named tuples; the keys of dicts are text or whole numbers. For all else there is
no program, and Python answers. Programs compare by what they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.recording.structures import Structure, flatten
from fastgrad.vm import instructions as isa

__all__ = [
    "NO_ARGUMENTS",
    "SINGLE",
    "Packing",
    "ResultSlot",
    "Unpacking",
    "addresses_of",
    "flat_packing",
    "packing_of",
    "unpacking_of",
]

Records = NDArray[Any]
# beyond this many leaves a call takes long anyway
MAX_LEAVES = 10_000


@dataclass(frozen=True)
class _Unpack:
    """One step: the items of the container in ``register`` go to the registers from ``first`` on."""

    type: type
    register: int
    first: int
    size: int
    keys: tuple[str | int, ...] | None

    @property
    def kind(self) -> int:
        if self.keys is not None:
            return isa.UNPACK_DICT
        return isa.UNPACK_LIST if self.type is list else isa.UNPACK_TUPLE


@dataclass(frozen=True)
class Unpacking:
    """Which arguments there are, the steps that take them apart, and the register of each leaf."""

    n_positional: int
    names: tuple[str, ...]
    steps: tuple[_Unpack, ...]
    registers: tuple[int, ...]
    n_registers: int

    @property
    def is_nested(self) -> bool:
        return bool(self.steps)

    def records(self) -> tuple[Records, list[NDArray[np.int64]]]:
        """The UNPACKINGs, and the keys that they refer to."""
        keys = [addresses_of(step.keys or ()) for step in self.steps]
        rows = [
            (step.kind, id(step.type), step.register, step.first, step.size, key.ctypes.data)
            for step, key in zip(self.steps, keys, strict=True)
        ]
        return np.array(rows, isa.UNPACKING), keys


NO_ARGUMENTS = Unpacking(0, (), (), (), 0)


@dataclass(frozen=True)
class _Pack:
    kind: int
    count: int = 0
    object: Any = None
    keys: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Packing:
    """The steps that nest results, how high the stack gets, and for each result the dtype that it is cast to, or None.

    It refers to what is the same in each result.
    """

    steps: tuple[_Pack, ...]
    height: int
    casts: tuple[np.dtype[Any] | None, ...]

    @property
    def is_single(self) -> bool:
        """Whether the only result is returned as it is."""
        return len(self.steps) == 1 and self.casts == (None,)

    @property
    def is_in_order(self) -> bool:
        """Whether the leaves of what is returned are the results as they are, one after the other."""
        known = all(step.kind in (isa.PACK_RESULT, isa.PACK_TUPLE, isa.PACK_LIST) for step in self.steps)
        order = [step.count for step in self.steps if step.kind == isa.PACK_RESULT]
        return known and order == sorted(order) and all(cast is None for cast in self.casts)

    def records(self) -> tuple[Records, list[NDArray[np.int64]]]:
        """The PACKINGs, and the keys that they refer to."""
        keys = [addresses_of(step.keys) for step in self.steps]
        rows = [
            (step.kind, step.count, 0 if step.object is None and step.kind != isa.PACK_SAME else id(step.object), at)
            for step, at in zip(self.steps, [key.ctypes.data for key in keys], strict=True)
        ]
        return np.array(rows, isa.PACKING), keys


def flat_packing(first: Any, dtypes: Sequence[np.dtype[Any]]) -> Packing:
    """A tuple of this object and the results, of these dtypes."""
    n = len(dtypes)
    results = [_Pack(isa.PACK_RESULT, k) for k in range(n)]
    steps = (_Pack(isa.PACK_SAME, object=first), *results, _Pack(isa.PACK_TUPLE, n + 1))
    return Packing(steps, n + 1, tuple(None if dtype == np.float64 else dtype for dtype in dtypes))


SINGLE = Packing((_Pack(isa.PACK_RESULT),), 1, (None,))


def addresses_of(objects: Sequence[Any]) -> NDArray[np.int64]:
    """Where the objects themselves are, as the kernels compare them."""
    return np.array([id(thing) for thing in objects], np.int64)


def unpacking_of(
    args: Sequence[Any], kwargs: dict[str, Any], structures: Sequence[Structure], leaves: Sequence[Any]
) -> Unpacking | None:
    """The program that finds these leaves, which ``flatten`` found in the arguments, each nested as its structure says.

    None where there is no such program.
    """
    if len(leaves) > MAX_LEAVES or not all(type(name) is str for name in kwargs):
        return None
    values = [*args, *kwargs.values()]
    registers: list[Any] = list(values)
    steps: list[_Unpack] = []
    numbers: list[int] = []
    for register, structure in enumerate(structures):
        if structure.tree is None:
            numbers.append(register)
            continue
        mirrored = _mirrored(register, registers, steps)
        if mirrored is None:
            return None
        found, nested = flatten(mirrored)
        if nested != structure:
            return None
        numbers += found
    # other threads may have changed the arguments since they were taken apart
    if len(numbers) != len(leaves) or any(registers[n] is not leaf for n, leaf in zip(numbers, leaves, strict=True)):
        return None
    return Unpacking(len(args), tuple(kwargs), tuple(steps), tuple(numbers), len(registers))


def _mirrored(register: int, registers: list[Any], steps: list[_Unpack]) -> Any:
    """The same nesting with register numbers as leaves; None where something else holds leaves."""
    value = registers[register]
    kind = _kind(value)
    if kind is None:
        return register
    items: Sequence[Any] = tuple(value.values()) if kind is dict else tuple(value)
    first = len(registers)
    registers += items
    keys = tuple(value) if kind is dict else None
    if keys is not None and (len(keys) != len(items) or not all(type(key) in (str, int) for key in keys)):
        return None
    steps.append(_Unpack(type(value), register, first, len(items), keys))
    parts = [_mirrored(first + k, registers, steps) for k in range(len(items))]
    if None in parts:
        return None
    if kind is dict:
        return dict(zip(keys or (), parts, strict=True))
    return type(value)(*parts) if kind is not tuple and kind is not list else kind(parts)


def _kind(value: Any) -> type | None:
    """tuple, list, dict, the type of a named tuple that is built in no way of its own, or None for a leaf."""
    kind = type(value)
    if kind in (tuple, list, dict):
        return kind
    is_named = kind.__bases__ == (tuple,) and isinstance(getattr(kind, "_fields", None), tuple)
    return kind if is_named and "_make" in vars(kind) else None


class ResultSlot:
    """Stands for a result while results are nested."""

    def __init__(self, number: int) -> None:
        self.number = number


def packing_of(nest: Callable[[Sequence[Any]], Any], results: Sequence[NDArray[np.float64]]) -> Packing | None:
    """The program that does what ``nest`` does with such results; None where there is none."""
    if len(results) > MAX_LEAVES or not _is_known(example := nest(results)):
        return None
    steps: list[_Pack] = []
    casts: dict[int, np.dtype[Any] | None] = {}
    heights = [0]

    def pack(nested: Any, value: Any) -> None:
        if isinstance(nested, ResultSlot):
            steps.append(_Pack(isa.PACK_RESULT, nested.number))
            casts[nested.number] = None if value.dtype == np.float64 else value.dtype
            heights.append(heights[-1] + 1)
            return
        kind = _kind(nested)
        if kind is None:
            steps.append(_Pack(isa.PACK_SAME, object=nested))
            heights.append(heights[-1] + 1)
            return
        inner = zip(nested.values(), value.values(), strict=True) if kind is dict else zip(nested, value, strict=True)
        for one, other in inner:
            pack(one, other)
        size = len(nested)
        if kind is dict:
            steps.append(_Pack(isa.PACK_DICT, size, keys=tuple(nested)))
        elif kind in (tuple, list):
            steps.append(_Pack(isa.PACK_TUPLE if kind is tuple else isa.PACK_LIST, size))
        else:
            steps.append(_Pack(isa.PACK_NAMED, size, kind))
        heights.append(heights[-1] - size + 1)

    pack(nest([ResultSlot(k) for k in range(len(results))]), example)
    if sorted(casts) != list(range(len(results))) or sum(step.kind == isa.PACK_RESULT for step in steps) != len(casts):
        return None
    return Packing(tuple(steps), max(heights), tuple(casts[k] for k in range(len(results))))


def _is_known(nested: Any) -> bool:
    """Whether it is built of the known containers only, whose keys are text or whole numbers."""
    return all(_is_leaf(leaf) for leaf in _leaves(nested))


def _leaves(nested: Any) -> Iterator[Any]:
    kind = _kind(nested)
    if kind is None:
        yield nested
        return
    if kind is dict:
        yield from (_Unknown for key in nested if type(key) not in (str, int))
    for value in nested.values() if kind is dict else nested:
        yield from _leaves(value)


def _is_leaf(value: Any) -> bool:
    return value is not _Unknown and flatten(value)[1].tree is None


class _Unknown:
    """Stands for a key of another type."""
