"""Averages, quantiles and covariances."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad.recording.functions.by_numpy import by_numpy
from fastgrad.recording.functions.conversions import as_positions
from fastgrad.recording.functions.order import gathered, sorted_positions
from fastgrad.recording.functions.reductions import keeps, reduced_axes, rows_first
from fastgrad.recording.functions.registry import as_array, with_kept_axes
from fastgrad.recording.recorded_array import RecordedArray

# ---- averages


@by_numpy(np.average)
def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    x = as_array(a)
    keepdims = keeps(keepdims)
    axes = reduced_axes(axis, x.ndim)
    if weights is None:
        average = np.mean(x, axes, keepdims=keepdims)
        total: Any = float(math.prod(x.shape[k] for k in axes))
    else:
        w = spread_weights(weights, x, axis)
        total = np.sum(w, axes, keepdims=keepdims)
        if bool(np.any(total == 0.0)):
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        average = np.sum(x * w, axes, keepdims=keepdims) / total
    return (average, np.broadcast_to(total, average.shape)) if returned else average


def spread_weights(weights: Any, x: Any, axis: Any) -> Any:
    """Weights in the shape of the array; those of one axis, or of several, lie along it."""
    w = as_array(weights)
    if w.shape == x.shape or axis is None:
        return w
    given = tuple(int(k) % x.ndim for k in (axis if isinstance(axis, tuple) else (axis,)))
    w = np.transpose(w, np.argsort(given))
    return np.broadcast_to(np.reshape(w, [n if k in given else 1 for k, n in enumerate(x.shape)]), x.shape)


# ---- covariances


@by_numpy(np.cov)
def covariance(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    x = _variables(m, rowvar)
    if y is not None:
        x = np.concatenate([x, _variables(y, rowvar)])
    ddof = ddof if ddof is not None else 0 if bias else 1
    weights = [as_array(w) * 1.0 for w in (fweights, aweights) if w is not None]
    if not weights:
        centred = x - np.mean(x, 1, keepdims=True)
        freedom: Any = x.shape[1] - ddof
        return np.squeeze(centred @ np.transpose(centred) / max(freedom, 0.0))
    w = math.prod(weights)
    total = np.sum(w)
    centred = x - np.sum(x * w, 1, keepdims=True) / total
    freedom = total - (ddof if aweights is None else ddof * np.sum(w * weights[-1]) / total)
    return np.squeeze(centred @ np.transpose(centred * w) / np.maximum(freedom, 0.0))


def _variables(m: Any, rowvar: bool) -> Any:
    x = as_array(m)
    rows = np.atleast_2d(x)
    return np.transpose(rows) if not rowvar and x.ndim == 2 and rows.shape != (1, 0) else rows


@by_numpy(np.corrcoef)
def _corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    products = covariance(x, y, rowvar)
    if np.ndim(products) == 0:
        return products / products
    deviations = np.sqrt(np.diagonal(products))
    return np.clip(products / deviations[:, None] / deviations, -1, 1)


# ---- quantiles


def _between(alpha: float, beta: float) -> Callable[[Any, Any], Any]:
    return lambda n, q: n * q + (alpha + q * (1 - alpha - beta)) - 1


def _row_after(position: Callable[[Any, Any], Any], stays: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def row(n: Any, q: Any) -> Any:
        at = position(n, q)
        floor = np.floor(at)
        return np.maximum(np.where(stays(at - floor, floor), floor, floor + 1), 0)

    return row


# Methods that take an element as it is: its number in the sorted row, from the length and the quantile. The others: a
# place between two elements, and the share of the second one from the fraction of the place and the place itself (None:
# it is the fraction). See Hyndman and Fan, The American Statistician 50, 1996, page 361.
_Rule = Callable[[Any, Any], Any]
TAKEN: dict[str, _Rule] = {
    "inverted_cdf": _row_after(lambda n, q: n * q - 1, lambda part, floor: part == 0),
    "closest_observation": _row_after(
        lambda n, q: n * q - 1.5, lambda part, floor: np.logical_and(part == 0, floor % 2 == 1)
    ),
    "lower": lambda n, q: np.floor((n - 1) * q),
    "higher": lambda n, q: np.ceil((n - 1) * q),
    "nearest": lambda n, q: np.rint((n - 1) * q),
}
INTERPOLATED: dict[str, tuple[_Rule, _Rule | None]] = {
    "averaged_inverted_cdf": (lambda n, q: n * q - 1, lambda part, at: np.where(part == 0, 0.5, 1.0)),
    "interpolated_inverted_cdf": (_between(0.0, 1.0), None),
    "hazen": (_between(0.5, 0.5), None),
    "weibull": (_between(0.0, 0.0), None),
    "linear": (lambda n, q: (n - 1) * q, None),
    "median_unbiased": (_between(1 / 3, 1 / 3), None),
    "normal_unbiased": (_between(3 / 8, 3 / 8), None),
    "midpoint": (
        lambda n, q: 0.5 * (np.floor((n - 1) * q) + np.ceil((n - 1) * q)),
        lambda part, at: np.where(at % 1 == 0, 0.0, 0.5),
    ),
}


class _SortedRows:
    """Rows as they stand when each column is sorted, as far as they are asked for.

    ``count`` is how many of them are there: the number of rows, or in each column that of those which are not NaN.
    """

    def __init__(self, rows: Any, count: Any, wanted: Any) -> None:
        self.rows = rows
        self.count = count
        # if it is known which ones are wanted, the others need no order
        self.known: list[int] | None = None
        if not any(isinstance(index, RecordedArray) for index in (count, *wanted)):
            self.known = sorted({len(rows) - 1, *(int(k) for index in wanted for k in np.ravel(index))})
        is_recorded = isinstance(rows, RecordedArray)
        self.positions = sorted_positions(rows, 0, self.known or ()) if is_recorded else _order_of(rows)
        if self.known is not None:
            # one step for all of them, of which parts are views
            self.taken = gathered(rows, self.positions[self.known])

    def __getitem__(self, index: Any) -> Any:
        """The elements of these rows; the axes of ``index`` end with those of the columns, or ones in their place."""
        columns = self.rows.shape[1:]
        if self.known is not None:
            leading = np.shape(index)[: np.ndim(index) - len(columns)]
            places = np.searchsorted(self.known, np.reshape(index, leading))
            return self.taken[places if leading else int(places)]
        width = math.prod(columns)
        return gathered(self.rows, gathered(self.positions, index * width + np.arange(width).reshape(columns)))


def quantiles_of(a: Any, q: Any, axis: Any, method: str, keepdims: Any, weights: Any, skip_nan: bool) -> Any:
    """Quantiles over axes; the axes of ``q`` come first in the result."""
    x, q = as_array(a), as_array(q)
    inside = np.all((q >= 0) & (q <= 1))
    if isinstance(inside, RecordedArray) and not bool(inside):  # NumPy refuses it, at later inputs too
        raise ValueError("Quantiles must be in the range [0, 1]")
    axes = reduced_axes(axis, x.ndim)
    rows = rows_first(x, axes)
    columns = rows.shape[1:]
    if len(rows) == 0:
        return math.nan
    at_q = np.reshape(q, (*q.shape, *[1] * len(columns)))
    if weights is None:
        result = _quantiles_of_rows(rows, at_q, method, skip_nan)
    else:
        result = _weighted(rows, at_q, rows_first(spread_weights(weights, x, axis), axes), skip_nan)
    result = np.broadcast_to(result, q.shape + columns)
    if keepdims is np._NoValue or not keepdims:
        return result
    return np.reshape(result, q.shape + tuple(1 if k in axes else n for k, n in enumerate(x.shape)))


def _quantiles_of_rows(rows: Any, q: Any, method: str, skip_nan: bool) -> Any:
    count = np.sum(~np.isnan(rows), 0) if skip_nan else len(rows)
    last = np.maximum(count - 1, 0)
    if method in TAKEN:
        index = np.clip(TAKEN[method](count, q), 0, last)
        ordered = _SortedRows(rows, count, (index,))
        return _unless_nan(ordered, ordered[index], skip_nan)
    place, share = INTERPOLATED[method]
    at = place(count, q)
    floor = np.floor(at)
    low, high = np.clip(floor, 0, last), np.clip(floor + 1, 0, last)
    ordered = _SortedRows(rows, count, (low, high))
    t = at - floor if share is None else share(at - floor, at)
    below, above = ordered[low], ordered[high]
    difference = above - below
    # as NumPy does, from the end that is nearer
    return _unless_nan(ordered, np.where(t >= 0.5, above - difference * (1 - t), below + difference * t), skip_nan)


def _unless_nan(ordered: _SortedRows, result: Any, skip_nan: bool) -> Any:
    """NaN where there is one among the elements, or none but NaN."""
    rows = ordered.rows
    if skip_nan:
        return np.where(ordered.count == 0, math.nan, result)
    if rows.dtype.kind != "f":
        return result
    largest = ordered[np.full((1,) * (rows.ndim - 1), len(rows) - 1)]
    return np.where(np.isnan(largest), largest, result)


def _weighted(rows: Any, q: Any, weights: Any, skip_nan: bool) -> Any:
    """The first element at which the running sum of weights, as a share of all, reaches the quantile."""
    present = ~np.isnan(rows) if skip_nan else np.ones(rows.shape, bool)
    positions = as_array(sorted_positions(rows, 0) if isinstance(rows, RecordedArray) else _order_of(rows))
    running = np.cumsum(gathered(np.where(present, weights, 0.0), positions), 0)
    shares = running / running[-1]
    # elements before the first weight are never taken
    shares = np.where(shares == 0, -1.0, shares)
    leading = q.ndim - rows.ndim + 1
    before = np.reshape(q, (*q.shape[:leading], 1, *q.shape[leading:])) > shares
    count = np.sum(present, 0)
    index = np.clip(np.sum(before, leading), 0, np.maximum(count - 1, 0))
    width = math.prod(rows.shape[1:])
    taken = gathered(rows, gathered(positions, index * width + np.arange(width).reshape(rows.shape[1:])))
    if skip_nan:
        return np.where(count == 0, math.nan, taken)
    largest = gathered(rows, positions[-1])
    return np.where(np.isnan(largest), largest, taken)


def _order_of(rows: Any) -> Any:
    order = np.argsort(rows, 0, kind="stable")
    return np.take_along_axis(as_positions(rows), order, 0)


def define_quantiles(quantile: Any, percentile: Any, skip_nan: bool) -> None:
    """Register NumPy's two functions, which differ in the unit of ``q``."""

    def definition(
        a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
        keepdims: Any = False, *, weights: Any = None,
    ) -> Any:  # fmt: skip
        return quantiles_of(a, q, axis, method, keepdims, weights, skip_nan)

    def of_percents(a: Any, q: Any, *args: Any, **kwargs: Any) -> Any:
        return definition(a, np.divide(as_array(q), 100), *args, **kwargs)

    by_numpy(quantile)(definition)
    by_numpy(percentile)(functools.wraps(definition)(of_percents))


define_quantiles(np.quantile, np.percentile, skip_nan=False)


def median_of(a: Any, axis: Any, keepdims: Any, skip_nan: bool) -> Any:
    """The middle element, or the mean of the middle two."""
    x = as_array(a)
    axes = reduced_axes(axis, x.ndim)
    rows = rows_first(x, axes)
    if len(rows) == 0:
        return math.nan
    count = np.sum(~np.isnan(rows), 0) if skip_nan else len(rows)
    one = np.zeros((1,) * (rows.ndim - 1), int)
    low, high = one + np.maximum(count - 1, 0) // 2, one + np.minimum(count // 2, len(rows) - 1)
    ordered = _SortedRows(rows, count, (low, high))
    middle = ordered[high] if not skip_nan and len(rows) % 2 else (ordered[low] + ordered[high]) / 2
    middle = np.broadcast_to(_unless_nan(ordered, middle * 1.0, skip_nan), rows.shape[1:])
    return with_kept_axes(middle, x, axes, keepdims)


@by_numpy(np.median)
def _median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    return median_of(a, axis, keepdims, skip_nan=False)
