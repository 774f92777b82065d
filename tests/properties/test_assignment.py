"""Random programs of views and writes: NumPy's values, and derivatives by complex step on the same program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastgrad as fg

SIZE = 12
SHAPES = [(12,), (3, 4), (2, 6), (2, 3, 2), (4, 3)]


@st.composite
def basic_index(draw: Any, shape: tuple[int, ...]) -> Any:
    """Slices, numbers, new axes and an ellipsis."""
    items: list[Any] = []
    for length in shape[: draw(st.integers(0, len(shape)))]:
        kind = draw(st.sampled_from(["slice", "slice", "number", "all"]))
        if kind == "number" and length:
            items.append(draw(st.integers(-length, length - 1)))
        elif kind == "slice":
            bounds = st.none() | st.integers(-length - 1, length + 1)
            items.append(slice(draw(bounds), draw(bounds), draw(st.sampled_from([None, 1, 2, -1, -2]))))
        else:
            items.append(slice(None))
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), None)
    return tuple(items)


@st.composite
def advanced_index(draw: Any, shape: tuple[int, ...]) -> Any:
    """Integer arrays with repeats, or a mask."""
    if draw(st.booleans()):
        return np.array(draw(st.lists(st.booleans(), min_size=shape[0], max_size=shape[0])))
    n = draw(st.integers(1, 5))
    positions = st.lists(st.integers(-shape[0], shape[0] - 1), min_size=n, max_size=n)
    first: Any = (np.array(draw(positions)),)
    if len(shape) > 1 and draw(st.booleans()):
        return (*first, np.array(draw(st.lists(st.integers(0, shape[1] - 1), min_size=n, max_size=n))))
    return first


Step = tuple[str, Any]


@st.composite
def program(draw: Any) -> list[Step]:
    """Steps on a growing list of arrays, which begins with the argument; shapes are followed by running NumPy."""
    arrays: list[Any] = [np.zeros(SIZE)]
    steps: list[Step] = []
    for _ in range(draw(st.integers(3, 12))):
        k = draw(st.integers(0, len(arrays) - 1))
        shape = arrays[k].shape
        kinds = ["reshape", "transpose", "make", "fill", "add", "copy", "scale"]
        if shape and 0 not in shape:
            kinds += ["view", "write", "write", "write", "write_from", "write_from", "advanced", "at", "element"]
        kind = draw(st.sampled_from(kinds))
        other = draw(st.integers(0, len(arrays) - 1))
        details: Any = None
        if kind in ("view", "write", "write_from"):
            details = draw(basic_index(shape))
        elif kind in ("advanced", "at"):
            details = draw(advanced_index(shape))
        elif kind == "element":
            details = tuple(draw(st.integers(0, length - 1)) for length in shape)
        elif kind == "reshape":
            details = draw(st.sampled_from([s for s in SHAPES if np.prod(s) == arrays[k].size] or [(-1,)]))
        elif kind == "make":
            details = draw(st.sampled_from(SHAPES))
        steps.append((kind, (k, other, details, draw(st.sampled_from([0.5, -1.0, 2.0])))))
        _step(arrays, steps[-1])
    return steps


def _step(arrays: list[Any], step: Step) -> None:
    kind, (k, other, details, factor) = step
    x, y = arrays[k], arrays[other]
    if kind == "view":
        if np.ndim(x[details]):
            arrays.append(x[details])
    elif kind == "write":
        x[details] = factor * x[details].sum()
    elif kind == "write_from":
        # elements of another array, which may share memory with this one
        target = x[details]
        x[details] = y if np.shape(target) == y.shape else factor * y.sum()
    elif kind == "advanced":
        x[details] += factor * x[details] ** 2
    elif kind == "at":
        np.add.at(x, details, factor * x[details])
    elif kind == "element":
        x[details] = factor * x[details] * y.sum()
    elif kind == "reshape":
        arrays.append(x.reshape(details))
    elif kind == "transpose":
        arrays.append(x.T)
    elif kind == "make":
        arrays.append(np.zeros(details, x.dtype) if factor > 0 else np.ones(details, x.dtype))
    elif kind == "fill":
        x[...] = factor
    elif kind == "add":
        if x.shape == y.shape:
            x += y
    elif kind == "copy":
        arrays.append(x.copy())
    else:
        x *= factor


def run(steps: list[Step], x: Any) -> Any:
    arrays = [x]
    for step in steps:
        _step(arrays, step)
    return np.concatenate([array.reshape(-1) for array in arrays])


def _check(steps: list[Step]) -> None:
    random = np.random.default_rng(0)
    x, direction = random.uniform(0.5, 1.5, SIZE), random.uniform(-1, 1, SIZE)
    expected = run(steps, x.astype(complex) + 1e-200j * direction)
    if np.abs(expected).max() > 1e12:
        return
    value, tangent = fg.jvp(lambda x: run(steps, x), (x,), (direction,))
    np.testing.assert_allclose(value, expected.real, rtol=1e-12, atol=1e-12)
    scale = 1 + np.abs(expected.imag * 1e200).max()
    np.testing.assert_allclose(tangent, expected.imag * 1e200, rtol=1e-10, atol=1e-12 * scale)
    weights = random.standard_normal(len(expected))
    _, pullback = fg.vjp(lambda x: run(steps, x), x)
    (cotangent,) = pullback(weights)
    np.testing.assert_allclose(
        cotangent @ direction, weights @ (expected.imag * 1e200), rtol=1e-9, atol=1e-10 * scale * len(weights)
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(program())
def test_a_random_program_of_views_and_writes(steps):
    _check(steps)


@pytest.mark.slow
@settings(max_examples=5_000, deadline=None)
@given(program())
def test_many_random_programs_of_views_and_writes(steps):
    _check(steps)
