"""What stands in for NumPy's array makers, ``math`` and other functions that know no protocol, while a recording runs.

While at least one recording is open, functions such as ``np.zeros``, ``math.sin`` and ``scipy.linalg.solve`` are
replaced, in the modules that hold them, by stand-ins, which

* call the original in threads that record nothing;
* call fastgrad's definition where an argument holds a recorded value;
* otherwise call the original, and return arrays as ``FreshArray``, into which recorded values can be written.

Every original is put back when the last open recording ends, however it ends. Names that other modules imported
(``from numpy import zeros``) are replaced like the modules' own.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from types import CellType, FunctionType
from typing import Any

import numpy as np

from fastgrad.recording.fresh_array import call_on_fresh, holds_recorded, made, unwrapped
from fastgrad.recording.functions.registry import OUTSIDE
from fastgrad.recording.numpy_protocol import load_outside
from fastgrad.recording.recorder import innermost_recorder

__all__ = ["interception", "original_of"]

# NumPy's functions that make arrays of what knows no protocol
_MAKERS = (
    "arange", "array", "asanyarray", "asarray", "ascontiguousarray", "asfortranarray", "concatenate", "concat",
    "copy", "diag", "diagflat", "empty", "empty_like", "eye", "full", "full_like", "geomspace", "hstack",
    "identity", "indices", "linspace", "logspace", "ones", "ones_like", "outer", "repeat", "stack", "tile",
    "tri", "tril", "triu", "vstack", "where", "zeros", "zeros_like", "column_stack", "dstack", "block",
    "meshgrid", "atleast_1d",
)  # fmt: skip
# packages whose own code makes plain arrays
_UNTOUCHED = frozenset({"numpy", "fastgrad", "numba", "llvmlite"})


_ABSENT = object()


def _stand_in_for_maker(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        if innermost_recorder() is None:
            return original(*args, **kwargs)
        if holds_recorded(args) or holds_recorded(list(kwargs.values())):
            return call_on_fresh(original, args, kwargs)
        if sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] in _UNTOUCHED:
            return original(*args, **kwargs)
        return made(original, args, kwargs)

    return stand_in


def _stand_in_for(original: Callable[..., Any], definition: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        if innermost_recorder() is None:
            return original(*args, **kwargs)
        args = tuple([list(x) if isinstance(x, Iterator) else x for x in args])
        if holds_recorded(args) or holds_recorded(list(kwargs.values())):
            return definition(*map(unwrapped, args), **{name: unwrapped(x) for name, x in kwargs.items()})
        return original(*args, **kwargs)

    return stand_in


def _python_body(dispatcher: Any, *args: Any, **kwargs: Any) -> Any:
    """A call of a function compiled by Numba: its Python body runs where an argument is recorded."""
    if innermost_recorder() is not None and (holds_recorded(args) or holds_recorded(list(kwargs.values()))):
        return dispatcher.py_func(*args, **kwargs)
    return _compiled_call(dispatcher)(*args, **kwargs)


def _compiled_call(dispatcher: Any) -> Callable[..., Any]:
    from numba.core.dispatcher import Dispatcher

    inherited: Callable[..., Any] = super(Dispatcher, dispatcher).__call__
    return inherited


def _vectorized(vectorize: Any, *args: Any, **kwargs: Any) -> Any:
    """A call of an ``np.vectorize``."""
    if innermost_recorder() is not None and (holds_recorded(args) or holds_recorded(list(kwargs.values()))):
        return call_on_fresh(np.vectorize, (vectorize, *args), kwargs)
    return _original_vectorize(vectorize, *args, **kwargs)


_original_vectorize = np.vectorize.__call__


class _Interception:
    """The stand-ins of this process, and what they have replaced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_open = 0
        self._stand_ins: dict[int, Any] = {}  # by identity of the original
        self._identities: set[int] = set()
        self._n_outside = -1
        # the names of a namespace that hold originals, right while it has as many names
        self._names: dict[int, tuple[int, tuple[str, ...]]] = {}
        self._replaced: list[tuple[Any, str, Any, Any]] = []

    def open(self, function: Callable[..., Any]) -> None:
        """Put the stand-ins in place for one more recording, of ``function``."""
        with self._lock:
            self._n_open += 1
            if self._n_open == 1:
                self._make_stand_ins()
                for namespace in _namespaces():
                    self._replace_in(namespace)
                self._replace_calls()
            self._replace_around(function)

    def close(self) -> None:
        """End one recording; after the last, every original is back in its place."""
        with self._lock:
            self._n_open -= 1
            if self._n_open == 0:
                while self._replaced:
                    _put_back(*self._replaced.pop())

    def original_of(self, value: Any) -> Any:
        """What a stand-in stands for; anything else itself."""
        return value.__wrapped__ if id(value) in self._identities else value

    # ---- what is replaced

    def _make_stand_ins(self) -> None:
        """Make the stand-ins; again when a package that has definitions was imported since."""
        load_outside()
        found = {name: _looked_up(name) for name in OUTSIDE}
        n_outside = sum(original is not None for original in found.values())
        if n_outside == self._n_outside:
            return
        self._n_outside = n_outside
        for name in _MAKERS:
            original = getattr(np, name)
            self._stand_ins.setdefault(id(original), _stand_in_for_maker(original))
        for name, original in found.items():
            if original is not None:
                self._stand_ins.setdefault(id(original), _stand_in_for(original, OUTSIDE[name]))
        self._identities = {id(stand_in) for stand_in in self._stand_ins.values()}
        self._names.clear()

    def _replace_in(self, namespace: dict[str, Any]) -> None:
        size = len(namespace)
        known_size, names = self._names.get(id(namespace), (-1, ()))
        if known_size != size:
            names = tuple([name for name, value in list(namespace.items()) if id(value) in self._stand_ins])
            self._names[id(namespace)] = (size, names)
        for name in names:
            original = namespace.get(name)
            stand_in = self._stand_ins.get(id(original))
            if stand_in is not None:
                namespace[name] = stand_in
                self._replaced.append((namespace, name, original, stand_in))

    def _replace_around(self, function: Callable[..., Any]) -> None:
        """Names in the function's own namespace and closure, which may belong to no module."""
        function = getattr(function, "__func__", function)
        if not isinstance(function, FunctionType):
            return
        self._replace_in(function.__globals__)
        for cell in function.__closure__ or ():
            original = _content(cell)
            stand_in = self._stand_ins.get(id(original))
            if stand_in is not None:
                cell.cell_contents = stand_in
                self._replaced.append((cell, "", original, stand_in))

    def _replace_calls(self) -> None:
        """What runs when objects of NumPy's and Numba's classes are called."""
        np.vectorize.__call__ = _vectorized
        self._replaced.append((np.vectorize, "__call__", _original_vectorize, _vectorized))
        numba = sys.modules.get("numba.core.dispatcher")
        if numba is not None:
            numba.Dispatcher.__call__ = _python_body
            self._replaced.append((numba.Dispatcher, "__call__", _ABSENT, _python_body))


def _put_back(holder: Any, name: str, original: Any, stand_in: Any) -> None:
    """Undo one replacement, unless the place holds something else by now."""
    if isinstance(holder, CellType):
        if _content(holder) is stand_in:
            holder.cell_contents = original
    elif isinstance(holder, dict):
        if holder.get(name) is stand_in:
            holder[name] = original
    elif original is _ABSENT:
        delattr(holder, name)
    else:
        setattr(holder, name, original)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _ABSENT


def _looked_up(name: str) -> Any:
    """The function of that full name, if its module is loaded."""
    module, _, attribute = name.rpartition(".")
    return getattr(sys.modules.get(module), attribute, None)


def _namespaces() -> Iterator[dict[str, Any]]:
    """Those of all modules that may hold names to replace."""
    for name, module in list(sys.modules.items()):
        package = name.partition(".")[0]
        if name in ("numpy", "math", "statistics", "scipy.special", "scipy.linalg") or not (
            package in _UNTOUCHED or package in sys.stdlib_module_names
        ):
            namespace = getattr(module, "__dict__", None)
            if isinstance(namespace, dict):
                yield namespace


interception = _Interception()
original_of = interception.original_of
