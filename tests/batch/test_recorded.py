"""A batch inside a recording is the same as its examples recorded one by one, in few nodes where that is possible."""

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.batch import batched as module
from tests.batch.programs import branching, large, smooth

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(12, 3))
Y = RANDOM.normal(size=12)
W = np.array([0.3, -0.2, 0.5])


def loss(w: Any) -> Any:
    """Over what is recorded outside, and captured data."""
    return np.mean(fg.vmap(lambda x, y: (np.tanh(w @ x) - y) ** 2)(X, Y))


def of_gradients(x: Any) -> Any:
    return np.sum(fg.vmap(fg.grad(smooth))(x) ** 2)


def of_hessians(x: Any) -> Any:
    return np.sum(fg.vmap(fg.hessian(smooth))(x) ** 2)


def of_values_and_gradients(x: Any) -> Any:
    values, slopes = fg.vmap(fg.value_and_grad(smooth), in_axes=1, out_axes=(0, 1))(x.T)
    return np.sum(values * slopes[1]) + np.sum(slopes**3)


def of_shared_arguments(x: Any) -> Any:
    return np.sum(
        fg.vmap(lambda p, scale: np.sin(p["a"]) @ p["b"] * scale, in_axes=({"a": 0, "b": None}, None))(
            {"a": x, "b": x[0]}, x[1, 2]
        )
        ** 2
    )


def of_named_arguments(x: Any) -> Any:
    return np.sum(fg.vmap(lambda x, y: x * y)(x, y=x[::-1]) ** 2)


def of_levels(x: Any) -> Any:
    table = fg.vmap(fg.vmap(lambda p, q: np.exp(p @ q), in_axes=(0, None)), in_axes=(None, 0))(x, x * 2)
    return np.sum(table * np.arange(table.size).reshape(table.shape))


def of_all_one_way(x: Any) -> Any:
    return np.sum(fg.vmap(branching)(x * x + 1.0) ** 2)


def of_safe_roots(x: Any) -> Any:
    return np.sum(fg.vmap(fg.value_and_grad(lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0))))(x)[0])


def of_norms(x: Any) -> Any:
    return np.sum(fg.vmap(lambda x: np.sqrt(np.sum(x * x)))(x * np.array([1.0, 0.0, 0.0])) * Y)


def of_constants(x: Any) -> Any:
    return np.sum(x * fg.vmap(smooth)(X)[:, None]) + np.sum(fg.vmap(lambda x: np.array([1.0, 2.0]) * x[0])(x)[:, 1])


def of_results_written_into(x: Any) -> Any:
    same = fg.vmap(lambda x: x)(x)
    same[0] = 0.0
    return np.sum(same**2) + np.sum(x[0])


def of_nested_results(x: Any) -> Any:
    found = fg.vmap(lambda x: {"first": x[0] ** 2, "rest": [x[1:] * x[0]], "nothing": x[:0]})(x)
    return np.sum(found["first"]) + np.sum(found["rest"][0] ** 2) + np.sum(found["nothing"])


def of_numbers(x: Any) -> Any:
    return np.sum(fg.vmap(lambda x, n: x * n**2 / 3)(x[:, 0], np.arange(12)))


# the first two use captured arrays of a size of their own
AT_ONCE = [
    of_norms,
    of_constants,
    of_gradients,
    of_hessians,
    of_values_and_gradients,
    of_shared_arguments,
    of_named_arguments,
    of_levels,
    of_all_one_way,
    of_safe_roots,
    of_results_written_into,
    of_nested_results,
]


def of_mixed_ways(x: Any) -> Any:
    return np.sum(fg.vmap(fg.grad(branching))(x) ** 2)


def of_large_arrays(x: Any) -> Any:
    return np.sum(fg.vmap(large)(np.concatenate([x] * 25, axis=1)))


def of_ties(x: Any) -> Any:
    return np.sum(fg.vmap(lambda x: np.max(x) * np.prod(x))(x))


def of_flags(x: Any) -> Any:
    return np.sum(np.where(fg.vmap(lambda x: np.sum(x) > 0)(x), x[:, 0], 2.0 * x[:, 1]))


ONE_BY_ONE = [of_mixed_ways, of_large_arrays, of_ties, of_flags, of_numbers]


def derivatives(function: Any, x: np.ndarray) -> list[Any]:
    tangent = np.cos(np.arange(x.size)).reshape(x.shape)
    return [*fg.value_and_grad(function)(x), fg.hvp(function)(x, tangent), *fg.jvp(function, (x,), (tangent,))]


@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")
@pytest.mark.parametrize("function", [*AT_ONCE, *ONE_BY_ONE], ids=lambda function: function.__name__)
def test_derivatives_are_those_of_examples_recorded_one_by_one(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = derivatives(function, X)
    monkeypatch.setattr(module, "all_at_once", lambda *_: None)
    for part, expected in zip(found, derivatives(function, X), strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")
@pytest.mark.parametrize("function", AT_ONCE[2:], ids=lambda function: function.__name__)
def test_the_tape_does_not_grow_with_the_batch(function: Any) -> None:
    few, many = RANDOM.normal(size=(4, 3)), RANDOM.normal(size=(40, 3))
    assert len(fg.record(function, few)) == len(fg.record(function, many))


def test_what_the_function_closes_over_is_differentiated_and_captured_data_read_at_each_call() -> None:
    gradient = fg.grad(loss)

    def by_hand(w: np.ndarray) -> np.ndarray:
        t = np.tanh(X @ w)
        return 2 * ((t - Y) * (1 - t * t)) @ X / len(Y)

    assert len(fg.record(loss, W)) < 40
    before = X.copy()
    try:
        for _ in range(3):
            np.testing.assert_allclose(gradient(W), by_hand(W), rtol=1e-12)
            X[:] = X[::-1] * 1.1
    finally:
        X[:] = before


def test_a_guard_that_examples_pass_now_and_not_later_is_one_of_the_recording() -> None:
    def total(x: Any) -> Any:
        return np.sum(fg.vmap(lambda x: x * x if x > 0 else -x)(x))

    gradient = fg.grad(total)
    for x in (np.ones(5), -np.ones(5), np.array([1.0, -1.0, 2.0]), np.array([-1.0, 1.0, 2.0]), np.ones(3), np.ones(5)):
        for _ in range(2):
            np.testing.assert_array_equal(gradient(x), np.where(x > 0, 2 * x, -1.0))


def test_batches_of_batches_of_recordings() -> None:
    """vmap of a function that calls vmap on what it is given."""

    def spread(rows: Any) -> Any:
        return np.sum(fg.vmap(fg.grad(smooth))(rows) ** 2)

    cube = RANDOM.normal(size=(6, 4, 3))
    slopes = fg.vmap(fg.grad(spread))(cube)
    for k in range(6):
        np.testing.assert_array_equal(slopes[k], fg.grad(spread)(cube[k]))
    np.testing.assert_allclose(slopes[0], fg.grad(of_gradients)(cube[0]), rtol=1e-13)
