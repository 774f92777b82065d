"""autograd's operators on functions, each by the one of fastgrad that does the same."""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

import fastgrad as fg
from autograd import core
from autograd.core import DERIVATIVES_TAKEN
from autograd.parts import Layout, is_complex
from autograd.wrap_util import unary_to_nary

Function = Callable[..., Any]

make_vjp = unary_to_nary(core.make_vjp)
make_jvp = unary_to_nary(core.make_jvp)


def _value_and_grad(function: Function, x: Any) -> tuple[Any, Any]:
    DERIVATIVES_TAKEN.append("value_and_grad")
    argument, parts = Layout.of(x)
    shapes = []

    def number(given: tuple[Any, ...]) -> Any:
        result = function(argument.value(given))
        if is_complex(result):
            raise TypeError("grad is for functions that return one real number; see holomorphic_grad")
        shapes.append(np.shape(result))
        # autograd accepts any array of one element
        return np.reshape(result, ()) if np.size(result) == 1 and np.shape(result) else result

    value, gradient = fg.value_and_grad(number)(tuple(parts))
    return (np.reshape(value, shapes[-1]) if shapes[-1] else value), argument.value(gradient, -1.0)


value_and_grad = unary_to_nary(_value_and_grad)


@unary_to_nary
def grad(function: Function, x: Any) -> Any:
    return _value_and_grad(function, x)[1]


@unary_to_nary
def grad_and_aux(function: Function, x: Any) -> Any:
    DERIVATIVES_TAKEN.append("grad")
    return fg.grad(function, has_aux=True)(x)


@unary_to_nary
def holomorphic_grad(function: Function, x: Any) -> Any:
    return _value_and_grad(lambda z: np.real(function(z)), x)[1]


@unary_to_nary
def elementwise_grad(function: Function, x: Any) -> Any:
    vjp, value = core.make_vjp(function, x)
    return vjp(np.ones(np.shape(value)))


@unary_to_nary
def deriv(function: Function, x: Any) -> Any:
    return core.make_jvp(function, x)(np.ones(np.shape(x)))[1]


@unary_to_nary
def jacobian(function: Function, x: Any) -> Any:
    DERIVATIVES_TAKEN.append("jacobian")
    return fg.jacobian(function)(x)


@unary_to_nary
def hessian(function: Function, x: Any) -> Any:
    DERIVATIVES_TAKEN.append("hessian")
    return fg.hessian(function)(x)


@unary_to_nary
def make_hvp(function: Function, x: Any) -> tuple[Function, Any]:
    DERIVATIVES_TAKEN.append("hvp")
    return lambda v: fg.hvp(function)(x, v), fg.grad(function)(x)


def hessian_tensor_product(function: Function, argnum: int = 0) -> Function:
    DERIVATIVES_TAKEN.append("hvp")
    return fg.hvp(function, argnum)


def tensor_jacobian_product(function: Function, argnum: int = 0) -> Function:
    """The leading axes of the Jacobian contracted with a tensor, the last argument."""

    def product(*args: Any) -> Any:
        *given, tensor = args
        return jacobian(lambda *point: np.tensordot(tensor, function(*point), np.ndim(tensor)), argnum)(*given)

    return product


def _half_square(y: Any) -> Any:
    return 0.5 * np.sum(y**2, axis=-1)


def make_ggnvp(function: Function, outer: Function = _half_square) -> Function:
    """Products with J.T H J, where J is the Jacobian of the function and H the Hessian of the outer one."""
    DERIVATIVES_TAKEN.append("ggnvp")

    def at(x: Any) -> Function:
        y, pullback = fg.vjp(function, x)
        return lambda v: pullback(fg.hvp(outer)(y, fg.jvp(function, (x,), (v,))[1]))[0]

    return at


def checkpoint(function: Function) -> NoReturn:
    raise NotImplementedError("fastgrad has no checkpointing")
