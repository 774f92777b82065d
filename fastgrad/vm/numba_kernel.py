"""``@kernel``: a Python function that Numba turns into LLVM IR with a plain C signature, and nothing around it.

A kernel works on raw pointers: no arrays, no exceptions, no reference counts, so its code needs nothing from Numba or
Python at run time. Kernels call each other and the functions of ``operations.py`` by name; everything is linked and
optimised as one module in ``compiler.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from fastgrad.vm import operations

INTEGER = types.int64
FLOAT = types.float64
WORDS = types.CPointer(types.uint32)
FLOATS = types.CPointer(types.float64)
INTEGERS = types.CPointer(types.int64)
NOTHING = types.void

_LLVM = {
    INTEGER: ir.IntType(64),
    FLOAT: ir.DoubleType(),
    WORDS: operations.POINTER,
    FLOATS: operations.POINTER,
    INTEGERS: operations.POINTER,
    NOTHING: ir.VoidType(),
}


@dataclass(frozen=True)
class Kernel:
    """One kernel: its name, its types, and the Python function."""

    name: str
    result: Any
    arguments: tuple[Any, ...]
    function: Callable[..., Any]


KERNELS: dict[str, Kernel] = {}


def kernel(result: Any, *arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Register the function as a kernel and replace it by what other kernels call."""

    def register(function: Callable[..., Any]) -> Any:
        name = function.__name__
        KERNELS[name] = Kernel(name, result, arguments, function)
        return external(name, result, *arguments)

    return register


def external(name: str, result: Any, *arguments: Any) -> Any:
    """What kernels call to run the function ``fastgrad.<name>`` of the linked module."""
    kind = ir.FunctionType(_LLVM[result], [_LLVM[argument] for argument in arguments])

    def generate(context: Any, builder: Any, _: Any, values: Any) -> Any:
        symbol = operations.symbol(name)
        declared = builder.module.globals.get(symbol) or ir.Function(builder.module, kind, symbol)
        values = [
            builder.bitcast(value, operations.POINTER) if isinstance(value.type, ir.PointerType) else value
            for value in values
        ]
        returned = builder.call(declared, values)
        return context.get_dummy_value() if result is NOTHING else returned

    return _intrinsic(name, result(*arguments), generate)


def _intrinsic(name: str, typed: Any, generate: Callable[..., Any]) -> Any:
    """Numba reads an intrinsic's parameters off its Python signature, so one is spelt out for each arity."""
    names = ", ".join(f"a{k}" for k in range(len(typed.args)))
    scope: dict[str, Any] = {"typed": typed, "generate": generate}
    exec(f"def {name}(typing_context, {names}):\n    return typed, generate\n", scope)
    return intrinsic(scope[name])


def _pointer_intrinsic(pointer: Any) -> Any:
    @intrinsic
    def at(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, values: Any) -> Any:
            return builder.inttoptr(values[0], context.get_value_type(pointer))

        return pointer(INTEGER), generate

    return at


def caller(n_arguments: int) -> Any:
    """What kernels call to run the C function at an address, on 64-bit arguments (addresses and integers)."""

    def generate(context: Any, builder: Any, _: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(64), [ir.IntType(64)] * n_arguments)
        return builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])

    return _intrinsic("call", INTEGER(*[INTEGER] * (n_arguments + 1)), generate)


@intrinsic
def address_of(typing_context: Any, pointer: Any) -> Any:
    """The address that a pointer holds."""

    def generate(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return builder.ptrtoint(values[0], ir.IntType(64))

    return INTEGER(pointer), generate


words_at = _pointer_intrinsic(WORDS)
floats_at = _pointer_intrinsic(FLOATS)
integers_at = _pointer_intrinsic(INTEGERS)


def _part(typing_context: Any, pointer: Any, offset: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return builder.gep(values[0], [values[1]])

    return pointer(pointer, INTEGER), generate


part: Any = intrinsic(_part)  # part(pointer, offset): the pointer moved on by that many entries


def numba_module(entry: Kernel) -> tuple[str, str]:
    """The kernel's LLVM IR as Numba lowers it, and the symbol of its function in there."""
    flags: Any = compiler.Flags()
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    typing, target = cpu_target.typing_context, cpu_target.target_context
    with global_compiler_lock:
        typing.refresh()
        target.refresh()
        compiled = compiler.compile_extra(typing, target, entry.function, entry.arguments, entry.result, flags, {})
        return compiled.library.get_llvm_str(), compiled.fndesc.llvm_func_name


def emit_entry(module: ir.Module, entry: Kernel, symbol: str) -> None:
    """Define ``fastgrad.<name>`` with a C signature around Numba's function.

    Numba's own convention is ``int status(result *, exception **, arguments...)``.
    """
    result = _LLVM[entry.result]
    arguments = [_LLVM[argument] for argument in entry.arguments]
    inner = ir.Function(
        module, ir.FunctionType(ir.IntType(32), [operations.POINTER, operations.POINTER, *arguments]), symbol
    )
    outer = ir.Function(module, ir.FunctionType(result, arguments), operations.symbol(entry.name))
    builder = ir.IRBuilder(outer.append_basic_block("entry"))
    place = builder.alloca(ir.IntType(64))
    exception = builder.alloca(operations.POINTER)
    builder.call(inner, [place, exception, *outer.args])
    if entry.result is NOTHING:
        builder.ret_void()
    else:
        builder.ret(builder.load(place, typ=result))
