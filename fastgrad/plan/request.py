"""What is asked of a tape: its values, or values and one kind of derivative."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """The kinds of results. Each comes after the values of the tape's outputs."""

    VALUES = "values"
    #: cotangents of the inputs, from a cotangent of each output
    VJP = "vjp"
    #: as VJP, every cotangent of an output being 1
    GRADIENT = "gradient"
    #: tangents of the outputs, from a tangent of each input
    JVP = "jvp"
    #: the derivative of each output by each input, of shape out.shape + in.shape
    JACOBIAN = "jacobian"


@dataclass(frozen=True)
class Request:
    """A kind of result, and the positions of the inputs to differentiate by."""

    kind: Kind
    wrt: tuple[int, ...] = ()
