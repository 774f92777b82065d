"""Integrals and slopes of samples: NumPy's values and derivatives by the samples, the places and the steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.recording.functions.agreement import assert_right_later
from tests.recording.functions.sampling import check_orders, check_shown, increasing, normal, positive

STEP = np.asarray(0.7)
SAMPLES_AND_PLACES = np.array([[1.0, 2.0, 5.0, 9.0], [0.0, 1.0, 2.5, 3.0]])
CALLS: dict[str, tuple[Any, ...]] = {
    "trapezoid": (np.trapezoid, normal(3, 5)),
    "trapezoid at places": (np.trapezoid, normal(3, 5), increasing(5)),
    "trapezoid along an axis": (lambda y, x: np.trapezoid(y, x, axis=0), normal(5, 3), increasing(5)),
    "trapezoid at places of its own": (lambda y, x: np.trapezoid(y, x, axis=-2), normal(5, 3), normal(5, 3)),
    "trapezoid with a step": (lambda y, d: np.trapezoid(y, dx=d, axis=0), normal(5, 3), STEP),
    "trapezoid of plain samples": (lambda x: np.trapezoid([1.0, 2.0, 4.0], x), increasing(3)),
    "trapezoid of one sample": (np.trapezoid, normal(2, 1)),
    "gradient": (np.gradient, normal(6)),
    "gradient of two": (np.gradient, normal(2)),
    "gradient along all axes": (lambda y: np.gradient(y, edge_order=2), normal(6, 4)),
    "gradient along one axis": (lambda y: np.gradient(y, 0.5, axis=-1), normal(6, 4)),
    "gradient with a step": (lambda y, h: np.gradient(y, h, edge_order=2), normal(6), STEP),
    "gradient at places": (np.gradient, normal(6), increasing(6)),
    "gradient at places, edges too": (lambda y, x: np.gradient(y, x, edge_order=2), normal(6), increasing(6)),
    "gradient of three at places": (lambda y, x: np.gradient(y, x, edge_order=2), normal(3), increasing(3)),
    "gradient at places and with a step": (np.gradient, normal(6, 4), increasing(6), STEP),
    "gradient along exchanged axes": (
        lambda y, x: np.gradient(y, x, 2.0, axis=(1, 0)),
        normal(6, 4),
        increasing(4),
    ),
    "gradient at plain places": (lambda y: np.gradient(y, np.array([0.0, 1.0, 3.0, 4.0])), normal(4)),
    "gradient of a number's powers": (lambda x: np.gradient(np.stack([x, x**2, x**3])), positive()),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_and_derivatives_of(name: str) -> None:
    check_orders(*CALLS[name])
    check_shown(*CALLS[name])


def test_whole_numbers_and_truth_values_are_samples_too() -> None:
    x = normal(5)
    check_shown(lambda x: np.gradient((x > 0) + 1), x)
    check_shown(lambda x: np.trapezoid(x > 0, x), x)


def test_captured_places_are_read_whenever_the_tape_runs() -> None:
    places = increasing(4)
    gradients = fg.grad(lambda y: np.trapezoid(y, places)), fg.grad(lambda y: np.gradient(y, places)[1])
    for factor in (1.0, 2.0):
        places *= factor
        steps = np.diff(places)
        expected = np.concatenate([[0.0], steps]) / 2 + np.concatenate([steps, [0.0]]) / 2
        np.testing.assert_allclose(gradients[0](np.ones(4)), expected)
        slopes = [np.gradient(row, places)[1] for row in np.eye(4)]
        np.testing.assert_allclose(gradients[1](np.ones(4)), slopes, atol=1e-15)


INF = np.inf


@pytest.mark.parametrize(
    ("samples", "places"),
    [
        ([1.0, 2.0, 5.0, 9.0], [0.0, 1.0, 1.0, 2.0]),
        ([1.0, 2.0, 5.0, 9.0], [0.0, 0.0, 1.0, 2.0]),
        ([1.0, 2.0, 5.0, 9.0], [0.0, 1.0, 2.0, 2.0]),
        ([1.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0]),
        ([1.0, INF, 3.0, 4.0], [0.0, 1.0, 2.0, 3.0]),
        ([1.0, INF, 3.0, 4.0], [0.0, 1.0, 2.0, 4.0]),
        ([INF, 2.0, 3.0, -INF], [0.0, 1.0, 2.0, 3.0]),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_places_that_coincide_and_infinite_samples_have_numpys_slopes_later(samples: Any, places: Any) -> None:
    assert_right_later(lambda x: np.gradient(x[0], x[1]), SAMPLES_AND_PLACES, np.array([samples, places]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_where_places_coincide_the_derivative_is_that_of_the_quotient() -> None:
    at_the_end = fg.jacobian(lambda f, x: np.gradient(f, x)[0], argnums=(0, 1))
    by_samples, by_places = at_the_end(np.array([1.0, 2.0, 5.0]), np.array([0.0, 0.0, 1.0]))
    np.testing.assert_array_equal(by_samples, [-INF, INF, 0.0])
    np.testing.assert_array_equal(by_places, [INF, -INF, 0.0])
    # equal steps are no case of their own: a step may change alone
    _, by_places = fg.jacobian(lambda f, x: np.gradient(f, x)[1], argnums=(0, 1))(
        np.array([1.0, 2.0, 5.0]), np.array([0.0, 1.0, 2.0])
    )
    np.testing.assert_allclose(by_places, [0.0, 2.0, -2.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y: np.gradient(y[:1]), "too small"),
        (lambda y: np.gradient(y, 1.0, 2.0), "invalid number of arguments"),
        (lambda y: np.gradient(y, y[:2]), "distances must match"),
        (lambda y: np.gradient(y, edge_order=3), "'edge_order' greater than 2"),
        (lambda y: np.trapezoid(y, y[:3]), "broadcast"),
        (lambda y: np.trapezoid(y, axis=1), "out of"),
    ],
)
def test_what_does_not_fit_raises_numpys_error(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        fg.record(call, normal(4))
