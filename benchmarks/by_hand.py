"""C written by hand (``by_hand.c``), compiled for this processor, as calls without arguments."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_name("by_hand.c")


def compiled(source: Path, directory: Path, *options: str) -> Path | None:
    """A shared library from a file of C; None without a compiler."""
    if not shutil.which("gcc"):
        return None
    library = directory / f"{source.stem}.so"
    subprocess.run(["gcc", *options, "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    return library


class ByHand:
    """The functions of ``by_hand.c``: each is given its arrays once, as the other callables without arguments are."""

    def __init__(self, directory: Path) -> None:
        path = compiled(SOURCE, directory, "-O3", "-march=native", "-mprefer-vector-width=512")
        # the interpreter's lock is kept, which is quicker
        self._library = ctypes.PyDLL(str(path)) if path else None

    def bound(self, name: str, *arguments: np.ndarray | int) -> Callable[[], None] | None:
        """A function of the file with its arguments set; they must stay alive. None without a compiler."""
        if self._library is None:
            return None
        addresses = [a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else a for a in arguments]
        types = [ctypes.c_void_p if isinstance(a, np.ndarray) else ctypes.c_size_t for a in arguments]
        if arguments:
            bind = getattr(self._library, f"{name}_bind")
            bind.argtypes, bind.restype = types, None
            bind(*addresses)
        function = getattr(self._library, name)
        function.argtypes, function.restype = (), None
        return function

    @property
    def peak_operations(self) -> float:
        """How many operations one call of ``peak`` does."""
        return ctypes.c_double.in_dll(self._library, "peak_operations").value
