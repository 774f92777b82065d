"""Names and groups that users give to parts of a function while it is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastgrad.recording.fresh_array import FreshArray
from fastgrad.recording.recorded_array import RecordedArray
from fastgrad.recording.recorder import open_recorders
from fastgrad.recording.structures import flatten
from fastgrad.tape_names import require_part

__all__ = ["group", "name"]

_REMEDY = "Nest groups for a path."


def name(value: Any, name: str) -> Any:
    """Call a value by a name in the graph; returns the value itself.

    The name is kept by derivatives and edits: ``tape["hidden"]`` finds the node. In a group it follows the group's path
    (``encoder/hidden``); a name that is taken gets a number (``hidden_2``). The leaves of a nested value are named by
    their place in it. Outside a recording nothing happens.

    Raises InputError for a name that is empty or holds a slash.

    >>> import fastgrad, numpy as np
    >>> tape = fastgrad.record(lambda x: fastgrad.name(np.sin(x), "hidden") * x, 1.0)
    >>> tape.node_names
    ('hidden',)
    """
    require_part(name, "name", _REMEDY)
    leaves, structure = flatten(value)
    for leaf, path in zip(leaves, structure.names(name), strict=True):
        # an array that the function has made may have become a recorded one
        found = leaf.recorded_form() if isinstance(leaf, FreshArray) else leaf
        if type(found) is RecordedArray:
            found.recorder.name(found.node, path)
    return value


@contextmanager
def group(name: str) -> Iterator[None]:
    """Collect what is computed inside in a group, as a ``with`` block or as a decorator of a function.

    Groups nest: their paths are joined by slashes. Drawings fold them and summaries list them. Raises InputError for a
    name that is empty or holds a slash.

    >>> import fastgrad, numpy as np
    >>> def f(x):
    ...     with fastgrad.group("encoder"):
    ...         hidden = np.tanh(x)
    ...     return hidden * x
    >>> fastgrad.record(f, 1.0).group_of(1)
    'encoder'
    """
    require_part(name, "group", _REMEDY)
    recorders = open_recorders()
    before = [recorder.enter_group("/".join(filter(None, (recorder.group, name)))) for recorder in recorders]
    try:
        yield
    finally:
        for recorder, path in zip(recorders, before, strict=True):
            recorder.enter_group(path)
