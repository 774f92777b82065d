"""Arrays that a recorded function makes and that hold no recorded values are what NumPy made."""

from __future__ import annotations

import numpy as np
import pytest

import fastgrad as fg

VIEWS = [
    ("the real part", lambda: np.fft.fft(np.array([1.0, 2.0, 4.0])).real),
    ("the imaginary part", lambda: np.fft.fft(np.array([1.0, 2.0, 4.0])).imag),
    ("eigenvalues that happen to be real", lambda: np.linalg.eigvals(np.array([[1.0, 2.0], [0.0, 4.0]]))),
    ("bytes as another type", lambda: np.arange(1.0, 4.0).view(np.int64)),
]


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in VIEWS])
def test_a_view_in_another_type_is_returned_and_computed_with_as_it_is(make):
    expected = make()
    (_, value), _ = fg.vjp(lambda x: (x, make()), 2.0)
    assert value.dtype == expected.dtype
    np.testing.assert_array_equal(value, expected)
    product, tangent = fg.jvp(lambda x: x * make(), (2.0,), (1.0,))
    np.testing.assert_array_equal(product, 2.0 * expected)
    np.testing.assert_array_equal(tangent, expected.astype(float))
