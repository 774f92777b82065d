"""Derivatives inside derivatives."""

import numpy as np

from fastgrad import grad
from tests.traps.trap import session, trap


@trap(1.0, 1.0, 1.0)
def inner_derivative_of_a_sum(x):
    """Perturbation confusion: `x d/dy (x + y)` is `x`."""
    return x * grad(lambda y: x + y)(1.0)


@trap(3.0, 9.0, 6.0, second=2.0)
def inner_derivative_of_a_product(x):
    """`x d/dy (x y)` is `x^2`."""
    return x * grad(lambda y: x * y)(2.0)


@trap(3.0, 27.0, 27.0)
def inner_derivative_at_the_outer_value(x):
    """`d/dy (x y^2 / 2)` at `y = x`, times `x`: `x^3`."""
    return x * grad(lambda y: x * y * y / 2.0)(x)


@trap(2.0, 12.0, 12.0, second=6.0)
def derivative_of_a_derivative(x):
    """`d/dx x^3`."""
    return grad(lambda y: y**3)(x)


@trap(2.0, 48.0, 24.0, second=0.0)
def three_levels(x):
    """The third derivative of `x^4`."""
    return grad(grad(grad(lambda y: y**4)))(x)


@trap(3.0, 2.0, 0.0)
def three_levels_of_confusion(x):
    """`d/dy (y d/dz (x + y + z) + y)` at 1 is 2."""
    return grad(lambda y: y * grad(lambda z: x + y + z)(1.0) + y)(1.0)


@trap(2.0, 0.0, 0.0)
def inner_function_without_its_argument(x):
    """The inner function ignores its own argument and uses the outer one."""
    return grad(lambda y: x * x + 0.0 * y)(5.0)


@trap(2.0, 12.0, 6.0)
def outer_value_stored_in_a_list(x):
    """The inner function takes the outer value out of a list."""
    kept = []
    kept.append(x * 1.0)
    return grad(lambda y: kept[0] * y**2)(3.0)


@trap(0.0, 0.0, 0.0, between=(-6.0, 6.0))
def third_derivative_at_a_kink(x):
    """`|x|^3` has second derivative `6 |x|`, whose kink has the middle slope 0."""
    return grad(grad(lambda y: np.abs(y) ** 3))(x)


@trap(0.1, 4.0 * (1.0 - 0.2) ** 6, -4.0 * 12.0 * (1.0 - 0.2) ** 5, rtol=1e-12)
def descent_differentiated_by_its_step_size(rate):
    """Three steps of gradient descent on `w^2` from 2: `4 (1 - 2 rate)^6`."""
    w = 2.0
    for _ in range(3):
        w = w - rate * grad(lambda v: v * v)(w)
    return w * w


@trap(
    2.0,
    2.0 ** (1.0 / 3.0),
    2.0 ** (-2.0 / 3.0) / 3.0,
    rtol=1e-12,
    also=((5.0, 5.0 ** (1.0 / 3.0), 5.0 ** (-2.0 / 3.0) / 3.0),),
)
def newton_with_an_inner_derivative(x):
    """The cube root by Newton's method; the slope is an inner derivative, the loop ends by the values."""

    def function(y):
        return y**3 - x

    y = 1.0
    for _ in range(50):
        step = function(y) / grad(function)(y)
        y = y - step
        if abs(step) < 1e-14:
            break
    return y


@trap([1.0, 2.0], 20.0, [8.0, 16.0])
def inner_gradient_filled_into_an_array(x):
    """Inner gradients assigned to the elements of an outer array."""
    y = np.zeros(2)
    for i in range(2):
        y[i] = grad(lambda v, i=i: v**2 * x[i])(1.0)
    return np.sum(y**2)


@trap(3.0, 9.0, 6.0)
def inner_function_that_changes_an_array(x):
    """The inner function fills a work array of its own."""

    def function(y):
        work = np.zeros(2)
        work[0] = x * y
        work[1] = work[0] * x
        return work[1]

    return grad(function)(1.0)


@trap(2.0, 14.0, 13.0)
def shadowed_names(x):
    """The same name for the outer and the inner argument."""

    def function(x):
        return x**3

    return grad(function)(x) + x


@session(6.0, 2.0, 6.0)
def derivative_after_a_derivative():
    """One derivative function called outside, inside another derivative, and outside again."""
    slope = grad(lambda y: y**2)
    return [slope(3.0), grad(lambda x: slope(x))(3.0), slope(3.0)]
