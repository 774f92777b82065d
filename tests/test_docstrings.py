"""The examples in docstrings give what they show."""

import doctest
from importlib import import_module

import pytest

MODULES = [
    "api",
    "batch.batched",
    "batch.chunks",
    "check",
    "checking.check",
    "edit.compose",
    "edit.methods",
    *(f"interop.{name}" for name in ("c", "dask", "numba", "scipy")),
    "prepared",
    "tape",
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_show(name: str) -> None:
    found = doctest.testmod(import_module(f"fastgrad.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
