"""Products of arrays: the values NumPy gives and their derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.sampling import check_orders, check_shown, normal

CALLS: dict[str, tuple[Any, ...]] = {
    "dot of vectors": (np.dot, normal(3), normal(3)),
    "dot with a number": (np.dot, normal(), normal(3, 2)),
    "dot of matrices": (np.dot, normal(2, 3), normal(3, 2)),
    "dot of stack and vector": (np.dot, normal(2, 4, 3), normal(3)),
    "dot of vector and stack": (np.dot, normal(3), normal(2, 3, 4)),
    "dot of stacks": (np.dot, normal(2, 2, 3), normal(4, 3, 2)),
    "vdot": (np.vdot, normal(2, 3), normal(3, 2)),
    "inner": (np.inner, normal(2, 3), normal(4, 3)),
    "inner of stacks": (np.inner, normal(2, 2, 3), normal(4, 3)),
    "inner with a number": (np.inner, normal(), normal(4)),
    "outer": (np.outer, normal(2, 2), normal(3)),
    "tensordot": (np.tensordot, normal(2, 3, 4), normal(3, 4, 2)),
    "tensordot of one axis": (lambda x, y: np.tensordot(x, y, 1), normal(2, 3), normal(3, 4, 2)),
    "tensordot of none": (lambda x, y: np.tensordot(x, y, 0), normal(2), normal(3, 2)),
    "tensordot of axes": (lambda x, y: np.tensordot(x, y, ([0, -1], [1, 0])), normal(2, 3, 4), normal(4, 2)),
    "tensordot of numbers": (lambda x, y: np.tensordot(x, y, (0, 1)), normal(2, 3), normal(3, 2)),
    "tensordot of everything": (lambda x, y: np.tensordot(x, y, 2), normal(2, 3), normal(2, 3)),
    "matmul of vectors": (np.matmul, normal(3), normal(3)),
    "matmul of vector and matrix": (np.matmul, normal(3), normal(3, 2)),
    "matmul of stack and matrix": (np.matmul, normal(4, 5, 2, 3), normal(3, 2)),
    "matmul of stack and vector": (np.matmul, normal(4, 2, 3), normal(3)),
    "matmul of matrix and stack": (np.matmul, normal(2, 3), normal(4, 3, 2)),
    "matmul of stacks": (np.matmul, normal(4, 1, 2, 3), normal(5, 3, 2)),
    "matmul of nothing": (np.matmul, np.zeros((0, 2, 3)), normal(3, 2)),
    "matmul over nothing": (np.matmul, np.zeros((4, 2, 0)), np.zeros((0, 2))),
    "matmul with axes": (
        lambda x, y: np.matmul(x, y, axes=[(0, 2), (0, 1), (1, 2)]),
        normal(3, 5, 4),
        normal(4, 2, 5),
    ),
    "vecdot": (np.vecdot, normal(2, 3), normal(4, 1, 3)),
    "vecdot of vectors": (np.vecdot, normal(3), normal(3)),
    "vecdot along an axis": (lambda x, y: np.vecdot(x, y, axis=0), normal(3, 2), normal(3, 2)),
    "vecdot that keeps its axis": (lambda x, y: np.vecdot(x, y, axis=0, keepdims=True), normal(3, 2), normal(3, 2)),
    "vecdot that keeps the last axis": (lambda x, y: np.vecdot(x, y, keepdims=True), normal(3, 2), normal(3, 2)),
    "vecdot with axes": (lambda x, y: np.vecdot(x, y, axes=[0, 1, ()]), normal(3, 2), normal(2, 3)),
    "vecdot with all axes": (
        lambda x, y: np.vecdot(x, y, axes=[0, 1, 1], keepdims=True),
        normal(3, 2),
        normal(2, 3),
    ),
    "matvec": (np.matvec, normal(5, 2, 3), normal(4, 1, 3)),
    "matvec of a vector": (np.matvec, normal(5, 2, 3), normal(3)),
    "matvec with axes": (lambda x, y: np.matvec(x, y, axes=[(1, 0), 0, 0]), normal(3, 2), normal(3, 4)),
    "vecmat": (np.vecmat, normal(4, 1, 3), normal(5, 3, 2)),
    "vecmat of a matrix": (np.vecmat, normal(4, 5, 3), normal(3, 2)),
    "vecmat with axes": (lambda x, y: np.vecmat(x, y, axes=[0, (0, 2), 1]), normal(3, 4), normal(3, 4, 2)),
    "kron": (np.kron, normal(2, 3), normal(4)),
    "kron of stacks": (np.kron, normal(2, 3), normal(4, 2, 2)),
    "kron with a number": (np.kron, normal(), normal(4, 2)),
    "cross": (np.cross, normal(4, 3), normal(3)),
    "cross with axes": (lambda x, y: np.cross(x, y, axisa=0, axisb=1, axisc=0), normal(3, 4), normal(4, 3)),
    "cross along an axis": (lambda x, y: np.cross(x, y, axis=0), normal(3, 4), normal(3, 4)),
    "trace": (np.trace, normal(3, 4)),
    "trace of a diagonal": (lambda x: np.trace(x, -1, 2, 0), normal(3, 2, 4)),
    "of a plain array": (
        lambda x: np.tensordot(np.arange(6.0).reshape(3, 2), x, 1) + np.kron([1.0, 2.0, 3.0], x[0]),
        normal(2),
    ),
}
LENGTHS = [(5, 3), (3, 5), (6, 4), (4, 6), (4, 4), (1, 3), (7, 2), (2, 7), (1, 1), (40, 33)]
CALLS |= {
    f"{function.__name__} {mode} of {lengths}": (
        lambda x, y, function=function, mode=mode: function(x, y, mode),
        *map(normal, lengths),
    )
    for function in (np.convolve, np.correlate)
    for mode in ("full", "same", "valid")
    for lengths in LENGTHS
}
CALLS |= {
    "convolve with a plain kernel": (lambda x: np.convolve([1.0, -2.0, 1.0], x), normal(5)),
    "convolve with a number": (lambda x: np.convolve(x[0], x), normal(5)),
    "correlate": (lambda x, y: np.correlate(x, y), normal(5), normal(3)),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_and_derivatives_of(name: str) -> None:
    function, *args = CALLS[name]
    check(function, *args)
    check_shown(function, *args)


@pytest.mark.parametrize("name", [name for name in CALLS if "(" not in name or "(4, 6)" in name or "40" in name])
def test_second_derivatives_of(name: str) -> None:
    check_orders(*CALLS[name])


@pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional vectors")
@pytest.mark.parametrize(("of_x", "of_y"), [(2, 2), (2, 3), (3, 2)])
def test_cross_products_of_vectors_in_the_plane(of_x: int, of_y: int) -> None:
    check_orders(np.cross, normal(4, of_x), normal(4, of_y))


PLAIN_CALLS = [
    (np.dot, (2, 3), (2, 3)),
    (np.dot, (3,), (2,)),
    (np.vdot, (2, 3), (2,)),
    (np.inner, (2, 3), (2,)),
    (np.matmul, (2, 3), (2, 3)),
    (np.matmul, (), (2, 3)),
    (np.matmul, (3, 2, 2), (2, 2, 2)),
    (np.vecdot, (2, 3), (2,)),
    (np.vecdot, (), (2,)),
    (np.matvec, (2, 3), (2,)),
    (np.matvec, (3,), (3,)),
    (np.vecmat, (2, 3), (2, 2)),
    (np.cross, (4,), (3,)),
    (np.cross, (), (3,)),
    (np.tensordot, (2, 3), (3, 2, 4)),
    (lambda x, y: np.tensordot(x, y, ([0], [0, 1])), (2, 3), (2, 3)),
    (lambda x, y: np.tensordot(x, y, ([5], [0])), (2, 3), (2, 3)),
    (lambda x, y: np.tensordot(x, y, ([0, 0], [0, 0])), (2, 3), (2, 3)),
    (np.convolve, (0,), (3,)),
    (np.correlate, (2, 2), (3,)),
    (lambda x, y: np.convolve(x, y, "some"), (2,), (3,)),
    (lambda x, y: np.matmul(x, y, axes=[(0, 1)]), (2, 2), (2, 2)),
]


@pytest.mark.parametrize(("function", "of_x", "of_y"), PLAIN_CALLS)
def test_shapes_that_do_not_fit_raise_numpys_error(function: Any, of_x: Any, of_y: Any) -> None:
    x, y = np.ones(of_x), np.ones(of_y)
    with pytest.raises(Exception, match=r"\S") as by_numpy:
        function(x, y)
    with pytest.raises(by_numpy.type) as recorded:
        fg.record(function, x, y)
    assert str(recorded.value) == str(by_numpy.value)


def test_truth_values_multiply_as_in_numpy() -> None:
    for function in (np.matmul, np.vecdot, np.dot, np.kron, np.outer, lambda x, y: np.tensordot(x, y, 1)):
        check_shown(lambda x, y, function=function: function(x > 0, y > 0), normal(3, 3), normal(3, 3))


def test_a_stack_times_a_matrix_is_one_product() -> None:
    tape = fg.record(np.matmul, np.ones((7, 2, 3)), np.ones((3, 4)))
    assert [node.shape for node in tape if node.operation == "matmul"] == [(14, 4)]


def test_captured_signals_are_read_whenever_the_tape_runs() -> None:
    kernel = normal(6)[::2]
    gradient = fg.grad(lambda x: np.sum(np.convolve(x, kernel)))
    for factor in (1.0, 2.0):
        kernel *= factor
        np.testing.assert_allclose(gradient(np.ones(5)), np.full(5, kernel.sum()))
