"""The table of sample calls: for each public function one or several, under the name it is called by.

The functions are what ``__all__`` of a module names and what can be called, without classes: types, exceptions,
``vectorize``, ``poly1d`` and the like. Those of SciPy have a page of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import numpy as np
import scipy.linalg
import scipy.special

from tests.coverage.drawing import Call
from tests.coverage.elementwise_calls import ELEMENTWISE, Calls
from tests.coverage.plain_calls import NOT_CALLED, PLAIN
from tests.coverage.product_calls import FFT, LINALG, PRODUCTS
from tests.coverage.reduction_calls import REDUCTIONS
from tests.coverage.scipy_linalg_calls import SCIPY_LINALG
from tests.coverage.shape_calls import SHAPES
from tests.coverage.special_calls import SPECIAL

__all__ = ["CALLS", "MODULES", "NOT_CALLED", "SCIPY_CALLS", "SCIPY_MODULES", "public_functions"]

MODULES: Mapping[str, ModuleType] = {"numpy": np, "numpy.linalg": np.linalg, "numpy.fft": np.fft}
SCIPY_MODULES: Mapping[str, ModuleType] = {"scipy.special": scipy.special, "scipy.linalg": scipy.linalg}


def public_functions(module: str) -> list[str]:
    """The full names of a module's public functions, in alphabetical order."""
    holder = {**MODULES, **SCIPY_MODULES}[module]
    found = {name: getattr(holder, name) for name in sorted(holder.__all__)}
    return [f"{module}.{name}" for name, value in found.items() if callable(value) and not isinstance(value, type)]


def _table(**tables: tuple[Calls, ...]) -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = {}
    for prefix, parts in tables.items():
        for part in parts:
            for name, calls in part.items():
                full_name = f"{prefix.replace('_', '.')}.{name}"
                if full_name in found:
                    raise ValueError(f"{full_name} stands in two tables")
                found[full_name] = calls
    return found


CALLS = _table(numpy=(ELEMENTWISE, REDUCTIONS, SHAPES, PRODUCTS, PLAIN), numpy_linalg=(LINALG,), numpy_fft=(FFT,))
SCIPY_CALLS = _table(scipy_special=(SPECIAL,), scipy_linalg=(SCIPY_LINALG,))
