"""The tape: a function as flat arrays. The one representation that recording makes and everything else reads.

A tape of ``n`` nodes holds (arrays are read-only):

=====================  ==========  ===================================================================================
``opcodes``            uint16[n]   ``INPUT``, ``CONSTANT``, the code of an elementary operation (``ops.TABLE``), or
                                   ``ARRAY_OPERATION + code`` of an array operation (``array_ops.TABLE``)
``operand_starts``     uint32[n+1] node i has the operands ``operands[operand_starts[i]:operand_starts[i + 1]]``
``operands``           uint32[m]   node numbers, each less than the node that it is an operand of; positions of
                                   ``gather`` and ``scatter_add`` that are a constant are whole numbers within the
                                   array
``shape_indices``      uint32[n]   the node's shape is ``shapes[shape_indices[i]]``
``attribute_indices``  int32[n]    what else the node needs is ``attributes[...]``; for a constant it is the position
                                   in ``constants``; -1: nothing
``source_indices``     int32[n]    the line that made the node is ``sources[...]``; -1: none
``inputs``             uint32[k]   the ``INPUT`` nodes, in the order of the arguments
``outputs``            uint32[p]   any nodes
``guard_nodes``        uint32[g]   scalar nodes whose value the recorded branch depends on, in the order of recording
``guard_values``       float64[g]  the value that each must have for the recorded branch to be the right one
``guard_sources``      int32[g]    the line that asked
``group_indices``      int32[n]    the group that the node belongs to is ``groups[...]``; -1: none
``named_nodes``        uint32[q]   node ``named_nodes[k]`` is called ``node_names[k]``
=====================  ==========  ===================================================================================

and the tuples ``shapes``, ``attributes`` (nested tuples of ints, floats, strings and None), ``sources``,
``constants`` (ndarrays, held by reference: what is captured is read at run time), ``input_names`` and ``output_names``
(one for each, no two alike, or none at all), ``groups`` (paths such as ``encoder/dense``) and ``node_names`` (no two
alike). Names, groups and lines say what a person calls things; they change no result and are no part of ``hash``.

All values are float64; truth values are 1.0 and 0.0. ``Tape.validate`` checks exactly what stands here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgrad import array_ops, ops
from fastgrad.document.methods import ReadingMethods
from fastgrad.draw.methods import DrawingMethods
from fastgrad.edit.methods import EditingMethods
from fastgrad.errors import TapeError
from fastgrad.transform.methods import DerivativeMethods

if TYPE_CHECKING:
    from fastgrad.native.c_source import CSource

__all__ = [
    "ARRAY_OPERATION",
    "CONSTANT",
    "INPUT",
    "Node",
    "Shape",
    "Source",
    "Tape",
    "distinct",
    "is_number",
    "number_array",
    "operation_name",
    "operation_of",
]

ARRAY_OPERATION = 1024
INPUT = 4096
CONSTANT = 4097

Shape = tuple[int, ...]


class Source(NamedTuple):
    """A line of the user's program."""

    filename: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.filename}:{self.line}, in {self.function}"

    @property
    def short(self) -> str:
        """The line without the folders of its file."""
        return f"{self.filename.replace(chr(92), '/').rpartition('/')[2]}:{self.line}"


class Node(NamedTuple):
    """One node of a tape, for reading.

    ``operation`` is ``"input"``, ``"constant"`` or the operation's name; ``name`` and ``group`` are what a person
    called the node and the group that it belongs to, empty where there is none. ``attribute`` is what else the
    operation needs; of a constant, its array.
    """

    number: int
    operation: str
    operands: tuple[int, ...]
    shape: Shape
    attribute: Any
    source: Source | None
    name: str = ""
    group: str = ""


def operation_of(opcode: int) -> ops.Operation | array_ops.ArrayOperation:
    """The entry of the operation tables that an opcode stands for."""
    if opcode < len(ops.TABLE):
        return ops.TABLE[opcode]
    return array_ops.TABLE[opcode - ARRAY_OPERATION]


def number_array(number: float) -> NDArray[np.float64]:
    """A number as the constant of a tape: read-only, which tells it from captured data."""
    array = np.asarray(number, np.float64)
    array.flags.writeable = False
    return array


def is_number(constant: NDArray[Any]) -> bool:
    """Whether a constant is a number, which nobody can change, and not a captured 0-d array."""
    return constant.shape == () and constant.base is None and not constant.flags.writeable


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Names of which no two are alike: one that came before gets a number."""
    found: dict[str, None] = {}
    for name in names:
        free, number = name, 1
        while free in found:
            number += 1
            free = f"{name}_{number}"
        found[free] = None
    return tuple(found)


def operation_name(opcode: int) -> str:
    """What an opcode is called: ``"input"``, ``"constant"`` or the operation's name."""
    return {INPUT: "input", CONSTANT: "constant"}.get(opcode) or operation_of(opcode).name


@dataclass(frozen=True, eq=False)
class Tape(ReadingMethods, DerivativeMethods, DrawingMethods, EditingMethods):
    """An immutable recorded function; see the module's docstring for its arrays.

    Methods that read, differentiate, draw and edit it stand in the packages that do so.
    """

    _changes_no_recording: ClassVar[bool] = True  # of a function that calls it; see ``recording.captured``

    opcodes: NDArray[np.uint16]
    operand_starts: NDArray[np.uint32]
    operands: NDArray[np.uint32]
    shape_indices: NDArray[np.uint32]
    shapes: tuple[Shape, ...]
    attribute_indices: NDArray[np.int32]
    attributes: tuple[Any, ...]
    constants: tuple[NDArray[Any], ...]
    inputs: NDArray[np.uint32]
    outputs: NDArray[np.uint32]
    guard_nodes: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    guard_values: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    guard_sources: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    source_indices: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    sources: tuple[Source, ...] = ()
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    group_indices: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    groups: tuple[str, ...] = ()
    named_nodes: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    node_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("source_indices", "group_indices"):
            if len(getattr(self, name)) != len(self.opcodes):
                object.__setattr__(self, name, np.full(len(self.opcodes), -1, np.int32))
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    # ---- reading

    def __len__(self) -> int:
        return len(self.opcodes)

    def operands_of(self, index: int) -> NDArray[Any]:
        return self.operands[self.operand_starts[index] : self.operand_starts[index + 1]]

    @property
    def operand_counts(self) -> NDArray[np.int64]:
        """How many operands each node has."""
        counts: NDArray[np.int64] = np.diff(self.operand_starts.astype(np.int64))  # type: ignore[assignment]
        return counts

    def shape_of(self, index: int) -> Shape:
        return self.shapes[self.shape_indices[index]]

    def attribute_of(self, index: int) -> Any:
        position = self.attribute_indices[index]
        return None if position < 0 else self.attributes[position]

    def constant_of(self, index: int) -> NDArray[Any]:
        return self.constants[int(self.attribute_indices[index])]

    def source_of(self, index: int) -> Source | None:
        position = self.source_indices[index]
        return None if position < 0 else self.sources[position]

    def guard_source_of(self, position: int) -> Source | None:
        """The line that asked for the guard at this position."""
        source = self.guard_sources[position]
        return None if source < 0 else self.sources[source]

    def group_of(self, index: int) -> str:
        """The path of the group that a node belongs to; empty where it belongs to none."""
        position = self.group_indices[index]
        return "" if position < 0 else self.groups[position]

    def node(self, index: int) -> Node:
        """The node with this number, as a named tuple. Raises IndexError outside the tape."""
        if not 0 <= index < len(self):
            raise IndexError(f"node {index} of a tape with {len(self)} nodes")
        opcode = int(self.opcodes[index])
        attribute = self.constant_of(index) if opcode == CONSTANT else self.attribute_of(index)
        operands = tuple(self.operands_of(index).tolist())
        name, group = self._names_of_nodes.get(index, ""), self.group_of(index)
        return Node(
            index, operation_name(opcode), operands, self.shape_of(index), attribute, self.source_of(index), name, group
        )

    def __iter__(self) -> Iterator[Node]:
        return (self.node(index) for index in range(len(self)))

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return tuple(self.shape_of(index) for index in self.inputs)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return tuple(self.shape_of(index) for index in self.outputs)

    def with_outputs(self, positions: Sequence[int]) -> Tape:
        """The tape with those of its outputs that stand at these positions, in this order; no node is dropped."""
        names = distinct(self.output_names[position] for position in positions) if self.output_names else ()
        return replace(self, outputs=self.outputs[list(positions)], output_names=names)

    @cached_property
    def n_operations(self) -> int:
        """Nodes that compute something: neither inputs nor constants."""
        return int(np.count_nonzero(self.opcodes < INPUT))

    def __repr__(self) -> str:
        return f"<Tape {len(self.inputs)} inputs, {self.n_operations} operations, {len(self.outputs)} outputs>"

    # ---- leaving

    def save(self, target: str | os.PathLike[str] | BinaryIO) -> None:
        """Write the tape to a path, or to a file opened for writing in binary; ``fastgrad.load`` reads it.

        A path is replaced at once when all is written. Names, groups and lines are kept. Constants are written as they
        are now; captured data is then data of the file. The format is described in docs/files.md.

        >>> import fastgrad, io
        >>> tape, file = fastgrad.record(lambda x: x * x, 3.0), io.BytesIO()
        >>> tape.save(file)
        >>> fastgrad.load(io.BytesIO(file.getvalue())) == tape
        True
        """
        from fastgrad import files  # few programs keep tapes

        files.save(self, target)

    def to_c(
        self,
        name: str,
        derivative: str | None = None,
        argnums: int | str | Sequence[int | str] | None = None,
        *,
        values: bool = True,
        limit: int = 200_000,
    ) -> CSource:
        """Standalone C99 source of the tape's values and a derivative, which gives the bits of fastgrad's own kernels.

        ``name`` is that of the C function. ``derivative`` is ``"gradient"``, ``"vjp"``, ``"jvp"``, ``"jacobian"`` or
        ``"hessian"``, by the inputs ``argnums`` (numbers or names, all if None); without ``values`` the values are left
        out. Loops are unrolled as they were recorded, to at most ``limit`` statements. Captured data are frozen.

        Returns an object with the texts ``source`` and ``header``, whose ``write(folder)`` makes files of them. Raises
        UnsupportedError where an operation has no such form or the limit is passed, InputError for other arguments.

        >>> import fastgrad
        >>> code = fastgrad.record(lambda x: x * x, 3.0).to_c("parabola", derivative="gradient")
        >>> print(code.header.partition("extern")[2].splitlines()[3])
        int64_t parabola(const double *x, double *value, double *gradient_x, double *workspace);
        """
        from fastgrad.native.c_source import c_source  # plans, which needs the kernels

        return c_source(self, name, derivative, argnums, values, limit)

    # ---- identity

    @cached_property
    def _structure(self) -> bytes:
        from fastgrad.tape_hash import structure_digest  # few programs compare tapes

        return structure_digest(self)

    @property
    def hash(self) -> str:
        """Hash of the content (operations by name), the same in every process; 32 hex digits.

        Constants count as they are when it is asked for, since they may change in place; everything else is hashed
        once. Neither the order of tables nor entries that no node uses make a difference.
        """
        from fastgrad.tape_hash import content_hash

        return content_hash(self, self._structure)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tape) and self.hash == other.hash

    def __hash__(self) -> int:
        # without the constants: what is a key must keep its hash
        return int.from_bytes(self._structure[:7], "little")

    def __reduce__(self) -> Any:
        numbers = tuple(map(is_number, self.constants))
        return _rebuilt, (numbers, *(getattr(self, entry.name) for entry in fields(self)))

    # ---- checking

    def validate(self) -> Tape:
        """Check every invariant of the module's docstring; return the tape itself. Raises TapeError."""
        from fastgrad.tape_checks import problems  # few programs check their tapes

        for problem in problems(self):
            raise TapeError(f"these arrays are not a tape: {problem}")
        return self


def _rebuilt(numbers: Sequence[bool], *arrays: Any) -> Tape:
    tape = Tape(*arrays).validate()
    # pickling forgets which arrays are read-only
    constants = (number_array(float(c)) if n else c for c, n in zip(tape.constants, numbers, strict=True))
    return replace(tape, constants=tuple(constants))
