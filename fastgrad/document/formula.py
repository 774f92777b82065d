"""A tape as mathematical formulas, in plain text or LaTeX.

Values that are used once stand inside the formula that uses them; values that have a name, or are used several times,
get a formula of their own first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.document.notation import (
    ATOM,
    COMPARISON,
    MATRIX_PRODUCT,
    NOTATIONS,
    POWER,
    PRODUCT,
    SIGNS,
    SUM,
    Notation,
    Term,
)
from fastgrad.errors import InputError
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Shape, Tape, operation_of

__all__ = ["formula", "step"]

# a longer formula inside another gets a name
MAX_LENGTH = 100
# a shared function call that is longer gets a name
MAX_REPEATED = 20
MAX_EQUATIONS = 1_000


def formula(tape: Tape, style: str = "text") -> str:
    """The formulas of a tape's outputs; see :meth:`fastgrad.Tape.formula`."""
    if style not in NOTATIONS:
        raise InputError(f"style must be one of {sorted(NOTATIONS)}, not {style!r}.")
    if tape.n_operations > MAX_EQUATIONS:
        raise InputError(
            f"a formula of {tape.n_operations} operations cannot be read; the most is {MAX_EQUATIONS}. "
            "Cut the tape, or print it."
        )
    return _Writer(tape, NOTATIONS[style]).write()


class _Writer:
    def __init__(self, tape: Tape, notation: Notation) -> None:
        self.tape, self.notation = tape, notation
        self.terms: list[Term] = []
        # the shape of what each term says: axes of length 1 and those that broadcasting adds may be missing
        self.written: list[Shape] = []
        self.equations: list[tuple[str, str]] = []
        self.taken = {*tape.input_names, *tape.output_names, *tape.node_names}
        self.names: dict[int, str] = {}
        for numbers, names in ((tape.inputs, tape.input_names), (tape.named_nodes, tape.node_names)):
            for number, name in zip(numbers.tolist(), names, strict=False):
                if number not in self.names:
                    self.names[number] = _unlike(name, self.names.values())
        self.uses = Counter(tape.operands.tolist())

    def write(self) -> str:
        tape = self.tape
        for index, opcode in enumerate(tape.opcodes.tolist()):
            term, written = self._term(index, opcode)
            self.terms.append(term)
            self.written.append(written)
        outputs = tape.outputs.tolist()
        letter = next((letter for letter in "yzwuf" if letter not in self.taken), "y")
        for position, node in enumerate(outputs):
            fallback = letter if len(outputs) == 1 else f"{letter}{position}"
            name = tape.output_names[position] if tape.output_names else fallback
            if self.names.get(node) == name:
                continue
            # one number may stand for an array of it
            is_broadcast = self.written[node] and math.prod(self.written[node]) != math.prod(tape.shape_of(node))
            term = self._whole(node) if is_broadcast else self.terms[node]
            self.equations.append((self.notation.name(_unlike(name, self.names.values())), term.text))
        return self.notation.equations(self.equations)

    def _term(self, index: int, opcode: int) -> tuple[Term, Shape]:
        """What stands for a node where it is used, and the shape of that."""
        notation, shape = self.notation, self.tape.shape_of(index)
        if opcode == INPUT:
            return Term(notation.name(self._name_of(index, "x")), ATOM), shape
        if opcode == CONSTANT:
            constant = self.tape.constant_of(index)
            if constant.shape == ():
                number = float(constant)
                text = notation.number(abs(number))
                size = Term(text, PRODUCT if r"\cdot" in text else ATOM)
                return (_negative(notation, size) if np.signbit(number) else size), shape
            return Term(notation.name(self._name_of(index, "c")), ATOM), shape
        term, written = self._operation(index, self.tape.operands_of(index).tolist())
        is_shared = self.uses[index] > 1 and not (opcode >= ARRAY_OPERATION and self._moves_only(opcode))
        is_long = self.uses[index] and len(term.text) > MAX_LENGTH
        if index in self.names or is_long or (is_shared and (term.binding < ATOM or len(term.text) > MAX_REPEATED)):
            name = notation.name(self._name_of(index, "v"))
            self.equations.append((name, term.text))
            return Term(name, ATOM), written
        return term, written

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

    # ---- shapes

    def _operation(self, index: int, operands: Sequence[int]) -> tuple[Term, Shape]:
        """The formula of an operation, and the shape of what it says."""
        tape, operation = self.tape, operation_of(int(self.tape.opcodes[index]))
        attribute, shape = tape.attribute_of(index), tape.shape_of(index)
        written = shape
        if isinstance(operation, ops.Operation):
            terms, written = self._aligned(operands, shape)
        elif operation is array_ops.matmul:
            terms, written = self._factors(operands)
        else:
            first, known, of = self.terms[operands[0]], self.written[operands[0]], tape.shape_of(operands[0])
            if operation is array_ops.broadcast_to:
                return (first, known) if _broadcasts(known, of) else (self._call_on_whole(index, operands[0]), shape)
            is_vector = operation is array_ops.transpose and len(shape) == 2 and 1 in shape and len(known) < 2
            if is_vector or (operation is array_ops.reshape and _without_ones(shape, of)):
                return first, known
            if operation is array_ops.sum_ and len(attribute) == len(of) and math.prod(known) == math.prod(of):
                terms = [first]
            elif operation is array_ops.concatenate and all(tape.shape_of(k) == (1,) for k in operands):
                terms = [self.terms[k] for k in operands]
            else:
                terms = [self._whole(k) for k in operands]
            if operation is array_ops.slice_:
                written = tuple(length for length in shape if length != 1)  # one number takes the axis away
        return _applied(self.notation, tape, index, terms), written

    def _aligned(self, operands: Sequence[int], shape: Shape) -> tuple[list[Term], Shape]:
        """Operands that broadcast to ``shape``, as terms whose axes meet as theirs do, and the shape of the result."""
        terms, written = [self.terms[k] for k in operands], [self.written[k] for k in operands]
        shapes = [self.tape.shape_of(k) for k in operands]
        kept = [axis - len(shape) for axis, length in enumerate(shape) if length != 1]
        without_ones = [tuple(of[axis] for axis in kept if -axis <= len(of)) for of in shapes]
        if not all(map(_broadcasts, written, shapes)) and not all(map(_broadcasts, written, without_ones)):
            for k, operand in enumerate(operands):
                if not _broadcasts(written[k], shapes[k]):
                    terms[k], written[k] = self._whole(operand), shapes[k]
        return terms, np.broadcast_shapes(*written)

    def _factors(self, operands: Sequence[int]) -> tuple[list[Term], Shape]:
        """Operands of a matrix product, and its shape: a row on the left and a column on the right may be vectors."""
        terms, written = [], []
        for place, operand in enumerate(operands):
            of, known = self.tape.shape_of(operand), self.written[operand]
            is_vector = len(of) == 2 and of[place] == 1 and known == (of[1 - place],)
            terms.append(self.terms[operand] if is_vector else self._whole(operand))
            written.append(known if is_vector else of)
        return terms, (*written[0][:-1], *(written[1][-1:] if len(written[1]) > 1 else ()))

    def _whole(self, index: int) -> Term:
        """The term of a node with all the axes that the node has."""
        term, written, shape = self.terms[index], self.written[index], self.tape.shape_of(index)
        if written == shape:
            return term
        call = self.notation.call
        if math.prod(written) == math.prod(shape):
            return call("reshape", [term.text, str(shape)])
        if index not in self.names and self._moves_only(int(self.tape.opcodes[index])):
            return self._call_on_whole(index, int(self.tape.operands_of(index)[0]))
        if _broadcasts(written, shape):
            return call("broadcast_to", [term.text, str(shape)])
        inner = call("broadcast_to", [term.text, str(tuple(length for length in shape if length != 1))])
        return call("reshape", [inner.text, str(shape)])

    def _call_on_whole(self, index: int, operand: int) -> Term:
        name = operation_of(int(self.tape.opcodes[index])).name
        return self.notation.call(name, [self._whole(operand).text, str(self.tape.attribute_of(index))])


def _unlike(name: str, others: Iterable[str]) -> str:
    """The name, with a number behind it where it is among the others."""
    known, free, number = set(others), name, 1
    while free in known:
        number += 1
        free = f"{name}_{number}"
    return free


def _broadcasts(written: Shape, shape: Shape) -> bool:
    """Whether what is written broadcasts as an array of this shape does, or to it."""
    while written[:1] == (1,):
        written = written[1:]
    pairs = zip(reversed(written), reversed(shape), strict=False)
    return len(written) <= len(shape) and all(length in (1, of) for length, of in pairs)


def step(tape: Tape, index: int, operands: Sequence[str | None]) -> str:
    """The formula of one operation, in plain text, with these texts for its operands; None is shown as a square."""
    numbers = tape.operands_of(index).tolist()
    # different operands must not look the same while the formula is made, or a sum of two would be twice one
    stand_ins = {number: chr(0xE000 + k) for k, number in enumerate(dict.fromkeys(numbers))}
    is_literal = [text is not None and (text[:1].isdigit() or text[:1] == "-") for text in operands]
    texts = [
        text if is_known and text is not None else stand_ins[number]
        for number, text, is_known in zip(numbers, operands, is_literal, strict=True)
    ]
    written = _applied(NOTATIONS["text"], tape, index, [Term(text, ATOM) for text in texts]).text
    shown = {
        ord(stand_ins[number]): "\u25a1" if text is None else text
        for number, text in zip(numbers, operands, strict=True)
    }
    return written.translate(shown)


def _applied(notation: Notation, tape: Tape, index: int, terms: Sequence[Term]) -> Term:
    operation = operation_of(int(tape.opcodes[index]))
    if isinstance(operation, ops.Operation):
        special = _SPECIAL.get(operation.name)
        if special is not None:
            return special(notation, *terms)
        return notation.call(operation.name, [term.text for term in terms])
    shapes = [tape.shape_of(operand) for operand in tape.operands_of(index)]
    return _of_arrays(notation, operation, tape.attribute_of(index), terms, shapes, tape.shape_of(index))


def _sum(notation: Notation, x: Term, y: Term) -> Term:
    if x == y:
        return _product(notation, Term("2", ATOM), x)
    if y.positive is not None:
        return _difference(notation, x, y.positive)
    if x.positive is not None:
        return _difference(notation, y, x.positive)
    return Term(x.within(SUM, notation) + notation.plus + y.within(SUM, notation), SUM)


def _difference(notation: Notation, x: Term, y: Term) -> Term:
    return Term(x.within(SUM, notation) + notation.minus + y.within(MATRIX_PRODUCT, notation), SUM)


def _product(notation: Notation, x: Term, y: Term) -> Term:
    if x.positive is not None or y.positive is not None:
        product = _product(notation, x.positive or x, y.positive or y)
        return _negative(notation, product) if (x.positive is None) != (y.positive is None) else product
    if _is_number(y) and not _is_number(x):
        x, y = y, x
    times = r" \cdot " if _is_number(y) and "\\" in notation.times else notation.times
    return Term(x.within(PRODUCT, notation) + times + y.within(PRODUCT, notation), PRODUCT)


def _is_number(term: Term) -> bool:
    return term.text[:1].isdigit()


def _negative(notation: Notation, x: Term) -> Term:
    return x.positive or Term("-" + x.within(MATRIX_PRODUCT, notation), SUM, positive=x)


def _comparison(operation: str) -> Callable[..., Term]:
    def write(notation: Notation, x: Term, y: Term) -> Term:
        return Term(f"{x.within(SUM, notation)} {notation.sign(operation)} {y.within(SUM, notation)}", COMPARISON)

    return write


# what is not written as a function call
_SPECIAL: dict[str, Callable[..., Term]] = {
    "add": _sum,
    "subtract": lambda notation, x, y: _sum(notation, x, y.positive) if y.positive else _difference(notation, x, y),
    "multiply": _product,
    # differs from a product only where one factor is 0 and the other infinite
    "zero_product": _product,
    "divide": lambda notation, x, y: notation.quotient(x, y),
    "reciprocal": lambda notation, x: notation.quotient(Term("1", ATOM), x),
    "negative": _negative,
    "positive": lambda notation, x: x,
    "square": lambda notation, x: notation.power(x, Term("2", ATOM)),
    "power": lambda notation, x, y: notation.power(x, y),
    "sqrt": lambda notation, x: notation.root(x),
    "absolute": lambda notation, x: notation.size(x),
    "exp": lambda notation, x: notation.exponential(x),
    "slope_of_tanh": lambda notation, x: _difference(
        notation, Term("1", ATOM), notation.power(notation.call("tanh", [x.text]), Term("2", ATOM))
    ),
    "maximum": lambda notation, x, y: notation.call("max", [x.text, y.text]),
    "minimum": lambda notation, x, y: notation.call("min", [x.text, y.text]),
    "where": lambda notation, condition, x, y: notation.choice(condition, x, y),
    **{name: _comparison(name) for name in SIGNS if ops.BY_NAME[name].boolean},
}


def _of_arrays(
    notation: Notation,
    operation: array_ops.ArrayOperation,
    attribute: Any,
    terms: Sequence[Term],
    shapes: Sequence[Shape],
    shape: Shape,
) -> Term:
    if operation is array_ops.broadcast_to or (operation is array_ops.reshape and _without_ones(shape, shapes[0])):
        return terms[0]
    if operation is array_ops.concatenate and attribute == 0 and all(of == (1,) for of in shapes):
        return notation.joined(terms)
    if operation is array_ops.sum_:
        return notation.sum(terms[0], attribute, len(attribute) == len(shapes[0]))
    if operation is array_ops.matmul:
        left, right = (term.within(POWER, notation) for term in terms)
        return Term(left + notation.matrix_times + right, MATRIX_PRODUCT)
    if operation is array_ops.transpose and len(shape) == 2:
        return notation.transposed(terms[0])
    if operation is array_ops.slice_:
        return notation.part(terms[0], ", ".join(_index(*axis) for axis in attribute))
    arguments = [term.text for term in terms]
    if operation in (array_ops.max_, array_ops.min_):  # apart from those of two values
        axes = str(attribute[0] if len(attribute) == 1 else attribute)
        return notation.call(
            operation.name, arguments if len(attribute) == len(shapes[0]) else [*arguments, f"axis={axes}"]
        )
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
