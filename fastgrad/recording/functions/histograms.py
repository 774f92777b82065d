"""Counts: histograms and ``bincount``.

Counts are steps, with derivative zero. Weights vary, and so do edges that hang on the data (their number does not).
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fastgrad import array_ops
from fastgrad.recording.functions.by_numpy import by_numpy
from fastgrad.recording.functions.registry import as_array, unsupported, whole
from fastgrad.recording.functions.shapes import ravel
from fastgrad.recording.recorded_array import RecordedArray, apply_array


def _summed(numbers: Any, weights: Any, length: int) -> Any:
    """How often each number below ``length`` occurs, or the sum of the weights that go with it."""
    if isinstance(numbers, RecordedArray) or isinstance(weights, RecordedArray):
        if weights is None:
            return apply_array(array_ops.bincount, (numbers,), length)
        return apply_array(array_ops.scatter_add, (weights * 1.0, numbers), (length,))
    return np.bincount(numbers, weights, length)


@by_numpy(np.bincount)
def _bincount(x: Any, /, weights: Any = None, minlength: Any = 0) -> Any:
    numbers = as_array(x)
    length = whole(minlength)
    if numbers.size:
        # how long the result is hangs on the largest number
        length = max(length, operator.index(np.max(numbers)) + 1)
        if bool(np.any(numbers < 0)):
            raise ValueError("'list' argument must have no negative elements")
    return _summed(numbers, None if weights is None else as_array(weights), length)


# ---- edges


def _edges(a: Any, bins: Any, range: Any) -> Any:
    """The edges of the bins of one axis."""
    if isinstance(bins, str):
        raise unsupported(f"a histogram with bins={bins!r}, whose number hangs on the data,")
    if np.ndim(bins) == 1:
        return as_array(bins)
    n = operator.index(bins)
    if range is not None:
        first, last = range
    elif a.size == 0:
        first, last = 0.0, 1.0
    else:
        first, last = np.min(a), np.max(a)
    if bool(first == last):
        first, last = first - 0.5, last + 0.5
    inner = first + np.arange(n) * ((last - first) / n)
    return np.concatenate([inner, np.reshape(as_array(last * 1.0), (1,))])


@by_numpy(np.histogram_bin_edges)
def _histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    return _edges(ravel(a), bins, range)


def _bins_of(a: Any, edges: Any) -> Any:
    """For each element the number of its bin from 1; 0 and one more than there are bins are outside."""
    place = np.searchsorted(edges, a, side="right")
    # the last bin holds its right end
    return np.where(np.equal(a, edges[-1]), len(edges) - 1, place)


# ---- histograms


@by_numpy(np.histogram)
def _histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    x = ravel(a)
    edges = _edges(x, bins, range)
    sums = _summed(_bins_of(x, edges), None if weights is None else ravel(weights), len(edges) + 1)[1:-1]
    return (sums / np.diff(edges) / np.sum(sums) if density else sums), edges


def _histogramdd(sample: Any, bins: Any, range: Any, density: Any, weights: Any) -> tuple[Any, list[Any]]:
    """Sums over cells, and the edges of each axis; ``sample`` holds a row of coordinates for each axis."""
    n_axes = len(sample)
    each = list(bins) if isinstance(bins, (list, tuple, np.ndarray)) else [bins] * n_axes
    ranges = [None] * n_axes if range is None else range
    edges = [_edges(a, b, r) for a, b, r in zip(sample, each, ranges, strict=True)]
    cell: Any = 0
    for a, e in zip(sample, edges, strict=True):
        cell = cell * (len(e) + 1) + _bins_of(a, e)
    shape = tuple(len(e) + 1 for e in edges)
    sums = _summed(cell, np.ones(sample[0].shape) if weights is None else as_array(weights), int(np.prod(shape)))
    sums = np.reshape(sums, shape)[(slice(1, -1),) * n_axes]
    if density:
        total = np.sum(sums)
        for k, e in enumerate(edges):
            widths = [1] * n_axes
            widths[k] = len(e) - 1
            sums = sums / np.reshape(np.diff(e), widths)
        sums = sums / total
    return sums, edges


@by_numpy(np.histogram2d)
def _histogram2d(x: Any, y: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    # one row of numbers is the edges of both axes
    both = [bins, bins] if not isinstance(bins, int) and len(bins) not in (1, 2) else bins
    sums, (of_x, of_y) = _histogramdd([as_array(x), as_array(y)], both, range, density, weights)
    return sums, of_x, of_y


@by_numpy(np.histogramdd)
def _histogram_of_points(
    sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    points = sample if isinstance(sample, (list, tuple)) else np.transpose(np.atleast_2d(as_array(sample)))
    if not isinstance(sample, (list, tuple)) and as_array(sample).ndim == 1:
        points = np.reshape(as_array(sample), (1, -1))
    return _histogramdd([as_array(a) for a in points], bins, range, density, weights)
