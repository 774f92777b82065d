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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgrad import array_ops, ops
from fastgrad.edit.methods import EditingMethods
from fastgrad.errors import TapeError

if TYPE_CHECKING:
    from fastgrad.document.function import TapeFunction
    from fastgrad.document.lookup import NodeSequence
    from fastgrad.document.statistics import Statistics
    from fastgrad.document.summary import Summary
    from fastgrad.draw.drawing import Drawing
    from fastgrad.native.c_source import CSource

__all__ = [
    "ARRAY_OPERATION",
    "CONSTANT",
    "INPUT",
    "Node",
    "Source",
    "Tape",
    "TapeBuilder",
    "distinct",
    "is_number",
    "number_array",
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


def _name_of(opcode: int) -> str:
    return {INPUT: "input", CONSTANT: "constant"}.get(opcode) or operation_of(opcode).name


@dataclass(frozen=True, eq=False)
class Tape(EditingMethods):
    """An immutable recorded function; see the module's docstring for its arrays."""

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
            index, _name_of(opcode), operands, self.shape_of(index), attribute, self.source_of(index), name, group
        )

    def __iter__(self) -> Iterator[Node]:
        return (self.node(index) for index in range(len(self)))

    def __getitem__(self, node: int | str) -> Node:
        """The node with this name (of an input, a node or an output, in this order) or number.

        Raises InputError for a name that the tape does not have, with those that are near it; IndexError for a number
        outside the tape.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: fastgrad.name(np.sin(x), "hidden") * x, 1.0)
        >>> tape["hidden"].operation, tape["x"].number
        ('sin', 0)
        """
        return self.node(self.number_of(node))

    def __contains__(self, node: object) -> bool:
        return node in self._numbers_by_name if isinstance(node, str) else node in self.nodes

    def number_of(self, node: int | str | Node) -> int:
        """The number of the node that a name, a number or a node stands for; errors as for ``tape[node]``."""
        from fastgrad.document.lookup import node_number

        return node_number(self, node)

    @property
    def nodes(self) -> NodeSequence:
        """All nodes as a sequence, each made when it is asked for.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: np.sin(x) * x, 1.0)
        >>> [node.operation for node in tape.nodes[-2:]]
        ['sin', 'multiply']
        """
        from fastgrad.document.lookup import NodeSequence

        return NodeSequence(self, range(len(self)))

    def dependencies(self, node: int | str | Node) -> NodeSequence:
        """All nodes that a node is computed from, itself left out; ``operands_of`` has the direct ones.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x, y: (np.sin(x), np.cos(y) * x), 1.0, 2.0)
        >>> [node.operation for node in tape.dependencies(tape.nodes[-1])]
        ['input', 'input', 'cos']
        """
        from fastgrad.document.lookup import NodeSequence
        from fastgrad.reachability import needed_for

        number = self.number_of(node)
        needed = needed_for([number], self.operand_starts, self.operands)
        needed[number] = False
        return NodeSequence(self, np.flatnonzero(needed))

    def dependents(self, node: int | str | Node) -> NodeSequence:
        """All nodes that are computed from a node, itself left out; ``users_of`` has the direct ones.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x, y: (np.sin(x), np.cos(y) * x), 1.0, 2.0)
        >>> [node.operation for node in tape.dependents("y")]
        ['cos', 'multiply']
        """
        from fastgrad.document.lookup import NodeSequence
        from fastgrad.reachability import dependent_on

        number = self.number_of(node)
        dependent = dependent_on(number, self.operand_starts, self.operands)
        dependent[number] = False
        return NodeSequence(self, np.flatnonzero(dependent))

    def users_of(self, node: int | str | Node) -> NDArray[np.int64]:
        """The numbers of the nodes that a node is an operand of, once for each time."""
        starts, users = self._users
        number = self.number_of(node)
        return users[starts[number] : starts[number + 1]]

    @cached_property
    def _users(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        from fastgrad.document.lookup import users

        return users(self)

    @cached_property
    def _numbers_by_name(self) -> dict[str, int]:
        from fastgrad.document.lookup import numbers_by_name

        return numbers_by_name(self)

    @cached_property
    def _names_of_nodes(self) -> dict[int, str]:
        from fastgrad.document.lookup import names_of_nodes

        return names_of_nodes(self)

    def statistics(self) -> Statistics:
        """Counts of nodes and operations, depth, floating-point operations and memory; prints as a table.

        >>> import fastgrad, numpy as np
        >>> found = fastgrad.record(lambda a, x: np.sum(np.sin(a @ x)), np.ones((3, 2)), np.ones(2)).statistics()
        >>> found.operations, found.depth, found.flops
        ({'reshape': 2, 'sin': 1, 'sum': 1, 'matmul': 1}, 5, 18.0)
        """
        from fastgrad.document.statistics import statistics

        return statistics(self)

    def summary(self, depth: int = 1, *, parameters: Sequence[int | str] | None = None) -> Summary:
        """The groups in order as a table: operations, shapes of what leaves them, and parameter counts.

        Groups are the outermost ones, or with ``depth`` those nested up to that level. A parameter counts for the
        group that uses it first. ``parameters`` says which inputs these are, by names or positions; by default those
        whose names show that they belong to something (``dense/kernel``, ``weights['kernel']``), or if there are none,
        all inputs but the first. Raises InputError for inputs that the tape does not have.

        >>> import fastgrad, numpy as np
        >>> @fastgrad.group("dense")
        ... def dense(x, w):
        ...     return np.tanh(w @ x)
        >>> print(fastgrad.record(lambda x, w: np.sum(dense(x, w)), np.ones(2), np.ones((3, 2))).summary())
        input x [2]
        --------------------------------------------------------------
        Group       Operations                Output shape  Parameters
        --------------------------------------------------------------
        dense       reshape x2, tanh, matmul  [3]                    6
        (no group)  sum                       scalar                 0
        --------------------------------------------------------------
        5 operations, 6 parameters (48 B)
        """
        from fastgrad.document.summary import summary

        return summary(self, depth, parameters)

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

    def __str__(self) -> str:
        from fastgrad.document.text import abbreviated

        return abbreviated(self)

    def listing(self, start: int = 0, stop: int | None = None) -> str:
        """The nodes from ``start`` up to ``stop`` as text, a line each; ``print(tape)`` abbreviates long tapes.

        A line shows the node's number and name, its operation with operands, shape and the user's line; nodes stand
        under their group, guards under the node that they check.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: {"loss": np.sum(fastgrad.name(x * x, "squares"))}, np.ones(3))
        >>> print("".join(tape.listing().partition("return")[1:]))
        return loss
        """
        from fastgrad.document.text import listing

        return listing(self, start, stop)

    # ---- running

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """The outputs at these inputs, given in order or by name: an array, or a tuple of arrays if there are several.

        On values that are being recorded the tape's operations are recorded, so that ``fastgrad.grad(tape)`` and its
        kin work as for the recorded function. Raises InputError where an input is missing or has another shape, and
        where it takes a branch that was not recorded, with the line that decides.

        >>> import fastgrad
        >>> tape = fastgrad.record(lambda x, y: x * y, 2.0, 3.0)
        >>> float(tape(5.0, y=7.0)), float(fastgrad.grad(tape)(5.0, 7.0))
        (35.0, 7.0)
        """
        return self._function(*args, **kwargs)

    @cached_property
    def _function(self) -> TapeFunction:
        return self.to_function()

    def to_function(self, *, as_dict: bool = False) -> TapeFunction:
        """A function of NumPy arrays, with the tape's inputs as parameters; called as the tape itself is.

        With ``as_dict`` it returns a dict from the outputs' names. The function can be pickled.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: {"sine": np.sin(x), "square": x * x}, 0.0)
        >>> tape.to_function(as_dict=True)(3.0)["square"]
        np.float64(9.0)
        """
        from fastgrad.document.function import TapeFunction

        return TapeFunction(self, as_dict)

    def to_source(
        self, name: str = "function", *, constants: str = "inline", lines: bool = False, as_dict: bool = False
    ) -> str:
        """Python source of a function of this name that computes what the tape does, with NumPy.

        Its parameters are the inputs, its variables have the nodes' names as far as Python allows, groups stand as
        comments, and with ``lines`` the recorded lines. What NumPy has no function for is defined in the source, or
        imported from fastgrad where it is an algorithm of its own. Guards are checks that raise ValueError. With
        ``as_dict`` the function returns a dict from the outputs' names.

        Captured arrays are written out as they are now, up to 10,000 numbers in all; with ``constants="argument"`` the
        function takes them: ``function(x, constants=tape.constants)``. Nothing that the tape holds is run as code.

        Raises InputError for a name that is none in Python, and for too large arrays.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: fastgrad.name(np.sin(x), "sine") * x, 1.0)
        >>> print(tape.to_source("f").partition("def f")[2])
        (x):
            \"""A tape of 2 operations, as NumPy computes it.\"""
            x = _checked(x, 'x', ())
            sine = np.sin(x)
            v2 = sine * x
            return v2
        <BLANKLINE>
        """
        from fastgrad.document.source_code import to_source

        return to_source(self, name, constants=constants, lines=lines, as_dict=as_dict)

    # ---- derivatives

    def gradient(
        self, argnums: int | str | Sequence[int | str] | None = None, *, output: int | str | None = None
    ) -> Tape:
        """The tape of the gradient of an output that is one number, by the inputs ``argnums`` (all if None).

        Inputs are meant by name or position, and so is ``output``, which a tape with one output needs not say. The
        gradient's inputs are those of this tape, its outputs ``adjoint(x)`` for each chosen input ``x``. It is a tape
        as any other: ``tape.gradient().jacobian()`` is that of the Hessian. Raises InputError for wrong names and for
        outputs that are arrays.

        >>> import fastgrad
        >>> tape = fastgrad.record(lambda x: x**3, 1.0).gradient()
        >>> float(tape(2.0)), tape.output_names
        (12.0, ('adjoint(x)',))
        """
        from fastgrad.transform.derivatives import gradient

        return gradient(self, argnums, output)

    def adjoint(self, argnums: int | str | Sequence[int | str] | None = None) -> Tape:
        """The tape of values and of the reverse sweep (vector-Jacobian products) by the inputs ``argnums``.

        Its inputs are those of this tape and, for each output ``y``, its cotangent ``adjoint(y)``; its outputs are
        those of this tape and, for each chosen input ``x``, ``adjoint(x)``. Nodes of the sweep are named and grouped
        alike: ``adjoint(hidden)`` in group ``adjoint/encoder``. Raises InputError for wrong names.

        >>> import fastgrad
        >>> value, x_bar = fastgrad.record(lambda x: x**3, 1.0).adjoint()(2.0, 10.0)
        >>> float(value), float(x_bar)
        (8.0, 120.0)
        """
        from fastgrad.transform.derivatives import adjoint

        return adjoint(self, argnums)

    def tangent(self, argnums: int | str | Sequence[int | str] | None = None) -> Tape:
        """The tape of values and of the forward sweep (Jacobian-vector products) by the inputs ``argnums``.

        Its inputs are those of this tape and, for each chosen input ``x``, its tangent ``tangent(x)``; its outputs are
        those of this tape and ``tangent(y)`` for each of them. Raises InputError for wrong names.

        >>> import fastgrad
        >>> value, moved = fastgrad.record(lambda x: x**3, 1.0).tangent()(2.0, 0.5)
        >>> float(value), float(moved)
        (8.0, 6.0)
        """
        from fastgrad.transform.derivatives import tangent

        return tangent(self, argnums)

    def jacobian(self, argnums: int | str | Sequence[int | str] | None = None) -> Tape:
        """The tape of the Jacobians of all outputs by the inputs ``argnums``.

        Its inputs are those of this tape; for each output ``y`` and each chosen input ``x`` it has the output
        ``jacobian(y, x)`` of shape ``y.shape + x.shape``. Raises InputError for wrong names.

        >>> import fastgrad, numpy as np
        >>> fastgrad.record(lambda x: x * x, np.ones(2)).jacobian()([1.0, 2.0])
        array([[2., 0.],
               [0., 4.]])
        """
        from fastgrad.transform.derivatives import jacobian

        return jacobian(self, argnums)

    # ---- elsewhere

    def formula(self, style: str = "text") -> str:
        """What the tape computes as mathematical formulas, in plain text or (``style="latex"``) for a LaTeX formula.

        Values with a name, and those used several times, have a line of their own. Axes of length 1 are left out
        where that changes nothing, and products whose zero factors win over infinities look like all others. Raises
        InputError for a tape of more than 1,000 operations, and for an unknown style.

        >>> import fastgrad, numpy as np
        >>> print(fastgrad.record(lambda x, z: np.exp(-(x**2)) / z, 1.0, 2.0).formula())
        y = exp(-x^2)/z
        """
        from fastgrad.document.formula import formula

        return formula(self, style)

    def draw(
        self,
        format: str = "svg",
        *,
        values: Sequence[Any] | Mapping[str, Any] | None = None,
        adjoints: bool | Sequence[Any] = False,
        fold_groups: Sequence[str] = (),
        max_boxes: int = 150,
        theme: str = "auto",
    ) -> Drawing:
        """A drawing of the graph, which Jupyter shows and ``.save(path)`` writes.

        ``format`` is ``"svg"``, ``"png"``, ``"html"`` (a page with zoom, search and folding), ``"mermaid"`` or
        ``"dot"``; the first three need ``pip install 'fastgrad[draw]'``. ``values`` are inputs, in order or by name, at
        which each node's value is shown; with ``adjoints`` (True, or the cotangents of the outputs) the reverse sweep
        stands beside it. The groups in ``fold_groups`` are drawn as one box each; a tape that would have more than
        ``max_boxes`` is folded by group, line or runs of nodes. ``theme`` is ``"light"``, ``"dark"`` or ``"auto"``.

        Raises InputError for arguments that do not fit, UnsupportedError where the extra is missing.

        >>> import fastgrad, numpy as np
        >>> print(fastgrad.record(np.sin, 1.0).draw("dot").text.count("->"))
        1
        """
        from fastgrad.draw.drawing import draw

        return draw(
            self,
            format,
            values=values,
            adjoints=adjoints,
            fold_groups=fold_groups,
            max_boxes=max_boxes,
            theme=theme,
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """What Jupyter shows: the drawing, or the listing where it cannot be drawn."""
        try:
            return {"text/plain": str(self), "image/svg+xml": self.draw().text}
        except Exception:  # a display must not stand in the way of what was computed
            return {"text/plain": str(self)}

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
