"""The table of operations, driven from its own columns: values, partial derivatives, kinks, and what records them.

Exact values are those of the ``reference`` column in mpmath, exact derivatives mpmath's numerical ones of it at many
digits. Operations run where users run them: in the VM, over lanes; ``tests/vm/test_kernels.py`` shows that one number
at a time gives the same bits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
from mpmath import mp, mpf

import fastgrad
from fastgrad.ops import BY_NAME, TABLE, Operation
from fastgrad.vm.evaluate import evaluator
from tests.elementary.checks import EDGES
from tests.ulp import same_bits, ulp_errors

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

NAN, MAX = np.nan, np.finfo(float).max
NAMES_OF_MPMATH = {name: getattr(mp, name) for name in dir(mp) if not name.startswith("_")}
WITH_REFERENCE = [operation.name for operation in TABLE if operation.reference]
# pentagamma is the last of its family and has no derivative
SMOOTH = [name for name in WITH_REFERENCE if not BY_NAME[name].piecewise_constant and name != "pentagamma"]
# products that a double cannot hold, and quotients that reach from the largest to the smallest
DIGITS, DIGITS_OF_QUOTIENTS = 60, 700


def exact_function(operation: Operation) -> Callable[..., Any]:
    """The reference as a function of mpmath numbers; NaN where it has no real value."""
    function = eval(f"lambda {', '.join('xyz'[: operation.arity])}: {operation.reference}", dict(NAMES_OF_MPMATH))

    def exact(*operands: Any) -> Any:
        value = mpf(function(*operands)) if operation.boolean else mp.mpmathify(function(*operands))
        return mpf(NAN) if mp.im(value) != 0 else mp.re(value)

    return exact


def drawn(operation: Operation, n: int, seed: int = 1) -> list[np.ndarray]:
    """At most ``n`` operands inside the domain: half of them evenly spread, half of them of every size."""
    rng = np.random.default_rng(seed)
    columns = []
    for low, high in operation.domain:
        sizes = np.exp(rng.uniform(np.log(1e-8), np.log(max(-low, high)), n // 2))
        signs = rng.choice([-1.0, 1.0] if low < 0 else [1.0], n // 2)
        columns.append(np.clip(np.concatenate([rng.uniform(low, high, n - n // 2), sizes * signs]), low, high))
    ends = [np.isin(column, domain) for column, domain in zip(columns, operation.domain, strict=True)]
    return [column[~np.any(ends, axis=0)] for column in columns]


def every_combination(points: np.ndarray, arity: int) -> np.ndarray:
    """Columns: each operand at each of the points (at each third of them where there are three operands)."""
    return np.array(list(itertools.product(points if arity < 3 else points[::3], repeat=arity))).T


# ---- values


def exact_values(operation: Operation, columns: Any) -> list[Any]:
    digits = DIGITS_OF_QUOTIENTS if "floor" in operation.reference else DIGITS
    exact = exact_function(operation)
    with mp.workdps(digits):
        return [exact(*[mpf(float(x)) for x in point]) for point in zip(*columns, strict=True)]


def check_values(operation: Operation, columns: Any) -> None:
    computed = np.asarray(evaluator(operation)(*columns), float)
    exact = exact_values(operation, columns)
    errors = ulp_errors(computed, exact)
    errors[np.abs(computed - np.array(exact, float)) <= operation.absolute_error] = 0.0
    worst = int(np.argmax(errors))
    point = [float(column[worst]) for column in columns]
    assert errors[worst] <= operation.ulp, f"{errors[worst]:.3g} ULP at {point}: {computed[worst]!r}"


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_values_in_the_domain_are_within_the_stated_error(name: str) -> None:
    check_values(BY_NAME[name], drawn(BY_NAME[name], 150))


FINITE_EDGES = EDGES[np.isfinite(EDGES)]
# signs of zero, which mpmath has not, and powers that it takes too long for; NumPy and SciPy are compared with below
NO_EXACT_EDGES = {"signbit", "copysign", "arctan2", "power"}
# below it mpmath seeks these functions' poles, and whole numbers are all there is
LOWEST_EXACT_EDGE = dict.fromkeys(("trigamma", "tetragamma", "pentagamma"), -1e15)


@pytest.mark.parametrize("name", [name for name in WITH_REFERENCE if name not in NO_EXACT_EDGES])
def test_values_at_finite_edges_are_within_the_stated_error(name: str) -> None:
    operation = BY_NAME[name]
    lowest = LOWEST_EXACT_EDGE.get(name, -MAX)
    columns = every_combination(FINITE_EDGES[lowest <= FINITE_EDGES], operation.arity)
    exact = exact_function(operation)

    def has_value(point: Any) -> bool:
        try:
            return bool(mp.isfinite(exact(*map(mpf, point))))
        except (ValueError, ZeroDivisionError, OverflowError):  # at a pole
            return False

    check_values(operation, columns[:, [has_value(point) for point in columns.T.tolist()]])


def numpy_function(name: str) -> Any:
    """The function that ``answers_to`` names; None where this NumPy or SciPy does not have it."""
    module, _, attribute = name.rpartition(".")
    return getattr({"numpy": np, "scipy.special": scipy.special}.get(module), attribute, None)


ANSWERS = [
    (operation.name, name)
    for operation in TABLE
    for name in operation.answers_to
    if not name.startswith("fastgrad.") and numpy_function(name) is not None
]
ON_NUMBERS = [pair for pair in ANSWERS if "bitwise" not in pair[1] and "invert" not in pair[1]]
# where we differ: SciPy's errors at the smallest numbers and at zeros of the result, and its sign of a zero; NumPy lets
# the order of the operands decide between two zeros
DIFFERENT = {
    "expm1": lambda x: abs(x) == 5e-324,
    "log_ndtr": lambda x: x > 40,
    "gammaln": lambda x: (abs(x) < 1e-308) | (abs(x - 1) < 1e-15),
    "digamma": lambda x: abs(x + 1) < 1e-15,
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin"), lambda x, y: (x == 0) & (y == 0)),
}


@pytest.mark.parametrize(("name", "answers_to"), ON_NUMBERS)
def test_special_values_and_signs_of_zero_are_those_of_numpy_and_scipy(name: str, answers_to: str) -> None:
    operation = BY_NAME[name]
    columns = every_combination(EDGES, operation.arity)
    expected = np.asarray(numpy_function(answers_to)(*columns), float)
    computed = np.asarray(evaluator(operation)(*columns), float)
    same = (computed == expected) & (np.signbit(computed) == np.signbit(expected))
    same |= np.isnan(computed) & np.isnan(expected)
    ordinary = np.isfinite(expected) & (expected != 0) & (computed != 0)
    same |= ordinary & np.isclose(computed, expected, rtol=1e-13, atol=0)
    if name in DIFFERENT:
        same |= DIFFERENT[name](*columns)
    assert same.all(), (columns[:, ~same], computed[~same], expected[~same])


@pytest.mark.parametrize("name", [operation.name for operation in TABLE if operation.commutative])
def test_commutative_operations_give_the_same_bits_either_way(name: str) -> None:
    x, y = every_combination(EDGES, 2)
    assert same_bits(evaluator(BY_NAME[name])(x, y), evaluator(BY_NAME[name])(y, x))


# ---- partial derivatives


def applied(operation: Operation) -> Callable[..., Any]:
    return lambda *operands: operation(*operands)


def gradients(operation: Operation, columns: Any) -> list[Any]:
    """The partial derivative by each operand, from the sweep over lanes."""
    argnums = tuple(range(operation.arity))
    return list(fastgrad.vmap(fastgrad.grad(applied(operation), argnums=argnums))(*columns))


def hessians(operation: Operation, columns: Any) -> list[list[Any]]:
    argnums = tuple(range(operation.arity))
    return [list(row) for row in fastgrad.vmap(fastgrad.hessian(applied(operation), argnums=argnums))(*columns)]


def exact_derivatives(operation: Operation, columns: Any, orders: tuple[int, ...]) -> list[Any]:
    exact = exact_function(operation)
    with mp.workdps(DIGITS_OF_DERIVATIVES.get(operation.name, 30)):
        return [
            mp.diff(exact, tuple(mpf(float(x)) for x in point), orders)
            if len(orders) > 1
            else mp.diff(exact, mpf(float(point[0])), orders[0])
            for point in zip(*columns, strict=True)
        ]


# where a constant hides the derivative: 1 - 1e-304 at the end of the domain
DIGITS_OF_DERIVATIVES = {
    **dict.fromkeys(("sigmoid", "log_sigmoid", "softplus", "tanh", "logaddexp", "ndtr", "erfc"), 350),
    "log_ndtr": 400,
    "erf": 60,
}
# first derivatives, in ULP: 6 unless something rounded is magnified by what follows it
PARTIAL_ULP: dict[str, Callable[..., Any]] = {
    "power": lambda x, y: 6 + abs(np.log(x)),  # the exponent y - 1
    "logaddexp": lambda x, y: 6 + abs(x - y),  # the difference, before sigmoid
    "inverse_mills_ratio": lambda x: np.where(x < -1, 6 + 5 * x * x, 6),  # the sum x + r of nearly opposite terms
}


@pytest.mark.parametrize("name", SMOOTH)
def test_partial_derivatives_are_those_of_the_reference(name: str) -> None:
    operation = BY_NAME[name]
    columns = drawn(operation, 60)
    accepted = PARTIAL_ULP.get(name, lambda *operands: 6.0)(*columns)
    for position, computed in enumerate(gradients(operation, columns)):
        orders = tuple(int(k == position) for k in range(operation.arity))
        errors = ulp_errors(computed, exact_derivatives(operation, columns, orders))
        worst = int(np.argmax(errors / accepted))
        point = [float(column[worst]) for column in columns]
        assert np.all(errors <= accepted), (
            f"{errors[worst]:.3g} ULP by operand {position} at {point}: {computed[worst]!r}"
        )


# second derivatives: what is lost where terms cancel, beside a relative error of 1e-11
SECOND_PARTIAL_ERROR: dict[str, Callable[..., Any]] = {
    "sigmoid": lambda x: 1e-16,
    "tanh": lambda x: 1e-200,  # 1/cosh(x)**3 underflows
    "hypot": lambda x, y: 1e-15 / np.hypot(x, y),
    "inverse_mills_ratio": lambda x: 1e-15 * np.maximum(-x, 1) ** 3,
}


@pytest.mark.parametrize("name", [name for name in SMOOTH if name != "tetragamma"])
def test_second_partial_derivatives_are_those_of_the_reference(name: str) -> None:
    operation = BY_NAME[name]
    columns = drawn(operation, 30, seed=2)
    computed = hessians(operation, columns)
    for row, column in itertools.product(range(operation.arity), repeat=2):
        orders = tuple(int(k == row) + int(k == column) for k in range(operation.arity))
        exact = np.array([float(value) for value in exact_derivatives(operation, columns, orders)])
        lost = SECOND_PARTIAL_ERROR[name](*columns) if name in SECOND_PARTIAL_ERROR else 1e-40  # mpmath's, of a zero
        assert np.all(abs(computed[row][column] - exact) <= 1e-11 * abs(exact) + lost), (row, column)


def symbolic_gradients(operation: Operation, columns: Any) -> list[Any]:
    """The partial derivatives as a tape that ``adjoint`` wrote gives them."""
    gradient = fastgrad.grad(applied(operation), argnums=tuple(range(operation.arity)))
    return list(fastgrad.vmap(lambda *operands: gradient(*operands))(*columns))


@pytest.mark.parametrize("name", [operation.name for operation in TABLE])
def test_partial_derivatives_on_a_tape_are_those_of_the_sweep_to_the_bit(name: str) -> None:
    operation = BY_NAME[name]
    columns = every_combination(EDGES, operation.arity)
    if operation.domain:
        columns = np.concatenate([columns, drawn(operation, 60)], axis=1)
    if name == "sqrt":  # its infinity at -0.0 has the other sign on a tape, which drops sums with 0.0
        columns = columns[:, (columns[0] != 0) | ~np.signbit(columns[0])]
    for swept, symbolic in zip(gradients(operation, columns), symbolic_gradients(operation, columns), strict=True):
        assert same_bits(swept + 0.0, symbolic + 0.0)
