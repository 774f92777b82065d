"""A tape under construction, on whose values the rules of the operation tables run.

``SymbolicTape`` simplifies as it grows, by rules that change no bit of a result (but the sign of a zero): equal nodes
are made once, arithmetic on constants is done at once, products with 1 and sums with 0 vanish, a slice of what was put
together from slices is the part, or zeros that are known to be zeros. Rules leave out what such zeros would add
(``Value.is_zero``). What no output needs is dropped when the tape is built.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import array_ops, ops
from fastgrad.reachability import needed_for
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Shape, Tape, distinct, is_number, number_array
from fastgrad.tape_builder import TapeBuilder

_ARITHMETIC: dict[ops.Operation, Callable[..., float]] = {
    ops.add: operator.add,
    ops.subtract: operator.sub,
    ops.multiply: operator.mul,
    ops.negative: operator.neg,
    ops.zero_product: operator.mul,
}
# operations that move elements and make none: of one number repeated they make that number repeated
_REPEATING = (array_ops.reshape, array_ops.broadcast_to, array_ops.transpose, array_ops.slice_)
_ZERO_PRESERVING = (array_ops.place, array_ops.concatenate, array_ops.sum_)
_PLACE, _CONCATENATE = ARRAY_OPERATION + array_ops.place.code, ARRAY_OPERATION + array_ops.concatenate.code
# how many sums a slice is looked for in, so that long ones cost no more
_DEEPEST_SUM = 3


class Value:
    """A node of a tape under construction."""

    __slots__ = ("node", "shape", "tape")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, tape: SymbolicTape, node: int, shape: Shape) -> None:
        self.tape = tape
        self.node = node
        self.shape = shape

    @property
    def is_zero(self) -> bool:
        """Whether all elements are known to be 0 for every input."""
        return self.tape.number_of(self) == 0.0

    def apply_operation(self, operation: ops.Operation, operands: tuple[Any, ...]) -> Value:
        return self.tape.apply(operation, operands)

    def apply_array_operation(self, operation: Any, operands: tuple[Any, ...], attribute: Any) -> Value:
        return self.tape.apply_array(operation, operands, attribute)


def _install_operators() -> None:
    def binary(operation: ops.Operation) -> tuple[Any, Any]:
        return (
            lambda self, other: self.tape.apply(operation, (self, other)),
            lambda self, other: self.tape.apply(operation, (other, self)),
        )

    for name, operation in [("add", ops.add), ("sub", ops.subtract), ("mul", ops.multiply), ("truediv", ops.divide)]:
        forward, reflected = binary(operation)
        setattr(Value, f"__{name}__", forward)
        setattr(Value, f"__r{name}__", reflected)
    comparisons = {"lt": ops.less, "le": ops.less_equal, "gt": ops.greater, "ge": ops.greater_equal}
    for name, operation in (comparisons | {"eq": ops.equal, "ne": ops.not_equal}).items():
        setattr(Value, f"__{name}__", binary(operation)[0])
    setattr(Value, "__neg__", lambda self: self.tape.apply(ops.negative, (self,)))  # noqa: B010


_install_operators()


class SymbolicTape:
    """Builds a tape from values; see the module's docstring."""

    def __init__(self, sources: tuple[Any, ...] = ()) -> None:
        self._builder = TapeBuilder(sources=sources)
        self._nodes: dict[Any, int] = {}
        self._numbers: dict[int, float] = {}
        # nodes of any shape whose elements are all this number
        self._uniform: dict[int, float] = {}
        # nodes whose elements are known and stay as they are
        self._fixed: dict[int, NDArray[Any]] = {}
        # nodes put together from slices, and sums with one among the terms: operation code, attribute and operands
        self._assembled: dict[int, tuple[int, Any, Sequence[Value]]] = {}
        # the line, and the group, that what is written now belongs to (-1: none)
        self.place = (-1, -1)

    def places_of(self, tape: Tape, sweep: str = "") -> list[tuple[int, int]]:
        """For each node of ``tape`` the ``place`` of what is written for it: its line, its group within ``sweep``."""
        paths = ["/".join(filter(None, (sweep, group))) for group in (*tape.groups, "")]
        groups = [self._builder.group_number(path) for path in paths]
        return [
            (source, groups[group])
            for source, group in zip(tape.source_indices.tolist(), tape.group_indices.tolist(), strict=True)
        ]

    def name(self, value: Value, name: str) -> None:
        """Call a node by a name, unless another has it already."""
        self._builder.named.setdefault(name, value.node)

    @property
    def line(self) -> str:
        """The user's line that what is written now belongs to; empty where there is none."""
        return "" if self.place[0] < 0 else str(self._builder.sources[self.place[0]])

    # ---- leaves

    def input(self, shape: Shape, name: str) -> Value:
        return Value(self, self._builder.append_input(shape, name), shape)

    def constant(self, array: NDArray[Any]) -> Value:
        """A captured array, by reference."""
        key = ("captured", id(array))
        if key not in self._nodes:
            self._nodes[key] = self._builder.append_constant(array, *self.place)
        return Value(self, self._nodes[key], array.shape)

    def fixed(self, array: NDArray[Any]) -> Value:
        """A captured array that nothing will ever write into, so that its elements are known here."""
        value = self.constant(array)
        self._fixed[value.node] = array
        return value

    def number(self, number: float) -> Value:
        number = float(number)
        key = ("number", number or str(number))
        if key not in self._nodes:
            node = self._nodes[key] = self._builder.append_constant(number_array(number), *self.place)
            self._numbers[node] = number
        return Value(self, self._nodes[key], ())

    def value(self, operand: Any) -> Value:
        return operand if isinstance(operand, Value) else self.number(operand)

    # ---- operations

    def apply(self, operation: ops.Operation, operands: Sequence[Any]) -> Value:
        """An elementary operation on values (and numbers) that broadcast."""
        values = [self.value(operand) for operand in operands]
        if operation is ops.zero_product and (values[0].is_zero or values[1].is_zero):
            return self.filled(0.0, np.broadcast_shapes(values[0].shape, values[1].shape))
        if self._uniform:
            values = self._without_broadcasts(values)
            folded = self._folded_broadcast(operation, values)
            if folded is not None:
                return folded
        simpler = self._simplified(operation, values)
        if simpler is not None:
            return simpler
        if len(values) == 1 or all(value.shape == values[0].shape for value in values):
            shape = values[0].shape
        else:
            shape = np.broadcast_shapes(*(value.shape for value in values))
        return self._node(operation.code, values, shape, None)

    def apply_array(self, operation: array_ops.ArrayOperation, operands: Sequence[Any], attribute: Any) -> Value:
        values = [self.value(operand) for operand in operands]
        shape = operation.shape_rule(attribute, *(value.shape for value in values))
        number = self.number_of(values[0])
        if number is not None and operation in _REPEATING:
            return self.filled(number, shape)
        if operation in _ZERO_PRESERVING and all(value.is_zero for value in values):
            return self.filled(0.0, shape)
        if operation is array_ops.matmul and values[0].shape[-1] == 1:
            # one product for each element, which can be fused with what is elementwise around it
            return self.apply(ops.multiply, values)
        if operation is array_ops.matmul:
            for one, other in ((0, 1), (1, 0)):
                if self._is_identity(values[one]):
                    return values[other]
        if operation is array_ops.slice_:
            part = self._part(values[0], attribute, shape)
            if part is not None:
                return part
        if shape == values[0].shape and _moves_nothing(operation, attribute, shape):
            return values[0]
        result = self._node(ARRAY_OPERATION + operation.code, values, shape, attribute)
        if operation in _REPEATING and values[0].node in self._fixed:
            self._fixed[result.node] = operation.evaluate(attribute, self._fixed[values[0].node])
        return result

    def _is_identity(self, value: Value) -> bool:
        """Whether a matrix is known to be the identity, whose zeros are to hide what is infinite."""
        array = self._fixed.get(value.node)
        return array is not None and array.ndim == 2 and np.array_equal(array, np.eye(len(array)))

    def _node(self, opcode: int, values: Sequence[Value], shape: Shape, attribute: Any) -> Value:
        nodes = tuple([value.node for value in values])
        key = (opcode, nodes) if attribute is None else (opcode, nodes, repr(attribute))
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = self._builder.append(opcode, nodes, shape, attribute, *self.place)
            if opcode in (_PLACE, _CONCATENATE) or (
                opcode == ops.add.code and any(value.node in self._assembled for value in values)
            ):
                self._assembled[node] = opcode, attribute, values
        return Value(self, node, shape)

    def filled(self, number: float, shape: Shape) -> Value:
        """A number repeated."""
        source = self.number(number)
        if shape == ():
            return source
        value = self._node(ARRAY_OPERATION + array_ops.broadcast_to.code, [source], shape, shape)
        self._uniform[value.node] = number
        return value

    def number_of(self, value: Value) -> float | None:
        """The number that all elements of a value are known to be."""
        return self._numbers.get(value.node, self._uniform.get(value.node))

    def _without_broadcasts(self, values: list[Value]) -> list[Value]:
        """Operands that are a number repeated become the number where the others have the full shape anyway."""
        if len(values) == 1 or not any(value.node in self._uniform for value in values):
            return values
        shape = np.broadcast_shapes(*(value.shape for value in values))
        for position, value in enumerate(values):
            if value.node in self._uniform:
                rest = [other.shape for k, other in enumerate(values) if k != position]
                if np.broadcast_shapes(*rest) == shape:
                    values[position] = self.number(self._uniform[value.node])
        return values

    def _folded_broadcast(self, operation: ops.Operation, values: list[Value]) -> Value | None:
        """Arithmetic on repeated numbers is arithmetic on the numbers, repeated."""
        if operation not in _ARITHMETIC or not any(value.node in self._uniform for value in values):
            return None
        numbers = [self.number_of(value) for value in values]
        if None in numbers:
            return None
        shape = np.broadcast_shapes(*(value.shape for value in values))
        return self.filled(_ARITHMETIC[operation](*numbers), shape)

    def _simplified(self, operation: ops.Operation, values: list[Value]) -> Value | None:
        if operation is ops.add and values[0].shape == values[1].shape:
            merged = self._sum_of_places(*values)
            if merged is not None:
                return merged
        numbers = [self._numbers.get(value.node) for value in values]
        if all(number is None for number in numbers):
            return None
        if None not in numbers and operation in _ARITHMETIC:
            result = _ARITHMETIC[operation](*numbers)
            if math.isfinite(result):
                return self.number(result)
        if operation in (ops.multiply, ops.zero_product):
            for one, other in ((0, 1), (1, 0)):
                if numbers[one] == 1.0 and values[one].shape == ():
                    return values[other]
                if numbers[one] == -1.0 and values[one].shape == ():
                    return self.apply(ops.negative, (values[other],))
            # a factor that is neither 0 nor infinite needs no care
            if operation is ops.zero_product and any(x is not None and x != 0.0 and math.isfinite(x) for x in numbers):
                return self.apply(ops.multiply, values)
        if operation is ops.add:
            for one, other in ((0, 1), (1, 0)):
                if numbers[one] == 0.0:
                    return values[other]
        if operation is ops.subtract and numbers[1] == 0.0:
            return values[0]
        return None

    def _part(self, value: Value, spec: Any, shape: Shape, depth: int = 0) -> Value | None:
        """A slice of an array put together from slices where it is one of these, or zeros; None where it is not."""
        if value.node in self._uniform:
            return self.filled(self._uniform[value.node], shape)
        if value.node not in self._assembled or depth > _DEEPEST_SUM:
            return None
        opcode, attribute, operands = self._assembled[value.node]
        if opcode == _PLACE:
            if _are_apart(attribute[1], spec):
                return self.filled(0.0, shape)
            inner = _inside(attribute[1], spec)
            return None if inner is None else self.apply_array(array_ops.slice_, operands, inner)
        if opcode == _CONCATENATE:
            return self._part_of_concatenated(attribute, operands, spec)
        if any(operand.shape != value.shape for operand in operands):
            return None
        for one, other in (operands, operands[::-1]):
            part = self._part(one, spec, shape, depth + 1)
            if part is not None and part.is_zero:
                return self.apply_array(array_ops.slice_, (other,), spec)
        return None

    def _part_of_concatenated(self, axis: int, operands: Sequence[Value], spec: Any) -> Value | None:
        start = 0
        for operand in operands:
            whole = [(0, length, 1) for length in operand.shape]
            whole[axis] = (start, operand.shape[axis], 1)
            inner = _inside(whole, spec)
            if inner is not None:
                return self.apply_array(array_ops.slice_, (operand,), inner)
            start += operand.shape[axis]
        return None

    def _sum_of_places(self, x: Value, y: Value) -> Value | None:
        """Two arrays of zeros with a value in the same slice are one, with the sum there."""
        found, other = self._assembled.get(x.node), self._assembled.get(y.node)
        if found is None or other is None or not found[0] == other[0] == _PLACE or found[1] != other[1]:
            return None
        attribute, (of_x,), (of_y,) = found[1], found[2], other[2]
        return self.apply_array(array_ops.place, (self.apply(ops.add, (of_x, of_y)),), attribute)

    # ---- whole tapes

    def replay(self, tape: Tape, operands: Sequence[Value]) -> list[Value]:
        """Every node of ``tape`` as a value of this one, its inputs being ``operands``; guards come along."""
        given = dict(zip(tape.inputs.tolist(), operands, strict=True))
        values: list[Value] = []
        starts, flat = tape.operand_starts.tolist(), tape.operands.tolist()
        places = self.places_of(tape)
        for index, opcode in enumerate(tape.opcodes.tolist()):
            self.place = places[index]
            if opcode == INPUT:
                values.append(given[index])
            elif opcode == CONSTANT:
                array = tape.constant_of(index)
                values.append(self.number(float(array)) if is_number(array) else self.constant(array))
            else:
                parts = [values[operand] for operand in flat[starts[index] : starts[index + 1]]]
                if opcode < len(ops.TABLE):
                    values.append(self.apply(ops.TABLE[opcode], parts))
                else:
                    entry = array_ops.TABLE[opcode - ARRAY_OPERATION]
                    values.append(self.apply_array(entry, parts, tape.attribute_of(index)))
        for name, node in zip(tape.node_names, tape.named_nodes.tolist(), strict=True):
            self.name(values[node], name)
        self.guard([values[node] for node in tape.guard_nodes.tolist()], tape)
        return values

    def guard(self, values: Sequence[Value], tape: Tape) -> None:
        """The guards of ``tape``, on these values."""
        guards = zip(values, tape.guard_values.tolist(), tape.guard_sources.tolist(), strict=True)
        self._builder.guards.extend((value.node, expected, source) for value, expected, source in guards)

    def build(self, outputs: Sequence[Value], names: Sequence[str] = ()) -> Tape:
        """The tape with these outputs, without the nodes that they do not need; a name that is taken gets a number."""
        return without_dead_nodes(self._builder.build([value.node for value in outputs], distinct(names)))


def _are_apart(one: Any, other: Any) -> bool:
    """Whether two slices of an array have no element in common, as far as their ends tell."""
    for axis, other_axis in zip(one, other, strict=True):
        (low, high), (other_low, other_high) = _ends(*axis), _ends(*other_axis)
        if high < other_low or other_high < low:
            return True
    return False


def _inside(outer: Any, spec: Any) -> Any:
    """A slice of an array as one of another slice of it, or None where it takes more, or the other leaves gaps."""
    if outer == spec:
        return tuple((0, count, 1) for _, count, _ in spec)
    inner = []
    for (start, length, stride), (first, count, step) in zip(outer, spec, strict=True):
        low, high = _ends(first, count, step)
        if stride != 1 or not start <= low <= high < start + length:
            return None
        inner.append((first - start, count, step))
    return tuple(inner)


def _ends(start: int, count: int, step: int) -> tuple[int, int]:
    """The lowest and the highest index of a slice; the wrong way round where it is empty."""
    last = start + (count - 1) * step
    return (min(start, last), max(start, last)) if count else (1, 0)


def _moves_nothing(operation: array_ops.ArrayOperation, attribute: Any, shape: Shape) -> bool:
    """Whether an operation whose result has its operand's shape is the identity."""
    if operation is array_ops.transpose:
        return bool(attribute == tuple(range(len(shape))))
    if operation in (array_ops.slice_, array_ops.place):
        spec = attribute if operation is array_ops.slice_ else attribute[1]
        return all(axis == (0, length, 1) for axis, length in zip(spec, shape, strict=True))
    return operation in (array_ops.reshape, array_ops.broadcast_to)


def without_dead_nodes(tape: Tape) -> Tape:
    """The tape without nodes on which neither outputs nor guards depend; inputs stay."""
    keep = needed_for((tape.inputs, tape.outputs, tape.guard_nodes), tape.operand_starts, tape.operands)
    return with_nodes(tape, keep)


def with_nodes(tape: Tape, keep: NDArray[np.bool_]) -> Tape:
    """The tape of these nodes alone, among which are its inputs, outputs, guards and all operands."""
    if keep.all():
        return tape
    number = np.cumsum(keep, dtype=np.int64) - 1
    lengths = tape.operand_counts
    starts_kept = np.zeros(int(keep.sum()) + 1, np.uint32)
    np.cumsum(lengths[keep], out=starts_kept[1:])
    attribute_indices = tape.attribute_indices[keep]
    constant = tape.opcodes[keep] == CONSTANT
    positions, inverse = np.unique(attribute_indices[constant], return_inverse=True)
    attribute_indices[constant] = inverse
    named = keep[tape.named_nodes]
    return Tape(
        opcodes=tape.opcodes[keep],
        operand_starts=starts_kept,
        operands=number[tape.operands[np.repeat(keep, lengths)]].astype(np.uint32),
        shape_indices=tape.shape_indices[keep],
        shapes=tape.shapes,
        attribute_indices=attribute_indices,
        attributes=tape.attributes,
        constants=tuple(tape.constants[position] for position in positions),
        inputs=number[tape.inputs].astype(np.uint32),
        outputs=number[tape.outputs].astype(np.uint32),
        guard_nodes=number[tape.guard_nodes].astype(np.uint32),
        guard_values=tape.guard_values,
        guard_sources=tape.guard_sources,
        source_indices=tape.source_indices[keep],
        sources=tape.sources,
        input_names=tape.input_names,
        output_names=tape.output_names,
        group_indices=tape.group_indices[keep],
        groups=tape.groups,
        named_nodes=number[tape.named_nodes[named]].astype(np.uint32),
        node_names=tuple(compress(tape.node_names, named)),
    )
