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
from importlib import metadata, resources

from fastgrad.native.source import Source, digest_of, symbols_of
from fastgrad.vm.binary import key_of_sources
from fastgrad.vm.code_file import LoadedCode, directory, image_of, load_from_file, load_from_memory, say, write

__all__ = ["CodeFile", "clear", "find", "kept_files", "make"]

DEFAULT_MB = 256
# seconds after which a file that was being written belongs to a process that was killed
_ABANDONED = 3600.0
_PREFIX, _SUFFIX = "native-", ".bin"


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
    digest = hashlib.blake2b(metadata.version("llvmlite").encode(), digest_size=16)
    for module in ("compiler", "library", "routine", "source", "straight_line"):
        digest.update(resources.files("fastgrad.native").joinpath(f"{module}.py").read_bytes())
    return digest.hexdigest()


# ---- the files


@dataclass(frozen=True)
class CodeFile:
    """A file of the cache: where, how many bytes, and when it was used last (seconds since 1970)."""

    path: str
    size: int
    used: float

    @property
    def is_kernels(self) -> bool:
        return os.path.basename(self.path).startswith("kernels-")


def kept_files() -> tuple[str | None, list[CodeFile]]:
    """The cache's directory and its files of code, those used last first."""
    folder = _directory()
    found = [file for file in _files(folder) if file.path.endswith(_SUFFIX)] if folder else []
    return folder, sorted(found, key=lambda file: -file.used)


def clear() -> int:
    """Remove every file of code; how many there were."""
    _, files = kept_files()
    for file in files:
        _remove(file)
    return len(files)


def _files(folder: str) -> Iterator[CodeFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((_SUFFIX, ".tmp")):
                with suppress(OSError):  # another process may have removed it
                    status = entry.stat(follow_symlinks=False)
                    yield CodeFile(entry.path, status.st_size, status.st_mtime)


def _remove(file: CodeFile) -> None:
    with suppress(OSError):
        os.unlink(file.path)


def _evict(newest: str) -> None:
    """Remove what was unused for longest until the rest is within bounds, and what killed processes left."""
    limit = _limit()
    files = sorted(_files(os.path.dirname(newest)), key=lambda file: file.used)
    total = sum(file.size for file in files)
    for file in files:
        abandoned = file.path.endswith(".tmp") and time.time() - file.used > _ABANDONED
        spare = file.path.endswith(_SUFFIX) and not file.is_kernels and file.path != newest
        if abandoned or (total > limit and spare):
            _remove(file)
            total -= file.size


def _limit() -> int:
    stated = os.environ.get("FASTGRAD_CACHE_MB", "").strip()
    if stated and not stated.isdigit():
        say(f"FASTGRAD_CACHE_MB must be a whole number of megabytes; it is {stated!r}. {DEFAULT_MB} is used.")
    return (int(stated) if stated.isdigit() else DEFAULT_MB) << 20
