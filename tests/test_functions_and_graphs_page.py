"""The page about functions and graphs is what its script writes, and what it states holds."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.pages import DOCS

SCRIPTS = DOCS.parent / "scripts"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    pytest.importorskip("graphlay")
    sys.path.insert(0, str(SCRIPTS))
    try:
        path = SCRIPTS / "functions_and_graphs_page.py"
        spec = importlib.util.spec_from_file_location("functions_and_graphs_page", path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(SCRIPTS))


def test_the_page_and_its_pictures_are_what_the_script_writes(script: ModuleType) -> None:
    files = script.files()
    assert len(files) > 10
    for path, content in files.items():
        assert path.read_text() == content, f"{path.name} is stale: run scripts/functions_and_graphs_page.py"


def test_the_jacobian_of_each_composition_is_the_product_of_the_jacobians(script: ModuleType) -> None:
    for name, inner, outer, n in script.PAIRS:
        nodes, error = script.chain_rule_error(inner, outer, n)
        assert nodes > 2
        assert error < 1e-14, name
