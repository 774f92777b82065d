"""Native code, kept on disk for other processes: a file for each set of sources, named by a hash of them.

The name covers the processor, the versions of the package's own sources and of llvmlite, and everything in the sources
of the code. A file is written under another name and then renamed, so that it is whole whenever it is seen; a damaged
one is not loaded but written anew. ``FASTGRAD_CACHE_MB`` bounds the size of all files together (default 256); those
unused for longest go first.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata

from fastgrad.native.source import Source, digest_of, symbols_of
from fastgrad.vm.binary import key_of_sources, name_of_kernels
from fastgrad.vm.code_file import (
    LoadedCode,
    add_sources,
    directory,
    image_of,
    load_from_file,
    load_from_memory,
    say_once,
    write,
)

__all__ = ["CodeFile", "clear", "find", "kept_files", "limit_in_bytes", "make"]

DEFAULT_MB = 256
# seconds after which a file that was being written belongs to a process that was killed
_ABANDONED = 3600.0
_PREFIX, _SUFFIX, _UNFINISHED = "native-", ".bin", ".tmp"


def find(sources: Sequence[Source]) -> LoadedCode | None:
    """The code for these sources if it is kept; its file counts as used now."""
    path = _path(sources)
    found = load_from_file(path, symbols_of(sources)) if path else None
    if path and found:
        with suppress(OSError):
            os.utime(path)
    return found


def make(sources: Sequence[Source], pause: Callable[[], None] = lambda: None) -> LoadedCode:
    """Compile code for these sources, and keep it where that is possible."""
    from fastgrad.native.compiler import compile_sources

    symbols = symbols_of(sources)
    image = image_of(compile_sources(sources, pause), symbols)
    path = _path(sources)
    if path and write(path, image):
        _evict(path)
        found = load_from_file(path, symbols)
        if found:
            return found
    return load_from_memory(image, symbols)


def _path(sources: Sequence[Source]) -> str | None:
    folder = _directory()
    return folder and os.path.join(folder, f"{_PREFIX}{digest_of(sources, key_of_sources(), _own_key())}{_SUFFIX}")


@lru_cache(maxsize=1)
def _directory_for(setting: str | None) -> str | None:
    return directory()


def _directory() -> str | None:
    """The directory, looked for (and complained of) once."""
    return _directory_for(os.environ.get("FASTGRAD_CACHE_DIR"))


@lru_cache(maxsize=1)
def _own_key() -> str:
    """A hash of the version of llvmlite and of the modules that decide what native code is."""
    digest = hashlib.blake2b(_version_of_llvmlite().encode(), digest_size=16)
    modules = ("compiler", "library", "routine", "source", "straight_line")
    add_sources(digest, (f"native/{module}" for module in modules))
    return digest.hexdigest()


def _version_of_llvmlite() -> str:
    try:
        return metadata.version("llvmlite")
    except metadata.PackageNotFoundError:  # as in programs frozen into one file
        import llvmlite

        return str(llvmlite.__version__)


# ---- the files


@dataclass(frozen=True)
class CodeFile:
    """A file of the cache: where, how many bytes, and when it was used last (seconds since 1970)."""

    path: str
    size: int
    used: float

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def is_kernels(self) -> bool:
        return self.name.startswith("kernels-")

    @property
    def is_abandoned(self) -> bool:
        """Whether it was being written by a process that was killed."""
        return self.path.endswith(_UNFINISHED) and time.time() - self.used > _ABANDONED


def kept_files() -> tuple[str | None, list[CodeFile]]:
    """The cache's directory and its files of code, those used last first."""
    folder = _directory()
    found = [file for file in _files(folder) if file.path.endswith(_SUFFIX)] if folder else []
    return folder, sorted(found, key=lambda file: -file.used)


def clear() -> int:
    """Remove every file of code, and what killed processes left; how many files of code there were."""
    folder = _directory()
    files = list(_files(folder)) if folder else []
    removed = [file for file in files if file.path.endswith(_SUFFIX) and _remove(file)]
    for file in files:
        if file.is_abandoned:
            _remove(file)
    return len(removed)


def _files(folder: str) -> Iterator[CodeFile]:
    with suppress(OSError):  # another process may have removed it
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_ours(entry.name):
                    with suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        yield CodeFile(entry.path, status.st_size, status.st_mtime)


def _is_ours(name: str) -> bool:
    """The user may have named a directory that holds other things too."""
    return (name.startswith(("kernels-", _PREFIX)) and name.endswith(_SUFFIX)) or (
        name.startswith("code-") and name.endswith(_UNFINISHED)
    )


def _remove(file: CodeFile) -> bool:
    with suppress(OSError):
        os.unlink(file.path)
        return True
    return False


def _evict(newest: str) -> None:
    """Remove what was unused for longest until the rest is within bounds, and what killed processes left."""
    limit = limit_in_bytes()
    files = sorted(_files(os.path.dirname(newest)), key=lambda file: file.used)
    total = sum(file.size for file in files)
    needed = (os.path.basename(newest), name_of_kernels())
    for file in files:
        spare = file.path.endswith(_SUFFIX) and file.name not in needed
        if (file.is_abandoned or (total > limit and spare)) and _remove(file):
            total -= file.size


def limit_in_bytes() -> int:
    """What ``FASTGRAD_CACHE_MB`` allows."""
    stated = os.environ.get("FASTGRAD_CACHE_MB", "").strip()
    if stated and not stated.isdecimal():
        line = f"FASTGRAD_CACHE_MB must be a whole number of megabytes; it is {stated!r}. {DEFAULT_MB} is used."
        say_once("FASTGRAD_CACHE_MB", line)
    return (int(stated) if stated.isdecimal() else DEFAULT_MB) << 20
