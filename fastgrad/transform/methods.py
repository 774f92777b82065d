"""The methods of a tape that differentiate it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastgrad.tape_methods import as_tape

if TYPE_CHECKING:
    from fastgrad.tape import Tape

__all__ = ["DerivativeMethods"]


class DerivativeMethods:
    """The derivatives of a tape as tapes."""

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

        return gradient(as_tape(self), argnums, output)

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

        return adjoint(as_tape(self), argnums)

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

        return tangent(as_tape(self), argnums)

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

        return jacobian(as_tape(self), argnums)
