"""Writes docs/functions_and_graphs.md and its pictures: functions, their graphs, formulas and derivatives side by side.

With --check, says whether they are up to date. Every number on the page is computed while it is written.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from generated_file import write_or_check_files

import fastgrad as fg

DOCS = Path(__file__).resolve().parent.parent / "docs"

# ---- the functions on the page


def wave(x):
    return x * np.sin(x)


def bell(x):
    return np.exp(-(x**2))


def helix_x(t):
    return {"x": np.cos(t)}


def helix_y(t):
    return {"y": np.sin(t)}


def helix_z(t):
    return {"z": t / 5}


def height(x, y, z):
    return x * y + np.sin(z)


def polar(r, phi):
    return np.stack([r * np.cos(phi), r * np.sin(phi)])


def energy(p):
    return p[0] ** 2 / 2 + p[1] ** 4 / 4


@dataclass(frozen=True)
class Shown:
    """A function with the point at which it is recorded."""

    function: Callable[..., Any]
    point: tuple[Any, ...]

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def tape(self) -> fg.Tape:
        return fg.record(self.function, *self.point)

    @property
    def derivative(self) -> fg.Tape:
        return self.tape.gradient()

    @property
    def source(self) -> str:
        return textwrap.dedent(inspect.getsource(self.function)).strip()


SCALAR = (Shown(wave, (1.0,)), Shown(bell, (0.5,)))
COMPONENTS = (Shown(helix_x, (1.0,)), Shown(helix_y, (1.0,)), Shown(helix_z, (1.0,)))
MANY_VARIABLES = Shown(height, (1.0, 2.0, 3.0))
INNER, OUTER = Shown(polar, (2.0, 0.5)), Shown(energy, (np.array([1.0, 2.0]),))

# ---- the identity that the last section states, on many functions


def layer(weights: Any, x: Any) -> Any:
    return np.tanh(weights @ x)


_RANDOM = np.random.default_rng(6)
_NARROW, _WIDE = _RANDOM.normal(size=(2, 5)), _RANDOM.normal(size=(5, 3))
# inner function, outer function, length of the inner one's argument
PAIRS: tuple[tuple[str, Callable[[Any], Any], Callable[[Any], Any], int], ...] = (
    ("sin after exp", np.exp, np.sin, 4),
    ("sum of squares after a shift", lambda x: x - 1.0, lambda y: np.sum(y**2), 4),
    ("two layers", lambda x: layer(_WIDE, x), lambda y: layer(_NARROW, y), 3),
    ("softmax after a layer", lambda x: layer(_WIDE, x), lambda y: np.exp(y) / np.sum(np.exp(y)), 3),
    ("cumulative sum after sorting", np.sort, np.cumsum, 5),
    ("norm after slices", lambda x: x[1:] - x[:-1] ** 2, lambda y: np.sqrt(np.sum(y**2)), 5),
    ("outer product after sin", np.sin, lambda y: np.outer(y, y), 3),
    ("determinant after filling a matrix", lambda x: np.reshape(x, (3, 3)) + 2 * np.eye(3), np.linalg.det, 9),
    ("solution of a linear system", lambda x: np.outer(x, x) + np.eye(3), lambda a: np.linalg.solve(a, np.ones(3)), 3),
    ("Fourier power after a window", lambda x: x * np.hanning(8), lambda y: np.abs(np.fft.rfft(y)) ** 2, 8),
)


def chain_rule_error(inner: Callable[[Any], Any], outer: Callable[[Any], Any], n: int) -> tuple[int, float]:
    """Nodes of the composed tape, and the largest difference of its Jacobian from the product of the parts' ones.

    The difference is relative to the largest entry.
    """
    x = np.random.default_rng(n).uniform(0.2, 1.2, n)
    y = np.asarray(inner(x))
    first, second = fg.record(inner, x), fg.record(outer, y)
    composed = fg.compose(second, first)
    whole = fg.jacobian(composed)(x)
    product = np.tensordot(fg.jacobian(outer)(y), fg.jacobian(inner)(x), axes=y.ndim)
    return len(composed), float(np.max(np.abs(whole - product)) / np.max(np.abs(product)))


# ---- the page


def picture(files: dict[Path, str], tape: fg.Tape, name: str, title: str) -> str:
    """Draw a tape into a file; returns the HTML that shows it."""
    path = DOCS / "images" / f"graph_{name}.svg"
    files[path] = str(tape.draw())
    return f'<img src="images/{path.name}" alt="{title}">'


def side_by_side(files: dict[Path, str], *shown: tuple[str, fg.Tape, str]) -> list[str]:
    """A table with a heading, a picture and formulas in each column."""
    pictures = [picture(files, tape, name, title) for title, tape, name in shown]
    return [
        "| " + " | ".join(title for title, _, _ in shown) + " |",
        "|" + "---|" * len(shown),
        "| " + " | ".join(f"${tape.formula('latex')}$" for _, tape, _ in shown) + " |",
        "| " + " | ".join(pictures) + " |",
        "",
    ]


def function_and_derivative(files: dict[Path, str], shown: Shown) -> list[str]:
    return [
        *("```python", shown.source, "```", ""),
        *side_by_side(
            files,
            (f"{shown.name}", shown.tape, shown.name),
            (f"derivative of {shown.name}", shown.derivative, f"{shown.name}_derivative"),
        ),
    ]


def files() -> dict[Path, str]:
    """Every file of the page by its path."""
    made: dict[Path, str] = {}
    lines = [
        "# Functions and graphs",
        "",
        "A computation graph and the function that it stands for are one thing. This page shows what that means for",
        "functions of one and of many variables, for their derivatives, and for functions of functions. It is made by",
        "`scripts/functions_and_graphs_page.py`: formulas, pictures and numbers come from the tapes of the functions",
        "that stand beside them.",
        "",
        "## One variable: the graph and its derivative map one to one",
        "",
        "Each node of the graph of a function has a derivative of its own, so the graph of the derivative follows from",
        "that of the function, node by node; and it is the graph of a function again.",
        "",
    ]
    for shown in SCALAR:
        lines += function_and_derivative(made, shown)
    lines += [
        "## A vector of values: graphs side by side",
        "",
        "A function into three dimensions is three graphs over one input, and its derivative is taken component by",
        "component. `fg.parallel` puts the graphs side by side:",
        "",
        "```python",
        *[shown.source + "\n\n" for shown in COMPONENTS],
        'helix = fg.parallel(*(fg.record(f, 1.0) for f in (helix_x, helix_y, helix_z)), share=("t",))',
        "```",
        "",
    ]
    helix = fg.parallel(*(shown.tape for shown in COMPONENTS), share=("t",))
    # all three are derivatives by t: called after what they are derivatives of
    slopes = fg.parallel(
        *(shown.derivative.rename({"adjoint(t)": f"d{shown.tape.output_names[0]}"}) for shown in COMPONENTS),
        share=("t",),
    )
    lines += side_by_side(
        made, ("helix", helix, "helix"), ("derivative of helix, component by component", slopes, "helix_derivative")
    )
    lines += [
        "## Many variables: many to one, and the gradient",
        "",
        "Several inputs meet in one value. The derivative has one value for each of them: the gradient.",
        "",
        *function_and_derivative(made, MANY_VARIABLES),
        "## Composition: graphs joined, Jacobians multiplied",
        "",
        "Where the result of one function is the argument of another, the graphs are joined end to end, and the chain",
        "rule says that the Jacobian of the whole is the product of the Jacobians of the parts. So what is built from",
        "parts, such as a neural network, is changed by changing the graph: [networks](networks.md) and",
        "[editing](editing.md) show how.",
        "",
        "```python",
        INNER.source + "\n\n",
        OUTER.source + "\n\n",
        "h = fg.record(polar, 2.0, 0.5) >> fg.record(energy, np.zeros(2))",
        "```",
        "",
    ]
    composed = INNER.tape >> OUTER.tape
    lines += side_by_side(
        made,
        ("polar", INNER.tape, "polar"),
        ("energy", OUTER.tape, "energy"),
        ("energy after polar", composed, "composed"),
    )
    lines += side_by_side(made, ("derivative of energy after polar", composed.gradient(), "composed_derivative"))
    lines += [
        "On the following functions the largest difference between the Jacobian of the composed tape and",
        "the product of the Jacobians of its parts, relative to the largest entry, is below $10^{-14}$ for each.",
        "",
        "| composition | argument | nodes of the composed tape | identity holds |",
        "|---|---|---|---|",
    ]
    for name, inner, outer, n in PAIRS:
        nodes, error = chain_rule_error(inner, outer, n)
        lines.append(f"| {name} | {n} numbers | {nodes} | {'yes' if error < 1e-14 else f'no: {error:.1e}'} |")
    made[DOCS / "functions_and_graphs.md"] = "\n".join(lines) + "\n"
    return made


if __name__ == "__main__":
    sys.exit(write_or_check_files(files))
