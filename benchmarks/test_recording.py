"""What does recording add to the function's own NumPy work, for each scalar operation?"""

from comparison import Row, fastest
from models import POINT, simulation

import fastgrad as fg


def test_recording_of_scalar_operations(report):
    n_operations = fg.record(simulation, POINT).n_operations
    times = fastest({"recorded": lambda: fg.record(simulation, POINT), "plain": lambda: simulation(POINT)}, samples=20)
    added = (times["recorded"] - times["plain"]) / n_operations
    row = Row(
        f"Recording {n_operations:,} scalar operations: time added to each",
        added,
        others={"the function itself": times["plain"] / n_operations},
        bar=2e-6,
        reach=1e-6,
        judged_alone=True,
    )
    report(row, lambda: fg.record(simulation, POINT))
