"""Functions and derivatives inside ``@numba.njit``: ``compile`` gives an object that compiled code calls as a function.

No Python runs in the calls: they may be in functions with ``nogil=True``, ``parallel=True`` (``prange``) and
``cache=True``. Code that Numba keeps on disk finds the machine code by a name, which is a hash of it and of what it
captures.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numba.core.extending import typeof_impl
from numpy.typing import NDArray

from fastgrad.calls import Argnums
from fastgrad.derivative import Derivative
from fastgrad.errors import InputError
from fastgrad.interop import by_name
from fastgrad.interop.c_calls import LONG, POINTER, Caller, compiled
from fastgrad.interop.machine_code import OK, OUT_OF_MEMORY, MachineCode, derivative_of, machine_code
from fastgrad.interop.numba_calls import FUNCTIONS, FunctionType
from fastgrad.interop.numba_text import other_shape
from fastgrad.vm.addresses import address_of

__all__ = ["Function", "compile"]

Floats = NDArray[np.float64]


def compile(
    function: Callable[..., Any],
    *example: Any,
    derivative: str | None = None,
    argnums: Argnums | None = None,
    examples: Sequence[Sequence[Any]] = (),
    errors: str = "raise",
) -> Function:
    """An object that functions compiled by Numba call, for arguments like those of the example.

    ``function`` is a derivative (``fg.value_and_grad(f)``), or a function, of which ``derivative`` names what is
    wanted: ``"value"`` (default), ``"gradient"``, ``"value_and_gradient"``, ``"jacobian"``, ``"hessian"``, ``"hvp"``,
    ``"vjp"`` or ``"jvp"``, by the arguments ``argnums`` (0 by default). The last three take a vector, cotangents or
    tangents after the arguments, and the last two return the value first. Each of ``examples`` is a tuple of arguments
    more, where comparisons may come out differently.

    Arguments are numbers or arrays of the example's shapes (nested ones are taken apart), float64 in C order where no
    copy is to be made. Whole numbers that are not differentiated, texts and the like are part of the code and not
    given. Results are numbers and new arrays, in tuples where they are nested. ``into(*arguments, out)`` writes them
    into float64 arrays, nested as the results are.

    Captured arrays are read where they are, so changes in place count. Everything else that the function sees around it
    stays as it was when it was compiled.

    In compiled code InputError (a ValueError) is raised for other shapes, and where a comparison comes out differently
    than in all examples. With ``errors="nan"`` the results are NaN instead: for ``prange``, in which Numba loses
    errors. Here InputError is raised where arguments do not fit, UnsupportedError where the function cannot become
    machine code.

    >>> import numba, numpy as np
    >>> import fastgrad as fg
    >>> from fastgrad.interop.numba import compile
    >>> slope = compile(fg.grad(lambda x: np.sum(x**2)), np.zeros(2))
    >>> @numba.njit
    ... def descend(x):
    ...     for _ in range(100):
    ...         x = x - 0.1 * slope(x)
    ...     return x
    >>> bool(np.all(np.abs(descend(np.array([1.0, 2.0]))) < 1e-8))
    True
    """
    if errors not in ("raise", "nan"):
        raise InputError(f"errors must be 'raise' or 'nan'; it is {errors!r}.")
    return Function(derivative_of(function, derivative, argnums), [example, *examples], errors == "nan")


class Function:
    """A function or derivative that compiled code calls. Calls from Python run the same machine code."""

    def __init__(self, derivative: Derivative, examples: Sequence[Sequence[Any]], gives_nan: bool) -> None:
        self._made_from = derivative, examples, gives_nan
        self.gives_nan = gives_nan
        self.code = machine_code(derivative, examples)
        name = self.code.digest()
        function = by_name.known(name)
        # code that captures other arrays of the same content has the name already; it cannot be kept on disk then
        self.is_lasting = function is None or _places(function.code) == _places(self.code)
        if not self.is_lasting:
            by_name.share(name)
            places = repr((name, _places(self.code))).encode()
            name = hashlib.blake2b(places, digest_size=16).hexdigest()
            function = by_name.known(name)
        self.name = name
        self.function = function or by_name.register(name, compiled(self.code, LONG, [POINTER, POINTER], _pass_on))
        self.type_name = f"fastgrad.Function({name}{', nan' * gives_nan})"
        FUNCTIONS[self.type_name] = self

    def __repr__(self) -> str:
        given = ", ".join(f"{array.name}{list(array.shape) or ''}" for array in self.code.arguments)
        return f"<{self.code.label} for compiled code, of {given}>"

    def __reduce__(self) -> Any:
        """The name is part of it, so that Numba tells callers of different code apart."""
        return _again, (*self._made_from, self.type_name)

    def __call__(self, *arguments: Any) -> Any:
        results = [np.empty(array.shape) for array in self.code.results]
        self._run(arguments, results)
        return _nested(self.code.nesting, results)

    def into(self, *arguments: Any) -> None:
        """Write the results for all arguments but the last into the last one."""
        *given, out = arguments
        targets = dict(_targets(self.code.nesting, out))
        for k, array in enumerate(self.code.results):
            target = targets.get(k)
            if not isinstance(target, np.ndarray) or target.dtype != np.float64 or not target.flags.writeable:
                raise InputError(
                    f"out must have float64 arrays that can be written to, nested as the results of {self.code.label} "
                    f"are; for {array.name} it has {type(target).__name__}."
                )
        results = [np.empty(array.shape) for array in self.code.results]
        if any(targets[k].shape != result.shape for k, result in enumerate(results)):
            self._fail(results, "out must have arrays of the results' shapes; one has another shape.")
        else:
            self._run(given, results)
        for k, result in enumerate(results):
            targets[k][...] = result if result.shape == targets[k].shape else np.nan

    def _run(self, arguments: Sequence[Any], results: Sequence[Floats]) -> None:
        """What compiled code does, from Python."""
        code = self.code
        if len(arguments) != len(code.arguments):
            raise InputError(f"{code.label} takes {len(code.arguments)} arguments; the call has {len(arguments)}.")
        arrays = []
        for argument, expected in zip(arguments, code.arguments, strict=True):
            array = np.asarray(argument)
            if array.dtype.kind not in "fiub":
                raise InputError(f"{expected.name} must hold real numbers; it has {array.dtype}.")
            if array.shape != expected.shape:
                self._fail(results, other_shape(code, expected))
                return
            arrays.append(np.ascontiguousarray(array, np.float64))
        given, written = ([address_of(array) for array in group] for group in (arrays, results))
        status = self._called((ctypes.c_int64 * len(given))(*given), (ctypes.c_int64 * len(written))(*written))
        if status == OUT_OF_MEMORY:
            raise MemoryError
        if status != OK:
            self._fail(results, code.remedy(status))

    def _fail(self, results: Sequence[Floats], message: str) -> None:
        if not self.gives_nan:
            raise InputError(message)
        for result in results:
            result[...] = np.nan

    @cached_property
    def _called(self) -> Any:
        return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(self.function.address)


def _nested(nesting: Any, results: Sequence[Floats]) -> Any:
    if isinstance(nesting, int):
        return results[nesting][()]
    return tuple(_nested(part, results) for part in nesting)


def _targets(nesting: Any, out: Any) -> Iterator[tuple[int, Any]]:
    """Each result's number and its target, as far as ``out`` is nested as the results are."""
    if isinstance(nesting, int):
        yield nesting, out
    elif isinstance(out, (tuple, list)) and len(out) == len(nesting):
        for part, target in zip(nesting, out, strict=True):
            yield from _targets(part, target)


def _again(derivative: Derivative, examples: Sequence[Sequence[Any]], gives_nan: bool, type_name: str) -> Function:
    found = FUNCTIONS.get(type_name)
    return found if found is not None else Function(derivative, examples, gives_nan)


def _pass_on(caller: Caller) -> None:
    caller.builder.ret(caller.run_tables(*caller.parameters))


def _places(code: MachineCode) -> list[int]:
    return [address_of(array) for array in code.captured]


@typeof_impl.register(Function)
def _type_of(value: Function, _: Any) -> Any:
    return FunctionType(value)
