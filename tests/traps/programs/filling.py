"""Arrays that a program creates and fills."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy import empty, zeros

from tests.traps.trap import trap


@trap([1.0, 2.0, 3.0], 14.0, [2.0, 4.0, 6.0], second=[[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]])
def zeros_filled_in_a_loop(x):
    """`y = np.zeros(n)` and `y[i] = ...`."""
    y = np.zeros(len(x))
    for i in range(len(x)):
        y[i] = x[i] ** 2
    return y.sum()


@trap(2.0, 31.0, 49.0, second=62.0)
def recurrence(x):
    """`y[i] = x y[i-1] + 1`: the polynomial `1 + x + x^2 + x^3 + x^4`."""
    y = np.zeros(5)
    y[0] = 1.0
    for i in range(1, 5):
        y[i] = x * y[i - 1] + 1.0
    return y[4]


@trap(3.0, 9.0, 6.0)
def zeros_imported_by_name(x):
    """`from numpy import zeros`."""
    y = zeros(2)
    y[1] = x * x
    return y.sum()


@trap([1.0, 2.0], 5.0, [2.0, 4.0])
def empty_imported_by_name(x):
    """`from numpy import empty`, every element written."""
    y = empty(2)
    y[0] = x[0] ** 2
    y[1] = x[1] ** 2
    return np.sum(y)


def _table(n):
    return np.full((n, n), 1.0)


@trap(2.0, 17.0, 14.0, second=6.0)
def array_from_a_helper(x):
    """The array is created in another function and filled here: `1 + 2 x + 3 x^2`."""
    table = _table(3)
    for i in range(1, 3):
        for j in range(1, 3):
            table[i, j] = table[i - 1, j] + x * table[i, j - 1]
    return table[2, 2]


@trap([1.0, 2.0], 6.0, [4.0, 4.0])
def zeros_like_the_argument(x):
    """`np.zeros_like(x)`."""
    y = np.zeros_like(x)
    y[0] = x[1] ** 2
    y[1] = x[0] ** 2
    return y[0] + 2.0 * y[1]


@trap([1.0, 2.0], 7.0, [2.0, 4.0])
def ones_like_and_full_like(x):
    """The value that is not overwritten stays."""
    y = np.ones_like(x)
    z = np.full_like(x, 1.0)
    y[0] = x[0] ** 2
    z[1] = x[1] ** 2
    return y.sum() + z.sum()


@trap(4.0, 19.0, 8.0)
def array_literal(x):
    """An element of `np.array([1.0, 2.0, 3.0])` replaced."""
    y = np.array([1.0, 2.0, 3.0])
    y[1] = x * x - 1.0
    return np.sum(y)


@trap(2.0, 10.5, 5.0)
def arange_and_linspace(x):
    """Arrays of numbers from other creators."""
    y = np.arange(4.0)
    z = np.linspace(0.0, 1.0, 3)
    y[3] = x**2
    z[0] = x
    return y.sum() + z.sum()


@trap(3.0, 36.0, 24.0)
def matrix_from_eye(x):
    """`np.eye` with a corner written, then a product."""
    a = np.eye(2)
    a[0, 1] = x
    return (a @ a)[0, 1] ** 2


@trap(2.0, 6.0, 3.0)
def assignment_that_broadcasts(x):
    """A number into a whole slice."""
    y = np.zeros(4)
    y[1:] = x
    return y.sum()


@trap([1.0, 2.0], 15.0, [6.0, 12.0])
def row_into_every_row(x):
    """An array into every row of a matrix."""
    a = np.zeros((3, 2))
    a[:] = x
    return np.sum(a**2)


@trap([1.0, 2.0], 17.0, [2.0, 16.0])
def list_of_values_into_a_slice(x):
    """`y[1:3] = [a, b]` with values inside the list."""
    y = np.zeros(4)
    y[1:3] = [x[0], 2.0 * x[1]]
    return np.sum(y**2)


@trap([1.0, 2.0, 3.0], 9.0, [0.0, 0.0, 6.0])
def last_of_several_writes(x):
    """Only the last write to an element counts."""
    y = np.zeros(1)
    for value in x:
        y[0] = value
    return y[0] ** 2


@trap(3.0, 9.0, 6.0)
def array_without_dimensions(x):
    """`np.array(0.0)` changed by `+=` and `[...] =`."""
    total = np.array(0.0)
    total += x
    total[...] = total * x
    return total[()]


@trap(3.0, 18.0, 12.0)
def chained_assignment(x):
    """`y = z = np.zeros(2)`: one array with two names."""
    y = z = np.zeros(2)
    y[0] = x
    z[1] = y[0] ** 2
    return y[1] + z[0] ** 2


@trap(2.7, 2.0, 0.0, refusal="LostDerivativeError")
def integer_work_array(x):
    """Stored into an integer array, the value is cut to 2, a step: derivative 0."""
    y = np.zeros(2, dtype=int)
    y[0] = x
    return y.sum() * 1.0


@trap(0.5, 0.5, 1.0, differences=False)
def float32_work_array(x):
    """Stored into a float32 array."""
    y = np.zeros(2, dtype=np.float32)
    y[0] = x
    return y.sum()


@trap([1.0, 2.0, 3.0], 14.0, [2.0, 4.0, 6.0])
def list_that_becomes_an_array(x):
    """`np.array(list_of_values)`."""
    parts = []
    for value in x:
        parts.append(value * value)
    return np.array(parts).sum()


@trap([1.0, 2.0], 18.0, [5.0, 7.0])
def nested_lists_that_become_a_matrix(x):
    """`np.array([[a, 1.0], [0.0, b]])`."""
    a = np.array([[x[0], 1.0], [2.0, x[1]]])
    return np.sum(a @ a)


@trap([1.0, 2.0], 5.0, [2.0, 4.0])
def float_array_from_values(x):
    """`np.array(values, dtype=float)`."""
    y = np.array([x[0], x[1]], dtype=float)
    return np.sum(y**2)


@trap([1.0, 2.0], 5.0, [2.0, 4.0])
def asarray_of_the_argument(x):
    """`np.asarray(x, dtype=float)`, the first line of many functions."""
    x = np.asarray(x, dtype=float)
    return np.sum(x**2)


@trap(2.0, 8.0, 12.0)
def object_array(x):
    """An array of Python objects filled with values."""
    y = np.empty(3, dtype=object)
    for i in range(3):
        y[i] = x
    return y[0] * y[1] * y[2]


@trap(3.0, 24.0, 14.0)
def lists_that_share_their_rows(x):
    """`[[0.0] * 2] * 2` holds one row twice."""
    rows = [[0.0] * 2] * 2
    rows[0][0] = x
    rows[1][1] = x * x
    return sum(sum(row) for row in rows)


@trap(
    0.5,
    math.sin(0.5) * math.exp(0.5),
    (math.sin(0.5) + math.cos(0.5)) * math.exp(0.5),
    second=2.0 * math.cos(0.5) * math.exp(0.5),
)
def math_functions(x):
    """`math.sin` and `math.exp`."""
    return math.sin(x) * math.exp(x)


@trap(2.0, math.sqrt(2.0) + math.log(2.0) + 8.0, 0.5 / math.sqrt(2.0) + 0.5 + 12.0)
def more_math_functions(x):
    """`math.sqrt`, `math.log`, `math.pow`."""
    return math.sqrt(x) + math.log(x) + math.pow(x, 3)


@trap((3.0, 4.0), 5.0 + math.atan2(4.0, 3.0), (0.6 - 0.16, 0.8 + 0.12))
def math_of_two_arguments(x, y):
    """`math.hypot` and `math.atan2`."""
    return math.hypot(x, y) + math.atan2(y, x)


@dataclass
class _Pendulum:
    state: np.ndarray
    history: list = field(default_factory=list)

    def step(self, dt):
        self.history.append(self.state.copy())
        force = np.zeros(2)
        force[0] = self.state[1]
        force[1] = -self.state[0]
        self.state += dt * force


@trap([1.0, 0.0], 1.96, [2.96, 0.6])
def state_of_a_dataclass(x):
    """An object changes its array in place and keeps copies: two Euler steps of 0.2."""
    pendulum = _Pendulum(np.zeros(2))
    pendulum.state[:] = x
    for _ in range(2):
        pendulum.step(0.2)
    return pendulum.state[0] + pendulum.history[0][0] * pendulum.history[1][0]


@trap(2.0, 14.0, 17.0)
def generator(x):
    """Values that a generator yields one at a time."""

    def powers():
        value = np.ones(1)[0]
        for _ in range(3):
            value = value * x
            yield value

    return sum(powers())


@trap(2.0, 24.0, 36.0)
def generator_that_yields_one_array(x):
    """The generator yields the same array, changed each time: a list of it holds the last state thrice."""

    def states():
        y = np.ones(1)
        for _ in range(3):
            y *= x
            yield y

    return sum(state[0] for state in list(states()))


@trap([1.0, 2.0], 8.0, [8.0, 4.0])
def dictionary_of_arrays(x):
    """Arrays in a dictionary, changed in place."""
    state = {"a": np.zeros(2), "b": np.zeros(2)}
    for i in range(2):
        state["a"][i] = x[i]
        state["b"] += state["a"]
    return np.sum(state["b"] ** 2)


@trap([[1.0, 2.0], [3.0, 4.0]], 30.0, [[2.0, 4.0], [6.0, 8.0]])
def enumerated_elements(a):
    """`np.ndenumerate` over the argument, and writes to the same places."""
    b = np.zeros((2, 2))
    for (i, j), value in np.ndenumerate(a):
        b[i, j] = value**2
    return b.sum()


@trap([1.0, 2.0, 4.0], 4.0, [0.0, 0.0, 1.0], also=(([1.0, 5.0, 4.0], 5.0, [0.0, 1.0, 0.0]),))
def running_maximum_in_a_work_array(x):
    """A branch on the values decides what is written."""
    y = np.zeros(1)
    for value in x:
        if value > y[0]:
            y[0] = value
    return y[0]
