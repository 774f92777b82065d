"""Values and adjoints of chosen nodes, computed by tapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import ops
from fastgrad.errors import InputError
from fastgrad.tape import CONSTANT, INPUT, Tape
from fastgrad.tape_names import input_names

__all__ = ["adjoints_of", "short", "values_of"]


def _call(tape: Tape, inputs: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
    results = tape(**inputs) if isinstance(inputs, Mapping) else tape(*inputs)
    return list(results) if len(tape.outputs) > 1 else [results]


def values_of(tape: Tape, nodes: NDArray[Any], inputs: Sequence[Any] | Mapping[str, Any]) -> dict[int, Any]:
    """The values of these nodes at these inputs, given in order or by name."""
    if not len(nodes):
        return {}
    wanted = replace(tape, outputs=nodes.astype(np.uint32), output_names=())
    return dict(zip(nodes.tolist(), _call(wanted, inputs), strict=True))


def adjoints_of(
    tape: Tape, nodes: NDArray[Any], inputs: Sequence[Any] | Mapping[str, Any], cotangents: Sequence[Any] | None
) -> dict[int, Any]:
    """The adjoints of these nodes, constants left out.

    To each operation among the nodes an input is added that is zero: its adjoint is the node's. ``cotangents`` are
    those of the outputs, by default 1 for a single output that is a number; other tapes raise InputError without.
    """
    if cotangents is None:
        if tape.output_shapes != ((),):
            raise InputError(
                "adjoints start from the cotangents of the outputs, which is 1 for a single number only. "
                "Give adjoints=[cotangent of each output]."
            )
        cotangents = [1.0]
    if len(cotangents) != len(tape.outputs):
        raise InputError(f"the tape has {len(tape.outputs)} outputs, and there are {len(cotangents)} cotangents.")
    operations = nodes[tape.opcodes[nodes] < INPUT]
    names = input_names(tape)
    if isinstance(inputs, Mapping):
        missing = [name for name in names if name not in inputs]
        unknown = [name for name in inputs if name not in names]
        if missing or unknown:
            raise InputError(f"the tape's inputs are {', '.join(map(repr, names))}; given were {sorted(inputs)}.")
        inputs = [inputs[name] for name in names]
    # adding -0.0 changes no number, not even a zero
    zeros = [np.full(tape.shape_of(int(node)), -0.0) for node in operations]
    results = _call(_with_additions(tape, operations).adjoint(), [*inputs, *zeros, *cotangents])
    found = results[len(tape.outputs) :]
    of = [*tape.inputs.tolist(), *operations.tolist()]
    wanted = set(nodes[tape.opcodes[nodes] != CONSTANT].tolist())
    return {node: value for node, value in zip(of, found, strict=True) if node in wanted}


def _with_additions(tape: Tape, nodes: NDArray[Any]) -> Tape:
    """The tape with an input for each of these nodes, which is added to the node wherever it is used."""
    n, m = len(tape), len(nodes)
    is_chosen = np.zeros(n, np.int64)
    is_chosen[nodes] = 1
    new = m + np.arange(n) + np.cumsum(is_chosen) - is_chosen
    used = new + is_chosen
    total = n + 2 * m
    sums = used[nodes]

    def spread(old: NDArray[Any], first: Any, of_sums: Any) -> NDArray[Any]:
        array = np.empty(total, old.dtype)
        array[:m], array[new], array[sums] = first, old, of_sums
        return array

    shapes = tape.shape_indices[nodes]
    counts = spread(tape.operand_counts, 0, 2)
    starts = np.concatenate([[0], np.cumsum(counts)])
    operands = np.empty(int(starts[-1]), np.uint32)
    is_old = np.repeat(spread(np.ones(n, bool), True, False), counts)
    operands[is_old] = used[tape.operands]
    operands[starts[sums]], operands[starts[sums] + 1] = new[nodes], np.arange(m)
    names = input_names(tape)
    return replace(
        tape,
        opcodes=spread(tape.opcodes, INPUT, ops.add.code),
        operand_starts=starts.astype(np.uint32),
        operands=operands,
        shape_indices=spread(tape.shape_indices, shapes, shapes),
        attribute_indices=spread(tape.attribute_indices, -1, -1),
        source_indices=spread(tape.source_indices, -1, -1),
        group_indices=spread(tape.group_indices, -1, -1),
        inputs=np.concatenate([new[tape.inputs], np.arange(m)]).astype(np.uint32),
        outputs=used[tape.outputs].astype(np.uint32),
        guard_nodes=used[tape.guard_nodes].astype(np.uint32),
        named_nodes=np.zeros(0, np.uint32),
        node_names=(),
        output_names=(),
        # no name of the tape's own inputs holds a line break
        input_names=(*names, *(f"\nzero {k}" for k in range(m))),
    )


def short(value: Any) -> str:
    """A number in four digits; an array by its elements if they are few, else by the least and the largest."""
    array = np.asarray(value)
    if array.shape == ():
        return f"{float(array):.4g}"
    if array.size <= 3:
        return "[" + ", ".join(f"{number:.3g}" for number in array.ravel().tolist()) + "]"
    return f"{array.min():.3g} .. {array.max():.3g}"
