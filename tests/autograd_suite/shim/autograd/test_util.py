"""Derivatives by fastgrad against central differences, in autograd's words and with its step and tolerances."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd.core import make_jvp, make_vjp
from autograd.parts import Layout
from autograd.wrap_util import unary_to_nary

__all__ = ["check_equivalent", "check_grads", "combo_check", "scalar_close"]

STEP = 1e-6
TOLERANCE = 1e-6
# the value while recording and the value without: fastgrad's own exp, sin, ... may differ in the last digits
VALUE_TOLERANCE = 1e-9

Function = Callable[..., Any]


def scalar_close(a: float, b: float) -> bool:
    return bool(abs(a - b) < TOLERANCE or abs(a - b) < TOLERANCE * abs(a + b))


def _vector(parts: Sequence[Any]) -> Any:
    return np.concatenate([np.zeros(0), *(np.ravel(np.asarray(part, np.float64)) for part in parts)])


def _compare(what: str, found: Any, expected: Any, generator: np.random.Generator) -> None:
    """Two values are laid out alike and have the same product with a random direction."""
    found_layout, found_parts = Layout.of(found)
    expected_layout, expected_parts = Layout.of(expected)
    assert found_layout == expected_layout, (
        f"{what}: laid out as {found_layout.description()}, expected {expected_layout.description()}"
    )
    weights = generator.standard_normal(_vector(found_parts).shape)
    a, b = weights @ _vector(found_parts), weights @ _vector(expected_parts)
    assert scalar_close(a, b), f"{what}: {a!r}, expected {b!r}"


def check_equivalent(found: Any, expected: Any) -> None:
    _compare("values", found, expected, np.random.default_rng(0))


def _difference(function: Function, x: Any, direction: Any) -> Any:
    """The central difference of a function along a direction, laid out as its result."""
    layout, parts = Layout.of(x)
    along = layout.parts(direction)
    ahead, behind = (
        Layout.of(function(layout.value([part + h * d for part, d in zip(parts, along, strict=True)])))
        for h in (STEP / 2, -STEP / 2)
    )
    return ahead[0].value(
        [(np.asarray(a, float) - np.asarray(b, float)) / STEP for a, b in zip(ahead[1], behind[1], strict=True)]
    )


def _check_value(found: Any, expected: Any) -> None:
    a, b = _vector(Layout.of(found)[1]), _vector(Layout.of(expected)[1])
    np.testing.assert_allclose(a, b, rtol=VALUE_TOLERANCE, atol=VALUE_TOLERANCE, err_msg="value while recording")


def _check(
    function: Function, x: Any, modes: Sequence[str], order: int, name: str, generator: np.random.Generator
) -> None:
    expected = function(x)
    argument, result = Layout(x), Layout(expected)
    direction = argument.random(generator)
    difference = _difference(function, x, direction)
    if "fwd" in modes:
        value, tangent = make_jvp(function, x)(direction)
        _check_value(value, expected)
        _compare(f"jvp of {name}", tangent, difference, generator)
    if "rev" in modes:
        vjp, value = make_vjp(function, x)
        _check_value(value, expected)
        weights = result.random(generator)
        # autograd's cotangents are the conjugates of gradients in the real and imaginary parts
        pulled = vjp(result.value(result.parts(weights, -1.0)))
        assert Layout(pulled) == argument, f"vjp of {name}: laid out as {Layout(pulled).description()}"
        a = _vector(argument.parts(pulled, -1.0)) @ _vector(argument.parts(direction))
        b = _vector(result.parts(weights)) @ _vector(result.parts(difference))
        assert scalar_close(a, b), f"vjp of {name}: {a!r}, expected {b!r}"
    if order > 1:
        forward = lambda pair: make_jvp(function, pair[0])(pair[1])[1]  # noqa: E731
        reverse = lambda pair: make_vjp(function, pair[0])[0](pair[1])  # noqa: E731
        if "fwd" in modes:
            _check(forward, (x, argument.random(generator)), modes, order - 1, f"the jvp of {name}", generator)
        if "rev" in modes:
            _check(reverse, (x, result.random(generator)), modes, order - 1, f"the vjp of {name}", generator)


@unary_to_nary
def check_grads(function: Function, x: Any, modes: Sequence[str] = ("fwd", "rev"), order: int = 2) -> None:
    """Check both modes, and those of the derivatives up to an order, along random directions."""
    _check(function, x, modes, order, "the function", np.random.default_rng(0))


def combo_check(function: Function, *check_args: Any, **check_kwargs: Any) -> Function:
    """``check_grads`` with every combination of the given arguments."""

    def check_all(*args: Any, **kwargs: Any) -> None:
        for chosen in itertools.product(*args):
            for named in itertools.product(*kwargs.values()):
                options = dict(zip(kwargs, named, strict=True))
                check_grads(function, *check_args, **check_kwargs)(*chosen, **options)

    return check_all
