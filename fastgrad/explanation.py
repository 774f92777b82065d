"""What ``Derivative.explain`` tells: what a call runs, and how long that takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastgrad.branches import Branch, Executor

__all__ = ["Explanation", "explanation_of"]


@dataclass(frozen=True)
class Explanation:
    """What ``explain`` found out. Times are in seconds, the least of several runs of the sweeps alone."""

    what: str
    tier: str
    tier_reason: str
    compile_seconds: float
    operations: int
    segments: int
    instructions: int
    workspace_bytes: int
    guards: tuple[str, ...]
    cached_branches: int
    record_seconds: float
    run_seconds: float

    def __str__(self) -> str:
        lines = [
            f"{self.what}, tier {self.tier}: {self.tier_reason}",
            f"  recorded      {self.operations} operations in {1e3 * self.record_seconds:.3g} ms",
            f"  runs          {self.instructions or self.operations} instructions in {self.segments} "
            f"segment{'s' * (self.segments != 1)}, {self.workspace_bytes} bytes of workspace",
            *[f"  compiled      in {1e3 * self.compile_seconds:.3g} ms"] * (self.compile_seconds > 0),
            f"  measured      {1e6 * self.run_seconds:.3g} us per evaluation",
            f"  branches      {self.cached_branches} cached, {len(self.guards)} guards in this one",
        ]
        lines += [f"    guard       {where}" for where in self.guards[:10]]
        if len(self.guards) > 10:
            lines.append(f"    and {len(self.guards) - 10} more")
        return "\n".join(lines)


def explanation_of(
    what: str, branch: Branch, executor: Executor, run: Callable[[], Any], cached_branches: int
) -> Explanation:
    """``run`` makes the executor run once."""
    return Explanation(
        what=what,
        tier="native" if executor.tier.is_native else "vm",
        tier_reason=executor.tier.reason,
        compile_seconds=executor.tier.compile_seconds,
        operations=branch.tape.n_operations,
        segments=getattr(executor, "n_segments", 1),
        instructions=getattr(getattr(executor, "sweep", None), "n_instructions", 0),
        workspace_bytes=executor.workspace_bytes,
        guards=tuple(map(branch.guard_line, range(len(branch.tape.guard_nodes)))),
        cached_branches=cached_branches,
        record_seconds=branch.record_seconds,
        run_seconds=_fastest(run),
    )


def _fastest(run: Callable[[], Any]) -> float:
    best, spent = math.inf, 0.0
    while spent < 0.02:
        start = time.perf_counter()
        run()
        took = time.perf_counter() - start
        best, spent = min(best, took), spent + took
    return best
