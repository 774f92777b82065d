"""Attention of a sequence to itself, and the block that transformers are made of (Vaswani et al., 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastgrad.errors import InputError
from fastgrad.nn.activations import gelu, softmax
from fastgrad.nn.building import Layer
from fastgrad.nn.initialisers import glorot_uniform, zeros
from fastgrad.nn.layers import Dense, LayerNorm, require_positive

__all__ = ["MultiHeadAttention", "TransformerBlock"]


@dataclass(frozen=True, eq=False)
class MultiHeadAttention(Layer):
    """Each place of a sequence ``(length, width)`` takes a weighted mean over all, once for each head.

    With ``causal`` a place takes part only in those that come after it, and in itself.
    """

    n_heads: int
    head_width: int
    causal: bool = False
    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        require_positive(self, n_heads=self.n_heads, head_width=self.head_width)

    def apply(self, x: Any) -> Any:
        if len(x.shape) != 2:
            raise InputError(f"MultiHeadAttention takes a sequence of shape (length, width); it got {x.shape}.")
        length, width = x.shape
        queries, keys, values = (self._heads(x, name) for name in ("query", "key", "value"))
        scores = queries @ np.swapaxes(keys, -1, -2) / math.sqrt(self.head_width)
        if self.causal:
            scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
        mixed = np.reshape(np.swapaxes(softmax(scores) @ values, 0, 1), (length, self.n_heads * self.head_width))
        return mixed @ self.parameter("output_kernel", (mixed.shape[-1], width), glorot_uniform) + self.parameter(
            "output_bias", (width,), zeros
        )

    def _heads(self, x: Any, name: str) -> Any:
        """A projection of the sequence for each head, of shape (heads, length, width of a head)."""
        n = self.n_heads * self.head_width
        kernel = self.parameter(f"{name}_kernel", (x.shape[-1], n), glorot_uniform)
        projected = x @ kernel + self.parameter(f"{name}_bias", (n,), zeros)
        return np.swapaxes(np.reshape(projected, (x.shape[0], self.n_heads, self.head_width)), 0, 1)


@dataclass(frozen=True, eq=False)
class TransformerBlock(Layer):
    """Attention, then a network of two layers for each place; each after a normalisation and added to what it got."""

    n_heads: int
    head_width: int
    hidden: int
    causal: bool = False
    activation: Callable[[Any], Any] = gelu
    name: str | None = field(default=None, kw_only=True)
    _parts: tuple[Layer, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        attention = MultiHeadAttention(self.n_heads, self.head_width, self.causal)
        # made once, so that a second call of the block has the same parameters
        object.__setattr__(self, "_parts", (LayerNorm(), attention, LayerNorm(), Dense(self.hidden, self.activation)))

    def apply(self, x: Any) -> Any:
        first_norm, attention, second_norm, expand = self._parts
        x = x + attention(first_norm(x))
        hidden = expand(second_norm(x))
        return (
            x
            + hidden @ self.parameter("contract_kernel", (self.hidden, x.shape[-1]), glorot_uniform)
            + self.parameter("contract_bias", (x.shape[-1],), zeros)
        )
