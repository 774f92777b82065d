"""Training: steps against loops by hand, seeds, dropout, stopping, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import nn
from fastgrad.errors import InputError
from fastgrad.nn import progress
from fastgrad.nn.initialisers import generator_for

RNG = np.random.default_rng(2)
X, Y = RNG.normal(size=(23, 4)), RNG.integers(0, 3, 23)


def small(rate: float = 0.0) -> nn.Network:
    layers = [nn.Dense(6, nn.tanh), *([nn.Dropout(rate)] if rate else []), nn.Dense(3)]
    return nn.build(nn.Sequential(*layers), 4)


def fitted(network: nn.Network, **options: Any) -> tuple[nn.Network, nn.History]:
    return network.fit(X, Y, **{"loss": nn.cross_entropy, "epochs": 3, "batch_size": 8, "progress": False, **options})


def sgd(p: Any, g: Any, m: Any, t: int) -> Any:
    return p - 0.1 * g


def momentum(p: Any, g: Any, m: Any, t: int) -> Any:
    m["v"] = 0.9 * m.get("v", 0.0) + g
    return p - 0.1 * m["v"]


def nesterov(p: Any, g: Any, m: Any, t: int) -> Any:
    m["v"] = 0.9 * m.get("v", 0.0) + g
    return p - 0.1 * (g + 0.9 * m["v"])


def decaying(p: Any, g: Any, m: Any, t: int) -> Any:
    return p - 0.1 * (g + 0.01 * p)


def adam(p: Any, g: Any, m: Any, t: int) -> Any:
    m["m"] = 0.9 * m.get("m", 0.0) + 0.1 * g
    m["v"] = 0.999 * m.get("v", 0.0) + 0.001 * g**2
    return p - 0.01 * (m["m"] / (1 - 0.9**t)) / (np.sqrt(m["v"] / (1 - 0.999**t)) + 1e-8)


def adamw(p: Any, g: Any, m: Any, t: int) -> Any:
    return adam(p, g, m, t) - 0.01 * 0.1 * p


OPTIMISERS = {
    "sgd": (nn.SGD(0.1), sgd),
    "momentum": (nn.SGD(0.1, momentum=0.9), momentum),
    "nesterov": (nn.SGD(0.1, momentum=0.9, nesterov=True), nesterov),
    "decay": (nn.SGD(0.1, weight_decay=0.01), decaying),
    "adam": (nn.Adam(0.01), adam),
    "adamw": (nn.AdamW(0.01, weight_decay=0.1), adamw),
}


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("clip_norm", [None, 0.3])
def test_training_is_the_loop_by_hand(name: str, clip_norm: float | None) -> None:
    """The batches of 8, 8 and 7 examples, their gradients and the updates as the papers have them."""
    optimiser, update = OPTIMISERS[name]
    network = small()
    trained, history = fitted(network, optimiser=optimiser, clip_norm=clip_norm)

    def loss(p: Any, x: Any, y: Any) -> Any:
        z = np.tanh(x @ p["dense/kernel"] + p["dense/bias"]) @ p["dense_1/kernel"] + p["dense_1/bias"]
        return np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[np.arange(len(y)), y])

    parameters: Any = dict(network.parameters)
    memory: Any = {key: {} for key in parameters}
    shuffling, step, losses = generator_for(0, "shuffling"), 0, []
    for _ in range(3):
        order, total = shuffling.permutation(23), 0.0
        for chosen in np.split(order, [8, 16]):
            step += 1
            value, gradient = fg.value_and_grad(loss)(parameters, X[chosen], Y[chosen])
            total += float(value) * len(chosen)
            norm = np.sqrt(sum(np.sum(part**2) for part in gradient.values()))
            scale = 1.0 if clip_norm is None else min(1.0, clip_norm / norm)
            parameters = {key: update(p, scale * gradient[key], memory[key], step) for key, p in parameters.items()}
        losses.append(total / 23)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-9)
    for key, value in parameters.items():
        np.testing.assert_allclose(trained.parameters[key], value, rtol=1e-7, atol=1e-9)


def test_the_same_seed_gives_the_same_bits_and_another_others() -> None:
    results = [fitted(small(0.3), seed=seed)[0].parameters["dense/kernel"] for seed in (4, 4, 5)]
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_the_network_that_is_trained_stays_as_it_is() -> None:
    network = small()
    before = {name: value.copy() for name, value in network.parameters.items()}
    trained, _ = fitted(network)
    for name, value in before.items():
        np.testing.assert_array_equal(network.parameters[name], value)
        assert not np.array_equal(trained.parameters[name], value)


def test_frozen_layers_are_not_trained() -> None:
    network = small().freeze("dense")
    trained, _ = fitted(network)
    np.testing.assert_array_equal(trained.parameters["dense/kernel"], network.parameters["dense/kernel"])
    assert not np.array_equal(trained.parameters["dense_1/kernel"], network.parameters["dense_1/kernel"])
    assert trained.frozen == network.frozen


def test_dropout_drops_the_share_it_is_told_and_keeps_the_mean() -> None:
    """With the identity for a network and a target of 0 the loss is the mean of squares of what is left."""
    network = nn.build(lambda x: nn.Dropout(0.25)(x) * nn.Dense(1, use_bias=False, kernel=nn.ones)(np.ones(1)), 2000)
    x = np.ones((4, 2000))
    _, history = network.fit(x, 0.0 * x, loss=nn.squared_error, epochs=1, optimiser=nn.SGD(0.0), progress=False)
    assert history["loss"][0] == pytest.approx(0.75 / 0.75**2, rel=0.03)
    np.testing.assert_array_equal(network.predict(x), x)


def test_lbfgs_finds_the_least_squares_fit() -> None:
    pytest.importorskip("scipy")
    y = X @ np.array([1.0, -2.0, 0.5, 3.0]) + 0.1 * RNG.normal(size=23)
    network = nn.build(nn.Dense(1), 4)
    trained, history = network.fit(
        X, y[:, None], loss=nn.squared_error, optimiser=nn.LBFGS(), epochs=50, progress=False
    )
    expected = np.linalg.lstsq(np.c_[X, np.ones(23)], y)[0]
    found = np.r_[trained.parameters["dense/kernel"].ravel(), trained.parameters["dense/bias"]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.all(np.diff(history["loss"]) <= 0)
    assert len(history["loss"]) < 50


def test_validation_is_the_evaluation_of_each_epochs_network() -> None:
    options = {"validation": (X[:5], Y[:5]), "metrics": [nn.accuracy]}
    for epochs in (1, 2):
        trained, history = fitted(small(), epochs=epochs, **options)
        found = trained.evaluate(X[:5], Y[:5], loss=nn.cross_entropy, metrics=[nn.accuracy])
        assert history["val_loss"][-1] == pytest.approx(found["loss"], rel=1e-14)
        assert history["val_accuracy"][-1] == found["accuracy"]
        assert (len(history["loss"]), history.best_epoch) == (epochs, epochs - 1)


def test_a_share_for_validation_is_taken_from_the_end() -> None:
    by_share = fitted(small(), validation=0.2)
    by_hand = small().fit(
        X[:18], Y[:18], loss=nn.cross_entropy, epochs=3, batch_size=8, progress=False, validation=(X[18:], Y[18:])
    )
    np.testing.assert_array_equal(by_share[1]["val_loss"], by_hand[1]["val_loss"])


def test_early_stopping_gives_the_parameters_of_the_best_epoch() -> None:
    # the labels of validation contradict those of training, so the validation loss rises in the end
    options = {"validation": (X, (Y + 1) % 3), "optimiser": nn.Adam(0.05), "early_stopping": 2}
    trained, history = fitted(small(), epochs=50, **options)
    best = int(np.argmin(history["val_loss"]))
    assert history.best_epoch == best
    assert len(history["loss"]) == best + 3
    assert trained.evaluate(X, (Y + 1) % 3, loss=nn.cross_entropy)["loss"] == pytest.approx(history["val_loss"][best])


def test_a_rate_may_be_a_function_of_the_step() -> None:
    seen: list[int] = []

    def rate(step: int) -> float:
        seen.append(step)
        return 0.0 if step >= 3 else 0.1

    with_schedule, _ = fitted(small(), optimiser=nn.SGD(rate))
    for_one_epoch, _ = fitted(small(), optimiser=nn.SGD(0.1), epochs=1)
    assert seen == list(range(9))
    for name, value in for_one_epoch.parameters.items():
        np.testing.assert_array_equal(with_schedule.parameters[name], value)


def test_schedules_go_where_they_say() -> None:
    cosine, exponential = nn.cosine_decay(2.0, 10, 1.0), nn.exponential_decay(1.0, 5, 0.1)
    assert [cosine(0), cosine(5), cosine(10), cosine(99)] == pytest.approx([2.0, 1.5, 1.0, 1.0])
    assert [exponential(0), exponential(5), exponential(10)] == pytest.approx([1.0, 0.1, 0.01])
    warm = nn.warm_up(4, cosine)
    assert [warm(0), warm(3), warm(4), warm(9)] == pytest.approx([0.5, 2.0, 2.0, 1.5])


def test_training_stops_when_the_loss_is_not_finite() -> None:
    x = X.copy()
    x[3, 1] = np.nan
    with pytest.raises(nn.DivergedError, match=r"the loss is nan at step \d\. Take a smaller rate"):
        small().fit(x, Y, loss=nn.cross_entropy, progress=False)


def test_training_stops_when_the_validation_loss_is_not_finite() -> None:
    with pytest.raises(nn.DivergedError, match=r"the loss is nan after epoch 1\. Take a smaller rate"):
        fitted(small(), validation=(X * np.nan, Y), early_stopping=2)


@pytest.mark.parametrize("optimiser", [nn.SGD(0.1, momentum=0.9), nn.Adam(0.1)])
def test_what_fades_does_not_become_subnormal_and_all_else_keeps_its_bits(optimiser: Any) -> None:
    first = np.array([1e-280, 0.3])
    state = (first, *optimiser.initial(np.zeros(2))[1:])
    for step in range(1, 1000):
        parameter, state = optimiser.update(np.zeros(2), np.zeros(2), state, 0.001, float(step))
        first = 0.9 * first
        assert state[0][1] == first[1]
        for array in (parameter, *state):
            assert not np.any((array != 0.0) & (np.abs(array) < 1e-300))


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (small(), {"epochs": 0}, "epochs, batch_size and early_stopping must be whole numbers from 1 on."),
        (small(), {"batch_size": 2.5}, "epochs, batch_size and early_stopping must be whole numbers from 1 on."),
        (small(), {"clip_norm": -1.0}, "clip_norm must be above 0, not -1.0."),
        (small(), {"validation": (X,)}, f"validation is a pair of arrays or a share between 0 and 1, not {(X,)!r}."),
        (
            small(),
            {"validation": 0.5, "metrics": [nn.accuracy, nn.accuracy]},
            "metrics need names of their own, by which they are found; these are called ['accuracy', 'accuracy'].",
        ),
        (small(), {"validation": 1.5}, "validation is a pair of arrays or a share between 0 and 1, not 1.5."),
        (
            small().freeze("dense", "dense_1"),
            {},
            "the network has no parameters to train: all are frozen, or it has none.",
        ),
        (
            small(),
            {"loss": "cross_entropy"},
            "loss is a function such as nn.cross_entropy, optimiser what calling its class gives, such as nn.Adam().",
        ),
        (
            small(),
            {"optimiser": nn.Adam},
            "loss is a function such as nn.cross_entropy, optimiser what calling its class gives, such as nn.Adam().",
        ),
        (small(), {"loss": lambda z, y: z}, "a loss gives one number for one example; this one gave shapes ((3,),)."),
    ],
)
def test_options_that_do_not_fit_are_refused(network: nn.Network, options: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        fitted(network, **options)
    assert str(caught.value) == message


def test_a_pair_for_validation_may_be_a_list() -> None:
    found = [fitted(small(), validation=kind((X, Y)))[1]["val_loss"] for kind in (tuple, list)]
    np.testing.assert_array_equal(found[0], found[1])


def test_examples_and_targets_must_be_as_many() -> None:
    with pytest.raises(InputError, match="x has 23 examples and y 22; there must be as many, and at least one"):
        small().fit(X, Y[:-1], loss=nn.cross_entropy)


def test_progress_is_told_with_and_without_tqdm(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    fitted(small(), epochs=2, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    monkeypatch.undo()
    pytest.importorskip("tqdm")
    fitted(small(), epochs=2, progress=True)
    assert "2/2" in capsys.readouterr().err


def test_the_history_is_a_mapping_and_plots() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    _, history = fitted(small(), validation=0.2)
    assert list(history) == ["loss", "val_loss"]
    assert repr(history).startswith("<History of 3 epochs: loss ")
    axes = history.plot()
    assert [line.get_label() for line in axes.lines] == ["loss", "val_loss"]
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), history["val_loss"])
