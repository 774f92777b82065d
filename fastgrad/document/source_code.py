"""A tape as the source of a Python function on NumPy arrays.

Every name, text and number of the tape enters the source as an identifier made here, as a literal or as a comment
without line breaks, so that running the source runs nothing else than the tape.
"""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import array_ops, ops
from fastgrad.document.lookup import guards_by_node
from fastgrad.document.notation import SIGNS
from fastgrad.document.operations import ARRAY_EXPRESSIONS, DEFINITIONS
from fastgrad.document.text import shown
from fastgrad.errors import InputError
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Tape, is_number, operation_of
from fastgrad.tape_names import input_names, output_names
from fastgrad.transform.symbolic import without_dead_nodes

__all__ = ["to_source"]

# elements of all captured arrays together that are written out
MAX_ELEMENTS = 10_000

_LITERALS = {"nan": "np.nan", "inf": "np.inf", "-inf": "-np.inf"}
# what the source calls, and what it calls a function's argument
_USED = ("np", "float", "int", "ValueError", "constants", "array_operation", "elementary_operation")
# what computes with truth values as they are; elsewhere they are 1.0 and 0.0
_LOGICAL = ("logical_and", "logical_or", "logical_xor", "logical_not")
# the results of these may be views of their operands
_VIEWS = (array_ops.reshape, array_ops.transpose, array_ops.slice_, array_ops.broadcast_to)

_CHECKED = '''
def _checked(value, name, shape):
    """An input as an array of floats of the shape that the function was recorded for."""
    array = np.asarray(value, float)
    if array.shape != shape:
        raise ValueError(f"input {name!r} has shape {array.shape} instead of {shape}")
    return array[()]
'''
_GUARD = '''
def _guard(value, expected, line):
    """Raise where the recorded function would have taken another way."""
    if value != expected and not (np.isnan(value) and np.isnan(expected)):
        raise ValueError(f"for these inputs the function takes another way than the recorded one, at {line}")
'''


def to_source(
    tape: Tape, name: str = "function", *, constants: str = "inline", lines: bool = False, as_dict: bool = False
) -> str:
    """The source of :meth:`fastgrad.Tape.to_source`."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InputError(f"name must be one that Python allows for a function, not {name!r}.")
    name = unicodedata.normalize("NFKC", name)  # as Python reads it
    if name in _USED or name in _helpers(tape):
        raise InputError(f"name must not be {name!r}, which the source itself may use.")
    if constants not in ("inline", "argument"):
        raise InputError(f"constants must be 'inline' or 'argument', not {constants!r}.")
    # the arrays say what they say only in a valid tape
    return _Writer(tape.validate(), name, constants == "argument", lines, as_dict).write()


class _Writer:
    def __init__(self, tape: Tape, name: str, takes_constants: bool, lines: bool, as_dict: bool) -> None:
        # constants are called by their position in the tape that the user has
        self.positions = {id(constant): position for position, constant in enumerate(tape.constants)}
        self.tape = tape = without_dead_nodes(tape)
        self.name, self.takes_constants, self.lines, self.as_dict = name, takes_constants, lines, as_dict
        # the definitions and imports that the function needs, in the order of their first use
        self.needed: dict[str, str] = {"checked": _CHECKED} if len(tape.inputs) else {}
        self.taken = {*_USED, name, *dir(builtins), *_helpers(tape)}
        self.variables: list[str] = []
        self._is_plain_truth = _plain_truths(tape)
        known = tape._names_of_nodes | dict(zip(tape.inputs.tolist(), input_names(tape), strict=True))
        self.names = {number: self._identifier(known[number]) for number in sorted(known)}

    def write(self) -> str:
        body = list(self._body())
        parameters = [self.names[number] for number in self.tape.inputs.tolist()]
        if self.takes_constants:
            parameters += ["*", "constants"] if parameters else ["constants"]
        imported = [text for text in self.needed.values() if not text.startswith("\n")]
        defined = [text.strip("\n") for text in self.needed.values() if text.startswith("\n")]
        head = ["import numpy as np"]
        if imported:
            head += ["", "# fastgrad's own functions, for what NumPy has none", *_imports(imported), *imported]
        text = "\n\n\n".join(["\n".join(head), *defined, f"def {self.name}({', '.join(parameters)}):\n"])
        return text + "\n".join(f"    {line}".rstrip() for line in body) + "\n"

    def _identifier(self, name: str) -> str:
        """A name as a variable that has not been used yet."""
        plain = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", name)).strip("_") or "value"
        if not plain.isidentifier():
            plain = f"v_{plain}" if f"v_{plain}".isidentifier() else re.sub(r"[^A-Za-z0-9_]", "_", f"v_{plain}")
        free, number = plain, 1
        while free in self.taken or keyword.iskeyword(free):
            number += 1
            free = f"{plain}_{number}"
        self.taken.add(free)
        return free

    def _body(self) -> Iterator[str]:
        tape = self.tape
        yield f'"""A tape of {tape.n_operations} operations, as NumPy computes it."""'
        for number, given in zip(tape.inputs.tolist(), input_names(tape), strict=True):
            variable = self.names[number]
            yield f"{variable} = _checked({variable}, {_literal(given)}, {_literal(tape.shape_of(number))})"
        guards = guards_by_node(tape)
        self._check_size()
        group = ""
        for number, opcode in enumerate(tape.opcodes.tolist()):
            variable, statement = self._statement(number, opcode)
            self.variables.append(variable)
            if statement and tape.group_of(number) != group:
                group = tape.group_of(number)
                yield f"# {shown(group)}" if group else "# (no group)"
            if statement:
                source = tape.source_of(number)
                yield statement + (f"  # {_comment(source.short)}" if self.lines and source is not None else "")
            for position in guards.get(number, ()):
                yield self._guard(position, variable)
        yield self._returned()

    # ---- nodes

    def _statement(self, number: int, opcode: int) -> tuple[str, str]:
        """What stands for a node, and the statement that computes it; none for inputs and numbers."""
        tape = self.tape
        if opcode == INPUT:
            return self.names[number], ""
        if opcode == CONSTANT:
            constant = tape.constant_of(number)
            if is_number(constant):
                return _number(float(constant)), ""
            expression = self._captured(constant)
        else:
            operands = tape.operands_of(number).tolist()
            expression = self._expression(number, opcode, operands, [self.variables[k] for k in operands])
        variable = self.names.get(number) or self._identifier(f"v{number}")
        return variable, f"{variable} = {expression}"

    def _captured(self, constant: NDArray[Any]) -> str:
        if self.takes_constants:
            return f"np.asarray(constants[{self.positions[id(constant)]}], float)[()]"
        values = constant.astype(np.float64)
        if values.size == 0:
            return f"np.zeros({_literal(values.shape)})"
        return f"np.{'float64' if values.shape == () else 'array'}({_nested(values.tolist())})"

    def _expression(self, number: int, opcode: int, operands: Sequence[int], texts: list[str]) -> str:
        operation = operation_of(opcode)
        if isinstance(operation, ops.Operation):
            expression = self._elementary(operation, texts)
            if operation.boolean and not self._is_plain_truth[number]:
                return f"({expression}) * 1.0" if operation.name in SIGNS else f"{expression} * 1.0"
            return expression
        attribute = self.tape.attribute_of(number)
        write = ARRAY_EXPRESSIONS.get(operation)
        if write is None:
            function = self._imported(operation.name, "array_operation")
            return f"{function}({', '.join([_literal(attribute), *texts])})"
        texts = [text if text.isidentifier() else f"np.float64({text})" for text in texts]  # numbers have no methods
        name = "update_slice" if operation is array_ops.clear_slice else operation.name
        if name in DEFINITIONS:
            self.needed.setdefault(name, DEFINITIONS[name])
        return write(attribute, [self.tape.shape_of(operand) for operand in operands], *texts)

    def _elementary(self, operation: ops.Operation, texts: Sequence[str]) -> str:
        name = operation.name
        # Python divides numbers in another way than NumPy
        if name in SIGNS and any(text.isidentifier() for text in texts):
            return f"{texts[0]} {SIGNS[name]} {texts[1]}"
        if name == "negative" and texts[0].isidentifier():
            return f"-{texts[0]}"
        if name in DEFINITIONS:
            self.needed.setdefault(name, DEFINITIONS[name])
            function = f"_{name}"
        else:
            of_numpy = [path for path in operation.answers_to if path.startswith("numpy.")]
            if name == "stop_gradient":
                of_numpy = ["numpy.positive"]
            function = f"np.{of_numpy[0].removeprefix('numpy.')}" if of_numpy else ""
            function = function or self._imported(name, "elementary_operation")
        return f"{function}({', '.join(texts)})" + ("[()]" if name == "where" else "")

    def _imported(self, name: str, kind: str) -> str:
        function = _imported_name(name)
        self.needed.setdefault(f"{kind} {name}", f"{function} = {kind}({_literal(name)})")
        return function

    # ---- the rest

    def _guard(self, position: int, variable: str) -> str:
        self.needed.setdefault("guard", _GUARD)
        line = str(self.tape.guard_source_of(position) or "a line that is not known")
        return f"_guard({variable}, {_number(float(self.tape.guard_values[position]))}, {_literal(line)})"

    def _returned(self) -> str:
        outputs = self.tape.outputs.tolist()
        results = [self._result(number, number in outputs[:k]) for k, number in enumerate(outputs)]
        if self.as_dict:
            names = map(_literal, output_names(self.tape))
            return "return {" + ", ".join(f"{name}: {text}" for name, text in zip(names, results, strict=True)) + "}"
        return f"return {results[0]}" if len(results) == 1 else f"return ({', '.join(results)})"

    def _result(self, number: int, is_repeated: bool) -> str:
        """An output, as memory of its own."""
        variable, opcode = self.variables[number], int(self.tape.opcodes[number])
        is_view = is_repeated or opcode in (INPUT, CONSTANT) or operation_of(opcode) in _VIEWS
        return f"np.array({variable}, float)[()]" if is_view else variable

    def _check_size(self) -> None:
        size = sum(constant.size for constant in self.tape.constants)
        if size > MAX_ELEMENTS and not self.takes_constants:
            raise InputError(
                f"the tape holds {size:,} numbers of captured arrays, too many to be written out (at most "
                f"{MAX_ELEMENTS:,}). Pass constants='argument' and call the function with constants=tape.constants."
            )


def _helpers(tape: Tape) -> set[str]:
    """The names of functions that the source may define or import."""
    codes = [code for code in np.unique(tape.opcodes).tolist() if ARRAY_OPERATION <= code < INPUT]
    names = (*DEFINITIONS, *(operation.name for operation in ops.TABLE), *(operation_of(code).name for code in codes))
    return {"_checked", "_guard", *map(_imported_name, names)}


def _imported_name(name: str) -> str:
    return "_" + name.replace(".", "_")


def _imports(functions: Sequence[str]) -> list[str]:
    kinds = [kind for kind in ("array_operation", "elementary_operation") if any(f" = {kind}(" in f for f in functions)]
    return [f"from fastgrad.document.operations import {', '.join(kinds)}", ""]


def _plain_truths(tape: Tape) -> list[bool]:
    """Which truth values are used as conditions alone, so that they need not be numbers."""
    plain = [True] * len(tape)
    for number in tape.outputs.tolist():
        plain[number] = False
    starts, flat = tape.operand_starts.tolist(), tape.operands.tolist()
    logical = {ops.BY_NAME[name].code for name in _LOGICAL}
    for number, opcode in enumerate(tape.opcodes.tolist()):
        if opcode not in logical:
            operands = flat[starts[number] : starts[number + 1]]
            for operand in operands[1:] if opcode == ops.where.code else operands:
                plain[operand] = False
    return plain


def _comment(text: str) -> str:
    """A text that ends with its line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _number(number: float) -> str:
    text = repr(number)
    return _LITERALS.get(text, text)


def _nested(values: Any) -> str:
    if isinstance(values, list):
        return f"[{', '.join(map(_nested, values))}]"
    return _number(values)


def _literal(value: Any) -> str:
    """An attribute as Python writes it: numbers, text, None and tuples of these."""
    if type(value) is tuple:
        return f"({', '.join(map(_literal, value))}{',' * (len(value) == 1)})"
    return _number(value) if type(value) is float else repr(value)
