"""Log densities for the sampler nutpie, which then calls machine code: from threads, without Python.

``model`` makes what ``nutpie.sample`` takes. Needs the extra ``fastgrad[nutpie]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from fastgrad.calls import bind, parameters_of
from fastgrad.errors import InputError
from fastgrad.interop.c import log_density
from fastgrad.interop.c_calls import LONG, POINTER, Caller, CFunction, compiled
from fastgrad.interop.machine_code import OK, derivative_of, machine_code
from fastgrad.recording.structures import flatten

try:
    from nutpie.compile_pymc import CompiledPyMCModel
except ImportError as error:
    raise ImportError("models for nutpie need nutpie: install fastgrad[nutpie].") from error

__all__ = ["model"]

# what nutpie is told where the variables cannot be computed: it stops
_FAILED = -1


def model(
    function: Callable[..., Any],
    *example: Any,
    variables: Callable[..., Mapping[str, Any]] | None = None,
    initial: Callable[[int], Any] | None = None,
    examples: Sequence[Sequence[Any]] = (),
    dims: Mapping[str, tuple[str, ...]] | None = None,
    coords: Mapping[str, Any] | None = None,
) -> Any:
    """A model for ``nutpie.sample`` from a log density of unbounded real variables.

    ``function`` takes arguments nested like those of the example and returns a number. ``variables`` takes the same and
    returns a dict of what the trace is to have: arrays and numbers by name. Without it, these are the arguments: the
    items of a dict, or else each argument under its name.

    ``initial`` makes, from a whole number as seed, arguments to start from (a tuple, or the one argument); without it,
    starting points are uniform between -1 and 1 around the example. Each of ``examples`` is a tuple of arguments more,
    where comparisons may come out differently. ``dims`` and ``coords`` are as in PyMC.

    A point is rejected where the density or its gradient is not finite. Where a comparison comes out differently than
    in all examples, nutpie stops with ``ErrorCode(-3)``. Errors as for ``fastgrad.interop.c.log_density``.
    """
    density = log_density(function, *example, examples=examples)
    n = sum(array.size for array in density.code.inputs)
    expand, names, shapes = _variables(variables or _arguments_of(function), example, examples)
    sizes = [math.prod(shape) for shape in shapes]
    stops = np.cumsum(sizes).tolist()
    slices = [slice(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)]
    return CompiledPyMCModel(
        dims=dict(dims or {}),
        compiled_logp_func=density,
        compiled_expand_func=expand,
        initial_point_func=_initial_point(example, initial, n),
        shared_data={},
        user_data=np.zeros(1),
        n_expanded=sum(sizes),
        shape_info=(names, slices, shapes),
        logp_func=density,
        expand_func=expand,
        _n_dim=n,
        _shapes=dict(zip(names, shapes, strict=True)),
        _coords=dict(coords or {}),
    )


def _arguments_of(function: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    parameters = parameters_of(function)

    def arguments(*values: Any) -> dict[str, Any]:
        if len(values) == 1 and isinstance(values[0], dict):
            return values[0]
        return dict(zip(parameters or map("x{}".format, range(len(values))), values, strict=False))

    return arguments


def _variables(
    variables: Callable[..., Mapping[str, Any]], example: tuple[Any, ...], examples: Sequence[Sequence[Any]]
) -> tuple[CFunction, list[str], list[tuple[int, ...]]]:
    """A C function that computes them from the point, one after the other; their names and shapes."""
    found = variables(*example)
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise InputError(f"variables must return a dict with a name for each variable; it returned {found!r}.")
    names = list(found)
    flat = {name: np.asarray(flatten(value)[0]) for name, value in found.items() if len(flatten(value)[0]) != 1}
    if flat:
        raise InputError(f"variables must be arrays and numbers; {', '.join(flat)} are nested. Give each part a name.")

    def in_order(*values: Any) -> tuple[Any, ...]:
        computed = variables(*values)
        return tuple(computed[name] for name in names)

    # all arguments are numbers or arrays that vary, whole ones too
    wanted = derivative_of(in_order, "value", None)
    code = machine_code(wanted, [_as_floats(arguments) for arguments in (example, *examples)])
    sizes, lengths = [array.size for array in code.inputs], [array.size for array in code.results]

    def body(caller: Caller) -> None:
        builder = caller.builder
        _, _, point, results, _ = caller.parameters
        status = caller.run(caller.in_a_row(point, sizes), caller.in_a_row(results, lengths))
        is_right = builder.icmp_signed("==", status, ir.Constant(LONG, OK))
        builder.ret(builder.select(is_right, ir.Constant(LONG, 0), ir.Constant(LONG, _FAILED)))

    made = compiled(code, LONG, [LONG, LONG, POINTER, POINTER, POINTER], body)
    return made, names, [array.shape for array in code.results]


def _as_floats(arguments: Sequence[Any]) -> tuple[Any, ...]:
    found = []
    for argument in arguments:
        leaves, structure = flatten(argument)
        found.append(structure.unflatten([np.asarray(leaf, float)[()] for leaf in leaves]))
    return tuple(found)


def _initial_point(
    example: tuple[Any, ...], initial: Callable[[int], Any] | None, n: int
) -> Callable[[int], NDArray[np.float64]]:
    middle = _flat(example)

    def point(seed: int) -> NDArray[np.float64]:
        if initial is None:
            return middle + np.random.default_rng(seed).uniform(-1.0, 1.0, n)
        made = initial(seed)
        start = _flat(made if isinstance(made, tuple) else (made,))
        if start.shape != (n,):
            raise InputError(
                f"initial must make arguments like those of the example, {n} numbers; it made {start.size}."
            )
        return start

    return point


def _flat(arguments: tuple[Any, ...]) -> NDArray[np.float64]:
    call = bind(arguments, {}, tuple(range(len(arguments))), ())
    return np.concatenate([array.ravel() for array in call.arrays])
