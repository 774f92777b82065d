"""The same sample calls on the NumPy of autograd and of JAX."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from tests.coverage.checks import MismatchError, RoughPointError, Sample, directions_for, flat, independent_slope, parts
from tests.coverage.drawing import Case, RandomChooser

PEERS = ("autograd", "JAX")
# relative; peers are not asked for more than that their derivative is the right one
TOLERANCE = 1e-5


def check_with(peer: str) -> Callable[[Case, RandomChooser], bool]:
    """What ``states`` asks of a peer: whether the derivative varies. Raises MismatchError, or what the peer raises."""
    namespace, grad = _loaded(peer)

    def check(case: Case, chooser: RandomChooser) -> bool:
        sample = Sample(case, case.call.differentiated)
        expected, _ = parts(sample.on_numpy(*sample.point))
        directions = directions_for(sample, chooser.random)
        slope, _ = independent_slope(sample, directions)
        weights = [chooser.random.standard_normal(np.shape(part)) for part in expected]
        if not np.all(np.isfinite(slope)) or not np.all(np.isfinite(flat(expected))):
            raise RoughPointError("not finite")

        def total(*arrays: Any) -> Any:
            result = case.on(namespace, dict(zip(sample.names, arrays, strict=False)))
            numbers = _numbers(result)
            if [np.shape(number) for number in numbers] != [weight.shape for weight in weights]:
                raise TypeError("results of other shapes")
            return 0.0 * namespace.sum(arrays[0]) + sum(
                namespace.sum(w * (1.0 * number)) for w, number in zip(weights, numbers, strict=True)
            )

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = grad(total, tuple(range(len(sample.point))))(*sample.point)
        product = sum(float(np.vdot(g, d)) for g, d in zip(found, directions, strict=True))
        wanted = float(flat(weights) @ slope)
        if not abs(product - wanted) <= TOLERANCE * (1 + np.abs(flat(weights)) @ np.abs(slope)):
            raise MismatchError(f"a derivative of {product:.6g} instead of {wanted:.6g}")
        return bool(np.any(np.abs(slope) > 1e-7))

    return check


def _numbers(result: Any) -> list[Any]:
    if isinstance(getattr(result, "_value", None), (list, tuple)):
        result = list(result)  # a sequence under autograd
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (list, tuple)):
        return [number for item in result for number in _numbers(item)]
    return [] if result is None or isinstance(result, str) else [result]


def _loaded(peer: str) -> tuple[ModuleType, Any]:
    if peer == "autograd":
        return importlib.import_module("autograd.numpy"), importlib.import_module("autograd").grad
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    return importlib.import_module("jax.numpy"), jax.grad
