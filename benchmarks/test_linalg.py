"""What does a step of linear algebra cost beyond NumPy's own time?"""

import numpy as np
import pytest
from comparison import Row, fastest

import fastgrad as fg
from fastgrad.derivative import Derivative
from fastgrad.forms import Form
from fastgrad.plan.request import Kind, Request
from fastgrad.vm.array_executor import ArrayExecutor


def total(matrix, right):
    return np.sum(np.linalg.solve(matrix, right))


@pytest.mark.parametrize("n", [3, 10, 100])
def test_overhead_of_a_linear_system(report, n):
    random = np.random.default_rng(0)
    matrix, right = random.standard_normal((n, n)) + 3 * np.eye(n), random.standard_normal(n)
    prepared = Derivative(total, Form.VALUE).prepare(matrix, right)
    executor = ArrayExecutor(fg.record(total, matrix, right), Request(Kind.VALUES, (), 1, True))
    results = executor.allocate()
    works = {
        "prepared call": lambda: prepared(matrix, right),
        "steps without the call around": lambda: executor([matrix, right], [], results),
        "np.linalg.solve": lambda: np.linalg.solve(matrix, right),
    }
    times = fastest(works)
    overhead = times["prepared call"] - times["np.linalg.solve"]
    work = f"value of the sum of solve, n={n}: prepared call less np.linalg.solve"
    report(Row(work, overhead, {}, times, bar=3e-6, judged_alone=True), works["prepared call"])
    np.testing.assert_allclose(prepared(matrix, right), total(matrix, right), rtol=1e-12)
    np.testing.assert_allclose(results[0], total(matrix, right), rtol=1e-12)
