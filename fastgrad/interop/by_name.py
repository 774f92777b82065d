"""Compiled functions by name, for code that Numba keeps on disk: in the next process they are at other addresses.

Such code refers to one symbol, ``fastgrad_function_called``, a function that finds the address of another by its
name, once. What is not there is then an error that can be raised; as a symbol of its own it would end the process.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from llvmlite import binding, ir

from fastgrad.interop.c_calls import LONG, POINTER, CFunction, compiled_function, element
from fastgrad.vm.code_file import LoadedCode

__all__ = ["FIND", "ensure_findable", "halves", "is_certain", "known", "register", "share"]

FIND = "fastgrad_function_called"


class _Entry(ctypes.Structure):
    """An element of the list that ``FIND`` walks through: the two halves of a name, an address, the next element."""

    _fields_ = (
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("next", ctypes.c_uint64),
    )


_head = ctypes.c_uint64(0)
_lock = threading.Lock()
# kept for ever: compiled code may have found any of them
_kept: dict[str, tuple[CFunction, _Entry]] = {}
# names that several functions would have
_shared: set[str] = set()
_finder: list[LoadedCode] = []


def halves(name: str) -> tuple[int, int]:
    """A name of 32 hexadecimal digits as two numbers."""
    return int(name[:16], 16), int(name[16:], 16)


def known(name: str) -> CFunction | None:
    """The function that was first registered under a name."""
    found = _kept.get(name)
    return found and found[0]


def share(name: str) -> None:
    """Note that another function than the one known would have this name: it says no more which is meant."""
    _shared.add(name)


def is_certain(name: str) -> bool:
    """Whether there is one function of this name."""
    return name in _kept and name not in _shared


def register(name: str, function: CFunction) -> CFunction:
    """Make a function known under a name of 32 hexadecimal digits; what has the name already stays."""
    with _lock:
        if name not in _kept:
            entry = _Entry(*halves(name), function.address, _head.value)
            _kept[name] = function, entry
            _head.value = ctypes.addressof(entry)  # whole before it can be found
        return _kept[name][0]


def ensure_findable() -> None:
    """Define the symbol ``FIND`` in this process."""
    with _lock:
        if not _finder:
            _finder.append(compiled_function(POINTER, [LONG, LONG], _write_find))
            binding.add_symbol(FIND, _finder[0].addresses[0])


def _write_find(function: ir.Function) -> None:
    """``ptr find(first, second)``: the address, or null."""
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    start = builder.load(_constant_address(builder, ctypes.addressof(_head)), typ=LONG)
    before = builder.block
    loop, read, found, later = (function.append_basic_block(name) for name in ("loop", "read", "found", "later"))
    absent = function.append_basic_block("absent")
    builder.branch(loop)
    builder.position_at_end(loop)
    at = builder.phi(LONG)
    at.add_incoming(start, before)
    builder.cbranch(builder.icmp_unsigned("==", at, ir.Constant(LONG, 0)), absent, read)
    builder.position_at_end(read)
    entry: Any = builder.inttoptr(at, POINTER)
    first, second, address, following = (
        builder.load(element(builder, entry, k, LONG), typ=LONG) for k in range(len(_Entry._fields_))
    )
    is_it = builder.and_(
        builder.icmp_unsigned("==", first, function.args[0]), builder.icmp_unsigned("==", second, function.args[1])
    )
    builder.cbranch(is_it, found, later)
    builder.position_at_end(later)
    at.add_incoming(following, later)
    builder.branch(loop)
    builder.position_at_end(found)
    builder.ret(builder.inttoptr(address, POINTER))
    builder.position_at_end(absent)
    builder.ret(ir.Constant(POINTER, None))


def _constant_address(builder: ir.IRBuilder, address: int) -> Any:
    return builder.inttoptr(ir.Constant(LONG, address), POINTER)
