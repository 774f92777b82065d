"""The page on SciPy's functions says what fastgrad does: each call is made again."""

from __future__ import annotations

from pathlib import Path

import pytest
import scipy

from tests.coverage.calls import SCIPY_CALLS, SCIPY_MODULES, public_functions
from tests.coverage.states import DIFFERENTIATES, UNKNOWN, WRONG, combined, states_of_calls

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coverage_scipy.md"
ROWS = dict(
    line.strip("| ").split(" | ", 1)
    for line in PAGE.read_text().splitlines()
    if line.startswith(tuple(f"| {module}." for module in SCIPY_MODULES))
)
NAMES = [name for module in SCIPY_MODULES for name in public_functions(module)]


@pytest.mark.parametrize("name", [name for name in NAMES if name in ROWS])
def test_a_function_does_what_the_page_says(name):
    state = combined(name, states_of_calls(name))
    assert state.what not in (UNKNOWN, WRONG), state
    assert str(state) == ROWS[name]


# SciPy adds functions from release to release; those of the release that the page was made with are all there
@pytest.mark.skipif(not scipy.__version__.startswith("1.17."), reason="the page lists the functions of SciPy 1.17")
def test_the_page_lists_every_public_function_and_no_other():
    assert sorted(ROWS) == sorted(NAMES)
    assert sorted(SCIPY_CALLS) == sorted(NAMES)


@pytest.mark.parametrize(("module", "least"), [("scipy.special", 145), ("scipy.linalg", 55)])
def test_most_functions_that_programs_call_differentiate(module, least):
    mine = [state for name, state in ROWS.items() if name.rpartition(".")[0] == module]
    assert sum(state.startswith(DIFFERENTIATES) for state in mine) >= least
