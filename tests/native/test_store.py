"""The cache of native code on disk, seen from processes of their own."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgrad
from fastgrad.__main__ import main
from fastgrad.native import store
from fastgrad.plan.request import Kind, Request, result_shapes
from fastgrad.plan.scalar_program import scalar_program
from fastgrad.vm import code_file
from fastgrad.vm.binary import name_of_kernels
from fastgrad.vm.scalar_executor import ScalarExecutor

ROOT = Path(__file__).parents[2]
KERNELS = name_of_kernels()

# Prints what was imported and why each derivative is native, after checking them against closed forms.
USE = """
import sys
import numpy as np
import fastgrad as fg
x = np.array([0.5, 2.0])
for k in map(int, sys.argv[1:]):
    derivative = fg.grad(lambda x: np.sum(x**3) * (k + 0.5) + x[0], tier="native")
    assert np.allclose(derivative(x), 3 * x**2 * (k + 0.5) + [1, 0], rtol=1e-15)
    found = derivative.explain(x)
    print(found.tier, found.tier_reason)
print("llvmlite" in sys.modules, "numba" in sys.modules)
"""
COMPILED, LOADED = "native tier is 'native'", "native its code was in the cache"


def start(cache: Path, *arguments: object, code: str = USE, **environment: str) -> subprocess.Popen[str]:
    variables = {**os.environ, "FASTGRAD_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT), **environment}
    if "FASTGRAD_QUIET" not in environment:
        variables.pop("FASTGRAD_QUIET", None)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[list[str], str]:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output.splitlines(), errors


def use(cache: Path, *arguments: object, **environment: str) -> tuple[list[str], str]:
    return finish(start(cache, *arguments, **environment))


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the kernels, which take seconds to compile."""
    folder = tmp_path_factory.mktemp("kernels")
    use(folder)
    fastgrad.grad(np.sin)(1.0)
    finish(start(folder, code="import numpy, fastgrad; fastgrad.grad(numpy.sin)(1.0)"))
    return folder / KERNELS


@pytest.fixture
def cache(kernels: Path, tmp_path: Path) -> Path:
    """A directory with nothing but kernels."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    shutil.copy2(kernels, folder)
    return folder


def native_files(cache: Path) -> list[Path]:
    return sorted(cache.glob("native-*.bin"))


def sources_of(k: float = 0.5) -> list[Any]:
    tape = fastgrad.record(lambda x: np.sum(x**3) * k, np.array([0.5, 2.0]))
    request = Request(Kind.GRADIENT, (0,), 1)
    shapes = result_shapes(tape.output_shapes, tape.input_shapes, request)
    return ScalarExecutor(scalar_program(tape), request, shapes)._sources()


# ---- sharing


def test_a_later_process_finds_the_code_and_imports_no_compiler(cache: Path) -> None:
    assert use(cache, 1)[0] == [COMPILED, "True False"]
    output, errors = use(cache, 1)
    assert output == [LOADED, "False False"]
    assert errors == ""


def test_processes_that_compile_at_once_share_what_they_made(cache: Path) -> None:
    together = [start(cache, 1, 2, 3, k) for k in (4, 4, 5, 6)]
    for process in together:
        output, _ = finish(process)
        assert all(line in (COMPILED, LOADED) for line in output[:-1])
    assert len(native_files(cache)) == 6
    assert not list(cache.glob("*.tmp"))
    output, _ = use(cache, *range(1, 7))
    assert output == [LOADED] * 6 + ["False False"]


WRITE = """
import sys
from pathlib import Path
from fastgrad.vm import code_file
folder, content = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
print("writing", flush=True)
k = 0
while True:
    k += 1
    assert code_file.write(str(folder / f"native-{k % 3}.bin"), content)
"""


def test_processes_killed_while_they_write_leave_nothing_damaged(cache: Path, tmp_path: Path) -> None:
    symbols = ["fastgrad.native.0"]
    image = code_file.image_of(store_object(), symbols) + b""
    content = tmp_path / "content"
    content.write_bytes(image)
    rng = random.Random(11)
    n_unfinished = 0
    writers = [start(cache, cache, content, code=WRITE) for _ in range(2)]
    for _ in range(15):
        for position, writer in enumerate(writers):
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writing\n"
            time.sleep(rng.uniform(0.0, 0.02))
            writer.kill()
            writer.communicate()
            # none of the files is anything but whole, at any time
            for path in native_files(cache):
                assert code_file.load_from_file(str(path), symbols), path
            writers[position] = start(cache, cache, content, code=WRITE)
        n_unfinished = len(list(cache.glob("*.tmp")))
    for writer in writers:
        writer.kill()
        writer.communicate()
    assert native_files(cache)
    assert n_unfinished <= 30
    assert use(cache, 1)[0] == [COMPILED, "True False"]
    assert use(cache, 1)[0] == [LOADED, "False False"]


@pytest.mark.slow
def test_processes_killed_at_any_moment_leave_the_cache_usable(cache: Path) -> None:
    rng = random.Random(5)
    for k in range(30):
        process = start(cache, *range(k, k + 40))
        time.sleep(rng.uniform(0.1, 2.0))
        process.kill()
        process.communicate()
        for path in native_files(cache):
            assert code_file.load_from_file(str(path), ["fastgrad.native.0"]), path
    output, errors = use(cache, *range(70))
    assert set(output[:-1]) == {COMPILED, LOADED}
    assert errors == ""
    assert use(cache, *range(70))[0] == [LOADED] * 70 + ["False False"]


def store_object() -> bytes:
    from fastgrad.native.compiler import compile_sources

    return compile_sources(sources_of(), lambda: None)


# ---- what is not what was written


DAMAGES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "cut in the header": lambda content: content[:70],
    "a byte of the code": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "the offset of the function": lambda content: content[:88] + b"\x10" + content[89:],
    "longer": lambda content: content + b"\0" * 8,
    "noise": lambda content: random.Random(1).randbytes(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_compiled_again(cache: Path, damage: str) -> None:
    use(cache, 1)
    (path,) = native_files(cache)
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    assert use(cache, 1)[0] == [COMPILED, "True False"]
    assert path.read_bytes() == whole
    assert use(cache, 1)[0] == [LOADED, "False False"]


def test_the_code_of_other_functions_is_not_taken(cache: Path) -> None:
    use(cache, 1)
    (path,) = native_files(cache)
    path.write_bytes((cache / KERNELS).read_bytes())
    assert use(cache, 1)[0] == [COMPILED, "True False"]


def test_files_that_others_may_write_are_not_loaded(cache: Path) -> None:
    use(cache, 1)
    (path,) = native_files(cache)
    for mode in (0o666, 0o620):
        path.chmod(mode)
        assert use(cache, 1)[0] == [COMPILED, "True False"]
        assert path.stat().st_mode & 0o777 == 0o600


def test_links_and_directories_in_the_place_of_a_file_are_not_followed(cache: Path, tmp_path: Path) -> None:
    use(cache, 1)
    (path,) = native_files(cache)
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert use(cache, 1)[0] == [COMPILED, "True False"]
    assert not path.is_symlink()
    path.unlink()
    path.mkdir()
    output, errors = use(cache, 1, 2)
    assert output == [COMPILED, COMPILED, "True False"]
    assert errors.count("cannot be kept") == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_files_of_other_users_are_not_loaded(cache: Path) -> None:
    use(cache, 1)
    (path,) = native_files(cache)
    os.chown(path, 12345, -1)
    assert use(cache, 1)[0] == [COMPILED, "True False"]
    assert path.stat().st_uid == os.geteuid()


# ---- directories


def test_a_directory_that_others_may_write_is_refused_and_said_once(cache: Path) -> None:
    cache.chmod(0o777)
    output, errors = use(cache, 1, 2)
    assert output == [COMPILED, COMPILED, "True True"]  # the kernels are not loaded from there either
    assert errors.count("its code is not kept there") == 1
    assert not native_files(cache)


def test_without_a_directory_code_is_kept_in_memory_and_that_is_said_once(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    output, errors = use(file / "cache", 1, 2)
    assert output == [COMPILED, COMPILED, "True True"]
    assert errors.count("no directory to keep its code in") == 1
    assert len(errors.splitlines()) == 2


def test_a_directory_that_goes_while_a_process_runs_is_said_once(cache: Path) -> None:
    before = (
        f"import shutil, fastgrad, numpy\nfastgrad.grad(numpy.sin, tier='native')(1.0)\nshutil.rmtree({str(cache)!r})"
    )
    output, errors = finish(start(cache, 1, 2, code=before + USE))
    assert output[:2] == [COMPILED, COMPILED]
    assert errors.count("cannot be kept") == 1


def test_files_that_may_not_be_run_where_they_are_run_from_memory(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    symbols = ["fastgrad.native.0"]
    path = cache / "native-1.bin"
    path.write_bytes(code_file.image_of(store_object(), symbols))
    path.chmod(0o600)
    mapped = code_file._map

    def refuse_files(descriptor: int, size: int, symbols: list[str]) -> Any:
        if os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(cache)):
            raise PermissionError("noexec")
        return mapped(descriptor, size, symbols)

    monkeypatch.setattr(code_file, "_map", refuse_files)
    assert code_file.load_from_file(str(path), symbols) is not None


# ---- eviction


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of this very process."""
    monkeypatch.setenv("FASTGRAD_CACHE_DIR", str(tmp_path / "own"))
    return tmp_path / "own"


def test_what_was_unused_for_longest_goes_when_the_limit_is_reached(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(4):
        store.make(sources_of(k))
    size = 1 << 20
    for k, path in enumerate(native_files(own)):
        with path.open("r+b") as file:
            file.truncate(size)
        os.utime(path, (0, 1000 + k))
    oldest, old, recent, latest = native_files(own)
    for name in (KERNELS, "kernels-0.bin"):
        (own / name).write_bytes(b"\0")
        os.utime(own / name, (0, 500))
    (own / "native notes.txt").write_bytes(b"\0" * 4 * size)
    monkeypatch.setenv("FASTGRAD_CACHE_MB", "3")
    store.make(sources_of(9.0))
    left = {path.name for path in own.iterdir()}
    assert {oldest.name, old.name, "kernels-0.bin"}.isdisjoint(left)
    assert {recent.name, latest.name, KERNELS, "native notes.txt"} <= left
    assert store.find(sources_of(9.0))


def test_code_that_is_found_counts_as_used(own: Path) -> None:
    store.make(sources_of())
    (path,) = native_files(own)
    os.utime(path, (0, 0))
    assert store.find(sources_of())
    assert time.time() - path.stat().st_mtime < 100


def test_no_room_at_all_leaves_what_was_compiled_last(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTGRAD_CACHE_MB", "0")
    for k in range(3):
        assert store.make(sources_of(k)).addresses
    assert len(native_files(own)) == 1


def test_what_killed_processes_left_goes_after_a_while(own: Path) -> None:
    store.make(sources_of(1.0))
    for name, age in (("code-a.tmp", 4000), ("code-b.tmp", 10), ("other.tmp", 4000)):
        (own / name).touch()
        os.utime(own / name, (time.time() - age,) * 2)
    store.make(sources_of(2.0))
    assert sorted(path.name for path in own.glob("*.tmp")) == ["code-b.tmp", "other.tmp"]


@pytest.mark.parametrize("stated", ["-1", "1.5", "many", "²"])
def test_a_limit_that_is_no_number_is_said_once(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stated: str
) -> None:
    monkeypatch.setenv("FASTGRAD_CACHE_MB", stated)
    monkeypatch.delenv("FASTGRAD_QUIET", raising=False)
    monkeypatch.setattr(code_file, "_said", set())
    assert store.limit_in_bytes() == store.limit_in_bytes() == 256 << 20
    assert capsys.readouterr().err.count("must be a whole number of megabytes") == 1


def test_a_directory_that_is_gone_holds_nothing(own: Path) -> None:
    store.make(sources_of())
    shutil.rmtree(own)
    assert store.kept_files()[1] == []
    assert store.find(sources_of()) is None
    assert store.make(sources_of()).addresses


# ---- the command


def test_the_command_shows_and_clears(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    assert re.search(r"total +0.0 KiB in 0 files; limit 256.0 MiB", capsys.readouterr().out)
    store.make(sources_of())
    (own / "kernels-0.bin").write_bytes(b"\0" * (3 << 20))
    os.utime(own / "kernels-0.bin", (time.time() - 2.1 * 86400,) * 2)
    (own / "mine.txt").touch()
    assert main(["cache", "show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"directory  {own}"
    assert re.match(r"derivative +\d+\.\d KiB   now +native-\w+\.bin$", lines[2])
    assert re.match(r"kernels +3\.0 MiB   2 d ago +kernels-0\.bin$", lines[3])
    assert re.match(r"total +3\.0 MiB in 2 files; limit 256\.0 MiB$", lines[4])
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"removed 2 files from {own}\n"
    assert [path.name for path in own.iterdir()] == ["mine.txt"]


def test_the_command_says_what_it_cannot_do(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for action in ("show", "clear"):
        command = [sys.executable, "-m", "fastgrad", "cache", action]
        variables = {**os.environ, "FASTGRAD_CACHE_DIR": str(file / "cache"), "PYTHONPATH": str(ROOT)}
        found = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert found.returncode == 1
        assert "no directory is safe" in found.stdout
    with pytest.raises(SystemExit):
        main([])
    with pytest.raises(SystemExit):
        main(["cache", "fill"])
