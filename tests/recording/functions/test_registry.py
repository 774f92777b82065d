"""The registry: each function has one definition, whichever modules are loaded."""

from __future__ import annotations

import subprocess
import sys

LOAD_EVERYTHING = """
import importlib, pkgutil
import fastgrad
from fastgrad.recording import functions
from fastgrad.recording.functions import registry

tables = [registry.FUNCTIONS, registry.METHODS, registry.UFUNCS, registry.UFUNC_METHODS, registry.OUTSIDE]
for module in pkgutil.iter_modules(functions.__path__):
    before = [dict(table) for table in tables]
    importlib.import_module(f"{functions.__name__}.{module.name}")
    for old, new in zip(before, tables, strict=True):
        for name, definition in old.items():
            if new[name] is not definition:
                print(module.name, name)
"""


def output_of(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_no_module_replaces_a_definition_of_another() -> None:
    assert output_of(LOAD_EVERYTHING) == ""


ALLCLOSE = """
import numpy as np, fastgrad as fg
gradient = fg.grad(lambda x: x * np.allclose(x, 1.0))
print(gradient(1.0), gradient(2.0), len(gradient.recordings))
"""


def test_the_first_comparison_of_a_process_is_a_step_without_a_guard() -> None:
    assert output_of(ALLCLOSE) == "1.0 0.0 1"
