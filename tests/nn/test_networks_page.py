"""The examples on the page about networks give what they show."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import run_examples


def test_the_examples_give_what_they_show() -> None:
    assert run_examples("networks.md") > 25


def test_the_pictures_are_what_the_script_draws() -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("graphlay")
    script = Path(__file__).resolve().parent.parent.parent / "scripts" / "networks_pictures.py"
    run = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
