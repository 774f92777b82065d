"""``out=`` of functions, methods and ufuncs: values, derivatives, what is returned, and errors, as NumPy has them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.recording import numpy_protocol
from fastgrad.recording.functions.registry import FUNCTIONS
from tests.recording.functions.agreement import assert_shown_as_numpy

X = np.array([[0.3, 1.2, -2.5], [1.7, -0.4, 0.9], [2.2, 0.8, -1.1]])
NAN = np.where(X == 1.2, np.nan, 0.0)

# calls of everything that has ``out``, in which y is the array to write into, or None
CALLS = {
    "x.all": ["x.all(axis=0, out=y)", "(x > 0).all(0, out=y)"],
    "x.any": ["x.any(axis=0, out=y)", "(x > 1).any(1, out=y)"],
    "x.argmax": ["x.argmax(axis=0, out=y)", "x.argmax(1, y)", "x.argmax(out=y, keepdims=True)"],
    "x.argmin": ["x.argmin(axis=0, out=y)", "x.argmin(1, y)"],
    "x.choose": ["(x > 0).astype(int).choose([x, x * x], out=y)", "(x > 9).astype(int).choose(x, x * x, out=y)"],
    "x.clip": ["x.clip(-1, 1, out=y)", "x.clip(-1, x.T, y)", "x.clip(min=0.5, out=y)"],
    "x.compress": ["x.compress([True, False, True], axis=0, out=y)", "x.compress([True, False, True], 1, y)"],
    "x.cumprod": ["x.cumprod(axis=1, out=y)", "x.cumprod(0, None, y)"],
    "x.cumsum": ["x.cumsum(axis=1, out=y)", "x.cumsum(0, None, y)", "x.cumsum(out=y)"],
    "x.dot": ["x.dot(x[0], out=y)", "x.dot(x, y)"],
    "x.max": ["x.max(axis=0, out=y)", "x.max(1, y, True)", "x.max(out=y)"],
    "x.mean": ["x.mean(axis=0, out=y)", "x.mean(1, None, y, True)", "x.mean(out=y)"],
    "x.min": ["x.min(axis=0, out=y)", "x.min(1, y)"],
    "x.prod": ["x.prod(axis=0, out=y)", "x.prod(1, None, y)"],
    "x.round": ["x.round(1, out=y)", "x.round(0, y)"],
    "x.std": ["x.std(axis=0, out=y)", "x.std(1, None, y, 1)"],
    "x.sum": ["x.sum(axis=0, out=y)", "x.sum(1, None, y, True)", "x.sum(out=y)", "x.sum(where=x > 0, axis=0, out=y)"],
    "x.take": ["x.take([0, 2, 2], axis=0, out=y)", "x.take([0, 2], 1, y)", "x.take([[5, 1]], out=y)"],
    "x.trace": ["x.trace(out=y)", "x.trace(1, 0, 1, None, y)"],
    "x.var": ["x.var(axis=0, out=y)", "x.var(1, None, y, 1, True)"],
    "np.all": ["np.all(x > 0, axis=0, out=y)", "np.all(x > 0, 1, y)"],
    "np.any": ["np.any(x > 0, axis=0, out=y)", "np.any(x > 0, 1, y)"],
    "np.argmax": ["np.argmax(x, axis=0, out=y)", "np.argmax(x, 1, y)"],
    "np.argmin": ["np.argmin(x, axis=0, out=y)", "np.argmin(x, 1, y)"],
    "np.choose": ["np.choose([1, 0, 1], [x, x * x], out=y)", "np.choose(x > 0, [x, x * x], y)"],
    "np.clip": ["np.clip(x, -1, 1, out=y)", "np.clip(x, x[0], 1, y)"],
    "np.compress": ["np.compress([True, False, True], x, axis=0, out=y)", "np.compress([True, False], x, 1, y)"],
    "np.concatenate": ["np.concatenate([x, x * x], out=y)", "np.concatenate([x, x * x], 1, y)"],
    "np.cumprod": ["np.cumprod(x, axis=1, out=y)", "np.cumprod(x, 0, None, y)"],
    "np.cumsum": ["np.cumsum(x, axis=1, out=y)", "np.cumsum(x, 0, None, y)"],
    "np.cumulative_prod": ["np.cumulative_prod(x, axis=1, out=y)"],
    "np.cumulative_sum": ["np.cumulative_sum(x, axis=1, include_initial=True, out=y)"],
    "np.dot": ["np.dot(x, x, out=y)", "np.dot(x, x[1], y)"],
    "np.einsum": ["np.einsum('ij,kj->ik', x, x, out=y)"],
    "np.fix": ["np.fix(x, out=y)", "np.fix(x, y)"],
    "np.fft.irfft": ["np.fft.irfft(np.fft.rfft(x), 3, out=y)", "np.fft.irfft(x * 1j, 4, 1, None, y)"],
    "np.fft.irfftn": ["np.fft.irfftn(np.fft.rfftn(x), (3, 3), (0, 1), out=y)"],
    "np.isneginf": ["np.isneginf(x, out=y)", "np.isneginf(x, y)"],
    "np.isposinf": ["np.isposinf(x, out=y)", "np.isposinf(x, y)"],
    "np.linalg.multi_dot": ["np.linalg.multi_dot([x, x, x[0]], out=y)"],
    "np.max": ["np.max(x, axis=0, out=y)", "np.max(x, 1, y, True)"],
    "np.mean": ["np.mean(x, axis=0, out=y)", "np.mean(x, 1, None, y, True)"],
    "np.median": ["np.median(x, axis=0, out=y)", "np.median(x, 1, y, False, True)"],
    "np.min": ["np.min(x, axis=0, out=y)", "np.min(x, 1, y, True)"],
    "np.nanargmax": ["np.nanargmax(x + NAN, axis=0, out=y)", "np.nanargmax(x + NAN, 1, y)"],
    "np.nanargmin": ["np.nanargmin(x + NAN, axis=0, out=y)", "np.nanargmin(x + NAN, 1, y)"],
    "np.nancumprod": ["np.nancumprod(x + NAN, axis=1, out=y)", "np.nancumprod(x + NAN, 0, None, y)"],
    "np.nancumsum": ["np.nancumsum(x + NAN, axis=1, out=y)", "np.nancumsum(x + NAN, 0, None, y)"],
    "np.nanmax": ["np.nanmax(x + NAN, axis=0, out=y)", "np.nanmax(x + NAN, 1, y)"],
    "np.nanmean": ["np.nanmean(x + NAN, axis=0, out=y)", "np.nanmean(x + NAN, 1, None, y)"],
    "np.nanmedian": ["np.nanmedian(x + NAN, axis=0, out=y)", "np.nanmedian(x + NAN, 1, y)"],
    "np.nanmin": ["np.nanmin(x + NAN, axis=0, out=y)", "np.nanmin(x + NAN, 1, y)"],
    "np.nanpercentile": ["np.nanpercentile(x + NAN, 40, axis=0, out=y)", "np.nanpercentile(x + NAN, [40, 70], 1, y)"],
    "np.nanprod": ["np.nanprod(x + NAN, axis=0, out=y)", "np.nanprod(x + NAN, 1, None, y)"],
    "np.nanquantile": ["np.nanquantile(x + NAN, 0.4, axis=0, out=y)", "np.nanquantile(x + NAN, [0.4, 0.7], 1, y)"],
    "np.nanstd": ["np.nanstd(x + NAN, axis=0, out=y)", "np.nanstd(x + NAN, 1, None, y, 1)"],
    "np.nansum": ["np.nansum(x + NAN, axis=0, out=y)", "np.nansum(x + NAN, 1, None, y, True)"],
    "np.nanvar": ["np.nanvar(x + NAN, axis=0, out=y)", "np.nanvar(x + NAN, 1, None, y, 1)"],
    "np.outer": ["np.outer(x[0], x[1], out=y)", "np.outer(x[0], x[1], y)"],
    "np.percentile": ["np.percentile(x, 40, axis=0, out=y)", "np.percentile(x, [40, 70], 1, y)"],
    "np.prod": ["np.prod(x, axis=0, out=y)", "np.prod(x, 1, None, y)"],
    "np.ptp": ["np.ptp(x, axis=0, out=y)", "np.ptp(x, 1, y)"],
    "np.quantile": ["np.quantile(x, 0.4, axis=0, out=y)", "np.quantile(x, [0.4, 0.7], 1, y)"],
    "np.round": ["np.round(x, 1, out=y)", "np.round(x, 0, y)"],
    "np.stack": ["np.stack([x, x * x], out=y)", "np.stack([x, x * x], 1, y)"],
    "np.std": ["np.std(x, axis=0, out=y)", "np.std(x, 1, None, y, 1)"],
    "np.sum": ["np.sum(x, axis=0, out=y)", "np.sum(x, 1, None, y, True)", "np.sum(x, initial=x[0, 0], out=y)"],
    "np.take": ["np.take(x, [0, 2], axis=0, out=y)", "np.take(x, [0, 2], 1, y)"],
    "np.trace": ["np.trace(x, out=y)", "np.trace(x, 1, 0, 1, None, y)"],
    "np.var": ["np.var(x, axis=0, out=y)", "np.var(x, 1, None, y, 1)"],
    # ufuncs and their methods
    "ufuncs": [
        "np.multiply(x, x.T, out=y)", "np.exp(x, y)", "np.matmul(x, x, out=y)", "np.add.reduce(x, out=y)",
        "np.add.reduce(x, 1, None, y)", "np.multiply.accumulate(x, 1, None, y)", "np.maximum.reduce(x, 1, None, y)",
        "np.hypot.reduce(x, out=y)", "np.add.reduceat(x, [0, 2], 1, None, y)", "np.subtract.outer(x[0], x[1], out=y)",
        "np.greater(x, x.T, out=y)", "np.logical_and.reduce(x > 0, out=y)",
    ],
}  # fmt: skip
# NumPy 2.4 itself does not write into it
IGNORE_OUT = {
    np.fft.hfft: lambda x, y: np.fft.hfft(x, out=y),
    np.fft.irfft2: lambda x, y: np.fft.irfft2(np.fft.rfft2(x), (3, 3), out=y),
}
COMPLEX = {
    getattr(np.fft, name)
    for name in ("fft", "ifft", "rfft", "ihfft", "fft2", "ifft2", "rfft2", "fftn", "ifftn", "rfftn")
}
SAME_AS_OTHERS = {np.amax, np.amin, np.around}


def _fresh(full, x):
    return full


def _part_of_a_fresh_array(full, x):
    return np.stack([full, full], -1)[..., 1]


def _recorded(full, x):
    number = x[0, 0] * 0 if full.dtype.kind == "f" else np.argmax(x) * 0
    return full | (x[0, 0] > 9.0) if full.dtype.kind == "b" else full + number.astype(full.dtype)


def _part_of_a_recorded_array(full, x):
    return np.stack([_recorded(full, x), full], -1)[..., 0]


MAKERS = [_fresh, _part_of_a_fresh_array, _recorded, _part_of_a_recorded_array]


def evaluated(call: str) -> Callable[..., Any]:
    return eval(f"lambda x, y: {call}", {"np": np, "NAN": NAN})  # type: ignore[no-any-return]


def written(call: str, make: Callable[..., Any], shape: Any = None, dtype: Any = None) -> Callable[..., Any]:
    """A function that makes an array, by default as the call would make it, has it written into, and returns it."""
    function = evaluated(call)
    if shape is None:
        right = np.asarray(function(X, None))
        shape, dtype = right.shape, right.dtype

    def run(x):
        y = make(np.full(shape, 7, dtype), x)
        result = function(x, y)
        assert result is y
        return y[...]

    return run


EACH_CALL = pytest.mark.parametrize("call", [call for calls in CALLS.values() for call in calls])
INTO_EACH = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__[1:])


def outcome(function: Callable[..., Any]) -> Any:
    """The value, or the error, that NumPy gives."""
    try:
        return function(X)
    except (ValueError, TypeError) as error:
        return error


def test_every_definition_that_takes_out_is_called_here() -> None:
    numpy_protocol.load_all()
    takes_out = {function for function in FUNCTIONS if "out" in inspect.signature(FUNCTIONS[function]).parameters}
    called = {eval(name, {"np": np}) for name in CALLS if name.startswith("np.")}
    assert takes_out - SAME_AS_OTHERS - COMPLEX - set(IGNORE_OUT) == called


@INTO_EACH
@EACH_CALL
def test_what_is_written_and_returned_is_what_numpy_writes_and_returns(call, make):
    function = written(call, make)
    expected = outcome(function)
    if isinstance(expected, Exception):  # np.dot wants its array in one piece
        with pytest.raises(type(expected)) as raised:
            fg.record(function, X)
        assert str(raised.value) == str(expected)
    else:
        assert_shown_as_numpy(function, X)


@INTO_EACH
@EACH_CALL
def test_the_derivative_is_that_of_the_call_without_out(call, make):
    function, plain = written(call, make), evaluated(call)
    if isinstance(outcome(function), Exception):
        return
    found = fg.jacobian(lambda x: function(x) * np.sum(x))(X)
    np.testing.assert_allclose(found, fg.jacobian(lambda x: plain(x, None) * np.sum(x))(X), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("function", IGNORE_OUT.values(), ids=lambda function: "")
def test_functions_that_ignore_out_in_numpy_ignore_it_here(function):
    def run(x):
        y = np.full(np.shape(function(X, None)), 7.0) + x[0, 0] * 0
        result = function(x, y)
        assert result is not y
        return y, result

    assert_shown_as_numpy(run, X)


# ---- what NumPy computes otherwise where ``out`` is given


@pytest.mark.parametrize(
    "call",
    [
        "np.add(x[0, 0], 1.0, out=y)",  # broadcast to the array
        "np.multiply(x[:, :1], x[:1], out=y)",
        "x.clip(x[0], 1.0, out=y)",
        "np.sum(x[:, None], axis=1, out=y)",
        "np.exp(x, out=y, where=x > 0)",
        "np.divide(x, x.T, out=y, where=np.eye(3) > 0)",
        "np.add(x, y, out=y)",
        "np.take(x, [7, -1, 4], 0, y, 'wrap')",
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@INTO_EACH
def test_elements_and_derivatives_are_right_in_the_shape_and_precision_of_the_array(call, dtype, make):
    assert_shown_as_numpy(written(call, make, (3, 3), dtype), X)
    direction, step = np.cos(np.arange(9.0)).reshape(3, 3), 1e-6
    _, tangent = fg.jvp(written(call, make, (3, 3), dtype), (X,), (direction,))
    higher, lower = (written(call, make, (3, 3), float)(X + h * direction) for h in (step, -step))
    np.testing.assert_allclose(tangent, (higher - lower) / (2 * step), rtol=1e-8, atol=1e-8)


def test_constants_are_written_into_an_array_that_is_recorded():
    def function(x):
        y = x * 1
        assert np.cumsum(np.arange(3.0), out=y[1]) is not None
        np.add(np.ones(3), 1.0, out=y[2], where=x[0] > 1)
        return y

    assert_shown_as_numpy(function, X)
    expected = np.zeros((3, 3))
    expected[0] = 1.0
    expected[2, [0, 2]] = 1.0
    np.testing.assert_array_equal(fg.grad(lambda x: np.sum(function(x)))(X), expected)


def test_one_of_two_results_may_be_written_and_the_other_made():
    def function(x):
        quotient, plain = x * 0, np.zeros(3)
        both = np.divmod(x, 0.7, out=(quotient, None))
        assert both[0] is quotient
        fractions, numbers = np.modf(np.array([0.5, 1.5, 2.25]), out=(None, plain))
        assert numbers is plain
        return quotient, both[1] + fractions + numbers

    assert_shown_as_numpy(function, X)
    np.testing.assert_array_equal(fg.grad(lambda x: np.sum(function(x)[1]))(X), np.ones((3, 3)))


def test_a_function_on_arrays_without_recorded_values_returns_the_array_itself():
    def function(x):
        y, row = np.zeros(3), np.zeros((2, 3))[1]
        for target in (y, row):
            assert np.sum(X, axis=0, out=target) is target
            assert np.sum(X, 0, None, target) is target
            assert X.max(0, target) is target
        assert np.asarray(y) is y
        y[0] = x[0, 0]
        return y * row

    assert_shown_as_numpy(function, X)


def test_complex_results_are_written_into_complex_arrays():
    def function(x):
        z, w, v = x * 1j + x.T, x[0] * 2j, x * 1j
        assert z.sum(axis=0, out=w) is w
        u = w * 1
        assert np.cumsum(z, 0, None, v) is v
        assert np.multiply(z, x, out=z) is z
        assert np.sum(x, 0, None, u) is u
        assert np.add(x, x.T, out=v[0:3].T) is not v
        return w.real, w.imag, u.real, u.imag, v.real, v.imag, z.real, z.imag

    assert_shown_as_numpy(function, X)
    fg.check_grads(function, (X,))


# ---- errors


@pytest.mark.parametrize(
    ("call", "shape", "dtype"),
    [
        ("x.sum(axis=0, out=y)", (2,), float),
        ("x.sum(out=y)", (2,), float),
        ("np.sum(x, 0, None, y)", (3, 1), float),
        ("np.add(x, 1.0, out=y)", (2, 3), float),
        ("np.add(x, 1.0, out=y)", (3, 3), int),
        ("np.add(x, 1.0, out=y)", (3, 3), bool),
        ("x.round(1, out=y)", (3, 3), int),
        ("x.clip(0, 1, out=y)", (3, 3), int),
        ("np.clip(x, 0, 1, y)", (3,), float),
        ("x.cumsum(axis=0, out=y)", (3,), float),
        ("x.take([0, 1], out=y)", (3,), float),
        ("x.dot(x, out=y)", (3, 3), np.float32),
        ("x.argmax(axis=0, out=y)", (2,), int),
        ("x.compress([True], axis=0, out=y)", (2, 3), float),
        ("np.concatenate([x, x], out=y)", (5, 3), float),
        ("np.concatenate([x, x], 0, y)", (6, 3), int),
        ("np.einsum('ij->i', x, out=y)", (3,), int),
        ("np.matmul(x, x, out=y)", (3,), float),
        ("np.median(x, axis=0, out=y)", (2,), float),
        ("x.sum(axis=0, out=np.broadcast_to(y, (3,)))", (), float),
        ("x.sum(axis=0, out=[0.0, 0.0, 0.0])", (), float),
        ("x.sum(out=x[0, 0])", (), float),
    ],
)
@pytest.mark.parametrize("make", [_fresh, _recorded], ids=["fresh", "recorded"])
def test_an_array_that_does_not_fit_raises_numpys_own_error(call, shape, dtype, make):
    function = written(call, make, shape, dtype)
    expected = outcome(function)
    assert isinstance(expected, Exception)
    with pytest.raises(type(expected)) as raised:
        fg.record(function, X)
    assert str(raised.value) == str(expected)


def test_an_array_that_an_error_left_alone_can_still_be_used():
    def function(x):
        y = np.full(3, 2.0)
        with pytest.raises(ValueError, match="output parameter"):
            x.sum(out=y)
        return y * x[0]

    np.testing.assert_array_equal(fg.grad(lambda x: np.sum(function(x)))(X)[0], [2.0, 2.0, 2.0])


@pytest.mark.parametrize("call", ["x.sum(axis=0, out=y)", "x.take([0, 1, 2], out=y)"])
def test_what_numpy_would_cut_to_whole_numbers_is_refused(call):
    with pytest.raises(fg.LostDerivativeError, match="written into an array of int64"):
        fg.record(written(call, _fresh, (3,), int), X)


CAPTURED, CAPTURED_COMPLEX = np.zeros(3), np.zeros(3, complex)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum(axis=0, out=CAPTURED),
        lambda x: x.sum(0, None, CAPTURED),
        lambda x: np.sum(x, axis=0, out=CAPTURED),
        lambda x: np.max(x, 0, CAPTURED),
        lambda x: np.exp(x[0], out=CAPTURED),
        lambda x: np.add.reduce(x, 0, None, CAPTURED),
        lambda x: (x * 1j).sum(axis=0, out=CAPTURED_COMPLEX),
        lambda x: np.multiply(x[0] * 1j, 2, out=CAPTURED_COMPLEX),
        lambda x: np.copyto(CAPTURED, x[0]),
    ],
)
def test_an_array_from_outside_the_function_is_refused_by_name(function):
    with pytest.raises(fg.LostDerivativeError, match=r"into an existing plain array .*test_out_argument\.py:\d+"):
        fg.record(function, X)
    assert not CAPTURED.any()
    assert not CAPTURED_COMPLEX.any()


# ---- arguments that the function has made


@pytest.mark.parametrize(
    "call",
    [
        "x[0].searchsorted(y)", "x.dot(y)", "x.clip(y, 1.0)", "x.sum(axis=0, initial=y[0])", "x.repeat(n, axis=0)",
        "x.take(n, axis=0)", "x.compress(y > 0, axis=0)", "(x[0] > 1).astype(int).choose([y, x[1]])",
        "(x[0] > 1).astype(int).choose(y, x[1])", "x.std(axis=0, mean=y)", "x.sum(axis=0, where=y > 0)",
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_recorded", [False, True])
def test_methods_take_arrays_made_in_the_function(call, is_recorded):
    method = eval(f"lambda x, y, n: {call}")

    def function(x):
        y, n = np.array([0.2, -0.1, 0.5]), np.array([1, 0, 2])
        if is_recorded:
            y[0], n[1] = x[0, 0], np.argmax(x[0]) - 1
        return method(x, y, n)

    assert_shown_as_numpy(function, np.sort(X))
