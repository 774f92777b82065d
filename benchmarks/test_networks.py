"""What an epoch of training takes: mini-batches of the handwritten digits, drawn anew each time, with Adam."""

import numpy as np
import pytest

from fastgrad import nn
from fastgrad.nn.step import loss_tape
from fastgrad.nn.training import MiniBatches

RATE, BETA1, BETA2, EPSILON = 0.001, 0.9, 0.999, 1e-8


def digits():
    data = pytest.importorskip("sklearn.datasets").load_digits()
    return data.data[:1437] / 16.0, data.target[:1437]


def network():
    return nn.build(nn.Sequential(nn.Dense(128, nn.relu), nn.Dense(10)), 64)


def jax_step(jax):
    """A step of training as JAX has it, and the state before the first."""
    jnp = jax.numpy

    def loss(parameters, images, labels):
        hidden = jax.nn.relu(images @ parameters["dense/kernel"] + parameters["dense/bias"])
        logits = hidden @ parameters["dense_1/kernel"] + parameters["dense_1/bias"]
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1))

    def step(state, images, labels):
        parameters, means, squares, count = state
        value, gradient = jax.value_and_grad(loss)(parameters, images, labels)
        count = count + 1
        means = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, means, gradient)
        squares = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, squares, gradient)
        root = jnp.sqrt(1 - BETA2**count)
        scale = RATE * root / (1 - BETA1**count)
        parameters = jax.tree.map(
            lambda p, m, v: p - scale * m / (jnp.sqrt(v) + EPSILON * root), parameters, means, squares
        )
        return (parameters, means, squares, count), value

    parameters = {name: jnp.asarray(value) for name, value in network().parameters.items()}
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    return step, (parameters, zeros, zeros, jnp.zeros(()))


def jax_epochs(jax, images, labels, batch_size):
    """Epochs of one compiled call for each batch, as most programs have it."""
    if jax is None:
        return None
    step, state = jax_step(jax)
    # a copy that is given away with each call, so that it can be updated in place
    held = [jax.tree.map(jax.numpy.copy, state)]
    compiled = jax.jit(step, donate_argnums=0)
    random = np.random.default_rng(0)

    def epoch():
        order, total = random.permutation(len(labels)), 0.0
        for start in range(0, len(labels), batch_size):
            chosen = order[start : start + batch_size]
            held[0], value = compiled(held[0], images[chosen], labels[chosen])
            total = total + value * len(chosen)
        return float(total) / len(labels)

    return epoch


def jax_scanned_epochs(jax, images, labels, batch_size):
    """Epochs of one compiled call in all, with the data on the device and a loop within."""
    if jax is None:
        return None
    step, state = jax_step(jax)
    held, random = [state], np.random.default_rng(0)
    on_device = jax.numpy.asarray(images), jax.numpy.asarray(labels)
    n = len(labels) // batch_size * batch_size

    @jax.jit
    def scanned(state, order):
        def body(state, chosen):
            return step(state, on_device[0][chosen], on_device[1][chosen])

        state, values = jax.lax.scan(body, state, order[:n].reshape(-1, batch_size))
        total = batch_size * jax.numpy.sum(values)
        if n < len(labels):
            state, value = body(state, order[n:])
            total = total + (len(labels) - n) * value
        return state, total / len(labels)

    def epoch():
        held[0], value = scanned(held[0], random.permutation(len(labels)))
        return float(value)

    return epoch


@pytest.mark.parametrize("batch_size", [32, 128])
def test_epoch_of_the_digits(compare, peer, batch_size):
    images, labels = digits()
    training = MiniBatches(
        network(),
        loss_tape(nn.cross_entropy, (10,), ()),
        images,
        labels.astype(float),
        nn.Adam(RATE, BETA1, BETA2, EPSILON),
        batch_size,
    )
    jax = peer("jax")
    rivals = {"JAX jit": jax_epochs(jax, images, labels, batch_size)}
    others = {"JAX jit of a whole epoch": jax_scanned_epochs(jax, images, labels, batch_size)}
    # both begin at the same parameters; the first epochs differ by the order of the examples only
    losses = [epoch() for epoch in (training.epoch, rivals["JAX jit"]) if epoch is not None]
    np.testing.assert_allclose(losses, losses[0], rtol=0.05)
    products = 1437 * (4 * 64 * 128 + 6 * 128 * 10)
    compare(
        f"Network 64-128-10, batches of {batch_size}: an epoch of 1,437 digits with Adam",
        training.epoch,
        rivals,
        others,
        bar=1.0,
        flops=products + -(-1437 // batch_size) * 15 * (64 * 128 + 128 + 128 * 10 + 10),
    )
