"""Integrals and slopes of sampled functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastgrad.recording.functions.by_numpy import by_numpy
from fastgrad.recording.functions.lifting import lifted
from fastgrad.recording.functions.registry import axes_of
from fastgrad.recording.functions.shapes import concatenate
from fastgrad.recording.indexing import along_axis


@by_numpy(np.trapezoid)
def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y, x = lifted(y, x)
    (axis,) = axes_of(axis, y.ndim)
    width = dx
    if x is not None:
        width = np.diff(x, axis=axis if x.ndim > 1 else 0)
        if x.ndim == 1:
            width = width.reshape(_along(y.ndim, axis))
    heights = y[along_axis(axis, slice(1, None))] + y[along_axis(axis, slice(None, -1))]
    return (width * heights / 2.0).sum(axis)


def _along(ndim: int, axis: int) -> tuple[int, ...]:
    """The shape of a row that lies along one axis."""
    return tuple(-1 if k == axis else 1 for k in range(ndim))


@by_numpy(np.gradient)
def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    f, *spacings = lifted(f, *varargs)
    if f.dtype.kind == "b":
        f = f * 1.0
    axes = range(f.ndim) if axis is None else [k % f.ndim for k in np.atleast_1d(axis).tolist()]
    if len(spacings) != len(axes):
        spacings = (spacings or [1.0]) * len(axes)
    results = tuple(_slope(f, k, spacing, edge_order) for k, spacing in zip(axes, spacings, strict=True))
    return results[0] if len(results) == 1 else results


def _slope(f: Any, axis: int, spacing: Any, edge_order: int) -> Any:
    """Along one axis: central differences inside, and one-sided ones of ``edge_order`` at the ends."""
    n = f.shape[axis]
    if np.ndim(spacing) == 0:
        inner = (f[along_axis(axis, slice(2, None))] - f[along_axis(axis, slice(None, -2))]) / (2.0 * spacing)
        before = after = spacing
    else:
        steps = np.diff(spacing)
        before, after = (side.reshape(_along(f.ndim, axis)) for side in (steps[:-1], steps[1:]))
        inner = _weighted(
            f,
            axis,
            (0, 1, 2),
            n - 2,
            (
                -after / (before * (before + after)),
                (after - before) / (before * after),
                before / (after * (before + after)),
            ),
        )
        # NumPy takes steps that are all equal for one number: where they are 0, or a sample is infinite, that shows
        wide = f[along_axis(axis, slice(2, None))] - f[along_axis(axis, slice(None, -2))]
        uniform = np.all(np.equal(steps, steps[:1]))
        inner = np.where(uniform & np.isnan(inner), wide / (before + after), inner)
        before, after = steps[:2], steps[-2:]
    if edge_order == 1:
        first, last = (
            (f[along_axis(axis, slice(k + 1, k + 2))] - f[along_axis(axis, slice(k, k + 1))]) / step
            for k, step in ((0, _element(before, 0)), (n - 2, _element(after, -1)))
        )
    else:
        first = _weighted(f, axis, (0, 1, 2), 1, _at_the_end(_element(before, 0), _element(before, 1)))
        weights = _at_the_end(_element(after, -1), _element(after, -2))
        last = _weighted(f, axis, (n - 1, n - 2, n - 3), 1, tuple(-weight for weight in weights))
    return concatenate([first, inner, last], axis)


def _element(steps: Any, index: int) -> Any:
    return steps if np.ndim(steps) == 0 else steps[index]


def _at_the_end(near: Any, far: Any) -> tuple[Any, Any, Any]:
    """The weights of a slope of second order at the first of three points, from the steps between them."""
    return (
        -(2.0 * near + far) / (near * (near + far)),
        (near + far) / (near * far),
        -near / (far * (near + far)),
    )


def _weighted(f: Any, axis: int, places: Sequence[int], count: int, weights: Sequence[Any]) -> Any:
    """A sum of parts of ``f``, each ``count`` long, that begin at ``places``."""
    terms = [weight * f[along_axis(axis, slice(k, k + count))] for k, weight in zip(places, weights, strict=True)]
    return sum(terms[1:], terms[0])
