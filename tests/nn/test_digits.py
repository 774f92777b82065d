"""The example of the handwritten digits learns them, and goes on to do so after each edit."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent.parent / "scripts" / "digits.py"
EDITS = ("insert_a_layer", "replace_its_activation", "share_two_weights", "freeze_the_first_block", "another_head")


def test_the_digits_are_learned_edited_and_learned_on(tmp_path: Path) -> None:
    for package in ("sklearn", "matplotlib", "graphlay"):
        pytest.importorskip(package)
    run = subprocess.run(
        [sys.executable, SCRIPT, "--pictures", tmp_path], capture_output=True, text=True, check=True, timeout=300
    )
    accuracies = [float(found) for found in re.findall(r"trained(?: on|:) ([\d.]+) %", run.stdout)]
    assert len(accuracies) == 1 + len(EDITS), run.stdout
    assert min(accuracies) >= 97.0
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {
        "0_first_network.svg",
        "history.png",
        *(f"{number}_{name}_{when}.svg" for number, name in enumerate(EDITS, 1) for when in ("before", "after")),
    }
    for path in tmp_path.glob("*.svg"):
        assert path.read_text().startswith("<svg")
