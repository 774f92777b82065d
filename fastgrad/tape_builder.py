"""A tape collected node by node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.tape import CONSTANT, INPUT, Shape, Source, Tape, distinct

__all__ = ["TapeBuilder"]


@dataclass
class TapeBuilder:
    """Collects nodes, then makes a Tape. Numbering is the order of appending."""

    opcodes: list[int] = field(default_factory=list)
    operand_lists: list[Sequence[int]] = field(default_factory=list)
    shape_indices: list[int] = field(default_factory=list)
    attribute_indices: list[int] = field(default_factory=list)
    source_indices: list[int] = field(default_factory=list)
    constants: list[NDArray[Any]] = field(default_factory=list)
    sources: tuple[Source, ...] = ()
    inputs: list[int] = field(default_factory=list)
    input_names: list[str] = field(default_factory=list)
    group_indices: list[int] = field(default_factory=list)
    group_table: dict[str, int] = field(default_factory=dict)
    named: dict[str, int] = field(default_factory=dict)
    guards: list[tuple[int, float, int]] = field(default_factory=list)
    shape_table: dict[Shape, int] = field(default_factory=lambda: {(): 0})
    attribute_table: dict[Any, int] = field(default_factory=dict)

    def append(
        self,
        opcode: int,
        operands: Sequence[int],
        shape: Shape,
        attribute: Any = None,
        source_index: int = -1,
        group: int = -1,
    ) -> int:
        """Add a node and return its number."""
        position = -1
        if attribute is not None:
            # the key keeps 1, 1.0 and True, and the signs of zero, apart
            position = self.attribute_table.setdefault((repr(attribute), attribute), len(self.attribute_table))
        return self._append(opcode, operands, shape, position, source_index, group)

    def _append(
        self, opcode: int, operands: Sequence[int], shape: Shape, position: int, source_index: int, group: int
    ) -> int:
        self.opcodes.append(opcode)
        self.operand_lists.append(operands)
        self.shape_indices.append(self.shape_table.setdefault(shape, len(self.shape_table)))
        self.attribute_indices.append(position)
        self.source_indices.append(source_index)
        self.group_indices.append(group)
        return len(self.opcodes) - 1

    def group_number(self, path: str) -> int:
        """The index of the group with this path; -1 for an empty one."""
        return self.group_table.setdefault(path, len(self.group_table)) if path else -1

    def attribute_of(self, node: int) -> Any:
        """The attribute of a node already appended."""
        return list(self.attribute_table)[self.attribute_indices[node]][1]

    def append_input(self, shape: Shape, name: str) -> int:
        self.inputs.append(len(self.opcodes))
        self.input_names.append(name)
        return self._append(INPUT, (), shape, -1, -1, -1)

    def append_constant(self, constant: NDArray[Any], source_index: int = -1, group: int = -1) -> int:
        """Add a constant, by reference."""
        self.constants.append(constant)
        return self._append(CONSTANT, (), constant.shape, len(self.constants) - 1, source_index, group)

    def build(self, outputs: Iterable[int], output_names: tuple[str, ...] = ()) -> Tape:
        lengths = np.fromiter(map(len, self.operand_lists), np.int64, len(self.operand_lists))
        starts = np.zeros(len(lengths) + 1, np.uint32)
        np.cumsum(lengths, out=starts[1:])
        flat = (operand for operands in self.operand_lists for operand in operands)
        return Tape(
            opcodes=np.array(self.opcodes, np.uint16),
            operand_starts=starts,
            operands=np.fromiter(flat, np.uint32, int(starts[-1])),
            shape_indices=np.array(self.shape_indices, np.uint32),
            shapes=tuple(self.shape_table),
            attribute_indices=np.array(self.attribute_indices, np.int32),
            attributes=tuple(attribute for _, attribute in self.attribute_table),
            constants=tuple(self.constants),
            inputs=np.array(self.inputs, np.uint32),
            outputs=np.fromiter(outputs, np.uint32),
            guard_nodes=np.array([guard[0] for guard in self.guards], np.uint32),
            guard_values=np.array([guard[1] for guard in self.guards], np.float64),
            guard_sources=np.array([guard[2] for guard in self.guards], np.int32),
            source_indices=np.array(self.source_indices, np.int32),
            sources=self.sources,
            input_names=distinct(self.input_names),
            output_names=output_names,
            group_indices=np.array(self.group_indices, np.int32),
            groups=tuple(self.group_table),
            named_nodes=np.fromiter(self.named.values(), np.uint32, len(self.named)),
            node_names=tuple(self.named),
        )
