"""Edits keep parameters, and change just what they say."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgrad import nn
from fastgrad.errors import InputError

X = np.random.default_rng(8).normal(size=(5, 4))
Y = np.array([0, 1, 2, 0, 1])


def network() -> nn.Network:
    block = nn.Sequential(nn.Dense(6, nn.tanh), nn.Dense(6, nn.tanh), name="block")
    return nn.build(nn.Sequential(block, nn.Dropout(0.2), nn.Dense(3, name="head")), 4, seed=1)


def values(of: nn.Network, x: Any = X) -> Any:
    return of.predict(x)


def kept(before: nn.Network, after: nn.Network, but: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    for name in set(before.parameters) - but:
        np.testing.assert_array_equal(after.parameters[name], before.parameters[name])
    after.tape.validate()


def identity(generator: np.random.Generator, shape: tuple[int, ...]) -> Any:
    rows, columns = shape
    return np.eye(rows, columns)


@pytest.mark.parametrize(
    ("layer", "path"), [("block", "dense"), ("block/dense", "block/dense_2"), ("dropout", "dense"), ("head", "dense")]
)
def test_a_layer_that_is_the_identity_changes_nothing(layer: str, path: str) -> None:
    before = network()
    units = 3 if layer == "head" else 6
    after = before.insert_after(layer, nn.Dense(units, kernel=identity))
    assert path in after.layers
    assert set(after.parameters) - set(before.parameters) == {f"{path}/kernel", f"{path}/bias"}
    kept(before, after)
    np.testing.assert_allclose(values(after), values(before), rtol=1e-13)
    back = after.remove(path)
    assert back.layers == before.layers
    assert set(back.parameters) == set(before.parameters)
    np.testing.assert_array_equal(values(back), values(before))


def test_an_inserted_layer_is_what_follows_works_on() -> None:
    before = network()
    after = before.insert_after("block", nn.Activation(np.exp))
    p = before.parameters
    hidden = np.exp(values(before.cut("block")))
    np.testing.assert_allclose(values(after), hidden @ p["head/kernel"] + p["head/bias"], rtol=1e-13)


def test_the_last_layer_of_a_block_may_be_followed_within_it() -> None:
    after = network().insert_after("block/dense_1", nn.LayerNorm())
    assert after.layers.index("block/layer_norm") < after.layers.index("block")
    assert after.tape["block/output"].number == after.tape["block/layer_norm/output"].number
    assert after.tape["block/dense_1/output"].number != after.tape["block/output"].number


def test_an_activation_is_replaced_under_its_name() -> None:
    before = network()
    after = before.replace("block/dense/activation", nn.Activation(nn.relu))
    kept(before, after)
    assert after.layers == before.layers
    p = before.parameters
    hidden = np.maximum(X @ p["block/dense/kernel"] + p["block/dense/bias"], 0.0)
    np.testing.assert_allclose(values(after.cut("block/dense")), hidden, rtol=1e-13)


def test_a_block_is_replaced_as_a_whole() -> None:
    before = network()
    after = before.replace("block", nn.Sequential(nn.Dense(6), name="block"), seed=3)
    assert set(after.parameters) == {"block/dense/kernel", "block/dense/bias", "head/kernel", "head/bias"}
    assert not np.array_equal(after.parameters["block/dense/kernel"], before.parameters["block/dense/kernel"])
    kept(before, after, but={name for name in before.parameters if name.startswith("block")})


def test_a_replaced_layer_of_the_same_name_is_not_frozen() -> None:
    after = network().freeze("head").replace("head", nn.Dense(5, name="head"))
    assert after.output_shape == (5,)
    assert "head/kernel" in after.trainable


def test_cut_and_graft_give_a_new_head_on_the_old_body() -> None:
    before = network()
    body = before.cut("block")
    kept(body, before)
    assert (body.output_shape, dict(body.dropout)) == ((6,), {})
    after = body.graft(nn.Sequential(nn.Dense(8, nn.relu), nn.Dropout(0.5), nn.Dense(1, name="parity")), seed=2)
    kept(body, after)
    assert after.output_shape == (1,)
    assert dict(after.dropout) == {"dropout/mask": 0.5}
    p = after.parameters
    hidden = np.maximum(values(body) @ p["dense/kernel"] + p["dense/bias"], 0.0)
    np.testing.assert_allclose(values(after), hidden @ p["parity/kernel"] + p["parity/bias"], rtol=1e-13)


def test_shared_parameters_are_one_and_are_trained_as_one() -> None:
    before = network().insert_after("block/dense_1", nn.Dense(6, nn.tanh))
    after = before.share("block/dense_1/kernel", "block/dense_2/kernel")
    assert set(before.parameters) - set(after.parameters) == {"block/dense_2/kernel"}
    same = before.with_parameters({"block/dense_2/kernel": before.parameters["block/dense_1/kernel"]})
    np.testing.assert_allclose(values(after), values(same), rtol=1e-13)
    options: dict[str, Any] = {"loss": nn.cross_entropy, "epochs": 1, "optimiser": nn.SGD(0.1), "progress": False}
    options["optimiser"] = nn.SGD(0.1)
    shared, apart = (net.remove("dropout").fit(X, Y, **options)[0] for net in (after, same))
    steps = [apart.parameters[f"block/dense_{k}/kernel"] - same.parameters[f"block/dense_{k}/kernel"] for k in (1, 2)]
    found = shared.parameters["block/dense_1/kernel"] - after.parameters["block/dense_1/kernel"]
    np.testing.assert_allclose(found, steps[0] + steps[1], rtol=1e-10, atol=1e-14)


def test_a_parameter_may_be_shared_with_an_earlier_layer() -> None:
    before = network().insert_after("block/dense_1", nn.Dense(6))
    after = before.share("block/dense_2/kernel", "block/dense_1/kernel")
    after.tape.validate()
    same = before.with_parameters({"block/dense_1/kernel": before.parameters["block/dense_2/kernel"]})
    np.testing.assert_allclose(values(after), values(same), rtol=1e-13)


def test_replacing_a_layer_whose_parameter_another_uses_keeps_it() -> None:
    before = network().insert_after("block/dense_1", nn.Dense(6)).share("block/dense_1/kernel", "block/dense_2/kernel")
    after = before.replace("block/dense_1", nn.Dense(6, name="other"))
    kept(before, after, but={"block/dense_1/bias"})
    assert "block/other/kernel" in after.parameters


def test_renaming_moves_everything_below() -> None:
    before = network().freeze("block/dense")
    after = before.rename("block", "body")
    assert after.layers == tuple(path.replace("block", "body") for path in before.layers)
    assert after.frozen == {"body/dense/kernel", "body/dense/bias"}
    np.testing.assert_array_equal(values(after), values(before))
    assert before.tape.hash == after.tape.hash


def test_freezing_is_undone() -> None:
    assert network().freeze("block", "head").unfreeze("block").frozen == {"head/kernel", "head/bias"}


def test_an_edited_tape_is_taken_over_with_the_parameters_that_it_names() -> None:
    before = network()
    tape = before.insert_after("block", nn.Dense(6)).tape
    with pytest.raises(InputError, match=r"are left\. Give the parameters that are missing by name"):
        before.with_tape(tape)
    after = before.with_tape(tape, {"dense/kernel": np.eye(6), "dense/bias": np.zeros(6)})
    kept(before, after)
    np.testing.assert_allclose(values(after), values(before), rtol=1e-13)


def test_edited_networks_train_on() -> None:
    edited = network().insert_after("block", nn.Dense(6, nn.gelu)).replace("dropout", nn.Dropout(0.4)).freeze("block")
    assert dict(edited.dropout) == {"dropout/mask": 0.4}
    trained, history = edited.fit(X, Y, loss=nn.cross_entropy, epochs=200, progress=False, optimiser=nn.Adam(0.01))
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    kept(edited, trained, but=set(edited.trainable))


def identity_behind(of: nn.Network, layer: str, k: int) -> nn.Network:
    (units,) = of.tape[f"{layer}/output"].shape
    return of.insert_after(layer, nn.Residual(nn.Dense(units, kernel=nn.zeros, activation=nn.tanh)), seed=k)


STEPS: dict[str, Callable[[nn.Network, str, int], nn.Network]] = {
    "identity": identity_behind,
    "no dropout": lambda of, layer, k: of.insert_after(layer, nn.Dropout(0.5)),
    "freeze": lambda of, layer, k: of.freeze(layer),
    "rename": lambda of, layer, k: of.rename(layer, f"renamed_{k}"),
    "same activation": lambda of, layer, k: (
        of.replace(layer, nn.Activation(nn.tanh)) if "activation" in layer else of.unfreeze(layer)
    ),
}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 99)), max_size=7))
def test_any_sequence_of_edits_that_change_nothing_changes_nothing(steps: list[tuple[str, int]]) -> None:
    before = after = nn.build(nn.Sequential(nn.Sequential(nn.Dense(6, nn.tanh), name="block"), nn.Dense(3, nn.tanh)), 4)
    for k, (step, choice) in enumerate(steps):
        after = STEPS[step](after, after.layers[choice % len(after.layers)], k)
    after.tape.validate()
    np.testing.assert_allclose(values(after), values(before), rtol=1e-12, atol=1e-14)
    file = io.BytesIO()
    after.save(file)
    file.seek(0)
    np.testing.assert_array_equal(values(nn.load(file)), values(after))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda n: n.insert_after("tail", nn.Dense(6)),
            "the network has no layer 'tail'; it has block/dense/activation, block/dense, block/dense_1/activation, "
            "block/dense_1, block, dropout, head.",
        ),
        (
            lambda n: n.insert_after("block", nn.Dense(7)),
            "what follows layer 'block' needs shape (6,); the new layer makes (7,) of (6,).",
        ),
        (
            lambda n: n.remove("block"),
            "layer 'block' cannot be removed: it makes shape (6,) of (4,), and what follows needs the former. Replace "
            "it by a layer that does the same.",
        ),
        (
            lambda n: n.share("head/kernel", "block/dense/kernel"),
            "'head/kernel' and 'block/dense/kernel' cannot be one parameter: they have the shapes (6, 3) and (4, 6). "
            "Give two parameters of one shape.",
        ),
        (
            lambda n: n.rename("block", "head"),
            "the network has a layer 'head' already. Give this one another name.",
        ),
        (lambda n: n.rename("block", "a/b"), "a layer's name must be text without slashes, not 'a/b'."),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(edit: Callable[[nn.Network], Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        edit(network())
    assert str(caught.value) == message


def test_a_layer_with_two_values_to_work_on_is_not_replaced() -> None:
    layer = nn.Dense(4)
    twice = nn.build(nn.Sequential(layer, np.exp, layer), 4)
    again = nn.build(nn.Sequential(layer, layer), 4)
    edits: list[Callable[[nn.Network], Any]] = [
        lambda n: n.remove("dense"),
        lambda n: n.cut("dense"),
        lambda n: n.insert_after("dense", np.exp),
        lambda n: n.replace("dense", layer),
    ]
    for net in (twice, again):
        for edit in edits:
            with pytest.raises(InputError, match="layer 'dense' has several results instead of one"):
                edit(net)


class _Sum(nn.Layer):
    """Of two values, with a parameter that is called as results are."""

    def apply(self, x: Any) -> Any:
        return (x + X[0]) * self.parameter("output", (4,), nn.ones)


def test_a_parameter_called_output_is_not_taken_for_the_result() -> None:
    net = nn.build(_Sum(), 4)
    np.testing.assert_allclose(net.insert_after("_sum", np.exp).predict(X), np.exp(X + X[0]))
