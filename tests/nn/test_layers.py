"""Layers against loops in plain Python and SciPy, and their gradients against differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastgrad import nn
from fastgrad.errors import InputError
from fastgrad.nn.execution import runner
from fastgrad.nn.step import TARGET, gradient_tape, loss_tape

scipy_signal = pytest.importorskip("scipy.signal")
scipy_special = pytest.importorskip("scipy.special")

Floats = NDArray[np.float64]
Parameters = dict[str, Floats]
RNG = np.random.default_rng(7)


def with_random_parameters(network: nn.Network) -> nn.Network:
    rng = np.random.default_rng(3)
    return network.with_parameters({name: rng.normal(size=value.shape) for name, value in network.parameters.items()})


def dense(x: Floats, p: Parameters) -> Floats:
    return np.array([sum(x[i] * p["dense/kernel"][i, j] for i in range(4)) for j in range(3)]) + p["dense/bias"]


def convolution_1d(x: Floats, p: Parameters) -> Floats:
    kernel, bias = p["conv1d/kernel"], p["conv1d/bias"]
    columns = [
        sum(scipy_signal.correlate(x[:, i], kernel[:, i, j], mode="valid") for i in range(x.shape[1])) + bias[j]
        for j in range(kernel.shape[2])
    ]
    return np.stack(columns, axis=-1)[::2]


def convolution_2d(x: Floats, p: Parameters) -> Floats:
    kernel, bias = p["conv2d/kernel"], p["conv2d/bias"]
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    planes = [
        sum(scipy_signal.correlate2d(padded[:, :, i], kernel[:, :, i, j], mode="valid") for i in range(x.shape[2]))
        for j in range(kernel.shape[3])
    ]
    return np.tanh(np.stack(planes, axis=-1) + bias)


def strided_same(x: Floats, p: Parameters) -> Floats:
    """As TensorFlow pads: 7 rows with windows of 3 by steps of 2 take one row of zeros at each end."""
    kernel, bias = p["conv2d/kernel"], p["conv2d/bias"]
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    result = np.zeros((4, 4, kernel.shape[3]))
    for i in range(4):
        for j in range(4):
            result[i, j] = np.einsum("abc,abcd->d", padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3], kernel) + bias
    return result


def pooled(reduce: Callable[..., Any]) -> Callable[[Floats, Parameters], Floats]:
    def pool(x: Floats, p: Parameters) -> Floats:
        windows = [[x[2 * i : 2 * i + 2, 3 * j : 3 * j + 3] for j in range(2)] for i in range(3)]
        return np.array([[reduce(window, axis=(0, 1)) for window in row] for row in windows])

    return pool


def layer_norm(x: Floats, p: Parameters) -> Floats:
    rows = [(row - row.mean()) / np.sqrt(row.var() + 1e-6) for row in x]
    return np.array(rows) * p["layer_norm/gamma"] + p["layer_norm/beta"]


def embedding(x: Floats, p: Parameters) -> Floats:
    return np.array([p["embedding/table"][int(k)] for k in x])


def attention(x: Floats, p: Parameters) -> Floats:
    def projected(name: str) -> Floats:
        return x @ p[f"multi_head_attention/{name}_kernel"] + p[f"multi_head_attention/{name}_bias"]

    queries, keys, values = projected("query"), projected("key"), projected("value")
    mixed = np.zeros((5, 6))
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        for i in range(5):
            scores = np.array([queries[i, part] @ keys[j, part] / np.sqrt(3.0) for j in range(i + 1)])
            mixed[i, part] = scipy_special.softmax(scores) @ values[: i + 1, part]
    return mixed @ p["multi_head_attention/output_kernel"] + p["multi_head_attention/output_bias"]


def residual(x: Floats, p: Parameters) -> Floats:
    return x + np.tanh(x) @ p["residual/dense/kernel"]


CASES: dict[str, tuple[Any, tuple[int, ...], Callable[[Floats, Parameters], Floats]]] = {
    "dense": (nn.Dense(3), (4,), dense),
    "conv1d": (nn.Conv1D(3, 4, strides=2), (9, 2), convolution_1d),
    "conv2d": (nn.Conv2D(2, 3, padding="same", activation=nn.tanh), (5, 6, 2), convolution_2d),
    "conv2d with strides": (nn.Conv2D(2, 3, strides=2, padding="same"), (7, 7, 2), strided_same),
    "max pool": (nn.MaxPool2D((2, 3)), (6, 7, 2), pooled(np.max)),
    "average pool": (nn.AveragePool2D((2, 3)), (6, 7, 2), pooled(np.mean)),
    "max pool 1d": (nn.MaxPool1D(3, strides=1), (5, 2), lambda x, p: np.array([x[i : i + 3].max(0) for i in range(3)])),
    "average pool 1d": (nn.AveragePool1D(2), (5, 2), lambda x, p: np.array([x[:2].mean(0), x[2:4].mean(0)])),
    "layer norm": (nn.LayerNorm(), (3, 5), layer_norm),
    "attention": (nn.MultiHeadAttention(2, 3, causal=True), (5, 4), attention),
    "residual": (nn.Residual(lambda x: nn.Dense(4, use_bias=False)(np.tanh(x))), (4,), residual),
    "flatten": (nn.Flatten(), (2, 3), lambda x, p: x.ravel()),
    "reshape": (nn.Reshape((3, 2)), (2, 3), lambda x, p: x.reshape(3, 2)),
    "activation": (nn.Activation(nn.gelu), (4,), lambda x, p: x * scipy_special.ndtr(x)),
    "dropout": (nn.Dropout(0.5), (4,), lambda x, p: x),
}


@pytest.mark.parametrize("case", CASES)
def test_a_layer_gives_what_the_reference_gives(case: str) -> None:
    layer, shape, reference = CASES[case]
    network = with_random_parameters(nn.build(layer, shape, seed=1))
    x = RNG.normal(size=(3, *shape))
    expected = [reference(example, dict(network.parameters)) for example in x]
    np.testing.assert_allclose(network.predict(x), expected, rtol=1e-12, atol=1e-12)


def test_an_embedding_gives_rows_and_refuses_those_that_are_not_there() -> None:
    network = with_random_parameters(nn.build(nn.Embedding(6, 3), 4))
    x = RNG.integers(0, 6, (5, 4))
    expected = [embedding(example, dict(network.parameters)) for example in x]
    np.testing.assert_array_equal(network.predict(x), expected)
    for bad in (-1, 6, 1.5):
        with pytest.raises(InputError, match="An Embedding takes whole numbers from 0 up to"):
            network.predict([[0, 1, 2, bad]])


GRADIENTS = {
    **{
        name: CASES[name][:2]
        for name in ("dense", "conv1d", "conv2d", "conv2d with strides", "layer norm", "attention", "residual")
    },
    "average pool": (nn.Sequential(nn.Dense(3), nn.AveragePool1D(2)), (5, 2)),
    "transformer": (nn.TransformerBlock(2, 3, 8), (4, 6)),
    "convolutional": (
        nn.Sequential(nn.Conv2D(2, 3, activation=nn.silu), nn.MaxPool2D(), nn.Flatten(), nn.Dense(3, nn.elu)),
        (6, 6, 1),
    ),
    "branches": (lambda x: nn.Dense(3, nn.softplus)(x) * nn.Dense(3, nn.sigmoid)(x), (4,)),
}


def value_and_gradient(network: nn.Network, x: Floats, y: Floats) -> tuple[float, dict[str, Floats]]:
    loss = loss_tape(nn.squared_error, network.output_shape, y.shape[1:])
    tape = gradient_tape(network, loss, len(x), network.trainable)
    given = {TARGET: y, "x": x, **network.parameters}
    results = [np.empty(shape) for shape in tape.output_shapes]
    runner(tape)([np.ascontiguousarray(given[name]) for name in tape.input_names], results)
    return float(results[0]), dict(zip(network.trainable, results[1:], strict=True))


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients_are_those_of_differences(case: str) -> None:
    layer, shape = GRADIENTS[case]
    network = with_random_parameters(nn.build(layer, shape))
    x = RNG.normal(size=(3, *shape))
    y = RNG.normal(size=(3, *network.output_shape))
    value, gradient = value_and_gradient(network, x, y)
    assert value == pytest.approx(np.mean((network.predict(x) - y) ** 2), rel=1e-12)
    for name, array in network.parameters.items():
        direction = RNG.normal(size=array.shape)
        moved = [network.with_parameters({name: array + sign * 1e-5 * direction}) for sign in (1.0, -1.0)]
        losses = [other.evaluate(x, y, loss=nn.squared_error)["loss"] for other in moved]
        expected = (losses[0] - losses[1]) / 2e-5
        assert np.sum(gradient[name] * direction) == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_the_gradient_of_an_embedding_counts_each_use() -> None:
    network = nn.build(nn.Embedding(3, 2), 4)
    x = np.array([[0.0, 0.0, 2.0, 0.0]])
    y = np.zeros((1, 4, 2))
    _, gradient = value_and_gradient(network, x, y)
    expected = 2 * network.parameters["embedding/table"] * np.array([[3.0], [0.0], [1.0]]) / 8
    np.testing.assert_allclose(gradient["embedding/table"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (lambda: nn.Dense(0), 4, "Dense takes a positive whole number for units, not 0."),
        (lambda: nn.Dropout(1.0), 4, "Dropout takes a rate from 0 up to, but not including, 1, not 1.0."),
        (
            lambda: nn.Conv2D(2, 3),
            (8, 8),
            r"Conv2D takes an example of shape (height, width, channels); it got (8, 8).",
        ),
        (lambda: nn.Conv2D(2, (3, 3, 3)), (8, 8, 1), "Conv2D takes 2 numbers for kernel_size, not (3, 3, 3)."),
        (lambda: nn.Conv1D(2, 9), (8, 1), "Conv1D has the window (9,), longer than what it got: (8, 1)."),
        (lambda: nn.Conv1D(2, 3, padding="full"), (8, 1), "padding is 'valid' or 'same', not 'full'."),
        (lambda: nn.Residual(nn.Dense(3)), 4, "Residual needs a function that keeps the shape (4,); it gave (3,)."),
        (
            lambda: nn.MultiHeadAttention(2, 3),
            4,
            "MultiHeadAttention takes a sequence of shape (length, width); it got (4,).",
        ),
        (lambda: nn.Dense(3, name="a/b"), 4, "a layer's name must be text without slashes, not 'a/b'."),
        (
            lambda: nn.Sequential(nn.Dense(3, name="a"), nn.Dense(3, name="a")),
            4,
            "the network has a layer 'a' already. Give this one another name.",
        ),
    ],
)
def test_layers_that_do_not_fit_are_refused(make: Callable[[], Any], shape: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        nn.build(make(), shape)
    assert str(caught.value) == message


def test_a_layer_outside_a_network_is_refused() -> None:
    with pytest.raises(InputError, match="Dense was called outside a network"):
        nn.Dense(3)(np.zeros(4))


def test_a_layer_that_is_called_again_shares_its_parameters() -> None:
    layer = nn.Dense(4, nn.tanh)
    network = nn.build(nn.Sequential(layer, layer), 4)
    assert set(network.parameters) == {"dense/kernel", "dense/bias"}
    x = RNG.normal(size=(2, 4))
    kernel = network.parameters["dense/kernel"]
    np.testing.assert_allclose(network.predict(x), np.tanh(np.tanh(x @ kernel) @ kernel), rtol=1e-12)


def test_names_are_counted_and_kept_apart_by_block() -> None:
    network = nn.build(nn.Sequential(nn.Sequential(nn.Dense(4), name="a"), nn.Dense(3), nn.Dense(3), nn.LayerNorm()), 4)
    assert network.layers == ("a/dense", "a", "dense", "dense_1", "layer_norm")
