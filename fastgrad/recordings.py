"""The recordings of one function: which fits a call, and when a new one is made."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

from fastgrad.branches import Branch, BranchCache
from fastgrad.calls import Call, parameters_of, record_call, record_with_data, require_separate_arguments
from fastgrad.recording.captured import Surroundings

__all__ = ["Recordings"]


class Recordings:
    """Records a function when no recording fits, and keeps what it recorded.

    There is one recording for each signature (nesting, shapes, values of whole-number and other static arguments, and
    what the function sees around it) and each way that its control flow has gone.
    """

    def __init__(self, function: Callable[..., Any], has_aux: bool, check: Callable[[Branch], None]) -> None:
        """``check`` raises where the function's result cannot be used."""
        self._function = function
        self._has_aux = has_aux
        self._check = check
        self._parameters = parameters_of(function)
        self._cache = BranchCache()
        self.surroundings = Surroundings(function)

    def __len__(self) -> int:
        return len(self._cache)

    def signature(self, call: Call) -> Hashable:
        return (call.signature(), self.surroundings.fingerprint())

    def fitting_branch(self, call: Call, run: Callable[[Branch, Call], int]) -> tuple[Branch, Call]:
        """Run on the branch that fits the call, recording it if need be; also says which data was taken as static."""
        signature = self.signature(call)
        if not self._cache.branches(signature):
            static = call.with_static_data()
            # data that could not be recorded is part of the signature
            if len(static.inputs) < len(call.inputs) and self._cache.branches(self.signature(static)):
                call, signature = static, self.signature(static)
        for branch in self._cache.branches(signature):
            if branch.needs_separate_arguments:
                require_separate_arguments(call)
            if run(branch, call) < 0:
                self._cache.use(signature, branch)
                return branch, call
        branch, call = self._recorded(lambda kept: self._record_with_data(call, kept))
        if run(branch, call) < 0:
            self.file(call, branch)
            return branch, call
        branch = branch.without_guards()
        run(branch, call)
        return branch, call

    def _record_with_data(self, call: Call, kept: Any) -> tuple[Branch, Call]:
        recording, used = record_with_data(self._function, call, self._has_aux, self._parameters, kept)
        return recording.branch, used

    def branches(self, signature: Hashable) -> tuple[Branch, ...]:
        return self._cache.branches(signature)

    def record(self, call: Call) -> Branch:
        """Record the function at this call, checked, with all data as inputs; ``file`` keeps it."""

        def record(kept: Any) -> tuple[Branch, Call]:
            return record_call(self._function, call, self._has_aux, self._parameters, kept).branch, call

        return self._recorded(record)[0]

    def _recorded(self, record: Callable[[Any], tuple[Branch, Call]]) -> tuple[Branch, Call]:
        """A new branch, and what the function saw around it while it was recorded."""
        start = time.perf_counter()
        self.surroundings.refresh()
        before = self.surroundings.fingerprint()
        branch, used = record(self.surroundings.references())
        self._check(branch)
        if self.surroundings.fingerprint() == before:
            branch.fingerprint = before
        branch.record_seconds = time.perf_counter() - start
        return branch, used

    def file(self, call: Call, branch: Branch) -> None:
        """Keep a branch for calls like the one that it was recorded for.

        If another thread, or the function itself, changed what is around the function meanwhile, nobody can say what
        the recording goes with: it serves its own call only.
        """
        if branch.fingerprint is not None:
            self._cache.use((call.signature(), branch.fingerprint), branch)

    def remember(self, signature: Hashable, branch: Branch) -> None:
        """Put a branch that is kept already in front."""
        self._cache.use(signature, branch)
