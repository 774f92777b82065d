"""The trap programs in every mode: value, reverse, forward, both inside another recording, batches, second order.

Also: the table itself against plain NumPy, and the page of the documentation against the table.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.traps.answers import agrees, close
from tests.traps.loading import KINDS, traps
from tests.traps.not_yet import NOT_YET
from tests.traps.trap import Point, Trap

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import traps_page

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::numpy.exceptions.VisibleDeprecationWarning"),
]

TRAPS = {trap.name: trap for kind in KINDS for trap in traps(kind)}


def cases() -> list[Any]:
    return [
        pytest.param(trap, id=name, marks=pytest.mark.xfail(raises=AssertionError, reason=NOT_YET[name], strict=True))
        if name in NOT_YET
        else pytest.param(trap, id=name)
        for name, trap in TRAPS.items()
    ]


def expect(trap: Trap, right: Any, given: Any, mode: str) -> None:
    assert close(trap, right, given), f"{mode}: {given!r} instead of {right!r}"


@pytest.mark.parametrize("trap", cases())
def test_program_is_differentiated_right_or_refused_by_name(trap):
    with pytest.warns(UserWarning, match=trap.warning) if trap.warning else nullcontext():
        try:
            if trap.answers is not None:
                check_session(trap)
            else:
                check_modes(trap)
        except Exception as error:
            if trap.refusal not in [kind.__name__ for kind in type(error).__mro__]:
                raise


def check_session(trap: Trap) -> None:
    found = trap.function()
    assert len(found) == len(trap.answers)
    for right, given in zip(trap.answers, found, strict=True):
        assert agrees(trap, right, given) or trap.warning, f"{given!r} instead of {right!r}"


def check_modes(trap: Trap) -> None:
    reverse = fg.value_and_grad(trap.function, trap.argnums)
    for point in trap.points:
        args = copy.deepcopy(point.args)
        value, gradient = reverse(*args)
        expect(trap, point.value, value, "value")
        for right, given in zip(point.gradient, gradient, strict=True):
            expect(trap, right, given, "reverse")
        for given, kept in zip(args, point.args, strict=True):
            np.testing.assert_array_equal(given, kept)
        for number, given in zip(trap.argnums, gradient, strict=True):
            single = np.asarray(point.args[number]).dtype == np.float32
            assert np.asarray(given).dtype == (np.float32 if single else np.float64)
        check_other_modes(trap, point)
    check_batch(trap)
    check_second_order(trap)


def check_other_modes(trap: Trap, point: Point) -> None:
    function, primals = of_differentiated_arguments(trap, point)
    value, tangent = 0.0, 0.0
    for position, right in enumerate(point.gradient):
        for index in np.ndindex(np.shape(right)):
            directions = [np.zeros(np.shape(x)) for x in primals]
            directions[position][index] = 1.0
            value, tangent = fg.jvp(function, primals, [direction[()] for direction in directions])
            expect(trap, point.value, value, "value beside the tangent")
            expect(trap, np.asarray(right)[index], tangent, "forward")
    argnums = tuple(range(len(primals)))
    modes: dict[str, Callable[[], Any]] = {
        "jacobian": lambda: fg.jacobian(function, argnums)(*primals),
        "vjp": lambda: fg.vjp(function, *primals)[1](1.0),
        # inside another recording the adjoint is a tape of its own
        "nested": lambda: fg.jacobian(lambda s: fg.grad(lambda *x: s * function(*x), argnums)(*primals))(1.0),
    }
    for mode, derive in modes.items():
        for right, given in zip(point.gradient, derive(), strict=True):
            expect(trap, right, given, mode)


def of_differentiated_arguments(trap: Trap, point: Point) -> tuple[Callable[..., Any], list[Any]]:
    """The program as a function of what it is differentiated by; whole numbers count as real ones."""
    primals = [np.asarray(copy.deepcopy(point.args[number])) for number in trap.argnums]
    primals = [x.astype(float)[()] if x.dtype.kind in "biu" else x[()] for x in primals]
    if len(primals) == len(point.args):
        return trap.function, primals

    def function(*differentiated: Any) -> Any:
        args = list(copy.deepcopy(point.args))
        for number, x in zip(trap.argnums, differentiated, strict=True):
            args[number] = x
        return trap.function(*args)

    return function, primals


def check_batch(trap: Trap) -> None:
    """All points of a program in one batch, whatever way each goes through its branches."""
    shapes = [tuple(np.shape(x) for x in point.args) for point in trap.points]
    points = [*trap.points, trap.points[0]]
    if len(set(shapes)) > 1 or any(
        not np.array_equal(point.args[number], points[0].args[number])
        for point in points
        for number in range(len(point.args))
        if number not in trap.argnums
    ):
        return
    axes = tuple(0 if number in trap.argnums else None for number in range(len(points[0].args)))
    args = [
        np.stack([np.asarray(point.args[number]) for point in points]) if axis == 0 else points[0].args[number]
        for number, axis in enumerate(axes)
    ]
    values, gradients = fg.vmap(fg.value_and_grad(trap.function, trap.argnums), in_axes=axes)(*args)
    for row, point in enumerate(points):
        expect(trap, point.value, values[row], "value in a batch")
        for right, given in zip(point.gradient, gradients, strict=True):
            expect(trap, right, given[row], "batch")


def check_second_order(trap: Trap) -> None:
    point = trap.points[0]
    if point.second is None:
        return
    x = point.args[0]
    expect(trap, point.second, fg.hessian(trap.function)(copy.deepcopy(x)), "hessian")
    expect(trap, point.second, fg.jacobian(fg.grad(trap.function))(copy.deepcopy(x)), "jacobian of the gradient")
    second = np.asarray(point.second)
    for index in np.ndindex(np.shape(x)):
        direction = np.zeros(np.shape(x))
        direction[index] = 1.0
        product = fg.hvp(trap.function)(copy.deepcopy(x), direction[()])
        expect(trap, second[(..., *index)], product, "product with the hessian")


# ---- the table itself


@pytest.mark.parametrize("trap", [pytest.param(trap, id=name) for name, trap in TRAPS.items() if trap.points])
def test_table_agrees_with_plain_numpy_and_central_differences(trap):
    step = 1e-5
    for point in trap.points:
        # numbers as NumPy has them, as a program sees them when it is recorded
        args = [np.float64(x) if isinstance(x, float) else x for x in point.args]
        expect(trap, point.value, trap.function(*copy.deepcopy(args)), "plain NumPy")
        if not trap.differences or any(np.asarray(x).dtype == np.float32 for x in args):
            continue
        for number, right in zip(trap.argnums, point.gradient, strict=True):
            x = np.asarray(args[number], float)
            for index in np.ndindex(x.shape):
                h = step * max(1.0, abs(x[index]))
                ahead, behind = [], []
                for place, side in ((ahead, h), (behind, -h)):
                    moved = x.copy()
                    moved[index] += side
                    place.append(
                        trap.function(*[moved[()] if k == number else copy.deepcopy(y) for k, y in enumerate(args)])
                    )
                slope = (ahead[0] - behind[0]) / (2 * h)
                np.testing.assert_allclose(slope, np.asarray(right)[index], rtol=1e-5, atol=1e-5)


def test_names_are_unique_and_every_program_says_what_it_is_about():
    listed = [trap for kind in KINDS for trap in traps(kind)]
    assert len({trap.name for trap in listed}) == len(listed) >= 60
    assert all(trap.about.endswith(".") for trap in listed)


def test_every_exception_of_the_table_is_still_in_it():
    assert set(NOT_YET) <= set(TRAPS)


def test_page_has_every_program_and_the_present_answers_of_fastgrad():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert traps_page.PAGE.read_text() == traps_page.page()


@pytest.mark.parametrize("peer", [peer for peer in traps_page.PEERS if peer != "fastgrad"])
def test_every_program_was_measured_under_every_peer_and_no_other_is_counted(peer):
    assert list(traps_page.recorded_answers()[peer]["answers"]) == list(TRAPS)


def test_rows_of_the_page_are_the_programs_of_the_table():
    rows = [line for line in traps_page.PAGE.read_text().splitlines() if line.startswith("| **")]
    assert [row.split("**")[1] for row in rows] == list(TRAPS)


@pytest.mark.slow
def test_page_has_the_answers_of_the_installed_autograd():
    pytest.importorskip("autograd")
    recorded = traps_page.recorded_answers()["autograd"]
    if recorded["version"] != version("autograd"):
        pytest.skip("another version is installed")
    assert traps_page.measured("autograd")["answers"] == recorded["answers"]
