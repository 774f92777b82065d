"""Networks: what they are made of, running them in batches, keeping them."""

from __future__ import annotations

import copy
import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import files, nn
from fastgrad.errors import FileFormatError, InputError

RNG = np.random.default_rng(5)


def small() -> nn.Network:
    return nn.build(nn.Sequential(nn.Dense(5, nn.tanh), nn.Dropout(0.5), nn.Dense(3)), 4)


def by_hand(network: nn.Network, x: Any) -> Any:
    p = network.parameters
    return np.tanh(x @ p["dense/kernel"] + p["dense/bias"]) @ p["dense_1/kernel"] + p["dense_1/bias"]


@pytest.mark.parametrize("n", [0, 1, 6, 7, 20])
def test_predictions_do_not_depend_on_the_batch_size(n: int) -> None:
    network, x = small(), RNG.normal(size=(n, 4))
    for batch_size in (1, 7, 256):
        found = network.predict(x, batch_size)
        assert found.shape == (n, 3)
        np.testing.assert_allclose(found, by_hand(network, x), rtol=1e-12, atol=1e-14)


def test_the_tape_is_that_of_one_example_with_named_inputs_groups_and_results() -> None:
    network = small()
    assert set(network.tape.input_names) == {
        "x",
        "dense/kernel",
        "dense/bias",
        "dropout/mask",
        "dense_1/kernel",
        "dense_1/bias",
    }
    assert network.tape["dense/output"].group == "dense/activation"
    assert network.tape["dense_1/output"].group == "dense_1"
    assert (network.input_shape, network.output_shape) == ((4,), (3,))
    network.tape.validate()


def test_the_network_is_differentiated_as_any_tape() -> None:
    network, x = small(), RNG.normal(size=4)
    names = network.tape.input_names

    def output(example: Any) -> Any:
        given = {"x": example, "dropout/mask": np.ones(5), **network.parameters}
        return network.tape(*(given[name] for name in names))

    expected = fg.jacobian(lambda example: by_hand(network, example))(x)
    np.testing.assert_allclose(fg.jacobian(output)(x), expected, rtol=1e-12)


def test_the_summary_counts_parameters_by_layer_and_what_is_frozen() -> None:
    lines = small().freeze("dense").summary().splitlines()
    counts = {line.split()[0]: line.split()[-1] for line in lines if line.split()[0] in ("dense", "dropout", "dense_1")}
    assert counts == {"dense": "25", "dropout": "0", "dense_1": "18"}
    assert lines[-1] == "18 parameters are trained, 25 are frozen"


def test_a_drawing_has_a_box_for_each_layer_or_for_each_operation() -> None:
    block = nn.Sequential(nn.Dense(5, nn.tanh), nn.TransformerBlock(1, 2, 3), name="block")
    network = nn.build(nn.Sequential(block, nn.Dense(3)), (2, 4))
    folded, whole = network.draw("dot").text, network.draw("dot", folded=False).text
    assert (folded.count("box3d"), whole.count("box3d")) == (3, 0)
    assert whole.count("->") > folded.count("->")


def test_parameters_are_read_only_and_copied() -> None:
    kernel = np.ones((4, 5))
    network = small().with_parameters({"dense/kernel": kernel})
    kernel[:] = 2.0
    assert np.all(network.parameters["dense/kernel"] == 1.0)
    with pytest.raises(ValueError, match="read-only"):
        network.parameters["dense/kernel"][0, 0] = 3.0


def test_a_network_is_the_same_after_keeping() -> None:
    network = small().freeze("dense")
    file = io.BytesIO()
    network.save(file)
    file.seek(0)
    loaded = nn.load(file)
    assert loaded.tape.hash == network.tape.hash
    assert (loaded.frozen, dict(loaded.dropout), loaded.layers) == (
        network.frozen,
        dict(network.dropout),
        network.layers,
    )
    x = RNG.normal(size=(3, 4))
    np.testing.assert_array_equal(loaded.predict(x), network.predict(x))


def test_a_network_is_pickled_and_copied_after_it_has_run() -> None:
    network, x = small().freeze("dense"), RNG.normal(size=(3, 4))
    expected = network.predict(x)
    for other in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        assert other.frozen == network.frozen
        np.testing.assert_array_equal(other.predict(x), expected)


def test_threads_may_predict_with_one_network() -> None:
    network, x = small(), RNG.normal(size=(64, 4))
    expected = network.predict(x)
    sizes = [1 + k % 13 for k in range(60)]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda size: network.predict(x, size), sizes):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dropout", [5.0, 1.0, -0.5, "0.2", None, True])
def test_a_file_with_a_share_that_cannot_be_dropped_is_refused(dropout: Any) -> None:
    file = io.BytesIO()
    about = {"frozen": [], "dropout": {"dropout/mask": dropout}}
    files.write(file, small().tape, small().parameters, {"network": about})
    file.seek(0)
    with pytest.raises(FileFormatError, match="drops a share from 0 up to, but not including, 1"):
        nn.load(file)


def test_a_parameter_is_no_mask() -> None:
    network = small()
    with pytest.raises(InputError, match="'dense/bias' is both a parameter and a mask of dropout"):
        nn.Network(network.tape, network.parameters, dropout={**network.dropout, "dense/bias": 0.5})


def test_a_file_without_a_network_is_refused() -> None:
    for metadata in ({}, {"network": {"frozen": ["unknown"], "dropout": {}}}, {"network": {"frozen": 3}}):
        file = io.BytesIO()
        files.write(file, small().tape, small().parameters, metadata)
        file.seek(0)
        with pytest.raises(FileFormatError, match=r"holds no network|is no network"):
            nn.load(file)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda n: n.predict(np.zeros((2, 5))), "x must have the shape (n, 4) for n examples; it is (2, 5)."),
        (lambda n: n.predict(np.zeros(4)), "x must have the shape (n, 4) for n examples; it is (4,)."),
        (lambda n: n.predict([["a"] * 4]), "x must be real numbers, not <U1."),
        (lambda n: n.predict(np.zeros((2, 4)), 0), "batch_size must be at least 1, not 0."),
        (lambda n: n.with_parameters({"kernel": 1.0}), "the network has no parameters kernel."),
        (
            lambda n: n.with_parameters({"dense/bias": np.zeros(4)}),
            "parameter 'dense/bias' has shape (4,); the tape's input has (5,).",
        ),
        (
            lambda n: n.freeze("dens"),
            "the network has no layer 'dens'; it has dense/activation, dense, dropout, dense_1.",
        ),
        (
            lambda n: nn.Network(n.tape, {}),
            "one input of a network's tape is the example, all others are parameters or masks; ['x', 'dense/kernel', "
            "'dense/bias', 'dropout/mask', 'dense_1/kernel', 'dense_1/bias'] are left. Give the parameters that are "
            "missing by name.",
        ),
        (
            lambda n: nn.build(lambda x: (x, x), 4),
            "a network gives one array; this function returned 2.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(use: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        use(small())
    assert str(caught.value) == message


def test_a_decision_that_hangs_on_the_example_is_refused_when_the_network_runs() -> None:
    network = nn.build(lambda x: nn.Dense(2)(x) if x[0] > 0 else x[:2], 4)
    with pytest.raises(fg.UnsupportedError, match=r"np\.where"):
        network.predict(RNG.normal(size=(3, 4)))
