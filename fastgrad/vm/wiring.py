"""Where a filled-in job takes its addresses: what the kernels need to run it without any Python code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.vm import instructions as isa

__all__ = ["Wiring", "address_of_row"]


@dataclass(frozen=True)
class Wiring:
    """A job with memory of its own, and the words that addresses are written to before it runs.

    ``input_words`` has one address for each input. ``result_words`` has, for each result, pairs: the address of a word
    that takes the result's address, and what to add to it. ``seed_words`` has such pairs for each seed, unless seeds
    are among the inputs. ``reads`` has pairs, address and size in bytes, of captured memory that is read while results
    are written. ``nanoseconds`` is about the time of a run.
    """

    driver: int
    job: int
    input_words: Sequence[int]
    result_words: Sequence[NDArray[np.int64]]
    reads: NDArray[np.int64]
    nanoseconds: int
    owner: Any
    seed_words: Sequence[NDArray[np.int64]] = ()


def address_of_row(records: NDArray[Any], row: int) -> int:
    """Where the address field of a record is in memory."""
    return int(records.ctypes.data) + records.itemsize * row + 8 * isa.field_offset(records.dtype, "address")
