"""What each table of calls is checked for: values as NumPy's, first derivatives, and second ones both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastgrad as fg
from fastgrad.recording.structures import flatten
from tests.derivative_checks import check, flat

RANDOM = np.random.default_rng(11)


def normal(*shape: int) -> Any:
    return RANDOM.standard_normal(shape)


def positive(*shape: int) -> Any:
    return RANDOM.uniform(0.5, 2.0, shape)


def increasing(n: int) -> Any:
    return np.cumsum(RANDOM.uniform(0.5, 1.5, n))


def check_shown(function: Callable[..., Any], *args: Any) -> None:
    """While it is recorded, a function sees NumPy's own values, with their dtypes and shapes."""
    seen: list[Any] = []

    def noted(*recorded: Any) -> Any:
        result = function(*recorded)
        seen.extend(getattr(leaf, "value", leaf) for leaf in flatten(result)[0])
        return sum(np.sum(np.real(leaf)) for leaf in flatten(result)[0])

    fg.record(noted, *args)
    expected = flatten(function(*args))[0]
    assert [(np.shape(x), np.asarray(x).dtype) for x in seen] == [(np.shape(x), np.asarray(x).dtype) for x in expected]
    for found, wanted in zip(seen, expected, strict=True):
        tolerance = 1e-5 if np.asarray(wanted).dtype in (np.float32, np.complex64) else 1e-13
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def check_orders(function: Callable[..., Any], *args: Any) -> None:
    """First derivatives against differences; second ones forward over reverse, reverse over reverse, and these too."""
    check(function, *args)

    def total(*primals: Any) -> Any:
        return sum(np.sum(leaf * leaf) for leaf in flatten(function(*primals))[0])

    gradient = fg.grad(total, argnums=tuple(range(len(args))))
    directions = tuple(np.asarray(RANDOM.standard_normal(np.shape(x)))[()] for x in args)

    def slope(*primals: Any) -> Any:
        return sum(np.sum(g * d) for g, d in zip(gradient(*primals), directions, strict=True))

    _, forward = fg.jvp(gradient, args, directions)
    reverse = fg.grad(slope, argnums=tuple(range(len(args))))(*args)
    scale = 1.0 + np.max(np.abs(flat(reverse)), initial=0.0)
    np.testing.assert_allclose(flat(forward), flat(reverse), rtol=1e-9, atol=1e-11 * scale)
    check(lambda *primals: gradient(*primals), *args)
