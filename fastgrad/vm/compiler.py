"""From the kernels' Python to one object file: Numba lowers each, the op table's functions are emitted, LLVM links and
optimises the whole, and a target machine for this processor emits it.

Imports Numba and llvmlite; only ``binary.py`` calls it, once per machine.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir

from fastgrad.vm import (
    array_kernels,
    call_kernels,
    kernels,
    numba_kernel,
    operations,
    planning_kernels,
    structure_kernels,
    tape_kernels,
)
from fastgrad.vm.instructions import ENTRIES
from fastgrad.vm.target import emit_object, optimise, target_machine, without_library_calls

# importing them fills numba_kernel.KERNELS
KERNEL_MODULES = (kernels, array_kernels, planning_kernels, structure_kernels, call_kernels, tape_kernels)


def compile_kernels() -> bytes:
    """The object file that defines ``fastgrad.<name>`` for every kernel."""
    machine = target_machine()
    return emit_object(linked_module(machine), machine)


def linked_module(machine: Any) -> Any:
    """All kernels and operations in one optimised LLVM module, of which only the kernels' entries are visible."""
    own = ir.Module("fastgrad")
    own.triple = machine.triple
    own.data_layout = str(machine.target_data)
    operations.emit_operations(own)
    linked = []
    for entry in numba_kernel.KERNELS.values():
        text, symbol = numba_kernel.numba_module(entry)
        numba_kernel.emit_entry(own, entry, symbol)
        linked.append(text)
    module = binding.parse_assembly(without_library_calls(str(own)))
    for text in linked:
        module.link_in(binding.parse_assembly(without_library_calls(text)))
    _hide_all_but_entries(module)
    module.verify()
    optimise(module, machine)
    return module


def _hide_all_but_entries(module: Any) -> None:
    entries = {operations.symbol(name) for name in ENTRIES}
    for function in module.functions:
        if not function.is_declaration and function.name not in entries:
            function.linkage = "internal"
    for variable in module.global_variables:
        if not variable.is_declaration:
            variable.linkage = "internal"
