"""What Numba keeps on disk: found by the next process, right there, and made anew where the derivative has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODEL = """
import numpy as np

DATA = np.array([1.0, 2.0, 3.0])


def energy(x):
    return FACTOR * np.sum(DATA * x * x)
"""

CALLERS = """
import json

import numba
import numpy as np

import fastgrad as fg
import model
from fastgrad.interop.numba import compile

gradient = compile(fg.grad(model.energy), np.zeros(3))


@numba.njit(cache=True)
def step(x):
    return x - gradient(x)


@numba.njit(cache=True, nogil=True)
def step_of_any(function, x):
    return x - function(x)


@numba.njit(cache=True, parallel=True)
def steps(xs):
    out = np.empty_like(xs)
    for k in numba.prange(len(xs)):
        gradient.into(xs[k], out[k])
    return xs - out


def closed_over(function):
    @numba.njit(cache=True)
    def step(x):
        return x - function(x)

    return step


step_of_closure = closed_over(gradient)

if __name__ == "__main__":
    x = np.array([1.0, 1.0, 1.0])
    found = [step(x), step_of_any(gradient, x), steps(x.reshape(1, 3))[0], step_of_closure(x)]
    model.DATA *= 2.0
    found.append(step(x))
    callers = [step, step_of_any, steps, step_of_closure]
    hits = [sum(caller.stats.cache_hits.values()) for caller in callers]
    print(json.dumps({"found": [list(x) for x in found], "hits": hits}))
"""


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs the callers in a new process, with a model of this factor."""

    def run(factor: float, callers: str = CALLERS) -> dict[str, Any]:
        model, program = tmp_path / "model.py", tmp_path / "callers.py"
        model.write_text(MODEL.replace("FACTOR", str(factor)))
        if not program.exists() or program.read_text() != callers:
            program.write_text(callers)
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "NUMBA_NUM_THREADS": "2"}
        environment.pop("NUMBA_CACHE_DIR", None)
        done = subprocess.run(
            [sys.executable, str(program)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    return run


def expected(factor: float) -> list[list[float]]:
    once = [1.0 - 2 * factor * data for data in (1.0, 2.0, 3.0)]
    doubled = [1.0 - 4 * factor * data for data in (1.0, 2.0, 3.0)]
    return [once] * 4 + [doubled]


def test_the_next_process_finds_what_was_compiled_and_a_changed_derivative_is_compiled_anew(run: Any) -> None:
    first, second = run(1.5), run(1.5)
    assert first == {"found": expected(1.5), "hits": [0, 0, 0, 0]}
    assert second == {"found": expected(1.5), "hits": [1, 1, 1, 1]}
    # the callers' own file stays as it is
    changed, again = run(2.5), run(2.5)
    assert changed == {"found": expected(2.5), "hits": [0, 0, 0, 0]}
    assert again == {"found": expected(2.5), "hits": [1, 1, 1, 1]}
