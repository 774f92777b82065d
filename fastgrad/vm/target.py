"""The processor that this runs on, as LLVM sees it, and how code for it is made. Imports llvmlite.

``FASTGRAD_CPU`` names another processor, for tests: "x86-64" has neither AVX nor fma, "x86-64-v3" AVX2 and fma. It must
not have what this one lacks.
"""

from __future__ import annotations

import re
from typing import Any

from llvmlite import binding

from fastgrad.vm.code_file import stated_processor


def target_machine() -> Any:
    """Position-independent code for this processor, with all its features; fma only where the source asks for it."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    stated = stated_processor()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=stated or binding.get_host_cpu_name(),
        features="" if stated else binding.get_host_cpu_features().flatten(),
        opt=2,
        reloc="pic",
        codemodel="small",
    )


def has_wide_registers() -> bool:
    """Whether there are 32 registers of eight numbers."""
    stated = stated_processor()
    if stated:
        return stated == "x86-64-v4"
    features: Any = binding.get_host_cpu_features()
    return bool(features.get("avx512f"))


def optimise(module: Any, machine: Any) -> None:
    options = binding.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = True
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)


def emit_object(module: Any, machine: Any) -> bytes:
    return bytes(machine.emit_object(module))


def without_library_calls(text: str) -> str:
    """Mark every function so that LLVM does not turn its loops into calls of memset or memcpy: there is no libc."""
    return re.sub(r"^(define [^\n]*\))([^)\n]*)$", r'\1 "no-builtins"\2', text, flags=re.MULTILINE)
