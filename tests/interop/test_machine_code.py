"""What is compiled for other languages: one way for each example, names and nesting, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.interop.machine_code import MachineCode, derivative_of, machine_code


def made(function: Any, *examples: tuple[Any, ...], derivative: str | None = None, argnums: Any = None) -> MachineCode:
    return machine_code(derivative_of(function, derivative, argnums), examples)


def two_ways(x: Any) -> Any:
    if x[0] > 0:
        return np.sum(x)
    return np.sum(x * x)


UP, DOWN = np.array([1.0, 2.0]), np.array([-1.0, 2.0])


def test_each_way_is_compiled_once() -> None:
    assert len(made(two_ways, (UP,), (DOWN,), (2 * UP,)).ways) == 2


def test_names_and_nesting_of_what_goes_in_and_comes_out() -> None:
    def f(p: Any, scale: Any, power: int) -> Any:
        return {"total": p["x"] ** power * scale, "parts": [np.sum(p["x"]), p["y"]]}

    code = made(f, ({"x": UP, "y": 3.0}, 2.0, 3), derivative="jvp")
    assert [array.name for array in code.inputs] == ["p['x']", "p['y']", "scale"]
    assert [array.shape for array in code.arguments] == [(2,), (), (), (2,), ()]
    assert [array.name for array in code.seeds] == ["tangent_p['x']", "tangent_p['y']"]
    # items of dicts are numbered by their sorted keys, and nested in their own order
    assert [array.shape for array in code.results] == 2 * [(), (), (2,)]
    assert code.nesting == ((2, (0, 1)), (5, (3, 4)))


NAMES = {
    "value": ([], ["value"]),
    "gradient": ([], ["gradient_x"]),
    "value_and_gradient": ([], ["value", "gradient_x"]),
    "jacobian": ([], ["jacobian_value_x"]),
    "hessian": ([], ["hessian_x_x"]),
    "hvp": (["vector_x"], ["product_x"]),
    "vjp": (["cotangent_value"], ["value", "cotangent_x"]),
    "jvp": (["tangent_x"], ["value", "tangent_value"]),
}


@pytest.mark.parametrize("derivative", NAMES)
def test_names_of_every_derivative(derivative: str) -> None:
    code = made(two_ways, (UP,), derivative=derivative)
    assert [[array.name for array in arrays] for arrays in (code.seeds, code.results)] == list(NAMES[derivative])


def test_a_derivative_is_taken_as_it_is() -> None:
    code = made(fg.grad(lambda x, y: x * y, (1, 0)), (2.0, 3.0))
    assert [array.name for array in code.results] == ["gradient_x", "gradient_y"]
    assert code.nesting == (1, 0)


def test_the_digest_tells_code_data_and_lines_apart() -> None:
    def scaled(data: Any) -> Any:
        return lambda x: np.sum(x * data)

    data = np.ones(2)
    same = made(scaled(data), (UP,)).digest()
    assert made(scaled(data.copy()), (UP,)).digest() == same
    others = [made(scaled(2 * data), (UP,)), made(scaled(data), (UP,), derivative="gradient"), made(two_ways, (UP,))]
    assert len({same, *(code.digest() for code in others)}) == 4


REFUSED: dict[str, tuple[Any, list[Any], dict[str, Any], str]] = {
    "another shape in an example": (two_ways, [(UP,), (np.ones(3),)], {}, "all examples must have the shapes"),
    "another whole number in an example": (lambda x, n: x**n, [(UP, 2), (UP, 3)], {}, "the same whole numbers"),
    "a derivative of a derivative": (
        fg.grad(two_ways),
        [(UP,)],
        {"derivative": "gradient"},
        "is a derivative already: leave derivative= and argnums= out",
    ),
    "an unknown derivative": (two_ways, [(UP,)], {"derivative": "slope"}, "derivative must be one of 'value', 'grad"),
    "auxiliary results": (fg.grad(lambda x: (x, x), has_aux=True), [(2.0,)], {}, "leave has_aux=True out"),
    "a gradient of an array": (lambda x: x, [(UP,)], {"derivative": "gradient"}, "needs a function that returns one"),
    "results of other shapes": (
        lambda x: x if x[0] > 0 else x[:1],
        [(UP,), (DOWN,)],
        {},
        "has results of other shapes on the ways of other examples",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str) -> None:
    function, examples, options, message = REFUSED[case]
    with pytest.raises(fg.InputError, match=message):
        made(function, *examples, **options)


def written_into(x: Any, y: Any) -> Any:
    x[0] = y[1]
    return np.sum(x * y)


WHOLE = np.arange(2)
UNSUPPORTED: dict[str, tuple[Any, tuple[Any, ...], str]] = {
    "LAPACK": (lambda a: np.linalg.eigvalsh(a)[0], (np.eye(3),), r"eigvalsh cannot become .*\(at .*test_machine_code"),
    "positions that are computed": (
        lambda x: UP[np.argmax(x)] * x,
        (UP,),
        "only NumPy and LAPACK do here: compute it beforehand",
    ),
    "writing into one of several arguments": (written_into, (UP, DOWN), "Have it write into a copy"),
    "whole numbers captured": (
        lambda x: np.sum(x * WHOLE),
        (UP,),
        "must hold float64 in C order. Convert them",
    ),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_cannot_become_machine_code_is_refused(case: str) -> None:
    function, example, message = UNSUPPORTED[case]
    with pytest.raises(fg.UnsupportedError, match=message):
        made(function, example)


def test_read_only_arrays_may_be_captured_in_any_layout_and_dtype() -> None:
    matrix, whole, order = np.arange(6.0).reshape(2, 3).copy(), np.array([3, 4]), np.array([1, 0])

    def f(x: Any) -> Any:
        return np.sum((matrix.T @ x) ** 2) + np.sum(whole * x) + np.sum(matrix[:, ::2] @ x[order]) + x[order][0]

    with pytest.raises(fg.UnsupportedError, match="must hold float64 in C order"):
        made(f, (UP,))
    view = matrix.T
    for array in (matrix, whole, order):
        array.flags.writeable = False
    assert view.flags.writeable  # so that its memory can still change
    with pytest.raises(fg.UnsupportedError, match="must hold float64 in C order"):
        made(lambda x: view @ x, (UP,))
    code = made(fg.value_and_grad(f), (UP,))
    way = code.ways[0].entry
    value, gradient = np.empty(()), np.empty(2)
    arrays = [UP, *way.captured]
    inputs, outputs = (np.array([a.ctypes.data for a in group]) for group in (arrays, (value, gradient)))
    workspace = np.empty(way.workspace)
    assert way.function(inputs.ctypes.data, outputs.ctypes.data, workspace.ctypes.data) == -1
    expected = fg.value_and_grad(f)(UP)
    np.testing.assert_allclose(value, expected[0], rtol=1e-15)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-15)


def test_compiling_while_another_function_is_recorded_is_refused() -> None:
    def outer(x: Any) -> Any:
        made(two_ways, (UP,))
        return x

    with pytest.raises(fg.UnsupportedError, match="while another is recorded"):
        fg.grad(outer)(2.0)


def test_an_example_that_its_own_code_does_not_take_is_refused() -> None:
    """Where NumPy and machine code differ in the last bit of what is compared."""
    points = np.random.default_rng(0).uniform(1.0, 2.0, 2000)
    differing = next(x for x in points if fg.vmap(np.exp)(np.array([x]))[0] != np.exp(x))
    bound = float(np.exp(differing))

    def f(x: Any) -> Any:
        return x if np.exp(x) == bound else 2 * x

    with pytest.raises(fg.UnsupportedError, match="hangs on the last bit"):
        made(f, (float(differing),))
