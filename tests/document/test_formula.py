"""Tapes as formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import fastgrad as fg
from fastgrad.document.formula import formula
from fastgrad.transform.adjoint import adjoint

NAMESPACE = {name: getattr(np, name) for name in ("sin", "cos", "tanh", "exp", "log1p", "sqrt", "where", "sum", "pi")}


def _extremum(of_two: Any, of_all: Any) -> Any:
    return lambda x, *y, **axis: of_two(x, *y) if y else of_all(x, **axis)


NAMESPACE |= {"max": _extremum(np.maximum, np.max), "min": _extremum(np.minimum, np.min)}


def evaluated(text: str, **inputs: Any) -> dict[str, float]:
    """The variables of a formula in plain text, computed as Python."""
    values: dict[str, Any] = dict(inputs)
    for line in text.splitlines():
        left, _, right = line.partition(" = ")
        values[left] = eval(right.replace("^", "**"), NAMESPACE, values)
    return values


@pytest.mark.parametrize(
    ("function", "arguments", "text", "latex"),
    [
        (lambda x: x * np.sin(x), (1.0,), "y = x*sin(x)", r"y = x \, \sin\left(x\right)"),
        (lambda x: np.exp(-(x**2)), (1.0,), "y = exp(-x^2)", "y = e^{-{x}^{2}}"),
        (lambda x, z: x - (z - 1), (1.0, 1.0), "y = x - (z - 1)", r"y = x - \left(z - 1\right)"),
        (lambda x, z: x / (x * z), (1.0, 1.0), "y = x/(x*z)", r"y = \frac{x}{x \, z}"),
        (lambda x, y: x * y, (1.0, 1.0), "z = x*y", r"z = x \, y"),
        (lambda x: np.add(x < 1.0, x), (1.0,), "y = (x < 1) + x", r"y = \left(x < 1\right) + x"),
        (lambda x: 1e-9**x, (1.0,), "y = 1e-09^x", r"y = {\left(1 \cdot 10^{-9}\right)}^{x}"),
        (lambda x: (-x) * 3.0, (1.0,), "y = -3*x", r"y = -3 \, x"),
        (lambda x: x - -2.5, (1.0,), "y = x + 2.5", "y = x + 2.5"),
        (lambda x: (x + 1) ** 2, (1.0,), "y = (x + 1)^2", r"y = {\left(x + 1\right)}^{2}"),
        (lambda x: np.abs(x) + np.sqrt(x), (1.0,), "y = |x| + sqrt(x)", r"y = \left|x\right| + \sqrt{x}"),
        (lambda x: 1e-9 * x, (1.0,), "y = 1e-09*x", r"y = 1 \cdot 10^{-9} \, x"),
        (
            lambda x: np.where(x > 0, x, 0.1 * x),
            (1.0,),
            "y = where(x > 0, x, 0.1*x)",
            r"y = \begin{cases}x & \text{if } x > 0 \\ 0.1 \, x & \text{else}\end{cases}",
        ),
        (lambda W, x, b: np.tanh(W @ x + b), (np.ones((3, 2)), np.ones(2), np.ones(3)), "y = tanh(W @ x + b)", None),
        (
            lambda t: np.stack([np.cos(t), np.sin(t), t]),
            (1.0,),
            "y = [cos(t), sin(t), t]",
            r"y = \begin{pmatrix}\cos\left(t\right) \\ \sin\left(t\right) \\ t\end{pmatrix}",
        ),
        (lambda x: np.sum(x[1:] - x[0]), (np.ones(4),), "y = sum(x[1:4] - x[0])", None),
        (lambda alpha_1: alpha_1 * 2, (1.0,), "y = 2*alpha_1", r"y = 2 \, \alpha_{1}"),
    ],
)
def test_formulas_read_as_written_by_hand(function: Any, arguments: Any, text: str, latex: str | None) -> None:
    tape = fg.record(function, *arguments)
    assert formula(tape) == text
    if latex is not None:
        assert formula(tape, "latex") == latex


def test_named_and_shared_values_get_formulas_of_their_own() -> None:
    def function(x: Any) -> Any:
        hidden = fg.name(np.tanh(x), "hidden")
        shared = x * hidden + 1.0
        return shared * np.sin(shared)

    assert formula(fg.record(function, 1.0)) == "hidden = tanh(x)\nv1 = x*hidden + 1\ny = v1*sin(v1)"


def test_letters_that_are_taken_are_not_used_again() -> None:
    def function(v1: Any) -> Any:
        shared = v1 + 1.0
        return shared * np.sin(shared)

    assert formula(fg.record(function, 1.0)) == "v2 = v1 + 1\ny = v2*sin(v2)"


def test_derivatives_of_names_are_bars_and_dots() -> None:
    tape = fg.record(lambda x: np.sin(fg.name(x * x, "square")), 1.0)
    assert r"\bar{\mathrm{square}} = " in formula(adjoint(tape, [0], 1, seeded=False), "latex").replace(" &=", " =")


@pytest.mark.parametrize("name", ["a_b{c}", "50%", r"\input{x}", "$x$", "a&b#c"])
def test_names_are_escaped_in_latex(name: str) -> None:
    tape = fg.record(lambda x: fg.name(np.sin(x), name) * x, 1.0)
    text = formula(tape, "latex")
    assert name not in text
    assert r"\input" not in text


def named_like_an_input(x: Any) -> Any:
    return fg.name(x * x, "x") + x


@pytest.mark.parametrize(
    "function",
    [
        lambda x, m: x[:, None] + x,
        lambda x, m: x[:, None] + x[:, None],
        lambda x, m: x[:, None] - m * x,
        lambda x, m: np.sum(x[:, None] * x[None, :] - m, axis=1),
        lambda x, m: np.sum(x[:, None] + 0.0 * m, axis=0),
        lambda x, m: np.sum(np.broadcast_to(x, (2, 3))),
        lambda x, m: np.sum(np.broadcast_to(x[:, None], (3, 3)), axis=0),
        lambda x, m: np.broadcast_to(x[:, None], (3, 2)),
        lambda x, m: np.broadcast_to(x, (2, 3)).reshape(3, 2),
        lambda x, m: x * (m @ x),
        lambda x, m: (m @ x) * x - m @ (m @ x),
        lambda x, m: x @ m @ x * 2.0,
        lambda x, m: x[:, None] @ x[None, :] - (m @ m).T,
        lambda x, m: m[:, 0] + m[:, 1:2],
        lambda x, m: m[1] * m[:, 1] - m[1:2] * m[0],
        lambda x, m: np.cumsum(x[:, None] + x, 1)[2],
        lambda x, m: np.tanh(x[:, None] * 2.0).T @ m,
        lambda x, m: np.add(x < 0.5, x) - (x < 0.5),
        lambda x, m: np.max(m, axis=0) + np.max(x) - np.maximum(np.min(m, axis=(0, 1)), x),
        lambda x, m: named_like_an_input(x),
        lambda x, m: {"x": x + 1.0, "y": np.sin(x)},
    ],
)
def test_formulas_of_arrays_compute_what_the_tape_computes(function: Any) -> None:
    x, m = np.array([0.3, -0.7, 1.1]), np.arange(9.0).reshape(3, 3) / 7.0
    tape = fg.record(function, x, m)
    functions = {name: getattr(np, name) for name in ("reshape", "broadcast_to")}
    values = evaluated(formula(tape), x=x, m=m, cumsum=np.cumsum, **functions)
    results = tape(x, m)
    for found, result in zip(
        list(values.values())[-len(tape.outputs) :], results if type(results) is tuple else (results,), strict=True
    ):
        assert_allclose(np.squeeze(found), np.squeeze(result), rtol=1e-6)
    formula(tape, "latex")


LEAVES = st.sampled_from(["x", "z", "2.0", "0.5", "-1.5"])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*", "/"]), inner, inner).map(lambda t: f"({t[1]} {t[0]} {t[2]})"),
        st.tuples(st.sampled_from(["sin", "tanh", "cos"]), inner).map(lambda t: f"{t[0]}({t[1]})"),
        inner.map(lambda t: f"(-{t})"),
        inner.map(lambda t: f"({t})**2"),
    ),
    max_leaves=12,
)


@given(TREES)
def test_formulas_in_plain_text_compute_what_the_tape_computes(program: str) -> None:
    def function(x: Any, z: Any) -> Any:
        return eval(program, NAMESPACE, {"x": x, "z": z}) + x

    x, z = 0.7, -1.3
    with np.errstate(all="ignore"):
        try:
            expected = function(x, z)
        except ZeroDivisionError:
            return
        tape = fg.record(function, x, z)
        found = evaluated(formula(tape), x=x, z=z)["y"]
    if np.isfinite(expected) and abs(expected) < 1e6:
        assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_long_tapes_and_unknown_styles_are_refused() -> None:
    def loop(x: Any) -> Any:
        for _ in range(1_100):
            x = np.sin(x)
        return x

    with pytest.raises(fg.InputError, match="1100 operations cannot be read"):
        formula(fg.record(loop, 1.0))
    with pytest.raises(fg.InputError, match=r"\['latex', 'text'\], not 'tex'"):
        formula(fg.record(np.sin, 1.0), "tex")
