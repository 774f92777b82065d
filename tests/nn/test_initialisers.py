"""Initial parameters: their spread, and that each depends on its own path only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastgrad import nn


@pytest.mark.parametrize(
    ("initialiser", "variance"),
    [
        (nn.glorot_uniform, 2 / 500),
        (nn.glorot_normal, 2 / 500),
        (nn.he_uniform, 2 / 200),
        (nn.he_normal, 2 / 200),
        (nn.lecun_uniform, 1 / 200),
        (nn.lecun_normal, 1 / 200),
    ],
)
def test_the_variance_is_that_of_the_papers(initialiser: Any, variance: float) -> None:
    for shape in ((200, 300), (2, 5, 20, 30)):
        drawn = initialiser(np.random.default_rng(0), shape)
        assert drawn.shape == shape
        assert np.var(drawn) == pytest.approx(variance, rel=0.03)
        assert abs(np.mean(drawn)) < 4 * np.sqrt(variance / drawn.size)


def test_normal_draws_are_cut_off_at_two_deviations() -> None:
    drawn = nn.truncated_normal(np.random.default_rng(0), (100_000,), 0.1)
    assert np.std(drawn) == pytest.approx(0.1, rel=0.02)
    assert 0.22 < np.max(np.abs(drawn)) <= 0.2 / 0.87962566103423978


def test_a_layer_put_in_between_changes_no_other_layer() -> None:
    short = nn.build(nn.Sequential(nn.Dense(4, name="first"), nn.Dense(4, name="last")), 4, seed=5)
    long = nn.build(nn.Sequential(nn.Dense(4, name="first"), nn.Dense(4), nn.Dense(4, name="last")), 4, seed=5)
    for name, value in short.parameters.items():
        np.testing.assert_array_equal(long.parameters[name], value)
    assert not np.array_equal(short.parameters["first/kernel"], short.parameters["last/kernel"])


def test_the_seed_decides() -> None:
    kernels = [nn.build(nn.Dense(4), 4, seed=seed).parameters["dense/kernel"] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])
