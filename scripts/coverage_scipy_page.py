"""Writes docs/coverage_scipy.md: what becomes of every public function of scipy.special and scipy.linalg; with --check,
says whether it is up to date.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from generated_file import write_or_check

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "coverage_scipy.md"
sys.path.insert(0, str(ROOT))

from tests.coverage.calls import SCIPY_MODULES, public_functions  # noqa: E402
from tests.coverage.states import CONSTANT, DIFFERENTIATES, REFUSED, combined, states_of_calls  # noqa: E402

HEAD = """# Functions of scipy.special and scipy.linalg one by one

Made by `scripts/coverage_scipy_page.py` from the sample calls in `tests/coverage`, which a test repeats.

- **differentiates**: value, forward and reverse mode agree with SciPy and with differences and complex steps at random
  points. Functions of `scipy.special` are differentiated by each of their real arguments in a call of its own; where
  some of the calls are refused, it says how many are not, and why the first of them is;
- **constant**: the result does not vary, or no array goes in; the derivative is zero;
- **refused**: an error that names the line and the remedy; the reason is its first sentence.

Public functions are what `__all__` of the module names and what can be called, without classes. Many functions of
`scipy.stats` (densities, distribution functions) are made of these, and so differentiate where these do. Of `scipy.fft`
those differentiate that `numpy.fft` has too; cosine, sine and Hankel transforms are refused.
"""


def page() -> str:
    lines = [HEAD, "| module | functions | differentiate | constant | refused |", "|---|---|---|---|---|"]
    tables = []
    for module in SCIPY_MODULES:
        states = {name: combined(name, states_of_calls(name)) for name in public_functions(module)}
        counts = Counter(state.what for state in states.values())
        numbers = [len(states), counts[DIFFERENTIATES], counts[CONSTANT], counts[REFUSED]]
        lines.append(f"| {module} | " + " | ".join(map(str, numbers)) + " |")
        tables += ["", f"## {module}", "", "| function | fastgrad |", "|---|---|"]
        tables += [f"| {name} | {state} |" for name, state in states.items()]
    return "\n".join([*lines, *tables]) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page))
