"""The C functions and tables of one file, and single instructions as expressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastgrad.native.c_expressions import Node, count_uses, lines_of, number_text, text_of
from fastgrad.native.c_values import Emitter
from fastgrad.vm.instructions import Instruction

__all__ = ["CFunctions", "condition", "expressions", "number_lines"]

OPERANDS = ("x", "y", "z")
# functions up to so many lines are offered to the compiler for inlining
LINES_TO_INLINE = 8


class CFunctions:
    """The C functions and tables of one file, each once, in an order that C accepts."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._definitions: list[str] = []
        self._names: dict[Any, str] = {}

    @property
    def definitions(self) -> list[str]:
        """The texts of all functions and tables so far."""
        uses_bits = any(f"{self.prefix}{name}_bits(" in text for text in self._definitions for name in ("to", "from"))
        return [_BITS.format(prefix=self.prefix)] * uses_bits + self._definitions

    def _name(self, key: Any, wanted: str) -> str:
        name = self.prefix + wanted
        taken = set(self._names.values())
        while name in taken:
            name += "_"
        self._names[key] = name
        return name

    def table(self, numbers: tuple[float, ...]) -> str:
        """A constant array with these numbers."""
        key = ("table", *map(number_text, numbers))
        if key not in self._names:
            name = self._name(key, "table")
            self._definitions.append(f"static const double {name}[{len(numbers)}] = {{\n{number_lines(numbers)}\n}};\n")
        return self._names[key]

    def rare(self, function: Callable[..., Any], arity: int) -> str:
        """``function`` over floats, kept out of line."""
        key = (function.__module__, function.__qualname__)
        if key not in self._names:
            text = self._function(key, function.__name__.lstrip("_"), arity, lambda *x: (function(*x),), rare=True)
            self._definitions.append(text)
        return self._names[key]

    def instruction(self, instruction: Instruction) -> str:
        """An instruction of the VM: takes its operands and, if it computes partials, where to store these."""
        key = instruction.name
        if key not in self._names:
            text = self._function(key, key, instruction.n_operands, instruction.evaluate, rare=False)
            self._definitions.append(text)
        return self._names[key]

    def _function(self, key: Any, wanted: str, arity: int, evaluate: Callable[..., tuple[Any, ...]], rare: bool) -> str:
        emitter = Emitter(self)
        values = evaluate(*map(emitter.named, OPERANDS[:arity]))
        result, *partials = [emitter.float(value).node for value in values]
        count_uses(emitter.block, [result, *partials])
        lines = list(lines_of(emitter.block, "t", "    "))
        lines += [f"    partials[{k}] = {node.name or text_of(node)};" for k, node in enumerate(partials)]
        lines.append(f"    return {result.name or text_of(result)};")
        # named last, so that functions which this one calls have theirs
        name = self._name(key, wanted)
        arguments = [f"double {operand}" for operand in OPERANDS[:arity]] + ["double *partials"] * bool(partials)
        kind = "FASTGRAD_RARE static" if rare else "static inline" if len(lines) <= LINES_TO_INLINE else "static"
        return "\n".join([f"{kind} double {name}({', '.join(arguments)}) {{", *lines, "}\n"])


def expressions(
    functions: CFunctions, instruction: Instruction, operands: Sequence[str], names: Sequence[str]
) -> list[str] | None:
    """Result and partials of an instruction over these operands, each as one C expression; None if they are too long.

    ``names`` are those of the variables that will hold them: later ones may use earlier ones.
    """
    emitter = Emitter(functions)
    nodes = [emitter.float(value).node for value in instruction.evaluate(*map(emitter.named, operands))]
    if sum(not node.name for node in emitter.block.items if isinstance(node, Node)) > 1 + len(nodes):
        return None
    texts = []
    for node, name in zip(nodes, names, strict=True):
        texts.append(node.name or text_of(node))
        node.name = node.name or name
    return texts


def condition(functions: CFunctions, holds: Callable[..., Any], operands: Sequence[str]) -> str:
    """What a guard asks, as a C expression."""
    emitter = Emitter(functions)
    return text_of(emitter.condition(holds(*map(emitter.named, operands))).node)


def number_lines(numbers: Sequence[float]) -> str:
    """Numbers for an array's initialiser, four a line."""
    texts = [number_text(float(x)) for x in numbers]
    return ",\n".join("    " + ", ".join(texts[k : k + 4]) for k in range(0, len(texts), 4))


_BITS = """\
static inline uint64_t {prefix}to_bits(double x) {{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}}

static inline double {prefix}from_bits(uint64_t bits) {{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}}
"""
