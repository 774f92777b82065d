"""From a tape to the picture of it: what gets a box of its own, and what is folded into one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.document.formula import step
from fastgrad.document.text import constant_text, shape_text
from fastgrad.draw.picture import Box, Edge, Frame, Picture
from fastgrad.draw.values import short
from fastgrad.tape import CONSTANT, INPUT, Tape, is_number, operation_of

__all__ = ["Folding", "fold", "picture"]

MAX_LABEL = 40
MIN_BOXES = 5
# more runs than this in a column nobody reads
MAX_RUNS = 40
# names that show that an input belongs to a part of the function
_PARAMETER = re.compile(r".*[/\[].*", re.DOTALL)

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Folding:
    """Which box each node belongs to: ``boxes[i]``, or -1 for a number that stands in its users' labels.

    ``headings`` has a heading for each box that is folded; the other boxes hold one node.
    """

    boxes: Numbers
    headings: dict[int, str]

    @property
    def shown(self) -> Numbers:
        """The nodes that have a box of their own."""
        boxes = self.boxes
        alone = [box for box in range(int(boxes.max(initial=-1)) + 1) if box not in self.headings]
        first = np.full(int(boxes.max(initial=-1)) + 1, -1)
        has_box = np.flatnonzero(boxes >= 0)
        first[boxes[has_box]] = has_box
        return first[alone].astype(np.int64)


def fold(tape: Tape, folded: Collection[str], max_boxes: int) -> Folding:
    """Fold the groups with these paths, and if there are still too many boxes more of the tape.

    Groups are folded from the innermost outwards; if that is not enough, what comes from the same line; at last runs
    of nodes that follow one another.
    """
    is_shown = ~_inside_labels(tape)
    n_shown = int(is_shown.sum())
    paths = [_outermost(path, folded) for path in tape.groups]
    for depth in range(max((path.count("/") + 1 for path in tape.groups), default=0), -1, -1):
        keys = [found or "/".join(path.split("/")[:depth]) for found, path in zip(paths, tape.groups, strict=True)]
        is_folded = [
            bool(found) or (depth > 0 and n_shown > max_boxes and bool(path))
            for found, path in zip(paths, tape.groups, strict=True)
        ]
        number = {key: k for k, key in enumerate(dict.fromkeys(keys))}
        of_group = np.array([number[k] if f else -1 for k, f in zip(keys, is_folded, strict=True)] + [-1], np.int64)
        clusters = of_group[tape.group_indices]
        clusters[tape.opcodes == INPUT] = -1
        if depth == 0 or _count(clusters, is_shown) <= max_boxes or n_shown <= max_boxes:
            break
    headings = {position: key for key, position in number.items()} if tape.groups else {}
    if _count(clusters, is_shown) > max_boxes:
        outermost = list(dict.fromkeys(path.split("/")[0] for path in tape.groups))
        top = np.array([outermost.index(path.split("/")[0]) for path in tape.groups] + [-1], np.int64)
        groups = top[tape.group_indices]
        # one box for everything would say little
        if MIN_BOXES <= len(outermost) + len(tape.sources) < max_boxes:
            clusters = np.where(groups >= 0, groups, len(outermost) + tape.source_indices)
            clusters = np.where((groups < 0) & (tape.source_indices < 0), len(outermost) + len(tape.sources), clusters)
            headings = dict(enumerate([*outermost, *(source.short for source in tape.sources), "no line known"]))
        else:
            wanted = min(max_boxes * 2 // 3, MAX_RUNS)
            clusters = np.arange(len(tape)) * wanted // len(tape)
            bounds = -(-np.arange(wanted + 1) * len(tape) // wanted)
            headings = {k: f"%{bounds[k]} to %{bounds[k + 1] - 1}" for k in range(wanted)}
        few_inputs = len(tape.inputs) <= max(max_boxes // 3, 1)
        clusters[tape.inputs] = -1 if few_inputs else max(headings) + 1
        if not few_inputs:
            headings[max(headings) + 1] = f"{len(tape.inputs):,} inputs"
    return _numbered(clusters, headings, is_shown)


def _outermost(path: str, folded: Collection[str]) -> str:
    parts = path.split("/")
    return next((p for p in ("/".join(parts[: k + 1]) for k in range(len(parts))) if p in folded), "")


def _inside_labels(tape: Tape) -> NDArray[np.bool_]:
    """Which nodes are numbers without a name, which are written in the labels of the nodes that use them."""
    inside = np.zeros(len(tape), bool)
    numbers = [node for node in np.flatnonzero(tape.opcodes == CONSTANT) if is_number(tape.constant_of(int(node)))]
    inside[numbers] = True
    inside[tape.named_nodes] = False
    inside[tape.outputs] = False
    return inside


def _count(clusters: Numbers, is_shown: NDArray[np.bool_]) -> int:
    of = clusters[is_shown]
    return int(np.count_nonzero(of < 0)) + len(np.unique(of[of >= 0]))


def _numbered(clusters: Numbers, headings: Mapping[int, str], is_shown: NDArray[np.bool_]) -> Folding:
    """Boxes numbered in the order of their first nodes."""
    n = len(clusters)
    keys = np.where(clusters >= 0, clusters + n, np.arange(n))[is_shown]
    unique, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    boxes = np.full(n, -1, np.int64)
    boxes[is_shown] = rank[inverse]
    return Folding(boxes, {int(rank[k]): headings[int(u) - n] for k, u in enumerate(unique.tolist()) if u >= n})


def picture(
    tape: Tape, folding: Folding, title: str, values: Mapping[int, Any], adjoints: Mapping[int, Any], is_reverse: bool
) -> Picture:
    """The picture of a folded tape, with these values and adjoints beside their nodes."""
    boxes_of = folding.boxes
    frames: dict[str, int] = {}
    frame_list: list[Frame] = []

    def frame_of(path: str) -> int:
        if not path:
            return -1
        if path not in frames:
            outer, _, last = path.rpartition("/")
            around = frame_of(outer)
            frames[path] = len(frame_list)
            frame_list.append(Frame(_cut(last), f"group {path}", around))
        return frames[path]

    has_box = np.flatnonzero(boxes_of >= 0)
    order = has_box[np.argsort(boxes_of[has_box], kind="stable")]
    members = np.split(order, np.flatnonzero(np.diff(boxes_of[order])) + 1) if len(order) else []
    writer = _Labels(tape, values, adjoints)
    boxes = []
    for number, nodes in enumerate(members):
        if number in folding.headings:
            heading = folding.headings[number]
            outer = heading.rpartition("/")[0] if heading in tape.groups else ""
            boxes.append(writer.folded(nodes, heading, frame_of(outer)))
        else:
            node = int(nodes[0])
            boxes.append(writer.single(node, frame_of(tape.group_of(node)) if tape.opcodes[node] < INPUT else -1))
    lengths: Any = np.diff(tape.operand_starts.astype(np.int64))
    sources, targets = boxes_of[tape.operands], np.repeat(boxes_of, lengths)
    pairs = np.unique(np.stack([targets, sources], 1)[(sources != targets) & (sources >= 0) & (targets >= 0)], axis=0)
    edges = tuple(Edge(source, target) for target, source in pairs.tolist())
    n_folded = len(folding.headings)
    description = (
        f"{repr(tape)[6:-1]}; {len(boxes)} boxes{f', {n_folded} of them folded' if n_folded else ''}. "
        f"Arrows point the way of {'adjoints, to operands' if is_reverse else 'values, to results'}."
    )
    return Picture(title, description, tuple(boxes), tuple(frame_list), edges, is_reverse)


class _Labels:
    def __init__(self, tape: Tape, values: Mapping[int, Any], adjoints: Mapping[int, Any]) -> None:
        self.tape, self.values, self.adjoints = tape, values, adjoints
        self.names = tape._names_of_nodes
        self.outputs = set(tape.outputs.tolist())

    def single(self, node: int, frame: int) -> Box:
        tape, opcode = self.tape, int(self.tape.opcodes[node])
        shape = shape_text(tape.shape_of(node))
        name = self.names.get(node, "")
        shown_name = name.removeprefix(tape.group_of(node) + "/")
        what = "input" if opcode == INPUT else "constant" if opcode == CONSTANT else "operation"
        if opcode == INPUT:
            what = "parameter" if _PARAMETER.fullmatch(name) else what
            label = name or f"%{node}"
        elif opcode == CONSTANT:
            constant = tape.constant_of(node)
            label = name or (constant_text(constant) if constant.size <= 3 else f"constant {shape}")
        else:
            operands = [self._operand(int(operand)) for operand in tape.operands_of(node)]
            formula = step(tape, node, operands)
            if formula == (operands[0] or "□"):
                # formulas leave out what only changes the shape
                formula = f"{operation_of(opcode).name}({formula})"
            label = f"{shown_name} = {formula}" if shown_name else formula
        kind = "output" if node in self.outputs else what
        roles = [] if what == "operation" else [what]
        roles += ["output"] if kind == "output" else []
        notes = [" · ".join(filter(None, (" and ".join(roles), shape)))]
        full = [f"%{node}: {label}", *(f"{kind_} of shape {shape or 'scalar'}" for kind_ in (roles or ["operation"]))]
        source = tape.source_of(node)
        if tape.group_of(node):
            full.append(f"group {tape.group_of(node)}")
        if source is not None:
            full.append(f"line {source.short}, in {source.function}")
        for word, found in (("value", self.values), ("adjoint", self.adjoints)):
            if node in found:
                notes.append(f"{word} {short(found[node])}")
                full.append(f"{word} {short(found[node])}")
        return Box(kind, _cut(label), tuple(map(_cut, filter(None, notes))), "\n".join(full), frame)

    def _operand(self, node: int) -> str | None:
        if self.tape.opcodes[node] == CONSTANT and is_number(self.tape.constant_of(node)):
            return constant_text(self.tape.constant_of(node))
        name = self.names.get(node, "").rpartition("/")[2]
        return name if 0 < len(name) <= 16 else None

    def folded(self, nodes: Numbers, heading: str, frame: int) -> Box:
        codes = self.tape.opcodes[nodes]
        counts = Counter(codes[codes < INPUT].tolist())
        n_operations = sum(counts.values())
        parts = [f"{count:,} {operation_of(code).name}" for code, count in counts.most_common(3)]
        ends = [f"output {self.names.get(node, f'%{node}')}" for node in nodes.tolist() if node in self.outputs]
        notes = [f"folded · {n_operations:,} operations" if n_operations else f"folded · {len(nodes):,} nodes"]
        notes += parts + ends[:3]
        title = "\n".join([heading, *notes, f"nodes %{nodes[0]} to %{nodes[-1]}"])
        return Box("folded", _cut(heading), tuple(map(_cut, notes)), title, frame)


def _cut(text: str) -> str:
    """The text in one line, its middle left out where it is long."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= MAX_LABEL else f"{line[: MAX_LABEL - 13]}…{line[-12:]}"
