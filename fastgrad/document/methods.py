"""The methods of a tape that read it, and run it: lookup, listing, numbers, formulas, source, calls."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.tape_methods import as_tape

if TYPE_CHECKING:
    from fastgrad.document.function import TapeFunction
    from fastgrad.document.lookup import NodeSequence
    from fastgrad.document.statistics import Statistics
    from fastgrad.document.summary import Summary
    from fastgrad.tape import Node

__all__ = ["ReadingMethods"]


class ReadingMethods:
    """A tape for people and as a function of arrays."""

    def __getitem__(self, node: int | str) -> Node:
        """The node with this name (of an input, a node or an output, in this order) or number.

        Raises InputError for a name that the tape does not have, with those that are near it; IndexError for a number
        outside the tape.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: fastgrad.name(np.sin(x), "hidden") * x, 1.0)
        >>> tape["hidden"].operation, tape["x"].number
        ('sin', 0)
        """
        return as_tape(self).node(self.number_of(node))

    def __contains__(self, node: object) -> bool:
        return node in self._numbers_by_name if isinstance(node, str) else node in self.nodes

    def number_of(self, node: int | str | Node) -> int:
        """The number of the node that a name, a number or a node stands for; errors as for ``tape[node]``."""
        from fastgrad.document.lookup import node_number

        return node_number(as_tape(self), node)

    @property
    def nodes(self) -> NodeSequence:
        """All nodes as a sequence, each made when it is asked for.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: np.sin(x) * x, 1.0)
        >>> [node.operation for node in tape.nodes[-2:]]
        ['sin', 'multiply']
        """
        from fastgrad.document.lookup import NodeSequence

        tape = as_tape(self)
        return NodeSequence(tape, range(len(tape)))

    def dependencies(self, node: int | str | Node) -> NodeSequence:
        """All nodes that a node is computed from, itself left out; ``operands_of`` has the direct ones.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x, y: (np.sin(x), np.cos(y) * x), 1.0, 2.0)
        >>> [node.operation for node in tape.dependencies(tape.nodes[-1])]
        ['input', 'input', 'cos']
        """
        from fastgrad.document.lookup import NodeSequence
        from fastgrad.reachability import needed_for

        tape, number = as_tape(self), self.number_of(node)
        needed = needed_for([number], tape.operand_starts, tape.operands)
        needed[number] = False
        return NodeSequence(tape, np.flatnonzero(needed))

    def dependents(self, node: int | str | Node) -> NodeSequence:
        """All nodes that are computed from a node, itself left out; ``users_of`` has the direct ones.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x, y: (np.sin(x), np.cos(y) * x), 1.0, 2.0)
        >>> [node.operation for node in tape.dependents("y")]
        ['cos', 'multiply']
        """
        from fastgrad.document.lookup import NodeSequence
        from fastgrad.reachability import dependent_on

        tape, number = as_tape(self), self.number_of(node)
        dependent = dependent_on(number, tape.operand_starts, tape.operands)
        dependent[number] = False
        return NodeSequence(tape, np.flatnonzero(dependent))

    def users_of(self, node: int | str | Node) -> NDArray[np.int64]:
        """The numbers of the nodes that a node is an operand of, once for each time."""
        starts, users = self._users
        number = self.number_of(node)
        return users[starts[number] : starts[number + 1]]

    @cached_property
    def _users(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        from fastgrad.document.lookup import users

        return users(as_tape(self))

    @cached_property
    def _numbers_by_name(self) -> dict[str, int]:
        from fastgrad.tape_names import numbers_by_name

        return numbers_by_name(as_tape(self))

    @cached_property
    def _names_of_nodes(self) -> dict[int, str]:
        from fastgrad.tape_names import names_of_nodes

        return names_of_nodes(as_tape(self))

    def statistics(self) -> Statistics:
        """Counts of nodes and operations, depth, floating-point operations and memory; prints as a table.

        >>> import fastgrad, numpy as np
        >>> found = fastgrad.record(lambda a, x: np.sum(np.sin(a @ x)), np.ones((3, 2)), np.ones(2)).statistics()
        >>> found.operations, found.depth, found.flops
        ({'reshape': 2, 'sin': 1, 'sum': 1, 'matmul': 1}, 5, 18.0)
        """
        from fastgrad.document.statistics import statistics

        return statistics(as_tape(self))

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

        return summary(as_tape(self), depth, parameters)

    def __str__(self) -> str:
        from fastgrad.document.text import abbreviated

        return abbreviated(as_tape(self))

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

        return listing(as_tape(self), start, stop)

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

        return TapeFunction(as_tape(self), as_dict)

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

        return to_source(as_tape(self), name, constants=constants, lines=lines, as_dict=as_dict)

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

        return formula(as_tape(self), style)
