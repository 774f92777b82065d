"""Computes the numbers of fastgrad/elementary/trigonometric.py and writes them to a module.

    python scripts/trigonometric_coefficients.py            write fastgrad/elementary/_trigonometric_coefficients.py
    python scripts/trigonometric_coefficients.py --check    exit 1 when that module differs from what would be written

The error in the comment beside a polynomial is that of the polynomial as written, relative to the function it serves.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generated_file import write_or_check
from mpmath import mp, mpf

mp.dps = 60
MODULE = Path(__file__).resolve().parent.parent / "fastgrad" / "elementary" / "_trigonometric_coefficients.py"
EDGE = (mp.pi / 4 * mpf("1.001")) ** 2
HUGE_STEP = 32
HUGE_ROWS = 31

Function = Callable[[Any], Any]

# name: meaning, function of z, factor from its error to the relative error of the result, upper end of z, degree
POLYNOMIALS: dict[str, tuple[str, Function, Function, Any, int]] = {
    "SIN": (
        "(sin(r) - r)/r**3 in z = r**2, |r| <= pi/4",
        lambda z: (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z,
        lambda z: z / (mp.sin(mp.sqrt(z)) / mp.sqrt(z)),
        EDGE,
        5,
    ),
    "COS": (
        "(cos(r) - 1 + r**2/2)/r**4 in z = r**2, |r| <= pi/4",
        lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2,
        lambda z: z**2 / mp.cos(mp.sqrt(z)),
        EDGE,
        5,
    ),
    "ARCTAN": (
        "(arctan(t) - t)/t**3 in z = t**2, |t| <= 1",
        lambda z: (mp.atan(mp.sqrt(z)) / mp.sqrt(z) - 1) / z,
        lambda z: z / (mp.atan(mp.sqrt(z)) / mp.sqrt(z)),
        mpf(1),
        19,
    ),
    "ARCSIN": (
        "(arcsin(t) - t)/t**3 in z = t**2, |t| <= 1/2",
        lambda z: (mp.asin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z,
        lambda z: z / (mp.asin(mp.sqrt(z)) / mp.sqrt(z)),
        mpf(1) / 4,
        12,
    ),
}


def horner(coefficients: list[Any], z: Any) -> Any:
    total = mpf(0)
    for c in reversed(coefficients):
        total = total * z + c
    return total


def fit(function: Function, weight: Function, high: Any, degree: int) -> list[float]:
    """Weighted least squares at Chebyshev points of (0, high): within a small factor of the minimax polynomial.

    The coefficients are made doubles one by one, lowest power first, each time fitting the later ones anew.
    """
    n = 5 * degree
    points = [high / 2 * (1 + mp.cos(mp.pi * (i + mpf(1) / 2) / n)) for i in range(n)]
    weights = [weight(z) for z in points]
    rest = mp.matrix([w * function(z) for z, w in zip(points, weights, strict=True)])
    powers = mp.matrix([[w * z**k for k in range(degree + 1)] for z, w in zip(points, weights, strict=True)])
    coefficients: list[float] = []
    for k in range(degree + 1):
        later = powers[:, k:]
        coefficients.append(float(mp.lu_solve(later.T * later, later.T * rest)[0]))
        rest -= powers[:, k] * coefficients[k]
    return coefficients


def parts(x: Any, count: int) -> list[float]:
    """Doubles of falling size whose sum is ``x``, each the nearest to what the earlier ones leave."""
    found = []
    for _ in range(count):
        found.append(float(x))
        x -= mpf(found[-1])
    return found


def huge_rows() -> list[float]:
    """2**(HUGE_STEP*j) * 2/pi without its multiples of 4, for each row j, in four parts a row."""
    numbers: list[float] = []
    with mp.workprec(1400):
        for j in range(HUGE_ROWS):
            turns = mpf(2) ** (HUGE_STEP * j) * 2 / mp.pi
            numbers += parts(turns - 4 * mp.nint(turns / 4), 4)
    return numbers


def block(meaning: str, name: str, numbers: list[float]) -> list[str]:
    return [f"# {meaning}", f"{name} = (", *(f"    {number!r}," for number in numbers), ")", ""]


def generate() -> str:
    lines = [
        '"""Coefficients, lowest power first; written by scripts/trigonometric_coefficients.py, not by hand."""',
        "",
        "from __future__ import annotations",
        "",
    ]
    for name, (meaning, function, weight, high, degree) in POLYNOMIALS.items():
        coefficients = fit(function, weight, high, degree)
        samples = [high * i / 500 for i in range(1, 501)]
        error = max(abs(weight(z) * (horner(coefficients, z) - function(z))) for z in samples)
        lines += block(f"{meaning}; error 2**{mp.nstr(mp.log(error, 2), 3)}", name, coefficients)
    lines += ["# 2/pi", f"TWO_OVER_PI = {float(2 / mp.pi)!r}", ""]
    lines += block(
        "pi/2 in parts, each the nearest double to what the earlier ones leave", "HALF_PI", parts(mp.pi / 2, 3)
    )
    lines += [
        f"# 2**({HUGE_STEP}*j) * 2/pi without its multiples of 4, in four parts a row; j from 0 to {HUGE_ROWS - 1}"
    ]
    lines += [f"HUGE_STEP = {HUGE_STEP}"]
    lines += block("four numbers a row", "HUGE_ROWS", huge_rows())
    return "\n".join(lines[:-1]) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(MODULE, generate))
