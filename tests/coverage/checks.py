"""What fastgrad makes of a sample call, against NumPy and against derivatives that do not come from fastgrad.

The independent derivative is the extrapolated central difference of the call run by NumPy, with an estimate of its
error; where a complex step of the same call agrees with it that far, the complex step replaces it, which is exact.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastgrad as fg
from fastgrad.recording.recorded_array import RecordedArray
from tests.coverage.drawing import Case

# of the extrapolated differences: the first step, how it shrinks, and the error above which a point is left out
STEP, SHRINK, N_STEPS = 4e-3, 2.0, 5
ROUGH = 1e-6
COMPLEX_STEP = 1e-100
VALUE_RTOL, VALUE_ATOL = 1e-13, 1e-14
DOT_RTOL = 1e-10


class MismatchError(AssertionError):
    """A value or a derivative differs from its reference."""


class RoughPointError(Exception):
    """The function is not smooth enough at this point to be compared with differences."""


# ---- results as numbers


def parts(result: Any) -> tuple[list[Any], list[Any]]:
    """The arrays and numbers of a result, however nested, and whatever else it holds."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (list, tuple)):
        numbers: list[Any] = []
        others: list[Any] = []
        for item in result:
            found = parts(item)
            numbers += found[0]
            others += found[1]
        return numbers, others
    if isinstance(result, RecordedArray):
        return [result], []
    if isinstance(result, (bool, int, float, np.ndarray, np.generic)):
        array = result if isinstance(result, np.ndarray) else np.asarray(result)
        if array.dtype.kind in "fiub":
            return [result], []
        if array.dtype.kind == "O" and array.size:
            return parts(list(array.ravel()))
        return [], [array.tolist() if array.dtype.kind != "O" else None]
    return [], [result]


def flat(numbers: Sequence[Any]) -> np.ndarray:
    """All numbers in one row."""
    return np.concatenate([np.zeros(0), *(np.ravel(np.asarray(number, float)) for number in numbers)])


def quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The result of a call whose warnings (of division by zero and the like) are not of interest."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


@dataclass(frozen=True)
class Notes:
    """What the last run of a sample gave: the values of its numbers (None where unknown), and what was not a number."""

    values: list[Any]
    others: list[Any]


class Sample:
    """A case as a function of some of its arguments, whose result is a tuple of numbers."""

    def __init__(self, case: Case, names: Sequence[str]) -> None:
        self.case = case
        self.names = tuple(names)

    @property
    def point(self) -> tuple[Any, ...]:
        # a call that takes no array is recorded as a function of a number that it does not use
        return tuple(self.case.arrays[name][()] for name in self.names) or (np.float64(1.0),)

    def on_numpy(self, *arrays: Any) -> Any:
        """The call's own result."""
        return quietly(self.case.on, np, dict(zip(self.names, arrays, strict=False)))

    def function(self, notes: Notes | None = None) -> Callable[..., tuple[Any, ...]]:
        """The function to be differentiated."""
        case, names = self.case, self.names

        def numbers_of_result(*arrays: Any) -> tuple[Any, ...]:
            numbers, others = parts(case.on(np, dict(zip(names, arrays, strict=False))))
            if notes is not None:
                notes.values[:] = map(_value_while_recording, numbers)
                notes.others[:] = others
            return tuple(numbers) or (0.0,)

        return numbers_of_result


def _value_while_recording(number: Any) -> Any:
    if isinstance(number, RecordedArray):
        return number.value
    # in an array made while recording, the places of recorded elements hold no numbers
    return None if isinstance(number, np.ndarray) and type(number) is not np.ndarray else number


# ---- the independent derivative


def difference_slope(sample: Sample, point: Sequence[Any], directions: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The slope of all numbers along the directions, and an estimate of its error, both element by element."""

    def values(h: float) -> np.ndarray:
        return flat(parts(sample.on_numpy(*(x + h * d for x, d in zip(point, directions, strict=True))))[0])

    rows: list[np.ndarray] = []
    diagonal: list[np.ndarray] = []
    for k in range(N_STEPS):
        h = STEP / SHRINK**k
        ahead, behind = values(h), values(-h)
        if ahead.shape != behind.shape:
            raise RoughPointError("the result has another size near by")
        new = [(ahead - behind) / (2 * h)]
        for j, older in enumerate(rows):
            factor = SHRINK ** (2 * (j + 1))
            if older.shape != new[-1].shape:
                raise RoughPointError("the result has another size near by")
            new.append((factor * new[-1] - older) / (factor - 1))
        rows = new
        diagonal.append(new[-1])
    return diagonal[-1], np.abs(diagonal[-1] - diagonal[-2])


def independent_slope(sample: Sample, directions: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The slope of all numbers along the directions, by a complex step where that is right, and its error."""
    point = sample.point
    slope, error = difference_slope(sample, point, directions)
    scale = 1.0 + np.max(np.abs(slope[np.isfinite(slope)]), initial=0.0)
    known = np.isfinite(slope)
    if np.any(error[known] > ROUGH * scale):
        raise RoughPointError(f"differences settle to {np.max(error[known]):.1g} only")
    try:
        shifted = [x + 1j * COMPLEX_STEP * d for x, d in zip(point, directions, strict=True)]
        result = sample.on_numpy(*shifted)
        exact = np.concatenate(
            [np.zeros(0), *(np.ravel(np.imag(part)) / COMPLEX_STEP for part in _complex_parts(result))]
        )
        right = exact.shape == slope.shape and np.all(np.abs(exact - slope)[known] <= 1e-9 * scale + 10 * error[known])
        if right and np.all(np.isfinite(exact[known])):
            return np.where(known, exact, slope), np.full(slope.shape, 1e-12 * scale)
    except Exception:
        pass  # NumPy has no such function of complex numbers
    return slope, 10 * error + 1e-9 * scale


def _complex_parts(result: Any) -> list[Any]:
    if isinstance(result, (list, tuple)):
        return [part for item in result for part in _complex_parts(item)]
    return [np.asarray(result)]


# ---- comparisons


def compare(what: str, found: Any, expected: Any, tolerance: Any) -> None:
    """Raise MismatchError where finite expected numbers, NaN or infinities are not found within the tolerance."""
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    if found.shape != expected.shape:
        raise MismatchError(f"{what}: shape {found.shape} instead of {expected.shape}")
    with np.errstate(invalid="ignore"):
        near = (np.abs(found - expected) <= tolerance) | (found == expected) | (np.isnan(found) & np.isnan(expected))
    if not np.all(near):
        at = np.unravel_index(int(np.argmin(near)), near.shape)
        raise MismatchError(f"{what}: {found[at]:.17g} instead of {expected[at]:.17g} at {tuple(map(int, at))}")


def compare_values(
    what: str, found: Sequence[Any], expected: Sequence[Any], rtol: float = VALUE_RTOL, operands: float = 0.0
) -> None:
    """Numbers of two results: as many, of the same dtype and shape, and alike to a few units in the last place.

    ``operands`` is the size of the numbers that they were computed from: sums that cancel are exact to that only.
    """
    if len(found) != len(expected):
        raise MismatchError(f"{what}: {len(found)} arrays instead of {len(expected)}")
    for one, other in zip(found, expected, strict=True):
        if one is None:
            continue
        one, other = np.asarray(one), np.asarray(other)
        if one.dtype != other.dtype:
            raise MismatchError(f"{what}: {one.dtype} instead of {other.dtype}")
        finite = np.abs(other[np.isfinite(other)].astype(float))
        with np.errstate(invalid="ignore"):  # infinities must be equal, whatever the tolerance
            tolerance = rtol * np.abs(other.astype(float)) + VALUE_ATOL * np.max(finite, initial=operands)
        compare(what, one, other, tolerance)


def compare_slopes(what: str, found: np.ndarray, expected: np.ndarray, error: np.ndarray) -> None:
    """Slopes, where the reference is a number: at NaN and infinities differences say nothing."""
    known = np.isfinite(expected)
    if found.shape != expected.shape:
        raise MismatchError(f"{what}: {found.shape} numbers instead of {expected.shape}")
    compare(what, found[known], expected[known], error[known] + 1e-11 * np.abs(expected[known]))


# ---- the checks


def directions_for(sample: Sample, random: np.random.Generator) -> tuple[Any, ...]:
    return tuple(random.uniform(-1.0, 1.0, np.shape(x))[()] for x in sample.point)


def check_first_order(sample: Sample, random: np.random.Generator) -> bool:
    """Value, tangent and cotangent of a sample; returns whether its derivative is anywhere other than zero.

    Raises MismatchError; RoughPointError where the point says nothing.
    """
    expected, expected_others = parts(sample.on_numpy(*sample.point))
    given = np.abs(flat(sample.point))
    operands = float(np.max(given[np.isfinite(given)], initial=0.0))
    directions = directions_for(sample, random)
    slope, error = independent_slope(sample, directions)
    notes = Notes([], [])
    value, tangent = quietly(fg.jvp, sample.function(notes), sample.point, directions)
    _compare_others(notes.others, expected_others)
    compare_values("the value while recording", notes.values, expected, operands=operands)
    if not expected:
        return False
    compare_values("the value", parts(value)[0], expected, operands=operands)
    compare_slopes("the tangent", flat(parts(tangent)[0]), slope, error)
    value, pullback = quietly(fg.vjp, sample.function(), *sample.point)
    compare_values("the value", parts(value)[0], expected, operands=operands)
    cotangent = tuple(random.standard_normal(np.shape(part))[()] for part in expected)
    pulled = quietly(pullback, cotangent)
    terms = [(np.ravel(p), np.ravel(d)) for p, d in zip(pulled, directions, strict=True)]
    compare_dot_products(terms, flat(cotangent), slope, error, flat(parts(tangent)[0]))
    return bool(np.any(np.abs(slope[np.isfinite(slope)]) > 1e-7))


def compare_dot_products(
    terms: Sequence[tuple[np.ndarray, np.ndarray]],
    cotangent: np.ndarray,
    slope: np.ndarray,
    error: np.ndarray,
    tangent: np.ndarray,
) -> None:
    """Reverse mode against the reference, and, more sharply, against forward mode."""
    if not np.all(np.isfinite(tangent)) or not np.all(np.isfinite(slope)):
        return
    product = sum(float(p @ d) for p, d in terms)
    size = sum(float(np.abs(p) @ np.abs(d)) for p, d in terms) + float(np.abs(cotangent) @ np.abs(tangent))
    compare("the cotangent", product, cotangent @ slope, float(np.abs(cotangent) @ error) + 1e-11 * size)
    compare("forward against reverse", product, cotangent @ tangent, DOT_RTOL * size + 1e-13)


def _compare_others(found: Sequence[Any], expected: Sequence[Any]) -> None:
    if list(map(str, found)) != list(map(str, expected)):
        raise MismatchError(f"the result: {found} instead of {expected}")


def weighted(sample: Sample, random: np.random.Generator) -> Callable[..., Any]:
    """A number that depends on all numbers of the result, and not linearly."""
    function = sample.function()
    weights = [random.standard_normal(np.shape(part))[()] for part in parts(sample.on_numpy(*sample.point))[0]]

    def total(*arrays: Any) -> Any:
        numbers = zip(weights, function(*arrays), strict=False)
        return 0.0 + sum(np.sum(w * number) + 0.5 * np.sum(number * (1.0 * number)) for w, number in numbers)

    return total


def check_second_order(sample: Sample, random: np.random.Generator) -> None:
    """Products with the Hessian, of a number made of the result, against differences of the gradient.

    Raises MismatchError; RoughPointError where the point says nothing.
    """
    if not np.all(np.isfinite(flat(parts(sample.on_numpy(*sample.point))[0]))):
        raise RoughPointError("the value is not finite")
    total = weighted(sample, random)
    argnums = tuple(range(len(sample.point)))
    gradient = fg.grad(total, argnums)
    directions = directions_for(sample, random)

    def along(h: float) -> np.ndarray:
        return flat(quietly(gradient, *(x + h * d for x, d in zip(sample.point, directions, strict=True))))

    coarse, fine, finer = ((along(h) - along(-h)) / (2 * h) for h in (2e-3, 1e-3, 5e-4))
    first, second = (4 * fine - coarse) / 3, (4 * finer - fine) / 3
    slope, error = (16 * second - first) / 15, np.abs(second - first)
    if not np.all(np.isfinite(slope)):
        raise RoughPointError("the gradient is not finite")
    scale = 1.0 + np.max(np.abs(slope), initial=0.0)
    if np.any(error > 1e-5 * scale):
        raise RoughPointError(f"differences of gradients settle to {np.max(error):.1g} only")
    product = flat(quietly(fg.hvp(total, argnums), *sample.point, directions))
    compare_slopes("the product with the Hessian", product, slope, error + 1e-8 * scale)


def check_other_memory(sample: Sample, other: Sample, random: np.random.Generator) -> None:
    """The same numbers elsewhere in memory, or in another dtype, have the same value and cotangent.

    ``sample`` holds what ``other`` holds, in float64 and C order. Results are float32 where all arguments are; of whole
    numbers, results may be whole numbers.
    """
    dtypes = [np.asarray(x).dtype for x in other.point]
    single = all(dtype == np.float32 for dtype in dtypes)
    value, pullback = quietly(fg.vjp, sample.function(), *sample.point)
    other_value, other_pullback = quietly(fg.vjp, other.function(), *other.point)
    expected = [_as_single(part) if single else part for part in parts(value)[0]]
    found = parts(other_value)[0]
    if any(dtype.kind == "i" for dtype in dtypes):
        found, expected = ([np.asarray(part, float) for part in each] for each in (found, expected))
    compare_values("the value of the same numbers elsewhere", found, expected, 0.0)
    cotangent = tuple(random.standard_normal(np.shape(part))[()] for part in expected)
    pulled = [p.astype(d) if d == np.float32 else p for p, d in zip(quietly(pullback, cotangent), dtypes, strict=True)]
    compare_values("the cotangent of the same numbers elsewhere", quietly(other_pullback, cotangent), pulled, 0.0)


def _as_single(part: Any) -> Any:
    array = np.asarray(part)
    return array.astype(np.float32) if array.dtype == np.float64 else array
