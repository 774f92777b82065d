"""Derivatives defined by the user: refused."""

from autograd.core import primitive

defvjp = primitive

__all__ = ["defvjp", "primitive"]
