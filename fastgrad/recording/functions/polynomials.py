"""Polynomials given by their coefficients, the highest power first.

``np.poly1d`` needs nothing of its own: it keeps recorded coefficients, and calls these functions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad.recording.functions.by_numpy import by_numpy
from fastgrad.recording.functions.lifting import lifted
from fastgrad.recording.functions.registry import FUNCTIONS, as_array, implements, reshape, unsupported


def _coefficients(p: Any) -> Any:
    """At least one coefficient, as an array."""
    x = as_array(p.coeffs if isinstance(p, np.poly1d) else p)
    return reshape(x, (1,)) if x.ndim == 0 else x


def _of_polynomials(function: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function of polynomials, whose results are ``np.poly1d`` where an argument is."""

    def register(definition: Callable[..., Any]) -> Callable[..., Any]:
        def on_coefficients(*args: Any, **kwargs: Any) -> Any:
            wrapped = any(isinstance(arg, np.poly1d) for arg in args)
            result = definition(*args, **kwargs)
            if not wrapped:
                return result
            return tuple(map(np.poly1d, result)) if isinstance(result, tuple) else np.poly1d(result)

        FUNCTIONS[function] = on_coefficients
        return on_coefficients

    return register


@_of_polynomials(np.polyadd)
def _polyadd(a1: Any, a2: Any) -> Any:
    return np.add(*_of_one_length(a1, a2))


@_of_polynomials(np.polysub)
def _polysub(a1: Any, a2: Any) -> Any:
    return np.subtract(*_of_one_length(a1, a2))


def _of_one_length(a1: Any, a2: Any) -> tuple[Any, Any]:
    p, q = _coefficients(a1), _coefficients(a2)
    p, q = (
        np.concatenate([np.zeros(len(other) - len(x), x.dtype), x]) if len(x) < len(other) else x
        for x, other in ((p, q), (q, p))
    )
    return p, q


@_of_polynomials(np.polymul)
def _polymul(a1: Any, a2: Any) -> Any:
    factors = [_coefficients(p) for p in (a1, a2)]
    # NumPy drops leading zeros; what they are multiplied with has a derivative by them
    n_dropped = sum(len(p) - max(len(np.trim_zeros(p, "f")), 1) for p in factors)
    return np.convolve(*factors)[n_dropped:]


@_of_polynomials(np.polydiv)
def _polydiv(u: Any, v: Any) -> Any:
    p, q = lifted(_coefficients(u), _coefficients(v))
    rest, divisor = [p[k] for k in range(len(p))], [q[k] for k in range(len(q))]
    scale = 1.0 / divisor[0]
    quotient = []
    for k in range(len(rest) - len(divisor) + 1):
        factor = scale * rest[k]
        quotient.append(factor)
        for j, coefficient in enumerate(divisor):
            rest[k + j] = rest[k + j] - factor * coefficient
    while len(rest) > 1 and np.allclose(rest[0], 0, rtol=1e-14):
        del rest[0]
    return np.stack(quotient) if quotient else np.zeros(1), np.stack(rest)


@_of_polynomials(np.polyder)
def _polyder(p: Any, m: int = 1) -> Any:
    order = operator.index(m)
    if order < 0:
        raise ValueError("Order of derivative must be positive (see polyint)")
    coefficients = _coefficients(p)
    for _ in range(order):
        coefficients = coefficients[:-1] * np.arange(len(coefficients) - 1, 0, -1)
    return coefficients


@_of_polynomials(np.polyint)
def _polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    order = operator.index(m)
    if order < 0:
        raise ValueError("Order of integral must be positive (see polyder)")
    constants = np.zeros(order) if k is None else _coefficients(k)
    if len(constants) == 1 and order > 1:
        constants = constants[0] * np.ones(order)
    if len(constants) < order:
        raise ValueError("k must be a scalar or a rank-1 array of length 1 or >m.")
    coefficients = _coefficients(p)
    for j in range(order):
        coefficients = np.concatenate([coefficients / np.arange(len(coefficients), 0, -1), constants[j : j + 1]])
    return coefficients


@by_numpy(np.polyval)
def _polyval(p: Any, x: Any) -> Any:
    if isinstance(x, np.poly1d):
        raise unsupported("np.polyval of an np.poly1d at another")
    coefficients, points = lifted(_coefficients(p), x)
    # from 0 on, as NumPy, which shows where x is infinite
    y = points * 0
    for k in range(len(coefficients)):
        y = y * points + coefficients[k]
    return y


@implements(np.roots)
def _roots(p: Any) -> Any:
    """Eigenvalues of the companion matrix, real ones, each of them simple."""
    coefficients = _coefficients(p)
    if coefficients.ndim != 1:
        raise ValueError("Input must be a rank-1 array.")
    if len(coefficients) < 2:
        return np.zeros(0)
    if coefficients[0] == 0 or coefficients[-1] == 0:
        # NumPy finds fewer roots, or zeros, and these move as soon as the coefficient does
        raise unsupported("np.roots of a polynomial whose first or last coefficient is 0")
    first = -coefficients[1:] / coefficients[0]
    below = np.eye(len(first))[:-1]
    return np.linalg.eigvals(np.concatenate([first.reshape(1, -1), below]))


# beyond it the sums below lose too many digits
_LARGEST_MATRIX = 8


@by_numpy(np.poly)
def _poly(seq_of_zeros: Any) -> Any:
    zeros = _coefficients(seq_of_zeros)
    if zeros.ndim == 2:
        return _characteristic_polynomial(zeros)
    coefficients: Any = np.ones(1)
    for k in range(len(zeros)):
        coefficients = np.convolve(coefficients, np.stack([1.0, -zeros[k]]))
    return coefficients


def _characteristic_polynomial(matrix: Any) -> Any:
    """By traces of products: U. Le Verrier, *Sur les variations séculaires*, 1840, as D. K. Faddeev arranged them."""
    n = len(matrix)
    if n > _LARGEST_MATRIX:
        raise unsupported(f"np.poly of a matrix with more than {_LARGEST_MATRIX} rows")
    coefficients: list[Any] = [1.0]
    product = matrix
    for k in range(1, n + 1):
        coefficients.append(-np.trace(product) / k)
        product = matrix @ (product + coefficients[-1] * np.eye(n))
    return np.stack(coefficients)


@by_numpy(np.polyfit)
def _polyfit(x: Any, y: Any, deg: int, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False) -> Any:
    x, y, w = lifted(x, y, w)
    if rcond is None:
        rcond = len(x) * np.finfo((x.value + 0.0).dtype).eps
    columns = [np.ones(len(x)), *(x**k for k in range(1, deg + 1))]
    matrix = np.stack(columns[::-1], axis=1)
    if w is not None:
        matrix, y = matrix * w[:, np.newaxis], (y.T * w).T
    scale = np.sqrt((matrix * matrix).sum(axis=0))
    matrix = matrix / scale
    solution, residuals, rank, singular_values = np.linalg.lstsq(matrix, y, rcond)
    solution = (solution.T / scale).T
    if full:
        return solution, residuals, rank, singular_values, rcond
    if not cov:
        return solution
    covariance = np.linalg.inv(matrix.T @ matrix) / np.outer(scale, scale)
    factor = 1 if cov == "unscaled" else residuals / (len(x) - deg - 1)
    return solution, covariance * factor if y.ndim == 1 else covariance[:, :, np.newaxis] * factor
