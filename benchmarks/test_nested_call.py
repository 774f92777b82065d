"""What a call costs beside the arithmetic: a dict of arrays in, a value and a dict of gradients out."""

import numpy as np

import fastgrad as fg

PARAMETERS = {
    "weights": np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]]),
    "bias": np.array([0.1, -0.2]),
    "scale": np.array(1.5),
}
X = np.array([0.3, -0.6, 0.9])


def loss_with(np):
    """A small model, in NumPy's or JAX's functions."""

    def loss(p, x):
        return p["scale"] * np.sum(np.tanh(p["weights"] @ x + p["bias"]) ** 2)

    return loss


def finite_differences():
    """The gradient, by central differences."""
    loss, step = loss_with(np), 1e-6
    found = {}
    for name, array in PARAMETERS.items():
        gradient = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            ends = []
            for sign in (1, -1):
                moved = {key: value.copy() for key, value in PARAMETERS.items()}
                moved[name][index] += sign * step
                ends.append(loss(moved, X))
            gradient[index] = (ends[0] - ends[1]) / (2 * step)
        found[name] = gradient
    return found


def jax_call(jax):
    """JAX's compiled function, on arrays of its own."""
    if jax is None:
        return None
    compiled = jax.jit(jax.value_and_grad(loss_with(jax.numpy)))
    parameters = {name: jax.numpy.asarray(array) for name, array in PARAMETERS.items()}
    x = jax.numpy.asarray(X)
    return lambda: jax.block_until_ready(compiled(parameters, x))


def by_hand():
    """Value and gradient as one would write them in NumPy."""
    weights, bias, scale = PARAMETERS["weights"], PARAMETERS["bias"], PARAMETERS["scale"]
    t = np.tanh(weights @ X + bias)
    value = t @ t
    inner = 2 * scale * t * (1 - t * t)
    return scale * value, {"weights": np.outer(inner, X), "bias": inner, "scale": value}


def test_value_and_gradient_of_a_dict_of_arrays(compare, peer):
    ours = fg.value_and_grad(loss_with(np))
    jax = jax_call(peer("jax"))
    compare(
        "dict of three arrays: value and gradient",
        lambda: ours(PARAMETERS, X),
        {"JAX jit": jax},
        {"NumPy by hand": by_hand},
        bar=1.0,
        reach=0.1,
    )
    for name, gradient in finite_differences().items():
        np.testing.assert_allclose(ours(PARAMETERS, X)[1][name], gradient, atol=1e-8)
        np.testing.assert_allclose(ours(PARAMETERS, X)[1][name], by_hand()[1][name], rtol=1e-13)
        if jax:
            np.testing.assert_allclose(ours(PARAMETERS, X)[1][name], jax()[1][name], rtol=1e-12)
