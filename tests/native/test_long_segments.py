"""Elementwise programs that are longer than one function of machine code, over arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad
from tests.native.test_same_bits import bits


@pytest.mark.parametrize("n_steps", [600, 1500])
def test_values_that_cross_into_a_slot_used_again(n_steps: int) -> None:
    def f(x: Any) -> Any:
        y = x
        for _ in range(n_steps):
            y = (y * x - y) * 0.5
            y = np.abs(y) + x
        return y

    x = np.linspace(0.5, 1.5, 5000)
    vm, native = fastgrad.vjp(f, x, tier="vm"), fastgrad.vjp(f, x, tier="native")
    np.testing.assert_array_equal(bits(native[0]), bits(vm[0]))
    np.testing.assert_array_equal(bits(native[1](np.ones(5000))), bits(vm[1](np.ones(5000))))
