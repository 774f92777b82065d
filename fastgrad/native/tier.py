"""When native code is made for an executor, and how running jobs get it.

``"auto"`` starts in the VM. Once the VM has worked for as long as compiling would take, the code is fetched from the
store or compiled, in a thread of its own; at worst a program then takes twice as long as with perfect foresight.
``"native"`` makes the code at once and ``"vm"`` never. A job changes to native code by one word, between two runs.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from types import MethodType, ModuleType
from typing import Any, Protocol
from weakref import ReferenceType, WeakMethod, WeakSet, ref

from fastgrad.native.routine import NotNativeError
from fastgrad.native.source import Source, is_long
from fastgrad.vm.code_file import LoadedCode, say

__all__ = ["Tier", "wait_until_idle"]

# Nanoseconds in the VM after which the store is asked: to look there and to map a file takes about a millisecond.
LOOK_AFTER = 2e6
# Nanoseconds that compiling takes, about: in any case, and for each LLVM instruction, optimised or not.
FIXED, OPTIMISED, QUICK = 2e7, 8e4, 1.5e4


class Job(Protocol):
    """What runs with native code once there is some."""

    def use_native(self, addresses: Sequence[int]) -> None: ...


class Tier:
    """The native code of one executor: whether there is some, why or why not, and who uses it."""

    def __init__(self, setting: str, sources: Callable[[], Sequence[Source]]) -> None:
        """``sources`` gives what the code is made from; ``setting`` is "auto", "vm" or "native".

        A method is kept weakly: an executor has a tier, and what nobody has any more need not be compiled.
        """
        self.setting = setting
        self.reason = "tier is 'vm'" if setting == "vm" else "it has not run long enough for native code to pay"
        self.compile_seconds = 0.0
        self.addresses: tuple[int, ...] = ()
        self._method: Callable[[], Callable[[], Sequence[Source]] | None] = (
            WeakMethod(sources) if isinstance(sources, MethodType) else lambda: sources
        )
        self._code: LoadedCode | None = None
        self._spent = 0.0
        self._next = LOOK_AFTER if setting == "auto" else float("inf")
        # a step waits for the thread for compiling, or is being done
        self._is_waiting = False
        self._jobs: WeakSet[Any] = WeakSet()
        # reentrant, since finalizers run anywhere
        self._lock = threading.RLock()
        if setting == "native":
            found = sources()
            if not self._find(found):
                self._make(found, _no_pause)

    @property
    def is_native(self) -> bool:
        return self._code is not None

    def runs_left(self, nanoseconds: float) -> int:
        """How many runs of this length the VM does before something is decided; -1: any number."""
        # while something waits: the VM may have to ask again
        left = LOOK_AFTER if self._is_waiting else self._next - self._spent
        return -1 if left == float("inf") else max(int(left / max(nanoseconds, 1.0)), 1)

    def attach(self, job: Job) -> None:
        """Have a job use the code from now on, or as soon as there is some."""
        with self._lock:
            self._jobs.add(job)
            if self.addresses:
                job.use_native(self.addresses)

    def spend(self, nanoseconds: float) -> None:
        """Note that the VM has worked so long; may start a compilation."""
        self._spent += nanoseconds
        if self._is_waiting:
            # else the thread that compiles, which reads files and calls LLVM, would wait for the interpreter's lock for
            # 5 ms a thousand times: beside a loop of calls that took 20 s for what now takes 0.1
            _let_others_run()
        if self._spent >= self._next and not self._is_waiting:
            with self._lock:
                if self._is_waiting or self._spent < self._next:  # another thread was here first
                    return
                self._is_waiting = True
            try:
                _waiting.add(self)
                _worker().put(partial(_step_of, ref(self)))
            except RuntimeError as error:  # no thread can be started
                self._give_up(error)

    def forked(self) -> None:
        """In a child process nobody does what was waiting in its parent: ask again."""
        self._is_waiting = False

    def _step(self) -> None:
        """What the thread for compiling does when the VM has worked long enough."""
        following = float("inf")
        try:
            method = self._method()
            if method is None:
                return
            sources = method()
            del method  # its executor may go while this compiles
            if self._find(sources):
                return
            cost = expected_nanoseconds(sources)
            if self._spent < cost:
                following = cost
            else:
                self.reason = "its code is being compiled"
                self._make(sources, _let_others_run)
        except Exception as error:
            self._give_up(error)
        finally:
            _waiting.discard(self)
            self._next, self._is_waiting = following, False

    def _find(self, sources: Sequence[Source]) -> bool:
        """Whether nothing is to be compiled."""
        if not sources:
            self.reason = "native code is not made for steps that NumPy does, nor for long programs over many elements"
            return True
        code = _store().find(sources)
        if code:
            self.reason = "its code was in the cache"
            self._use(code)
        return code is not None

    def _make(self, sources: Sequence[Source], pause: Callable[[], None]) -> None:
        start = time.perf_counter()
        try:
            with _compiling:
                code = _store().make(sources, pause)
        except NotNativeError as error:
            self.reason = f"native code is not made for {error}"
            return
        except Exception as error:
            self._give_up(error)
            return
        self.compile_seconds = time.perf_counter() - start
        self.reason = "tier is 'native'" if self.setting == "native" else "it has run for as long as compiling takes"
        self._use(code)

    def _give_up(self, error: Exception) -> None:
        """The VM gives the same results."""
        self._next = float("inf")
        self.reason = f"compiling failed: {error!r}"
        say(f"native code could not be made, the VM goes on ({error!r}).")

    def _use(self, code: LoadedCode) -> None:
        with self._lock:
            self._code, self.addresses = code, code.addresses
            for job in self._jobs:
                job.use_native(self.addresses)


def _step_of(reference: ReferenceType[Tier]) -> None:
    """The next step of a tier, unless nobody has its executor any more."""
    tier = reference()
    if tier is not None:
        tier._step()


def expected_nanoseconds(sources: Sequence[Source]) -> float:
    """How long compiling takes, about."""
    length = sum(source.length for source in sources)
    is_quick = is_long(sources) and not any(source.is_over_lanes for source in sources)
    return FIXED + length * (QUICK if is_quick else OPTIMISED)


def _no_pause() -> None:
    pass


def _let_others_run() -> None:
    time.sleep(0)  # lets go of the interpreter's lock


def _store() -> ModuleType:
    # not needed for a first gradient
    from fastgrad.native import store

    return store


# ---- the thread that compiles


# held while LLVM works: it must not be copied by a fork with its locks taken
_compiling = threading.RLock()
_waiting: WeakSet[Tier] = WeakSet()


class _Worker:
    def __init__(self) -> None:
        from queue import Queue

        self._queue: Queue[Callable[[], None]] = Queue()
        # a daemon: a process that ends does not wait for code that it will not run
        threading.Thread(target=self._run, name="fastgrad-compiler", daemon=True).start()

    def put(self, step: Callable[[], None]) -> None:
        self._queue.put(step)

    def wait(self) -> None:
        self._queue.join()

    def _run(self) -> None:
        while True:
            step = self._queue.get()
            try:
                with _compiling:
                    step()
            finally:
                del step
                self._queue.task_done()


@lru_cache(maxsize=1)
def _worker() -> _Worker:
    return _Worker()


def _after_fork_in_child() -> None:
    """Threads do not live on in a forked process, nor does what they were to do."""
    _compiling.release()
    _worker.cache_clear()
    for tier in tuple(_waiting):
        tier.forked()
    _waiting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_compiling.acquire, after_in_parent=_compiling.release, after_in_child=_after_fork_in_child
    )


def wait_until_idle() -> None:
    """Wait until all compilations that have been started are done."""
    _worker().wait()
