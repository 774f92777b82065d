"""``vmap``: of vmap, of every derivative, within recordings, with threads, as a method, in other processes."""

import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.config import resolve_threads
from tests.batch.programs import assert_same, branching, serially, smooth

RANDOM = np.random.default_rng(0)
CUBE = RANDOM.normal(size=(4, 5, 3))


def scaled(x: Any, scale: Any) -> Any:
    return np.sum(np.sin(x) * scale)


FORMS = {"grad": fg.grad, "value_and_grad": fg.value_and_grad, "hessian": fg.hessian, "jacobian": fg.jacobian}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("function", [smooth, branching])
def test_a_batch_of_batches_is_a_batch_of_all(function: Any, form: str) -> None:
    single = FORMS[form](function)
    found = fg.vmap(fg.vmap(single))(CUBE)
    flat = fg.vmap(single)(CUBE.reshape(20, 3))
    parts = flat if isinstance(flat, tuple) else (flat,)
    reshaped = tuple(part.reshape(4, 5, *part.shape[1:]) for part in parts)
    assert_same(found, reshaped if isinstance(flat, tuple) else reshaped[0])


AXES = {
    "both first": (0, 0, lambda cube: cube),
    "inner last": (0, 1, lambda cube: np.moveaxis(cube, 1, 2)),
    "outer last": (2, 0, lambda cube: np.moveaxis(cube, 0, 2)),
    "outer in the middle": (1, 0, lambda cube: np.moveaxis(cube, 0, 1)),
    "both last": (-1, -1, lambda cube: np.moveaxis(cube, (0, 1), (2, 1))),
}


@pytest.mark.parametrize("axes", AXES)
def test_levels_run_over_any_axes_in_and_out(axes: str) -> None:
    outer, inner, arranged = AXES[axes]
    expected = fg.vmap(fg.vmap(fg.grad(smooth)))(CUBE)
    batched = fg.vmap(fg.vmap(fg.grad(smooth), in_axes=inner, out_axes=inner), in_axes=outer, out_axes=outer)
    given = arranged(CUBE)
    found = batched(given)
    assert found.shape == given.shape
    assert_same(found, arranged(expected))
    out = np.full(given.shape, np.nan)
    assert batched(given, out=out) is out
    assert_same(out, found)


def test_a_level_may_leave_arguments_alone() -> None:
    scales, points = RANDOM.normal(size=4), RANDOM.normal(size=(5, 3))
    table = fg.vmap(fg.vmap(fg.grad(scaled), in_axes=(0, None)), in_axes=(None, 0))(points, scales)
    assert table.shape == (4, 5, 3)
    np.testing.assert_allclose(table, np.cos(points) * scales[:, None, None], rtol=1e-14)
    other = fg.vmap(fg.vmap(fg.grad(scaled), in_axes=(None, 0)), in_axes=(0, None))(points, scales)
    assert_same(other, np.ascontiguousarray(np.moveaxis(table, 0, 1)))


def test_three_levels_and_one_that_is_empty() -> None:
    deep = RANDOM.normal(size=(2, 3, 4, 3))
    three = fg.vmap(fg.vmap(fg.vmap(fg.grad(smooth))))
    assert_same(three(deep), fg.vmap(fg.grad(smooth))(deep.reshape(24, 3)).reshape(2, 3, 4, 3))
    assert three(deep[:, :0]).shape == (2, 0, 4, 3)
    assert repr(three) == "<vmap of <vmap of <vmap of <grad of smooth>>>>"


def test_products_with_tangents_and_cotangents_in_a_batch() -> None:
    x, v = RANDOM.normal(size=(2, 30, 3))
    assert_same(fg.vmap(fg.hvp(smooth))(x, v), serially(fg.vmap(fg.hvp(smooth)), x[:, None], v[:, None])[:, 0])
    np.testing.assert_allclose(
        fg.vmap(fg.hvp(smooth))(x, v),
        np.einsum("nij,nj->ni", fg.vmap(fg.hessian(smooth))(x), v),
        rtol=1e-11,
        atol=1e-12,
    )
    value, slope = fg.vmap(lambda x, v: fg.jvp(smooth, (x,), (v,)))(x, v)
    np.testing.assert_allclose(slope, np.sum(fg.vmap(fg.grad(smooth))(x) * v, axis=1), rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(value, fg.vmap(smooth)(x))


def test_results_may_be_the_same_for_all_examples() -> None:
    def function(x: Any, y: Any) -> Any:
        return {"own": x * y, "common": y + 1.0}

    batched = fg.vmap(function, in_axes=(0, None), out_axes={"own": 0, "common": None})
    found = batched(CUBE[0, :, 0], 2.0)
    np.testing.assert_array_equal(found["own"], 2 * CUBE[0, :, 0])
    assert found["common"] == 3.0
    assert np.shape(found["common"]) == ()
    with pytest.raises(fg.InputError, match=r"out_axes is None for the result, which is not the same for all examples"):
        fg.vmap(lambda x: x, out_axes=None)(CUBE[0, :, 0])
    with pytest.raises(fg.InputError, match="has no example to be taken from"):
        fg.vmap(lambda x: x, out_axes=None)(np.zeros(0))


def test_out_axes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(fg.InputError, match="out_axes must be an axis, None, or axes nested as the result is"):
        fg.vmap(fg.grad(smooth), out_axes=(0, 1))(CUBE[0])
    with pytest.raises(fg.InputError, match=r"the result has no axis 2 .* it has 2 dimensions"):
        fg.vmap(fg.grad(smooth), out_axes=2)(CUBE[0])


def test_text_beside_the_results_stays_as_it_is() -> None:
    gradient = fg.vmap(fg.grad(lambda x: (np.sum(x), "note"), has_aux=True), out_axes=1)
    slopes, note = gradient(CUBE[0])
    assert slopes.shape == (3, 5)
    assert note == "note"
    inside = fg.grad(lambda x: np.sum(gradient(x)[0] * x.T))
    np.testing.assert_array_equal(inside(CUBE[0]), np.ones((5, 3)))


@pytest.mark.parametrize("levels", [1, 2])
def test_derivatives_through_a_batch(levels: int) -> None:
    points = CUBE if levels == 2 else CUBE[0]
    inner = fg.grad(smooth)
    batched = fg.vmap(fg.vmap(inner)) if levels == 2 else fg.vmap(inner)
    found = fg.grad(lambda x: np.sum(batched(x) ** 2))(points)
    hessians = fg.vmap(fg.hessian(smooth))(points.reshape(-1, 3))
    slopes = fg.vmap(inner)(points.reshape(-1, 3))
    expected = 2 * np.einsum("nij,nj->ni", hessians, slopes).reshape(points.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    with pytest.raises(fg.InputError, match="out cannot be given while a function is being recorded"):
        fg.grad(lambda x: np.sum(batched(x, out=np.empty(points.shape))))(points)


class Curve:
    power = 3.0

    @fg.vmap
    def at(self, x: Any) -> Any:
        return x**self.power


def test_a_decorated_method_has_its_object() -> None:
    # the object is an argument, of which every example has the same
    batched = fg.vmap(Curve.at.function, in_axes=(None, 0))
    np.testing.assert_allclose(batched(Curve(), np.array([1.0, 2.0])), [1.0, 8.0])


def test_a_function_with_parameters_of_these_names_gets_them() -> None:
    def function(x: Any, out: Any) -> Any:
        return x * out

    np.testing.assert_array_equal(fg.vmap(function)(np.arange(3.0), out=np.arange(3.0)), np.arange(3.0) ** 2)
    results = np.empty(3)
    fg.vmap(function).into(np.arange(3.0), np.arange(3.0), results)
    np.testing.assert_array_equal(results, np.arange(3.0) ** 2)


def test_threads_are_as_many_as_asked_for() -> None:
    from fastgrad.batch import run

    examples, seen = CUBE.reshape(20, 3), []

    class Noting(run.Run):
        def __init__(self, *args: Any) -> None:
            seen.append(args[3])
            super().__init__(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastgrad.batch.batched.Run", Noting)
        fg.vmap(smooth, threads=3)(examples)
        fg.vmap(smooth, threads=3)(examples, threads=2)
        patch.setattr(fg.config, "threads", 5)
        fg.vmap(smooth)(examples)
    assert seen == [3, 2, 5]
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(fg.InputError, match="threads must be a whole number"):
            fg.vmap(smooth, threads=wrong)  # type: ignore[arg-type]
        with pytest.raises(fg.InputError, match="threads must be a whole number"):
            fg.vmap(smooth)(examples, threads=wrong)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
@pytest.mark.parametrize(
    ("stated", "n_processors", "expected"),
    [(None, 1, 1), ("1", None, 1), ("64", 1, 1), ("1,4", None, 1), ("nonsense", 1, 1), ("0", 1, 1)],
)
def test_the_default_obeys_affinity_and_omp_num_threads(
    stated: str | None, n_processors: int | None, expected: int
) -> None:
    code = "import os; " + (
        f"os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{n_processors}]); " * bool(n_processors)
    )
    code += "from fastgrad.config import resolve_threads; print(resolve_threads(None))"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    if stated is not None:
        environment["OMP_NUM_THREADS"] = stated
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(found.stdout) == expected
    assert resolve_threads(7) == 7


@fg.vmap
@fg.grad
def decorated(x: Any) -> Any:
    return np.sum(x**3)


PICKLED = {
    "grad": fg.grad(smooth),
    "vmap of grad": fg.vmap(fg.grad(branching), threads=1),
    "vmap of vmap": fg.vmap(fg.vmap(fg.hessian(smooth)), in_axes=1, out_axes=1),
    "decorated": decorated,
    "by two arguments": fg.value_and_grad(scaled, argnums=(0, 1)),
}


@pytest.mark.parametrize("name", PICKLED)
@pytest.mark.parametrize("used_before", [False, True])
def test_derivatives_of_functions_of_modules_are_pickled(name: str, used_before: bool) -> None:
    derivative = PICKLED[name]
    arguments = {"grad": (CUBE[0, 0],), "vmap of vmap": (CUBE,), "by two arguments": (CUBE[0, 0], 2.0)}
    args = arguments.get(name, (CUBE[0],))
    if used_before:
        for _ in range(3):
            derivative(*args)
    loaded = pickle.loads(pickle.dumps(derivative))
    assert (loaded is derivative) == (name == "decorated")
    assert repr(loaded) == repr(derivative)
    for _ in range(3):
        assert_same(loaded(*args), derivative(*args))


def test_a_derivative_of_a_lambda_is_pickled_with_cloudpickle_only() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    scale = np.array([1.0, 2.0, 3.0])
    gradient = fg.vmap(fg.grad(lambda x: np.sum(scale * x * x)))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(gradient)
    loaded = pickle.loads(cloudpickle.dumps(gradient))
    assert_same(loaded(CUBE[0]), gradient(CUBE[0]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_threads_of_its_own() -> None:
    examples = np.tile(CUBE.reshape(20, 3), (500, 1))
    batched = fg.vmap(fg.grad(smooth), threads=2)
    expected = batched(examples)
    child = os.fork()
    if child == 0:
        equal = np.array_equal(batched(examples), expected)
        os._exit(0 if equal else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize(
    "function",
    [lambda p: sum(a * a for a in p), lambda p: p[0] * 2.0, lambda p: p / len(p), fg.grad(lambda p: p[1] * p[0])],
)
def test_an_error_about_an_example_without_axes_says_what_an_example_is(function):
    with pytest.raises((TypeError, IndexError)) as caught:
        fg.vmap(function)(np.array([1.0, 2.0]))
    (note,) = caught.value.__notes__
    assert "one example at a time" in note
    assert "(p of shape (2,)). Pass one row for each example (x[None] for a single one)" in note
    assert fg.vmap(lambda p: p[0] * p[1])(np.array([[3.0, 2.0]])) == [6.0]


def test_an_error_of_another_kind_has_no_note_about_examples():
    with pytest.raises(TypeError) as caught:
        fg.vmap(lambda p: p + object())(np.array([1.0, 2.0]))
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("tier", ["vm", "native"])
def test_the_tier_of_vmap_holds_for_derivatives_and_inner_batches_too(tier: str) -> None:
    other = {"vm": "native", "native": "vm"}[tier]
    derivative = fg.value_and_grad(lambda x: np.sum(np.sin(x) * x), tier=other)
    x = np.linspace(-1, 1, 24).reshape(2, 3, 4)
    for mapped, given in ((fg.vmap(derivative, tier=tier), x[0]), (fg.vmap(fg.vmap(derivative), tier=tier), x)):
        assert mapped.derivative.tier == tier
        assert derivative.tier == other
        for found, expected in zip(
            mapped(given), (np.sum(np.sin(given) * given, -1), np.cos(given) * given + np.sin(given)), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)
    assert fg.vmap(derivative).derivative is derivative
