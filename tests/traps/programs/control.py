"""Branches, loops and Python's own functions on values."""

import functools
import itertools
import math
import statistics

import numpy as np

from tests.traps.trap import trap

ROOT = math.sqrt(2.0)


@trap(2.0, ROOT, 0.5 / ROOT, also=((9.0, 3.0, 1.0 / 6.0),), rtol=1e-9)
def newton_until_it_converges(x):
    """`while abs(step) > tolerance`: the derivative of the root."""
    y = x
    step = 1.0
    while abs(step) > 1e-12:
        step = (y * y - x) / (2.0 * y)
        y = y - step
    return y


@trap(2.0, ROOT, 0.5 / ROOT, also=((9.0, 3.0, 1.0 / 6.0), (5.0, math.sqrt(5.0), 0.5 / math.sqrt(5.0))), rtol=1e-9)
def bisection_and_a_newton_step(x):
    """Forty comparisons; a last Newton step brings the derivative in."""
    low, high = 0.0, 10.0
    for _ in range(40):
        middle = (low + high) / 2
        if middle * middle < x:
            low = middle
        else:
            high = middle
    return low - (low * low - x) / (2 * low)


@trap(2.0, ROOT, 0.5 / ROOT, also=((3.0, math.sqrt(3.0), 0.5 / math.sqrt(3.0)),), rtol=1e-9)
def secant_method(x):
    """The number of steps depends on the argument."""
    a, b = x, 1.0
    while abs(b * b - x) > 1e-13:
        a, b = b, b - (b * b - x) * (b - a) / (b * b - a * a)
    return b


@trap([3.0, 1.0, 2.0], 14.0, [3.0, 1.0, 2.0], also=(([1.0, 3.0, 2.0], 14.0, [1.0, 3.0, 2.0]),))
def sorted_by_python(x):
    """`sorted` compares values."""
    return sum(weight * value for weight, value in zip([1.0, 2.0, 3.0], sorted(x), strict=True))


@trap([3.0, 1.0, -4.0], 4.0, [0.0, 0.0, -1.0], also=(([3.0, 1.0, -2.0], 3.0, [1.0, 0.0, 0.0]),))
def max_and_sorted_by_a_key(x):
    """`max(..., key=abs)`."""
    largest = max(x, key=abs)
    return abs(largest)


@trap([3.0, 1.0, 2.0], 4.0, [1.0, 1.0, 0.0], also=(([1.0, 5.0, 3.0], 6.0, [1.0, 1.0, 0.0]),))
def max_and_min_by_python(x):
    """Builtin `max` and `min` over an array."""
    return max(x) + min(x)


@trap((2.0, 3.0), 9.0, (0.0, 6.0), also=(((4.0, 3.0), 16.0, (8.0, 0.0)),))
def max_of_two_by_python(x, y):
    """Builtin `max` of two numbers: another one at the next call."""
    return max(x, y) ** 2


@trap([1.0, 2.0, 3.0], 14.0, [2.0, 4.0, 6.0])
def sum_by_python(x):
    """Builtin `sum` over a generator."""
    return sum(value * value for value in x)


@trap([1.0, 2.0, 3.0], 12.0, [12.0, 6.0, 4.0], second=[[0.0, 6.0, 4.0], [6.0, 0.0, 2.0], [4.0, 2.0, 0.0]])
def reduce_and_accumulate(x):
    """`functools.reduce` for the product, twice; `itertools.accumulate` for the last one."""
    product = functools.reduce(lambda a, b: a * b, x)
    *_, last = itertools.accumulate(x, lambda a, b: a * b)
    return product + last


@trap([1.0, 2.0, 6.0], 9.0, [2.0, 2.0, 2.0])
def mean_by_the_standard_library(x):
    """`statistics.fmean`."""
    return statistics.fmean(x) ** 2


@trap(2.0, 4.0, 4.0, second=2.0, also=((-2.0, 8.0, -12.0), (3.0, 9.0, 6.0)))
def if_else(x):
    """`x^2` above 0, `-x^3` below."""
    if x > 0:
        return x**2
    return -(x**3)


@trap(0.5, 0.25, 1.0, also=((1.5, 1.0, 0.0), (-0.5, 0.0, 0.0), (0.75, 0.5625, 1.5)))
def chained_comparison(x):
    """`0 < x < 1`."""
    return x * x if 0 < x < 1 else (0.0 if x <= 0 else 1.0)


@trap(2.2, 2.2**2, 4.4, also=((3.3, 3.3**3, 3 * 3.3**2), (2.4, 2.4**2, 4.8), (0.2, 1.0, 0.0)))
def loop_bound_from_the_argument(x):
    """`for _ in range(int(x + 0.5))`: `x` to the power of `x` rounded."""
    power = 1.0
    for _ in range(int(x + 0.5)):
        power = power * x
    return power


@trap(3.0, 6.0, 2.0, also=((9.0, 9.0, 1.0), (1.0, 8.0, 8.0)))
def loop_until_it_is_large(x):
    """Doubled until it is at least 5."""
    while x < 5:
        x = 2.0 * x
    return x


def _power(x, n):
    if n == 0:
        return 1.0
    half = _power(x * x, n // 2)
    return half * x if n % 2 else half


@trap((2.0, 10), 1024.0, 5120.0, argnums=(0,), also=(((2.0, 3), 8.0, 12.0),))
def recursion_on_a_whole_number(x, n):
    """Power by squaring; `n` is another argument."""
    return _power(x, n)


def _collatz(x, depth):
    if depth == 6 or x <= 1.0:
        return x
    return _collatz(x / 2.0 if int(x) % 2 == 0 else 3.0 * x + 1.0, depth + 1)


@trap(6.5, 26.1875, 27.0 / 8.0, also=((2.1, 2.05625, 9.0 / 16.0), (6.25, 4.140625, 9.0 / 16.0)))
def recursion_on_values(x):
    """The path depends on the values."""
    return _collatz(x, 0)


@trap([1.0, 2.0, -3.0, 4.0], 5.0, [2.0, 4.0, 0.0, 0.0], also=(([1.0, -2.0, 3.0, 4.0], 1.0, [2.0, 0.0, 0.0, 0.0]),))
def break_at_the_first_negative(x):
    """`break` on a value."""
    total = 0.0
    for value in x:
        if value < 0:
            break
        total = total + value**2
    return total


@trap(2.0, 0.5, -0.25, also=((0.0, 7.0, 0.0), (4.0, 0.25, -0.0625)), differences=False)
def exception_on_a_value(x):
    """`try: raise ... except` decides the result."""
    try:
        if x == 0:
            raise ZeroDivisionError
        return 1.0 / x
    except ZeroDivisionError:
        return 7.0


@trap(2.0, 4.0, 4.0, also=((-1.0, 1.0, -1.0),))
def pattern_matching(x):
    """`match` with a guard on the value."""
    match (x, x > 0):
        case (value, positive) if positive:
            return value * value
        case (value, _):
            return -value


@trap(0.0, 1.0, 0.0, also=((2.0, 2.0, 1.0), (0.0, 1.0, 0.0)), differences=False)
def truth_of_a_number(x):
    """`if x:` and `not x`."""
    if not x:
        return 1.0
    return x


@trap([1.0, 2.0], 3.0, [1.0, 1.0], also=(([1.0, -2.0], 2.0, [0.0, -1.0]), ([-1.0, -2.0], 0.0, [0.0, 0.0])))
def any_and_all(x):
    """`all(x > 0)`, `any(x > 0)`, `(x > 0).all()`."""
    if all(x > 0):
        return np.sum(x)
    if (x > 0).any():
        return -np.min(x)
    return 0.0


@trap([0.5, 2.0], 4.0, [8.0, 2.0], also=(([1.5, 2.0], 18.0, [12.0, 9.0]), ([0.25, 3.0], 3.0, [12.0, 1.0])))
def index_from_a_value(x):
    """`table[int(x)]`: another entry at the next call."""
    table = np.array([4.0, 6.0])
    return table[int(x[0])] * x[0] * x[1]


@trap(
    (2.5, [1.0, 3.0, 4.0]),
    3.5,
    (1.0 / 3.0, [0.0, 0.5, 0.5]),
    also=(((0.25, [1.0, 3.0, 4.0]), 1.5, (2.0, [0.75, 0.25, 0.0])),),
)
def interpolation_by_searchsorted(x, values):
    """Linear interpolation between nodes found by the value of the argument."""
    nodes = np.array([0.0, 1.0, 4.0])
    i = np.searchsorted(nodes, x) - 1
    weight = (x - nodes[i]) / (nodes[i + 1] - nodes[i])
    return (1.0 - weight) * values[i] + weight * values[i + 1]


@trap((2.0, [1.0, 3.0, 4.0]), 10.0 / 3.0, (1.0 / 3.0, [0.0, 2.0 / 3.0, 1.0 / 3.0]))
def interpolation_by_numpy(x, values):
    """`np.interp` by the position and by the values."""
    return np.interp(x, np.array([0.0, 1.0, 4.0]), values)


@trap(1.0, 1.0, 3.0, also=((2.0, 8.0, 12.0),))
def assertion_on_a_value(x):
    """`assert`, `print` formatting and comparison to infinity do not disturb."""
    assert x > 0, f"{x} is not positive"
    assert np.all(np.isfinite(x))
    return x**3


@trap(0.5, math.exp(0.5), math.exp(0.5), rtol=1e-12, also=((2.0, math.exp(2.0), math.exp(2.0)),))
def series_until_its_terms_vanish(x):
    """The exponential by its series; more terms for larger arguments."""
    total = term = 1.0
    k = 0
    while abs(term) > 1e-17 * abs(total):
        k += 1
        term = term * x / k
        total = total + term
    return total


@trap(
    1.0, math.exp(-1.0), -math.exp(-1.0), rtol=1e-3, also=((3.0, math.exp(-3.0), -math.exp(-3.0)),), differences=False
)
def integrator_with_adaptive_steps(rate):
    """Heun's method for `y' = -rate y`; the step size follows an error estimate, which is differentiated too."""
    t, y, h = 0.0, 1.0, 0.1
    while t < 1.0:
        h = min(h, 1.0 - t)
        k1 = -rate * y
        k2 = -rate * (y + h * k1)
        error = abs(h * (k2 - k1) / 2)
        if error < 1e-6:
            t, y = t + h, y + h * (k1 + k2) / 2
        h = h * min(2.0, max(0.2, 0.9 * (1e-6 / (error + 1e-30)) ** 0.5))
    return y


@trap([1.0, 2.0, 3.0], 3.0, [1.0, 1.0, 0.0], also=(([1.0, 5.0, 3.0], 4.0, [1.0, 0.0, 1.0]),))
def shortest_path(x):
    """A table filled by `min` of two sums."""
    cost = np.zeros((2, 2))
    cost[0, 0] = x[0]
    cost[0, 1] = cost[0, 0] + x[1]
    cost[1, 0] = cost[0, 0] + x[2]
    cost[1, 1] = min(cost[0, 1], cost[1, 0])
    return cost[1, 1]


@functools.lru_cache
def _remembered(x):
    return x * x


@trap(3.0, 9.0, 6.0, refusal="TypeError", also=((4.0, 16.0, 8.0),))
def memory_of_a_cache(x):
    """`functools.lru_cache` on a function of the value."""
    return _remembered(x)


@trap([1.0, 2.0], 5.0, [2.0, 4.0], also=(([3.0, 2.0], 13.0, [6.0, 4.0]),))
def vectorized_function_with_a_branch(x):
    """`np.vectorize` of a function with an `if`."""

    def square(value):
        if value < 0:
            return 0.0 * value
        return value * value

    return np.sum(np.vectorize(square)(x))


@trap([1.0, -2.0, 3.0], 12.0, [2.0, -1.0, 6.0])
def piecewise(x):
    """`np.piecewise` with functions."""
    return np.sum(np.piecewise(x, [x < 0, x >= 0], [lambda part: -part, lambda part: part**2]))


@trap([1.0, -2.0, 3.0], 12.0, [2.0, -1.0, 6.0])
def select(x):
    """`np.select` with conditions."""
    return np.sum(np.select([x < 0, x < 10], [-x, x**2], 0.0))
