"""A recording in progress: the rows that become a tape, and which recordings are open in this thread.

Recordings nest (``grad`` of a function that calls ``grad``). Each knows its level. An operation on values of several
recordings belongs to the innermost of them; values of the others enter it as *lifted* inputs, so an inner derivative
never mistakes an outer variable for its own.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from types import CodeType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastgrad.errors import LeakedValueError, UnsupportedError, located
from fastgrad.recording.source import source_of_instruction, user_frame, user_line
from fastgrad.tape import CONSTANT, INPUT, Shape, Source, Tape, distinct, number_array

if TYPE_CHECKING:
    from fastgrad.recording.storage import Storage

# opcode, operands, index of the shape, index of the attribute (of a constant: its position among the constants; -1:
# none), code object and instruction of the user's line
Row = tuple[int, tuple[int, ...], int, int, CodeType | None, int]
# the shape index of a scalar, and the attribute index of an operation that has none
SCALAR, NO_ATTRIBUTE = 0, -1


class _EndedRows(list[Row]):
    """What a recorder's rows become when its recording ends: any further use of its values is an error."""

    def __len__(self) -> NoReturn:
        raise LeakedValueError(_leaked())


def _leaked() -> str:
    return located(
        "a recorded value was used outside the recording that it belongs to",
        user_line(),
        "Return it from the differentiated function instead of keeping it in a variable outside.",
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


def open_recorders() -> list[Recorder]:
    """The recorders that are open in this thread, the innermost last."""
    return list(_open.stack)


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
        "attributes",
        "constants",
        "group",
        "groups",
        "guards",
        "input_names",
        "inputs",
        "level",
        "lifted",
        "named",
        "regrouped",
        "rows",
        "scalars",
        "shapes",
        "snapshots",
        "storages",
        "thread",
    )

    def __init__(self, level: int) -> None:
        self.level = level
        self.thread = threading.get_ident()
        self.rows: list[Row] = []
        self.inputs: list[int] = []
        self.input_names: list[str] = []
        # shapes and attributes by content, each with its index on the tape
        self.shapes: dict[Shape, int] = {(): SCALAR}
        self.attributes: dict[Any, int] = {}
        self.constants: list[NDArray[Any]] = []
        self.scalars: dict[float | str, int] = {}
        # captured arrays: position among the constants by identity; content when first used, and node, by position
        self.arrays: dict[int, int] = {}
        self.snapshots: dict[int, NDArray[Any]] = {}
        self.array_nodes: dict[int, int] = {}
        # by recorder and node
        self.lifted: dict[tuple[int, int], tuple[Any, int]] = {}
        self.guards: list[tuple[int, float, CodeType, int]] = []
        # paths of groups with their numbers; where in the rows the group changed, with the number of the new one
        self.groups: dict[str, int] = {}
        self.group = ""
        self.regrouped: list[tuple[int, int]] = []
        self.named: dict[str, int] = {}
        # memory that was written into, by the identity of the array that owns it
        self.storages: dict[int, Storage] = {}

    def end(self) -> None:
        self.rows = _EndedRows()

    # ---- adding nodes

    def add(self, opcode: int, operands: tuple[int, ...], shape: Shape, attribute: Any = None) -> int:
        """Append a node for the user's current line and return its number."""
        position = NO_ATTRIBUTE
        if attribute is not None:
            # the key keeps 1, 1.0 and True, and the signs of zero, apart
            position = self.attributes.setdefault((repr(attribute), attribute), len(self.attributes))
        return self._append(opcode, operands, shape, position)

    def _append(self, opcode: int, operands: tuple[int, ...], shape: Shape, position: int) -> int:
        frame = user_frame()
        self._check_thread()
        rows = self.rows
        node = len(rows)
        rows.append((opcode, operands, self._shape_index(shape), position, frame.f_code, frame.f_lasti))
        return node

    def _check_thread(self) -> None:
        # two threads that append at once would take the same number for different nodes
        if threading.get_ident() != self.thread:
            raise UnsupportedError(
                located(
                    "a recorded value was used in another thread than that of its recording",
                    user_line(),
                    "Compute in one thread inside the function, or take a derivative in each thread.",
                )
            )

    def _shape_index(self, shape: Shape) -> int:
        return self.shapes.setdefault(shape, len(self.shapes))

    def add_input(self, shape: Shape, name: str) -> int:
        """Append an input, which belongs to no line."""
        node = len(self.rows)
        self.rows.append((INPUT, (), self._shape_index(shape), NO_ATTRIBUTE, None, -1))
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
        self.constants.append(array)
        return self._append(CONSTANT, (), array.shape, len(self.constants) - 1)

    def lift(self, outer: Any) -> int:
        """The input node that stands for a value of an enclosing recording. Raises LeakedValueError for any other."""
        key = (id(outer.recorder), outer.node)
        found = self.lifted.get(key)
        if found is None:
            if outer.recorder not in _open.stack[: self.level]:
                raise LeakedValueError(_leaked())
            # memory of its own: the value itself may change in place later
            kept = type(outer)(outer.recorder, outer.node, outer.value.copy())
            found = self.lifted[key] = (kept, self.add_input(outer.shape, f"lifted{len(self.lifted)}"))
        return found[1]

    def guard(self, node: int, value: float) -> None:
        """Note that the branch being recorded is right only while ``node`` has this value."""
        frame = user_frame()
        self._check_thread()
        len(self.rows)  # refuses a value whose recording has ended
        self.guards.append((node, float(value), frame.f_code, frame.f_lasti))

    # ---- names

    def enter_group(self, path: str) -> str:
        """Make what is added from now on belong to the group of this path (none if empty); returns the one before."""
        before, self.group = self.group, path
        number = self.groups.setdefault(path, len(self.groups)) if path else -1
        self.regrouped.append((len(self.rows), number))
        return before

    def name(self, node: int, name: str) -> None:
        """Call a node by a name within the group that is open; with a number behind it where the name is taken."""
        path = f"{self.group}/{name}" if self.group else name
        free, number = path, 1
        while free in self.named:
            number += 1
            free = f"{path}_{number}"
        self.named[free] = node

    def _group_indices(self, n: int) -> NDArray[np.int32]:
        starts = [0, *(row for row, _ in self.regrouped), n]
        return np.repeat(np.array([-1, *(group for _, group in self.regrouped)], np.int32), np.diff(starts))

    # ---- the tape

    def build(self, outputs: Sequence[int], output_names: tuple[str, ...] = ()) -> Tape:
        """The tape of what was recorded, with these nodes as outputs."""
        uses = Counter(id(self.constants[position]) for position in self.snapshots)
        for position, content in self.snapshots.items():
            array = self.constants[position]
            if uses[id(array)] > 1 or not _same_content(content, array):
                # the function itself changes it: what counts is what it held when it was used
                self.constants[position] = content
        n = len(self.rows)
        flat = list(chain.from_iterable(self.rows))
        columns: list[Any] = [flat[k::6] for k in range(6)]
        opcodes, operand_lists, shape_indices, positions, codes, instructions = columns
        starts = np.zeros(n + 1, np.uint32)
        np.cumsum(np.fromiter(map(len, operand_lists), np.uint32, n), out=starts[1:])
        guard_nodes, guard_values, guard_codes, guard_instructions = (
            zip(*self.guards, strict=True) if self.guards else ((),) * 4
        )
        sources, indices = _lines([*codes, *guard_codes], [*instructions, *guard_instructions])
        return Tape(
            opcodes=np.fromiter(opcodes, np.uint16, n),
            operand_starts=starts,
            operands=np.fromiter(chain.from_iterable(operand_lists), np.uint32, int(starts[-1])),
            shape_indices=np.fromiter(shape_indices, np.uint32, n),
            shapes=tuple(self.shapes),
            attribute_indices=np.fromiter(positions, np.int32, n),
            attributes=tuple(attribute for _, attribute in self.attributes),
            constants=tuple(self.constants),
            inputs=np.array(self.inputs, np.uint32),
            outputs=np.array(outputs, np.uint32),
            guard_nodes=np.array(guard_nodes, np.uint32),
            guard_values=np.array(guard_values, np.float64),
            guard_sources=indices[n:],
            source_indices=indices[:n],
            sources=sources,
            input_names=distinct(self.input_names),
            output_names=output_names,
            group_indices=self._group_indices(n),
            groups=tuple(self.groups),
            named_nodes=np.fromiter(self.named.values(), np.uint32, len(self.named)),
            node_names=tuple(self.named),
        )


def _same_content(x: NDArray[Any], y: NDArray[Any]) -> bool:
    """Whether two arrays hold the same bits: NaN is equal to itself, and the zeros differ."""
    if x.shape != y.shape or x.dtype != y.dtype:
        return False
    bits = np.dtype(f"u{x.dtype.itemsize}")
    return bool(np.array_equal(x.view(bits), y.view(bits)))


def _lines(
    codes: Sequence[CodeType | None], instructions: Sequence[int]
) -> tuple[tuple[Source, ...], NDArray[np.int32]]:
    """The lines of a recording, each once, and for each instruction the index of its line (-1: none)."""
    n = len(codes)
    # bytecode lies inside its code object, so the sum of address and offset tells instructions apart
    addresses = np.fromiter(map(id, codes), np.int64, n) + np.fromiter(instructions, np.int64, n)
    _, firsts, inverse = np.unique(addresses, return_index=True, return_inverse=True)
    lines: dict[Source, int] = {}
    found = np.full(len(firsts), -1, np.int32)
    for k in np.argsort(firsts).tolist():
        code, instruction = codes[firsts[k]], instructions[firsts[k]]
        if code is not None:
            found[k] = lines.setdefault(source_of_instruction(code, instruction), len(lines))
    return tuple(lines), found[inverse]
