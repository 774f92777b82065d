"""Settings for the whole process: ``fastgrad.config.tier`` and ``fastgrad.config.threads``."""

from __future__ import annotations

import os
from typing import Any

from fastgrad.errors import InputError

__all__ = ["config", "resolve_threads", "resolve_tier"]

TIERS = ("auto", "vm", "native")


class Config:
    """Defaults of the arguments ``tier`` and ``threads``; assignment checks the value.

    ``tier`` is "auto" (machine code for what runs long enough to pay for it), "vm" (never) or "native" (at once).
    ``threads`` is the number of threads that a batch may use; None means one for each
    processor that this process may run on (its affinity), or ``OMP_NUM_THREADS`` if that is set and fewer.
    """

    def __init__(self) -> None:
        self._tier = "auto"
        self._threads: int | None = None

    @property
    def tier(self) -> str:
        return self._tier

    @tier.setter
    def tier(self, tier: str) -> None:
        self._tier = _checked_tier(tier)

    @property
    def threads(self) -> int | None:
        return self._threads

    @threads.setter
    def threads(self, threads: int | None) -> None:
        self._threads = None if threads is None else _checked_threads(threads)

    def __repr__(self) -> str:
        return f"Config(tier={self.tier!r}, threads={self.threads!r})"


config = Config()


def resolve_tier(tier: str | None) -> str:
    """The tier that an argument asks for, the default where it is None. Raises InputError."""
    return config.tier if tier is None else _checked_tier(tier)


def resolve_threads(threads: int | None) -> int:
    """The number of threads that an argument asks for. Raises InputError."""
    if threads is not None:
        return _checked_threads(threads)
    return config.threads or _available_threads()


def _checked_tier(tier: Any) -> str:
    if tier not in TIERS:
        raise InputError(f"tier must be one of {', '.join(map(repr, TIERS))}; it is {tier!r}.")
    return str(tier)


def _checked_threads(threads: Any) -> int:
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InputError(f"threads must be a whole number from 1 up, or None for the default; it is {threads!r}.")
    return threads


def _available_threads() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    stated = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(int(stated), usable) if stated.isdecimal() and int(stated) > 0 else usable
