"""Errors in units in the last place, measured against exactly known (mpmath) results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from mpmath import mp, mpf

DIGITS = 60


def ulp_errors(computed: Any, exact: Iterable[Any]) -> np.ndarray:
    """|computed - exact| over the spacing of doubles at the correctly rounded result.

    NaN for NaN, and infinity where the exact result overflows, count as no error; any other mismatch of kind is an
    infinite one. ``exact`` holds mpmath numbers.
    """
    return np.array([_ulp_error(float(c), e) for c, e in zip(np.ravel(computed), exact, strict=True)])


def _ulp_error(computed: float, exact: Any) -> float:
    with mp.workdps(DIGITS):
        rounded = nearest_double(exact)
        if np.isnan(rounded):
            return 0.0 if np.isnan(computed) else np.inf
        if not np.isfinite(computed) or np.isinf(rounded):
            return 0.0 if computed == rounded else np.inf
        return float(abs(mpf(computed) - exact) / mpf(float(np.spacing(abs(rounded)))))


def nearest_double(exact: Any) -> float:
    """The mpmath number correctly rounded, also where it overflows or is subnormal."""
    with mp.workdps(DIGITS):
        if not mp.isfinite(exact):
            return float(exact)
        unit = mpf(2) ** -1074
        if abs(exact) < mpf(2) ** -1021:
            return float(mp.nint(exact / unit) * unit)
        return float(exact)


def same_bits(x: Any, y: Any) -> bool:
    """Equal arrays, with the sign of zero and NaN for NaN (whatever bits a NaN has)."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    return bool(np.array_equal(x, y, equal_nan=True) and (np.signbit(x) == np.signbit(y))[~np.isnan(x)].all())
