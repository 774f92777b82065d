"""NumPy's functions that are refused by name, because recorded values would leave the recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from fastgrad.errors import LostDerivativeError, UnsupportedError, located
from fastgrad.recording.functions.registry import FUNCTIONS, OUTSIDE
from fastgrad.recording.source import user_line

_TO_FILES = (np.save, np.savez, np.savez_compressed, np.savetxt)


def _refusing(name: str, error: type[UnsupportedError], happened: str, remedy: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise error(located(f"{name} {happened}", user_line(), remedy))

    return refuse


for _function in _TO_FILES:
    FUNCTIONS[_function] = _refusing(
        f"np.{_function.__name__}",
        LostDerivativeError,
        "would write a recorded value to a file, once while it is recorded and never again",
        "Return the value from the function and save it outside.",
    )
OUTSIDE["numpy.lib.stride_tricks.as_strided"] = _refusing(
    "np.lib.stride_tricks.as_strided",
    UnsupportedError,
    "cannot be recorded, because it looks at memory and not at elements",
    "Use slices, np.broadcast_to or np.lib.stride_tricks.sliding_window_view.",
)
for _name in ("numpy.fromstring", "json.loads", "ast.literal_eval"):
    # of the text of recorded values
    OUTSIDE[_name] = _refusing(
        _name.replace("numpy", "np"),
        LostDerivativeError,
        "was given the text of a recorded value, whose derivative it would drop",
        "Keep the value itself.",
    )
OUTSIDE["numpy.nested_iters"] = FUNCTIONS[np.nditer] = _refusing(
    "np.nditer",
    UnsupportedError,
    "cannot be recorded, because it hands out memory and not elements",
    "Use whole arrays, x.flat or np.ndenumerate.",
)
