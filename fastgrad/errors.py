"""The exceptions of fastgrad. Each message says what happened, where in the user's code, and what to do."""

from __future__ import annotations

__all__ = [
    "FastgradError",
    "FileFormatError",
    "InputError",
    "LeakedValueError",
    "LostDerivativeError",
    "RecordingWarning",
    "TapeError",
    "UnsupportedError",
    "located",
]


class FastgradError(Exception):
    """Base of all errors that fastgrad raises on purpose."""


class InputError(FastgradError, TypeError, ValueError):
    """An argument that cannot be differentiated, or does not fit what was prepared."""


class UnsupportedError(FastgradError, TypeError):
    """An operation on a recorded value that fastgrad cannot record."""


class LostDerivativeError(UnsupportedError):
    """An operation that would have dropped a derivative silently."""


class LeakedValueError(FastgradError):
    """A recorded value was used after the recording that it belongs to had ended."""


class TapeError(FastgradError, ValueError):
    """Arrays that do not form a valid tape."""


class FileFormatError(TapeError):
    """A file that holds no tape, is damaged, or was written by a newer version."""


class RecordingWarning(UserWarning):
    """A recording that cannot do what its author expects: one made at most calls, or one that froze random numbers."""


def located(happened: str, where: str, remedy: str) -> str:
    """The three parts of a message: what happened, at which line of the user's, and what to write instead."""
    return f"{happened} (at {where}). {remedy}" if where else f"{happened}. {remedy}"
