"""The derivatives of a tape as tapes: what its public methods return."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastgrad.errors import InputError
from fastgrad.tape import Tape
from fastgrad.tape_names import input_names, output_names
from fastgrad.transform import adjoint as reverse
from fastgrad.transform import tangent as forward
from fastgrad.transform.jacobian import jacobian as jacobian_by_rows
from fastgrad.transform.jacobian_in_one_run import batched_jacobian
from fastgrad.transform.symbolic import without_dead_nodes

__all__ = ["Argnums", "adjoint", "gradient", "input_positions", "jacobian", "tangent"]

Argnums = int | str | Sequence[int | str] | None


def adjoint(tape: Tape, argnums: Argnums = None) -> Tape:
    """See :meth:`fastgrad.Tape.adjoint`."""
    return reverse.adjoint(tape, input_positions(tape, argnums), len(tape.outputs), seeded=True)


def tangent(tape: Tape, argnums: Argnums = None) -> Tape:
    """See :meth:`fastgrad.Tape.tangent`."""
    return forward.tangent(tape, input_positions(tape, argnums), len(tape.outputs))


def gradient(tape: Tape, argnums: Argnums = None, output: int | str | None = None) -> Tape:
    """See :meth:`fastgrad.Tape.gradient`."""
    wrt = input_positions(tape, argnums)
    if output is None and len(tape.outputs) != 1:
        names = ", ".join(map(repr, output_names(tape)))
        raise InputError(f"the tape has the outputs {names}: say of which the gradient is wanted, with output=.")
    (position,) = _positions(output_names(tape), 0 if output is None else output, "output")
    if tape.output_shapes[position] != ():
        raise InputError(
            f"output {output_names(tape)[position]!r} has shape {tape.output_shapes[position]}; a gradient is that of "
            "one number. Use Tape.jacobian, or Tape.adjoint with a cotangent."
        )
    derived = reverse.adjoint(tape.with_outputs([position]), wrt, 1, seeded=False)
    return _derivatives_only(derived, 1)


def jacobian(tape: Tape, argnums: Argnums = None) -> Tape:
    """See :meth:`fastgrad.Tape.jacobian`."""
    wrt, n_outputs = input_positions(tape, argnums), len(tape.outputs)
    derived = batched_jacobian(tape, wrt, n_outputs)
    if derived is None:
        derived = jacobian_by_rows(tape, wrt, n_outputs)
    return _derivatives_only(derived, n_outputs)


def _derivatives_only(derived: Tape, n_values: int) -> Tape:
    return without_dead_nodes(derived.with_outputs(range(n_values, len(derived.outputs))))


def input_positions(tape: Tape, argnums: Argnums) -> tuple[int, ...]:
    """The positions of the inputs that are meant by names, numbers or None (all). Raises InputError for others."""
    if argnums is None:
        return tuple(range(len(tape.inputs)))
    return _positions(input_names(tape), argnums, "input")


def _positions(known: Sequence[str], wanted: int | str | Sequence[int | str], what: str) -> tuple[int, ...]:
    names, n = list(known), len(known)
    argument = "argnums" if what == "input" else what
    found = []
    for one in (wanted,) if isinstance(wanted, (int, str, np.integer)) else wanted:
        position = names.index(one) if one in names else one
        if isinstance(position, bool) or not isinstance(position, (int, np.integer)) or not -n <= position < n:
            raise InputError(f"{argument} names {one!r}; the tape's {what}s are {', '.join(names)}, from 0 to {n - 1}.")
        found.append(int(position) % n)
    if not found or len(set(found)) != len(found):
        raise InputError(f"{argument} must name one or more {what}s, each once; it is {wanted!r}.")
    return tuple(found)
