"""What a function may read around itself, as things that can be changed for a moment and put back."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from fastgrad.recording.captured import Surroundings, is_class_of_library

__all__ = ["TURNS", "Knob", "knobs_around", "turned"]

MAX_KNOBS, MAX_OBJECTS, MAX_DEPTH = 2_000, 20_000, 12
# what numbers are changed to, one way after the other: factors, and what is added; signs stay
TURNS = ((1.25, 0.125), (3.0, 1.0), (0.25, 0.0))


@dataclass(frozen=True)
class Knob:
    """A number or an array: what to call it, how to change it, and how to put it back."""

    label: str
    change: Callable[[tuple[float, float]], None]
    restore: Callable[[], None]


@contextmanager
def turned(turn: tuple[float, float], *knobs: Knob) -> Iterator[None]:
    """With these changed."""
    changed: list[Knob] = []
    try:
        for knob in knobs:
            knob.change(turn)
            changed.append(knob)
        yield
    finally:
        for knob in reversed(changed):
            knob.restore()


def knobs_around(surroundings: Surroundings, namespaces: list[dict[str, Any]]) -> list[Knob]:
    """Numbers and arrays in what the function sees and in the modules whose code it runs, as deep as they lie."""
    found: list[Knob] = []
    seen: set[int] = set()
    roots = [(place.label, place.value()) for place in surroundings.places]
    for namespace in namespaces:
        for name, value in list(namespace.items()):
            if not name.startswith("__"):
                found += _of_item(f"global {name}", namespace, name, value)
                roots.append((f"global {name}", value))
    for label, root in roots:
        for knob in _inside(label, root, seen):
            found.append(knob)
            if len(found) >= MAX_KNOBS:
                return found
    return found


def _inside(label: str, root: Any, seen: set[int]) -> Iterator[Knob]:
    level = [root]
    for _ in range(MAX_DEPTH):
        following: list[Any] = []
        for value in level:
            if id(value) in seen or len(seen) > MAX_OBJECTS:
                continue
            seen.add(id(value))
            if isinstance(value, np.ndarray):
                yield from _of_array(label, value)
                following += value.ravel().tolist() if value.dtype.kind == "O" else []
                continue
            for holder, key, element in _elements(value):
                if holder is not None:
                    yield from _of_item(label, holder, key, element)
                following.append(element)
        level = following


def _elements(value: Any) -> list[tuple[Any, Any, Any]]:
    """What is in a container or an object of the user's: (what can be assigned to or None, key, element)."""
    if isinstance(value, (list, deque)):
        return [(value, k, element) for k, element in enumerate(value)]
    if isinstance(value, dict):
        return [(value, key, element) for key, element in value.items()]
    if isinstance(value, (tuple, set, frozenset)):
        return [(None, None, element) for element in value]
    if isinstance(value, SimpleNamespace) or not is_class_of_library(type(value)):  # type: ignore[arg-type]
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            return [(attributes, key, element) for key, element in attributes.items()]
    return []


def _of_array(label: str, array: Any) -> Iterator[Knob]:
    if array.dtype.kind != "f" or not array.size or not array.flags.writeable:
        return
    before = array.copy()

    def change(turn: tuple[float, float]) -> None:
        factor, more = turn
        array[...] = factor * before + np.copysign(more, before)

    def restore() -> None:
        array[...] = before

    yield Knob(f"the array in {label}", change, restore)


def _of_item(label: str, holder: Mapping[Any, Any], key: Any, value: Any) -> Iterator[Knob]:
    if type(value) not in (float, int, np.float64):
        return
    items: Any = holder

    def change(turn: tuple[float, float]) -> None:
        factor, more = turn
        items[key] = value + 1 if isinstance(value, int) else factor * value + math.copysign(more, value)

    def restore() -> None:
        items[key] = value

    yield Knob(f"a number in {label}" if label != f"global {key}" else label, change, restore)
