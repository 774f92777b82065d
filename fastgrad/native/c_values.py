"""C99 source with Python arithmetic: what the op table's functions run on to become C.

The twin of :mod:`fastgrad.emit` at width 1. A ``FloatValue``, ``IntegerValue`` or ``ConditionValue`` holds a ``Node``,
one C expression over others; equal expressions are one node. Integers are ``uint64_t``, whose arithmetic wraps in C,
and are cast where their sign counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from fastgrad.native.c_expressions import CONDITION, DOUBLE, INTEGER, Block, Loop, Node, number_text
from fastgrad.operators import ConditionOperators, FloatOperators, IntegerOperators, OperationOperand

__all__ = ["ConditionValue", "Emitter", "FloatValue", "IntegerValue"]


class Functions(Protocol):
    """What values need of the file that they are written to."""

    prefix: str

    def table(self, numbers: tuple[float, ...]) -> str: ...

    def rare(self, function: Callable[..., Any], arity: int) -> str: ...


class Emitter:
    """Where nodes go. ``FloatValue`` and its kin ask it as those of :mod:`fastgrad.emit` ask theirs."""

    def __init__(self, functions: Functions) -> None:
        self.functions = functions
        self.block = Block()

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
            chosen: FloatValue = x.select(1.0, 0.0)
            return chosen
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
            differs: ConditionValue = x != 0.0
            return differs
        return ConditionValue(self, self._constant(CONDITION, str(int(x))))

    def _constant(self, kind: str, text: str) -> Node:
        constant = self.node(kind, text)
        constant.name = text
        return constant


class _Value(OperationOperand):
    """What the three kinds share."""

    __slots__ = ("emitter", "node")

    def __init__(self, emitter: Emitter, node: Node) -> None:
        self.emitter = emitter
        self.node = node

    def repeat_while(self, condition: Any, step: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        emitter, before = self.emitter, self.emitter.block
        n_loops = sum(isinstance(item, Loop) for item in before.items)
        variables = [
            Node(value.node.kind, "", name=f"state{n_loops}_{k}" if n_loops else f"state_{k}")
            for k, value in enumerate(state)
        ]
        values = [type(value)(emitter, variable) for value, variable in zip(state, variables, strict=True)]
        test = emitter.block = Block(before)
        going = emitter.condition(condition(*values)).node
        body = emitter.block = Block(before)
        following = [value.node for value in step(*values)]
        emitter.block = before
        before.items.append(Loop(variables, [value.node for value in state], test, going, body, following))
        return tuple(values)


class FloatValue(FloatOperators, _Value):
    """A ``double``."""

    __slots__ = ()

    def _apply(self, template: str, *operands: Any) -> FloatValue:
        emitter = self.emitter
        return FloatValue(emitter, emitter.node(DOUBLE, template, *[emitter.float(x).node for x in operands]))

    def _binary(self, sign: str, x: Any, y: Any) -> FloatValue:
        return self._apply(f"{{}} {sign} {{}}", x, y)

    def __neg__(self) -> FloatValue:
        return self._apply("-{}", self)

    def _compare(self, sign: str, other: Any) -> ConditionValue:
        emitter = self.emitter
        return ConditionValue(
            emitter, emitter.node(CONDITION, f"{{}} {sign} {{}}", self.node, emitter.float(other).node)
        )

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


class IntegerValue(IntegerOperators, _Value):
    """A 64-bit integer. ``>>`` keeps the sign; arithmetic wraps."""

    __slots__ = ()

    def _apply(self, template: str, *operands: Any) -> IntegerValue:
        emitter = self.emitter
        return IntegerValue(emitter, emitter.node(INTEGER, template, *[emitter.integer(x).node for x in operands]))

    def _binary(self, sign: str, x: Any, y: Any) -> IntegerValue:
        # C's shift of unsigned numbers is the one that ignores the sign
        special = {">>": "(uint64_t)((int64_t){} >> {})", ">>>": "{} >> {}"}
        return self._apply(special.get(sign, f"{{}} {sign} {{}}"), x, y)

    def _compare(self, sign: str, other: Any) -> ConditionValue:
        emitter = self.emitter
        template = f"(int64_t){{}} {sign} (int64_t){{}}"
        return ConditionValue(emitter, emitter.node(CONDITION, template, self.node, emitter.integer(other).node))

    def from_bits(self) -> FloatValue:
        emitter = self.emitter
        return FloatValue(emitter, emitter.node(DOUBLE, f"{emitter.functions.prefix}from_bits({{}})", self.node))

    def to_float(self) -> FloatValue:
        return FloatValue(self.emitter, self.emitter.node(DOUBLE, "(double)(int64_t){}", self.node))

    def lookup(self, table: tuple[float, ...]) -> FloatValue:
        emitter = self.emitter
        return FloatValue(emitter, emitter.node(DOUBLE, f"{emitter.functions.table(table)}[{{}}]", self.node))


class ConditionValue(ConditionOperators, _Value):
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

    def _binary(self, sign: str, x: Any, y: Any) -> ConditionValue:
        return self._apply(f"{{}} {sign} {{}}", x, y)

    def __invert__(self) -> ConditionValue:
        return self._apply("!{}", self)
