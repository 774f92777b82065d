"""The page on coverage says what fastgrad does: its own column is computed again, the peers' stand as measured."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.coverage.calls import CALLS, MODULES, NOT_CALLED, public_functions
from tests.coverage.states import DIFFERENTIATES, UNKNOWN, WRONG, combined, states_of_calls

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"
ROWS = {
    cells[0]: cells[1:]
    for cells in (re.split(r" (?<!\\)\| ", line.strip("| ")) for line in PAGE.read_text().splitlines())
    if "." in cells[0] and len(cells) == 4
}
NAMES = [name for module in MODULES for name in public_functions(module)]


@pytest.mark.parametrize("name", [name for name in NAMES if name in ROWS])
def test_a_function_does_what_the_page_says(name):
    state = combined(name, states_of_calls(name))
    assert state.what not in (UNKNOWN, WRONG), state
    assert str(state).replace("|", "\\|") == ROWS[name][0]


# NumPy adds functions from release to release; those of the release that the page was made with are all there
@pytest.mark.skipif(not np.__version__.startswith("2.4."), reason="the page lists the functions of NumPy 2.4")
def test_the_page_lists_every_public_function_and_no_other():
    assert sorted(ROWS) == sorted(NAMES)
    assert sorted(CALLS.keys() | NOT_CALLED.keys()) == sorted(NAMES)


def test_every_function_has_a_measured_state_in_every_column():
    for name, cells in ROWS.items():
        assert all(cells), name


@pytest.mark.parametrize(("module", "least"), [("numpy", 240), ("numpy.linalg", 27), ("numpy.fft", 18)])
def test_most_functions_of_a_module_differentiate(module, least):
    mine = [ROWS[name][0] for name in ROWS if name.rpartition(".")[0] == module]
    assert sum(state.startswith(DIFFERENTIATES) for state in mine) >= least
