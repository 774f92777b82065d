"""C functions around machine code: they gather addresses, provide room to work in, and try one way after the other.

Imports llvmlite. A function is made for this process, since the addresses of the code and of captured arrays are in it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from llvmlite import binding, ir

from fastgrad.interop.machine_code import OK, OUT_OF_MEMORY, MachineCode, Way
from fastgrad.vm.addresses import address_of
from fastgrad.vm.code_file import LoadedCode, image_of, load_from_memory
from fastgrad.vm.target import emit_object, optimise, target_machine, without_library_calls

__all__ = [
    "DOUBLE",
    "INT",
    "LONG",
    "POINTER",
    "CFunction",
    "Caller",
    "compiled",
    "compiled_function",
    "element",
    "table",
]

# bytes of workspace that are taken from the stack; other threads than the first may have only 512 KiB of it
MAX_ON_STACK = 1 << 16
_ALIGNMENT = 64

INT, LONG, DOUBLE, POINTER = ir.IntType(32), ir.IntType(64), ir.DoubleType(), ir.PointerType()
_SYMBOL = "fastgrad.call"


@dataclass(frozen=True)
class CFunction:
    """The address of a C function, valid as long as this object lives, and the code that it calls."""

    address: int
    code: MachineCode
    owner: Any = field(repr=False)


def compiled(
    code: MachineCode, returns: ir.Type, parameters: Sequence[ir.Type], body: Callable[[Caller], None]
) -> CFunction:
    """A C function with these types of result and parameters, whose ``body`` says how it calls the code."""

    def write(function: ir.Function) -> None:
        body(Caller(code, _run(function.module, code), function))

    loaded = compiled_function(returns, parameters, write)
    return CFunction(loaded.addresses[0], code, loaded)


def compiled_function(
    returns: ir.Type, parameters: Sequence[ir.Type], write: Callable[[ir.Function], None]
) -> LoadedCode:
    """A C function of which ``write`` writes the blocks."""
    module = ir.Module("fastgrad")
    write(ir.Function(module, ir.FunctionType(returns, parameters), _SYMBOL))
    machine = target_machine()
    parsed = binding.parse_assembly(without_library_calls(str(module)))
    optimise(parsed, machine)
    return load_from_memory(image_of(emit_object(parsed, machine), [_SYMBOL]), [_SYMBOL])


class Caller:
    """Writes the body of one C function."""

    def __init__(self, code: MachineCode, run: ir.Function, function: ir.Function) -> None:
        self.code = code
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.parameters: Sequence[Any] = function.args
        self._run = run

    def number_at(self, base: Any, offset: int) -> Any:
        """The address of a double, ``offset`` doubles after a base."""
        return element(self.builder, base, offset, DOUBLE)

    def in_a_row(self, base: Any, sizes: Sequence[int]) -> list[Any]:
        """The addresses of arrays of these sizes, one after the other from a base."""
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
        return [self.number_at(base, int(start)) for start in starts[:-1]]

    def run(self, arguments: Sequence[Any], results: Sequence[Any]) -> Any:
        """Call the code with the addresses of its arguments and results; its status."""
        return self.run_tables(table(self.builder, arguments), table(self.builder, results))

    def run_tables(self, arguments: Any, results: Any) -> Any:
        """The same with tables of addresses."""
        return self.builder.call(self._run, [arguments, results])

    def unless(self, condition: Any, value: Any) -> None:
        """Return a value where a condition does not hold."""
        with self.builder.if_then(self.builder.not_(condition), likely=False):
            self.builder.ret(value)


def element(builder: ir.IRBuilder, base: Any, index: Any, kind: ir.Type) -> Any:
    """The address of an element of an array of this type."""
    index = ir.Constant(LONG, index) if isinstance(index, int) else index
    return builder.gep(base, [index], inbounds=True, source_etype=kind)


def table(builder: ir.IRBuilder, addresses: Sequence[Any]) -> Any:
    """The addresses in a row on the stack."""
    with builder.goto_entry_block():
        room = builder.alloca(POINTER, size=ir.Constant(LONG, max(len(addresses), 1)))
    for k, address in enumerate(addresses):
        builder.store(address, element(builder, room, k, POINTER))
    return room


# ---- the function that the others call


def _run(module: ir.Module, code: MachineCode) -> ir.Function:
    """``i64 run(arguments, results)``: OK, OUT_OF_MEMORY, or the number of the line that the longest way fails at."""
    function = ir.Function(module, ir.FunctionType(LONG, [POINTER, POINTER]), "run")
    function.linkage = "internal"
    arguments, results = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    size = 8 * code.workspace
    on_heap = size > MAX_ON_STACK
    if on_heap:
        workspace = builder.call(_in_libc(builder, "malloc", POINTER, [LONG]), [ir.Constant(LONG, size)])
        with builder.if_then(builder.icmp_unsigned("==", workspace, ir.Constant(POINTER, None)), likely=False):
            builder.ret(ir.Constant(LONG, OUT_OF_MEMORY))
    else:
        workspace = builder.alloca(DOUBLE, size=ir.Constant(LONG, max(code.workspace, 1)))
        workspace.align = _ALIGNMENT
    done = function.append_basic_block("done")
    longest: Any = ir.Constant(LONG, -1)
    line: Any = ir.Constant(LONG, OK)
    outcomes = []
    for way in code.ways:
        status = builder.call(
            _address(builder, way.entry.address, ir.FunctionType(LONG, [POINTER] * 3)),
            [_inputs(builder, code, way, arguments), results, workspace],
        )
        outcomes.append((ir.Constant(LONG, OK), builder.block))
        if not way.lines:  # nothing that could fail
            builder.branch(done)
            break
        fails = function.append_basic_block("fails")
        builder.cbranch(builder.icmp_signed("==", status, ir.Constant(LONG, -1)), done, fails)
        builder.position_at_end(fails)
        is_longer = builder.icmp_signed(">", status, longest)
        longest = builder.select(is_longer, status, longest)
        line = builder.select(is_longer, _line(builder, module, way, status), line)
    else:
        outcomes.append((line, builder.block))
        builder.branch(done)
    builder.position_at_end(done)
    outcome = builder.phi(LONG)
    for value, block in outcomes:
        outcome.add_incoming(value, block)
    if on_heap:
        builder.call(_in_libc(builder, "free", ir.VoidType(), [POINTER]), [workspace])
    builder.ret(outcome)
    return function


def _inputs(builder: ir.IRBuilder, code: MachineCode, way: Way, arguments: Any) -> Any:
    """The table that the code reads: inputs, captured arrays, seeds."""
    if not way.entry.captured:
        return arguments
    given = [builder.load(element(builder, arguments, k, POINTER), typ=POINTER) for k in range(len(code.arguments))]
    captured = [_address(builder, address_of(array), None) for array in way.entry.captured]
    n = len(code.inputs)
    return table(builder, [*given[:n], *captured, *given[n:]])


def _line(builder: ir.IRBuilder, module: ir.Module, way: Way, guard: Any) -> Any:
    """The number of a guard's line."""
    if len(set(way.lines)) == 1:
        return ir.Constant(LONG, way.lines[0])
    kind = ir.ArrayType(INT, len(way.lines))
    lines = ir.GlobalVariable(module, kind, module.get_unique_name("lines"))
    lines.linkage, lines.global_constant = "internal", True
    lines.initializer = ir.Constant(kind, list(way.lines))
    return builder.sext(builder.load(element(builder, lines, guard, INT), typ=INT), LONG)


def _address(builder: ir.IRBuilder, address: int, function: ir.FunctionType | None) -> Any:
    """An address that is known now; with the type of a function, as something to call."""
    if function is None:
        return builder.inttoptr(ir.Constant(LONG, address), POINTER)
    return builder.inttoptr(ir.Constant(LONG, address), ir.PointerType(function))


def _in_libc(builder: ir.IRBuilder, name: str, returns: ir.Type, parameters: Sequence[ir.Type]) -> Any:
    """A function of the C library of this process."""
    library = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
    address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    assert address is not None
    return _address(builder, address, ir.FunctionType(returns, parameters))
