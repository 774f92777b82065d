"""nutpie samples from machine code: posteriors with known moments, names and shapes of what is traced, errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fastgrad as fg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    nutpie = pytest.importorskip("nutpie")

from fastgrad.interop.nutpie import model

pytestmark = pytest.mark.filterwarnings("ignore")


def sampled(compiled: Any, draws: int = 4000, seed: int = 1) -> Any:
    return nutpie.sample(compiled, draws=draws, tune=1000, chains=4, cores=2, seed=seed, progress_bar=False).posterior


def close(samples: Any, mean: Any, deviation: Any, effective: int = 1500) -> None:
    """Mean and standard deviation are what they should be, within 4.5 errors of that many independent samples."""
    values = samples.stack(draw_of_chain=("chain", "draw"))
    found, spread = values.mean("draw_of_chain").to_numpy(), values.std("draw_of_chain").to_numpy()
    assert (np.abs(found - mean) < 4.5 * np.asarray(deviation) / np.sqrt(effective)).all(), (found, mean)
    assert (np.abs(spread / deviation - 1) < 4.5 / np.sqrt(effective)).all(), (spread, deviation)


def test_a_normal_distribution() -> None:
    mean = np.array([1.0, -2.0, 0.5])
    covariance = np.array([[2.0, 0.6, 0.0], [0.6, 1.0, -0.2], [0.0, -0.2, 0.5]])
    precision = np.linalg.inv(covariance)
    posterior = sampled(model(lambda x: -0.5 * (x - mean) @ precision @ (x - mean), np.zeros(3)))
    assert posterior.x.shape == (4, 4000, 3)
    close(posterior.x, mean, np.sqrt(np.diag(covariance)))
    found = np.cov(posterior.x.to_numpy().reshape(-1, 3).T)
    np.testing.assert_allclose(found, covariance, atol=0.12)


def test_linear_regression_has_the_moments_of_its_closed_form() -> None:
    rng = np.random.default_rng(2)
    design = np.column_stack([np.ones(60), rng.normal(size=(60, 2))])
    heights = design @ [0.5, 2.0, -1.0] + rng.normal(size=60)
    covariance = np.linalg.inv(design.T @ design + np.eye(3) / 100)

    columns = np.ascontiguousarray(design[:, 1:])

    def log_posterior(intercept: Any, slopes: Any) -> Any:
        residuals = heights - intercept - columns @ slopes
        return -0.5 * np.sum(residuals**2) - 0.5 * (intercept**2 + np.sum(slopes**2)) / 100

    posterior = sampled(model(log_posterior, 0.0, np.zeros(2)))
    mean, deviation = covariance @ design.T @ heights, np.sqrt(np.diag(covariance))
    close(posterior.intercept, mean[0], deviation[0])
    close(posterior.slopes, mean[1:], deviation[1:])


EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def eight_schools(p: Any) -> Any:
    """Rubin's eight schools, not centred: mu ~ normal(0, 5), tau ~ half-Cauchy(5)."""
    tau = np.exp(p["log_tau"])
    prior = -0.5 * (p["mu"] / 5) ** 2 - np.log1p((tau / 5) ** 2) + p["log_tau"] - 0.5 * np.sum(p["raw"] ** 2)
    return prior - 0.5 * np.sum(((EFFECTS - p["mu"] - tau * p["raw"]) / ERRORS) ** 2)


def effects(p: Any) -> Any:
    tau = np.exp(p["log_tau"])
    return {"theta": p["mu"] + tau * p["raw"], "tau": tau, "mu": p["mu"]}


def moments_by_quadrature() -> tuple[float, float, float, Any]:
    """Mean and deviation of mu, the means of tau and theta: given tau, everything else is normal."""
    log_tau = np.linspace(-12.0, 6.0, 20_001)
    tau = np.exp(log_tau)
    precisions = 1 / (ERRORS**2 + tau[:, None] ** 2)
    precision = precisions.sum(1) + 1 / 25
    mean = (precisions * EFFECTS).sum(1) / precision
    log_weight = -np.log1p((tau / 5) ** 2) + log_tau + 0.5 * np.log(precisions).sum(1) - 0.5 * np.log(precision)
    log_weight += -0.5 * (precisions * EFFECTS**2).sum(1) + 0.5 * precision * mean**2
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    center = float(weight @ mean)
    deviation = float(np.sqrt(weight @ (1 / precision + mean**2) - center**2))
    pull = ERRORS**2 / (ERRORS**2 + tau[:, None] ** 2)
    return center, deviation, float(weight @ tau), weight @ (pull * mean[:, None] + (1 - pull) * EFFECTS)


def test_eight_schools() -> None:
    start = {"mu": 0.0, "log_tau": 0.0, "raw": np.zeros(8)}
    schools = {"school": list("ABCDEFGH")}
    compiled = model(eight_schools, start, variables=effects, dims={"theta": ("school",)}, coords=schools)
    posterior = sampled(compiled, draws=5000)
    center, deviation, tau, theta = moments_by_quadrature()
    assert [center, deviation, tau] == pytest.approx([4.4, 3.3, 3.6], abs=0.1)  # as published
    close(posterior.mu, center, deviation)
    assert float(posterior.tau.mean()) == pytest.approx(tau, abs=0.25)
    assert posterior.theta.dims == ("chain", "draw", "school")
    means = posterior.theta.mean(("chain", "draw"))
    assert list(means.school) == schools["school"]
    np.testing.assert_allclose(means, theta, atol=0.3)


def test_logistic_regression_stays_at_the_mode_of_its_posterior() -> None:
    rng = np.random.default_rng(4)
    design = rng.normal(size=(400, 3))
    labels = (rng.uniform(size=400) < 1 / (1 + np.exp(-design @ [1.0, -0.5, 0.0]))).astype(float)

    def log_posterior(w: Any) -> Any:
        scores = design @ w
        return np.sum(labels * scores - np.logaddexp(0.0, scores)) - 0.5 * np.sum(w**2)

    posterior = sampled(model(log_posterior, np.zeros(3)))
    w, gradient, hessian = np.zeros(3), fg.grad(log_posterior), fg.hessian(log_posterior)
    for _ in range(20):
        w = w - np.linalg.solve(hessian(w), gradient(w))
    deviation = np.sqrt(np.diag(np.linalg.inv(-hessian(w))))
    # Laplace's approximation, whose error is of the order of 1 / 400
    found = posterior.w.stack(all=("chain", "draw"))
    np.testing.assert_allclose(found.mean("all"), w, atol=0.15 * deviation.max())
    np.testing.assert_allclose(found.std("all"), deviation, rtol=0.1)


def test_starting_points() -> None:
    def far_from_zero(x: Any) -> Any:
        return -0.5 * np.sum((x - 1e3) ** 2) - np.log(x[0] - 990.0)

    started: list[int] = []

    def initial(seed: int) -> Any:
        started.append(seed)
        return np.array([1000.0, 1001.0])

    posterior = sampled(model(far_from_zero, np.full(2, 1e3), initial=initial), draws=500)
    assert len(started) == 4
    np.testing.assert_allclose(posterior.x.mean(("chain", "draw")), [999.9, 1000.0], atol=0.3)
    with pytest.raises(Exception, match="2 numbers; it made 3"):
        sampled(model(far_from_zero, np.full(2, 1e3), initial=lambda seed: np.zeros(3)), draws=10)


def folded(x: Any) -> Any:
    return -0.5 * x**2 if x > 0 else -2.0 * x**2


def test_a_way_that_no_example_went_stops_the_sampling() -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - nutpie panics, which is no Exception
        sampled(model(folded, 0.5), draws=100)
    raised = caught.value
    assert "ErrorCode(-3)" in f"{raised} {raised.__context__}"
    posterior = sampled(model(folded, 0.5, examples=[(-0.5,)]))
    share = float((posterior.x > 0).mean())
    assert share == pytest.approx(2 / 3, abs=0.04)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(fg.InputError, match="variables must return a dict"):
        model(lambda x: -x * x, 0.0, variables=lambda x: x)
    with pytest.raises(fg.InputError, match="pair are nested"):
        model(lambda x: -x * x, 0.0, variables=lambda x: {"pair": (x, x)})
