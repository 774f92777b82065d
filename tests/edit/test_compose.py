"""Tapes joined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastgrad as fg

N = 4
MATRIX = np.random.default_rng(1).normal(size=(N, N))
# functions from R^4 to R^4, smooth where they are used
FUNCTIONS: dict[str, Any] = {
    "sin": np.sin,
    "shift": lambda x: x - 0.5,
    "product": lambda x: MATRIX @ x,
    "cumsum": np.cumsum,
    "softmax": lambda x: np.exp(x) / np.sum(np.exp(x)),
    "slices": lambda x: np.concatenate([x[1:] * x[:-1], x[:1]]),
    "sorted": lambda x: np.sort(x) * np.arange(1.0, 5.0),
    "solve": lambda x: np.linalg.solve(MATRIX + np.outer(x, x), x),
    "fft": lambda x: np.abs(np.fft.fft(x + 0.1)) ** 2,
}
NAMES = st.sampled_from(sorted(FUNCTIONS))
POINT = np.array([0.3, -0.8, 1.2, 0.1])


def tape_of(name: str) -> fg.Tape:
    return fg.record(FUNCTIONS[name], POINT)


@settings(deadline=None)
@given(NAMES, NAMES)
def test_the_jacobian_of_a_composition_is_the_product_of_the_jacobians(inner: str, outer: str) -> None:
    f, g = FUNCTIONS[inner], FUNCTIONS[outer]
    composed = (tape_of(inner) >> tape_of(outer)).validate()
    between = f(POINT)
    assert_allclose(composed(POINT), g(between), rtol=1e-12, atol=1e-12)
    expected = fg.jacobian(g)(between) @ fg.jacobian(f)(POINT)
    size = np.max(np.abs(expected))
    assert_allclose(fg.jacobian(composed)(POINT), expected, rtol=1e-9, atol=1e-11 * size)


@settings(deadline=None)
@given(NAMES, NAMES, NAMES)
def test_composition_is_associative(a: str, b: str, c: str) -> None:
    f, g, h = map(tape_of, (a, b, c))
    left, right = (f >> g) >> h, f >> (g >> h)
    assert_array_equal(left(POINT), right(POINT))
    assert left == right


@settings(deadline=None)
@given(NAMES, NAMES)
def test_tapes_side_by_side_give_what_each_gives(a: str, b: str) -> None:
    both = fg.parallel(tape_of(a), tape_of(b)).validate()
    for found, name, point in zip(both(POINT, -POINT), (a, b), (POINT, -POINT), strict=True):
        assert_allclose(found, tape_of(name)(point), rtol=1e-14, atol=1e-14)


def test_a_function_into_three_dimensions_is_three_graphs_over_one_input() -> None:
    parts = [fg.record(f, 0.3) for f in (lambda t: np.cos(t), lambda t: np.sin(t), lambda t: t / 5)]
    helix = fg.parallel(*parts, share=["t"])
    assert helix.input_names == ("t",)
    assert_allclose(helix(0.7), (np.cos(0.7), np.sin(0.7), 0.14))
    slopes = [fg.grad(part)(0.7) for part in parts]
    assert_allclose([fg.grad(lambda t, k=k: helix.to_function()(t)[k])(0.7) for k in range(3)], slopes)


def test_outputs_and_inputs_are_joined_by_names() -> None:
    f = fg.record(lambda x: {"width": np.sin(x), "height": np.cos(x)}, 1.0)
    g = fg.record(lambda height, depth, width: width * height - depth, 1.0, 1.0, 1.0)
    joined = f >> g
    assert joined.input_names == ("x", "depth")
    assert_allclose(joined(0.4, 0.1), np.sin(0.4) * np.cos(0.4) - 0.1)
    crossed = fg.compose(g, f, {"depth": "width", "height": "height"})
    assert crossed.input_names == ("x", "width")
    assert_allclose(crossed(0.4, 2.0), 2.0 * np.cos(0.4) - np.sin(0.4))


def test_no_output_of_the_inner_tape_is_lost() -> None:
    f = fg.record(lambda x: {"width": np.sin(x), "rest": np.cos(x)}, 1.0)
    g = fg.record(lambda width: width**2, 1.0)
    with pytest.raises(fg.InputError, match="nothing takes output 'rest' of the inner tape"):
        f >> g
    kept = fg.compose(g, f, keep=["rest"])
    assert_allclose(kept(0.4), (np.cos(0.4), np.sin(0.4) ** 2))
    assert (f.select("width") >> g)(0.4) == np.sin(0.4) ** 2


def test_shapes_that_do_not_fit_are_named_at_both_ends() -> None:
    f, g = fg.record(lambda x: fg.name(x[1:], "tail"), np.ones(4)), fg.record(lambda y: y * y, np.ones(4))
    with pytest.raises(
        fg.InputError,
        match=r"output '\w+' of the inner tape has shape \(3,\); input 'y' of the outer tape takes shape \(4,\)",
    ):
        f >> g


def test_a_plain_function_is_recorded_for_the_shapes_of_the_inner_tape() -> None:
    f = tape_of("sin")
    assert_array_equal((f >> np.cumsum)(POINT), np.cumsum(np.sin(POINT)))
    with pytest.raises(fg.InputError, match="needs a tape as its inner function, not function"):
        fg.compose(f, lambda x: x)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        f >> 3


def test_parts_are_put_into_groups_and_keep_their_names() -> None:
    def layer(x: Any, kernel: Any) -> Any:
        return fg.name(np.tanh(kernel @ x), "output")

    tape = fg.record(layer, POINT, MATRIX)
    network = fg.compose(tape, tape, {"x": "output"}, groups=("first", "second")).validate()
    assert network.input_names == ("first/x", "first/kernel", "second/kernel")
    assert set(network.groups) == {"first", "second"}
    assert network.node_names == ("first/output", "second/output")


def test_what_parts_share_is_computed_once() -> None:
    inner = fg.record(lambda x: fg.name(np.exp(x), "e"), POINT)
    outer = fg.record(lambda a, b: a * b, POINT, POINT)
    joined = fg.compose(outer, inner, {"a": "e", "b": "e"})
    assert [node.operation for node in joined.nodes] == ["input", "exp", "multiply"]


def test_partial_application_and_its_inverse() -> None:
    tape = fg.record(lambda x, y: x - y, 1.0, 2.0)
    given_y = fg.partial(tape, y=10.0)
    assert given_y(1.0) == -9.0
    assert given_y.constants_to_inputs("y") == tape
    with pytest.raises(fg.InputError, match="no node named 'z'"):
        fg.partial(tape, z=1.0)


def test_only_what_several_tapes_have_can_be_shared() -> None:
    x, y = fg.record(lambda x: x * x, 1.0), fg.record(lambda x: np.sum(x), np.ones(3))
    with pytest.raises(fg.InputError, match=r"'x' cannot be shared: it has shape \(\) in one tape and \(3,\)"):
        fg.parallel(x, y, share=["x"])
    with pytest.raises(fg.InputError, match="input 'q' cannot be shared"):
        fg.parallel(x, y, share=["q"])
    assert fg.parallel(x, y).input_names == ("x", "x_2")


def test_guards_of_both_parts_are_kept() -> None:
    f = fg.record(lambda x: np.sin(x) if x > 0 else x, 1.0)
    g = fg.record(lambda y: y * y if y < 0.9 else y, 0.5)
    joined = f >> g
    assert joined(0.5) == np.sin(0.5) ** 2
    for outside in (-1.0, np.pi / 2):
        with pytest.raises(fg.InputError, match="another way"):
            joined(outside)


def test_inputs_of_both_parts_may_be_one() -> None:
    f = fg.record(lambda x, scale: fg.name(np.sin(scale * x), "s"), 0.3, 2.0)
    g = fg.record(lambda s, scale, x: s * scale + x, 0.3, 2.0, 1.0)
    assert fg.compose(g, f).input_names == ("x", "scale", "scale_2", "x_2")
    for share, names in (("scale", ("x", "scale", "x_2")), (["scale", "x"], ("x", "scale")), (True, ("x", "scale"))):
        assert fg.compose(g, f, share=share).validate().input_names == names
    assert fg.compose(g, f, share=True)(0.3, 2.0) == np.sin(2.0 * 0.3) * 2.0 + 0.3
    with pytest.raises(fg.InputError, match="input 's' cannot be shared: both tapes must have it, and nothing give it"):
        fg.compose(g, f, share="s")
    other = fg.record(lambda s, x: s * np.sum(x), 0.3, np.ones(2))
    with pytest.raises(fg.InputError, match=r"'x' cannot be shared: it has shape \(\) in one tape and \(2,\)"):
        fg.compose(other, f, share=True)


def test_one_name_may_stand_for_a_list_of_one() -> None:
    f = fg.record(lambda x: {"width": np.sin(x), "rest": np.cos(x)}, 1.0)
    g = fg.record(lambda width: width**2, 1.0)
    assert fg.compose(g, f, keep="rest") == fg.compose(g, f, keep=["rest"])
    assert fg.parallel(f, f, share="x").input_names == ("x",)


def test_a_plain_function_takes_outputs_by_its_parameters_names() -> None:
    f = fg.record(lambda x: {"a": x * 1.5, "b": np.stack([x, x])}, 1.0)
    expected = f(5.0)[0] - 2 * f(5.0)[1]
    assert_array_equal(fg.compose(lambda b, a: a - 2 * b, f)(5.0), expected)
    assert_array_equal(fg.compose(lambda p, q: q - 2 * p, f, {"p": "b", "q": "a"})(5.0), expected)


def test_parallel_needs_tapes_and_a_group_for_each() -> None:
    for tapes, groups in (((), ()), ((tape_of("sin"),), ("a", "b"))):
        with pytest.raises(fg.InputError, match="parallel takes one or more tapes and, if any, a group for each"):
            fg.parallel(*tapes, groups=groups)
