"""A sample call, and how its arguments are drawn: shapes, values without ties or kinks, options, layouts.

A call is a line of text in the names ``np`` and those of its arguments, so that the same line runs on NumPy, on
recorded values and on the peers' NumPy. ``Chooser`` makes the choices: a generator of random numbers for the page,
Hypothesis for the property test.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import scipy.linalg
import scipy.special

LAYOUTS = ("C", "F", "every second", "reversed")


class Chooser(Protocol):
    """Makes the choices of a drawing."""

    random: np.random.Generator

    def choose(self, options: Sequence[Any]) -> Any: ...


class RandomChooser:
    """Chooses by a generator of random numbers alone."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def choose(self, options: Sequence[Any]) -> Any:
        return options[int(self.random.integers(len(options)))]


# ---- what is drawn


@dataclass(frozen=True)
class Array:
    """An array argument: its shape in the language of ``draw_shape``, and the interval that its values come from.

    ``kind`` is "f" for real numbers, which are differentiated, "i" for whole numbers and "b" for truth values, which
    are data. ``holes`` is the share of elements that are NaN.
    """

    shape: str
    low: float = -2.0
    high: float = 2.0
    kind: str = "f"
    holes: float = 0.0

    @property
    def differentiated(self) -> bool:
        return self.kind == "f"


def real(shape: str, low: float = -2.0, high: float = 2.0) -> Array:
    return Array(shape, low, high)


def positive(shape: str) -> Array:
    return Array(shape, 0.2, 3.0)


def with_holes(shape: str) -> Array:
    """Real numbers, some of them NaN."""
    return Array(shape, holes=0.2)


def whole(shape: str, low: int = 0, high: int = 5) -> Array:
    """Whole numbers from ``low`` up to and without ``high``."""
    return Array(shape, low, high, "i")


def truth(shape: str) -> Array:
    return Array(shape, 0, 2, "b")


Shapes = dict[str, tuple[int, ...]]
Option = Callable[[Chooser, Shapes], Any] | Sequence[Any]

FLAG = (False, True)


def axis_of(name: str = "x") -> Option:
    """One axis of an argument, counted from either end."""
    return lambda chooser, shapes: chooser.choose(range(-len(shapes[name]), len(shapes[name])))


def axes_of(name: str = "x") -> Option:
    """None, one axis, or a tuple of them."""

    def option(chooser: Chooser, shapes: Shapes) -> Any:
        n = len(shapes[name])
        single: list[Any] = [None, *range(-n, n)]
        return chooser.choose([*single, *itertools.permutations(range(n), 2), *[tuple(range(n))] * (n > 2)])

    return option


def order_of(name: str = "x") -> Option:
    """An order of the axes."""
    return lambda chooser, shapes: chooser.choose(list(itertools.permutations(range(len(shapes[name])))))


def draw_shape(text: str, chooser: Chooser, lengths: dict[str, int], shapes: Shapes) -> tuple[int, ...]:
    """A shape from words: ``3`` a length, ``n`` one of 1..4 (``N`` of 4..7) that is the same wherever the letter
    stands in a call, ``*`` up to two axes, empty ones among them, ``+`` one to three axes that are not empty,
    ``~x`` a shape that broadcasts with that of x."""
    shape: list[int] = []
    for word in text.split():
        if word == "*":
            shape += [chooser.choose((2, 1, 3, 0)) for _ in range(chooser.choose((1, 0, 2)))]
        elif word == "+":
            shape += [chooser.choose((3, 2, 1, 4)) for _ in range(chooser.choose((1, 2, 3)))]
        elif word.startswith("~"):
            whole_shape = shapes[word[1:]]
            kept = whole_shape[chooser.choose(range(len(whole_shape) + 1)) :]
            shape += [chooser.choose((length, 1)) for length in kept]
        elif word.isdigit():
            shape.append(int(word))
        else:
            choices = (4, 5, 6, 7) if word.isupper() else (3, 2, 4, 1)
            shape.append(lengths.setdefault(word, chooser.choose(choices)) if word not in lengths else lengths[word])
    return tuple(shape)


class Call:
    """A sample call: ``Call("np.sum(x, axis=axis)", x="+", axis=axis_of())``.

    ``x="+"`` is short for ``real("+")``. The text is an expression, or statements of which the last returns.
    """

    def __init__(self, text: str, **how: Any) -> None:
        self.text = text
        self.arrays = {name: real(spec) if isinstance(spec, str) else spec for name, spec in how.items()
                       if isinstance(spec, (str, Array))}  # fmt: skip
        self.options: dict[str, Option] = {name: spec for name, spec in how.items() if name not in self.arrays}

    def __repr__(self) -> str:
        return f"Call({self.text!r})"

    @property
    def differentiated(self) -> list[str]:
        """The arguments that a derivative is taken by."""
        return [name for name, array in self.arrays.items() if array.differentiated]

    @cached_property
    def function(self) -> Callable[..., Any]:
        names = ", ".join(["np", *self.arrays, *self.options])
        body = self.text if "return " in self.text else f"return {self.text}"
        lines = "\n    ".join(part.strip() for part in body.split(";"))
        namespace: dict[str, Any] = {"io": io, "math": math, "special": scipy.special, "linalg": scipy.linalg}
        exec(compile(f"def sample({names}):\n    {lines}\n", f"<{self.text}>", "exec"), namespace)
        function: Callable[..., Any] = namespace["sample"]
        return function


@dataclass(frozen=True)
class Case:
    """A call with its arguments: arrays in C order, and options."""

    call: Call
    arrays: dict[str, np.ndarray]
    options: dict[str, Any]

    def on(self, numpy: Any, arrays: dict[str, Any]) -> Any:
        """The call's result on another NumPy or with other arrays."""
        return self.call.function(numpy, **{**self.arrays, **arrays}, **self.options)


def draw(call: Call, chooser: Chooser) -> Case:
    """Arguments of a call."""
    lengths: dict[str, int] = {}
    shapes: Shapes = {}
    for name, array in call.arrays.items():
        shapes[name] = draw_shape(array.shape, chooser, lengths, shapes)
    options = {
        name: option(chooser, shapes) if callable(option) else chooser.choose(option)
        for name, option in call.options.items()
    }
    return Case(call, _values(call, shapes, chooser.random), options)


def _values(call: Call, shapes: Shapes, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Values of all arguments; real ones of the same interval are all different, and off multiples of 1/2."""
    values: dict[str, np.ndarray] = {}
    intervals = {(array.low, array.high) for array in call.arrays.values() if array.kind == "f"}
    for interval in sorted(intervals):
        names = [name for name, a in call.arrays.items() if a.kind == "f" and (a.low, a.high) == interval]
        pool = iter(spread(sum(math.prod(shapes[name]) for name in names), *interval, random))
        for name in names:
            x = np.array(list(itertools.islice(pool, math.prod(shapes[name])))).reshape(shapes[name])
            values[name] = np.where(random.random(x.shape) < call.arrays[name].holes, np.nan, x)
    for name, array in call.arrays.items():
        if array.kind != "f":
            x = random.integers(int(array.low), int(array.high), shapes[name])
            values[name] = x.astype(bool) if array.kind == "b" else x
    return {name: values[name] for name in call.arrays}


def spread(n: int, low: float, high: float, random: np.random.Generator) -> np.ndarray:
    """Different numbers of an interval in random order, none near another nor near a multiple of 1/2."""
    width = (high - low) / max(n, 1)
    x = low + width * (random.permutation(n) + random.uniform(0.25, 0.75, n))
    gap = min(0.04, 0.2 * width)
    offset = x * 2 - np.round(x * 2)
    return np.where(np.abs(offset) < 2 * gap, x + np.where(offset < 0, -gap, gap), x)


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """An array of the same values in another place of memory."""
    if layout == "C" or x.ndim == 0:
        return x.copy()
    if layout == "F":
        return np.asfortranarray(x)
    if layout == "reversed":
        return x[::-1].copy()[::-1]
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    return wide[..., ::2]
