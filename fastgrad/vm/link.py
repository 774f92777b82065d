"""A linker for one kind of file: an x86-64 ELF object that refers to nothing outside itself.

The kernels' object file becomes one flat piece of bytes that runs wherever it is mapped: its read-only sections one
after the other, with every reference between them resolved, which is possible because all of them are relative. An
object that needs more than that (another library's symbol, writable data, an absolute address) is refused with
``LinkError``, and so is a file that is not well formed: every offset is checked before it is followed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Blob", "LinkError", "link"]

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")

_MAGIC = b"\x7fELF\x02\x01\x01"  # 64 bits, little-endian, version 1
_RELOCATABLE, _X86_64 = 1, 62
_PROGBITS, _SYMTAB, _RELA, _NOBITS, _REL = 1, 2, 4, 8, 9
_WRITE, _ALLOC = 1, 2
_PC32, _PLT32 = 2, 4  # both are S + A - P in 32 bits within one blob
_UNDEFINED, _RESERVED = 0, 0xFF00
_GLOBAL = 1

_MAX_SECTIONS = 10_000
_MAX_SIZE = 1 << 28
_MAX_ALIGNMENT = 4096


class LinkError(Exception):
    """The object file is damaged or needs what a flat piece of code cannot have."""


@dataclass(frozen=True)
class Blob:
    """Position-independent code and data, to be mapped at a page boundary, and where its functions begin."""

    code: bytes
    entries: dict[str, int]


@dataclass(frozen=True)
class _Section:
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    data: bytes


@dataclass(frozen=True)
class _Symbol:
    name: str
    is_global: bool
    section: int
    value: int


def link(object_file: bytes) -> Blob:
    """Lay out the sections of an object file and resolve its relocations; raises ``LinkError``."""
    sections = list(_sections(object_file))
    places, size = _layout(sections)
    symbols = list(_symbols(sections))
    code = bytearray(size)
    for index, place in places.items():
        code[place : place + sections[index].size] = sections[index].data
    for section in sections:
        if section.kind in (_RELA, _REL) and section.info in places:
            _relocate(code, section, sections, places, symbols)
    entries = {
        symbol.name: places[symbol.section] + symbol.value
        for symbol in symbols
        if symbol.is_global and symbol.section in places and symbol.value < sections[symbol.section].size
    }
    return Blob(bytes(code), entries)


def _slice(data: bytes, offset: int, size: int, what: str) -> bytes:
    if offset > len(data) or size > len(data) - offset:
        raise LinkError(f"{what} reaches past the end of the object file")
    return data[offset : offset + size]


def _sections(data: bytes) -> Iterator[_Section]:
    header = _HEADER.unpack(_slice(data, 0, _HEADER.size, "the header"))
    if not header[0].startswith(_MAGIC) or header[1] != _RELOCATABLE or header[2] != _X86_64:
        raise LinkError("this is not a 64-bit x86 ELF object file")
    table, entry_size, count = header[6], header[11], header[12]
    if entry_size != _SECTION.size or not 0 < count <= _MAX_SECTIONS:
        raise LinkError("the section table has an unknown form")
    for fields in _SECTION.iter_unpack(_slice(data, table, count * entry_size, "the section table")):
        _, kind, flags, _, offset, size, link_index, info, alignment, _ = fields
        content = b"" if kind in (0, _NOBITS) else _slice(data, offset, size, "a section")
        yield _Section(kind, flags, offset, size, link_index, info, alignment, content)


def _layout(sections: list[_Section]) -> tuple[dict[int, int], int]:
    """The place of each section that is loaded, and the size of all."""
    places: dict[int, int] = {}
    end = 0
    for index, section in enumerate(sections):
        if not section.flags & _ALLOC or section.size == 0:
            continue
        if section.flags & _WRITE or section.kind == _NOBITS:
            raise LinkError("the object file has writable data")
        if section.kind != _PROGBITS:
            continue  # unwind tables: nothing here throws
        alignment = section.alignment or 1
        if alignment & (alignment - 1) or alignment > _MAX_ALIGNMENT:
            raise LinkError(f"a section asks for an alignment of {alignment} bytes")
        places[index] = end = -(-end // alignment) * alignment
        end += section.size
        if end > _MAX_SIZE:
            raise LinkError("the object file is too large")
    return places, end


def _symbols(sections: list[_Section]) -> Iterator[_Symbol]:
    tables = [section for section in sections if section.kind == _SYMTAB]
    if len(tables) != 1:
        raise LinkError(f"the object file has {len(tables)} symbol tables")
    table = tables[0]
    if table.size % _SYMBOL.size or table.link >= len(sections):
        raise LinkError("the symbol table has an unknown form")
    names = sections[table.link].data
    for name, info, _, section, value, _ in _SYMBOL.iter_unpack(table.data):
        end = names.find(b"\0", name)
        if name > len(names) or end < 0:
            raise LinkError("a symbol's name reaches past the string table")
        yield _Symbol(names[name:end].decode("ascii", "replace"), info >> 4 == _GLOBAL, section, value)


def _relocate(
    code: bytearray, table: _Section, sections: list[_Section], places: dict[int, int], symbols: list[_Symbol]
) -> None:
    if table.kind == _REL or table.size % _RELOCATION.size:
        raise LinkError("a relocation table has an unknown form")
    target = sections[table.info]
    for offset, info, addend in _RELOCATION.iter_unpack(table.data):
        kind, number = info & 0xFFFFFFFF, info >> 32
        if kind not in (_PC32, _PLT32):
            raise LinkError(f"relocation type {kind} is not a 32-bit relative one")
        if number >= len(symbols) or target.size < 4 or offset > target.size - 4:
            raise LinkError("a relocation points outside its section or the symbol table")
        symbol = symbols[number]
        if symbol.section == _UNDEFINED or symbol.section >= _RESERVED:
            raise LinkError(f"the code refers to {symbol.name!r}, which is not part of it")
        if symbol.section not in places or symbol.value > sections[symbol.section].size:
            raise LinkError(f"the code refers to {symbol.name!r} in a section that is not loaded")
        place = places[table.info] + offset
        distance = places[symbol.section] + symbol.value + addend - place
        if not -(1 << 31) <= distance < 1 << 31:
            raise LinkError(f"{symbol.name!r} is too far away for a 32-bit reference")
        struct.pack_into("<i", code, place, distance)
