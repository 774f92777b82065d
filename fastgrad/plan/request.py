"""What is asked of a tape: its values, or values and one kind of derivative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

Shape = tuple[int, ...]


class Kind(Enum):
    """The kinds of results. Each comes after the values of the tape's outputs that are wanted."""

    VALUES = "values"
    # cotangents of the inputs, from a cotangent of each output
    VJP = "vjp"
    # as VJP, every cotangent of an output being 1
    GRADIENT = "gradient"
    # tangents of the outputs, from a tangent of each input
    JVP = "jvp"
    # the derivative of each output by each input, of shape out.shape + in.shape
    JACOBIAN = "jacobian"


@dataclass(frozen=True)
class Request:
    """A kind of result, the positions of the inputs to differentiate by, and how many outputs are differentiated.

    Outputs after the first ``n_outputs`` are auxiliary: their values are wanted, their derivatives are not. Without
    ``with_values`` the values of the first ``n_outputs`` are not wanted either.
    """

    kind: Kind
    wrt: tuple[int, ...] = ()
    n_outputs: int = 0
    with_values: bool = True

    @property
    def n_hidden(self) -> int:
        """How many of the first outputs have a value that nobody asks for."""
        return 0 if self.with_values else self.n_outputs


def result_shapes(outputs: Sequence[Shape], inputs: Sequence[Shape], request: Request) -> tuple[Shape, ...]:
    """The shapes of the results of a request: the outputs', then what it adds."""
    wanted = [inputs[position] for position in request.wrt]
    main = outputs[: request.n_outputs]
    extra: dict[Kind, list[Shape]] = {
        Kind.VALUES: [],
        Kind.VJP: wanted,
        Kind.GRADIENT: wanted,
        Kind.JVP: list(main),
        Kind.JACOBIAN: [out + of for out in main for of in wanted],
    }
    return (*outputs[request.n_hidden :], *extra[request.kind])
