"""How fast is elementwise work on arrays, from within the caches to beyond them?"""

import math

import numpy as np
import pytest
from limits import EXP, LOG1P, SIN

import fastgrad as fg

WORK = "exp, sin, log1p of n={:,}: value and gradient"
FLOPS = EXP + 2 * SIN + LOG1P + 20  # of an element; the cosine is another sine
TRAFFIC = 16


def total(x, np=np):
    return np.sum(np.exp(-x * x) * np.sin(3 * x) + np.log1p(x * x))


def numba_loop(numba, x):
    """Value and gradient by hand: one loop, the functions of the C library."""
    if numba is None:
        return None

    @numba.njit(error_model="numpy")
    def loop(x):
        gradient = np.empty_like(x)
        value = 0.0
        for i in range(len(x)):
            t = x[i]
            square = t * t
            bell, sine = math.exp(-square), math.sin(3 * t)
            value += bell * sine + math.log1p(square)
            gradient[i] = bell * (3 * math.cos(3 * t) - 2 * t * sine) + 2 * t / (1 + square)
        return value, gradient

    return lambda: loop(x)


def jax_jit(jax, x):
    if jax is None:
        return None
    compiled = jax.jit(jax.value_and_grad(lambda x: total(x, jax.numpy)))
    on_device = jax.numpy.asarray(x)
    return lambda: jax.block_until_ready(compiled(on_device))


@pytest.mark.parametrize("n", [1_000, 100_000, 1_000_000])
def test_value_and_gradient_of_a_sum_of_elementary_functions(compare, peer, n):
    x = np.random.default_rng(0).uniform(-3, 3, n)
    ours = fg.value_and_grad(total)
    rivals = {"JAX jit": jax_jit(peer("jax"), x)}
    others = {"Numba loop, libm": numba_loop(peer("numba"), x)}
    compare(WORK.format(n), lambda: ours(x), rivals, others, bar=0.2, flops=FLOPS * n, traffic=TRAFFIC * n)
    value, gradient = ours(x)
    for rival in filter(None, (rivals | others).values()):
        np.testing.assert_allclose(rival()[0], value, rtol=1e-10)
        np.testing.assert_allclose(rival()[1], gradient, rtol=1e-9, atol=1e-12)


def test_against_what_memory_allows(compare):
    n = 1_000_000
    x, out = np.random.default_rng(0).uniform(-3, 3, n), (np.zeros(()), np.zeros(n))
    ours = fg.value_and_grad(total).prepare(x).bind(x, out)
    one, other, added = np.ones((3, TRAFFIC * n // 24))
    rivals = {"NumPy add of the same bytes": lambda: np.add(one, other, out=added)}
    compare(f"{WORK.format(n)}, bound", ours, rivals, reach=2.0, flops=FLOPS * n, traffic=TRAFFIC * n)
    value, gradient = fg.value_and_grad(total, tier="vm")(x)
    assert (out[0].tobytes(), out[1].tobytes()) == (value.tobytes(), gradient.tobytes())
