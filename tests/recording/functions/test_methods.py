"""Array methods that no NumPy function has the signature of, attributes, ``x.flat``, and what is refused by name."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.agreement import assert_shown_as_numpy

X = np.random.default_rng(13).standard_normal((3, 4))

CALLS: dict[str, Any] = {
    "tolist": lambda x: x.tolist(),
    "tolist of a number": lambda x: x[0, 0].tolist() * 2.0,
    "item of a step": lambda x: x * (x > 0).sum().item() + x * (x > 0).item(1, 2) + x * np.argmax(x, 1).item(2),
    "fill": lambda x: filled(x),
    "sort in place": lambda x: in_place(x, "sort", 0),
    "partition in place": lambda x: in_place(x, "partition", 1),
    "namespace": lambda x: x.__array_namespace__().sin(x),
    "device": lambda x: x.to_device("cpu") * 2.0,
    "view": lambda x: x.view() * x.view(float) * x.view(np.ndarray),
    "imaginary part": lambda x: x.imag + x.real,
    "flat": lambda x: sum(v * k for k, v in enumerate(x.flat)),
    "flat element": lambda x: x.flat[5] * x.flat[-1],
    "flat slice": lambda x: x.flat[1:9:3] * 2.0,
    "flat positions": lambda x: x.flat[[3, 0, 3]] + x.T.flat[[1, 2, 3]],
    "flat mask": lambda x: x.flat[(np.arange(12) % 5) == 0] ** 2,
    "flat copy": lambda x: x.flat.copy() * 3.0,
    "flat pairs": lambda x: np.stack([a * b for a, b in zip(x.flat, x.T.flat, strict=True)]),
    "flat step by step": lambda x: two_steps(x.flat),
    "ndenumerate": lambda x: sum(v * (i + 2 * j) for (i, j), v in np.ndenumerate(x)),
    "ndindex": lambda x: sum(x[k] * k[0] for k in np.ndindex(x.shape)),
}


def filled(x: Any) -> Any:
    y = x * 2.0
    y[1:].fill(x[0, 0])
    return y


def in_place(x: Any, name: str, *args: Any) -> Any:
    y = x * 2.0
    row = y[0]
    getattr(y, name)(*args)
    return y * np.arange(12.0).reshape(3, 4), row


def two_steps(elements: Any) -> Any:
    first, second = next(elements), next(elements)
    assert (elements.index, elements.coords, len(elements)) == (2, (0, 2), 12)
    return first * second


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives_of(name):
    check(CALLS[name], X)
    assert_shown_as_numpy(CALLS[name], X)


def test_flat_is_assigned_in_the_order_of_c_and_repeats_what_is_too_short():
    def function(x):
        y = (x * 2.0).T
        y.flat = x[0, :3]
        z = np.zeros((2, 3))
        z.flat = x[0, 0]
        z.flat[4] = x[1, 1] ** 2
        y.flat[1:7:2] = x[2, :2]
        return y * np.arange(12.0).reshape(4, 3), z * 1.0

    check(function, X)
    assert_shown_as_numpy(function, X)


def test_flat_sees_what_is_written_while_it_runs():
    def function(x):
        y = x * 1.0
        total = 0.0
        for k, value in enumerate(y.flat):
            total = total + value
            y[-1, -1] = x[0, k % 4] ** 2
        return total

    check(function, X)


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "resize": (lambda x: x.resize((4, 3)), fg.UnsupportedError, r"method \.resize.*np\.resize"),
    "view": (lambda x: x.view(np.int64), fg.UnsupportedError, r"a view of a recorded array as .*int64"),
    "view as a matrix": (lambda x: x.view(np.matrix), fg.UnsupportedError, "a view of a recorded array"),
    "item": (lambda x: x.item(0) * 2.0, fg.LostDerivativeError, "turned into a Python float"),
    "tobytes": (lambda x: x.tobytes(), fg.UnsupportedError, r"\.tobytes cannot be recorded"),
    "byteswap": (lambda x: x.byteswap(), fg.UnsupportedError, r"\.byteswap cannot be recorded"),
    "dump": (lambda x: x.dump("file"), fg.UnsupportedError, r"\.dump cannot be recorded"),
    "save": (lambda x: np.save(io.BytesIO(), x), fg.LostDerivativeError, r"np\.save would write"),
    "savez": (lambda x: np.savez(io.BytesIO(), x=x), fg.LostDerivativeError, r"np\.savez would write"),
    "savetxt": (lambda x: np.savetxt(io.StringIO(), x), fg.LostDerivativeError, r"np\.savetxt would write"),
    "nested_iters": (lambda x: np.nested_iters(x, [[0], [1]]), fg.UnsupportedError, "Use whole arrays"),
    "as_strided": (
        lambda x: np.lib.stride_tricks.as_strided(x, (2, 2)),
        fg.UnsupportedError,
        r"as_strided cannot be recorded.*sliding_window_view",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_so_with_the_line_and_the_remedy(name):
    function, error, message = REFUSED[name]
    with pytest.raises(error, match=f"(?s){message}") as found:
        fg.record(function, X)
    assert "test_methods.py:" in str(found.value)


def test_iterators_over_memory_raise_numpys_error():
    with pytest.raises(TypeError, match="holds references"):
        fg.record(lambda x: np.sum(list(np.nditer(x))), X)


def test_numpys_errors_of_methods():
    for function in (
        lambda x: x.item(),
        lambda x: x.__array_namespace__(api_version="1999.1"),
        lambda x: x.to_device("gpu"),
        lambda x: x.flat[12],
        lambda x: (x * 1.0).flat.__setitem__(12, 1.0),
    ):
        with pytest.raises((ValueError, IndexError)) as expected:
            function(X)
        with pytest.raises(type(expected.value)):
            fg.record(function, X)
