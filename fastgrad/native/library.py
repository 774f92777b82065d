"""The text of instructions: LLVM assembly for each opcode at a width, read off the op table.

A short instruction becomes lines to be copied with other names wherever it is used; a long one becomes a function that
those places call. Both come from running the table's functions once on the values of :mod:`fastgrad.emit`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import ir

from fastgrad.emit import Emitter, FloatValue
from fastgrad.vm import instructions as isa

__all__ = ["Library", "with_declarations"]

# LLVM instructions up to which an operation is copied into its place; longer ones are called
MAX_COPIED = 12
_VOID = ir.VoidType()
_NAME = re.compile(r'%"([^"]*)"')


@dataclass(frozen=True)
class _Template:
    """Lines with ``{0}``, ``{1}`` ... for the operands and ``{u}`` before every name of the template's own."""

    lines: str
    results: tuple[str, ...]
    n_lines: int


class Library:
    """Expands instructions of one width and collects the functions and declarations that their texts refer to."""

    def __init__(self, width: int, module: ir.Module) -> None:
        self.width = width
        self.type = "double" if width == 1 else f"<{width} x double>"
        self.condition_type = "i1" if width == 1 else f"<{width} x i1>"
        self.module = module
        self.declared: set[str] = set()
        self._called: dict[int, ir.Function] = {}
        self._n = 0

    @staticmethod
    def number(value: float) -> str:
        """A float as LLVM writes it, to the bit."""
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"

    def constant(self, value: float) -> str:
        return self.number(value) if self.width == 1 else f"splat (double {self.number(value)})"

    def fresh(self) -> str:
        self._n += 1
        return f"%v{self._n}"

    def expand(self, opcode: int, operands: Sequence[str], lines: list[str]) -> list[str]:
        """Append the text that computes an instruction; returns the names of the result and the partials."""
        template = _template(opcode, self.width)
        if template is None:
            return self._call(opcode, operands, lines)
        unique = self.fresh() + "."
        self.declared.update(_intrinsics(opcode, self.width))
        lines.append(template.lines.format(*operands, u=unique))
        return [name.format(*operands, u=unique) for name in template.results]

    def length(self, opcode: int) -> int:
        """How many LLVM instructions there are where it is used."""
        template = _template(opcode, self.width)
        return 2 if template is None else template.n_lines

    def _call(self, opcode: int, operands: Sequence[str], lines: list[str]) -> list[str]:
        function = self._called.get(opcode)
        if function is None:
            function = self._called[opcode] = _function_of(self.module, opcode, self.width)
        name = self.fresh()
        arguments = ", ".join(f"{self.type} {operand}" for operand in operands)
        lines.append(f'{name} = call {function.ftype.return_type} @"{function.name}"({arguments})')
        n_results = 1 + isa.INSTRUCTIONS[opcode].n_computed
        if n_results == 1:
            return [name]
        parts = []
        for k in range(n_results):
            part = f"{name}.{k}"
            lines.append(f"{part} = extractvalue {function.ftype.return_type} {name}, {k}")
            parts.append(part)
        return parts


def with_declarations(module: ir.Module, libraries: Iterable[Library]) -> str:
    """The functions that the libraries' texts call, and the declarations of the others that they name."""
    declared = set[str]().union(*(library.declared for library in libraries)) - _declared_in(module)
    return "\n".join([str(module), *sorted(declared)])


def _evaluated(
    module: ir.Module, opcode: int, width: int, name: str, result: Any = _VOID
) -> tuple[ir.Function, list[Any], ir.IRBuilder]:
    """A function whose body computes the instruction of an opcode or the check of a guard, without its return."""
    instruction = isa.INSTRUCTIONS[opcode] if opcode < isa.GUARD else None
    n_operands = instruction.n_operands if instruction else 2
    function = ir.Function(module, ir.FunctionType(result, [_floats(width)] * n_operands), name)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    emitter = Emitter(builder, width)
    operands = [FloatValue(emitter, argument) for argument in function.args]
    if instruction:
        results = [emitter.float(value).llvm for value in instruction.evaluate(*operands)]
    else:
        results = [emitter.condition(isa.GUARDS[opcode - isa.GUARD].holds(*operands)).llvm]
    return function, results, builder


def _floats(width: int) -> Any:
    return Emitter(ir.IRBuilder(), width).float_type


@cache
def _template(opcode: int, width: int) -> _Template | None:
    """The template of an instruction or guard; None where it is too long, or branches, or reads a table."""
    module = ir.Module()
    function, results, _ = _evaluated(module, opcode, width, "probe")
    if len(function.blocks) > 1 or any(isinstance(g, ir.GlobalVariable) for g in module.globals.values()):
        return None
    instructions = function.blocks[0].instructions
    if len(instructions) > MAX_COPIED:
        return None
    places = {argument.name: f"{{{k}}}" for k, argument in enumerate(function.args)}

    def renamed(text: str) -> str:
        text = text.replace("{", "{{").replace("}", "}}")
        return _NAME.sub(lambda found: places.get(found[1]) or "{u}" + found[1].strip("."), text)

    lines = [renamed(str(instruction).strip()) for instruction in instructions]
    return _Template("\n".join(lines), tuple(renamed(r.get_reference()) for r in results), len(lines))


@cache
def _intrinsics(opcode: int, width: int) -> tuple[str, ...]:
    module = ir.Module()
    _evaluated(module, opcode, width, "probe")
    return tuple(sorted(_declared_in(module)))


def _declared_in(module: ir.Module) -> set[str]:
    found = set()
    for function in module.functions:
        if function.is_declaration:
            arguments = ", ".join(str(a.type) for a in function.args)
            found.add(f'declare {function.ftype.return_type} @"{function.name}"({arguments})')
    return found


def _function_of(module: ir.Module, opcode: int, width: int) -> ir.Function:
    """The function for a long instruction, which returns the result and the partials, if there are any, together."""
    instruction = isa.INSTRUCTIONS[opcode]
    n_results = 1 + instruction.n_computed
    kind = _floats(width) if n_results == 1 else ir.LiteralStructType([_floats(width)] * n_results)
    function, values, builder = _evaluated(module, opcode, width, f"operation.{instruction.name}.{width}", kind)
    function.linkage = "internal"
    function.attributes.add("nounwind")
    packed: Any = values[0]
    if n_results > 1:
        packed = ir.Constant(kind, ir.Undefined)
        for k, value in enumerate(values):
            packed = builder.insert_value(packed, value, k)
    builder.ret(packed)
    return function
