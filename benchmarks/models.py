"""The functions that several benchmarks differentiate: plain Python and NumPy."""

import numpy as np

POINT = np.array([0.55, 0.028, 0.8, 0.024, 30.0, 4.0])


def simulation(parameters, n_steps=200, step=0.1):
    """Lotka-Volterra after classical Runge-Kutta steps: the sum of the squares of both populations."""
    growth, predation, death, conversion, x, y = parameters

    def rates(x, y):
        return growth * x - predation * x * y, conversion * x * y - death * y

    for _ in range(n_steps):
        x1, y1 = rates(x, y)
        x2, y2 = rates(x + step / 2 * x1, y + step / 2 * y1)
        x3, y3 = rates(x + step / 2 * x2, y + step / 2 * y2)
        x4, y4 = rates(x + step * x3, y + step * y3)
        x = x + step / 6 * (x1 + 2 * x2 + 2 * x3 + x4)
        y = y + step / 6 * (y1 + 2 * y2 + 2 * y3 + y4)
    return x * x + y * y


def rosenbrock(x):
    """Rosenbrock's function of any number of variables, with slices."""
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
