"""Python's control flow on recorded values: at every input the derivative is that of the way which that input takes.

Each program runs at inputs that take different ways, in changing order, and is compared with central differences of
the program itself on plain NumPy (all are smooth at the inputs used), at first and second order, alone and in a batch.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import fastgrad as fg


def early_return(x: Any) -> Any:
    if x[0] > 1:
        return x[1] ** 2
    if x[1] > 1:
        return x[0] * x[1]
    return np.sin(x[0] * x[1])


def nested_conditions(x: Any) -> Any:
    if x[0] > 0 and (x[1] > 0 or x[0] > 1):
        y = x[0] ** 3 * x[1]
    elif not x[1] > 0:
        y = np.exp(x[0]) * x[1]
    else:
        y = x[0] - x[1] ** 2
    return y


def conditional_expressions(x: Any) -> Any:
    return (x[0] if x[0] > x[1] else x[1] ** 2) * (2.0 if 0 < x[0] < 2 else 3.0)


def while_with_break(x: Any) -> Any:
    total, term, k = x[0] * 0.0, x[0] * 1.0, 0
    while True:
        total = total + term
        term = term * x[1] / (k + 2)
        k += 1
        if abs(term) < 1e-3:
            break
    return total


def while_else(x: Any) -> Any:
    y, k = x[0], 0
    while k < 4:
        y = y * x[1]
        if y > 5:
            break
        k += 1
    else:
        y = y + x[0] ** 2
    return y


def for_range_of_int(x: Any) -> Any:
    y = x[1]
    for k in range(int(x[0])):
        y = y * x[1] + k
    return y + x[0]


def continue_statement(x: Any) -> Any:
    total = 0.0
    for value in x:
        if value < 0:
            continue
        total = total + value**3
    return total


def recursion(x: Any, depth: int = 0) -> Any:
    if x[0] > 8 or depth > 6:
        return x[0] * x[1]
    return recursion(np.stack([x[0] * 2, x[1] + x[0]]), depth + 1)


def assertion(x: Any) -> Any:
    assert np.all(x < 100)
    assert x[0] != 77.0, "never"
    return x[0] * x[1]


def raised_on_a_value(x: Any) -> Any:
    try:
        if x[0] < 0:
            raise ValueError("negative")
        y = np.sqrt(x[0] + 1) * x[1]
    except ValueError:
        y = x[0] ** 2 * x[1] ** 3
    finally:
        y = y + x[0]
    return y


def lookup_error(x: Any) -> Any:
    table = {0: 2.0, 1: 3.0}
    try:
        factor = table[int(x[0])]
    except KeyError:
        factor = 5.0
    return factor * x[1] ** 2 + x[0]


def division_guarded(x: Any) -> Any:
    try:
        1 / int(x[0])
    except ZeroDivisionError:
        return x[1] ** 3
    return x[0] * x[1]


def match_on_int(x: Any) -> Any:
    match int(x[0]):
        case 0:
            return x[1] ** 2
        case 1 | 2:
            return x[1] * x[0]
        case n if n > 4:
            return x[1] ** 3
        case _:
            return np.exp(x[1])


def match_with_guard(x: Any) -> Any:
    match (x[0], x[1]):
        case (a, b) if a > b:
            return a * b**2
        case (a, b):
            return a + np.sin(b) * a


def builtin_all_any(x: Any) -> Any:
    y = np.sum(x**2) if all(value > 0 for value in x) else np.sum(x**3)
    return y * (2.0 if any(value > 2 for value in x) else 1.0)


def builtin_min_max(x: Any) -> Any:
    return min(x) * 3 + max(x) ** 2 + max(x[0], 0.5) * min(x[1], 0.25)


def builtin_sorted(x: Any) -> Any:
    return sum((k + 1) * value**2 for k, value in enumerate(sorted(x)))


def sorted_by_key(x: Any) -> Any:
    found = sorted(x, key=lambda value: -(value**2), reverse=False)
    return found[0] * 2 + found[1] ** 3


def filtered(x: Any) -> Any:
    kept = [value for value in x if value > 0]
    return sum(value**2 for value in kept) + len(kept) * x[0]


def taken_while(x: Any) -> Any:
    return sum(value**3 for value in itertools.takewhile(lambda value: value < 1, x)) + x[0]


def reduced(x: Any) -> Any:
    return functools.reduce(lambda a, b: a * b if a > b else a + b**2, x)


def insertion_sort(x: Any) -> Any:
    y = list(x)
    for i in range(1, len(y)):
        j = i
        while j > 0 and y[j - 1] > y[j]:
            y[j - 1], y[j] = y[j], y[j - 1]
            j -= 1
    return y[0] * 2 + y[1] ** 2


def bisected(x: Any) -> Any:
    """The root of y**3 + y = x[0] by bisection to the last bit, then one Newton step, which carries the derivative."""
    low, high = -10.0, 10.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if middle**3 + middle < x[0]:
            low = middle
        else:
            high = middle
    y = 0.5 * (low + high)
    for _ in range(2):
        y = y - (y**3 + y - x[0]) / (3 * y**2 + 1)
    return y * x[1]


def newton(x: Any) -> Any:
    y = x[0] * 0.0 + 1.0
    while abs(y**3 + y - x[0]) > 1e-13:
        y = y - (y**3 + y - x[0]) / (3 * y**2 + 1)
    return (y - (y**3 + y - x[0]) / (3 * y**2 + 1)) * x[1]


def euclid(x: Any) -> Any:
    a, b = abs(x[0]) + 0.013, abs(x[1])
    while b > 0.27:
        a, b = b, a - b * np.floor(a / b)
    return a * 2 + b**2


def table_search(x: Any) -> Any:
    knots = [-1.0, 0.0, 0.7, 1.5]
    k = bisect.bisect(knots, x[0])
    return (k + 1) * x[0] ** 2 * x[1]


def collatz_like(x: Any) -> Any:
    y = x[0]
    for _ in range(6):
        y = y / 2 if math.floor(y) % 2 == 0 else 1.5 * y + 0.25
    return y * x[1]


@dataclass
class Particle:
    position: Any
    speed: Any

    def bounced(self) -> Particle:
        if self.position > 1:
            return Particle(2 - self.position, -0.9 * self.speed)
        if self.position < -1:
            return Particle(-2 - self.position, -0.9 * self.speed)
        return self


def bouncing(x: Any) -> Any:
    particle = Particle(x[0], x[1])
    for _ in range(8):
        particle = Particle(particle.position + 0.3 * particle.speed, particle.speed).bounced()
    return particle.position * particle.speed


def generator(x: Any) -> Any:
    def powers() -> Any:
        value = x[0]
        while abs(value) < 4:
            yield value
            value = value * (1.5 + x[1] ** 2)

    return sum(value**2 for value in powers()) + x[1]


PROGRAMS = [
    early_return, nested_conditions, conditional_expressions, while_with_break, while_else, for_range_of_int,
    continue_statement, recursion, assertion, raised_on_a_value, lookup_error, division_guarded, match_on_int,
    match_with_guard, builtin_all_any, builtin_min_max, builtin_sorted, sorted_by_key, filtered, taken_while, reduced,
    insertion_sort, bisected, newton, euclid, table_search, collatz_like, bouncing, generator,
]  # fmt: skip

# away from kinks, and on either side of each comparison above
POINTS = [
    *([0.3, 0.7], [1.6, 0.4], [-0.6, 1.3], [2.7, 2.2], [-1.7, -0.45], [0.65, -2.3], [5.3, 0.35], [1.2, 1.7]),
    *([3.45, -0.8], [0.15, 2.9], [-2.4, 0.55], [4.2, 1.15]),
]


def differences(function: Any, x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences, extrapolated once; the leading error is of fourth order."""

    def central(h: float) -> np.ndarray:
        ahead = [np.asarray(function(x + h * axis)) for axis in np.eye(len(x))]
        behind = [np.asarray(function(x - h * axis)) for axis in np.eye(len(x))]
        return np.stack([(a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True)])

    return (4 * central(step) - central(2 * step)) / 3


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return np.array(POINTS)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_each_input_gets_the_gradient_of_its_own_way(program: Any, points: np.ndarray) -> None:
    derivative = fg.value_and_grad(program)
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(len(points)), 3))
    for k in order:
        value, gradient = derivative(points[k])
        assert value == pytest.approx(program(points[k]), rel=1e-12), points[k]
        np.testing.assert_allclose(gradient, differences(program, points[k]), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_batch_gives_each_example_what_it_would_get_alone(program: Any, points: np.ndarray) -> None:
    examples = np.tile(points, (5, 1))[np.random.default_rng(2).permutation(5 * len(points))]
    batched = fg.vmap(fg.value_and_grad(program))
    alone = fg.value_and_grad(program)
    for _ in range(2):
        values, gradients = batched(examples)
        for x, value, gradient in zip(examples, values, gradients, strict=True):
            expected, slope = alone(x)
            assert value == expected
            np.testing.assert_array_equal(gradient, slope)


@pytest.mark.filterwarnings("ignore:bisected is recorded anew")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_second_derivatives_follow_the_same_ways(program: Any, points: np.ndarray) -> None:
    hessian, gradient = fg.hessian(program), fg.grad(program)
    for x in [*points, *points[::-1]]:
        found = hessian(x)
        np.testing.assert_allclose(found, differences(gradient, x), rtol=2e-7, atol=2e-7)
        along = fg.hvp(program)(x, np.array([1.0, -2.0]))
        np.testing.assert_allclose(along, found @ [1.0, -2.0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_every_way_is_recorded_once(program: Any, points: np.ndarray) -> None:
    runs = np.zeros(1)

    def counted(x: Any) -> Any:
        runs[0] += 1
        return program(x)

    derivative = fg.grad(counted)
    for x in points:
        derivative(x)
    recorded = runs[0]
    for x in [*points[::-1], *points]:
        derivative(x)
    assert runs[0] == recorded <= len(points)


def test_an_exception_of_the_function_comes_through_and_leaves_the_other_ways_right() -> None:
    def checked(x: Any) -> Any:
        if x < 0:
            raise ValueError(f"{float(abs(x.value if hasattr(x, 'value') else x))} is too small")
        return x**2

    gradient = fg.grad(checked)
    for _ in range(3):
        assert gradient(3.0) == 6.0
        with pytest.raises(ValueError, match=r"^2\.0 is too small"):
            gradient(-2.0)
        with pytest.raises(ValueError, match=r"^4\.0 is too small"):
            gradient(-4.0)
        assert gradient(5.0) == 10.0


def test_a_failed_assertion_comes_through() -> None:
    def positive(x: Any) -> Any:
        assert x > 0, "positive, please"
        return 3 * x

    gradient = fg.grad(positive)
    for _ in range(3):
        assert gradient(1.0) == 3.0
        with pytest.raises(AssertionError, match="positive, please"):
            gradient(-1.0)


def test_ways_inside_an_inner_derivative_are_followed() -> None:
    def outer(x: Any) -> Any:
        slope = fg.grad(lambda y: y**3 if y > 1 else y**2)(x)
        return slope * x if x < 2 else slope

    gradient = fg.grad(outer)
    # x**2 * 2, x**2 * 3 * x, x**2 * 3 by turns
    for x, expected in [(0.5, 2.0), (1.5, 9 * 1.5**2), (2.5, 15.0), (0.75, 3.0), (1.25, 9 * 1.25**2), (3.0, 18.0)] * 2:
        assert gradient(x) == pytest.approx(expected, rel=1e-14)
