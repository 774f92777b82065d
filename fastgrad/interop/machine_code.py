"""A function or derivative as machine code for arguments of fixed shapes: what modules for compiled callers use.

A recording holds for one way through the function's comparisons. Compiled code cannot record another, so each of
several examples may add a way; they are tried in turn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.branches import Branch
from fastgrad.calls import Argnums, Call
from fastgrad.derivative import Derivative
from fastgrad.errors import InputError, UnsupportedError, located
from fastgrad.forms import Form
from fastgrad.native.entry import Entry, entry_for
from fastgrad.plan.request import Shape
from fastgrad.plan.scalar_program import first_without_scalar_code
from fastgrad.recording.recorder import innermost_recorder
from fastgrad.recording.structures import flatten
from fastgrad.tape import Tape
from fastgrad.tape_names import input_names
from fastgrad.vm.memory import is_plain

__all__ = ["OK", "OUT_OF_MEMORY", "MachineCode", "NamedArray", "Way", "derivative_of", "machine_code"]

# what machine code returns beside the number of a line whose comparison came out differently
OK, OUT_OF_MEMORY = -1, -2

FORMS = {
    "value": Form.VALUE,
    "gradient": Form.GRADIENT,
    "value_and_gradient": Form.VALUE_AND_GRADIENT,
    "jacobian": Form.JACOBIAN,
    "hessian": Form.HESSIAN,
    "hvp": Form.HVP,
    "vjp": Form.VJP,
    "jvp": Form.JVP,
}


@dataclass(frozen=True)
class NamedArray:
    """An argument or a result: float64 in C order, a number where the shape is ``()``."""

    name: str
    shape: Shape

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Way:
    """The code of one recording, and for each of its guards the number of the line."""

    entry: Entry
    lines: tuple[int, ...]


@dataclass(frozen=True)
class MachineCode:
    """``nesting`` has, in tuples as the caller expects the results, their numbers; ``lines`` those with comparisons."""

    label: str
    ways: tuple[Way, ...]
    inputs: tuple[NamedArray, ...]
    seeds: tuple[NamedArray, ...]
    results: tuple[NamedArray, ...]
    nesting: Any
    lines: tuple[str, ...]

    @property
    def arguments(self) -> tuple[NamedArray, ...]:
        """What a caller gives: the inputs, then cotangents or tangents where the derivative takes them."""
        return self.inputs + self.seeds

    @property
    def workspace(self) -> int:
        """How many doubles the workspace must have at least."""
        return max(way.entry.workspace for way in self.ways)

    @property
    def captured(self) -> tuple[NDArray[np.float64], ...]:
        return tuple(array for way in self.ways for array in way.entry.captured)

    def remedy(self, line: int) -> str:
        """What to say where no way fits."""
        return located(
            f"{self.label} was compiled for other outcomes of the comparison",
            self.lines[line],
            "Give an example that goes this way, too: examples=[(...)].",
        )

    def digest(self) -> str:
        """Differs for different code, captured data or lines: 32 hexadecimal digits."""
        digest = hashlib.blake2b(digest_size=16)
        names = [way.entry.name for way in self.ways]
        parts = (
            self.label,
            names,
            self.arguments,
            self.results,
            self.nesting,
            self.lines,
            [way.lines for way in self.ways],
        )
        digest.update(repr(parts).encode())
        for array in self.captured:
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def derivative_of(function: Callable[..., Any], derivative: str | None, argnums: Argnums | None) -> Derivative:
    """What is to be compiled: a derivative as it is, or one of a function."""
    if isinstance(function, Derivative):
        if derivative is not None or argnums is not None:
            raise InputError(f"{function!r} is a derivative already: leave derivative= and argnums= out.")
        found = function
    else:
        form = FORMS.get(derivative or "value")
        if form is None:
            raise InputError(f"derivative must be one of {', '.join(map(repr, FORMS))}; it is {derivative!r}.")
        found = Derivative(function, form, 0 if argnums is None else argnums)
    if found.has_aux:
        raise InputError(
            "compiled code returns numbers and arrays alone: leave has_aux=True out, and compile a function that "
            "returns the auxiliary data by itself."
        )
    return found


def machine_code(derivative: Derivative, examples: Sequence[Sequence[Any]]) -> MachineCode:
    """Compile a derivative for positional arguments like those in ``examples``, each of which may go its own way.

    Raises InputError where the examples differ in more than the values of floats, UnsupportedError where the function
    cannot become machine code.
    """
    if innermost_recorder() is not None:
        raise UnsupportedError("a function cannot be compiled while another is recorded. Compile it beforehand.")
    function = derivative.function
    label = f"{derivative.form.value} of {getattr(function, '__name__', type(function).__name__)}"
    signature: Any = None
    found: dict[int, tuple[Branch, Call]] = {}
    for example in examples:
        branch, call = _recorded(derivative, derivative.bind(tuple(example), {}))
        if signature is None:
            signature = call.signature()
        elif call.signature() != signature:
            raise InputError(
                "all examples must have the shapes, dtypes and memory layouts of the first, and the same whole "
                "numbers, texts and other arguments that are not floats. Compile for each kind by itself."
            )
        found[branch.number] = branch, call
    lines: dict[str, int] = {}
    parts = [_compiled(derivative, branch, call, lines) for branch, call in found.values()]
    first = parts[0]
    for part in parts[1:]:
        if (part.results, part.nesting) != (first.results, first.nesting):
            raise InputError(
                f"{label} has results of other shapes on the ways of other examples, which compiled code cannot have. "
                "Have the function return the same shapes on all of them."
            )
    ways = tuple(way for part in parts for way in part.ways)
    return MachineCode(label, ways, first.inputs, first.seeds, first.results, first.nesting, tuple(lines))


def _recorded(derivative: Derivative, call: Call) -> tuple[Branch, Call]:
    """The branch that fits a call, with its guards."""
    tried: list[Branch] = []

    def run(branch: Branch, call: Call) -> int:
        tried.append(branch)
        executor = derivative.executor(branch, call)
        return executor(call.arrays, derivative.nesting.zero_seeds(branch, call), executor.allocate())

    branch, call = derivative.recordings.fitting_branch(call, run)
    if any(branch is not other and branch is other.without_guards() for other in tried):
        raise UnsupportedError(
            "at this example a comparison hangs on the last bit of a value, in which NumPy and machine code differ. "
            "Give another example, a little to the side."
        )
    if branch.needs_separate_arguments:
        raise UnsupportedError(
            "the function writes into one of several arguments, and compiled callers cannot make sure that these share "
            "no memory. Have it write into a copy."
        )
    return branch, call


def _compiled(derivative: Derivative, branch: Branch, call: Call, lines: dict[str, int]) -> MachineCode:
    """The code of one branch. New lines are added to ``lines``."""
    form = derivative.form
    request = derivative.request(branch, call)
    tape = _with_copies(branch.tape_for(form.order, call.wrt))
    _check_operations(tape)
    entry = entry_for(tape, request)
    names = input_names(branch.tape)
    inputs = tuple(map(NamedArray, names, branch.tape.input_shapes))
    seed_names, result_names = _names(form, branch, [names[position] for position in call.wrt])
    numbers = list(range(len(entry.result_shapes)))
    nesting = derivative.nesting.package(branch, call, numbers)
    if form is Form.VJP:  # which packs no value
        nesting = replace(derivative.nesting, form=Form.VALUE).package(branch, call, numbers), nesting
    return MachineCode(
        label="",
        ways=(Way(entry, tuple(lines.setdefault(line, len(lines)) for line in _guard_lines(tape))),),
        inputs=inputs,
        seeds=tuple(map(NamedArray, seed_names, entry.input_shapes[len(inputs) :])),
        results=tuple(NamedArray(*pair) for pair in zip(result_names, entry.result_shapes, strict=True)),
        nesting=_as_tuples(nesting),
        lines=(),
    )


def _check_operations(tape: Tape) -> None:
    """Raise UnsupportedError at the first operation that only NumPy or LAPACK does."""
    found = first_without_scalar_code(tape)
    if found is not None:
        what, line = found
        raise UnsupportedError(
            located(
                f"{what} cannot become machine code",
                line,
                "It is one of the operations that only NumPy and LAPACK do here: compute it beforehand and hand "
                "its result in as an argument, write it with elementary operations, sums, products and indexing, "
                "or call the derivative from Python.",
            )
        )


def _with_copies(tape: Tape) -> Tape:
    """The tape with copies of captured arrays that code cannot read where they are, if nobody may write into them."""
    copies = (
        np.ascontiguousarray(array, np.float64) if not is_plain(array) and _is_read_only(array) else array
        for array in tape.constants
    )
    return replace(tape, constants=tuple(copies))


def _is_read_only(array: Any) -> bool:
    """Whether neither the array nor what it is a view of can be written to."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None


def _guard_lines(tape: Tape) -> list[str]:
    return [str(tape.guard_source_of(guard) or "") for guard in range(len(tape.guard_nodes))]


def _names(form: Form, branch: Branch, wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names of seeds and of results."""
    n_values = branch.n_main_outputs
    values = ["value"] if n_values == 1 else [f"value{k}" for k in range(n_values)]
    gradients = [f"gradient_{name}" for name in wanted]
    match form:
        case Form.VALUE:
            return [], values
        case Form.GRADIENT:
            return [], gradients
        case Form.VALUE_AND_GRADIENT:
            return [], [*values, *gradients]
        case Form.JACOBIAN:
            return [], [f"jacobian_{value}_{name}" for value in values for name in wanted]
        case Form.HESSIAN:
            return [], [f"hessian_{row}_{column}" for row in wanted for column in wanted]
        case Form.HVP:
            return [f"vector_{name}" for name in wanted], [f"product_{name}" for name in wanted]
        case Form.VJP:
            return [f"cotangent_{value}" for value in values], [*values, *(f"cotangent_{name}" for name in wanted)]
        case Form.JVP:
            return [f"tangent_{name}" for name in wanted], [*values, *(f"tangent_{value}" for value in values)]


def _as_tuples(nested: Any) -> Any:
    """Numbers of results in tuples: compiled callers know no lists, dicts or dataclasses."""
    if isinstance(nested, int):
        return nested
    if isinstance(nested, dict):
        nested = tuple(nested.values())
    return tuple(map(_as_tuples, nested if isinstance(nested, (tuple, list)) else flatten(nested)[0]))
