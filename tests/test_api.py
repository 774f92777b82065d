"""The public transforms: conventions, nesting, and what is refused."""

from __future__ import annotations

import itertools
import math
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastgrad as fg
from tests.derivative_checks import check

X = np.array([0.3, 1.2, -0.7])


def rosenbrock(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def rosenbrock_gradient(x: Any) -> Any:
    return autograd.grad(lambda x: anp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2))(x)


# ---- each transform


def test_gradient_agrees_with_autograd():
    assert_allclose(fg.grad(rosenbrock)(X), rosenbrock_gradient(X), rtol=1e-13)


def test_value_and_gradient():
    value, gradient = fg.value_and_grad(rosenbrock)(X)
    assert value == pytest.approx(rosenbrock(X), rel=1e-15)
    assert_array_equal(gradient, fg.grad(rosenbrock)(X))
    assert type(value) is np.float64


def test_hessian_agrees_with_autograd():
    assert_allclose(fg.hessian(rosenbrock)(X), autograd.jacobian(rosenbrock_gradient)(X), rtol=1e-12, atol=1e-12)


def test_hessian_vector_product_takes_the_vector_last():
    v = np.array([1.0, -2.0, 0.5])
    assert_allclose(fg.hvp(rosenbrock)(X, v), fg.hessian(rosenbrock)(X) @ v, rtol=1e-13)
    assert_allclose(fg.hvp(lambda a, b: np.sum(a**3 * b), argnums=1)(X, X, v), np.zeros(3))
    both = fg.hvp(lambda a, b: np.sum(a**2 * b), argnums=(0, 1))(X, X, (v, v))
    assert_allclose(both[0], 2 * X * v + 2 * X * v)
    assert_allclose(both[1], 2 * X * v)


@pytest.mark.parametrize("in_shape", [(), (3,), (2, 3), (0,), (1,)])
@pytest.mark.parametrize("out_shape", [(), (4,), (2, 2), (0,)])
def test_jacobians_have_the_shape_of_result_and_argument(in_shape, out_shape):
    weights = np.random.default_rng(1).standard_normal(out_shape + in_shape)
    axes = tuple(range(-len(in_shape), 0))
    found = fg.jacobian(lambda x: np.sum(weights * np.sin(x), axis=axes))(np.full(in_shape, 0.5))
    assert np.shape(found) == out_shape + in_shape
    assert_allclose(found, weights * math.cos(0.5), rtol=1e-14)


def test_jvp_and_vjp_conventions():
    def function(x: Any, y: Any) -> Any:
        return x * y, np.sum(x) * y

    out, tangent = fg.jvp(function, (X, 2.0), (np.ones(3), 10.0))
    assert_allclose(out[0], X * 2.0)
    assert_allclose(tangent[0], 2.0 + 10.0 * X)
    assert_allclose(tangent[1], 6.0 + 10.0 * X.sum())
    out, pullback = fg.vjp(function, X, 2.0)
    assert_allclose(out[1], 2.0 * X.sum())
    by_x, by_y = pullback((np.ones(3), 3.0))
    assert_allclose(by_x, 2.0 + 6.0 * np.ones(3))
    assert_allclose(by_y, X.sum() * 4.0)


def test_a_pullback_keeps_the_point_it_was_made_at():
    x = X.copy()
    _, pullback = fg.vjp(lambda x: x**2, x)
    x[:] = 0.0
    assert_allclose(pullback(np.ones(3))[0], 2 * X)


def test_record_gives_a_tape_of_arrays_and_floats():
    tape = fg.record(lambda x, n, y: x * n + y, X, 3, 2.0)
    assert tape.input_names == ("x", "y")
    assert tape.output_shapes == ((3,),)


def test_stop_gradient_has_derivative_zero_and_keeps_structures():
    def function(x: Any) -> Any:
        stopped = fg.stop_gradient({"a": x, "b": (x * 2.0, "text")})
        return np.sum(x * stopped["a"] + stopped["b"][0])

    assert_allclose(fg.grad(function)(X), X)
    assert_allclose(fg.hessian(function)(X), np.zeros((3, 3)))
    assert_allclose(fg.jvp(function, (X,), (np.ones(3),))[1], X.sum())
    assert fg.stop_gradient(3.0) == 3.0


@pytest.mark.parametrize("result", [3.0, 3, np.float64(3.0), np.array(3.0), True, np.int64(3)])
def test_a_result_that_does_not_depend_on_the_argument_has_derivative_zero(result):
    value, gradient = fg.value_and_grad(lambda x: result)(X)
    assert value == result
    assert_array_equal(gradient, np.zeros(3))
    assert_array_equal(fg.jacobian(lambda x: (result, np.ones(2)))(X)[1], np.zeros((2, 3)))
    assert_array_equal(fg.hessian(lambda x: result)(X), np.zeros((3, 3)))


def test_the_argument_itself_as_result():
    assert fg.grad(lambda x: x)(2.0) == 1.0
    assert_array_equal(fg.jacobian(lambda x: (x, x))(X)[1], np.eye(3))


def test_a_result_given_twice_counts_twice():
    _, pullback = fg.vjp(lambda x: (x * 2, x * 2), 1.0)
    assert pullback((1.0, 10.0)) == (22.0,)


# ---- arguments


def three(x: Any, y: Any, z: Any = 1.0) -> Any:
    return np.sum(x**2) * y + z**3 * y


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, 4 * X),
        (1, X @ X + 27.0),
        (2, 54.0),
        (-1, 54.0),
        (-3, 4 * X),
        ("y", X @ X + 27.0),
        ((0,), (4 * X,)),
        ((1, 0), (X @ X + 27.0, 4 * X)),
        ((0, -1), (4 * X, 54.0)),
        (("z", 0), (54.0, 4 * X)),
    ],
)
def test_argnums_by_position_from_the_end_and_by_name(argnums, expected):
    found = fg.grad(three, argnums)(X, 2.0, 3.0)
    assert type(found) is (tuple if isinstance(argnums, tuple) else type(expected) if np.ndim(expected) else np.float64)
    for one, other in zip(found if isinstance(found, tuple) else (found,),
                          expected if isinstance(expected, tuple) else (expected,), strict=True):  # fmt: skip
        assert_allclose(one, other, rtol=1e-14)


def test_arguments_by_name():
    assert fg.grad(three, "z")(X, 2.0, z=3.0) == pytest.approx(54.0)
    assert_allclose(fg.grad(three)(X, z=3.0, y=2.0), 4 * X)
    found = fg.grad(three, ("z", 0))(X, y=2.0, z=3.0)
    assert found[0] == pytest.approx(54.0)
    assert_allclose(found[1], 4 * X)
    assert fg.grad(lambda *, rate: rate**2, "rate")(rate=3.0) == 6.0


def test_other_arguments_of_any_kind():
    def function(x: Any, mode: str, n: int, data: Any, options: Any) -> Any:
        y = x if mode == "plain" else np.exp(x)
        for _ in range(n):
            y = y * options["factor"]
        return np.sum(y * data)

    gradient = fg.grad(function)
    data = np.array([1, 2, 3])
    assert_allclose(gradient(X, "plain", 2, data, {"factor": 3.0}), 9.0 * data)
    assert_allclose(gradient(X, "plain", 3, data, {"factor": 3.0}), 27.0 * data)
    assert_allclose(gradient(X, "exp", 0, data, {"factor": 3.0}), np.exp(X) * data)
    data[0] = 7
    assert_allclose(gradient(X, "plain", 2, data, {"factor": 3.0}), 9.0 * data)


def test_has_aux():
    def function(x: Any) -> Any:
        return np.sum(x**2), {"residual": x * 2.0, "note": "text", "n": 3, "mask": x > 0}

    gradient, aux = fg.grad(function, has_aux=True)(X)
    assert_allclose(gradient, 2 * X)
    assert_allclose(aux["residual"], 2 * X)
    assert (aux["note"], aux["n"]) == ("text", 3)
    assert_array_equal(aux["mask"], X > 0)
    assert aux["mask"].dtype == bool
    (value, aux), gradient = fg.value_and_grad(function, has_aux=True)(X)
    assert value == pytest.approx(X @ X)
    jacobian, aux = fg.jacobian(lambda x: (x**2, x[0]), has_aux=True)(X)
    assert_allclose(jacobian, np.diag(2 * X))
    hessian, aux = fg.hessian(function, has_aux=True)(X)
    assert_allclose(hessian, 2 * np.eye(3))
    assert_allclose(aux["residual"], 2 * X)


# ---- kinds of numbers


def test_float32_goes_in_and_comes_out():
    x = X.astype(np.float32)
    value, gradient = fg.value_and_grad(lambda x: np.sum(np.sin(x)))(x)
    assert (value.dtype, gradient.dtype) == (np.float32, np.float32)
    assert_array_equal(gradient, np.cos(x.astype(float)).astype(np.float32))
    assert fg.grad(lambda x: x * 2.0)(np.float32(1.5)).dtype == np.float32
    mixed = fg.grad(lambda x, y: np.sum(x * y), (0, 1))(x, X)
    assert (mixed[0].dtype, mixed[1].dtype) == (np.float32, np.float64)


@pytest.mark.parametrize("x", [3, np.int32(3), np.uint8(3), True, np.array([3, 1]), np.array([True, False])])
def test_whole_numbers_are_promoted(x):
    found = fg.grad(lambda x: np.sum(x**2 / 2))(x)
    assert found.dtype == np.float64
    assert_array_equal(found, np.asarray(x, float))


def test_numbers_and_0d_arrays_give_scalars():
    for x in (2.0, np.float64(2.0), np.array(2.0)):
        found = fg.grad(lambda x: x**2)(x)
        assert type(found) is np.float64
        assert found == 4.0


def test_empty_arrays():
    empty = np.zeros((0, 3))
    assert fg.grad(lambda x: np.sum(x**2))(empty).shape == (0, 3)
    assert fg.hessian(lambda x: np.sum(x**2))(np.zeros(0)).shape == (0, 0)
    assert fg.value_and_grad(np.sum)(empty)[0] == 0.0
    assert fg.hvp(lambda x: np.sum(x**2))(empty, empty).shape == (0, 3)


@pytest.mark.parametrize("x", [X[::-1], np.asfortranarray(np.outer(X, X)), np.outer(X, X)[:, ::2], X.astype(">f8")])
def test_arguments_of_any_memory_layout(x):
    assert_allclose(fg.grad(lambda x: np.sum(np.sin(x)))(x), np.cos(x), rtol=1e-15)


def test_arguments_are_not_changed_nor_shared_with_results():
    x = X.copy()
    gradient = fg.grad(lambda x: np.sum(x**2))
    first = gradient(x)
    second = gradient(x)
    first[:] = 0.0
    assert_array_equal(second, 2 * X)
    assert_array_equal(x, X)
    value = fg.jvp(lambda x: x, (x,), (x,))[0]
    value[:] = 9.0
    assert_array_equal(x, X)


# ---- derivatives within functions


def test_perturbations_are_not_confused():
    # Siskind and Pearlmutter, Nesting forward-mode AD in a functional framework (2008)
    def function(x: Any) -> Any:
        return x * fg.grad(lambda y: x + y)(1.0)

    assert fg.grad(function)(1.0) == 1.0
    assert fg.grad(lambda x: x * fg.grad(lambda y: x * y)(2.0))(3.0) == 6.0
    assert fg.grad(lambda x: x * fg.jvp(lambda y: x + y, (1.0,), (1.0,))[1])(1.0) == 1.0
    assert fg.jvp(lambda x: x * fg.grad(lambda y: x + y)(1.0), (1.0,), (1.0,))[1] == 1.0
    # Manzyuk and others, Perturbation confusion in forward automatic differentiation of higher-order functions (2019)
    assert fg.grad(lambda x: fg.grad(lambda y: y * fg.grad(lambda z: x * y * z)(x))(x))(2.0) == 8.0


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_of_derivatives(order):
    derivative = lambda x: np.sin(x) * x  # noqa: E731
    for _ in range(order):
        derivative = fg.grad(derivative)
    x = 0.7
    exact = [
        math.sin(x) + x * math.cos(x),
        2 * math.cos(x) - x * math.sin(x),
        -3 * math.sin(x) - x * math.cos(x),
        -4 * math.cos(x) + x * math.sin(x),
    ]
    assert derivative(x) == pytest.approx(exact[order - 1], rel=1e-13)


NESTED = {
    "grad": lambda f: fg.grad(f),
    "jacobian": lambda f: lambda x: np.sum(fg.jacobian(lambda y: y * f(y))(x)),
    "hessian": lambda f: lambda x: np.sum(fg.hessian(f)(x) ** 2),
    "value_and_grad": lambda f: lambda x: fg.value_and_grad(f)(x)[0] * np.sum(fg.value_and_grad(f)(x)[1]),
    "jvp": lambda f: lambda x: fg.jvp(f, (x,), (x * 2.0,))[1],
    "vjp": lambda f: lambda x: fg.vjp(f, x)[1](fg.vjp(f, x)[0])[0],
    "hvp": lambda f: lambda x: fg.hvp(f)(x, np.cos(x)),
}


@pytest.mark.parametrize(("outer", "inner"), list(itertools.product(NESTED, NESTED)))
def test_every_transform_inside_every_other(outer, inner):
    def function(x: Any) -> Any:
        return np.sum(np.exp(x * 0.5) * x[::-1])

    def scalar_of(name: str, f: Any) -> Any:
        return lambda x: np.sum(NESTED[name](f)(x))

    check(scalar_of(outer, scalar_of(inner, function)), np.array([0.3, 0.8]))


def test_inner_derivatives_by_captured_and_by_plain_values():
    data = np.array([1.0, 2.0])
    function = lambda x: np.sum(fg.grad(lambda y: np.sum(y**2 * x))(data)) * x  # noqa: E731
    assert fg.grad(function)(3.0) == pytest.approx(2 * 2 * data.sum() * 3.0)
    assert fg.grad(lambda x: fg.grad(lambda y: y**2)(4.0) * x)(3.0) == 8.0


def test_a_branch_in_an_inner_function_is_guarded_in_the_outer_one():
    gradient = fg.grad(lambda x: fg.grad(lambda y: y * x * x if y * x > 1 else y * x)(2.0))
    assert [float(gradient(x)) for x in (3.0, 0.1, 4.0, 0.2)] == [6.0, 1.0, 8.0, 1.0]


def test_derivatives_of_methods():
    class Model:
        rate = 3.0

        @fg.grad
        def bound(self, x: Any) -> Any:
            return self.rate * x**2

        def value(self, x: Any) -> Any:
            return self.rate * x**2

    assert fg.grad(Model().value)(2.0) == 12.0
    model = Model()
    assert fg.grad(lambda x: model.value(x))(2.0) == 12.0
    gradient = fg.grad(Model.value, argnums=1)
    assert gradient(model, 2.0) == 12.0


# ---- wrong use


def raises(error: type, message: str, call: Any) -> None:
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == message


REAL = "Pass real numbers (float64, float32 or whole numbers), or choose argnums that leave this argument out."


@pytest.mark.parametrize(
    ("x", "what"),
    [
        (1j, "a complex number"),
        (np.complex128(1), "a complex number"),
        (np.ones(2, complex), "an array of complex numbers"),
        ("text", "text"),
        (np.array(["a"]), "an array of text"),
        (np.array([None]), "an array of Python objects"),
        (None, "NoneType"),
        (np.array(["2020-01-01"], "M8[D]"), "an array of dates"),
        (np.longdouble(1), "an array of " + str(np.dtype(np.longdouble))),
    ],
)
def test_arguments_that_cannot_be_differentiated(x, what):
    for transform in (fg.grad, fg.jacobian, fg.hessian):
        raises(
            fg.InputError,
            f"positional argument 0 holds {what}, which cannot be differentiated. {REAL}",
            lambda transform=transform: transform(lambda x: 1.0)(x),
        )


ONE_NUMBER = "grad needs a function that returns one number; <lambda> returned "
OR_JACOBIAN = "Use jacobian, or has_aux=True for what comes beside the number."
NO_NUMBER = (
    "which cannot be differentiated. Return real numbers or arrays (in any nesting of tuples, lists and dicts), other "
    "things beside them with has_aux=True."
)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x, ONE_NUMBER + "an array of shape (3,). Sum it, or use jacobian."),
        (lambda x: (x[0], x[1]), ONE_NUMBER + "2 values. " + OR_JACOBIAN),
        (lambda x: [x[0]], ONE_NUMBER + "one value inside a container. " + OR_JACOBIAN),
        (lambda x: None, "the function returned NoneType, " + NO_NUMBER),
        (lambda x: "a", "the function returned str, " + NO_NUMBER),
        (lambda x: 1j, "the function returned complex, " + NO_NUMBER),
    ],
)
def test_results_that_cannot_be_differentiated(function, message):
    raises(fg.InputError, message, lambda: fg.grad(function)(X))


@pytest.mark.parametrize("result", [1.0, (1.0, 2.0, 3.0), [1.0, 2.0]])
def test_has_aux_needs_a_pair(result):
    raises(
        fg.InputError,
        "with has_aux=True the function must return a pair (value, auxiliary data); "
        f"it returned {type(result).__name__}.",
        lambda: fg.grad(lambda x: result, has_aux=True)(1.0),
    )


@pytest.mark.parametrize("empty", [(), [], {}, {"a": ()}])
def test_an_empty_argument(empty):
    raises(
        fg.InputError,
        "positional argument 0 is empty: there is nothing to differentiate by. Choose other argnums.",
        lambda: fg.grad(lambda x: 1.0)(empty),
    )


@pytest.mark.parametrize(
    ("argnums", "given"),
    [
        (1, "1 positional argument"),
        (-2, "1 positional argument"),
        ("w", "1 positional argument"),
        ((0, 3), "1 positional argument"),
    ],
)
def test_argnums_that_name_no_argument(argnums, given):
    wrong = argnums[1] if isinstance(argnums, tuple) else argnums
    raises(
        fg.InputError,
        f"argnums names argument {wrong!r}, but the call has {given}. "
        "Give the position of a positional argument or the name of one passed by name.",
        lambda: fg.grad(lambda x: x, argnums)(1.0),
    )


@pytest.mark.parametrize("argnums", [None, 1.0, (), [0], (0, 1.5), True, (True,)])
def test_argnums_of_the_wrong_kind(argnums):
    raises(
        fg.InputError,
        f"argnums must be an int, a name, or a tuple of these; it is {argnums!r}.",
        lambda: fg.grad(lambda x: x, argnums),
    )


@pytest.mark.parametrize("argnums", [(0, 0), (0, -2), ("x", 0)])
def test_argnums_that_name_an_argument_twice(argnums):
    with pytest.raises(fg.InputError, match="twice"):
        fg.grad(lambda x, y: x * y, argnums)(1.0, 2.0)


def test_not_a_function():
    raises(fg.InputError, "grad takes a function; it got float.", lambda: fg.grad(1.0))
    raises(fg.InputError, "hessian takes a function; it got ndarray.", lambda: fg.hessian(X))


def test_no_inputs_at_all():
    with pytest.raises(fg.InputError, match="argnums names argument 0, but the call has 0 positional arguments"):
        fg.grad(lambda: 1.0)()


@pytest.mark.parametrize("tier", ["fast", "", 3])
def test_unknown_tiers(tier):
    with pytest.raises(fg.InputError, match="tier must be one of"):
        fg.grad(lambda x: x, tier=tier)


def test_tangents_and_cotangents_that_do_not_fit():
    f = lambda x: x * 2.0  # noqa: E731
    for call, message in [
        (
            lambda: fg.jvp(f, (X,), (np.ones(2),)),
            r"the tangent must hold real numbers in shape \(3,\); it has float64 in \(2,\)",
        ),
        (lambda: fg.jvp(f, (X,), ((X,),)), "the tangent must be nested as the argument is"),
        (lambda: fg.jvp(f, (X,), (X * 1j,)), "the tangent must hold real numbers"),
        (lambda: fg.jvp(f, X, X), "jvp takes a tuple of primals and a tuple of as many tangents"),
        (lambda: fg.jvp(f, (X,), (X, X)), "jvp takes a tuple of primals and a tuple of as many tangents"),
        (lambda: fg.vjp(f, X)[1](1.0), r"the cotangent must hold real numbers in shape \(3,\)"),
        (lambda: fg.vjp(f, X)[1]((X,)), "the cotangent must be nested as the function's result is"),
        (lambda: fg.hvp(np.sum)(X, X[:2]), r"the tangent must hold real numbers in shape \(3,\)"),
    ]:
        with pytest.raises(fg.InputError, match=message):
            call()


# ---- prepared calls


def test_prepared_calls_write_into_the_callers_array():
    prepared = fg.grad(rosenbrock).prepare(X)
    out = np.full(6, 7.0)
    prepared.into(X, out[::2])
    assert_allclose(out, np.stack([fg.grad(rosenbrock)(X), np.full(3, 7.0)], 1).ravel())
    assert_array_equal(prepared(X + 1.0), fg.grad(rosenbrock)(X + 1.0))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            (np.ones(4), np.ones(4)),
            r"this was prepared for arguments of shapes \[\(3,\)\]; these have shapes \[\(4,\)\]",
        ),
        ((X, np.ones(4)), r"out must be a float64 array of shape \(3,\); it is float64 of shape \(4,\)"),
        ((X, np.ones(3, np.float32)), r"out must be a float64 array of shape \(3,\); it is float32 of shape \(3,\)"),
        ((X, [0.0] * 3), "out must be nested as the result is"),
        ((X, 1.0), r"out must be a float64 array of shape \(3,\); it is float"),
        ((X, np.broadcast_to(1.0, 3)), "out is read-only"),
    ],
)
def test_prepared_calls_check_what_they_are_given(args, message):
    for n_calls in (0, 3):
        prepared = fg.grad(rosenbrock).prepare(X)
        for _ in range(n_calls):
            prepared.into(X, np.empty(3))
        with pytest.raises(fg.InputError, match=message):
            prepared.into(*args)


def test_explain_says_what_runs():
    gradient = fg.grad(lambda x: np.sum(x**2) if x[0] > 0 else np.sum(x), tier="vm")
    gradient(-X)
    found = gradient.explain(X)
    assert (found.tier, found.cached_branches, len(found.guards)) == ("vm", 2, 1)
    assert found.operations == 5
    assert 0 < found.run_seconds < 1
    assert found.workspace_bytes > 0
    assert f"{__file__}:" in found.guards[0]
    assert str(found).startswith("grad of <lambda>, tier vm: tier is 'vm'\n  recorded      5 operations in ")


def test_a_derivative_looks_like_its_function():
    gradient = fg.grad(rosenbrock)
    assert (gradient.__name__, repr(gradient)) == ("rosenbrock", "<grad of rosenbrock>")
    assert fg.hvp(rosenbrock).__name__ == "rosenbrock"
