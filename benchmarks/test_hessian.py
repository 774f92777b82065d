"""What do second derivatives of a likelihood cost?"""

import numpy as np
from limits import EXP
from models_of_data import poisson_loss, regression

import fastgrad as fg

N, N_WEIGHTS = 1_000, 20


def jax_hessian(jax, arguments):
    if jax is None:
        return None
    compiled = jax.jit(jax.hessian(lambda *arguments: poisson_loss(*arguments, np=jax.numpy)))
    on_device = [jax.numpy.asarray(argument) for argument in arguments]
    return lambda: jax.block_until_ready(compiled(*on_device))


def test_hessian_of_a_poisson_likelihood(compare, peer):
    weights, observations, labels = arguments = regression(N, N_WEIGHTS)

    def by_hand():
        return (observations.T * np.exp(observations @ weights)) @ observations

    ours, rivals = fg.hessian(poisson_loss), {"JAX jit": jax_hessian(peer("jax"), arguments)}
    compare(
        f"Hessian of a Poisson likelihood, {N_WEIGHTS} parameters, {N:,} observations",
        lambda: ours(*arguments),
        rivals,
        {"NumPy by hand": by_hand},
        bar=0.5,
        flops=N * (2 * N_WEIGHTS**2 + 3 * N_WEIGHTS + EXP),
        traffic=8 * N * N_WEIGHTS,
    )
    found = ours(weights, observations, labels)
    np.testing.assert_allclose(found, by_hand(), rtol=1e-9)
    for rival in filter(None, rivals.values()):
        np.testing.assert_allclose(found, rival(), rtol=1e-9)
