"""Tapes that are called, and the functions and derivatives made of them."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastgrad as fg
from fastgrad.tape import Tape
from tests.tapes import ANALYTIC, interpret, jacobians


def model(x: Any, w: Any) -> Any:
    with fg.group("encoder"):
        hidden = fg.name(np.tanh(w @ x), "hidden")
    return {"loss": np.sum(hidden**2), "hidden": hidden}


X, W = np.array([0.3, -0.7]), np.arange(6.0).reshape(3, 2)
TAPE = fg.record(model, X, W)


def branching(x: Any, y: Any) -> Any:
    if x > 0:
        return x * y
    return y


@pytest.mark.parametrize("name", ANALYTIC)
def test_a_tape_computes_what_the_function_does(name: str) -> None:
    function, operands = ANALYTIC[name]
    tape = fg.record(function, *operands)
    other = tuple(1.01 * x for x in operands)
    assert_allclose(tape(*other), function(*other), rtol=1e-13, atol=1e-15)
    (interpreted,) = interpret(tape, other)
    assert_allclose(tape(*other), interpreted, rtol=1e-13, atol=1e-15)


def test_inputs_are_given_in_order_or_by_name_and_outputs_come_in_order_or_by_name() -> None:
    expected = model(X, W)
    for found in (TAPE(X, W), TAPE(X, w=W), TAPE(w=W.tolist(), x=np.stack([X, X], 1)[:, 0])):
        assert [type(value) for value in found] == [np.ndarray, np.float64]
        assert_allclose(found[0], expected["hidden"], rtol=1e-13)
        assert_allclose(found[1], expected["loss"], rtol=1e-13)
    function = TAPE.to_function(as_dict=True)
    named = function(X, w=W)
    assert list(named) == ["hidden", "loss"]
    assert_allclose(named["loss"], expected["loss"], rtol=1e-13)
    assert str(inspect.signature(function)) == "(x, w)"
    assert repr(function) == f"<function of {repr(TAPE)[1:-1]}>"


def test_results_are_memory_of_their_own_and_inputs_are_not_changed() -> None:
    tape = fg.record(lambda x: (x, x[::-1]), np.ones(3))
    given = np.array([1, 2, 3])
    same, backwards = tape(given)
    assert_allclose(tape(np.zeros(6)[::2])[0], 0.0)
    assert same.tolist() == [1.0, 2.0, 3.0]
    assert backwards.tolist() == [3.0, 2.0, 1.0]
    same[:] = 0
    assert given.tolist() == [1, 2, 3]


def test_captured_data_is_read_when_the_tape_is_called() -> None:
    data = np.array([1.0, 2.0])
    tape = fg.record(lambda x: x * data, 1.0)
    data[0] = 5.0
    assert tape(2.0).tolist() == [10.0, 4.0]


def test_functions_can_be_pickled() -> None:
    function = pickle.loads(pickle.dumps(TAPE.to_function(as_dict=True)))
    assert_allclose(function(X, W)["loss"], model(X, W)["loss"], rtol=1e-13)
    TAPE(X, W)
    assert pickle.loads(pickle.dumps(TAPE)) == TAPE


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((X,), {}, "the tape's 1 input 'w' must be given."),
        ((), {}, "the tape's 2 inputs 'x', 'w' must be given."),
        ((X, W, X), {}, "the tape has 2 inputs; it was given 3 by position."),
        ((X,), {"x": X, "w": W}, "input 'x' is given twice, by position and by name."),
        ((X,), {"W": W}, "the tape has no input named 'W'. Its inputs are 'x', 'w'."),
        ((X,), {"ww": W}, "the tape has no input named 'ww'. Is it 'w'?"),
        (
            (X, W.T),
            {},
            "input 'w' has shape (2, 3); the tape was recorded for shape (3, 2). Record the function at inputs of "
            "these shapes, or use fastgrad.vmap for many inputs at once.",
        ),
        (
            (X * 1j, W),
            {},
            "input 'x' is an array of complex128; a tape takes real numbers (float64, or what converts to it).",
        ),
        ((["a", "b"], W), {}, "input 'x' is an array of <U1; a tape takes real numbers"),
    ],
)
def test_wrong_inputs_raise(args: Any, kwargs: Any, message: str) -> None:
    with pytest.raises(fg.InputError) as caught:
        TAPE(*args, **kwargs)
    assert str(caught.value).startswith(message)


def test_another_branch_raises_with_the_line_that_decides() -> None:
    tape = fg.record(branching, 2.0, 3.0)
    assert float(tape(4.0, 5.0)) == 20.0
    line = branching.__code__.co_firstlineno + 1
    for call in (lambda: tape(-1.0, 5.0), lambda: fg.grad(tape)(-1.0, 5.0)):
        with pytest.raises(fg.InputError) as caught:
            call()
        assert str(caught.value).startswith(
            f"for these inputs the function takes another way than the recorded one, which the tape holds "
            f"(at {__file__}:{line}, in branching). Record the function at these inputs"
        )


@pytest.mark.parametrize("name", ANALYTIC)
def test_derivatives_of_a_called_tape_are_those_of_the_function(name: str) -> None:
    function, operands = ANALYTIC[name]
    tape = fg.record(function, *operands)
    argnums = tuple(range(len(operands)))
    for found, expected in zip(fg.jacobian(tape, argnums)(*operands), jacobians(function, operands), strict=True):
        assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def test_names_and_groups_are_kept_where_a_tape_is_called_in_a_recording() -> None:
    again = fg.record(TAPE, X, W)
    assert again.input_names == ("x", "w")
    assert again["encoder/hidden"].operation == "tanh"
    assert again["encoder/hidden"].group == "encoder"
    inside = fg.record(lambda x, w: TAPE(x, w)[1] * 2.0, X, W)
    assert inside["encoder/hidden"].operation == "tanh"


def test_a_called_tape_is_differentiated_by_name_and_vectorised() -> None:
    by_name = fg.jacobian(TAPE, "w")(X, W)
    by_position = fg.jacobian(TAPE, 1)(X, W)
    for one, other in zip(by_name, by_position, strict=True):
        np.testing.assert_array_equal(one, other)
    renamed = replace(TAPE, input_names=("x", "dense_1/kernel"))
    np.testing.assert_array_equal(fg.jacobian(renamed, "dense_1/kernel")(X, W)[1], by_position[1])
    assert fg.record(renamed, X, W).input_names == ("x", "dense_1/kernel")
    assert_allclose(renamed(X, **{"dense_1/kernel": W})[1], TAPE(X, W)[1])
    many = fg.vmap(TAPE, in_axes=(0, None))(np.stack([X, 2 * X]), W)
    assert_allclose(many[1], [model(X, W)["loss"], model(2 * X, W)["loss"]], rtol=1e-13)
    second = fg.hessian(lambda x: TAPE(x, W)[1])(X)
    assert_allclose(second, fg.hessian(lambda x: model(x, W)["loss"])(X), rtol=1e-12)


# ---- calls in a recording

WEIGHTED = fg.record(lambda x, y: np.sum(x * y) + np.sum(y * y) * x[0], np.ones(3), np.ones(3))


def weighted(x: Any, y: Any) -> Any:
    return np.sum(x * y) + np.sum(y * y) * x[0]


def _filled(x: Any) -> Any:
    made = np.zeros(3)
    made[0], made[2] = x, 2.0 * x
    return made


@pytest.mark.parametrize("make", [_filled, lambda x: [x, 1.0, x * x], lambda x: (x, x, 0.5)])
def test_arrays_and_lists_that_hold_recorded_values_can_be_given(make: Any) -> None:
    ones = np.ones(3)
    value, slope = fg.value_and_grad(lambda x: WEIGHTED(make(x), ones))(2.0)
    expected, expected_slope = fg.value_and_grad(lambda x: weighted(np.stack(list(make(x))), ones))(2.0)
    assert (float(value), float(slope)) == (float(expected), float(expected_slope))
    assert float(value) == float(WEIGHTED(make(2.0), ones))


@pytest.mark.parametrize(
    "y", [[100, 100, 100], np.array([100, 100, 100], np.int8), np.array([0.1, 0.2, 0.3], np.float32), [True, False, 2]]
)
def test_inputs_beside_recorded_ones_are_computed_with_in_float64(y: Any) -> None:
    x = np.array([1.0, 2.0, 3.0])
    value, gradient = fg.value_and_grad(lambda x: WEIGHTED(x, y))(x)
    floats = np.asarray(y, float)
    assert float(value) == float(WEIGHTED(x, y))
    assert_allclose(gradient, floats + np.array([np.sum(floats * floats), 0.0, 0.0]), rtol=1e-15)


def test_arrays_beside_recorded_values_are_read_at_run_time() -> None:
    y = np.array([1, 2, 3])
    gradient = fg.grad(lambda x: WEIGHTED(x, y))
    assert gradient(np.ones(3)).tolist() == [15.0, 2.0, 3.0]
    y[:] = 2
    assert gradient(np.ones(3)).tolist() == [14.0, 2.0, 2.0]


def test_numbers_beside_recorded_values_are_read_at_run_time() -> None:
    given, captured = np.array(2.0), np.array(5)
    tape = fg.record(lambda x, y: (x * y * y, captured), 1.0, 1.0)
    gradient = fg.grad(lambda x: tape(x, given)[0] * tape(x, given)[1])
    assert float(gradient(1.0)) == 20.0
    given[...], captured[...] = 3.0, 7
    assert float(gradient(1.0)) == 63.0


def test_results_in_a_recording_are_memory_of_their_own() -> None:
    data = np.array([1.0, 2.0])

    def parts(x: Any) -> Any:
        y = x * 2.0
        return y, y, y[1:], data, x, x[1:]

    def changed(x: Any, parts: Any) -> Any:
        x = x * 1.0
        results = parts(x)
        for k, result in enumerate(results):
            result[0] = (k + 5.0) * x[0]
        return sum(10.0**k * np.sum(result) for k, result in enumerate((*results, x)))

    tape = fg.record(parts, np.ones(3))
    x = np.array([1.0, 2.0, 3.0])
    value, gradient = fg.value_and_grad(lambda x: changed(x, tape))(x)
    assert data.tolist() == [1.0, 2.0]
    apart = lambda x: [np.array(part) for part in (x * 2, x * 2, (x * 2)[1:], data, x, x[1:])]  # noqa: E731
    assert float(value) == changed(x, apart)
    steps = [(changed(x + h, apart) - changed(x - h, apart)) / 2.0 for h in np.eye(3)]
    assert_allclose(gradient, steps, rtol=1e-12)


def test_an_array_of_a_recording_that_has_ended_is_refused() -> None:
    kept: list[Any] = []

    def leaking(x: Any) -> Any:
        kept.append(_filled(x))
        return x * 1.0

    fg.grad(leaking)(1.0)
    with pytest.raises(fg.LeakedValueError):
        WEIGHTED(kept[0], np.ones(3))


def test_truth_values_are_numbers_in_a_recording_too() -> None:
    def count(x: Any, y: Any) -> Any:
        above, far = (y > 0).astype(float), (y > 1).astype(float)
        return x * (above + far) + x * (above - far - far)

    tape = fg.record(count, 1.0, 2.0)
    for function in (lambda x, y: tape(x, y), lambda x, y: tape(x, 2.0), lambda x, y: fg.grad(count)(x, y) * x):
        value, slopes = fg.value_and_grad(function, (0, 1))(3.0, 2.0)
        assert (float(value), *map(float, slopes)) == (3.0, 1.0, 0.0)
    is_above = fg.record(lambda x: x > 0, 1.0)
    assert float(fg.grad(lambda x: x * (is_above(x) + is_above(x)))(3.0)) == 2.0


def test_an_array_with_a_mask_is_refused() -> None:
    with pytest.raises(fg.InputError, match="input 'x' is a MaskedArray, whose mask or own arithmetic a tape would"):
        TAPE(np.ma.array(X, mask=[True, False]), W)


def test_an_input_may_be_called_self() -> None:
    tape = fg.record(lambda self: self * 2.0, 1.0)
    assert float(tape(self=2.0)) == float(tape.to_function()(self=2.0)) == 4.0


def test_a_tape_that_is_recorded_within_a_recording_has_inputs_of_different_names() -> None:
    found: list[Tape] = []

    def outer(x: Any) -> Any:
        found.append(fg.record(lambda lifted0: lifted0 * x, 2.0))
        return x * 1.0

    fg.grad(outer)(1.0)
    assert found[0].input_names == ("lifted0", "lifted0_2")
    assert float(found[0](3.0, lifted0_2=4.0)) == 12.0


# ---- derivatives as tapes


@pytest.mark.parametrize("name", ANALYTIC)
def test_derivative_tapes_agree_with_complex_steps(name: str) -> None:
    function, operands = ANALYTIC[name]
    tape = fg.record(function, *operands)
    expected = jacobians(function, operands)
    found = tape.jacobian().validate()(*operands)
    for one, other in zip(found if len(operands) > 1 else (found,), expected, strict=True):
        assert_allclose(one, other, rtol=1e-11, atol=1e-12)
    rng = np.random.default_rng(3)
    seed = rng.normal(size=np.shape(tape(*operands)))
    value, *cotangents = tape.adjoint().validate()(*operands, seed)
    np.testing.assert_array_equal(value, tape(*operands))
    for one, other in zip(cotangents, expected, strict=True):
        assert_allclose(one, np.tensordot(seed, other, seed.ndim), rtol=1e-11, atol=1e-12)
    direction = [rng.normal(size=np.shape(x)) for x in operands]
    _, moved = tape.tangent().validate()(*operands, *direction)
    total = sum(np.tensordot(j, d, np.ndim(d)) for j, d in zip(expected, direction, strict=True))
    assert_allclose(moved, total, rtol=1e-11, atol=1e-12)


def test_a_gradient_tape_is_differentiated_again_and_again() -> None:
    tape = fg.record(lambda x: x**5, 1.0)
    for expected in (5 * 2.0**4, 20 * 2.0**3, 60 * 2.0**2, 120 * 2.0, 120.0, 0.0):
        tape = tape.gradient().validate()
        assert_allclose(tape(2.0), expected, rtol=1e-13)
    assert tape.input_names == ("x",)


def test_positions_may_be_numbers_of_numpy() -> None:
    tape = fg.record(lambda x, y: x * y, 2.0, 3.0)
    for argnums in (np.int64(1), [np.int32(1)]):
        assert tape.gradient(argnums).output_names == ("adjoint(y)",)


def test_a_gradient_is_that_of_one_output_by_the_inputs_that_are_named() -> None:
    gradient = TAPE.gradient("x", output="loss")
    assert gradient.input_names == ("x", "w")
    assert gradient.output_names == ("adjoint(x)",)
    assert_allclose(gradient(X, W), fg.grad(lambda x: model(x, W)["loss"])(X), rtol=1e-13)
    both = TAPE.gradient(output=1)
    assert both.output_names == ("adjoint(x)", "adjoint(w)")
    assert_allclose(both.jacobian("x")(X, W)[0], fg.hessian(lambda x: model(x, W)["loss"])(X), rtol=1e-12)
    assert TAPE.jacobian("x").output_names == ("jacobian(hidden, x)", "jacobian(loss, x)")
    assert TAPE.tangent(["w"]).input_names == ("x", "w", "tangent(w)")
    assert "adjoint(encoder/hidden)" in TAPE.adjoint()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda tape: tape.gradient(),
            "the tape has the outputs 'hidden', 'loss': say of which the gradient is wanted",
        ),
        (
            lambda tape: tape.gradient(output="hidden"),
            "output 'hidden' has shape (3,); a gradient is that of one number",
        ),
        (
            lambda tape: tape.gradient(output="los"),
            "output names 'los'; the tape's outputs are hidden, loss, from 0 to 1",
        ),
        (lambda tape: tape.adjoint("z"), "argnums names 'z'; the tape's inputs are x, w, from 0 to 1."),
        (lambda tape: tape.tangent([0, -2]), "argnums must name one or more inputs, each once; it is [0, -2]."),
        (lambda tape: tape.jacobian(True), "argnums names True; the tape's inputs are x, w, from 0 to 1."),
    ],
)
def test_wrong_choices_of_derivatives_raise(call: Any, message: str) -> None:
    with pytest.raises(fg.InputError) as caught:
        call(TAPE)
    assert str(caught.value).startswith(message)


def test_a_tape_without_inputs_or_with_constant_outputs() -> None:
    tape: Tape = fg.record(lambda: 3.0)
    assert float(tape()) == 3.0
    tape = fg.record(lambda x: (x, 2.0, np.ones((0, 2))), 1.0)
    found = tape(4.0)
    assert [np.shape(value) for value in found] == [(), (), (0, 2)]
    assert float(found[1]) == 2.0
