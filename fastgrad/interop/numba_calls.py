"""How Numba compiles calls of a Function: its type, and the code of a call.

Functions are refused by Numba's cache on disk where they are no more; see ``by_name`` for how they are found.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.extending import NativeValue, intrinsic, overload_method, register_model, unbox
from numba.core.imputils import lower_builtin, lower_constant

from fastgrad.errors import InputError
from fastgrad.interop import by_name
from fastgrad.interop.numba_text import NOT_FOUND, call_statements, into_statements

if TYPE_CHECKING:
    from fastgrad.interop.numba import Function

__all__ = ["FUNCTIONS", "FunctionType"]

# by the names of their types
FUNCTIONS: weakref.WeakValueDictionary[str, Function] = weakref.WeakValueDictionary()


class FunctionType(types.Opaque):
    """The type of one Function: code that calls it is made for it alone."""

    def __init__(self, function: Function) -> None:
        self.function = function
        super().__init__(function.type_name)

    def __reduce__(self) -> Any:
        """By name, in what Numba keeps on disk of callers that were given a Function as an argument."""
        return _type_named, (self.name,)


def _type_named(name: str) -> Any:
    function = FUNCTIONS.get(name)
    return types.Opaque(name) if function is None else FunctionType(function)


register_model(FunctionType)(models.OpaqueModel)


@lower_constant(FunctionType)
def _constant(context: Any, builder: Any, _type: Any, _value: Any) -> Any:
    return context.get_dummy_value()


@unbox(FunctionType)
def _unboxed(_type: Any, _value: Any, context: Any) -> NativeValue:
    return NativeValue(context.context.get_dummy_value())


# ---- calls

_GATHERED = (types.StarArgTuple, types.StarArgUniTuple)


@overload_method(FunctionType, "__call__")
def _call(self: Any, *args: Any) -> Any:
    return _built(call_statements(self.function.code, _kinds(args), self.function.gives_nan))


@lower_builtin(FunctionType, FunctionType, types.VarArg(types.Any))
def _called(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Numba types a call of an object as one of its method ``__call__``, but looks for its code elsewhere: here."""
    method = context.typing_context.resolve_getattr(signature.args[0], "__call__")
    return context.get_function(method, signature)(builder, arguments)


@overload_method(FunctionType, "into")
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


# ---- what Numba keeps on disk


class _Reference:
    """That a caller which Numba keeps on disk refers to a name: it is loaded where there is one such function."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        return _resolved, (self.name,)


def _resolved(name: str) -> _Reference:
    if not by_name.is_certain(name):
        raise _StaleError
    return _Reference(name)


class _StaleError(OSError):
    """A caller on disk refers to code that is not there. Numba takes an OSError for a file that it has to make anew."""


# ---- the call itself


@intrinsic
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
