"""The table of a network's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastgrad.nn.building import OUTPUT

if TYPE_CHECKING:
    from fastgrad.nn.network import Network

__all__ = ["summary"]


def summary(network: Network) -> str:
    """A line for each layer, after those within it; parameters are counted with the layer that they belong to."""
    rows = [("layer", "output shape", "parameters", "")]
    for layer in network.layers:
        own = [name for name in network.parameters if name.rpartition("/")[0] == layer]
        count = sum(network.parameters[name].size for name in own)
        frozen = "frozen" if own and all(name in network.frozen for name in own) else ""
        shape = ", ".join(map(str, network.tape[f"{layer}/{OUTPUT}"].shape))
        rows.append((layer, f"({shape})", f"{count:,}", frozen))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        f"{layer:{widths[0]}}  {shape:{widths[1]}}  {count:>{widths[2]}}  {frozen}".rstrip()
        for layer, shape, count, frozen in rows
    ]
    total = sum(value.size for value in network.parameters.values())
    frozen_size = sum(network.parameters[name].size for name in network.frozen)
    return "\n".join([*lines, f"total {total:,}, trainable {total - frozen_size:,}, frozen {frozen_size:,}"])
