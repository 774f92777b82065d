"""Stand-ins: in place while a recording runs, for its thread only, and gone afterwards, however it ended."""

from __future__ import annotations

import builtins
import copy
import functools
import importlib
import itertools
import math
import statistics
import sys
import threading
import types
from math import exp as imported_exp

import mpmath
import numba
import numpy as np
import pytest
from numpy import zeros as imported_zeros

import fastgrad as fg
from fastgrad.recording.fresh_array import FreshArray
from fastgrad.recording.intercepted_names import MAKERS
from tests.derivative_checks import check

X = np.array([1.1, 2.3, 0.7])
TABLE = np.arange(1.0, 13.0).reshape(3, 4)


@numba.njit
def compiled_inner(a):
    return math.sin(a) * a if a > 0 else a**3


@numba.njit
def compiled(x):
    results = np.zeros(x.shape[0])
    for i in range(x.shape[0]):
        results[i] = compiled_inner(x[i])
    return results


def everything():
    """What the stand-ins replace."""
    holders = [vars(np), vars(np.linalg), vars(np.fft), vars(math), vars(statistics), globals()]
    names = [{name: id(value) for name, value in holder.items() if callable(value)} for holder in holders]
    calls = [cls.__dict__.get("__call__") for cls in (*type(compiled).__mro__, np.vectorize)]
    return names, calls, builtins.__import__, importlib.import_module, numba.core.compiler.compile_extra


# ---- they are put back


def fails(x):
    np.zeros(2)[0] = x[0]
    raise KeyError("a reason")


def test_everything_is_back_after_a_recording():
    before = everything()
    fg.value_and_grad(lambda x: np.sum(compiled(x)))(X)
    assert everything() == before


def test_everything_is_back_after_an_exception():
    before = everything()
    with pytest.raises(KeyError):
        fg.grad(fails)(X)
    assert everything() == before
    check(lambda x: np.zeros(3) + x * x, X)


def test_everything_is_back_after_nested_recordings_and_errors_in_them():
    def outer(x):
        with pytest.raises(KeyError):
            fg.grad(fails)(x)
        y = np.zeros(3)
        y[:] = fg.grad(lambda z: np.sum(np.zeros(3) + z**3))(x)
        return y

    before = everything()
    np.testing.assert_allclose(fg.jacobian(outer)(X), np.diag(6 * X), rtol=1e-14)
    assert everything() == before


def test_everything_is_back_after_a_generator_that_nobody_finishes():
    def function(x):
        def states():
            y = np.zeros(3)
            for k in itertools.count():
                y[k % 3] = x[k % 3]
                yield y[k % 3]

        return next(states()) * 2

    before = everything()
    assert fg.grad(function)(X).tolist() == [2, 0, 0]
    assert everything() == before


def test_what_the_user_binds_meanwhile_stays():
    module = types.ModuleType("users_module")
    exec("from numpy import zeros\ndef f(x):\n    global zeros\n    zeros = len\n    return x * 2", vars(module))
    sys.modules["users_module"] = module
    try:
        fg.grad(module.f)(1.0)
        assert module.zeros is len
    finally:
        del sys.modules["users_module"]


def users_module(text, monkeypatch):
    module = types.ModuleType("users_module")
    exec(text, vars(module))
    monkeypatch.setitem(sys.modules, "users_module", module)
    return module


def test_a_name_that_is_bound_to_another_original_has_its_stand_in(monkeypatch):
    module = users_module("from math import sin as act\ndef f(x):\n    return act(x)", monkeypatch)
    assert fg.grad(module.f)(0.5) == math.cos(0.5)
    module.act = math.cos
    assert fg.grad(module.f)(0.5) == -math.sin(0.5)
    module.act = np.zeros(3)
    with pytest.raises(TypeError, match="not callable"):
        fg.grad(module.f)(0.5)
    module.act = math.exp
    assert fg.grad(module.f)(0.5) == math.exp(0.5)
    assert module.act is math.exp


def test_names_that_appear_while_recordings_nest_have_their_stand_ins_later_too(monkeypatch):
    module = users_module(
        "import fastgrad as fg\nfrom math import sin\ndef inner(x):\n    return sin(x)\n"
        "def f(x):\n    global new\n    new = 1\n    return fg.grad(inner)(x) * sin(x)",
        monkeypatch,
    )
    for x in (0.5, 0.7):
        assert fg.value_and_grad(module.f)(x) == pytest.approx((math.sin(2 * x) / 2, math.cos(2 * x)), rel=1e-15)
        assert module.sin is math.sin


# ---- other threads


def test_other_threads_get_numpys_own_arrays_and_floats_meanwhile():
    stop, wrong = threading.Event(), []

    def work():
        while not stop.is_set():
            array, number, total = np.zeros(3), math.sin(1.0), compiled(np.ones(2))
            if type(array) is not np.ndarray or number != float(mpmath.sin(1)) or type(total) is not np.ndarray:
                wrong.append((array, number, total))
            try:
                math.sqrt(-1.0)
                wrong.append("no error")
            except ValueError:
                pass

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()

    def function(x, k):
        y = np.zeros(3)
        for i in range(3):
            y[i] = math.sin(x[i]) * (k + i)
        return y.sum()

    try:
        for k in range(100):
            np.testing.assert_allclose(fg.grad(function)(X, k), np.cos(X) * (k + np.arange(3)), rtol=1e-14)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong


def test_threads_that_record_at_once_do_not_meet():
    before, failures = everything(), []

    def work(seed):
        x = np.random.default_rng(seed).uniform(1, 2, 3)
        for k in range(30):

            def function(x, k=k):
                y = np.zeros(3)
                for i in range(3):
                    y[i] = math.log(x[i]) * (k + seed)
                return y

            if not np.allclose(fg.jacobian(function)(x), np.diag((k + seed) / x), rtol=1e-13):
                failures.append((seed, k))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert everything() == before


def test_a_recording_is_found_again_while_another_thread_records():
    calls = itertools.count()

    def function(x):
        next(calls)
        return imported_exp(x[0]) * imported_zeros(3) + x

    entered, leave = threading.Event(), threading.Event()

    def slow(x):
        entered.set()
        leave.wait(10)
        return x * 2

    gradient = fg.jacobian(function)
    gradient(X)
    thread = threading.Thread(target=lambda: fg.grad(slow)(1.0))
    thread.start()
    entered.wait(10)
    gradient(X)
    leave.set()
    thread.join()
    gradient(X)
    assert next(calls) == 1


# ---- what they make


def test_makers_return_arrays_that_take_recorded_values():
    calls = {
        "arange": (3.0,), "array": ([1.0, 2.0, 3.0],), "asanyarray": ([1.0, 2.0, 3.0],), "asarray": ([1.0, 2.0, 3.0],),
        "ascontiguousarray": ([1.0, 2.0, 3.0],), "asfortranarray": ([1.0, 2.0, 3.0],), "empty": (3,), "eye": (3,),
        "full": (3, 2.0), "geomspace": (1.0, 4.0, 3), "identity": (3,), "linspace": (0.0, 1.0, 3),
        "logspace": (0.0, 1.0, 3), "ones": (3,), "tri": (3,), "zeros": (3,), "tile": (1.0, 3), "repeat": (1.0, 3),
        "concatenate": (([1.0], [2.0, 3.0]),), "stack": (([1.0], [2.0]),), "outer": ([1.0, 2.0], [3.0, 4.0]),
    }  # fmt: skip
    assert set(calls) <= set(MAKERS)
    for name, arguments in calls.items():

        def function(x, name=name, arguments=arguments):
            y = getattr(np, name)(*arguments)
            if name == "empty":
                y[:] = 1.0
            y[0] = x[0] * 2
            return y

        check(function, X)


def test_an_array_of_another_library_is_not_written_into():
    class Column:
        def __init__(self):
            self.data = np.ones(3)

        def __array__(self, dtype=None, copy=None):
            return self.data

    column = Column()

    def function(x):
        y = np.asarray(column)
        y[0] = x[0]
        return y

    with pytest.raises(fg.LostDerivativeError, match="made outside the function"):
        fg.jacobian(function)(X)
    assert column.data.tolist() == [1, 1, 1]


def test_captured_arrays_are_not_changed():
    captured = np.ones(3)

    def function(x):
        y = np.asarray(captured)
        y[0] = x[0]
        return y

    with pytest.raises(fg.LostDerivativeError, match=r"test_interception\.py:\d+, in function"):
        fg.jacobian(function)(X)
    assert captured.tolist() == [1, 1, 1]

    def through_a_view(x):
        y = np.reshape(captured, (3, 1))
        y[0] = x[0]
        return y

    with pytest.raises(fg.LostDerivativeError):
        fg.jacobian(through_a_view)(X)
    assert captured.tolist() == [1, 1, 1]


def test_an_array_without_recorded_values_is_numpys_to_all_code():
    def function(x):
        y = np.zeros(4)
        y[1:] += np.arange(3)
        assert isinstance(y, np.ndarray)
        assert repr(y) in ("array([0., 0., 1., 2.])", "FreshArray([0., 0., 1., 2.])")
        assert float(y[2]) == 1.0
        assert np.sort(y)[-1] == y.max() == 2.0
        assert compiled_inner(y[3]) == math.sin(2.0) * 2.0
        assert np.linalg.norm(y) == np.sqrt(5)
        return x * y[3]

    check(function, X)


def test_memory_under_recorded_elements_is_nan():
    kept = []

    def function(x):
        y = np.zeros(3)
        view = y[1:]
        y[0] = x[0]
        kept.append(np.frombuffer(memoryview(view), np.float64))
        return y

    fg.jacobian(function)(X)
    assert np.isnan(kept[0]).all()


def test_an_array_that_outlives_its_recording_says_so():
    kept = []

    def function(x):
        y = np.zeros(3)
        y[0] = x[0]
        kept.append(y)
        return y

    fg.jacobian(function)(X)
    with pytest.raises(fg.LeakedValueError, match="Return it from the differentiated function"):
        kept[0] + 1
    with pytest.raises(fg.LeakedValueError):
        float(kept[0][0])
    with pytest.raises(fg.LeakedValueError):
        kept[0][1] = 2.0


def test_a_plain_array_that_outlives_its_recording_is_still_an_array():
    kept = []

    def function(x):
        kept.append(np.arange(3.0))
        return x

    fg.jacobian(function)(X)
    assert (kept[0] + 1).tolist() == [1, 2, 3]
    assert copy.deepcopy(kept[0]).tolist() == [0, 1, 2]


def test_results_are_plain_arrays():
    value, derivative = fg.value_and_grad(lambda x: np.sum(np.ones(3) * x), has_aux=False)(X)
    assert type(derivative) is np.ndarray
    _, aux = fg.grad(lambda x: (np.sum(x), {"constant": np.ones(3), "moved": np.zeros(3) + x}), has_aux=True)(X)
    assert all(type(array) is np.ndarray for array in aux.values())
    assert type(fg.jacobian(lambda x: np.zeros(3))(X)) is np.ndarray
    assert not isinstance(value, FreshArray)


# ---- arguments


def test_the_callers_arrays_are_never_changed():
    def function(x, data, counts):
        x[0] = data[1] * x[2]
        data *= 2
        counts[0] += 1
        return np.sum(x * data * counts)

    x, data, counts = X.copy(), np.array([2.0, 3.0, 4.0]), np.array([1, 2, 3])
    for _ in range(3):
        gradient = fg.grad(function)(x, data, counts)
        np.testing.assert_allclose(gradient, [0, 6 * 2, 4 * 3 * 2 + 2 * 3 * 2 * 2], rtol=1e-14)
        assert (x.tolist(), data.tolist(), counts.tolist()) == (X.tolist(), [2, 3, 4], [1, 2, 3])


def test_arguments_that_share_memory_are_refused_where_one_is_written_into():
    def function(x, y):
        x[0] = 2.0
        return np.sum(x * y)

    gradient = fg.grad(function, argnums=(0, 1))
    for first, second in ((X, X), (X, X[::-1])):
        with pytest.raises(fg.UnsupportedError, match="two of its arguments share memory"):
            gradient(first, second)
    for _ in range(3):
        assert gradient(X, X.copy())[0].tolist() == [0, *X[1:]]
    with pytest.raises(fg.UnsupportedError, match="two of its arguments share memory"):
        gradient(X, X)
    # where nothing is written they are two variables
    assert fg.grad(lambda x, y: np.sum(x * y))(X, X).tolist() == X.tolist()


@pytest.mark.parametrize("first", ["shared", "separate"])
@pytest.mark.parametrize("dtype", [float, int])
def test_data_that_shares_memory_with_an_argument_is_refused_where_either_is_written_into(first, dtype):
    def changes_data(x, data):
        data[0] = 7
        return np.sum(data * x)

    def changes_argument(x, data):
        x[1] = x[0] * data[1]
        return np.sum(data * x)

    for function in (changes_data, changes_argument):
        x = np.arange(1, 4).astype(dtype)
        derivative = fg.grad(function)
        if first == "separate":
            assert np.all(np.isfinite(derivative(x, x.copy())))
        for data in (x, x[::-1]):
            with pytest.raises(fg.UnsupportedError, match="share memory"):
                derivative(x, data)
        np.testing.assert_array_equal(x, np.arange(1, 4))


def test_an_inner_function_may_not_change_an_array_of_the_outer_one():
    def outer(x):
        y = x * 1

        def inner(z):
            y[0] = z
            return z * 2

        return fg.grad(inner)(x[0]) * y

    with pytest.raises(fg.UnsupportedError, match="an inner differentiated function changed an array"):
        fg.jacobian(outer)(X)


# ---- functions that are kept in other places than names of modules


def with_default(x, act=math.sin):
    return act(x[0]) * x[1]


def with_keyword_default(x, *, act=math.exp, make=np.zeros):
    y = make(2)
    y[0] = act(x[0])
    return y * x[1]


make_three = functools.partial(np.zeros, 3)
KEPT = {math.sin}
ACTIVATIONS = {"sin": math.sin, "zeros": np.zeros, "inner": {"list": [math.cos, math.exp]}}


def with_partial(x):
    y = make_three()
    y[0] = x[0] ** 2
    return y * x[1]


def with_dict(x):
    y = ACTIVATIONS["zeros"](3)
    y[0] = ACTIVATIONS["sin"](x[0])
    y[1] = ACTIVATIONS["inner"]["list"][1](x[1])
    return y


def with_closures():
    zeros, act = np.zeros, math.sin

    def helper(x):
        y = zeros(3)
        y[0] = act(x[0])
        return y

    return lambda x: helper(x) * x[1]


class Layer:
    def __init__(self):
        self.act = math.cos

    def __call__(self, x):
        return self.act(x[0]) * x[1]

    def method(self, x):
        return self.act(x[0])


LAYER = Layer()
HELD = {
    "a default argument": with_default,
    "the default argument of a helper": lambda x: with_default(x) + with_default(2.0 * x),
    "keyword defaults": with_keyword_default,
    "a partial function": with_partial,
    "a partial function that is differentiated": functools.partial(with_default, act=math.cos),
    "a dict": with_dict,
    "closures of helpers": with_closures(),
    "attributes": Layer(),
    "attributes of self": Layer().method,
    "attributes of a global": lambda x: LAYER(x),
}


@pytest.mark.parametrize("name", HELD)
def test_functions_that_are_kept_elsewhere_are_recorded_too(name):
    before = everything()
    held = [with_default.__defaults__, with_keyword_default.__kwdefaults__.copy(), str(ACTIVATIONS), make_three]
    check(HELD[name], X)
    assert everything() == before
    assert held == [with_default.__defaults__, with_keyword_default.__kwdefaults__, str(ACTIVATIONS), make_three]
    assert with_default.__defaults__ is held[0]


def test_what_is_kept_elsewhere_is_back_after_an_error_and_where_it_cannot_be_found_the_error_has_a_name():
    def failing(x, act=math.sin):
        act(x[0])
        raise KeyError("a reason")

    with pytest.raises(KeyError):
        fg.grad(failing)(X)
    assert failing.__defaults__ == (math.sin,)

    class Hidden:
        act, make = staticmethod(math.sin), staticmethod(np.zeros)

    def filling(x):
        y = Hidden.make(3)
        y[0] = x[0]
        return y

    for lost in (filling, lambda x: Hidden.act(x[0]), lambda x: next(iter(KEPT))(x[0]), lambda x: float(x[0])):
        with pytest.raises(
            fg.LostDerivativeError, match=r"turned into a Python float.*test_interception.*by these names"
        ):
            fg.grad(lost)(X)


def test_a_function_that_drops_a_derivative_by_itself_runs_once():
    calls = []

    def function(x):
        calls.append(1)
        return float(x[0])

    with pytest.raises(fg.LostDerivativeError):
        fg.grad(function)(X)
    assert len(calls) == 1


def test_other_threads_compute_with_floats_meanwhile_where_functions_are_kept_elsewhere():
    wrong, stop = [], threading.Event()

    def plain():
        while not stop.is_set():
            if with_default(X) != math.sin(X[0]) * X[1] or type(with_dict(X)) is not np.ndarray:
                wrong.append(1)

    thread = threading.Thread(target=plain)
    thread.start()
    try:
        for k in range(30):
            assert fg.grad(lambda x, k=k: with_default(x) + with_dict(x)[0] * k)(X)[2] == 0.0
    finally:
        stop.set()
        thread.join()
    assert not wrong


# ---- lists of recorded values, of which NumPy would make arrays of objects


def matrix(x):
    return [[x[0] + 3.0, x[1]], [x[2], 4.0]]


def symmetric(x):
    return [[x[0], x[1]], (x[1], 2.0)]


OF_LISTS = {
    "det": lambda x: np.linalg.det(matrix(x)),
    "slogdet": lambda x: np.linalg.slogdet(matrix(x)).logabsdet,
    "inv": lambda x: np.linalg.inv(matrix(x)),
    "pinv": lambda x: np.linalg.pinv([[x[0], 1.0], [x[1], 2.0], [0.5, x[2]]]),
    "solve": lambda x: np.linalg.solve(matrix(x), [x[0], 2.0]),
    "solve for a list": lambda x: np.linalg.solve(np.eye(2) * 2.0, [x[0], 2.0]),
    "eigvalsh": lambda x: np.linalg.eigvalsh(symmetric(x)),
    "eigh": lambda x: np.linalg.eigh(symmetric(x)).eigenvalues,
    "svdvals": lambda x: np.linalg.svdvals(matrix(x)),
    "svd": lambda x: np.linalg.svd(matrix(x), compute_uv=False),
    "qr": lambda x: np.abs(np.linalg.qr(matrix(x))[1]),
    "cholesky": lambda x: np.linalg.cholesky([[x[0] + 9.0, x[1]], [x[1], 9.0]]),
    "lstsq": lambda x: np.linalg.lstsq([[1.0, x[0]], [1.0, 2.0], [1.0, x[1]]], [x[2], 2.0, 5.0])[0],
    "norm": lambda x: np.linalg.norm([x[0], x[1]]),
    "norm by name": lambda x: np.linalg.norm(x=[[x[0], x[1]], [1.0, 2.0]], ord=2),
    "matrix_norm": lambda x: np.linalg.matrix_norm(matrix(x), ord="nuc"),
    "cond": lambda x: np.linalg.cond(matrix(x)),
    "matrix_power": lambda x: np.linalg.matrix_power(matrix(x), 3),
    "multi_dot": lambda x: np.linalg.multi_dot([matrix(x), matrix(x), [x[0], 1.0]]),
    "rfft": lambda x: np.abs(np.fft.rfft([x[0], x[1], x[2], 1.0])) ** 2,
    "irfft": lambda x: np.fft.irfft([x[0], x[1], x[2]]),
    "fft": lambda x: np.fft.fft([x[0], x[1], 2.0]).imag,
    "ifft2": lambda x: np.fft.ifft2(matrix(x)).real,
    "gradient": lambda x: np.gradient([x[0], x[1], x[2], 7.0]),
    "polyfit": lambda x: np.polyfit([0.0, 1.0, 2.0], [x[0], x[1], x[2]], 1),
    "polymul": lambda x: np.polymul([x[0], x[1]], [1.0, 2.0]),
    "polydiv": lambda x: np.polydiv([x[0], x[1], 3.0], [1.0, 2.0])[0],
    "angle": lambda x: np.angle([x[0], x[1]]) + x[2],
    "dot": lambda x: np.dot([x[0], x[1]], [1.0, 2.0]),
}


@pytest.mark.parametrize("name", OF_LISTS)
def test_lists_of_recorded_values_are_arrays(name):
    check(OF_LISTS[name], X)


def test_plain_lists_and_arrays_are_numpys_own_meanwhile():
    def function(x):
        assert type(np.linalg.inv([[2.0, 0.0], [0.0, 4.0]])) is np.ndarray
        assert type(np.fft.rfft([1.0, 2.0])) is np.ndarray
        assert np.linalg.norm([3.0, 4.0]) == 5.0
        return x[0] * np.linalg.det(np.array([[2.0, 0.0], [0.0, 4.0]]))

    np.testing.assert_allclose(fg.grad(function)(X), [8.0, 0.0, 0.0], rtol=1e-15)


# ---- math, statistics and other tools that know no protocol

UNARY = {
    "sin": 0.7, "cos": 0.7, "tan": 0.7, "asin": 0.3, "acos": 0.3, "atan": 0.3, "sinh": 0.7, "cosh": 0.7, "tanh": 0.7,
    "asinh": 0.7, "acosh": 1.7, "atanh": 0.3, "exp": 0.7, "expm1": 0.7, "log": 0.7, "log2": 0.7, "log10": 0.7,
    "log1p": 0.7, "sqrt": 0.7, "fabs": -0.7, "erf": 0.7, "erfc": 0.7, "gamma": 2.7, "lgamma": 2.7, "degrees": 0.7,
    "radians": 0.7, "exp2": 0.7, "cbrt": 0.7,
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in UNARY if hasattr(math, name)])
def test_a_function_of_math_is_recorded(name):
    check(getattr(math, name), UNARY[name])  # as found before the recording
    check(lambda x: getattr(math, name)(x), UNARY[name])
    check(
        lambda x: getattr(math, name)(x[0]) * getattr(math, name)(np.array([UNARY[name]])[0]), np.array([UNARY[name]])
    )


@pytest.mark.parametrize(
    "function",
    [
        lambda x: math.atan2(x[0], x[1]),
        lambda x: math.atan2(1.0, x[1]),
        lambda x: math.pow(x[0], x[1]),
        lambda x: math.pow(2.0, x[1]),
        lambda x: math.hypot(x[0], x[1]),
        lambda x: math.hypot(*x),
        lambda x: math.dist(x, [1.0, 2.0, 3.0]),
        lambda x: math.log(x[0], 3.0),
        lambda x: math.log(x[0], x[1]),
        lambda x: math.fmod(x[1], x[0]),
        lambda x: math.remainder(x[1], x[0]),
        lambda x: math.copysign(x[0], -x[1]),
        lambda x: math.fsum(x),
        lambda x: math.fsum(element**2 for element in x),
        lambda x: math.prod(x),
        lambda x: math.prod([x[0], 2, x[1]], start=x[2]),
        lambda x: math.ldexp(x[0], 3),
        lambda x: math.modf(x[1])[0] + math.modf(x[1])[1],
        lambda x: x[0] * math.floor(x[1]) + x[1] * math.ceil(x[0]) + math.trunc(x[1]) * x[2],
        lambda x: x[0] if math.isclose(x[0], 5.0, rel_tol=1.0) else x[1],
        lambda x: x[0] if not math.isnan(x[0]) and math.isfinite(x[1]) and not math.isinf(x[2]) else x[1],
        lambda x: imported_exp(x[0]),
        lambda x: statistics.fmean(x),
        lambda x: statistics.mean(list(x)) * statistics.variance(x) + statistics.pvariance(x),
        lambda x: statistics.stdev(x) + statistics.pstdev(x),
        lambda x: statistics.geometric_mean(x) + statistics.harmonic_mean(x),
        lambda x: functools.reduce(lambda a, b: a * b + 1, x),
        lambda x: sum(itertools.accumulate(x, lambda a, b: a * b)),
        lambda x: sum(a * b for a, b in itertools.pairwise(x)),
        lambda x: sum(k * element for k, element in enumerate(x)),
        lambda x: max(x) * min(x) + sorted(x)[1] + abs(-x[0]) + pow(x[0], 3) + divmod(x[1], x[0])[1],
        lambda x: sum([element**2 for element in x if element > 1]),
    ],
)
def test_pythons_own_tools_are_recorded(function):
    check(function, X)


def test_math_raises_its_own_errors_and_the_other_way_is_found_again():
    def function(x):
        try:
            return math.sqrt(x) * x
        except ValueError:
            return -x

    derivative = fg.grad(function)
    assert derivative(4.0) == 3.0
    assert derivative(-4.0) == -1.0
    assert derivative(1.0) == 1.5
    for call, x in ((math.log, -1.0), (math.acosh, 0.5), (math.asin, 2.0), (math.log, 0.0)):
        with pytest.raises(ValueError, match=r"math domain error|expected"):
            fg.grad(lambda x, call=call: getattr(math, call.__name__)(x))(x)
    with pytest.raises(OverflowError):
        fg.grad(lambda x: math.exp(x))(1e4)


@pytest.mark.parametrize(
    ("function", "outside", "inside", "slope"),
    [
        (math.gamma, -1.0, 2.0, 1 - np.euler_gamma),
        (math.gamma, 200.0, 1.0, -np.euler_gamma),
        (math.lgamma, 0.0, 1.0, -np.euler_gamma),
        (math.sin, math.inf, 0.0, 1.0),
        (lambda x: math.fmod(x, 3.0), math.inf, 4.0, 1.0),
        (lambda x: math.log(math.e, x), 1.0, math.e, -1 / math.e),
        (lambda x: math.log(math.e, x), -1.0, math.e, -1 / math.e),
    ],
)
def test_what_was_recorded_where_math_raises_an_error_is_not_used_elsewhere(function, outside, inside, slope):
    def guarded(x):
        try:
            return function(x) * 1.0
        except (ValueError, OverflowError, ZeroDivisionError):
            return 3.0 * x

    derivative = fg.grad(guarded)
    assert derivative(outside) == 3.0
    assert derivative(inside) == pytest.approx(slope, rel=1e-14)
    if math.isfinite(outside):
        assert derivative(outside) == 3.0


def test_nothing_is_close_to_infinity():
    assert fg.grad(lambda x: x * (2.0 if math.isclose(x * math.inf, x) else 3.0))(1.0) == 3.0
    assert fg.grad(lambda x: x * (2.0 if math.isclose(x * math.inf, math.inf) else 3.0))(1.0) == 2.0


def test_numba_compiles_what_the_function_does_not_differentiate():
    @numba.njit
    def fresh(a):
        return math.sin(a) + np.zeros(2).sum()

    check(lambda x: x * fresh(2.0), X)
    assert fresh(2.0) == math.sin(2.0)


def test_modules_imported_meanwhile_hold_the_originals(tmp_path, monkeypatch):
    (tmp_path / "imported_late.py").write_text(
        "import math\nfrom numpy import zeros\nTABLE = {math.sin: 1}\n"
        "def filled(x):\n    y = zeros(3)\n    y[0] = math.sin(x[0])\n    return y\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def function(x):
        import imported_late

        return imported_late.filled(x) * np.zeros(3).shape[0]

    try:
        check(function, X)
        assert {math.sin: 1} == sys.modules["imported_late"].TABLE
        assert sys.modules["imported_late"].zeros is np.zeros
    finally:
        del sys.modules["imported_late"]


def test_functions_compiled_by_numba_are_recorded_through_their_python_body():
    check(compiled, np.array([1.1, -0.7, 0.3]))
    check(lambda x: compiled_inner(x[0]) + compiled(x * 2)[1], np.array([1.1, -0.7, 0.3]))
    derivative = fg.jacobian(compiled)
    for x in (X, -X, np.array([1.0, -1.0, 2.0])):
        expected = np.where(x > 0, np.sin(x) + x * np.cos(x), 3 * x**2)
        np.testing.assert_allclose(np.diag(derivative(x)), expected, rtol=1e-13)
    assert compiled(X).shape == (3,)


@pytest.mark.parametrize("function", [np.sort, np.linalg.inv, statistics.fmean], ids=["sort", "inv", "fmean"])
def test_a_function_that_has_a_stand_in_is_differentiated_inside_another_function(function):
    x = np.array([[3.0, 1.0], [0.5, 2.0]]) if function is np.linalg.inv else np.array([3.0, 1.0, 2.0])
    fg.check_grads(function, (x,), order=2)


@pytest.mark.parametrize("x", [TABLE[::2], TABLE[:, ::-1]])
def test_reshaping_an_argument_that_does_not_lie_in_a_row_copies_it(x):
    def function(x):
        y = x.reshape(-1)
        y[0] = 5 * x[0, 1]
        return np.sum(x * x)

    for _ in range(3):
        value, gradient = fg.value_and_grad(function)(x)
        assert value == np.sum(x * x)
        np.testing.assert_array_equal(gradient, 2 * x)
    # and where it does lie in a row, it is a view
    plain = np.ascontiguousarray(x)
    assert fg.value_and_grad(function)(plain)[0] == function(plain.copy())
