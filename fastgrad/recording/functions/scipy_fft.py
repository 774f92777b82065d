"""``scipy.fft``: the transforms that ``numpy.fft`` has, by its definitions.

Loaded with ``scipy.special``, which ``scipy.fft`` imports. ``workers`` and ``overwrite_x`` change nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgrad.recording.functions.registry import implements_outside


def _along_one_axis(name: str) -> None:
    @implements_outside(f"scipy.fft.{name}")
    def define(
        x: Any,
        n: Any = None,
        axis: int = -1,
        norm: Any = None,
        overwrite_x: bool = False,
        workers: Any = None,
        *,
        plan: Any = None,
    ) -> Any:
        return getattr(np.fft, name)(x, n, axis, norm)


def _along_several(name: str, last: tuple[int, ...] | None) -> None:
    @implements_outside(f"scipy.fft.{name}")
    def define(
        x: Any,
        s: Any = None,
        axes: Any = last,
        norm: Any = None,
        overwrite_x: bool = False,
        workers: Any = None,
        *,
        plan: Any = None,
    ) -> Any:
        if s is not None and axes is None:
            axes = tuple(range(-len(s), 0))
        return getattr(np.fft, name)(x, s, axes, norm)


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    _along_one_axis(_name)
for _name in ("fft", "ifft", "rfft", "irfft"):
    _along_several(f"{_name}2", (-2, -1))
    _along_several(f"{_name}n", None)
