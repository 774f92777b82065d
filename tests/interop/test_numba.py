"""Inside njit: every derivative to the bits of a call from Python, into given arrays, in threads and parallel loops."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.errors import NumbaWarning, TypingError

import fastgrad as fg
from fastgrad.interop import by_name
from fastgrad.interop.numba import Function, compile
from fastgrad.interop.numba_calls import _Reference, _StaleError
from fastgrad.recording.structures import flatten
from tests.tapes import ANALYTIC

RNG = np.random.default_rng(3)
X = np.array([0.5, -1.5, 2.0])


def smooth(x: Any, scale: Any) -> Any:
    return np.exp(-scale * x[0]) * np.sin(x[1] * x[2]) + scale**2


def branching(x: Any) -> Any:
    if x[0] > 0:
        return np.sum(x)
    if x[1] > 0:
        return np.sum(x * x)
    return np.sum(x**3)


def same(found: Any, expected: Any) -> None:
    """Equal to the bit, in the same shapes; lists and dicts are tuples."""
    found, expected = flatten(found)[0], flatten(expected)[0]
    for x, y in zip(found, expected, strict=True):
        assert np.shape(x) == np.shape(y)
        np.testing.assert_array_equal(np.asarray(x, float).view(np.int64), np.asarray(y, float).view(np.int64))


@numba.njit
def call(function: Any, x: Any) -> Any:
    return function(x)


@numba.njit
def call2(function: Any, x: Any, y: Any) -> Any:
    return function(x, y)


@numba.njit
def call3(function: Any, x: Any, y: Any, z: Any) -> Any:
    return function(x, y, z)


# ---- results


@pytest.mark.parametrize("name", ANALYTIC)
def test_jacobians_of_whole_programs(name: str) -> None:
    function, operands = ANALYTIC[name]
    argnums = tuple(range(len(operands)))
    calls = {1: call, 2: call2, 3: call3}
    compiled = compile(function, *operands, derivative="jacobian", argnums=argnums)
    expected = flatten(fg.jacobian(function, argnums)(*operands))[0]
    for x, y in zip(flatten(calls[len(operands)](compiled, *operands))[0], expected, strict=True):
        assert np.shape(x) == np.shape(y)
        np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    ("derivative", "reference"),
    [
        ("gradient", lambda x, s: fg.grad(smooth)(x, s)),
        ("value_and_gradient", lambda x, s: fg.value_and_grad(smooth)(x, s)),
        ("jacobian", lambda x, s: fg.jacobian(smooth)(x, s)),
        ("hessian", lambda x, s: fg.hessian(smooth)(x, s)),
    ],
)
def test_derivatives_have_the_bits_of_calls_from_python(derivative: str, reference: Any) -> None:
    compiled = compile(smooth, X, 2.0, derivative=derivative)
    with np.errstate(invalid="ignore"):
        for x, scale in ((X, 2.0), (-X, 0.3), (X * np.nan, 1.0), (X * np.inf, 0.0)):
            same(call2(compiled, x, scale), reference(x, scale))


def test_products_take_a_vector_after_the_arguments() -> None:
    v = np.array([1.0, -2.0, 0.5])
    same(call3(compile(smooth, X, 2.0, derivative="hvp"), X, 2.0, v), fg.hvp(smooth)(X, 2.0, v))
    value, pullback = fg.vjp(lambda x: smooth(x, 2.0) * x, X)
    same(call2(compile(lambda x: smooth(x, 2.0) * x, X, derivative="vjp"), X, v), (value, pullback(v)[0]))
    pushed = fg.jvp(lambda x: smooth(x, 2.0) * x, (X,), (v,))
    same(call2(compile(lambda x: smooth(x, 2.0) * x, X, derivative="jvp"), X, v), pushed)


def test_gradients_by_several_arguments_and_by_name() -> None:
    same(call2(compile(fg.grad(smooth, (1, 0)), X, 2.0), X, 2.0), fg.grad(smooth, (1, 0))(X, 2.0))
    same(call2(compile(smooth, X, 2.0, derivative="gradient", argnums=1), X, 2.0), fg.grad(smooth, 1)(X, 2.0))


def test_nested_arguments_are_taken_apart_and_nested_results_are_tuples() -> None:
    def f(p: Any) -> Any:
        return {"sum": np.sum(p["a"]) * p["b"], "parts": [p["a"] * 2, (p["b"],)]}

    found = call2(compile(f, {"a": X, "b": 3.0}), X, 3.0)
    assert isinstance(found, tuple)
    same(found, (np.sum(X) * 3.0, (X * 2, (3.0,))))


def test_calls_from_python_run_the_same_code() -> None:
    compiled = compile(fg.value_and_grad(smooth), X, 2.0)
    same(compiled(X, 2.0), fg.value_and_grad(smooth)(X, 2.0))
    value, gradient = np.empty(()), np.empty(3)
    compiled.into(X, 2.0, (value, gradient))
    same((value, gradient), fg.value_and_grad(smooth)(X, 2.0))
    assert "value_and_grad of smooth" in repr(compiled)
    strided, whole = np.zeros(6)[::2], [1, 2, 3]
    compiled.into(whole, 2, (value, strided))
    same((value, strided), fg.value_and_grad(smooth)(np.array([1.0, 2.0, 3.0]), 2.0))


def test_calls_from_python_are_checked() -> None:
    compiled = compile(fg.value_and_grad(branching), X)
    with pytest.raises(fg.InputError, match=r"compiled for x of shape \(3,\); it has another shape"):
        compiled(np.ones(4))
    with pytest.raises(fg.InputError, match="takes 1 arguments; the call has 2"):
        compiled(X, X)
    with pytest.raises(fg.InputError, match="must hold real numbers; it has complex128"):
        compiled(np.ones(3, complex))
    with pytest.raises(fg.InputError, match="other outcomes of the comparison"):
        compiled(-X)
    for out in (np.empty(3), (np.empty(()), np.empty(3, np.float32)), (np.empty(()), np.broadcast_to(1.0, 3))):
        with pytest.raises(fg.InputError, match="out must have float64 arrays that can be written to"):
            compiled.into(X, out)
    with pytest.raises(fg.InputError, match="one has another shape"):
        compiled.into(X, (np.empty(()), np.empty(4)))
    lenient = compile(fg.value_and_grad(branching), X, errors="nan")
    for x, gradient in ((-X, np.zeros(3)), (np.ones(4), np.zeros(3)), (X, np.zeros(4))):
        value = np.zeros(())
        lenient.into(x, (value, gradient))
        assert np.isnan(gradient).all()
    assert np.isnan(lenient(-X)[0])


def test_with_numba_switched_off_calls_are_calls_from_python() -> None:
    program = """
import numba, numpy as np, fastgrad as fg
from fastgrad.interop.numba import compile
slope = compile(fg.grad(lambda x: np.sum(x**2)), np.zeros(2))
@numba.njit
def descend(x):
    for _ in range(100):
        x = x - 0.5 * slope(x)
    return x
print(descend(np.array([1.0, 2.0])))
"""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout == "[0. 0.]\n", done.stderr


def test_large_workspaces_come_from_the_heap_and_empty_arrays_work() -> None:
    def long(x: Any) -> Any:
        for _ in range(4):
            x = np.sin(x) * np.cos(x[::-1]) + 0.1
        return np.sum(x)

    x = RNG.normal(size=1500)
    compiled = compile(fg.grad(long), x)
    assert compiled.code.workspace * 8 > 1 << 16
    np.testing.assert_allclose(call(compiled, x), fg.grad(long)(x), rtol=1e-12)
    empty = compile(fg.value_and_grad(lambda x: np.sum(x) + 1.0), np.empty((0, 2)))
    same(call(empty, np.empty((0, 2))), (1.0, np.empty((0, 2))))


# ---- arguments and targets


@pytest.mark.parametrize(
    "x",
    [
        np.asfortranarray(RNG.normal(size=(3, 2))),
        RNG.normal(size=(6, 4))[::2, ::-2],
        RNG.normal(size=(2, 3)).T,
        np.arange(6).reshape(3, 2),
        RNG.normal(size=(3, 2)).astype(np.float32),
        np.array([[True, False], [False, True], [True, True]]),
        np.broadcast_to(np.array([1.0, 2.0]), (3, 2)),
    ],
    ids=["Fortran", "strided", "transposed", "whole", "float32", "truth values", "read-only"],
)
def test_arrays_of_other_layouts_and_dtypes_are_copied(x: Any) -> None:
    weights = np.arange(1.0, 7.0).reshape(3, 2)

    def f(x: Any) -> Any:
        return np.sum(weights * x**2)

    compiled = compile(fg.grad(f), np.ones((3, 2)))
    same(call(compiled, x), 2 * weights * x.astype(float))


def test_numbers_may_be_whole_or_arrays_without_axes() -> None:
    compiled = compile(fg.grad(lambda x: x * x), 1.5)
    for x in (3, np.float32(3), True, np.array(3.0), np.array(3)):
        assert call(compiled, x) == 2.0 * x


@numba.njit
def write(function: Any, x: Any, out: Any) -> None:
    function.into(x, out)


def test_results_are_written_into_arrays_of_any_layout() -> None:
    compiled = compile(lambda x: np.exp(x.reshape(3, 2)), X.repeat(2))
    x = RNG.normal(size=6)
    wide = np.full((6, 4), 7.0)
    for out in (np.empty((3, 2)), np.empty((2, 3)).T, wide[::2, ::2]):
        write(compiled, x, out)
        np.testing.assert_allclose(out, np.exp(x.reshape(3, 2)), rtol=1e-15)
    assert (wide[1::2] == 7.0).all()
    assert (wide[:, 1::2] == 7.0).all()


def test_a_result_may_be_written_over_its_argument() -> None:
    compiled = compile(lambda x: x[::-1] * x[0], X)
    x = X.copy()
    write(compiled, x, x)
    same(x, X[::-1] * X[0])


TARGETS: dict[str, tuple[Any, str]] = {
    "float32": (np.empty(3, np.float32), "out must have float64 arrays"),
    "read-only": (np.broadcast_to(1.0, (3,)), "out must have float64 arrays"),
    "a tuple": ((np.empty(3),), "it has"),
    "of two axes": (np.empty((3, 1)), "out must have float64 arrays"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_targets_that_cannot_take_results_are_refused(case: str) -> None:
    target, message = TARGETS[case]
    with pytest.raises(TypingError, match=message):
        write(compile(lambda x: x * x, X), X, target)


def test_other_shapes_raise() -> None:
    compiled = compile(lambda x: x * x, X)
    with pytest.raises(ValueError, match=r"value of <lambda> was compiled for x of shape \(3,\); it has another shape"):
        call(compiled, np.ones(4))
    with pytest.raises(fg.InputError, match=r"out must have an array of shape \(3,\) for value"):
        write(compiled, X, np.empty(4))
    with pytest.raises(TypingError, match=r"compiled for x of shape \(3,\), float64; it is array\(float64, 2d"):
        call(compiled, np.ones((3, 1)))
    with pytest.raises(TypingError, match=r"it is array\(complex128"):
        call(compiled, np.ones(3, complex))
    with pytest.raises(TypingError, match=r"compiled for x of shape \(3,\); the call has 2 arguments"):
        call2(compiled, X, X)
    with pytest.raises(TypingError, match="out must be nested as the results"):
        write(compile(fg.value_and_grad(np.sum), X), X, np.empty(3))


# ---- branches


def test_a_way_that_no_example_went_raises_with_the_line() -> None:
    compiled = compile(fg.grad(branching), X)
    same(call(compiled, X), np.ones(3))
    with pytest.raises(fg.InputError, match=r"other outcomes of the comparison \(at .*test_numba.py:\d+.*examples="):
        call(compiled, -X)


def test_examples_add_ways_and_the_line_is_that_of_the_longest() -> None:
    points = [np.array([1.0, 2, 3]), np.array([-1.0, 2, 3]), np.array([-1.0, -2, 3])]
    all_three = compile(fg.grad(branching), points[0], examples=[(point,) for point in points[1:]])
    for point in points:
        same(call(all_three, point), fg.grad(branching)(point))
    first = branching.__code__.co_firstlineno
    with pytest.raises(fg.InputError, match=rf":{first + 3}"):
        call(compile(fg.grad(branching), points[0], examples=[(points[1],)]), points[2])
    with pytest.raises(fg.InputError, match=rf":{first + 1}"):
        call(compile(fg.grad(branching), points[1], examples=[(points[2],)]), points[0])


def test_many_lines_with_comparisons_still_raise() -> None:
    lines = ["def f(x):", "    total = 0.0"]
    for _ in range(30):
        lines += ["    if x > 0:", "        total = total + x"]
        lines += ["        x = x - 1.0"]
    found: dict[str, Any] = {}
    exec("\n".join([*lines, "    return total"]), found)
    compiled = compile(found["f"], 40.0)
    assert call(compiled, 35.0) == sum(range(6, 36))
    with pytest.raises(fg.InputError, match="other outcomes"):
        call(compiled, 0.5)
    with pytest.raises(fg.InputError, match="compiled for other outcomes of its comparisons"):
        call(compiled, 25.5)


def test_nan_instead_of_errors() -> None:
    compiled = compile(fg.value_and_grad(branching), X, errors="nan")
    same(call(compiled, X), (np.sum(X), np.ones(3)))
    for x in (-X, np.ones(5)):
        value, gradient = call(compiled, x)
        assert np.isnan(value)
        assert gradient.shape == (3,)
        assert np.isnan(gradient).all()
    for gradient in (np.zeros(3), np.zeros(6)[::2], np.zeros(4)):
        value = np.zeros(())
        write(compiled, -X, (value, gradient))
        assert np.isnan(value)
        assert np.isnan(gradient).all()
    with pytest.raises(fg.InputError, match="errors must be"):
        compile(branching, X, errors="none")


# ---- what is captured


def test_captured_arrays_are_seen_when_changed_in_place() -> None:
    data = np.array([1.0, 2.0, 3.0])
    compiled = compile(fg.grad(lambda x: np.sum(data * x)), X)

    @numba.njit
    def ask() -> Any:
        return compiled(np.ones(3))

    same(ask(), data)
    data *= 3.0
    same(ask(), data)


def test_functions_over_other_arrays_of_the_same_content_are_kept_apart() -> None:
    def made(data: Any) -> Any:
        return compile(fg.grad(lambda x: np.sum(data * x)), X)

    datas = [np.array([4.0, 5.0, 6.0]) for _ in range(3)]
    compiled = [made(data) for data in datas]
    again = made(datas[1])
    for k, data in enumerate(datas):
        data *= k + 2
    for function, data in zip([*compiled, again], [*datas, datas[1]], strict=True):
        same(call(function, X), data)
    assert again.name == compiled[1].name
    assert len({function.name for function in compiled}) == 3


def test_of_such_functions_all_but_the_first_are_not_kept_on_disk() -> None:
    datas = [np.array([7.0, 5.0, 6.5]) for _ in range(2)]
    first, second = (compile(fg.grad(lambda x, data=data: np.sum(data * x)), X) for data in datas)
    assert [first.is_lasting, second.is_lasting] == [True, False]

    @numba.njit(cache=True)
    def ask(x: Any) -> Any:
        return second(x)

    with pytest.warns(NumbaWarning, match="dynamic globals"):
        same(ask(X), datas[1])
    # a caller on disk that refers to the name may mean either
    assert by_name.known(first.name) is not None
    assert not by_name.is_certain(first.name)
    with pytest.raises(_StaleError):
        pickle.loads(pickle.dumps(_Reference(first.name)))
    assert isinstance(pickle.loads(pickle.dumps(_Reference(compile(smooth, X, 2.0).name))), _Reference)


def test_what_is_captured_lives_as_long_as_compiled_code() -> None:
    def caller() -> Any:
        compiled = compile(fg.grad(lambda x: np.sum(np.full(3, 2.5) * np.sin(x))), X)

        @numba.njit
        def ask(x: Any) -> Any:
            return compiled(x)

        ask(X)
        return ask

    ask = caller()
    np.testing.assert_allclose(ask(X), 2.5 * np.cos(X), rtol=1e-14)


def test_a_name_that_nobody_has_is_not_found_and_its_callers_raise() -> None:
    compiled = compile(fg.grad(lambda x: np.sum(x * 1.25)), X)
    compiled.name = "0" * 32
    assert by_name.known(compiled.name) is None
    with pytest.raises(fg.InputError, match="Numba keeps for this caller"):
        call(compiled, X)


def test_pickles_are_the_same_function() -> None:
    compiled = compile(fg.grad(branching), X)
    assert pickle.loads(pickle.dumps(compiled)) is compiled
    fresh = pickle.loads(pickle.dumps(compiled).replace(compiled.type_name.encode(), b"?" * len(compiled.type_name)))
    assert isinstance(fresh, Function)
    assert fresh.name == compiled.name
    same(call(fresh, X), np.ones(3))


# ---- threads


def test_threads_without_the_lock() -> None:
    compiled = compile(fg.value_and_grad(smooth), X, 2.0)
    running = threading.Barrier(2, timeout=60)

    @numba.njit(nogil=True)
    def many(start: float, n: int) -> Any:
        total = np.zeros(3)
        for k in range(n):
            total += compiled(np.array([start, 0.3 * k, 1.0]), 0.5)[1]
        return total

    expected = [many(start, 20_000) for start in (0.1, 0.2)]
    found: dict[int, Any] = {}

    def work(k: int) -> None:
        running.wait()
        found[k] = many((0.1, 0.2)[k], 20_000)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same([found[0], found[1]], expected)


def test_parallel_loops() -> None:
    compiled = compile(fg.value_and_grad(smooth), X, 2.0)

    @numba.njit(parallel=True)
    def many(xs: Any) -> Any:
        values, gradients, written = np.empty(len(xs)), np.empty_like(xs), np.empty_like(xs)
        for k in numba.prange(len(xs)):
            values[k], gradients[k] = compiled(xs[k], 0.5)
            compiled.into(xs[k], 0.5, (values[k : k + 1].reshape(()), written[k]))
        return values, gradients, written

    for n in (0, 1, 1000):
        xs = RNG.normal(size=(n, 3))
        values, gradients, written = many(xs)
        expected = [fg.value_and_grad(smooth)(x, 0.5) for x in xs]
        same([*values], [value for value, _ in expected])
        same([*gradients], [gradient for _, gradient in expected])
        same(written, gradients)


def test_nan_shows_in_parallel_loops_where_numba_loses_errors() -> None:
    compiled = compile(fg.grad(branching), X, errors="nan")

    @numba.njit(parallel=True)
    def many(xs: Any) -> Any:
        gradients = np.zeros_like(xs)
        for k in numba.prange(len(xs)):
            gradients[k] = compiled(xs[k])
        return gradients

    xs = RNG.normal(size=(100, 3))
    found = many(xs)
    assert np.array_equal(np.isnan(found).all(axis=1), xs[:, 0] <= 0)
    assert (found[xs[:, 0] > 0] == 1.0).all()
