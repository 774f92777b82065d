"""What a function can see besides its arguments: closure cells, globals, defaults, the object that it is a method of.

A recording is valid while all of that is the same: numbers and strings by value, anything else by identity, looking one
level into lists, dicts and objects. ``Surroundings`` finds the places once and reads them at each call. Arrays count by
identity only, because a tape holds them by reference and sees their new content by itself.
"""

from __future__ import annotations

import functools
import os
import sysconfig
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

_BY_VALUE = (int, float, str, bytes, bool, complex, type(None), np.generic)
_OPAQUE = (ModuleType, type, BuiltinFunctionType, np.ndarray, np.ufunc)
_LIBRARIES = tuple({os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "purelib", "platlib")})
_MAX_ELEMENTS = 64
_ABSENT = object()


class Surroundings:
    """The places that a function reads, and a fingerprint of what is in them now."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._readers: list[Callable[[], Any]] = []
        self._seen: set[int] = set()
        self._kept: list[Any] = []
        self._visit(function)

    def fingerprint(self) -> tuple[Any, ...]:
        """Equal for two calls if everything that the function sees is the same object or an equal number."""
        parts: list[Any] = []
        for read in self._readers:
            _describe(read(), parts)
        return tuple(parts)

    def references(self) -> list[Any]:
        """The objects themselves: whoever keeps a fingerprint keeps these, so that no identity is used again."""
        found = [read() for read in self._readers]
        return [found, [list(_inside(value)) for value in found]]

    def _visit(self, function: Any) -> None:
        if id(function) in self._seen:
            return
        self._seen.add(id(function))
        self._kept.append(function)
        if isinstance(function, functools.partial):
            self._readers.append(lambda: function.args)
            self._readers.append(lambda: function.keywords)
            self._visit(function.func)
        elif isinstance(function, MethodType):
            self._readers.append(lambda: function.__self__)
            self._visit(function.__func__)
        elif isinstance(function, FunctionType):
            self._visit_function(function)
        elif not isinstance(function, _OPAQUE):
            self._readers.append(lambda: function)
            call = getattr(type(function), "__call__", None)
            if isinstance(call, FunctionType):
                self._visit(call)

    def _visit_function(self, function: FunctionType) -> None:
        self._readers.append(lambda: function.__defaults__)
        self._readers.append(lambda: function.__kwdefaults__)
        for cell in function.__closure__ or ():
            self._add(functools.partial(_content, cell))
        namespace = function.__globals__
        for name in _names(function.__code__):
            if name in namespace:
                self._add(functools.partial(namespace.get, name, _ABSENT))

    def _add(self, read: Callable[[], Any]) -> None:
        value = read()
        self._readers.append(read)
        if isinstance(value, FunctionType) and not _is_library(value.__code__.co_filename):
            self._visit(value)
        elif isinstance(value, (functools.partial, MethodType)):
            self._visit(value)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _ABSENT


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
    elif not isinstance(value, (*_OPAQUE, FunctionType, functools.partial, MethodType)):
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            yield from attributes.values()
