"""scipy.fft and what is made of it: values against SciPy, derivatives against differences, refusals by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.signal

import fastgrad as fg
from tests.derivative_checks import check

X = np.random.default_rng(3).standard_normal((4, 6))


def power(spectrum: Any) -> Any:
    """Real numbers made of a spectrum, which tell its phases apart."""
    weights = np.linspace(0.5, 1.5, np.size(spectrum)).reshape(np.shape(spectrum))
    return weights * np.abs(spectrum) ** 2 + np.real(spectrum) + 2.0 * np.imag(spectrum)


CALLS: dict[str, Any] = {
    "fft": lambda x: power(scipy.fft.fft(x)),
    "fft of other length": lambda x: power(scipy.fft.fft(x, 8, axis=0, norm="ortho")),
    "ifft": lambda x: power(scipy.fft.ifft(x, workers=1)),
    "rfft": lambda x: power(scipy.fft.rfft(x, n=5, overwrite_x=True)),
    "irfft": lambda x: scipy.fft.irfft(scipy.fft.rfft(x) * (1.0 + 0.5j), n=6),
    "hfft": lambda x: scipy.fft.hfft(x),
    "ihfft": lambda x: power(scipy.fft.ihfft(x)),
    "fft2": lambda x: power(scipy.fft.fft2(x)),
    "ifft2": lambda x: power(scipy.fft.ifft2(x, axes=(1, 0))),
    "rfft2": lambda x: power(scipy.fft.rfft2(x)),
    "irfft2": lambda x: scipy.fft.irfft2(scipy.fft.rfft2(x), s=x.shape),
    "fftn": lambda x: power(scipy.fft.fftn(x, (5,))),
    "ifftn": lambda x: power(scipy.fft.ifftn(x, norm="forward")),
    "rfftn": lambda x: power(scipy.fft.rfftn(x, s=(3, 7))),
    "irfftn": lambda x: scipy.fft.irfftn(scipy.fft.rfftn(x), s=(4, 6)),
    "fftconvolve": lambda x: scipy.signal.fftconvolve(x, x[:2, :3], mode="same"),
    "fftconvolve with a kernel": lambda x: scipy.signal.fftconvolve(x[0], np.array([0.25, 0.5, 0.25]), mode="valid"),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name):
    check(CALLS[name], X)
    np.testing.assert_allclose(fg.vjp(CALLS[name], X)[0], CALLS[name](X), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ["dct", "idst", "hfft2", "dctn"])
def test_transforms_without_a_definition_are_refused_by_name(name):
    with pytest.raises(fg.UnsupportedError, match=rf"scipy\.fft\.{name} cannot be recorded"):
        fg.record(lambda x: getattr(scipy.fft, name)(x), X)
