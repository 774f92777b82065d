"""Writes docs/coverage.md: what becomes of every public function of NumPy; with --check, says whether it is up to date.

fastgrad's column is computed from the sample calls in tests/coverage. Those of autograd and JAX are measured where the
packages are installed and the page is written; ``--check`` takes them from the page.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from generated_file import write_or_check

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "coverage.md"
sys.path.insert(0, str(ROOT))

from tests.coverage.calls import CALLS, MODULES, public_functions  # noqa: E402
from tests.coverage.peers import PEERS, check_with  # noqa: E402
from tests.coverage.states import CONSTANT, DIFFERENTIATES, REFUSED, WRONG, State, combined, states_of_calls  # noqa: E402

HEAD = """# NumPy's functions one by one

Made by `scripts/coverage_page.py` from the sample calls in `tests/coverage`, which a test repeats.

- **differentiates**: value, forward and reverse mode agree with NumPy and with differences and complex steps at random
  points;
- **constant**: the result does not vary (comparisons, shapes, counts), or no array goes in; the derivative is zero;
- **refused**: an error that names the line and the remedy; the reason is its first sentence;
- **no**: the peer has no such function, or raises an error; **wrong**: it returns another derivative than that of the
  function as NumPy computes it (of `cholesky` and `eigh` the peers differentiate the symmetrised argument, NumPy reads
  one triangle).

The peers' columns are the same calls, with all their options, on `autograd.numpy` and `jax.numpy` (64 bits), through
reverse mode.
Public functions are what `__all__` of the module names and what can be called, without classes.
"""


def page() -> str:
    measured = {} if "--check" in sys.argv else {peer: check_with(peer) for peer in PEERS}
    kept = _peers_in_page()
    lines = [HEAD, "| module | functions | differentiate | constant | refused | " + " | ".join(
        f"{peer} differentiates" for peer in PEERS) + " |", "|---|---|---|---|---|" + "---|" * len(PEERS)]  # fmt: skip
    tables = []
    for module in MODULES:
        names = public_functions(module)
        rows = {}
        for name in names:
            own = combined(name, states_of_calls(name))
            others = [
                _peers_cell(states_of_calls(name, measured[peer])) if measured else kept.get(name, ["", ""])[k]
                for k, peer in enumerate(PEERS)
            ]
            rows[name] = (own, others)
        counts = Counter(own.what for own, _ in rows.values())
        peers = [_count(own_and_others[1][k] for own_and_others in rows.values()) for k in range(len(PEERS))]
        numbers = [len(names), counts[DIFFERENTIATES], counts[CONSTANT], counts[REFUSED], *peers]
        lines.append(f"| {module} | " + " | ".join(map(str, numbers)) + " |")
        tables += ["", f"## {module}", "", "| function | fastgrad | " + " | ".join(PEERS) + " |"]
        tables.append("|---|---|" + "---|" * len(PEERS))
        tables += [f"| {name} | {_cell(own)} | {' | '.join(others)} |" for name, (own, others) in rows.items()]
    return "\n".join([*lines, *tables]) + "\n"


def _peers_cell(states: list[State]) -> str:
    """What a peer makes of a function's calls."""
    counts = Counter(state.what for state in states)
    done = counts[DIFFERENTIATES] + counts[CONSTANT]
    if counts[WRONG]:
        return f"wrong in {counts[WRONG]} of {len(states)} calls"
    if done == len(states):
        return DIFFERENTIATES if counts[DIFFERENTIATES] else CONSTANT
    return f"{done} of {len(states)} calls" if done else "no"


def _count(cells: Iterable[str]) -> str:
    """How many functions a peer differentiates in all calls; in some; how many it gets wrong."""
    found = list(cells)
    in_part, wrong = (
        sum(cell.endswith("calls") and cell.startswith("wrong") == bad for cell in found) for bad in (False, True)
    )
    return f"{found.count(DIFFERENTIATES)}; {in_part} in part; {wrong} wrong"


def _cell(state: State) -> str:
    return str(state).replace("|", "\\|")


def _peers_in_page() -> dict[str, list[str]]:
    """The peers' columns as the page has them."""
    if not PAGE.exists():
        return {}
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| numpy")]
    return {row[0]: row[-len(PEERS) :] for row in rows if row[0] in CALLS or len(row) == 2 + len(PEERS)}


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page))
