"""A tape as text: one line for each node, under its group."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.document.lookup import guards_by_node
from fastgrad.tape import Node, Tape

__all__ = ["abbreviated", "constant_text", "listing", "operation_text", "shape_text", "shown"]

# a longer tape is abbreviated to its first and last nodes
MAX_LINES = 300
FIRST_LINES, LAST_LINES = 100, 50
# the widest that the column of formulas becomes for the sake of what stands right of it
MAX_WIDTH = 60
MAX_NAME_WIDTH = 32
# a larger array is shown by its first and last elements
MAX_ELEMENTS = 6

_PLAIN = re.compile(r"[\w./()\[\]'\"-]+")


def listing(tape: Tape, start: int = 0, stop: int | None = None) -> str:
    """The text of :meth:`fastgrad.Tape.listing`."""
    numbers = range(len(tape))[slice(start, stop)]
    return "\n".join([_head(tape), *_lines(tape, numbers), *_foot(tape)])


def abbreviated(tape: Tape) -> str:
    """The listing, of a long tape only the first and last nodes."""
    n = len(tape)
    if n <= MAX_LINES:
        return listing(tape)
    left_out = n - FIRST_LINES - LAST_LINES
    note = (
        f"  ... {left_out:,} more nodes (%{FIRST_LINES} to %{n - LAST_LINES - 1}): "
        f"tape.listing() has all, tape.listing({FIRST_LINES}, {2 * FIRST_LINES}) some of them"
    )
    first, last = range(FIRST_LINES), range(n - LAST_LINES, n)
    return "\n".join([_head(tape), *_lines(tape, first), note, *_lines(tape, last), *_foot(tape)])


def shown(name: str) -> str:
    """A name as it is, or in quotes where it holds what could be taken for something else."""
    return name if _PLAIN.fullmatch(name) else repr(name)


def shape_text(shape: Sequence[int]) -> str:
    """A shape as ``[2, 3]``; nothing for a scalar."""
    return str(list(shape)) if len(shape) else ""


def constant_text(constant: NDArray[Any]) -> str:
    """A constant in short: a number as it is written, of an array the first and last elements."""
    if constant.shape == ():
        return f"{float(constant):.15g}"
    with np.printoptions(threshold=MAX_ELEMENTS, edgeitems=2, precision=6):
        return str(constant if constant.size <= MAX_ELEMENTS else constant.reshape(-1)).replace("\n", "")


def _head(tape: Tape) -> str:
    return f"tape {tape.hash[:12]}: {repr(tape)[6:-1]}"


def _foot(tape: Tape) -> Iterator[str]:
    names = _references(tape)
    texts = [_reference(names, number) for number in tape.outputs.tolist()]
    if tape.output_names:
        pairs = zip(map(shown, tape.output_names), texts, strict=True)
        texts = [name if name == text else f"{name}: {text}" for name, text in pairs]
    yield "  return " + ", ".join(texts)


def _references(tape: Tape) -> dict[int, str]:
    """The names that operands and results are called by: where two nodes have one name, only that of ``tape[name]``."""
    known = tape._numbers_by_name
    return {number: name for number, name in tape._names_of_nodes.items() if known[name] == number}


def _reference(names: dict[int, str], number: int) -> str:
    return shown(names[number]) if number in names else f"%{number}"


def _lines(tape: Tape, numbers: range) -> Iterator[str]:
    guards = guards_by_node(tape)
    names = _references(tape)
    nodes = [tape.node(number) for number in numbers]
    lefts = [f"%{node.number} {shown(node.name)}" if node.name else f"%{node.number}" for node in nodes]
    rights = [operation_text(node, names) for node in nodes]
    left_width, right_width = _width(lefts, MAX_NAME_WIDTH), _width(rights, MAX_WIDTH)
    any_shape = any(node.shape for node in nodes)
    for group, rows in groupby(zip(nodes, lefts, rights, strict=True), key=lambda row: row[0].group):
        if group:
            yield f"  {shown(group)}:"
        # where some nodes are indented, the columns right of the names still stand in line
        indent, spare = ("    ", 0) if group else ("  ", 2 * bool(tape.groups))
        for node, left, right in rows:
            shape = f"{shape_text(node.shape):<8}" if any_shape else ""
            place = "" if node.source is None else f"  # {node.source.short}"
            yield f"{indent}{left:<{left_width + spare}} = {right:<{right_width}}  {shape}{place}".rstrip()
            for position in guards.get(node.number, ()):
                yield indent + _guard(tape, position, names)


def _width(texts: Sequence[str], most: int) -> int:
    return min(max(map(len, texts), default=0), most)


def operation_text(node: Node, names: dict[int, str]) -> str:
    """What a node is, its operands by name where they have one."""
    if node.operation == "input":
        return "input"
    if node.operation == "constant":
        return constant_text(node.attribute)
    arguments = [_reference(names, operand) for operand in node.operands]
    if node.attribute is not None:
        arguments.append(str(node.attribute))
    return f"{node.operation}({', '.join(arguments)})"


def _guard(tape: Tape, position: int, names: dict[int, str]) -> str:
    node, value = int(tape.guard_nodes[position]), tape.guard_values[position]
    source = tape.guard_source_of(position)
    where = "" if source is None else f"  # {source.short}"
    return f"guard {position}: {_reference(names, node)} must be {value:g}{where}"
