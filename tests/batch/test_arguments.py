"""Which axes run over examples: nested arguments, prefixes, levels; and what is said where they do not fit."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastgrad as fg
from tests.batch.programs import assert_same, serially

X = np.arange(12.0).reshape(4, 3)


@dataclass
class Model:
    weights: Any
    offset: Any


class Pair(NamedTuple):
    first: Any
    second: Any


def nested(p: Any, scale: Any = 1.0) -> Any:
    return np.sum(p["model"].weights ** 2) * p["model"].offset + np.sum(p["pair"].first * p["pair"].second[0]) * scale


def arguments(n: int) -> Any:
    random = np.random.default_rng(n)
    return {
        "model": Model(random.normal(size=(n, 3)), random.normal(size=n)),
        "pair": Pair(random.normal(size=(n, 2)), [random.normal(size=(n, 2))]),
    }


def example_of(p: Any, k: int) -> Any:
    return {
        "model": Model(p["model"].weights[k], p["model"].offset[k]),
        "pair": Pair(p["pair"].first[k], [p["pair"].second[0][k]]),
    }


@pytest.mark.parametrize("n", [1, 7, 300])
def test_arguments_and_gradients_nest_in_any_way(n: int) -> None:
    p = arguments(n)
    gradient = fg.value_and_grad(nested)
    examples = [example_of(p, k) for k in range(n)]
    assert_same(fg.vmap(gradient)(p), serially(gradient, examples))
    scales = np.linspace(0.0, 1.0, n)
    found = fg.vmap(gradient)(p, scale=scales)
    assert_same(found, serially(lambda p, s: gradient(p, scale=s), examples, scales))


IN_AXES = {
    "nested alike": ({"model": Model(0, None), "pair": Pair(1, [0])},),
    "less deeply": ({"model": Model(0, None), "pair": Pair(1, 0)},),
    "from the end": ({"model": Model(-2, None), "pair": Pair(-1, [-2])},),
}


@pytest.mark.parametrize("in_axes", IN_AXES.values(), ids=IN_AXES)
def test_axes_may_be_nested_as_the_argument_is_or_less_deeply(in_axes: Any) -> None:
    p = arguments(5)
    given = {"model": Model(p["model"].weights, 2.5), "pair": Pair(p["pair"].first.T, p["pair"].second)}
    all_vary = {"model": Model(p["model"].weights, np.full(5, 2.5)), "pair": p["pair"]}
    assert_same(fg.vmap(fg.grad(nested), in_axes=in_axes)(given), fg.vmap(fg.grad(nested))(all_vary))


def test_whole_numbers_and_flags_that_vary_steer_the_function_of_each_example() -> None:
    def function(x: Any, n: Any, flag: Any) -> Any:
        return x**n if flag else x * n

    x, n, flag = np.linspace(1.0, 2.0, 6), np.array([1, 2, 3, 1, 2, 3]), np.array([True, False] * 3)
    np.testing.assert_allclose(fg.vmap(fg.grad(function))(x, n, flag), np.where(flag, n * x ** (n - 1), n), rtol=1e-14)


def test_text_and_other_data_is_the_same_for_all_examples() -> None:
    gradient = fg.vmap(fg.grad(lambda x, how: x * x if how == "square" else x), in_axes=(0, None))
    np.testing.assert_array_equal(gradient(X[0], "square"), 2 * X[0])
    np.testing.assert_array_equal(gradient(X[0], "not"), np.ones(3))


ERRORS = {
    "sizes": (lambda x, y: x, 0, (X, X[:2]), r"x \(axis 0\) has 4, y \(axis 0\) has 2"),
    "sizes inside": (lambda p: p["a"], 0, ({"a": X, "b": X[:3]},), r"p\['a'\] \(axis 0\) has 4, p\['b'\].* has 3"),
    "no such axis": (lambda x: x, 2, (X,), r"x has no axis 2 to run over: it has 2 dimensions"),
    "no axis at all": (lambda x, y: x, 0, (X, 1.0), r"y has no axis 0 to run over: it has 0 dimensions.*None where"),
    "text": (lambda x, how: x, 0, (X, "up"), r"how has no axis 0 to run over"),
    "no examples": (lambda x: x, None, (X,), r"in_axes is None for every one"),
    "nothing": (lambda x: 1.0, 0, ({},), r"there is none"),
    "texts": (lambda x: x, 0, (np.array(["a", "b"]),), r"x is an array of <U1, and examples are of real numbers"),
    "objects": (lambda x: x, 0, (np.array([1, None], object),), r"x is an array of object, and examples"),
    "complex": (lambda x: x, 0, (X * 1j,), r"x is an array of complex128, and examples"),
    "entries": (lambda x, y: x, (0,), (X, X), r"in_axes has 1 entries for 2 positional arguments"),
    "nesting": (lambda p: p, ({"b": 0},), ({"a": X},), r"in_axes must be an axis, None, or axes nested as argument p"),
    "float": (lambda x: x, 0.0, (X,), r"in_axes must be an axis"),
    "flag": (lambda x: x, (True,), (X,), r"in_axes must be an axis"),
    "masked": (lambda x: x, 0, (np.ma.array(X),), r"x holds a MaskedArray"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_does_not_fit_is_said_by_name(case: str) -> None:
    function, in_axes, args, message = ERRORS[case]
    with pytest.raises(fg.InputError, match=message):
        fg.vmap(function, in_axes=in_axes)(*args)


def test_an_inner_level_has_the_axes_that_the_outer_one_leaves() -> None:
    inner = fg.vmap(lambda x: x * x, in_axes=1)
    with pytest.raises(fg.InputError, match=r"x has no axis 1 .* it has 1 dimension besides those of the outer vmap"):
        fg.vmap(inner)(X)
    with pytest.raises(fg.InputError, match=r"x \(axis 1\) has 3, y \(axis 1\) has 2"):
        fg.vmap(fg.vmap(lambda x, y: x * y))(X, X[:, :2])
