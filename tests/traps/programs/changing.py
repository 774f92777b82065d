"""Arrays changed in place."""

import numpy as np

from tests.traps.trap import trap


@trap([1.0, -2.0, 3.0], 10.0, [2.0, 0.0, 6.0], also=(([-1.0, 2.0, -3.0], 4.0, [0.0, 4.0, 0.0]),))
def masked_assignment(x):
    """`y[y < 0] = 0` with a mask from the values."""
    y = x.copy()
    y[y < 0] = 0.0
    return np.sum(y**2)


@trap([1.0, -2.0, 3.0], 26.0, [2.0, -16.0, 6.0])
def masked_multiplication(x):
    """`y[mask] *= 2`."""
    y = x.copy()
    y[x < 0] *= 2.0
    return np.sum(y**2)


@trap([1.0, -2.0, 3.0], 3.0, [3.0, 0.0, 1.0])
def masked_assignment_of_values(x):
    """`y[mask] = values` with as many values as the mask has places."""
    y = np.ones(3)
    y[x < 2] = x[[0, 2]]
    return np.prod(y)


@trap([1.0, 2.0], 8.0, [0.0, 8.0])
def repeated_positions_with_plus_equals(v):
    """`y[[0, 0, 1]] += ...`: of repeated positions the last counts."""
    y = np.zeros(2)
    y[[0, 0, 1]] += v[[0, 1, 1]]
    return np.sum(y**2)


@trap([1.0, 2.0], 25.0, [6.0, 22.0])
def add_at_with_repeats(v):
    """`np.add.at` counts every repeat: `(v0 + v1)^2 + (2 v1)^2`."""
    y = np.zeros(2)
    np.add.at(y, [0, 0, 1, 1], v[[0, 1, 1, 1]])
    return np.sum(y**2)


@trap([3.0, 2.0], 18.0, [12.0, 9.0])
def multiply_at_with_repeats(v):
    """`np.multiply.at`: `v0^2 v1`."""
    y = np.ones(2)
    np.multiply.at(y, [0, 0, 0], v[[0, 0, 1]])
    return y[0]


@trap([3.0, 2.0, 5.0], 25.0, [0.0, 0.0, 10.0])
def maximum_at_with_repeats(v):
    """`np.maximum.at` keeps the largest."""
    y = np.zeros(1)
    np.maximum.at(y, [0, 0, 0], v)
    return y[0] ** 2


@trap([1.0, 2.0, 3.0], 6.0, [1.0, 2.0, 2.0])
def operators_on_slices(x):
    """`y[0] += ...`, `y[1:] *= ...`, `y[-1] -= ...`."""
    y = x.copy()
    y[1:] *= 2.0
    y[0] += 1.0
    y[-1] -= 6.0
    return np.sum(y)


@trap([1.0, 2.0], 5.0 / 9.0, [-4.0 / 27.0, 2.0 / 27.0])
def normalised_in_place(x):
    """`y /= y.sum()`."""
    y = np.zeros(2)
    y[:] = x
    y /= y.sum()
    return np.sum(y**2)


@trap([1.0, 2.0, 3.0], 98.0, [4.0, 32.0, 108.0])
def powered_in_place(x):
    """`y **= 2`."""
    y = x * 1.0
    y **= 2
    return np.sum(y**2)


@trap([[1.0, 2.0], [0.0, 1.0]], 4.0, [[2.0, 2.0], [0.0, 2.0]])
def matrix_product_in_place(a):
    """`b @= a`: the corner of `a @ a`."""
    b = a.copy()
    b @= a
    return b[0, 1]


@trap([3.0, 4.0], 10.0, [6.0, 0.0])
def out_of_a_ufunc(x):
    """`np.multiply(..., out=y)`, then `np.add(y, 1, out=y)`."""
    y = np.empty(2)
    np.multiply(x, x, out=y)
    np.add(y, 1.0, out=y)
    return y[0]


@trap([3.0, 4.0], 24.0, [8.0, 6.0])
def out_of_a_product(x):
    """`np.matmul(..., out=y)`."""
    y = np.zeros((2, 2))
    np.matmul(x[:, None], x[None, :], out=y)
    return y[0, 1] + y[1, 0]


@trap([1.0, 2.0, 3.0], 10.0, [3.0, 2.0, 1.0])
def out_of_a_reduction(x):
    """`np.cumsum(x, out=y)`."""
    y = np.zeros(3)
    np.cumsum(x, out=y)
    return np.sum(y)


@trap([1.0, 2.0], 4.0, [0.0, 4.0])
def copyto_where(x):
    """`np.copyto` with `where=`."""
    y = np.zeros(2)
    np.copyto(y, x, where=[False, True])
    return np.sum(y**2)


@trap([1.0, 2.0], 9.0, [10.0, 8.0])
def put_and_putmask(x):
    """`np.put` writes by position, `np.putmask` by mask."""
    y = np.zeros((2, 2))
    np.put(y, [0, 3], [x[0] * x[1], x[1]])
    np.putmask(y, [[False, True], [False, False]], x[0])
    return np.sum(y**2)


@trap([1.0, 2.0, 3.0], 9.0, [2.0, 4.0, 0.0])
def place_and_fill(x):
    """`np.place` and the method `fill`."""
    y = np.zeros(3)
    y.fill(2.0)
    np.place(y, [True, True, False], [x[0], x[1]])
    return np.sum(y**2)


@trap([[1.0, 2.0], [3.0, 4.0]], 13.0, [[0.0, 4.0], [6.0, 0.0]])
def diagonal_filled(a):
    """`np.fill_diagonal` writes over the diagonal."""
    b = a.copy()
    np.fill_diagonal(b, 0.0)
    return np.sum(b**2)


@trap([2.0, 3.0], 18.0, [9.0, 12.0])
def put_along_an_axis(x):
    """`np.put_along_axis`."""
    y = np.zeros((2, 2))
    np.put_along_axis(y, np.array([[1], [0]]), x[:, None], axis=1)
    return y[0, 1] * y[1, 0] ** 2


@trap([3.0, 1.0, 2.0], 14.0, [3.0, 1.0, 2.0], also=(([1.0, 2.0, 3.0], 14.0, [1.0, 2.0, 3.0]),))
def sorted_in_place(x):
    """`y.sort()`, then weights 1, 2, 3."""
    y = x.copy()
    y.sort()
    return y @ np.array([1.0, 2.0, 3.0])


def _scale(values, factor):
    values *= factor
    values[0] = 0.0


@trap([1.0, 2.0, 3.0], 117.0, [0.0, 36.0, 54.0])
def changed_by_a_helper(x):
    """A helper changes the array that it is given, and returns nothing."""
    y = x.copy()
    _scale(y, 3.0)
    return np.sum(y**2)


@trap([1.0, 2.0], 5.0, [3.0, 1.0])
def elements_swapped(x):
    """`y[0], y[1] = y[1], y[0]`: elements are copied before they are written."""
    y = x.copy()
    y[0], y[1] = y[1], y[0]
    return y[0] + 3.0 * y[1]


@trap([1.0, 2.0, 5.0], 9.0, [4.0, 0.0, 1.0])
def elements_swapped_by_positions(x):
    """`y[[0, 2]] = y[[2, 0]]`: indexing by positions makes a copy."""
    y = x.copy()
    y[[0, 2]] = y[[2, 0]]
    return y[0] + 4.0 * y[2]


@trap(
    [[2.0, 1.0], [1.0, 3.0]],
    5.0,
    [[3.0, -1.0], [-1.0, 2.0]],
    also=(([[1.0, 2.0], [3.0, 4.0]], -2.0, [[4.0, -3.0], [-2.0, 1.0]]),),
)
def determinant_by_elimination(a):
    """Gaussian elimination in place, with a row exchange if need be."""
    a = a.copy()
    sign = 1.0
    for k in range(len(a)):
        pivot = k + np.argmax(np.abs(a[k:, k]))
        if pivot != k:
            a[[k, pivot]] = a[[pivot, k]]
            sign = -sign
        for i in range(k + 1, len(a)):
            a[i, k:] -= a[i, k] / a[k, k] * a[k, k:]
    return sign * np.prod(np.diag(a))


@trap([1.0, 2.0, 4.0], 4.5, [0.5, 1.0, 0.5])
def tridiagonal_system(x):
    """A sweep forward and a sweep back over work arrays."""
    n = 3
    diagonal = np.full(n, 2.0)
    right = np.zeros(n)
    right[:] = x
    solution = np.zeros(n)
    for i in range(1, n):
        factor = -1.0 / diagonal[i - 1]
        diagonal[i] += factor
        right[i] -= factor * right[i - 1]
    solution[-1] = right[-1] / diagonal[-1]
    for i in range(n - 2, -1, -1):
        solution[i] = (right[i] + solution[i + 1]) / diagonal[i]
    return solution[1]


@trap(
    [3.0, 1.0, 2.0],
    14.0,
    [3.0, 1.0, 2.0],
    also=(([1.0, 2.0, 3.0], 14.0, [1.0, 2.0, 3.0]), ([2.0, 3.0, 1.0], 14.0, [2.0, 3.0, 1.0])),
)
def insertion_sort(x):
    """A sort written as loops that swap elements while they are out of order."""
    y = x.copy()
    for i in range(1, len(y)):
        j = i
        while j > 0 and y[j - 1] > y[j]:
            y[j - 1], y[j] = y[j], y[j - 1]
            j -= 1
    return np.sum(y * np.array([1.0, 2.0, 3.0]))


@trap([0.0, 1.0, 0.0, 0.0], 0.25, [0.25, 0.5, 0.25, 0.0])
def heat_equation(x):
    """An explicit step that reads and writes one array: the right side is computed before it is written."""
    u = x.copy()
    u[1:-1] = u[1:-1] + 0.25 * (u[2:] - 2.0 * u[1:-1] + u[:-2])
    return u[1] ** 2
