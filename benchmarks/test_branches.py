"""What does control flow cost? Guards in a sweep, calls that take two ways in turns, batches that take several."""

import numpy as np
import pytest
from comparison import Row, fastest

import fastgrad as fg

N_GUARDS = 200
POINT = np.array([1.0, 0.5, 0.25])
N_EXAMPLES = 10_000


def straight(x):
    y = x[0]
    for _ in range(N_GUARDS):
        y = y * x[1] + x[2]
    return y


def guarded(x):
    y = x[0]
    for _ in range(N_GUARDS):
        y = y * x[1] + x[2]
        if y < 0:
            y = -y
    return y


def report_guard_cost(report, work, ours, plain, per):
    times = fastest({"guarded": ours, "plain": plain})
    row = Row(
        work,
        max(times["guarded"] - times["plain"], 0.0) / per,
        others={"the step it is in": times["plain"] / per},
        bar=2e-9,
        judged_alone=True,
    )
    report(row, ours)


def test_a_guard_in_a_single_call(report):
    plain, ours = (fg.value_and_grad(function).prepare(POINT) for function in (straight, guarded))
    report_guard_cost(
        report, "A guard in a prepared call: time added", lambda: ours(POINT), lambda: plain(POINT), N_GUARDS
    )
    np.testing.assert_array_equal(ours(POINT)[1], plain(POINT)[1])
    assert len(fg.record(guarded, POINT).guard_nodes) == N_GUARDS


def test_a_guard_in_a_batch(report):
    examples = np.abs(np.random.default_rng(0).normal(size=(N_EXAMPLES, 3)))
    plain, ours = (fg.vmap(fg.value_and_grad(function), threads=1) for function in (straight, guarded))
    work = "A guard in a batch: time added, per input"
    report_guard_cost(report, work, lambda: ours(examples), lambda: plain(examples), N_GUARDS * N_EXAMPLES)
    np.testing.assert_array_equal(ours(examples)[1], plain(examples)[1])


def two_ways(x):
    y, sign = x[0], 1.0
    if y < 0:
        sign = -1.0
    for _ in range(20):
        y = y * x[1] + sign * x[2]
    return y * y


PATTERNS = {"in turns": (1, -1), "one, one, the other": (1, 1, -1), "three, then two": (1, 1, 1, -1, -1)}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_calls_that_take_two_ways(compare, pattern):
    gradient = fg.value_and_grad(two_ways)
    calls = [POINT * [sign, 1.0, 1.0] for sign in PATTERNS[pattern] * 4]
    same = [POINT] * len(calls)

    def through(points):
        for point in points:
            gradient(point)

    for _ in range(5):
        through(calls)
    compare(
        f"Calls that take two ways, {pattern}",
        lambda: through(calls),
        {"the same way always": lambda: through(same)},
        bar=1.2,
        per=len(calls),
    )
    for point in calls:
        ahead = np.array([two_ways(point + step) for step in 1e-6 * np.eye(3)])
        behind = np.array([two_ways(point - step) for step in 1e-6 * np.eye(3)])
        np.testing.assert_allclose(gradient(point)[1], (ahead - behind) / 2e-6, rtol=1e-7, atol=1e-9)


def root_by_bisection(x):
    """The root of y**3 + y = x."""
    low, high = 0.0, 8.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        if middle**3 + middle < x:
            low = middle
        else:
            high = middle
    y = 0.5 * (low + high)
    return y - (y**3 + y - x) / (3 * y**2 + 1)


def sorted_by_insertion(x):
    y = list(x)
    for i in range(1, len(y)):
        j = i
        while j > 0 and y[j - 1] > y[j]:
            y[j - 1], y[j] = y[j], y[j - 1]
            j -= 1
    return sum(k * value for k, value in enumerate(y))


def test_a_bisection(compare):
    gradient = fg.value_and_grad(root_by_bisection)
    compare(
        "Bisection in 40 steps: value and gradient",
        lambda: gradient(5.0),
        {"the function itself": lambda: root_by_bisection(5.0)},
    )
    value, slope = gradient(5.0)
    assert value**3 + value == pytest.approx(5.0)
    assert slope == pytest.approx(1 / (3 * value**2 + 1))


def test_a_sort_written_in_python(compare):
    x = np.random.default_rng(0).normal(size=50)
    gradient = fg.value_and_grad(sorted_by_insertion)
    compare(
        "Insertion sort of 50 numbers: value and gradient",
        lambda: gradient(x),
        {"the function itself": lambda: sorted_by_insertion(x)},
    )
    np.testing.assert_array_equal(gradient(x)[1], np.argsort(np.argsort(x)))


def test_a_batch_of_newton_iterations_with_a_dozen_branches(compare):
    def root(x):
        y = x
        while abs(y * y - x) > 1e-12 * x:
            y = 0.5 * (y + x / y)
        return y

    def fixed(x):
        y = x
        for _ in range(12):
            y = 0.5 * (y + x / y)
        return y

    x = np.exp(np.random.default_rng(0).uniform(-12.0, 12.0, 100_000))
    ours, plain = (fg.vmap(fg.value_and_grad(function), threads=1) for function in (root, fixed))
    compare(
        "Square roots by Newton until converged, 100,000 in a batch, per input",
        lambda: ours(x),
        {"12 steps always, in the same batch": lambda: plain(x)},
        per=len(x),
    )
    value, slope = ours(x)
    np.testing.assert_allclose(value, np.sqrt(x), rtol=1e-12)
    np.testing.assert_allclose(slope, 0.5 / np.sqrt(x), rtol=1e-5)


def test_a_batch_of_examples_on_mixed_branches(compare):
    def payoff(x):
        """Four ways, a quarter of the examples each, of about the same work."""
        spot, volatility = x[0], x[1]
        grown = spot * np.exp(volatility * x[2])
        if spot > 1.0:
            grown = np.sin(grown) + grown
        else:
            grown = np.cos(grown) - grown
        if volatility > 0.0:
            return np.log(1.0 + grown * grown) * volatility
        return np.sqrt(1.0 + grown * grown) * volatility

    random = np.random.default_rng(0)
    points = np.stack([random.uniform(0, 2, 100_000), random.uniform(-1, 1, 100_000), random.normal(size=100_000)], 1)
    ways = [(points[:, 0] > 1.0) == first for first in (True, False)]
    both = [way & ((points[:, 1] > 0.0) == second) for way in ways for second in (True, False)]
    parts = [points[rows] for rows in both]
    batched = fg.vmap(fg.value_and_grad(payoff), threads=1)
    sorted_out = [fg.vmap(fg.value_and_grad(payoff), threads=1) for _ in parts]
    compare(
        "100,000 examples on four branches, mixed, per input",
        lambda: batched(points),
        {"each branch's in a batch of their own": lambda: [g(part) for g, part in zip(sorted_out, parts, strict=True)]},
        per=len(points),
    )
    values, slopes = batched(points)
    for rows, part, alone in zip(both, parts, sorted_out, strict=True):
        np.testing.assert_array_equal(values[rows], alone(part)[0])
        np.testing.assert_array_equal(slopes[rows], alone(part)[1])
