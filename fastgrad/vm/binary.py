"""The compiled kernels: from memory, else from the disk cache, else compiled, once per machine.

The cache holds one file per processor and version of the sources. Nothing of Numba or LLVM is imported to use it: the
file is mapped as code and called through ctypes. Where the kernels could not be linked into flat code (another
processor family, or one without fused multiply-add) the file holds the object file, and llvmlite loads that.

``FASTGRAD_CACHE_DIR`` says where the cache is, ``FASTGRAD_QUIET`` silences the lines on stderr.
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
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from fastgrad.vm.instructions import ENTRIES

__all__ = ["Kernels", "kernels"]

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
    path = _cache_file()
    if path is None:
        return _load_from_memory(_compile())
    found = _load_from_file(path)
    if found is None:
        with _other_processes_waiting(path):
            found = _load_from_file(path)  # another process may have built it meanwhile
            if found is None:
                image = _compile()
                found = (_load_from_file(path) if _write(path, image) else None) or _load_from_memory(image)
    return found


def _say(line: str) -> None:
    if not os.environ.get("FASTGRAD_QUIET"):
        print(f"fastgrad: {line}", file=sys.stderr, flush=True)


# ---- the image: a header, the entries' offsets, and from the second page on the code
#
# magic, checksum of all that follows it, form (FLAT or OBJECT), number of entries, size of the code;
# one 64-bit offset per entry in the order of ENTRIES; zeros up to CODE_OFFSET; the code.

_MAGIC = b"fastgrad kernels 1\n".ljust(32, b"\0")
_HEADER = struct.Struct("<32s32sQQQ")
_CHECKED_FROM = 64
_CODE_OFFSET = 4096
_FLAT, _OBJECT = 1, 2


def _image(form: int, entries: list[int], code: bytes) -> bytes:
    table = struct.pack(f"<{len(entries)}Q", *entries)
    numbers = struct.pack("<QQQ", form, len(entries), len(code))
    checked = (numbers + table).ljust(_CODE_OFFSET - _CHECKED_FROM, b"\0") + code
    return _MAGIC + _checksum(checked) + checked


def _checksum(data: Any) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


def _parse(image: memoryview) -> tuple[int, list[int], memoryview] | None:
    """Form, entries and code of an image; None if it is damaged in any way."""
    if len(image) < _CODE_OFFSET:
        return None
    magic, checksum, form, n_entries, size = _HEADER.unpack_from(image)
    if magic != _MAGIC or n_entries != len(ENTRIES) or size != len(image) - _CODE_OFFSET:
        return None
    if _checksum(image[_CHECKED_FROM:]) != checksum:
        return None
    offsets = list(struct.unpack_from(f"<{n_entries}Q", image, _HEADER.size))
    if form not in (_FLAT, _OBJECT) or any(offset >= size for offset in offsets):
        return None
    return form, offsets, image[_CODE_OFFSET:]


# ---- making and loading images


def _compile() -> bytes:
    _say(f"compiling its kernels for this machine, once (about {COMPILE_SECONDS} s)...")
    from fastgrad.vm.compiler import compile_kernels
    from fastgrad.vm.link import LinkError, link
    from fastgrad.vm.operations import symbol

    object_file = compile_kernels()
    try:
        blob = link(object_file)
        return _image(_FLAT, [blob.entries[symbol(name)] for name in ENTRIES], blob.code)
    except LinkError as error:
        _say(f"llvmlite will load its kernels, some 0.1 s per process, since they are not self-contained: {error}.")
        return _image(_OBJECT, [0] * len(ENTRIES), object_file)


def _load_from_file(path: str) -> Kernels | None:
    """The kernels in a cache file, mapped; None if there is none or it is not what was written."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not _is_private(status) or status.st_size < _CODE_OFFSET:
            return None
        return _map(descriptor, status.st_size)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _load_from_memory(image: bytes) -> Kernels:
    """The kernels in an image that no file holds."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("fastgrad")
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(image)
            found = _map(descriptor, len(image))
        finally:
            os.close(descriptor)
    else:
        found = _from_image(memoryview(image), image)
    if found is None:
        raise RuntimeError("fastgrad: this system does not let a process load the kernels it has compiled.")
    return found


def _map(descriptor: int, size: int) -> Kernels | None:
    if sys.platform == "win32":
        content = os.read(descriptor, size)
        return _from_image(memoryview(content), content)
    mapped = mmap.mmap(descriptor, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
    return _from_image(memoryview(mapped), mapped)


def _from_image(image: memoryview, owner: Any) -> Kernels | None:
    parsed = _parse(image)
    if parsed is None:
        return None
    form, offsets, code = parsed
    if form == _OBJECT:
        return _load_object(bytes(code))
    if not isinstance(owner, mmap.mmap):
        return None
    start = np.frombuffer(code, np.uint8).__array_interface__["data"][0]
    return _bind({name: start + offset for name, offset in zip(ENTRIES, offsets, strict=True)}, (owner, image))


def _load_object(object_file: bytes) -> Kernels:
    from llvmlite import binding

    from fastgrad.vm.operations import symbol
    from fastgrad.vm.target import target_machine

    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target_machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(object_file))
    engine.finalize_object()
    return _bind({name: engine.get_function_address(symbol(name)) for name in ENTRIES}, engine)


_C_TYPES: dict[str, Any] = {"": None, "i": ctypes.c_int64, "p": ctypes.c_void_p}


def _bind(address: dict[str, int], owner: Any) -> Kernels:
    functions = {}
    for name, (result, arguments) in ENTRIES.items():
        prototype = ctypes.CFUNCTYPE(_C_TYPES[result], *[_C_TYPES[argument] for argument in arguments])
        functions[name] = prototype(address[name])
    return Kernels(**functions, address=address, owner=owner)


# ---- the disk cache


def _cache_file() -> str | None:
    """Where the kernels of this processor and these sources belong; None (and said) if there is no safe place."""
    try:
        directory = os.environ.get("FASTGRAD_CACHE_DIR")
        if not directory:
            from platformdirs import user_cache_dir

            directory = user_cache_dir("fastgrad")
        os.makedirs(directory, mode=0o700, exist_ok=True)
        status = os.stat(directory)
        if not stat.S_ISDIR(status.st_mode) or not _is_private(status):
            _say(f"{directory} belongs to others or can be written by them: its kernels are not kept there.")
            return None
        return os.path.join(directory, f"kernels-{_key()}.bin")
    except (OSError, RuntimeError) as error:
        _say(f"no directory to keep its kernels in ({error}): they are compiled again in every process.")
        return None


def _is_private(status: os.stat_result) -> bool:
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _write(path: str, image: bytes) -> bool:
    """Put the image in place all at once; False (and said) where that cannot be done."""
    import tempfile

    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix="kernels-", suffix=".tmp", dir=os.path.dirname(path))
        with os.fdopen(descriptor, "wb") as file:
            file.write(image)
        os.replace(temporary, path)
        return True
    except OSError as error:
        _say(f"its kernels cannot be kept in {path} ({error}): they are compiled again in every process.")
        with suppress(OSError):
            os.unlink(temporary)
        return False


@contextmanager
def _other_processes_waiting(path: str) -> Iterator[None]:
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


# Every module that decides what the kernels' code is; a test compares with what the compiler imports.
SOURCES = (
    *("basis", "emit", "ops"),
    *("elementary/" + name for name in ("bessel", "exponential", "exponents", "gamma", "hyperbolic", "rounding")),
    *("elementary/special", "elementary/trigonometric"),
    *(
        "elementary/_" + name + "_coefficients"
        for name in ("bessel", "exponential", "gamma", "special", "trigonometric")
    ),
    *("vm/" + name for name in ("binary", "compiler", "instructions", "kernels", "link", "numba_kernel", "operations")),
    *("vm/array_kernels", "vm/call_kernels", "vm/planning_kernels", "vm/target"),
)


def _key() -> str:
    """A hash of the processor and of every source that the kernels are made from."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(_processor())
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for source in SOURCES:
        with open(f"{package}/{source}.py", "rb", buffering=0) as file:
            content = file.read()
        digest.update(f"{source} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _processor() -> bytes:
    """What tells processors apart that need different code: Linux names model and features in /proc/cpuinfo."""
    known = [platform.system(), platform.machine()]
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


assert {entry.name for entry in fields(Kernels)} - {"address", "owner"} == set(ENTRIES)
