"""Small batches of one size that come back are answered by the kernels, as the long way would, bits and refusals."""

import functools
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.batch import batched as module
from fastgrad.recording.structures import flatten
from tests.batch.programs import assert_same, branching, smooth

X = np.random.default_rng(0).normal(size=(200, 3))
W = np.array([1.0, 2.0, 3.0])
scale = 2.0


def answered(batched: Any) -> int:
    """How many calls the kernels have answered."""
    return int(batched._fast.calls["n_answered"][0])


def settle(batched: Any, *args: Any) -> Any:
    """Call until the kernels answer."""
    for _ in range(6):
        result = batched(*args)
    assert answered(batched) > 0
    return result


def nested(x: Any) -> Any:
    return {"sum": np.sum(x), "parts": [x * x, (x[0], 2.0)]}


def with_aux(x: Any) -> Any:
    return np.sum(x * x), {"name": "squares", "first": x[0]}


def value_of(function: Any, tier: str) -> Any:
    """The function itself, whose tier is that of vmap."""
    return function


both = functools.partial(fg.value_and_grad, argnums=(0, 1))
auxiliary = functools.partial(fg.value_and_grad, has_aux=True)
# the function's form, the function, options of vmap, and the arguments made from an array like X
PROGRAMS: dict[str, tuple[Any, Any, dict[str, Any], Callable[[Any], tuple[Any, ...]]]] = {
    "value": (value_of, smooth, {}, lambda x: (x,)),
    "grad": (fg.grad, smooth, {}, lambda x: (x,)),
    "value and grad": (fg.value_and_grad, smooth, {}, lambda x: (x,)),
    "hessian": (fg.hessian, smooth, {}, lambda x: (x,)),
    "guards": (fg.value_and_grad, branching, {}, lambda x: (np.abs(x) + 1.0,)),
    "numbers": (
        both,
        lambda x, y: x * np.exp(y),
        {},
        lambda x: (x[:, 0].copy(), x[:, 1].copy()),
    ),
    "columns": (both, lambda x, y: x * np.exp(y), {}, lambda x: (x[:, 0], x[:, 1])),
    "shared": (
        fg.grad,
        lambda x, w, s: np.sum(x * x * w) * s,
        {"in_axes": (0, None, None)},
        lambda x: (x, x[0] + 1.0, float(x[0, 1])),
    ),
    "another axis": (fg.grad, smooth, {"in_axes": 1}, lambda x: (x.T.copy(),)),
    "another axis, strided": (fg.grad, smooth, {"in_axes": 1}, lambda x: (x.T[:, ::-2],)),
    "reversed": (fg.grad, smooth, {}, lambda x: (x[::-1],)),
    "Fortran order": (fg.grad, smooth, {}, lambda x: (np.asfortranarray(x),)),
    "one example": (fg.grad, smooth, {}, lambda x: (x[4:5, ::-1],)),
    "nested results": (value_of, nested, {}, lambda x: (x,)),
    "auxiliary data": (auxiliary, with_aux, {}, lambda x: (x,)),
    "an output that is an input": (value_of, lambda x: (x, x), {}, lambda x: (x,)),
    "examples of two axes": (
        fg.value_and_grad,
        lambda x: np.sum(np.sin(x) ** 2),
        {},
        lambda x: (x[:198].reshape(33, 3, 6),),
    ),
}


@pytest.mark.parametrize("tier", ["vm", "native", "auto"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_kernels_give_what_the_long_way_gives(name: str, tier: str) -> None:
    form, function, options, arguments = PROGRAMS[name]
    batched = fg.vmap(form(function, tier=tier), **options, tier=tier)
    settle(batched, *arguments(X))
    before = answered(batched)
    given = [arguments(x) for x in (X, 1.5 * X[::-1], X)]
    found = [batched(*args) for args in given]
    assert answered(batched) == before + 3
    if tier == "native":
        assert all(made[1].native for made in batched._small._entries[0]._made.values())
    for args, result in zip(given, found, strict=True):
        assert_same(result, fg.vmap(form(function, tier="vm"), **options, tier="vm")(*args))


@pytest.mark.parametrize("n", [1, 2, 7, 16, 31, 33, 200])
def test_each_size_has_its_entry(n: int) -> None:
    batched = fg.vmap(fg.value_and_grad(smooth))
    settle(batched, X)
    for _ in range(6):
        assert_same(batched(X[:n]), fg.vmap(fg.value_and_grad(smooth))(X[:n]))
    before = answered(batched)
    batched(X[:n])
    batched(X)
    assert answered(batched) == before + 2


def test_sizes_that_do_not_come_back_have_none() -> None:
    batched = fg.vmap(fg.grad(smooth))
    for n in range(1, 100):
        batched(X[:n])
    assert answered(batched) == 0
    assert not batched._fast.entries


def test_batches_worth_two_threads_stay_with_the_threads() -> None:
    batched = fg.vmap(fg.grad(smooth))
    x = np.tile(X, (1000, 1))
    for _ in range(6):
        batched(x)
    assert answered(batched) == 0


def test_results_are_new_arrays_each_time() -> None:
    batched = fg.vmap(fg.grad(smooth))
    settle(batched, X)
    first, second = batched(X), batched(X)
    assert not np.shares_memory(first, second)
    assert first.flags.owndata
    assert first.flags.writeable


OTHERS = {
    "float32": lambda: X.astype(np.float32),
    "more": lambda: np.concatenate([X, X]),
    "a subclass": lambda: X.view(np.recarray),
    "fewer": lambda: X[:5],
    "none": lambda: X[:0],
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_arguments_go_the_long_way(name: str) -> None:
    batched = fg.vmap(fg.grad(smooth))
    settle(batched, X)
    before, given = answered(batched), OTHERS[name]()
    try:
        expected = fg.vmap(fg.grad(smooth))(given)
    except fg.InputError as error:
        with pytest.raises(fg.InputError, match=re.escape(str(error))):
            batched(given)
    else:
        assert_same(batched(given), expected)
    assert answered(batched) == before


def test_failed_guards_go_the_long_way() -> None:
    batched, up = fg.vmap(fg.value_and_grad(branching)), np.abs(X) + 1.0
    settle(batched, up)
    mixed = up.copy()
    mixed[7] *= -1
    for given in (mixed, -up, up, mixed, up):
        assert_same(batched(given), fg.vmap(fg.value_and_grad(branching))(given))


def test_a_global_that_changes_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    batched = fg.vmap(fg.grad(lambda x: np.sum(x * x) * scale))
    first = settle(batched, X)
    monkeypatch.setitem(globals(), "scale", 3.0)
    np.testing.assert_allclose(batched(X), first * 1.5)


def test_a_captured_array_that_changes_in_place_is_seen() -> None:
    w = W.copy()
    batched = fg.vmap(fg.grad(lambda x: np.sum(x * x * w)))
    settle(batched, X)
    w *= 2
    np.testing.assert_array_equal(batched(X), 2 * X * w)


def test_results_are_written_into_given_memory_and_never_over_what_is_read() -> None:
    w = W.copy()
    batched = fg.vmap(fg.grad(lambda x: np.sum(x * x * w)))
    expected = settle(batched, X)
    out = np.empty_like(X)
    before = answered(batched)
    batched.into(X, out)
    assert answered(batched) == before + 1
    np.testing.assert_array_equal(out, expected)
    x = X.copy()
    for overlapping in (x, x[::-1]):
        with pytest.raises(fg.InputError, match="shares memory"):
            batched.into(x, overlapping)
    np.testing.assert_array_equal(x, X)
    numbers = fg.vmap(fg.grad(lambda x: x * x * x))
    x = X[:, 0].copy()
    settle(numbers, x)
    with pytest.raises(fg.InputError, match="shares memory"):
        numbers.into(x, x)


def test_calls_within_a_recording_are_recorded() -> None:
    batched = fg.vmap(fg.grad(smooth))
    settle(batched, X)

    def total(s: float) -> Any:
        return np.sum(batched(s * X))

    step = 1e-6
    expected = (total(1.0 + step) - total(1.0 - step)) / (2 * step)
    np.testing.assert_allclose(fg.grad(total)(1.0), expected, rtol=1e-6)


def test_code_that_becomes_native_later_is_taken() -> None:
    batched = fg.vmap(fg.value_and_grad(smooth, tier="auto"))
    expected = settle(batched, X)
    (old,) = batched._fast.entries
    ((_, tiles, _),) = batched._small._entries[0]._made.values()
    native = fg.vmap(fg.value_and_grad(smooth, tier="native"))
    for _ in range(2):
        assert_same(native(X), expected)
    tiles.tier.addresses = next(iter(native._plans._plans[0].executor.tiers.values())).addresses
    old._record["remaining"] = 0  # Python looks
    assert_same(batched(X), expected)
    (new,) = batched._fast.entries
    assert new is not old
    assert_same(batched(X), expected)


def test_a_batch_after_single_calls_is_answered_by_the_kernels() -> None:
    program = """
import numpy as np, fastgrad as fg
gradient, x = fg.grad(lambda x: x * x), np.ones(8)
for _ in range(4):
    gradient(1.0)
batched = fg.vmap(gradient)  # whose module loads only now
for _ in range(6):
    batched(x)
print(batched._fast.calls["n_answered"][0])
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(found.stdout) > 0


def test_several_threads_at_once() -> None:
    batched = fg.vmap(fg.value_and_grad(smooth))
    expected = settle(batched, X)

    def work(_: int) -> None:
        for _ in range(300):
            assert_same(batched(X), expected)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_calls_in_a_class_and_by_name() -> None:
    batched: module.Batched = fg.vmap(fg.grad(smooth))
    expected = settle(batched, X)
    assert_same(batched(X, threads=1), expected)
    with pytest.raises(fg.InputError, match="threads"):
        batched(X, threads=0)
    with pytest.raises(TypeError):
        batched()


def settle_into(batched: Any, *args: Any, out: Any) -> None:
    """Call with ``out`` until the kernels answer."""
    for _ in range(6):
        batched(*args, out=out)
    assert answered_into(batched) > 0


def answered_into(batched: Any) -> int:
    return int(batched._small._writing.fast.calls["n_answered"][0])


@pytest.mark.parametrize("tier", ["vm", "native"])
@pytest.mark.parametrize("name", sorted(PROGRAMS.keys() - {"auxiliary data", "an output that is an input"}))
def test_out_is_written_as_the_long_way_would(name: str, tier: str) -> None:
    form, function, options, arguments = PROGRAMS[name]
    batched = fg.vmap(form(function, tier=tier), **options, tier=tier)
    expected = [fg.vmap(form(function, tier="vm"), **options)(*arguments(x)) for x in (X, X + 1.0)]
    leaves, structure = flatten(expected[0])
    out = structure.unflatten([np.full_like(leaf, np.nan) for leaf in leaves])
    for _ in range(3):
        for x, wanted in zip((X, X + 1.0), expected, strict=True):
            args = arguments(x)
            for _ in range(4):
                for leaf in flatten(out)[0]:
                    leaf[...] = np.nan
                assert_same(batched(*args, out=out), wanted)
                assert_same(out, wanted)


def test_out_is_written_by_the_kernels_and_checked_where_memory_changes() -> None:
    batched = fg.vmap(fg.value_and_grad(smooth))
    memory = np.zeros((3, *X.shape))
    x, gradient = memory[0], memory[1]
    x[...] = X
    expected = fg.vmap(fg.value_and_grad(smooth))(X)
    out = (np.empty(len(X)), gradient)
    settle_into(batched, x, out=out)
    before = answered_into(batched)
    batched(x, out=out)
    assert answered_into(batched) == before + 1
    assert_same(out, expected)
    locked = gradient.view()
    locked.flags.writeable = False
    for refused, message in (
        ((out[0], x), "shares memory"),
        ((x.reshape(-1)[: len(X)], gradient), "shares memory"),
        ((gradient.reshape(-1)[: len(X)], gradient), "shares memory"),
        ((out[0], memory.reshape(-1, 3)[100:300]), "shares memory"),
        ((out[0], locked), "read-only"),
        ((out[0], gradient[:-1]), "must have the shape"),
        ([*out], "nested"),
    ):
        with pytest.raises(fg.InputError, match=message):
            batched(x, out=refused)
    np.testing.assert_array_equal(x, X)
    other = np.full_like(gradient, np.nan)[:, ::-1]
    batched(x, out=(out[0], other))
    np.testing.assert_array_equal(other, expected[1])
    settle_into(batched, x[:50], out=(out[0][:50], gradient[:50]))
    wide = memory.reshape(-1, 3)  # the same place, more rows
    with pytest.raises(fg.InputError, match="shares memory"):
        batched(wide[:300], out=(np.empty(300), wide[200:500]))


def test_out_over_a_captured_array_is_refused() -> None:
    w = W.copy()
    batched = fg.vmap(lambda x: x * w)
    out = np.empty_like(X[:1])
    for _ in range(6):
        batched(X[:1], out=out)
    with pytest.raises(fg.InputError, match="shares memory"):
        batched(X[:1], out=w[None])
    np.testing.assert_array_equal(w, W)
