"""Runs of a function on NumPy, made alike: copied arguments, generators set back, and what came of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.recording.captured import is_of_library
from fastgrad.recording.randomness import Generator
from fastgrad.recording.structures import Structure, flatten, map_leaves

__all__ = ["Outcome", "agree", "copied", "run", "run_traced", "set_back", "states_of"]

# Recorded and plain values round differently in a few last bits, which a long computation may amplify.
RELATIVE, ABSOLUTE = 1e-7, 1e-12
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


@dataclass(frozen=True)
class Outcome:
    """The leaves of a result and their nesting, or the exception that came instead."""

    leaves: tuple[Any, ...]
    structure: Structure | None
    error: Exception | None = None


def run(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Outcome:
    """What the function gives for these arguments."""
    try:
        with np.errstate(all="ignore"):
            leaves, structure = flatten(function(*args, **kwargs))
    except Exception as error:
        return Outcome((), None, error)
    return Outcome(tuple(leaf.copy() if isinstance(leaf, np.ndarray) else leaf for leaf in leaves), structure)


def run_traced(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Outcome, dict[CodeType, dict[str, Any]]]:
    """The outcome, and the user's code that ran with the globals of each."""
    seen: dict[CodeType, dict[str, Any]] = {}

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code not in seen:
            seen[frame.f_code] = frame.f_globals

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        outcome = run(function, args, kwargs)
    finally:
        sys.setprofile(before)
    return outcome, {code: names for code, names in seen.items() if _is_of_user(code)}


def _is_of_user(code: CodeType) -> bool:
    filename = code.co_filename
    return not (is_of_library(filename) or filename.startswith(_PACKAGE))


def copied(nested: Any) -> Any:
    """Nested arguments with copies of the arrays."""
    return map_leaves(lambda x: x.copy() if isinstance(x, np.ndarray) else x, nested)


def agree(x: Outcome, y: Outcome, exact: bool = False) -> bool:
    """Whether two outcomes are the same, up to rounding unless ``exact``."""
    if x.error or y.error:
        return type(x.error) is type(y.error)
    if x.structure != y.structure or len(x.leaves) != len(y.leaves):
        return False
    return all(_same(a, b, exact) for a, b in zip(x.leaves, y.leaves, strict=True))


def _same(x: Any, y: Any, exact: bool) -> bool:
    numbers = (np.ndarray, np.generic, float, int)
    if not isinstance(x, numbers) or not isinstance(y, numbers):
        return bool(x is y or x == y)
    a, b = np.asarray(x), np.asarray(y)
    if a.shape != b.shape:
        return False
    if exact or a.dtype.kind not in "f" or b.dtype.kind not in "f":
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == b.dtype.kind == "f"))
    return _close(a.astype(np.float64), b.astype(np.float64))


def _close(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return False
    size = np.max(np.abs(a[finite]), initial=0.0)
    return bool(np.all(np.abs(a[finite] - b[finite]) <= RELATIVE * size + ABSOLUTE))


def states_of(generators: Sequence[Generator]) -> list[tuple[Any, Any]]:
    """The generators and their full states, for ``set_back``."""
    found = []
    for generator in generators:
        source = generator.source
        if hasattr(source, "getstate"):
            found.append((source.setstate, source.getstate()))
        elif hasattr(source, "bit_generator"):
            found.append((_setter(source.bit_generator), source.bit_generator.state))
        else:
            found.append((source.set_state, source.get_state(legacy=False)))
    return found


def _setter(bits: Any) -> Callable[[Any], None]:
    def set_state(state: Any) -> None:
        bits.state = state

    return set_state


def set_back(states: Sequence[tuple[Any, Any]]) -> None:
    """Put generators into these states."""
    for set_state, state in states:
        set_state(state)
