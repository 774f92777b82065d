"""Writes generated files of the repository, or says whether they are up to date."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def write_or_check(path: Path, generate: Callable[[], str]) -> int:
    """What the command line of a generator of one file does; returns its exit code."""
    return write_or_check_files(lambda: {path: generate()})


def write_or_check_files(generate: Callable[[], dict[Path, str]]) -> int:
    """What a generator's command line does; returns its exit code, 1 where ``--check`` finds a file stale."""
    parser = argparse.ArgumentParser(description="Writes generated files of the repository.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is stale")
    only_check = parser.parse_args().check
    any_stale = False
    for path, content in generate().items():
        if not only_check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            continue
        stale = not path.exists() or path.read_text() != content
        any_stale |= stale
        print(f"{path.name} is {'stale' if stale else 'up to date'}")
    return int(any_stale)
