"""Elementwise functions and ufuncs of several operations: NumPy's values and dtypes, derivatives, refusals."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.sampling import check_orders, check_shown, increasing, normal, positive

SIGNED = np.array([-2.6, -1.4, -0.3, 0.7, 1.2, 3.9])
JUMPING = np.array([0.1, 3.0, -2.9, 0.4, 7.1, 0.9, 13.0])
CALLS: dict[str, tuple[Any, ...]] = {
    "where": (lambda x, y: np.where(x > 0, x * y, y), normal(4), normal(4)),
    "where without values": (lambda x: x[np.where(x > 0)] ** 2, normal(6)),
    "clip": (lambda x: np.clip(x, -0.5, 0.5), SIGNED),
    "clip by arrays": (lambda x, y: np.clip(x, y - 1.0, np.full(6, 0.75)), SIGNED, increasing(6) - 2.0),
    "clip by name": (lambda x: np.clip(x, min=-0.5, max=1.0) + x.clip(max=0.1), SIGNED),
    "clip below": (lambda x: np.clip(x, -0.5, None) + x.clip(-0.2), SIGNED),
    "clip above": (lambda x: np.clip(x, None, 0.3), SIGNED),
    "clip nothing": (lambda x: np.clip(x, None, None), SIGNED),
    "clip by a recorded bound": (lambda x: np.clip(np.linspace(-2, 2, 6), x[0], x[-1]), SIGNED),
    "nan_to_num": (lambda x: np.nan_to_num(np.sqrt(x), nan=2.0) * x, SIGNED),
    "nan_to_num of infinities": (
        lambda x: np.nan_to_num(x / [1.0, 0.0, 1.0, 0.0, 1.0, 1.0], posinf=x[0], neginf=-3.0) * x,
        SIGNED,
    ),
    "round": (lambda x: np.round(x, 1) * x + x.round() + np.around(10 * x, -1), SIGNED),
    "fix": (lambda x: np.fix(x) * x + np.trunc(x), SIGNED),
    "floor and ceil": (lambda x: np.floor(x) * x + np.ceil(x) + np.rint(x), SIGNED),
    "real_if_close": (lambda x: np.real_if_close(x) ** 2, SIGNED),
    "angle": (lambda x: np.angle(x) * x + np.angle(x, deg=True), SIGNED),
    "modf": (lambda x: np.modf(x), SIGNED),
    "frexp": (lambda x: np.frexp(x)[0] * x + np.frexp(x)[1], SIGNED),
    "ldexp": (lambda x: np.ldexp(x, 3) + np.ldexp(x, [1, 2, 3, -1, -2, -3]), SIGNED),
    "ldexp of frexp": (lambda x: np.ldexp(*np.frexp(x)), SIGNED),
    "divmod": (lambda x, y: np.divmod(x, y), SIGNED, positive(6)),
    "divmod operator": (lambda x, y: divmod(x, y), SIGNED, positive(6)),
    "remainders": (lambda x, y: np.fmod(x, y) + np.remainder(x, y) + x // y, SIGNED, positive(6)),
    "degrees": (lambda x: np.deg2rad(x) + np.radians(x) + np.rad2deg(x) + np.degrees(x), SIGNED),
    "logaddexp2": (lambda x, y: np.logaddexp2(x, y) + np.logaddexp2(x, 1.0), SIGNED, normal(6)),
    "float_power": (lambda x, y: np.float_power(x, y) + np.float_power(2, x), positive(4), normal(4)),
    "fabs": (lambda x: np.fabs(x) + np.abs(x), SIGNED),
    "heaviside": (lambda x, y: np.heaviside(x, y) * x, SIGNED, normal(6)),
    "copysign": (lambda x, y: np.copysign(x, y), SIGNED, normal(6)),
    "nextafter": (lambda x, y: np.nextafter(x, y) * y, SIGNED, normal(6)),
    "spacing": (lambda x: np.spacing(x) * 1e15 * x, SIGNED),
    "signs": (lambda x: np.sign(x) * np.signbit(x) * x, SIGNED),
    "tests": (lambda x: x * np.isfinite(x) + x * np.isnan(x) + x * np.isinf(x) + np.isposinf(x) * x, SIGNED),
    "isneginf": (lambda x: np.where(np.isneginf(-np.inf * x), x, 2 * x), SIGNED),
    "isclose": (lambda x: np.where(np.isclose(x, np.round(x), atol=0.15), x, 2 * x), SIGNED),
    "sinc": (lambda x: np.sinc(x), np.concatenate([SIGNED, [0.0, 1e-9, 2.0 / np.pi]])),
    "sinc of a number": (lambda x: np.sinc(x), np.asarray(0.4)),
    "i0": (lambda x: np.i0(x) * np.kaiser(6, 2.0), SIGNED),
    "i0 of a number": (lambda x: np.i0(x), np.asarray(0.4)),
    "unwrap": (lambda x: np.unwrap(x) * x, JUMPING),
    "unwrap by degrees": (lambda x: np.unwrap(40 * x, period=360) * x, JUMPING),
    "unwrap with a threshold": (lambda x: np.unwrap(x, 5.0) * x, JUMPING),
    "unwrap along an axis": (lambda x: np.unwrap(x, axis=0) * x, np.stack([JUMPING, JUMPING[::-1]]).T),
    "unwrap by a recorded period": (lambda x, p: np.unwrap(x, period=p), JUMPING, np.asarray(5.0)),
    "powers": (
        lambda x: np.square(x) + np.reciprocal(x) + np.cbrt(x) + np.exp2(x) + np.log2(x) + np.sqrt(x),
        positive(4),
    ),
    "hypot and arctan2": (lambda x, y: np.hypot(x, y) + np.arctan2(x, y), SIGNED, normal(6)),
    "truth": (lambda x, y: x * np.logical_and(x > 0, y) + x * np.logical_xor(x > 0, y > 0), SIGNED, normal(6)),
    "outer": (lambda x, y: np.logaddexp2.outer(x, y) + np.hypot.outer(x, y), normal(2), normal(3)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_values_and_derivatives_of(name: str) -> None:
    function, *args = CALLS[name]
    check(function, *args)
    check_shown(function, *args)


@pytest.mark.parametrize("name", ["clip by arrays", "modf", "frexp", "sinc", "unwrap by a recorded period", "powers"])
def test_second_derivatives_of(name: str) -> None:
    check_orders(*CALLS[name])


def whole(x: Any) -> Any:
    """Recorded whole numbers."""
    return (x > 0) + (x > 1)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.float_power(whole(x) + 1, -1),
        lambda x: np.fabs(whole(x)),
        lambda x: np.abs(whole(x)),
        lambda x: np.round(whole(x)),
        lambda x: np.round(whole(x) * 12, -1),
        lambda x: np.round(x > 0),
        lambda x: np.rint(whole(x)),
        lambda x: np.trunc(whole(x)),
        lambda x: np.nan_to_num(whole(x)),
        lambda x: np.clip(whole(x), 0, 1),
        lambda x: np.clip(whole(x), 0, 1.5),
        lambda x: np.divmod(whole(x), 2),
        lambda x: np.frexp(x)[1],
        lambda x: np.i0(whole(x)),
        lambda x: np.sinc(whole(x)),
        lambda x: np.ldexp(whole(x), whole(x)),
        lambda x: np.deg2rad(whole(x)),
        lambda x: np.unwrap(whole(x) * 7, period=5),
        lambda x: np.unwrap(whole(x) * 7, period=4),
        lambda x: whole(x) / whole(x + 9),
        lambda x: np.add(x, 1, dtype=np.float32),
        lambda x: np.sqrt(np.multiply(x, x, dtype=np.float32)),
        lambda x: np.modf(np.multiply(x, 1, dtype=np.float32)),
        lambda x: np.logaddexp2(np.multiply(x, 1, dtype=np.float32), 1.0),
        lambda x: np.sinc(np.multiply(x, 1, dtype=np.float32)),
        lambda x: np.round(np.multiply(x, 1, dtype=np.float32), 2),
        lambda x: np.clip(np.multiply(x, 1, dtype=np.float32), 0.0, 1.0),
        lambda x: np.less(x, 0.5, dtype=bool),
        lambda x: np.add(x, x, order="F", casting="safe", subok=False),
        lambda x: np.exp(x, signature="d->d"),
    ],
)
def test_dtypes_are_those_of_numpy(function: Any) -> None:
    check_shown(function, SIGNED)


def test_a_value_of_float32_keeps_its_derivative() -> None:
    gradient = fg.grad(lambda x: np.sum(np.exp(np.multiply(x, 2.0, dtype=np.float32))))(SIGNED)
    np.testing.assert_allclose(gradient, 2 * np.exp(2 * SIGNED), rtol=1e-14)


# ---- kinks, edges and every order


@pytest.mark.parametrize("order", range(6))
def test_sinc_has_the_right_derivatives_of_every_order_everywhere(order: int) -> None:
    function = np.sinc
    for _ in range(order):
        function = fg.grad(function)
    for point in (0.0, 1e-200, 1e-9, 0.3, 2.0 / np.pi, 0.64, 1.0, -2.5, 30.25):

        def integrand(t: Any, point: float = point) -> Any:
            return (mpmath.pi * t) ** order * mpmath.cos(mpmath.pi * (mpmath.mpf(point) * t + mpmath.mpf(order) / 2))

        with mpmath.workdps(40):
            # sin(pi*x)/(pi*x) is the mean of cos(pi*x*t) over t from 0 to 1
            exact = float(mpmath.quad(integrand, mpmath.linspace(0, 1, 9)))
        np.testing.assert_allclose(function(point), exact, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("function", "point", "expected"),
    [
        (lambda x: np.clip(x, 0.0, 1.0), 0.0, 0.5),
        (lambda x: np.clip(x, 0.0, 1.0), 1.0, 0.5),
        (lambda x: np.clip(x, 0.0, 1.0), 2.0, 0.0),
        (lambda x: np.nan_to_num(x), np.nan, 0.0),
        (lambda x: np.nan_to_num(x), np.inf, 0.0),
        (lambda x: np.modf(x)[0], 2.0, 1.0),
        (lambda x: np.modf(x)[1], 2.0, 0.0),
        (lambda x: np.frexp(x)[0], 5.0, 0.125),
        (lambda x: np.ldexp(x, -1074), 5.0, 5e-324),
        (lambda x: np.logaddexp2(x, 1.0), 1.0, 0.5),
        (lambda x: np.logaddexp2(x, 1.0), -np.inf, 0.0),
        (lambda x: np.unwrap(np.stack([0.0 * x, x]))[1], np.pi, 1.0),
        (lambda x: np.angle(x), 0.0, 0.0),
        (lambda x: np.fabs(x), 0.0, 0.0),
        (lambda x: np.round(x, 2), 0.125, 0.0),
    ],
)
def test_slopes_at_kinks_and_edges(function: Any, point: float, expected: float) -> None:
    assert fg.grad(function)(point) == expected
    assert fg.jvp(function, (point,), (1.0,))[1] == expected


def test_logaddexp2_curves_where_its_operands_tie() -> None:
    hessian = fg.hessian(lambda x: np.logaddexp2(x[0], x[1]))(np.array([3.0, 3.0]))
    np.testing.assert_allclose(hessian, np.log(2) / 4 * np.array([[1, -1], [-1, 1]]), rtol=1e-14)


def test_nan_to_num_in_place_changes_its_argument() -> None:
    def function(x: Any) -> Any:
        y = np.sqrt(x)
        result = np.nan_to_num(y, copy=False, nan=1.0)
        return y * x + result

    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(fg.jvp(function, (SIGNED,), (np.ones(6),))[0], function(SIGNED))
        positive = SIGNED > 0
        slope = fg.jvp(function, (SIGNED,), (np.ones(6),))[1]
    root = np.sqrt(SIGNED[positive])
    np.testing.assert_allclose(slope[positive], 1.5 * root + 0.5 / root)
    np.testing.assert_allclose(slope[~positive], 1.0)


def test_a_branch_on_allclose_is_guarded() -> None:
    gradient = fg.grad(lambda x: np.sum(x) if np.allclose(x, 1.0) else np.sum(x * x))
    np.testing.assert_array_equal(gradient(np.ones(2)), [1.0, 1.0])
    np.testing.assert_array_equal(gradient(np.array([1.0, 2.0])), [2.0, 4.0])


@pytest.mark.parametrize("equal_nan", [False, True])
def test_isclose_agrees_with_numpy_on_special_values(equal_nan: bool) -> None:
    values = np.array([0.0, 1.0, 1.0 + 1e-9, np.inf, -np.inf, np.nan])
    x, y = (side.ravel() for side in np.meshgrid(values, values))
    with np.errstate(invalid="ignore"):
        check_shown(lambda x, y: np.isclose(x, y, equal_nan=equal_nan), x, y)


# ---- options of ufuncs

MASK = np.array([True, False, True, True, False, True])


def test_a_mask_with_out_keeps_the_other_elements() -> None:
    def function(x: Any) -> Any:
        out = np.full(6, 7.0) * x[0]
        np.exp(x, out=out, where=MASK)
        quotient = np.divide(x, x - x[1], out=np.zeros(6), where=x != x[1])
        fractions, numbers = np.modf(x, out=(np.zeros(6), np.zeros(6)), where=MASK)
        return out, quotient, fractions, numbers

    check(function, SIGNED)


def test_only_the_target_or_the_mask_may_be_recorded() -> None:
    def function(x: Any) -> Any:
        out = x * 1.0
        np.add(np.arange(6.0), 1.0, out=out, where=MASK)
        np.add([1.0] * 6, np.ones(6), out=out, where=x > 1)
        chosen = np.add(np.ones(6), 1.0, out=np.zeros(6), where=x > 1)
        return out * x, chosen * x

    check(function, SIGNED)


def test_a_mask_of_recorded_values_may_change_later() -> None:
    def function(x: Any) -> Any:
        return np.sum(np.sqrt(x, out=np.zeros(3), where=x > 0))

    gradient = fg.grad(function)
    np.testing.assert_array_equal(gradient(np.array([4.0, -1.0, 1.0])), [0.25, 0.0, 0.5])
    np.testing.assert_array_equal(gradient(np.array([-4.0, 4.0, -1.0])), [0.0, 0.25, 0.0])


@pytest.mark.filterwarnings("ignore:'where' used without 'out'")
def test_a_mask_that_is_true_everywhere_needs_no_out() -> None:
    check_shown(lambda x: np.add(x, 1.0, where=np.ones(6, bool)), SIGNED)
    check(lambda x: np.add(x, 1.0, where=True), SIGNED)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: np.add(x, 1.0, where=MASK), fg.UnsupportedError, "np.add with where= and without out="),
        (lambda x: np.add(x, 1.0, where=x > -9), fg.UnsupportedError, "np.add with where= and without out="),
        (lambda x: np.divmod(x, 1.0, where=MASK), fg.UnsupportedError, "np.divmod with where= and without out="),
        (
            lambda x: np.add(x, 1.0, where=np.ones((2, 6), bool)),
            fg.UnsupportedError,
            "np.add with a mask that is larger than its operands",
        ),
        (lambda x: np.add(x, x, dtype=complex), fg.UnsupportedError, "np.add with dtype=<class 'complex'>"),
        (lambda x: np.add(x, x, dtype=object), fg.UnsupportedError, "np.add with dtype=<class 'object'>"),
        (
            lambda x: np.add(x, x, dtype=int, casting="unsafe"),
            fg.UnsupportedError,
            "np.add with casting='unsafe' cannot be recorded",
        ),
        (lambda x: np.add(x, x, dtype=int), TypeError, "Cannot cast ufunc 'add' input"),
        (lambda x: np.add(x, x, no_such_option=1), TypeError, "no_such_option"),
        (lambda x: np.ldexp(x, x), TypeError, "'ldexp' not supported"),
        (lambda x: np.gcd(x, x), TypeError, "gcd"),
        (lambda x: np.isnat(x), TypeError, "ufunc 'isnat'"),
        (
            lambda x: np.spacing(np.multiply(x, 1, dtype=np.float32)),
            fg.UnsupportedError,
            "np.spacing of less than float64 cannot be recorded",
        ),
        (lambda x: np.where(x > 0, x), ValueError, "either both or neither"),
        (lambda x: np.clip(x, 0, 1, min=0), ValueError, "forbidden"),
    ],
)
def test_what_cannot_be_recorded_is_refused_by_name_or_by_numpy(call: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message.replace("(", r"\(")):
        fg.record(call, SIGNED)


def test_every_ufunc_of_floats_is_recorded() -> None:
    missing = []
    for name in dir(np):
        ufunc = getattr(np, name)
        if not isinstance(ufunc, np.ufunc) or not any(set(types) <= set("d?il->") for types in ufunc.types):
            continue
        if not any("d" in types.split("->")[0] for types in ufunc.types):
            continue
        args = [np.array([0.25, 0.5])] * ufunc.nin
        with np.errstate(all="ignore"):
            try:
                if "n" not in (ufunc.signature or "") and name != "ldexp":
                    ufunc(*args)
                    fg.record(lambda *xs, ufunc=ufunc: ufunc(*xs), *args)
            except fg.UnsupportedError:
                missing.append(name)
    assert not missing


def test_increasing_phases_stay_as_they_are() -> None:
    check_shown(np.unwrap, increasing(7))
