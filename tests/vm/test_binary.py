"""The cache of the compiled kernels, seen from processes of their own."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fastgrad.vm import binary, code_file
from fastgrad.vm.code_file import load_from_file, write
from fastgrad.vm.instructions import ENTRIES

ROOT = Path(__file__).parents[2]

# Prints what was imported, after adding 1.5 and 2.25 through the kernels.
USE = """
import sys
import numpy as np
from fastgrad.vm import binary, instructions as isa
words = np.array([isa.OPCODE_NAMES.index("add"), 2, 0, 1, isa.END], np.uint32)
memory = np.array([1.5, 2.25, 0.0])
assert binary.kernels().forward(words.ctypes.data, memory.ctypes.data) == -1
assert memory[2] == 3.75
print("numba" in sys.modules, "llvmlite" in sys.modules, type(binary.kernels().owner).__name__)
"""
COMPILED, LOADED, LOADED_BY_LLVM = "True True _Mapping", "False False _Mapping", "False True ExecutionEngine"
SAID = "fastgrad: compiling its kernels for this machine, once"

flat_only = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="flat code is made for x86-64 Linux only"
)
as_user = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")


def start(cache: object, code: str = USE, **environment: str) -> subprocess.Popen[str]:
    variables = {**os.environ, "FASTGRAD_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT), **environment}
    variables.pop("FASTGRAD_QUIET", None) if "FASTGRAD_QUIET" not in environment else None
    return subprocess.Popen(
        [sys.executable, "-c", code], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output.strip(), errors


def use(cache: object, code: str = USE, **environment: str) -> tuple[str, str]:
    return finish(start(cache, code, **environment))


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.suffix == ".bin")


@pytest.fixture(scope="module", name="image")
def _image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sound cache file, made by two processes that start together."""
    cache = tmp_path_factory.mktemp("cache") / "new"
    both = [finish(process) for process in [start(cache), start(cache)]]
    assert sum(SAID in errors for _, errors in both) == 1, "one compiles, the other waits for it"
    assert sorted(output for output, _ in both) == [LOADED, COMPILED]
    assert len(files(cache)) == 1
    assert cache.stat().st_mode & 0o777 == 0o700
    return (cache / files(cache)[0]).read_bytes()


def filled(directory: Path, content: bytes) -> Path:
    """A private cache that holds this content under the name that is looked for."""
    directory.mkdir(mode=0o700)
    path = directory / f"kernels-{binary.key_of_sources()}.bin"
    path.write_bytes(content)
    path.chmod(0o600)
    return directory


@flat_only
def test_a_later_process_loads_the_kernels_without_numba_and_says_nothing(image: bytes, tmp_path: Path) -> None:
    assert use(filled(tmp_path / "cache", image)) == (LOADED, "")


@flat_only
@pytest.mark.parametrize("damage", ["empty", "cut", "one byte of the code", "the magic", "an entry", "longer"])
def test_a_damaged_file_is_rebuilt(image: bytes, tmp_path: Path, damage: str) -> None:
    content = bytearray(image)
    if damage == "empty":
        content.clear()
    elif damage == "cut":
        del content[-5:]
    elif damage == "longer":
        content += b"\0" * 8
    else:
        content[{"one byte of the code": 5000, "the magic": 3, "an entry": 90}[damage]] ^= 0x40
    path = str(filled(tmp_path / "cache", bytes(content)) / f"kernels-{binary.key_of_sources()}.bin")
    assert load_from_file(path, binary.SYMBOLS) is None


@flat_only
def test_a_process_that_finds_a_damaged_file_replaces_it(image: bytes, tmp_path: Path) -> None:
    cache = filled(tmp_path / "cache", image[:5000])
    output, errors = use(cache)
    assert (output, SAID in errors) == (COMPILED, True)
    assert use(cache) == (LOADED, "")
    assert files(cache) == [f"kernels-{binary.key_of_sources()}.bin"]
    assert not list(cache.glob("*.tmp"))


@flat_only
def test_a_file_that_others_may_write_is_not_loaded(image: bytes, tmp_path: Path) -> None:
    path = filled(tmp_path / "cache", image) / f"kernels-{binary.key_of_sources()}.bin"
    assert load_from_file(str(path), binary.SYMBOLS) is not None
    path.chmod(0o666)
    assert load_from_file(str(path), binary.SYMBOLS) is None
    path.chmod(0o600)
    link = path.with_name("link.bin")
    link.symlink_to(path)
    assert load_from_file(str(link), binary.SYMBOLS) is None


@flat_only
def test_a_directory_that_others_may_write_is_refused_and_said(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    output, errors = use(cache)
    assert output == COMPILED
    assert f"fastgrad: {cache} belongs to others or can be written by them: its code is not kept there." in errors
    assert files(cache) == []
    assert use(cache, FASTGRAD_QUIET="1") == (COMPILED, "")


@flat_only
def test_without_a_place_to_keep_them_the_kernels_still_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    output, errors = use(tmp_path / "file" / "cache")
    assert output == COMPILED
    assert re.search(r"fastgrad: no directory to keep its code in \(.*\): it is compiled again in every", errors)


@flat_only
@as_user
def test_a_directory_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o500)
    output, errors = use(cache)
    assert output == COMPILED
    assert errors.count("cannot be kept") == 1


@flat_only
def test_a_full_disk_is_said_once_and_leaves_nothing_behind(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert not write(str(tmp_path / "missing" / "kernels.bin"), b"content")
    assert capfd.readouterr().err.count("fastgrad: its code cannot be kept in") == 1
    (tmp_path / "kernels.bin").mkdir()
    (tmp_path / "kernels.bin" / "something").write_text("")
    assert not write(str(tmp_path / "kernels.bin"), b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["kernels.bin"]


@flat_only
def test_kernels_that_cannot_be_linked_are_loaded_by_llvmlite(tmp_path: Path) -> None:
    refuse = """
import fastgrad.vm.link
def refuse(object_file):
    raise fastgrad.vm.link.LinkError("the code refers to 'fma', which is not part of it")
fastgrad.vm.link.link = refuse
"""
    cache = tmp_path / "cache"
    output, errors = use(cache, refuse + USE)
    assert output.split()[-1] == "ExecutionEngine"
    assert "since it is not self-contained: the code refers to 'fma'" in errors
    assert use(cache) == (LOADED_BY_LLVM, "")


def test_there_is_one_set_of_kernels_per_process() -> None:
    found: list[binary.Kernels] = []
    threads = [threading.Thread(target=lambda: found.append(binary.kernels())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(kernels) for kernels in found}) == 1
    assert set(found[0].address) == set(ENTRIES)


def imported_by(module: str) -> set[str]:
    """The modules of the package that this one names in its imports, as paths like ``vm/kernels``."""
    tree = ast.parse((ROOT / "fastgrad" / f"{module}.py").read_text())
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "fastgrad":
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    paths = {name.removeprefix("fastgrad.").replace(".", "/") for name in names}
    return {path for path in paths if (ROOT / "fastgrad" / f"{path}.py").is_file()}


def test_the_key_covers_every_module_that_the_kernels_are_made_from() -> None:
    reached: set[str] = set()
    waiting = {"vm/binary", "vm/compiler"}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        waiting |= imported_by(module) - reached
    assert reached == set(binary.SOURCES)


def test_the_key_depends_on_processor_and_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    computed = binary.key_of_sources.__wrapped__
    key = computed()
    assert key == binary.key_of_sources() == computed()
    with monkeypatch.context() as patched:
        patched.setattr(binary, "processor", lambda: b"another")
        assert computed() != key
    with monkeypatch.context() as patched:
        for source in binary.SOURCES:
            copy = tmp_path / f"{source}.py"
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes((ROOT / "fastgrad" / f"{source}.py").read_bytes())
        patched.setattr(code_file, "__file__", str(tmp_path / "vm" / "code_file.py"))
        assert computed() == key
        with open(tmp_path / "elementary" / "exponential.py", "a") as file:
            file.write("\n")
        assert computed() != key
