"""``check_grads``: derivatives against finite differences that estimate their own error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.api import jvp, vjp
from fastgrad.errors import FastgradError, InputError
from fastgrad.recording.structures import Structure, flatten

__all__ = ["DerivativeMismatchError", "check_grads"]

Floats = NDArray[np.float64]

# steps of the finite differences: the first, relative to the size of the argument, and how they shrink
FIRST_STEP, SHRINK, N_STEPS = 0.02, 1.6, 12


class DerivativeMismatchError(FastgradError, AssertionError):
    """A derivative differs from finite differences by more than the tolerance."""


def check_grads(
    function: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = ("fwd", "rev"),
    *,
    atol: float = 1e-7,
    rtol: float = 1e-6,
    seed: int = 0,
) -> None:
    """Compare the derivatives of ``function`` at ``args`` with finite differences, up to ``order``.

    Along a random direction (from ``seed``), forward mode ("fwd") gives a tangent that must agree with the differences,
    and reverse mode ("rev") a cotangent whose product with the direction must. Differences are extrapolated to step
    zero (Ridders, *Accurate computation of F'(x) and F'(x) F''(x)*, Advances in Engineering Software 4, 1982), which
    also estimates their error; where that is larger than the tolerance the function is not smooth enough there to be
    checked, which is an error too.

    Raises DerivativeMismatchError; InputError for an order below 1 or an unknown mode.

    >>> import numpy as np
    >>> check_grads(lambda x: np.sum(np.sin(x)), (np.array([0.1, 0.7]),))
    """
    if order < 1:
        raise InputError(f"order must be 1 or more; it is {order}.")
    if not modes or any(mode not in ("fwd", "rev") for mode in modes):
        raise InputError(f"modes must be some of 'fwd' and 'rev'; they are {modes!r}.")
    random = np.random.default_rng(seed)
    leaves, structure = flatten(tuple(args))
    point = [np.asarray(leaf, np.float64) for leaf in leaves]
    _check(function, structure, point, modes, atol, rtol, random, 1, order)


def _check(
    function: Callable[..., Any],
    structure: Structure,
    point: list[Floats],
    modes: Sequence[str],
    atol: float,
    rtol: float,
    random: np.random.Generator,
    order: int,
    last_order: int,
) -> None:
    def values(arrays: Sequence[Floats]) -> Floats:
        found, _ = flatten(function(*structure.unflatten([array[()] for array in arrays])))
        return np.concatenate([np.zeros(0), *(np.ravel(np.asarray(leaf, np.float64)) for leaf in found)])

    direction = [random.standard_normal(array.shape) for array in point]
    size = max([1.0, *(float(np.max(np.abs(array), initial=0.0)) for array in point)])
    expected, error = _directional_derivative(values, point, direction, FIRST_STEP * size)
    tolerance = atol + rtol * np.max(np.abs(expected), initial=0.0)
    if error > tolerance:
        raise DerivativeMismatchError(
            f"order {order}: finite differences settle to {error:.2g} only, more than the tolerance {tolerance:.2g}. "
            "The function is not smooth here, or too noisy; move the point or raise atol."
        )
    args = structure.unflatten([array[()] for array in point])
    if "fwd" in modes:
        _, tangent = jvp(function, args, structure.unflatten([d[()] for d in direction]))
        found = np.concatenate([np.zeros(0), *(np.ravel(leaf) for leaf in flatten(tangent)[0])])
        _compare(found, expected, tolerance, f"order {order}, forward mode")
    value, pullback = vjp(function, *args)
    value_leaves, value_structure = flatten(value)
    cotangents = [np.asarray(random.standard_normal(np.shape(leaf))) for leaf in value_leaves]
    cotangent = value_structure.unflatten([c[()] for c in cotangents])
    if "rev" in modes:
        pulled = flatten(pullback(cotangent))[0]
        product = sum(float(np.vdot(p, d)) for p, d in zip(pulled, direction, strict=True))
        weights = np.concatenate([np.zeros(0), *(c.ravel() for c in cotangents)])
        scale = max(1.0, float(np.sum(np.abs(weights))))
        _compare(np.array([product]), np.array([weights @ expected]), tolerance * scale, f"order {order}, reverse mode")
    if order < last_order:

        def derivative(*primals: Any) -> Any:
            return vjp(function, *primals)[1](cotangent)

        _check(derivative, structure, point, modes, atol, rtol, random, order + 1, last_order)


def _compare(found: Floats, expected: Floats, tolerance: float, what: str) -> None:
    worst = float(np.max(np.abs(found - expected), initial=0.0))
    if not worst <= tolerance:
        at = int(np.argmax(np.abs(found - expected)))
        raise DerivativeMismatchError(
            f"{what}: the derivative is {found[at]:.17g}, finite differences give {expected[at]:.17g} "
            f"(element {at}; they differ by {worst:.2g}, the tolerance is {tolerance:.2g})."
        )


def _directional_derivative(
    values: Callable[[Sequence[Floats]], Floats], point: Sequence[Floats], direction: Sequence[Floats], step: float
) -> tuple[Floats, float]:
    """Ridders' method: the derivative of ``values`` along ``direction``, and an estimate of its error."""

    def difference(h: float) -> Floats:
        ahead = values([x + h * d for x, d in zip(point, direction, strict=True)])
        behind = values([x - h * d for x, d in zip(point, direction, strict=True)])
        return (ahead - behind) / (2.0 * h)

    previous: list[Floats] = []
    best, best_error = np.zeros(0), np.inf
    for k in range(N_STEPS):
        row = [difference(step / SHRINK**k)]
        for j, older in enumerate(previous):
            factor = SHRINK ** (2 * (j + 1))
            row.append((factor * row[j] - older) / (factor - 1.0))
            error = max(_distance(row[j + 1], row[j]), _distance(row[j + 1], older))
            if error <= best_error:
                best, best_error = row[j + 1], error
        previous = row
    return best, best_error


def _distance(x: Floats, y: Floats) -> float:
    return float(np.max(np.abs(x - y), initial=0.0))
