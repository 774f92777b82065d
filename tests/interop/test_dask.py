"""Dask arrays in, Dask arrays out: the same bits as from NumPy arrays, in threads and in processes, also dying ones."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.interop.dask import map_batch
from fastgrad.recording.structures import flatten
from tests.batch.programs import assert_same, branching, large, smooth

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

X = np.random.default_rng(0).normal(size=(500, 3))
FORMS = {"grad": fg.grad, "value_and_grad": fg.value_and_grad, "hessian": fg.hessian, "jacobian": fg.jacobian}


def computed(nested: Any) -> Any:
    leaves, structure = flatten(nested)
    return structure.unflatten(dask.compute(*leaves))


def assert_as_announced(nested: Any) -> None:
    """Chunks, shapes and dtypes are those of what is computed."""
    for leaf in flatten(nested)[0]:
        found = leaf.compute()
        assert (leaf.shape, leaf.dtype) == (found.shape, found.dtype)
        assert isinstance(leaf._meta, np.ndarray)
        for index in np.ndindex(*leaf.numblocks):
            expected = tuple(leaf.chunks[axis][k] for axis, k in enumerate(index))
            assert leaf.blocks[index].compute().shape == expected


@pytest.mark.parametrize("chunks", [(130, 2), (500, 3), (1, 3), ((0, 200, 0, 300), 3)])
@pytest.mark.parametrize("form", FORMS)
def test_every_derivative_in_chunks_of_any_size(form: str, chunks: Any) -> None:
    x = X[:20] if chunks == (1, 3) else X
    batched = fg.vmap(FORMS[form](branching))
    found = batched(da.from_array(x, chunks=chunks))
    assert all(isinstance(leaf, da.Array) for leaf in flatten(found)[0])
    assert_same(computed(found), batched(x))
    if chunks == (130, 2):
        assert_as_announced(found)


def test_large_arrays_and_other_dtypes() -> None:
    for x in (X[:20], X[:20].astype(np.float32), np.arange(60).reshape(20, 3)):
        batched = fg.vmap(fg.value_and_grad(large))
        found = batched(da.from_array(x, chunks=7))
        assert_same(computed(found), batched(x))
        assert_as_announced(found)


@dataclass
class Model:
    weights: Any
    offset: Any


def nested(p: dict[str, Any], scale: Any, how: str) -> Any:
    value = np.sum(p["model"].weights ** 2) * p["model"].offset * np.sum(scale)
    return {"value": value if how == "plain" else 2 * value, "flag": value > 0, "own": [p["model"].weights[:2]]}


IN_AXES = ({"model": Model(1, 0)}, None, None)
OUT_AXES = {"value": 0, "flag": 0, "own": [-1]}


def test_nested_arguments_and_results_and_those_that_all_blocks_share() -> None:
    batched = fg.vmap(nested, in_axes=IN_AXES, out_axes=OUT_AXES)
    scale = np.array([1.0, 2.0])
    expected = batched({"model": Model(X.T, X[:, 0])}, scale, "plain")
    weights, offset = da.from_array(X.T, chunks=(2, 130)), da.from_array(X[:, 0], chunks=70)
    for offsets in (offset, X[:, 0]):
        for shared in (scale, da.from_array(scale, chunks=1)):
            found = batched({"model": Model(weights, offsets)}, shared, "plain")
            assert_same(computed(found), expected)
            assert_as_announced(found)
            assert found["own"][0].shape == (2, 500)


def test_arguments_by_name_and_batches_of_batches() -> None:
    lazy = da.from_array(X.reshape(50, 10, 3), chunks=(7, 4, 3))
    batched = fg.vmap(fg.vmap(fg.grad(smooth)), out_axes=1)
    assert_same(computed(batched(lazy)), batched(X.reshape(50, 10, 3)))
    by_name = fg.vmap(lambda x: x * 2)
    assert_same(by_name(x=da.from_array(X, chunks=100)).compute(), by_name(x=X))


def test_chunks_of_unknown_size_stay_so() -> None:
    lazy = da.from_array(X, chunks=(100, 3))
    chosen = lazy[lazy[:, 0] > 0]
    batched = fg.vmap(fg.value_and_grad(branching))
    values, slopes = batched(chosen)
    assert np.isnan(values.shape[0])
    assert_same(computed((values, slopes)), batched(X[X[:, 0] > 0]))


def test_text_beside_the_results_stays_as_it_is() -> None:
    slopes, note = fg.vmap(fg.grad(lambda x: (np.sum(x), "note"), has_aux=True))(da.from_array(X, chunks=100))
    assert note == "note"
    np.testing.assert_array_equal(slopes.compute(), np.ones(X.shape))


def test_results_go_on_in_dask_and_graphs_are_told_apart_by_their_functions() -> None:
    lazy = da.from_array(X, chunks=100)
    double, triple = fg.vmap(lambda x: 2 * x)(lazy), fg.vmap(lambda x: 3 * x)(lazy)
    assert double.name != triple.name
    np.testing.assert_array_equal((double + triple).sum(axis=0).compute(), (2 * lazy + 3 * lazy).sum(axis=0).compute())
    weights = np.array([1.0, 2.0, 3.0])
    weighted = fg.vmap(fg.grad(lambda x: np.sum(weights * x)))
    before = weighted(lazy)
    weights[:] = 7.0
    # a graph holds the captured data of the time when it was made
    np.testing.assert_array_equal(before.compute()[0], [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(weighted(lazy).compute()[0], [7.0, 7.0, 7.0])


def test_a_function_is_recorded_once_in_a_process_for_all_its_blocks(tmp_path: Path) -> None:
    notes = str(tmp_path / "runs")

    def noting(x: Any) -> Any:
        with open(notes, "a") as file:
            file.write(f"{x.shape}\n")
        return np.sum(x * x)

    slopes = fg.vmap(fg.grad(noting))(da.from_array(X, chunks=10))
    assert Path(notes).read_text() == "(3,)\n"
    for _ in range(2):
        slopes.compute(scheduler="synchronous")
        assert Path(notes).read_text() == 2 * "(3,)\n"


def test_examples_tell_the_shapes_where_ones_cannot() -> None:
    def picky(x: Any) -> Any:
        if x[0] == 1.0 and x[1] == 1.0:
            raise ValueError("no ones")
        return np.sum(np.log(x * x))

    lazy, batched = da.from_array(X, chunks=100), fg.vmap(fg.grad(picky))
    with pytest.raises(fg.InputError, match=r"fails on examples of ones.*\(no ones\).*example="):
        batched(lazy)
    assert_same(map_batch(batched, lazy, example=(X[:1],)).compute(), batched(X))


def test_blocks_whose_results_are_not_as_announced_are_refused() -> None:
    def two_kinds(x: Any) -> Any:
        return 1 if x > 0 else 0.5 * x

    lazy = da.from_array(X[:, 0], chunks=100)
    with pytest.raises(fg.InputError, match=r"float64 in .* instead of int64 .* what examples of ones returned"):
        fg.vmap(two_kinds)(lazy).compute(scheduler="synchronous")
    np.testing.assert_array_equal(
        map_batch(fg.vmap(two_kinds), lazy, example=(X[:9, 0],)).compute(), np.where(X[:, 0] > 0, 1.0, 0.5 * X[:, 0])
    )


def test_what_does_not_fit_is_said() -> None:
    lazy = da.from_array(X, chunks=100)
    with pytest.raises(fg.InputError, match="needs a Dask array among the arguments that run over the examples"):
        map_batch(fg.vmap(smooth), X)
    with pytest.raises(fg.InputError, match="arguments may be Dask arrays; this is Delayed"):
        fg.vmap(lambda x, y: np.sum(x) * y, in_axes=(0, None))(lazy, dask.delayed(2.0))
    with pytest.raises(fg.InputError, match=r"x \(axis 0\) has 500, y \(axis 0\) has 7"):
        fg.vmap(lambda x, y: np.sum(x) * y)(lazy, np.ones(7))
    with pytest.raises(fg.InputError, match="out cannot be given for Dask arrays"):
        fg.vmap(fg.grad(smooth))(lazy, out=np.empty(X.shape))
    with pytest.raises(fg.InputError, match="must run over the examples; out_axes is None"):
        fg.vmap(lambda x: 2.0, out_axes=None)(lazy)


def test_fastgrad_loads_without_dask_and_says_which_extra_is_missing() -> None:
    code = (
        "import sys; sys.modules['dask'] = None; import fastgrad as fg, numpy as np\n"
        "assert fg.vmap(fg.grad(lambda x: x * x))(np.ones(3)).tolist() == [2.0] * 3\n"
        "try: fg.interop.dask\nexcept ImportError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "install fastgrad[dask]" in found.stdout
    code = "import sys, fastgrad as fg, numpy as np; fg.vmap(fg.grad(lambda x: x * x))(np.ones(3)); fg.interop.register"
    code += "; print([name for name in ('dask', 'distributed', 'cloudpickle') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


# ---- processes


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            yield client


def value_of(tape: fg.Tape, x: np.ndarray) -> tuple[str, int, float]:
    """What another process finds in a tape: its hash, its operations, and the value at a point."""
    from fastgrad.recording.replay import replay

    return tape.hash, tape.n_operations, float(replay(tape, [x])[0])


@fg.grad
def decorated(x: Any) -> Any:
    return np.sum(x**3)


def test_tapes_and_derivatives_go_to_other_processes(client: Any) -> None:
    tape = fg.record(smooth, X[0])
    scale = 3.0
    assert client.submit(value_of, tape, X[0]).result() == value_of(tape, X[0])
    for derivative in (
        fg.grad(smooth),
        fg.hessian(branching),
        decorated,
        fg.value_and_grad(lambda x: np.sum(x * x) * scale),
    ):
        assert_same(client.submit(derivative, X[0]).result(), derivative(X[0]))
        assert_same(client.submit(fg.vmap(derivative), X).result(), fg.vmap(derivative)(X))
        assert_same(pickle.loads(client.submit(pickle.dumps, fg.grad(smooth)).result())(X[0]), fg.grad(smooth)(X[0]))


def test_a_cluster_of_processes_gives_the_same_bits(client: Any) -> None:
    offset = np.array([0.1, 0.2, 0.3])
    lazy = da.from_array(X, chunks=50)
    for batched in (
        fg.vmap(fg.value_and_grad(branching)),
        fg.vmap(fg.value_and_grad(lambda x: np.sum(np.sin(x + offset)))),
        fg.vmap(fg.value_and_grad(large)),
    ):
        assert_same(computed(batched(lazy)), batched(X))
    batched = fg.vmap(nested, in_axes=IN_AXES, out_axes=OUT_AXES)
    lazy_model = {"model": Model(lazy.T, lazy[:, 0])}
    assert_same(
        computed(batched(lazy_model, offset, "plain")), batched({"model": Model(X.T, X[:, 0])}, offset, "plain")
    )


def noted(block: np.ndarray, where: str) -> np.ndarray:
    """The block, slowly; and the process is noted in a file."""
    with open(where, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(0.05)
    return block


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(client: Any, tmp_path: Path) -> None:
    notes = tmp_path / "processes"
    notes.touch()
    lazy = da.from_array(X, chunks=(10, 3)).map_blocks(noted, str(notes), dtype=X.dtype, meta=np.empty((0, 0)))
    batched = fg.vmap(fg.value_and_grad(branching))
    victim = next(iter(client.run(os.getpid).values()))
    futures = client.compute(list(batched(lazy)))
    deadline = time.monotonic() + 60
    while notes.read_text().split().count(str(victim)) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not any(future.done() for future in futures)
    os.kill(victim, signal.SIGKILL)
    assert_same(tuple(client.gather(futures)), batched(X))
    processes = notes.read_text().split()
    assert len(processes) > 50  # what the killed one had done is done again
    assert processes[-1] != str(victim)
