"""``np.einsum`` in every form: the values NumPy gives, their derivatives, views, and products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.sampling import check_orders, check_shown, normal

# subscripts, shapes of the operands
SUBSCRIPTS: list[tuple[str, tuple[tuple[int, ...], ...]]] = [
    # one operand
    ("ij", ((2, 3),)),
    ("ba", ((2, 3),)),
    ("ijk->kij", ((2, 3, 4),)),
    ("ij->", ((2, 3),)),
    ("ij->j", ((2, 3),)),
    ("ii", ((3, 3),)),
    ("ii->i", ((3, 3),)),
    ("iii->i", ((3, 3, 3),)),
    ("iji->ji", ((3, 2, 3),)),
    ("iijj->ij", ((3, 3, 2, 2),)),
    ("iijj->", ((3, 3, 2, 2),)),
    ("...ii->...i", ((2, 3, 3),)),
    ("i...->...", ((2, 3, 4),)),
    ("i...->i...", ((2,),)),
    (" i j -> j i ", ((2, 3),)),
    ("ii->i", ((1, 1),)),
    # two
    ("i,i", ((3,), (3,))),
    ("i,j->ij", ((2,), (3,))),
    ("i,j->ji", ((2,), (3,))),
    ("ij,jk", ((2, 3), (3, 4))),
    ("ij,jk->ki", ((2, 3), (3, 4))),
    ("ij,kj->ik", ((2, 3), (4, 3))),
    ("bij,bjk->bik", ((5, 2, 3), (5, 3, 4))),
    ("bij,bkj->ikb", ((5, 2, 3), (5, 4, 3))),
    ("bi,bij->bj", ((4, 2), (4, 2, 3))),
    ("ij,ij->ij", ((2, 3), (2, 3))),
    ("ij,ij->i", ((2, 3), (2, 3))),
    ("ij,ji->", ((2, 3), (3, 2))),
    ("ij,k->j", ((2, 3), (4,))),
    (",ij->ij", ((), (2, 3))),
    ("ij,->i", ((2, 3), ())),
    ("iij,jk->ik", ((2, 2, 3), (3, 4))),
    ("ij,jj->i", ((2, 3), (3, 3))),
    ("ijkl,klm->ijm", ((2, 2, 3, 2), (3, 2, 4))),
    ("...ij,...jk->...ik", ((5, 1, 2, 3), (4, 3, 4))),
    ("ij...,j...->i...", ((2, 3, 4), (3, 1))),
    ("...i,...i", ((2, 3), (3,))),
    ("...,...", ((2, 3), (3,))),
    ("i...,i...->...", ((2, 3), (2, 1))),
    # lengths of 1 that are longer elsewhere
    ("ij,ij->i", ((1, 3), (2, 3))),
    ("ij,jk->ik", ((2, 1), (3, 4))),
    # more
    ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 2))),
    ("i,ij,j", ((3,), (3, 3), (3,))),
    ("i,i,i->i", ((3,), (3,), (3,))),
    ("abc,ad,bd,ce->de", ((2, 3, 2), (2, 4), (3, 4), (2, 2))),
    # empty
    ("ij,jk", ((2, 0), (0, 3))),
    ("i->", ((0,),)),
]


@pytest.mark.parametrize(("subscripts", "shapes"), SUBSCRIPTS)
def test_values_and_derivatives_of(subscripts: str, shapes: Any) -> None:
    arrays = [normal(*shape) for shape in shapes]
    check(lambda *xs: np.einsum(subscripts, *xs), *arrays)
    check_shown(lambda *xs: np.einsum(subscripts, *xs), *arrays)


@pytest.mark.parametrize(("subscripts", "shapes"), SUBSCRIPTS[::4])
def test_second_derivatives_of(subscripts: str, shapes: Any) -> None:
    check_orders(lambda *xs: np.einsum(subscripts, *xs), *(normal(*shape) for shape in shapes))


OTHER_FORMS = {
    "lists": (lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [2, 0]), normal(2, 3), normal(3, 4)),
    "lists without result": (lambda x, y: np.einsum(x, [1, 0], y, [0, 2]), normal(2, 3), normal(3, 4)),
    "lists with an ellipsis": (lambda x, y: np.einsum(x, [..., 1], y, [1, 2]), normal(2, 3), normal(3, 4)),
    "lists with an ellipsis in the result": (lambda x: np.einsum(x, [..., 1], [1, ...]), normal(2, 3)),
    "optimize": (
        lambda x, y, z: np.einsum("ij,jk,kl->li", x, y, z, optimize=True),
        normal(2, 3),
        normal(3, 4),
        normal(4, 2),
    ),
    "optimal": (
        lambda x, y: np.einsum("ij,jk,ki->", x, y, x @ y, optimize="optimal"),
        normal(3, 3),
        normal(3, 3),
    ),
    "path": (
        lambda x, y, z: np.einsum("ij,jk,kl->li", x, y, z, optimize=["einsum_path", (1, 2), (0, 1)]),
        normal(2, 3),
        normal(3, 4),
        normal(4, 2),
    ),
    "path of three": (
        lambda x, y, z: np.einsum("ij,jk,kl->li", x, y, z, optimize=["einsum_path", (0, 1, 2)]),
        normal(2, 3),
        normal(3, 4),
        normal(4, 2),
    ),
    "path asked for": (
        lambda x, y: np.einsum("ij,jk,k", x, y, y[0], optimize=np.einsum_path("ij,jk,k", x, y, y[0])[0]),
        normal(2, 3),
        normal(3, 4),
    ),
    "plain operand": (lambda x: np.einsum("ij,j->i", np.arange(6.0).reshape(2, 3), x), normal(3)),
    "number": (lambda x: np.einsum("ij,->ij", x, 3.0), normal(2, 3)),
    "nested lists": (lambda x: np.einsum("ij,j->i", [[x[0], 1.0], [2.0, x[1]]], x), normal(2)),
    "order": (lambda x, y: np.einsum("ij,jk->ik", x, y, order="F"), normal(2, 3), normal(3, 4)),
    "method of the same name as an index": (lambda x: np.einsum("Aa,aB->AB", x, x.T), normal(2, 3)),
}


@pytest.mark.parametrize("name", OTHER_FORMS)
def test_other_forms(name: str) -> None:
    function, *args = OTHER_FORMS[name]
    check_orders(function, *args)
    check_shown(function, *args)


def test_dtypes_are_those_of_numpy() -> None:
    x = normal(2, 3)
    check_shown(lambda x: np.einsum("ij,kj->ik", *[np.multiply(x, 1, dtype=np.float32)] * 2), x)
    check_shown(lambda x: np.einsum("ij,kj->ik", x, np.ones((2, 3), np.float32)), x)
    check_shown(lambda x: np.einsum("ij,kj->ik", x > 0, x > 0), x)
    check_shown(lambda x: np.einsum("ij,kj->ik", (x > 0) + 1, (x > 0) + 1), x)
    check_shown(lambda x: np.einsum("ij->i", np.multiply(x, 1, dtype=np.float32), dtype=np.float64), x)
    check_shown(lambda x: np.einsum("ij->ji", x, dtype=np.float32, casting="same_kind"), x)


def test_a_view_of_the_diagonal_writes_into_the_matrix_as_in_numpy() -> None:
    def function(x: Any) -> Any:
        matrix = np.outer(x, x).T
        np.einsum("ii->i", matrix)[...] = np.sin(x)
        return matrix

    check(function, normal(3))


def test_captured_operands_are_read_whenever_the_tape_runs() -> None:
    captured = normal(3, 4)
    gradient = fg.grad(lambda x: np.einsum("ij,jk->", captured.T, x))
    x = normal(3, 2)
    for factor in (1.0, 2.0):
        captured *= factor
        np.testing.assert_allclose(
            gradient(x), np.einsum("ij,jk->", captured.T, x) * 0 + captured.sum(1)[:, None] + x * 0
        )


def test_contractions_are_products_of_matrices() -> None:
    def names(subscripts: str, *shapes: Any) -> set[str]:
        tape = fg.record(lambda *xs: np.einsum(subscripts, *xs), *(np.ones(shape) for shape in shapes))
        return {node.operation for node in tape}

    for subscripts, shapes in SUBSCRIPTS:
        if "jk" in subscripts and len(shapes) == 2 and 1 not in shapes[0]:
            assert "matmul" in names(subscripts, *shapes)
            assert "multiply" not in names(subscripts, *shapes)
    assert "matmul" not in names("bi,bi->b", (3, 4), (3, 4))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: np.einsum("ij,jk", x, x), ValueError),
        (lambda x: np.einsum("ii", x), ValueError),
        (lambda x: np.einsum("i", x), ValueError),
        (lambda x: np.einsum("ijk", x), ValueError),
        (lambda x: np.einsum("ij->ik", x), ValueError),
        (lambda x: np.einsum("ij->ii", x), ValueError),
        (lambda x: np.einsum("ij,ij", x), ValueError),
        (lambda x: np.einsum("ii,i", x[:1], x[0]), ValueError),
        (lambda x: np.einsum("i.j", x), ValueError),
        (lambda x: np.einsum("ij->i", x, dtype=np.int64), TypeError),
        (lambda x: np.einsum("ij->i", x, dtype=np.complex128), fg.UnsupportedError),
    ],
)
def test_what_does_not_fit_raises_numpys_error(call: Any, error: type) -> None:
    x = np.ones((2, 3))
    if error is not fg.UnsupportedError:
        with pytest.raises(error):
            call(x)
    with pytest.raises(error):
        fg.record(call, x)
