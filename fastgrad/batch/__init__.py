"""``vmap``: a function or a derivative over many examples at once, in SIMD lanes and threads.

``arguments`` takes a call apart, ``run`` has every example run through its branch, ``outputs`` says where results go.
``repeated`` answers calls like one before by plans, ``small`` hands those of small batches to the kernels.
"""

from fastgrad.batch.batched import Batched, vmap
from fastgrad.batch.chunks import iterate_chunks, map_chunks

__all__ = ["Batched", "iterate_chunks", "map_chunks", "vmap"]
