"""``python -m pytest benchmarks``: fastgrad beside its rivals, in one table. Add ``--update-figures`` to keep it.

Everything runs on one thread. Nothing here asserts a time: the table shows the ratio beside the bar.
"""

import importlib
import os
import time
from pathlib import Path

import pytest
from comparison import Row, fastest, machine, table

# read when NumPy and JAX load, which the benchmarks do
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC", "PJRT_NPROC"), "1")
os.environ |= {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}

PAGE = Path(__file__).resolve().parent.parent / "docs" / "figures.md"
BEGIN, END = "<!-- figures: written by python -m pytest benchmarks --update-figures -->", "<!-- end of figures -->"
ROWS = pytest.StashKey[list[Row]]()
LIMITS = pytest.StashKey[str]()
WARM_UP = 1.0  # seconds of calls before fastgrad is timed, so that native code is there


def pytest_addoption(parser):
    parser.addoption("--update-figures", action="store_true", help="write the table of figures into docs/figures.md")


def pytest_configure(config):
    config.stash[ROWS] = []
    config.option.benchmark_columns = ["min", "median", "max", "rounds"]


@pytest.fixture(scope="session", autouse=True)
def large_arrays_stay_in_the_heap():
    """Rivals at their best: where glibc maps each array anew, NumPy's Rosenbrock gradient takes 0.95 ms, else 0.37.

    It ceases to do so for sizes up to that of a mapped block once freed.
    """
    numpy = importlib.import_module("numpy")
    numpy.empty(3_500_000)


@pytest.fixture(scope="session")
def by_hand(tmp_path_factory):
    """Derivatives written by hand in C."""
    return importlib.import_module("by_hand").ByHand(tmp_path_factory.mktemp("by_hand"))


@pytest.fixture(scope="session")
def limits(by_hand, request):
    """What the processor can do at most."""
    limits = importlib.import_module("limits").Limits(by_hand)
    request.config.stash[LIMITS] = str(limits)
    return limits


@pytest.fixture
def report(benchmark, request):
    """``report(row, ours)`` puts a row into the table and into the record of pytest-benchmark, which times ``ours``."""

    def report(row, ours):
        benchmark.extra_info.update(row.extra_info())
        benchmark.pedantic(ours, rounds=5, warmup_rounds=1)
        request.config.stash[ROWS].append(row)

    return report


@pytest.fixture
def compare(report, limits):
    """``compare(work, ours, rivals)`` times all in turns and reports the row.

    The bar is about the fastest of ``rivals``; ``others`` are for information. What is None is named as missing.
    ``flops`` and ``traffic`` are the operations that the work takes and the bytes that it reads and writes.
    Check results after it: fastgrad takes other ways once it has been called a few times.
    """

    def compare(work, ours, rivals, others=None, *, bar=None, reach=None, per=1, seconds=1.0, flops=None, traffic=None):
        everyone = {**rivals, **(others or {})}
        present = {name: rival for name, rival in everyone.items() if rival is not None}
        missing = tuple(name for name in everyone if name not in present)
        warm_up(ours)
        times = fastest({"fastgrad": ours, **present}, seconds)
        mine = times.pop("fastgrad")
        against = {name: times[name] for name in rivals if name in times}
        aside = {name: times[name] for name in times if name not in rivals}
        shares = limits.shares(mine, flops, traffic)
        report(Row(work, mine, against, aside, bar, reach, missing, per, shares=shares), ours)

    return compare


def warm_up(ours):
    """Call it until native code, which is made where calls have taken as long as that would, is in use."""
    wait_until_idle = importlib.import_module("fastgrad.native.tier").wait_until_idle
    start = time.perf_counter()
    while time.perf_counter() < start + WARM_UP:
        ours()
    wait_until_idle()
    ours()


@pytest.fixture
def peer():
    """``peer(name)``: the module, or None where it is not installed."""

    def peer(name):
        try:
            return importlib.import_module(name)
        except ImportError:
            return None

    return peer


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash[ROWS]
    if not rows:
        return
    lines = [
        machine(),
        "One thread; the shortest of many runs, taken in turns; ratio = fastgrad / rival.",
        *([f"Limits measured in the same run: {config.stash[LIMITS]}."] if LIMITS in config.stash else []),
        "",
        *table(rows),
    ]
    terminalreporter.section("fastgrad and its rivals")
    for line in lines:
        terminalreporter.write_line(line)
    if config.getoption("--update-figures"):
        text = PAGE.read_text()
        before, after = text[: text.index(BEGIN)], text[text.index(END) :]
        PAGE.write_text("\n".join([before + BEGIN, *lines, after]))
        terminalreporter.write_line(f"{PAGE.name} has the new figures.")
