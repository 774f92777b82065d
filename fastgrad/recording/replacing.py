"""Values put in the places of others in namespaces, cells, functions, containers and classes, and back again."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from types import CellType, FunctionType
from typing import Any

__all__ = ["ABSENT", "HOLDERS", "Contents", "Holding", "content", "put_back", "set_content"]

ABSENT = object()


class Contents:
    """Names and what is to stand under them."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self._expected = tuple(values.values())
        # an itemgetter of one name gives no tuple
        self._found = operator.itemgetter(*values, *list(values)[:1]) if values else lambda namespace: ()
        self._expected += self._expected[:1]

    def are_in(self, namespace: dict[str, Any]) -> bool:
        """Whether they stand there; a stand-in equals its original, which nobody who replaces it need care about."""
        try:
            # compares identities first, in a hundredth of the time of a loop over hundreds of names
            return bool(self._found(namespace) == self._expected)
        except Exception:  # a name that is missing, or holds something else that cannot be compared
            return False

    def replace(self, namespace: dict[str, Any], new: Contents) -> None:
        """Put the new contents in the places of these; what holds something else by now stays."""
        if self.are_in(namespace):
            namespace.update(new.values)
            return
        for name, value in self.values.items():
            if namespace.get(name) is value:
                namespace[name] = new.values[name]


@dataclass(frozen=True)
class Holding:
    """What a namespace held while it had that many names: originals, and what else is under names that held some."""

    size: int
    originals: Contents
    stand_ins: Contents
    others: dict[str, int]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.originals.values, *self.others)

    def put_into(self, namespace: dict[str, Any]) -> bool:
        """Put the stand-ins in their places, if the namespace is as it was; otherwise nothing is done."""
        if self.size != len(namespace) or (self.others and self.is_outdated(namespace)):
            return False
        if self.originals.values:
            if not self.originals.are_in(namespace):
                return False
            namespace.update(self.stand_ins.values)
        return True

    def is_outdated(self, namespace: dict[str, Any]) -> bool:
        """Whether a name that held no original is bound to something else by now."""
        return any(id(namespace.get(name)) != identity for name, identity in self.others.items())


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
    """What one of ``HOLDERS`` holds under a key; a cell has one place, and needs none."""
    try:
        if isinstance(holder, CellType):
            return holder.cell_contents
        return getattr(holder, key) if isinstance(holder, FunctionType) else holder[key]
    except (ValueError, LookupError):
        return ABSENT


def set_content(holder: Any, key: Any, value: Any) -> None:
    """Have one of ``HOLDERS`` hold a value under a key."""
    if isinstance(holder, CellType):
        holder.cell_contents = value
    elif isinstance(holder, FunctionType):
        setattr(holder, key, value)
    else:
        holder[key] = value
