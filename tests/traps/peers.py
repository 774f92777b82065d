"""How each peer loads a program (its import in place of NumPy's) and differentiates it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

NUMPY, BY_NAME, SPECIAL = "import numpy as np", "from numpy import empty, zeros", "from scipy import special"
DERIVATIVE = "from fastgrad import grad"
# takes a function, arguments and the numbers of those to differentiate by; returns the value and the gradients
ValueAndGradient = Callable[[Callable[..., Any], tuple[Any, ...], tuple[int, ...]], tuple[Any, tuple[Any, ...]]]


@dataclass(frozen=True)
class Peer:
    """``distribution`` names the package whose version is given; ``imports`` is None where programs run unmodified."""

    name: str
    distribution: str
    imports: Mapping[str, str] | None
    value_and_gradient: ValueAndGradient
    hessian: Callable[[Callable[..., Any], Any], Any]

    @property
    def version(self) -> str:
        return importlib.metadata.version(self.distribution)


def _fastgrad() -> Peer:
    import fastgrad

    return Peer(
        "fastgrad",
        "fastgrad",
        None,
        lambda function, args, argnums: fastgrad.value_and_grad(function, argnums)(*args),
        lambda function, x: fastgrad.hessian(function)(x),
    )


def _autograd() -> Peer:
    import autograd

    imports = {
        NUMPY: "import autograd.numpy as np",
        BY_NAME: "from autograd.numpy import empty, zeros",
        SPECIAL: "from autograd.scipy import special",
        DERIVATIVE: "from autograd import grad",
    }
    return Peer(
        "autograd",
        "autograd",
        imports,
        lambda function, args, argnums: autograd.value_and_grad(function, argnums)(*args),
        lambda function, x: autograd.hessian(function)(x),
    )


def _jax(compiled: bool) -> Peer:
    import jax

    jax.config.update("jax_enable_x64", True)
    compile_or_not: Callable[[Any], Any] = jax.jit if compiled else lambda function: function
    imports = {
        NUMPY: "import jax.numpy as np",
        BY_NAME: "from jax.numpy import empty, zeros",
        SPECIAL: "from jax.scipy import special",
        DERIVATIVE: "from tests.traps.peers import jax_grad_compiled as grad" if compiled else "from jax import grad",
    }
    return Peer(
        "JAX, jit" if compiled else "JAX",
        "jax",
        imports,
        lambda function, args, argnums: compile_or_not(jax.value_and_grad(function, argnums))(*args),
        lambda function, x: compile_or_not(jax.hessian(function))(x),
    )


def jax_grad_compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a program that takes derivatives itself calls ``grad`` where JAX compiles."""
    import jax

    return jax.jit(jax.grad(function))  # type: ignore[no-any-return]


def _torch() -> Peer:
    from tests.traps import torch_numpy

    imports = {
        NUMPY: "from tests.traps import torch_numpy as np",
        BY_NAME: "from tests.traps.torch_numpy import empty, zeros",
        SPECIAL: "from torch import special",
        DERIVATIVE: "from tests.traps.torch_numpy import grad",
        ".copy()": ".clone()",
    }
    return Peer("PyTorch", "torch", imports, torch_numpy.value_and_gradient, torch_numpy.hessian)


PEERS: dict[str, Callable[[], Peer]] = {
    "fastgrad": _fastgrad,
    "autograd": _autograd,
    "jax": lambda: _jax(compiled=False),
    "jax-jit": lambda: _jax(compiled=True),
    "torch": _torch,
}


def as_numpy(answer: Any) -> Any:
    """A peer's number or array as NumPy's."""
    if hasattr(answer, "detach"):
        answer = answer.detach()
    return answer if isinstance(answer, (str, bool)) else np.asarray(answer)
