"""fastgrad: derivatives of plain NumPy functions, recorded once and run by compiled kernels.

Besides the names below, the elementary functions that NumPy lacks are here: ``fastgrad.erf``, ``ndtr``, ``gammaln``,
``sigmoid``, ``softplus``, ``fma`` and the others in ``fastgrad.functions.NAMES``.
"""

from typing import Any

from fastgrad import functions
from fastgrad.api import grad, hessian, hvp, jacobian, jvp, record, stop_gradient, value_and_grad, vjp
from fastgrad.batch import vmap
from fastgrad.check import DerivativeMismatchError, check_grads
from fastgrad.config import config
from fastgrad.errors import (
    FastgradError,
    InputError,
    LeakedValueError,
    LostDerivativeError,
    TapeError,
    UnsupportedError,
)
from fastgrad.tape import Tape

__all__ = [
    "DerivativeMismatchError",
    "FastgradError",
    "InputError",
    "LeakedValueError",
    "LostDerivativeError",
    "Tape",
    "TapeError",
    "UnsupportedError",
    "check_grads",
    "config",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "record",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    return functions.function_named(name)


def __dir__() -> list[str]:
    return sorted([*__all__, *functions.NAMES])
