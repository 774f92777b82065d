"""The examples in docstrings give what they show."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["api", "batch.batched", "batch.chunks", "check", "interop.dask"])
def test_the_examples_of_a_module_give_what_they_show(name: str) -> None:
    found = doctest.testmod(import_module(f"fastgrad.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
