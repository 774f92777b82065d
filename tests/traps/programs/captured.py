"""Data around the function that change between calls."""

import numpy as np

from fastgrad import grad
from tests.traps.trap import numpy, session

FACTOR = 2.0
WEIGHTS = numpy.array([1.0, 2.0])
BUFFER = numpy.zeros(2)


@session([1.0, 2.0], [5.0, 2.0])
def array_changed_in_place():
    """An element of a captured array gets another value."""
    weights = numpy.array([1.0, 2.0])
    derivative = grad(lambda x: np.sum(weights * x))
    x = numpy.array([1.0, 1.0])
    before = derivative(x)
    weights[0] = 5.0
    return [before, derivative(x)]


@session(2.0, 7.0)
def variable_bound_anew():
    """A closure variable gets another number."""
    factor = 2.0

    def function(x):
        return factor * x

    derivative = grad(function)
    before = derivative(1.0)
    factor = 7.0
    return [before, derivative(1.0)]


def _times_a_global(x):
    return FACTOR * x * x


@session(4.0, 6.0)
def global_bound_anew():
    """A global variable gets another number."""
    global FACTOR
    FACTOR = 2.0
    derivative = grad(_times_a_global)
    before = derivative(1.0)
    FACTOR = 3.0
    return [before, derivative(1.0)]


@session([1.0, 2.0], [1.0, -2.0], [4.0, 4.0])
def array_bound_anew_and_changed():
    """In place first, then another array of another shape."""
    weights = numpy.array([1.0, 2.0])

    def function(x):
        return np.sum(x * weights)

    derivative = grad(function)
    x = numpy.array([1.0, 1.0])
    answers = [derivative(x)]
    weights[1] *= -1.0
    answers.append(derivative(x))
    weights = numpy.array([[1.0, 1.0], [3.0, 3.0]])
    answers.append(derivative(x))
    return answers


@session(3.0, 7.0, 10.0)
def list_that_grows():
    """Elements of a captured list are replaced and appended."""
    factors = [1.0, 2.0]
    derivative = grad(lambda x: sum(factor * x for factor in factors))
    answers = [derivative(1.0)]
    factors[0] = 5.0
    answers.append(derivative(1.0))
    factors.append(3.0)
    answers.append(derivative(1.0))
    return answers


@session(2.0, 5.0)
def entry_of_a_dictionary():
    """A captured dictionary gets another entry under a key."""
    options = {"factor": 2.0}
    derivative = grad(lambda x: options["factor"] * x)
    before = derivative(1.0)
    options["factor"] = 5.0
    return [before, derivative(1.0)]


class _Model:
    scale = 1.0

    def __init__(self, factor):
        self.factor = factor
        self.inner = None

    def loss(self, x):
        return self.scale * self.factor * x * x


@session(4.0, 10.0, 30.0)
def attribute_of_an_object():
    """A method whose object, then whose class, changes."""
    model = _Model(2.0)
    derivative = grad(model.loss)
    answers = [derivative(1.0)]
    model.factor = 5.0
    answers.append(derivative(1.0))
    model.scale = 3.0
    answers.append(derivative(1.0))
    return answers


@session(4.0, 10.0)
def attribute_of_an_attribute():
    """`model.inner.factor` changes."""
    model = _Model(1.0)
    model.inner = _Model(2.0)
    derivative = grad(lambda x: model.inner.factor * x * x)
    before = derivative(1.0)
    model.inner.factor = 5.0
    return [before, derivative(1.0)]


@session(2.0, 5.0)
def list_in_a_list():
    """An element of a list in a captured list changes."""
    table = [[1.0, 2.0], [3.0, 4.0]]
    derivative = grad(lambda x: table[0][1] * x)
    before = derivative(1.0)
    table[0][1] = 5.0
    return [before, derivative(1.0)]


@session([3.0, 8.0], [30.0, 8.0])
def arrays_combined_by_numpy_alone():
    """`a * b` of two captured arrays inside the function, then `a` changes in place."""
    a, b = numpy.array([1.0, 2.0]), numpy.array([3.0, 4.0])

    def function(x):
        weights = a * b
        return np.sum(weights * x)

    derivative = grad(function)
    x = numpy.array([1.0, 1.0])
    before = derivative(x)
    a[0] = 10.0
    return [before, derivative(x)]


@session([0.0, 1.0], [1.0, 0.0])
def positions_changed_in_place():
    """A captured array of positions changes in place."""
    positions = numpy.array([1])
    derivative = grad(lambda x: np.sum(x[positions]))
    x = numpy.array([1.0, 1.0])
    before = derivative(x)
    positions[0] = 0
    return [before, derivative(x)]


@session(2.0, 3.0)
def flag_that_switches():
    """A captured truth value decides a branch."""
    options = {"cubic": False}
    derivative = grad(lambda x: x**3 if options["cubic"] else x**2)
    before = derivative(1.0)
    options["cubic"] = True
    return [before, derivative(1.0)]


@session(2.0, 3.0)
def function_bound_anew():
    """A captured function is replaced by another."""

    def helper(x):
        return x**2

    derivative = grad(lambda x: helper(x))
    before = derivative(1.0)

    def helper(x):  # noqa: F811
        return x**3

    return [before, derivative(1.0)]


@session(1.0, 2.0, 3.0)
def functions_made_in_a_loop():
    """Three functions of the same code with different closures."""

    def scaled(factor):
        return lambda x: factor * x

    return [grad(scaled(factor))(1.0) for factor in (1.0, 2.0, 3.0)]


@session(3.0, 3.0, 3.0)
def late_binding_in_a_loop():
    """Three lambdas that share the loop variable see its last value."""
    functions = [lambda x: factor * x for factor in (1.0, 2.0, 3.0)]  # noqa: B023
    return [grad(function)(1.0) for function in functions]


@session(2.0, 12.0)
def default_argument_that_changes():
    """A list as a default value, changed from outside."""
    factors = [2.0]

    def function(x, factors=factors):
        return factors[0] * x

    derivative = grad(function)
    before = derivative(1.0)
    factors[0] = 12.0
    return [before, derivative(1.0)]


def _with_a_buffer(x):
    BUFFER[0] = x * x
    BUFFER[1] = 3.0 * x
    return np.sum(BUFFER)


@session(7.0, 9.0, refusal="FastgradError")
def buffer_kept_between_calls():
    """A function writes its intermediate values into an array of the module."""
    derivative = grad(_with_a_buffer)
    return [derivative(2.0), derivative(3.0)]


@session(2.0, 4.0, 3.0, refusal="FastgradError")
def counter_of_the_calls():
    """Side effects: a count of calls that the function also uses, `count * 2 x` at 1."""
    state = {"count": 0}

    def function(x):
        state["count"] += 1
        return state["count"] * x * x

    derivative = grad(function)
    return [derivative(1.0), derivative(1.0), state["count"] + 1.0]


@session(True, warning="random numbers")
def random_numbers():
    """Noise drawn in the function: another at every call, or a warning that it is frozen."""
    generator = numpy.random.default_rng(1)
    derivative = grad(lambda x: x * generator.standard_normal())
    return [derivative(1.0) != derivative(1.0)]


@session([2.0, 4.0], [2.0, 4.0])
def random_numbers_around_the_call():
    """Data drawn outside between the calls do not matter."""
    derivative = grad(lambda x: np.sum(x**2))
    answers = []
    for _ in range(2):
        numpy.random.default_rng().standard_normal(3)
        answers.append(derivative(numpy.array([1.0, 2.0])))
    return answers


@session([1.0, 1.0], [1.0, 1.0, 1.0], 1.0)
def another_shape_and_kind_of_argument():
    """The same derivative for two lengths and a number."""
    derivative = grad(lambda x: np.sum(x))
    return [derivative(numpy.ones(2)), derivative(numpy.ones(3)), derivative(1.0)]


@session([2.0, 4.0], [6.0, 8.0])
def argument_changed_between_calls():
    """One array is the argument twice, changed in place in between; earlier results stay."""
    derivative = grad(lambda x: np.sum(x**2))
    x = numpy.array([1.0, 2.0])
    first = derivative(x)
    x += 2.0
    second = derivative(x)
    return [first, second]
