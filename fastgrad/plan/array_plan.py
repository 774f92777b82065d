"""A tape of large arrays as steps: elementwise segments for the VM, and the rest for NumPy.

A *segment* is all elementwise nodes of one shape whose operands are there at the same time. It runs as one scalar
program over tiles of its index space, so its intermediate values never leave the cache. What surrounds it is fused into
it: slices, transposes and broadcasts of operands are strided loads; a sum over axes is an accumulating store with
stride 0; an array put together from slices (``place``, sums of them, ``concatenate``) is stores into parts of one
buffer. *Stages* order the segments: a node's stage is one more than that of what it needs complete.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import array_ops, ops
from fastgrad.array_ops import slices_of
from fastgrad.plan.array_steps import (
    ArrayPlan,
    Buffer,
    Copy,
    Evaluation,
    Place,
    Segment,
    Step,
    Store,
    Stretch,
    contiguous,
)
from fastgrad.plan.reuse import with_values_over_operands
from fastgrad.plan.row_blocks import in_blocks_of_rows
from fastgrad.plan.scalar_program import MAX_ARITY, NO_SLOT, ScalarProgram
from fastgrad.plan.sweep import plan_sweep, with_few_slots
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Shape, Tape, is_number

VIEWS = (array_ops.reshape, array_ops.transpose, array_ops.broadcast_to, array_ops.slice_)


# operations that a value of 2 axes may come to by columns as well as by rows; rows of less are short
TAKE_ANY_LAYOUT = (
    array_ops.matmul,
    array_ops.sum_,
    array_ops.max_,
    array_ops.min_,
    array_ops.transpose,
    array_ops.broadcast_to,
    array_ops.slice_,
    array_ops.place,
    array_ops.concatenate,
)
SHORT_ROW = 32
# What is computed again rather than stored, and how many of these may follow one another.
RECOMPUTED = (ops.add, ops.subtract, ops.multiply, ops.negative, ops.square)
MAX_RECOMPUTED = 3


def array_plan(tape: Tape) -> ArrayPlan:
    """The plan of a tape's values."""
    return with_values_over_operands(_Planner(tape).plan())


@dataclass
class _Group:
    """A segment being collected: its nodes in order, and where their values must go."""

    shape: Shape
    nodes: list[int] = field(default_factory=list)
    # node -> places that its value is stored (False) or accumulated (True) into
    stores: dict[int, list[tuple[Place, bool]]] = field(default_factory=dict)
    guarded_loads: list[int] = field(default_factory=list)


class _Planner:
    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        n = len(tape)
        self.opcodes: list[int] = tape.opcodes.tolist()
        starts, flat = tape.operand_starts.tolist(), tape.operands.tolist()
        self.operands = [flat[starts[k] : starts[k + 1]] for k in range(n)]
        self.shapes = [tape.shape_of(k) for k in range(n)]
        self.buffers: list[Buffer] = []
        self.constants: list[NDArray[Any]] = []
        self.zeroed: list[Stretch] = []
        self.places: dict[int, Place] = {}
        self.stages = [0] * n
        self.groups: dict[tuple[int, Shape], _Group] = {}
        self.evaluations: dict[int, list[Evaluation | Copy]] = {}
        self.copies: list[Copy] = []
        self.n_uses = [0] * n
        self.users: dict[int, list[int]] = {}
        for node, operands in enumerate(self.operands):
            for operand in operands:
                self.n_uses[operand] += 1
                self.users.setdefault(operand, []).append(node)
        for output in tape.outputs.tolist():
            self.n_uses[output] += 1
        # evaluated nodes that lie in a result transposed, and by which order of axes
        self.transposed: dict[int, tuple[int, ...]] = {}
        self.results = {node: k for k, node in reversed(list(enumerate(tape.outputs.tolist())))}
        for node in range(n):
            self._fused_factors(node)
        for node, number in list(self.results.items()):
            self._reshaped_result(node, number)
        self.guards: dict[int, list[tuple[int, float]]] = {}
        pairs = zip(tape.guard_nodes.tolist(), tape.guard_values.tolist(), strict=True)
        for number, (node, expected) in enumerate(pairs):
            self.guards.setdefault(node, []).append((number, expected))

    def _fused_factors(self, node: int) -> None:
        """An operation that multiplies each element with a number of its own is elementwise, with a constant."""
        entry = self.entry(node)
        if entry is None or entry.factors is None:
            return
        factors = entry.factors(self.tape.attribute_of(node), self.shapes[node])
        self.constants.append(factors)
        buffer = self._new_buffer("constant", len(self.constants) - 1, factors.size)
        # a node beyond the tape's own
        constant = len(self.opcodes)
        self.places[constant] = Place(buffer, 0, factors.shape, contiguous(factors.shape))
        self.opcodes.append(INPUT)
        self.operands.append([])
        self.shapes.append(factors.shape)
        self.stages.append(0)
        self.n_uses.append(1)
        self.opcodes[node], self.operands[node] = ops.zero_product.code, [*self.operands[node], constant]

    def _reshaped_result(self, node: int, number: int) -> None:
        """What an output is a reshape of goes to the caller's array too, and what NumPy computes and it transposes."""
        while self.entry(node) is array_ops.reshape:
            (node,) = self.operands[node]
            if node in self.results:
                return
        self.results[node] = number
        if self.entry(node) is array_ops.transpose:
            (operand,) = self.operands[node]
            if self._is_evaluated(operand) and self.n_uses[operand] == 1:
                self.results[operand] = number
                self.transposed[operand] = self.tape.attribute_of(node)

    # ---- what a node is

    def entry(self, node: int) -> array_ops.ArrayOperation | None:
        opcode = self.opcodes[node]
        return array_ops.TABLE[opcode - ARRAY_OPERATION] if ARRAY_OPERATION <= opcode < INPUT else None

    def is_elementwise(self, node: int) -> bool:
        return self.opcodes[node] < len(ops.TABLE)

    def _is_evaluated(self, node: int) -> bool:
        entry = self.entry(node)
        return entry is not None and entry not in (*VIEWS, array_ops.sum_, array_ops.place, array_ops.concatenate)

    def is_number(self, node: int) -> bool:
        return self.opcodes[node] == CONSTANT and is_number(self.tape.constant_of(node))

    # ---- the plan

    def plan(self) -> ArrayPlan:
        scatters = self._scatters()
        for node in range(len(self.tape)):
            if node in scatters.absorbed:
                continue
            if node in scatters.terms:
                self._scatter(node, scatters.terms[node])
            elif self.is_elementwise(node):
                self._elementwise(node)
            elif self.opcodes[node] == INPUT or self.opcodes[node] == CONSTANT:
                self._leaf(node)
            elif self.entry(node) in VIEWS:
                self._view(node)
            elif self.entry(node) is array_ops.sum_:
                self._sum(node)
            else:
                self._evaluate(node)
        for node in self.guards:
            if not self.is_elementwise(node) or node in scatters.terms:
                self._guarded_load(node)
        self._outputs()
        steps: list[Step] = [step for _, step in sorted(self._steps(), key=lambda item: item[0])]
        return ArrayPlan(
            buffers=tuple(self.buffers),
            constants=tuple(self.constants),
            zeroed=tuple(self.zeroed),
            steps=tuple(in_blocks_of_rows([*steps, *self.copies])),
        )

    def _scatters(self) -> _Scatters:
        """Nodes put together from slices: ``place``, ``concatenate``, and sums with ``place`` among the terms."""
        found = _Scatters({}, set())
        for node in range(len(self.tape)):
            entry = self.entry(node)
            if entry is array_ops.place:
                _, spec = self.tape.attribute_of(node)
                found.terms[node] = [_Term(self.operands[node][0], spec)]
            elif entry is array_ops.concatenate:
                found.terms[node] = list(self._concatenated(node))
            elif self.opcodes[node] == ops.add.code:
                self._add_places(node, found)
        return found

    def _add_places(self, node: int, found: _Scatters) -> None:
        """A sum of which a term is put together from slices is so too."""
        operands = self.operands[node]
        if len(set(operands)) != 2 or any(self.shapes[operand] != self.shapes[node] for operand in operands):
            return
        parts = [operand for operand in operands if self._is_sum_of_places(operand, found)]
        if parts:
            found.terms[node] = [
                term
                for operand in operands
                for term in (found.terms[operand] if operand in parts else [_Term(operand, None)])
            ]
            found.absorbed.update(parts)

    def _is_sum_of_places(self, node: int, found: _Scatters) -> bool:
        return node in found.terms and self.n_uses[node] == 1 and self.entry(node) is not array_ops.concatenate

    def _concatenated(self, node: int) -> Iterator[_Term]:
        axis, start = self.tape.attribute_of(node), 0
        for operand in self.operands[node]:
            shape = self.shapes[operand]
            spec = [(0, length, 1) for length in shape]
            spec[axis] = (start, shape[axis], 1)
            start += shape[axis]
            yield _Term(operand, tuple(spec))

    # ---- memory

    def _new_buffer(self, kind: str, number: int, size: int) -> int:
        self.buffers.append(Buffer(kind, number, size))
        return len(self.buffers) - 1

    def _own_place(self, node: int) -> Place:
        """Memory for a node's value: the caller's result array where the node is an output, else workspace."""
        shape = self.shapes[node]
        kind, number = ("result", self.results[node]) if node in self.results else ("workspace", 0)
        buffer = self._new_buffer(kind, number, math.prod(shape))
        axes = self.transposed.get(node, tuple(range(len(shape))))
        if kind == "workspace" and self._is_by_columns(node):
            axes = (1, 0)
        strides = dict(zip(axes, contiguous(tuple(shape[axis] for axis in axes)), strict=True))
        place = self.places[node] = Place(buffer, 0, shape, tuple(strides[axis] for axis in range(len(shape))))
        return place

    def _place(self, node: int) -> Place:
        """Where a node's value is; an elementwise node that is used outside its segment gets memory here."""
        place = self.places.get(node)
        if place is None:
            place = self._own_place(node)
            self._group_of(node).stores.setdefault(node, []).append((place, False))
        return place

    def _is_by_columns(self, node: int) -> bool:
        """Whether a value of short rows is laid out so that neighbours in a column, which lanes run along, are so too.

        Only what takes any layout may use it.
        """
        shape = self.shapes[node]
        if len(shape) != 2 or not 1 < shape[1] < SHORT_ROW <= shape[0] or not self.is_elementwise(node):
            return False
        return all(self._takes_columns(user, shape) for user in self.users.get(node, ()))

    def _takes_columns(self, user: int, shape: Shape) -> bool:
        entry = self.entry(user)
        if entry is array_ops.reshape:
            by_columns = Place(0, 0, shape, (1, shape[0]))
            return _viewed(array_ops.reshape, self.tape.attribute_of(user), by_columns) is not None
        return entry is None or entry in TAKE_ANY_LAYOUT

    def _leaf(self, node: int) -> None:
        if self.is_number(node):
            return
        size = math.prod(self.shapes[node])
        if self.opcodes[node] == INPUT:
            buffer = self._new_buffer("input", self.tape.inputs.tolist().index(node), size)
        else:
            self.constants.append(self.tape.constant_of(node))
            buffer = self._new_buffer("constant", len(self.constants) - 1, size)
        self.places[node] = Place(buffer, 0, self.shapes[node], contiguous(self.shapes[node]))

    def _number_place(self, node: int) -> Place:
        """A number as memory, for the few that ask for an array: views of it and NumPy."""
        self.constants.append(self.tape.constant_of(node))
        buffer = self._new_buffer("constant", len(self.constants) - 1, 1)
        return Place(buffer, 0, (), ())

    # ---- nodes

    def _group_of(self, node: int) -> _Group:
        return self.groups[self.stages[node], self.shapes[node]]

    def _elementwise(self, node: int) -> None:
        shape = self.shapes[node]
        stage = 1
        for operand in self.operands[node]:
            same_segment = self.is_segment_node(operand) and self.shapes[operand] == shape
            stage = max(stage, self.stages[operand] + (0 if same_segment else 1))
        self.stages[node] = stage
        group = self.groups.setdefault((stage, shape), _Group(shape))
        group.nodes.append(node)

    def is_segment_node(self, node: int) -> bool:
        """Whether the node's value is a row of a segment."""
        return self.is_elementwise(node) and node not in self.places

    def _view(self, node: int) -> None:
        (operand,) = self.operands[node]
        entry = self.entry(node)
        assert entry is not None
        source = self._number_place(operand) if self.is_number(operand) else self._place(operand)
        self.stages[node] = self.stages[operand]
        viewed = _viewed(entry, self.tape.attribute_of(node), source)
        if viewed is not None:
            self.places[node] = viewed
            return
        # a reshape that cannot be had by strides alone
        target = self._own_place(node)
        reshaped = Place(target.buffer, 0, source.shape, contiguous(source.shape))
        self.stages[node] = self.stages[operand] + 1
        self.evaluations.setdefault(self.stages[node], []).append(Copy(source, reshaped))

    def _sum(self, node: int) -> None:
        (operand,) = self.operands[node]
        axes = self.tape.attribute_of(node)
        place = self._own_place(node)
        self._zero(place)
        kept = iter(place.strides)
        strides = tuple(0 if axis in axes else next(kept) for axis in range(len(self.shapes[operand])))
        spread = Place(place.buffer, 0, self.shapes[operand], strides)
        self.stages[node] = self._store_into(operand, spread, accumulate=True)

    def _scatter(self, node: int, terms: Sequence[_Term]) -> None:
        place = self._own_place(node)
        accumulate = len(terms) > 1 and self.entry(node) is not array_ops.concatenate
        parts = [place if term.spec is None else _viewed(array_ops.slice_, term.spec, place) for term in terms]
        for term, part in zip(terms, parts, strict=True):
            assert part is not None
            self.stages[node] = max(self.stages[node], self._store_into(term.node, part, accumulate))
        if self.entry(node) is not array_ops.concatenate and not self._written_first(terms, parts, place):
            self._zero(place)

    def _zero(self, place: Place) -> None:
        self.zeroed.append(Stretch(place.buffer, 0, math.prod(place.shape)))

    def _written_first(self, terms: Sequence[_Term], parts: Sequence[Place | None], place: Place) -> bool:
        """Have the last of several slices, each further on than the one before, written before the others are added.

        A segment goes through all of them from the first element to the last, so what is added to an element has been
        written there, but for the first few elements: these alone, and those behind, start as zeros.
        """
        groups = [self._group_of(term.node) for term in terms if self._is_made_by_segment(term.node)]
        in_one = len(groups) == len(terms) > 1 and all(group is groups[0] for group in groups)
        if len(place.shape) != 1 or not in_one or any(term.spec is None or term.spec[0][2] != 1 for term in terms):
            return False
        starts = [term.spec[0][0] for term in terms]
        if len(set(starts)) != len(starts):
            return False
        last = starts.index(max(starts))
        stores, part = groups[0].stores[terms[last].node], parts[last]
        assert part is not None
        stores[stores.index((part, True))] = (part, False)
        end = starts[last] + self.shapes[terms[last].node][0]
        self.zeroed.append(Stretch(place.buffer, 0, starts[last]))
        self.zeroed.append(Stretch(place.buffer, end, place.shape[0] - end))
        return True

    def _store_into(self, node: int, place: Place, accumulate: bool) -> int:
        """Have a node's value stored (or added) into a place, by the segment that makes it or one of its own."""
        if self._is_made_by_segment(node):
            self._group_of(node).stores.setdefault(node, []).append((place, accumulate))
            return self.stages[node]
        stage = self.stages[node] + 1
        group = self.groups.setdefault((stage, self.shapes[node]), _Group(self.shapes[node]))
        if node not in group.nodes:
            group.nodes.append(node)
        group.stores.setdefault(node, []).append((place, accumulate))
        return stage

    def _is_made_by_segment(self, node: int) -> bool:
        """Whether a segment makes the node's value, which none does for a sum that is put together from slices."""
        if not self.is_elementwise(node):
            return False
        group = self.groups.get((self.stages[node], self.shapes[node]))
        return group is not None and node in group.nodes

    def _evaluate(self, node: int) -> None:
        entry = self.entry(node)
        assert entry is not None
        operands = tuple(
            self._number_place(operand) if self.is_number(operand) else self._place(operand)
            for operand in self.operands[node]
        )
        self.stages[node] = 1 + max(self.stages[operand] for operand in self.operands[node])
        step = Evaluation(entry, self.tape.attribute_of(node), operands, self._own_place(node))
        self.evaluations.setdefault(self.stages[node], []).append(step)

    def _guarded_load(self, node: int) -> None:
        """A guard on what no segment computes (an input, a view, a reduction) is checked by one that loads it."""
        stage = self.stages[node] + 1
        group = self.groups.setdefault((stage, self.shapes[node]), _Group(self.shapes[node]))
        if node not in group.nodes:
            group.nodes.append(node)
        group.guarded_loads.append(node)

    def _outputs(self) -> None:
        """Copies for outputs that are views, inputs, constants, or another output again."""
        for number, node in enumerate(self.tape.outputs.tolist()):
            source = self._number_place(node) if self.is_number(node) else self._place(node)
            buffer = self.buffers[source.buffer]
            whole = Place(source.buffer, 0, self.shapes[node], contiguous(self.shapes[node]))
            if (buffer.kind, buffer.number) == ("result", number) and source == whole:
                continue
            target = self._new_buffer("result", number, math.prod(self.shapes[node]))
            self.copies.append(Copy(source, Place(target, 0, self.shapes[node], contiguous(self.shapes[node]))))

    # ---- segments

    def _steps(self) -> Iterator[tuple[int, Segment | Evaluation | Copy]]:
        # a segment gives memory to values that later ones read, so the last ones are made first
        segments = [
            (stage, self._segment(group))
            for (stage, _), group in sorted(self.groups.items(), key=lambda item: -item[0][0])
        ]
        # one whose values are all computed again elsewhere has nothing to do
        yield from reversed([(stage, s) for stage, s in segments if s.stores or s.sweep.n_guards])
        for stage, evaluations in self.evaluations.items():
            for evaluation in evaluations:
                yield stage, evaluation

    def _segment(self, group: _Group) -> Segment:
        program = _SegmentProgram()
        slots: dict[int, int] = {}
        members = set(group.nodes)
        for node in group.nodes:
            if not (self.is_elementwise(node) and self._group_of_is(node, group)):
                slots[node] = program.load(self._spread(node, group.shape))
                continue
            operands = []
            for operand in self.operands[node]:
                if operand in members and operand in slots:
                    operands.append(slots[operand])
                elif self._is_recomputed(operand):
                    operands.append(self._recompute(operand, group.shape, program))
                else:
                    operands.append(self._operand(operand, group.shape, program))
            slots[node] = program.operation(self.opcodes[node], operands)
            for number, expected in self.guards.get(node, ()):
                program.guard(number, slots[node], expected)
        for node in group.guarded_loads:
            for number, expected in self.guards[node]:
                program.guard(number, slots[node], expected)
        stores = [
            (slots[node], place, accumulate) for node, found in group.stores.items() for place, accumulate in found
        ]
        # see _written_first
        return program.finish(group.shape, sorted(stores, key=lambda store: store[2]))

    def _operand(self, node: int, shape: Shape, program: _SegmentProgram) -> int:
        """The slot of a number, or of a value that an earlier step left in memory."""
        if self.is_number(node):
            return program.number(float(self.tape.constant_of(node)))
        return program.load(self._spread(node, shape))

    def _is_recomputed(self, node: int) -> bool:
        """Whether a value of an earlier segment is cheaper to compute again than to store and load.

        It is where one array that is in memory anyway and a few sums and products give it, such as the derivative of
        tanh from its value.
        """
        sources: set[int] = set()
        return self._is_cheap(node, MAX_RECOMPUTED, sources) and len(sources) <= 1

    def _is_cheap(self, node: int, n_left: int, sources: set[int]) -> bool:
        if self.is_number(node):
            return True
        if node in self.places:
            sources.add(node)
            return True
        cheap = self.is_segment_node(node) and ops.TABLE[self.opcodes[node]] in RECOMPUTED and n_left > 0
        return cheap and all(self._is_cheap(operand, n_left - 1, sources) for operand in self.operands[node])

    def _recompute(self, node: int, shape: Shape, program: _SegmentProgram) -> int:
        if self.is_number(node) or node in self.places:
            return self._operand(node, shape, program)
        operands = [self._recompute(operand, shape, program) for operand in self.operands[node]]
        return program.operation(self.opcodes[node], operands)

    def _group_of_is(self, node: int, group: _Group) -> bool:
        return self.groups.get((self.stages[node], self.shapes[node])) is group

    def _spread(self, node: int, shape: Shape) -> Place:
        place = self._number_place(node) if self.is_number(node) else self._place(node)
        spread = _viewed(array_ops.broadcast_to, shape, place)
        assert spread is not None
        return spread


@dataclass(frozen=True)
class _Term:
    """A node that goes into a slice of an array (all of it if ``spec`` is None)."""

    node: int
    spec: Any


@dataclass
class _Scatters:
    terms: dict[int, list[_Term]]
    absorbed: set[int]


class _SegmentProgram:
    """A scalar program whose inputs are rows loaded from places."""

    def __init__(self) -> None:
        self.n_slots = 1
        self.codes: list[int] = []
        self.operands: list[list[int]] = []
        self.results: list[int] = []
        self.loads: dict[Place, int] = {}
        self.numbers: dict[float | str, int] = {"0.0": 0}
        self.guards: list[tuple[int, int, int]] = []

    def _slot(self) -> int:
        self.n_slots += 1
        return self.n_slots - 1

    def load(self, place: Place) -> int:
        if place not in self.loads:
            self.loads[place] = self._slot()
        return self.loads[place]

    def number(self, number: float) -> int:
        key = number or str(number)
        if key not in self.numbers:
            self.numbers[key] = self._slot()
        return self.numbers[key]

    def operation(self, code: int, operands: list[int]) -> int:
        self.codes.append(code)
        self.operands.append(operands + [NO_SLOT] * (MAX_ARITY - len(operands)))
        self.results.append(self._slot())
        return self.results[-1]

    def guard(self, number: int, slot: int, expected: float) -> None:
        self.guards.append((number, slot, self.number(expected)))

    def finish(self, shape: Shape, stores: list[tuple[int, Place, bool]]) -> Segment:
        n = len(self.codes)
        program = ScalarProgram(
            codes=np.array(self.codes, np.int64),
            operands=np.array(self.operands, np.int64).reshape(n, MAX_ARITY),
            results=np.array(self.results, np.int64),
            edge_free=np.zeros(n, bool),
            extra_edges=np.zeros((0, 3), np.int64),
            n_slots=self.n_slots,
            number_slots=np.array(list(self.numbers.values()), np.int64),
            numbers=np.array([float(key) for key in self.numbers], np.float64),
            captured=(),
            input_starts=tuple(self.loads.values()),
            input_sizes=(1,) * len(self.loads),
            outputs=tuple(np.array(slot, np.int64) for slot, _, _ in stores),
            guard_slots=np.array([slot for _, slot, _ in self.guards], np.int64),
            guard_expected=np.array([expected for _, _, expected in self.guards], np.int64),
            guard_numbers=np.array([number for number, _, _ in self.guards], np.int64),
        )
        sweep = with_few_slots(plan_sweep(program, None))
        return Segment(
            shape=shape,
            sweep=sweep,
            loads=tuple(zip(sweep.input_starts, self.loads, strict=True)),
            stores=tuple(
                Store(int(slots), place, accumulate)
                for slots, (_, place, accumulate) in zip(sweep.outputs, stores, strict=True)
            ),
        )


# ---- strided views


_probe = np.zeros(1)


def _viewed(operation: array_ops.ArrayOperation, attribute: Any, place: Place) -> Place | None:
    """The place of a view, as NumPy's own views have it; None if it takes a copy."""
    # never read: only its shape and strides are looked at
    array = np.lib.stride_tricks.as_strided(_probe, place.shape, tuple(8 * s for s in place.strides), writeable=False)
    if operation is array_ops.reshape:
        try:
            view = np.reshape(array, attribute, copy=False)
        except ValueError:
            return None
        offset = 0
    elif operation is array_ops.slice_:
        view = array[slices_of(attribute)]
        offset = sum(start * stride for (start, _, _), stride in zip(attribute, place.strides, strict=True))
    else:
        view, offset = operation.evaluate(attribute, array), 0
    return Place(place.buffer, place.offset + offset, view.shape, tuple(stride // 8 for stride in view.strides))
