"""What does a call cost? The gradient of a function of two variables, array in, array out."""

import numpy as np
from scipy.optimize import rosen_der

import fastgrad as fg

WORK = "Rosenbrock n=2: gradient"
POINT = np.array([-1.2, 1.0])


def two_variables(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def empty_call(numba):
    """A compiled function that takes and returns an array and does nothing: what a call from Python costs at least."""
    if numba is None:
        return None
    compiled = numba.njit(lambda x: x)
    return lambda: compiled(POINT)


def casadi_gradient(casadi):
    """CasADi's quickest call, its result, and what must stay alive."""
    if casadi is None:
        return None, None, None
    x = casadi.SX.sym("x", 2)
    function = casadi.Function("gradient", [x], [casadi.gradient(two_variables([x[0], x[1]]), x)])
    buffer, evaluate = function.buffer()
    result = np.zeros(2)
    buffer.set_arg(0, memoryview(POINT))
    buffer.set_res(0, memoryview(result))
    return evaluate, result, buffer


def assert_follows_its_input(gradient_at):
    """Right at other points than the one that was timed, too."""
    for point in (POINT, *np.random.default_rng(0).normal(size=(5, 2))):
        np.testing.assert_allclose(gradient_at(point), rosen_der(point))


def test_gradient_returned_in_a_new_array(compare, peer):
    gradient = fg.grad(two_variables)
    casadi, casadi_result, _keep = casadi_gradient(peer("casadi"))
    compare(
        WORK,
        lambda: gradient(POINT),
        {"empty @njit call": empty_call(peer("numba"))},
        {"CasADi buffers": casadi, "SciPy rosen_der": lambda: rosen_der(POINT)},
        bar=1.5,
        reach=0.8,
    )
    assert_follows_its_input(gradient)
    if casadi:
        np.testing.assert_allclose(casadi_result, rosen_der(POINT))


def test_gradient_written_into_an_array_of_the_caller(compare, peer):
    out = np.empty(2)
    into = fg.grad(two_variables).prepare(POINT).into
    casadi, _casadi_result, _keep = casadi_gradient(peer("casadi"))
    compare(
        f"{WORK}, into the caller's array",
        lambda: into(POINT, out),
        {"empty @njit call": empty_call(peer("numba"))},
        {"CasADi buffers": casadi},
        bar=0.8,
        reach=0.3,
    )

    def gradient(point):
        out[:] = np.nan
        into(point, out)
        return out

    assert_follows_its_input(gradient)


def test_gradient_of_bound_arrays(compare, peer):
    x, out = POINT.copy(), np.zeros(2)
    update = fg.grad(two_variables).prepare(x).bind(x, out)
    casadi, _casadi_result, _keep = casadi_gradient(peer("casadi"))
    compare(f"{WORK}, arrays bound once", update, {"CasADi buffers": casadi}, bar=1.0, reach=0.5)

    def gradient(point):
        x[:], out[:] = point, np.nan
        update()
        return out

    assert_follows_its_input(gradient)
