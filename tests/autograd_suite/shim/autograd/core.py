"""Products with the Jacobian, by fastgrad; what else autograd's core holds has no counterpart."""

from collections.abc import Callable
from typing import Any, NoReturn

import fastgrad as fg
from autograd.parts import Layout

__all__ = ["DERIVATIVES_TAKEN", "by_parts", "make_jvp", "make_vjp", "primitive", "primitive_vjps", "vspace"]

# one entry for each derivative that fastgrad was asked for
DERIVATIVES_TAKEN: list[str] = []

# autograd's table of derivatives; fastgrad's tables are not keyed by function
primitive_vjps: dict[Any, Any] = {}


def primitive(function: Callable[..., Any]) -> NoReturn:
    raise NotImplementedError("fastgrad has no derivatives defined by the user (primitive, defvjp, defjvp)")


def vspace(value: Any) -> NoReturn:
    raise NotImplementedError("fastgrad has no vector space objects (vspace)")


def by_parts(function: Callable[..., Any], argument: Layout) -> tuple[Callable[..., Any], list[Layout]]:
    """The function from real parts to real parts, and a list that its result's layout is put into when it runs."""
    layouts: list[Layout] = []

    def function_of_parts(*parts: Any) -> tuple[Any, ...]:
        layout, result = Layout.of(function(argument.value(parts)))
        layouts.append(layout)
        return tuple(result)

    return function_of_parts, layouts


def make_vjp(function: Callable[..., Any], x: Any) -> tuple[Callable[[Any], Any], Any]:
    DERIVATIVES_TAKEN.append("vjp")
    argument, parts = Layout.of(x)
    function_of_parts, layouts = by_parts(function, argument)
    value, pullback = fg.vjp(function_of_parts, *parts)
    result = layouts[-1]

    def vjp(cotangent: Any) -> Any:
        return argument.value(pullback(tuple(result.parts(cotangent, -1.0))), -1.0)

    return vjp, result.value(value)


def make_jvp(function: Callable[..., Any], x: Any) -> Callable[[Any], tuple[Any, Any]]:
    DERIVATIVES_TAKEN.append("jvp")
    argument, parts = Layout.of(x)
    function_of_parts, layouts = by_parts(function, argument)

    def jvp(tangent: Any) -> tuple[Any, Any]:
        value, tangent_out = fg.jvp(function_of_parts, parts, argument.parts(tangent))
        return layouts[-1].value(value), layouts[-1].value(tangent_out)

    return jvp
