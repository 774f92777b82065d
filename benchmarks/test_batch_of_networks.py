"""What do the gradients of a network by its inputs take, for a batch: as one tape, and as ``vmap``?"""

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.plan.request import Kind, Request
from fastgrad.transform.batching import batched
from fastgrad.transform.derivatives import gradient
from fastgrad.vm.array_executor import ArrayExecutor

N = 256


def network(x, first, bias, second, np=np):
    return np.sum(np.tanh(np.tanh(x @ first + bias) @ second) ** 2)


def parameters(width):
    random = np.random.default_rng(0)
    shapes = (width, width), (width,), (width, 10)
    return tuple(random.normal(size=shape) / np.sqrt(width) for shape in shapes)


def as_one_tape(x, given):
    tape = batched(gradient(fg.record(network, x[0], *given), (0,)), [0], len(x))
    run = ArrayExecutor(tape, Request(Kind.VALUES, n_outputs=1), "auto")
    (slopes,) = run.allocate()

    def call():
        run([x, *given], [], [slopes])
        return slopes

    return call


def in_jax(jax, x, given):
    if jax is None:
        return None
    compiled = jax.jit(
        jax.vmap(jax.grad(lambda *arguments: network(*arguments, np=jax.numpy)), in_axes=(0, None, None, None))
    )
    on_device = [jax.numpy.asarray(array) for array in (x, *given)]
    return lambda: jax.block_until_ready(compiled(*on_device))


@pytest.mark.parametrize("width", [64, 256])
@pytest.mark.parametrize("way", ["one tape", "vmap"])
def test_gradients_by_the_inputs_of_a_network(compare, peer, way, width):
    given = parameters(width)
    x = np.random.default_rng(1).normal(size=(N, width))
    mapped = fg.vmap(fg.grad(network), in_axes=(0, None, None, None), threads=1)
    ours = as_one_tape(x, given) if way == "one tape" else lambda: mapped(x, *given)
    rival = in_jax(peer("jax"), x, given)
    compare(f"Network of {width}, gradients by {N} inputs: {way}", ours, {"JAX jit(vmap(grad))": rival})
    if rival is not None:
        np.testing.assert_allclose(ours(), np.asarray(rival()), rtol=1e-9, atol=1e-12)
