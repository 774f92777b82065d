"""Discrete Fourier transforms along one axis, on real arrays.

A complex array is its real and its imaginary part, stacked on a leading axis of length 2; the attributes' axis does not
count it. ``norm`` is one of NumPy's three. Transforms are linear, and the adjoint of each is the transform in the other
direction with the opposite norm. Half spectra hold each frequency once, though all but the ends stand for two: the
adjoint of ``rfft`` is ``irfft`` of the halved spectrum, and the other way round, ``rfft`` doubled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.array_ops.movement import transpose
from fastgrad.array_ops.table import ArrayOperation, Examples, Shape, array_operation, require

OPPOSITE = {"backward": "forward", "forward": "backward", "ortho": "ortho"}
_TURNED = {"fft": "ifft", "ifft": "fft"}


def _complex(pair: NDArray[Any]) -> NDArray[Any]:
    number = np.empty(pair.shape[1:], np.complex64 if pair.dtype == np.float32 else np.complex128)
    number.real, number.imag = pair
    return number


def _pair(number: NDArray[Any]) -> NDArray[Any]:
    return np.stack([number.real, number.imag])


def _weighted(half: NDArray[Any], n: int, axis: int, weight: str) -> NDArray[Any]:
    """A half spectrum of ``n`` points with its inner frequencies "halved" or "doubled", or as it is ("plain")."""
    if weight != "plain":
        inner = (slice(None),) * axis + (slice(1, (n + 1) // 2),)
        half[inner] *= 2.0 if weight == "doubled" else 0.5
    return half


_WEIGHT_OF_ADJOINT = {"plain": "halved", "doubled": "plain"}


def _fft_shape(attribute: tuple[str, int, str], of: Shape) -> Shape:
    direction, axis, norm = attribute
    known = direction in _TURNED and norm in OPPOSITE
    require(len(of) > axis + 1 > 0 and of[0] == 2 and of[axis + 1] > 0 and known, "no such transform")
    return of


def _fft(attribute: tuple[str, int, str], x: NDArray[Any]) -> NDArray[Any]:
    direction, axis, norm = attribute
    return _pair(getattr(np.fft, direction)(_complex(x), axis=axis, norm=norm))


def _fft_vjp(attribute: tuple[str, int, str], ct: Any, x: Any, r: Any) -> tuple[Any]:
    direction, axis, norm = attribute
    return (fft(ct, attribute=(_TURNED[direction], axis, OPPOSITE[norm])),)


def _exchanged(x: Any) -> Any:
    """The first two axes, of the examples and of the parts of complex numbers, in the other order."""
    return transpose(x, attribute=(1, 0, *range(2, len(x.shape))))


def _fft_batch(attribute: tuple[str, int, str], examples: Examples) -> Any:
    direction, axis, norm = attribute
    return _exchanged(fft(_exchanged(examples.operands[0]), attribute=(direction, axis + 1, norm)))


# the attribute is the direction ("fft" or "ifft"), axis and norm
fft: ArrayOperation = array_operation("fft", _fft_shape, _fft, _fft_vjp, batch=_fft_batch)


def _rfft_shape(attribute: tuple[int, str, str], of: Shape) -> Shape:
    axis, norm, weight = attribute
    require(len(of) > axis >= 0 and of[axis] > 0 and norm in OPPOSITE and weight in _WEIGHT_OF_ADJOINT, "no transform")
    return (2, *of[:axis], of[axis] // 2 + 1, *of[axis + 1 :])


def _rfft(attribute: tuple[Any, ...], x: NDArray[Any]) -> NDArray[Any]:
    axis, norm, weight = attribute
    return _pair(_weighted(np.fft.rfft(x, axis=axis, norm=norm), x.shape[axis], axis, weight))


def _rfft_vjp(attribute: tuple[int, str, str], ct: Any, x: Any, r: Any) -> tuple[Any]:
    axis, norm, weight = attribute
    return (irfft(ct, attribute=(x.shape[axis], axis, OPPOSITE[norm], _WEIGHT_OF_ADJOINT[weight])),)


def _rfft_batch(attribute: tuple[int, str, str], examples: Examples) -> Any:
    axis, norm, weight = attribute
    return _exchanged(rfft(examples.operands[0], attribute=(axis + 1, norm, weight)))


# the attribute is axis, norm, and "plain" or "doubled"
rfft: ArrayOperation = array_operation("rfft", _rfft_shape, _rfft, _rfft_vjp, batch=_rfft_batch)


def _irfft_shape(attribute: tuple[int, int, str, str], of: Shape) -> Shape:
    n, axis, norm, weight = attribute
    known = norm in OPPOSITE and weight in _WEIGHT_OF_ADJOINT.values()
    require(len(of) > axis + 1 > 0 and of[0] == 2 and n > 0 and of[axis + 1] == n // 2 + 1 and known, "no transform")
    return (*of[1 : axis + 1], n, *of[axis + 2 :])


def _irfft(attribute: tuple[Any, ...], x: NDArray[Any]) -> NDArray[Any]:
    n, axis, norm, weight = attribute
    return np.fft.irfft(_weighted(_complex(x), n, axis, weight), n, axis, norm)


def _irfft_vjp(attribute: tuple[int, int, str, str], ct: Any, x: Any, r: Any) -> tuple[Any]:
    _, axis, norm, weight = attribute
    return (rfft(ct, attribute=(axis, OPPOSITE[norm], "doubled" if weight == "plain" else "plain")),)


def _irfft_batch(attribute: tuple[int, int, str, str], examples: Examples) -> Any:
    n, axis, norm, weight = attribute
    return irfft(_exchanged(examples.operands[0]), attribute=(n, axis + 1, norm, weight))


# the attribute is the length of the result, axis, norm, and "plain" or "halved"
irfft: ArrayOperation = array_operation("irfft", _irfft_shape, _irfft, _irfft_vjp, batch=_irfft_batch)
