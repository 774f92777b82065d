"""Derivatives of a function against differences of the same function run by NumPy alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import fastgrad as fg
from fastgrad.recording.structures import flatten

RTOL, ATOL = 1e-7, 1e-8


def flat(nested: Any) -> np.ndarray:
    """All numbers of a nested result in one row."""
    return np.concatenate([np.zeros(0), *(np.ravel(np.asarray(leaf, float)) for leaf in flatten(nested)[0])])


def slope(function: Callable[..., Any], args: list[Any], directions: list[Any], step: float = 2e-3) -> np.ndarray:
    """The directional derivative by central differences, extrapolated three times (error about 1e-10)."""

    def difference(h: float) -> np.ndarray:
        ahead, behind = ([x + s * d for x, d in zip(args, directions, strict=True)] for s in (h, -h))
        return (flat(function(*ahead)) - flat(function(*behind))) / (2 * h)

    rows = [difference(step / 2**k) for k in range(4)]
    for order in (1, 2, 3):
        rows = [(4**order * fine - coarse) / (4**order - 1) for coarse, fine in itertools.pairwise(rows)]
    return rows[0]


def check(function: Callable[..., Any], *args: Any, seed: int = 0) -> None:
    """Value, tangent and cotangent of a function of arrays agree with NumPy's values and their differences."""
    random = np.random.default_rng(seed)
    # numbers as NumPy has them, as the function sees them when it is recorded
    arrays = [np.asarray(arg)[()] for arg in args]
    directions = [np.asarray(random.standard_normal(x.shape))[()] for x in arrays]
    expected_value = function(*arrays)
    value, tangent = fg.jvp(function, tuple(args), tuple(directions))
    assert [np.shape(leaf) for leaf in flatten(value)[0]] == [np.shape(leaf) for leaf in flatten(expected_value)[0]]
    np.testing.assert_allclose(flat(value), flat(expected_value), rtol=1e-13, atol=1e-14)
    expected = slope(function, arrays, directions)
    scale = 1.0 + np.max(np.abs(expected), initial=0.0)
    np.testing.assert_allclose(flat(tangent), expected, rtol=RTOL, atol=ATOL * scale)
    _, pullback = fg.vjp(function, *args)
    leaves, structure = flatten(expected_value)
    cotangents = [random.standard_normal(np.shape(leaf)) for leaf in leaves]
    pulled = pullback(structure.unflatten(cotangents))
    assert [np.shape(p) for p in pulled] == [x.shape for x in arrays]
    product = sum(float(np.vdot(p, d)) for p, d in zip(pulled, directions, strict=True))
    weights = flat(cotangents)
    np.testing.assert_allclose(product, weights @ expected, rtol=RTOL, atol=ATOL * scale * (1 + np.abs(weights).sum()))
