"""The examples of the README do what they say."""

import re
from pathlib import Path
from typing import Any

import numpy as np

README = Path(__file__).resolve().parent.parent / "README.md"


def test_the_examples_run_and_find_the_curve_and_the_slope() -> None:
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL):
        exec(compile(example, README.name, "exec"), names)
    p, step = np.array([2.0, 0.3]), 1e-5
    value, slope = names["fg"].value_and_grad(names["simulate"])(p)
    differences = [(names["simulate"](p + d) - names["simulate"](p - d)) / (2 * step) for d in step * np.eye(2)]
    assert value == names["simulate"](p)
    np.testing.assert_allclose(slope, differences, rtol=1e-8)
    np.testing.assert_allclose(names["fit"].x, [2.5, 1.3], rtol=0.01)
    assert names["curvature"].shape == (2, 2)
    assert names["slopes"].shape == (100_000, 2)
    nearest = names["starts"][np.argmin(names["values"])]
    np.testing.assert_allclose(nearest, names["fit"].x, atol=0.05)
