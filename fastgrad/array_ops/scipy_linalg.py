"""What SciPy's linear algebra has beyond NumPy's: triangular systems, LU, Sylvester's equation, functions of matrices.

SciPy is loaded by the first evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import ops
from fastgrad.array_ops.least_squares import matrix_rank
from fastgrad.array_ops.linalg import (
    as_matrices,
    each_matrix,
    poison,
    require_square,
    scipy_linalg,
    system_batch,
    total,
    triangles,
)
from fastgrad.array_ops.movement import concatenate, gather, scatter_add, slice_
from fastgrad.array_ops.products import matmul, transposed
from fastgrad.array_ops.table import ArrayOperation, Cotangents, Examples, Shape, array_operation, in_stacks, require
from fastgrad.errors import UnsupportedError

# ---- triangular systems; the attribute is (1 for the lower triangle, 1 for its transpose, 1 for ones on the diagonal)

Triangular = tuple[int, int, int]


def _triangular_shape(_: Triangular, a: Shape, b: Shape) -> Shape:
    require_square(a)
    require(len(a) == len(b) and a[:-1] == b[:-1], "the right side does not fit the matrix")
    return b


def _solve_triangular(attribute: Triangular, a: NDArray[Any], b: NDArray[Any]) -> Any:
    lower, turned, unit = map(bool, attribute)
    if b.size == 0:
        return np.zeros(b.shape)

    def one(a: NDArray[Any], b: NDArray[Any]) -> Any:
        return scipy_linalg().solve_triangular(a, b, int(turned), lower, unit, check_finite=False)

    return one(a, b) if a.ndim == 2 else each_matrix(one, b.shape, a, b)


def _of_triangle(attribute: Triangular, x: Any) -> Any:
    lower, _, unit = attribute
    diagonal = 0.0 if unit else 1.0
    return triangles(x, attribute=(1.0, diagonal, 0.0) if lower else (0.0, diagonal, 1.0))


def _triangular_vjp(attribute: Triangular, ct: Any, a: Any, b: Any, x: Any) -> Cotangents:
    lower, turned, unit = attribute
    of_b = solve_triangular(a, ct, attribute=(lower, 1 - turned, unit))
    product = matmul(x, transposed(-of_b)) if turned else matmul(-of_b, transposed(x))
    return _of_triangle(attribute, product), of_b


def _triangular_jvp(attribute: Triangular, tangents: Sequence[Any], a: Any, b: Any, x: Any) -> Any:
    of_a, of_b = tangents
    if of_a is not None:
        of_a = _of_triangle(attribute, of_a)
        of_a = -matmul(transposed(of_a) if attribute[1] else of_a, x)
    return solve_triangular(a, total([of_b, of_a]), attribute=attribute)


solve_triangular: ArrayOperation = array_operation(
    "solve_triangular",
    _triangular_shape,
    _solve_triangular,
    _triangular_vjp,
    _triangular_jvp,
    batch=lambda attribute, examples: system_batch(solve_triangular, attribute, examples),
)

# ---- LU: both factors in one matrix, and from where its rows come, as positions of all elements

LOWER, UPPER = (1, 0, 1), (0, 0, 0)
LOWER_TURNED, UPPER_TURNED = (1, 1, 1), (0, 1, 0)
STRICT_LOWER, UPPER_TRIANGLE = (1.0, 0.0, 0.0), (0.0, 1.0, 1.0)


def _lu(_: None, a: NDArray[Any]) -> Any:
    return each_matrix(lambda a: scipy_linalg().lu_factor(a, check_finite=False)[0], a.shape, a)


def _pivots(_: None, a: NDArray[Any]) -> Any:
    return each_matrix(lambda a: scipy_linalg().lu_factor(a, check_finite=False)[1], a.shape[:-1], a)


def _row_positions(n_columns: int, pivots: NDArray[Any]) -> Any:
    n = pivots.shape[-1]
    order = np.broadcast_to(np.arange(n), pivots.shape).copy()
    for index in np.ndindex(pivots.shape[:-1]):
        rows = order[index]
        for row, other in enumerate(pivots[index].astype(np.intp)):
            rows[[row, other]] = rows[[other, row]]
    first = np.arange(order.size // max(n, 1)).reshape(*pivots.shape[:-1], 1) * n
    return ((order + first) * n_columns)[..., None] + np.arange(n_columns)


def _lu_vjp(_: None, ct: Any, a: Any, r: Any) -> Cotangents:
    of_lower, of_upper = triangles(ct, attribute=STRICT_LOWER), triangles(ct, attribute=UPPER_TRIANGLE)
    lower, upper = triangles(r, attribute=STRICT_LOWER), triangles(r, attribute=UPPER_TRIANGLE)
    left = triangles(of_lower + matmul(transposed(lower), of_lower), attribute=STRICT_LOWER)
    right = triangles(matmul(of_upper, transposed(upper)), attribute=UPPER_TRIANGLE)
    of_rows = solve_triangular(r, left + right, attribute=LOWER_TURNED)
    of_rows = transposed(solve_triangular(r, transposed(of_rows), attribute=UPPER))
    return (scatter_add(of_rows, row_positions(lu_pivots(a), attribute=a.shape[-1]), attribute=a.shape),)


def _lu_jvp(_: None, tangents: Sequence[Any], a: Any, r: Any) -> Any:
    rows = gather(tangents[0], row_positions(lu_pivots(a), attribute=a.shape[-1]))
    lower, upper = triangles(r, attribute=STRICT_LOWER), triangles(r, attribute=UPPER_TRIANGLE)
    middle = solve_triangular(r, rows, attribute=LOWER)
    middle = transposed(solve_triangular(r, transposed(middle), attribute=UPPER_TURNED))
    left = triangles(middle, attribute=STRICT_LOWER)
    return left + matmul(lower, left) + matmul(triangles(middle, attribute=UPPER_TRIANGLE), upper)


lu: ArrayOperation = array_operation("lu", lambda _, a: require_square(a), _lu, _lu_vjp, _lu_jvp, batch=in_stacks)
lu_pivots: ArrayOperation = array_operation(
    "lu_pivots",
    lambda _, a: require_square(a)[:-1],
    _pivots,
    lambda *_: (None,),
    piecewise_constant=True,
    batch=in_stacks,
)


def _row_positions_batch(n_columns: int, examples: Examples) -> Any:
    return examples.back(examples.apply(n_columns), math.prod(examples.shapes[0]) * n_columns)


# from pivots (row k was exchanged with row pivots[k]), for matrices with as many columns as the attribute says
row_positions: ArrayOperation = array_operation(
    "row_positions",
    lambda n_columns, pivots: (*pivots, n_columns),
    _row_positions,
    lambda *_: (None,),
    piecewise_constant=True,
    batch=_row_positions_batch,
)

# ---- Sylvester's equation a x + x b = q


def _sylvester_shape(_: None, a: Shape, b: Shape, q: Shape) -> Shape:
    require(len(require_square(a)) == len(require_square(b)) == len(q) and a[:-2] == b[:-2] == q[:-2], "axes differ")
    require(q[-2:] == (a[-1], b[-1]), "the right side does not fit the matrices")
    return q


def _sylvester(_: None, a: NDArray[Any], b: NDArray[Any], q: NDArray[Any]) -> Any:
    return each_matrix(scipy_linalg().solve_sylvester, q.shape, a, b, q)


def _sylvester_vjp(_: None, ct: Any, a: Any, b: Any, q: Any, x: Any) -> Cotangents:
    of_q = sylvester(transposed(a), transposed(b), ct)
    return matmul(-of_q, transposed(x)), matmul(transposed(x), -of_q), of_q


def _sylvester_jvp(_: None, tangents: Sequence[Any], a: Any, b: Any, q: Any, x: Any) -> Any:
    of_a, of_b, of_q = tangents
    parts = [
        of_q,
        None if of_a is None else -matmul(of_a, x),
        None if of_b is None else -matmul(x, of_b),
    ]
    return sylvester(a, b, total(parts))


sylvester: ArrayOperation = array_operation(
    "sylvester", _sylvester_shape, _sylvester, _sylvester_vjp, _sylvester_jvp, batch=in_stacks
)

# ---- functions of matrices; the attribute is SciPy's name
#
# f([[a, e], [0, a]]) = [[f(a), d], [0, f(a)]] where d is the derivative of f at a along e (N. J. Higham, *Functions of
# Matrices*, 2008, theorem 3.6), so each order of derivatives is the function itself on matrices of twice the size.

SMOOTH = ("expm", "cosm", "sinm", "coshm", "sinhm", "tanm", "tanhm", "logm", "sqrtm")


# these estimate norms with random vectors
DRAWING = ("logm", "fractional_matrix_power")


@contextmanager
def random_numbers_put_back() -> Iterator[None]:
    """A time after which NumPy's global generator goes on as if nothing had been drawn."""
    state = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _function_shape(name: str, a: Shape) -> Shape:
    require(name in SMOOTH, "no such function of matrices")
    return require_square(a)


def _matrix_function(name: str, a: NDArray[Any]) -> Any:
    function = getattr(scipy_linalg(), name)

    def one(a: NDArray[Any]) -> Any:
        result = np.asarray(function(a))
        if np.iscomplexobj(result):
            if np.any(result.imag != 0.0):
                raise UnsupportedError(
                    f"scipy.linalg.{name} of a matrix is complex (it has eigenvalues that are negative or zero), and "
                    "complex numbers are not differentiated. Keep the eigenvalues positive."
                )
            result = result.real
        return result

    if name == "expm":
        return np.asarray(function(a))
    with random_numbers_put_back() if name in DRAWING else nullcontext():
        return each_matrix(one, a.shape, a)


def slope(name: str, a: Any, e: Any) -> Any:
    """The derivative of the function at ``a`` along ``e``."""
    n, axis = a.shape[-1], len(a.shape) - 1
    above = concatenate(a, e, attribute=axis)
    below = concatenate(e * 0.0, a, attribute=axis)
    both = matrix_function(concatenate(above, below, attribute=axis - 1), attribute=name)
    leading = tuple((0, length, 1) for length in a.shape[:-2])
    found = slice_(both, attribute=(*leading, (0, n, 1), (n, n, 1)))
    if name not in ("logm", "sqrtm"):
        return found
    # at a singular matrix they have no derivative
    rank = as_matrices(matrix_rank(a, 0.0, attribute=("", 0)))
    return found + poison(ops.less(rank, float(n)), e)


matrix_function: ArrayOperation = array_operation(
    "matrix_function",
    _function_shape,
    _matrix_function,
    lambda name, ct, a, r: (slope(name, transposed(a), ct),),
    lambda name, tangents, a, r: slope(name, a, tangents[0]),
    batch=in_stacks,
)
