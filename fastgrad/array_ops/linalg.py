"""Linear systems, inverses and determinants of the matrices in the last two axes, with equal leading axes throughout.

Values are NumPy's. A derivative that asks for more than the value (the inverse behind a determinant, a solution with
the transposed matrix) must not raise where the value exists: there singular matrices give NaN or zeros, as the
attribute says, and rules multiply them strictly (``zero_product``) or add NaN where they count (``poison``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from fastgrad import ops
from fastgrad.array_ops.movement import reshape
from fastgrad.array_ops.products import matmul, transposed, with_shared_matrix
from fastgrad.array_ops.reductions import sum_
from fastgrad.array_ops.routines import into, routine, written
from fastgrad.array_ops.table import ArrayOperation, Cotangents, Examples, Shape, array_operation, in_stacks, require

NAN = float("nan")
EPS = float(np.finfo(np.float64).eps)
# what a singular matrix gives instead of an exception
SINGULAR_IS_NAN, SINGULAR_IS_ZERO = "nan", "zero"


# ---- what rules share


def sum_of_matrix(x: Any) -> Any:
    """The sum over each matrix, with axes of length 1 in their place."""
    n = len(x.shape)
    return reshape(sum_(x, attribute=(n - 2, n - 1)), attribute=(*x.shape[:-2], 1, 1))


def as_matrices(x: Any) -> Any:
    """Numbers as matrices with one element."""
    return reshape(x, attribute=(*x.shape, 1, 1))


def poison(flags: Any, x: Any) -> Any:
    """0 for each matrix; NaN where an element of ``x`` that is flagged (None: any) is not 0: it has no derivative."""
    return sum_of_matrix(ops.zero_product(NAN if flags is None else ops.where(flags, NAN, 0.0), x))


def present(x: Any) -> Any:
    """A cotangent, or None where it is known to be zero, as for a part of a result that nothing depends on."""
    return None if x.is_zero else x


def total(parts: Sequence[Any]) -> Any:
    """The sum of the parts that are there; None if none is."""
    found = [part for part in parts if part is not None]
    if not found:
        return None
    result = found[0]
    for part in found[1:]:
        result = result + part
    return result


def scipy_linalg() -> Any:
    """``scipy.linalg``, loaded by the first evaluation."""
    return import_module("scipy.linalg")


def require_square(shape: Shape) -> Shape:
    require(len(shape) >= 2 and shape[-1] == shape[-2], "the matrix must be square")
    return shape


def each_matrix(function: Callable[..., Any], shape: Shape, *stacks: Any) -> NDArray[np.float64]:
    """A function of single matrices over the leading axes; ``shape`` is that of the whole result."""
    result = np.empty(shape)
    for index in np.ndindex(stacks[0].shape[:-2]):
        result[index] = function(*(stack[index] for stack in stacks))
    return result


def room(shape: Shape, package: str, a: NDArray[Any]) -> NDArray[Any]:
    """An array for a factorization, which NumPy does in the matrices' own precision."""
    return np.empty(shape, a.dtype if package != "scipy" and a.dtype.kind == "f" else np.float64)


def parts_of(packed: NDArray[Any], shapes: tuple[Shape, ...]) -> list[NDArray[Any]]:
    """Views of several arrays for each matrix that follow one another on the last axis."""
    # the axis is split, which takes no copy
    return [packed[stretch].reshape(shape) for stretch, shape in _stretches(packed.ndim - 1, shapes)]


@lru_cache(maxsize=64)
def _stretches(leading: int, shapes: tuple[Shape, ...]) -> list[tuple[Any, Shape]]:
    stops = list(accumulate(math.prod(shape[leading:]) for shape in shapes))
    stretches = [slice(start, stop) for start, stop in zip([0, *stops], stops, strict=False)]
    return list(zip(stretches if leading == 0 else [(..., stretch) for stretch in stretches], shapes, strict=True))


def write_parts(out: NDArray[Any], parts: Sequence[NDArray[Any]]) -> None:
    """Several arrays for each matrix, one after the other on the last axis."""
    for target, part in zip(parts_of(out, tuple(part.shape for part in parts)), parts, strict=True):
        target[...] = part


# ---- triangles

Weights = tuple[float, float, float]


@lru_cache(maxsize=64)
def _weights(m: int, n: int, weights: Weights) -> NDArray[np.float64]:
    lower, diagonal, upper = weights
    below = np.subtract.outer(np.arange(m), np.arange(n))
    return np.where(below > 0, lower, np.where(below == 0, diagonal, upper))


def _factors(weights: Weights, of: Shape) -> NDArray[np.float64]:
    return _weights(of[-2], of[-1], weights)


def _triangles(weights: Weights, x: NDArray[Any]) -> Any:
    factors = _factors(weights, x.shape)
    # what is left out is 0, also where it was infinite
    return np.multiply(x, factors, out=np.zeros(x.shape), where=factors != 0.0)


# each matrix with its lower triangle, its diagonal and its upper triangle times a number each
triangles: ArrayOperation = array_operation(
    "triangles",
    lambda _, of: of,
    _triangles,
    lambda weights, ct, x, r: (triangles(ct, attribute=weights),),
    factors=_factors,
    batch=in_stacks,
)


def mirrored(x: Any, triangle: str) -> Any:
    """The symmetric matrix that a function takes from one triangle, "L" or "U"."""
    half = triangles(x, attribute=(1.0, 0.5, 0.0) if triangle == "L" else (0.0, 0.5, 1.0))
    return half + transposed(half)


def folded(x: Any, triangle: str) -> Any:
    """The adjoint of ``mirrored``."""
    return triangles(x + transposed(x), attribute=(1.0, 0.5, 0.0) if triangle == "L" else (0.0, 0.5, 1.0))


def folded_symmetric(x: Any, triangle: str) -> Any:
    """The same for a matrix that is symmetric but for rounding."""
    return triangles(x, attribute=(2.0, 1.0, 0.0) if triangle == "L" else (0.0, 1.0, 2.0))


# ---- systems and inverses


def _solve_shape(_: str | None, a: Shape, b: Shape) -> Shape:
    require_square(a)
    require(len(a) == len(b) and a[:-1] == b[:-1], "the right side does not fit the matrix")
    return b


def _solve(singular: str | None, a: NDArray[Any], b: NDArray[Any]) -> Any:
    try:
        return np.linalg.solve(a, b)
    except LinAlgError:
        if singular is None:
            raise

    def one(a: NDArray[Any], b: NDArray[Any]) -> Any:
        try:
            return np.linalg.solve(a, b)
        except LinAlgError:
            return NAN

    return each_matrix(one, b.shape, a, b)


def _solve_vjp(_: str | None, ct: Any, a: Any, b: Any, x: Any) -> Cotangents:
    of_b = solve(transposed(a), ct, attribute=SINGULAR_IS_NAN)
    return matmul(-of_b, transposed(x)), of_b


def _solve_jvp(_: str | None, tangents: Sequence[Any], a: Any, b: Any, x: Any) -> Any:
    of_a, of_b = tangents
    right = total([of_b, None if of_a is None else -matmul(of_a, x)])
    return solve(a, right, attribute=SINGULAR_IS_NAN)


def system_batch(operation: ArrayOperation, attribute: Any, examples: Examples) -> Any:
    """The ``batch`` of linear systems: a matrix that all examples share is factored once."""
    if examples.varies[0] or examples.n == 0:
        return examples.apply(attribute)
    return with_shared_matrix(operation, attribute, examples)


solve: ArrayOperation = array_operation(
    "solve",
    _solve_shape,
    _solve,
    _solve_vjp,
    _solve_jvp,
    into=into("solve", _solve),
    batch=lambda singular, examples: system_batch(solve, singular, examples),
)


def _inv(singular: str | None, a: NDArray[Any]) -> Any:
    try:
        return np.linalg.inv(a)
    except LinAlgError:
        if singular is None:
            raise

    def one(a: NDArray[Any]) -> Any:
        try:
            return np.linalg.inv(a)
        except LinAlgError:
            return NAN if singular == SINGULAR_IS_NAN else 0.0

    return each_matrix(one, a.shape, a)


def _inv_jvp(_: str | None, tangents: Sequence[Any], a: Any, r: Any) -> Any:
    return matmul(matmul(-r, tangents[0]), r)


def _inv_vjp(_: str | None, ct: Any, a: Any, r: Any) -> Cotangents:
    return (matmul(matmul(transposed(r), -ct), transposed(r)),)


inv: ArrayOperation = array_operation(
    "inv",
    lambda _, a: require_square(a),
    _inv,
    _inv_vjp,
    _inv_jvp,
    into=into("inv", _inv),
    batch=in_stacks,
)


# ---- determinants
#
# The gradient of a determinant is the matrix of cofactors, which exists for singular matrices too. Their derivative
# along m is again a polynomial in the matrix, ``cofactor_slope``. Both come from the inverse where that is accurate,
# else from the singular values (G. W. Stewart, *On the adjugate matrix*, Linear Algebra and its Applications 283,
# 1998). What is left, third derivatives of a determinant, is NaN at a singular matrix.


def _regular_inverse(a: NDArray[Any], determinant: Any) -> Any:
    """The inverses, if all the matrices are far from singular, else None."""
    try:
        inverse = np.linalg.inv(a)
    except LinAlgError:
        return None
    if a.ndim == 2:
        fits = _is_regular(a, inverse, determinant)
    else:
        with np.errstate(invalid="ignore", over="ignore"):
            conditions = np.sum(np.square(a), (-2, -1)) * np.sum(np.square(inverse), (-2, -1))
        size = np.abs(determinant)
        fits = bool(np.all((conditions < 1e16) & (size > 1e-280) & (size < 1e280)))
    return inverse if fits else None


def _is_regular(a: NDArray[Any], inverse: NDArray[Any], determinant: Any) -> bool:
    """The same for a single matrix, by a few quick calls; it may be transposed in its inverse."""
    condition = float(np.vdot(a, a)) * float(np.vdot(inverse, inverse))
    return condition < 1e16 and 1e-280 < abs(float(determinant)) < 1e280


def _products_of_others(s: NDArray[Any]) -> NDArray[Any]:
    """For each number the product of all others, along the last axis."""
    one = np.ones_like(s[..., :1])
    before = np.cumprod(np.concatenate([one, s[..., :-1]], -1), -1)
    after = np.cumprod(np.concatenate([one, s[..., :0:-1]], -1), -1)[..., ::-1]
    return np.asarray(before * after)


def _orientation(u: NDArray[Any], vt: NDArray[Any]) -> float:
    """1 or -1: the determinant of an orthogonal matrix times that of another."""
    return float(np.rint(np.linalg.det(u) * np.linalg.det(vt)))


def _cofactor_of_one(a: NDArray[Any]) -> Any:
    if not np.isfinite(a).all():
        return NAN
    u, s, vt = np.linalg.svd(a)
    return (_orientation(u, vt) * u * _products_of_others(s)) @ vt


def _cofactor(_: None, a: NDArray[Any], determinant: Any) -> Any:
    if a.shape[-1] == 0:
        return np.zeros(a.shape)
    inverse = _regular_inverse(a, determinant)
    if inverse is None:
        return each_matrix(_cofactor_of_one, a.shape, a)
    return np.multiply(inverse.mT, np.asarray(determinant)[..., None, None])


_INVERSE = routine("inv")


def _cofactor_into(_: None, out: NDArray[Any], a: NDArray[Any], determinant: NDArray[Any]) -> None:
    if a.ndim == 2 and written(_INVERSE, out.mT, a) and _is_regular(a, out, determinant):
        np.multiply(out, determinant, out=out)
    else:
        out[...] = _cofactor(None, a, determinant)


def cofactors(a: Any) -> Any:
    return cofactor(a, det(a))


def _cofactor_slope_of_one(a: NDArray[Any], m: NDArray[Any]) -> Any:
    if not np.isfinite(a).all():
        return NAN
    u, s, vt = np.linalg.svd(a)
    turned = u.T @ m @ vt.T
    result = np.empty_like(turned)
    for i in range(len(s)):
        others = s.copy()
        others[i] = 1.0
        pairs = _products_of_others(others)
        pairs[i] = 0.0
        result[i] = -turned[:, i] * pairs
        result[i, i] = pairs @ np.diagonal(turned)
    return _orientation(u, vt) * (u @ result @ vt)


def _cofactor_slope(_: None, a: NDArray[Any], m: NDArray[Any]) -> Any:
    if a.shape[-1] == 0:
        return np.zeros(a.shape)
    determinant = np.linalg.det(a)
    inverse = _regular_inverse(a, determinant)
    if inverse is None:
        return each_matrix(_cofactor_slope_of_one, a.shape, a, m)
    w = np.swapaxes(inverse, -1, -2)
    along = np.sum(w * m, (-2, -1))[..., None, None]
    return determinant[..., None, None] * (along * w - w @ np.swapaxes(m, -1, -2) @ w)


def _far_from_singular(_: None, a: NDArray[Any]) -> Any:
    def one(a: NDArray[Any]) -> float:
        return float(_regular_inverse(a, np.linalg.det(a)) is not None)

    return each_matrix(one, a.shape[:-2], a)


def _determinant_vjp(_: None, ct: Any, a: Any, r: Any) -> Cotangents:
    return (ops.zero_product(as_matrices(ct), cofactors(a)),)


def _determinant_jvp(_: None, tangents: Sequence[Any], a: Any, r: Any) -> Any:
    n = len(a.shape)
    return sum_(ops.zero_product(tangents[0], cofactors(a)), attribute=(n - 2, n - 1))


def _slope_vjp(_: None, ct: Any, a: Any, m: Any, r: Any) -> Cotangents:
    # the slope is (<c, m> c - c m' c) / det with the cofactors c; the determinant divides only where it may
    c, size = cofactors(a), as_matrices(det(a))
    along_m, along_ct = sum_of_matrix(c * m), sum_of_matrix(c * ct)
    turned = matmul(ct, matmul(transposed(c), m)) + matmul(m, matmul(transposed(c), ct))
    of_c = (m * along_ct + ct * along_m - turned) / size
    of_a = cofactor_slope(a, of_c) - c * (sum_of_matrix(ct * r) / size)
    return of_a + poison(_no_third_derivative(a), ct), cofactor_slope(a, ct)


def _slope_jvp(_: None, tangents: Sequence[Any], a: Any, m: Any, r: Any) -> Any:
    of_a, of_m = tangents
    parts = [None if of_m is None else cofactor_slope(a, of_m)]
    if of_a is not None:
        c, size = cofactors(a), as_matrices(det(a))
        moved = cofactor_slope(a, of_a)
        turned = matmul(moved, matmul(transposed(m), c)) + matmul(c, matmul(transposed(m), moved))
        numerator = sum_of_matrix(moved * m) * c + sum_of_matrix(c * m) * moved - turned
        parts.append((numerator - r * sum_of_matrix(c * of_a)) / size + poison(_no_third_derivative(a), of_a))
    return total(parts)


def _no_third_derivative(a: Any) -> Any:
    return ops.equal(as_matrices(far_from_singular(a)), 0.0)


def _slope_shape(_: None, a: Shape, m: Shape) -> Shape:
    require(a == m, "the direction must have the shape of the matrix")
    return require_square(a)


def _number_shape(_: Any, a: Shape) -> Shape:
    return require_square(a)[:-2]


def _det(_: None, a: NDArray[Any]) -> Any:
    return np.linalg.det(a)


det: ArrayOperation = array_operation(
    "det", _number_shape, _det, _determinant_vjp, _determinant_jvp, into=into("det", _det), batch=in_stacks
)
# of a matrix and its determinant, whose own derivative is part of the matrix's
cofactor: ArrayOperation = array_operation(
    "cofactor",
    lambda _, a, determinant: require_square(a),
    _cofactor,
    lambda _, ct, a, determinant, r: (cofactor_slope(a, ct), None),
    lambda _, tangents, a, determinant, r: cofactor_slope(a, tangents[0]),
    into=_cofactor_into,
    batch=in_stacks,
)
cofactor_slope: ArrayOperation = array_operation(
    "cofactor_slope", _slope_shape, _cofactor_slope, _slope_vjp, _slope_jvp, batch=in_stacks
)
far_from_singular: ArrayOperation = array_operation(
    "far_from_singular", _number_shape, _far_from_singular, lambda *_: (None,), piecewise_constant=True, batch=in_stacks
)
det_sign: ArrayOperation = array_operation(
    "det_sign",
    _number_shape,
    lambda _, a: np.linalg.slogdet(a)[0],
    lambda *_: (None,),
    piecewise_constant=True,
    batch=in_stacks,
)


def _log_vjp(_: None, ct: Any, a: Any, r: Any) -> Cotangents:
    return (ops.zero_product(as_matrices(ct), transposed(inv(a, attribute=SINGULAR_IS_NAN))),)


def _log_jvp(_: None, tangents: Sequence[Any], a: Any, r: Any) -> Any:
    n = len(a.shape)
    inverse = transposed(inv(a, attribute=SINGULAR_IS_NAN))
    return sum_(ops.zero_product(tangents[0], inverse), attribute=(n - 2, n - 1))


_SIGN_AND_LOG = routine("slogdet")


def _log(_: None, a: NDArray[Any]) -> Any:
    return np.linalg.slogdet(a)[1]


def _log_into(_: None, out: NDArray[Any], a: NDArray[Any]) -> None:
    if not written(_SIGN_AND_LOG, (np.empty(out.shape), out), a):
        out[...] = _log(None, a)


log_abs_det: ArrayOperation = array_operation(
    "log_abs_det", _number_shape, _log, _log_vjp, _log_jvp, into=_log_into, batch=in_stacks
)
