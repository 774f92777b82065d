"""Times measured inside fresh Python processes."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# of this run alone: whatever the caller's settings, modules are compiled to bytecode once
BYTECODE = tempfile.TemporaryDirectory()


def seconds_in_fresh_process(program: str) -> float:
    """Run a program that prints one number of seconds, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(HERE), "PYTHONPYCACHEPREFIX": BYTECODE.name}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, cwd=HERE.parent
    )
    return float(finished.stdout.split()[-1])


def fastest_in_fresh_processes(programs: dict[str, str], samples: int) -> dict[str, float]:
    """The shortest time of each program; the programs run in turns."""
    best = dict.fromkeys(programs, float("inf"))
    for _ in range(samples):
        for name, program in programs.items():
            best[name] = min(best[name], seconds_in_fresh_process(program))
    return best
