"""Parts of a factorization that nothing depends on add nothing to a derivative: their formulas are not recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.tape import Tape
from fastgrad.transform.adjoint import adjoint
from fastgrad.transform.tangent import tangent

SYMMETRIC = np.array([[3.0, 0.4, -0.3], [0.4, 1.0, 0.2], [-0.3, 0.2, -2.0]])
TALL = np.array([[3.0, 0.4, -0.3], [0.1, 1.0, 0.2], [0.7, -0.2, 2.0], [0.3, 0.5, -0.6]])
WIDE = TALL.T.copy()
WEIGHTS = np.array([0.3, -1.2, 0.7])


def weighted(part: Any) -> Any:
    return np.sum(part * WEIGHTS[: part.shape[-1]] ** 2)


# the function, where it is taken, and the operations that only the other parts' derivatives need
VALUES_ONLY = ("reciprocals", "tied")
CASES: dict[str, tuple[Callable[[Any], Any], np.ndarray, tuple[str, ...]]] = {
    "eigenvalues by eigh": (lambda a: weighted(np.linalg.eigh(a)[0]), SYMMETRIC, VALUES_ONLY),
    "eigenvectors by eigh": (lambda a: weighted(np.linalg.eigh(a)[1] ** 2), SYMMETRIC, ("tie_average",)),
    "eigenvalues by eig": (lambda a: weighted(np.linalg.eig(a)[0]), SYMMETRIC, VALUES_ONLY),
    "eigenvectors by eig": (lambda a: weighted(np.linalg.eig(a)[1] ** 2), SYMMETRIC, ("tie_average",)),
    "singular values by svd": (lambda a: weighted(np.linalg.svd(a)[1]), TALL, VALUES_ONLY),
    "singular values of a wide matrix": (
        lambda a: weighted(np.linalg.svd(a, full_matrices=False)[1]),
        WIDE,
        VALUES_ONLY,
    ),
    "left singular vectors": (lambda a: weighted(np.linalg.svd(a, False)[0] ** 2), TALL, ("tie_average",)),
    "right singular vectors": (lambda a: weighted(np.linalg.svd(a, False)[2] ** 2), WIDE[:, :3], ("tie_average",)),
    "triangle of qr": (lambda a: weighted(np.linalg.qr(a)[1] ** 2), TALL, ()),
    "triangle of qr of a wide matrix": (lambda a: np.sum(np.linalg.qr(a)[1] ** 4), WIDE, ()),
    "orthogonal factor of qr": (lambda a: weighted(np.linalg.qr(a)[0] ** 2), TALL, ()),
    "orthogonal factor of qr of a wide matrix": (lambda a: weighted(np.linalg.qr(a)[0] ** 2), WIDE, ()),
}


def names(tape: Tape) -> list[str]:
    return [node.operation for node in tape]


@pytest.mark.parametrize("case", CASES)
def test_the_other_parts_formulas_are_not_recorded(case: str) -> None:
    function, a, left_out = CASES[case]
    tape = fg.record(function, a)
    found = names(adjoint(tape, (0,), 1, seeded=False)) + names(tangent(tape, (0,), 1))
    assert not set(found) & set(left_out)


@pytest.mark.parametrize("case", CASES)
def test_derivatives_of_one_part_are_right(case: str) -> None:
    function, a, _ = CASES[case]
    gradient = fg.grad(function)(a)
    assert np.isfinite(gradient).all()
    fg.check_grads(function, (a,))


@pytest.mark.parametrize("name", ["eigh", "svd", "eig", "qr"])
def test_parts_that_only_empty_slices_are_taken_of_give_zeros(name: str) -> None:
    def function(a: Any) -> Any:
        return sum(np.sum(part[:0]) for part in getattr(np.linalg, name)(a))

    np.testing.assert_array_equal(fg.grad(function)(SYMMETRIC), np.zeros((3, 3)))


def test_equal_eigenvalues_have_a_derivative_where_vectors_are_not_used() -> None:
    np.testing.assert_allclose(fg.grad(lambda a: np.sum(np.linalg.eigh(a)[0] ** 2))(np.eye(3)), 2.0 * np.eye(3))
    assert np.isnan(fg.grad(lambda a: weighted(np.linalg.eigh(a)[1] ** 2))(np.eye(3))).any()
