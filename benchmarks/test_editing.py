"""What does a change of the graph cost, for each node?"""

import numpy as np
import pytest
from comparison import Row, fastest

import fastgrad as fg

SIZES = (1_000, 100_000, 1_000_000)


def chain(n_nodes):
    def function(x):
        for step in range(n_nodes // 2):
            x = np.tanh(x) * 1.01
            if step == n_nodes // 4:
                x = fg.name(x, "middle")
        return x

    return fg.record(function, 1.0)


def casadi_chain(n_nodes):
    casadi = pytest.importorskip("casadi")
    x = casadi.SX.sym("x")
    y = x
    for _ in range(n_nodes // 2):
        y = casadi.tanh(y) * 1.01
    return casadi, casadi.Function("chain", [x], [y])


@pytest.mark.parametrize("n_nodes", SIZES)
def test_composition_of_two_tapes(report, n_nodes):
    tape = chain(n_nodes)
    casadi, function = casadi_chain(n_nodes)
    argument = casadi.SX.sym("x")

    def by_casadi():
        return casadi.Function("composed", [argument], [function(function(argument))])

    n = 2 * len(tape)
    times = fastest({"fastgrad": lambda: tape >> tape, "casadi": by_casadi}, samples=3)
    row = Row(
        f"Composition of two tapes of {n_nodes:,} nodes, for each node",
        times["fastgrad"] / n,
        rivals={"casadi, SX": times["casadi"] / n},
        bar=1e-6,
        judged_alone=True,
    )
    report(row, lambda: tape >> tape)


EDITS = {
    "Insertion into": lambda tape: tape.insert_after("middle", np.sin),
    "Cut of": lambda tape: tape.cut("middle"),
    "Replacement of half the nodes of": lambda tape: tape.rewrite(np.tanh, np.sin),
}


@pytest.mark.parametrize("n_nodes", SIZES)
@pytest.mark.parametrize("kind", EDITS)
def test_edits_of_one_tape(report, kind, n_nodes):
    tape = chain(n_nodes)
    edit = EDITS[kind]
    times = fastest({"fastgrad": lambda: edit(tape)}, samples=3)
    row = Row(
        f"{kind} a tape of {n_nodes:,} nodes, for each node",
        times["fastgrad"] / len(tape),
        bar=1e-6,
        judged_alone=True,
    )
    report(row, lambda: edit(tape))
