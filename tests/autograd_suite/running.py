"""Fetches autograd's tests into an ignored folder and runs them on the shim in an interpreter of their own."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / ".autograd"
NAME = "autograd-1.8.0"
SHA256 = "107374ded5b09fc8643ac925348c0369e7b0e73bbed9565ffd61b8fd04425683"


class NotFetchedError(Exception):
    """The tests could not be downloaded."""


def fetch() -> Path:
    """The folder of the tests; downloaded with pip if it is not there yet."""
    archive = FOLDER / f"{NAME}.tar.gz"
    if not archive.exists():
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        done = subprocess.run(
            [*download, "--dest", str(FOLDER), NAME.replace("-", "==")], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NotFetchedError(done.stderr.strip().splitlines()[-1])
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(f"{archive} is not the file that is expected: its sha256 is {found}")
    if not (FOLDER / NAME).exists():
        with tarfile.open(archive) as files:
            files.extractall(FOLDER, filter="data")
    return FOLDER / NAME / "tests"


def run(tests: Path) -> dict[str, str]:
    """What became of each test: "passed", "skipped", "no derivative taken", or the exception that it ended with."""
    results = FOLDER / "results.json"
    results.unlink(missing_ok=True)
    shim = HERE / "shim"
    environment = os.environ | {"PYTHONPATH": str(shim), "FASTGRAD_AUTOGRAD_RESULTS": str(results)}
    command = [sys.executable, "-m", "pytest", "-c", str(shim / "pytest.ini"), "--rootdir", str(tests), str(tests)]
    done = subprocess.run(command, cwd=tests, env=environment, capture_output=True, text=True, check=False)
    # 0 and 1: all tests ran, and some may have failed
    if done.returncode > 1:
        raise RuntimeError(f"autograd's tests did not run:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    outcomes: dict[str, str] = json.loads(results.read_text())
    return outcomes
