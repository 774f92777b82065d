"""0 * inf, 0 / 0, powers, roots and logarithms at 0."""

import math

import numpy as np
from scipy import special

from tests.traps.trap import INF, NAN, trap


@trap(0.0, 1.0, 0.0, second=0.0)
def power_0_at_0(x):
    """`x ** 0` is 1 everywhere."""
    return x**0


@trap(0.0, 1.0, 0.0, second=0.0)
def power_0_as_a_float_at_0(x):
    """`x ** 0.0` is 1 everywhere."""
    return x**0.0


@trap(0.0, 1.0, 1.0, second=2.0, also=((2.0, 15.0, 17.0),))
def powers_from_an_array_at_0(x):
    """`1 + x + x^2 + x^3` written as `x ** arange(4)`."""
    return np.sum(x ** np.arange(4))


@trap(0.0, 5.0, 3.0, second=4.0)
def polynomial_with_powers_in_a_loop(x):
    """`5 + 3 x + 2 x^2` by `c * x ** k`."""
    total = 0.0
    for k, coefficient in enumerate([5.0, 3.0, 2.0]):
        total += coefficient * x**k
    return total


@trap(0.0, 0.0, 0.0, second=2.0)
def square_at_0(x):
    """The second derivative is `2 x ** 0`."""
    return x**2


@trap(0.0, 0.0, 0.0, second=2.0)
def power_2_as_a_float_at_0(x):
    """The second derivative by the general rule of `power`."""
    return np.power(x, 2.0)


@trap(0.0, 0.0, 0.0, second=0.0)
def cube_at_0(x):
    """Derivatives `3 x^2` and `6 x`."""
    return x**3


@trap(0.0, 0.0, 0.0, second=INF, differences=False)
def power_one_and_a_half_at_0(x):
    """First derivative 0, second infinite."""
    return x**1.5


@trap(-3.0, 9.0, -6.0, second=2.0)
def negative_number_to_the_power_2(x):
    """The rule through `log(x)` would give NaN."""
    return x**2.0


@trap(2.0, 0.0, 0.0, second=0.0)
def zero_to_the_power_x(x):
    """`0 ** x` is 0 for positive `x`."""
    return 0.0**x


@trap((0.0, 2.0), 0.0, (0.0, 0.0), differences=False)
def power_of_two_arguments_at_0(x, y):
    """`y x^(y-1)` and `x^y log(x)`, which is 0 in the limit."""
    return x**y


@trap((0.0, 1.0), 0.0, (1.0, 0.0), differences=False)
def power_1_of_two_arguments_at_0(x, y):
    """`x ** y` at `x = 0, y = 1`."""
    return np.power(x, y)


@trap(0.0, 0.0, INF, differences=False)
def root_at_0(x):
    """A vertical tangent: infinite, not NaN."""
    return np.sqrt(x)


@trap(0.0, 0.0, INF, differences=False)
def cube_root_at_0(x):
    """A vertical tangent."""
    return np.cbrt(x)


@trap(0.0, 0.0, 0.0, differences=False)
def root_times_0(x):
    """`0 * sqrt(x)` is 0 everywhere, and so is its derivative."""
    return 0.0 * np.sqrt(x)


@trap(0.0, 0.0, 0.0, between=(-1.0, 1.0))
def root_of_a_square_at_0(x):
    """`sqrt(x * x)` is `|x|`."""
    return np.sqrt(x * x)


@trap(0.0, NAN, 0.0, differences=False, undefined=True)
def log_of_0_times_0(x):
    """The value is NaN, as NumPy has it; the factor 0 leaves no derivative."""
    return 0.0 * np.log(x)


@trap([0.0, 0.5, 0.5], math.log(2.0), [0.0, math.log(2.0) - 1.0, math.log(2.0) - 1.0], differences=False)
def entropy_guarded_by_where(p):
    """`-p log(p)` where `p > 0`, else the constant 0."""
    return -np.sum(np.where(p > 0, p * np.log(p), 0.0))


@trap(([0.0, 2.0], [0.0, 3.0]), 2.0 * math.log(3.0), ([0.0, 2.0 / 3.0],), argnums=(1,))
def xlogy_at_0(x, y):
    """`scipy.special.xlogy(0, 0)` is 0, and so is its derivative by the second argument."""
    return np.sum(special.xlogy(x, y))


@trap([0.0, 0.0], 0.0, [0.0, 0.0], differences=False, undefined=True)
def arctan2_at_the_origin(x):
    """No direction: 0 by convention."""
    return np.arctan2(x[0], x[1])


@trap([0.0, 0.0], 0.0, [0.0, 0.0], between=([-1.0, -1.0], [1.0, 1.0]))
def hypot_at_the_origin(x):
    """The tip of a cone: the middle of its slopes."""
    return np.hypot(x[0], x[1])


@trap([0.0, 0.0, 0.0], 0.0, [0.0] * 3, between=([-1.0] * 3, [1.0] * 3))
def norm_at_0(x):
    """The tip of a cone."""
    return np.linalg.norm(x)


@trap([0.0, 0.0, 0.0], 0.0, [0.0] * 3, between=([-1.0] * 3, [1.0] * 3))
def root_of_a_sum_of_squares_at_0(x):
    """The norm written out."""
    return np.sqrt(np.sum(x**2))


@trap(
    [[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]],
    24.0,
    [[-3.2, -1.6], [1.2, 3.6], [2.0, -2.0]],
)
def distances_between_all_points(x):
    """The matrix of distances has zeros on its diagonal."""
    return np.sum(np.sqrt(np.sum((x[:, None] - x[None, :]) ** 2, axis=-1)))


@trap([2.0, 2.0, 2.0], 0.0, [0.0] * 3, between=([-1.0] * 3, [1.0] * 3))
def deviation_of_equal_values(x):
    """`np.std` at its minimum."""
    return np.std(x)


@trap([2.0, 2.0], 0.0, [0.0, 0.0], second=[[0.5, -0.5], [-0.5, 0.5]])
def variance_of_equal_values(x):
    """`(x0 - x1)^2 / 4`."""
    return np.var(x)


@trap([0.0, 0.0], 0.0, [1.0, 1.0], differences=False, also=(([3.0, 4.0], 1.4, [4.0 / 125.0, -3.0 / 125.0]),))
def unit_vector_guarded_by_where(x):
    """`x / norm`, with 1 in place of a norm of 0; later a norm of 5."""
    norm = np.sqrt(np.sum(x * x))
    return np.sum(x / np.where(norm > 0, norm, 1.0))


@trap(0.0, 0.0, 0.0, differences=False)
def where_and_root(x):
    """The side not taken has an infinite derivative."""
    return np.where(x > 0, np.sqrt(x), 0.0).sum()


@trap(-1.0, 0.0, 0.0)
def where_and_log(x):
    """The side not taken is NaN."""
    return np.where(x > 0, np.log(x), 0.0).sum()


@trap([0.0, 2.0], 0.5, [0.0, -0.25], second=[[0.0, 0.0], [0.0, 0.25]], differences=False)
def where_and_division(x):
    """`1 / x` with 0 where `x` is 0."""
    return np.sum(np.where(x != 0, 1.0 / x, 0.0))


@trap([0.0, 2.0], 0.5, [0.0, -0.25], differences=False)
def division_where(x):
    """The same by the ufunc's own `where=` and `out=`."""
    return np.sum(np.divide(1.0, x, out=np.zeros(2), where=x != 0))


@trap(0.0, 1.0, 0.0, also=((1.0, math.sin(1.0), math.cos(1.0) - math.sin(1.0)),))
def sine_over_x_guarded(x):
    """`sin(x) / x` with 1 at 0: 0 / 0 on the side not taken."""
    return np.where(x == 0, 1.0, np.sin(x) / x).sum()


@trap(0.0, 1.0, 0.0, second=-(math.pi**2) / 3.0)
def sinc_at_0(x):
    """`sin(pi x) / (pi x)` is smooth."""
    return np.sinc(x)


@trap(1.0, 1.0, 1.0)
def nan_in_an_unused_branch(x):
    """NaN times a derivative of 0."""
    return np.where(x > 0, x, np.nan * x).sum()


@trap(1.0, 1.0, 1.0)
def infinity_in_an_unused_branch(x):
    """Infinity times a derivative of 0."""
    return np.where(x > 5, np.inf * x, x).sum()


@trap(1.0, 1.0, 1.0)
def overflow_in_an_unused_branch(x):
    """`exp(1000)` is infinite, and not taken."""
    return np.where(x < 700, x, np.exp(1000.0 * x)).sum()


@trap([1.0, INF], 1.0, [1.0, 0.0], differences=False)
def infinity_minus_infinity_masked(x):
    """`inf - inf` is NaN, and masked out."""
    rest = x - x
    return np.sum(np.where(np.isnan(rest), 0.0, x))


@trap(NAN, NAN, NAN, differences=False)
def nan_stays(x):
    """A NaN that enters must come out."""
    return x * x


@trap([1.0, NAN], NAN, [2.0, 0.0], differences=False)
def nan_times_0_beside(x):
    """The value is NaN; the derivative by the other argument is not touched by it."""
    return 2.0 * x[0] + 0.0 * x[1]


@trap([-INF, 0.0, 0.0], math.log(2.0), [0.0, 0.5, 0.5], differences=False)
def log_sum_exp_with_minus_infinity(x):
    """An impossible state has probability 0."""
    top = np.max(x)
    return top + np.log(np.sum(np.exp(x - top)))


@trap([-INF, -INF], -INF, [0.0, 0.0], differences=False, undefined=True)
def log_sum_exp_of_nothing_possible(x):
    """All states impossible: `log(0)`, with a shift guarded against `inf - inf`."""
    top = np.max(x)
    shift = np.where(np.isfinite(top), top, 0.0)
    return shift + np.log(np.sum(np.exp(x - shift)))


@trap([1000.0, 1000.0, -1000.0], 0.5, [0.25, -0.25, 0.0])
def softmax_of_huge_numbers(x):
    """Shifted by the maximum, whose own derivative cancels."""
    weights = np.exp(x - np.max(x))
    return (weights / np.sum(weights))[0]


@trap(1000.0, 1000.0, 1.0, second=0.0, also=((0.0, math.log(2.0), 0.5),))
def logaddexp_far_out(x):
    """`log(1 + exp(x))` without overflow."""
    return np.logaddexp(0.0, x)


@trap([2.0, 2.0], 2.0 + math.log(2.0), [0.5, 0.5])
def logaddexp_of_equals(x):
    """Equal arguments share equally."""
    return np.logaddexp(x[0], x[1])


@trap([-INF, 2.0], 2.0, [0.0, 1.0], differences=False)
def logaddexp_with_minus_infinity(x):
    """Adds nothing, and has derivative 0."""
    return np.logaddexp(x[0], x[1])


@trap(-800.0, 0.0, 0.0, also=((0.0, 0.5, 0.25),))
def logistic_function_that_overflows(x):
    """`1 / (1 + exp(800))`: the value 0 is right, and so is the derivative 0."""
    return 1.0 / (1.0 + np.exp(-x))


@trap(1000.0, 1.0, 0.0, second=0.0)
def tanh_far_out(x):
    """Flat to the last bit."""
    return np.tanh(x)


@trap([2.0, 0.0, 3.0], 0.0, [0.0, 6.0, 0.0], second=[[0.0, 3.0, 0.0], [3.0, 0.0, 2.0], [0.0, 2.0, 0.0]])
def product_with_a_zero(x):
    """The rule `product / x` would divide by 0."""
    return np.prod(x)


@trap([0.0, 0.0, 3.0], 0.0, [0.0, 0.0, 0.0], second=[[0.0, 3.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
def product_with_two_zeros(x):
    """First derivatives 0, a second one 3."""
    return np.prod(x)


@trap([2.0, 0.0, 3.0], 2.0, [1.0, 8.0, 0.0])
def cumulated_product_with_a_zero(x):
    """`x0 + x0 x1 + x0 x1 x2`."""
    return np.sum(np.cumprod(x))


@trap([0.0, 2.0, NAN], 0.0, [2.0, 0.0, 0.0], differences=False)
def product_without_nan(x):
    """`nanprod` passes over NaN."""
    return np.nanprod(x)


@trap(0.0, 0.0, 0.0)
def exp_of_minus_infinity(x):
    """`exp(-1 / x^2)` is flat at 0, through `1 / 0`."""
    return np.exp(-1.0 / x**2)


@trap(1.0, 0.0, -INF, differences=False)
def arccos_at_1(x):
    """A vertical tangent."""
    return np.arccos(x)


@trap(0.0, 0.0, 1.0, second=0.0)
def power_1_at_0(x):
    """`x ** 1` is `x`."""
    return x**1


@trap(0.0, 0.0, 0.0, second=2.0, differences=False)
def where_and_powers(x):
    """The side not taken, `x ** 1.5`, has an infinite second derivative."""
    return np.where(x > 0, x**1.5, x**2).sum()


@trap([1.0, 1.0], 6.0, [3.0, 3.0], second=[[0.0, 0.0], [0.0, 0.0]])
def second_derivative_of_a_linear_function(x):
    """The gradient is constant."""
    return 3.0 * np.sum(x)
