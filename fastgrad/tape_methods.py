"""What those methods of a tape need that stand beside the code that they call."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from fastgrad.tape import Tape

__all__ = ["as_tape"]


def as_tape(methods: object) -> Tape:
    """The tape whose methods these are."""
    return cast("Tape", methods)
