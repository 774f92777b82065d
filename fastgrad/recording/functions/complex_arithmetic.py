"""Ufuncs on complex values of a recording, in terms of real and imaginary parts.

Formulas are those that neither overflow nor cancel where the result does not: for quotients R. L. Smith, *Algorithm
116: Complex division*, Communications of the ACM 5, 1962; for the square root and the cuts W. Kahan, *Branch cuts for
complex elementary functions*, 1987.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from fastgrad.recording.recorded_complex import COMPLEX_UFUNCS, Parts

__all__ = ["multiplied"]

_Definition = TypeVar("_Definition", bound=Callable[..., Any])


def _answers(*ufuncs: np.ufunc) -> Callable[[_Definition], _Definition]:
    def register(definition: _Definition) -> _Definition:
        COMPLEX_UFUNCS.update(dict.fromkeys(ufuncs, definition))
        return definition

    return register


def _imag(x: Parts) -> Any:
    return 0.0 if x.imag is None else x.imag


# ---- arithmetic


@_answers(np.add)
def _add(x: Parts, y: Parts) -> Parts:
    return Parts(np.add(x.real, y.real), np.add(_imag(x), _imag(y)))


@_answers(np.subtract)
def _subtract(x: Parts, y: Parts) -> Parts:
    return Parts(np.subtract(x.real, y.real), np.subtract(_imag(x), _imag(y)))


@_answers(np.negative)
def _negative(x: Parts) -> Parts:
    return Parts(np.negative(x.real), np.negative(x.imag))


@_answers(np.positive)
def _positive(x: Parts) -> Parts:
    return Parts(np.positive(x.real), np.positive(x.imag))


@_answers(np.conjugate)
def _conjugate(x: Parts) -> Parts:
    return Parts(np.positive(x.real), np.negative(x.imag))


def multiplied(product: Callable[[Any, Any], Any], x: Parts, y: Parts) -> Parts:
    """Any product that is linear in both operands."""
    if y.imag is None:
        return Parts(product(x.real, y.real), product(x.imag, y.real))
    if x.imag is None:
        return Parts(product(x.real, y.real), product(x.real, y.imag))
    return Parts(
        np.subtract(product(x.real, y.real), product(x.imag, y.imag)),
        np.add(product(x.real, y.imag), product(x.imag, y.real)),
    )


@_answers(np.multiply)
def _multiply(x: Parts, y: Parts) -> Parts:
    return multiplied(np.multiply, x, y)


@_answers(np.matmul)
def _matmul(x: Parts, y: Parts) -> Parts:
    return multiplied(np.matmul, x, y)


@_answers(np.vecdot)
def _vecdot(x: Parts, y: Parts) -> Parts:
    return multiplied(np.vecdot, x if x.imag is None else _conjugate(x), y)


@_answers(np.divide)
def _divide(x: Parts, y: Parts) -> Parts:
    if y.imag is None:
        return Parts(np.divide(x.real, y.real), np.divide(x.imag, y.real))
    steep = np.greater(np.abs(y.imag), np.abs(y.real))
    large, small = np.where(steep, y.imag, y.real), np.where(steep, y.real, y.imag)
    ratio = np.divide(small, large)
    divisor = np.add(large, np.multiply(small, ratio))
    a, b = x.real, _imag(x)
    real = np.where(steep, np.add(np.multiply(a, ratio), b), np.add(a, np.multiply(b, ratio)))
    imag = np.where(steep, np.subtract(np.multiply(b, ratio), a), np.subtract(b, np.multiply(a, ratio)))
    return Parts(np.divide(real, divisor), np.divide(imag, divisor))


@_answers(np.reciprocal)
def _reciprocal(x: Parts) -> Parts:
    return _divide(Parts(1.0, None), x)


@_answers(np.square)
def _square(x: Parts) -> Parts:
    difference = np.multiply(np.subtract(x.real, x.imag), np.add(x.real, x.imag))
    twice = np.multiply(x.real, x.imag)
    return Parts(difference, np.add(twice, twice))


# as NumPy, which multiplies for smaller exponents
_LARGEST_PRODUCT = 100


@_answers(np.power, np.float_power)
def _power(x: Parts, y: Parts) -> Parts:
    exponent = y.real
    if y.imag is None and isinstance(exponent, (int, float)) and exponent == int(exponent):
        n = abs(int(exponent))
        if 0 < n < _LARGEST_PRODUCT:
            result, factor = None, x
            while n:
                if n & 1:
                    result = factor if result is None else _multiply(result, factor)
                n >>= 1
                factor = _square(factor) if n else factor
            assert result is not None
            return _reciprocal(result) if exponent < 0 else _positive(result)
    if y.imag is None and x.imag is not None:
        return _polar(np.power(_absolute(x), exponent), np.multiply(_angle(x), exponent))
    base = Parts(x.real, np.zeros(np.shape(x.real))) if x.imag is None else x
    return _exp(_multiply(_log(base), y))


def _polar(radius: Any, angle: Any) -> Parts:
    return Parts(np.multiply(radius, np.cos(angle)), np.multiply(radius, np.sin(angle)))


# ---- size and angle


@_answers(np.absolute)
def _absolute(x: Parts) -> Any:
    return np.hypot(x.real, x.imag)


def _angle(x: Parts) -> Any:
    return np.arctan2(x.imag, x.real)


@_answers(np.sign)
def _sign(x: Parts) -> Parts:
    size = _absolute(x)
    divisor = np.where(np.equal(size, 0.0), 1.0, size)
    return Parts(np.divide(x.real, divisor), np.divide(x.imag, divisor))


# ---- exponentials, logarithms, powers, waves


@_answers(np.exp)
def _exp(x: Parts) -> Parts:
    return _polar(np.exp(x.real), x.imag)


@_answers(np.exp2)
def _exp2(x: Parts) -> Parts:
    return _polar(np.exp2(x.real), np.multiply(x.imag, math.log(2.0)))


@_answers(np.log)
def _log(x: Parts) -> Parts:
    return Parts(np.log(_absolute(x)), _angle(x))


@_answers(np.log2)
def _log2(x: Parts) -> Parts:
    return Parts(np.log2(_absolute(x)), np.divide(_angle(x), math.log(2.0)))


@_answers(np.log10)
def _log10(x: Parts) -> Parts:
    return Parts(np.log10(_absolute(x)), np.divide(_angle(x), math.log(10.0)))


@_answers(np.sqrt)
def _sqrt(x: Parts) -> Parts:
    size = _absolute(x)
    # the larger part has no cancellation, and gives the smaller one
    large = np.sqrt(np.multiply(np.add(np.abs(x.real), size), 0.5))
    divisor = np.where(np.equal(size, 0.0), 1.0, np.multiply(large, 2.0))
    small = np.divide(x.imag, divisor)
    right = np.greater_equal(x.real, 0.0)
    return Parts(
        np.where(right, large, np.abs(small)),
        np.where(right, small, np.copysign(large, x.imag)),
    )


@_answers(np.sin)
def _sin(x: Parts) -> Parts:
    return Parts(
        np.multiply(np.sin(x.real), np.cosh(x.imag)),
        np.multiply(np.cos(x.real), np.sinh(x.imag)),
    )


@_answers(np.cos)
def _cos(x: Parts) -> Parts:
    return Parts(
        np.multiply(np.cos(x.real), np.cosh(x.imag)),
        np.negative(np.multiply(np.sin(x.real), np.sinh(x.imag))),
    )


@_answers(np.sinh)
def _sinh(x: Parts) -> Parts:
    return Parts(
        np.multiply(np.sinh(x.real), np.cos(x.imag)),
        np.multiply(np.cosh(x.real), np.sin(x.imag)),
    )


@_answers(np.cosh)
def _cosh(x: Parts) -> Parts:
    return Parts(
        np.multiply(np.cosh(x.real), np.cos(x.imag)),
        np.multiply(np.sinh(x.real), np.sin(x.imag)),
    )


@_answers(np.expm1)
def _expm1(x: Parts) -> Parts:
    less_than_one = np.multiply(-2.0, np.square(np.sin(np.multiply(x.imag, 0.5))))  # cos - 1
    real = np.add(np.multiply(np.expm1(x.real), np.cos(x.imag)), less_than_one)
    return Parts(real, np.multiply(np.exp(x.real), np.sin(x.imag)))


@_answers(np.log1p)
def _log1p(x: Parts) -> Parts:
    shifted = Parts(np.add(x.real, 1.0), x.imag)
    # |1 + x|**2 - 1, for |x| so small that the sum would lose digits
    near = np.less(_absolute(x), 0.5)
    excess = np.add(np.multiply(x.real, np.add(x.real, 2.0)), np.square(x.imag))
    real = np.where(near, np.multiply(0.5, np.log1p(np.where(near, excess, 0.0))), np.log(_absolute(shifted)))
    return Parts(real, _angle(shifted))


@_answers(np.tanh)
def _tanh(x: Parts) -> Parts:
    a, b = np.tanh(x.real), np.tan(x.imag)
    divisor = np.add(1.0, np.square(np.multiply(a, b)))
    return Parts(
        np.divide(np.multiply(a, np.add(1.0, np.square(b))), divisor),
        np.divide(np.multiply(b, np.square(np.reciprocal(np.cosh(x.real)))), divisor),
    )


def _turned(function: Callable[[Parts], Parts]) -> Callable[[Parts], Parts]:
    """f(iz)/i: from tanh to tan, from arctanh to arctan, from arcsin to arcsinh."""

    def of(x: Parts) -> Parts:
        found = function(Parts(np.negative(x.imag), np.positive(x.real)))
        return Parts(found.imag, np.negative(found.real))

    return of


_answers(np.tan)(_turned(_tanh))


def _roots(x: Parts) -> tuple[Parts, Parts]:
    """The square roots of 1 - x and of 1 + x."""
    return (
        _sqrt(Parts(np.subtract(1.0, x.real), np.negative(x.imag))),
        _sqrt(Parts(np.add(1.0, x.real), np.positive(x.imag))),
    )


@_answers(np.arcsin)
def _arcsin(x: Parts) -> Parts:
    below, above = _roots(x)
    return Parts(
        np.arctan2(x.real, multiplied(np.multiply, below, above).real),
        np.arcsinh(multiplied(np.multiply, _conjugate(below), above).imag),
    )


_answers(np.arcsinh)(_turned(_arcsin))


@_answers(np.arccos)
def _arccos(x: Parts) -> Parts:
    below, above = _roots(x)
    return Parts(
        np.multiply(2.0, np.arctan2(below.real, above.real)),
        np.arcsinh(multiplied(np.multiply, _conjugate(above), below).imag),
    )


@_answers(np.arccosh)
def _arccosh(x: Parts) -> Parts:
    below = _sqrt(Parts(np.subtract(x.real, 1.0), np.positive(x.imag)))
    above = _sqrt(Parts(np.add(x.real, 1.0), np.positive(x.imag)))
    return Parts(
        np.arcsinh(multiplied(np.multiply, _conjugate(below), above).real),
        np.multiply(2.0, np.arctan2(below.imag, above.real)),
    )


@_answers(np.arctanh)
def _arctanh(x: Parts) -> Parts:
    def quarter(real: Any) -> Any:
        distance = np.add(np.square(np.subtract(1.0, real)), np.square(x.imag))
        return np.multiply(0.25, np.log1p(np.divide(np.multiply(4.0, real), distance)))

    # the logarithm of a ratio above 1, which loses no digits near the poles
    real = np.where(np.greater_equal(x.real, 0.0), quarter(x.real), np.negative(quarter(np.negative(x.real))))
    over = np.subtract(np.multiply(np.subtract(1.0, x.real), np.add(1.0, x.real)), np.square(x.imag))
    return Parts(real, np.multiply(0.5, np.arctan2(np.multiply(2.0, x.imag), over)))


_answers(np.arctan)(_turned(_arctanh))


# ---- truth values


@_answers(np.equal)
def _equal(x: Parts, y: Parts) -> Any:
    return np.logical_and(np.equal(x.real, y.real), np.equal(_imag(x), _imag(y)))


@_answers(np.not_equal)
def _not_equal(x: Parts, y: Parts) -> Any:
    return np.logical_or(np.not_equal(x.real, y.real), np.not_equal(_imag(x), _imag(y)))


@_answers(np.isfinite)
def _isfinite(x: Parts) -> Any:
    return np.logical_and(np.isfinite(x.real), np.isfinite(x.imag))


@_answers(np.isinf)
def _isinf(x: Parts) -> Any:
    return np.logical_or(np.isinf(x.real), np.isinf(x.imag))


@_answers(np.isnan)
def _isnan(x: Parts) -> Any:
    return np.logical_or(np.isnan(x.real), np.isnan(x.imag))
