"""Work shared out over threads: the one that asks takes part, so that callers never wait for each other's work."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["share_out"]


def share_out(work: Callable[[int], None], n_shares: int, n_threads: int) -> None:
    """Do ``work(k)`` for every share, each in whichever of the threads is free next; raises what the work raises."""
    helpers = min(n_threads, n_shares) - 1
    if helpers < 1:
        for share in range(n_shares):
            work(share)
        return
    left = deque(range(n_shares))

    def pull() -> None:
        try:
            while True:
                try:
                    share = left.popleft()
                except IndexError:
                    return
                work(share)
        except BaseException:
            left.clear()
            raise

    futures = [_pool(n_threads - 1).submit(pull) for _ in range(helpers)]
    try:
        pull()
    finally:
        # those that have not begun find nothing to do; after an exception here the others finish their share
        running = [future for future in futures if not future.cancel()]
        errors = [error for future in running if (error := future.exception()) is not None]
    if errors:
        raise errors[0]


@lru_cache(maxsize=8)
def _pool(n: int) -> ThreadPoolExecutor:
    # a seventh of what loading fastgrad takes, and of no use to single evaluations
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(n, thread_name_prefix="fastgrad")


if hasattr(os, "register_at_fork"):
    # a child has none of its parent's threads, and would wait for them for ever
    os.register_at_fork(after_in_child=_pool.cache_clear)
