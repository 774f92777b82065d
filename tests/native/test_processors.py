"""Code for processors with fewer features gives the same bits, where fma is a function of the C library too."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import hashlib
import numpy as np
import fastgrad as fg
from fastgrad import ops
from fastgrad.native import store
from fastgrad.plan.request import Kind
from fastgrad.vm.scalar_executor import Runner
from tests.native.test_same_bits import bits, points_of, scalar_executor, tape_of

digest = hashlib.sha256()
operations = [operation for operation in ops.TABLE if operation.domain]
executors = [scalar_executor(tape_of(operation), Kind.GRADIENT) for operation in operations]
code = store.make([executor._sources()[0] for executor in executors])
for operation, executor, address in zip(operations, executors, code.addresses):
    native, plain = Runner(executor.layout), Runner(executor.layout)
    native.use_native([address])
    for point in points_of(operation):
        arrays, found, expected = [np.array(x) for x in point], executor.allocate(), executor.allocate()
        native.run(arrays, [], found), plain.run(arrays, [], expected)
        for x, y in zip(found, expected):
            assert bits(x) == bits(y), (operation.name, point)
            digest.update(bits(x).tobytes())

def f(x):
    return np.sum(np.exp(-x * x) * np.sin(3 * x) + np.log1p(x * x) + x**1.7 + np.tanh(x) / np.cosh(x))

for n in (5, 1000, 20000):
    x = np.abs(np.random.default_rng(n).normal(size=n))
    for tier in ("vm", "native"):
        derivative = fg.value_and_grad(f, tier=tier)
        for found in (*derivative(x), *fg.vmap(derivative)(x.reshape(-1, 5))):
            digest.update(bits(found).tobytes())
        assert derivative.explain(x).tier == tier
print(digest.hexdigest())
"""


def digest_on(processor: str, cache: Path) -> str:
    variables = {**os.environ, "FASTGRAD_CPU": processor, "FASTGRAD_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM]
    found = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout


def features() -> set[str]:
    try:
        return set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return set()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="these are x86 processors")
def test_processors_with_fewer_features_give_the_same_bits(tmp_path: Path) -> None:
    names = ["x86-64"]
    if {"avx2", "fma", "bmi2"} <= features():
        names.append("x86-64-v3")
    # one cache for all, so that its keys must tell them apart
    found = {name: digest_on(name, tmp_path) for name in ["", *names, ""]}
    assert len(set(found.values())) == 1, found
    assert len(list(tmp_path.glob("kernels-*.bin"))) == 1 + len(names)
