"""Kernels that the planner runs over the flat arrays of a scalar program, where NumPy has no operation for it.

All arrays hold int64; flags are 0 or 1. A scalar program and its arrays are told in :mod:`fastgrad.plan`.
"""

from __future__ import annotations

from typing import Any

from fastgrad.vm.instructions import NO_EDGE, PARTIAL_COMPUTED, PARTIAL_CONSTANT, PARTIAL_OPERAND
from fastgrad.vm.numba_kernel import INTEGER, INTEGERS, NOTHING, kernel


@kernel(NOTHING, INTEGER, INTEGERS, INTEGERS, INTEGERS, INTEGERS, INTEGERS, INTEGERS)
def mark_active(n: Any, codes: Any, operands: Any, results: Any, edge_free: Any, form_kinds: Any, active: Any) -> None:
    """Spread ``active`` from the slots where it is set to all whose derivative by them is not identically zero."""
    for j in range(n):
        for p in range(3):
            operand = operands[3 * j + p]
            has_derivative = edge_free[j] != 0 or form_kinds[3 * codes[j] + p] != NO_EDGE
            if has_derivative and operand >= 0 and active[operand] != 0:
                active[results[j]] = 1


@kernel(INTEGER, INTEGER, *[INTEGERS] * 15)
def find_edges(
    n: Any,
    codes: Any,
    operands: Any,
    results: Any,
    edge_free: Any,
    extra_starts: Any,
    extra_edges: Any,
    form_kinds: Any,
    form_values: Any,
    n_computed: Any,
    active: Any,
    useful: Any,
    live: Any,
    kept: Any,
    partial_slots: Any,
    edges: Any,
) -> Any:
    """Walk the program backwards: which edges there are, which instructions must run. Returns the number of edges.

    ``useful`` (the outputs' adjoints matter) and ``live`` (the value is needed) are set for the outputs at the start
    and spread here. ``partial_slots[n]`` holds the first free slot; ``partial_slots[j]`` becomes the first of the slots
    of instruction j's computed partials, or -1. ``extra_starts[j]`` counts the extra edges before those of j.
    """
    count = 0
    next_slot = partial_slots[n]
    for back in range(n):
        j = n - 1 - back
        result = results[j]
        computed = 0
        if useful[result] != 0 and active[result] != 0 and edge_free[j] == 0:
            for p in range(3):
                operand = operands[3 * j + p]
                kind = form_kinds[3 * codes[j] + p]
                if operand >= 0 and active[operand] != 0 and kind != NO_EDGE:
                    value = form_values[3 * codes[j] + p]
                    coefficient = result
                    if kind == PARTIAL_CONSTANT:
                        coefficient = value
                    elif kind == PARTIAL_OPERAND:
                        coefficient = operands[3 * j + value]
                    elif kind == PARTIAL_COMPUTED:
                        computed = 1
                        coefficient = next_slot + value
                    if kind != PARTIAL_COMPUTED:
                        live[coefficient] = 1
                    useful[operand] = 1
                    edges[3 * count] = result
                    edges[3 * count + 1] = operand
                    edges[3 * count + 2] = coefficient
                    count += 1
        for e in range(extra_starts[j], extra_starts[j + 1]):
            if useful[extra_edges[3 * e]] != 0 and active[extra_edges[3 * e + 1]] != 0:
                useful[extra_edges[3 * e + 1]] = 1
                live[extra_edges[3 * e + 2]] = 1
                for k in range(3):
                    edges[3 * count + k] = extra_edges[3 * e + k]
                count += 1
        partial_slots[j] = -1
        if computed != 0:
            partial_slots[j] = next_slot
            next_slot += n_computed[codes[j]]
        kept[j] = 0
        if live[result] != 0 or computed != 0:
            kept[j] = 1
            for p in range(3):
                if operands[3 * j + p] >= 0:
                    live[operands[3 * j + p]] = 1
    partial_slots[n] = next_slot
    return count
