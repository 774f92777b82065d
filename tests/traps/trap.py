"""What the table of trap programs holds: a program, where it is differentiated, and the right answer.

A program is a function as someone writes it for NumPy; the decorators below only attach its answers. It is loaded a
second time for each peer, with the import of NumPy replaced (``loading.py``), so neither it nor the arguments of the
decorators may use anything of ``np`` outside the function; ``numpy`` itself is there for data that stay NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Point:
    """Arguments, and the analytic answers there. The gradient has one entry for each differentiated argument."""

    args: tuple[Any, ...]
    value: Any
    gradient: tuple[Any, ...]
    second: Any = None


@dataclass(frozen=True)
class Trap:
    """One row of the table; see ``trap`` and ``session`` for what the fields mean."""

    name: str
    about: str
    function: Callable[..., Any]
    points: tuple[Point, ...] = ()
    argnums: tuple[int, ...] = (0,)
    between: tuple[Any, Any] | None = None
    second_between: tuple[Any, Any] | None = None
    undefined: bool = False
    refusal: str | None = None
    warning: str | None = None
    answers: tuple[Any, ...] | None = None
    differences: bool = True
    rtol: float = 1e-13
    atol: float = 0.0


def trap(
    at: Any,
    value: Any,
    gradient: Any,
    *,
    second: Any = None,
    also: tuple[tuple[Any, Any, Any], ...] = (),
    argnums: tuple[int, ...] | None = None,
    dtype: Any = None,
    **facts: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A program that returns one number, differentiated from outside.

    ``at`` is its argument (a tuple: several; lists become arrays), ``gradient`` the derivative by it, or a tuple with
    the derivatives by the arguments ``argnums``. ``also`` lists further ``(at, value, gradient)`` for the same
    derivative function. Facts: ``between``, the bounds of the subgradients where there are several (others may answer
    any of them), and ``second_between`` those of second derivatives; ``undefined``, there is no derivative, NaN is as
    good an answer; ``refusal``, the exception that is a right answer too; ``warning``, the start of a warning that must
    be given; ``differences=False``, central differences do not find this derivative; ``rtol``, ``atol``.
    """

    def attach(function: Callable[..., Any]) -> Callable[..., Any]:
        several = isinstance(at, tuple)
        numbers = argnums if argnums is not None else tuple(range(len(at))) if several else (0,)
        points = [
            Point(
                tuple(_argument(x, dtype) for x in (where if several else (where,))),
                result,
                derivative if isinstance(derivative, tuple) else (derivative,),
                second if first else None,
            )
            for first, (where, result, derivative) in zip(
                [True] + [False] * len(also), [(at, value, gradient), *also], strict=True
            )
        ]
        function.trap = _row(function, points=tuple(points), argnums=numbers, **facts)  # type: ignore[attr-defined]
        return function

    return attach


def session(*answers: Any, **facts: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A program without arguments that takes derivatives itself and returns the list of ``answers``."""

    def attach(function: Callable[..., Any]) -> Callable[..., Any]:
        function.trap = _row(function, answers=answers, **facts)  # type: ignore[attr-defined]
        return function

    return attach


def _row(function: Callable[..., Any], **facts: Any) -> Trap:
    about = " ".join((function.__doc__ or "").split())
    return Trap(function.__name__.replace("_", " "), about, function, **facts)


def _argument(x: Any, dtype: Any) -> Any:
    if isinstance(x, list):
        return numpy.array(x, dtype)
    return numpy.dtype(dtype).type(x) if dtype is not None else x
