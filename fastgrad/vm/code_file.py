"""Machine code as files: how code is laid out in one, mapped from it, and kept where only this user can write.

An *image* is a header, the offsets of its functions, and from the next page on the code::

    magic, checksum of all that follows it, form (FLAT or OBJECT), number of functions, size of the code
    one 64-bit offset for each function, in an order that the reader knows; zeros up to a multiple of PAGE; the code

Nothing of Numba or LLVM is imported to use one: the file is mapped as code. Where code could not be linked into a flat
piece (another processor family, or one without fused multiply-add) the image holds the object file, and llvmlite loads
that. ``FASTGRAD_CACHE_DIR`` says where files are kept, ``FASTGRAD_QUIET`` silences the lines on stderr.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import platform
import stat
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import finalize

__all__ = [
    "LoadedCode",
    "add_sources",
    "checksum",
    "directory",
    "image_of",
    "load_from_file",
    "load_from_memory",
    "only_one_process",
    "processor",
    "say",
    "say_once",
    "stated_processor",
    "write",
]

_MAGIC = b"fastgrad code 2\n".ljust(32, b"\0")
_HEADER = struct.Struct("<32s32sQQQ")
_CHECKED_FROM = 64
PAGE = 4096
_FLAT, _OBJECT = 1, 2


@dataclass(frozen=True)
class LoadedCode:
    """Where each function of an image is, in their order, and what keeps the code mapped."""

    addresses: tuple[int, ...]
    owner: Any = field(repr=False)


def say(line: str) -> None:
    """A line about compiling or caching on stderr, unless the user wants none."""
    if not os.environ.get("FASTGRAD_QUIET"):
        with suppress(OSError, ValueError):  # nobody may be there to read it
            print(f"fastgrad: {line}", file=sys.stderr, flush=True)


_said: set[str] = set()


def say_once(topic: str, line: str) -> None:
    """Say this the first time that there is something to say about the topic."""
    if topic not in _said:
        _said.add(topic)
        say(line)


def checksum(data: Any) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


# ---- images


def image_of(object_file: bytes, symbols: Sequence[str]) -> bytes:
    """The image of an object file whose functions are wanted in the order of these symbols."""
    from fastgrad.vm.link import LinkError, link

    try:
        blob = link(object_file)
        return _image(_FLAT, [blob.entries[symbol] for symbol in symbols], blob.code)
    except LinkError as error:
        line = f"llvmlite will load its code, some 0.1 s per process, since it is not self-contained: {error}."
        say_once("llvmlite", line)
        return _image(_OBJECT, [0] * len(symbols), object_file)


def _image(form: int, offsets: list[int], code: bytes) -> bytes:
    table = struct.pack(f"<{len(offsets)}Q", *offsets)
    numbers = struct.pack("<QQQ", form, len(offsets), len(code))
    checked = (numbers + table).ljust(_code_offset(len(offsets)) - _CHECKED_FROM, b"\0") + code
    return _MAGIC + checksum(checked) + checked


def _code_offset(n_functions: int) -> int:
    return -(-(_HEADER.size + 8 * n_functions) // PAGE) * PAGE


def _parse(image: memoryview, n_functions: int) -> tuple[int, list[int], memoryview] | None:
    """Form, offsets and code of an image; None if it is damaged in any way."""
    code_offset = _code_offset(n_functions)
    if len(image) < code_offset:
        return None
    magic, expected, form, n_found, size = _HEADER.unpack_from(image)
    if magic != _MAGIC or n_found != n_functions or size != len(image) - code_offset:
        return None
    if checksum(image[_CHECKED_FROM:]) != expected:
        return None
    offsets = list(struct.unpack_from(f"<{n_found}Q", image, _HEADER.size))
    if form not in (_FLAT, _OBJECT) or any(offset >= size for offset in offsets):
        return None
    return form, offsets, image[code_offset:]


# ---- loading


def load_from_file(path: str, symbols: Sequence[str]) -> LoadedCode | None:
    """The code in a file, mapped; None if there is none or it is not what was written."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not _is_private(status) or status.st_size < PAGE:
            return None
        try:
            return _map(descriptor, status.st_size, symbols)
        except PermissionError:
            # a file system whose files cannot be run (noexec): memory can hold the code
            with open(descriptor, "rb", closefd=False) as file:
                return _load(file.read(), symbols)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def load_from_memory(image: bytes, symbols: Sequence[str]) -> LoadedCode:
    """The code in an image that no file holds."""
    found = _load(image, symbols)
    if found is None:
        raise RuntimeError("fastgrad: this system does not let a process load the code it has compiled.")
    return found


def _load(image: bytes, symbols: Sequence[str]) -> LoadedCode | None:
    if not hasattr(os, "memfd_create"):
        return _from_image(memoryview(image), None, symbols)
    descriptor = os.memfd_create("fastgrad")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(image)
        return _map(descriptor, len(image), symbols)
    finally:
        os.close(descriptor)


def _map(descriptor: int, size: int, symbols: Sequence[str]) -> LoadedCode | None:
    if sys.platform == "win32":
        return _from_image(memoryview(os.read(descriptor, size)), None, symbols)
    mapping = _Mapping(descriptor, size)
    return _from_image(mapping.content, mapping, symbols)


class _Mapping:
    """A file's content as memory that can be run.

    Python's own mmap keeps a file descriptor for as long as it lives: a process that may have 1,024 of them could not
    have as many derivatives.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        library.mmap.restype = ctypes.c_void_p
        library.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
        library.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        address = library.mmap(None, size, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, descriptor, 0)
        if address == ctypes.c_void_p(-1).value:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self.address: int = address
        self.content = memoryview((ctypes.c_ubyte * size).from_address(address))
        # at the end of the process another thread may still be in the code
        finalize(self, library.munmap, address, size).atexit = False


def _from_image(image: memoryview, mapping: _Mapping | None, symbols: Sequence[str]) -> LoadedCode | None:
    parsed = _parse(image, len(symbols))
    if parsed is None:
        return None
    form, offsets, code = parsed
    if form == _OBJECT:
        return _load_object(bytes(code), symbols)
    if mapping is None:
        return None
    start = mapping.address + _code_offset(len(offsets))
    return LoadedCode(tuple(start + offset for offset in offsets), mapping)


def _load_object(object_file: bytes, symbols: Sequence[str]) -> LoadedCode:
    from llvmlite import binding

    from fastgrad.vm.target import target_machine

    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target_machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(object_file))
    engine.finalize_object()
    return LoadedCode(tuple(engine.get_function_address(symbol) for symbol in symbols), engine)


# ---- the directory


def directory() -> str | None:
    """Where code may be kept; None (and said) if there is no safe place."""
    try:
        path = os.environ.get("FASTGRAD_CACHE_DIR")
        if not path:
            from platformdirs import user_cache_dir

            path = user_cache_dir("fastgrad")
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode) or not _is_private(status):
            say_once(path, f"{path} belongs to others or can be written by them: its code is not kept there.")
            return None
        return path
    except (OSError, RuntimeError) as error:
        say_once("directory", f"no directory to keep its code in ({error}): it is compiled again in every process.")
        return None


def _is_private(status: os.stat_result) -> bool:
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def write(path: str, content: bytes) -> bool:
    """Put a file in place all at once; False (and said) where that cannot be done."""
    import tempfile

    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix="code-", suffix=".tmp", dir=os.path.dirname(path))
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
        return True
    except OSError as error:
        folder, reason = os.path.dirname(path), error.strerror or type(error).__name__
        say_once(folder, f"its code cannot be kept in {folder} ({reason}): it is compiled again in every process.")
        with suppress(OSError):
            os.unlink(temporary)
        return False


@contextmanager
def only_one_process(path: str) -> Iterator[None]:
    """Let one process compile while others wait for its file; where locks do not work, each compiles."""
    try:
        import fcntl

        descriptor = os.open(os.path.join(os.path.dirname(path), "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (ImportError, OSError):
        yield
        return
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def stated_processor() -> str:
    """The processor that ``FASTGRAD_CPU`` says code is to be made for; "" where it is the one that this runs on."""
    return os.environ.get("FASTGRAD_CPU", "")


def add_sources(digest: Any, names: Iterable[str]) -> None:
    """Add modules of the package, by their paths in it without the ending, to a digest."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for name in names:
        with open(f"{package}/{name}.py", "rb", buffering=0) as file:
            content = file.read()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)


def processor() -> bytes:
    """What tells processors apart that need different code: Linux names model and features in /proc/cpuinfo."""
    known = [platform.system(), platform.machine(), stated_processor()]
    try:
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            first = file.read(4096).split(b"\n\n")[0].decode("latin-1")
        wanted = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU ")
        known += [line for line in first.splitlines() if line.startswith(wanted)]
    except OSError:
        known += [platform.processor(), _darwin_brand()]
    return "\n".join(known).encode()


def _darwin_brand() -> str:
    if sys.platform != "darwin":
        return ""
    buffer, size = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
    ctypes.CDLL(None).sysctlbyname(b"machdep.cpu.brand_string", buffer, ctypes.byref(size), None, 0)
    return buffer.value.decode("latin-1")
