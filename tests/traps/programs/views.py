"""Views and names that share memory."""

import numpy as np

from fastgrad import grad
from tests.traps.trap import numpy, session, trap


@trap([1.0, 2.0, 3.0], 13.0, [0.0, 4.0, 6.0])
def view_sees_a_write_to_its_base(x):
    """A slice taken before the array is filled."""
    y = np.zeros(3)
    tail = y[1:]
    y[:] = x
    return np.sum(tail**2)


@trap([1.0, 2.0], 5.0, [2.0, 4.0])
def base_sees_a_write_to_its_view(x):
    """Every second element written through a slice."""
    y = np.zeros(4)
    even = y[::2]
    even[:] = x
    return np.sum(y**2)


@trap([1.0, 2.0, 3.0], 4.25, [2.0, 1.0, 1.5])
def view_of_a_view(x):
    """A write through two slices, and an operator in place on the inner one."""
    y = np.zeros(6)
    inner = y[1:][::2]
    inner[:] = x
    inner[1:] *= 0.5
    return np.sum(y**2)


@trap([1.0, 2.0, 3.0], 9.0, [0.0, 0.0, 6.0])
def transposed_view(x):
    """A column written through `y.T`, a corner read through the base."""
    y = np.zeros((2, 3))
    y.T[:, 0] = x
    return y[0, 2] ** 2


@trap([1.0, 2.0, 3.0, 4.0], 9.0, [0.0, 3.0, 3.0, 0.0])
def reshaped_view(x):
    """`reshape` of a contiguous array is a view."""
    y = np.zeros(4)
    square = y.reshape(2, 2)
    square[...] = x.reshape(2, 2)
    y[1] += 1.0
    return square[0, 1] * square[1, 0]


@trap([1.0, 2.0, 3.0, 4.0], 30.0, [2.0, 4.0, 6.0, 8.0])
def ravel_that_copies(x):
    """`ravel` of a transposed array is a copy: later writes are not seen."""
    y = x.reshape(2, 2).copy()
    flat = y.T.ravel()
    y[:] = 0.0
    return np.sum(flat**2) + np.sum(y)


@trap([1.0, 2.0, 3.0, 4.0], 25.0, [0.0, 0.0, 6.0, 8.0])
def ravel_that_is_a_view(x):
    """`ravel` of a contiguous array is a view: later writes are seen."""
    y = x.reshape(2, 2).copy()
    flat = y.ravel()
    y[0] = 0.0
    return np.sum(flat**2)


@trap([1.0, 2.0, 3.0], 10.0, [3.0, 2.0, 1.0])
def reversed_view(x):
    """A write through `y[::-1]`."""
    y = np.zeros(3)
    y[::-1] = x
    return y @ np.array([1.0, 2.0, 3.0])


@trap([1.0, 2.0, 3.0], 9.0, [2.0, 2.0, 1.0])
def overlapping_sum(x):
    """`y[1:] += y[:-1]`: the right side is read before anything is written."""
    y = x.copy()
    y[1:] += y[:-1]
    return np.sum(y)


@trap([1.0, 2.0, 3.0], 9.0, [3.0, 3.0, 0.0])
def overlapping_copy(x):
    """`y[1:] = y[:-1]` shifts by one, and does not copy the first element everywhere."""
    y = x.copy()
    y[1:] = y[:-1]
    return y @ np.array([1.0, 2.0, 3.0])


@trap([1.0, 2.0, 3.0], 10.0, [3.0, 2.0, 1.0])
def overlapping_reversed_copy(x):
    """`y[:] = y[::-1]`."""
    y = x.copy()
    y[:] = y[::-1]
    return y @ np.array([1.0, 2.0, 3.0])


@trap([1.0, 2.0, 3.0], 16.0, [4.0, 8.0, 4.0])
def overlapping_reversed_sum(x):
    """`y += y[::-1]`."""
    y = x.copy()
    y += y[::-1]
    return y[0] * y[1]


@trap([1.0, 2.0], 13.0, [4.0, 6.0])
def another_name_for_an_array(x):
    """`z = y; z += 1` changes `y`."""
    y = x * 1.0
    z = y
    z += 1.0
    return np.sum(y**2)


@trap(2.0, 6.0, 5.0)
def another_name_for_a_number(x):
    """`z = y; z += 1` leaves `y` alone where `y` is a number."""
    y = x * 1.0
    z = y
    z += 1.0
    return y * z


@trap([1.0, 2.0], 3.0, [1.0, 0.0])
def copy_does_not_share(x):
    """`y.copy()` is on its own."""
    y = x * 1.0
    z = y.copy()
    z += 5.0
    y[1] = 2.0
    return np.sum(y)


@trap([1.0, 2.0, 3.0], 11.0, [1.0, 2.0, 2.0])
def slice_of_the_argument_changed(x):
    """A slice is a view of the argument, which the sum then sees changed."""
    tail = x[1:]
    tail *= 2.0
    return np.sum(x)


@trap([1.0, 2.0, 3.0], 6.0, [1.0, 1.0, 1.0])
def positions_of_the_argument_changed(x):
    """Indexing by positions makes a copy: the argument stays."""
    some = x[[1, 2]]
    some *= 2.0
    return np.sum(x)


@trap([1.0, 2.0, 3.0], 6.0, [1.0, 1.0, 1.0])
def masked_part_of_the_argument_changed(x):
    """Indexing by a mask makes a copy."""
    some = x[x > 1]
    some *= 2.0
    return np.sum(x)


@trap([1.0, 2.0], 13.0, [4.0, 6.0])
def argument_changed_in_place(x):
    """`x += 1` on the argument itself."""
    x += 1.0
    return np.sum(x**2)


@session([4.0, 6.0], [1.0, 2.0])
def array_of_the_caller_stays():
    """A function that writes into its argument: its derivative, and the caller's array afterwards."""

    def function(x):
        x[0] += 1.0
        x[1] = x[1] + 1.0
        return np.sum(x**2)

    x = numpy.array([1.0, 2.0])
    return [grad(function)(x), x]


@trap(([1.0, 2.0], 3.0), 12.0, ([0.0, 3.0], 5.0))
def element_of_an_argument_overwritten(x, y):
    """`x[0] = y`: the element that was there has no influence."""
    x[0] = y - 1.0
    return x[0] * 3.0 + x[1] * y


@trap([[1.0, 2.0], [3.0, 4.0]], 25.0, [[0.0, 0.0], [6.0, 8.0]])
def rows_swapped_as_views(a):
    """`b[0], b[1] = b[1], b[0]` on rows, which are views: both rows end as the second one."""
    b = a.copy()
    b[0], b[1] = b[1], b[0]
    return b[0] @ b[1]


@trap([1.0, 2.0], 5.0, [2.0, 4.0])
def diagonal_written_through_einsum(x):
    """`np.einsum("ii->i", a)` is a writable view of the diagonal."""
    a = np.zeros((2, 2))
    np.einsum("ii->i", a)[:] = x
    return np.sum(a @ a)


@trap([1.0, 2.0, 3.0], 14.0, [2.0, 4.0, 6.0])
def written_through_flat(x):
    """`y.flat[i] = ...`."""
    y = np.zeros((3, 1))
    for i in range(3):
        y.flat[i] = x[i]
    return np.sum(y**2)


@trap([1.0, 2.0, 3.0], 28.0, [4.0, 8.0, 12.0])
def rows_changed_while_iterating(x):
    """`for row in y: row += ...`: rows are views."""
    y = np.zeros((3, 2))
    for value, row in zip(x, y, strict=True):
        row += value
    return np.sum(y**2)


@trap([1.0, 2.0], 10.0, [4.0, 8.0])
def concatenation_is_a_copy(x):
    """`np.concatenate` copies: later writes are not seen."""
    y = x * 1.0
    both = np.concatenate([y, y])
    y[:] = 0.0
    return np.sum(both**2) + np.sum(y)


@trap([1.0, 2.0], 6.0, [2.0, 2.0])
def broadcast_view_sees_a_write(x):
    """`np.broadcast_to` is a view."""
    y = np.zeros(2)
    rows = np.broadcast_to(y, (2, 2))
    y[:] = x
    return np.sum(rows)


@trap([1.0, 2.0, 3.0], 8.0, [1.0, 2.0, 1.0])
def windows_on_an_array(x):
    """`sliding_window_view` sees what is written later."""
    y = np.zeros(3)
    windows = np.lib.stride_tricks.sliding_window_view(y, 2)
    y[:] = x
    return np.sum(windows)


@trap([1.0, 2.0], 6.0, [4.0, 4.0])
def split_parts_are_views(x):
    """The parts of `np.split` are views."""
    y = np.zeros(4)
    first, second = np.split(y, 2)
    first[:] = x
    second[0] = x[0]
    return np.sum(y**2)
