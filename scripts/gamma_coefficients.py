"""Computes the polynomials of fastgrad/elementary/gamma.py and writes them to a module.

    python scripts/gamma_coefficients.py            write fastgrad/elementary/_gamma_coefficients.py
    python scripts/gamma_coefficients.py --check    exit 1 when that module differs from what would be written

Each polynomial is the weighted minimax one, its coefficients then rounded to doubles; the error in the comment beside
it is that of the rounded polynomial, relative to the function it serves.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exponential_coefficients import horner, remez, split
from generated_file import write_or_check
from mpmath import mp, mpf

mp.dps = 60
MODULE = Path(__file__).resolve().parent.parent / "fastgrad" / "elementary" / "_gamma_coefficients.py"
NEARLY_ZERO = mpf("1e-20")
ZERO_OF_DIGAMMA = mp.findroot(mp.digamma, mpf("1.4616321449683623"))

Function = Callable[[Any], Any]


def log_gamma(t: Any) -> Any:
    """(exp(log(gamma(y))/(y - 1/2)) - 1)/(s*(y - 1)*(y - 2)) at s = t + 1/4 = 1/(y - 1/4)."""
    s = t + mpf("0.25")
    y = 1 / s + mpf("0.25")
    return mp.expm1(mp.loggamma(y) / (y - mpf("0.5"))) / (s * (y - 1) * (y - 2))


def digamma(s: Any) -> Any:
    """(digamma(y) - log(y/z))/(s*(y - z)) at s = 1/(y + 1/2), z the positive zero of digamma."""
    y = 1 / s - mpf("0.5")
    return (mp.digamma(y) - mp.log(y / ZERO_OF_DIGAMMA)) / (s * (y - ZERO_OF_DIGAMMA))


def polygamma(n: int) -> Function:
    """The n-th derivative of digamma(y) over s**n at s = 1/(y + 1/2)."""
    return lambda s: mp.polygamma(n, 1 / s - mpf("0.5")) / s**n


def stirling(s: Any) -> Any:
    """gamma(y)/(sqrt(2*pi)*y**(y - 1/2)*exp(-y)) at s = 1/(y + 1/2)."""
    y = 1 / s - mpf("0.5")
    return mp.exp(mp.loggamma(y) - (y - mpf("0.5")) * mp.log(y) + y) / mp.sqrt(2 * mp.pi)


def sine(u: Any) -> Any:
    """sin(pi*f)/(pi*f) in u = f**2."""
    x = mp.pi * mp.sqrt(u)
    return mp.sin(x) / x


TOP = 1 / mpf("1.5")
# meaning, function, range, degree; the error is taken relative to the function
POLYNOMIALS: dict[str, tuple[str, Function, Any, Any, int]] = {
    "LOG_GAMMA": (
        "(exp(log(gamma(y))/(y - 1/2)) - 1)/(s*(y - 1)*(y - 2)) in s - 1/4, s = 1/(y - 1/4), y >= 1",
        log_gamma,
        NEARLY_ZERO - mpf("0.25"),
        1 / mpf("0.75") - mpf("0.25") - NEARLY_ZERO,
        24,
    ),
    "STIRLING": (
        "gamma(y)/(sqrt(2*pi)*y**(y - 1/2)*exp(-y)) in s = 1/(y + 1/2), y >= 1",
        stirling,
        NEARLY_ZERO,
        TOP,
        18,
    ),
    "DIGAMMA": (
        "(digamma(y) - log(y/z))/(s*(y - z)) in s = 1/(y + 1/2), y >= 1, z the zero",
        digamma,
        NEARLY_ZERO,
        TOP,
        19,
    ),
    "TRIGAMMA": ("trigamma(y)/s in s = 1/(y + 1/2), y >= 1", polygamma(1), NEARLY_ZERO, TOP, 20),
    "TETRAGAMMA": ("tetragamma(y)/s**2 in s = 1/(y + 1/2), y >= 1", polygamma(2), NEARLY_ZERO, TOP, 22),
    "PENTAGAMMA": (
        "pentagamma(y)/s**3 in s - 1/8, s = 1/(y + 1/2), y >= 1",
        lambda t: polygamma(3)(t + mpf("0.125")),
        NEARLY_ZERO - mpf("0.125"),
        TOP - mpf("0.125"),
        24,
    ),
    "SINE": ("sin(pi*f)/(pi*f) in u = f**2, |f| <= 1/2", sine, NEARLY_ZERO, mpf("0.25"), 8),
}
SPLITS = {
    "ZERO_OF_DIGAMMA": ("the positive zero of digamma", ZERO_OF_DIGAMMA),
    "INVERSE_ZERO_OF_DIGAMMA": ("1 over it", 1 / ZERO_OF_DIGAMMA),
    "ROOT_TWO_PI": ("sqrt(2*pi)", mp.sqrt(2 * mp.pi)),
}


def generate() -> str:
    lines = [
        f'"""Coefficients, lowest power first; written by scripts/{Path(__file__).name}, not by hand."""',
        "",
        "from __future__ import annotations",
        "",
    ]
    for name, (meaning, value) in SPLITS.items():
        lines += [f"# {meaning}", f"{name} = {split(value)!r}", ""]
    for name, (meaning, function, low, high, degree) in POLYNOMIALS.items():
        coefficients = [float(c) for c in remez(function, lambda t, f=function: 1 / f(t), low, high, degree)]
        samples = [low + (high - low) * (i + mpf("0.5")) / 400 for i in range(400)]
        error = max(abs(horner(coefficients, t) / function(t) - 1) for t in samples)
        lines.append(f"# {meaning}; error 2**{mp.nstr(mp.log(error, 2), 3)}")
        lines += [f"{name} = (", *(f"    {c!r}," for c in coefficients), ")", ""]
    return "\n".join(lines[:-1]) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(MODULE, generate))
