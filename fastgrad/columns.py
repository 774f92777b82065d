"""Nested tuples of numbers and text, column by column, so that tables of millions take no Python for each entry.

Entries of the same build (``Form``) are a group: ``((0, 3, 1),)`` and ``((2, 4, 1),)`` have the form ``(("i", "i",
"i"),)`` and three columns. A letter stands for a leaf: ``i`` a whole number, ``f`` a real one, ``s`` text; None for
itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEEPEST", "LARGEST_NUMBER", "MOST_LEAVES", "Group", "groups", "leaves_of", "put_together"]

Form = Any  # nested tuples of letters and None

LARGEST_NUMBER = 2**62
DEEPEST = 16
MOST_LEAVES = 200_000
_LETTERS: dict[type, str | None] = {int: "i", float: "f", str: "s", type(None): None}


@dataclass(frozen=True)
class Group:
    """All entries of one form: where they stand in the table, and one sequence of leaves for each letter."""

    form: Form
    positions: NDArray[np.int64]
    columns: list[Sequence[Any]]


def groups(entries: Sequence[Any]) -> list[Group]:
    """The entries by form, in the order of first appearance.

    Raises ValueError for anything but nested tuples of plain numbers, text and None, for such that are nested deeper
    than 16, have 200,000 leaves, and for whole numbers beyond 2**62.
    """
    budget = [MOST_LEAVES]
    labels, forms = _labelled(entries, 0, budget)
    found = []
    for number, form in enumerate(forms):
        positions = np.arange(len(entries)) if len(forms) == 1 else np.flatnonzero(labels == number)
        chosen = entries if len(forms) == 1 else [entries[k] for k in positions.tolist()]
        found.append(Group(form, positions, _leaves(form, chosen)))
    return found


def leaves_of(form: Form) -> str:
    """The letters of a form, in the order of its columns."""
    if form is None:
        return ""
    return form if isinstance(form, str) else "".join(map(leaves_of, form))


def put_together(form: Form, columns: Iterable[Sequence[Any]], count: int) -> list[Any]:
    """The entries from their columns: the opposite of ``groups``."""
    return list(_together(form, iter(columns), count))


def _together(form: Form, columns: Any, count: int) -> Iterable[Any]:
    if form is None:
        return [None] * count
    if isinstance(form, str):
        return next(columns)
    if not form:
        return [()] * count
    return zip(*[_together(part, columns, count) for part in form], strict=True)


def _leaves(form: Form, entries: Sequence[Any]) -> list[Sequence[Any]]:
    if form is None:
        return []
    if isinstance(form, str):
        return [entries]
    parts = zip(form, _parts(entries, len(form)), strict=True)
    return [column for part, values in parts for column in _leaves(part, values)]


def _parts(entries: Sequence[Any], width: int) -> list[list[Any]]:
    """The first parts of all tuples, their second parts, and so on."""
    flat = list(chain.from_iterable(entries))
    return [flat[k::width] for k in range(width)]


def _labelled(entries: Sequence[Any], depth: int, budget: list[int]) -> tuple[NDArray[np.int64], list[Form]]:
    """The number of each entry's form, and the forms, numbered by first appearance."""
    budget[0] -= 1
    if depth > DEEPEST or budget[0] < 0:
        raise ValueError("nested too deeply or too large")
    types = list(map(type, entries))
    kinds = list(dict.fromkeys(types))
    if len(kinds) == 1:
        return _labelled_alike(kinds[0], entries, depth, budget)
    number = {kind: k for k, kind in enumerate(kinds)}
    return _labelled_apart(entries, np.fromiter(map(number.__getitem__, types), np.int64, len(types)), depth, budget)


def _labelled_alike(
    kind: type, entries: Sequence[Any], depth: int, budget: list[int]
) -> tuple[NDArray[np.int64], list[Form]]:
    n = len(entries)
    if kind is int and (max(entries) > LARGEST_NUMBER or min(entries) < -LARGEST_NUMBER):
        raise ValueError("a whole number beyond 2**62")
    if kind in _LETTERS:
        return np.zeros(n, np.int64), [_LETTERS[kind]]
    if kind is not tuple:
        raise ValueError(f"a {kind.__name__}")
    sizes = list(map(len, entries))
    if min(sizes) != max(sizes):
        return _labelled_apart(entries, np.array(sizes), depth, budget)
    labels = np.zeros(n, np.int64)
    forms: list[Form] = [()]
    for values in _parts(entries, sizes[0]):
        of_part, parts = _labelled(values, depth + 1, budget)
        if len(forms) == len(parts) == 1:
            forms = [(*forms[0], parts[0])]
            continue
        pairs, first, labels = np.unique(labels * len(parts) + of_part, return_index=True, return_inverse=True)
        order = np.argsort(first)
        forms = [(*forms[pair // len(parts)], parts[pair % len(parts)]) for pair in pairs[order].tolist()]
        labels = np.argsort(order)[labels]
    return labels, forms


def _labelled_apart(
    entries: Sequence[Any], kinds: NDArray[np.int64], depth: int, budget: list[int]
) -> tuple[NDArray[np.int64], list[Form]]:
    """Entries of several kinds, each kind by itself."""
    labels = np.zeros(len(entries), np.int64)
    forms: list[Form] = []
    for kind in dict.fromkeys(kinds.tolist()):
        chosen = np.flatnonzero(kinds == kind)
        alike = [entries[k] for k in chosen.tolist()]
        labels[chosen], found = _labelled_alike(type(alike[0]), alike, depth, budget)
        labels[chosen] += len(forms)
        forms += found
    return labels, forms
