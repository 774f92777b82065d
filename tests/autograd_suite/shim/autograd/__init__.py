"""autograd's public names, with fastgrad behind them; ``autograd.numpy`` and ``autograd.scipy`` are the real ones."""

import sys
from importlib import import_module

import numpy
import scipy

for _name in ("numpy", "numpy.fft", "numpy.linalg", "numpy.random"):
    sys.modules[f"autograd.{_name}"] = import_module(_name)
for _name in ("scipy", "scipy.integrate", "scipy.linalg", "scipy.signal", "scipy.special", "scipy.stats"):
    sys.modules[f"autograd.{_name}"] = import_module(_name)
# a module in autograd, an object with the same methods in SciPy
sys.modules["autograd.scipy.stats.multivariate_normal"] = scipy.stats.multivariate_normal

from autograd.builtins import dict, isinstance, list, tuple  # noqa: E402
from autograd.operators import (  # noqa: E402
    checkpoint,
    deriv,
    elementwise_grad,
    grad,
    grad_and_aux,
    hessian,
    hessian_tensor_product,
    holomorphic_grad,
    jacobian,
    make_ggnvp,
    make_hvp,
    make_jvp,
    make_vjp,
    tensor_jacobian_product,
    value_and_grad,
)

__all__ = [
    "checkpoint",
    "deriv",
    "dict",
    "elementwise_grad",
    "grad",
    "grad_and_aux",
    "hessian",
    "hessian_tensor_product",
    "holomorphic_grad",
    "isinstance",
    "jacobian",
    "list",
    "make_ggnvp",
    "make_hvp",
    "make_jvp",
    "make_vjp",
    "numpy",
    "scipy",
    "tensor_jacobian_product",
    "tuple",
    "value_and_grad",
]
