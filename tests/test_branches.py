"""Recordings and guards: each way that the control flow goes has its own tape, and the wrong one never answers."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.branch_choice import MAX_BRANCHES, MAX_SIGNATURES


def counted(function: Any) -> tuple[Any, np.ndarray]:
    """The function, and how often it has been run (an array, which a change does not make a new recording)."""
    runs = np.zeros(1)

    def run(*args: Any) -> Any:
        runs[0] += 1
        return function(*args)

    return run, runs


def switch(x: Any) -> Any:
    return x**2 if x > 1 else 3 * x


def newton(x: Any) -> Any:
    y = x
    while abs(y * y - x) > 1e-12 * x:
        y = 0.5 * (y + x / y)
    return y


def collatz(x: Any) -> Any:
    n = int(x)
    for _ in range(n):
        x = x * 1.5
    return x


def chained(x: Any) -> Any:
    if (x > 0 and x < 1) or x == 5:
        return x * 2
    if not x >= 0:
        return x * 3
    return x * 4 if x != 2 else x * 5


CASES = {
    "if": (switch, [(2.0, 4.0), (0.5, 3.0), (1.0, 3.0), (-7.0, 3.0), (3.0, 6.0)]),
    "while": (newton, [(x, 0.5 / math.sqrt(x)) for x in (2.0, 9.0, 1e-3, 1.5, 1e5)]),
    "int": (collatz, [(k + f, 1.5**k) for k in range(5) for f in (0.0, 0.4, 0.99)]),
    "conditions": (chained, [(0.5, 2.0), (5.0, 2.0), (-1.0, 3.0), (2.0, 5.0), (3.0, 4.0), (1.0, 4.0), (0.0, 4.0)]),
    "abs and max": (lambda x: max(abs(x), x * x), [(0.5, 1.0), (-0.5, -1.0), (3.0, 6.0), (-3.0, -6.0)]),
    "sorted": (lambda x: sorted([x, 1.0, 2 * x])[1], [(2.0, 1.0), (0.75, 0.0), (0.25, 2.0), (-1.0, 1.0)]),
    "floor and ceil": (
        lambda x: math.floor(x) * x + math.ceil(x) * x + round(x) * x,
        [(1.2, 4.0), (1.7, 5.0), (-0.2, -1.0)],
    ),
    "truth": (lambda x: x * 2 if x else x * 3, [(1.0, 2.0), (0.0, 3.0), (-0.0, 3.0), (5e-324, 2.0)]),
    "nan": (lambda x: x * 2 if x == x else 3 * x, [(1.0, 2.0), (math.nan, 3.0), (2.0, 2.0), (math.nan, 3.0)]),
    "np.any": (lambda x: x * 2 if np.any(x > [1.0, 5.0]) else x * 3, [(0.0, 3.0), (2.0, 2.0), (6.0, 2.0)]),
    "in": (lambda x: x * 2 if x in (1.0, 4.0) else x * 3, [(1.0, 2.0), (4.0, 2.0), (3.0, 3.0)]),
}


@pytest.mark.parametrize("transform", ["grad", "jacobian", "jvp", "vjp", "value"])
@pytest.mark.parametrize("name", CASES)
def test_each_input_gets_the_derivative_of_its_own_branch(name, transform):
    function, points = CASES[name]
    derivative = {
        "grad": fg.grad(function),
        "jacobian": fg.jacobian(function),
        "jvp": lambda x: fg.jvp(function, (x,), (1.0,))[1],
        "vjp": lambda x: fg.vjp(function, x)[1](1.0)[0],
        "value": lambda x: fg.value_and_grad(function)(x)[1],
    }[transform]
    for _ in range(3):
        for x, expected in points + points[::-1]:
            assert derivative(x) == pytest.approx(expected, rel=1e-9), x


def test_both_branches_stay_cached():
    function, runs = counted(switch)
    gradient = fg.grad(function)
    for _ in range(10):
        assert gradient(2.0) == 4.0
        assert gradient(0.5) == 3.0
    assert runs[0] == 2


def test_other_values_in_the_same_branch_need_no_recording():
    function, runs = counted(newton)
    value_and_grad = fg.value_and_grad(function)
    for x in np.linspace(2.0, 2.0001, 50):
        value, _ = value_and_grad(x)
        assert value == pytest.approx(math.sqrt(x), rel=1e-12)
    assert runs[0] == 1


@pytest.mark.parametrize("delta", [-1, 0, 1])
def test_the_last_bit_of_the_input_decides(delta):
    gradient = fg.grad(switch)
    x = np.nextafter(1.0, 1.0 + delta) if delta else 1.0
    for _ in range(4):
        assert gradient(2.0) == 4.0
        assert gradient(0.5) == 3.0
        assert gradient(x) == (2 * x if x > 1 else 3.0)


def test_a_tie_in_the_last_bit_of_a_computed_value_is_decided_as_the_function_decides_it():
    # the kernels' own exp may differ from NumPy's in the last bit; whichever way the comparison goes, an answer comes,
    # and it is that of the branch which NumPy takes at points where the two are clearly apart
    points = np.random.default_rng(5).uniform(-3.0, 3.0, 300)
    for x in points:
        bound = float(np.exp(x))

        def function(y: Any, bound: Any) -> Any:
            return 2.0 * y if np.exp(y) > bound else 3.0 * y

        gradient = fg.grad(function)
        assert gradient(x, bound) in (2.0, 3.0)
        assert gradient(x, bound * (1 + 1e-15)) == 3.0
        assert gradient(x, bound * (1 - 1e-15)) == 2.0


def test_branches_of_arrays_are_guarded_too():
    def function(x: Any) -> Any:
        total = 0.0
        for row in x:
            if row.sum() > 0:
                total = total + np.sum(row**2)
            else:
                total = total - np.sum(row)
        return total

    gradient = fg.grad(function)
    random = np.random.default_rng(2)
    for _ in range(40):
        x = random.standard_normal((3, 400))
        np.testing.assert_allclose(gradient(x), np.where(x.sum(1, keepdims=True) > 0, 2 * x, -1.0), rtol=1e-14)


def test_guards_hold_in_second_derivatives():
    hessian = fg.hessian(lambda x: np.sum(x**3) if x[0] > 0 else np.sum(x**2))
    for x in (np.array([1.0, 2.0]), np.array([-1.0, 2.0]), np.array([2.0, 3.0])):
        np.testing.assert_allclose(hessian(x), np.diag(6 * x) if x[0] > 0 else 2 * np.eye(2))


def test_a_guard_on_data_that_is_not_differentiated_is_checked():
    gradient = fg.grad(lambda x, y: x * 2 if y > 0 else x * 3)
    assert [float(gradient(1.0, y)) for y in (1.0, -1.0, 2.0, -2.0)] == [2.0, 3.0, 2.0, 3.0]


def test_a_guard_on_captured_data_is_checked():
    data = np.array([1.0])

    def function(x: Any) -> Any:
        return x * 2 if (x * 0 + data)[0] > 0 else x * 3

    gradient = fg.grad(function)
    found = []
    for value in (1.0, -1.0, 2.0, -2.0):
        data[0] = value
        found.append(float(gradient(1.0)))
    assert found == [2.0, 3.0, 2.0, 3.0]


@pytest.mark.filterwarnings("ignore::fastgrad.RecordingWarning")
def test_more_branches_and_signatures_than_are_kept_are_right_all_the_same():
    gradient = fg.grad(collatz)
    for _ in range(2):
        for k in range(MAX_BRANCHES + 5):
            assert gradient(k + 0.5) == pytest.approx(1.5**k)
    gradient = fg.grad(lambda x, n: np.sum(x) * n)
    for _ in range(2):
        for n in range(MAX_SIGNATURES + 5):
            assert gradient(1.0, n) == n
    assert gradient.explain(1.0, 0).cached_branches <= MAX_SIGNATURES


def test_threads_on_different_branches_get_their_own_results():
    gradient = fg.grad(chained)
    points = [x for x, _ in CASES["conditions"][1]] * 30
    expected = [slope for _, slope in CASES["conditions"][1]] * 30
    with ThreadPoolExecutor(4) as pool:
        assert [float(found) for found in pool.map(gradient, points)] == expected
