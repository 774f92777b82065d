"""Computes the polynomials of fastgrad/elementary/exponential.py and hyperbolic.py and writes them to a module.

    python scripts/exponential_coefficients.py            write fastgrad/elementary/_exponential_coefficients.py
    python scripts/exponential_coefficients.py --check    exit 1 when that module differs from what would be written

Each polynomial is the weighted minimax one (Remez exchange at 60 digits), its coefficients then rounded to doubles;
the error in the comment beside it is that of the rounded polynomial, relative to the function it serves.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generated_file import write_or_check
from mpmath import mp, mpf

mp.dps = 60
MODULE = Path(__file__).resolve().parent.parent / "fastgrad" / "elementary" / "_exponential_coefficients.py"

Function = Callable[[Any], Any]


def remez(function: Function, weight: Function, low: Any, high: Any, degree: int) -> list[Any]:
    """The polynomial p of that degree whose ``weight * (p - function)`` is smallest in the maximum norm."""
    n = degree + 2
    points = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * i / (n - 1)) for i in range(n)]
    grid = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * i / (40 * n)) for i in range(1, 40 * n)]
    values = [(t, function(t), weight(t)) for t in grid]
    coefficients: list[Any] = []
    for _ in range(8):
        rows = mp.matrix(n, n)
        right = mp.matrix(n, 1)
        for i, t in enumerate(points):
            for j in range(degree + 1):
                rows[i, j] = weight(t) * t**j
            rows[i, degree + 1] = (-1) ** i
            right[i] = weight(t) * function(t)
        solution = mp.lu_solve(rows, right)
        coefficients = list(solution[: degree + 1])
        errors = [(t, w * (horner(coefficients, t) - f)) for t, f, w in values]
        points = _extrema(errors, n)
        sizes = [abs(weight(t) * (horner(coefficients, t) - function(t))) for t in points]
        if max(sizes) < mpf("1.01") * min(sizes):
            break
    return coefficients


def _extrema(errors: list[tuple[Any, Any]], n: int) -> list[Any]:
    """The largest error of each run of one sign; of too many runs, the n neighbouring ones with the largest errors."""
    runs: list[list[tuple[Any, Any]]] = []
    for t, e in errors:
        if runs and (runs[-1][-1][1] > 0) == (e > 0):
            runs[-1].append((t, e))
        else:
            runs.append([(t, e)])
    peaks = [max(run, key=lambda pair: abs(pair[1])) for run in runs]
    while len(peaks) > n:
        peaks.pop(0 if abs(peaks[0][1]) < abs(peaks[-1][1]) else -1)
    if len(peaks) < n:
        raise ArithmeticError("the error has too few changes of sign: the degree is beyond the working precision")
    return [t for t, _ in peaks]


def horner(coefficients: list[Any], t: Any) -> Any:
    total = mpf(0)
    for c in reversed(coefficients):
        total = total * t + c
    return total


def split(x: Any, bits: int = 53) -> tuple[float, float]:
    """``x`` as a double of at most that many significant bits and the double nearest to the rest."""
    scale = mpf(2) ** (bits - 1 - int(mp.floor(mp.log(abs(x), 2))))
    high = mp.nint(x * scale) / scale
    return float(high), float(x - high)


ROOT = mp.sqrt(2)
R = mp.log(2) / 2 * mpf("1.0001")
S2 = ((ROOT - 1) / (ROOT + 1)) ** 2 * mpf("1.0001")


POLYNOMIALS: dict[str, tuple[str, Function, Function, Any, Any, int]] = {
    "EXP": (
        "(exp(r) - 1 - r)/r**2, |r| <= log(2)/2",
        lambda r: (mp.exp(r) - 1 - r) / r**2,
        lambda r: max(abs(r**2 / mp.expm1(r)), R / 8),
        -R * mpf("1.001"),
        R,
        9,
    ),
    "LOG": (
        "(log(1 + f) - f)/f**2, sqrt(1/2) <= 1 + f <= sqrt(2)",
        lambda f: (mp.log1p(f) - f) / f**2,
        lambda f: max(abs(f**2 / mp.log1p(f)), mpf("0.05")),
        1 / ROOT - 1 - mpf("1e-6"),
        ROOT - 1 + mpf("1e-6"),
        20,
    ),
    "ATANH_TAIL": (
        "(atanh(s)/s - 1 - u/3 - u**2/5)/u**3 in u = s**2, |s| <= (sqrt(2) - 1)/(sqrt(2) + 1)",
        lambda u: (mp.atanh(mp.sqrt(u)) / mp.sqrt(u) - 1 - u / 3 - u**2 / 5) / u**3 if u > 0 else mpf(1) / 7,
        lambda u: max(u, S2 / 8) ** 3,
        mpf("1e-12"),
        S2,
        6,
    ),
    "SINH": (
        "(sinh(r) - r)/r**3 in u = r**2, |r| <= log(2)/2",
        lambda u: (mp.sinh(mp.sqrt(u)) / mp.sqrt(u) - 1) / u,
        lambda u: max(u, R * R / 8),
        mpf("1e-12"),
        R * R,
        4,
    ),
    "COSH": (
        "(cosh(r) - 1)/r**2 in u = r**2, |r| <= log(2)/2",
        lambda u: (mp.cosh(mp.sqrt(u)) - 1) / u,
        lambda u: max(u, R * R / 8),
        mpf("1e-12"),
        R * R,
        4,
    ),
    "CBRT": (
        "m**(-1/3), 1 <= m <= 2",
        lambda m: m ** (mpf(-1) / 3),
        lambda m: m ** (mpf(1) / 3),
        mpf(1),
        mpf(2),
        5,
    ),
}

ln2, ln10 = mp.log(2), mp.log(10)
SPLITS: dict[str, tuple[str, Any, int]] = {
    "FULL_LOG_2": ("log(2)", ln2, 53),
    "LOG_2": ("log(2), high part short enough for exact products with exponents", ln2, 41),
    "LOG10_2": ("log10(2), high part short enough for exact products with exponents", ln2 / ln10, 41),
    "INVERSE_LOG_2": ("1/log(2)", 1 / ln2, 53),
    "INVERSE_LOG_10": ("1/log(10)", 1 / ln10, 53),
    "THIRD": ("1/3", mpf(1) / 3, 53),
    "FIFTH": ("1/5", mpf(1) / 5, 53),
}


def generate() -> str:
    lines = [
        '"""Coefficients, lowest power first; written by scripts/exponential_coefficients.py, not by hand."""',
        "",
        "from __future__ import annotations",
        "",
    ]
    for name, (meaning, value, bits) in SPLITS.items():
        high, low = split(value, bits)
        lines += [f"# {meaning}", f"{name} = ({high!r}, {low!r})", ""]
    for name, (meaning, function, weight, low, high, degree) in POLYNOMIALS.items():
        coefficients = [float(c) for c in remez(function, weight, low, high, degree)]
        samples = [low + (high - low) * i / 499 + mpf("1e-15") for i in range(500)]
        error = max(abs(weight(t) * (horner(coefficients, t) - function(t))) for t in samples)
        lines.append(f"# {meaning}; error 2**{mp.nstr(mp.log(error, 2), 3)}")
        lines += [f"{name} = (", *(f"    {c!r}," for c in coefficients), ")", ""]
    return "\n".join(lines[:-1]) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(MODULE, generate))
