"""The demo fits what it says, with the right derivatives, and draws a picture."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

import fastgrad as fg

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
PUBLISHED_RATES = {"growth": 0.55, "predation": 0.028, "death": 0.80, "conversion": 0.024}
POINT = np.log([0.5, 0.03, 0.9, 0.02, 33.0, 5.0, 0.3, 0.2])


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    import lynx_hare

    return lynx_hare


def complex_step_gradient(model: ModuleType, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """The gradient from the model's values at complex points: exact to rounding, and no fastgrad in it."""
    steps = 1e-30j * np.eye(len(point))
    return np.array([model.negative_log_likelihood(point + step).imag / 1e-30 for step in steps])


def test_gradient_of_the_model_agrees_with_complex_steps(model: ModuleType) -> None:
    value, gradient = fg.value_and_grad(model.negative_log_likelihood)(POINT)
    np.testing.assert_allclose(value, model.negative_log_likelihood(POINT), rtol=1e-12)
    np.testing.assert_allclose(gradient, complex_step_gradient(model, POINT), rtol=1e-9)


def test_hessian_of_the_model_agrees_with_differences_of_complex_step_gradients(model: ModuleType) -> None:
    hessian = fg.hessian(model.negative_log_likelihood)(POINT)
    step = 1e-5
    rows = [
        (complex_step_gradient(model, POINT + move) - complex_step_gradient(model, POINT - move)) / (2 * step)
        for move in step * np.eye(len(POINT))
    ]
    np.testing.assert_allclose(hessian, rows, rtol=1e-5, atol=1e-5 * np.max(np.abs(hessian)))
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-9)


def test_batch_agrees_with_single_calls(model: ModuleType) -> None:
    single = fg.value_and_grad(model.negative_log_likelihood)
    points = POINT + np.random.default_rng(0).normal(0, 0.1, (37, len(POINT)))
    values, gradients = fg.vmap(single)(points)
    for point, value, gradient in zip(points, values, gradients, strict=True):
        np.testing.assert_array_equal(value, single(point)[0])
        np.testing.assert_array_equal(gradient, single(point)[1])


def test_demo_reports_the_published_rates_and_draws_its_picture(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    command = [sys.executable, SCRIPTS / "demo.py", "--picture", picture, "--draws", "20000"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name, published in PUBLISHED_RATES.items():
        found = re.search(rf"^{name} +(\S+) +(\S+) +(\S+) +(\S+)$", report, re.MULTILINE)
        assert found, report
        most_likely, error, mean, shown = (float(text) for text in found.groups())
        assert shown == published
        assert abs(most_likely - published) < error
        # a posterior mean is published to two digits
        assert mean == pytest.approx(published, rel=0.03)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 50_000
