"""The public transforms: from a function to a callable derivative."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.calls import Argnums, bind, parameters_of, record_call
from fastgrad.config import resolve_tier
from fastgrad.derivative import Derivative
from fastgrad.errors import InputError
from fastgrad.forms import Form
from fastgrad.recording.recorded_array import RecordedArray, apply
from fastgrad.recording.structures import map_leaves
from fastgrad.tape import Tape

__all__ = [
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "record",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]

# derivatives that jvp and vjp keep, the least recently used dropped first
MAX_SHARED = 128


def grad(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, tier: str | None = None
) -> Derivative:
    """The gradient of a function that returns one number.

    ``argnums`` says by which arguments: a position, the name of an argument passed by name, or a tuple of these (then
    the result is a tuple). The gradient has the structure and shapes of the argument. With ``has_aux`` the function
    returns ``(value, aux)`` and the result is ``(gradient, aux)``.

    Raises InputError for arguments or results that cannot be differentiated, UnsupportedError at operations that cannot
    be recorded.

    >>> import numpy as np
    >>> grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    array([2., 4.])
    """
    return Derivative(function, Form.GRADIENT, argnums, has_aux, tier)


def value_and_grad(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, tier: str | None = None
) -> Derivative:
    """As :func:`grad`, returning ``(value, gradient)``; with ``has_aux``, ``((value, aux), gradient)``.

    >>> import numpy as np
    >>> value, gradient = value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    >>> float(value), gradient
    (5.0, array([2., 4.]))
    """
    return Derivative(function, Form.VALUE_AND_GRADIENT, argnums, has_aux, tier)


def jacobian(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, tier: str | None = None
) -> Derivative:
    """The derivative of every element of the result by every element of the argument.

    For a result of shape ``out.shape`` and an argument of shape ``in.shape`` it has shape ``out.shape + in.shape``; a
    nested result holds, at each leaf, the structure of the argument. Arguments and errors as for :func:`grad`.

    >>> import numpy as np
    >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    return Derivative(function, Form.JACOBIAN, argnums, has_aux, tier)


def hessian(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, tier: str | None = None
) -> Derivative:
    """The second derivatives of a function that returns one number, of shape ``in.shape + in.shape``.

    The Jacobian of the gradient's tape. Arguments and errors as for :func:`grad`.

    >>> import numpy as np
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    return Derivative(function, Form.HESSIAN, argnums, has_aux, tier)


def hvp(function: Callable[..., Any], argnums: Argnums = 0, *, tier: str | None = None) -> Callable[..., Any]:
    """Products of the Hessian with a vector: ``hvp(f)(x, v)``, the vector being the last argument.

    ``v`` has the structure and shapes of the differentiated argument, and so has the result. Raises InputError where it
    has not; other errors as for :func:`grad`.

    >>> import numpy as np
    >>> hvp(lambda x: np.sum(x**3))(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """
    derivative = Derivative(function, Form.HVP, argnums, False, tier)

    @functools.wraps(function)
    def product(*args: Any, **kwargs: Any) -> Any:
        *given, vector = args
        return derivative.evaluate(tuple(given), kwargs, vector)

    return product


@functools.lru_cache(maxsize=MAX_SHARED)
def _kept_derivative(function: Callable[..., Any], form: Form, argnums: Argnums, tier: str) -> Derivative:
    return Derivative(function, form, argnums, False, tier)


def _shared_derivative(function: Callable[..., Any], form: Form, argnums: Argnums, tier: str | None) -> Derivative:
    """The same derivative for the same function and form, so that ``jvp`` and ``vjp`` record a function once."""
    try:
        return _kept_derivative(function, form, argnums, resolve_tier(tier))
    except TypeError:  # a callable that cannot be hashed
        return Derivative(function, form, argnums, False, tier)


def jvp(
    function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], *, tier: str | None = None
) -> tuple[Any, Any]:
    """The value and its directional derivative: ``jvp(f, primals, tangents) -> (out, tangent_out)``.

    ``primals`` and ``tangents`` are sequences with one entry for each argument, nested alike; all arguments are
    differentiated. ``tangent_out`` has the structure and shapes of the value. Raises InputError where they do not fit.

    >>> value, tangent_out = jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 0.0))
    >>> float(value), float(tangent_out)
    (6.0, 3.0)
    """
    if (
        not isinstance(primals, (tuple, list))
        or not isinstance(tangents, (tuple, list))
        or len(primals) != len(tangents)
    ):
        raise InputError("jvp takes a tuple of primals and a tuple of as many tangents.")
    derivative = _shared_derivative(function, Form.JVP, tuple(range(len(primals))), tier)
    value, tangent_out = derivative.evaluate(tuple(primals), {}, tuple(tangents))
    return value, tangent_out


def vjp(function: Callable[..., Any], *primals: Any, tier: str | None = None) -> tuple[Any, Callable[[Any], Any]]:
    """The value and the pullback: ``vjp(f, *primals) -> (out, pullback)``.

    ``pullback(cotangent)`` takes the structure and shapes of the result and returns a tuple with one cotangent for each
    argument. Raises InputError where it does not fit.

    >>> value, pullback = vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> [float(cotangent) for cotangent in pullback(1.0)]
    [3.0, 2.0]
    """
    argnums = tuple(range(len(primals)))
    kept = tuple(map_leaves(lambda x: x.copy() if isinstance(x, np.ndarray) else x, primal) for primal in primals)
    derivative = _shared_derivative(function, Form.VJP, argnums, tier)
    value = _shared_derivative(function, Form.VALUE, argnums, tier)(*kept)

    def pullback(cotangent: Any) -> Any:
        return derivative.evaluate(kept, {}, cotangent)

    return value, pullback


def stop_gradient(x: Any) -> Any:
    """``x`` itself (any structure), with derivative zero.

    >>> float(grad(lambda x: x * stop_gradient(x))(3.0))
    3.0
    """
    return map_leaves(lambda leaf: apply(ops.stop_gradient, (leaf,)) if isinstance(leaf, RecordedArray) else leaf, x)


def record(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Tape:
    """The tape of ``function`` at these arguments.

    Its inputs are the arguments' arrays and floats, in order; whole numbers and other arguments are part of it. Raises
    UnsupportedError where an operation cannot be recorded.

    >>> record(lambda x, y: x * y + 1.0, 2.0, 3.0)
    <Tape 2 inputs, 2 operations, 1 outputs>
    """
    call = bind(args, kwargs, (), parameters_of(function))
    return record_call(function, call, False, parameters_of(function)).branch.tape
