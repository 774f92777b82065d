"""What a function can see besides its arguments: closure cells, globals, defaults, the object that it is a method of.

A recording is valid while all of that is the same: numbers and strings by value, anything else by identity, looking a
few levels into lists, dicts and objects, and into modules and classes where the function names an attribute of theirs.
``Surroundings`` finds the places when a function is recorded and reads them at each call. Arrays count by identity,
because a tape holds them by reference and sees their new content by itself; those of whole numbers or truth values,
which a function may index with, count by content too.
"""

from __future__ import annotations

import functools
import itertools
import os
import sys
import threading
from array import array
from collections import deque
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

import numpy as np

from fastgrad.recording.interception import original_of

_BY_VALUE = (int, float, str, bytes, bool, complex, type(None), np.generic)
# the last is the class of NumPy's functions that dispatch, which have attributes that nobody changes
_OPAQUE = (ModuleType, type, BuiltinFunctionType, np.ndarray, np.ufunc, type(np.linalg.det))
_NOT_LOOKED_INTO = (*_OPAQUE, FunctionType, functools.partial, MethodType)
_ATOMS = {*_BY_VALUE, *_NOT_LOOKED_INTO, np.float64, np.int64, np.bool_}  # exact types, for speed
_LIBRARIES = tuple(
    # of the standard library, and of the packages that are installed beside NumPy
    os.path.realpath(os.path.dirname(os.path.dirname(path)) if package else os.path.dirname(path)) + os.sep
    for path, package in ((os.__file__, False), (np.__file__, True))
)
# how deep containers and objects are looked into, and how much of each; what that leaves out, check_recording finds
_MAX_DEPTH = 6
_MAX_ELEMENTS = 64
_MAX_PARTS = 1_000
_MAX_POSITIONS = 100_000  # comparing so many at each call takes some 20 us
_IS_HEAP_TYPE = 1 << 9  # CPython's flag of classes that are not built in
ABSENT = object()


@dataclass(frozen=True)
class Place:
    """Where a function finds something besides its arguments: ``read`` looks there.

    ``holder`` is a "cell", a dict in which it is the "item" called ``name``, or a function whose "defaults" or "keyword
    defaults" it is; what is "fixed" cannot change. ``label`` is what to call it in a message.
    """

    kind: str
    holder: Any
    read: Callable[[], Any]
    name: str = ""
    label: str = ""

    def value(self) -> Any:
        """What is there now; ABSENT where there is nothing."""
        return original_of(self.read())


class Surroundings:
    """The places that a function reads, and a fingerprint of what is in them now."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._lock = threading.RLock()
        self.places: list[Place] = []
        self.refresh()

    def refresh(self) -> None:
        """Find the places anew: since the last time, functions may have been defined or replaced."""
        with self._lock:
            self._found: list[Place] = []
            self._seen: set[Hashable] = set()
            self._kept: list[Any] = []
            self._visit(self._function)
            self.places = self._found  # all at once: other threads read them meanwhile

    def values(self) -> list[Any]:
        """What is in the places now; ABSENT where there is nothing."""
        return self.snapshot()[1]

    def snapshot(self) -> tuple[list[Place], list[Any]]:
        """The places and what is in them now."""
        places = self.places
        return places, [place.value() for place in places]

    def fingerprint(self, values: Sequence[Any] | None = None) -> tuple[Any, ...]:
        """Equal for two calls if everything that the function sees is the same object or an equal number."""
        parts: list[Any] = []
        for value in self.values() if values is None else values:
            parts += _description(value)
        return tuple(parts)

    def everything(self) -> list[tuple[Place, Any]]:
        """Each place with the object in it, and with those inside that.

        Whoever keeps a fingerprint keeps them, so that no identity is used again.
        """
        return [(place, value) for place in self.places for value in _contents(place.value())]

    def functions(self) -> list[FunctionType]:
        """The function, and those of the user's that it may call."""
        return [function for function in self._kept if isinstance(function, FunctionType)]

    def described(self) -> dict[str, Hashable]:
        """The fingerprint of each place by its label."""
        found: dict[str, list[Any]] = {}
        for place in self.places:
            found.setdefault(place.label, []).extend(_description(place.value()))
        return {label: tuple(parts) for label, parts in found.items()}

    def _visit(self, function: Any) -> None:
        if id(function) in self._seen:
            return
        self._seen.add(id(function))
        self._kept.append(function)
        if isinstance(function, functools.partial):
            for k, argument in enumerate(function.args):
                label = f"argument {k} of a partial function"
                self._add(Place("fixed", None, functools.partial(_itself, argument), label=label), ())
            label = "what a partial function passes by name"
            self._found.append(Place("fixed", None, lambda: function.keywords, label=label))
            for name in function.keywords:
                read = functools.partial(function.keywords.get, name, ABSENT)
                self._add(Place("fixed", None, read, name, f"argument {name} of a partial function"), ())
            self._visit(function.func)
        elif isinstance(function, MethodType):
            names = _names(getattr(function.__func__, "__code__", None))
            self._add(Place("fixed", None, lambda: function.__self__, label=_owner_label(function)), names)
            self._visit(function.__func__)
        elif isinstance(function, FunctionType):
            self._visit_function(function)
        elif _is_fixed(function):
            self._found.append(Place("fixed", None, lambda: function, label=f"the {type(function).__name__} called"))
        elif not isinstance(function, _OPAQUE):
            names = _names(getattr(_inherited(type(function), "__call__"), "__code__", None))
            self._add(Place("fixed", None, lambda: function, label=f"the {type(function).__name__} called"), names)

    def _visit_call_of(self, value: Any) -> None:
        """What the function reads that runs when an object of the user's own classes is called."""
        call = _inherited(type(value), "__call__")
        if isinstance(call, FunctionType) and not is_of_library(call.__code__.co_filename):
            self._add_attributes(type(value).__mro__, _names(call.__code__))
            self._visit(call)

    def _visit_function(self, function: FunctionType) -> None:
        label = f"a default argument of {function.__name__}"
        self._found.append(Place("defaults", function, lambda: function.__defaults__, label=label))
        self._found.append(Place("keyword defaults", function, lambda: function.__kwdefaults__, label=label))
        code = function.__code__
        names = _names(code)
        for k in range(len(function.__defaults__ or ())):
            self._add(Place("fixed", None, functools.partial(_default, function, k), label=label), names)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self._add(Place("cell", cell, functools.partial(_content, cell), name, f"closure variable {name}"), names)
        self._add_items(function.__globals__, names, names, "global {}")
        self._add_items(vars(function), names, names, f"{function.__name__}.{{}}")
        imported = [sys.modules.get(name) for name in names if name not in function.__globals__]
        self._add_attributes([module for module in imported if isinstance(module, ModuleType)], names)

    def _add_items(self, namespace: Mapping[str, Any], wanted: Sequence[str], names: Sequence[str], label: str) -> None:
        """Those that are wanted; ``names`` are what the function may name in them in turn."""
        for name in wanted:
            if name in namespace:
                read = functools.partial(namespace.get, name, ABSENT)
                self._add(Place("item", namespace, read, name, label.format(name)), names)

    def _add(self, place: Place, names: Sequence[str]) -> None:
        self._found.append(place)
        for value in _contents(place.value()):
            self._look_inside(value, names)

    def _look_inside(self, value: Any, names: Sequence[str]) -> None:
        """What running, calling or asking this object may read, besides what its own description tells."""
        if isinstance(value, FunctionType):
            if not is_of_library(value.__code__.co_filename):
                self._visit(value)
        elif isinstance(value, (functools.partial, MethodType)):
            self._visit(value)
        elif isinstance(value, ModuleType):
            self._add_attributes((value,), names)
        elif isinstance(value, type):
            self._add_attributes(value.__mro__, names)
        elif type(value) not in _ATOMS and not _is_fixed(value) and (id(type(value)), names) not in self._seen:
            self._seen.add((id(type(value)), names))
            self._add_attributes(type(value).__mro__, names)
            self._visit_call_of(value)
            wrapped = getattr(value, "__wrapped__", None)  # as functools.lru_cache leaves it
            if isinstance(wrapped, FunctionType):
                self._look_inside(wrapped, names)

    def _add_attributes(self, holders: Sequence[Any], names: Sequence[str]) -> None:
        """The attributes of modules or classes, such as those that an object inherits, that the function may name."""
        for holder in holders:
            if _belongs_to_library(holder):
                continue
            for name in names:
                if name in vars(holder) and not name.startswith("__") and (id(holder), name) not in self._seen:
                    self._seen.add((id(holder), name))
                    self._add_items(vars(holder), (name,), names, f"{holder.__name__}.{{}}")
                    method = _function_behind(vars(holder)[name])
                    if isinstance(holder, type) and method is not None:
                        # what the method may name in its object
                        self._add_attributes(holders, _names(method.__code__))
                        self._visit(method)


def _is_fixed(value: Any) -> bool:
    """Whether it is a tape or the like: what it keeps to be quicker tells nothing, its data are read at run time."""
    return getattr(type(value), "_changes_no_recording", False) is True


def is_told_by_identity(value: Any) -> bool:
    """Whether fingerprints of the object stay equal: they do not look at anything in it that can change."""
    if _is_fixed(value):
        return True
    if isinstance(value, (tuple, frozenset)):
        return all(map(is_told_by_identity, value))
    if isinstance(value, (*_BY_VALUE, *_NOT_LOOKED_INTO)):
        return not _may_be_positions(value)
    return not _can_hold(value)


def _itself(value: Any) -> Any:
    return value


def _default(function: FunctionType, position: int) -> Any:
    defaults = function.__defaults__ or ()
    return defaults[position] if position < len(defaults) else ABSENT


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return ABSENT


def _names(code: CodeType | None) -> tuple[str, ...]:
    """The names that a function and the functions written inside it may look up as globals or attributes."""
    if code is None:
        return ()
    inner = (name for constant in code.co_consts if isinstance(constant, CodeType) for name in _names(constant))
    return tuple(dict.fromkeys((*code.co_names, *inner)))


def _inherited(kind: type, name: str) -> Any:
    """The attribute as it stands in the class or the nearest of its bases."""
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)


def _function_behind(attribute: Any) -> FunctionType | None:
    """The function that a class makes a method or a property of."""
    if isinstance(attribute, property):
        attribute = attribute.fget
    elif isinstance(attribute, (staticmethod, classmethod)):
        attribute = attribute.__func__
    elif isinstance(attribute, (functools.cached_property, functools.partialmethod)):
        attribute = attribute.func
    return attribute if isinstance(attribute, FunctionType) else None


def _owner_label(method: MethodType) -> str:
    return f"the {type(method.__self__).__name__} whose method {getattr(method, '__name__', 'it')} is"


@functools.cache
def is_of_library(filename: str) -> bool:
    """Whether a file is none of the user's own: of the standard library, or installed beside NumPy."""
    return os.path.realpath(filename).startswith(_LIBRARIES)


def _belongs_to_library(holder: Any) -> bool:
    """Whether a module or class is none of the user's own."""
    module = sys.modules.get(holder.__module__) if isinstance(holder, type) else holder
    package = "" if module is None else module.__name__.partition(".")[0]
    filename = getattr(module, "__file__", None) or ""
    return package == "fastgrad" or package in sys.stdlib_module_names or is_of_library(filename)


@functools.cache
def _slots_of(kind: type) -> tuple[MemberDescriptorType, ...]:
    """What reads the ``__slots__`` of a class written in Python."""
    classes = [base for base in kind.__mro__ if base.__flags__ & _IS_HEAP_TYPE]
    return tuple(entry for base in classes for entry in vars(base).values() if isinstance(entry, MemberDescriptorType))


def _description(value: Any) -> list[Any]:
    """Equal to that of another time if the object is the same and so is what is in it, as far as it is looked into."""
    if issubclass(type(value), _BY_VALUE):
        return [_by_value(value)]
    parts: list[Any] = []
    for element in _contents(value) if type(value) not in _ATOMS else (value,):
        parts.append(_by_value(element) if issubclass(type(element), _BY_VALUE) else id(element))
        if _may_be_positions(element):
            parts.append(element.tobytes())
    return parts


def _may_be_positions(value: Any) -> bool:
    """Whether it is an array that a function may index with: what is at those positions is part of the recording."""
    # by its type: a value of a recording says that it is an array, but only its identity counts
    return issubclass(type(value), np.ndarray) and value.dtype.kind in "iub" and value.size <= _MAX_POSITIONS


def _by_value(value: Any) -> tuple[Any, ...]:
    # NaN differs from itself, and the zeros are equal
    return (value.__class__, value if value == value else "nan", str(value) if value == 0 else "")


def _contents(value: Any) -> list[Any]:
    """The object, then what is inside it, level by level."""
    found, level = [value], [value]
    for depth in range(_MAX_DEPTH):
        level = [element for outer in level if depth == 0 or _is_looked_into(outer) for element in _inside(outer)]
        found += level
        if not level or len(found) > _MAX_PARTS:
            break
    return found[:_MAX_PARTS]


def _is_looked_into(value: Any) -> bool:
    """Whether something inside another object is looked into as well: containers and objects of the user's classes."""
    kind = type(value)
    return kind not in _ATOMS and (isinstance(value, _CONTAINERS) or not is_class_of_library(kind))  # type: ignore[arg-type]


_CONTAINERS = (list, tuple, set, frozenset, deque, dict, SimpleNamespace)


@functools.lru_cache(maxsize=1024)
def is_class_of_library(kind: type) -> bool:
    """Whether a class is built in or none of the user's own."""
    return not kind.__flags__ & _IS_HEAP_TYPE or _belongs_to_library(kind)


def _can_hold(value: Any) -> bool:
    return isinstance(value, _CONTAINERS) or hasattr(value, "__dict__") or bool(_slots_of(type(value)))  # type: ignore[arg-type]


def _inside(value: Any) -> Sequence[Any]:
    """The elements of a container, or the attributes of an object; of long containers only numbers."""
    kind = type(value)
    if kind in _ATOMS or isinstance(value, (*_BY_VALUE, *_NOT_LOOKED_INTO)) or _is_fixed(value):
        return ()
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return (*itertools.islice(value, _MAX_ELEMENTS), len(value), *_numbers_in_long(value))
    if isinstance(value, dict):
        if len(value) > _MAX_ELEMENTS:
            return (len(value), *_numbers_in_long(value.values()))
        return (*value.keys(), *value.values(), len(value))
    found: list[Any] = []
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        found += attributes.values()
    for slot in _slots_of(kind):  # type: ignore[arg-type]
        try:
            found.append(slot.__get__(value))
        except AttributeError:
            found.append(ABSENT)
    return found


def _numbers_in_long(values: Collection[Any]) -> tuple[bytes, ...]:
    """The content of a long container of numbers, as one value."""
    if not _MAX_ELEMENTS < len(values) <= _MAX_POSITIONS:
        return ()
    try:
        return (array("d", values).tobytes(),)
    except (TypeError, OverflowError):
        return ()
