"""Losses and metrics against SciPy, PyTorch's definitions and their limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import nn
from fastgrad.errors import InputError
from fastgrad.nn.losses import check_targets

scipy_special = pytest.importorskip("scipy.special")
RNG = np.random.default_rng(11)


def test_cross_entropy_is_the_log_of_the_softmax() -> None:
    logits = RNG.normal(size=7)
    for label in range(7):
        expected = -scipy_special.log_softmax(logits)[label]
        assert nn.cross_entropy(logits, label) == pytest.approx(expected, rel=1e-14)


def test_cross_entropy_of_a_sequence_is_the_mean() -> None:
    logits, labels = RNG.normal(size=(5, 3)), RNG.integers(0, 3, 5)
    expected = np.mean([-scipy_special.log_softmax(row)[label] for row, label in zip(logits, labels, strict=True)])
    assert nn.cross_entropy(logits, labels) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e300])
def test_cross_entropy_stays_finite_for_large_logits(scale: float) -> None:
    logits = np.array([0.0, -scale, scale])
    assert nn.cross_entropy(logits, 2) == pytest.approx(-scipy_special.log_softmax(logits)[2], abs=1e-300)
    gradient = fg.grad(lambda z: nn.cross_entropy(z, 1))(logits)
    np.testing.assert_allclose(gradient, scipy_special.softmax(logits) - np.eye(3)[1], atol=1e-15)


@pytest.mark.parametrize("logit", [-800.0, -3.0, 0.0, 2.0, 800.0])
@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_binary_cross_entropy_is_stable(logit: float, target: float) -> None:
    expected = -target * scipy_special.log_expit(logit) - (1 - target) * scipy_special.log_expit(-logit)
    assert nn.binary_cross_entropy(np.array([logit]), np.array([target])) == pytest.approx(expected, rel=1e-14)
    gradient = fg.grad(lambda z: nn.binary_cross_entropy(z, np.array([target])))(np.array([logit]))
    np.testing.assert_allclose(gradient, scipy_special.expit([logit]) - target, atol=1e-15)


def test_errors_are_means_over_elements() -> None:
    x, y = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))
    assert nn.squared_error(x, y) == pytest.approx(np.sum((x - y) ** 2) / 12)
    assert nn.absolute_error(x, y) == pytest.approx(np.sum(abs(x - y)) / 12)
    assert nn.huber(x, y, 0.7) == pytest.approx(np.mean(scipy_special.huber(0.7, x - y)))
    assert nn.mean_squared_error(x, y) == pytest.approx(np.sum((x - y) ** 2) / 12)
    assert nn.mean_absolute_error(x, y) == pytest.approx(np.sum(abs(x - y)) / 12)


def test_accuracies_count() -> None:
    assert nn.accuracy(np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]]), np.array([1, 1, 1])) == pytest.approx(2 / 3)
    assert nn.binary_accuracy(np.array([-1.0, 2.0, 3.0, 4.0]), np.array([0, 0, 1, 1])) == 0.75


@pytest.mark.parametrize(
    ("loss", "targets", "shape", "message"),
    [
        (
            nn.cross_entropy,
            [0, 3],
            (3,),
            "labels must be whole numbers from 0 to 2, for the network has 3 outputs; example 1 has 3.0.",
        ),
        (
            nn.cross_entropy,
            [0.5, 1],
            (3,),
            "labels must be whole numbers from 0 to 2, for the network has 3 outputs; example 0 has 0.5.",
        ),
        (
            nn.cross_entropy,
            [[0, 1, 0]],
            (3,),
            "cross_entropy takes a label of shape () for each output of shape (3,); the labels of an example have "
            "shape (3,).",
        ),
        (
            nn.squared_error,
            [1.0, 2.0],
            (1,),
            "squared_error takes targets of the outputs' shape (1,); those of an example have shape ().",
        ),
        (nn.binary_cross_entropy, [[2.0]], (1,), "binary_cross_entropy takes targets from 0 to 1."),
    ],
)
def test_targets_that_do_not_fit_are_refused(loss: Any, targets: Any, shape: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_targets(loss, np.array(targets, float), shape)
    assert str(caught.value) == message
