"""Losses of statistics and learning: NumPy code that takes the module to compute with, so that JAX runs the same."""

import numpy as np

RATE_STEPS = 252


def logistic_loss(weights, observations, labels, np=np):
    """The mean negative log-likelihood of labels 0 and 1."""
    scores = observations @ weights
    return np.mean(np.logaddexp(0.0, scores) - labels * scores)


def poisson_loss(weights, observations, counts, np=np):
    """The negative log-likelihood of counts, without its constant."""
    scores = observations @ weights
    return np.sum(np.exp(scores) - counts * scores)


def network_loss(parameters, inputs, labels, np=np):
    """The mean cross entropy of a layer of tanh and a linear one."""
    first, first_bias, second, second_bias = parameters
    scores = np.tanh(inputs @ first + first_bias) @ second + second_bias
    scores = scores - np.max(scores, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(scores), axis=1)) - np.sum(labels * scores, axis=1))


def asian_call(parameters, normals, np=np):
    """A call on the mean price of paths of geometric Brownian motion, its price by simulation."""
    spot, rate, volatility, strike = parameters
    step = 1 / RATE_STEPS
    prices, total = spot * np.ones(normals.shape[1:]), 0.0
    for k in range(RATE_STEPS):
        prices = prices * np.exp((rate - 0.5 * volatility**2) * step + volatility * step**0.5 * normals[k])
        total = total + prices
    return np.exp(-rate) * np.mean(np.maximum(total / RATE_STEPS - strike, 0.0))


def regression(n_observations, n_weights):
    """Weights, observations and labels 0 or 1."""
    random = np.random.default_rng(0)
    observations = random.normal(size=(n_observations, n_weights))
    weights = random.normal(size=n_weights) / n_weights**0.5
    labels = (random.uniform(size=n_observations) < 1 / (1 + np.exp(-observations @ weights))).astype(float)
    return 0.5 * weights, observations, labels


def network(n_examples=256, sizes=(64, 128, 10)):
    """Parameters, inputs, and labels as rows with a single 1."""
    random = np.random.default_rng(0)
    first = random.normal(size=sizes[:2]) / sizes[0] ** 0.5
    second = random.normal(size=sizes[1:]) / sizes[1] ** 0.5
    parameters = first, 0.1 * random.normal(size=sizes[1]), second, 0.1 * random.normal(size=sizes[2])
    labels = np.eye(sizes[2])[random.integers(0, sizes[2], n_examples)]
    return parameters, random.normal(size=(n_examples, sizes[0])), labels
