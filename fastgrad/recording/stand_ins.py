"""Stand-ins for functions: each calls the original, unless a recording runs in its thread that needs more.

Stand-ins for NumPy's makers of arrays return arrays into which recorded values can be written; those for functions that
know no protocol call fastgrad's definition where an argument holds a recorded value. Those for ufuncs take lists of
recorded values, of which NumPy would make arrays of objects: for these it has no loops (``np.exp([x, 0.2])``), or loops
that mean something else (``np.logical_and`` is Python's ``and``, ``np.maximum`` drops NaN).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import numpy as np

from fastgrad.recording.fresh_array import FreshArray, call_on_fresh, made, unwrapped, unwrapped_call
from fastgrad.recording.functions.conversions import any_recorded, holds_recorded
from fastgrad.recording.numpy_protocol import apply_ufunc
from fastgrad.recording.recorded_array import RecordedArray, RecordedText, stacked
from fastgrad.recording.recorder import innermost_recorder

__all__ = ["UNTOUCHED", "UfuncStandIn", "stand_in_for", "stand_in_for_maker", "stand_in_for_taker"]

# packages whose own code makes plain arrays
UNTOUCHED = frozenset({"numpy", "fastgrad", "numba", "llvmlite"})


def _caller_package() -> str:
    """The package whose code has called a stand-in."""
    name: str = sys._getframe(2).f_globals.get("__name__", "")
    return name.partition(".")[0]


def stand_in_for_maker(original: Callable[..., Any]) -> Callable[..., Any]:
    """Of a function that makes arrays: while a recording runs they take recorded values."""

    @functools.wraps(original)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        if innermost_recorder() is None or _caller_package() in UNTOUCHED:
            return original(*args, **kwargs)
        return made(original, args, kwargs)

    stand_in.stands_for = original  # type: ignore[attr-defined]
    return stand_in


def stand_in_for_taker(original: Callable[..., Any]) -> Callable[..., Any]:
    """Of a function that takes lists of recorded values."""

    @functools.wraps(original)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        if innermost_recorder() is None or not any_recorded(args, kwargs):
            return original(*args, **kwargs)
        return call_on_fresh(original, args, kwargs)

    stand_in.stands_for = original  # type: ignore[attr-defined]
    return stand_in


def stand_in_for(original: Callable[..., Any], definition: Callable[..., Any]) -> Callable[..., Any]:
    """Of a function that knows no protocol: the definition computes what has recorded values in it."""

    @functools.wraps(original)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        if innermost_recorder() is None:
            return original(*args, **kwargs)
        args = tuple([list(x) if isinstance(x, Iterator) else x for x in args])
        if any_recorded(args, kwargs) or RecordedText in map(type, args):
            return unwrapped_call(definition, args, kwargs)
        return original(*args, **kwargs)

    stand_in.stands_for = original  # type: ignore[attr-defined]
    return stand_in


class UfuncStandIn:
    """A ufunc that takes lists of recorded values as arrays."""

    def __init__(self, original: np.ufunc) -> None:
        self.stands_for = original

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """What ``isinstance`` goes by."""
        return np.ufunc

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and type(args[0]) is RecordedArray and self.stands_for.nin == 1:
            # without NumPy's search for who is to compute it
            return apply_ufunc(self.stands_for, "__call__", args, kwargs)
        for x in args:
            if type(x) not in _NO_LISTS:
                return self._call("__call__", args, kwargs)
        return self.stands_for(*args, **kwargs)

    def reduce(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("reduce", args, kwargs)

    def accumulate(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("accumulate", args, kwargs)

    def reduceat(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("reduceat", args, kwargs)

    def outer(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("outer", args, kwargs)

    def at(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("at", args, kwargs)

    def _call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if innermost_recorder() is not None:
            if method == "__call__" and len(args) == self.stands_for.nin and "out" not in kwargs:
                for x in args:
                    override = getattr(type(x), "__array_ufunc__", None)
                    if isinstance(override, FunctionType) and type(x) not in _NO_LISTS:
                        # a class that asks ``ufunc is np.exp`` means what this name holds now
                        result = override(x, self, method, *args, **kwargs)
                        if result is not NotImplemented:
                            return result
            args = tuple(map(_as_array, args))
        return getattr(self.stands_for, method)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stands_for, name)

    def __eq__(self, other: object) -> bool:
        return other is self or other is self.stands_for

    def __hash__(self) -> int:
        return hash(self.stands_for)

    def __repr__(self) -> str:
        return repr(self.stands_for)

    def __reduce__(self) -> Any:
        return _same, (self.stands_for,)


# the classes of most arguments, looked at first because every call of a ufunc passes here
_NO_LISTS = frozenset({RecordedArray, FreshArray, np.ndarray, float, int, bool, np.float64, np.int64, np.bool_})


def _as_array(x: Any) -> Any:
    return stacked(unwrapped(x)) if isinstance(x, (list, tuple)) and holds_recorded(x) else x


def _same(x: Any) -> Any:
    return x
