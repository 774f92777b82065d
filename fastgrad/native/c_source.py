"""Standalone C99 source of a tape's values and derivatives, to the bits that the VM gives.

``c_source`` is what ``Tape.to_c`` calls. The tape becomes a scalar program, planned as for the VM, which
``c_program`` writes as C functions and ``c_file`` puts into a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fastgrad.errors import InputError, UnsupportedError, located
from fastgrad.native.c_file import CFile
from fastgrad.native.c_names import Names, check_name
from fastgrad.plan.request import Kind, Request
from fastgrad.plan.scalar_program import first_without_scalar_code, scalar_cost, scalar_program
from fastgrad.plan.sweep import plan_sweep
from fastgrad.tape import Tape
from fastgrad.transform.adjoint import adjoint
from fastgrad.transform.derivatives import input_positions

__all__ = ["CSource", "c_source"]

# planning, and this module's Python, take a while for so many; what repeats along arrays becomes loops
OPERATIONS_PER_STATEMENT = 10

KINDS: dict[str | None, Kind] = {
    None: Kind.VALUES,
    "gradient": Kind.GRADIENT,
    "vjp": Kind.VJP,
    "jvp": Kind.JVP,
    "jacobian": Kind.JACOBIAN,
    "hessian": Kind.JACOBIAN,
}


@dataclass(frozen=True)
class CSource:
    """The text of a C file and of the header that declares what it defines."""

    name: str
    source: str
    header: str

    def __str__(self) -> str:
        return self.source

    def write(self, folder: str | Path) -> Path:
        """Write ``<name>.c`` and ``<name>.h`` into a folder; returns the path of the first."""
        path = Path(folder) / f"{self.name}.c"
        path.write_text(self.source)
        path.with_suffix(".h").write_text(self.header)
        return path


def c_source(
    tape: Tape,
    name: str,
    derivative: str | None = None,
    argnums: int | str | Sequence[int | str] | None = None,
    values: bool = True,
    limit: int = 200_000,
) -> CSource:
    """The C source of what is asked; see ``Tape.to_c``."""
    check_name(name)
    if derivative not in KINDS:
        raise InputError(f"derivative must be one of {', '.join(repr(kind) for kind in KINDS)}; it is {derivative!r}.")
    if not derivative and not values:
        raise InputError("without a derivative there are only the values: values=False leaves nothing to compute.")
    wrt = input_positions(tape, argnums) if derivative else ()
    if derivative in ("gradient", "hessian") and tape.output_shapes != ((),):
        raise InputError(
            f"derivative={derivative!r} needs a tape with one output, a number; this one has outputs of shapes "
            f"{', '.join(map(str, tape.output_shapes))}. Use 'jacobian' or 'vjp'."
        )
    names = Names(name, tape, wrt, derivative)
    if derivative == "hessian":
        gradient = adjoint(tape, wrt, 1, seeded=False)
        tape = gradient.with_outputs(range(1, len(gradient.outputs)))
    _check_can_be_unrolled(tape)
    _check_size(scalar_cost(tape) / OPERATIONS_PER_STATEMENT, limit)
    request = Request(KINDS[derivative], wrt, len(tape.outputs), values)
    program = scalar_program(tape)
    sweep = plan_sweep(program, None if request.kind is Kind.VALUES else wrt, request.n_hidden)
    file = CFile(tape, name, derivative, request, sweep, names)
    _check_size(file.program.n_statements, limit)
    return CSource(name, *file.texts())


def _check_can_be_unrolled(tape: Tape) -> None:
    found = first_without_scalar_code(tape)
    if found is not None:
        what, line = found
        raise UnsupportedError(
            located(
                f"{what} cannot be written as C",
                line,
                "Take it out of the recorded function and hand its result in as an argument, or write it with "
                "elementary operations, sums, products and indexing.",
            )
        )


def _check_size(statements: float, limit: int) -> None:
    if statements > limit:
        raise UnsupportedError(
            f"this tape would become about {int(statements):,} statements of C; the limit is {limit:,}. Record it for "
            "smaller arrays or fewer steps and call it in a loop, or raise limit= (a C compiler takes 0.1 to 0.2 ms a "
            "statement)."
        )
