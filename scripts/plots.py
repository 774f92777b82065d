"""Draws the figures of the benchmarks as ratios to the best rival.

    ./run benchmarks --benchmark-json=output/benchmarks.json
    python scripts/plots.py output/benchmarks.json [docs/images/speed.svg]

The ending of the picture's name says its format.
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter

DEFAULT = Path(__file__).resolve().parent.parent / "docs" / "images" / "speed.svg"
MET, MISSED, PLAIN = "#2f7d5b", "#c46a3a", "#8a97a5"
TEXT, GRID = "#1f2933", "#d9dee3"
TICKS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]


def rows_of(results: dict) -> list[dict]:
    """The records that compare with a rival, in the order in which they ran."""
    return [info for run in results["benchmarks"] if (info := run["extra_info"]).get("ours_over_rival")]


def label(row: dict) -> str:
    rival = min(row["rival_seconds"], key=row["rival_seconds"].get)
    return f"{row['work']}\nagainst {rival}"


def colour(row: dict) -> str:
    if row["bar"] is None or row["judged_alone"]:
        return PLAIN
    return MET if row["ours_over_rival"] <= row["bar"] else MISSED


def draw(rows: list[dict], axes: Axes) -> None:
    """A bar for each row, from 1 to its ratio; ticks across where its bar and its reach are."""
    places = range(len(rows))
    ratios = [row["ours_over_rival"] for row in rows]
    axes.barh(
        places, [ratio - 1 for ratio in ratios], left=1, height=0.56, color=[colour(row) for row in rows], zorder=2
    )
    for place, row in enumerate(rows):
        for limit, style in ((row["bar"], "-"), (row["reach"], ":")):
            if limit is not None and not row["judged_alone"]:
                axes.vlines(limit, place - 0.42, place + 0.42, color=TEXT, linewidth=2.2, linestyle=style, zorder=5)
    axes.set_xscale("log")
    low, high = min(*ratios, 0.5) / 2, max(*ratios, 2) * 2
    axes.set_xlim(low, high)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if low <= tick <= high]))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
    axes.set_yticks(places, [label(row) for row in rows], fontsize=8.5, linespacing=1.15)
    for place, (row, ratio) in enumerate(zip(rows, ratios, strict=True)):
        axes.annotate(
            f"{ratio:.2f}",
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color=colour(row),
        )
    axes.axvline(1, color=TEXT, linewidth=1, zorder=4)
    axes.grid(axis="x", color=GRID, linewidth=0.8, zorder=0)
    axes.tick_params(axis="both", length=0)
    axes.tick_params(axis="x", labeltop=True)
    for side in axes.spines.values():
        side.set_visible(False)


def picture(rows: list[dict], path: Path) -> None:
    settings = {"font.family": "DejaVu Sans", "text.color": TEXT, "axes.labelcolor": TEXT, "xtick.color": TEXT,
                "ytick.color": TEXT, "svg.hashsalt": "fastgrad"}  # fmt: skip
    with plt.rc_context(settings):
        figure, axes = plt.subplots(figsize=(11, 1.6 + 0.42 * len(rows)), layout="constrained", facecolor="white")
        draw(rows, axes)
        axes.set_xlabel("time of fastgrad / time of the rival: left of 1 fastgrad is faster")
        keys = [
            Patch(color=MET, label="bar met"),
            Patch(color=MISSED, label="bar missed"),
            Patch(color=PLAIN, label="no bar"),
            Line2D([], [], color=TEXT, linewidth=1.6, label="bar"),
            Line2D([], [], color=TEXT, linewidth=1.6, linestyle=":", label="reach"),
        ]
        figure.legend(handles=keys, loc="outside upper center", ncols=len(keys), frameon=False, fontsize=9)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="what pytest --benchmark-json wrote")
    parser.add_argument("picture", type=Path, nargs="?", default=DEFAULT)
    arguments = parser.parse_args()
    rows = rows_of(json.loads(arguments.results.read_text()))
    if not rows:
        parser.error(f"{arguments.results} holds no work beside a rival.")
    picture(rows, arguments.picture)
    print(f"{len(rows)} figures in {arguments.picture}")


if __name__ == "__main__":
    main()
