"""What does a change of the graph cost, for each node?"""

import numpy as np
import pytest
from comparison import Row, fastest

import fastgrad as fg
from fastgrad import ops
from fastgrad.tape import INPUT, Tape

SIZES = (1_000, 100_000, 1_000_000)
N_INPUTS = 10
BAR = 1e-6  # seconds for each node


def tape_of(codes, operands, n_inputs):
    """A tape of numbers, whose operations all have the same number of operands and whose middle has a name."""
    n = n_inputs + len(codes)
    starts = np.zeros(n + 1, np.uint32)
    starts[n_inputs + 1 :] = len(operands) // len(codes) * np.arange(1, len(codes) + 1)
    return Tape(
        opcodes=np.concatenate([np.full(n_inputs, INPUT), codes]).astype(np.uint16),
        operand_starts=starts,
        operands=operands.astype(np.uint32),
        shape_indices=np.zeros(n, np.uint32),
        shapes=((),),
        attribute_indices=np.full(n, -1, np.int32),
        attributes=(),
        constants=(),
        inputs=np.arange(n_inputs, dtype=np.uint32),
        outputs=np.array([n - 1], np.uint32),
        input_names=tuple(f"x{k}" for k in range(n_inputs)),
        output_names=("y",),
        named_nodes=np.array([n // 2], np.uint32),
        node_names=("middle",),
    ).validate()


def chain(n):
    """Sines and hyperbolic tangents in turn."""
    codes = np.where(np.arange(n - 1) % 2, ops.tanh.code, ops.sin.code)
    return tape_of(codes, np.arange(n - 1), 1)


def random_graph(n):
    """Operations on values that came shortly before, at random."""
    random = np.random.default_rng(0)
    codes = random.choice([ops.add.code, ops.multiply.code, ops.subtract.code, ops.maximum.code], n - N_INPUTS)
    owners = np.repeat(np.arange(N_INPUTS, n), 2)
    return tape_of(codes, np.maximum(owners - random.geometric(0.02, len(owners)), 0), N_INPUTS)


# what is timed; operations that a chain does not have are those of random graphs
EDITS = {
    "f >> f": lambda tape: fg.compose(tape, tape, {"x0": "y"}),
    "parallel(f, f)": lambda tape: fg.parallel(tape, tape, share=True),
    "insert_after": lambda tape: tape.insert_after("middle", np.sin),
    "replace_node": lambda tape: tape.replace_node("middle", np.cos if len(tape.inputs) == 1 else np.add),
    "bypass": lambda tape: tape.bypass("middle", operand=0),
    "freeze": lambda tape: tape.freeze(x0=1.0),
    "rewrite, 3 places": lambda tape: rewritten(tape, 3),
    "rewrite, all places": lambda tape: rewritten(tape, None),
}
EDITS_OF_CHAINS = {
    "cut": lambda tape: tape.cut("middle"),
    "graft": lambda tape: tape.graft("middle", np.exp),
}
N_PARTS = {"f >> f": 2, "parallel(f, f)": 2}


def rewritten(tape, count):
    if len(tape.inputs) == 1:
        return tape.rewrite(np.tanh, np.arctan, count=count)
    return tape.rewrite(np.subtract, np.arctan2, count=count)


@pytest.mark.parametrize("kind", [*EDITS, *EDITS_OF_CHAINS])
def test_edits(report, kind):
    makers = {"chain": chain, "random": random_graph} if kind in EDITS else {"chain": chain}
    edit = (EDITS | EDITS_OF_CHAINS)[kind]
    tapes = {f"{name}, {n:,} nodes": maker(n) for name, maker in makers.items() for n in SIZES}
    times = fastest({case: lambda tape=tape: edit(tape) for case, tape in tapes.items()}, seconds=0.3, samples=3)
    for case, tape in tapes.items():
        times[case] /= N_PARTS.get(kind, 1) * len(tape)
    slowest = max(times, key=times.get)
    row = Row(
        f"Edit, {kind}: time for each node, the worst of all ({slowest})",
        times[slowest],
        others=times,
        bar=BAR,
        judged_alone=True,
    )
    report(row, lambda: edit(tapes[slowest]))


@pytest.mark.parametrize("n", SIZES)
def test_composition_beside_casadi(report, n):
    casadi = pytest.importorskip("casadi")
    x = casadi.SX.sym("x")
    y = x
    for step in range(n - 1):
        y = casadi.tanh(y) if step % 2 else casadi.sin(y)
    function = casadi.Function("chain", [x], [y])
    tape = chain(n)

    def by_casadi():
        return casadi.Function("composed", [x], [function(function(x))])

    times = fastest({"fastgrad": lambda: tape >> tape, "casadi": by_casadi}, samples=3)
    row = Row(
        f"Composition of two chains of {n:,} nodes, for each node",
        times["fastgrad"] / (2 * n),
        rivals={"casadi, SX": times["casadi"] / (2 * n)},
        bar=BAR,
        judged_alone=True,
    )
    report(row, lambda: tape >> tape)
