"""``out=``: results where the caller wants them, in any memory; and what is said where they cannot go there."""

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.batch import run
from fastgrad.recording.structures import flatten, map_leaves
from tests.batch.programs import assert_same, branching, large, smooth

X = np.random.default_rng(0).normal(size=(777, 3))


def empty(shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, np.nan)


OUT = {
    "in a row": empty,
    "reversed": lambda shape: empty(shape)[::-1],
    "every second": lambda shape: empty((2 * shape[0], *shape[1:]))[::2],
    "Fortran order": lambda shape: np.asfortranarray(empty(shape)),
    "part of a larger array": lambda shape: empty((*shape, 2))[..., 1],
    "unaligned": lambda shape: np.zeros(8 * int(np.prod(shape)) + 1, np.uint8)[1:].view(np.float64).reshape(shape),
    "float32": lambda shape: empty(shape).astype(np.float32),
    "complex": lambda shape: empty(shape).astype(complex),
    "other byte order": lambda shape: empty(shape).astype(">f8"),
}


@pytest.mark.parametrize("memory", OUT)
@pytest.mark.parametrize("function", [smooth, branching, large])
def test_results_go_into_memory_of_any_kind(function: Any, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(run, "MIN_BLOCK", 100)
    x = X[:150] if function is large else X
    batched = fg.vmap(fg.value_and_grad(function))
    expected = batched(x)
    for threads in (1, 2):
        out = tuple(OUT[memory](part.shape) for part in expected)
        found = batched(x, out=out, threads=threads)
        assert all(part is given for part, given in zip(found, out, strict=True))
        for part, wanted in zip(out, expected, strict=True):
            np.testing.assert_array_equal(part, wanted.astype(part.dtype))


def test_float64_memory_is_written_into_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    targets: list[Any] = []
    run_block = run._Block.run

    def noting(self: Any) -> None:
        run_block(self)
        targets.append(self.targets)

    monkeypatch.setattr(run._Block, "run", noting)
    for memory in ("in a row", "reversed", "every second", "Fortran order", "part of a larger array"):
        out = OUT[memory](X.shape)
        targets.clear()
        fg.vmap(fg.grad(branching))(X, out=out)
        assert len(targets) == 1
        assert np.shares_memory(targets[0][0], out)


def test_nested_results_and_text_among_them() -> None:
    def function(p: Any) -> Any:
        return np.sum(p["a"] ** 2) * p["b"], {"double": 2 * p["b"], "word": "note", "whole": 3}

    batched = fg.vmap(fg.value_and_grad(function, has_aux=True), out_axes=0)
    p = {"a": X, "b": X[:, 0]}
    expected = batched(p)
    out = map_leaves(lambda leaf: np.empty_like(leaf) if isinstance(leaf, np.ndarray) else None, expected)
    found = batched(p, out=out)
    assert_same_but_text(found, expected)
    assert found[0][1]["double"] is out[0][1]["double"]


def assert_same_but_text(found: Any, expected: Any) -> None:
    leaves, structure = flatten(found)
    others, other = flatten(expected)
    assert structure == other
    for leaf, wanted in zip(leaves, others, strict=True):
        if isinstance(wanted, np.ndarray):
            np.testing.assert_array_equal(leaf, wanted, strict=True)
        else:
            assert leaf == wanted


def test_whole_numbers_go_into_arrays_of_whole_numbers_and_of_floats() -> None:
    batched = fg.vmap(lambda x: x > 0)
    expected = X[:, 0] > 0
    for dtype in (np.bool_, np.int8, np.float64, np.float32):
        out = np.zeros(len(X), dtype)
        batched(X[:, 0], out=out)
        np.testing.assert_array_equal(out, expected.astype(dtype))


def test_no_examples_leave_out_as_it_is() -> None:
    out = np.empty((0, 3))
    assert fg.vmap(fg.grad(smooth))(np.zeros((0, 3)), out=out) is out


def misfit(case: str) -> tuple[Any, str]:
    together = np.zeros((2 * len(X), 3))
    read_only = np.zeros(X.shape)
    read_only.flags.writeable = False
    return {
        "a wrong length": (
            np.empty((3, 3)),
            r"out must have the shape of the result, \(777, 3\); it has shape \(3, 3\)",
        ),
        "a wrong shape": (np.empty((777, 4)), r"\(777, 3\); it has shape \(777, 4\)"),
        "too few dimensions": (np.empty(777), r"it has shape \(777,\)"),
        "whole numbers": (np.empty(X.shape, np.int64), "out is of int64, which cannot hold results of float64"),
        "flags": (np.empty(X.shape, bool), "out is of bool"),
        "no array": (X.tolist(), "out must be nested as the result is"),
        "a number": (1.0, "out must be an array to write into; it is float"),
        "other nesting": ((together[:777],), "out must be nested as the result is"),
        "read-only memory": (read_only, "out is read-only"),
        "a broadcast view": (np.lib.stride_tricks.as_strided(np.zeros(3), X.shape, (0, 8)), "share memory"),
    }[case]


CASES = [
    "a wrong length",
    "a wrong shape",
    "too few dimensions",
    "whole numbers",
    "flags",
    "no array",
    "a number",
    "other nesting",
    "read-only memory",
    "a broadcast view",
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("function", [smooth, branching])
def test_memory_that_does_not_fit_is_refused(function: Any, case: str) -> None:
    out, message = misfit(case)
    batched = fg.vmap(fg.grad(function))
    for _ in range(2):
        with pytest.raises(fg.InputError, match=message):
            batched(X, out=out)
    assert batched(X).shape == X.shape


def test_memory_that_arguments_or_other_results_use_is_refused() -> None:
    batched = fg.vmap(fg.value_and_grad(smooth))
    values, whole = np.empty(len(X)), np.zeros((2 * len(X) + 1, 3))
    x = whole[: len(X)]
    for out in (x, x[::-1], whole[1 : len(X) + 1]):
        with pytest.raises(fg.InputError, match=r"out\[1\] shares memory with x"):
            batched(x, out=(values, out))
    # side by side or in alternate rows is no overlap
    rows = np.zeros((len(X), 6))
    rows[:, :3] = X
    assert_same(batched(rows[:, :3], out=(values, rows[:, 3:]))[1].copy(), batched(X)[1])
    with pytest.raises(fg.InputError, match=r"out\[1\] shares memory with out\[0\]"):
        batched(X, out=(rows[:, 0], rows[:, :3]))


def test_memory_that_the_function_captures_is_refused() -> None:
    weights = np.array([1.0, 2.0, 3.0])
    batched = fg.vmap(fg.grad(lambda x: np.sum(weights * x) if x[0] > 0 else np.sum(x)))
    with pytest.raises(fg.InputError, match="out shares memory with an array that the function reads"):
        batched(X[:1] ** 2, out=weights[None])
    np.testing.assert_array_equal(weights, [1.0, 2.0, 3.0])
    batched(-(X[:1] ** 2), out=weights[None])
    np.testing.assert_array_equal(weights, [1.0, 1.0, 1.0])


def test_a_branch_with_results_that_out_cannot_hold_is_refused_when_an_example_takes_it() -> None:
    def function(x: Any) -> Any:
        return 1.5 * x if x > 0 else 0

    batched = fg.vmap(function)
    out = np.zeros(4, np.int64)
    batched(-np.ones(4), out=out)
    with pytest.raises(fg.InputError, match="out is of int64, which cannot hold results of float64"):
        batched(np.array([-1.0, 1.0, 2.0, -2.0]), out=out)
