"""How long machine code for a value and its gradient takes to make; it does not grow faster than the program."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.native import compiler
from fastgrad.vm import code_file

X = np.array([0.3, 0.7])
OPERATIONS = (2_000, 10_000, 20_000, 40_000, 80_000, 100_000)


def sources_of(n_operations: int) -> list[Any]:
    """A straight line of that many operations, five a step."""

    def f(x: Any) -> Any:
        a, b = x
        for _ in range(n_operations // 5):
            a, b = a + 0.01 * b, b - 0.01 * a * b
        return a * b

    derivative = fg.value_and_grad(f, tier="vm")
    derivative(X)
    (branch,) = derivative.recordings.all_branches()
    (executor,) = [made for key, made in branch._made.items() if key[0] == "executor"]
    return list(executor._sources())


def seconds(sources: list[Any]) -> float:
    start = time.perf_counter()
    image = code_file.image_of(compiler.compile_sources(sources, lambda: None), ["fastgrad.native.0"])
    took = time.perf_counter() - start
    assert code_file.load_from_memory(image, ["fastgrad.native.0"]).addresses
    return took


def test_compile_time(capsys: pytest.CaptureFixture[str]) -> None:
    seconds(sources_of(100))  # LLVM is loaded once
    with capsys.disabled():
        print()
        for n in OPERATIONS:
            sources = sources_of(n)
            took = min(seconds(sources) for _ in range(3 if n <= 10_000 else 1))
            print(f"{n:8,} operations compile in {1e3 * took:8.1f} ms, {1e6 * took / n:5.1f} us each")
