"""Computes the polynomials of fastgrad/elementary/special.py and writes them to a module.

    python scripts/special_coefficients.py            write fastgrad/elementary/_special_coefficients.py
    python scripts/special_coefficients.py --check    exit 1 when that module differs from what would be written

Each polynomial is the weighted minimax one, its coefficients then rounded to doubles, the first one to a double
and a rest; the error in the comment beside it is that of the rounded polynomial, relative to the function it serves.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exponential_coefficients import horner, remez
from generated_file import write_or_check
from mpmath import mp, mpf

mp.dps = 60
MODULE = Path(__file__).resolve().parent.parent / "fastgrad" / "elementary" / "_special_coefficients.py"
NEARLY_ZERO = mpf("1e-25")

Function = Callable[[Any], Any]


def scaled_erfc(x: Any) -> Any:
    """exp(x**2)*erfc(x), from its asymptotic series where that has enough digits."""
    if x < 100:
        return mp.exp(x * x) * mp.erfc(x)
    term = total = mpf(1)
    for n in range(1, 15):
        term *= -(2 * n - 1) / (2 * x * x)
        total += term
    return total / (x * mp.sqrt(mp.pi))


def scaled_tail(slope: str, centre: str, stretch: Any, factor: str) -> Function:
    """(1 + slope*x)*factor*exp(s**2)*erfc(s), s = stretch*x, as a function of q = (x - centre)/(x + centre)."""

    def function(q: Any) -> Any:
        x = mpf(centre) * (1 + q) / (1 - q)
        return (1 + mpf(slope) * x) * mpf(factor) * scaled_erfc(x * stretch)

    return function


def inverse_erfc(y: Any) -> Any:
    """The r with erfc(r) = y, by Newton's method on the logarithm."""
    size = -mp.log(y)
    r = mp.sqrt(size - mp.log(mp.pi * size) / 2) if size > 3 else 1 - y
    for _ in range(100):
        tail = mp.erfc(r)
        step = mp.log(tail / y) * tail * mp.sqrt(mp.pi) / 2 * mp.exp(r * r)
        r += step
        if abs(step) < mpf("1e-50"):
            return r
    raise ArithmeticError("Newton's method does not settle")


def inverse_erfc_over_root(q: Any) -> Any:
    """The r with erfc(r) = exp(-z**2) over z, as a function of q = (z - 2.5)/(z + 2.5)."""
    z = mpf("2.5") * (1 + q) / (1 - q)
    return inverse_erfc(mp.exp(-z * z)) / z


ERFC = scaled_tail("1.25", "3.5", mpf(1), "1")
NDTR = scaled_tail("0.875", "5", mp.sqrt(mpf("0.5")), "0.5")

POLYNOMIALS: dict[str, tuple[str, Function, Function, Any, Any, int]] = {
    "ERF": (
        "erf(x)/x - 1 in u = x**2, |x| <= 1",
        lambda u: mp.erf(mp.sqrt(u)) / mp.sqrt(u) - 1,
        lambda u: mp.sqrt(u) / mp.erf(mp.sqrt(u)),
        NEARLY_ZERO,
        mpf(1),
        12,
    ),
    "MINUS_LOG_ERFC": (
        "-log(erfc(x)) in x - 1, 1 <= x <= 5.9375",
        lambda t: -mp.log(mp.erfc(t + 1)),
        lambda t: max(mp.erfc(t + 1) / mp.erf(t + 1), mpf("0.001")),
        NEARLY_ZERO,
        mpf("4.9375"),
        22,
    ),
    "ERFC": (
        "(1 + 1.25*x)*exp(x**2)*erfc(x) in q = (x - 3.5)/(x + 3.5), x >= 0",
        ERFC,
        lambda q: 1 / ERFC(q),
        mpf(-1),
        1 - NEARLY_ZERO,
        25,
    ),
    "NDTR": (
        "(1 + 0.875*x)*exp(x**2/2)*ndtr(-x) in q = (x - 5)/(x + 5), x >= 0",
        NDTR,
        lambda q: 1 / NDTR(q),
        mpf(-1),
        1 - NEARLY_ZERO,
        25,
    ),
    "INVERSE_ERF": (
        "erfinv(x)/x in u = x**2, |x| <= 1/2",
        lambda u: mp.erfinv(mp.sqrt(u)) / mp.sqrt(u),
        lambda u: mp.sqrt(u) / mp.erfinv(mp.sqrt(u)),
        NEARLY_ZERO,
        mpf("0.25"),
        13,
    ),
    "INVERSE_ERFC_START": (
        "erfcinv(y)/z in q = (z - 2.5)/(z + 2.5), z = sqrt(-log(y)), 0 < y <= 1/2",
        inverse_erfc_over_root,
        lambda q: mpf(1),
        mpf("-0.5015"),
        mpf("0.8323"),
        12,
    ),
}


def generate() -> str:
    lines = [
        f'"""Coefficients, lowest power first; written by scripts/{Path(__file__).name}, not by hand."""',
        "",
        "from __future__ import annotations",
        "",
    ]
    for name, (meaning, function, weight, low, high, degree) in POLYNOMIALS.items():
        exact = remez(function, weight, low, high, degree)
        coefficients = [float(c) for c in exact]
        rest = float(exact[0] - coefficients[0])
        samples = [low + (high - low) * (i + mpf("0.5")) / 500 for i in range(500)]
        error = max(abs(weight(t) * (horner(coefficients, t) + rest - function(t))) for t in samples)
        lines.append(f"# {meaning}; error 2**{mp.nstr(mp.log(error, 2), 3)}")
        lines += [f"{name} = (", *(f"    {c!r}," for c in coefficients), ")"]
        lines += [f"{name}_REST = {rest!r}  # of the first", ""]
    return "\n".join(lines[:-1]) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(MODULE, generate))
