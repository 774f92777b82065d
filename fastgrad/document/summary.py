"""The groups of a tape as a table: what a network's layers compute and how many parameters they have."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastgrad.document.statistics import operation_counts, size_text
from fastgrad.document.text import shape_text, shown
from fastgrad.errors import InputError
from fastgrad.tape import INPUT, Shape, Tape
from fastgrad.tape_names import input_names, is_parameter_name
from fastgrad.transform.derivatives import input_positions

__all__ = ["Summary", "SummaryRow", "summary"]

# how many operations and shapes a row names
MAX_NAMED = 4
NO_GROUP, NOT_USED = "(no group)", "(not used)"

_COLUMNS = ("Group", "Operations", "Output shape", "Parameters")


@dataclass(frozen=True)
class SummaryRow:
    """One group: what it computes, the shapes of what is used outside it, and the parameters that it uses first."""

    group: str
    operations: dict[str, int]
    output_shapes: tuple[Shape, ...]
    parameters: int

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The row as text."""
        named = [name if count == 1 else f"{name} x{count}" for name, count in self.operations.items()]
        shapes = [shape_text(shape) or "scalar" for shape in dict.fromkeys(self.output_shapes)]
        return (
            self.group if self.group in (NO_GROUP, NOT_USED) else shown(self.group),
            _first_of(named),
            _first_of(shapes),
            f"{self.parameters:,}",
        )


@dataclass(frozen=True)
class Summary:
    """The table of ``Tape.summary``: print it, look at it in a notebook, or read its rows."""

    rows: tuple[SummaryRow, ...]
    input_shapes: dict[str, Shape]
    # elements of all parameters
    parameters: int

    @property
    def n_operations(self) -> int:
        return sum(sum(row.operations.values()) for row in self.rows)

    def __str__(self) -> str:
        cells = [_COLUMNS, *(row.cells for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(_padded(row, widths)).rstrip() for row in cells]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([*self._inputs(), rule, lines[0], rule, *lines[1:], rule, self._total()])

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str) -> str:
            align = ["left", "left", "left", "right"]
            return "".join(
                f'<{tag} style="text-align:{side}">{html.escape(cell)}</{tag}>'
                for cell, side in zip(cells, align, strict=True)
            )

        body = "".join(f"<tr>{row(entry.cells, 'td')}</tr>" for entry in self.rows)
        inputs = "<br>".join(map(html.escape, self._inputs()))
        return (
            f"<p>{inputs}</p><table><thead><tr>{row(_COLUMNS, 'th')}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{html.escape(self._total())}</p>"
        )

    def _inputs(self) -> Iterator[str]:
        for name, shape in self.input_shapes.items():
            yield f"input {shown(name)} {shape_text(shape)}".rstrip()

    def _total(self) -> str:
        memory = size_text(8 * self.parameters)
        return f"{self.n_operations:,} operations, {self.parameters:,} parameters ({memory})"


def _padded(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    *left, last = zip(cells, widths, strict=True)
    yield from (f"{cell:<{width}}" for cell, width in left)
    yield f"{last[0]:>{last[1]}}"


def _first_of(texts: Sequence[str]) -> str:
    more = len(texts) - MAX_NAMED
    return ", ".join(texts[:MAX_NAMED]) + (f", {more} more" if more > 0 else "")


def summary(tape: Tape, depth: int = 1, parameters: Sequence[int | str] | None = None) -> Summary:
    """The table of :meth:`fastgrad.Tape.summary`."""
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise InputError(f"depth must be a whole number from 1 on, not {depth!r}.")
    positions = _parameter_positions(tape, parameters)
    paths = ["/".join(path.split("/")[:depth]) for path in tape.groups]
    labels = list(dict.fromkeys(paths))
    place = {path: row for row, path in enumerate(labels)}
    # the last label is for what belongs to no group
    of_group = np.array([*(place[path] for path in paths), len(labels)], np.int64)
    row_of_node = of_group[tape.group_indices]
    is_operation = tape.opcodes < INPUT
    sizes = {position: math.prod(tape.input_shapes[position]) for position in positions}
    counts, unused = _parameter_counts(tape, sizes, row_of_node, len(labels) + 1)
    shown_nodes = _seen_outside(tape, row_of_node)
    rows = []
    operations = np.flatnonzero(is_operation)
    in_order = operations[np.argsort(row_of_node[operations], kind="stable")]
    ends = np.cumsum(np.bincount(row_of_node[operations], minlength=len(labels) + 1))
    nodes_of_rows = np.split(in_order, ends[:-1])
    labels.append(NO_GROUP)
    firsts = [(int(nodes[0]) if len(nodes) else len(tape), row) for row, nodes in enumerate(nodes_of_rows)]
    for _, row in sorted(firsts):
        nodes = nodes_of_rows[row]
        if len(nodes) or counts[row]:
            shapes = tuple(tape.shape_of(int(node)) for node in nodes[shown_nodes[nodes]])
            rows.append(SummaryRow(labels[row], operation_counts(tape.opcodes[nodes]), shapes, int(counts[row])))
    if unused:
        rows.append(SummaryRow(NOT_USED, {}, (), unused))
    names = input_names(tape)
    inputs = {names[k]: shape for k, shape in enumerate(tape.input_shapes) if k not in sizes}
    return Summary(tuple(rows), inputs, sum(sizes.values()))


def _parameter_positions(tape: Tape, parameters: Sequence[int | str] | None) -> tuple[int, ...]:
    if parameters is not None:
        return input_positions(tape, parameters) if len(parameters) else ()
    named = tuple(k for k, name in enumerate(tape.input_names) if is_parameter_name(name))
    return named or tuple(range(1, len(tape.inputs)))


def _parameter_counts(
    tape: Tape, sizes: dict[int, int], row_of_node: NDArray[np.int64], n_rows: int
) -> tuple[NDArray[np.int64], int]:
    """The elements of the parameters that each row uses first, and of those that nothing uses."""
    counts, unused = np.zeros(n_rows, np.int64), 0
    for position, size in sizes.items():
        users = tape.users_of(int(tape.inputs[position]))
        if len(users):
            counts[row_of_node[users[0]]] += size
        else:
            unused += size
    return counts, unused


def _seen_outside(tape: Tape, row_of_node: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which nodes are outputs, or operands of a node of another row."""
    rows_of_users = np.repeat(row_of_node, tape.operand_counts)
    seen = np.zeros(len(tape), bool)
    seen[tape.operands[rows_of_users != row_of_node[tape.operands]]] = True
    seen[tape.outputs] = True
    return seen
