"""The compiled kernels: from memory, else from the disk cache, else compiled, once per machine.

The cache holds one file per processor and version of the sources; :mod:`fastgrad.vm.code_file` tells what is in it.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

from fastgrad.vm.code_file import (
    LoadedCode,
    add_sources,
    directory,
    image_of,
    load_from_file,
    load_from_memory,
    only_one_process,
    processor,
    say,
    write,
)
from fastgrad.vm.instructions import ENTRIES

__all__ = ["Kernels", "kernels", "key_of_sources", "name_of_kernels"]

SYMBOLS = tuple(f"fastgrad.{name}" for name in ENTRIES)

COMPILE_SECONDS = 5  # measured on a 2.6 GHz Xeon: 5.3 s, after 0.2 s for importing Numba

Kernel = Callable[..., Any]


@dataclass(frozen=True)
class Kernels:
    """The entries as ctypes functions of integers (addresses and counts); calls release the GIL."""

    forward: Kernel
    reverse: Kernel
    reverse_careful: Kernel
    tangent: Kernel
    tangent_careful: Kernel
    reverse_rows: Kernel
    reverse_rows_careful: Kernel
    tangent_rows: Kernel
    tangent_rows_careful: Kernel
    forward_lanes: Kernel
    reverse_lanes: Kernel
    reverse_lanes_careful: Kernel
    tangent_lanes: Kernel
    tangent_lanes_careful: Kernel
    run_scalar: Kernel
    run_tiles: Kernel
    run_array: Kernel
    mark_active: Kernel
    find_edges: Kernel
    mark_needed: Kernel
    mark_dependent: Kernel
    call_derivative: Kernel
    call_into: Kernel
    address: Mapping[str, int] = field(repr=False)
    owner: Any = field(repr=False)  # what keeps the code mapped


_lock = threading.Lock()
_kernels: Kernels | None = None


def kernels() -> Kernels:
    """The kernels of this process; the first call loads them, or compiles them where no cache has them."""
    global _kernels
    if _kernels is None:
        with _lock:
            if _kernels is None:
                _kernels = _obtain()
    return _kernels


def _obtain() -> Kernels:
    folder = directory()
    if folder is None:
        return _bind(load_from_memory(_compile(), SYMBOLS))
    path = os.path.join(folder, name_of_kernels())
    found = load_from_file(path, SYMBOLS)
    if found is None:
        with only_one_process(path):
            found = load_from_file(path, SYMBOLS)  # another process may have built it meanwhile
            if found is None:
                image = _compile()
                found = (load_from_file(path, SYMBOLS) if write(path, image) else None) or load_from_memory(
                    image, SYMBOLS
                )
    return _bind(found)


def name_of_kernels() -> str:
    """The name of their file in the cache."""
    return f"kernels-{key_of_sources()}.bin"


def _compile() -> bytes:
    say(f"compiling its kernels for this machine, once (about {COMPILE_SECONDS} s)...")
    from fastgrad.vm.compiler import compile_kernels

    return image_of(compile_kernels(), SYMBOLS)


_C_TYPES: dict[str, Any] = {"": None, "i": ctypes.c_int64, "p": ctypes.c_void_p}


def _bind(code: LoadedCode) -> Kernels:
    address = dict(zip(ENTRIES, code.addresses, strict=True))
    functions = {}
    for name, (result, arguments) in ENTRIES.items():
        prototype = ctypes.CFUNCTYPE(_C_TYPES[result], *[_C_TYPES[argument] for argument in arguments])
        functions[name] = prototype(address[name])
    return Kernels(**functions, address=address, owner=code.owner)


# Every module that decides what the kernels' code is; a test compares with what the compiler imports.
SOURCES = (
    *("basis", "emit", "operators", "ops"),
    *("elementary/" + name for name in ("bessel", "exponential", "exponents", "gamma", "hyperbolic", "rounding")),
    *("elementary/special", "elementary/trigonometric"),
    *(
        "elementary/_" + name + "_coefficients"
        for name in ("bessel", "exponential", "gamma", "special", "trigonometric")
    ),
    *(
        "vm/" + name
        for name in ("binary", "code_file", "compiler", "instructions", "kernels", "link", "numba_kernel", "operations")
    ),
    *("vm/array_kernels", "vm/call_kernels", "vm/planning_kernels", "vm/structure_kernels"),
    *("vm/tape_kernels", "vm/target"),
)


@lru_cache(maxsize=1)
def key_of_sources() -> str:
    """A hash of the processor and of every source that the kernels are made from."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(processor())
    add_sources(digest, SOURCES)
    return digest.hexdigest()


assert {entry.name for entry in fields(Kernels)} - {"address", "owner"} == set(ENTRIES)
