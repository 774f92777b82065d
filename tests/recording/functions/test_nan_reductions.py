"""Reductions that leave NaN out: values, and derivatives that are zero at NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.recording.functions.statistics import INTERPOLATED, TAKEN
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy

RANDOM = np.random.default_rng(8)
MASK = np.array([[True, False, True, True], [True, True, True, False], [True, True, True, True]])


def holes(*shape: int) -> Any:
    x = RANDOM.standard_normal(shape)
    x.flat[1::5] = np.nan
    return x


CALLS: dict[str, tuple[Any, ...]] = {
    "nansum": (lambda x: np.nansum(x, axis=1, keepdims=True), holes(3, 4)),
    "nansum options": (lambda x, y: np.nansum(x, initial=y, where=MASK), holes(3, 4), np.float64(2.0)),
    "nanprod": (lambda x: np.nanprod(x, axis=(0, 1)), holes(3, 4, 2)),
    "nanprod options": (lambda x: np.nanprod(x, 0, initial=1.5, where=MASK), holes(3, 4)),
    "nancumsum": (lambda x: np.nancumsum(x), holes(3, 4)),
    "nancumprod": (lambda x: np.nancumprod(x, axis=-1), holes(3, 4)),
    "nanmean": (lambda x: np.nanmean(x, axis=0), holes(3, 4)),
    "nanmean where": (lambda x: np.nanmean(x, axis=1, where=MASK, keepdims=True), holes(3, 4)),
    "nanvar": (lambda x: np.nanvar(x, ddof=1), holes(3, 4)),
    "nanvar axis": (lambda x: np.nanvar(x, axis=1, where=MASK, correction=0.5), holes(3, 4)),
    "nanvar mean": (lambda x, m: np.nanvar(x, axis=0, mean=m), holes(3, 4), RANDOM.standard_normal((1, 4))),
    "nanstd": (lambda x: np.nanstd(x, axis=-1, keepdims=True), holes(3, 4)),
    "nanmax": (lambda x: np.nanmax(x, axis=(0, 2)), holes(2, 3, 4)),
    "nanmax options": (lambda x: np.nanmax(x, axis=0, initial=0.3, where=MASK, keepdims=True), holes(3, 4)),
    "nanmin": (lambda x: np.nanmin(x), holes(3, 4)),
    "nanargmax": (lambda x: np.nanargmax(x) * np.nansum(x) + np.nanargmin(x, axis=1) * np.nansum(x, 1), holes(3, 4)),
    "nanmedian": (lambda x: np.nanmedian(x), holes(3, 4)),
    "nanmedian axis": (lambda x: np.nanmedian(x, axis=(0, 2), keepdims=True), holes(2, 3, 4)),
    "nanquantile": (lambda x: np.nanquantile(x, [0.0, 0.4, 1.0], axis=1), holes(3, 5)),
    "nanpercentile": (lambda x, q: np.nanpercentile(x, q, axis=0, method="hazen"), holes(5, 2), np.array([22.0, 71.0])),
    "nanquantile weights": (
        lambda x, w: np.nanquantile(x, [0.1, 0.6], axis=1, weights=w, method="inverted_cdf"),
        holes(3, 5),
        RANDOM.uniform(0.5, 2.0, (3, 5)),
    ),
    "integers": (lambda x: x * np.nansum((x > 0) + 1) + np.nanmax((x > 0) + 1), RANDOM.standard_normal(4)),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    function, *args = CALLS[name]
    check(function, *args)


@pytest.mark.parametrize("name", CALLS)
def test_values_while_recording_are_numpys(name):
    function, *args = CALLS[name]
    assert_shown_as_numpy(function, *args)


@pytest.mark.parametrize("method", [*TAKEN, *INTERPOLATED])
def test_one_recording_serves_any_number_of_nans(method):
    columns = np.array([[1.0, np.nan, 5.0], [np.nan, np.nan, 3.0], [2.0, 4.0, 1.0], [0.5, np.nan, 2.0]])
    assert_right_later(
        lambda x: (np.nanquantile(x, [0.2, 0.5, 0.9], axis=0, method=method), np.nanmedian(x, axis=1)),
        RANDOM.standard_normal((4, 3)),
        columns,
        columns[::-1],
    )


def test_one_recording_serves_nans_anywhere():
    assert_right_later(
        lambda x: (np.nanmean(x), np.nanstd(x), np.nanmax(x), np.nancumprod(x), np.nansum(x)), np.ones(4),
        np.array([np.nan, 2.0, 1.0, np.nan]),
    )  # fmt: skip


def test_derivatives_are_zero_at_nan():
    x = np.array([1.0, np.nan, 4.0, 2.0])
    for function in (np.nansum, np.nanprod, np.nanmean, np.nanstd, np.nanmax, np.nanmin, np.nanmedian):
        gradient = fg.grad(function)(x)
        assert gradient[1] == 0.0
        np.testing.assert_allclose(gradient[[0, 2, 3]], fg.grad(function)(x[[0, 2, 3]]), rtol=1e-14)


def test_elements_that_share_the_extremum_share_its_derivative():
    np.testing.assert_array_equal(fg.grad(np.nanmax)(np.array([2.0, np.nan, 2.0, 1.0])), [0.5, 0.0, 0.5, 0.0])
    np.testing.assert_array_equal(fg.grad(np.nanmax)(np.array([-np.inf, np.nan])), [1.0, 0.0])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nothing_but_nan_is_nan_as_in_numpy():
    x = np.array([[np.nan, 1.0], [np.nan, 2.0]])
    for function in (np.nanmean, np.nanvar, np.nanmax, np.nanmedian):
        assert_shown_as_numpy(lambda x, f=function: f(x, axis=0), x)
        assert_right_later(lambda x, f=function: f(x, axis=0), np.ones((2, 2)), x)
        np.testing.assert_array_equal(fg.grad(lambda x, f=function: np.nansum(f(x, axis=0)))(x)[:, 0], [0.0, 0.0])


def test_positions_in_nothing_but_nan_are_an_error_at_later_inputs_too():
    gradient = fg.grad(lambda x: np.nanargmax(x) * np.nansum(x))
    np.testing.assert_array_equal(gradient(np.array([1.0, 3.0, np.nan])), [1.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="All-NaN slice encountered"):
        gradient(np.full(3, np.nan))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_too_few_degrees_of_freedom_are_nan():
    assert_shown_as_numpy(lambda x: np.nanvar(x, axis=1, ddof=2), np.array([[1.0, 2.0, np.nan], [1.0, 2.0, 4.0]]))
