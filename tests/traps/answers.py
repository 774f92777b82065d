"""Runs the programs under a peer, and says in a few words what it answers."""

from __future__ import annotations

import copy
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tests.traps.loading import KINDS, traps
from tests.traps.peers import Peer, as_numpy
from tests.traps.trap import Point, Trap

RIGHT = "right"
SECONDS = 30
MAX_LENGTH = 60


class TooLongError(Exception):
    """A program did not end."""


def answers(peer: Peer) -> dict[str, str]:
    """For each program, by its name: "right", "wrong: ..." or "refused: ..."."""
    return {trap.name: answer(peer, trap) for kind in KINDS for trap in traps(kind, peer.imports)}


def answer(peer: Peer, trap: Trap) -> str:
    """What the peer makes of one program; an exception is a refusal, whatever its kind."""
    try:
        with warnings.catch_warnings(record=True) as caught, _ends_in_time():
            warnings.simplefilter("always")
            fault = next(_faults(peer, trap), "")
    except (AssertionError, Exception) as error:
        words = " ".join(str(error).split())
        text = f"{type(error).__name__}: {words}" if words else type(error).__name__
        return f"refused: {text[:MAX_LENGTH].rstrip()}{'...' if len(text) > MAX_LENGTH else ''}"
    if fault and trap.warning and any(trap.warning in str(warning.message) for warning in caught):
        return "warned"
    return f"wrong: {fault}" if fault else RIGHT


def _faults(peer: Peer, trap: Trap) -> Iterator[str]:
    if trap.answers is not None:
        found = trap.function()
        for number, (right, given) in enumerate(zip(trap.answers, found, strict=True), 1):
            if not agrees(trap, right, given):
                yield f"answer {number} is {shown(given)}"
        return
    for point in trap.points:
        value, gradient = peer.value_and_gradient(trap.function, copy.deepcopy(point.args), trap.argnums)
        yield from _faults_at(trap, point, value, gradient)
        if point.second is not None:
            second = peer.hessian(trap.function, copy.deepcopy(point.args[0]))
            if not (close(trap, point.second, second) or _lies_between(trap.second_between, second)):
                yield f"second {shown(second)}"


def _faults_at(trap: Trap, point: Point, value: Any, gradient: tuple[Any, ...]) -> Iterator[str]:
    where = "" if point is trap.points[0] else " at a later call"
    if not close(trap, point.value, value):
        yield f"value {shown(value)}{where}"
    for right, given in zip(point.gradient, gradient, strict=True):
        if not (close(trap, right, given) or _also_right(trap, given)):
            yield f"{shown(given)}{where}"


def _also_right(trap: Trap, given: Any) -> bool:
    """Another subgradient, or anything but a number where there is no derivative."""
    given = np.asarray(as_numpy(given), float)
    if trap.undefined:
        return not np.all(np.isfinite(given))
    return _lies_between(trap.between, given)


def _lies_between(bounds: tuple[Any, Any] | None, given: Any) -> bool:
    if bounds is None:
        return False
    given = np.asarray(as_numpy(given), float)
    low, high = (np.array(bound) for bound in bounds)
    return given.shape == low.shape and bool(np.all((low <= given) & (given <= high)))


def agrees(trap: Trap, right: Any, given: Any) -> bool:
    """Whether one answer of a session is right."""
    if isinstance(right, (str, bool)):
        return bool(as_numpy(given) == right)
    return not isinstance(given, str) and close(trap, right, given)


def close(trap: Trap, right: Any, given: Any) -> bool:
    """Equal up to rounding, and in the same shape; float32 results are compared as such."""
    given = as_numpy(given)
    if given.dtype.kind not in "fiub" or given.shape != np.shape(right):
        return False
    rtol = max(trap.rtol, 1e-6) if given.dtype == np.float32 else trap.rtol
    return bool(np.allclose(np.asarray(given, float), np.asarray(right, float), rtol, trap.atol, equal_nan=True))


def shown(given: Any) -> str:
    """A wrong answer in a table."""
    given = as_numpy(given)
    if isinstance(given, (str, bool)):
        return str(given)
    if given.dtype.kind == "O":
        return f"a {type(given.item()).__name__}"
    return np.array2string(given, precision=3, separator=", ", floatmode="maxprec").replace("\n", "")


@contextmanager
def _ends_in_time() -> Iterator[None]:
    """Raises TooLongError after a while; in the main thread only, which is the one that gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise TooLongError(f"no answer within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
