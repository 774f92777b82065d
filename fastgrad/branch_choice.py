"""Which branch a call is tried on: what came next the last times, and what a failed guard rules out.

Two recordings of one signature are the same up to the first guard whose outcome differs, where they *diverge*. So a
sweep that fails at guard ``k`` rules out every branch that diverges from its own later than there, and those that
diverge right there are the likely ones: the branches are a tree that a failing sweep descends. Most calls need no such
walk, because the branch that followed the last few ones before is tried first; then alternating and other periodic
patterns are right at the first try.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence

from fastgrad.branches import Branch

__all__ = ["BranchCache", "Trial"]

MAX_SIGNATURES = 64
MAX_BRANCHES = 32
# how many branches back a prediction looks, and for how many such pasts there is one
PAST, MAX_PASTS = 4, 256


class Trial:
    """The branches that may still fit a call, most likely first, given on which it failed and at which guard."""

    __slots__ = ("_branches", "_failures")

    def __init__(self, branches: Sequence[Branch], failures: tuple[tuple[Branch, int], ...] = ()) -> None:
        self._branches = branches
        self._failures = failures

    def next(self) -> Branch | None:
        """The branch to try now; None where none can fit."""
        if not self._failures:
            return self._branches[0] if self._branches else None
        return max(self._branches, key=self._likelihood, default=None)

    def after(self, branch: Branch, guard: int) -> Trial:
        """What is left when that guard of that branch has failed."""
        left = [b for b in self._branches if b is not branch and not branch.diverges_later(b, guard)]
        return Trial(left, (*self._failures, (branch, guard)))

    def _likelihood(self, branch: Branch) -> int:
        """The latest failed guard at which this branch diverges, so that it has the other outcome there."""
        return max((guard for tried, guard in self._failures if tried.divergence(branch) == guard), default=-1)

    @property
    def failed_at(self) -> tuple[Branch, int] | None:
        """The branch that fitted longest, and its guard that failed."""
        return max(self._failures, key=lambda failure: failure[1], default=None)


class _Branches:
    """The branches of one signature, the one used last first, and which followed which."""

    def __init__(self) -> None:
        self.branches: list[Branch] = []
        self.past: deque[int] = deque(maxlen=PAST)
        self.followers: dict[tuple[int, ...], Branch] = {}

    def in_order_of_trial(self) -> tuple[Branch, ...]:
        expected = self.followers.get(tuple(self.past))
        found = tuple(self.branches)
        if expected is None or expected is found[0] or expected not in found:
            return found
        return (expected, *(branch for branch in found if branch is not expected))

    def use(self, branch: Branch, alone: bool) -> None:
        branches = self.branches
        if not branches or branches[0] is not branch:
            if branch in branches:
                branches.remove(branch)
            branches.insert(0, branch)
            for dropped in branches[MAX_BRANCHES:]:
                self._forget(dropped)
            del branches[MAX_BRANCHES:]
        if not alone:
            return
        self.followers[tuple(self.past)] = branch
        self.past.append(branch.number)
        if len(self.followers) > MAX_PASTS:
            oldest = next(iter(self.followers))
            del self.followers[oldest]

    def _forget(self, dropped: Branch) -> None:
        self.followers = {past: follower for past, follower in self.followers.items() if follower is not dropped}


class BranchCache:
    """Branches by signature, bounded, the least recently used dropped first; safe in several threads."""

    def __init__(self) -> None:
        self._signatures: OrderedDict[Hashable, _Branches] = OrderedDict()
        self._lock = threading.Lock()

    def branches(self, signature: Hashable) -> tuple[Branch, ...]:
        """The branches of a signature, in the order in which to try them."""
        with self._lock:
            found = self._signatures.get(signature)
            return () if found is None else found.in_order_of_trial()

    def use(self, signature: Hashable, branch: Branch, alone: bool = True) -> None:
        """Note that a call went through this branch, which is added if it is new.

        Where it is not ``alone`` but one of several that a batch went through, that says nothing about the next call.
        """
        with self._lock:
            self._signatures.setdefault(signature, _Branches()).use(branch, alone)
            self._signatures.move_to_end(signature)
            while len(self._signatures) > MAX_SIGNATURES:
                self._signatures.popitem(last=False)

    def all_branches(self) -> list[Branch]:
        """Those of all signatures."""
        with self._lock:
            return [branch for found in self._signatures.values() for branch in found.branches]

    def __len__(self) -> int:
        return len(self.all_branches())
