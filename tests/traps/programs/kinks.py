"""Kinks and ties."""

import numpy as np

from tests.traps.trap import trap


@trap(0.0, 0.0, 0.0, second=0.0, between=(-1.0, 1.0))
def abs_at_0(x):
    """Between the slopes -1 and 1: the middle."""
    return abs(x)


@trap(0.0, 0.0, 0.0, second=0.0, second_between=(-2.0, 2.0))
def x_times_abs(x):
    """`x |x|` has derivative `2 |x|`, a kink of the second derivative."""
    return x * np.abs(x)


@trap(0.0, 0.0, 0.0, second=0.0)
def abs_cubed(x):
    """Twice differentiable at 0: 0 and 0."""
    return np.abs(x) ** 3


@trap([3.0, 3.0], 0.0, [0.0, 0.0], between=([-1.0, -1.0], [1.0, 1.0]))
def distance_of_equals(x):
    """`|x0 - x1|` where both are the same."""
    return np.abs(x[0] - x[1])


@trap(1.0, 1.0, 0.5, second=0.0, between=(0.0, 1.0))
def maximum_at_a_tie(x):
    """Ties share equally."""
    return np.maximum(x, 1.0)


@trap(1.0, 1.0, 1.0, second=0.0)
def maximum_of_itself(x):
    """Both sides are the argument: 1 whatever the share."""
    return np.maximum(x, x)


@trap(1.0, 1.0, 0.5, between=(0.0, 1.0))
def minimum_at_a_tie(x):
    """Ties share equally."""
    return np.minimum(x, 1.0)


@trap(1.0, 1.0, 1.0)
def fmax_beside_nan(x):
    """`fmax` passes over NaN: the argument is the maximum."""
    return np.fmax(x, np.nan)


@trap([2.0, 1.0, 2.0], 2.0, [0.5, 0.0, 0.5], between=([0.0, 0.0, 0.0], [1.0, 0.0, 1.0]))
def max_of_equal_values(x):
    """Two maxima share equally."""
    return np.max(x)


@trap([0.0, 0.0, 0.0, 0.0], 0.0, [0.25] * 4, between=([0.0] * 4, [1.0] * 4), differences=False)
def min_of_all_equal_values(x):
    """Four minima share equally."""
    return x.min()


@trap(
    [[1.0, 1.0], [0.0, 3.0]],
    4.0,
    [[0.5, 0.5], [0.0, 1.0]],
    between=([[0.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [0.0, 1.0]]),
)
def max_along_an_axis(x):
    """A tie in one row only."""
    return np.sum(np.max(x, axis=1))


@trap([1.0, 1.0, 1.0], 0.0, [0.0] * 3, between=([-1.0] * 3, [1.0] * 3))
def range_of_equal_values(x):
    """Maximum minus minimum: the shares cancel."""
    return np.ptp(x)


@trap(0.0, 0.0, 0.5, between=(0.0, 1.0))
def relu_by_maximum(x):
    """The tie of `maximum`."""
    return np.maximum(x, 0.0)


@trap(0.0, 0.0, 0.0, between=(0.0, 1.0), differences=False)
def relu_by_where(x):
    """`x > 0` is false at 0, so the constant is taken."""
    return np.where(x > 0, x, 0.0).sum()


@trap([1.0, 5.0], 0.0, [-0.5, 0.0], between=([-1.0, 0.0], [0.0, 0.0]))
def hinge_loss_at_its_corner(x):
    """`max(0, 1 - margin)` with a margin of 1."""
    return np.maximum(0.0, 1.0 - x @ np.array([1.0, 0.0]))


@trap(1.0, 1.0, 0.5, between=(0.0, 1.0))
def clip_at_its_bound(x):
    """Half of the slopes 1 and 0."""
    return np.clip(x, 0.0, 1.0)


@trap([-1.0, 0.25, 2.0], 1.25, [0.0, 1.0, 0.0], second=[[0.0] * 3] * 3)
def clip_inside_and_outside(x):
    """1 inside, 0 outside."""
    return np.clip(x, 0.0, 1.0).sum()


@trap(0.0, 0.0, 0.0, second=0.0, differences=False, undefined=True)
def sign_at_its_jump(x):
    """A step has derivative 0 by convention, at the step too."""
    return np.sign(x)


@trap(2.0, 2.0, 0.0, differences=False, undefined=True)
def floor_at_a_whole_number(x):
    """A step has derivative 0 by convention."""
    return np.floor(x)


@trap(2.3, 2.0, 0.0, second=0.0)
def round_between_its_steps(x):
    """0 between the steps."""
    return np.round(x)


@trap(2.75, 0.75, 1.0)
def fraction(x):
    """`x % 1` rises with slope 1 between its jumps."""
    return x % 1.0


@trap([1.0, -2.0, 7.0], 1.0, [1.0, 0.0, 0.0], also=(([9.0, -2.0, 7.0], 7.0, [0.0, 0.0, 1.0]),))
def median_of_an_odd_number(x):
    """The middle value; which one it is changes from call to call."""
    return np.median(x)


@trap([4.0, 1.0, 2.0, 9.0], 3.0, [0.5, 0.0, 0.5, 0.0])
def median_of_an_even_number(x):
    """The mean of the two middle values."""
    return np.median(x)


@trap([1.0, 2.0, 3.0, 4.0], 1.75, [0.25, 0.75, 0.0, 0.0])
def quantile_between_values(x):
    """Linear interpolation between two values."""
    return np.quantile(x, 0.25)


@trap([2.0, 1.0, 2.0], 11.0, [2.0, 1.0, 3.0], between=([2.0, 1.0, 2.0], [3.0, 1.0, 3.0]), differences=False)
def sort_with_ties(x):
    """Equal values keep their order, as in a stable sort."""
    return np.sum(np.array([1.0, 2.0, 3.0]) * np.sort(x))


@trap([3.0, 1.0, 3.0], 9.0, [6.0, 0.0, 0.0], differences=False, between=([0.0, 0.0, 0.0], [6.0, 0.0, 6.0]))
def element_at_the_argmax(x):
    """The first of two maxima is taken, so all of the slope is its."""
    return x[np.argmax(x)] ** 2


@trap([3.0, 0.0, -4.0], 7.0, [1.0, 0.0, -1.0], between=([1.0, -1.0, -1.0], [1.0, 1.0, -1.0]))
def sum_norm_with_a_zero(x):
    """`|x0| + |x1| + |x2|`."""
    return np.linalg.norm(x, 1)


@trap([2.0, -2.0, 1.0], 2.0, [0.5, -0.5, 0.0], between=([0.0, -1.0, 0.0], [1.0, 0.0, 0.0]))
def largest_norm_with_a_tie(x):
    """`max(|x0|, |x1|, |x2|)`."""
    return np.linalg.norm(x, np.inf)


@trap(1.0, 0.5, 1.0, second=1.0, also=((3.0, 2.5, 1.0), (0.5, 0.125, 0.5)))
def huber_loss_at_its_joint(x):
    """Both pieces have slope 1 there; the second derivative is that of the piece taken."""
    return np.where(np.abs(x) <= 1.0, 0.5 * x**2, np.abs(x) - 0.5).sum()


@trap(-2.0, 2.0, -1.0)
def copysign(x):
    """`x` times its sign is `|x|`."""
    return np.copysign(1.0, x) * x


@trap([0.5, 1.5, 2.5], 2.0, [0.0, 0.0, 0.0])
def count_of_a_condition(x):
    """A count is constant around the point."""
    return np.sum(x > 1.0)


@trap([0.5, 2.0, 3.0], 13.0, [0.0, 4.0, 6.0], also=(([3.0, 0.1, 0.2], 9.0, [6.0, 0.0, 0.0]),))
def mask_times_values(x):
    """A mask from the data weighs the values; another mask at the next call."""
    return np.sum((x > 1.0) * x**2)
