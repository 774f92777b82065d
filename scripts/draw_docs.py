"""Writes the pictures of the page about drawings."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from generated_file import write_or_check_files

import fastgrad as fg

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"


def curve(x, y):
    return np.exp(-(x**2)) * np.sin(y)


def network(x, w, v):
    with fg.group("encoder"):
        hidden = fg.name(np.tanh(w * x), "hidden")
    with fg.group("loss"):
        return np.sum((v * hidden - 1.0) ** 2)


def chain(x):
    for _ in range(25_000):
        x = np.sin(x) + 0.1 * x * x
    return x


def pictures() -> dict[Path, str]:
    """The text of each picture."""
    small, grouped = fg.record(curve, 0.5, 1.0), fg.record(network, *np.ones((3, 4)))
    drawings = {
        "small": small.draw(),
        "sweeps": small.draw(values=[0.5, 1.0], adjoints=True),
        "groups": grouped.draw(),
        "folded": grouped.draw(fold_groups=["encoder"]),
        "dark": small.draw(theme="dark"),
        "large": fg.record(chain, 0.5).draw(max_boxes=15),
    }
    return {IMAGES / f"drawing_{name}.svg": drawing.text for name, drawing in drawings.items()}


if __name__ == "__main__":
    sys.exit(write_or_check_files(pictures))
