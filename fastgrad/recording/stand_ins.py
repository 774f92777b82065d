"""Stand-ins for functions: each calls the original, unless a recording runs in its thread that needs more.

Stand-ins for NumPy's makers of arrays return arrays into which recorded values can be written; those for functions that
know no protocol call fastgrad's definition where an argument holds a recorded value.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

from fastgrad.recording.fresh_array import call_on_fresh, made, unwrapped_call
from fastgrad.recording.functions.conversions import any_recorded
from fastgrad.recording.recorder import innermost_recorder

__all__ = ["UNTOUCHED", "stand_in_for", "stand_in_for_maker", "stand_in_for_taker"]

# packages whose own code makes plain arrays
UNTOUCHED = frozenset({"numpy", "fastgrad", "numba", "llvmlite"})


def _caller_package() -> str:
    """The package whose code has called a stand-in."""
    name: str = sys._getframe(2).f_globals.get("__name__", "")
    return name.partition(".")[0]


def stand_in_for_maker(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        if innermost_recorder() is None or _caller_package() in UNTOUCHED:
            return original(*args, **kwargs)
        return made(original, args, kwargs)

    stand_in.stands_for = original  # type: ignore[attr-defined]
    return stand_in


def stand_in_for_taker(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        if innermost_recorder() is None or not any_recorded(args, kwargs):
            return original(*args, **kwargs)
        return call_on_fresh(original, args, kwargs)

    stand_in.stands_for = original  # type: ignore[attr-defined]
    return stand_in


def stand_in_for(original: Callable[..., Any], definition: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        if innermost_recorder() is None:
            return original(*args, **kwargs)
        args = tuple([list(x) if isinstance(x, Iterator) else x for x in args])
        if any_recorded(args, kwargs):
            return unwrapped_call(definition, args, kwargs)
        return original(*args, **kwargs)

    stand_in.stands_for = original  # type: ignore[attr-defined]
    return stand_in
