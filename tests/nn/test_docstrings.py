"""The examples in the docstrings of networks give what they show."""

import doctest
from importlib import import_module

import pytest

MODULES = ("keeping", "losses", "network", "schedules", "training")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_show(name: str) -> None:
    found = doctest.testmod(import_module(f"fastgrad.nn.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
