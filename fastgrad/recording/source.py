"""Where in the user's program something happens."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from types import CodeType, FrameType
from typing import Any

import numpy as np

from fastgrad.errors import FastgradError
from fastgrad.tape import Source

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_FOREIGN = (_PACKAGE, os.sep + "numpy" + os.sep, os.sep + "scipy" + os.sep)


def user_frame() -> FrameType:
    """The innermost frame that belongs neither to fastgrad nor to NumPy or SciPy (or the outermost one)."""
    frame: FrameType = sys._getframe(1)
    while frame.f_back is not None and _is_foreign(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


@functools.cache
def _is_foreign(filename: str) -> bool:
    return filename.startswith(_PACKAGE) or any(part in filename for part in _FOREIGN[1:])


def user_line() -> str:
    """The user's line that is running now, as text for a message."""
    frame = user_frame()
    return str(Source(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))


def warn_user(message: str, category: type[Warning]) -> None:
    """Issue a warning for the user's line that is running now."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and _is_foreign(frame.f_code.co_filename):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def note_library(error: Exception) -> None:
    """Add to an error out of a library's code that the library was given recorded values."""
    if isinstance(error, (FastgradError, np.linalg.LinAlgError)):
        return
    innermost, at = "", error.__traceback__
    while at is not None:
        filename = at.tb_frame.f_code.co_filename
        # Cython's frames name files that are not installed
        innermost = innermost if filename.endswith((".pyx", ".pxd", "<stringsource>")) else filename
        at = at.tb_next
    library = _library(innermost)
    if library and not hasattr(error, "__notes__"):
        error.add_note(
            f"fastgrad was recording the function when {library} raised this. Compiled code in {library} takes plain "
            "arrays only: if the function runs by itself, give what it calls there a definition with "
            "fastgrad.interop.register, or write it with NumPy."
        )


@functools.cache
def _library(filename: str) -> str:
    """The installed package that a file belongs to, where that is neither fastgrad nor NumPy."""
    _, installed, inside = filename.partition(os.sep + "site-packages" + os.sep)
    package = inside.partition(os.sep)[0]
    return package if installed and package != "numpy" and not filename.startswith(_PACKAGE) else ""


def source_of_instruction(code: CodeType, instruction: int) -> Source:
    """The line of a bytecode instruction (``frame.f_lasti``), found when the tape is built and not while it records."""
    position: Any = None
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            position = line
    return Source(code.co_filename, position or code.co_firstlineno, code.co_name)
