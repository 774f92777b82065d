"""``python -m fastgrad cache``: what fastgrad keeps on disk, and ``python -m fastgrad cache clear`` to remove it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from fastgrad.native.store import clear, kept_files, limit_in_bytes

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fastgrad", description="Automatic differentiation for NumPy code.")
    commands = parser.add_subparsers(dest="command", required=True)
    cache = commands.add_parser(
        "cache",
        help="the machine code that is kept on disk",
        description="The machine code that fastgrad keeps on disk, in the user's cache or where FASTGRAD_CACHE_DIR "
        "says: its kernels, and code of single derivatives. Up to FASTGRAD_CACHE_MB megabytes are kept.",
    )
    cache.add_argument(
        "action", nargs="?", choices=("show", "clear"), default="show", help="list the files (default), or remove them"
    )
    return _clear() if parser.parse_args(arguments).action == "clear" else _show()


def _show() -> int:
    folder, files = kept_files()
    if folder is None:
        print("nothing is kept: no directory is safe to keep code in")
        return 1
    print(f"directory  {folder}")
    if files:
        print(f"{'kind':10} {'size':>10}   {'last used':12}   file")
    now = time.time()
    for file in files:
        kind = "kernels" if file.is_kernels else "derivative"
        print(f"{kind:10} {_size(file.size):>10}   {_age(now - file.used):12}   {file.name}")
    total = sum(file.size for file in files)
    print(f"total      {_size(total)} in {_count(len(files))}; limit {_size(limit_in_bytes())}")
    return 0


def _clear() -> int:
    folder, files = kept_files()
    if folder is None:
        print("nothing is kept: no directory is safe to keep code in")
        return 1
    print(f"removed {_count(clear())} from {folder}")
    left = len({file.path for file in files} & {file.path for file in kept_files()[1]})
    if left:
        print(f"{_count(left)} could not be removed")
    return 1 if left else 0


def _count(n: int) -> str:
    return f"{n} file" if n == 1 else f"{n} files"


def _size(n_bytes: int) -> str:
    if n_bytes < 1 << 20:
        return f"{n_bytes / (1 << 10):.1f} KiB"
    return f"{n_bytes / (1 << 20):.1f} MiB"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "now"


if __name__ == "__main__":
    raise SystemExit(main())
