"""How parameters begin: functions of a random generator and a shape.

The last axis of a kernel is what it gives, the one before it what it takes; axes before these (of a convolution) are
places. Glorot and Bengio, *Understanding the difficulty of training deep feedforward neural networks*, 2010; He et al.,
*Delving deep into rectifiers*, 2015; LeCun et al., *Efficient backprop*, 1998.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastgrad.tape import Shape

__all__ = [
    "Initialiser",
    "generator_for",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "truncated_normal",
    "zeros",
]

Floats = NDArray[np.float64]
Initialiser = Callable[[np.random.Generator, Shape], Floats]
# the standard deviation of a standard normal cut off at two, by which draws are divided so that theirs is 1
_TRUNCATED_DEVIATION = 0.87962566103423978


def generator_for(seed: int, path: str) -> np.random.Generator:
    """The random generator of one parameter: it depends on the seed and the parameter's path, not on other layers."""
    digest = hashlib.sha256(path.encode()).digest()[:16]
    return np.random.default_rng([seed, *np.frombuffer(digest, np.uint32).tolist()])


def zeros(generator: np.random.Generator, shape: Shape) -> Floats:
    """Zeros, as for biases."""
    return np.zeros(shape)


def ones(generator: np.random.Generator, shape: Shape) -> Floats:
    """Ones, as for the scales of a normalisation."""
    return np.ones(shape)


def truncated_normal(generator: np.random.Generator, shape: Shape, deviation: float = 0.05) -> Floats:
    """Normal numbers of this standard deviation, drawn again where they are beyond two of the untruncated one's."""
    drawn = generator.standard_normal(shape)
    while (beyond := np.abs(drawn) > 2.0).any():
        drawn[beyond] = generator.standard_normal(np.count_nonzero(beyond))
    return drawn * (deviation / _TRUNCATED_DEVIATION)


def _fans(shape: Shape) -> tuple[float, float]:
    """How many numbers each result of a kernel is made of, and how many results each goes into."""
    if len(shape) < 2:
        return (float(math.prod(shape)),) * 2
    places = math.prod(shape[:-2])
    return float(places * shape[-2]), float(places * shape[-1])


def _uniform(generator: np.random.Generator, shape: Shape, variance: float) -> Floats:
    limit = math.sqrt(3.0 * variance)
    return generator.uniform(-limit, limit, shape)


def _variance(scale: float, fan: float) -> float:
    return scale / max(fan, 1.0)


def glorot_uniform(generator: np.random.Generator, shape: Shape) -> Floats:
    """Uniform with variance 2 / (fan in + fan out), for tanh and sigmoid."""
    return _uniform(generator, shape, _variance(2.0, sum(_fans(shape))))


def glorot_normal(generator: np.random.Generator, shape: Shape) -> Floats:
    """Truncated normal with variance 2 / (fan in + fan out)."""
    return truncated_normal(generator, shape, math.sqrt(_variance(2.0, sum(_fans(shape)))))


def he_uniform(generator: np.random.Generator, shape: Shape) -> Floats:
    """Uniform with variance 2 / fan in, for relu and its kin."""
    return _uniform(generator, shape, _variance(2.0, _fans(shape)[0]))


def he_normal(generator: np.random.Generator, shape: Shape) -> Floats:
    """Truncated normal with variance 2 / fan in."""
    return truncated_normal(generator, shape, math.sqrt(_variance(2.0, _fans(shape)[0])))


def lecun_uniform(generator: np.random.Generator, shape: Shape) -> Floats:
    """Uniform with variance 1 / fan in."""
    return _uniform(generator, shape, _variance(1.0, _fans(shape)[0]))


def lecun_normal(generator: np.random.Generator, shape: Shape) -> Floats:
    """Truncated normal with variance 1 / fan in."""
    return truncated_normal(generator, shape, math.sqrt(_variance(1.0, _fans(shape)[0])))
