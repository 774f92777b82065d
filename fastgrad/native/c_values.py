"""C99 source with Python arithmetic: what the op table's functions run on to become C.

The twin of :mod:`fastgrad.emit` at width 1. A ``FloatValue``, ``IntegerValue`` or ``ConditionValue`` holds a ``Node``,
one C expression over others; equal expressions are one node. Integers are ``uint64_t``, whose arithmetic wraps in C,
and are cast where their sign counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from fastgrad.native.c_expressions import CONDITION, DOUBLE, INTEGER, Block, Loop, Node, number_text

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
            return x != 0.0
        return ConditionValue(self, self._constant(CONDITION, str(int(x))))

    def _constant(self, kind: str, text: str) -> Node:
        constant = self.node(kind, text)
        constant.name = text
        return constant


class _Value:
    """What the three kinds share; an operation of the table applied to it runs its ``forward``."""

    __slots__ = ("emitter", "node")

    def __init__(self, emitter: Emitter, node: Node) -> None:
        self.emitter = emitter
        self.node = node

    __hash__ = None  # type: ignore[assignment]

    def apply_operation(self, operation: Any, operands: tuple[Any, ...]) -> Any:
        return operation.forward(*[x if isinstance(x, _Value) else self.emitter.float(x) for x in operands])

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
