"""Runs a function of the op table on arrays: emitted through ``fastgrad.emit``, compiled by llvmlite, called by ctypes.

The kernels of the package go another way (through Numba), so a test of an elementary function against mpmath here
depends on nothing but the function itself and the emitter.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import binding, ir

from fastgrad.emit import F64, I64, Emitter


def _module(function: Callable[..., Any], arity: int, width: int) -> Any:
    module = ir.Module("harness")
    module.triple = binding.get_default_triple()
    pointer = F64.as_pointer()
    entry = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer] * (arity + 1) + [I64]), "entry")
    for argument in entry.args[:-1]:
        argument.add_attribute("noalias")
    start, loop, end = (entry.append_basic_block(name) for name in ("start", "loop", "end"))
    builder = ir.IRBuilder(start)
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(I64)
    index.add_incoming(ir.Constant(I64, 0), start)
    emitter = Emitter(builder, width)

    def place(argument: Any) -> Any:
        return builder.bitcast(builder.gep(argument, [index]), emitter.float_type.as_pointer())

    operands = [emitter.load_float(place(argument)) for argument in entry.args[:arity]]
    emitter.store_float(function(*operands), place(entry.args[arity]))
    following = builder.add(index, ir.Constant(I64, width))
    index.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, entry.args[-1]), loop, end)
    builder.position_at_end(end)
    builder.ret_void()
    return module


@cache
def _compile(function: Callable[..., Any], arity: int, width: int) -> tuple[Any, Any, str]:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    parsed = binding.parse_assembly(str(_module(function, arity, width)))
    parsed.verify()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=2
    )
    pass_builder = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=2))
    pass_builder.getModulePassManager().run(parsed, pass_builder)
    assembly = machine.emit_assembly(parsed)
    engine = binding.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (arity + 1), ctypes.c_int64)
    return engine, signature(engine.get_function_address("entry")), assembly


def evaluate(function: Callable[..., Any], *operands: Any, width: int = 8) -> np.ndarray:
    """``function`` at equally long float64 arrays, ``width`` lanes at a time (1: scalar code)."""
    arrays = np.broadcast_arrays(*[np.asarray(operand, dtype=float) for operand in operands])
    n = arrays[0].size
    padded = -(-n // width) * width
    columns = [np.ascontiguousarray(np.concatenate([a.ravel(), np.ones(padded - n)])) for a in arrays]
    out = np.empty(padded)
    _, call, _ = _compile(function, len(columns), width)
    call(*[column.ctypes.data for column in columns], out.ctypes.data, padded)
    return out[:n].reshape(arrays[0].shape)


def assembly(function: Callable[..., Any], arity: int, width: int = 8) -> str:
    """The assembly of the loop that ``evaluate`` runs."""
    return _compile(function, arity, width)[2]
