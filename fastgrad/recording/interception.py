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
from dataclasses import dataclass
from types import CellType, FunctionType, ModuleType
from typing import Any

import numpy as np

from fastgrad.errors import LostDerivativeError, located
from fastgrad.recording.fresh_array import call_on_fresh, made, unwrapped_call
from fastgrad.recording.functions.conversions import any_recorded, holds_recorded
from fastgrad.recording.functions.registry import OUTSIDE, REGISTERED
from fastgrad.recording.intercepted_names import KNOWN_MODULES, MAKERS, OF_MODULES, TAKERS
from fastgrad.recording.numpy_protocol import load_outside
from fastgrad.recording.recorder import innermost_recorder
from fastgrad.recording.source import user_line

__all__ = ["interception", "original_of"]

# packages whose own code makes plain arrays
_UNTOUCHED = frozenset({"numpy", "fastgrad", "numba", "llvmlite"})


_ABSENT = object()
# seconds to wait for imports and compilations of other threads
_PATIENCE = 30.0


def _caller_package() -> str:
    """The package whose code has called a stand-in."""
    name: str = sys._getframe(2).f_globals.get("__name__", "")
    return name.partition(".")[0]


def _stand_in_for_maker(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        if innermost_recorder() is None or _caller_package() in _UNTOUCHED:
            return original(*args, **kwargs)
        return made(original, args, kwargs)

    stand_in.stands_for = original  # type: ignore[attr-defined]
    return stand_in


def _stand_in_for_taker(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        if innermost_recorder() is None or not any_recorded(args, kwargs):
            return original(*args, **kwargs)
        return call_on_fresh(original, args, kwargs)

    stand_in.stands_for = original  # type: ignore[attr-defined]
    return stand_in


def _stand_in_for(original: Callable[..., Any], definition: Callable[..., Any]) -> Callable[..., Any]:
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


def _python_body(dispatcher: Any, *args: Any, **kwargs: Any) -> Any:
    """A call of a function compiled by Numba: its Python body runs where an argument is recorded."""
    if innermost_recorder() is not None and any_recorded(args, kwargs):
        _, definition = REGISTERED.get(id(dispatcher), (None, dispatcher.py_func))
        return definition(*args, **kwargs)
    return _compiled_call(dispatcher)(*args, **kwargs)


def _compiled_call(dispatcher: Any) -> Callable[..., Any]:
    from numba.core.dispatcher import Dispatcher

    inherited: Callable[..., Any] = super(Dispatcher, dispatcher).__call__
    return inherited


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


def _vectorized(vectorize: Any, *args: Any, **kwargs: Any) -> Any:
    """A call of an ``np.vectorize``."""
    if innermost_recorder() is not None and any_recorded(args, kwargs):
        return call_on_fresh(np.vectorize, (vectorize, *args), kwargs)
    return _original_vectorize(vectorize, *args, **kwargs)


_original_vectorize = np.vectorize.__call__


def _polynomial(made: np.poly1d, c_or_r: Any, r: bool = False, variable: str | None = None) -> None:
    """The making of an ``np.poly1d``, which drops leading zeros."""
    _original_polynomial(made, c_or_r, r, variable)
    if r or isinstance(c_or_r, np.poly1d) or innermost_recorder() is None or not holds_recorded([c_or_r]):
        return
    if len(made.coeffs) < np.size(c_or_r):
        raise LostDerivativeError(
            located(
                "an np.poly1d was made of recorded coefficients that begin with 0, which it drops with its derivative",
                user_line(),
                "Keep the coefficients in an array: np.polyval(p, x), np.polyadd, np.convolve.",
            )
        )


def _array_of_polynomial(polynomial: np.poly1d, *args: Any, **kwargs: Any) -> Any:
    """An ``np.poly1d`` where NumPy takes it for an array."""
    if holds_recorded([polynomial.coeffs]):
        raise LostDerivativeError(
            located(
                "an np.poly1d with recorded coefficients was taken for an array, which would drop their derivative",
                user_line(),
                "Hand over p.coeffs, or use the polynomial's own methods p(x), p.deriv() and p.integ().",
            )
        )
    return _original_array_of_polynomial(polynomial, *args, **kwargs)


_original_polynomial, _original_array_of_polynomial = np.poly1d.__init__, np.poly1d.__array__


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
        self._holdings: dict[int, _Holding] = {}
        self._replaced_in: list[tuple[dict[str, Any], _Holding]] = []
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
            found = [place for place in places if self._has_stand_ins(_content(*place))]
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
            put_back = self._put_all_back()
        try:
            yield
        finally:
            with self._lock:
                self._suspending -= Counter({threading.get_ident(): 1})
                self._lock.notify_all()
                if not self._suspending and self._n_open:
                    self._replace_all()
                    for holder, key, original, _ in put_back:
                        if isinstance(holder, _HOLDERS) and _content(holder, key) is original:
                            self._replace_held(holder, key)

    def original_of(self, value: Any) -> Any:
        """What a stand-in stands for; anything else itself."""
        return value.stands_for if id(value) in self._identities else value

    # ---- what is replaced

    def _replace_all(self) -> None:
        if len(sys.modules) != self._n_modules:
            self._n_modules, self._namespaces = len(sys.modules), list(_namespaces())
        for namespace in self._namespaces:
            self._replace_in(namespace)
        self._replace_calls()

    def _put_all_back(self) -> list[tuple[Any, Any, Any, Any]]:
        for namespace, holding in self._replaced_in:
            _exchange(namespace, holding.stand_ins, holding.originals)
        put_back = self._replaced
        self._replaced_in, self._replaced = [], []
        for replacement in put_back:
            _put_back(*replacement)
        return put_back

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
            self._stand_ins.setdefault(id(original), _stand_in_for_maker(original))
        for module, names in OF_MODULES.items():
            for name in names:
                original = getattr(module, name)
                self._stand_ins.setdefault(id(original), _stand_in_for_taker(original))
        for name, original in found.items():
            if original is not None:
                self._stand_ins.setdefault(id(original), _stand_in_for(original, OUTSIDE[name]))
        for original, definition in REGISTERED.values():
            if not hasattr(original, "py_func"):
                self._stand_ins[id(original)] = _stand_in_for(original, definition)
        self._identities = {id(stand_in) for stand_in in self._stand_ins.values()}
        self._holdings.clear()

    def _counts(self) -> tuple[int, int, int]:
        """How many definitions there are, how many of users, and how many loaded packages that they are for."""
        return len(OUTSIDE), len(REGISTERED), sum(map(sys.modules.__contains__, self._packages))

    def _replace_in(self, namespace: dict[str, Any]) -> None:
        holding = self._holdings.get(id(namespace))
        if holding is None or holding.size != len(namespace):
            found = {name: self.original_of(value) for name, value in list(namespace.items())}
            names = tuple([name for name, original in found.items() if id(original) in self._stand_ins])
            holding = self._holdings[id(namespace)] = self._holding_of(namespace, names)
        elif holding.names:
            identities = _identities(namespace, holding.names)
            if identities == holding.replaced:
                return
            if identities == holding.before:
                # all at once, because there are hundreds of names
                namespace.update(holding.stand_ins)
                self._replaced_in.append((namespace, holding))
                return
            # a name has been bound to something else
            holding = self._holdings[id(namespace)] = self._holding_of(namespace, holding.names)
        if holding.originals:
            _exchange(namespace, holding.originals, holding.stand_ins)
            self._replaced_in.append((namespace, holding))

    def _holding_of(self, namespace: dict[str, Any], names: tuple[str, ...]) -> _Holding:
        found = {name: self.original_of(namespace.get(name)) for name in names}
        originals = {name: original for name, original in found.items() if id(original) in self._stand_ins}
        stand_ins = {name: self._stand_ins[id(original)] for name, original in originals.items()}
        before = tuple(map(id, found.values()))
        replaced = tuple([id(stand_ins.get(name, value)) for name, value in found.items()])
        return _Holding(len(namespace), names, before, replaced, originals, stand_ins)

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
        original = _content(holder, key)
        stand_in = self._holding_stand_ins(original)
        if stand_in is not original:
            _set_content(holder, key, stand_in)
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
        self._replace_attribute(np.vectorize, "__call__", _original_vectorize, _vectorized)
        self._replace_attribute(np.poly1d, "__init__", _original_polynomial, _polynomial)
        self._replace_attribute(np.poly1d, "__array__", _original_array_of_polynomial, _array_of_polynomial)
        self._replace_attribute(builtins, "__import__", _original_import, _import)
        self._replace_attribute(importlib, "import_module", _original_import_module, _import_module)
        numba = sys.modules.get("numba.core.dispatcher")
        if numba is not None:
            self._replace_attribute(numba.Dispatcher, "__call__", _ABSENT, _python_body)
            self._replace_attribute(numba.compiler, "compile_extra", _original_compile(), _compile_extra)

    def _replace_attribute(self, holder: Any, name: str, original: Any, stand_in: Any) -> None:
        setattr(holder, name, stand_in)
        self._replaced.append((holder, name, original, stand_in))


@dataclass(frozen=True)
class _Holding:
    """The names of a namespace that held originals while it had that many names."""

    size: int
    names: tuple[str, ...]
    # the identities of what they hold before and after the stand-ins are put in their places
    before: tuple[int, ...]
    replaced: tuple[int, ...]
    originals: dict[str, Any]
    stand_ins: dict[str, Any]


def _identities(namespace: dict[str, Any], names: Iterable[str]) -> tuple[int, ...]:
    return tuple(map(id, map(namespace.get, names)))


def _exchange(namespace: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> None:
    """Put the new values in the places of the old ones; what holds something else by now stays."""
    if all(map(operator.is_, map(namespace.get, old), old.values())):
        namespace.update(new)
        return
    for name, value in old.items():
        if namespace.get(name) is value:
            namespace[name] = new[name]


def _put_back(holder: Any, name: Any, original: Any, stand_in: Any) -> None:
    """Undo one replacement, unless the place holds something else by now."""
    if isinstance(holder, _HOLDERS):
        if _content(holder, name) is stand_in:
            _set_content(holder, name, original)
    elif vars(holder).get(name) is stand_in:
        if original is _ABSENT:
            delattr(holder, name)
        else:
            setattr(holder, name, original)


# what holds values besides modules and classes
_HOLDERS = (CellType, FunctionType, dict, list)


def _content(holder: Any, key: Any) -> Any:
    try:
        if isinstance(holder, CellType):
            return holder.cell_contents
        return getattr(holder, key) if isinstance(holder, FunctionType) else holder[key]
    except (ValueError, LookupError):
        return _ABSENT


def _set_content(holder: Any, key: Any, value: Any) -> None:
    if isinstance(holder, CellType):
        holder.cell_contents = value
    elif isinstance(holder, FunctionType):
        setattr(holder, key, value)
    else:
        holder[key] = value


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
        if known or not (package in _UNTOUCHED or package in sys.stdlib_module_names):
            namespace = getattr(module, "__dict__", None)
            if isinstance(namespace, dict):
                yield namespace


interception = _Interception()
original_of = interception.original_of
