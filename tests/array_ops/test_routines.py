"""Results that NumPy's routines write where they are wanted, against the public functions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

import fastgrad as fg
from fastgrad.array_ops import factorizations, linalg, routines, singular, spectra
from fastgrad.array_ops.table import ArrayOperation

NAMES = (
    "solve", "inv", "det", "slogdet", "cholesky_lo", "cholesky_up", "eigh_lo", "eigh_up", "svd_s", "svd_f", "qr_r_raw",
    "qr_reduced", "qr_complete",
)  # fmt: skip

# operation, attribute, whether its matrices are symmetric, whether they are square
OPERATIONS: list[tuple[ArrayOperation, Any, bool, bool]] = [
    (linalg.solve, None, False, True),
    (linalg.inv, None, False, True),
    (linalg.det, None, False, True),
    (linalg.cofactor, None, False, True),
    (linalg.log_abs_det, None, False, True),
    (factorizations.cholesky, "L", True, True),
    (factorizations.cholesky, "U", True, True),
    (spectra.eigh, ("numpy", "L"), True, True),
    (spectra.eigh, ("numpy", "U"), True, True),
    (singular.svd, ("numpy", 0), False, False),
    (singular.svd, ("numpy", 1), False, False),
    (singular.svd, ("hermitian", 1), True, True),
    (factorizations.qr, ("numpy", 0), False, False),
    (factorizations.qr, ("numpy", 1), False, False),
]
SQUARE = [(3, 3), (1, 1), (40, 40), (2, 4, 4), (0, 0), (0, 2, 2)]
SHAPES = [*SQUARE, (5, 3), (3, 5), (2, 5, 3), (2, 3, 5), (0, 3)]
CASES = [
    pytest.param(operation, attribute, symmetric, shape, id=f"{operation.name} {attribute} {shape}")
    for operation, attribute, symmetric, is_square in OPERATIONS
    for shape in (SQUARE if is_square else SHAPES)
]


def operands_of(operation: ArrayOperation, symmetric: bool, shape: tuple[int, ...]) -> list[NDArray[Any]]:
    a = np.random.default_rng(4).standard_normal(shape)
    if symmetric:
        a = a @ a.mT + np.eye(shape[-1])
    if operation is linalg.solve:
        return [a, a[..., :2] + 1.0]
    return [a, np.asarray(np.linalg.det(a))] if operation is linalg.cofactor else [a]


def written_strided(operation: ArrayOperation, attribute: Any, operands: list[NDArray[Any]]) -> NDArray[Any]:
    """The result written into every other element of memory that holds something else."""
    shape = operation.shape_rule(attribute, *(operand.shape for operand in operands))
    memory = np.full((*shape, 2), 7.0)
    assert operation.into is not None
    operation.into(attribute, memory[..., 0], *operands)
    assert (memory[..., 1] == 7.0).all()
    return memory[..., 0]


@pytest.mark.parametrize("name", NAMES)
def test_numpy_has_the_routines_by_these_names(name: str) -> None:
    assert isinstance(routines.routine(name), np.ufunc)


@pytest.mark.parametrize(("operation", "attribute", "symmetric", "shape"), CASES)
def test_results_are_written_as_the_public_functions_return_them(
    operation: ArrayOperation, attribute: Any, symmetric: bool, shape: tuple[int, ...]
) -> None:
    operands = operands_of(operation, symmetric, shape)
    before = [operand.copy() for operand in operands]
    expected = operation.evaluate(attribute, *operands)
    found = written_strided(operation, attribute, operands)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    for operand, copy in zip(operands, before, strict=True):
        np.testing.assert_array_equal(operand, copy)


@pytest.mark.parametrize(
    ("module", "name", "missing", "operation", "attribute"),
    [
        (linalg, "_INVERSE", None, linalg.cofactor, None),
        (linalg, "_SIGN_AND_LOG", None, linalg.log_abs_det, None),
        (spectra, "_SYMMETRIC", {"L": None}, spectra.eigh, ("numpy", "L")),
        (singular, "_ROUTINES", (None, None), singular.svd, ("numpy", 0)),
        (factorizations, "_REFLECTIONS", None, factorizations.qr, ("numpy", 0)),
        (factorizations, "_REDUCED", None, factorizations.qr, ("numpy", 0)),
    ],
)
def test_a_numpy_without_a_routine_is_asked_for_the_public_function(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, missing: Any, operation: ArrayOperation, attribute: Any
) -> None:
    operands = operands_of(operation, True, (4, 4))
    monkeypatch.setattr(module, name, missing)
    expected = operation.evaluate(attribute, *operands)
    np.testing.assert_array_equal(written_strided(operation, attribute, operands), expected)


def test_the_into_of_a_missing_routine_evaluates() -> None:
    out = np.empty((2, 2))
    routines.into("no such routine", lambda attribute, a: a + attribute)(3.0, out, np.eye(2))
    np.testing.assert_array_equal(out, np.eye(2) + 3.0)


@pytest.mark.parametrize(
    ("function", "good", "bad", "message"),
    [
        (np.linalg.inv, np.eye(3), np.ones((3, 3)), "Singular matrix"),
        (lambda a: np.linalg.solve(a, np.ones(3)), np.eye(3), np.ones((3, 3)), "Singular matrix"),
        (np.linalg.cholesky, np.eye(3), -np.eye(3), "Matrix is not positive definite"),
        (
            lambda a: np.linalg.cholesky(np.stack([np.eye(3), a])),
            np.eye(3),
            np.diag([1.0, 2.0, -1.0]),
            "Matrix is not positive definite",
        ),
        (lambda a: np.linalg.svd(a)[1], np.diag([1.0, 2.0, 3.0]), np.full((3, 3), np.nan), "SVD did not converge"),
    ],
)
def test_what_numpy_refuses_raises_its_exception_and_warns_of_nothing(
    function: Callable[..., Any], good: NDArray[Any], bad: NDArray[Any], message: str
) -> None:
    gradient = fg.grad(lambda a: np.sum(function(a)))
    gradient(good)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LinAlgError, match=message):
            np.sum(function(bad))
        with pytest.raises(LinAlgError, match=message):
            gradient(bad)
        assert np.isfinite(gradient(good)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_gives_what_numpy_gives(bad: float) -> None:
    a = np.eye(3)
    a[0, 1] = bad
    for operation, attribute in [(linalg.inv, None), (linalg.det, None), (factorizations.qr, ("numpy", 0))]:
        with np.errstate(invalid="ignore"):
            expected = operation.evaluate(attribute, a)
            found = written_strided(operation, attribute, [a])
        np.testing.assert_array_equal(found, expected, err_msg=operation.name)
