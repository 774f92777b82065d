"""The linker on small object files, sound and damaged."""

from __future__ import annotations

import ctypes
import mmap
import random
import struct

import numpy as np
import pytest

from fastgrad.vm.link import Blob, LinkError, link

binding = pytest.importorskip("llvmlite.binding")
target = pytest.importorskip("fastgrad.vm.target")

pytestmark = pytest.mark.skipif(
    not target.target_machine().triple.startswith("x86_64") or "linux" not in target.target_machine().triple,
    reason="flat code is made for x86-64 Linux only",
)

# entry(i) = 3 * table[i] + 0.25, through a call, a table and two literals
SOUND = """
@table = internal constant [4 x double] [double 1.0, double 2.0, double 5.0, double 9.0]
define internal double @inner(double %x) noinline {
  %y = fmul double %x, 3.0
  ret double %y
}
define double @entry(i64 %i) {
  %p = getelementptr [4 x double], ptr @table, i64 0, i64 %i
  %x = load double, ptr %p
  %y = call double @inner(double %x)
  %z = fadd double %y, 0.25
  ret double %z
}
define i64 @other() {
  ret i64 7
}
"""


def object_file(text: str) -> bytes:
    machine = target.target_machine()
    module = binding.parse_assembly(text)
    module.triple = machine.triple
    return bytes(machine.emit_object(module))


def run(blob: Blob, name: str, result: object, *arguments: int) -> float:
    mapped = mmap.mmap(-1, len(blob.code), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    mapped.write(blob.code)
    start = np.frombuffer(mapped, np.uint8).__array_interface__["data"][0]
    function = ctypes.CFUNCTYPE(result, *[ctypes.c_int64] * len(arguments))(start + blob.entries[name])
    return function(*arguments)


def test_code_that_needs_only_itself_runs_where_it_is_mapped() -> None:
    blob = link(object_file(SOUND))
    assert set(blob.entries) == {"entry", "other"}
    assert [run(blob, "entry", ctypes.c_double, i) for i in range(4)] == [3.25, 6.25, 15.25, 27.25]
    assert run(blob, "other", ctypes.c_int64) == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "declare double @sin(double)\ndefine double @f(double %x) {\n %y = call double @sin(double %x)\n"
            " ret double %y\n}",
            "'sin', which is not part of it",
        ),
        ("@n = global i64 5\ndefine ptr @f() {\n ret ptr @n\n}", "writable data"),
        ("@n = global i64 0\ndefine ptr @f() {\n ret ptr @n\n}", "writable data"),
        ("@p = constant ptr @f\ndefine ptr @f() {\n ret ptr @p\n}", "writable data|relocation type"),
        ("@n = external global i64\ndefine ptr @f() {\n ret ptr @n\n}", "relocation type|not part of it"),
    ],
)
def test_code_that_needs_more_is_refused(text: str, message: str) -> None:
    with pytest.raises(LinkError, match=message):
        link(object_file(text))


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"not an object file" * 10, b"\xcf\xfa\xed\xfe" * 40])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(LinkError):
        link(content)


def test_a_file_cut_anywhere_is_refused() -> None:
    content = object_file(SOUND)
    sections_end = struct.unpack_from("<Q", content, 40)[0]
    for length in range(0, len(content), 7):
        with pytest.raises(LinkError):
            link(content[:length])
    assert sections_end < len(content)


def test_a_damaged_file_is_linked_or_refused_but_never_followed_outside_itself() -> None:
    content = object_file(SOUND)
    rng = random.Random(1)
    for _ in range(3000):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.choice([0, 1, 2, 0x7F, 0xFF, rng.randrange(256)])
        try:
            blob = link(bytes(damaged))
        except LinkError:
            continue
        assert all(0 <= offset < len(blob.code) for offset in blob.entries.values())
