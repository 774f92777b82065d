"""What stands in for NumPy's array makers, ``math`` and other functions that know no protocol, while a recording runs.

While at least one recording is open, functions such as ``np.zeros``, ``math.sin`` and ``scipy.linalg.solve`` are
replaced, in the modules that hold them, by stand-ins, which

* call the original in threads that record nothing;
* call fastgrad's definition where an argument holds a recorded value;
* otherwise call the original, and return arrays as ``FreshArray``, into which recorded values can be written.

Every original is put back when the last open recording ends, however it ends. Names that other modules imported
(``from numpy import zeros``) are replaced like the modules' own. While a module is imported or Numba compiles, the
originals are back for that time: both look at the functions themselves, and keep them.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import operator
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import compress
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from fastgrad.recording.functions.registry import OUTSIDE, REGISTERED
from fastgrad.recording.intercepted_calls import (
    array_of_polynomial,
    original_array_of_polynomial,
    original_polynomial,
    original_vectorize,
    polynomial,
    python_body,
    vectorized,
)
from fastgrad.recording.intercepted_names import KNOWN_MODULES, MAKERS, OF_MODULES, TAKERS, UFUNCS_OF_LISTS
from fastgrad.recording.numpy_protocol import load_outside, special_ufuncs
from fastgrad.recording.replacing import (
    ABSENT,
    HOLDERS,
    Contents,
    Holding,
    content,
    put_back,
    set_content,
)
from fastgrad.recording.stand_ins import UNTOUCHED, UfuncStandIn, stand_in_for, stand_in_for_maker, stand_in_for_taker

__all__ = ["interception", "original_of"]

# seconds to wait for imports and compilations of other threads
_PATIENCE = 30.0


def _compile_extra(*args: Any, **kwargs: Any) -> Any:
    """What Numba calls, under its lock, to compile anything."""
    with interception.suspended():
        return _original_compile()(*args, **kwargs)


@functools.cache
def _original_compile() -> Callable[..., Any]:
    from numba.core import compiler

    original: Callable[..., Any] = compiler.compile_extra
    return original


def _no_compilation() -> AbstractContextManager[Any]:
    """A time in which Numba compiles nothing in any other thread."""
    numba = sys.modules.get("numba.core.compiler_lock")
    return nullcontext() if numba is None else numba.global_compiler_lock


def _import(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
    """``__import__``, which has the stand-ins taken away while a module is loaded."""
    if level == 0 and name in sys.modules:
        return _original_import(name, globals, locals, fromlist, level)
    with interception.suspended():
        return _original_import(name, globals, locals, fromlist, level)


_original_import = builtins.__import__


def _import_module(name: str, package: str | None = None) -> ModuleType:
    if name in sys.modules:
        return _original_import_module(name, package)
    with interception.suspended():
        return _original_import_module(name, package)


_original_import_module = importlib.import_module


class _Interception:
    """The stand-ins of this process, and what they have replaced."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._n_open = 0
        # threads for which the originals are in place, as often as they asked for it
        self._suspending: Counter[int] = Counter()
        # how often the stand-ins were taken away, by thread
        self._suspensions: Counter[int] = Counter()
        self._stand_ins: dict[int, Any] = {}  # by identity of the original
        self._identities: set[int] = set()
        # the packages that definitions are for, and the counts when the stand-ins were made
        self._packages: set[str] = set()
        self._known = (-1, -1, -1)
        # the namespaces of modules, right while there are as many
        self._n_modules = 0
        self._namespaces: list[dict[str, Any]] = []
        # by the identity of a namespace
        self._holdings: dict[int, Holding] = {}
        # those that hold nothing to replace, right while they are as long, which is quickly seen; and the others
        self._quiet: list[dict[str, Any]] = []
        self._lengths_of_quiet: list[int] = []
        self._busy: list[dict[str, Any]] = []
        self._replaced_in: list[tuple[dict[str, Any], Holding]] = []
        # what stands in no namespace
        self._replaced: list[tuple[Any, Any, Any, Any]] = []

    def open(self, function: Callable[..., Any], places: Sequence[tuple[Any, Any]] | None = None) -> Callable[..., Any]:
        """Put the stand-ins in place for one more recording, of ``function``; what is to be called in its place.

        ``places`` are further ones where they are to be put, as containers and keys.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            with self._lock:
                # not for ever: what another thread imports may be waiting for this one
                self._lock.wait_for(self._is_free, max(deadline - time.monotonic(), 0.0))
            with _no_compilation(), self._lock:
                if self._is_free() or time.monotonic() > deadline:
                    return self._opened(function, places)

    def _opened(self, function: Callable[..., Any], places: Sequence[tuple[Any, Any]] | None) -> Callable[..., Any]:
        self._n_open += 1
        if self._n_open == 1:
            self._make_stand_ins()
        if not self._suspending:
            if self._n_open == 1:
                self._replace_all()
            self._replace_around(function)
            for holder, key in places or ():
                self._replace_held(holder, key)
        stand_in: Callable[..., Any] = self._stand_ins.get(id(function), function)
        return stand_in if places is None else self._holding_stand_ins(stand_in)

    def worth_replacing(
        self, function: Callable[..., Any], places: Sequence[tuple[Any, Any]]
    ) -> list[tuple[Any, Any]] | None:
        """Those places that hold something for which there is a stand-in; None if nor the function itself has one."""
        with self._lock:
            found = [place for place in places if self._has_stand_ins(content(*place))]
            return found if found or self._has_stand_ins(function) else None

    def _has_stand_ins(self, value: Any) -> bool:
        return self._holding_stand_ins(value) is not value

    def _is_free(self) -> bool:
        """Whether no other thread needs the originals; a module that this thread is importing may record."""
        return not self._suspending.keys() - {threading.get_ident()}

    def close(self) -> None:
        """End one recording; after the last, every original is back in its place."""
        with self._lock:
            self._n_open -= 1
            if self._n_open == 0:
                self._put_all_back()

    def suspensions_elsewhere(self) -> int:
        """How often the stand-ins have been taken away by other threads."""
        with self._lock:
            return self._suspensions.total() - self._suspensions[threading.get_ident()]

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """With the originals in their places, for all threads."""
        with self._lock:
            self._suspending[threading.get_ident()] += 1
            self._suspensions[threading.get_ident()] += 1
            taken_away = self._put_all_back()
        try:
            yield
        finally:
            with self._lock:
                self._suspending -= Counter({threading.get_ident(): 1})
                self._lock.notify_all()
                if not self._suspending and self._n_open:
                    self._replace_all()
                    for holder, key, original, _ in taken_away:
                        if isinstance(holder, HOLDERS) and content(holder, key) is original:
                            self._replace_held(holder, key)

    def original_of(self, value: Any) -> Any:
        """What a stand-in stands for; anything else itself."""
        return value.stands_for if id(value) in self._identities else value

    # ---- what is replaced

    def _replace_all(self) -> None:
        if len(sys.modules) != self._n_modules:
            self._n_modules, self._namespaces = len(sys.modules), list(_namespaces())
            self._busy = self._namespaces
        elif list(map(len, self._quiet)) != self._lengths_of_quiet:
            self._busy = self._namespaces
        for namespace in self._busy:
            self._replace_in(namespace)
        if self._busy is self._namespaces:
            is_busy = [bool(self._holdings[id(namespace)].names) for namespace in self._namespaces]
            self._busy = list(compress(self._namespaces, is_busy))
            self._quiet = list(compress(self._namespaces, map(operator.not_, is_busy)))
            self._lengths_of_quiet = [self._holdings[id(namespace)].size for namespace in self._quiet]
        self._replace_calls()

    def _put_all_back(self) -> list[tuple[Any, Any, Any, Any]]:
        for namespace, holding in self._replaced_in:
            holding.stand_ins.replace(namespace, holding.originals)
        taken_away = self._replaced
        self._replaced_in, self._replaced = [], []
        for replacement in taken_away:
            put_back(*replacement)
        return taken_away

    def _make_stand_ins(self) -> None:
        """Make the stand-ins; again when a package that has definitions was imported since."""
        load_outside()
        if self._counts() == self._known:
            return
        self._packages = {name.rpartition(".")[0] for name in OUTSIDE}
        self._known = self._counts()
        found = {name: _looked_up(name) for name in OUTSIDE}
        for name in (*MAKERS, *TAKERS):
            original = getattr(np, name)
            self._stand_ins.setdefault(id(original), stand_in_for_maker(original))
        for module, names in OF_MODULES.items():
            for name in names:
                original = getattr(module, name)
                self._stand_ins.setdefault(id(original), stand_in_for_taker(original))
        for ufunc in (*UFUNCS_OF_LISTS, *special_ufuncs()):
            self._stand_ins.setdefault(id(ufunc), UfuncStandIn(ufunc))
        for name, original in found.items():
            if original is not None:
                self._stand_ins.setdefault(id(original), stand_in_for(original, OUTSIDE[name]))
        for original, definition in REGISTERED.values():
            if not hasattr(original, "py_func"):
                self._stand_ins[id(original)] = stand_in_for(original, definition)
        self._identities = {id(stand_in) for stand_in in self._stand_ins.values()}
        self._holdings.clear()
        self._busy = self._namespaces

    def _counts(self) -> tuple[int, int, int]:
        """How many definitions there are, how many of users, and how many loaded packages that they are for."""
        return len(OUTSIDE), len(REGISTERED), sum(map(sys.modules.__contains__, self._packages))

    def _replace_in(self, namespace: dict[str, Any]) -> None:
        holding = self._holdings.get(id(namespace))
        if holding is None or not holding.put_into(namespace):
            if holding is None or holding.size != len(namespace):
                found = {name: self.original_of(value) for name, value in list(namespace.items())}
                names: Iterable[str] = [name for name, x in found.items() if id(x) in self._stand_ins]
            elif holding.stand_ins.are_in(namespace) and not holding.is_outdated(namespace):
                return
            else:  # a name has been bound to something else
                names = holding.names
            holding = self._holding_of(namespace, names)
            holding.originals.replace(namespace, holding.stand_ins)
        if holding.originals.values:
            self._replaced_in.append((namespace, holding))

    def _holding_of(self, namespace: dict[str, Any], names: Iterable[str]) -> Holding:
        found = {name: self.original_of(namespace.get(name)) for name in names}
        originals = {name: original for name, original in found.items() if id(original) in self._stand_ins}
        stand_ins = {name: self._stand_ins[id(original)] for name, original in originals.items()}
        others = {name: id(x) for name, x in found.items() if name not in originals}
        holding = Holding(len(namespace), Contents(originals), Contents(stand_ins), others)
        self._holdings[id(namespace)] = holding
        return holding

    def _replace_around(self, function: Callable[..., Any]) -> None:
        """Names in the function's own namespace and closure, which may belong to no module."""
        function = getattr(function, "__func__", function)
        # a stand-in, too, is a closure, with the original in it
        if not isinstance(function, FunctionType) or id(function) in self._identities:
            return
        self._replace_in(function.__globals__)
        for cell in function.__closure__ or ():
            self._replace_held(cell, "")

    def _replace_held(self, holder: Any, key: Any) -> None:
        original = content(holder, key)
        stand_in = self._holding_stand_ins(original)
        if stand_in is not original:
            set_content(holder, key, stand_in)
            self._replaced.append((holder, key, original, stand_in))

    def _holding_stand_ins(self, value: Any) -> Any:
        """The stand-in for a value, or a partial function or tuple like it with stand-ins in it; else itself."""
        if type(value) is functools.partial:
            parts = (value.func, *value.args, *value.keywords.values())
            found: list[Any] = [self._holding_stand_ins(part) for part in parts]
            if all(map(operator.is_, parts, found)):
                return value
            n = 1 + len(value.args)
            return functools.partial(found[0], *found[1:n], **dict(zip(value.keywords, found[n:], strict=True)))
        if type(value) is tuple:
            items = tuple(map(self._holding_stand_ins, value))
            return value if all(map(operator.is_, items, value)) else items
        return self._stand_ins.get(id(value), value)

    def _replace_calls(self) -> None:
        """What runs when objects of NumPy's and Numba's classes are called, and when modules are imported."""
        self._replace_attribute(np.vectorize, "__call__", original_vectorize, vectorized)
        self._replace_attribute(np.poly1d, "__init__", original_polynomial, polynomial)
        self._replace_attribute(np.poly1d, "__array__", original_array_of_polynomial, array_of_polynomial)
        self._replace_attribute(builtins, "__import__", _original_import, _import)
        self._replace_attribute(importlib, "import_module", _original_import_module, _import_module)
        numba = sys.modules.get("numba.core.dispatcher")
        if numba is not None:
            self._replace_attribute(numba.Dispatcher, "__call__", ABSENT, python_body)
            self._replace_attribute(numba.compiler, "compile_extra", _original_compile(), _compile_extra)

    def _replace_attribute(self, holder: Any, name: str, original: Any, stand_in: Any) -> None:
        setattr(holder, name, stand_in)
        self._replaced.append((holder, name, original, stand_in))


def _looked_up(name: str) -> Any:
    """The function of that full name, if its module is loaded."""
    module, _, attribute = name.rpartition(".")
    return getattr(sys.modules.get(module), attribute, None)


def _namespaces() -> Iterator[dict[str, Any]]:
    """Those of all modules that may hold names to replace."""
    for name, module in list(sys.modules.items()):
        package = name.partition(".")[0]
        known = name in KNOWN_MODULES
        known = known or name.startswith("numpy.polynomial.")
        if known or not (package in UNTOUCHED or package in sys.stdlib_module_names):
            namespace = getattr(module, "__dict__", None)
            if isinstance(namespace, dict):
                yield namespace


interception = _Interception()
original_of = interception.original_of
