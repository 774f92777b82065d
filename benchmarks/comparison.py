"""Timing of the same work by fastgrad and its rivals in one run, and the table of what was found."""

import gc
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

SHORTEST_SAMPLE = 50e-6  # seconds; quicker work is repeated within a sample, so that the clock does not count
PACKAGES = ("fastgrad", "numpy", "scipy", "numba", "llvmlite", "casadi", "heyoka", "jax", "torch", "autograd")


def fastest(works: dict[str, Callable[[], object]], seconds: float = 1.0, samples: int = 7) -> dict[str, float]:
    """The shortest time of each work in seconds; samples of all works are taken in turns.

    Each work gets at least ``samples`` samples and about ``seconds`` seconds.
    """
    repeats = {name: _repeats(work) for name, work in works.items()}
    best = dict.fromkeys(works, float("inf"))
    spent = dict.fromkeys(works, 0.0)
    taken = dict.fromkeys(works, 0)
    collecting = gc.isenabled()
    gc.disable()
    try:
        while unfinished := [name for name in works if spent[name] < seconds or taken[name] < samples]:
            for name in unfinished:
                elapsed = _sample(works[name], repeats[name])
                best[name] = min(best[name], elapsed / repeats[name])
                spent[name] += elapsed
                taken[name] += 1
    finally:
        if collecting:
            gc.enable()
    return best


def _sample(work: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return time.perf_counter() - start


def _repeats(work: Callable[[], object]) -> int:
    work()
    repeats = 1
    while _sample(work, repeats) < SHORTEST_SAMPLE:
        repeats *= 2
    return repeats


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Times are in seconds, for ``per`` inputs. Bar and reach are ratios to the fastest of ``rivals``, or seconds where
    the work is ``judged_alone``. ``shares`` says how near the work comes to what the processor can do at most.
    """

    work: str
    ours: float
    rivals: dict[str, float] = field(default_factory=dict)
    others: dict[str, float] = field(default_factory=dict)
    bar: float | None = None
    reach: float | None = None
    missing: tuple[str, ...] = ()
    per: int = 1
    judged_alone: bool = False
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def rival(self) -> str | None:
        """The fastest of the rivals that the bar is about."""
        return min(self.rivals, key=lambda name: self.rivals[name]) if self.rivals else None

    @property
    def ours_over_rival(self) -> float | None:
        return self.ours / self.rivals[self.rival] if self.rival else None

    def extra_info(self) -> dict[str, object]:
        """What a benchmark's record keeps of this row."""
        ratio = self.ours_over_rival
        return {
            "work": self.work,
            "ours_seconds": self.ours,
            "rival_seconds": self.rivals,
            "other_seconds": self.others,
            "ours_over_rival": ratio,
            "rival_over_ours": 1 / ratio if ratio else None,
            "bar": self.bar,
            "reach": self.reach,
            "missing": list(self.missing),
            "per": self.per,
            "judged_alone": self.judged_alone,
            "shares_of_limits": self.shares,
        }

    def cells(self) -> tuple[str, ...]:
        rival = f"{_duration(self.rivals[self.rival], self.per)}, {self.rival}" if self.rival else ""
        ratio = f"{self.ours_over_rival:.2f} x" if self.rival else ""
        aside = [
            f"{name} {_duration(taken, self.per)}"
            for name, taken in {**self.rivals, **self.others}.items()
            if name != self.rival
        ]
        aside += [f"{name} missing" for name in self.missing]
        bar, reach = self._limit(self.bar), self._limit(self.reach)
        shares = ", ".join(f"{_percent(share)} {limit}" for limit, share in self.shares.items())
        return self.work, _duration(self.ours, self.per), rival, ratio, bar, reach, shares, "; ".join(aside)

    def _limit(self, limit: float | None) -> str:
        """A bar or reach as text, and whether it was missed."""
        if limit is None:
            return ""
        reached = self.ours if self.judged_alone else self.ours_over_rival
        missed = ", missed" if reached is not None and reached > limit else ""
        return (_duration(limit, self.per) if self.judged_alone else f"{limit:.3g} x") + missed


HEADINGS = ("work", "fastgrad", "best rival", "ratio", "bar", "reach", "of the limit", "others")


def _duration(seconds: float, per: int = 1) -> str:
    for unit, factor in (("ns", 1e9), ("us", 1e6), ("ms", 1e3), ("s", 1.0)):
        number = seconds / per * factor
        if number < 999.5 or unit == "s":
            digits = 0 if number >= 99.5 else 1 if number >= 9.95 else 2
            return f"{number:.{digits}f} {unit}"
    raise AssertionError("unreachable")


def _percent(share: float) -> str:
    return f"{100 * share:.{0 if share >= 0.095 else 1}f} %"


def table(rows: list[Row]) -> list[str]:
    """The rows as lines of a Markdown table with aligned columns."""
    cells = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def machine() -> str:
    """Processor and versions, one line."""
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {package}")
    return f"{_processor()}; {', '.join(versions)}"


def _processor() -> str:
    try:
        listing = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in listing.splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    flags = fields.get("Flags", "").split()
    vectors = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "no AVX")
    numbers = (
        f"family {fields.get('CPU family', '?')} model {fields.get('Model', '?')}, {fields.get('CPU(s)', '?')} CPUs"
    )
    return f"{fields.get('Model name', platform.machine())} ({numbers}, {vectors})"
