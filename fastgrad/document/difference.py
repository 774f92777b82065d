"""What changed between two tapes, for people.

Nodes are matched by their names first, then by structure (equal computations from equal inputs, in order), then by
what is nearest: the same operation on matched operands, the same operation, other operations on the same operands. Each
step looks a node up by a key, so that the time is linear in the nodes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.document.text import operation_text, shape_text, shown
from fastgrad.tape import Node, Tape

__all__ = ["ChangedNode", "Difference", "diff"]

# a longer listing is cut
MAX_LINES = 200


@dataclass(frozen=True)
class ChangedNode:
    """A node that both tapes have, and what is different: from ``"operation"``, ``"operands"``, ``"shape"``,
    ``"attribute"``, ``"value"``, ``"name"`` and ``"group"``."""

    before: int
    after: int
    changes: tuple[str, ...]
    detail: str = ""


@dataclass(frozen=True)
class Difference:
    """What changed from tape ``a`` to tape ``b``; false where nothing did, prints as a listing.

    ``added`` and ``removed`` are numbers of nodes in ``b`` and in ``a``, ``changed`` the nodes that both have,
    ``interface`` what is different about inputs, outputs, guards and the order of nodes, in words, and ``matches`` the
    number of each node of ``b`` in ``a``, -1 for none.
    """

    a: Tape = field(repr=False)
    b: Tape = field(repr=False)
    added: tuple[int, ...]
    removed: tuple[int, ...]
    changed: tuple[ChangedNode, ...]
    interface: tuple[str, ...]
    matches: NDArray[np.int64] = field(repr=False)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.interface)

    @property
    def n_unchanged(self) -> int:
        """How many nodes both tapes have as they are."""
        return len(self.b) - len(self.added) - len(self.changed)

    def __str__(self) -> str:
        if not self:
            return f"no difference ({len(self.b):,} nodes)"
        lines = list(_listing(self))
        if len(lines) > MAX_LINES:
            lines = [*lines[:MAX_LINES], f"  ... {len(lines) - MAX_LINES:,} more lines"]
        counts = f"{len(self.added):,} added, {len(self.removed):,} removed, {len(self.changed):,} changed"
        return "\n".join(
            [f"{counts}, {self.n_unchanged:,} unchanged", *(f"! {text}" for text in self.interface), *lines]
        )


def diff(a: Tape, b: Tape) -> Difference:
    """What changed from one tape to another: nodes, inputs, outputs, guards, names and groups.

    The result is false if nothing did, which it never is for tapes whose hashes differ. Lines of the program are not
    compared. Takes a few microseconds for each node.

    >>> import fastgrad, numpy as np
    >>> a = fastgrad.record(lambda x: np.sin(x) * 2.0, 1.0)
    >>> b = fastgrad.record(lambda x: np.cos(x) * 3.0, 1.0)
    >>> print(fastgrad.diff(a, b))
    0 added, 0 removed, 2 changed, 2 unchanged
      %0 = input x
    - %1 = sin(%0)
    + %1 = cos(%0)
    - %2 = 2
    + %2 = 3  (by at most 1)
      %3 = multiply(%1, %2)
    """
    matching = _Matching(a, b)
    matches = matching.run()
    changed = tuple(
        change
        for after, before in enumerate(matches)
        if before >= 0 and (change := matching.changes(before, after)) is not None
    )
    added = tuple(after for after, before in enumerate(matches) if before < 0)
    taken = set(matches)
    removed = tuple(before for before in range(len(a)) if before not in taken)
    found = np.array(matches, np.int64)
    interface = list(_interface(a, b, found))
    if not (added or removed or changed or interface) and a.hash != b.hash:
        interface.append("the same nodes share their constants in another way")
    return Difference(a, b, added, removed, changed, tuple(interface), found)


class _Nodes:
    """What the matching needs of a tape's nodes, as lists."""

    def __init__(self, tape: Tape, structures: dict[Hashable, int]) -> None:
        self.tape = tape
        self.nodes: list[Node] = list(tape)
        inputs = dict(zip(tape.inputs.tolist(), tape.input_names or range(len(tape.inputs)), strict=True))
        # operation, attribute and shape: what a node is without its operands
        self.kinds: list[tuple[Hashable, ...]] = []
        # equal numbers: equal computations from equal inputs
        self.structures: list[int] = []
        for node in self.nodes:
            attribute = node.attribute
            if node.operation == "input":
                attribute = inputs[node.number]
            elif node.operation == "constant":
                # in one order of bytes, which is no difference
                content = node.attribute.astype(node.attribute.dtype.newbyteorder("<"), copy=False)
                attribute = (content.dtype.str, content.tobytes())
            kind = (node.operation, repr(attribute) if type(attribute) is not tuple else _exact(attribute), node.shape)
            self.kinds.append(kind)
            key = (kind, tuple([self.structures[operand] for operand in node.operands]))
            self.structures.append(structures.setdefault(key, len(structures)))


def _exact(attribute: tuple[Any, ...]) -> Hashable:
    # repr keeps 1, 1.0 and the signs of zero apart; the bytes of a constant need none
    return attribute if attribute and type(attribute[-1]) is bytes else repr(attribute)


class _Queues:
    """Nodes that are free to be matched, by a key, in order."""

    def __init__(self, keys: Iterable[tuple[Hashable, int]]) -> None:
        self._queues: dict[Hashable, deque[int]] = {}
        for key, number in keys:
            self._queues.setdefault(key, deque()).append(number)

    def take(self, key: Hashable, taken: Sequence[bool]) -> int:
        """The first free node with this key, -1 if there is none."""
        queue = self._queues.get(key, ())
        while queue:
            number = queue.popleft()
            if not taken[number]:
                return number
        return -1


class _Matching:
    def __init__(self, a: Tape, b: Tape) -> None:
        structures: dict[Hashable, int] = {}
        self.a, self.b = _Nodes(a, structures), _Nodes(b, structures)
        self.matches = [-1] * len(b)
        self.taken = [False] * len(a)

    def run(self) -> list[int]:
        a, b = self.a, self.b
        names, pairs = _names_of(a.tape), _names_of(b.tape)
        for name, after in pairs.items():
            before = names.get(name, -1)
            if before >= 0 and (a.nodes[before].operation == "input") == (b.nodes[after].operation == "input"):
                self._match(before, after)
        same = _Queues((structure, number) for number, structure in enumerate(a.structures))
        for after, structure in enumerate(b.structures):
            self._match(same.take(structure, self.taken) if self.matches[after] < 0 else -1, after)
        self._match_nearest()
        return self.matches

    def _match(self, before: int, after: int) -> None:
        if before >= 0 and self.matches[after] < 0 and not self.taken[before]:
            self.matches[after] = before
            self.taken[before] = True

    def _match_nearest(self) -> None:
        free = [number for number in range(len(self.a.nodes)) if not self.taken[number]]
        queues = [_Queues(zip(keys, free, strict=True)) for keys in zip(*(self._keys(k) for k in free), strict=True)]
        if not queues:
            return
        # operands are matched before the nodes that use them
        for after, node in enumerate(self.b.nodes):
            if self.matches[after] >= 0:
                continue
            kind = self.b.kinds[after]
            operands = tuple([self.matches[operand] for operand in node.operands])
            keys = _nearness(node, kind, operands)
            for queue, key in zip(queues, keys, strict=True):
                before = queue.take(key, self.taken)
                if before >= 0:
                    self._match(before, after)
                    break

    def _keys(self, number: int) -> tuple[Hashable, ...]:
        node = self.a.nodes[number]
        return _nearness(node, self.a.kinds[number], node.operands)

    def changes(self, before: int, after: int) -> ChangedNode | None:
        """What is different about two nodes that belong together."""
        old, new = self.a.nodes[before], self.b.nodes[after]
        found, detail = [], ""
        if old.operation != new.operation:
            found.append("operation")
        if old.operands != tuple([self.matches[operand] for operand in new.operands]):
            found.append("operands")
        if old.shape != new.shape:
            found.append("shape")
        if old.operation == new.operation == "constant":
            if self.a.kinds[before][1] != self.b.kinds[after][1]:
                found.append("value")
                detail = _size_of_change(old.attribute, new.attribute)
        elif old.operation != "input" and new.operation != "input" and _differ(old.attribute, new.attribute):
            found.append("attribute")
        if old.name != new.name:
            found.append("name")
        if old.group != new.group:
            found.append("group")
        return ChangedNode(before, after, tuple(found), detail) if found else None


def _names_of(tape: Tape) -> dict[Hashable, int]:
    """The nodes that have a name, and the inputs by name or place."""
    found: dict[Hashable, int] = dict(zip(tape.node_names, tape.named_nodes.tolist(), strict=True))
    names = tape.input_names or range(len(tape.inputs))
    for name, number in zip(names, tape.inputs.tolist(), strict=True):
        found["input", name] = number  # apart from the names of nodes
    return found


def _differ(old: Any, new: Any) -> bool:
    if isinstance(old, np.ndarray) or isinstance(new, np.ndarray):
        return True
    return repr(old) != repr(new)


def _nearness(node: Node, kind: Hashable, operands: tuple[int, ...]) -> tuple[Hashable, ...]:
    """Keys under which a node is looked for, the nearest first."""
    is_input = node.operation == "input"
    leaf = (is_input, node.operation == "constant")
    # nodes without operands say nothing by those
    by_operands = (leaf, operands, node.shape) if operands else (leaf, node.operation, node.shape)
    return (kind, operands), (node.operation, operands), kind, by_operands, (node.operation, node.shape)


def _size_of_change(old: NDArray[Any], new: NDArray[Any]) -> str:
    if old.shape != new.shape:
        return ""
    if old.dtype != new.dtype and np.array_equal(old, new, equal_nan=True):
        return f"{old.dtype} became {new.dtype}"
    first, second = old.astype(np.float64), new.astype(np.float64)
    differ = (first != second) & ~(np.isnan(first) & np.isnan(second))
    count = int(np.count_nonzero(differ))
    if not count:
        return "in the sign of zero or the bits of NaN"
    with np.errstate(invalid="ignore", over="ignore"):
        most = float(np.abs(second - first)[differ].max())
    return f"by at most {most:.6g}" + (f", {count:,} of {old.size:,} elements" if old.shape else "")


# ---- inputs, outputs, guards, order


def _interface(a: Tape, b: Tape, matches: NDArray[np.int64]) -> Iterator[str]:
    if a.input_names != b.input_names:
        yield f"inputs: {_names(a.input_names)} became {_names(b.input_names)}"
    elif a.inputs.tolist() != matches[b.inputs].tolist():
        yield "inputs stand in another order"
    if a.output_names != b.output_names:
        yield f"outputs: {_names(a.output_names)} became {_names(b.output_names)}"
    if a.outputs.tolist() != matches[b.outputs].tolist():
        yield f"returned are {_numbers(b.outputs)}, where it was {_numbers(a.outputs)}"
    guards = [
        (nodes.tolist(), [value.hex() for value in tape.guard_values.tolist()])
        for tape, nodes in ((a, a.guard_nodes), (b, matches[b.guard_nodes]))
    ]
    if guards[0] != guards[1] or a.guard_values.tobytes() != b.guard_values.tobytes():
        yield f"guards: {_guards(a)} became {_guards(b)}"
    found = matches[matches >= 0]
    if np.any(found[1:] < found[:-1]):
        yield "some nodes stand in another order"


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "no names"


def _numbers(nodes: NDArray[Any]) -> str:
    return ", ".join(f"%{number}" for number in nodes[:8].tolist()) + (", ..." if len(nodes) > 8 else "") or "nothing"


def _guards(tape: Tape) -> str:
    pairs = zip(tape.guard_nodes[:8].tolist(), tape.guard_values[:8].tolist(), strict=True)
    return (
        ", ".join(f"%{node} is {value:g}" for node, value in pairs) + (", ..." if len(tape.guard_nodes) > 8 else "")
        or "none"
    )


# ---- printing


def _listing(difference: Difference) -> Iterator[str]:
    """Changed, added and removed nodes in order, with one unchanged node on either side."""
    changed = {change.after: change for change in difference.changed}
    added, removed = set(difference.added), deque(difference.removed)
    events: list[tuple[str, ...] | int] = []
    for after, before in enumerate(difference.matches.tolist()):
        while removed and before >= 0 and removed[0] < before:
            events.append((f"- {_node(difference.a, removed.popleft())}",))
        if after in changed:
            change = changed[after]
            note = f"  ({change.detail})" if change.detail else ""
            old, new = _node(difference.a, change.before), _node(difference.b, after)
            events.append((f"- {old}", f"+ {new}{note}"))
        elif after in added:
            events.append((f"+ {_node(difference.b, after)}",))
        else:
            events.append(after)
    events += [(f"- {_node(difference.a, before)}",) for before in removed]
    skipped = 0
    for place, event in enumerate(events):
        if isinstance(event, tuple):
            if skipped:
                yield f"  ... {skipped:,} unchanged"
                skipped = 0
            yield from event
        elif any(isinstance(near, tuple) for near in events[max(place - 1, 0) : place + 2]):
            if skipped:
                yield f"  ... {skipped:,} unchanged"
                skipped = 0
            yield f"  {_node(difference.b, event)}"
        else:
            skipped += 1
    if skipped:
        yield f"  ... {skipped:,} unchanged"


def _node(tape: Tape, number: int) -> str:
    node = tape.node(number)
    left = f"%{number} {shown(node.name)}" if node.name and node.operation != "input" else f"%{number}"
    is_input = node.operation == "input"
    right = f"input {shown(node.name)}".rstrip() if is_input else operation_text(node, {})
    shape = f"  {shape_text(node.shape)}" if node.shape else ""
    group = f"  in {shown(node.group)}" if node.group else ""
    return f"{left} = {right}{shape}{group}"
