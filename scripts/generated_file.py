"""Writes a generated file of the repository, or says whether it is up to date."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def write_or_check(path: Path, generate: Callable[[], str]) -> int:
    """What a generator's command line does; returns its exit code, 1 where ``--check`` finds the file stale."""
    parser = argparse.ArgumentParser(description=f"Writes {path.name}.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is stale")
    if not parser.parse_args().check:
        path.write_text(generate())
        return 0
    stale = not path.exists() or path.read_text() != generate()
    print(f"{path.name} is {'stale' if stale else 'up to date'}")
    return int(stale)
