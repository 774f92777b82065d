"""Values that leave the recording, and exceptions."""

import contextlib
import copy

import numpy as np

from fastgrad import grad
from tests.traps.trap import numpy, session, trap


@trap(3.0, 9.0, 6.0, refusal="LostDerivativeError")
def float_of_a_value(x):
    """`float(x) * x`: the derivative is 6, or it is refused; 3 would be silently wrong."""
    return float(x) * x


@trap(3.5, 10.5, 3.0, also=((2.25, 4.5, 2.0),))
def int_of_a_value(x):
    """`int(x) * x`: a step times the argument."""
    return int(x) * x


@trap(3.5, 10.5, 3.0, refusal="UnsupportedError")
def floor_by_astype(x):
    """`x.astype(int) * x`: a step times the argument."""
    return np.asarray(x).astype(int) * x


@trap([3.0], 9.0, [6.0], refusal="LostDerivativeError")
def item(x):
    """`x.item() * x`."""
    return np.sum(x.item() * x)


@trap([1.0, 2.0], 5.0, [2.0, 4.0], refusal="LostDerivativeError")
def list_of_an_array(x):
    """`x.tolist()`."""
    return sum(value * value for value in x.tolist())


@trap([1.0, 2.0], 5.0, [2.0, 4.0])
def list_built_of_an_array(x):
    """`list(x)`."""
    values = list(x)
    return values[0] * values[0] + values[1] * values[1]


@trap(3.0, 9.0, 6.0, refusal="LostDerivativeError")
def numpy_number_constructed(x):
    """`np.float64(x) * x`."""
    return np.float64(x) * x


@trap(3.0, 9.0, 6.0, refusal="FastgradError")
def number_through_text(x):
    """`float(f"{x}") * x`: a number read back from its own text."""
    return float(f"{x}") * x


@trap([1.0, 2.0], 5.0, [2.0, 4.0])
def asarray_and_array(x):
    """`np.asarray(x)`, `np.array(x)`, `np.atleast_1d(x)`."""
    return np.sum(np.asarray(x) * np.atleast_1d(np.array(x)))


@trap([1.0, 2.0], 5.0, [2.0, 4.0])
def copies(x):
    """`copy.copy`, `copy.deepcopy`, `np.copy`."""
    y = copy.copy(x)
    z = copy.deepcopy(x)
    y *= 1.0
    z *= 1.0
    return np.sum(np.copy(y) * z)


@trap([1.0, 2.0], 5.0, [2.0, 4.0])
def branch_on_the_type(x):
    """`isinstance(x, np.ndarray)` decides."""
    if not isinstance(x, np.ndarray):
        return np.sum(x) * 0.0
    return np.sum(x**2)


@trap(3.0, 9.0, 6.0)
def branch_on_being_a_float(x):
    """`isinstance(x, float)` decides; `np.float64` is a float, too."""
    if isinstance(x, (float, int)):
        return x**2
    return np.sum(x) * 0.0


@trap(3.0, 9.0, 6.0)
def branch_on_being_a_scalar(x):
    """`np.isscalar`, `np.ndim`, `np.shape`."""
    if np.ndim(x) == 0 and np.shape(x) == ():
        return x**2
    return np.sum(x) * 0.0


@trap([1.0, 2.0], 5.0, [2.0, 4.0])
def hidden_by_a_constant_array(x):
    """Stored among constants in an object array and taken out again."""
    box = np.array([None, None], dtype=object)
    box[0] = x
    return np.sum(box[0] ** 2)


@session(4.0, refusal="LeakedValueError")
def value_used_after_its_recording():
    """An intermediate value is kept, and used in a later derivative: there it is the number 2, so `d/dx 2 x^2` is 4."""
    kept = []

    def first(x):
        kept.append(x * 1.0)
        return x * x

    grad(first)(2.0)
    return [grad(lambda x: kept[0] * x * x)(1.0)]


@session(6.0, refusal="LeakedValueError")
def value_used_outside():
    """An intermediate value is kept, and used outside: `2 * 3`."""
    kept = []

    def function(x):
        kept.append(x * 1.0)
        return x * x

    grad(function)(2.0)
    return [kept[0] * 3.0]


@session(2.0, 4.0, 6.0, refusal="LeakedValueError")
def running_total():
    """A total over the calls is kept in a closure and adds to the result."""
    totals = []

    def function(x):
        totals.append(x * x)
        return sum(totals)

    derivative = grad(function)
    return [derivative(1.0), derivative(2.0), derivative(3.0)]


@session("ValueError", 12.0, 12.0)
def good_call_after_an_exception():
    """A function raises in the middle, then is called again with a good argument."""

    def function(x):
        y = np.zeros(2)
        y[0] = x
        if x < 0:
            raise ValueError("negative")
        y[1] = y[0] ** 3
        return y[1]

    derivative = grad(function)
    try:
        derivative(-1.0)
    except ValueError:
        answers = ["ValueError"]
    return [*answers, derivative(2.0), derivative(2.0)]


@session("IndexError", "plain", 4.0)
def plain_numpy_after_an_exception():
    """After an error while recording, NumPy's creators make plain arrays again."""

    def function(x):
        y = np.zeros(1)
        y[0] = x
        return y[5]

    answers = []
    try:
        grad(function)(1.0)
    except IndexError:
        answers.append("IndexError")
    answers.append("plain" if type(numpy.zeros(2)) is numpy.ndarray else "not plain")
    return [*answers, grad(lambda x: x * x)(2.0)]


@session("KeyboardInterrupt", "plain", 4.0)
def interrupted():
    """The user interrupts a call."""

    def function(x):
        raise KeyboardInterrupt

    answers = []
    try:
        grad(function)(1.0)
    except KeyboardInterrupt:
        answers.append("KeyboardInterrupt")
    answers.append("plain" if type(numpy.zeros(2)) is numpy.ndarray else "not plain")
    return [*answers, grad(lambda x: x * x)(2.0)]


@session(4.0, 27.0)
def exception_in_an_inner_derivative():
    """An inner derivative fails, is caught, and the outer function goes on."""

    def broken(y):
        raise RuntimeError

    def function(x):
        with contextlib.suppress(RuntimeError):
            grad(broken)(x)
        return x * x

    return [grad(function)(2.0), grad(lambda x: x**3)(3.0)]


@session("ValueError", 2.0)
def wrong_shapes_raise_numpys_error():
    """Shapes that do not fit raise the error that NumPy raises."""
    derivative = grad(lambda x: np.sum(x * np.ones(3)))
    answers = []
    try:
        derivative(numpy.ones(2))
    except (ValueError, TypeError) as error:
        answers.append("ValueError" if "broadcast" in str(error) or "shape" in str(error) else str(error))
    return [*answers, grad(lambda x: x * x)(1.0)]


@session(12.0, 3.0, 12.0)
def generator_left_half_way():
    """A generator that the function opened outlives the recording, and another one is used in between."""
    opened = []

    def powers(x):
        y = np.ones(1)
        while True:
            y = y * x
            yield y[0]

    def function(x):
        generator = powers(x)
        opened.append(generator)
        next(generator)
        next(generator)
        return next(generator)

    derivative = grad(function)
    return [derivative(2.0), grad(lambda x: 3.0 * x)(1.0), derivative(2.0)]
