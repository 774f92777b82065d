"""NumPy's functions and methods on recorded values: the values NumPy gives, and their derivatives."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check

RANDOM = np.random.default_rng(7)


def normal(*shape: int) -> Any:
    return RANDOM.standard_normal(shape)


def positive(*shape: int) -> Any:
    return RANDOM.uniform(0.5, 2.0, shape)


def layouts(*shape: int) -> dict[str, Any]:
    """The same shape in every way that memory can be walked through."""
    doubled = normal(*(2 * length for length in shape))
    return {
        "C": normal(*shape),
        "F": np.asfortranarray(normal(*shape)),
        "strided": doubled[tuple(slice(None, None, 2) for _ in shape)],
        "reversed": normal(*shape)[tuple(slice(None, None, -1) for _ in shape)],
        "transposed": normal(*shape[::-1]).T,
    }


# each function and method, called in every way that takes another path through it
CALLS: dict[str, tuple[Any, ...]] = {
    # shapes
    "reshape": (lambda x: np.reshape(x, (4, -1)), normal(2, 6)),
    "reshape F": (lambda x: np.reshape(x, (4, 3), order="F"), normal(2, 6)),
    "reshape method": (lambda x: x.reshape(3, 4), normal(2, 6)),
    "reshape method tuple": (lambda x: x.reshape((12,)), normal(2, 6)),
    "ravel": (lambda x: np.ravel(x), normal(2, 3)),
    "ravel F": (lambda x: x.ravel("F"), normal(2, 3)),
    "flatten": (lambda x: x.flatten(), normal(2, 3)),
    "transpose": (lambda x: np.transpose(x), normal(2, 3, 4)),
    "transpose axes": (lambda x: np.transpose(x, (1, -1, 0)), normal(2, 3, 4)),
    "transpose method": (lambda x: x.transpose(2, 0, 1), normal(2, 3, 4)),
    "transpose method tuple": (lambda x: x.transpose((1, 0)), normal(2, 3)),
    "T": (lambda x: x.T, normal(2, 3)),
    "mT": (lambda x: x.mT, normal(2, 3, 4)),
    "permute_dims": (lambda x: np.permute_dims(x, (1, 0)), normal(2, 3)),
    "matrix_transpose": (lambda x: np.matrix_transpose(x), normal(2, 3, 4)),
    "swapaxes": (lambda x: np.swapaxes(x, 0, -1), normal(2, 3, 4)),
    "swapaxes method": (lambda x: x.swapaxes(0, 1), normal(2, 3, 4)),
    "moveaxis": (lambda x: np.moveaxis(x, (0, 1), (-1, 0)), normal(2, 3, 4)),
    "expand_dims": (lambda x: np.expand_dims(x, (0, -1)), normal(2, 3)),
    "squeeze": (lambda x: np.squeeze(x), normal(1, 3, 1)),
    "squeeze axis": (lambda x: x.squeeze(axis=0), normal(1, 3, 1)),
    "atleast_1d": (lambda x: np.atleast_1d(x), normal()),
    "atleast_1d many": (lambda x, y: np.atleast_1d(x, y), normal(), normal(2)),
    "broadcast_to": (lambda x: np.broadcast_to(x, (4, 2, 3)), normal(2, 1)),
    "broadcast_to number": (lambda x: np.broadcast_to(x, 3), normal()),
    "flip": (lambda x: np.flip(x), normal(2, 3)),
    "flip axis": (lambda x: np.flip(x, -1), normal(2, 3)),
    "concatenate": (lambda x, y: np.concatenate([x, y, x]), normal(2, 3), normal(1, 3)),
    "concat": (lambda x, y: np.concat([x, y]), normal(2, 3), normal(1, 3)),
    "concatenate axis": (lambda x, y: np.concatenate((x, y), axis=-1), normal(2, 3), normal(2, 1)),
    "concatenate none": (lambda x, y: np.concatenate((x, y), axis=None), normal(2, 3), normal(1)),
    "concatenate plain": (lambda x: np.concatenate([[1.0, 2.0], x]), normal(3)),
    "concatenate one": (lambda x: np.concatenate([x]), normal(3)),
    "stack": (lambda x, y: np.stack([x, y], axis=-1), normal(2, 3), normal(2, 3)),
    "stack numbers": (lambda x: np.stack([x[0], 2.0, x[1] * x[0]]), normal(2)),
    "vstack": (lambda x, y: np.vstack([x, y]), normal(3), normal(2, 3)),
    "hstack": (lambda x, y: np.hstack([x, y]), normal(2, 3), normal(2, 1)),
    "hstack numbers": (lambda x: np.hstack([x, 1.0, x]), normal()),
    "column_stack": (lambda x, y: np.column_stack([x, y]), normal(3), normal(3, 2)),
    "split": (lambda x: np.split(x, 3), normal(6, 2)),
    "split at": (lambda x: np.split(x, [1, 4], axis=1), normal(2, 6)),
    "array_split": (lambda x: np.array_split(x, 4), normal(6)),
    "take": (lambda x: np.take(x, [2, 0, 0, -1]), normal(2, 3)),
    "take axis": (lambda x: x.take([[2, 0], [0, -1]], axis=1), normal(2, 3)),
    "diagonal": (lambda x: np.diagonal(x, 1), normal(3, 4)),
    "diagonal method": (lambda x: x.diagonal(0, 1, 2), normal(2, 3, 3)),
    "trace": (lambda x: np.trace(x), normal(3, 4)),
    "trace method": (lambda x: x.trace(1), normal(3, 4)),
    "roll": (lambda x: np.roll(x, 2), normal(2, 3)),
    "roll axis": (lambda x: np.roll(x, (1, -1), (0, 1)), normal(2, 3)),
    "repeat": (lambda x: np.repeat(x, 3), normal(2, 2)),
    "repeat each": (lambda x: x.repeat([0, 2, 1], axis=1), normal(2, 3)),
    "tile": (lambda x: np.tile(x, (2, 2)), normal(2, 3)),
    "copy": (lambda x: np.copy(x) * x.copy(), normal(3)),
    "real": (lambda x: np.real(x) + x.real + x.conj() + x.conjugate(), normal(3)),
    "tolist": (lambda x: x.tolist(), normal(2, 2)),
    "flat": (lambda x: sum(v * v for v in x.flat), normal(2, 2)),
    "iteration": (lambda x: [row @ row for row in x], normal(2, 3)),
    # reductions
    "sum": (lambda x: np.sum(x), normal(2, 3)),
    "sum axes": (lambda x: np.sum(x, axis=(0, -1), keepdims=True), normal(2, 3, 4)),
    "sum no axes": (lambda x: np.sum(x, axis=()), normal(2, 3)),
    "sum method": (lambda x: x.sum(1), normal(2, 3)),
    "sum of number": (lambda x: np.sum(x), normal()),
    "sum of list": (lambda x: np.sum([x[0], x[1] * 2.0, 3.0]), normal(2)),
    "add.reduce": (lambda x: np.add.reduce(x), normal(2, 3)),
    "add.accumulate": (lambda x: np.add.accumulate(x, axis=1), normal(2, 3)),
    "mean": (lambda x: np.mean(x, axis=1), normal(2, 3)),
    "mean method": (lambda x: x.mean(), normal(2, 3)),
    "mean keepdims": (lambda x: x.mean((0, 1), keepdims=True), normal(2, 3, 2)),
    "prod": (lambda x: np.prod(x), normal(2, 3)),
    "prod axis": (lambda x: x.prod(axis=1, keepdims=True), normal(2, 5)),
    "multiply.reduce": (lambda x: np.multiply.reduce(x, axis=-1), normal(2, 3)),
    "var": (lambda x: np.var(x, axis=0, ddof=1), normal(4, 2)),
    "var method": (lambda x: x.var(), normal(4, 2)),
    "var correction": (lambda x: np.var(x, correction=1, keepdims=True), normal(4)),
    "std": (lambda x: np.std(x, 1), normal(2, 4)),
    "std method": (lambda x: x.std(), normal(2, 4)),
    "max": (lambda x: np.max(x, axis=0), normal(3, 4)),
    "max keepdims": (lambda x: x.max(axis=(0, 1), keepdims=True), normal(3, 4)),
    "amin": (lambda x: np.amin(x), normal(3, 4)),
    "min method": (lambda x: x.min(1), normal(3, 4)),
    "maximum.reduce": (lambda x: np.maximum.reduce(x) - np.minimum.reduce(x), normal(3, 4)),
    "cumsum": (lambda x: np.cumsum(x), normal(2, 3)),
    "cumsum axis": (lambda x: x.cumsum(-2), normal(2, 3)),
    "diff": (lambda x: np.diff(x), normal(2, 4)),
    "diff twice": (lambda x: np.diff(x, n=2, axis=0), normal(4, 2)),
    "diff ends": (lambda x: np.diff(x, prepend=0.0, append=x[:, :1]), normal(2, 3)),
    "norm": (lambda x: np.linalg.norm(x), normal(3)),
    "norm matrix": (lambda x: np.linalg.norm(x, "fro"), normal(3, 2)),
    "norm axis": (lambda x: np.linalg.norm(x, axis=-1, keepdims=True), normal(3, 2)),
    # products
    "dot vectors": (lambda x, y: np.dot(x, y), normal(3), normal(3)),
    "dot matrix": (lambda x, y: x.dot(y), normal(2, 3), normal(3, 2)),
    "dot number": (lambda x, y: np.dot(x, y), normal(), normal(3, 2)),
    "dot vector and stack": (lambda x, y: np.dot(x, y), normal(3), normal(2, 3, 4)),
    "dot stacks": (lambda x, y: np.dot(x, y), normal(2, 3), normal(4, 3, 2)),
    "vdot": (lambda x, y: np.vdot(x, y), normal(2, 3), normal(2, 3)),
    "inner": (lambda x, y: np.inner(x, y), normal(2, 3), normal(4, 3)),
    "inner number": (lambda x, y: np.inner(x, y), normal(), normal(4)),
    "outer": (lambda x, y: np.outer(x, y), normal(2, 2), normal(3)),
    "multiply.outer": (lambda x, y: np.multiply.outer(x, y), normal(2, 2), normal(3)),
    "subtract.outer": (lambda x, y: np.subtract.outer(x, y), normal(2), normal(3)),
    "tensordot": (lambda x, y: np.tensordot(x, y), normal(2, 3, 4), normal(3, 4, 2)),
    "tensordot axes": (lambda x, y: np.tensordot(x, y, ((0, 2), (1, 0))), normal(2, 3, 4), normal(4, 2)),
    "tensordot 0": (lambda x, y: np.tensordot(x, y, 0), normal(2), normal(3)),
    "matmul vectors": (lambda x, y: x @ y, normal(3), normal(3)),
    "matmul vector matrix": (lambda x, y: np.matmul(x, y), normal(3), normal(3, 2)),
    "matmul matrix vector": (lambda x, y: x @ y, normal(2, 3), normal(3)),
    "matmul stacks": (lambda x, y: x @ y, normal(4, 1, 2, 3), normal(5, 3, 2)),
    "matmul plain left": (lambda x: np.arange(6.0).reshape(2, 3) @ x, normal(3)),
    "matmul plain right": (lambda x: x @ np.arange(6.0).reshape(2, 3), normal(2)),
    # choices and steps
    "where": (lambda x, y: np.where(x > 0, x * y, y), normal(4), normal(4)),
    "where broadcast": (lambda x: np.where([[True], [False]], x, 2.0), normal(3)),
    "clip": (lambda x: np.clip(x, -0.5, 0.5), normal(5)),
    "clip arrays": (lambda x, y: np.clip(x, y - 1.0, np.full(4, 0.7)), normal(4), normal(4)),
    "clip one side": (lambda x: np.clip(x, None, 0.3) + x.clip(min=-0.2), normal(5)),
    "clip nothing": (lambda x: np.clip(x, None, None), normal(5)),
    "round": (lambda x: np.round(x, 1) * x + x.round() + np.around(10 * x, -1), normal(5)),
    "fix": (lambda x: np.fix(3 * x) * x, normal(5)),
    "divmod": (lambda x, y: divmod(x, y), positive(4), positive(4)),
    "np.divmod": (lambda x, y: np.divmod(x, y), positive(4), positive(4)),
    "deg2rad": (lambda x: np.deg2rad(x) + np.radians(x) + np.rad2deg(x) + np.degrees(x), normal(3)),
    "logaddexp2": (lambda x, y: np.logaddexp2(x, y) + np.logaddexp2(x, 1.0), normal(3), normal(3)),
    "full_like": (lambda x: np.full_like(x, x[0]) + np.full_like(x, 2.0), normal(3)),
    "ones_like": (lambda x: np.ones_like(x) * x + np.zeros_like(x) + np.empty_like(x).shape[0], normal(3)),
    "questions": (lambda x: x * np.size(x) * np.ndim(x) * np.shape(x)[1] * np.size(x, 0), normal(2, 3)),
    "kinds": (lambda x: x * (np.isrealobj(x) + np.iscomplexobj(x)), normal(2)),
    "any": (lambda x: x * np.any(x > 0) * (x > -9).all() * np.all(x) * (x > 0).any(axis=0), normal(4)),
    "astype": (
        lambda x: x.astype(float) + x.astype("float64") + (x > 0).astype(int) + (x > 0).astype(float),
        normal(4),
    ),
    "counting": (lambda x: x * (x > 0).sum() + x * np.count_nonzero([1, 0]), normal(4)),
    "powers": (lambda x: x**2 + x**3 + x**-1.0 + x**0.5 + x**1 + x**0 + 2.0**x + x**x, positive(4)),
    "powers of number": (lambda x: x**2 + x**3 + x**-1.0 + x**0.5 + x**1 + x**0 + 2.0**x + x**x, positive()),
    "logic": (lambda x: x * ((x > 0) & (x < 1) | ~(x > -1) ^ (x == 0)), normal(6)),
    "in place": (lambda x: in_place(x), normal(3)),
}


def in_place(x: Any) -> Any:
    total = 0.0
    for k in range(3):
        total += x * k
    total *= 2.0
    total -= x[0]
    total /= 3.0
    return total


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    function, *args = CALLS[name]
    check(function, *args)


ELEMENTWISE = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / (y + 5.0),
    "maximum": np.maximum,
    "arctan2": np.arctan2,
    "hypot": np.hypot,
}
SHAPES = [((3,), (2, 3)), ((2, 1), (1, 3)), ((), (2, 3)), ((2, 3), ()), ((4, 1, 2), (3, 1)), ((), ()), ((0,), (1,))]


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_broadcasting_both_ways(name, left, right):
    check(ELEMENTWISE[name], normal(*left), normal(*right))


@pytest.mark.parametrize("layout", layouts(2, 3))
@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sum(np.sin(x) * x, axis=0),
        lambda x: x.T @ x,
        lambda x: x[::-1, 1:] * x[:, :-1],
        lambda x: np.cumsum(x, axis=1) - x.ravel("F").reshape(2, 3),
    ],
)
def test_layouts_of_memory(layout, function):
    check(function, layouts(2, 3)[layout])


@pytest.mark.parametrize("layout", layouts(3, 2))
def test_captured_arrays_of_any_layout(layout):
    captured = layouts(3, 2)[layout]
    check(lambda x: x @ captured + captured.sum() * x[:2] + captured[1], normal(3))


@pytest.mark.parametrize(
    "function",
    [
        np.sum,
        np.prod,
        lambda x: np.prod(x, keepdims=True),
        np.cumsum,
        lambda x: x * 2.0,
        lambda x: np.concatenate([x, x]),
        lambda x: x @ x,
        lambda x: np.outer(x, x),
        lambda x: x.reshape(0, 3),
        lambda x: np.sum(np.exp(x) / x),
        lambda x: x[x > 0],
    ],
)
def test_empty_arrays(function):
    check(function, np.zeros(0))


def test_empty_matrices():
    check(lambda x, y: x @ y, np.zeros((2, 0)), np.zeros((0, 3)))
    check(lambda x: np.sum(x, axis=0), np.zeros((0, 3)))
    check(lambda x: np.prod(x, axis=0), np.zeros((0, 3)))


@pytest.mark.parametrize("function", [np.max, np.min, lambda x: x.max(axis=0)])
def test_extrema_of_nothing_raise_numpys_error(function):
    with pytest.raises(ValueError, match="zero-size array to reduction"):
        fg.jacobian(function)(np.zeros((0,)))


def test_truth_values_add_and_multiply_as_in_numpy():
    def function(x):
        mask, other = x > 0, x > 1
        return x * (mask + other) + x * (mask * other) + x * np.prod(mask) * 2 + x * (np.prod(other) + np.prod(other))

    check(function, np.array([0.5, 1.5, 2.5]))


# ---- what is refused, and how


class Refusal:
    def __init__(self, function: Any, error: type, message: str) -> None:
        self.function, self.error, self.message = function, error, message


REMEDY = (
    " Write it with functions that can be (docs/coverage.md lists them), give it a definition with "
    "fastgrad.interop.register, or take it out of the differentiated function."
)
OUTSIDE = np.zeros(2)
CACHED = functools.lru_cache(lambda x: x * x)
REFUSED = {
    "side effect": Refusal(
        lambda x: np.savetxt("unused", x),
        fg.UnsupportedError,
        "np.savetxt would write a recorded value to a file, once while it is recorded and never again{} Return the "
        "value from the function and save it outside.",
    ),
    "unknown method": Refusal(
        lambda x: x.tobytes(), fg.UnsupportedError, "the array method .tobytes cannot be recorded{}" + REMEDY
    ),
    "out": Refusal(
        lambda x: np.exp(x, out=OUTSIDE),
        fg.LostDerivativeError,
        "a recorded value was to be written into an existing plain array (by out=, by an operator such as += or by "
        "a function that writes in place), which would drop its derivative{} Make the array inside the differentiated "
        "function (np.zeros, np.array), or write y = y + x.",
    ),
    "astype int": Refusal(
        lambda x: x.astype(int),
        fg.LostDerivativeError,
        "a recorded value was converted to int64 by astype, which has no derivative{} "
        "Keep it a float, or use np.floor, np.trunc, np.round or fastgrad.stop_gradient first where it is meant.",
    ),
    "cached": Refusal(
        lambda x: CACHED(x[0]),
        fg.UnsupportedError,
        "a recorded value is unhashable: it was used as a key of a dict or set, or as an argument of a function that "
        "keeps its results (functools.lru_cache), which would outlive the recording{} Call the function without its "
        "cache (function.__wrapped__), or use a number that is not recorded as the key.",
    ),
    "bits": Refusal(
        lambda x: np.floor(x).astype(int) << 60,
        fg.UnsupportedError,
        "np.left_shift of whole numbers from 2**53 on, which a recording does not hold exactly, cannot be recorded{} "
        "Write it with functions that can be (docs/coverage.md lists them), give it a definition with "
        "fastgrad.interop.register, or take it out of the differentiated function.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_recorded_is_refused_with_the_line_and_a_remedy(name):
    case = REFUSED[name]
    with pytest.raises(case.error) as raised:
        fg.jacobian(case.function)(np.array([1.0, 2.0]))
    line = case.function.__code__.co_firstlineno
    assert str(raised.value) == case.message.format(f" (at {__file__}:{line}, in <lambda>).")


def test_in_place_addition_to_a_plain_array_is_refused():
    total = np.zeros(2)

    def function(x):
        nonlocal total
        total += x
        return total

    with pytest.raises(
        fg.LostDerivativeError, match=r"written into an existing plain array .*test_numpy_protocol\.py:\d+"
    ):
        fg.jacobian(function)(np.array([1.0, 2.0]))


@pytest.mark.parametrize("call", [lambda x: np.sum(x, axis=2), lambda x: x.mean(axis=-3), lambda x: np.cumsum(x, 5)])
def test_axes_out_of_range_raise_numpys_error(call):
    with pytest.raises(np.exceptions.AxisError):
        fg.jacobian(call)(np.ones((2, 2)))


def test_the_same_axis_twice_is_an_error_as_in_numpy():
    with pytest.raises(ValueError, match="duplicate value in 'axis'"):
        fg.jacobian(lambda x: np.sum(x, axis=(0, -2)))(np.ones((2, 2)))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.reshape(x, (4, 2)),
        lambda x: np.broadcast_to(x, (2, 2)),
        lambda x: np.concatenate([x, x[0]]),
        lambda x: x @ np.ones(5),
        lambda x: x + np.ones(5),
        lambda x: np.stack([x, x[:1]]),
        lambda x: np.split(x, 2),
        lambda x: np.transpose(x, (0, 0)),
    ],
)
def test_shapes_that_do_not_fit_raise_value_errors(call):
    with pytest.raises(ValueError, match=r"\S"):
        fg.jacobian(call)(np.ones((3, 3)))


def test_nodes_carry_the_users_line_not_that_of_the_package():
    def function(x):
        return np.var(x) + x.mean() + np.diff(x)[0] + np.deg2rad(x[0]) + x[0] ** 3 + divmod(x[0], 2.0)[1]

    tape = fg.record(function, np.array([1.0, 2.0, 4.0]))
    assert {source.filename for source in tape.sources} == {__file__}


def test_infinities_beside_the_argument_leave_its_tangent_finite():
    value, tangent = fg.jvp(lambda x: np.concatenate([[np.inf, np.nan], x]), (np.ones(1),), (np.full(1, 3.0),))
    np.testing.assert_array_equal(value, [np.inf, np.nan, 1.0])
    np.testing.assert_array_equal(tangent, [0.0, 0.0, 3.0])


@pytest.mark.parametrize(
    "function",
    [
        lambda x, n: np.repeat(x, n),
        lambda x, n: np.roll(x, n),
        lambda x, n: np.tile(x, n),
        lambda x, n: np.tile(x, (n, 2)),
        lambda x, n: np.broadcast_to(x, (n, 3)),
        lambda x, n: np.reshape(x, (n - 1, 3)),
        lambda x, n: np.split(x, [n])[0],
        lambda x, n: np.take(x, n),
        lambda x, n: x[: n - 1] + np.zeros(n - 1),
        lambda x, n: [x[k] for k in range(n)],
    ],
)
def test_counts_that_were_recorded_shape_results(function):
    check(lambda x: function(x, (x > 0).sum()), np.array([1.0, -2.0, 3.0]))


def test_recorded_counts_repeat_each_element():
    check(lambda x: np.repeat(x, (x > 0) + 0), np.array([1.0, -2.0, 3.0]))


def test_products_of_truth_values_are_truth_values_as_in_numpy():
    check(lambda x: ((x > 0) @ (x > 0)) * x + np.dot(x > 0, np.ones(3, bool)) * x, np.array([1.0, -2.0, 3.0]))


def test_a_function_that_keeps_its_results_is_recorded_without_its_cache():
    assert fg.grad(lambda x: CACHED.__wrapped__(x))(3.0) == 6.0
    assert fg.grad(lambda x: CACHED(3.0) * x)(2.0) == 9.0
    for use in (lambda x: {x: 1}, lambda x: {x}, lambda x: {x * 1j}, lambda x: {1.0: 2}[x[0]], lambda x: x[0] in {1.0}):
        with pytest.raises(fg.UnsupportedError, match="unhashable"):
            fg.record(use, np.array([1.0, 2.0]))
