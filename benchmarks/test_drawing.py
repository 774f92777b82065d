"""How long does a drawing take? Beside Graphviz, which lays out and draws the same graph."""

import shutil
import subprocess

import numpy as np
import pytest

import fastgrad as fg

N_BOXES = 1_000


def crossed(x):
    """Some 1,000 nodes that use each other's results."""
    values = [x]
    for k in range(N_BOXES // 2):
        values.append(np.sin(values[-1]) * values[(7 * k) % len(values) // 2])
    return values[-1]


@pytest.mark.parametrize("max_boxes", [150, 2 * N_BOXES], ids=["folded", "all nodes"])
def test_drawing_of_a_thousand_nodes(compare, max_boxes):
    tape = fg.record(crossed, 0.5)
    rivals = {}
    if shutil.which("dot") is not None:
        text = tape.draw("dot", max_boxes=max_boxes).text
        rivals["Graphviz"] = lambda: subprocess.run(
            ["dot", "-Tsvg"], input=text, text=True, capture_output=True, check=True
        )
    compare(f"drawing of 1,000 nodes, at most {max_boxes} boxes", lambda: tape.draw(max_boxes=max_boxes).text, rivals)
