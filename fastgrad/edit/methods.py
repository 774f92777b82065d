"""The methods of a tape that make another one of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from fastgrad.tape_methods import as_tape

if TYPE_CHECKING:
    from fastgrad.edit.pattern import Match
    from fastgrad.tape import Node, Tape

    Where: TypeAlias = int | str | Node
    What: TypeAlias = Tape | Callable[..., Any]
    WherePattern: TypeAlias = str | Callable[[Node], bool] | None

__all__ = ["EditingMethods"]


class EditingMethods:
    """Edits of a tape. None changes the tape itself; names, groups and lines of what is not edited are kept.

    A *place* is a node, by its name, number or itself, or a group by its path, which means the group's one result. What
    is put in is a tape with one output, or a function of arrays, which is recorded for the shapes at its place; its
    first inputs are values of the tape, further ones become inputs of the new tape. For a function these are given by
    name, with an example of their shape, in ``inputs``. What is used further on keeps its shape.

    Every edit raises InputError where a place is unknown, where shapes do not fit, and where the graph would be wrong.
    """

    def insert_after(self, place: Where, what: What, *, inputs: Mapping[str, Any] | None = None) -> Tape:
        """The tape in which all that used a node uses what is made of it.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: fastgrad.name(np.sin(x), "sine") + 1.0, 0.0)
        >>> print(tape.insert_after("sine", lambda y: y * y).formula())
        sine = sin(x)
        y = sine*sine + 1
        """
        from fastgrad.edit.edits import insert_after

        return insert_after(as_tape(self), place, what, inputs)

    def insert_before(
        self, place: Where, what: What, *, operand: int | None = None, inputs: Mapping[str, Any] | None = None
    ) -> Tape:
        """The tape in which a node uses what is made of its operand, which others go on using as it is.

        ``operand`` is the operand's position, where there are several.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: fastgrad.name(np.sin(x), "sine") * x, 0.0)
        >>> print(tape.insert_before("sine", lambda x: x / 2).formula())
        sine = sin(x/2)
        y = sine*x
        """
        from fastgrad.edit.edits import insert_before

        return insert_before(as_tape(self), place, what, operand, inputs)

    def replace_node(self, place: Where, what: What, *, inputs: Mapping[str, Any] | None = None) -> Tape:
        """The tape in which something else is made of a node's operands, under the node's name.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: fastgrad.name(np.tanh(3 * x), "active"), 0.0)
        >>> print(tape.replace_node("active", lambda y: np.maximum(y, 0.0)).formula())
        active = max(3*x, 0)
        """
        from fastgrad.edit.edits import replace_node

        return replace_node(as_tape(self), place, what, inputs)

    def bypass(self, place: Where, *, operand: int | None = None) -> Tape:
        """The tape without a node or group, whose operand of the same shape takes its place.

        ``operand`` is the operand's position, where several have the shape. Inputs that nothing else uses go, too, and
        so do decisions that were taken inside a group.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: fastgrad.name(np.sin(x), "sine") + 1.0, 0.0)
        >>> print(tape.bypass("sine").formula())
        y = x + 1
        """
        from fastgrad.edit.edits import bypass

        return bypass(as_tape(self), place, operand)

    def cut(self, *places: Where) -> tuple[Tape, Tape]:
        """Two tapes: up to these places, and from there on. ``front >> back`` is the tape again.

        Inputs are on the side that uses them, on both if need be: then ``fastgrad.compose(back, front, share=True)`` is
        the tape, with one input for both. Decisions are checked on the side of what they depend on. Raises InputError
        where something else that was computed before the cut is used behind it, too.

        >>> import fastgrad, numpy as np
        >>> front, back = fastgrad.record(lambda x: fastgrad.name(np.sin(x), "sine") + 1.0, 0.0).cut("sine")
        >>> print(front.formula(), back.formula(), sep="; ")
        sine = sin(x); y = sine + 1
        """
        from fastgrad.edit.edits import cut

        return cut(as_tape(self), places)

    def graft(self, place: Where, what: What, *, inputs: Mapping[str, Any] | None = None) -> Tape:
        """The tape up to a place, and from there on something else, whose outputs are those of the new tape.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: fastgrad.name(np.sin(x), "sine") + 1.0, 0.0)
        >>> print(tape.graft("sine", np.exp).formula())
        sine = sin(x)
        y = exp(sine)
        """
        from fastgrad.edit.edits import graft

        return graft(as_tape(self), place, what, inputs)

    def share(self, kept: str, *others: str) -> Tape:
        """The tape in which one input stands for others of its shape as well.

        >>> import fastgrad
        >>> print(fastgrad.record(lambda x, y: x * y, 1.0, 1.0).share("x", "y").formula())
        y = x*x
        """
        from fastgrad.edit.edits import share

        return share(as_tape(self), kept, *others)

    def untie(self, name: str) -> Tape:
        """The tape in which each node that uses an input has one of its own: ``w``, ``w_2`` and so on.

        >>> import fastgrad, numpy as np
        >>> print(fastgrad.record(lambda w: np.sin(w) + np.cos(w), 1.0).untie("w").formula())
        y = sin(w) + cos(w_2)
        """
        from fastgrad.edit.edits import untie

        return untie(as_tape(self), name)

    def freeze(self, **values: Any) -> Tape:
        """The tape with these inputs given; see :func:`fastgrad.partial`.

        >>> import fastgrad
        >>> print(fastgrad.record(lambda x, scale: x * scale, 1.0, 1.0).freeze(scale=4.0).formula())
        y = 4*x
        """
        from fastgrad.edit.compose import partial

        return partial(as_tape(self), **values)

    def constants_to_inputs(self, *constants: Where) -> Tape:
        """The tape in which these constants, or else all captured and frozen arrays, are inputs behind the others.

        Their values are found by ``tape[name].attribute``. They keep their names.

        >>> import fastgrad
        >>> tape = fastgrad.record(lambda x, y: x * y, 1.0, 1.0).freeze(y=3.0)
        >>> tape.constants_to_inputs("y").input_names
        ('x', 'y')
        """
        from fastgrad.edit.edits import constants_to_inputs

        return constants_to_inputs(as_tape(self), constants)

    def tap(self, *places: Where, name: str | None = None) -> Tape:
        """The tape with these intermediate values as further outputs, under their names or, for one, under ``name``.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: fastgrad.name(np.sin(x), "sine") + 1.0, 0.0)
        >>> [float(value) for value in tape.tap("sine")(0.0)]
        [1.0, 0.0]
        """
        from fastgrad.edit.edits import tap

        return tap(as_tape(self), places, name)

    def select(self, *outputs: int | str) -> Tape:
        """The tape of these outputs, by name or position, without what they do not need; all inputs stay.

        >>> import fastgrad, numpy as np
        >>> print(fastgrad.record(lambda x: (np.sin(x), np.cos(x)), 0.0).select(1).formula())
        y = cos(x)
        """
        from fastgrad.edit.edits import select

        return select(as_tape(self), outputs)

    def rename(self, names: Mapping[str, str]) -> Tape:
        """The tape with other names for inputs, nodes, outputs and groups; those inside a group go with it.

        >>> import fastgrad
        >>> fastgrad.record(lambda x, y: x * y, 1.0, 1.0).rename({"x": "width"}).input_names
        ('width', 'y')
        """
        from fastgrad.edit.edits import rename

        return rename(as_tape(self), names)

    def regroup(self, places: Sequence[Where], path: str) -> Tape:
        """The tape with these nodes, or the nodes of these groups, in the group of this path; in none if it is empty.

        >>> import fastgrad, numpy as np
        >>> fastgrad.record(np.sin, 0.0).regroup([1], "wave").group_of(1)
        'wave'
        """
        from fastgrad.edit.edits import regroup

        return regroup(as_tape(self), places, path)

    def matches(self, pattern: What, *, where: WherePattern = None, shared: bool = False) -> tuple[Match, ...]:
        """Where a pattern is found; see :meth:`rewrite`.

        Each match has the number of its ``result``, its ``wildcards`` (numbers of nodes by name) and its ``nodes``.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: np.log(1 + x) * np.log(1 + 2 * x), 1.0)
        >>> len(tape.matches(lambda y: np.log(1 + y)))
        2
        """
        from fastgrad.edit.pattern import matches

        return matches(as_tape(self), pattern, where, shared)

    def rewrite(
        self,
        pattern: What,
        replacement: What,
        *,
        where: WherePattern = None,
        count: int | None = None,
        shared: bool = False,
        missing_ok: bool = False,
    ) -> Tape:
        """The tape in which a pattern is replaced wherever it is found, or the first ``count`` times.

        Pattern and replacement are functions of the same wildcards, which stand for any values and are paired by name,
        or in order where the names differ. A pattern is recorded for any shape; one with array operations is given as a
        tape. Operations, attributes and numbers must be the same; operands of commutative operations match either way
        round. What is inside a match must not be used elsewhere, unless it is ``shared``. ``where`` is the path of a
        group, or says of a match's result, a ``Node``, whether it is meant. Of matches that overlap, the first is
        replaced.

        A pattern that is not found is an error, unless ``missing_ok``.

        >>> import fastgrad, numpy as np
        >>> tape = fastgrad.record(lambda x: np.log(1 + x) * np.tanh(x), 1.0)
        >>> print(tape.rewrite(lambda y: np.log(1 + y), np.log1p).formula())
        y = log1p(x)*tanh(x)
        """
        from fastgrad.edit.pattern import rewrite

        return rewrite(as_tape(self), pattern, replacement, where, count, shared, missing_ok)

    def __rshift__(self, other: Tape) -> Tape:
        """``f >> g`` is g after f; see :func:`fastgrad.compose`."""
        from fastgrad.tape import Tape

        if not isinstance(other, Tape) and not callable(other):
            return NotImplemented
        from fastgrad.edit.compose import compose

        return compose(other, as_tape(self))
