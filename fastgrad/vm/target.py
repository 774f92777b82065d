"""The processor that this runs on, as LLVM sees it. Imports llvmlite."""

from __future__ import annotations

from typing import Any

from llvmlite import binding


def target_machine() -> Any:
    """Position-independent code for this processor, with all its features; fma only where the source asks for it."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=2,
        reloc="pic",
        codemodel="small",
    )
