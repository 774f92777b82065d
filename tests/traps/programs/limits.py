"""Limits of differentiating the operations one by one."""

import numpy as np

from fastgrad import grad
from tests.traps.trap import numpy, session, trap

# 2 (1 1 + (e0 - e2)^2 + (e1 - e3)^2 + s s) with s = (1, -1, 1, -1)
SECOND_OF_SPECTRUM = [[6.0, 0.0, 2.0, 0.0], [0.0, 6.0, 0.0, 2.0], [2.0, 0.0, 6.0, 0.0], [0.0, 2.0, 0.0, 6.0]]


@trap(0.0, 0.0, 1.0, differences=False)
def square_of_a_root_at_0(x):
    """`sqrt(x) ** 2` is `x`, by `0 * inf`."""
    return np.sqrt(x) ** 2


@trap([0.0, 1.0], 0.0, [2.0, 0.0], differences=False)
def harmonic_mean_with_a_zero(x):
    """`2 / (1/x0 + 1/x1)` is `2 x0 x1 / (x0 + x1)`; on the way `1 / 0`."""
    return 2.0 / np.sum(1.0 / x)


@trap([0.0, 0.0], 0.0, [0.0, 0.0], second=[[2.0, 0.0], [0.0, 2.0]])
def square_of_a_norm_at_0(x):
    """`norm(x) ** 2` is `x @ x`: the second derivative is 2."""
    return np.linalg.norm(x) ** 2


@trap(0.0, 0.0, 0.0, second=2.0)
def root_of_a_fourth_power_at_0(x):
    """`sqrt(x ** 4)` is `x ** 2`: the second derivative is 2."""
    return np.sqrt(x**4)


@trap(0.0, 1.0, 0.0, second=-1.0 / 3.0)
def second_derivative_of_a_guarded_quotient(x):
    """`sin(x) / x` with the constant 1 at 0: the constant is what is differentiated."""
    return np.where(x == 0, 1.0, np.sin(x) / x).sum()


@trap(1.0, 1.0, 2.0, also=((3.0, 9.0, 6.0),))
def branch_for_a_single_point(x):
    """`x ** 2`, with its value at 1 given as a constant: the constant is what is differentiated."""
    if x == 1.0:
        return 1.0
    return x**2


@trap(0.0, 0.0, 1.0)
def identity_as_a_difference_of_maxima(x):
    """`max(x, 0) - max(-x, 0)` is `x`."""
    return np.maximum(x, 0.0) - np.maximum(-x, 0.0)


@trap(0.0, 0.0, 1.0)
def identity_by_where_at_its_joint(x):
    """`where(x > 0, x, 0) + where(x < 0, x, 0)` is `x`; at 0 both constants are taken."""
    return np.where(x > 0, x, 0.0).sum() + np.where(x < 0, x, 0.0).sum()


@trap(1e200, 1.0, 0.0, rtol=1e-12)
def quotient_of_overflowing_squares(x):
    """`x^2 / (1 + x^2)` with an overflow on the way that does no harm."""
    return 1.0 / (1.0 + 1.0 / x**2)


@session(numpy.float32(2e30))
def float32_that_overflows():
    """`x * x` is infinite in float32, not in float64, and a branch asks whether it is."""

    def function(x):
        y = x * x
        if np.isinf(y):
            return y
        return x

    return [grad(function)(numpy.float32(1e30))]


@trap([1.0, 1.0, 1.0, 1.0], 16.0, [8.0, 8.0, 8.0, 8.0], second=SECOND_OF_SPECTRUM, atol=1e-14)
def second_derivative_of_a_power_spectrum(x):
    """`|rfft(x)|^2` at frequency 0, 1 and 2: at the last two it is exactly 0, and `abs` has its kink there."""
    return np.sum(np.abs(np.fft.rfft(x)) ** 2)
