"""C99 source with Python arithmetic: what the op table's functions run on to become C.

The twin of :mod:`fastgrad.emit` at width 1. A ``FloatValue``, ``IntegerValue`` or ``ConditionValue`` holds a ``Node``,
one C expression over others; equal expressions are one node. ``CFunctions`` collects the C functions and tables that a
file needs, each once. Integers are ``uint64_t``, whose arithmetic wraps in C, and are cast where their sign counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastgrad.vm.instructions import Instruction

__all__ = ["CFunctions", "condition", "expressions", "number_lines", "number_text"]

DOUBLE, INTEGER, CONDITION = "double", "uint64_t", "int"
OPERANDS = ("x", "y", "z")
# an expression that is used once stands within its user up to this length
LONGEST_NESTED = 40
# functions up to so many lines are offered to the compiler for inlining
LINES_TO_INLINE = 8
_ATOM = re.compile(r"-?[\w.+]+|\w+\(.*\)|\w+\[.*\]")


def number_text(x: float) -> str:
    """A double as C source: whole numbers in decimal, others in hexadecimal, both exact."""
    if math.isnan(x):
        return "NAN"
    if math.isinf(x):
        return "INFINITY" if x > 0 else "-INFINITY"
    return repr(x) if x == int(x) and abs(x) < 1e6 else re.sub(r"\.?0*p", "p", x.hex())


# ---- expressions


@dataclass(eq=False)
class Node:
    """A C expression: a template over other nodes; ``name`` is the variable that holds it, once it has one."""

    kind: str
    template: str
    operands: tuple[Node, ...] = ()
    name: str = ""
    n_uses: int = 0


@dataclass(eq=False)
class _Loop:
    """``for (;;)`` over state variables: leave unless the condition holds, then replace all of them at once."""

    state: list[Node]
    initial: list[Node]
    test: _Block
    going: Node
    body: _Block
    following: list[Node]


@dataclass(eq=False)
class _Block:
    """Nodes and loops in order of creation, and the nodes by what they compute."""

    outer: _Block | None = None
    items: list[Node | _Loop] = field(default_factory=list)
    known: dict[Any, Node] = field(default_factory=dict)

    def find(self, key: Any) -> Node | None:
        block: _Block | None = self
        while block is not None:
            if key in block.known:
                return block.known[key]
            block = block.outer
        return None


class _Emitter:
    """Where nodes go. ``FloatValue`` and its kin ask it as those of :mod:`fastgrad.emit` ask theirs."""

    def __init__(self, functions: CFunctions) -> None:
        self.functions = functions
        self.block = _Block()

    def node(self, kind: str, template: str, *operands: Node) -> Node:
        key = (kind, template, *map(id, operands))
        found = self.block.find(key)
        if found is None:
            found = self.block.known[key] = Node(kind, template, operands)
            self.block.items.append(found)
        return found

    def named(self, name: str) -> FloatValue:
        """A variable or a number that stands in the surrounding code."""
        return FloatValue(self, Node(DOUBLE, name, name=name))

    def float(self, x: Any) -> FloatValue:
        if isinstance(x, FloatValue):
            return x
        if isinstance(x, ConditionValue):
            return x.select(1.0, 0.0)
        return FloatValue(self, self._constant(DOUBLE, number_text(float(x))))

    def integer(self, x: Any) -> IntegerValue:
        if isinstance(x, IntegerValue):
            return x
        whole = int(x) % 2**64
        return IntegerValue(self, self._constant(INTEGER, f"{whole}u" if whole < 4096 else f"UINT64_C({whole:#x})"))

    def condition(self, x: Any) -> ConditionValue:
        if isinstance(x, ConditionValue):
            return x
        if isinstance(x, FloatValue):
            return x != 0.0
        return ConditionValue(self, self._constant(CONDITION, str(int(x))))

    def _constant(self, kind: str, text: str) -> Node:
        constant = self.node(kind, text)
        constant.name = text
        return constant


class _Value:
    """What the three kinds share; an operation of the table applied to it runs its ``forward``."""

    __slots__ = ("emitter", "node")

    def __init__(self, emitter: _Emitter, node: Node) -> None:
        self.emitter = emitter
        self.node = node

    __hash__ = None  # type: ignore[assignment]

    def apply_operation(self, operation: Any, operands: tuple[Any, ...]) -> Any:
        return operation.forward(*[x if isinstance(x, _Value) else self.emitter.float(x) for x in operands])

    def repeat_while(self, condition: Any, step: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        emitter, before = self.emitter, self.emitter.block
        n_loops = sum(isinstance(item, _Loop) for item in before.items)
        variables = [
            Node(value.node.kind, "", name=f"state{n_loops}_{k}" if n_loops else f"state_{k}")
            for k, value in enumerate(state)
        ]
        values = [type(value)(emitter, variable) for value, variable in zip(state, variables, strict=True)]
        test = emitter.block = _Block(before)
        going = emitter.condition(condition(*values)).node
        body = emitter.block = _Block(before)
        following = [value.node for value in step(*values)]
        emitter.block = before
        before.items.append(_Loop(variables, [value.node for value in state], test, going, body, following))
        return tuple(values)


class FloatValue(_Value):
    """A ``double``."""

    __slots__ = ()

    def _apply(self, template: str, *operands: Any) -> FloatValue:
        emitter = self.emitter
        return FloatValue(emitter, emitter.node(DOUBLE, template, *[emitter.float(x).node for x in operands]))

    def __add__(self, other: Any) -> FloatValue:
        return self._apply("{} + {}", self, other)

    def __radd__(self, other: Any) -> FloatValue:
        return self._apply("{} + {}", other, self)

    def __sub__(self, other: Any) -> FloatValue:
        return self._apply("{} - {}", self, other)

    def __rsub__(self, other: Any) -> FloatValue:
        return self._apply("{} - {}", other, self)

    def __mul__(self, other: Any) -> FloatValue:
        return self._apply("{} * {}", self, other)

    def __rmul__(self, other: Any) -> FloatValue:
        return self._apply("{} * {}", other, self)

    def __truediv__(self, other: Any) -> FloatValue:
        return self._apply("{} / {}", self, other)

    def __rtruediv__(self, other: Any) -> FloatValue:
        return self._apply("{} / {}", other, self)

    def __neg__(self) -> FloatValue:
        return self._apply("-{}", self)

    def _compare(self, sign: str, other: Any) -> ConditionValue:
        emitter = self.emitter
        return ConditionValue(
            emitter, emitter.node(CONDITION, f"{{}} {sign} {{}}", self.node, emitter.float(other).node)
        )

    def __lt__(self, other: Any) -> ConditionValue:
        return self._compare("<", other)

    def __le__(self, other: Any) -> ConditionValue:
        return self._compare("<=", other)

    def __gt__(self, other: Any) -> ConditionValue:
        return self._compare(">", other)

    def __ge__(self, other: Any) -> ConditionValue:
        return self._compare(">=", other)

    def __eq__(self, other: Any) -> ConditionValue:  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: Any) -> ConditionValue:  # type: ignore[override]
        return self._compare("!=", other)

    def unary(self, name: str) -> FloatValue:
        return self._apply(f"{name}({{}})", self)

    def fma(self, x: Any, y: Any, z: Any) -> FloatValue:
        return self._apply("fma({}, {}, {})", x, y, z)

    def copysign(self, x: Any, y: Any) -> FloatValue:
        return self._apply("copysign({}, {})", x, y)

    def to_bits(self) -> IntegerValue:
        emitter = self.emitter
        return IntegerValue(emitter, emitter.node(INTEGER, f"{emitter.functions.prefix}to_bits({{}})", self.node))

    def to_integer(self) -> IntegerValue:
        emitter = self.emitter
        return IntegerValue(emitter, emitter.node(INTEGER, "(uint64_t)(int64_t){}", self.node))


class IntegerValue(_Value):
    """A 64-bit integer. ``>>`` keeps the sign; arithmetic wraps."""

    __slots__ = ()

    def _apply(self, template: str, *operands: Any) -> IntegerValue:
        emitter = self.emitter
        return IntegerValue(emitter, emitter.node(INTEGER, template, *[emitter.integer(x).node for x in operands]))

    def __add__(self, other: Any) -> IntegerValue:
        return self._apply("{} + {}", self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> IntegerValue:
        return self._apply("{} - {}", self, other)

    def __rsub__(self, other: Any) -> IntegerValue:
        return self._apply("{} - {}", other, self)

    def __mul__(self, other: Any) -> IntegerValue:
        return self._apply("{} * {}", self, other)

    __rmul__ = __mul__

    def __and__(self, other: Any) -> IntegerValue:
        return self._apply("{} & {}", self, other)

    def __or__(self, other: Any) -> IntegerValue:
        return self._apply("{} | {}", self, other)

    def __xor__(self, other: Any) -> IntegerValue:
        return self._apply("{} ^ {}", self, other)

    def __lshift__(self, other: Any) -> IntegerValue:
        return self._apply("{} << {}", self, other)

    def __rshift__(self, other: Any) -> IntegerValue:
        return self._apply("(uint64_t)((int64_t){} >> {})", self, other)

    def logical_right_shift(self, other: Any) -> IntegerValue:
        return self._apply("{} >> {}", self, other)

    def _compare(self, sign: str, other: Any) -> ConditionValue:
        emitter = self.emitter
        template = f"(int64_t){{}} {sign} (int64_t){{}}"
        return ConditionValue(emitter, emitter.node(CONDITION, template, self.node, emitter.integer(other).node))

    def __lt__(self, other: Any) -> ConditionValue:
        return self._compare("<", other)

    def __le__(self, other: Any) -> ConditionValue:
        return self._compare("<=", other)

    def __gt__(self, other: Any) -> ConditionValue:
        return self._compare(">", other)

    def __ge__(self, other: Any) -> ConditionValue:
        return self._compare(">=", other)

    def __eq__(self, other: Any) -> ConditionValue:  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: Any) -> ConditionValue:  # type: ignore[override]
        return self._compare("!=", other)

    def from_bits(self) -> FloatValue:
        emitter = self.emitter
        return FloatValue(emitter, emitter.node(DOUBLE, f"{emitter.functions.prefix}from_bits({{}})", self.node))

    def to_float(self) -> FloatValue:
        return FloatValue(self.emitter, self.emitter.node(DOUBLE, "(double)(int64_t){}", self.node))

    def lookup(self, table: tuple[float, ...]) -> FloatValue:
        emitter = self.emitter
        return FloatValue(emitter, emitter.node(DOUBLE, f"{emitter.functions.table(table)}[{{}}]", self.node))


class ConditionValue(_Value):
    """1 or 0."""

    __slots__ = ()
    is_condition = True

    def select(self, x: Any, y: Any) -> Any:
        emitter = self.emitter
        convert = emitter.integer if isinstance(x, IntegerValue) or isinstance(y, IntegerValue) else emitter.float
        x, y = convert(x), convert(y)
        return type(x)(emitter, emitter.node(x.node.kind, "{} ? {} : {}", self.node, x.node, y.node))

    def rarely(self, function: Any, operands: tuple[Any, ...], cheap: Any) -> FloatValue:
        emitter = self.emitter
        name = emitter.functions.rare(function, len(operands))
        nodes = [emitter.float(operand).node for operand in operands]
        template = f"{{}} ? {name}({', '.join(['{}'] * len(nodes))}) : {{}}"
        return FloatValue(emitter, emitter.node(DOUBLE, template, self.node, *nodes, emitter.float(cheap).node))

    def _apply(self, template: str, *operands: Any) -> ConditionValue:
        emitter = self.emitter
        nodes = [emitter.condition(x).node for x in operands]
        return ConditionValue(emitter, emitter.node(CONDITION, template, *nodes))

    def __and__(self, other: Any) -> ConditionValue:
        return self._apply("{} & {}", self, other)

    def __or__(self, other: Any) -> ConditionValue:
        return self._apply("{} | {}", self, other)

    def __xor__(self, other: Any) -> ConditionValue:
        return self._apply("{} ^ {}", self, other)

    def __invert__(self) -> ConditionValue:
        return self._apply("!{}", self)


# ---- text


def _operands_of(item: Node | _Loop) -> Iterator[Node]:
    if isinstance(item, Node):
        yield from item.operands
    else:
        yield from (*item.initial, item.going, *item.following)
        for inner in (*item.test.items, *item.body.items):
            if isinstance(inner, _Loop):
                yield from _operands_of(inner)


def _count_uses(block: _Block, results: Sequence[Node]) -> None:
    """Fill in ``n_uses`` by what the results and the loops use."""
    pending = list(results)
    for item in block.items:
        if isinstance(item, _Loop):
            pending.extend(_operands_of(item))
    while pending:
        node = pending.pop()
        node.n_uses += 1
        if node.n_uses == 1:
            pending.extend(node.operands)


def _text(node: Node) -> str:
    """The expression, without parentheses around it."""
    text = node.template.format(*[_operand_text(operand) for operand in node.operands])
    return text.replace("--", "- -")  # the negative of a negative number, not a decrement


def _operand_text(node: Node) -> str:
    if node.name:
        return node.name
    text = _text(node)
    return text if _ATOM.fullmatch(text) and _is_balanced(text) else f"({text})"


def _is_balanced(text: str) -> bool:
    """Whether the first bracket of ``f(x) + g(y)`` closes at the end, which it does not here."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if depth == 0 and character in ")]" and position < len(text) - 1:
            return False
    return True


def _lines_of(block: _Block, prefix: str, indent: str) -> Iterator[str]:
    """Statements that give every node a variable whose expression is long or used more than once."""
    for number, item in enumerate(block.items):
        if isinstance(item, _Loop):
            yield from _lines_of_loop(item, prefix, indent)
        elif not item.name and item.n_uses:
            text = _text(item)
            if item.n_uses > 1 or len(text) > LONGEST_NESTED:
                item.name = f"{prefix}{number}"
                yield f"{indent}const {item.kind} {item.name} = {text};"


def _lines_of_loop(loop: _Loop, prefix: str, indent: str) -> Iterator[str]:
    for variable, initial in zip(loop.state, loop.initial, strict=True):
        yield f"{indent}{variable.kind} {variable.name} = {initial.name or _text(initial)};"
    inner = indent + "    "
    yield f"{indent}for (;;) {{"
    yield from _lines_of(loop.test, f"{prefix}test_", inner)
    yield f"{inner}if (!{_operand_text(loop.going)}) break;"
    yield from _lines_of(loop.body, f"{prefix}step_", inner)
    for variable, node in zip(loop.state, loop.following, strict=True):
        yield f"{inner}const {variable.kind} next_{variable.name} = {node.name or _text(node)};"
    for variable in loop.state:
        yield f"{inner}{variable.name} = next_{variable.name};"
    yield f"{indent}}}"


# ---- functions


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
        emitter = _Emitter(self)
        values = evaluate(*map(emitter.named, OPERANDS[:arity]))
        result, *partials = [emitter.float(value).node for value in values]
        _count_uses(emitter.block, [result, *partials])
        lines = list(_lines_of(emitter.block, "t", "    "))
        lines += [f"    partials[{k}] = {node.name or _text(node)};" for k, node in enumerate(partials)]
        lines.append(f"    return {result.name or _text(result)};")
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
    emitter = _Emitter(functions)
    nodes = [emitter.float(value).node for value in instruction.evaluate(*map(emitter.named, operands))]
    if sum(not node.name for node in emitter.block.items if isinstance(node, Node)) > 1 + len(nodes):
        return None
    texts = []
    for node, name in zip(nodes, names, strict=True):
        texts.append(node.name or _text(node))
        node.name = node.name or name
    return texts


def condition(functions: CFunctions, holds: Callable[..., Any], operands: Sequence[str]) -> str:
    """What a guard asks, as a C expression."""
    emitter = _Emitter(functions)
    return _text(emitter.condition(holds(*map(emitter.named, operands))).node)


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
