"""Loads the programs as they stand, or with their imports replaced by those of a peer."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from tests.traps.trap import Trap

FOLDER = Path(__file__).parent / "programs"
# in the order of the page
KINDS = (
    "kinks",
    "singular",
    "limits",
    "filling",
    "changing",
    "views",
    "control",
    "arrays",
    "linear_algebra",
    "nested",
    "captured",
    "leaving",
    "threads",
)


def traps(kind: str, imports: Mapping[str, str] | None = None) -> list[Trap]:
    """The programs of one kind; ``imports`` gives, for pieces of their source, what stands in their place."""
    module = importlib.import_module(f"tests.traps.programs.{kind}") if imports is None else _replaced(kind, imports)
    return [found.trap for found in vars(module).values() if hasattr(found, "trap")]


def title(kind: str) -> str:
    """The first line of the module's docstring."""
    return (FOLDER / f"{kind}.py").read_text().split("\n", 1)[0].strip('".')


def _replaced(kind: str, imports: Mapping[str, str]) -> ModuleType:
    path = FOLDER / f"{kind}.py"
    source = path.read_text()
    for line, other in imports.items():
        source = source.replace(line, other)
    module = ModuleType(f"{kind}_of_a_peer")
    # dataclasses look their module up
    sys.modules[module.__name__] = module
    exec(compile(source, str(path), "exec"), vars(module))
    return module
