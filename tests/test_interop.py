"""Functions of other libraries that users give a definition."""

from __future__ import annotations

import types

import numba
import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check

X = np.array([1.1, 2.3, 0.7])
library = types.SimpleNamespace()


def opaque(x, scale=1.0):
    """Knows only floats."""
    return sum(float(element) ** 2 for element in x) * scale


@numba.njit
def compiled(x):
    return x.sum() ** 2


@fg.interop.register(opaque)
def _opaque(x, scale=1.0):
    x = np.asarray(x)
    return np.sum(x * x) * scale


@fg.interop.register(compiled)
def _compiled(x):
    return 2.0 * np.sum(x) ** 2 / 2.0


def test_a_registered_function_is_recorded_by_its_definition():
    check(lambda x: opaque(x, scale=3.0) * x, X)
    check(lambda x: opaque(list(x)), X)
    assert opaque(X) == sum(X * X)
    assert not hasattr(opaque, "stands_for")


def test_calls_with_plain_arguments_go_to_the_function_itself():
    calls = []

    def plain(x):
        calls.append(type(x))
        return x

    fg.interop.register(plain)(lambda x: x * 1)
    check(lambda x: x * plain(2.0), X)
    assert set(calls) == {float}


def test_a_compiled_function_may_have_a_definition():
    check(lambda x: compiled(x) * x, X)


def test_a_definition_that_is_given_later_is_used_from_then_on():
    def late(x):
        return float(x) * 3

    with pytest.raises(fg.LostDerivativeError):
        fg.grad(late)(1.0)

    def function(x):
        return late(x) * x

    fg.interop.register(late)(lambda x: x * 3)
    assert fg.grad(function)(2.0) == 12.0
    assert fg.grad(late)(2.0) == 3.0


def test_what_cannot_be_called_is_refused():
    with pytest.raises(fg.InputError, match="cannot be called"):
        fg.interop.register(3)
