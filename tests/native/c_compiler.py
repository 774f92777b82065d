"""C sources compiled into a library by the C compiler of this computer, and their functions called with arrays."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fastgrad.native.c_source import CSource

COMPILER = shutil.which("gcc") or shutil.which("cc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this computer")
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror")


class Library:
    """Functions by name, from one C file that holds all the sources."""

    def __init__(self, sources: Sequence[CSource], folder: Path, *flags: str) -> None:
        path = folder / "library.c"
        path.write_text("\n".join(code.source for code in sources))
        run([*STRICT, *flags, "-shared", "-fPIC", path, "-o", path.with_suffix(".so"), "-lm"])
        self._library = ctypes.CDLL(str(path.with_suffix(".so")))

    def function(self, name: str) -> Function:
        return Function(self._library, name)


class Function:
    """One function with a workspace full of NaN."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self._call = library[name]
        self._call.restype = ctypes.c_int64
        size = library[f"{name}_workspace_size"]
        size.restype = ctypes.c_int64
        self._workspace = np.full(size(), np.nan)

    def __call__(self, *arrays: np.ndarray) -> int:
        """What the C function returns for inputs, seeds and results, in this order."""
        return int(self._call(*[ctypes.c_void_p(array.ctypes.data) for array in (*arrays, self._workspace)]))


def run(arguments: Sequence[str | Path]) -> None:
    """Run the compiler; its messages are part of the error if it refuses."""
    assert COMPILER is not None
    done = subprocess.run([COMPILER, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
