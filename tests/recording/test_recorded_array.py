"""Recorded values stand in for NumPy's: what they tell about themselves, operators, and what they refuse."""

from __future__ import annotations

import ast
import json
import math
import operator
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.recording import recorded_array
from fastgrad.recording.recorded_array import RecordedArray
from tests.derivative_checks import check


def seen(function: Any, *args: Any) -> Any:
    """What a function finds out about its recorded argument."""
    found = []

    def recorded(*recorded_args: Any) -> Any:
        found.append(function(*recorded_args))
        return 0.0

    fg.record(recorded, *args)
    return found[0]


MATRIX = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: x.shape,
        lambda x: x.ndim,
        lambda x: x.size,
        lambda x: x.dtype,
        lambda x: x.nbytes,
        lambda x: x.itemsize,
        len,
        lambda x: (x > 1).dtype,
        lambda x: (x > 1).sum().dtype,
        str,
        lambda x: f"{x[0, 1]:.3f}",
        lambda x: 4.0 in x,
        lambda x: 7.0 in x,
        lambda x: x.sum() == None,  # noqa: E711
        lambda x: x.sum() == "text",
        lambda x: x.sum() in [1.0, 15.0],
        lambda x: isinstance(x[0, 0].shape, tuple),
    ],
)
def test_answers_are_those_of_the_array(ask):
    assert seen(ask, MATRIX) == ask(MATRIX)


def test_representation_shows_the_value():
    assert seen(repr, np.array([1.0, 2.0])) == "RecordedArray(array([1., 2.]))"
    assert seen(repr, 2.0) == "RecordedArray(np.float64(2.0))"


def test_elements_are_scalars_as_in_numpy():
    assert seen(lambda x: type(x[0, 0].value), MATRIX) is np.float64
    assert seen(lambda x: type(x.sum().value), MATRIX) is np.float64


def test_iterating_over_a_number_is_an_error_as_in_numpy():
    with pytest.raises(TypeError, match="iteration over a 0-d array"):
        fg.record(lambda x: sum(x), 1.0)


def test_recorded_values_cannot_be_hashed():
    with pytest.raises(TypeError, match="unhashable"):
        fg.record(lambda x: {x: 1}, 1.0)


def test_attributes_that_no_array_has_are_missing_as_usual():
    with pytest.raises(AttributeError, match="a recorded array has no attribute 'weight'"):
        fg.record(lambda x: x.weight, MATRIX)
    assert seen(lambda x: hasattr(x, "weight"), MATRIX) is False


OPERATORS = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "**": lambda x, y: x**y,
    "//": lambda x, y: (x // y) * x,
    "%": lambda x, y: x % y,
    "< <=": lambda x, y: x * (x < y) + y * (x <= y),
    "> >=": lambda x, y: x * (x > y) + y * (x >= y),
    "== !=": lambda x, y: x * (x == y) + y * (x != y),
    "unary": lambda x, y: -x + +y - abs(x - y),
}
RIGHT = {
    "float": 1.7,
    "int": 2,
    "negative zero": -0.0,
    "np.float64": np.float64(1.7),
    "np.float32": np.float32(1.5),
    "np.int64": np.int64(2),
    "bool": True,
    "array": np.array([1.5, 0.5]),
    "int array": np.array([1, 2]),
    "0-d array": np.array(1.7),
    "list": [1.5, 0.5],
    "tuple": (2, 0.5),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("symbol", OPERATORS)
@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize("point", [0.7, np.array([0.7, 1.9])])
def test_operators_with_every_kind_of_other_operand_on_either_side(symbol, kind, point):
    operate, other = OPERATORS[symbol], RIGHT[kind]
    if kind in ("negative zero", "bool") and symbol in ("/", "//", "%", "**"):
        pytest.skip("a division by zero, or a power at the edge of its domain")
    if symbol == "unary" and isinstance(other, (list, tuple)):
        pytest.skip("not a NumPy expression")
    if symbol == "*" and isinstance(other, (list, tuple)) and np.ndim(point) == 0:
        pytest.skip("NumPy's numbers repeat a sequence, or fail to")
    check(lambda x: operate(x, other), point)
    if symbol not in ("< <=", "> >=", "== !=", "unary"):
        check(lambda x: operate(other, x), point)


def test_two_recorded_operands():
    for operate in OPERATORS.values():
        check(operate, 0.7, 1.9)
        check(operate, np.array([0.7, 2.9]), np.array([1.9, 0.3]))
        check(operate, np.array([0.7, 2.9]), 1.9)


def test_matrix_products_as_operators():
    check(lambda x: x @ [1.0, 2.0] + [3.0, 4.0] @ x, np.array([0.5, 0.25]))


def test_a_tape_has_one_node_for_a_number_used_often_but_keeps_the_signs_of_zero_apart():
    tape = fg.record(lambda x: (x + 2.0) * 2 + 2.0 * np.copysign(1.0, x * 0.0) + x * -0.0, 1.0)
    constants = [str(node.attribute) for node in tape if node.operation == "constant"]
    assert sorted(constants) == ["-0.0", "0.0", "1.0", "2.0"]


def test_rounding_gives_whole_numbers_as_python_does():
    found = seen(lambda x: (round(x), round(x, 1), math.floor(x), math.ceil(x), math.trunc(x), int(x)), 2.56)
    assert [found[k] for k in (0, 2, 3, 4, 5)] == [3, 2, 3, 2, 2]
    assert found[1].value == 2.6


# ---- arrays of recorded values


def of_objects(x: Any) -> Any:
    return np.array([x[0], x[1] * x[0], x[2]])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: of_objects(x) * x,
        lambda x: x * of_objects(x),
        lambda x: of_objects(x) + 1.0,
        lambda x: np.sum(of_objects(x)),
        lambda x: np.linalg.norm(of_objects(x)),
        lambda x: np.dot(of_objects(x), of_objects(x)),
        lambda x: of_objects(x) @ np.array([1.0, 2.0, 3.0]),
        lambda x: np.exp(of_objects(x)),
        lambda x: np.sum(np.log(of_objects(x)) + np.sqrt(of_objects(x)) + np.arctan(of_objects(x))),
        lambda x: np.concatenate([of_objects(x), x]),
        lambda x: np.stack([of_objects(x), x]),
        lambda x: np.where(x > 0.5, of_objects(x), x),
        lambda x: np.maximum(of_objects(x), x),
        lambda x: np.array([[x[0], x[1]], [x[2], 1.0]]) @ x[:2],
        lambda x: np.array([x[:2], x[1:]]) * 2.0,
        lambda x: of_objects(x)[::-1].reshape(3, 1) ** 2,
        lambda x: np.cumsum(of_objects(x)),
        lambda x: np.array(x[0]) * x,
        lambda x: np.asarray(x) * x,
        lambda x: [of_objects(x), x[0]],
    ],
)
def test_arrays_built_of_recorded_numbers_compute_and_mix(function):
    def plain(x: Any) -> Any:
        return function(x)

    check(plain, np.array([0.6, 0.7, 0.8]))


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x * np.array([x, "a"], dtype=object), fg.InputError, "a recorded value met text"),
        (lambda x: x[0] * np.array([1.0, None]), fg.InputError, "a recorded value met object data"),
        (lambda x: np.concatenate([x, [1j]]), fg.UnsupportedError, "a complex value cannot be used here"),
        (lambda x: x * np.longdouble([1, 2, 3]), fg.InputError, "a recorded value met .*128 data"),
        (lambda x: np.add(x, np.array(["a", "b", "c"])), fg.InputError, "a recorded value met text"),
        (lambda x: x + [x[0], x[:2]], fg.InputError, r"a list of values of different shapes \[\(\), \(2,\)\]"),
    ],
)
def test_arrays_that_cannot_be_recorded_are_refused_with_the_line(function, error, message):
    with pytest.raises(error, match=message + r".*test_recorded_array\.py:\d+"):
        fg.jacobian(function)(np.array([0.6, 0.7, 0.8]))


# ---- what would lose a derivative


OUTSIDE = np.zeros(2)


def store(x: Any) -> Any:
    out = OUTSIDE
    out[0] = x
    return out


LOST = (
    "a recorded value was turned into a Python float (by float(), by storing it into an array that was made outside "
    "the function or by compiled code, or by a function that knows only floats), which would drop its derivative (at "
    "{}:{}, in {}). Keep the value as it is; make arrays that are to hold it inside the function, with np.zeros, "
    "np.array or np.stack, and call functions such as math.sin and np.zeros by these names."
)


@pytest.mark.parametrize(
    ("function", "offset"),
    [
        (lambda x: float(x), 0),
        (store, 2),
        (lambda x: x.item() * 2, 0),
        (lambda x: np.float64(x), 0),
    ],
)
def test_turning_a_value_into_a_float_is_refused(function, offset):
    with pytest.raises(fg.LostDerivativeError) as raised:
        fg.grad(function)(1.5)
    code = function.__code__
    assert str(raised.value) == LOST.format(code.co_filename, code.co_firstlineno + offset, code.co_name)


def test_complex_numbers_are_refused():
    with pytest.raises(
        fg.UnsupportedError, match=r"complex\(\) cannot be recorded .*write the real and imaginary parts"
    ):
        fg.grad(lambda x: complex(x))(1.0)
    with pytest.raises(TypeError):
        fg.grad(lambda x: x * 1j)(1.0)


def test_floats_of_counts_and_truth_values_lose_nothing():
    check(lambda x: x * float((x > 0).sum()) + x * (x > 0).sum().item() + x * float(x[0] > 0), np.array([1.0, -1.0]))


# ---- changes in place


def aliased(x: Any) -> Any:
    y = x * 2.0
    z = y
    y += 1.0
    y *= x
    return z * y


def copied(x: Any) -> Any:
    y = x * 2.0
    z = y.copy()
    y += 1.0
    z -= x
    return z * y


def test_changes_in_place_are_seen_through_all_names_and_not_through_copies():
    check(aliased, np.array([1.0, 3.0]))
    check(copied, np.array([1.0, 3.0]))
    check(aliased, 1.5)


def test_a_change_in_place_keeps_shape_and_kind_as_in_numpy():
    def grows(x):
        y = x[:1] * 1.0
        y += x
        return y

    def turns(x):
        y = (x > 0) + 0
        y += x
        return y

    with pytest.raises(ValueError, match="non-broadcastable output operand"):
        fg.jacobian(grows)(np.ones(3))
    with pytest.raises(TypeError, match="Cannot cast"):
        fg.jacobian(turns)(np.ones(3))


def test_a_change_in_place_between_two_inner_derivatives_is_seen():
    def function(x):
        y = x * 1.0
        first = fg.grad(lambda z: np.sum(z * y))(x)
        y *= y
        return np.sum(first * fg.grad(lambda z: np.sum(z * y))(x))

    np.testing.assert_allclose(fg.grad(function)(np.array([2.0, 3.0])), 3 * np.array([2.0, 3.0]) ** 2)


def test_operators_for_scalars_are_the_long_way_made_short():
    for operate in OPERATORS.values():
        short = fg.record(operate, 0.7, 1.9)
        long = fg.record(lambda x, y, operate=operate: operate(np.reshape(x, (1,)), y), 0.7, 1.9)
        names = [node.operation for node in long if node.operation != "reshape"]
        assert [node.operation for node in short] == names


def test_node_of_a_plain_array_is_held_by_reference():
    data = np.ones(2)
    tape = fg.record(lambda x: x * data, 1.0)
    assert any(constant is data for constant in tape.constants)
    assert RecordedArray is recorded_array.RecordedArray


@pytest.mark.parametrize("number", [0, 1, 2, -3])
def test_a_whole_number_and_a_truth_value_is_the_last_bit_of_the_number_where_it_is_true(number: int) -> None:
    x = np.array([-1.0, 0.5, 2.0])
    for function in (
        lambda x: number & (x > 0),
        lambda x: (x > 0) & number,
        lambda x: (number & (x > 0)) & (x < 1),
        lambda x: (x < 1) & (number & (x > 0)),
        lambda x: number & (x[1] > 0),
    ):
        found, expected = seen(function, x).value, function(x)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        # a step: no derivative of its own, and computed anew where other elements are positive
        gradient = fg.grad(lambda x, function=function: np.sum(function(x) * x))
        for point in (x, -x):
            np.testing.assert_array_equal(gradient(point), np.broadcast_to(function(point), 3))


def test_a_distribution_of_scipy_differentiates_through_its_own_code() -> None:
    stats = pytest.importorskip("scipy.stats")
    x, scale = np.linspace(-1.0, 2.0, 4), np.array([0.5, 1.0, 2.0, 3.0])
    for name in ("pdf", "cdf", "sf", "logpdf", "logcdf", "logsf"):
        fg.check_grads(getattr(stats.norm, name), (x, x / 3, scale))


def _added_to_a_smaller_fresh_array(x):
    larger = np.zeros((3, 2, 2))
    larger[0] = x
    return operator.iadd(x * 1, larger)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: operator.iadd(np.argmax(x, 0), 0.5),
        lambda x: operator.imul(x[0] * 1, x),
        lambda x: operator.ior(x[0] > 0, x > 0),
        lambda x: operator.iadd(x * 1, x * 1j),
        _added_to_a_smaller_fresh_array,
    ],
)
def test_an_operator_in_place_raises_numpys_own_error_where_the_result_does_not_fit(function):
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises((TypeError, ValueError)) as expected:
        function(x)
    with pytest.raises(expected.type) as raised:
        fg.record(function, x)
    assert str(raised.value) == str(expected.value)


@pytest.mark.parametrize(
    "number",
    [
        lambda x: float(str(x).split("e")[0]),
        lambda x: float(str(x) + "0"),
        lambda x: float("0" + f"{x:.3f}"),
        lambda x: float(str(x).replace(",", "").rstrip("0").upper().partition(" ")[0]),
        lambda x: int(str(x)[0]),
        lambda x: np.float64(str(x)),
        lambda x: np.fromstring(str(x), sep=" ")[0],
        lambda x: json.loads(str(x)),
        lambda x: ast.literal_eval(str(x).strip()),
    ],
)
def test_numbers_are_not_made_of_the_text_of_recorded_values(number):
    with pytest.raises(fg.LostDerivativeError, match=r"the text of a recorded value.*test_recorded_array.*Keep"):
        fg.grad(lambda x: x * number(x))(1.5)
    # text of other things is read as ever, meanwhile too
    assert fg.grad(lambda x: x * json.loads("2") + float("3" + str(2.0)[1:]))(1.5) == 2.0


def test_texts_of_recorded_values_are_strings():
    texts = []

    def function(x):
        text = f"{x:.2f}"
        texts.extend([text, "x = " + text, text + " m", text.split("."), text.partition("."), text.zfill(6)])
        return x

    fg.grad(function)(1.5)
    assert texts == ["1.50", "x = 1.50", "1.50 m", ["1", "50"], ("1", ".", "50"), "001.50"]
