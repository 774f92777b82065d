"""From sources to one object file: LLVM assembly, optimised while it is short, and code for this processor.

Imports llvmlite; only ``store.py`` calls it, for code that it does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import binding, ir

from fastgrad.native.library import Library, with_declarations
from fastgrad.native.source import Source, is_long, symbols_of
from fastgrad.vm.target import emit_object, has_wide_registers, optimise, target_machine, without_library_calls

__all__ = ["assembly", "compile_sources"]

# Lanes at once: two registers' worth where registers are many, which hides the latency of divisions. Black-Scholes with
# five greeks on an AVX-512 Xeon: 11 ns an input with 16, 13.5 with 8.
MANY_LANES, LANES = 16, 8


def compile_sources(sources: Sequence[Source], pause: Callable[[], None]) -> bytes:
    """An object file with a function for each source; ``pause`` is called often, to let other threads run."""
    machine = target_machine()
    text = assembly(sources, pause)
    module = binding.parse_assembly(text)
    optimise(module, machine)
    return emit_object(module, machine)


def assembly(sources: Sequence[Source], pause: Callable[[], None] = lambda: None) -> str:
    """The LLVM assembly of the sources' functions."""
    module = ir.Module("fastgrad")
    libraries: dict[int, Library] = {}
    texts = []
    long = is_long(sources)
    for source, name in zip(sources, symbols_of(sources), strict=True):
        width = _lanes_at_once(long) if source.is_over_lanes else 1
        library = libraries.setdefault(width, Library(width, module))
        is_quick = long and not source.is_over_lanes
        texts.append(source.form(source.routine(), name, library, pause).write(is_quick))
    # a search through megabytes would hold the interpreter's lock for long: these lines are known
    texts = [text.replace(") nounwind", ') nounwind "no-builtins"') for text in texts]
    return "\n".join([without_library_calls(with_declarations(module, libraries.values())), *texts])


def _lanes_at_once(long: bool) -> int:
    return MANY_LANES if has_wide_registers() and not long else LANES
