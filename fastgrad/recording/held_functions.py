"""Where a function keeps other functions than in the names of a module: default arguments, closures, dicts, attributes.

``math.sin`` as a default argument, or ``np.zeros`` in a dict, has no stand-in when a recording begins: looking for such
places takes longer than most recordings. Where one of them has stopped a recording, it is made again with stand-ins in
these places too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastgrad.recording.captured import Surroundings, is_class_of_library

__all__ = ["places_of_functions"]


def places_of_functions(function: Callable[..., Any]) -> list[tuple[Any, Any]]:
    """Where a function may find others to call: a closure's cell, a function, a dict or list, and the key in it."""
    surroundings = Surroundings(function)
    places: list[tuple[Any, Any]] = []
    for called in surroundings.functions():
        places += [(cell, "") for cell in called.__closure__ or ()]
        places += [(called, "__defaults__")] if called.__defaults__ else []
        places += _items(called.__kwdefaults__ or {})
    places += [(place.holder, place.name) for place in surroundings.places if type(place.holder) is dict]
    for _, value in surroundings.everything():
        if type(value) in (dict, list):
            places += _items(value)
        elif not is_class_of_library(type(value)):  # type: ignore[arg-type]
            places += _items(getattr(value, "__dict__", {}))
    return places


def _items(container: Any) -> list[tuple[Any, Any]]:
    return [(container, key) for key in (list(container) if isinstance(container, dict) else range(len(container)))]
