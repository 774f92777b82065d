"""What a tape consists of and costs, in numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import array_ops, ops
from fastgrad.tape import ARRAY_OPERATION, INPUT, Tape, operation_of

__all__ = ["Statistics", "operation_counts", "size_text", "statistics"]


@dataclass(frozen=True)
class Statistics:
    """Counts of a tape; print it, or read its fields.

    ``flops`` counts for one run what a program on single numbers would execute: one instruction for each element of an
    elementary operation (``exp`` counts as one, like ``+``), and for an array operation what its table entry says, such
    as two for each product in a matrix product. Moving elements counts nothing. Operations that only libraries compute,
    such as factorizations, are left out and named in ``without_flops``.
    """

    nodes: int
    # how often each operation occurs, the most frequent first
    operations: dict[str, int]
    # operations in the longest chain of which each needs the one before
    depth: int
    flops: float
    without_flops: tuple[str, ...]
    # of all values that are computed or given, if each had memory of its own
    value_bytes: int
    constant_bytes: int
    # elements of all inputs, and of all outputs
    input_size: int
    output_size: int
    guards: int

    @property
    def n_operations(self) -> int:
        return sum(self.operations.values())

    def __str__(self) -> str:
        by_name = ", ".join(f"{name} {count:,}" for name, count in list(self.operations.items())[:8])
        more = len(self.operations) - 8
        left_out = f" (without {', '.join(self.without_flops)})" if self.without_flops else ""
        rows = {
            "nodes": f"{self.nodes:,}",
            "operations": f"{self.n_operations:,} ({by_name}{f', {more} others' if more > 0 else ''})"
            if self.operations
            else "0",
            "depth": f"{self.depth:,}",
            "flops": f"{self.flops:,.0f}{left_out}",
            "values": size_text(self.value_bytes),
            "constants": size_text(self.constant_bytes),
            "inputs": f"{self.input_size:,} numbers",
            "outputs": f"{self.output_size:,} numbers",
            "guards": f"{self.guards:,}",
        }
        return "\n".join(f"{name:<11} {text}" for name, text in rows.items())


def size_text(n_bytes: float) -> str:
    """A size in memory, such as ``1.5 KB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if n_bytes < 1000 or unit == "GB":
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    raise AssertionError


def statistics(tape: Tape) -> Statistics:
    """The statistics of :meth:`fastgrad.Tape.statistics`."""
    sizes = _sizes(tape)
    flops, without = _flops(tape, sizes)
    constants = {id(constant): constant.nbytes for constant in tape.constants}
    return Statistics(
        nodes=len(tape),
        operations=operation_counts(tape.opcodes),
        depth=_depth(tape),
        flops=flops,
        without_flops=without,
        value_bytes=8 * int(sizes[tape.opcodes <= INPUT].sum()),
        constant_bytes=sum(constants.values()),
        input_size=int(sizes[tape.inputs].sum()),
        output_size=int(sizes[tape.outputs].sum()),
        guards=len(tape.guard_nodes),
    )


def operation_counts(opcodes: NDArray[np.uint16]) -> dict[str, int]:
    """How often each operation occurs among opcodes, the most frequent first."""
    counts = np.bincount(opcodes[opcodes < INPUT])
    found: dict[str, int] = {}
    for code in np.flatnonzero(counts).tolist():
        name = operation_of(code).name
        # a name may be that of an elementary and of an array operation
        found[name] = found.get(name, 0) + int(counts[code])
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _sizes(tape: Tape) -> NDArray[np.int64]:
    of_shapes = np.array([math.prod(shape) for shape in tape.shapes], np.int64)
    return of_shapes[tape.shape_indices]


def _flops(tape: Tape, sizes: NDArray[np.int64]) -> tuple[float, tuple[str, ...]]:
    """The instructions of all operations, and the names of those for which the tables have no count."""
    total = float(sizes[tape.opcodes < len(ops.TABLE)].sum())
    starts, flat, shapes = tape.operand_starts.tolist(), tape.operands.tolist(), tape.shape_indices.tolist()
    known: dict[Any, float] = {}
    without: dict[str, None] = {}
    for number in np.flatnonzero((tape.opcodes >= ARRAY_OPERATION) & (tape.opcodes < INPUT)).tolist():
        operands = [shapes[operand] for operand in flat[starts[number] : starts[number + 1]]]
        key = (int(tape.opcodes[number]), int(tape.attribute_indices[number]), *operands)
        cost = known.get(key)
        if cost is None:
            entry = array_ops.TABLE[key[0] - ARRAY_OPERATION]
            cost = 0.0
            if not entry.movement and entry.scalar_code is None:
                without[entry.name] = None
            elif not entry.movement:
                cost = float(entry.scalar_cost(tape.attribute_of(number), *(tape.shapes[shape] for shape in operands)))
            known[key] = cost
        total += cost
    return total, tuple(without)


def _depth(tape: Tape) -> int:
    starts, flat = tape.operand_starts.tolist(), tape.operands.tolist()
    depths: list[int] = []
    start = 0
    for opcode, end in zip(tape.opcodes.tolist(), starts[1:], strict=True):
        if opcode >= INPUT:
            depths.append(0)
        elif end - start == 2:  # most operations have two operands, or one: max() of a list takes three times as long
            one, other = depths[flat[start]], depths[flat[start + 1]]
            depths.append(one + 1 if one > other else other + 1)
        elif end - start == 1:
            depths.append(depths[flat[start]] + 1)
        else:
            depths.append(max([depths[operand] for operand in flat[start:end]], default=0) + 1)
        start = end
    return max(depths, default=0)
