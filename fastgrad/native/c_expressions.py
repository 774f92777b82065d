"""C expressions as nodes, each computed once, and the statements that compute them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CONDITION",
    "DOUBLE",
    "INTEGER",
    "Block",
    "Loop",
    "Node",
    "count_uses",
    "lines_of",
    "number_text",
    "text_of",
]

DOUBLE, INTEGER, CONDITION = "double", "uint64_t", "int"
# an expression that is used once stands within its user up to this length
LONGEST_NESTED = 40
_ATOM = re.compile(r"-?[\w.+]+|\w+\(.*\)|\w+\[.*\]")


def number_text(x: float) -> str:
    """A double as C source: whole numbers in decimal, others in hexadecimal, both exact."""
    if math.isnan(x):
        return "NAN"
    if math.isinf(x):
        return "INFINITY" if x > 0 else "-INFINITY"
    return repr(x) if x == int(x) and abs(x) < 1e6 else re.sub(r"\.?0*p", "p", x.hex())


@dataclass(eq=False)
class Node:
    """A C expression: a template over other nodes; ``name`` is the variable that holds it, once it has one."""

    kind: str
    template: str
    operands: tuple[Node, ...] = ()
    name: str = ""
    n_uses: int = 0


@dataclass(eq=False)
class Loop:
    """``for (;;)`` over state variables: leave unless the condition holds, then replace all of them at once."""

    state: list[Node]
    initial: list[Node]
    test: Block
    going: Node
    body: Block
    following: list[Node]


@dataclass(eq=False)
class Block:
    """Nodes and loops in order of creation, and the nodes by what they compute."""

    outer: Block | None = None
    items: list[Node | Loop] = field(default_factory=list)
    known: dict[Any, Node] = field(default_factory=dict)

    def find(self, key: Any) -> Node | None:
        block: Block | None = self
        while block is not None:
            if key in block.known:
                return block.known[key]
            block = block.outer
        return None


def _operands_of(item: Node | Loop) -> Iterator[Node]:
    if isinstance(item, Node):
        yield from item.operands
    else:
        yield from (*item.initial, item.going, *item.following)
        for inner in (*item.test.items, *item.body.items):
            if isinstance(inner, Loop):
                yield from _operands_of(inner)


def count_uses(block: Block, results: Sequence[Node]) -> None:
    """Fill in ``n_uses`` by what the results and the loops use."""
    pending = list(results)
    for item in block.items:
        if isinstance(item, Loop):
            pending.extend(_operands_of(item))
    while pending:
        node = pending.pop()
        node.n_uses += 1
        if node.n_uses == 1:
            pending.extend(node.operands)


def text_of(node: Node) -> str:
    """The expression, without parentheses around it."""
    text = node.template.format(*[_operand_text(operand) for operand in node.operands])
    return text.replace("--", "- -")  # the negative of a negative number, not a decrement


def _operand_text(node: Node) -> str:
    if node.name:
        return node.name
    text = text_of(node)
    return text if _ATOM.fullmatch(text) and _is_balanced(text) else f"({text})"


def _is_balanced(text: str) -> bool:
    """Whether the first bracket of ``f(x) + g(y)`` closes at the end, which it does not here."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if depth == 0 and character in ")]" and position < len(text) - 1:
            return False
    return True


def lines_of(block: Block, prefix: str, indent: str) -> Iterator[str]:
    """Statements that give every node a variable whose expression is long or used more than once."""
    for number, item in enumerate(block.items):
        if isinstance(item, Loop):
            yield from _lines_of_loop(item, prefix, indent)
        elif not item.name and item.n_uses:
            text = text_of(item)
            if item.n_uses > 1 or len(text) > LONGEST_NESTED:
                item.name = f"{prefix}{number}"
                yield f"{indent}const {item.kind} {item.name} = {text};"


def _lines_of_loop(loop: Loop, prefix: str, indent: str) -> Iterator[str]:
    for variable, initial in zip(loop.state, loop.initial, strict=True):
        yield f"{indent}{variable.kind} {variable.name} = {initial.name or text_of(initial)};"
    inner = indent + "    "
    yield f"{indent}for (;;) {{"
    yield from lines_of(loop.test, f"{prefix}test_", inner)
    yield f"{inner}if (!{_operand_text(loop.going)}) break;"
    yield from lines_of(loop.body, f"{prefix}step_", inner)
    for variable, node in zip(loop.state, loop.following, strict=True):
        yield f"{inner}const {variable.kind} next_{variable.name} = {node.name or text_of(node)};"
    for variable in loop.state:
        yield f"{inner}{variable.name} = next_{variable.name};"
    yield f"{indent}}}"
