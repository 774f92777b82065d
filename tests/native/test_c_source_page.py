"""The example of the page on C sources does what the page shows."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgrad as fg

PAGE = Path(__file__).resolve().parents[2] / "docs" / "c_source.md"
EXAMPLES = dict(re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL))


@pytest.mark.skipif(not shutil.which("gcc"), reason="the page's commands call gcc")
def test_the_example_prints_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(EXAMPLES["python"], PAGE.name, "exec"), names)
    (tmp_path / "main.c").write_text(EXAMPLES["c"])
    printed = subprocess.run(EXAMPLES["sh"], shell=True, capture_output=True, text=True, check=True).stdout
    assert printed == EXAMPLES["text"]
    value, (by_state, by_length) = fg.value_and_grad(names["swing"], argnums=(0, 1))(np.array([0.5, -0.25]), 3.0)
    numbers = [float(text) for text in re.split(r"[ ,:]+", printed.strip())]
    assert numbers == [-1.0, value, *by_state, by_length]
