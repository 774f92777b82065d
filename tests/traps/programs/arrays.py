"""Empty arrays, arrays without dimensions, whole numbers, truth values, float32."""

import math

import numpy as np

from fastgrad import grad
from tests.traps.trap import NAN, numpy, session, trap


@trap([1.0, 2.0], 0.0, [0.0, 0.0])
def sum_of_nothing(x):
    """The sum of an empty slice is 0."""
    return np.sum(x[:0])


@trap([1.0, 2.0], 1.0, [0.0, 0.0])
def product_of_nothing(x):
    """The product of an empty slice is 1."""
    return np.prod(x[2:])


@trap([1.0, 2.0], NAN, [0.0, 0.0], differences=False, undefined=True)
def mean_of_nothing(x):
    """0 / 0: the value is NaN, as in NumPy."""
    return np.mean(x[:0])


@trap([], 0.0, [])
def empty_argument(x):
    """The gradient by nothing is empty."""
    return np.sum(x**2)


@trap([1.0, 2.0], 5.0, [2.0, 4.0])
def empty_parts_joined(x):
    """`np.concatenate` with an empty part, and a product of empty matrices."""
    joined = np.concatenate([x[:0], x, np.zeros(0)])
    nothing = np.ones((2, 0)) @ (x[:0, None] * np.ones((0, 2)))
    return np.sum(joined**2) + np.sum(nothing)


@trap([1.0, 2.0, -1.0], 0.0, [0.0, 0.0, 0.0], also=(([7.0, 8.0, 1.0], 15.0, [1.0, 1.0, 0.0]),))
def mask_that_selects_nothing(x):
    """`x[x > 5]` is empty here, and not at the next call."""
    return np.sum(x[x > 5])


@trap([1.0, 2.0], 0.0, [0.0, 0.0])
def loop_over_nothing(x):
    """A loop that never runs: the result does not depend on the argument."""
    total = 0.0
    for value in x[2:]:
        total = total + value
    return total


@trap([1.0, 2.0], 3.0, [0.0, 0.0], second=[[0.0, 0.0], [0.0, 0.0]])
def constant_function(x):
    """A result that has nothing to do with the argument."""
    return 3.0


@trap(numpy.array(3.0), 9.0, 6.0, second=2.0)
def array_without_dimensions_as_argument(x):
    """`np.array(3.0)` in, a derivative without dimensions out."""
    return x**2


@trap(numpy.float64(3.0), 27.0, 27.0)
def numpy_number_as_argument(x):
    """`np.float64(3.0)`."""
    return x * x * x[()]


@trap([3.0], 9.0, [6.0])
def array_with_one_element(x):
    """Reshaped to no dimensions, and squared."""
    return x.reshape(()) ** 2


@trap([3.0, 4.0], 24.0, [8.0, 6.0])
def dimension_of_size_1(x):
    """Broadcast against itself: `sum(x[:, None] * x[None, :])` without its diagonal."""
    return np.sum(x[:, None] * x[None, :]) - np.sum(x * x)


@trap(([[1.0], [2.0]], [3.0, 4.0, 5.0]), 36.0, ([[12.0], [12.0]], [3.0, 3.0, 3.0]))
def broadcast_of_two(x, y):
    """The gradient is summed over what was repeated."""
    return np.sum(x * y)


@trap(3, 9, 6.0)
def whole_number(x):
    """The derivative of `x ** 2` at the `int` 3 is 6."""
    return x**2


@trap([1, 2, 3], 14, [2.0, 4.0, 6.0])
def array_of_whole_numbers(x):
    """An integer array is a point of the real function."""
    return np.sum(x * x)


@trap([1, 2], 1.5, [-1.0, -0.25])
def division_of_whole_numbers(x):
    """`1 / x` of integers."""
    return np.sum(1 / x)


@trap(7.5, 3.0, 0.0)
def floor_division(x):
    """`x // 2` is a step."""
    return x // 2


@trap([True, False], 3.0, [3.0, 2.0], differences=False)
def truth_values_as_argument(x):
    """Truth values count as 1 and 0: `3 x0 + 2 x1`."""
    return np.sum(np.array([3.0, 2.0]) * x)


@trap([0.5, -1.0], 0.25, [1.0, 0.0])
def truth_value_as_a_factor(x):
    """`(x > 0) * x ** 2`, `np.logical_and`, `~`."""
    positive = np.logical_and(x > 0, ~(x > 100))
    return np.sum(positive * x**2)


@trap([0.5, 1.5, 2.5], 2.0 / 3.0, [0.0, 0.0, 0.0])
def mean_of_a_condition(x):
    """`np.mean(x > 1)` is a step function."""
    return np.mean(x > 1.0)


@trap([1.0, 2.0, 3.0], 14.0, [2.0, 4.0, 6.0], dtype="float32")
def float32_argument(x):
    """The gradient of a float32 array is float32."""
    return np.sum(x * x)


@trap(3.0, 9.0, 6.0, dtype="float32")
def float32_number(x):
    """A float32 number."""
    return x * x


@trap([1.0, 2.0], 3.0, [1.0, 1.0], dtype="float32")
def float32_with_float64(x):
    """Meets float64 data: the gradient still has the argument's kind."""
    return np.sum(x * np.array([1.0, 1.0]))


@session([2.0, 4.0, 6.0], [2.0, 4.0, 6.0], [[2.0, 4.0], [6.0, 8.0]], [2.0, 6.0])
def layouts_of_the_argument():
    """Reversed, read-only, Fortran-ordered and strided arguments."""

    def function(x):
        return np.sum(x * x)

    derivative = grad(function)
    fixed = numpy.array([1.0, 2.0, 3.0])
    fixed.flags.writeable = False
    return [
        derivative(numpy.array([3.0, 2.0, 1.0])[::-1]),
        derivative(fixed),
        derivative(numpy.array([[1.0, 2.0], [3.0, 4.0]], order="F")),
        derivative(numpy.array([1.0, 2.0, 3.0])[::2]),
    ]


@trap([1.0, NAN, 3.0], 10.0, [2.0, 0.0, 6.0], differences=False)
def nansum(x):
    """NaN counts as 0."""
    return np.nansum(x**2)


@trap([1.0, NAN, 3.0], 4.0, [2.0, 0.0, 2.0], differences=False)
def nanmean(x):
    """The mean of two values."""
    return np.nanmean(x) ** 2


@trap([1.0, NAN, 3.0], 3.0, [0.0, 0.0, 1.0], differences=False)
def nanmax(x):
    """NaN is passed over."""
    return np.nanmax(x)


@trap([1.0, 2.0, 3.0], 10.0, [2.0, 0.0, 6.0])
def sum_with_a_mask(x):
    """`np.sum(..., where=mask)`."""
    return np.sum(x**2, where=np.array([True, False, True]))


@trap([[1.0, 2.0], [3.0, 4.0]], 1.0 / 3.0 + 3.0 / 7.0, [[2.0 / 9.0, -1.0 / 9.0], [4.0 / 49.0, -3.0 / 49.0]])
def keepdims(a):
    """Rows divided by their sums."""
    return np.sum((a / a.sum(axis=1, keepdims=True))[:, 0])


@trap([1.0, 2.0, 3.0], 36.0, [12.0, 12.0, 12.0])
def negative_steps_and_ellipsis(x):
    """`x[::-1]`, `x[..., None]`, `x[-1]`."""
    return np.sum(x[::-1][..., None]) ** 2


@trap([1.0, 2.0, 3.0], 17.0, [8.0, 0.0, 3.0])
def gather_with_repeats(x):
    """`x[[0, 0, 2, 0]]`: a position that is taken thrice gets three shares."""
    return np.sum(x[[0, 0, 2, 0]] * np.array([1.0, 3.0, 3.0, 4.0]))


@trap([2.0, 3.0, 2.0], 5.0, [1.0, 1.0, 0.0], differences=False, between=([0.0, 1.0, 0.0], [1.0, 1.0, 1.0]))
def unique_values(x):
    """`np.unique` merges equal values: the first one stands for all."""
    return np.sum(np.unique(x))


@trap([1.0, 2.0, 4.0], 20.0, [0.0, 4.0, 8.0])
def differences_and_sums(x):
    """`np.diff`, `np.cumsum`."""
    return np.sum(np.diff(np.cumsum(x)) ** 2)


@trap([3.0, 1.0, 2.0], 20.0, [6.0, 6.0, 8.0], also=(([1.0, 2.0, 3.0], 20.0, [6.0, 8.0, 6.0]),))
def argsort_as_positions(x):
    """Positions from `argsort` move values and have no derivative."""
    order = np.argsort(x)
    return np.sum(x[order] ** 2 * np.array([3.0, 2.0, 1.0]))


@trap(math.inf, math.inf, 1.0, differences=False)
def infinite_argument(x):
    """The slope of the identity at infinity is 1."""
    return x + 1.0
