"""Functions and derivatives inside ``@numba.njit``: ``compile`` gives an object that compiled code calls as a function.

No Python runs in the calls: they may be in functions with ``nogil=True``, ``parallel=True`` (``prange``) and
``cache=True``. Code that Numba keeps on disk finds the machine code by a name, which is a hash of it and of what it
captures.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.extending import NativeValue, intrinsic, overload_method, register_model, typeof_impl, unbox
from numba.core.imputils import lower_builtin, lower_constant

from fastgrad.calls import Argnums
from fastgrad.derivative import Derivative
from fastgrad.errors import InputError
from fastgrad.interop import by_name
from fastgrad.interop.c_calls import LONG, POINTER, Caller, compiled
from fastgrad.interop.machine_code import MachineCode, derivative_of, machine_code
from fastgrad.interop.numba_text import NOT_FOUND, call_statements, into_statements
from fastgrad.vm.addresses import address_of

__all__ = ["Function", "compile"]


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
    """A function or derivative that compiled code calls; calls from Python go through compiled code, too."""

    def __init__(self, derivative: Derivative, examples: Sequence[Sequence[Any]], gives_nan: bool) -> None:
        self._made_from = derivative, examples, gives_nan
        self.gives_nan = gives_nan
        self.code = machine_code(derivative, examples)
        name = self.code.digest()
        function = by_name.known(name)
        # code that captures other arrays of the same content has the name already; it cannot be kept on disk then
        self.is_lasting = function is None or _places(function.owner[1]) == _places(self.code)
        if not self.is_lasting:
            places = repr((name, _places(self.code))).encode()
            name = hashlib.blake2b(places, digest_size=16).hexdigest()
            function = by_name.known(name)
        self.name = name
        self.function = function or by_name.register(name, compiled(self.code, LONG, [POINTER, POINTER], _pass_on))
        self.type_name = f"fastgrad.Function({name}{', nan' * gives_nan})"
        _functions[self.type_name] = self

    def __repr__(self) -> str:
        given = ", ".join(f"{array.name}{list(array.shape) or ''}" for array in self.code.arguments)
        return f"<{self.code.label} for compiled code, of {given}>"

    def __reduce__(self) -> Any:
        """The name is part of it, so that Numba tells callers of different code apart."""
        return _again, (*self._made_from, self.type_name)

    def __call__(self, *arguments: Any) -> Any:
        return self._from_python[0](*arguments)

    def into(self, *arguments: Any) -> None:
        """Write the results for all arguments but the last into the last one."""
        self._from_python[1](*arguments)

    @cached_property
    def _from_python(self) -> tuple[Any, Any]:
        return (
            numba.njit(nogil=True)(lambda *arguments: self(*arguments)),
            numba.njit(nogil=True)(lambda *arguments: self.into(*arguments)),
        )


_functions: weakref.WeakValueDictionary[str, Function] = weakref.WeakValueDictionary()


def _again(derivative: Derivative, examples: Sequence[Sequence[Any]], gives_nan: bool, type_name: str) -> Function:
    found = _functions.get(type_name)
    return found if found is not None else Function(derivative, examples, gives_nan)


def _pass_on(caller: Caller) -> None:
    caller.builder.ret(caller.run_tables(*caller.parameters))


def _places(code: MachineCode) -> list[int]:
    return [address_of(array) for array in code.captured]


class _Reference:
    """That a caller which Numba keeps on disk refers to a name: it is loaded where there is such a function."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        return _resolved, (self.name,)


def _resolved(name: str) -> _Reference:
    if by_name.known(name) is None:
        raise _StaleError
    return _Reference(name)


class _StaleError(OSError):
    """A caller on disk refers to code that is no more. Numba takes an OSError for a file that it has to make anew."""


# ---- the type


class _FunctionType(types.Opaque):  # type: ignore[misc]
    """The type of one Function: code that calls it is made for it alone."""

    def __init__(self, function: Function) -> None:
        self.function = function
        super().__init__(function.type_name)

    def __reduce__(self) -> Any:
        """By name, in what Numba keeps on disk of callers that were given a Function as an argument."""
        return _type_named, (self.name,)


def _type_named(name: str) -> Any:
    function = _functions.get(name)
    return types.Opaque(name) if function is None else _FunctionType(function)


register_model(_FunctionType)(models.OpaqueModel)


@typeof_impl.register(Function)
def _type_of(value: Function, _: Any) -> _FunctionType:
    return _FunctionType(value)


@lower_constant(_FunctionType)
def _constant(context: Any, builder: Any, _type: Any, _value: Any) -> Any:
    return context.get_dummy_value()


@unbox(_FunctionType)
def _unboxed(_type: Any, _value: Any, context: Any) -> NativeValue:
    return NativeValue(context.context.get_dummy_value())


# ---- calls

_GATHERED = (types.StarArgTuple, types.StarArgUniTuple)


@overload_method(_FunctionType, "__call__")
def _call(self: Any, *args: Any) -> Any:
    return _built(call_statements(self.function.code, _kinds(args), self.function.gives_nan))


@lower_builtin(_FunctionType, _FunctionType, types.VarArg(types.Any))  # type: ignore[untyped-decorator]
def _called(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Numba types a call of an object as one of its method ``__call__``, but looks for its code elsewhere: here."""
    method = context.typing_context.resolve_getattr(signature.args[0], "__call__")
    return context.get_function(method, signature)(builder, arguments)


@overload_method(_FunctionType, "into")
def _into(self: Any, *args: Any) -> Any:
    return _built(into_statements(self.function.code, _kinds(args), self.function.gives_nan))


def _kinds(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The types of a call's arguments, which Numba gathers in a tuple once it has the types of the results."""
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], _GATHERED) else args


def _built(statements: Sequence[str]) -> Any:
    """The function of these statements; Numba compiles it."""
    # Numba compares this line with that of the functions above
    text = "\n    ".join(["def implementation(self: Any, *args: Any) -> Any:", *statements])
    # Numba keeps what a function of a module refers to
    found: dict[str, Any] = {"__name__": __name__, "InputError": InputError, "run": _run, "nan": np.nan}
    found |= {"empty": np.empty, "contiguous": np.ascontiguousarray, "float64": np.float64, "Any": Any}
    exec(text, found)
    return found["implementation"]


@intrinsic  # type: ignore[untyped-decorator]
def _run(_: Any, function: Any, arguments: Any, results: Any) -> Any:
    """The status, and a number for each result for which None is given instead of an array."""
    n_numbers = sum(kind == types.none for kind in results)
    returns = types.Tuple([types.int64, *[types.float64] * n_numbers])

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, arguments, results = values
        _, argument_kinds, result_kinds = signature.args
        given = [
            _address_of(context, builder, builder.extract_value(arguments, k), kind)
            for k, kind in enumerate(argument_kinds)
        ]
        numbers, written = [], []
        for k, kind in enumerate(result_kinds):
            if kind == types.none:
                numbers.append(cgutils.alloca_once(builder, ir.DoubleType()))
                written.append(numbers[-1])
            else:
                written.append(_address_of(context, builder, builder.extract_value(results, k), kind))
        target = _target(context, builder, function.function)
        status = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(64), NOT_FOUND))
        with builder.if_then(cgutils.is_not_null(builder, target), likely=True):
            tables = [_table(builder, addresses) for addresses in (given, written)]
            builder.store(builder.call(target, tables), status)
        parts = [builder.load(status), *map(builder.load, numbers)]
        return context.make_tuple(builder, signature.return_type, parts)

    return returns(function, arguments, results), generate


def _address_of(context: Any, builder: Any, value: Any, kind: Any) -> Any:
    """Where the data of an array are, or a number that is put on the stack."""
    if isinstance(kind, types.Array):
        return context.make_array(kind)(context, builder, value).data
    return cgutils.alloca_once_value(builder, value)


def _table(builder: Any, addresses: Sequence[Any]) -> Any:
    room = cgutils.alloca_once(builder, cgutils.voidptr_t, size=max(len(addresses), 1))
    for k, address in enumerate(addresses):
        builder.store(builder.bitcast(address, cgutils.voidptr_t), cgutils.gep_inbounds(builder, room, k))
    return room


def _target(context: Any, builder: Any, function: Function) -> Any:
    """The address of the machine code, null if there is none of this name."""
    table = cgutils.voidptr_t.as_pointer()
    kind = ir.FunctionType(ir.IntType(64), [table, table]).as_pointer()
    if not function.is_lasting:
        address = context.add_dynamic_addr(builder, function.function.address, info=function.name)
        return builder.bitcast(address, kind)
    context.environment.consts.append(_Reference(function.name))
    # found once, and kept where all calls in this module look
    name = f"fastgrad.address.{function.name}"
    slot = builder.module.globals.get(name)
    if slot is None:
        slot = cgutils.add_global_variable(builder.module, cgutils.voidptr_t, name)
        slot.linkage, slot.initializer = "internal", ir.Constant(cgutils.voidptr_t, None)
    found = cgutils.alloca_once_value(builder, builder.load(slot))
    with builder.if_then(cgutils.is_null(builder, builder.load(found)), likely=False):
        half = ir.IntType(64)
        find = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(cgutils.voidptr_t, [half, half]), by_name.FIND
        )
        address = builder.call(find, [half(number) for number in by_name.halves(function.name)])
        builder.store(address, slot)
        builder.store(address, found)
    return builder.bitcast(builder.load(found), kind)


# callers that Numba loads from disk import this module before they look for the symbol
by_name.ensure_findable()
