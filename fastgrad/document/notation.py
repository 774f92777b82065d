"""How formulas are written: terms, and what they look like in plain text and in LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "ATOM",
    "COMPARISON",
    "MATRIX_PRODUCT",
    "NOTATIONS",
    "POWER",
    "PRODUCT",
    "SIGNS",
    "SUM",
    "Latex",
    "Notation",
    "Term",
]

# of operations with two operands, as Python writes them
SIGNS = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/",
    "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!=",
}  # fmt: skip
_SIGNS_OF_LATEX = {"less_equal": r"\le", "greater_equal": r"\ge", "equal": "=", "not_equal": r"\ne"}

# how tightly the outermost operation of a formula binds
COMPARISON, SUM, MATRIX_PRODUCT, PRODUCT, POWER, ATOM = range(6)

_GREEK = re.compile(
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|rho|sigma|tau|phi|chi|psi|omega"
)
_KNOWN_TO_LATEX = re.compile("(arc)?(sin|cos|tan)|(sin|cos|tan)h|exp|log|max|min|det")


@dataclass(frozen=True)
class Term:
    """A formula, how tightly its outermost operation binds, and whether it is the negative of ``positive``."""

    text: str
    binding: int
    positive: Term | None = None

    def within(self, binding: int, notation: Notation) -> str:
        """The formula as an operand of something that binds so tightly."""
        return self.text if self.binding >= binding else notation.brackets(self.text)


class Notation:
    """Plain text."""

    times, matrix_times, plus, minus = "*", " @ ", " + ", " - "

    def brackets(self, text: str) -> str:
        return f"({text})"

    def name(self, name: str) -> str:
        return name

    def sign(self, operation: str) -> str:
        """How an operation with two operands is written between them."""
        return SIGNS[operation]

    def number(self, number: float) -> str:
        text = f"{number:.6g}"
        return text if float(text) == number else repr(number)

    def quotient(self, x: Term, y: Term) -> Term:
        return Term(f"{x.within(PRODUCT, self)}/{y.within(POWER, self)}", PRODUCT)

    def power(self, x: Term, y: Term) -> Term:
        return Term(f"{x.within(ATOM, self)}^{y.within(ATOM, self)}", POWER)

    def call(self, function: str, arguments: Sequence[str]) -> Term:
        return Term(f"{function}({', '.join(arguments)})", ATOM)

    def sum(self, x: Term, axes: tuple[int, ...], is_whole: bool) -> Term:
        arguments = [x.text] if is_whole else [x.text, f"axis={axes[0] if len(axes) == 1 else axes}"]
        return self.call("sum", arguments)

    def joined(self, parts: Sequence[Term]) -> Term:
        return Term(f"[{', '.join(part.text for part in parts)}]", ATOM)

    def transposed(self, x: Term) -> Term:
        return Term(f"{x.within(ATOM, self)}.T", ATOM)

    def part(self, x: Term, index: str) -> Term:
        return Term(f"{x.within(ATOM, self)}[{index}]", ATOM)

    def choice(self, condition: Term, x: Term, y: Term) -> Term:
        return self.call("where", [condition.text, x.text, y.text])

    def root(self, x: Term) -> Term:
        return self.call("sqrt", [x.text])

    def size(self, x: Term) -> Term:
        return Term(f"|{x.text}|", ATOM)

    def exponential(self, x: Term) -> Term:
        return self.call("exp", [x.text])

    def equations(self, pairs: Sequence[tuple[str, str]]) -> str:
        return "\n".join(f"{left} = {right}" for left, right in pairs)


class Latex(Notation):
    times, matrix_times = r" \, ", r" \, "

    def brackets(self, text: str) -> str:
        return rf"\left({text}\right)"

    def name(self, name: str) -> str:
        derivative = re.fullmatch(r"(adjoint|tangent)\((.+)\)", name)
        if derivative is not None:
            return rf"\{'bar' if derivative[1] == 'adjoint' else 'dot'}{{{self.name(derivative[2])}}}"
        plain = re.fullmatch(r"([A-Za-z]+)(?:_?(\d+))?", name)
        if plain is None:
            return r"\mathrm{" + _escaped(name) + "}"
        word, index = plain.groups()
        letter = "\\" + word if _GREEK.fullmatch(word) else word if len(word) == 1 else rf"\mathrm{{{word}}}"
        return letter if index is None else f"{letter}_{{{index}}}"

    def sign(self, operation: str) -> str:
        return _SIGNS_OF_LATEX.get(operation) or super().sign(operation)

    def number(self, number: float) -> str:
        text = super().number(number)
        if not np.isfinite(number):
            return {"inf": r"\infty", "-inf": r"-\infty"}.get(text, r"\mathrm{nan}")
        digits, _, exponent = text.partition("e")
        return rf"{digits} \cdot 10^{{{int(exponent)}}}" if exponent else digits

    def quotient(self, x: Term, y: Term) -> Term:
        return Term(rf"\frac{{{x.text}}}{{{y.text}}}", PRODUCT)

    def power(self, x: Term, y: Term) -> Term:
        return Term(rf"{{{x.within(ATOM, self)}}}^{{{y.text}}}", POWER)

    def call(self, function: str, arguments: Sequence[str]) -> Term:
        name = "\\" + function if _KNOWN_TO_LATEX.fullmatch(function) else rf"\operatorname{{{_escaped(function)}}}"
        return Term(name + self.brackets(", ".join(arguments)), ATOM)

    def sum(self, x: Term, axes: tuple[int, ...], is_whole: bool) -> Term:
        below = "" if is_whole else "_{" + ", ".join(map(str, axes)) + "}"
        return Term(rf"\sum{below} {x.within(MATRIX_PRODUCT, self)}", SUM)

    def joined(self, parts: Sequence[Term]) -> Term:
        rows = r" \\ ".join(part.text for part in parts)
        return Term(rf"\begin{{pmatrix}}{rows}\end{{pmatrix}}", ATOM)

    def transposed(self, x: Term) -> Term:
        return Term(rf"{{{x.within(ATOM, self)}}}^\top", POWER)

    def part(self, x: Term, index: str) -> Term:
        return Term(rf"{{{x.within(ATOM, self)}}}_{{{index}}}", ATOM)

    def choice(self, condition: Term, x: Term, y: Term) -> Term:
        cases = rf"{x.text} & \text{{if }} {condition.text} \\ {y.text} & \text{{else}}"
        return Term(rf"\begin{{cases}}{cases}\end{{cases}}", ATOM)

    def root(self, x: Term) -> Term:
        return Term(rf"\sqrt{{{x.text}}}", ATOM)

    def size(self, x: Term) -> Term:
        return Term(rf"\left|{x.text}\right|", ATOM)

    def exponential(self, x: Term) -> Term:
        return Term(rf"e^{{{x.text}}}", POWER)

    def equations(self, pairs: Sequence[tuple[str, str]]) -> str:
        if len(pairs) == 1:
            return f"{pairs[0][0]} = {pairs[0][1]}"
        lines = r" \\ ".join(f"{left} &= {right}" for left, right in pairs)
        return rf"\begin{{aligned}}{lines}\end{{aligned}}"


def _escaped(text: str) -> str:
    special = {"\\": r"\backslash ", "^": r"\hat{}", "~": r"\sim "}
    return "".join(special.get(letter, "\\" + letter if letter in "{}_$&#%" else letter) for letter in text)


NOTATIONS = {"text": Notation(), "latex": Latex()}
