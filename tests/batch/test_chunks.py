"""Chunks: the same results as in one piece, from files and into files, one chunk in memory at a time."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.batch import chunks
from tests.batch.programs import assert_same, branching, smooth

X = np.random.default_rng(0).normal(size=(1000, 3))
BATCHED = fg.vmap(fg.value_and_grad(branching))


class OnDisk:
    """What datasets of h5py and zarr can do: a shape, and slices read and written as arrays."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.largest = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def ndim(self) -> int:
        return self.array.ndim

    def __getitem__(self, where: Any) -> np.ndarray:
        found = self.array[where].copy()
        self.largest = max(self.largest, found.shape[0])
        return found

    def __setitem__(self, where: Any, values: Any) -> None:
        self.array[where] = values


@pytest.mark.parametrize("chunk", [1, 7, 999, 1000, 1001, np.int64(64), None])
def test_chunks_of_any_size_give_the_same_results(chunk: Any) -> None:
    x = X[:50] if chunk == 1 else X
    expected = BATCHED(x)
    assert_same(fg.map_chunks(BATCHED, x, chunk=chunk), expected)
    parts = list(fg.iterate_chunks(BATCHED, x, chunk=chunk))
    assert [where.start for where, _ in parts] == list(range(0, len(x), chunk or len(x)))
    assert_same(tuple(np.concatenate(column) for column in zip(*(part for _, part in parts), strict=True)), expected)
    out = (np.empty(len(x)), np.empty(x.shape))
    found = fg.map_chunks(BATCHED, x, out=out, chunk=chunk, threads=2)
    assert found is out
    assert_same(out, expected)


def test_files_are_read_and_written_in_place(tmp_path: Path) -> None:
    X.tofile(tmp_path / "points")
    x = np.memmap(tmp_path / "points", np.float64, "r", shape=X.shape)
    slopes = np.memmap(tmp_path / "slopes", np.float32, "w+", shape=X.shape)
    values = np.lib.format.open_memmap(tmp_path / "values.npy", "w+", np.float64, (len(X),))
    fg.map_chunks(BATCHED, x, out=(values, slopes), chunk=64)
    expected = BATCHED(X)
    slopes.flush()
    values.flush()
    assert_same(np.load(tmp_path / "values.npy"), expected[0])
    np.testing.assert_array_equal(
        np.fromfile(tmp_path / "slopes", np.float32).reshape(X.shape), expected[1].astype("f4")
    )


def test_anything_that_can_be_sliced_is_read_chunk_by_chunk() -> None:
    source, values, slopes = OnDisk(X), OnDisk(np.empty(len(X))), OnDisk(np.empty(X.shape))
    fg.map_chunks(BATCHED, source, out=(values, slopes), chunk=100)
    assert_same((values.array, slopes.array), BATCHED(X))
    assert source.largest == 100


def test_axes_and_arguments_that_all_examples_share() -> None:
    batched = fg.vmap(fg.grad(lambda x, w, s: np.sum(x * x * w) * s), in_axes=(1, None, 0), out_axes=1)
    scale = np.linspace(0.0, 1.0, 1000)
    expected = batched(X.T, X[0], scale)
    assert_same(fg.map_chunks(batched, X.T, X[0], scale, chunk=300), expected)
    out = np.empty((3, 1000))
    fg.map_chunks(batched, X.T, X[0], scale, chunk=300, out=out)
    assert_same(out, expected)


def test_of_batches_of_batches_the_outer_ones_are_cut() -> None:
    cube = X[:330].reshape(33, 10, 3)
    nested = fg.vmap(fg.vmap(fg.grad(smooth)))
    assert_same(fg.map_chunks(nested, cube, chunk=7), nested(cube))


def test_no_examples_give_no_results() -> None:
    values, slopes = fg.map_chunks(BATCHED, X[:0])
    assert (values.shape, slopes.shape) == ((0,), (0, 3))


def test_the_default_size_of_a_chunk_is_bounded_by_the_bytes_of_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 2400)
    assert [where.stop for where, _ in fg.iterate_chunks(BATCHED, X[:250])] == [100, 200, 250]


def test_what_does_not_fit_is_said_before_anything_is_computed() -> None:
    with pytest.raises(fg.InputError, match=r"chunks are taken of what vmap returns; this is Derivative\. Pass vmap"):
        fg.map_chunks(fg.grad(smooth), X)  # type: ignore[arg-type]
    for wrong in (0, -1, 2.0, True):
        with pytest.raises(fg.InputError, match="chunk must be a number of examples from 1 up"):
            fg.map_chunks(BATCHED, X, chunk=wrong)  # type: ignore[arg-type]
    with pytest.raises(fg.InputError, match=r"out\[0\] has 999 examples along axis 0; the arguments have 1000"):
        fg.map_chunks(BATCHED, X, out=(np.empty(999), np.empty(X.shape)), chunk=10)
    with pytest.raises(fg.InputError, match=r"out\[1\] shares memory with x"):
        fg.map_chunks(BATCHED, X, out=(np.empty(1000), X[::-1]), chunk=10)
    with pytest.raises(fg.InputError, match="out must be nested as the result is"):
        fg.map_chunks(BATCHED, X, out=np.empty(1000), chunk=10)
    with pytest.raises(fg.InputError, match=r"x \(axis 0\) has 1000, y \(axis 0\) has 9"):
        fg.map_chunks(fg.vmap(lambda x, y: x * y), X, X[:9])


LARGER_THAN_MEMORY = """
import resource, sys
import numpy as np
import fastgrad as fg
n = 30_000_000
x = np.memmap(sys.argv[1], np.float64, "w+", shape=(n,))
out = np.memmap(sys.argv[2], np.float64, "w+", shape=(n,))
gradient = fg.vmap(fg.grad(lambda x: np.sin(x) * x if x > 0 else x * x))
gradient(np.linspace(-1.0, 1.0, 100))
# what the process may ask for beyond what it has mapped by now: far less than an array of that size
used = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + 100_000_000, used + 100_000_000))
try:
    np.ones(n)
except MemoryError:
    fg.map_chunks(gradient, x, out=out)
    print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
def test_a_batch_larger_than_the_memory_that_is_allowed_runs_from_file_to_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LARGER_THAN_MEMORY, str(tmp_path / "x"), str(tmp_path / "out")]
    found = subprocess.run(command, capture_output=True, text=True)
    assert (found.stdout, found.stderr) == ("done\n", "")
