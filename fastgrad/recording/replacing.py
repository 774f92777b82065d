"""Values put in the places of others in namespaces, cells, functions, containers and classes, and back again."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from types import CellType, FunctionType
from typing import Any

__all__ = ["ABSENT", "HOLDERS", "Holding", "content", "exchange", "identities_of", "put_back", "set_content"]

ABSENT = object()


@dataclass(frozen=True)
class Holding:
    """The names of a namespace that held originals while it had that many names."""

    size: int
    names: tuple[str, ...]
    # the identities of what they hold before and after the stand-ins are put in their places
    before: tuple[int, ...]
    replaced: tuple[int, ...]
    originals: dict[str, Any]
    stand_ins: dict[str, Any]


def identities_of(namespace: dict[str, Any], names: Iterable[str]) -> tuple[int, ...]:
    return tuple(map(id, map(namespace.get, names)))


def exchange(namespace: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> None:
    """Put the new values in the places of the old ones; what holds something else by now stays."""
    if all(map(operator.is_, map(namespace.get, old), old.values())):
        namespace.update(new)
        return
    for name, value in old.items():
        if namespace.get(name) is value:
            namespace[name] = new[name]


def put_back(holder: Any, name: Any, original: Any, stand_in: Any) -> None:
    """Undo one replacement, unless the place holds something else by now."""
    if isinstance(holder, HOLDERS):
        if content(holder, name) is stand_in:
            set_content(holder, name, original)
    elif vars(holder).get(name) is stand_in:
        if original is ABSENT:
            delattr(holder, name)
        else:
            setattr(holder, name, original)


# what holds values besides modules and classes
HOLDERS = (CellType, FunctionType, dict, list)


def content(holder: Any, key: Any) -> Any:
    try:
        if isinstance(holder, CellType):
            return holder.cell_contents
        return getattr(holder, key) if isinstance(holder, FunctionType) else holder[key]
    except (ValueError, LookupError):
        return ABSENT


def set_content(holder: Any, key: Any, value: Any) -> None:
    if isinstance(holder, CellType):
        holder.cell_contents = value
    elif isinstance(holder, FunctionType):
        setattr(holder, key, value)
    else:
        holder[key] = value
