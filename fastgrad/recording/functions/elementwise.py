"""Choices and elementwise functions that are not ufuncs, and ufuncs that are several operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.recording.functions.registry import (
    UFUNCS,
    as_array,
    axes_of,
    implements,
    unsupported,
    whole,
)
from fastgrad.recording.functions.ufunc_options import composes, evaluation
from fastgrad.recording.recorded_array import (
    RecordedArray,
    apply,
    apply_array,
    copy_of,
    normal_operand,
    value_of,
)

# ---- choices


@implements(np.where)
def _where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    if (x is None) != (y is None):
        raise ValueError("either both or neither of x and y should be given")
    return np.nonzero(condition) if x is None else apply(ops.where, (condition, x, y))


@implements(np.clip)
def _clip(
    a: Any,
    a_min: Any = np._NoValue,
    a_max: Any = np._NoValue,
    out: Any = None,
    *,
    min: Any = np._NoValue,
    max: Any = np._NoValue,
    **kwargs: Any,
) -> Any:
    if (min is not np._NoValue or max is not np._NoValue) and not (a_min is a_max is np._NoValue):
        raise ValueError("Passing `min` or `max` keyword argument when `a_min` and `a_max` are provided is forbidden.")
    low, high = (min if _is_absent(a_min) else a_min), (max if _is_absent(a_max) else a_max)
    # NumPy's definition
    x = np.positive(a, **kwargs) if _is_absent(low) and _is_absent(high) else a
    if not _is_absent(low):
        x = np.maximum(x, low, **kwargs)
    return x if _is_absent(high) else np.minimum(x, high, **kwargs)


def _is_absent(argument: Any) -> bool:
    return argument is None or argument is np._NoValue


@implements(np.nan_to_num)
def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    array = as_array(x)
    if array.dtype.kind != "f":
        return copy_of(array) if copy else array
    limits = np.finfo(array.dtype)
    result = apply(ops.where, (np.equal(array, np.inf), float(limits.max) if posinf is None else posinf, array))
    result = apply(ops.where, (np.equal(array, -np.inf), float(limits.min) if neginf is None else neginf, result))
    result = apply(ops.where, (np.isnan(array), nan, result))
    if copy or array.ndim == 0:
        return result
    array[...] = result
    return array


# ---- rounding, and the parts of a number


@implements(np.round, np.around)
def _round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    x, decimals = as_array(a), whole((decimals,))[0]
    if x.dtype.kind in "iub" and decimals >= 0:
        rounded = apply(ops.positive, (x + 0 if x.dtype.kind == "b" else x,))
    elif decimals == 0:
        rounded = apply(ops.rint, (x,))
    else:
        # as NumPy computes it
        scale = 10.0 ** abs(decimals)
        scaled = apply(ops.multiply if decimals > 0 else ops.divide, (x, scale))
        rounded = apply(ops.divide if decimals > 0 else ops.multiply, (apply(ops.rint, (scaled,)), scale))
    rounded.value = np.round(x.value, decimals)
    return rounded


@implements(np.fix)
def _fix(x: Any, out: Any = None) -> Any:
    return apply(ops.trunc, (x,))


@composes(np.modf)
def _modf(x: Any) -> Any:
    return apply(ops.fraction, (x,)), apply(ops.trunc, (x,))


@composes(np.frexp)
def _frexp(x: Any) -> Any:
    return apply(ops.binary_mantissa, (x,)), apply(ops.binary_exponent, (x,))


@composes(np.ldexp)
def _ldexp(x: Any, exponent: Any) -> Any:
    return apply(ops.ldexp, (x, exponent))


@composes(np.float_power)
def _float_power(x: Any, y: Any) -> Any:
    whole_numbers = np.result_type(value_of(x), value_of(y)).kind in "iub"
    return apply(ops.power, (np.multiply(x, 1.0) if whole_numbers else x, y))


def _in_double_precision(ufunc: np.ufunc, operation: ops.Operation) -> None:
    """Register a ufunc that tells single from double precision, while tapes compute in double precision."""

    @composes(ufunc)
    def recorded(*operands: Any) -> Any:
        if np.result_type(np.float16, *map(value_of, operands)) != np.float64:
            raise unsupported(f"np.{ufunc.__name__} of less than float64")
        return apply(operation, operands)


_in_double_precision(np.nextafter, ops.nextafter)
_in_double_precision(np.spacing, ops.spacing)


@composes(np.divmod)
def _divmod(x: Any, y: Any) -> Any:
    return apply(ops.floor_divide, (x, y)), apply(ops.remainder, (x, y))


# ---- angles, waves and logarithms


@composes(np.deg2rad, np.radians)
def _radians(x: Any) -> Any:
    return apply(ops.multiply, (x, math.pi / 180))


@composes(np.rad2deg, np.degrees)
def _degrees(x: Any) -> Any:
    return apply(ops.multiply, (x, 180 / math.pi))


@composes(np.logaddexp2)
def _logaddexp2(x: Any, y: Any) -> Any:
    scaled = (np.multiply(x, ops.LOG_2), np.multiply(y, ops.LOG_2))
    return apply(ops.divide, (apply(ops.logaddexp, scaled), ops.LOG_2))


# sin(y)/y as a series: 18 terms give it, and its first derivatives, to the last digit for abs(y) <= 2
_SINC = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(18))


@implements(np.sinc)
def _sinc(x: Any) -> Any:
    array = as_array(x)
    y = array * math.pi
    square = y * y
    near = apply(ops.less_equal, (square, 4.0))
    series: Any = _SINC[-1]
    for coefficient in _SINC[-2::-1]:
        series = series * square + coefficient
    # the quotient has derivatives of its own only where it is taken
    divisor: Any = apply(ops.where, (near, 1.0, y))
    result = apply(ops.where, (near, series, np.sin(divisor) / divisor))
    result.value = np.sinc(array.value)
    return result


@implements(np.i0)
def _i0(x: Any) -> Any:
    array = as_array(x)
    result = apply(ops.i0, (array,))
    result.value = np.i0(array.value)
    return result


@implements(np.unwrap)
def _unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * math.pi) -> Any:
    x = as_array(p)
    (axis,) = axes_of(axis, x.ndim)
    # NumPy's own jumps, as numbers of periods
    steps = np.diff(x, axis=axis)
    whole_numbers = np.result_type(steps.dtype, value_of(period)).kind in "iu"
    half = period // 2 if whole_numbers else period / 2
    turns, rest = np.divmod(steps + half, period)
    if not whole_numbers or value_of(period) % 2 == 0:
        turns = turns - np.where(np.equal(rest, 0) & np.greater(steps, 0), 1, 0)
    turns = np.where(np.less(np.abs(steps), period / 2 if discont is None else discont), 0, -turns)
    first = np.zeros(tuple(1 if k == axis else length for k, length in enumerate(x.shape)))
    result = x + np.concatenate([first, np.cumsum(turns, axis=axis)], axis) * period
    result.value = np.unwrap(x.value, value_of(discont), axis, period=value_of(period))
    return result


# ---- tests of numbers


@implements(np.isposinf)
def _isposinf(x: Any, out: Any = None) -> Any:
    return np.equal(x, np.inf)


@implements(np.isneginf)
def _isneginf(x: Any, out: Any = None) -> Any:
    return np.equal(x, -np.inf)


# ---- bits of whole numbers


def _on_bits(ufunc: np.ufunc, operation: ops.Operation | None = None) -> Callable[..., Any]:
    """The definition of a ufunc on whole numbers; between truth values, if it takes any, it is ``operation``."""

    def recorded(*inputs: Any, **kwargs: Any) -> Any:
        operands = tuple(map(normal_operand, inputs))
        values = [value_of(operand) for operand in operands]
        value = evaluation(ufunc, kwargs)(*values)
        if operation is not None and value.dtype.kind == "b":
            result = apply(operation, operands)
        else:
            # what is counted are the bits of the operand's own kind of number
            kind = np.asarray(values[0] if ufunc.__name__ == "bitwise_count" else value).dtype
            result = _of_whole_numbers(ufunc, operands, kind)
            if not np.array_equal(result.value, value):
                raise unsupported(
                    f"np.{ufunc.__name__} of whole numbers from 2**53 on, which a recording does not hold exactly,"
                )
        result.value = value
        return result

    return recorded


def _of_whole_numbers(ufunc: np.ufunc, operands: tuple[Any, ...], kind: np.dtype[Any]) -> RecordedArray:
    if ufunc is np.bitwise_and:
        # SciPy's distributions write 1 & (scale > 0), which takes no array operation
        for number, truth in (operands, operands[::-1]):
            if [np.asarray(value_of(operand)).dtype.kind for operand in (number, truth)] == ["i", "b"]:
                return apply(ops.multiply, (np.remainder(number, 2), truth))
    return apply_array(array_ops.bitwise, operands, (ufunc.__name__, kind.str))


UFUNCS |= {
    np.bitwise_and: _on_bits(np.bitwise_and, ops.logical_and),
    np.bitwise_or: _on_bits(np.bitwise_or, ops.logical_or),
    np.bitwise_xor: _on_bits(np.bitwise_xor, ops.logical_xor),
    np.invert: _on_bits(np.invert, ops.logical_not),
}
UFUNCS |= {
    ufunc: _on_bits(ufunc) for ufunc in (np.left_shift, np.right_shift, np.bitwise_count, np.gcd, np.lcm, np.isnat)
}
