"""What makes arrays a tape: every invariant of the docstring of ``tape``, checked without Python for each node.

Elementary operations on operands of their own shape, and slices, are checked by masks over all nodes at once. Of the
others one is checked of each sort: of those with the same operation, attribute, shape and shapes of operands.

Nothing here trusts the arrays, which may come from a file: sizes are bounded before the shape rules of the operations
run, and what passes runs without reaching outside its arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import array_ops, ops
from fastgrad.columns import Group, groups
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Source, operation_of

if TYPE_CHECKING:
    from fastgrad.tape import Shape, Tape

__all__ = ["DTYPES", "problems"]

# of each array of a tape
DTYPES: dict[str, Any] = {
    "opcodes": np.uint16,
    "operand_starts": np.uint32,
    "operands": np.uint32,
    "shape_indices": np.uint32,
    "attribute_indices": np.int32,
    "inputs": np.uint32,
    "outputs": np.uint32,
    "guard_nodes": np.uint32,
    "guard_values": np.float64,
    "guard_sources": np.int32,
    "source_indices": np.int32,
    "group_indices": np.int32,
    "named_nodes": np.uint32,
}
# what NumPy can broadcast; that the bytes of an array can be counted in int64
_MOST_AXES = 32
_MOST_ELEMENTS = 2.0**59
# what shape rules raise where they are given anything
_REFUSALS = (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError, RuntimeError)


def problems(tape: Tape) -> Iterator[str]:
    """What is wrong with a tape, the first problem first; later checks rely on earlier ones."""
    yield from _problems_of_arrays(tape)
    attributes = _groups(tape.attributes)
    yield from _problems_of_tables(tape, attributes)
    inputs: NDArray[Any] = np.sort(tape.inputs)
    if not np.array_equal(np.flatnonzero(tape.opcodes == INPUT), inputs):
        yield "inputs must list every input node once"
    found = sorted(_Nodes(tape, attributes or []).problems())
    if found:
        yield found[0][1]
    if any(tape.shapes[index] != () for index in np.unique(tape.shape_indices[tape.guard_nodes])):
        yield "a guard must be on a scalar"


def _problems_of_arrays(tape: Tape) -> Iterator[str]:
    for name, dtype in DTYPES.items():
        array = getattr(tape, name)
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
            yield f"{name} must be a one-dimensional array of {np.dtype(dtype)}"
    n = len(tape.opcodes)
    for name in ("shape_indices", "attribute_indices", "source_indices", "group_indices"):
        if len(getattr(tape, name)) != n:
            yield f"{name} has {len(getattr(tape, name))} entries for {n} nodes"
    starts = tape.operand_starts
    if len(starts) != n + 1 or starts[0] != 0 or starts[-1] != len(tape.operands) or np.any(starts[1:] < starts[:-1]):
        yield "operand_starts must rise from 0 to the number of operands, one entry more than there are nodes"
    if np.any(tape.operands >= _owners(tape)):
        yield "an operand does not come before the node that uses it"
    limits = {"inputs": n, "outputs": n, "guard_nodes": n, "named_nodes": n, "shape_indices": len(tape.shapes)}
    for name, limit in limits.items():
        if np.any(getattr(tape, name) >= limit):
            yield f"{name} points outside the tape"
    for name, table in (("source_indices", "sources"), ("guard_sources", "sources"), ("group_indices", "groups")):
        array = getattr(tape, name)
        if np.any(array < -1) or np.any(array >= len(getattr(tape, table))):
            yield f"{name} points outside the {table}"
    if not len(tape.guard_nodes) == len(tape.guard_values) == len(tape.guard_sources):
        yield "the guard arrays differ in length"


def _owners(tape: Tape) -> NDArray[np.uint32]:
    """The node that each operand belongs to."""
    return np.repeat(np.arange(len(tape), dtype=np.uint32), np.diff(tape.operand_starts))


def _problems_of_tables(tape: Tape, attributes: list[Group] | None) -> Iterator[str]:
    shapes = _groups(tape.shapes)
    if shapes is None or not all(type(g.form) is tuple and set(g.form) <= {"i"} for g in shapes):
        yield "shapes must be tuples of non-negative whole numbers"
        return
    if any(min(column) < 0 for group in shapes for column in group.columns):
        yield "shapes must be tuples of non-negative whole numbers"
    if any(len(g.form) > _MOST_AXES or _largest_size(g) > _MOST_ELEMENTS for g in shapes):
        yield f"a shape has more than {_MOST_AXES} axes or more elements than memory can have"
    if not all(isinstance(c, np.ndarray) and c.dtype.kind in "fiub" and c.dtype.itemsize <= 8 for c in tape.constants):
        yield "constants must be arrays of real numbers"
    for kind, names, count in (
        ("input", tape.input_names, len(tape.inputs)),
        ("output", tape.output_names, len(tape.outputs)),
    ):
        if len(names) and (len(names) != count or set(map(type, names)) != {str}):
            yield f"there must be one name for each {kind}"
        elif len(set(names)) != len(names):
            yield f"two {kind}s have the same name"
    if len(tape.node_names) != len(tape.named_nodes) or not set(map(type, tape.node_names)) <= {str}:
        yield "there must be one name for each named node"
    if len(set(tape.node_names)) != len(tape.node_names):
        yield "two nodes have the same name"
    if not set(map(type, tape.groups)) <= {str}:
        yield "groups must be text"
    if attributes is None:
        yield "attributes must be nested tuples of numbers, strings and None"
    sources = _groups([tuple(s) if type(s) is Source else None for s in tape.sources])
    if sources is None or any(group.form != ("s", "i", "s") for group in sources):
        yield "sources must be lines of the user's program"


def _groups(entries: Sequence[Any]) -> list[Group] | None:
    try:
        return groups(entries) if len(entries) else []
    except ValueError:
        return None


def _largest_size(group: Group) -> float:
    # an array without elements may still be too large in its other axes
    sizes = np.ones(len(group.positions))
    with np.errstate(over="ignore"):
        for column in group.columns:
            sizes *= np.maximum(np.array(column, np.float64), 1.0)
    return float(sizes.max(initial=0.0))


class _Nodes:
    """The nodes of a tape whose arrays and tables are right by themselves."""

    def __init__(self, tape: Tape, attributes: list[Group]) -> None:
        self.tape, self.attributes = tape, attributes
        self.counts = np.diff(tape.operand_starts)
        numbers: dict[Shape, int] = {}
        same = np.array([numbers.setdefault(shape, k) for k, shape in enumerate(tape.shapes)], np.int64)
        self.number_of_shape = numbers
        # equal shapes have equal numbers
        self.shapes = same[tape.shape_indices]

    def problems(self) -> Iterator[tuple[int, str]]:
        """The first node of each sort that is wrong, and what is wrong with it."""
        tape, positions = self.tape, self.tape.attribute_indices
        is_constant = tape.opcodes == CONSTANT
        yield from self._first(
            np.flatnonzero(is_constant)[~self._constants_fit()], "constant node {} does not fit an entry of constants"
        )
        outside = ~is_constant & ((positions < -1) | (positions >= len(tape.attributes)))
        yield from self._first(np.flatnonzero(outside), "node {} points outside the attributes")
        yield from self._first(
            np.flatnonzero((tape.opcodes == INPUT) & (self.counts > 0)), "input node {} has operands"
        )
        arities = self._arities()
        yield from self._first(
            np.flatnonzero(arities[tape.opcodes] == _UNKNOWN), "node {} has the unknown opcode {opcode}"
        )
        is_elementary = tape.opcodes < len(ops.TABLE)
        wrong = np.flatnonzero(is_elementary & (arities[tape.opcodes] != self.counts))
        if len(wrong):
            index = int(wrong[0])
            operation = ops.TABLE[tape.opcodes[index]]
            count = self.counts[index]
            yield index, f"node {index} ({operation.name}) has {count} operands instead of {operation.arity}"
        if not outside.any() and not len(wrong):
            yield from self._problems_of_shapes(is_elementary, arities)

    def _first(self, nodes: NDArray[Any], problem: str) -> Iterator[tuple[int, str]]:
        if len(nodes):
            index = int(nodes[0])
            yield index, problem.format(index, opcode=self.tape.opcodes[index])

    def _constants_fit(self) -> NDArray[np.bool_]:
        tape = self.tape
        nodes = np.flatnonzero(tape.opcodes == CONSTANT)
        positions = tape.attribute_indices[nodes]
        within = (positions >= 0) & (positions < len(tape.constants))
        numbers = np.array([self.number_of_shape.get(constant.shape, -1) for constant in tape.constants], np.int64)
        fits: NDArray[np.bool_] = within & (self.counts[nodes] == 0)
        fits[within] &= numbers[positions[within]] == self.shapes[nodes[within]]
        return fits

    def _arities(self) -> NDArray[np.int64]:
        """The number of operands by opcode: -1 for any, ``_UNKNOWN`` for a code that is no operation."""
        arities = np.full(2**16, -1)
        for opcode in np.flatnonzero(np.bincount(self.tape.opcodes, minlength=1)).tolist():
            if opcode in (INPUT, CONSTANT):
                continue
            try:
                operation = operation_of(opcode)
            except KeyError:
                arities[opcode] = _UNKNOWN
            else:
                arities[opcode] = operation.arity if isinstance(operation, ops.Operation) else -1
        return arities

    def _problems_of_shapes(
        self, is_elementary: NDArray[np.bool_], arities: NDArray[np.int64]
    ) -> Iterator[tuple[int, str]]:
        tape = self.tape
        owners = _owners(tape)
        differs = np.zeros(len(tape), bool)
        differs[owners[self.shapes[tape.operands] != self.shapes[owners]]] = True
        is_operation = (tape.opcodes < INPUT) & (arities[tape.opcodes] != _UNKNOWN)
        left = is_operation & ~(is_elementary & ~differs)
        left[self._fitting_slices(np.flatnonzero(left & ~is_elementary))] = False
        nodes = np.flatnonzero(left)
        for index in self._one_of_each(nodes, is_elementary):
            yield from self._problems_of_shape(index)
        for operation in (array_ops.gather, array_ops.scatter_add):
            yield from self._problems_of_positions(operation)

    # ---- slices

    @cached_property
    def _slice_specs(self) -> list[tuple[int, NDArray[Any], NDArray[Any]]]:
        """For each number of axes: which attributes are slices, and their rows of (start, count, step, ...)."""
        found = []
        for group in self.attributes:
            rank = len(group.form) if type(group.form) is tuple else 0
            if rank and group.form == (("i", "i", "i"),) * rank:
                found.append((rank, group.positions, np.array(group.columns, np.int64).T))
        return found

    def _fitting_slices(self, nodes: NDArray[Any]) -> NDArray[Any]:
        """Those of the nodes that are slices, and right: there are often as many different ones as nodes."""
        tape = self.tape
        nodes = nodes[(tape.opcodes[nodes] == ARRAY_OPERATION + array_ops.slice_.code) & (self.counts[nodes] == 1)]
        if len(nodes) < _FEW:
            return nodes[:0]
        right = [nodes[:0]]
        for rank, positions, specs in self._slice_specs:
            row = np.full(len(tape.attributes) + 1, -1)
            row[positions] = np.arange(len(positions))
            lengths = np.full((len(tape.shapes), rank), -1)
            for number, shape in enumerate(tape.shapes):
                if len(shape) == rank:
                    lengths[number] = shape
            chosen = nodes[row[tape.attribute_indices[nodes]] >= 0]
            start, count, step = np.moveaxis(
                specs[row[tape.attribute_indices[chosen]]].reshape(len(chosen), rank, 3), 2, 0
            )
            of = lengths[self.shapes[tape.operands[tape.operand_starts[chosen]]]]
            # large numbers are left to the rule, which counts without bound
            small = (np.maximum(np.abs(step), np.maximum(np.abs(start), np.abs(count))) < 2**31).all(axis=1)
            last = start + (count - 1) * step
            inside = (count == 0) | ((start >= 0) & (start < of) & (last >= 0) & (last < of))
            fits = (inside & (step != 0) & (count >= 0) & (of >= 0)).all(axis=1)
            fits &= small & (lengths[self.shapes[chosen]] == count).all(axis=1)
            right.append(chosen[fits])
        return np.concatenate(right)

    # ---- everything else

    def _one_of_each(self, nodes: NDArray[Any], is_elementary: NDArray[np.bool_]) -> list[int]:
        """The first node of each sort: operation, attribute, shape, and shapes of operands."""
        tape, found = self.tape, []
        attributes = np.where(is_elementary, -1, tape.attribute_indices)
        for count in np.unique(self.counts[nodes]).tolist():
            chosen = nodes[self.counts[nodes] == count]
            key = tape.opcodes[chosen].astype(np.int64)
            columns = [attributes[chosen] + 1, self.shapes[chosen]]
            starts = tape.operand_starts[chosen].astype(np.int64)
            if len(chosen) > 1:
                columns += [self.shapes[tape.operands[starts + k]] for k in range(count)]
                for column in columns:
                    width = int(column.max()) + 1
                    if int(key.max()) >= 2**62 // width:
                        key = np.unique(key, return_inverse=True)[1]
                    key = key * width + column
            found += chosen[np.unique(key, return_index=True)[1]].tolist()
        return sorted(found)

    def _problems_of_shape(self, index: int) -> Iterator[tuple[int, str]]:
        tape = self.tape
        operation, shape = operation_of(int(tape.opcodes[index])), tape.shape_of(index)
        shapes = [tape.shape_of(operand) for operand in tape.operands_of(index)]
        try:
            if isinstance(operation, ops.Operation):
                expected: Shape | None = np.broadcast_shapes(*shapes)
            else:
                attribute = tape.attribute_of(index)
                expected = operation.shape_rule(attribute, *shapes)
                # the weights of triangles are the one attribute of real numbers
                if _holds_real_numbers(attribute) and operation is not array_ops.triangles:
                    expected = None
        except _REFUSALS:
            expected = None
        if expected != shape:
            shown = str(shapes) if len(shapes) < _FEW else f"[{str(shapes[:_FEW])[1:-1]}, ...]"
            yield index, f"node {index} ({operation.name}) cannot have shape {shape} from operands of shapes {shown}"

    def _problems_of_positions(self, operation: array_ops.ArrayOperation) -> Iterator[tuple[int, str]]:
        """Positions that are constants; computed ones are checked by NumPy as they are used."""
        tape = self.tape
        nodes = np.flatnonzero((tape.opcodes == ARRAY_OPERATION + operation.code) & (self.counts == 2))
        starts = tape.operand_starts[nodes]
        positions = tape.operands[starts + 1]
        is_constant = tape.opcodes[positions] == CONSTANT
        nodes, positions = nodes[is_constant], positions[is_constant]
        of = self.shapes[tape.operands[starts[is_constant]] if operation is array_ops.gather else nodes]
        extremes: dict[int, tuple[float, float]] = {}
        for index, at, shape in zip(nodes.tolist(), tape.attribute_indices[positions].tolist(), of, strict=True):
            if not 0 <= at < len(tape.constants):
                continue
            if at not in extremes:
                extremes[at] = _range(tape.constants[at])
            size = math.prod(tape.shapes[shape])
            low, high = extremes[at]
            if not (low >= 0 and high < size):
                yield index, f"node {index} ({operation.name}) needs positions from 0 to {size - 1}"
                return


_UNKNOWN = -2
# so many are looked at one by one sooner than all at once
_FEW = 32


def _range(positions: NDArray[Any]) -> tuple[float, float]:
    """The least and the largest position; an impossible range unless all are whole numbers."""
    if not positions.size:
        return 0, -1
    if positions.dtype.kind == "f" and not np.all(positions == np.floor(positions)):
        return -1, -1
    return positions.min().item(), positions.max().item()


def _holds_real_numbers(attribute: Any) -> bool:
    if type(attribute) is tuple:
        return any(map(_holds_real_numbers, attribute))
    return type(attribute) is float
