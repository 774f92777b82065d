"""What does a gradient cost inside a compiled function? Steps of gradient descent, in a loop of Numba's."""

import numpy as np
import pytest
from scipy.optimize import rosen_der

import fastgrad as fg

WORK = "Rosenbrock n=2: gradient inside @njit"
POINT = np.array([-1.2, 1.0])
STEPS = 10_000


def two_variables(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def by_hand(numba):
    """The gradient as one would write it for Numba, returned in a new array and written into one."""

    @numba.njit
    def gradient(x):
        inner = x[1] - x[0] * x[0]
        out = np.empty(2)
        out[0] = -400 * x[0] * inner - 2 * (1 - x[0])
        out[1] = 200 * inner
        return out

    @numba.njit
    def into(x, out):
        inner = x[1] - x[0] * x[0]
        out[0] = -400 * x[0] * inner - 2 * (1 - x[0])
        out[1] = 200 * inner

    return gradient, into


def loop_of(numba, gradient):
    """Descent whose every step asks for a gradient in a new array."""

    @numba.njit
    def descend(x):
        for _ in range(STEPS):
            slope = gradient(x)
            x = np.array([x[0] - 1e-4 * slope[0], x[1] - 1e-4 * slope[1]])
        return x

    return descend


def loop_into(numba, into):
    """The same without a new array in any step."""

    @numba.njit
    def descend(x):
        x, slope = x.copy(), np.empty(2)
        for _ in range(STEPS):
            into(x, slope)
            x[0] -= 1e-4 * slope[0]
            x[1] -= 1e-4 * slope[1]
        return x

    return descend


def loop_of_method(numba, function):
    @numba.njit
    def descend(x):
        x, slope = x.copy(), np.empty(2)
        for _ in range(STEPS):
            function.into(x, slope)
            x[0] -= 1e-4 * slope[0]
            x[1] -= 1e-4 * slope[1]
        return x

    return descend


def descended():
    x = POINT.copy()
    for _ in range(STEPS):
        x = x - 1e-4 * rosen_der(x)
    return x


@pytest.mark.parametrize("into", [False, True], ids=["new array", "given array"])
def test_a_step_of_gradient_descent(compare, peer, into):
    numba = peer("numba")
    from fastgrad.interop.numba import compile

    function = compile(fg.grad(two_variables), POINT)
    gradient, write = by_hand(numba)
    ours = loop_of_method(numba, function) if into else loop_of(numba, function)
    rival = loop_into(numba, write) if into else loop_of(numba, gradient)
    compare(
        f"{WORK}, in a {'given' if into else 'new'} array",
        lambda: ours(POINT),
        {"@njit by hand": lambda: rival(POINT)},
        bar=2.0 if not into else None,
        reach=1.2 if not into else 3.0,
        per=STEPS,
    )
    np.testing.assert_allclose(ours(POINT), descended(), rtol=1e-10)
    np.testing.assert_allclose(rival(POINT), descended(), rtol=1e-10)
