"""One operation on arrays: what it accepts and what it gives back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgrad import ops
from fastgrad.vm.evaluate import evaluator
from fastgrad.vm.memory import MAX_LANES


@pytest.mark.parametrize("n", [1, 7, 8, MAX_LANES - 1, MAX_LANES, MAX_LANES + 1, 3 * MAX_LANES + 5])
def test_arrays_of_every_length_are_computed_to_their_end(n: int) -> None:
    x = np.linspace(-1, 1, n)
    np.testing.assert_array_equal(evaluator(ops.multiply)(x, 3.0), x * 3.0)


def test_an_element_does_not_depend_on_its_neighbours() -> None:
    x = np.random.default_rng(1).normal(size=2 * MAX_LANES + 3)
    whole = evaluator(ops.exp)(x)
    np.testing.assert_array_equal(whole, [evaluator(ops.exp)(element) for element in x])


SHAPES: list[tuple[tuple[int, ...], ...]] = [
    ((), ()),
    ((3,), ()),
    ((2, 1), (3,)),
    ((0, 3), (3,)),
    ((4, 1, 2), (3, 1)),
    ((1,), (0,)),
]


@pytest.mark.parametrize("shapes", SHAPES)
def test_operands_broadcast(shapes: Any) -> None:
    x, y = (np.random.default_rng(2).normal(size=shape) for shape in shapes)
    found = evaluator(ops.subtract)(x, y)
    assert found.shape == np.broadcast_shapes(*shapes)
    np.testing.assert_array_equal(found, x - y)


def test_any_memory_order_and_real_type_is_read() -> None:
    x = np.arange(24).reshape(4, 6)
    for view in (x.T, x[::2, ::-3], x.astype(np.float32)[1:], np.asfortranarray(x), x > 5, x.astype(">f8")):
        np.testing.assert_array_equal(evaluator(ops.square)(view), np.square(view.astype(float)))


def test_results_are_float64_or_truth_values_and_scalars_for_scalars() -> None:
    assert evaluator(ops.add)(np.float32(1), 2).dtype == np.float64
    assert isinstance(evaluator(ops.add)(1, 2), np.float64)
    assert isinstance(evaluator(ops.less)(1, 2), np.bool_)
    np.testing.assert_array_equal(evaluator(ops.isnan)([np.nan, 1.0]), [True, False])


def test_three_operands_and_operands_left_unchanged() -> None:
    condition, x = np.array([1.0, 0.0]), np.array([5.0, 6.0])
    np.testing.assert_array_equal(evaluator(ops.where)(condition, x, -x), [5.0, -6.0])
    np.testing.assert_array_equal(x, [5.0, 6.0])


def test_shapes_that_do_not_fit_are_refused_as_numpy_does() -> None:
    with pytest.raises(ValueError, match="shape mismatch"):
        evaluator(ops.add)(np.ones(2), np.ones(3))
