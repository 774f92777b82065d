"""What a derivative returns, what that asks of the function, and what of its tape."""

from __future__ import annotations

from enum import Enum

from fastgrad.branches import Branch
from fastgrad.calls import Call
from fastgrad.errors import InputError
from fastgrad.plan.request import Kind, Request

__all__ = ["Form", "check_result", "request_of"]


class Form(Enum):
    """What a derivative returns."""

    VALUE = "value"
    GRADIENT = "grad"
    VALUE_AND_GRADIENT = "value_and_grad"
    JACOBIAN = "jacobian"
    HESSIAN = "hessian"
    HVP = "hvp"
    VJP = "vjp"
    JVP = "jvp"

    @property
    def order(self) -> int:
        """Which tape the request is put to: the function's (0) or its gradient's (1)."""
        return 1 if self in (Form.HESSIAN, Form.HVP) else 0

    @property
    def kind(self) -> Kind:
        return _KINDS[self]

    @property
    def with_values(self) -> bool:
        """Whether the values of the function (or, at order 1, of its gradient) are wanted beside the derivative."""
        return self in (Form.VALUE, Form.VALUE_AND_GRADIENT, Form.VJP, Form.JVP)

    @property
    def needs_scalar(self) -> bool:
        return self in (Form.GRADIENT, Form.VALUE_AND_GRADIENT, Form.HESSIAN, Form.HVP)


_KINDS = {
    Form.VALUE: Kind.VALUES,
    Form.GRADIENT: Kind.GRADIENT,
    Form.VALUE_AND_GRADIENT: Kind.GRADIENT,
    Form.JACOBIAN: Kind.JACOBIAN,
    Form.HESSIAN: Kind.JACOBIAN,
    Form.HVP: Kind.JVP,
    Form.VJP: Kind.VJP,
    Form.JVP: Kind.JVP,
}


def request_of(form: Form, branch: Branch, call: Call) -> Request:
    """What is asked of the tape of that form's order."""
    wrt = call.wrt if form is not Form.VALUE else ()
    n_outputs = len(wrt) if form.order else branch.n_main_outputs
    return Request(form.kind, wrt, n_outputs, form.with_values)


def check_result(form: Form, name: str, branch: Branch) -> None:
    """Raise InputError where the result of the function of that name does not suit the form."""
    if not form.needs_scalar:
        return
    shapes = branch.tape.output_shapes[: branch.n_main_outputs]
    if len(shapes) != 1 or branch.structure.tree is not None:
        found = "one value inside a container" if len(shapes) == 1 else f"{len(shapes)} values"
        raise InputError(
            f"{form.value} needs a function that returns one number; {name} returned {found}. "
            "Use jacobian, or has_aux=True for what comes beside the number."
        )
    if shapes[0] != ():
        raise InputError(
            f"{form.value} needs a function that returns one number; {name} returned an array of shape {shapes[0]}. "
            "Sum it, or use jacobian."
        )
