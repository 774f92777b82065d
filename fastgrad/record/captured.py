"""What a function can see besides its arguments: closure cells, globals, defaults, the object that it is a method of.

A recording is valid while all of that is the same: numbers and strings by value, anything else by identity, looking one
level into lists, dicts and objects. ``Surroundings`` finds the places once and reads them at each call. Arrays count by
identity only, because a tape holds them by reference and sees their new content by itself.
"""

from __future__ import annotations

import functools
import os
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

_BY_VALUE = (int, float, str, bytes, bool, complex, type(None), np.generic)
_OPAQUE = (ModuleType, type, BuiltinFunctionType, np.ndarray, np.ufunc)
_NOT_LOOKED_INTO = (*_OPAQUE, FunctionType, functools.partial, MethodType)
_LIBRARIES = tuple({os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "purelib", "platlib")})
_MAX_ELEMENTS = 64
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
        self.places: list[Place] = []
        self._seen: set[int] = set()
        self._kept: list[Any] = []
        self._visit(function)

    def values(self) -> list[Any]:
        """What is in the places now; ABSENT where there is nothing."""
        return [place.read() for place in self.places]

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
            self._fixed(lambda: function.args)
            self._fixed(lambda: function.keywords)
            self._visit(function.func)
        elif isinstance(function, MethodType):
            self._fixed(lambda: function.__self__)
            self._visit(function.__func__)
        elif isinstance(function, FunctionType):
            self._visit_function(function)
        elif not isinstance(function, _OPAQUE):
            self._fixed(lambda: function)
            call = getattr(type(function), "__call__", None)
            if isinstance(call, FunctionType):
                self._visit(call)

    def _fixed(self, read: Callable[[], Any]) -> None:
        self.places.append(Place("fixed", None, read))

    def _visit_function(self, function: FunctionType) -> None:
        self.places.append(Place("defaults", function, lambda: function.__defaults__))
        self.places.append(Place("keyword defaults", function, lambda: function.__kwdefaults__))
        for cell in function.__closure__ or ():
            self._add(Place("cell", cell, functools.partial(_content, cell)))
        namespace = function.__globals__
        for name in _names(function.__code__):
            if name in namespace:
                self._add(Place("item", namespace, functools.partial(namespace.get, name, ABSENT), name))

    def _add(self, place: Place) -> None:
        value = place.read()
        self.places.append(place)
        if isinstance(value, FunctionType) and not _is_library(value.__code__.co_filename):
            self._visit(value)
        elif isinstance(value, (functools.partial, MethodType)):
            self._visit(value)


def is_told_by_identity(value: Any) -> bool:
    """Whether fingerprints of the object stay equal: they do not look at anything in it that can change."""
    if isinstance(value, (*_BY_VALUE, tuple, *_NOT_LOOKED_INTO)):
        return True
    return not isinstance(value, (list, dict)) and not hasattr(value, "__dict__")


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return ABSENT


def _names(code: CodeType) -> Iterator[str]:
    """The names that a function and the functions written inside it may look up as globals."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


@functools.lru_cache(maxsize=None)
def _is_library(filename: str) -> bool:
    return os.path.realpath(filename).startswith(_LIBRARIES)


def _describe(value: Any, parts: list[Any]) -> None:
    if isinstance(value, _BY_VALUE):
        parts.append((value.__class__, value if value == value else "nan", str(value) if value == 0 else ""))
        return
    parts.append(id(value))
    for element in _inside(value):
        if isinstance(element, _BY_VALUE):
            parts.append((element.__class__, element if element == element else "nan"))
        else:
            parts.append(id(element))


def _inside(value: Any) -> Iterator[Any]:
    """The elements of a container, or the attributes of an object: one level, and not of long containers."""
    if isinstance(value, (list, tuple)):
        yield from value[:_MAX_ELEMENTS]
        yield len(value)
    elif isinstance(value, dict):
        if len(value) <= _MAX_ELEMENTS:
            yield from value.values()
        yield len(value)
    elif not isinstance(value, _NOT_LOOKED_INTO):
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            yield from attributes.values()
