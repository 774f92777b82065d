"""A file of named arrays and a JSON header, checksummed; see ``docs/files.md`` for its layout."""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgrad.errors import FileFormatError

__all__ = ["ALIGNMENT", "DTYPES", "MAGIC", "VERSION", "Container", "Target", "read_container", "write_container"]

# not text in any encoding, and damaged by whoever takes it for text and changes the ends of lines
MAGIC = b"\x89FGT\r\n\x1a\n"
VERSION = 1
ALIGNMENT = 64
_PREFIX = 64
_DIGEST = 32
_LARGEST_HEADER = 2**28
# below this size reading beats mapping, and the file is free at once
_MAPPED_FROM = 2**20
DTYPES = frozenset(f"{order}{kind}" for order, kinds in (("<", "u2 u4 u8 i2 i4 i8 f2 f4 f8"), ("|", "u1 i1 b1"))
                    for kind in kinds.split())  # fmt: skip

Target = str | os.PathLike[str] | BinaryIO


class Container(NamedTuple):
    """What a file holds: the header's fields, and the arrays by name (read-only)."""

    fields: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


# ---- writing


def write_container(target: Target, fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays and fields that JSON can hold.

    A path is written beside its place and then moved there, so that there is the old file or the new one, whatever
    happens.
    """
    sections: list[dict[str, Any]] = []
    pieces: list[Any] = []
    start = 0
    for name, array in arrays.items():
        content = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
        pieces += [content.reshape(-1).view(np.uint8).data, bytes(-content.nbytes % ALIGNMENT)]
        sections.append(
            {
                "name": name,
                "dtype": content.dtype.str,
                "shape": list(array.shape),
                "start": start,
                "digest": _digest(*pieces[-2:]).hex(),
                "required": True,  # a reader that does not know it must refuse the file
            }
        )
        start = _end(start, content.nbytes)
    header = json.dumps({**fields, "sections": sections}, allow_nan=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % ALIGNMENT)
    prefix = (MAGIC + VERSION.to_bytes(8, "little") + len(header).to_bytes(8, "little")).ljust(_PREFIX - _DIGEST, b"\0")
    pieces = [prefix, _digest(prefix, header), header, *pieces]
    if isinstance(target, (str, os.PathLike)):
        _replace_file(Path(target), pieces)
    else:
        for piece in pieces:
            target.write(piece)


def _replace_file(path: Path, pieces: list[Any]) -> None:
    path = path.resolve()  # what a symbolic link points to is replaced, not the link
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # the new name is on disk when its folder is
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _digest(*pieces: Any) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST)
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _end(start: int, n_bytes: int) -> int:
    """Where the section ends that begins there: the next one begins at a multiple of ``ALIGNMENT``."""
    return start + -(-n_bytes // ALIGNMENT) * ALIGNMENT


# ---- reading


def read_container(source: Target, known: Mapping[str, bool], use_mmap: bool) -> Container:
    """Read and check a file. ``known`` says of each section of this version, or prefix of names that ends in ``/``,
    whether its array may stay in the mapped file.

    Raises FileFormatError, and OSError where the file cannot be read.
    """
    if not isinstance(source, (str, os.PathLike)):
        return _parsed(memoryview(source.read()), known, False)
    with open(source, "rb") as file:
        if use_mmap and os.fstat(file.fileno()).st_size >= _MAPPED_FROM:
            return _parsed(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), known, True)
        return _parsed(memoryview(file.read()), known, False)


def _parsed(data: memoryview, known: Mapping[str, bool], is_mapped: bool) -> Container:
    header, start = _header(data)
    start_of_sections = start
    sections = header.pop("sections", None)
    _require(isinstance(sections, list), "the header lists no sections")
    arrays: dict[str, NDArray[Any]] = {}
    for section in sections:
        name, is_required, array, digest = _section(section, data, start, start_of_sections)
        end = _end(start, array.nbytes)
        content, start = data[start:end], end
        _require(name not in arrays, f"two sections are called {name!r}")
        key = name.partition("/")[0] + "/" if "/" in name else name
        if key not in known:
            if is_required:
                raise FileFormatError(_newer(header, f"it needs the section {name[:60]!r}"))
            continue
        _require(_digest(content) == digest, f"the section {name!r} does not have its digest")
        arrays[name] = array if known[key] or not is_mapped else array.copy()
    _require(start == len(data), "it is longer or shorter than its header says")
    for array in arrays.values():
        array.flags.writeable = False
    return Container(header, arrays)


def _header(data: memoryview) -> tuple[dict[str, Any], int]:
    _require(len(data) >= _PREFIX and data[:8] == MAGIC, "it does not begin as a file of fastgrad does")
    version = int.from_bytes(data[8:16], "little")
    n_header = int.from_bytes(data[16:24], "little")
    if version != VERSION:
        _require(version > VERSION, f"there is no version {version} of the format")
        raise FileFormatError(
            f"this file has version {version} of the format, and this fastgrad reads version {VERSION}. "
            "Load it with a newer version of fastgrad."
        )
    _require(n_header <= min(len(data) - _PREFIX, _LARGEST_HEADER), "it ends within its header")
    end = _PREFIX + n_header
    text = bytes(data[_PREFIX:end])
    _require(
        _digest(data[: _PREFIX - _DIGEST], text) == data[_PREFIX - _DIGEST : _PREFIX],
        "its header does not have its digest",
    )
    try:
        header = json.loads(text, object_pairs_hook=_without_repetition, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"this file cannot be loaded: its header is no JSON ({error})") from None
    _require(isinstance(header, dict), "its header is no object")
    return header, end


def _section(section: Any, data: memoryview, start: int, first: int) -> tuple[str, bool, NDArray[Any], bytes]:
    """Name, whether it is required, array and digest of the section that must begin at ``start``."""
    _require(isinstance(section, dict), "a section is no object")
    name, dtype, shape = (section.get(key) for key in ("name", "dtype", "shape"))
    digest, is_required = section.get("digest"), section.get("required")
    _require(isinstance(name, str) and isinstance(is_required, bool), "a section has no name")
    _require(isinstance(dtype, str) and dtype in DTYPES, f"the section {name!r} holds an unknown kind of number")
    fits = isinstance(shape, list) and len(shape) <= 32 and all(type(n) is int and 0 <= n < 2**48 for n in shape)
    _require(fits, f"the section {name!r} has no shape")
    _require(section.get("start") == start - first, f"the section {name!r} does not follow the one before it")
    kind = np.dtype(dtype)
    n_bytes = math.prod(shape) * kind.itemsize
    _require(_end(start, n_bytes) <= len(data), f"the section {name!r} is larger than the file")
    try:
        expected = bytes.fromhex(digest)
        array = np.frombuffer(data[start : start + n_bytes], kind).reshape(shape)
    except (TypeError, ValueError):
        raise FileFormatError(f"this file cannot be loaded: the section {name!r} has no digest or shape") from None
    if kind.kind == "b":
        _require(not np.any(array.view(np.uint8) > 1), f"the section {name!r} holds no truth values")
    return name, is_required, array, expected


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _newer(header: Mapping[str, Any], why: str) -> str:
    version = header.get("fastgrad")
    written = f" {version[:40]}" if isinstance(version, str) else ""
    return f"this file was written by fastgrad{written} and is too new for this one: {why}. Load it with that version."


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise FileFormatError(f"this file cannot be loaded: {problem}. It is damaged, or no file of fastgrad.")
