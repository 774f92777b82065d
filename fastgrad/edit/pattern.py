"""Patterns: small functions whose wildcards are their arguments, found in a tape and replaced.

All candidates are compared at once, node after node of the pattern: each of its nodes has an array of the tape's nodes
that it would be, and candidates that do not fit are dropped from all of them. A pattern with commutative operations is
tried in each order of their operands.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.edit.assembly import Assembly, End, Indices, described
from fastgrad.edit.compose import ends, output_ends, recorded_at
from fastgrad.errors import InputError
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Node, Shape, Tape, is_number
from fastgrad.tape_names import input_names, nodes_of_group

__all__ = ["Match", "matches", "rewrite"]

Pattern = Tape | Callable[..., Any]
Where = str | Callable[[Node], bool] | None
# elementwise operations are recorded alike for all shapes; for this one no others look like them
_ANY_SHAPE = (2, 3)
# commutative operations of a pattern, whose operands are tried both ways round: 2**6 orders
_MOST_COMMUTATIVE = 6


@dataclass(frozen=True)
class Match:
    """Where a pattern was found: the node of its result, those of its wildcards by name, and the nodes inside."""

    result: int
    wildcards: dict[str, int]
    nodes: tuple[int, ...]


def matches(tape: Tape, pattern: Pattern, where: Where = None, shared: bool = False) -> tuple[Match, ...]:
    """See :meth:`fastgrad.Tape.matches`."""
    recorded = _recorded(pattern)
    names = input_names(recorded)
    inside = _inside(recorded)
    found = _chosen(tape, recorded, _found(tape, recorded, shared), where)
    return tuple(
        Match(
            int(row[-1]),
            {name: int(row[node]) for name, node in zip(names, recorded.inputs.tolist(), strict=True)},
            tuple(int(row[node]) for node in inside),
        )
        for row in found
    )


def rewrite(
    tape: Tape,
    pattern: Pattern,
    replacement: Pattern,
    where: Where = None,
    count: int | None = None,
    shared: bool = False,
    missing_ok: bool = False,
) -> Tape:
    """See :meth:`fastgrad.Tape.rewrite`."""
    recorded = _recorded(pattern)
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
        raise InputError(f"count says how many matches are replaced at most; it is {count!r}.")
    found = _chosen(tape, recorded, _found(tape, recorded, shared), where)[:count]
    if not len(found):
        if missing_ok or count == 0:
            return tape
        raise InputError("the pattern was not found in the tape. Say missing_ok=True if that is no mistake.")
    assembly = Assembly()
    numbers = assembly.include(tape)
    results, wildcards = found[:, -1], found[:, recorded.inputs[_order_of_wildcards(recorded, replacement)]]
    new = np.empty(len(found), np.int64)
    for rows, shapes in _by_shapes(tape, wildcards):
        part = _part(replacement, shapes)
        _check_shapes(tape, part, results[rows])
        new[rows] = assembly.include_copies(part, wildcards[rows], results[rows])
    now = assembly.replace_all(results, new)
    outputs = [End(int(now[end.node]), end.name) for end in output_ends(tape, numbers)]
    return assembly.build(ends(tape, numbers), outputs)


def _order_of_wildcards(pattern: Tape, replacement: Pattern) -> list[int]:
    """Which of the pattern's wildcards each argument of the replacement is: by names if they are the same."""
    names = list(input_names(pattern))
    if isinstance(replacement, Tape):
        wanted = list(input_names(replacement))
    elif isinstance(replacement, np.ufunc) or not callable(replacement):
        wanted = []
    else:
        wanted = list(inspect.signature(replacement).parameters)
    if sorted(wanted) != sorted(names) or len(set(names)) != len(names):
        return list(range(len(names)))
    return [names.index(name) for name in wanted]


# ---- patterns


def _recorded(pattern: Pattern) -> Tape:
    """The tape of a pattern: one that is given, or that of the function."""
    recorded = pattern if isinstance(pattern, Tape) else _recorded_for_any_shape(pattern)
    if len(recorded.outputs) != 1 or recorded.opcodes[recorded.outputs[0]] >= INPUT:
        raise InputError("a pattern has one result, which is that of an operation on its arguments.")
    result = int(recorded.outputs[0])
    if result != len(recorded) - 1 or not _are_used(recorded):
        raise InputError("a pattern needs all of its arguments, and what it computes, for its result.")
    return recorded


def _recorded_for_any_shape(pattern: Callable[..., Any]) -> Tape:
    """The tape of a function whose operations are elementwise, so that it is the same for all shapes."""
    shapes = [_ANY_SHAPE] * _arity(pattern)
    problem = (
        "the pattern has operations on arrays, which depend on shapes. Give it as a tape, recorded for the shapes that "
        "are meant: fastgrad.record(pattern, *examples)."
    )
    try:
        recorded = recorded_at(pattern, shapes)
    except InputError:
        raise
    except ValueError as error:  # NumPy's, where shapes do not fit
        raise InputError(problem) from error
    if np.any((recorded.opcodes >= ARRAY_OPERATION) & (recorded.opcodes < INPUT)):
        raise InputError(problem)
    return recorded


def _arity(pattern: Callable[..., Any]) -> int:
    if isinstance(pattern, np.ufunc):
        return int(pattern.nin)
    try:
        return len(inspect.signature(pattern).parameters)
    except (TypeError, ValueError):
        raise InputError(
            "a pattern or replacement is a tape or a function whose arguments are its wildcards, such as "
            f"lambda x: np.tanh(x), not {pattern!r}."
        ) from None


def _are_used(pattern: Tape) -> bool:
    used = np.zeros(len(pattern), bool)
    used[pattern.operands] = True
    return bool(used[:-1].all())


def _inside(pattern: Tape) -> list[int]:
    """The operations of a pattern."""
    return [int(node) for node in np.flatnonzero(pattern.opcodes < INPUT)]


def _orders(pattern: Tape) -> Iterator[dict[int, list[int]]]:
    """The operands of each node of a pattern, with those of commutative operations in each order."""
    operands = {node: pattern.operands_of(node).tolist() for node in _inside(pattern)}
    free = (pattern.opcodes == INPUT) & (_uses(pattern) == 1)
    commutative = [
        node
        for node, of in operands.items()
        if pattern.opcodes[node] < len(ops.TABLE)
        and ops.TABLE[pattern.opcodes[node]].commutative
        and len(of) == 2
        and of[0] != of[1]
        and not all(free[node] for node in of)  # else either order fits
    ]
    if len(commutative) > _MOST_COMMUTATIVE:
        raise InputError(f"a pattern may hold {_MOST_COMMUTATIVE} commutative operations; this has {len(commutative)}.")
    for turned in product((False, True), repeat=len(commutative)):
        yield operands | {node: operands[node][::-1] for node, turn in zip(commutative, turned, strict=True) if turn}


# ---- finding


def _found(tape: Tape, pattern: Tape, shared: bool) -> Indices:
    """A row for each place that fits, in order: the tape's node for each node of the pattern."""
    found = [_fitting(tape, pattern, operands, shared) for operands in _orders(pattern)]
    if len(found) == 1:
        return found[0]
    rows = np.concatenate(found)
    _, first = np.unique(rows[:, -1], return_index=True)
    return rows[first]


def _fitting(tape: Tape, pattern: Tape, operands: dict[int, list[int]], shared: bool) -> Indices:
    root = len(pattern) - 1
    candidates = np.flatnonzero(tape.opcodes == pattern.opcodes[root])
    rows = np.full((len(candidates), len(pattern)), -1, np.int64)
    rows[:, root] = candidates
    for node in range(root, -1, -1):
        if pattern.opcodes[node] >= INPUT:
            continue
        rows = rows[_alike(tape, pattern, node, rows[:, node])]
        for place, operand in enumerate(operands.get(node, ())):
            given = tape.operands[tape.operand_starts[rows[:, node]] + np.uint32(place)].astype(np.int64)
            if pattern.opcodes[operand] == CONSTANT:  # equal numbers may be several nodes
                keep = _alike(tape, pattern, operand, given)
            else:
                known = rows[:, operand] >= 0
                keep = ~known | (rows[:, operand] == given)
            rows = rows[keep]
            rows[:, operand] = given[keep]
    inner = [node for node in _inside(pattern) if node != root]
    if inner and not shared:
        uses, own = _uses(tape), _uses(pattern)
        rows = rows[(uses[rows[:, inner]] == own[inner]).all(axis=1)]
    return rows


def _alike(tape: Tape, pattern: Tape, node: int, candidates: Indices) -> Any:
    """Which of these nodes are the operation, or the number, that a node of a pattern is."""
    same = tape.opcodes[candidates] == pattern.opcodes[node]
    if pattern.opcodes[node] == CONSTANT:
        number = pattern.constant_of(node)
        equal = np.array([_same_constant(number, constant) for constant in tape.constants], bool)
        same[same] = equal[tape.attribute_indices[candidates[same]]]
        return same
    attribute = pattern.attribute_of(node)
    equal = np.array([repr(attribute) == repr(other) for other in (*tape.attributes, None)], bool)
    lengths = tape.operand_starts[candidates + 1] - tape.operand_starts[candidates]
    same &= lengths == len(pattern.operands_of(node))
    same[same] = equal[tape.attribute_indices[candidates[same]]]
    return same


def _same_constant(wanted: Any, constant: Any) -> bool:
    """Whether a constant is the same number (0.0 and -0.0 are not), or the same captured array."""
    if is_number(wanted):
        return is_number(constant) and repr(float(wanted)) == repr(float(constant))
    return wanted is constant


def _uses(tape: Tape) -> Indices:
    """How often each node is an operand, an output or asked by a guard."""
    ends_of = np.concatenate([tape.operands, tape.outputs, tape.guard_nodes]).astype(np.int64)
    return np.bincount(ends_of, minlength=len(tape))


def _chosen(tape: Tape, pattern: Tape, rows: Indices, where: Where) -> Indices:
    """The matches at places that are meant; of those that have a node in common, the first."""
    if isinstance(where, str):
        inside = nodes_of_group(tape, where)
        if not inside.any():
            raise InputError(f"the tape has no group {where!r}; it has {', '.join(map(repr, tape.groups)) or 'none'}.")
        rows = rows[inside[rows[:, -1]]]
    elif where is not None:
        rows = rows[[bool(where(tape.node(int(node)))) for node in rows[:, -1]]]
    nodes = _inside(pattern)
    if len(nodes) == 1:
        return rows
    taken: set[int] = set()
    chosen = []
    for position, matched in enumerate(rows[:, nodes].tolist()):
        if taken.isdisjoint(matched):
            taken.update(matched)
            chosen.append(position)
    return rows[chosen]


# ---- replacing


def _by_shapes(tape: Tape, wildcards: Indices) -> Iterator[tuple[Indices, list[Shape]]]:
    """The rows of each combination of shapes that occurs."""
    indices = tape.shape_indices[wildcards].astype(np.int64)
    codes = indices @ (len(tape.shapes) ** np.arange(indices.shape[1], dtype=np.int64))
    if np.all(codes == codes[0]):  # quicker than to sort them
        yield np.arange(len(codes)), [tape.shapes[index] for index in indices[0]]
        return
    distinct, inverse = np.unique(codes, return_inverse=True)
    for k in range(len(distinct)):
        rows = np.flatnonzero(inverse == k)
        yield rows, [tape.shapes[index] for index in indices[rows[0]]]


def _part(replacement: Pattern, shapes: list[Shape]) -> Tape:
    part = replacement if isinstance(replacement, Tape) else recorded_at(replacement, shapes)
    if len(part.inputs) != len(shapes) or len(part.outputs) != 1:
        raise InputError(
            f"the replacement must take the pattern's {len(shapes)} wildcards and have one result; it takes "
            f"{len(part.inputs)} and has {len(part.outputs)}."
        )
    if list(part.input_shapes) != shapes:
        raise InputError(f"the replacement takes shapes {part.input_shapes}; the values found have {tuple(shapes)}.")
    return part


def _check_shapes(tape: Tape, part: Tape, results: Indices) -> None:
    for index in np.unique(tape.shape_indices[results]).tolist():
        if tape.shapes[index] != part.output_shapes[0]:
            node = int(results[tape.shape_indices[results] == index][0])
            raise InputError(
                f"{described(tape, node)} has shape {tape.shape_of(node)}; the replacement makes shape "
                f"{part.output_shapes[0]} of its operands."
            )
