"""A recording in progress: the rows that become a tape, and which recordings are open in this thread.

Recordings nest (``grad`` of a function that calls ``grad``). Each knows its level. An operation on values of several
recordings belongs to the innermost of them; values of the others enter it as *lifted* inputs, so an inner derivative
never mistakes an outer variable for its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from types import CodeType, FrameType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastgrad.errors import LeakedValueError
from fastgrad.record.source import source_of_instruction, user_frame, user_line
from fastgrad.tape import CONSTANT, INPUT, Shape, Source, Tape, number_array

# opcode, operands, shape, attribute (for a constant: its position), code object and instruction of the user's line
Row = tuple[int, tuple[int, ...], Shape, Any, CodeType | None, int]


class _EndedRows(list[Row]):
    """What a recorder's rows become when its recording ends: any further use of its values is an error."""

    def __len__(self) -> NoReturn:
        raise LeakedValueError(
            f"a recorded value was used after the recording that it belongs to had ended (at {user_line()}). "
            "Return it from the differentiated function instead of keeping it in a variable outside."
        )


class _OpenRecorders(threading.local):
    def __init__(self) -> None:
        self.stack: list[Recorder] = []


_open = _OpenRecorders()
# those of all threads: code that cannot look into a thread's own ones asks whether there is any
open_anywhere: list[Recorder] = []


def innermost_recorder() -> Recorder | None:
    """The recorder that was opened last in this thread and is still open."""
    return _open.stack[-1] if _open.stack else None


@contextmanager
def recording() -> Iterator[Recorder]:
    """Open a recorder for this thread; it is closed on every exit."""
    recorder = Recorder(level=len(_open.stack))
    _open.stack.append(recorder)
    open_anywhere.append(recorder)
    try:
        yield recorder
    finally:
        open_anywhere.remove(recorder)
        _open.stack.remove(recorder)
        recorder.end()


class Recorder:
    """Collects the rows of one recording."""

    __slots__ = (
        "array_nodes",
        "arrays",
        "constants",
        "guards",
        "input_names",
        "inputs",
        "level",
        "lifted",
        "rows",
        "scalars",
        "snapshots",
    )

    def __init__(self, level: int) -> None:
        self.level = level
        self.rows: list[Row] = []
        self.inputs: list[int] = []
        self.input_names: list[str] = []
        self.constants: list[NDArray[Any]] = []
        self.scalars: dict[float | str, int] = {}
        # captured arrays: position among the constants by identity; content when first used, and node, by position
        self.arrays: dict[int, int] = {}
        self.snapshots: dict[int, NDArray[Any]] = {}
        self.array_nodes: dict[int, int] = {}
        self.lifted: dict[int, tuple[Any, int]] = {}
        self.guards: list[tuple[int, float, CodeType, int]] = []

    def end(self) -> None:
        self.rows = _EndedRows()

    # ---- adding nodes

    def add(self, opcode: int, operands: tuple[int, ...], shape: Shape, attribute: Any = None) -> int:
        """Append a node for the user's current line and return its number."""
        frame = user_frame()
        rows = self.rows
        node = len(rows)
        rows.append((opcode, operands, shape, attribute, frame.f_code, frame.f_lasti))
        return node

    def add_input(self, shape: Shape, name: str) -> int:
        node = len(self.rows)
        self.rows.append((INPUT, (), shape, None, None, -1))
        self.inputs.append(node)
        self.input_names.append(name)
        return node

    def scalar(self, number: float) -> int:
        """The node of a number that the function wrote down or computed without recorded values."""
        number = float(number)
        # 0.0 and -0.0 are the same key but not the same number
        key: float | str = number or str(number)
        node = self.scalars.get(key)
        if node is None:
            node = self.scalars[key] = self._add_constant(number_array(number))
        return node

    def array(self, array: NDArray[Any]) -> int:
        """The node of a captured array, held by reference so that later in-place changes are seen.

        An array that the function itself changes between two uses is one constant for each content; see ``build``.
        """
        known = self.arrays.get(id(array))
        if known is None or not _same_content(self.snapshots[known], array):
            self.snapshots[len(self.constants)] = array.copy()
            known = self.arrays[id(array)] = len(self.constants)
            self.array_nodes[known] = self._add_constant(array)
        return self.array_nodes[known]

    def _add_constant(self, array: NDArray[Any]) -> int:
        frame: FrameType = user_frame()
        node = len(self.rows)
        self.rows.append((CONSTANT, (), array.shape, len(self.constants), frame.f_code, frame.f_lasti))
        self.constants.append(array)
        return node

    def lift(self, outer: Any) -> int:
        """The input node that stands for a value of an enclosing recording."""
        found = self.lifted.get(id(outer))
        if found is None:
            found = self.lifted[id(outer)] = (outer, self.add_input(outer.shape, f"lifted{len(self.lifted)}"))
        return found[1]

    def guard(self, node: int, value: float) -> None:
        """Note that the branch being recorded is right only while ``node`` has this value."""
        frame = user_frame()
        len(self.rows)  # refuses a value whose recording has ended
        self.guards.append((node, float(value), frame.f_code, frame.f_lasti))

    # ---- the tape

    def build(self, outputs: Sequence[int]) -> Tape:
        """The tape of what was recorded, with these nodes as outputs."""
        for position, content in self.snapshots.items():
            if not _same_content(content, self.constants[position]):
                # the function changed it after it was used: what counts is what it held then
                self.constants[position] = content
        opcodes, operand_lists, shapes, attributes, codes, instructions = zip(*self.rows, strict=True)
        n = len(opcodes)
        lengths = np.fromiter(map(len, operand_lists), np.uint32, n)
        starts = np.zeros(n + 1, np.uint32)
        np.cumsum(lengths, out=starts[1:])
        shape_table: dict[Shape, int] = {(): 0}
        attribute_table: dict[Any, int] = {}
        attribute_indices = np.full(n, -1, np.int32)
        for node, attribute in enumerate(attributes):
            if attribute is not None:
                attribute_indices[node] = (
                    attribute
                    if opcodes[node] == CONSTANT
                    else attribute_table.setdefault((repr(attribute), attribute), len(attribute_table))
                )
        lines = _Lines()
        source_indices = np.fromiter(map(lines.index, codes, instructions), np.int32, n)
        guard_sources = [lines.index(code, instruction) for _, _, code, instruction in self.guards]
        return Tape(
            opcodes=np.array(opcodes, np.uint16),
            operand_starts=starts,
            operands=np.fromiter(chain.from_iterable(operand_lists), np.uint32, int(starts[-1])),
            shape_indices=np.fromiter((shape_table.setdefault(s, len(shape_table)) for s in shapes), np.uint32, n),
            shapes=tuple(shape_table),
            attribute_indices=attribute_indices,
            attributes=tuple(attribute for _, attribute in attribute_table),
            constants=tuple(self.constants),
            inputs=np.array(self.inputs, np.uint32),
            outputs=np.array(outputs, np.uint32),
            guard_nodes=np.array([guard[0] for guard in self.guards], np.uint32),
            guard_values=np.array([guard[1] for guard in self.guards], np.float64),
            guard_sources=np.array(guard_sources, np.int32),
            source_indices=source_indices,
            sources=tuple(lines.sources()),
            input_names=tuple(self.input_names),
        )


def _same_content(x: NDArray[Any], y: NDArray[Any]) -> bool:
    return x.shape == y.shape and x.tobytes() == y.tobytes()


class _Lines:
    """Numbers the lines of a recording, each decoded once."""

    def __init__(self) -> None:
        self.instructions: dict[tuple[int, int], int] = {}
        self.lines: dict[Source, int] = {}
        self.codes: list[CodeType] = []

    def index(self, code: CodeType | None, instruction: int) -> int:
        if code is None:
            return -1
        found = self.instructions.get((id(code), instruction))
        if found is None:
            source = source_of_instruction(code, instruction)
            found = self.instructions[id(code), instruction] = self.lines.setdefault(source, len(self.lines))
        return found

    def sources(self) -> list[Source]:
        return list(self.lines)
