"""NumPy's ufuncs on lists of recorded values, of which NumPy itself would make arrays of objects."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

import fastgrad as fg
from tests.derivative_checks import check

A, B = 0.7, 0.4
# of two lists [a, 0.3] and [b, 0.9]
BINARY = (
    "logical_and", "logical_or", "logical_xor", "arctan2", "hypot", "fmod", "logaddexp", "logaddexp2", "copysign",
    "heaviside", "float_power", "maximum", "minimum", "fmax", "fmin", "nextafter", "add", "multiply", "divide",
    "power", "greater", "equal",
)  # fmt: skip
UNARY = (
    "logical_not", "isnan", "isinf", "isfinite", "signbit", "spacing", "degrees", "radians", "deg2rad", "rad2deg",
    "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arctanh", "exp", "exp2",
    "expm1", "log", "log2", "log10", "log1p", "sqrt", "cbrt", "fabs", "absolute", "sign", "floor", "ceil", "trunc",
    "rint", "square", "reciprocal",
)  # fmt: skip
OF_PAIRS = {"modf", "frexp", "divmod"}
# those that NumPy's loops over objects compute
OF_OBJECTS = {"add", "multiply", "divide", "power", "greater", "equal", "absolute", "square", "reciprocal"}


def of_lists(name):
    ufunc = getattr(np, name)
    if ufunc.nin == 2:
        return lambda a, b: getattr(np, name)([a, 0.3], [b, 0.9])
    return lambda a, b: getattr(np, name)([[a, 0.3], [b * a, 0.9]])


@pytest.mark.parametrize("name", [*BINARY, *UNARY])
def test_values_and_derivatives_are_those_of_arrays(name):
    function, shown = of_lists(name), []

    def summed(a, b):
        result = function(a, b)
        shown.append(result)
        return np.sum(result * np.arange(1.0, 1.0 + np.size(result)).reshape(np.shape(result)))

    value, gradient = fg.value_and_grad(summed, argnums=(0, 1))(A, B)
    expected = function(A, B)
    assert value == pytest.approx(np.sum(expected * np.arange(1.0, 1.0 + expected.size).reshape(expected.shape)))
    assert name in OF_OBJECTS or shown[0].dtype == expected.dtype
    # the same on arrays, which other tests compare with independent derivatives
    on_arrays = getattr(np, name)

    def of_arrays(a, b):
        x, y = (np.array([a, 0.3]), np.array([b, 0.9]))
        result = on_arrays(x, y) if on_arrays.nin == 2 else on_arrays(np.array([[a, 0.3], [b * a, 0.9]]))
        return np.sum(result * np.arange(1.0, 1.0 + result.size).reshape(result.shape))

    np.testing.assert_array_equal(gradient, fg.grad(of_arrays, argnums=(0, 1))(A, B))


@pytest.mark.parametrize("name", sorted(OF_PAIRS))
def test_both_results_of_a_ufunc_that_gives_two_are_recorded(name):
    def both(a):
        first, second = getattr(np, name)(*([a, 2.5],) if name != "divmod" else ([a, 2.5], [0.25, 2.0]))
        return first[0] * 3 + second[0] * a

    check(both, 1.7)


def test_logical_functions_give_truth_values_and_see_later_inputs():
    def count(a, b):
        return np.sum(np.logical_and([a, 2.0], [b, 3.0])) + a * np.sum(np.logical_not([a - b, 0.0]))

    derivative = fg.value_and_grad(count)
    for a, b in [(1.5, 0.5), (1.5, 0.0), (0.5, 0.5), (0.0, 7.0)]:
        value, slope = derivative(a, b)
        assert (value, slope) == (count(a, b), np.sum(np.logical_not([a - b, 0.0])))


def test_nan_in_a_list_is_not_dropped_by_maximum_and_ties_share():
    assert np.isnan(fg.value_and_grad(lambda a: np.maximum([a, 1.0], [1.0, np.nan]).sum())(0.5)[0])
    assert fg.grad(lambda a, b: np.maximum([a], [b])[0], argnums=(0, 1))(2.0, 2.0) == (0.5, 0.5)
    assert fg.grad(lambda a, b: np.maximum.reduce([a, b, 1.0]), argnums=(0, 1))(2.0, 2.0) == (0.5, 0.5)


def test_truth_values_of_a_list_are_inverted_as_such():
    function = fg.value_and_grad(lambda a: a * np.sum(np.invert([a > 0, True, a > 5])))
    assert function(2.0) == (2.0, 1.0)
    assert function(-2.0) == (-4.0, 2.0)


@pytest.mark.parametrize(
    "function",
    [
        lambda a: np.logaddexp.reduce([a, 1.0, a * a]),
        lambda a: np.maximum.accumulate([a, 1.0, a * a, 0.5]).sum(),
        lambda a: np.hypot.outer([a, 1.0], [2.0, a]).sum(),
        lambda a: np.exp([a, 1.0], where=[True, False], out=np.zeros(2)).sum(),
        lambda a: np.arctan2([a, 1.0], a).sum(),
        lambda a: np.exp([np.array([1.0, 2.0]) * a, np.ones(2)]).sum(),
    ],
)
def test_methods_options_and_rows_take_lists_too(function):
    check(function, 0.8)


def test_stand_ins_are_ufuncs_to_all_code_and_gone_afterwards():
    original = np.exp
    seen = []

    class Doubled:
        """An array-like that has ufuncs of its own."""

        def __init__(self, value):
            self.value = value

        def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
            seen.append((ufunc is np.exp, method))
            given = [x.value if isinstance(x, Doubled) else x for x in inputs]
            return Doubled(getattr(ufunc, method)(*given, **kwargs))

    def function(x):
        assert isinstance(np.exp, np.ufunc)
        assert (np.exp.nin, np.exp.nout, np.exp.__name__) == (1, 1, "exp")
        assert np.exp == original
        assert original in {np.exp: 0}
        assert np.exp([1.0, 2.0]).tolist() == original([1.0, 2.0]).tolist()
        assert repr(np.exp) == repr(original)
        return np.exp(Doubled(x)).value

    assert fg.grad(function)(0.5) == original(0.5)
    assert seen == [(True, "__call__")]
    assert np.exp is original


@pytest.mark.parametrize("name", ["erf", "gammaln", "expit", "ndtr", "xlogy"])
def test_ufuncs_of_scipy_take_lists_too(name):
    def function(x):
        ufunc = getattr(scipy.special, name)
        return np.sum(ufunc([x, 0.2]) if ufunc.nin == 1 else ufunc([x, 0.2], [0.7, x]))

    check(function, 0.6)
