"""The tape that computes what a request asks of another."""

from __future__ import annotations

from fastgrad.plan.request import Kind, Request
from fastgrad.tape import Tape
from fastgrad.transform.adjoint import adjoint
from fastgrad.transform.jacobian import jacobian
from fastgrad.transform.tangent import tangent

__all__ = ["derived_tape"]


def derived_tape(tape: Tape, request: Request) -> Tape:
    """The outputs of ``tape``, also those that the request hides, then the derivatives."""
    match request.kind:
        case Kind.VALUES:
            return tape
        case Kind.GRADIENT | Kind.VJP:
            return adjoint(tape, request.wrt, request.n_outputs, seeded=request.kind is Kind.VJP)
        case Kind.JVP:
            return tangent(tape, request.wrt, request.n_outputs)
        case Kind.JACOBIAN:
            return jacobian(tape, request.wrt, request.n_outputs)
