"""The table of operations, driven from its own columns: values, partial derivatives, kinks, and what records them.

Exact values are those of the ``reference`` column in mpmath, exact derivatives mpmath's numerical ones of it at many
digits. Operations run where users run them: in the VM, over lanes; ``tests/vm/test_kernels.py`` shows that one number
at a time gives the same bits.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
from mpmath import mp, mpf

import fastgrad
from fastgrad.ops import BY_NAME, TABLE, Operation
from fastgrad.vm import instructions as isa
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
NO_EXACT_EDGES = {"signbit", "copysign", "arctan2", "power", "erfcx", "j0", "j1"}
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
    "erfinv": lambda x: x == 0,
    # SciPy has NaN at infinity and other subnormal numbers, and no accurate phase far out
    **dict.fromkeys(("i0", "i1", "j0", "j1"), lambda x: (abs(x) > 1e6) | (abs(x) < 1e-308)),
    "i1e": lambda x: abs(x) < 1e-308,
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
    **dict.fromkeys(("erf", "xlogy", "xlog1py"), 60),
}


def slope_of_i1e(x: Any) -> Any:
    return (scipy.special.ive(0, x) + scipy.special.ive(2, x)) / 2 - scipy.special.ive(1, x)


# first derivatives, in ULP: 6 unless something rounded is magnified by what follows it
PARTIAL_ULP: dict[str, Callable[..., Any]] = {
    "power": lambda x, y: 6 + abs(np.log(x)),  # the exponent y - 1
    "logaddexp": lambda x, y: 6 + abs(x - y),  # the difference, before sigmoid
    "inverse_mills_ratio": lambda x: np.where(x < -1, 6 + 5 * x * x, 6),  # the sum x + r of nearly opposite terms
    "erfcx": lambda x: np.where(x > 8, 6, 6 + 4 * x * x),  # the difference 2*x*r - 2/sqrt(pi)
    # differences of terms that are nearly equal far out, and equal at a maximum
    "i0e": lambda x: 6 + 6 * abs(x),
    "i1e": lambda x: 6 + 6 * abs(x) + 2.0**-52 / np.spacing(abs(slope_of_i1e(abs(x)))),
    # derivatives with zeros, to digits after the point
    "j0": lambda x: 2.0**-49 / np.spacing(abs(scipy.special.jvp(0, x))),
    "j1": lambda x: 2.0**-49 / np.spacing(abs(scipy.special.jvp(1, x))),
    # the density at the rounded result
    "erfinv": lambda x: 6 + 3 * scipy.special.erfinv(x) ** 2,
    "ndtri": lambda x: 6 + 2 * scipy.special.ndtri(x) ** 2,
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
    **dict.fromkeys(("i0e", "i1e", "j0", "j1"), lambda x: 2e-15),
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


# operation, operands, and the partial derivative by each as an mpmath expression; None: not compared
FAR_OUT: list[tuple[str, tuple[float, ...], tuple[str | None, ...]]] = [
    ("divide", (1e300, 1e200), ("mpf(10)**-200", "-mpf(10)**-100")),
    ("reciprocal", (1e-150,), ("-mpf(10)**300",)),
    ("power", (1e200, 1.6), ("1.6 * mpf(1e200) ** (1.6 - 1)", None)),
    ("power", (1e-200, 1.7), ("1.7 * mpf(1e-200) ** (1.7 - 1)", "0")),
    ("power", (-2.0, 3.0), ("12", "nan")),
    ("power", (-2.0, -3.0), ("-mpf(3) / 16", "nan")),
    ("exp", (-np.inf,), ("0",)),
    ("expm1", (-800.0,), ("0",)),
    ("log", (5e-324,), ("inf",)),
    ("log", (np.inf,), ("0",)),
    ("log2", (1e308,), ("1 / (mpf(1e308) * log(2))",)),
    ("log10", (1e308,), ("1 / (mpf(1e308) * log(10))",)),
    ("log1p", (2.0**-53 - 1,), ("mpf(2) ** 53",)),
    ("log1p", (-1.0,), ("inf",)),
    ("sigmoid", (700.0,), ("exp(-700)",)),
    ("sigmoid", (-700.0,), ("exp(-700)",)),
    ("sigmoid", (np.inf,), ("0",)),
    ("log_sigmoid", (700.0,), ("exp(-700)",)),
    ("log_sigmoid", (-1e308,), ("1",)),
    ("softplus", (-700.0,), ("exp(-700)",)),
    ("softplus", (np.inf,), ("1",)),
    ("logaddexp", (1e308, -1e308), ("1", "0")),
    ("logaddexp", (np.inf, np.inf), ("0.5", "0.5")),
    ("logaddexp", (-np.inf, -np.inf), ("0.5", "0.5")),
    ("logaddexp", (-np.inf, np.inf), ("0", "1")),
    ("logaddexp", (np.inf, 3.0), ("1", "0")),
    ("logaddexp", (3.0, -np.inf), ("1", "0")),
    ("arcsin", (1 - 2.0**-53,), ("1 / sqrt(1 - (1 - mpf(2) ** -53) ** 2)",)),
    ("arccos", (-1.0,), ("-inf",)),
    ("arctan", (1e100,), ("mpf(10) ** -200",)),
    ("arctan", (1e200,), ("0",)),
    ("arctan", (-np.inf,), ("0",)),
    ("arctan2", (1e200, 1e200), ("mpf(10) ** -200 / 2", "-mpf(10) ** -200 / 2")),
    ("arctan2", (3e-300, 4e-300), ("mpf(4) / 25 * mpf(10) ** 300", "-mpf(3) / 25 * mpf(10) ** 300")),
    ("arctan2", (1.0, np.inf), ("0", "0")),
    ("arctan2", (np.inf, -np.inf), ("0", "0")),
    ("sinh", (-710.0,), ("cosh(710)",)),
    ("cosh", (-710.0,), ("-sinh(710)",)),
    ("tanh", (300.0,), ("1 / cosh(300) ** 2",)),
    ("tanh", (400.0,), ("0",)),
    ("tanh", (-np.inf,), ("0",)),
    ("arcsinh", (1e300,), ("mpf(10) ** -300",)),
    ("arccosh", (1 + 2.0**-52,), ("1 / sqrt((1 + mpf(2) ** -52) ** 2 - 1)",)),
    ("arccosh", (1e300,), ("mpf(10) ** -300",)),
    ("arctanh", (2.0**-53 - 1,), ("1 / (1 - (1 - mpf(2) ** -53) ** 2)",)),
    ("hypot", (1e200, -1e200), ("sqrt(mpf(1) / 2)", "-sqrt(mpf(1) / 2)")),
    ("hypot", (3e-300, 4e-300), ("mpf(3) / 5", "mpf(4) / 5")),
    ("erf", (-26.0,), ("2 / sqrt(pi) * exp(-26 ** 2)",)),
    ("erf", (1e200,), ("0",)),
    ("erfc", (26.0,), ("-2 / sqrt(pi) * exp(-26 ** 2)",)),
    ("erfc", (np.inf,), ("0",)),
    ("ndtr", (-37.5,), ("npdf(37.5)",)),
    ("ndtr", (-1e300,), ("0",)),
    ("log_ndtr", (-37.5,), ("npdf(37.5) / ncdf(-37.5)",)),
    ("log_ndtr", (-1e8,), ("mpf(10) ** 8 + mpf(10) ** -8",)),
    ("log_ndtr", (-1e200,), ("mpf(10) ** 200",)),
    ("log_ndtr", (-np.inf,), ("inf",)),
    ("log_ndtr", (37.5,), ("npdf(37.5)",)),
    ("log_ndtr", (np.inf,), ("0",)),
    ("log_quotient", (1e-200, 1e200), ("mpf(10) ** 200", "-mpf(10) ** -200")),
    ("xlogy", (2.0, 5e-324), ("log(mpf(2) ** -1074)", "inf")),
    ("xlog1py", (2.0, 2.0**-53 - 1), ("log(mpf(2) ** -53)", "mpf(2) ** 54")),
    ("logit", (1e-300,), ("mpf(10) ** 300",)),
    ("logit", (1.0,), ("inf",)),
    ("erfcx", (8.5,), ("17 * exp(8.5 ** 2) * erfc(8.5) - 2 / sqrt(pi)",)),
    ("erfcx", (1e100,), ("-mpf(10) ** -200 / sqrt(pi)",)),
    ("erfcx", (np.inf,), ("0",)),
    ("erfcx", (-26.0,), ("-52 * exp(26 ** 2) * erfc(-26) - 2 / sqrt(pi)",)),
    ("erfinv", (-1.0,), ("inf",)),
    ("ndtri", (0.0,), ("inf",)),
    ("ndtri", (1e-3,), ("1 / npdf(sqrt(2) * erfinv(1 - mpf(2) * 1e-3))",)),
    ("i0", (-715.0,), ("-inf",)),
    ("i1", (715.0,), ("inf",)),
    ("i1", (0.0,), ("0.5",)),
    ("i1", (2.0,), ("besseli(0, 2) - besseli(1, 2) / 2",)),
    ("i0e", (np.inf,), ("0",)),
    ("i1e", (1e-3,), ("exp(-0.001) * (besseli(0, 0.001) - besseli(1, 0.001) * (1 + 1 / mpf(0.001)))",)),
    ("j0", (np.inf,), ("0",)),
    ("j1", (-0.0,), ("0.5",)),
    ("j1", (-2.5,), ("besselj(0, -2.5) + besselj(1, -2.5) / 2.5",)),
    ("gamma", (-0.5,), ("gamma(-0.5) * psi(0, -0.5)",)),
    ("gamma", (-2.0,), ("nan",)),
    ("gamma", (171.5,), ("gamma(171.5) * psi(0, 171.5)",)),
    ("gammaln", (-0.5,), ("psi(0, -0.5)",)),
    ("gammaln", (-1e3 - 0.25,), ("psi(0, -1000.25)",)),
    ("gammaln", (1e300,), ("log(mpf(10) ** 300)",)),
    ("gammaln", (1e-300,), ("-mpf(10) ** 300",)),
    ("gammaln", (np.inf,), ("inf",)),
    ("digamma", (-1.25,), ("psi(1, -1.25)",)),
    ("digamma", (1e200,), ("mpf(10) ** -200",)),
    ("trigamma", (-1.25,), ("psi(2, -1.25)",)),
    ("trigamma", (1e100,), ("-mpf(10) ** -200",)),
    ("tetragamma", (-1.25,), ("psi(3, -1.25)",)),
    ("pentagamma", (1.0,), ("nan",)),
    # quotients that round up to the next whole number
    ("fmod", (1.0, 0.1), ("1", "-9")),
    ("fmod", (-1.0, 0.1), ("1", "9")),
    ("fmod", (5.0, np.inf), ("1", "0")),
    ("remainder", (1.0, 0.1), ("1", "-9")),
    ("remainder", (-1.0, 0.1), ("1", "10")),
]


@pytest.mark.parametrize(("name", "operands", "expected"), FAR_OUT, ids=str)
def test_partial_derivatives_far_out_and_at_the_limits(
    name: str, operands: tuple[float, ...], expected: tuple[str | None, ...]
) -> None:
    operation = BY_NAME[name]
    columns = [np.array([operand]) for operand in operands]
    for form in (gradients, symbolic_gradients):
        for (computed,), text in zip(form(operation, columns), expected, strict=True):
            if text is not None:
                with mp.workdps(DIGITS):
                    exact = mp.mpmathify(eval(text, dict(NAMES_OF_MPMATH)))
                # results that a subnormal number would hold may be 0
                assert ulp_errors(computed, [exact])[0] <= 8 or abs(computed - float(exact)) < 2.0**-1022


SECOND_FAR_OUT = [
    ("logaddexp", (2.0, 2.0), [[0.25, -0.25], [-0.25, 0.25]]),
    ("logaddexp", (np.inf, np.inf), [[0.0, 0.0], [0.0, 0.0]]),
    ("power", (2.0, 0.0), [[0.0, 0.5], [0.5, np.log(2) ** 2]]),
    ("power", (0.0, 2.0), [[2.0, 0.0], [0.0, 0.0]]),
    ("power", (0.0, 3.0), [[0.0, 0.0], [0.0, 0.0]]),
    ("hypot", (0.0, 0.0), [[0.0, 0.0], [0.0, 0.0]]),
    ("sigmoid", (800.0,), [[0.0]]),
    ("softplus", (-800.0,), [[0.0]]),
    ("arctan", (1e200,), [[0.0]]),
    ("arcsinh", (1e300,), [[0.0]]),
    ("tanh", (800.0,), [[0.0]]),
    ("erf", (1e200,), [[0.0]]),
    ("ndtr", (-np.inf,), [[0.0]]),
    ("log_ndtr", (-1e8,), [[-1.0]]),
    ("log_ndtr", (-np.inf,), [[-1.0]]),
    ("log_ndtr", (1e3,), [[0.0]]),
    ("log_ndtr", (np.inf,), [[0.0]]),
    ("pentagamma", (1.0,), [[NAN]]),
    ("heaviside", (0.0, 0.5), [[0.0, 0.0], [0.0, 0.0]]),
]


@pytest.mark.parametrize(("name", "operands", "expected"), SECOND_FAR_OUT, ids=str)
def test_second_partial_derivatives_at_ties_and_far_out(name: str, operands: Any, expected: Any) -> None:
    rows = hessians(BY_NAME[name], [np.array([operand]) for operand in operands])
    np.testing.assert_allclose(np.array(rows)[..., 0], expected, rtol=1e-14)


# operation, operands, the partial derivatives that convention gives there
KINKS = [
    ("absolute", (0.0,), (0.0,)),
    ("absolute", (-0.0,), (0.0,)),
    ("maximum", (2.0, 2.0), (0.5, 0.5)),
    ("maximum", (0.0, -0.0), (0.5, 0.5)),
    ("minimum", (2.0, 2.0), (0.5, 0.5)),
    ("fmax", (2.0, 2.0), (0.5, 0.5)),
    ("fmin", (2.0, 2.0), (0.5, 0.5)),
    ("fmax", (NAN, 2.0), (0.0, 1.0)),
    ("fmin", (2.0, NAN), (1.0, 0.0)),
    *((name, (2.0,), (0.0,)) for name in ("sign", "floor", "ceil", "rint", "trunc", "stop_gradient")),
    ("sign", (0.0,), (0.0,)),
    ("rint", (2.5,), (0.0,)),
    ("floor_divide", (6.0, 2.0), (0.0, 0.0)),
    ("less", (2.0, 2.0), (0.0, 0.0)),
    ("power", (0.0, 0.0), (0.0, -np.inf)),
    ("power", (NAN, 0.0), (0.0, NAN)),
    ("power", (0.0, 1.0), (1.0, 0.0)),
    ("power", (0.0, 2.0), (0.0, 0.0)),
    ("power", (0.0, 0.5), (np.inf, 0.0)),
    ("sqrt", (0.0,), (np.inf,)),
    ("cbrt", (0.0,), (np.inf,)),
    ("cbrt", (-0.0,), (np.inf,)),
    ("hypot", (0.0, -0.0), (0.0, 0.0)),
    ("arctan2", (0.0, 0.0), (0.0, 0.0)),
    ("copysign", (0.0, -1.0), (0.0, 0.0)),
    ("copysign", (-3.0, -0.0), (1.0, 0.0)),
    ("heaviside", (0.0, 0.5), (0.0, 1.0)),
    ("heaviside", (1.0, 0.5), (0.0, 0.0)),
    ("where", (0.0, 1.0, 2.0), (0.0, 0.0, 1.0)),
    ("where", (NAN, 1.0, 2.0), (0.0, 1.0, 0.0)),
    ("zero_product", (0.0, np.inf), (np.inf, 0.0)),
    ("xlogy", (0.0, 0.0), (-np.inf, 0.0)),
    ("xlogy", (0.0, 1.0), (0.0, 0.0)),
    ("xlog1py", (0.0, -1.0), (-np.inf, 0.0)),
]


@pytest.mark.parametrize(("name", "operands", "expected"), KINKS, ids=str)
@pytest.mark.parametrize("form", [gradients, symbolic_gradients])
def test_partial_derivatives_at_kinks_follow_the_conventions(
    form: Any, name: str, operands: Any, expected: Any
) -> None:
    found = form(BY_NAME[name], [np.array([operand]) for operand in operands])
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_the_infinite_slope_of_a_root_at_either_zero_is_positive() -> None:
    assert fastgrad.grad(np.sqrt)(0.0) == np.inf
    assert fastgrad.grad(np.sqrt)(-0.0) == np.inf


STRONG_ZEROS: list[tuple[Callable[..., Any], Any, Any]] = [
    (lambda x: np.where(x > 0, np.sqrt(x), 0.0), 0.0, 0.0),
    (lambda x: np.where(x > 0, np.log(x), 0.0 * x), -0.0, 0.0),
    (lambda x: np.sqrt(x * x), 0.0, 0.0),
    (lambda x: np.sqrt(np.sum(x * x)), np.zeros(3), np.zeros(3)),
    (lambda x: np.linalg.norm(x), np.zeros(3), np.zeros(3)),
    (lambda x: np.std(x), np.ones(3), np.zeros(3)),
    (lambda x: np.prod(x), np.array([0.0, 2.0, 3.0]), np.array([6.0, 0.0, 0.0])),
    (lambda x: np.max(x), np.array([1.0, 3.0, 3.0]), np.array([0.0, 0.5, 0.5])),
]


@pytest.mark.parametrize(("function", "point", "expected"), STRONG_ZEROS)
def test_infinite_slopes_are_harmless_where_they_meet_a_zero(function: Any, point: Any, expected: Any) -> None:
    np.testing.assert_array_equal(fastgrad.grad(function)(point), expected)
    np.testing.assert_array_equal(fastgrad.grad(lambda x: fastgrad.value_and_grad(function)(x)[0])(point), expected)


# ---- what records them


@pytest.mark.parametrize(("name", "answers_to"), ANSWERS)
def test_the_functions_that_an_operation_answers_to_record_one_node_of_it(name: str, answers_to: str) -> None:
    operation, function = BY_NAME[name], numpy_function(answers_to)
    operands = [float(column[0]) for column in drawn(operation, 20)]
    conditions = (name, answers_to) not in ON_NUMBERS

    def called(*values: Any) -> Any:
        return function(*[value > 0 for value in values]) if conditions else function(*values)

    tape = fastgrad.record(called, *operands)
    recorded = [node.operation for node in tape if node.operation not in ("input", "constant", "greater")]
    assert recorded == [name] or (name == "greater" and not recorded)
    value, expected = fastgrad.vmap(called)(*[np.array([x]) for x in operands]), called(*operands)
    np.testing.assert_allclose(np.asarray(value, float).ravel(), np.asarray(expected, float).ravel(), rtol=1e-13)


@pytest.mark.parametrize(
    ("name", "answers_to"),
    [(o.name, n) for o in TABLE for n in o.answers_to if n.startswith("fastgrad.")],
)
def test_our_own_functions_record_one_node_of_their_operation(name: str, answers_to: str) -> None:
    operands = [float(column[0]) for column in drawn(BY_NAME[name], 20)]
    function = getattr(fastgrad, answers_to.removeprefix("fastgrad."))
    recorded = [node.operation for node in fastgrad.record(function, *operands)][len(operands) :]
    assert recorded == [name]


@pytest.mark.parametrize("name", [operation.name for operation in TABLE if operation.logical_twin])
def test_arithmetic_on_truth_values_records_the_logical_twin(name: str) -> None:
    function = numpy_function(f"numpy.{name}")
    tape = fastgrad.record(lambda x, y: function(x > 0, y > 0), 1.0, -1.0)
    assert [node.operation for node in tape][-1] == BY_NAME[name].logical_twin


# ---- the machine code

SCALAR_ARITHMETIC = re.compile(r"\bv?(add|sub|mul|div|sqrt|max|min|round|rndscale|fn?m(add|sub)\d+)sd\s")


def test_every_instruction_over_lanes_is_packed_and_calls_no_library() -> None:
    from llvmlite import binding, ir

    from fastgrad.vm import compiler, operations, target

    features = binding.get_host_cpu_features()
    if not features.get("avx"):
        pytest.skip("this processor has no AVX")
    machine = target.target_machine()
    own = ir.Module("lanes")
    own.triple = machine.triple
    for instruction in isa.INSTRUCTIONS:
        operations.lanes_function(own, instruction).linkage = "external"
    module = binding.parse_assembly(compiler.without_library_calls(str(own)))
    compiler.optimise(module, machine)
    text = machine.emit_assembly(module)
    codes = dict(part.split(":", 1) for part in re.split(r"^\"?fastgrad\.lanes\.", text, flags=re.MULTILINE)[1:])
    assert len(codes) == len(isa.INSTRUCTIONS)
    register = "zmm" if features.get("avx512f") else "ymm"
    for name, code in codes.items():
        body = code.split(".Lfunc_end")[0]
        assert register in body, f"{name} uses no full registers"
        assert not SCALAR_ARITHMETIC.search(body), f"{name} computes one number at a time"
        called = re.findall(r"call\w*\s+\"?([\w.]+)", body)
        # what `rarely` keeps out of line
        assert all(function.startswith("fastgrad.elementary.") for function in called), f"{name} calls {called}"
