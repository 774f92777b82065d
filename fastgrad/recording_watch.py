"""Says, once for each function, that it is recorded at most of its calls: which line or which data makes it so."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from fastgrad.errors import RecordingWarning
from fastgrad.recording.source import warn_user

__all__ = ["RecordingWatch"]

# This many recordings within twice as many calls are too many. A function with a dozen branches, which are recorded
# once each, stays below.
TOO_MANY = 24


class RecordingWatch:
    """Counts the calls and the recordings of one function."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._n_calls = 0
        self._branches = _Recent()
        self._signatures = _Recent()
        self._warned = False

    def called(self, n_calls: int = 1) -> None:
        self._n_calls += n_calls

    def recorded_branch(self, line: str) -> None:
        """No branch of a known signature fitted; the one that fitted longest failed at the guard of this line."""
        found = self._branches.add(self._n_calls, (line,))
        if found:
            self._warn(
                f"a comparison, int(), index or loop bound on a recorded value keeps coming out differently "
                f"({'; '.join(found)}), and each new way through the function is recorded",
                "Where the outcome only selects a value, write np.where(condition, a, b), np.maximum or np.clip; give "
                "loops a fixed number of steps, or a bound that takes few values; hand numbers that only steer the "
                "function over as whole-number arguments, or decide on them outside.",
            )

    def recorded_signature(self, changed: Sequence[str]) -> None:
        """Nothing was recorded for arguments and surroundings like these; what differs from those recorded last."""
        found = self._signatures.add(self._n_calls, changed)
        if found:
            self._warn(
                f"what it is recorded for keeps changing: {', '.join(found)}",
                "Pass changing numbers as floats and changing data as array arguments of few shapes (these need no new "
                "recording), change captured arrays in place instead of binding new ones, and make objects and "
                "functions that it uses once.",
            )

    def _warn(self, why: str, remedy: str) -> None:
        if not self._warned:
            self._warned = True
            what = f"{self._name} is recorded anew at most of its calls, which is slow"
            warn_user(f"{what}: {why}. {remedy}", RecordingWarning)


class _Recent:
    """The latest recordings of one kind: at which call, and why."""

    def __init__(self) -> None:
        self._calls: deque[int] = deque(maxlen=TOO_MANY)
        self._reasons: deque[Sequence[str]] = deque(maxlen=TOO_MANY)

    def add(self, call: int, reasons: Sequence[str]) -> list[str]:
        """The most frequent reasons, if there were too many recordings lately."""
        self._calls.append(call)
        self._reasons.append(reasons)
        if len(self._calls) < TOO_MANY or call - self._calls[0] >= 2 * TOO_MANY:
            return []
        counts = Counter(reason for reasons in self._reasons for reason in dict.fromkeys(reasons))
        return [reason for reason, n in counts.most_common(3) if n > TOO_MANY // 4]
