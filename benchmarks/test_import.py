"""How long does ``import fastgrad`` take?"""

from comparison import Row
from fresh_process import fastest_in_fresh_processes, seconds_in_fresh_process

PROGRAM = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def test_import(report, peer):
    packages = {"fastgrad": "fastgrad", "import numpy": "numpy", "numba": "numba", "jax": "jax"}
    missing = tuple(name for name in ("numba", "jax") if peer(name) is None)
    programs = {name: PROGRAM.format(package) for name, package in packages.items() if name not in missing}
    times = fastest_in_fresh_processes(programs, samples=12)
    ours, numpy = times.pop("fastgrad"), times.pop("import numpy")
    row = Row("import fastgrad", ours, {"import numpy": numpy}, times, bar=1.3, missing=missing)
    report(row, lambda: seconds_in_fresh_process(PROGRAM.format("fastgrad")))
