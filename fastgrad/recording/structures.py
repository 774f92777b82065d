"""Nested arguments and results: dicts, lists, tuples, named tuples and dataclasses with arrays at their leaves.

optree does the work. It is imported when the first container is met, since bare arrays and numbers, the common case,
need none of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastgrad.recording.recorded_array import RecordedArray

_NAMESPACE = "fastgrad"
_LEAF_TYPES = (np.ndarray, RecordedArray, float, int, np.generic, str, bytes, type(None), complex)


@dataclass(frozen=True)
class Structure:
    """How leaves were nested; ``tree`` is None for a bare leaf. Structures compare and hash by what they are."""

    tree: Any

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """Leaves, in order, nested as they were."""
        if self.tree is None:
            (leaf,) = leaves
            return leaf
        return self.tree.unflatten(leaves)

    def names(self, root: str) -> list[str]:
        """A name for each leaf, such as ``p['rate'][0]``."""
        if self.tree is None:
            return [root]
        return [root + accessor.codify("") for accessor in self.tree.accessors()]

    def paths(self) -> list[str]:
        """The place of each leaf as a name of its own, such as ``parts[0]``; empty where that begins with no word."""
        if self.tree is None:
            return [""]
        found = []
        for accessor in self.tree.accessors():
            first = accessor[0]
            word = getattr(first, "field", first.entry)  # of a named tuple or a dataclass the name, not the number
            found.append(word + accessor[1:].codify("") if isinstance(word, str) else "")
        return found

    def __reduce__(self) -> Any:
        """Pickled as something nested so: where it is loaded, its dataclasses may not be known yet."""
        return _structure_of, (0 if self.tree is None else self.tree.unflatten(range(self.tree.num_leaves)),)


def _structure_of(nested: Any) -> Structure:
    return flatten(nested)[1]


BARE = Structure(None)


def flatten(nested: Any) -> tuple[list[Any], Structure]:
    """The leaves of a nested value and how they are nested. None is a leaf."""
    if isinstance(nested, _LEAF_TYPES):
        return [nested], BARE
    import optree

    leaves, tree = optree.tree_flatten(nested, none_is_leaf=True, namespace=_NAMESPACE)
    unknown = {type(leaf) for leaf in leaves if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type)}
    if unknown:
        for kind in unknown:
            _register(kind)
        return flatten(nested)
    return leaves, BARE if tree.is_leaf() else Structure(tree)


def _register(kind: type) -> None:
    """Make the fields of a dataclass its children; it is put together again without running ``__init__``."""
    import optree

    names = [entry.name for entry in dataclasses.fields(kind)]

    def children(value: Any) -> tuple[list[Any], None, list[str]]:
        return [getattr(value, name) for name in names], None, names

    def rebuild(_: Any, fields: Iterable[Any]) -> Any:
        value: Any = object.__new__(kind)
        for name, content in zip(names, fields, strict=True):
            object.__setattr__(value, name, content)
        return value

    optree.register_pytree_node(kind, children, rebuild, path_entry_type=optree.GetAttrEntry, namespace=_NAMESPACE)


def map_leaves(function: Callable[[Any], Any], nested: Any) -> Any:
    """The nested value with ``function`` applied to each leaf."""
    leaves, structure = flatten(nested)
    return structure.unflatten([function(leaf) for leaf in leaves])


def spread(prefix: Any, structure: Structure) -> list[Any] | None:
    """The leaves of a value that is nested as ``structure`` or less deeply, each once for every leaf below it.

    None where it is nested otherwise.
    """
    leaves, found = flatten(prefix)  # which also makes dataclasses known
    if structure.tree is None or found.tree is None:
        return leaves * (1 if structure.tree is None else structure.tree.num_leaves) if found.tree is None else None
    import optree

    whole = structure.tree.unflatten(range(structure.tree.num_leaves))
    try:
        return optree.broadcast_prefix(prefix, whole, none_is_leaf=True, namespace=_NAMESPACE)
    except (ValueError, TypeError):
        return None
