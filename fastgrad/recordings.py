"""The recordings of one function: which fits a call, and when a new one is made."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from fastgrad.branch_choice import MAX_BRANCHES, BranchCache, Trial
from fastgrad.branches import Branch
from fastgrad.calls import Call, parameters_of, record_call, record_with_data, require_separate_arguments
from fastgrad.recording.captured import Surroundings
from fastgrad.recording.randomness import RandomStates, likely_drawn, warn_of_frozen
from fastgrad.recording_watch import RecordingWatch

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
        self._recorded_last: dict[str, Hashable] = {}
        self._warned_of_random_numbers = False
        self._name = str(getattr(function, "__name__", "the function"))
        self.watch = RecordingWatch(self._name)
        self.surroundings = Surroundings(function)

    def __len__(self) -> int:
        return len(self._cache)

    def signature(self, call: Call) -> Hashable:
        return (call.signature(), self.surroundings.fingerprint())

    def fitting_branch(self, call: Call, run: Callable[[Branch, Call], int]) -> tuple[Branch, Call]:
        """Run on the branch that fits the call, recording it if need be; also says which data was taken as static."""
        signature = self.signature(call)
        branches = self._cache.branches(signature)
        if not branches:
            static = call.with_static_data()
            # data that could not be recorded is part of the signature
            if len(static.inputs) < len(call.inputs):
                of_static = self.signature(static)
                branches = self._cache.branches(of_static)
                call, signature = (static, of_static) if branches else (call, signature)
        trial = Trial(branches)
        while branch := trial.next():
            failed = run(branch, call)
            if failed < 0:
                if branch.needs_separate_arguments:
                    require_separate_arguments(call)
                self._cache.use(signature, branch)
                return branch, call
            trial = trial.after(branch, failed)
        branch, call = self._recorded(call, lambda kept: self._record_with_data(call, kept))
        if run(branch, call) < 0:
            self.file(call, branch)
        else:
            branch = branch.without_guards()
            run(branch, call)
        self._watch_recording(call, trial)
        return branch, call

    def _watch_recording(self, call: Call, trial: Trial) -> None:
        """Tell the watch why a call was recorded."""
        now = {**call.described(self._parameters), **self.surroundings.described()}
        before, self._recorded_last = self._recorded_last, now
        if trial.failed_at:
            branch, guard = trial.failed_at
            self.watch.recorded_branch(branch.guard_line(guard))
        elif before:
            self.watch.recorded_signature([name for name in now if now[name] != before.get(name)])

    def _record_with_data(self, call: Call, kept: Any) -> tuple[Branch, Call]:
        recording, used = record_with_data(self._function, call, self._has_aux, self._parameters, kept)
        return recording.branch, used

    def branches(self, signature: Hashable) -> tuple[Branch, ...]:
        return self._cache.branches(signature)

    def all_branches(self) -> list[Branch]:
        return self._cache.all_branches()

    def record(self, call: Call, failed_at: tuple[Branch, int] | None) -> Branch:
        """Record the function at one example of a batch, checked, with all data as inputs; ``file`` keeps it.

        ``failed_at`` is the branch that fitted longest, and its guard that failed.
        """

        def record(kept: Any) -> tuple[Branch, Call]:
            return record_call(self._function, call, self._has_aux, self._parameters, kept).branch, call

        branch = self._recorded(call, record)[0]
        if failed_at and len(self._cache.branches((call.signature(), branch.fingerprint))) >= MAX_BRANCHES:
            # a batch may record all its branches at once, but not more than are kept
            self.watch.recorded_branch(failed_at[0].guard_line(failed_at[1]))
        return branch

    def _recorded(self, call: Call, record: Callable[[Any], tuple[Branch, Call]]) -> tuple[Branch, Call]:
        """A new branch, which knows what the function saw around it meanwhile, and the call as it was recorded."""
        start = time.perf_counter()
        self.surroundings.refresh()
        before = self.surroundings.fingerprint()
        seen = self.surroundings.everything()
        states = RandomStates(seen, call, self._parameters)
        branch, used = record([value for _, value in seen])  # kept, so that no identity is used again
        self._warn_of_random_numbers(states)
        self._check(branch)
        if self.surroundings.fingerprint() == before:
            branch.fingerprint = before
        branch.record_seconds = time.perf_counter() - start
        return branch, used

    def _warn_of_random_numbers(self, states: RandomStates) -> None:
        drawn = [] if self._warned_of_random_numbers else states.drawn()
        drawn = likely_drawn(self.surroundings.functions(), drawn) if drawn else drawn
        if drawn:
            self._warned_of_random_numbers = True
            warn_of_frozen(self._name, self.surroundings.functions(), drawn)

    def file(self, call: Call, branch: Branch) -> None:
        """Keep a branch for calls like the one that it was recorded for.

        If another thread, or the function itself, changed what is around the function meanwhile, nobody can say what
        the recording goes with: it serves its own call only.
        """
        if branch.fingerprint is not None:
            self._cache.use((call.signature(), branch.fingerprint), branch)

    def remember(self, signature: Hashable, branches: Sequence[Branch]) -> None:
        """Note that a batch went through these branches, most of it through the last."""
        for branch in branches:
            self._cache.use(signature, branch, alone=branch is branches[-1])
