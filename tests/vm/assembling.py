"""Programs and jobs for the kernel tests, written out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgrad.ops import BY_NAME
from fastgrad.vm import instructions as isa
from fastgrad.vm.binary import kernels


def opcode(name: str) -> int:
    return isa.OPCODE_NAMES.index(name)


def program(*lines: tuple[Any, ...]) -> np.ndarray:
    """Words of the instructions ``(name, slot, ...)``, with END behind them."""
    words = [word for name, *slots in lines for word in (opcode(name), *slots)]
    return np.array([*words, isa.END], np.uint32)


def edges(*triples: tuple[int, int, int]) -> np.ndarray:
    return np.array(triples, np.uint32).reshape(-1, 3)


def rows(count: int, lanes: int, value: float = 0.0) -> np.ndarray:
    """A (count, lanes) array whose rows begin at multiples of 64 bytes."""
    raw = np.zeros(count * lanes * 8 + isa.TILE_ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % isa.TILE_ALIGNMENT
    array = raw[start : start + count * lanes * 8].view(np.float64).reshape(count, lanes)
    array[:] = value
    return array


def records(kind: np.dtype[Any], *entries: dict[str, Any]) -> np.ndarray:
    """Records with the fields given by name; an array stands for its address, a tuple of strides is padded."""
    array = np.zeros(len(entries), kind)
    for record, entry in zip(array, entries, strict=True):
        for name, value in entry.items():
            if name == "strides":
                record[name][: len(value)] = value
            else:
                record[name] = value.ctypes.data if isinstance(value, np.ndarray) else value
    return array


class Job:
    """A job whose arrays are kept alive; ``run`` calls the driver and returns what it returns."""

    def __init__(self, **fields: Any) -> None:
        self.record = isa.new_job()
        self.kept: list[np.ndarray] = []
        self.set(**fields)

    def set(self, **fields: Any) -> None:
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                self.kept.append(value)
                self.record[name] = value.ctypes.data
                if f"n_{name}" in isa.JOB.names and name != "adjoints":
                    self.record[f"n_{name}"] = len(value)
            else:
                self.record[name] = value

    def run_scalar(self) -> int:
        return int(kernels().run_scalar(self.record.ctypes.data))

    def run_tiles(self) -> int:
        return int(kernels().run_tiles(self.record.ctypes.data))


def same_bits(x: Any, y: Any) -> bool:
    """Equal to the bit, any NaN equal to any other."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    both_nan = np.isnan(x) & np.isnan(y)
    return bool(x.shape == y.shape and np.all(both_nan | (x.view(np.int64) == y.view(np.int64))))


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, np.inf, -np.inf, np.nan, 5e-324, -1e-310, 1e308, -1e308, 2.5, 1e17])


def samples(name: str, count: int = 40) -> list[np.ndarray]:
    """Operands of an operation: its own domain, then pairs of special values."""
    rng = np.random.default_rng(len(name))
    columns = []
    for low, high in BY_NAME[name].domain:
        columns.append(np.concatenate([rng.uniform(low, high, count), rng.permutation(np.tile(SPECIAL, 4))]))
    return columns
