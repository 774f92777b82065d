"""How long does a drawing take? Beside Graphviz, which lays out and draws the same graph."""

import shutil
import subprocess

import numpy as np
import pytest
from comparison import Row, fastest

import fastgrad as fg

N_BOXES = 1_000


def crossed(x):
    """Some 1,000 nodes that use each other's results."""
    values = [x]
    for k in range(N_BOXES // 2):
        values.append(np.sin(values[-1]) * values[(7 * k) % len(values) // 2])
    return values[-1]


@pytest.mark.parametrize("max_boxes", [150, 2 * N_BOXES], ids=["folded", "all nodes"])
def test_drawing_of_a_thousand_nodes(report, max_boxes):
    tape = fg.record(crossed, 0.5)
    dot = tape.draw("dot", max_boxes=max_boxes).text

    def draw():
        return tape.draw(max_boxes=max_boxes).text

    def graphviz():
        return subprocess.run(["dot", "-Tsvg"], input=dot, text=True, capture_output=True, check=True)

    is_folded = max_boxes < N_BOXES  # Graphviz takes minutes for all nodes
    has_graphviz = shutil.which("dot") is not None
    times = fastest({"fastgrad": draw, **({"Graphviz": graphviz} if has_graphviz and is_folded else {})})
    row = Row(
        f"Drawing of 1,000 nodes, at most {max_boxes:,} boxes",
        times.pop("fastgrad"),
        others=times,
        bar=1.0,
        missing=() if has_graphviz or not is_folded else ("Graphviz",),
        judged_alone=True,
    )
    report(row, draw)
