"""What ``check_recording`` found."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding", "RecordingReport"]


@dataclass(frozen=True)
class Finding:
    """One thing that a recording gets wrong: what happens, at which line ("" where that is not known), what to do.

    ``kind`` is a word or two for programs: "random numbers", "state", "outside world", "frozen value", "captured data",
    "changed argument", "side effect", "recording differs", "cannot be recorded" or "fails".
    """

    kind: str
    what: str
    where: str
    remedy: str

    def __str__(self) -> str:
        found = f"{self.kind}: {self.what}{f' (at {self.where})' if self.where else ''}"
        return f"{found}. {self.remedy}" if self.remedy else found


@dataclass(frozen=True)
class RecordingReport:
    """The findings, and at how many points the recorded function was compared with the function itself."""

    function: str
    findings: tuple[Finding, ...]
    n_points: int

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the findings, in order, each once."""
        return tuple(dict.fromkeys(finding.kind for finding in self.findings))

    def __str__(self) -> str:
        points = f"{self.n_points} point{'s' * (self.n_points != 1)}"
        if self.ok:
            return f"{self.function}: the recording agrees with the function at {points}, and nothing was found."
        lines = [
            f"{self.function}: compared at {points}, {len(self.findings)} finding{'s' * (len(self.findings) != 1)}"
        ]
        return "\n".join([*lines, *(f"  - {finding}" for finding in self.findings)])
