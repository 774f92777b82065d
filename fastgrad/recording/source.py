"""Where in the user's program something happens."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from types import CodeType, FrameType
from typing import Any

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


def source_of_instruction(code: CodeType, instruction: int) -> Source:
    """The line of a bytecode instruction (``frame.f_lasti``), found when the tape is built and not while it records."""
    position: Any = None
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            position = line
    return Source(code.co_filename, position or code.co_firstlineno, code.co_name)
