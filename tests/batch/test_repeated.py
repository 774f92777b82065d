"""Calls like one before give what the long way gives, and whatever differs goes the long way."""

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.batch import batched as module
from tests.batch.programs import assert_same, branching, large, smooth

X = np.random.default_rng(0).normal(size=(200, 3))
factor = 2.0


@pytest.fixture
def long_ways(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each call that goes the long way."""
    taken: list[int] = []

    class Noting(module.Run):
        def __init__(self, *args: Any) -> None:
            taken.append(1)
            super().__init__(*args)

    monkeypatch.setattr(module, "Run", Noting)
    return taken


FUNCTIONS = {
    "value": (smooth, X),
    "grad": (fg.grad(smooth), X),
    "value_and_grad": (fg.value_and_grad(smooth), X),
    "hessian": (fg.hessian(smooth), X),
    "one branch": (fg.grad(branching), np.abs(X) + 1.0),
    "large": (fg.value_and_grad(large), X[:5]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_later_calls_are_answered_by_plans(name: str, long_ways: list[int]) -> None:
    function, x = FUNCTIONS[name]
    batched = fg.vmap(function)
    first = batched(x)
    assert_same(batched(x), first)
    assert len(long_ways) == 2
    assert_same(batched(x), first)
    for given in (x[:3], x[::-1], np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2]):
        assert_same(batched(given), fg.vmap(function)(given))
    assert len(long_ways) == 2 + 4  # those of the four fresh functions
    for _ in range(3):
        found = batched(x)
        assert_same(found, first)
        assert not np.shares_memory(np.asarray(found[0]), np.asarray(first[0]))


def test_axes_and_shared_arguments_in_plans(long_ways: list[int]) -> None:
    batched = fg.vmap(
        fg.value_and_grad(lambda x, w, s: np.sum(x * x * w) * s), in_axes=(1, None, None), out_axes=(0, 1)
    )
    w = np.array([1.0, 2.0, 3.0])
    first = batched(X.T, w, 2.0)
    assert first[1].shape == (3, 200)
    assert_same(batched(X.T, w, 2.0), first)
    assert_same(batched(X.T, 2 * w, 1.0), first)
    assert_same(batched(X.T, w, np.float64(2.0)), first)
    assert len(long_ways) == 2
    assert_same(batched(X.T, w, 2), first)  # whole numbers are part of what is recorded
    assert len(long_ways) == 3


OTHER_CALLS = {
    "float32": lambda batched: batched(X.astype(np.float32)),
    "whole numbers": lambda batched: batched(np.arange(12).reshape(4, 3)),
    "another shape": lambda batched: batched(X[:, :2]),
    "another dimension": lambda batched: batched(X[:, :, None]),
    "unaligned": lambda batched: batched(np.zeros(8 * X.size + 1, np.uint8)[1:].view(np.float64).reshape(X.shape)),
    "a subclass": lambda batched: batched(X.view(np.recarray)),
    "no examples": lambda batched: batched(X[:0]),
    "strided out": lambda batched: batched(X, out=np.empty((len(X), 6))[:, ::2]),
}


@pytest.mark.parametrize("name", OTHER_CALLS)
def test_what_differs_goes_the_long_way(name: str, long_ways: list[int]) -> None:
    batched, fresh = fg.vmap(fg.grad(smooth)), fg.vmap(fg.grad(smooth))
    batched(X)
    batched(X)
    batched(X)
    assert len(long_ways) == 2
    long_ways.clear()
    found = OTHER_CALLS[name](batched)
    assert len(long_ways) == 1
    assert_same(found, OTHER_CALLS[name](fresh))
    assert_same(batched(X), fresh(X))


def test_out_and_threads_are_answered_by_plans(long_ways: list[int]) -> None:
    def f(x: Any, w: Any) -> Any:
        return np.sum(np.sin(x) * w)

    w = np.array([1.0, 2.0, 3.0])
    batched = fg.vmap(fg.value_and_grad(f, (0, 1)), in_axes=(0, None), out_axes=(0, (0, 1)))
    expected = batched(X, w)
    batched(X, w)
    long_ways.clear()
    out = (np.empty(200), (np.empty((200, 3)), np.empty((3, 200))))
    assert batched(X, w, out=out) is out
    assert_same(out, expected)
    for array in (out[0], *out[1]):
        array[...] = np.nan
    assert_same(batched(X, w, out=out, threads=2), expected)
    for array in (out[0], *out[1]):
        array[...] = np.nan
    batched.into(X, w, out)
    assert_same(out, expected)
    assert not long_ways


BAD_OUTS = {
    "the argument": (lambda x: x, "shares memory|overlap"),
    "part of the argument": (lambda x: x[:100], "shape|shares"),
    "another shape": (lambda x: np.empty((200, 4)), "shape"),
    "read-only": (lambda x: np.broadcast_to(0.0, (200, 3)), "read-only|written"),
    "nested": (lambda x: (np.empty((200, 3)),), "nested"),
    "no array": (lambda x: [[0.0] * 3] * 200, "nested|array"),
}


@pytest.mark.parametrize("name", BAD_OUTS)
def test_a_bad_out_is_refused_also_by_plans(name: str) -> None:
    make, message = BAD_OUTS[name]
    batched, x = fg.vmap(fg.grad(smooth)), X.copy()
    batched(x)
    batched(x)
    with pytest.raises(fg.InputError, match=message):
        batched(x, out=make(x))
    np.testing.assert_array_equal(x, X)


def test_an_out_that_is_captured_is_refused_also_by_plans() -> None:
    weights = X.copy()
    batched = fg.vmap(fg.grad(lambda x: np.sum(x * weights[0] * weights[1])))
    batched(X)
    batched(X)
    with pytest.raises(fg.InputError, match="shares memory"):
        batched(X, out=weights)


def test_what_is_wrong_is_still_said() -> None:
    batched = fg.vmap(lambda x, y: x @ y)
    batched(X, X)
    with pytest.raises(fg.InputError, match=r"x \(axis 0\) has 200, y \(axis 0\) has 100"):
        batched(X, X[:100])
    with pytest.raises(fg.InputError, match="in_axes has 2 entries for 1 positional"):
        fg.vmap(lambda x, y: x @ y, in_axes=(0, 0))(X)
    with pytest.raises(TypeError):
        batched(X)


def test_examples_that_go_other_ways_get_their_own_results(long_ways: list[int]) -> None:
    batched, single = fg.vmap(fg.value_and_grad(branching)), fg.value_and_grad(branching)
    above = np.abs(X) + 1.0
    for given in (above, above, X, above, -above, -above, X, X):
        values, slopes = batched(given)
        for k in range(0, 200, 37):
            assert_same((values[k], slopes[k]), single(given[k]))


def test_changes_around_the_function_are_seen(long_ways: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    scale, weights = 3.0, np.array([1.0, 2.0, 3.0])

    def function(x: Any) -> Any:
        return np.sum(x * weights) * scale * factor

    batched = fg.vmap(fg.grad(function))
    for _ in range(3):
        np.testing.assert_array_equal(batched(X)[0], weights * 6)
    assert len(long_ways) == 2
    weights[:] = 1.0  # in place: read at each call
    np.testing.assert_array_equal(batched(X)[0], [6.0, 6.0, 6.0])
    assert len(long_ways) == 2
    scale = 5.0
    np.testing.assert_array_equal(batched(X)[0], [10.0, 10.0, 10.0])
    weights = np.array([0.0, 1.0, 0.0])
    np.testing.assert_array_equal(batched(X)[0], [0.0, 10.0, 0.0])
    monkeypatch.setitem(globals(), "factor", 1.0)
    np.testing.assert_array_equal(batched(X)[0], [0.0, 5.0, 0.0])
    assert len(long_ways) == 5


def test_within_a_recording_there_are_no_plans() -> None:
    batched = fg.vmap(fg.grad(smooth))
    constant = batched(X[:4])
    np.testing.assert_allclose(fg.grad(lambda s: np.sum(batched(X[:4]) * s))(2.0), np.sum(constant), rtol=1e-13)
