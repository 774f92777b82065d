"""C function pointers: called from Python, from a program in C, from threads; headers; log densities."""

from __future__ import annotations

import ctypes
import gc
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.interop import c
from tests.tapes import ANALYTIC

RNG = np.random.default_rng(5)
DOUBLES = ctypes.POINTER(ctypes.c_double)
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def called(function: c.Function, *arguments: Any, shapes: Any) -> tuple[int, list[Any]]:
    results = [np.full(shape, 7.0) for shape in shapes]
    return function.ctypes(*(np.asarray(x, float) for x in arguments), *results), results


@pytest.mark.parametrize("name", ANALYTIC)
def test_jacobians_of_whole_programs(name: str) -> None:
    function, operands = ANALYTIC[name]
    argnums = tuple(range(len(operands)))
    compiled = c.compile(fg.jacobian(function, argnums), *operands)
    expected = fg.jacobian(function, argnums)(*operands)
    status, found = called(compiled, *operands, shapes=[np.shape(x) for x in expected])
    assert status == -1
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-14)


def test_the_signature_names_arguments_and_results() -> None:
    def f(p: Any, long: Any) -> Any:
        return p["rate"][0] * np.exp(long), long

    compiled = c.compile(f, {"rate": [2.0]}, np.ones(2), derivative="vjp", argnums=1)
    assert compiled.signature == (
        "int64_t (const double *p_rate_0, const double *long_, const double *cotangent_value0, "
        "const double *cotangent_value1, double *value0, double *value1, double *cotangent_long)"
    )
    status, found = called(compiled, 2.0, np.ones(2), np.ones(2), np.zeros(2), shapes=[(2,)] * 3)
    assert status == -1
    np.testing.assert_allclose(found, [2 * np.e * np.ones(2), np.ones(2), 2 * np.e * np.ones(2)])


def test_arrays_that_do_not_fit_are_refused_in_calls_from_python() -> None:
    compiled = c.compile(rosenbrock, np.zeros(3))
    for x in (np.zeros(4), np.zeros((3, 1)), np.zeros(6)[::2], np.zeros(3, np.float32)):
        with pytest.raises(ctypes.ArgumentError):
            compiled.ctypes(x, np.empty(()))


def branching(x: Any) -> Any:
    if x[0] > 0:
        return np.sum(x)
    if x[1] > 0:
        return np.sum(x * x)
    return np.sum(x**3)


def test_a_way_that_no_example_went_is_a_number_in_the_header_and_writes_nothing() -> None:
    compiled = c.compile(fg.value_and_grad(branching), np.ones(2))
    assert called(compiled, np.ones(2), shapes=[(), (2,)])[0] == -1
    status, (value, gradient) = called(compiled, -np.ones(2), shapes=[(), (2,)])
    assert status == 0
    assert value == 7.0
    assert (gradient == 7.0).all()
    line = branching.__code__.co_firstlineno + 1
    assert f" * 0: {__file__}:{line}" in compiled.header("branching")


def test_every_example_adds_a_way() -> None:
    points = [np.array([1.0, 1.0]), np.array([-1.0, 1.0]), np.array([-1.0, -1.0])]
    compiled = c.compile(fg.grad(branching), points[2], examples=[(points[0],), (points[1],)])
    for point in points:
        status, (gradient,) = called(compiled, point, shapes=[(2,)])
        assert status == -1
        np.testing.assert_array_equal(gradient, fg.grad(branching)(point))


def test_what_is_called_keeps_code_and_captured_arrays_alive_and_reads_them_where_they_are() -> None:
    def made() -> tuple[Any, Any]:
        data = np.arange(1000.0)
        return c.compile(fg.grad(lambda x: np.sum(data * x)), np.ones(1000)).ctypes, data

    function, data = made()
    data *= 2.0
    del data
    gc.collect()
    garbage = [np.full(1000, np.nan) for _ in range(100)]
    gradient = np.empty(1000)
    assert function(np.ones(1000), gradient) == -1
    assert len(garbage) == 100
    np.testing.assert_array_equal(gradient, 2 * np.arange(1000.0))


@pytest.mark.parametrize("n", [3, 3000])
def test_threads_at_once(n: int) -> None:
    """Workspaces on the stack, and those on the heap."""

    def f(x: Any) -> Any:
        for _ in range(3):
            x = np.sin(x) * np.cos(x[::-1]) + 0.1
        return np.sum(x)

    x = RNG.normal(size=(8, n))
    compiled = c.compile(fg.grad(f), x[0])
    assert (compiled.code.workspace * 8 > 1 << 16) == (n == 3000)
    expected = [called(compiled, row, shapes=[(n,)])[1][0] for row in x]
    np.testing.assert_allclose(expected[0], fg.grad(f)(x[0]), rtol=1e-11)
    wrong: list[int] = []

    def work(start: int) -> None:
        for repeat in range(200):
            k = (start + repeat) % len(x)
            if not np.array_equal(called(compiled, x[k], shapes=[(n,)])[1][0], expected[k]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ---- programs in C

DESCENT = """
#include <stdio.h>
#include "objective.h"

/* Gradient descent with a step that is halved until the value falls; returns the number of steps. */
int minimize(objective f, double *x, double *value_found) {
    double value, gradient[4], trial_value, trial_gradient[4], trial[4];
    int steps = 0;
    if (f(x, &value, gradient) != -1) return -1;
    for (; steps < 200000; steps++) {
        double size = 0, step = 1.0;
        for (int i = 0; i < 4; i++) size += gradient[i] * gradient[i];
        if (size < 1e-18) break;
        for (;;) {
            for (int i = 0; i < 4; i++) trial[i] = x[i] - step * gradient[i];
            if (f(trial, &trial_value, trial_gradient) != -1) return -1;
            if (trial_value <= value - 0.3 * step * size || step < 1e-14) break;
            step *= 0.5;
        }
        for (int i = 0; i < 4; i++) { x[i] = trial[i]; gradient[i] = trial_gradient[i]; }
        value = trial_value;
    }
    *value_found = value;
    return steps;
}
"""


@needs_gcc
def test_a_program_in_c_runs_gradient_descent(tmp_path: Path) -> None:
    compiled = c.compile(fg.value_and_grad(rosenbrock), np.zeros(4))
    compiled.write_header(tmp_path, "objective")
    (tmp_path / "descent.c").write_text(DESCENT)
    command = [
        "gcc",
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O2",
        "-shared",
        "-fPIC",
        "descent.c",
        "-o",
        "descent.so",
    ]
    subprocess.run(command, cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "descent.so"))
    library.minimize.argtypes = [ctypes.c_void_p, DOUBLES, DOUBLES]
    x, value = np.array([-1.2, 1.0, -1.2, 1.0]), ctypes.c_double()
    steps = library.minimize(compiled.address, x.ctypes.data_as(DOUBLES), ctypes.byref(value))
    assert steps > 100
    np.testing.assert_allclose(fg.grad(rosenbrock)(x), 0.0, atol=1e-7)
    assert value.value == pytest.approx(rosenbrock(x), abs=1e-12)


@needs_gcc
def test_headers_are_c99(tmp_path: Path) -> None:
    c.compile(branching, np.ones(2)).write_header(tmp_path, "one")
    c.log_density(rosenbrock, np.ones(2)).write_header(tmp_path, "other")
    (tmp_path / "both.c").write_text('#include "one.h"\n#include "one.h"\n#include "other.h"\none f; other g;\n')
    subprocess.run(["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-c", "both.c"], cwd=tmp_path, check=True)
    with pytest.raises(fg.InputError, match="needs a name"):
        c.compile(branching, np.ones(2)).header("no name")


# ---- log densities


def density_at(function: c.Function, x: Any, n: int | None = None) -> tuple[int, float, Any]:
    x, gradient, value = np.asarray(x, float), np.full(np.shape(x), 7.0), np.full(1, 7.0)
    pointers = [array.ctypes.data_as(DOUBLES) for array in (x, gradient, value)]
    return function.ctypes(len(x) if n is None else n, *pointers, None), float(value[0]), gradient


def test_log_densities_take_all_arguments_in_a_row() -> None:
    def f(p: Any, shift: Any) -> Any:
        return -np.sum((p["a"] - shift) ** 2) - np.exp(p["b"])

    density = c.log_density(f, {"a": np.zeros((2, 2)), "b": 0.0}, 1.0)
    status, value, gradient = density_at(density, [1.0, 2.0, 3.0, 4.0, 0.5, 2.0])
    a, b = np.array([1.0, 2.0, 3.0, 4.0]), 0.5
    assert status == 0
    assert value == pytest.approx(-np.sum((a - 2) ** 2) - np.exp(b), rel=1e-15)
    np.testing.assert_allclose(gradient, [*(-2 * (a - 2)), -np.exp(b), np.sum(2 * (a - 2))], rtol=1e-15)
    assert " * x[4]: p['b'] ()" in density.header("density")


STATUSES = {
    "a value that is not finite": (3.0, np.inf, 4),
    "a gradient that is not finite": (0.0, 0.0, 3),
    "another way": (-1.0, 0.0, -3),
    "all is well": (4.0, 0.0, 0),
}


@pytest.mark.parametrize("case", STATUSES)
def test_log_densities_say_what_is_wrong(case: str) -> None:
    x, shift, expected = STATUSES[case]

    def f(x: Any) -> Any:
        if x[0] >= 0:
            return np.sqrt(x[0]) + x[1]
        return x[0]

    assert density_at(c.log_density(f, np.ones(2)), [x, shift])[0] == expected


def test_log_densities_refuse_another_size_and_derivatives() -> None:
    density = c.log_density(rosenbrock, np.ones(2))
    assert density_at(density, np.ones(3))[0] == -1
    assert density_at(density, np.ones(2), 1)[0] == -1
    with pytest.raises(fg.InputError, match="takes the function itself"):
        c.log_density(fg.grad(rosenbrock), np.ones(2))
    with pytest.raises(fg.InputError, match="returns one number"):
        c.log_density(lambda x: x, np.ones(2))
