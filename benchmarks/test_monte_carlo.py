"""What do greeks cost in a simulation of many paths with many steps?"""

import numpy as np
from limits import EXP
from models_of_data import RATE_STEPS, asian_call

import fastgrad as fg

N = 10_000
PARAMETERS = np.array([100.0, 0.03, 0.2, 101.0])
WORK = f"Monte-Carlo, {RATE_STEPS} steps x {N:,} paths: price and 4 derivatives"
SIZES = {"flops": RATE_STEPS * N * (EXP + 14), "traffic": 8 * RATE_STEPS * N}


def normals():
    return np.random.default_rng(0).normal(size=(RATE_STEPS, N))


def jax_scan(jax, draws):
    if jax is None:
        return None
    jnp = jax.numpy

    def theirs(parameters, draws):
        spot, rate, volatility, strike = parameters
        step = 1 / RATE_STEPS

        def move(state, draw):
            prices, total = state
            prices = prices * jnp.exp((rate - 0.5 * volatility**2) * step + volatility * step**0.5 * draw)
            return (prices, total + prices), None

        (_, total), _ = jax.lax.scan(move, (spot * jnp.ones(N), jnp.zeros(N)), draws)
        return jnp.exp(-rate) * jnp.mean(jnp.maximum(total / RATE_STEPS - strike, 0.0))

    compiled = jax.jit(jax.value_and_grad(theirs))
    on_device = jnp.asarray(PARAMETERS), jnp.asarray(draws)
    return lambda: jax.block_until_ready(compiled(*on_device))


def assert_equal_results(results, rivals):
    for rival in filter(None, rivals.values()):
        for found, expected in zip(results, rival(), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_paths_as_arrays(compare, peer):
    draws = normals()
    ours, rivals = fg.value_and_grad(asian_call), {"JAX scan": jax_scan(peer("jax"), draws)}
    compare(WORK, lambda: ours(PARAMETERS, draws), rivals, bar=0.33, seconds=2.0, **SIZES)
    assert_equal_results(ours(PARAMETERS, draws), rivals)


def test_a_batch_of_paths(compare, peer):
    draws = normals()
    each = fg.vmap(fg.value_and_grad(asian_call), in_axes=(None, 1), threads=1)
    rivals = {"JAX scan": jax_scan(peer("jax"), draws)}

    def ours():
        values, gradients = each(PARAMETERS, draws)
        return np.mean(values), np.mean(gradients, axis=0)

    compare(f"{WORK}, vmap of one path", ours, rivals, bar=0.33, seconds=2.0, **SIZES)
    assert_equal_results(ours(), rivals)
