"""Functions and derivatives as C function pointers, for anything that can call one.

``compile`` gives a function that takes one address for each argument and result, ``log_density`` one with the signature
that samplers take. No Python runs in them, and any number of threads may call them at once.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir

from fastgrad.calls import Argnums
from fastgrad.derivative import Derivative
from fastgrad.errors import InputError
from fastgrad.interop.c_calls import DOUBLE, LONG, POINTER, Caller, CFunction, compiled
from fastgrad.interop.machine_code import OK, OUT_OF_MEMORY, MachineCode, NamedArray, derivative_of, machine_code
from fastgrad.native.c_names import RESERVED, check_name

__all__ = ["Function", "compile", "log_density"]

# what samplers are told: positive numbers reject a point, negative ones end the sampling
_WRONG_SIZE, _NO_MEMORY, _OTHER_WAY, _BAD_GRADIENT, _BAD_VALUE = -1, -2, -3, 3, 4
_LOG_DENSITY_COMMENT = f"""\
n is the number of elements of x and of gradient. user_data is not read. Returns 0, or:
{_BAD_VALUE}: the value is not finite; {_BAD_GRADIENT}: the gradient is not finite; {_WRONG_SIZE}: n is another;
{_NO_MEMORY}: no memory to work in; {_OTHER_WAY}: a comparison came out differently than in the examples."""


@dataclass(frozen=True)
class Function:
    """A C function. It may be called as long as this object lives, which keeps what it captures alive too.

    ``address`` is where it is, ``signature`` its type in C, ``ctypes`` the same to be called from Python.
    """

    address: int
    signature: str
    ctypes: Any = field(repr=False)
    comment: str = field(repr=False)
    code: MachineCode = field(repr=False)

    def header(self, name: str) -> str:
        """The text of a C header that explains the function and names the type of pointers to it."""
        check_name(name)
        returns, _, parameters = self.signature.partition(" ")
        comment = self.comment.replace("*/", "* /").replace("\n", "\n * ")
        return (
            f"/* {comment}\n */\n#ifndef {name}_H\n#define {name}_H\n#include <stddef.h>\n#include <stdint.h>\n\n"
            f"typedef {returns} (*{name}){parameters};\n\n#endif\n"
        )

    def write_header(self, folder: str | Path, name: str) -> Path:
        """Write ``<name>.h`` into a folder; returns its path."""
        path = Path(folder) / f"{name}.h"
        path.write_text(self.header(name))
        return path


def compile(
    function: Callable[..., Any],
    *example: Any,
    derivative: str | None = None,
    argnums: Argnums | None = None,
    examples: Sequence[Sequence[Any]] = (),
) -> Function:
    """A C function for arguments like those of the example.

    ``function`` is a derivative (``fg.value_and_grad(f)``), or a function, of which ``derivative`` names what is
    wanted: ``"value"`` (default), ``"gradient"``, ``"value_and_gradient"``, ``"jacobian"``, ``"hessian"``, ``"hvp"``,
    ``"vjp"`` or ``"jvp"``, by the arguments ``argnums`` (0 by default). Each of ``examples`` is a tuple of arguments
    more, where comparisons may come out differently.

    The C function takes the address of each argument (float64, C order; numbers too), of cotangents or tangents, then
    of each result, and returns -1, or the number of the line (as the header lists them) whose comparison came out
    differently than in all examples; then nothing is written. Nested arguments and results are taken apart. Whole
    numbers, texts and the like among the arguments are part of the code. Captured arrays are read where they are.

    Raises InputError where the arguments do not fit, UnsupportedError where the function cannot become machine code.

    >>> import numpy as np
    >>> from fastgrad.interop import c
    >>> square = c.compile(lambda x: np.sum(x**2), np.zeros(2), derivative="value_and_gradient")
    >>> square.signature
    'int64_t (const double *x, double *value, double *gradient_x)'
    >>> value, gradient = np.empty(()), np.empty(2)
    >>> square.ctypes(np.array([1.0, 2.0]), value, gradient)
    -1
    >>> value, gradient
    (array(5.), array([2., 4.]))
    """
    code = machine_code(derivative_of(function, derivative, argnums), [example, *examples])
    n = len(code.arguments)

    def body(caller: Caller) -> None:
        caller.builder.ret(caller.run(caller.parameters[:n], caller.parameters[n:]))

    made = compiled(code, LONG, [POINTER] * (n + len(code.results)), body)
    names = _c_names([array.name for array in (*code.arguments, *code.results)])
    parameters = [f"{'const ' if k < n else ''}double *{name}" for k, name in enumerate(names)]
    reads = [_array_type(array, ["C", "ALIGNED"]) for array in code.arguments]
    writes = [_array_type(array, ["C", "ALIGNED", "WRITEABLE"]) for array in code.results]
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, *reads, *writes)
    signature = f"int64_t ({', '.join(parameters)})"
    return _function(made, signature, prototype, _comment(code, names))


def log_density(function: Callable[..., Any], *example: Any, examples: Sequence[Sequence[Any]] = ()) -> Function:
    """A C function with the signature that nutpie and similar samplers take.

    ``int (size_t n, const double *x, double *gradient, double *value, void *user_data)``: ``x`` has the elements of all
    arguments, in the order in which they are nested, and ``gradient`` those of the derivative. It returns 0; 3 or 4
    where the gradient or the value is not finite, so that samplers reject the point; a negative number where sampling
    must not go on: ``n`` is wrong, or a comparison comes out differently than in all examples.

    Arguments and errors as for ``compile``.

    >>> import numpy as np
    >>> from fastgrad.interop import c
    >>> density = c.log_density(lambda x: -0.5 * np.sum(x**2), np.zeros(3))
    >>> density.signature
    'int (size_t n, const double *x, double *gradient, double *value, void *user_data)'
    """
    if isinstance(function, Derivative):
        raise InputError(f"log_density takes the function itself, not {function!r}.")
    code = machine_code(derivative_of(function, "value_and_gradient", tuple(range(len(example)))), [example, *examples])
    sizes = [array.size for array in code.inputs]
    n = sum(sizes)

    def body(caller: Caller) -> None:
        builder = caller.builder
        given, x, gradient, value, _ = caller.parameters
        caller.unless(builder.icmp_unsigned("==", given, ir.Constant(LONG, n)), ir.Constant(LONG, _WRONG_SIZE))
        status = caller.run(caller.in_a_row(x, sizes), [value, *caller.in_a_row(gradient, sizes)])
        no_memory = builder.icmp_signed("==", status, ir.Constant(LONG, OUT_OF_MEMORY))
        problem = builder.select(no_memory, ir.Constant(LONG, _NO_MEMORY), ir.Constant(LONG, _OTHER_WAY))
        caller.unless(builder.icmp_signed("==", status, ir.Constant(LONG, OK)), problem)
        caller.unless(_is_finite(builder, builder.load(value, typ=DOUBLE)), ir.Constant(LONG, _BAD_VALUE))
        caller.unless(_all_finite(caller, gradient, n), ir.Constant(LONG, _BAD_GRADIENT))
        builder.ret(ir.Constant(LONG, 0))

    # of 64 bits, since some callers read an int and others an int64_t
    made = compiled(code, LONG, [LONG, POINTER, POINTER, POINTER, POINTER], body)
    double = ctypes.POINTER(ctypes.c_double)
    prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_size_t, double, double, double, ctypes.c_void_p)
    signature = "int (size_t n, const double *x, double *gradient, double *value, void *user_data)"
    layout = "\n".join(f"x[{start}]: {array.name} {array.shape}" for array, start in _starts(code.inputs))
    comment = f"{code.label}\n{layout}\n{_LOG_DENSITY_COMMENT}{_lines_text(code)}"
    return _function(made, signature, prototype, comment)


def _function(made: CFunction, signature: str, prototype: Any, comment: str) -> Function:
    called = prototype(made.address)
    called.owner = made  # what is called from Python may outlive the rest
    return Function(made.address, signature, called, comment, made.code)


def _is_finite(builder: ir.IRBuilder, value: Any) -> Any:
    difference = builder.fsub(value, value)
    return builder.fcmp_ordered("==", difference, ir.Constant(DOUBLE, 0.0))


def _all_finite(caller: Caller, base: Any, n: int) -> Any:
    """Whether ``n`` doubles from a base are finite: their products with 0 then sum up to 0."""
    builder = caller.builder
    before = builder.block
    loop, after = builder.append_basic_block("sum"), builder.append_basic_block("summed")
    builder.cbranch(ir.Constant(ir.IntType(1), n > 0), loop, after)
    builder.position_at_end(loop)
    index, total = builder.phi(LONG), builder.phi(DOUBLE)
    zero = ir.Constant(DOUBLE, 0.0)
    product = builder.fmul(builder.load(caller.number_at(base, index), typ=DOUBLE), zero)
    larger, following = builder.fadd(total, product), builder.add(index, ir.Constant(LONG, 1))
    for phi, first, next_ in ((index, ir.Constant(LONG, 0), following), (total, zero, larger)):
        phi.add_incoming(first, before)
        phi.add_incoming(next_, loop)
    builder.cbranch(builder.icmp_signed("<", following, ir.Constant(LONG, n)), loop, after)
    builder.position_at_end(after)
    result = builder.phi(DOUBLE)
    result.add_incoming(zero, before)
    result.add_incoming(larger, loop)
    return builder.fcmp_ordered("==", result, zero)


def _starts(arrays: Sequence[NamedArray]) -> list[tuple[NamedArray, int]]:
    starts = np.cumsum([0, *(array.size for array in arrays)]).tolist()
    return list(zip(arrays, starts, strict=False))


def _array_type(array: NamedArray, flags: Any) -> Any:
    return np.ctypeslib.ndpointer(np.float64, ndim=len(array.shape), shape=array.shape, flags=flags)


def _c_names(names: Sequence[str]) -> list[str]:
    """Names that C accepts, each once."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "input"
        plain = f"input_{plain}" if plain[0].isdigit() else plain
        while plain in found or plain in RESERVED:
            plain += "_"
        found.append(plain)
    return found


def _comment(code: MachineCode, names: Sequence[str]) -> str:
    n = len(code.arguments)
    described = [
        f"{name}: {array.name} {array.shape}, {'read' if k < n else 'written'}"
        for k, (name, array) in enumerate(zip(names, (*code.arguments, *code.results), strict=True))
    ]
    return (
        f"{code.label}\n"
        + "\n".join(described)
        + f"\nArrays are in C order. Returns {OK}; {OUT_OF_MEMORY} without memory "
        f"to work in; else nothing is written.{_lines_text(code)}"
    )


def _lines_text(code: MachineCode) -> str:
    if not code.lines:
        return ""
    listed = "\n".join(f"{k}: {line}" for k, line in enumerate(code.lines))
    return f"\nLines whose comparisons must come out as in an example:\n{listed}"
