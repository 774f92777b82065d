"""A tape as mathematical formulas, in plain text or LaTeX.

Values that are used once stand inside the formula that uses them; values that have a name, or are used several times,
get a formula of their own first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.errors import InputError
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Shape, Tape, operation_of

__all__ = ["formula", "step"]

# how tightly the outermost operation of a formula binds
COMPARISON, SUM, PRODUCT, POWER, ATOM = range(5)
# a longer formula inside another gets a name
MAX_LENGTH = 100
# a shared function call that is longer gets a name
MAX_REPEATED = 20
MAX_EQUATIONS = 1_000

_GREEK = re.compile(
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|rho|sigma|tau|phi|chi|psi|omega"
)
_KNOWN_TO_LATEX = re.compile("(arc)?(sin|cos|tan)|(sin|cos|tan)h|exp|log|max|min|det")


@dataclass(frozen=True)
class _Term:
    """A formula, how tightly its outermost operation binds, and whether it is the negative of ``positive``."""

    text: str
    binding: int
    positive: _Term | None = None

    def within(self, binding: int, notation: _Notation) -> str:
        """The formula as an operand of something that binds so tightly."""
        return self.text if self.binding >= binding else notation.brackets(self.text)


class _Notation:
    """Plain text."""

    times, matrix_times, plus, minus = "*", " @ ", " + ", " - "

    def brackets(self, text: str) -> str:
        return f"({text})"

    def name(self, name: str) -> str:
        return name

    def number(self, number: float) -> str:
        text = f"{number:.6g}"
        return text if float(text) == number else repr(number)

    def quotient(self, x: _Term, y: _Term) -> _Term:
        return _Term(f"{x.within(PRODUCT, self)}/{y.within(POWER, self)}", PRODUCT)

    def power(self, x: _Term, y: _Term) -> _Term:
        return _Term(f"{x.within(ATOM, self)}^{y.within(ATOM, self)}", POWER)

    def call(self, function: str, arguments: Sequence[str]) -> _Term:
        return _Term(f"{function}({', '.join(arguments)})", ATOM)

    def sum(self, x: _Term, axes: tuple[int, ...], is_whole: bool) -> _Term:
        arguments = [x.text] if is_whole else [x.text, f"axis={axes[0] if len(axes) == 1 else axes}"]
        return self.call("sum", arguments)

    def joined(self, parts: Sequence[_Term]) -> _Term:
        return _Term(f"[{', '.join(part.text for part in parts)}]", ATOM)

    def transposed(self, x: _Term) -> _Term:
        return _Term(f"{x.within(ATOM, self)}.T", ATOM)

    def part(self, x: _Term, index: str) -> _Term:
        return _Term(f"{x.within(ATOM, self)}[{index}]", ATOM)

    def choice(self, condition: _Term, x: _Term, y: _Term) -> _Term:
        return self.call("where", [condition.text, x.text, y.text])

    def root(self, x: _Term) -> _Term:
        return self.call("sqrt", [x.text])

    def size(self, x: _Term) -> _Term:
        return _Term(f"|{x.text}|", ATOM)

    def exponential(self, x: _Term) -> _Term:
        return self.call("exp", [x.text])

    def equations(self, pairs: Sequence[tuple[str, str]]) -> str:
        return "\n".join(f"{left} = {right}" for left, right in pairs)


class _Latex(_Notation):
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

    def number(self, number: float) -> str:
        text = super().number(number)
        if not np.isfinite(number):
            return {"inf": r"\infty", "-inf": r"-\infty"}.get(text, r"\mathrm{nan}")
        digits, _, exponent = text.partition("e")
        return rf"{digits} \cdot 10^{{{int(exponent)}}}" if exponent else digits

    def quotient(self, x: _Term, y: _Term) -> _Term:
        return _Term(rf"\frac{{{x.text}}}{{{y.text}}}", PRODUCT)

    def power(self, x: _Term, y: _Term) -> _Term:
        return _Term(rf"{{{x.within(ATOM, self)}}}^{{{y.text}}}", POWER)

    def call(self, function: str, arguments: Sequence[str]) -> _Term:
        name = "\\" + function if _KNOWN_TO_LATEX.fullmatch(function) else rf"\operatorname{{{_escaped(function)}}}"
        return _Term(name + self.brackets(", ".join(arguments)), ATOM)

    def sum(self, x: _Term, axes: tuple[int, ...], is_whole: bool) -> _Term:
        below = "" if is_whole else "_{" + ", ".join(map(str, axes)) + "}"
        return _Term(rf"\sum{below} {x.within(PRODUCT, self)}", SUM)

    def joined(self, parts: Sequence[_Term]) -> _Term:
        rows = r" \\ ".join(part.text for part in parts)
        return _Term(rf"\begin{{pmatrix}}{rows}\end{{pmatrix}}", ATOM)

    def transposed(self, x: _Term) -> _Term:
        return _Term(rf"{{{x.within(ATOM, self)}}}^\top", POWER)

    def part(self, x: _Term, index: str) -> _Term:
        return _Term(rf"{{{x.within(ATOM, self)}}}_{{{index}}}", ATOM)

    def choice(self, condition: _Term, x: _Term, y: _Term) -> _Term:
        cases = rf"{x.text} & \text{{if }} {condition.text} \\ {y.text} & \text{{else}}"
        return _Term(rf"\begin{{cases}}{cases}\end{{cases}}", ATOM)

    def root(self, x: _Term) -> _Term:
        return _Term(rf"\sqrt{{{x.text}}}", ATOM)

    def size(self, x: _Term) -> _Term:
        return _Term(rf"\left|{x.text}\right|", ATOM)

    def exponential(self, x: _Term) -> _Term:
        return _Term(rf"e^{{{x.text}}}", POWER)

    def equations(self, pairs: Sequence[tuple[str, str]]) -> str:
        if len(pairs) == 1:
            return f"{pairs[0][0]} = {pairs[0][1]}"
        lines = r" \\ ".join(f"{left} &= {right}" for left, right in pairs)
        return rf"\begin{{aligned}}{lines}\end{{aligned}}"


def _escaped(text: str) -> str:
    special = {"\\": r"\backslash ", "^": r"\hat{}", "~": r"\sim "}
    return "".join(special.get(letter, "\\" + letter if letter in "{}_$&#%" else letter) for letter in text)


_NOTATIONS = {"text": _Notation(), "latex": _Latex()}


def formula(tape: Tape, style: str = "text") -> str:
    """The formulas of a tape's outputs; see :meth:`fastgrad.Tape.formula`."""
    if style not in _NOTATIONS:
        raise InputError(f"style must be one of {sorted(_NOTATIONS)}, not {style!r}.")
    if tape.n_operations > MAX_EQUATIONS:
        raise InputError(
            f"a formula of {tape.n_operations} operations cannot be read; the most is {MAX_EQUATIONS}. "
            "Cut the tape, or print it."
        )
    return _Writer(tape, _NOTATIONS[style]).write()


class _Writer:
    def __init__(self, tape: Tape, notation: _Notation) -> None:
        self.tape, self.notation = tape, notation
        self.terms: list[_Term] = []
        self.equations: list[tuple[str, str]] = []
        self.names: dict[int, str] = dict(zip(tape.inputs.tolist(), tape.input_names, strict=False))
        self.names |= dict(zip(tape.named_nodes.tolist(), tape.node_names, strict=True))
        self.taken = {*tape.input_names, *tape.output_names, *tape.node_names}
        self.uses = Counter(tape.operands.tolist())

    def write(self) -> str:
        tape = self.tape
        for index, opcode in enumerate(tape.opcodes.tolist()):
            self.terms.append(self._term(index, opcode))
        outputs = tape.outputs.tolist()
        for position, node in enumerate(outputs):
            fallback = "y" if len(outputs) == 1 else f"y{position}"
            name = tape.output_names[position] if tape.output_names else fallback
            if self.names.get(node) != name:
                self.equations.append((self.notation.name(name), self.terms[node].text))
        return self.notation.equations(self.equations)

    def _term(self, index: int, opcode: int) -> _Term:
        notation = self.notation
        if opcode == INPUT:
            return _Term(notation.name(self.names.get(index, f"x{index}")), ATOM)
        if opcode == CONSTANT:
            constant = self.tape.constant_of(index)
            if constant.shape == ():
                number = float(constant)
                size = _Term(notation.number(abs(number)), ATOM)
                return _negative(notation, size) if np.signbit(number) else size
            return _Term(notation.name(self._name_of(index, "c")), ATOM)
        operands = self.tape.operands_of(index).tolist()
        term = _applied(self.notation, self.tape, index, [self.terms[operand] for operand in operands])
        is_shared = self.uses[index] > 1 and not (opcode >= ARRAY_OPERATION and self._moves_only(opcode))
        is_long = self.uses[index] and len(term.text) > MAX_LENGTH
        if index in self.names or is_long or (is_shared and (term.binding < ATOM or len(term.text) > MAX_REPEATED)):
            name = notation.name(self._name_of(index, "v"))
            self.equations.append((name, term.text))
            return _Term(name, ATOM)
        return term

    def _moves_only(self, opcode: int) -> bool:
        return operation_of(opcode) in (array_ops.broadcast_to, array_ops.reshape, array_ops.transpose)

    def _name_of(self, index: int, letter: str) -> str:
        """The name of a node; if it has none, the letter with the first number that is free."""
        if index not in self.names:
            number = 1
            while f"{letter}{number}" in self.taken:
                number += 1
            self.names[index] = f"{letter}{number}"
            self.taken.add(self.names[index])
        return self.names[index]


def step(tape: Tape, index: int, operands: Sequence[str | None]) -> str:
    """The formula of one operation, in plain text, with these texts for its operands; None is shown as a square."""
    numbers = tape.operands_of(index).tolist()
    # different operands must not look the same while the formula is made, or a sum of two would be twice one
    stand_ins = {number: chr(0xE000 + k) for k, number in enumerate(dict.fromkeys(numbers))}
    texts = [stand_ins[number] if text is None else text for number, text in zip(numbers, operands, strict=True)]
    written = _applied(_NOTATIONS["text"], tape, index, [_Term(text, ATOM) for text in texts]).text
    return written.translate({ord(letter): "\u25a1" for letter in stand_ins.values()})


def _applied(notation: _Notation, tape: Tape, index: int, terms: Sequence[_Term]) -> _Term:
    operation = operation_of(int(tape.opcodes[index]))
    if isinstance(operation, ops.Operation):
        special = _SPECIAL.get(operation.name)
        if special is not None:
            return special(notation, *terms)
        return notation.call(operation.name, [term.text for term in terms])
    shapes = [tape.shape_of(operand) for operand in tape.operands_of(index)]
    return _of_arrays(notation, operation, tape.attribute_of(index), terms, shapes, tape.shape_of(index))


def _sum(notation: _Notation, x: _Term, y: _Term) -> _Term:
    if x == y:
        return _product(notation, _Term("2", ATOM), x)
    if y.positive is not None:
        return _difference(notation, x, y.positive)
    if x.positive is not None:
        return _difference(notation, y, x.positive)
    return _Term(x.text + notation.plus + y.text, SUM)


def _difference(notation: _Notation, x: _Term, y: _Term) -> _Term:
    return _Term(x.text + notation.minus + y.within(PRODUCT, notation), SUM)


def _product(notation: _Notation, x: _Term, y: _Term) -> _Term:
    if x.positive is not None or y.positive is not None:
        product = _product(notation, x.positive or x, y.positive or y)
        return _negative(notation, product) if (x.positive is None) != (y.positive is None) else product
    if _is_number(y) and not _is_number(x):
        x, y = y, x
    times = r" \cdot " if _is_number(y) and "\\" in notation.times else notation.times
    return _Term(x.within(PRODUCT, notation) + times + y.within(PRODUCT, notation), PRODUCT)


def _is_number(term: _Term) -> bool:
    return term.text[:1].isdigit()


def _negative(notation: _Notation, x: _Term) -> _Term:
    return x.positive or _Term("-" + x.within(PRODUCT, notation), SUM, positive=x)


def _comparison(sign: str, latex: str | None = None) -> Callable[..., _Term]:
    def write(notation: _Notation, x: _Term, y: _Term) -> _Term:
        shown = latex if latex and isinstance(notation, _Latex) else sign
        return _Term(f"{x.within(SUM, notation)} {shown} {y.within(SUM, notation)}", COMPARISON)

    return write


# what is not written as a function call
_SPECIAL: dict[str, Callable[..., _Term]] = {
    "add": _sum,
    "subtract": lambda notation, x, y: _sum(notation, x, y.positive) if y.positive else _difference(notation, x, y),
    "multiply": _product,
    # differs from a product only where one factor is 0 and the other infinite
    "zero_product": _product,
    "divide": lambda notation, x, y: notation.quotient(x, y),
    "reciprocal": lambda notation, x: notation.quotient(_Term("1", ATOM), x),
    "negative": _negative,
    "positive": lambda notation, x: x,
    "square": lambda notation, x: notation.power(x, _Term("2", ATOM)),
    "power": lambda notation, x, y: notation.power(x, y),
    "sqrt": lambda notation, x: notation.root(x),
    "absolute": lambda notation, x: notation.size(x),
    "exp": lambda notation, x: notation.exponential(x),
    "slope_of_tanh": lambda notation, x: _difference(
        notation, _Term("1", ATOM), notation.power(notation.call("tanh", [x.text]), _Term("2", ATOM))
    ),
    "maximum": lambda notation, x, y: notation.call("max", [x.text, y.text]),
    "minimum": lambda notation, x, y: notation.call("min", [x.text, y.text]),
    "where": lambda notation, condition, x, y: notation.choice(condition, x, y),
    "less": _comparison("<"),
    "less_equal": _comparison("<=", r"\le"),
    "greater": _comparison(">"),
    "greater_equal": _comparison(">=", r"\ge"),
    "equal": _comparison("==", "="),
    "not_equal": _comparison("!=", r"\ne"),
}


def _of_arrays(
    notation: _Notation,
    operation: array_ops.ArrayOperation,
    attribute: Any,
    terms: Sequence[_Term],
    shapes: Sequence[Shape],
    shape: Shape,
) -> _Term:
    if operation is array_ops.broadcast_to or (operation is array_ops.reshape and _without_ones(shape, shapes[0])):
        return terms[0]
    if operation is array_ops.concatenate and attribute == 0 and all(of == (1,) for of in shapes):
        return notation.joined(terms)
    if operation is array_ops.sum_:
        return notation.sum(terms[0], attribute, len(attribute) == len(shapes[0]))
    if operation is array_ops.matmul:
        left, right = (term.within(POWER, notation) for term in terms)
        return _Term(left + notation.matrix_times + right, PRODUCT)
    if operation is array_ops.transpose and len(shape) == 2:
        return notation.transposed(terms[0])
    if operation is array_ops.slice_:
        return notation.part(terms[0], ", ".join(_index(*axis) for axis in attribute))
    arguments = [term.text for term in terms]
    if attribute is not None:
        arguments.append(str(attribute))
    return notation.call(operation.name, arguments)


def _without_ones(shape: Shape, other: Shape) -> bool:
    """Whether two shapes differ in axes of length 1 only, which mathematics does not write."""
    return [length for length in shape if length != 1] == [length for length in other if length != 1]


def _index(start: int, count: int, step: int) -> str:
    if count == 1:
        return str(start)
    stop = start + count * step
    return f"{start}:{stop if stop >= 0 else ''}" + ("" if step == 1 else f":{step}")
