"""Writes docs/traps.md: the trap programs of tests/traps, and what fastgrad and its peers answer on them.

    python scripts/traps_page.py --measure PEER   # runs a peer (autograd, jax, jax-jit, torch) and keeps its answers
    python scripts/traps_page.py                  # runs fastgrad and writes the page
    python scripts/traps_page.py --check          # says whether the page is up to date; needs no peer

Each peer may be measured in an environment of its own: besides the peer only NumPy is needed there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from generated_file import write_or_check  # noqa: E402

from tests.traps.answers import answers  # noqa: E402
from tests.traps.loading import KINDS, title, traps  # noqa: E402
from tests.traps.not_yet import NOT_YET  # noqa: E402
from tests.traps.peers import PEERS  # noqa: E402
from tests.traps.trap import Trap  # noqa: E402

PAGE = ROOT / "docs" / "traps.md"
KEPT = ROOT / "scripts" / "data" / "trap_answers.json"
OUTCOMES = ("right", "warned", "refused", "NaN", "wrong")

INTRODUCTION = """\
# Trap programs

Made by `scripts/traps_page.py` from the programs in `tests/traps/programs`: {count} small NumPy programs at which
derivatives usually go wrong, each with its analytic answer, and what fastgrad, autograd, JAX and PyTorch answer.
Measured: {versions}.

The tests run fastgrad on every program in reverse and forward mode, nested, in batches and, where a second derivative
is given, at second order; they compare the table with plain NumPy and with central differences, too.

**What is run** is the program as it is written for NumPy. For fastgrad nothing is changed; for a peer the import of
NumPy is replaced by the peer's own (`autograd.numpy`, `jax.numpy`), and for PyTorch by a namespace that gives its
functions NumPy's names and meaning (`np.var` divides by n) and lets them take numbers and lists (`.copy()` becomes
`.clone()`). Data that a program makes outside the function stay NumPy's. JAX computes in float64; it is measured
without and with `jit`. PyTorch differentiates by tensors that require a gradient. A peer's own idiom (`x.at[i].set(v)`
in JAX) often does what the program as written cannot: a refusal says that a program must be rewritten, not that its
problem cannot be solved.

**right**: value and derivatives agree (at a kink every slope between those of its sides is right, at a point without
derivative NaN, too). **refused**: an exception, whatever its kind. **NaN**: not right, but it can be seen. **wrong**:
another number.
"second" is the matrix of second derivatives, "at a later call" a further point at which the same derivative function
was called.

"""


def measured(peer: str) -> dict[str, Any]:
    """A peer's version and answers."""
    found = PEERS[peer]()
    return {"name": found.name, "version": found.version, "answers": answers(found)}


def recorded_answers() -> dict[str, Any]:
    """What ``--measure`` has kept."""
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return {peer: kept[peer] for peer in PEERS if peer in kept}


def outcome(answer: str) -> str:
    """One of ``OUTCOMES``."""
    kind = answer.split(":")[0]
    return "NaN" if kind == "wrong" and "nan" in answer else kind


def page() -> str:
    columns = {"fastgrad": measured("fastgrad"), **recorded_answers()}
    table = {kind: traps(kind) for kind in KINDS}
    count = sum(map(len, table.values()))
    versions = ", ".join(
        dict.fromkeys(f"{column['name'].split(',')[0]} {column['version']}" for column in columns.values())
    )
    lines = [INTRODUCTION.format(count=count, versions=versions)]
    lines += [row(["", *(column["name"] for column in columns.values())]), row(["---"] * (len(columns) + 1))]
    for kind in OUTCOMES:
        numbers = [sum(outcome(found) == kind for found in column["answers"].values()) for column in columns.values()]
        lines.append(row([kind, *map(str, numbers)]))
    lines += ["", "What fastgrad answers wrong, and why:", ""]
    lines += [f"- **{name}**: {reason}." for name, reason in NOT_YET.items()]
    for kind, listed in table.items():
        lines += ["", f"## {title(kind)}", ""]
        lines += [
            row(["program", "answer", *(column["name"] for column in columns.values())]),
            row(["---"] * (len(columns) + 2)),
        ]
        for trap in listed:
            cells = [column["answers"].get(trap.name, "not measured") for column in columns.values()]
            lines.append(row([f"**{trap.name}**: {trap.about}", right_answer(trap), *map(cell, cells)]))
    return "\n".join(lines) + "\n"


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def cell(answer: str) -> str:
    """An answer of a table; refusals in the peer's first words."""
    kind, _, words = answer.partition(": ")
    if kind == "wrong":
        return f"**{words}**"
    return f"refused: `{words}`" if kind == "refused" else answer


def right_answer(trap: Trap) -> str:
    if trap.answers is not None:
        return ", ".join(shortly(answer) for answer in trap.answers)
    point = trap.points[0]
    text = ", ".join(shortly(derivative) for derivative in point.gradient)
    return text if point.second is None else f"{text}; second {shortly(point.second)}"


def shortly(number: Any) -> str:
    """A number or nested list with at most four digits."""
    if isinstance(number, (list, tuple)):
        return f"[{', '.join(map(shortly, number))}]"
    return number if isinstance(number, str) else str(number) if isinstance(number, bool) else f"{number:.4g}"


def main() -> int:
    if "--measure" in sys.argv:
        peer = sys.argv[sys.argv.index("--measure") + 1]
        kept = recorded_answers() | {peer: measured(peer)}
        KEPT.write_text(json.dumps({peer: kept[peer] for peer in PEERS if peer in kept}, indent=1) + "\n")
        return 0
    return write_or_check(PAGE, page)


if __name__ == "__main__":
    sys.exit(main())
