"""Nested values with complex leaves as flat lists of real parts, which is what fastgrad differentiates."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from fastgrad.recording.structures import Structure, flatten


def is_complex(leaf: Any) -> bool:
    """Whether the leaf, recorded or not, is of a complex dtype."""
    return np.dtype(getattr(leaf, "dtype", type(leaf))).kind == "c"


class Layout:
    """How a nested value is made of real parts: one for each real leaf, two for each complex one."""

    def __init__(self, value: Any) -> None:
        leaves, self.structure = flatten(value)
        self.shapes = [np.shape(leaf) for leaf in leaves]
        self.complex_leaves = [is_complex(leaf) for leaf in leaves]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self.description() == other.description()

    __hash__ = None

    def description(self) -> tuple[Structure, list[tuple[int, ...]], list[bool]]:
        return self.structure, self.shapes, self.complex_leaves

    @classmethod
    def of(cls, value: Any) -> tuple[Self, list[Any]]:
        """The layout of a value, and its parts."""
        layout = cls(value)
        return layout, layout.parts(value)

    def parts(self, value: Any, imaginary_sign: float = 1.0) -> list[Any]:
        """The real parts of a value of this layout; its leaves may be real where the layout has complex ones."""
        parts = []
        for leaf, complex_leaf in zip(flatten(value)[0], self.complex_leaves, strict=True):
            parts += [np.real(leaf), imaginary_sign * np.imag(leaf)] if complex_leaf else [leaf]
        return parts

    def value(self, parts: Sequence[Any], imaginary_sign: float = 1.0) -> Any:
        """The nested value with these parts."""
        rest = iter(parts)
        return self.structure.unflatten(
            [
                next(rest) + imaginary_sign * 1j * next(rest) if complex_leaf else next(rest)
                for complex_leaf in self.complex_leaves
            ]
        )

    def random(self, generator: np.random.Generator) -> Any:
        """A value of this layout with normally distributed parts."""
        parts = []
        for shape, complex_leaf in zip(self.shapes, self.complex_leaves, strict=True):
            parts += [generator.standard_normal(shape) for _ in range(2 if complex_leaf else 1)]
        return self.value(parts)
