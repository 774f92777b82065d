"""The Python functions that Numba compiles where a Function is called, as text: one for the types of each call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numba.core import types
from numba.core.errors import TypingError

from fastgrad.interop.machine_code import OK, OUT_OF_MEMORY, MachineCode, NamedArray

__all__ = ["NOT_FOUND", "call_statements", "into_statements", "other_shape"]

# the status where no machine code has the name that a caller looks for
NOT_FOUND = -3
# lines that errors name; compiled code has a branch for each
MAX_LINES = 20


@dataclass(frozen=True)
class _Fit:
    """What must hold of an argument or target at run time, and what to say otherwise."""

    condition: str
    message: str


def call_statements(code: MachineCode, kinds: Sequence[Any], gives_nan: bool) -> list[str]:
    """The body of a function of ``args``, of these types, that returns the results."""
    _check_count(code, kinds, len(code.arguments), "")
    arrays = [k for k, array in enumerate(code.results) if array.shape]
    return [
        *(f"a{k} = {value}" for k, value in enumerate(_values(code, kinds))),
        *(f"r{k} = empty({code.results[k].shape})" for k in arrays),
        *_run(code, _fits(code, kinds), arrays, gives_nan, [f"r{k}[...] = nan" for k in arrays]),
        f"return {_nested(code.nesting)}",
    ]


def into_statements(code: MachineCode, kinds: Sequence[Any], gives_nan: bool) -> list[str]:
    """The body of a function of ``args``, of these types, that writes the results into the last of them."""
    n = len(code.arguments)
    _check_count(code, kinds, n + 1, ", then out")
    targets = sorted(_targets(code, code.nesting, f"args[{n}]", kinds[n]))
    fits, made, copied = _fits(code, kinds[:n]), [], []
    for k, place, kind in targets:
        shape = code.results[k].shape
        if shape:
            message = f"out must have an array of shape {shape} for {code.results[k].name}; it has another shape."
            fits.append(_Fit(f"{place}.shape == {shape}", message))
        made.append(f"r{k} = {place if _is_plain(kind) else f'empty({shape})'}")
        if not _is_plain(kind):
            copied.append(f"if fits: {place}[...] = r{k}")
    return [
        *(f"a{k} = {value}" for k, value in enumerate(_values(code, kinds[:n]))),
        *made,
        *_run(code, fits, range(len(targets)), gives_nan, [f"{place}[...] = nan" for _, place, _ in targets]),
        *copied,
    ]


def _check_count(code: MachineCode, kinds: Sequence[Any], n: int, more: str) -> None:
    if len(kinds) != n:
        names = ", ".join(f"{array.name} of shape {array.shape}" for array in code.arguments)
        raise TypingError(f"{code.label} was compiled for {names}{more}; the call has {len(kinds)} arguments.")


def _values(code: MachineCode, kinds: Sequence[Any]) -> Iterator[str]:
    """Each argument as a float, or as float64 in C order: the array itself where it is that."""
    for k, (array, kind) in enumerate(zip(code.arguments, kinds, strict=True)):
        place, is_array = f"args[{k}]", isinstance(kind, types.Array)
        dtype = kind.dtype if is_array else kind
        n_axes = kind.ndim if is_array else 0
        if not isinstance(dtype, (types.Float, types.Integer, types.Boolean)) or n_axes != len(array.shape):
            raise TypingError(
                f"{code.label} was compiled for {array.name} of shape {array.shape}, float64; it is {kind}."
            )
        if not array.shape:
            yield f"float64({place}{'[()]' * is_array})"
        elif _is_plain(kind):
            yield place
        else:
            yield f"contiguous({place}{'.astype(float64)' * (dtype != types.float64)})"


def _fits(code: MachineCode, kinds: Sequence[Any]) -> list[_Fit]:
    return [
        _Fit(f"args[{k}].shape == {array.shape}", other_shape(code, array))
        for k, (array, kind) in enumerate(zip(code.arguments, kinds, strict=True))
        if array.shape
    ]


def other_shape(code: MachineCode, array: NamedArray) -> str:
    """What is said of an argument of another shape."""
    return f"{code.label} was compiled for {array.name} of shape {array.shape}; it has another shape."


def _targets(code: MachineCode, nesting: Any, place: str, kind: Any) -> Iterator[tuple[int, str, Any]]:
    """Each result's number, where in the arguments its target is, and the target's type."""
    if not isinstance(nesting, int):
        if not isinstance(kind, types.BaseTuple) or len(kind) != len(nesting):
            names = ", ".join(array.name for array in code.results)
            raise TypingError(f"out must be nested as the results of {code.label} are ({names}); it is {kind}.")
        for k, part in enumerate(nesting):
            yield from _targets(code, part, f"{place}[{k}]", kind.types[k])  # type: ignore[attr-defined]
        return
    array = code.results[nesting]
    is_array = isinstance(kind, types.Array)
    if not is_array or kind.dtype != types.float64 or kind.ndim != len(array.shape) or not kind.mutable:
        raise TypingError(
            f"out must have float64 arrays of the results' shapes that can be written to; for {array.name}, of shape "
            f"{array.shape}, it has {kind}."
        )
    yield nesting, place, kind


def _run(
    code: MachineCode, fits: Sequence[_Fit], arrays: Sequence[int], gives_nan: bool, filled: Sequence[str]
) -> Iterator[str]:
    """Run the code; ``r0``, ``r1``, ... are the results, of which ``arrays`` are written where they are.

    Where it cannot run, errors are raised, or (``gives_nan``) the results are NaN and ``filled`` is done.
    """
    numbers = [k for k in range(len(code.results)) if k not in arrays]
    arguments = "".join(f"a{k}, " for k in range(len(code.arguments)))
    results = "".join("None, " if k in numbers else f"r{k}, " for k in range(len(code.results)))
    run = f"found = run(self, ({arguments}), ({results}))"
    taken = [f"r{k} = found[{position + 1}]" for position, k in enumerate(numbers)]
    yield "fits = True"
    if gives_nan:
        yield from (f"fits = fits and {fit.condition}" for fit in fits)
        yield from (f"r{k} = nan" for k in numbers)
        yield from ("if fits:", f"    {run}", f"    fits = found[0] == {OK}")
        if taken:
            yield from ("    if fits:", *(f"        {line}" for line in taken))
        if filled:
            yield from ("if not fits:", *(f"    {line}" for line in filled))
        return
    yield from (f"if not {fit.condition}: raise InputError({fit.message!r})" for fit in fits)
    yield run
    yield f"if found[0] != {OK}:"
    yield from (f"    {line}" for line in _errors(code))
    yield from taken


def _errors(code: MachineCode) -> Iterator[str]:
    """What is raised for each status."""
    stale = (
        f"the code that Numba keeps for this caller (cache=True) is from when {code.label} was another, or captured "
        "other data. Change the caller's file, or remove what Numba keeps beside it (__pycache__/*.nbi)."
    )
    yield f"if found[0] == {NOT_FOUND}: raise InputError({stale!r})"
    yield f"if found[0] == {OUT_OF_MEMORY}: raise MemoryError('no memory to work in')"
    for line in range(min(len(code.lines), MAX_LINES)):
        yield f"if found[0] == {line}: raise InputError({code.remedy(line)!r})"
    other = f"{code.label} was compiled for other outcomes of its comparisons. Give an example that goes this way, too."
    yield f"raise InputError({other!r})"


def _nested(nesting: Any) -> str:
    if isinstance(nesting, int):
        return f"r{nesting}"
    return f"({''.join(_nested(part) + ', ' for part in nesting)})"


def _is_plain(kind: Any) -> bool:
    return bool(kind.dtype == types.float64 and kind.layout == "C" and kind.aligned)
