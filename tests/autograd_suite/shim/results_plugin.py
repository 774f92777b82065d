"""Writes the outcome of every test to the file that FASTGRAD_AUTOGRAD_RESULTS names."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from autograd.core import DERIVATIVES_TAKEN

_outcomes: dict[str, str] = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """The failure's exception and message, "skipped", "no derivative taken", or "passed"."""
    report = (yield).get_result()
    if call.when == "setup":
        DERIVATIVES_TAKEN.clear()
    if report.skipped:
        _outcomes[item.nodeid] = "skipped"
    elif call.excinfo is not None:
        _outcomes[item.nodeid] = call.excinfo.exconly()
    elif call.when == "call":
        _outcomes[item.nodeid] = "passed" if DERIVATIVES_TAKEN else "no derivative taken"


def pytest_sessionfinish() -> None:
    Path(os.environ["FASTGRAD_AUTOGRAD_RESULTS"]).write_text(json.dumps(_outcomes, indent=1))
