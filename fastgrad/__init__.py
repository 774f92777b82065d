"""fastgrad: derivatives of plain NumPy functions, recorded once and run by compiled kernels."""

from fastgrad.api import grad, hessian, hvp, jacobian, jvp, record, stop_gradient, value_and_grad, vjp
from fastgrad.batch import vmap
from fastgrad.config import config
from fastgrad.errors import FastgradError, InputError, LeakedValueError, LostDerivativeError, TapeError, UnsupportedError
from fastgrad.tape import Tape

__all__ = [
    "FastgradError",
    "InputError",
    "LeakedValueError",
    "LostDerivativeError",
    "Tape",
    "TapeError",
    "UnsupportedError",
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
