"""The example of the README does what it says."""

import re
from pathlib import Path
from typing import Any

import numpy as np

README = Path(__file__).resolve().parent.parent / "README.md"


def test_the_example_runs_and_finds_the_curve_it_started_from() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, README.name, "exec"), names)
    np.testing.assert_allclose(names["fit"].x, [2.5, 1.3], rtol=0.01)
    assert names["curvature"].shape == (2, 2)
    assert names["slopes"].shape == (100_000, 2)
    nearest = names["starts"][np.argmin(names["values"])]
    np.testing.assert_allclose(nearest, names["fit"].x, atol=0.05)
