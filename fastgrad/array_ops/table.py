"""What an entry of the table of array operations is, and the table itself.

An entry holds

``name``        the operation's name
``shape_rule``  the result's shape from the attribute and the operands' shapes; raises ValueError where they do not fit
``evaluate``    the result with NumPy, from the attribute and the operands as arrays
``into``        the same written into an array that is given: from the attribute, the array and the operands; None where
                ``evaluate`` is as good
``vjp``         the operands' cotangents (None: has none) from attribute, cotangent, operands and result
``jvp``         the result's tangent from attribute, tangents (None: zero), operands and result; None where the
                operation is linear in each operand for itself, which is then used instead
``movement``    elements are moved, repeated or dropped (or zeros put in between) and nothing is computed: ``evaluate``
                is then right for arrays of anything, and the planner runs it on places instead of numbers
``piecewise_constant``  every derivative is zero, and ``vjp`` is never asked
``scalar_code`` the operation as instructions on scalars: the result's slots from a writer (see ``ScalarWriter``), the
                attribute and the operands' slots; None where only NumPy can do it
``scalar_cost`` how many instructions that takes, about, from the attribute and the operands' shapes
``factors``     where the result is each element times a number (strongly: times 0 is 0) these numbers, as an array that
                fits the operand's last axes, from the attribute and its shape: the planner then fuses it; else None
``position_operands``  operands that are not numbers to compute with but positions: ``scalar_code`` is given their
                content, and can be used only where they are constants
``batch``       the results for many examples at once, on a leading axis, from the attribute and the operands as
                ``Examples``; None where the operation cannot be, or not with these operands for all at once

``vjp`` and ``jvp`` are written with operators, entries of ``ops`` and entries of this table, so they run on the values
of a tape under construction; derivatives of any order come from these rules alone. A value has a ``shape`` and answers
to ``apply_array_operation``.

To add an operation, add one entry to the module of its kind. An operation's code is its module's base and its place in
the module, so that codes do not depend on which modules are loaded; a code that is looked up loads its module.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastgrad import ops

Shape = tuple[int, ...]
Cotangents = tuple[Any, ...]
Slots = NDArray[np.int64]


class ScalarWriter(Protocol):
    """What ``scalar_code`` writes to."""

    # rows (slot of the result, slot of the operand, slot of the partial derivative), for instructions emitted with
    # ``edge_free``
    extra_edges: list[NDArray[np.int64]]

    def emit(self, operation: ops.Operation, *operands: Any, edge_free: bool = False) -> Slots:
        """One instruction for each element of the operands' slots, broadcast together."""
        ...


class Examples(Protocol):
    """What ``batch`` is given: the operands for ``n`` examples, at least one of which is another for each."""

    n: int
    # with a leading axis of length n where they vary
    operands: Sequence[Any]
    varies: Sequence[bool]
    # of the operands for one example
    shapes: Sequence[Shape]

    def apply(self, attribute: Any) -> Any:
        """The operation itself with this attribute, all operands having the leading axis."""
        ...

    def apply_broadcast(self, attribute: Any) -> Any:
        """The same for an operation whose operands broadcast, and need the leading axis only where they vary."""
        ...

    def with_axis(self, position: int) -> Any:
        """An operand with the leading axis."""
        ...

    def with_rank(self, position: int, rank: int) -> Any:
        """An operand with axes of length 1 after the leading one, so that each example's has this many axes."""
        ...

    def positions(self, position: int, size: int) -> Any:
        """An operand of positions within ``size`` elements, moved on by ``size`` from each example to the next."""
        ...

    def back(self, positions: Any, size: int) -> Any:
        """Positions moved back so that they count from the start of their own example."""
        ...


def in_stacks(attribute: Any, examples: Examples) -> Any:
    """The ``batch`` of an operation that takes any leading axes."""
    return examples.apply(attribute)


def along_axis(axis: int, examples: Examples) -> Any:
    """The ``batch`` of an operation whose attribute is an axis."""
    return examples.apply(axis + 1)


def along_axes(axes: Shape, examples: Examples) -> Any:
    """The ``batch`` of an operation whose attribute is a tuple of axes."""
    return examples.apply(tuple(axis + 1 for axis in axes))


def broadcasting(attribute: Any, examples: Examples) -> Any:
    """The ``batch`` of an operation whose operands broadcast."""
    return examples.apply_broadcast(attribute)


def _size_of_first(attribute: Any, *shapes: Shape) -> float:
    return math.prod(shapes[0])


@dataclass(frozen=True, eq=False)
class ArrayOperation:
    """One entry of the table. Calling it records it on the tape that its operands belong to."""

    name: str
    shape_rule: Callable[..., Shape]
    evaluate: Callable[..., Any]
    vjp: Callable[..., Cotangents]
    jvp: Callable[..., Any] | None
    movement: bool
    piecewise_constant: bool
    scalar_code: Callable[..., Slots] | None
    scalar_cost: Callable[..., float]
    position_operands: tuple[int, ...]
    into: Callable[..., Any] | None
    factors: Callable[[Any, Shape], NDArray[np.float64]] | None
    batch: Callable[[Any, Examples], Any] | None
    code: int

    def __call__(self, *operands: Any, attribute: Any = None) -> Any:
        for operand in operands:
            apply = getattr(operand, "apply_array_operation", None)
            if apply is not None:
                return apply(self, operands, attribute)
        raise TypeError(f"fastgrad: array operation {self.name!r} needs a tape value among its operands.")

    def __repr__(self) -> str:
        return f"<array operation {self.name}>"


# the modules of operations, by their base divided by ``_ROOM``
_MODULES = (
    "movement", "reductions", "products", "order", "running", "linalg", "least_squares", "spectra", "singular",
    "factorizations", "scipy_linalg", "banded", "convolution", "fourier", "special", "bessel", "hypergeometric",
    "bits",
)  # fmt: skip
_ROOM = 128
_PACKAGE = __name__.rpartition(".")[0]


class _Table(dict[int, ArrayOperation]):
    """The operations by code."""

    def __missing__(self, code: int) -> ArrayOperation:
        if 0 <= code < _ROOM * len(_MODULES):
            import_module(f"{_PACKAGE}.{_MODULES[code // _ROOM]}")
            found = self.get(code)
            if found is not None:
                return found
        raise KeyError(code)


TABLE = _Table()


def all_operations() -> list[ArrayOperation]:
    """Every entry, in the order of the codes."""
    for name in _MODULES:
        import_module(f"{_PACKAGE}.{name}")
    return [TABLE[code] for code in sorted(TABLE)]


def _next_code() -> int:
    """The code of the next entry of the module that is being loaded."""
    frame = sys._getframe(2)
    while frame.f_code.co_name != "<module>" and frame.f_back is not None:
        frame = frame.f_back
    base = _ROOM * _MODULES.index(frame.f_globals["__name__"].rpartition(".")[2])
    code = base
    while dict.__contains__(TABLE, code):
        code += 1
    if code >= base + _ROOM:
        raise ValueError(f"module {frame.f_globals['__name__']} has no room for another operation")
    return code


def array_operation(
    name: str,
    shape_rule: Callable[..., Shape],
    evaluate: Callable[..., Any],
    vjp: Callable[..., Cotangents],
    jvp: Callable[..., Any] | None = None,
    *,
    movement: bool = False,
    piecewise_constant: bool = False,
    scalar_code: Callable[..., Slots] | None = None,
    scalar_cost: Callable[..., float] = _size_of_first,
    position_operands: tuple[int, ...] = (),
    into: Callable[..., Any] | None = None,
    factors: Callable[[Any, Shape], NDArray[np.float64]] | None = None,
    batch: Callable[[Any, Examples], Any] | None = None,
) -> ArrayOperation:
    """Add an entry to the table."""
    entry = ArrayOperation(
        name,
        shape_rule,
        evaluate,
        vjp,
        jvp,
        movement,
        piecewise_constant,
        scalar_code,
        scalar_cost,
        position_operands,
        into,
        factors,
        batch,
        _next_code(),
    )
    TABLE[entry.code] = entry
    return entry


def require(fits: bool, problem: str) -> None:
    """Raise ValueError where shapes do not fit."""
    if not fits:
        raise ValueError(problem)
