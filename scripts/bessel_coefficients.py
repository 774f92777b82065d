"""Computes the polynomials of fastgrad/elementary/bessel.py and writes them to a module.

    python scripts/bessel_coefficients.py            write fastgrad/elementary/_bessel_coefficients.py
    python scripts/bessel_coefficients.py --check    exit 1 when that module differs from what would be written

Each polynomial is the weighted minimax one, its coefficients then rounded to doubles; the error in the comment beside
it is that of the rounded polynomial, relative to the function it serves or, where that has zeros, to its size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exponential_coefficients import horner, remez
from generated_file import write_or_check
from mpmath import mp, mpf

mp.dps = 50
MODULE = Path(__file__).resolve().parent.parent / "fastgrad" / "elementary" / "_bessel_coefficients.py"
NEARLY_ZERO = mpf("1e-20")
# where other polynomials begin
MODIFIED_FROM, ORDINARY_FROM, MIDDLE_FROM = mpf(8), mpf(8), mpf("2.5")

Function = Callable[[Any], Any]


def modified_near(n: int) -> Function:
    """I_n(x)/x**n in u = x**2."""
    return lambda u: mp.besseli(n, mp.sqrt(u)) / mp.sqrt(u) ** n


def modified_far(n: int) -> Function:
    """sqrt(x)*exp(-x)*I_n(x) in t = 1/x - 1/16."""

    def function(t: Any) -> Any:
        x = 1 / (t + mpf(1) / 16)
        if x < 400:
            return mp.besseli(n, x) * mp.exp(-x) * mp.sqrt(x)
        return asymptotic_sum(n, x, lambda k: (-1) ** k) / mp.sqrt(2 * mp.pi)

    return function


def asymptotic_sum(n: int, x: Any, sign: Callable[[int], int], first: int = 0, step: int = 1) -> Any:
    """The sum of sign(k)*a_k(n)/x**k over k = first, first + step, ..., with the a_k(n) of Hankel's series."""
    total = mpf(0)
    term = mpf(1)
    for k in range(40):
        if k % step == first:
            total += sign(k) * term
        term *= (4 * n * n - (2 * k + 1) ** 2) / (8 * (k + 1) * x)
    return total


def ordinary_near(n: int, centre: int) -> Function:
    """J_n(x)/x**n in u = x**2 - centre."""
    return lambda u: mp.besselj(n, mp.sqrt(u + centre)) / mp.sqrt(u + centre) ** n


def ordinary_far(n: int, part: int) -> Function:
    """The factor of the cosine (0) of the phase x - (n/2 + 1/4)*pi, and x times that of the sine (1), in t = 1/x**2."""

    def function(t: Any) -> Any:
        x = 1 / mp.sqrt(t)
        if x > 400:
            value = asymptotic_sum(n, x, lambda k: (-1) ** (k // 2), part, 2)
        else:
            phase = x - (mpf(n) / 2 + mpf(1) / 4) * mp.pi
            j, y = mp.besselj(n, x), mp.bessely(n, x)
            cosine, sine = mp.cos(phase), mp.sin(phase)
            value = mp.sqrt(mp.pi * x / 2) * (j * cosine + y * sine if part == 0 else y * cosine - j * sine)
        return value * x if part else value

    return function


def relative(function: Function) -> Function:
    return lambda t: 1 / function(t)


def whole(_: Any) -> Any:
    return mpf(1)


# meaning, function, weight, range, degree
POLYNOMIALS: dict[str, tuple[str, Function, Function, Any, Any, int]] = {}
for n in (0, 1):
    over = "" if n == 0 else "/x"
    near, far = modified_near(n), modified_far(n)
    POLYNOMIALS |= {
        f"I{n}_NEAR": (
            f"i{n}(x){over} in u = x**2, x <= 8",
            near,
            relative(near),
            NEARLY_ZERO,
            MODIFIED_FROM**2,
            15,
        ),
        f"I{n}_FAR": (
            f"sqrt(x)*exp(-x)*i{n}(x) in t = 1/x - 1/16, x >= 8",
            far,
            relative(far),
            NEARLY_ZERO - mpf(1) / 16,
            1 / MODIFIED_FROM - mpf(1) / 16,
            24,
        ),
        f"J{n}_NEAR": (
            f"j{n}(x){over} in u = x**2, x <= 2.5",
            ordinary_near(n, 0),
            whole,
            NEARLY_ZERO,
            MIDDLE_FROM**2,
            10,
        ),
        f"J{n}_MIDDLE": (
            f"j{n}(x){over} in u = x**2 - 35, 2.5 <= x <= 8",
            ordinary_near(n, 35),
            whole,
            MIDDLE_FROM**2 - 35,
            ORDINARY_FROM**2 - 35,
            17,
        ),
        f"J{n}_COSINE": (
            f"the factor of the cosine in sqrt(pi*x/2)*j{n}(x), in t = 1/x**2, x >= 8",
            ordinary_far(n, 0),
            whole,
            NEARLY_ZERO,
            1 / ORDINARY_FROM**2,
            14,
        ),
        f"J{n}_SINE": (
            "x times that of minus the sine, in t = 1/x**2, x >= 8",
            ordinary_far(n, 1),
            whole,
            NEARLY_ZERO,
            1 / ORDINARY_FROM**2,
            14,
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
        coefficients = [float(c) for c in remez(function, weight, low, high, degree)]
        samples = [low + (high - low) * (i + mpf("0.5")) / 200 for i in range(200)]
        error = max(abs(weight(t) * (horner(coefficients, t) - function(t))) for t in samples)
        lines.append(f"# {meaning}; error 2**{mp.nstr(mp.log(error, 2), 3)}")
        lines += [f"{name} = (", *(f"    {c!r},".replace("e+", "e") for c in coefficients), ")", ""]
    return "\n".join(lines[:-1]) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(MODULE, generate))
