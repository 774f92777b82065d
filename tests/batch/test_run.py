"""Every example gets what it would get alone, whatever the size of the batch, the threads, and how the memory lies."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.batch import run
from tests.batch.programs import assert_same, branching, large, serially, smooth

FORMS = {
    "value": lambda f: f,
    "grad": fg.grad,
    "value_and_grad": fg.value_and_grad,
    "jacobian": lambda f: fg.jacobian(lambda x: x * f(x)),
    "hessian": fg.hessian,
}
SIZES = (1, 2, 7, 8, 9, 63, 64, 65, 257, 1000, 4321)


def of_size(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, 3))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("function", [smooth, branching])
def test_results_do_not_depend_on_the_size_of_the_batch_nor_on_threads(function: Any, form: str, threads: int) -> None:
    examples = of_size(max(SIZES))
    batched = fg.vmap(FORMS[form](function), threads=threads)
    whole = batched(examples)
    for size in SIZES:
        assert_same(batched(examples[:size]), _first(whole, size))
    if form != "value":
        assert_same(_first(whole, 257), serially(FORMS[form](function), examples[:257]))


def _first(result: Any, n: int) -> Any:
    return tuple(part[:n] for part in result) if isinstance(result, tuple) else result[:n]


@pytest.mark.parametrize("function", [smooth, branching])
def test_values_in_a_batch_are_those_of_numpy(function: Any) -> None:
    examples = of_size(500)
    np.testing.assert_allclose(fg.vmap(function)(examples), [function(x) for x in examples], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("form", ["grad", "value_and_grad", "hessian"])
@pytest.mark.parametrize("threads", [1, 3])
def test_tapes_of_large_arrays_share_their_examples_over_threads(form: str, threads: int) -> None:
    single = FORMS[form](large)
    examples = np.random.default_rng(0).normal(size=(11, 17 if form == "hessian" else 70))
    found = fg.vmap(single, threads=threads)(examples)
    assert_same(found, serially(single, examples))
    assert_same(fg.vmap(single, in_axes=1, threads=threads)(np.asfortranarray(examples.T)), found)


def test_large_arrays_take_their_own_branches() -> None:
    def function(x: Any) -> Any:
        return large(x) if x[0] > 0 else np.sum(np.sort(x)[::2])

    examples = np.random.default_rng(0).normal(size=(40, 70))
    gradient = fg.value_and_grad(function)
    assert_same(fg.vmap(gradient)(examples), serially(gradient, examples))


LAYOUTS = {
    "reversed": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "every second": lambda x: np.repeat(x, 2, axis=0)[::2],
    "within rows": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "Fortran order": np.asfortranarray,
    "a field of records": lambda x: _record_field(x),
    "unaligned": lambda x: _unaligned(x),
    "other byte order": lambda x: x.astype(">f8"),
    "read-only": lambda x: _read_only(x),
    "a subclass": lambda x: x.view(_Subclass),
}
IN_PLACE = {"reversed", "every second", "within rows", "Fortran order", "a field of records", "read-only"}


class _Subclass(np.ndarray):
    pass


def _record_field(x: np.ndarray) -> np.ndarray:
    records = np.zeros(len(x), [("number", np.int64), ("point", np.float64, x.shape[1:])])
    records["point"] = x
    return records["point"]


def _unaligned(x: np.ndarray) -> np.ndarray:
    raw = np.zeros(x.nbytes + 1, np.uint8)
    view = raw[1:].view(np.float64).reshape(x.shape)
    view[...] = x
    return view


def _read_only(x: np.ndarray) -> np.ndarray:
    copy = x.copy()
    copy.flags.writeable = False
    return copy


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("function", [smooth, branching])
def test_memory_may_lie_in_any_way(function: Any, layout: str) -> None:
    examples = of_size(333)
    batched = fg.vmap(fg.value_and_grad(function), threads=2)
    given = LAYOUTS[layout](examples)
    np.testing.assert_array_equal(given, examples)
    assert_same(batched(given), batched(examples))


@pytest.mark.parametrize("layout", sorted(IN_PLACE))
def test_float64_memory_is_not_copied(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = LAYOUTS[layout](of_size(100))
    seen: list[Any] = []
    made = run._Block.__init__

    def noting(self: Any, *args: Any) -> None:
        made(self, *args)
        seen.append(self.inputs[0][0])

    monkeypatch.setattr(run._Block, "__init__", noting)
    fg.vmap(fg.grad(smooth))(given)
    assert len(seen) == 1
    assert np.shares_memory(seen[0], given)
    assert seen[0].strides == given.strides


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.uint8, np.bool_, ">f4"])
def test_other_dtypes_are_converted_block_by_block(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(run, "MIN_BLOCK", 10)
    examples = (of_size(1000) * 3 + 4).astype(dtype)
    derivative = fg.value_and_grad(branching)
    found = fg.vmap(derivative, threads=1)(examples)
    # alone an example's dtype says that of its results; whole numbers give float64
    assert_same(found, serially(derivative, examples))
    monkeypatch.setattr(run, "MIN_BLOCK", 10_000)
    assert_same(fg.vmap(derivative)(examples), found)


def test_no_examples_give_empty_results_of_the_right_shapes() -> None:
    for function, derivative, shapes in (
        (smooth, fg.value_and_grad, [(0,), (0, 3)]),
        (branching, fg.hessian, [(0, 3, 3)]),
        (large, fg.grad, [(0, 3)]),
    ):
        found = fg.vmap(derivative(function))(np.zeros((0, 3)))
        assert [part.shape for part in (found if isinstance(found, tuple) else (found,))] == shapes


def test_no_examples_after_some_and_some_after_none() -> None:
    batched = fg.vmap(fg.grad(branching))
    assert batched(np.zeros((0, 3))).shape == (0, 3)
    examples = of_size(20)
    assert_same(batched(examples), serially(fg.grad(branching), examples))
    assert batched(np.zeros((0, 3))).shape == (0, 3)


def test_examples_that_all_go_one_way_after_others_went_another() -> None:
    batched, single = fg.vmap(fg.value_and_grad(branching)), fg.value_and_grad(branching)
    above, below = np.abs(of_size(70)), -np.abs(of_size(70))
    for examples in (above, below, above, np.concatenate([above, below])):
        assert_same(batched(examples), serially(single, examples))


def test_branches_that_return_other_shapes_matter_only_where_examples_take_them() -> None:
    def function(x: Any) -> Any:
        return np.stack([x, x]) if x > 0 else x

    batched = fg.vmap(function)
    assert batched(np.array([1.0, 2.0])).shape == (2, 2)
    assert batched(np.array([-1.0, -2.0])).shape == (2,)
    assert batched(np.array([1.0, 2.0])).shape == (2, 2)
    with pytest.raises(fg.InputError, match="different shapes"):
        batched(np.array([1.0, -2.0]))


@pytest.mark.parametrize("function", [smooth, branching, large])
def test_several_threads_of_the_user_get_what_one_gets(function: Any) -> None:
    n = 30 if function is large else 3000
    batches = [np.random.default_rng(k).normal(size=(n, 3)) for k in range(12)]
    expected = [fg.vmap(fg.value_and_grad(function), threads=1)(batch) for batch in batches]
    for threads in (1, 2):
        # nothing is recorded yet: the first calls of all threads meet
        shared = fg.vmap(fg.value_and_grad(function), threads=threads)
        with ThreadPoolExecutor(6) as pool:
            for _ in range(3):
                for found, wanted in zip(pool.map(shared, batches), expected, strict=True):
                    assert_same(found, wanted)


def test_captured_data_is_read_at_each_call() -> None:
    weights = np.array([1.0, 2.0, 3.0])
    batched = fg.vmap(fg.grad(lambda x: np.sum(weights * x**2)))
    examples = of_size(10)
    np.testing.assert_array_equal(batched(examples), 2 * weights * examples)
    weights[:] = [5.0, 6.0, 7.0]
    np.testing.assert_array_equal(batched(examples), 2 * weights * examples)


def test_data_that_cannot_be_recorded_is_part_of_the_function() -> None:
    runs = np.zeros(1)

    def function(x: Any, table: Any) -> Any:
        runs[0] += 1
        return np.sum(x * x) * np.frombuffer(table.tobytes())[0]

    table = np.array([3.0, 1.0, 2.0])
    examples = of_size(100)
    single, batched = fg.grad(function), fg.vmap(fg.grad(function), in_axes=(0, None))
    for data in (table, table, table[::-1].copy(), -table):
        assert_same(batched(examples, data), serially(lambda x, data=data: single(x, data), examples))
    before = runs[0]
    batched(examples, table)
    assert runs[0] == before
    with pytest.raises(fg.UnsupportedError):
        fg.vmap(fg.grad(function))(examples, examples)


def test_many_examples_on_many_branches_in_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(x: Any) -> Any:
        y = x
        for k in range(14):
            if y > k:
                y = y * 0.9 + np.sin(y)
        return y

    examples = np.random.default_rng(0).uniform(-1.0, 14.0, 5000)
    expected = serially(fg.value_and_grad(steps), examples)
    monkeypatch.setattr(run, "MIXED_BLOCK", 777)
    for threads in (1, 3):
        batched = fg.vmap(fg.value_and_grad(steps), threads=threads)
        out = (np.empty(5000), np.empty(5000))
        for _ in range(2):
            assert_same(batched(examples), expected)
            assert_same(batched(examples[::-1], out=(out[0][::-1], out[1][::-1])), tuple(x[::-1] for x in expected))
            assert_same(out, expected)
