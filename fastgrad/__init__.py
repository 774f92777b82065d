"""fastgrad: derivatives of plain NumPy functions, recorded once and run by compiled kernels.

Besides the names below, the elementary functions that NumPy lacks are here: ``fastgrad.erf``, ``ndtr``, ``gammaln``,
``sigmoid``, ``softplus``, ``fma`` and the others in ``fastgrad.functions.NAMES``.

Importing the package loads NumPy and the tables of operations; what else a name needs is loaded when it is first used.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fastgrad.config import config
from fastgrad.errors import (
    FastgradError,
    InputError,
    LeakedValueError,
    LostDerivativeError,
    RecordingWarning,
    TapeError,
    UnsupportedError,
)
from fastgrad.tape import Tape

if TYPE_CHECKING:
    from fastgrad.api import grad, hessian, hvp, jacobian, jvp, record, stop_gradient, value_and_grad, vjp
    from fastgrad.batch import iterate_chunks, map_chunks, vmap
    from fastgrad.check import DerivativeMismatchError, check_grads
    from fastgrad.checking import RecordingReport, check_recording
    from fastgrad.document.difference import diff
    from fastgrad.edit.compose import compose, parallel, partial
    from fastgrad.errors import FileFormatError
    from fastgrad.files import load
    from fastgrad.naming import group, name

__all__ = [
    "DerivativeMismatchError",
    "FastgradError",
    "FileFormatError",
    "InputError",
    "LeakedValueError",
    "LostDerivativeError",
    "RecordingReport",
    "RecordingWarning",
    "Tape",
    "TapeError",
    "UnsupportedError",
    "check_grads",
    "check_recording",
    "compose",
    "config",
    "diff",
    "grad",
    "group",
    "hessian",
    "hvp",
    "iterate_chunks",
    "jacobian",
    "jvp",
    "load",
    "map_chunks",
    "name",
    "parallel",
    "partial",
    "record",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]

__version__ = "0.1.0"

_MODULES = {
    "vmap": "batch",
    "iterate_chunks": "batch",
    "map_chunks": "batch",
    "check_grads": "check",
    "DerivativeMismatchError": "check",
    "check_recording": "checking",
    "RecordingReport": "checking",
    "group": "naming",
    "name": "naming",
    "load": "files",
    "diff": "document.difference",
    "FileFormatError": "errors",
    "compose": "edit.compose",
    "parallel": "edit.compose",
    "partial": "edit.compose",
}


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'fastgrad' has no attribute {name!r}")
    if name in __all__:
        found = getattr(import_module(f"fastgrad.{_MODULES.get(name, 'api')}"), name)
    elif find_spec(f"fastgrad.{name}") is not None:
        found = import_module(f"fastgrad.{name}")
    else:
        found = import_module("fastgrad.functions").function_named(name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, *import_module("fastgrad.functions").NAMES])
