"""Does training pay? Losses of regressions and of a small network, beside the libraries made for them."""

import numpy as np
import pytest
from limits import EXP, LOG, LOG1P, TANH
from models_of_data import logistic_loss, network, network_loss, regression

import fastgrad as fg


def jax_value_and_grad(jax, loss, arguments):
    if jax is None:
        return None
    compiled = jax.jit(jax.value_and_grad(lambda *arguments: loss(*arguments, np=jax.numpy)))
    on_device = jax.tree.map(jax.numpy.asarray, arguments)
    return lambda: jax.block_until_ready(compiled(*on_device))


def torch_value_and_grad(torch, loss, arguments):
    """``loss`` takes tensors; the first argument is what is differentiated, a tensor or a tuple of them."""
    if torch is None:
        return None
    torch.set_num_threads(1)
    parameters, *data = arguments
    data = [torch.from_numpy(array) for array in data]
    alone = not isinstance(parameters, tuple)
    leaves = [torch.from_numpy(array).requires_grad_() for array in ((parameters,) if alone else parameters)]

    def call():
        value = loss(leaves[0] if alone else leaves, *data)
        gradients = torch.autograd.grad(value, leaves)
        return value.item(), gradients[0] if alone else gradients

    return call


def compare_losses(compare, work, ours, arguments, rivals, flops, traffic):
    compare(work, lambda: ours(*arguments), rivals, bar=0.8, reach=0.6, flops=flops, traffic=traffic, seconds=1.5)
    value, gradients = ours(*arguments)
    for rival in filter(None, rivals.values()):
        theirs, their_gradients = rival()
        np.testing.assert_allclose(value, theirs, rtol=1e-10)
        pairs = zip(gradients, their_gradients, strict=True) if isinstance(gradients, tuple) else []
        for found, expected in pairs or [(gradients, their_gradients)]:
            np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-8, atol=1e-11)


def logistic_by_hand(weights, observations, labels):
    scores = observations @ weights
    small = np.exp(-np.abs(scores))
    value = np.mean(np.maximum(scores, 0.0) + np.log1p(small) - labels * scores)
    probabilities = np.where(scores >= 0, 1.0, small) / (1 + small)
    return value, (probabilities - labels) @ observations / len(labels)


@pytest.mark.parametrize(("n", "n_weights"), [(569, 30), (100_000, 30)])
def test_logistic_regression(compare, peer, n, n_weights):
    arguments = regression(n, n_weights)
    torch = peer("torch")

    def in_torch(weights, observations, labels):
        return torch.nn.functional.binary_cross_entropy_with_logits(observations @ weights, labels)

    rivals = {
        "NumPy by hand": lambda: logistic_by_hand(*arguments),
        "JAX jit": jax_value_and_grad(peer("jax"), logistic_loss, arguments),
        "torch": torch_value_and_grad(torch, in_torch, arguments),
    }
    compare_losses(
        compare,
        f"Logistic regression, {n:,} x {n_weights}: value and gradient",
        fg.value_and_grad(logistic_loss),
        arguments,
        rivals,
        flops=n * (4 * n_weights + EXP + LOG1P + 8),
        traffic=8 * n * n_weights,
    )


def network_by_hand(parameters, inputs, labels):
    first, first_bias, second, second_bias = parameters
    hidden = inputs @ first
    hidden += first_bias
    np.tanh(hidden, out=hidden)
    scores = hidden @ second
    scores += second_bias
    scores -= np.max(scores, axis=1, keepdims=True)
    weights = np.exp(scores)
    sums = np.sum(weights, axis=1, keepdims=True)
    value = np.mean(np.log(sums[:, 0]) - np.einsum("ij,ij->i", labels, scores))
    weights /= sums
    weights -= labels
    weights /= len(inputs)
    of_second = hidden.T @ weights
    back = weights @ second.T
    np.multiply(hidden, hidden, out=hidden)
    np.subtract(1.0, hidden, out=hidden)
    back *= hidden
    return value, (inputs.T @ back, np.sum(back, axis=0), of_second, np.sum(weights, axis=0))


def test_network_of_two_layers(compare, peer):
    arguments = network()
    torch = peer("torch")

    def in_torch(parameters, inputs, labels):
        first, first_bias, second, second_bias = parameters
        scores = torch.addmm(second_bias, torch.tanh(torch.addmm(first_bias, inputs, first)), second)
        return torch.nn.functional.cross_entropy(scores, labels)

    rivals = {
        "NumPy by hand": lambda: network_by_hand(*arguments),
        "JAX jit": jax_value_and_grad(peer("jax"), network_loss, arguments),
        "torch": torch_value_and_grad(torch, in_torch, arguments),
    }
    products = 4 * 256 * 64 * 128 + 6 * 256 * 128 * 10
    compare_losses(
        compare,
        "Network 64-128-10 with tanh, batch of 256: value and gradient",
        fg.value_and_grad(network_loss),
        arguments,
        rivals,
        flops=products + 256 * (128 * (TANH + 4) + 10 * (EXP + 8) + LOG),
        traffic=8 * (2 * 256 * 64 + 4 * 256 * 128 + 2 * 64 * 128),
    )
