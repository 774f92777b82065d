"""Writes docs/operations.md from the operation tables; with --check, says whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from generated_file import write_or_check

import fastgrad
from fastgrad import array_ops, ops

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operations.md"


def page() -> str:
    lines = [
        "# Operations",
        "",
        "Made by `scripts/operations_page.py` from the tables in `fastgrad/ops.py` and `fastgrad/array_ops/`.",
        "",
        "## Elementary",
        "",
        "The error bound is in units in the last place, against mpmath over the whole range; 0.5 is correctly rounded.",
        "",
        "| operation | records | error bound | derivative |",
        "|---|---|---|---|",
    ]
    for operation in ops.TABLE:
        public = (f"fastgrad.{operation.name}",) if operation.name in fastgrad.__all__ else ()
        names = ", ".join(f"`{name}`" for name in operation.answers_to or public) or "(derivatives only)"
        derivative = "0" if operation.piecewise_constant else "yes"
        lines.append(f"| {operation.name} | {names} | {operation.ulp:g} | {derivative} |")
    lines += ["", "## Arrays", "", "| operation | moves elements only |", "|---|---|"]
    operations = array_ops.all_operations()
    lines += [f"| {operation.name} | {'yes' if operation.movement else 'no'} |" for operation in operations]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page))
