"""Cases in which a wrong result once came out, or could well have: small programs against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad as fg

# below and above the size at which tapes of arrays run segment by segment
SIZES = [5, 5_000]
assert_equal = np.testing.assert_allclose


def _by_an_element_of_a_mask(x: Any) -> Any:
    positive = x > 0
    return np.sum(np.sin(x)) if positive[3] else np.sum(x**2)


def _by_any(x: Any) -> Any:
    return np.sum(np.sin(x)) if (x > 0.5).all() else np.sum(x**2)


def _by_a_count(x: Any) -> Any:
    return np.sum(np.sin(x)) if (x < 0).sum() == 0 else np.sum(x**2)


def _by_a_truncated_sum(x: Any) -> Any:
    return np.sum(np.sin(x)) if int(np.sum(x)) == len(x) else np.sum(x**2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("function", [_by_an_element_of_a_mask, _by_any, _by_a_count, _by_a_truncated_sum])
def test_a_guard_on_a_view_or_a_reduction_is_checked(function: Callable[..., Any], size: int) -> None:
    gradient = fg.grad(function)
    ones = np.ones(size)
    other = ones.copy()
    other[3] = -1.0
    for _ in range(3):
        assert_equal(gradient(ones), np.cos(ones))
        assert_equal(gradient(other), 2 * other)


@pytest.mark.parametrize("size", SIZES)
def test_a_jacobian_may_have_no_rows_or_no_columns(size: int) -> None:
    x, none = np.ones(size), np.zeros(0)
    rows = fg.jacobian(lambda x: np.sin(np.exp(x))[:0])(x)
    assert rows.shape == (0, size)
    columns = fg.jacobian(lambda x, y: np.sin(np.cos(y)) * np.sum(x), argnums=(0, 1))(none, x)
    assert columns[0].shape == (size, 0)
    assert_equal(columns[1], np.zeros((size, size)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("argnums", [(0, 1), (1, 0), (-1, 0), ("y", "x"), ("y", 0)])
def test_the_vectors_of_hvp_come_in_the_order_of_argnums(argnums: tuple[Any, Any], size: int) -> None:
    random = np.random.default_rng(1)
    x, y, of_x, of_y = random.standard_normal((4, size))

    def function(x: Any, y: Any) -> Any:
        return np.sum(x * y**2)

    expected = {"x": 2 * y * of_y, "y": 2 * y * of_x + 2 * x * of_y}
    names = [key if isinstance(key, str) else "xy"[key] for key in argnums]
    vectors = tuple({"x": of_x, "y": of_y}[name] for name in names)
    for found, name in zip(fg.hvp(function, argnums)(x, y, vectors), names, strict=True):
        assert_equal(found, expected[name])
    # and inside a recording
    nested = fg.grad(lambda scale: np.sum(fg.hvp(function, argnums)(x, y, (vectors[0] * scale, vectors[1]))[0]))(1.0)
    first_only = fg.hvp(function, argnums)(x, y, (vectors[0], 0 * vectors[1]))[0]
    assert_equal(nested, np.sum(first_only), rtol=1e-9)


MIXED = np.array([-1.0, 0.5, 2.5, -3.0])


@pytest.mark.parametrize("inputs", [MIXED, MIXED[::-1]])
@pytest.mark.parametrize("other", [lambda x: 0, lambda x: x > 1, lambda x: 0.0], ids=["whole", "flag", "float"])
def test_examples_of_a_batch_may_return_numbers_of_different_dtypes(other: Callable[..., Any], inputs: Any) -> None:
    def function(x: Any) -> Any:
        return 1.5 * x if x > 0 else other(x)

    positive = np.where(inputs > 0, 1.5, 0.0)
    assert_equal(fg.vmap(function)(inputs), positive * inputs)
    if other(1) is not False:
        values, slopes = fg.vmap(fg.value_and_grad(function))(inputs)
        assert_equal(values, positive * inputs)
        assert_equal(slopes, positive)


@pytest.mark.parametrize("recorded", [False, True])
def test_examples_of_a_batch_must_return_results_nested_alike(recorded: bool) -> None:
    def function(x: Any) -> Any:
        return {"a": x, "b": 2 * x} if x > 0 else {"b": 3 * x, "c": x}

    def batch(x: Any) -> Any:
        return np.sum(fg.vmap(function)(x)["b"])

    with pytest.raises(fg.errors.InputError, match="nested alike"):
        fg.grad(batch)(MIXED) if recorded else batch(MIXED)


def test_plain_auxiliary_data_must_be_the_same_for_all_examples_of_a_batch() -> None:
    gradient = fg.vmap(fg.grad(lambda x: (1.5 * x, "up") if x > 0 else (x, "down"), has_aux=True))
    with pytest.raises(fg.errors.InputError, match=r"'(up|down)' for one and '(up|down)' for another"):
        gradient(MIXED)
    slopes, word = gradient(np.abs(MIXED))
    assert_equal(slopes, np.full(4, 1.5))
    assert word == "up"


MASKED = np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False])
MATRIX = np.ones((1, 3)).view(np.matrix)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("strange", [MASKED, MASKED.astype(int), MATRIX])
def test_masked_arrays_and_matrices_are_refused(strange: Any) -> None:
    x = np.ones(3)
    gradient = fg.grad(lambda x, data: np.sum(x**2 * data))
    for _ in range(3):  # the kernels answer the later ones
        assert_equal(gradient(x, x), 2 * x)
    for function, args in (
        (gradient, (strange, x)),
        (gradient, (x, strange)),
        (fg.grad(lambda x: np.sum(x * strange)), (x,)),
        (fg.grad(lambda x: np.sum(np.multiply(strange, x))), (x,)),
    ):
        with pytest.raises(fg.errors.InputError, match=r"MaskedArray|matrix"):
            function(*args)


@pytest.mark.parametrize("positions", [np.array([0, 2]), np.array([True, False, True, False])])
def test_captured_positions_that_change_in_place_are_seen(positions: Any) -> None:
    def function(x: Any) -> Any:
        return np.sum(x[positions] ** 2)

    x = np.array([1.0, 2.0, 3.0, 4.0])
    derivative = fg.grad(function)
    for _ in range(4):
        np.testing.assert_array_equal(derivative(x), [2.0, 0.0, 6.0, 0.0])
    positions[...] = np.array([False, True, False, True]) if positions.dtype == bool else [1, 3]
    for _ in range(4):
        np.testing.assert_array_equal(derivative(x), [0.0, 4.0, 0.0, 8.0])
