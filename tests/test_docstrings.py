"""The examples in docstrings give what they show."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import fastgrad

PACKAGE = Path(fastgrad.__file__).parent
MODULES = [
    ".".join(("fastgrad", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_show(name: str) -> None:
    found = doctest.testmod(import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


def test_the_examples_of_the_public_functions_are_among_them() -> None:
    assert {"fastgrad.api", "fastgrad.batch.batched", "fastgrad.nn.network", "fastgrad.tape"} <= set(MODULES)
