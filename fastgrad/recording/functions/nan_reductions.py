"""Reductions that leave NaN out: such an element gets derivative 0, and counts for nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad.recording.functions.by_numpy import by_numpy
from fastgrad.recording.functions.order import argmax, argmin
from fastgrad.recording.functions.reductions import (
    NO_VALUE,
    cumprod,
    cumsum,
    is_given,
    keeps,
    prod,
    reduced_axes,
    selects,
    sum_,
)
from fastgrad.recording.functions.registry import UFUNC_METHODS, as_array
from fastgrad.recording.functions.statistics import define_quantiles, median_of
from fastgrad.recording.functions.ufunc_methods import EXTREMA  # noqa: F401 - whose reductions are used here


def _filled(a: Any, number: float) -> Any:
    """The array with a number in place of NaN."""
    x = as_array(a)
    return x if x.dtype.kind != "f" else np.where(np.isnan(x), number, x)


def _present(a: Any, where: Any) -> Any:
    """Which elements count."""
    there = ~np.isnan(as_array(a))
    return there & where if selects(where) else there


# ---- sums and products


def _reduction(function: Callable[..., Any], reduce: Callable[..., Any], neutral: float) -> None:
    @by_numpy(function)
    def definition(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, initial: Any = NO_VALUE,
        where: Any = True,
    ) -> Any:  # fmt: skip
        return reduce(_filled(a, neutral), axis, None, None, keepdims, initial, where)


def _running(function: Callable[..., Any], run: Callable[..., Any], neutral: float) -> None:
    @by_numpy(function)
    def definition(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        return run(_filled(a, neutral), axis)


_reduction(np.nansum, sum_, 0.0)
_reduction(np.nanprod, prod, 1.0)
_running(np.nancumsum, cumsum, 0.0)
_running(np.nancumprod, cumprod, 1.0)


# ---- moments


@by_numpy(np.nanmean)
def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True
) -> Any:
    count = sum_(_present(a, where), axis, keepdims=keepdims)
    return sum_(_filled(a, 0.0), axis, keepdims=keepdims, where=where) / count


@by_numpy(np.nanvar)
def nanvar(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, *,
    where: Any = True, mean: Any = NO_VALUE, correction: Any = NO_VALUE,
) -> Any:  # fmt: skip
    ddof = correction if is_given(correction) else ddof
    present = _present(a, where)
    center = mean if is_given(mean) else nanmean(a, axis, keepdims=True, where=where)
    squares = sum_(np.square(_filled(a, 0.0) - center), axis, keepdims=keepdims, where=present)
    freedom = sum_(present, axis, keepdims=keepdims) - ddof
    return np.where(freedom <= 0, math.nan, squares / freedom)


@by_numpy(np.nanstd)
def _nanstd(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, *,
    where: Any = True, mean: Any = NO_VALUE, correction: Any = NO_VALUE,
) -> Any:  # fmt: skip
    return np.sqrt(nanvar(a, axis, None, None, ddof, keepdims, where=where, mean=mean, correction=correction))


# ---- extrema


def _extremum(function: Callable[..., Any], ufunc: np.ufunc) -> None:
    @by_numpy(function)
    def definition(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = NO_VALUE, where: Any = True
    ) -> Any:
        return UFUNC_METHODS[ufunc, "reduce"](a, axis, keepdims=keeps(keepdims), initial=initial, where=where)


_extremum(np.nanmax, np.fmax)
_extremum(np.nanmin, np.fmin)


def _position(function: Callable[..., Any], find: Callable[..., Any], worst: float) -> None:
    @by_numpy(function)
    def definition(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
        x = as_array(a)
        # a row of nothing but NaN is an error, now and for later inputs
        if x.dtype.kind == "f" and bool(np.any(np.all(np.isnan(x), reduced_axes(axis, x.ndim)))):
            raise ValueError("All-NaN slice encountered")
        return find(_filled(x, worst), axis, keepdims=keepdims)


_position(np.nanargmax, argmax, -math.inf)
_position(np.nanargmin, argmin, math.inf)


# ---- quantiles


@by_numpy(np.nanmedian)
def _nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    return median_of(a, axis, keepdims, skip_nan=True)


define_quantiles(np.nanquantile, np.nanpercentile, skip_nan=True)
