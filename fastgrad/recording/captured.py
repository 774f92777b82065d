"""What a function can see besides its arguments: closure cells, globals, defaults, the object that it is a method of.

A recording is valid while all of that is the same: numbers and strings by value, anything else by identity, looking one
level into lists, dicts and objects, and into modules and classes where the function names an attribute of theirs.
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
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType, CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np

from fastgrad.recording.interception import original_of

_BY_VALUE = (int, float, str, bytes, bool, complex, type(None), np.generic)
_OPAQUE = (ModuleType, type, BuiltinFunctionType, np.ndarray, np.ufunc)
_NOT_LOOKED_INTO = (*_OPAQUE, FunctionType, functools.partial, MethodType)
_LIBRARIES = tuple(
    # of the standard library, and of the packages that are installed beside NumPy
    os.path.realpath(os.path.dirname(os.path.dirname(path)) if package else os.path.dirname(path)) + os.sep
    for path, package in ((os.__file__, False), (np.__file__, True))
)
_MAX_ELEMENTS = 64
_MAX_POSITIONS = 100_000  # comparing so many at each call takes some 20 us
_IS_HEAP_TYPE = 1 << 9  # CPython's flag of classes that are not built in
ABSENT = object()


@dataclass(frozen=True)
class Place:
    """Where a function finds something besides its arguments: ``read`` looks there.

    ``holder`` is a "cell", a dict in which it is the "item" called ``name``, or a function whose "defaults" or "keyword
    defaults" it is; what is "fixed" cannot change.
    """

    kind: str
    holder: Any
    read: Callable[[], Any]
    name: str = ""


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
            self._seen: set[int | tuple[int, str]] = set()
            self._kept: list[Any] = []
            self._visit(self._function)
            self.places = self._found  # all at once: other threads read them meanwhile

    def values(self) -> list[Any]:
        """What is in the places now; ABSENT where there is nothing."""
        return self.snapshot()[1]

    def snapshot(self) -> tuple[list[Place], list[Any]]:
        """The places and what is in them now."""
        places = self.places
        return places, [place.read() for place in places]

    def fingerprint(self, values: Sequence[Any] | None = None) -> tuple[Any, ...]:
        """Equal for two calls if everything that the function sees is the same object or an equal number."""
        parts: list[Any] = []
        for value in self.values() if values is None else values:
            _describe(value, parts)
        return tuple(parts)

    def references(self) -> list[Any]:
        """The objects themselves: whoever keeps a fingerprint keeps these, so that no identity is used again."""
        found = self.values()
        return [found, [list(_inside(value)) for value in found]]

    def _visit(self, function: Any) -> None:
        if id(function) in self._seen:
            return
        self._seen.add(id(function))
        self._kept.append(function)
        if isinstance(function, functools.partial):
            for argument in function.args:
                self._add(Place("fixed", None, functools.partial(_itself, argument)), ())
            self._fixed(lambda: function.keywords)
            for name in function.keywords:
                self._add(Place("fixed", None, functools.partial(function.keywords.get, name, ABSENT)), ())
            self._visit(function.func)
        elif isinstance(function, MethodType):
            self._fixed(lambda: function.__self__)
            self._add_attributes(type(function.__self__).__mro__, _names(getattr(function.__func__, "__code__", None)))
            self._visit(function.__func__)
        elif isinstance(function, FunctionType):
            self._visit_function(function)
        elif not isinstance(function, _OPAQUE):
            self._fixed(lambda: function)
            self._visit_call_of(function)

    def _visit_call_of(self, value: Any) -> None:
        """What the function reads that runs when an object of the user's own classes is called."""
        call = _inherited(type(value), "__call__")
        if isinstance(call, FunctionType) and not _is_library(call.__code__.co_filename):
            self._add_attributes(type(value).__mro__, _names(call.__code__))
            self._visit(call)

    def _fixed(self, read: Callable[[], Any]) -> None:
        self._found.append(Place("fixed", None, read))

    def _visit_function(self, function: FunctionType) -> None:
        self._found.append(Place("defaults", function, lambda: function.__defaults__))
        self._found.append(Place("keyword defaults", function, lambda: function.__kwdefaults__))
        for k in range(len(function.__defaults__ or ())):
            self._add(Place("fixed", None, functools.partial(_default, function, k)), ())
        names = _names(function.__code__)
        for cell in function.__closure__ or ():
            self._add(Place("cell", cell, functools.partial(_content, cell)), names)
        self._add_items(function.__globals__, names)

    def _add_items(self, namespace: Mapping[str, Any], names: Sequence[str]) -> None:
        for name in names:
            if name in namespace:
                self._add(Place("item", namespace, functools.partial(namespace.get, name, ABSENT), name), names)

    def _add(self, place: Place, names: Sequence[str]) -> None:
        value = place.read()
        self._found.append(place)
        if isinstance(value, FunctionType):
            if not _is_library(value.__code__.co_filename):
                self._visit(value)
        elif isinstance(value, (functools.partial, MethodType)):
            self._visit(value)
        elif isinstance(value, ModuleType):
            self._add_attributes((value,), names)
        elif not isinstance(value, (*_BY_VALUE, *_NOT_LOOKED_INTO)):
            self._add_attributes(type(value).__mro__, names)
            self._visit_call_of(value)
        elif isinstance(value, type):
            self._add_attributes(value.__mro__, names)

    def _add_attributes(self, holders: Sequence[Any], names: Sequence[str]) -> None:
        """The attributes of modules or classes, such as those that an object inherits, that the function may name."""
        for holder in holders:
            if _belongs_to_library(holder):
                continue
            for name in names:
                if name in vars(holder) and not name.startswith("__") and (id(holder), name) not in self._seen:
                    self._seen.add((id(holder), name))
                    self._add_items(vars(holder), (name,))
                    method = _function_behind(vars(holder)[name])
                    if isinstance(holder, type) and method is not None:
                        # what the method may name in its object
                        self._add_attributes(holders, _names(method.__code__))
                        self._visit(method)


def is_told_by_identity(value: Any) -> bool:
    """Whether fingerprints of the object stay equal: they do not look at anything in it that can change."""
    if _may_be_positions(value) or (isinstance(value, tuple) and any(map(_may_be_positions, value))):
        return False
    if isinstance(value, (*_BY_VALUE, tuple, *_NOT_LOOKED_INTO)):
        return True
    if isinstance(value, (list, dict, set, deque)):
        return False
    return not hasattr(value, "__dict__") and not _slots_of(type(value))  # type: ignore[arg-type]


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
    return attribute if isinstance(attribute, FunctionType) else None


@functools.cache
def _is_library(filename: str) -> bool:
    return os.path.realpath(filename).startswith(_LIBRARIES)


def _belongs_to_library(holder: Any) -> bool:
    """Whether a module or class is none of the user's own."""
    module = sys.modules.get(holder.__module__) if isinstance(holder, type) else holder
    package = "" if module is None else module.__name__.partition(".")[0]
    filename = getattr(module, "__file__", None) or ""
    return package == "fastgrad" or package in sys.stdlib_module_names or _is_library(filename)


@functools.cache
def _slots_of(kind: type) -> tuple[MemberDescriptorType, ...]:
    """What reads the ``__slots__`` of a class written in Python."""
    classes = [base for base in kind.__mro__ if base.__flags__ & _IS_HEAP_TYPE]
    return tuple(entry for base in classes for entry in vars(base).values() if isinstance(entry, MemberDescriptorType))


def _describe(value: Any, parts: list[Any]) -> None:
    value = original_of(value)
    if isinstance(value, _BY_VALUE):
        parts.append(_by_value(value))
        return
    parts.append(id(value))
    if _may_be_positions(value):
        parts.append(value.tobytes())
    for element in _inside(value):
        parts.append(_by_value(element) if isinstance(element, _BY_VALUE) else id(element))
        if _may_be_positions(element):
            parts.append(element.tobytes())


def _may_be_positions(value: Any) -> bool:
    """Whether it is an array that a function may index with: what is at those positions is part of the recording."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "iub" and value.size <= _MAX_POSITIONS


def _by_value(value: Any) -> tuple[Any, ...]:
    # NaN differs from itself, and the zeros are equal
    return (value.__class__, value if value == value else "nan", str(value) if value == 0 else "")


def _inside(value: Any) -> Iterator[Any]:
    """The elements of a container, or the attributes of an object: one level, and not of long containers."""
    if isinstance(value, (list, tuple, set, deque)):
        yield from itertools.islice(value, _MAX_ELEMENTS)
        yield len(value)
    elif isinstance(value, dict):
        if len(value) <= _MAX_ELEMENTS:
            yield from value.values()
        yield len(value)
    elif not isinstance(value, _NOT_LOOKED_INTO):
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            yield from attributes.values()
        for slot in _slots_of(type(value)):  # type: ignore[arg-type]
            try:
                yield slot.__get__(value)
            except AttributeError:
                yield ABSENT
