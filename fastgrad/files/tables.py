"""Tables of nested tuples of numbers and text as a few arrays and a description that JSON can hold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.columns import DEEPEST, MOST_LEAVES, groups, leaves_of, put_together
from fastgrad.errors import FileFormatError

__all__ = ["narrow", "pack_table", "unpack_table"]

# how much larger a table may be than what the file holds of it
_PARTS_TO_SPARE = 1_000_000
_PARTS_FOR_EACH_NUMBER = 64


def narrow(numbers: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers in the smallest kind that holds them."""
    if not numbers.size:
        return numbers.astype(np.uint8)
    low, high = int(numbers.min()), int(numbers.max())
    # a signed kind holds as many numbers below zero as above
    return numbers.astype(np.min_scalar_type(min(low, -1 - high) if low < 0 else high), copy=False)


def pack_table(entries: Sequence[Any]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The description and the arrays of a table: which entry has which form, its whole numbers and its real ones."""
    found = groups(entries) if len(entries) else []
    text: dict[str, int] = {}
    whole: list[NDArray[np.int64]] = []
    real: list[NDArray[np.float64]] = []
    for group in found:
        for letter, column in zip(leaves_of(group.form), group.columns, strict=True):
            if letter == "f":
                real.append(np.array(column, np.float64))
            elif letter == "i":
                whole.append(np.array(column, np.int64))
            else:
                whole.append(np.array([text.setdefault(value, len(text)) for value in column], np.int64))
    description = {"forms": [[group.form, len(group.positions)] for group in found], "text": list(text)}
    arrays: dict[str, NDArray[Any]] = {}
    if len(found) > 1 or not (whole or real):
        order = np.zeros(len(entries), np.int64)
        for number, group in enumerate(found):
            order[group.positions] = number
        arrays["order"] = narrow(order)
    if whole:
        arrays["whole"] = narrow(np.concatenate(whole))
    if real:
        arrays["real"] = np.concatenate(real)
    return description, arrays


def unpack_table(description: Any, arrays: dict[str, NDArray[Any]], name: str) -> tuple[Any, ...]:
    """The table again. Raises FileFormatError where description and arrays do not fit together."""
    try:
        return _unpacked(description, arrays)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise FileFormatError(f"this file cannot be loaded: its table of {name} is damaged ({error})") from None


def _unpacked(description: Any, arrays: dict[str, NDArray[Any]]) -> tuple[Any, ...]:
    text = description["text"]
    if type(text) is not list or not set(map(type, text)) <= {str}:
        raise ValueError("text")
    whole = _as_kind(arrays.get("whole"), "iu", np.int64)
    real = _as_kind(arrays.get("real"), "f", np.float64)
    order = _as_kind(arrays.get("order"), "u", np.int64)
    forms, room = [], _PARTS_TO_SPARE + _PARTS_FOR_EACH_NUMBER * (len(whole) + len(real) + len(order))
    for described, count in description["forms"]:
        budget = [MOST_LEAVES]
        forms.append((_form(described, 0, budget), _count(count)))
        room -= count * (MOST_LEAVES - budget[0])
        if room < 0:  # before any memory is taken for them
            raise ValueError("more entries than numbers")
    if len(order) or len(forms) > 1:
        is_within = not len(order) or 0 <= int(order.min()) <= int(order.max()) < len(forms)
        if not is_within or np.bincount(order, minlength=len(forms)).tolist() != [count for _, count in forms]:
            raise ValueError("order")
    parts, at_whole, at_real = [], 0, 0
    for form, count in forms:
        columns: list[Sequence[Any]] = []
        for letter in leaves_of(form):
            if letter == "f":
                columns.append(_piece(real, at_real, count).tolist())
                at_real += count
                continue
            numbers = _piece(whole, at_whole, count)
            at_whole += count
            if letter == "s" and len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(text):
                raise ValueError("text outside")
            columns.append(numbers.tolist() if letter == "i" else [text[k] for k in numbers.tolist()])
        parts.append(put_together(form, columns, count))
    if at_whole != len(whole) or at_real != len(real):
        raise ValueError("numbers are left over")
    if len(parts) < 2:
        return tuple(parts[0]) if parts else ()
    entries: list[Any] = [None] * len(order)
    for position, entry in zip(np.argsort(order, kind="stable").tolist(), chain.from_iterable(parts), strict=True):
        entries[position] = entry
    return tuple(entries)


def _as_kind(array: NDArray[Any] | None, kinds: str, dtype: Any) -> NDArray[Any]:
    if array is None:
        return np.zeros(0, dtype)
    if array.ndim != 1 or array.dtype.kind not in kinds:
        raise ValueError("numbers of another kind")
    return array.astype(dtype)


def _piece(array: NDArray[Any], start: int, count: int) -> NDArray[Any]:
    if start + count > len(array):
        raise ValueError("numbers are missing")
    return array[start : start + count]


def _count(count: Any) -> int:
    if type(count) is not int or count < 1:
        raise ValueError("count")
    return count


def _form(form: Any, depth: int, budget: list[int]) -> Any:
    budget[0] -= 1
    if depth > DEEPEST or budget[0] < 0:
        raise ValueError("nested too deeply or too large")
    if form is None or (type(form) is str and form in ("i", "f", "s")):
        return form
    if type(form) is not list:
        raise ValueError("form")
    return tuple(_form(part, depth + 1, budget) for part in form)
