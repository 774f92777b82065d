"""What does it take to save, load, hash and check a tape of a million nodes?"""

import io
import os
import pickle

import numpy as np
import pytest
from comparison import Row, fastest

import fastgrad as fg
from fastgrad import ops
from fastgrad.tape import INPUT, Tape

N_NODES = 1_000_000
N_INPUTS = 10


@pytest.fixture(scope="module")
def tape() -> Tape:
    """Scalar operations on values that came shortly before, at random."""
    random = np.random.default_rng(0)
    n_operations = N_NODES - N_INPUTS
    codes = np.array([ops.add.code, ops.multiply.code, ops.subtract.code, ops.maximum.code], np.uint16)
    owners = np.repeat(np.arange(N_INPUTS, N_NODES), 2)
    starts = np.zeros(N_NODES + 1, np.uint32)
    starts[N_INPUTS + 1 :] = 2 * np.arange(1, n_operations + 1)
    return Tape(
        opcodes=np.concatenate([np.full(N_INPUTS, INPUT, np.uint16), codes[random.integers(0, 4, n_operations)]]),
        operand_starts=starts,
        operands=np.maximum(owners - random.geometric(0.02, len(owners)), 0).astype(np.uint32),
        shape_indices=np.zeros(N_NODES, np.uint32),
        shapes=((),),
        attribute_indices=np.full(N_NODES, -1, np.int32),
        attributes=(),
        constants=(),
        inputs=np.arange(N_INPUTS, dtype=np.uint32),
        outputs=np.array([N_NODES - 1], np.uint32),
    ).validate()


def arrays_of(tape: Tape) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(tape).items() if isinstance(value, np.ndarray)}


def test_saving_a_million_nodes(report, tape, tmp_path):
    def savez():
        with open(tmp_path / "npz", "wb") as file:
            np.savez(file, **arrays_of(tape))
            file.flush()
            os.fsync(file.fileno())

    def pickled():
        with open(tmp_path / "pickle", "wb") as file:
            pickle.dump(tape, file)
            file.flush()
            os.fsync(file.fileno())

    def save():
        tape.save(tmp_path / "fgt")

    times = fastest({"save": save, "numpy.savez": savez, "pickle": pickled})
    row = Row(f"Saving a tape of {N_NODES:,} nodes", times.pop("save"), others=times, bar=1.0, judged_alone=True)
    report(row, save)


def test_loading_a_million_nodes(report, tape):
    file, npz, content = io.BytesIO(), io.BytesIO(), pickle.dumps(tape)
    tape.save(file)
    np.savez(npz, **arrays_of(tape))

    def load():
        file.seek(0)
        return fg.load(file)

    def npz_load():
        npz.seek(0)
        return [array for _, array in np.load(npz).items()]

    assert load() == tape
    works = {"load": load, "numpy.load, unchecked": npz_load, "pickle": lambda: pickle.loads(content)}
    times = fastest(works)
    row = Row(f"Loading a tape of {N_NODES:,} nodes", times.pop("load"), others=times, bar=1.0, judged_alone=True)
    report(row, load)


def test_hashing_and_checking_a_million_nodes(report, tape):
    def hashed():
        vars(tape).pop("_structure", None)
        return tape.hash

    times = fastest({"hash": hashed, "validate": tape.validate})
    row = Row(
        "Hashing a tape: time for each node",
        times["hash"] / N_NODES,
        others={"validate": times["validate"] / N_NODES},
        bar=1e-6,
        judged_alone=True,
    )
    report(row, hashed)
