"""From a tape to the picture of it: what gets a box of its own, and what is folded into one."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import array_ops
from fastgrad.document.formula import step
from fastgrad.document.text import constant_text, shape_text
from fastgrad.draw.picture import Box, Edge, Frame, Picture
from fastgrad.draw.values import short
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Tape, is_number, operation_of
from fastgrad.tape_names import all_groups, is_parameter_name

__all__ = ["Folding", "fold", "picture"]

MAX_LABEL = 40
MIN_BOXES = 5
# more runs than this in a column nobody reads
MAX_RUNS = 24
# an input with more users is drawn again beside each of them
MAX_USERS = 6
# the path of a name, also within the brackets of adjoint(path/name)
_PATHS = re.compile(r"[^()/]*/")

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Folding:
    """Which box each node belongs to: ``boxes[i]``, or -1 for what is drawn as a part of its users.

    These are numbers, and reshapes that only add or drop axes of length 1: ``drawn_as[i]`` is the node that is drawn in
    place of node i. ``headings`` has a heading for each box that is folded; the other boxes hold one node. ``room`` is
    how many more boxes there may be.
    """

    boxes: Numbers
    headings: dict[int, str]
    drawn_as: Numbers
    room: int

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
    is_shown, drawn_as = _shown(tape)
    n_shown = int(is_shown.sum())
    paths = [_outermost(path, folded) for path in tape.groups]
    homes = _homes_of_inputs(tape)
    for depth in range(max((path.count("/") + 1 for path in tape.groups), default=0), -1, -1):
        keys = [found or "/".join(path.split("/")[:depth]) for found, path in zip(paths, tape.groups, strict=True)]
        is_folded = [
            bool(found) or (depth > 0 and n_shown > max_boxes and bool(path))
            for found, path in zip(paths, tape.groups, strict=True)
        ]
        number = {key: k for k, key in enumerate(dict.fromkeys(keys))}
        of_group = np.array([number[k] if f else -1 for k, f in zip(keys, is_folded, strict=True)] + [-1], np.int64)
        clusters = of_group[tape.group_indices]
        cluster_of = {key: number[key] for key, f in zip(keys, is_folded, strict=True) if f}
        for node, path in zip(tape.inputs.tolist(), homes, strict=True):
            clusters[node] = cluster_of.get(_outermost(path, cluster_of), -1)
        if depth == 0 or _count(clusters, is_shown) <= max_boxes or n_shown <= max_boxes:
            break
    headings = {position: key for key, position in number.items()} if tape.groups else {}
    if _count(clusters, is_shown) > max_boxes:
        few_inputs = len(tape.inputs) <= max(max_boxes // 3, 1)
        room = max_boxes - (len(tape.inputs) if few_inputs else 1)
        outermost = {path: k for k, path in enumerate(dict.fromkeys(path.split("/")[0] for path in tape.groups))}
        top = np.array([outermost[path.split("/")[0]] for path in tape.groups] + [-1], np.int64)
        groups = top[tape.group_indices]
        # one box for everything would say little
        if MIN_BOXES <= len(outermost) + len(tape.sources) < room:
            clusters = np.where(groups >= 0, groups, len(outermost) + tape.source_indices)
            clusters = np.where((groups < 0) & (tape.source_indices < 0), len(outermost) + len(tape.sources), clusters)
            headings = dict(enumerate([*outermost, *(source.short for source in tape.sources), "no line known"]))
        else:
            wanted = min(max_boxes * 2 // 3, MAX_RUNS)
            clusters = np.arange(len(tape)) * wanted // len(tape)
            headings = {k: f"part {k + 1} of {wanted}" for k in range(wanted)}
        clusters[tape.inputs] = -1 if few_inputs else max(headings) + 1
        if not few_inputs:
            headings[max(headings) + 1] = f"{len(tape.inputs):,} inputs"
    boxes, headings = _numbered(clusters, headings, is_shown)
    return Folding(boxes, headings, drawn_as, max_boxes - int(boxes.max(initial=-1)) - 1)


def _homes_of_inputs(tape: Tape) -> list[str]:
    """The group that each input belongs to by its name, or an empty text."""
    known = all_groups(tape)
    names = tape.input_names or [""] * len(tape.inputs)
    homes = (name.rpartition("/")[0] if is_parameter_name(name) else "" for name in names)
    return [home if home in known else "" for home in homes]


def _outermost(path: str, folded: Collection[str]) -> str:
    parts = path.split("/")
    return next((p for p in ("/".join(parts[: k + 1]) for k in range(len(parts))) if p in folded), "")


def _shown(tape: Tape) -> tuple[NDArray[np.bool_], Numbers]:
    """Which nodes are shown, and for each the node that is drawn in its place; see :class:`Folding`."""
    inside = np.zeros(len(tape), bool)
    numbers = [node for node in np.flatnonzero(tape.opcodes == CONSTANT) if is_number(tape.constant_of(int(node)))]
    inside[numbers] = True
    plain = [tuple(length for length in shape if length != 1) for shape in tape.shapes]
    plain_index = {shape: k for k, shape in enumerate(dict.fromkeys(plain))}
    shapes = np.array([plain_index[shape] for shape in plain], np.int64)[tape.shape_indices]
    reshapes = np.flatnonzero(tape.opcodes == ARRAY_OPERATION + array_ops.reshape.code)
    operands = tape.operands[tape.operand_starts[reshapes]]
    is_same = shapes[reshapes] == shapes[operands]
    inside[reshapes[is_same]] = True
    inside[tape.named_nodes] = False
    inside[tape.outputs] = False
    drawn_as = np.arange(len(tape))
    for node, operand in zip(reshapes[is_same].tolist(), operands[is_same].tolist(), strict=True):
        if inside[node]:
            drawn_as[node] = drawn_as[operand]
    return ~inside, drawn_as


def _count(clusters: Numbers, is_shown: NDArray[np.bool_]) -> int:
    of = clusters[is_shown]
    return int(np.count_nonzero(of < 0)) + len(np.unique(of[of >= 0]))


def _numbered(
    clusters: Numbers, headings: Mapping[int, str], is_shown: NDArray[np.bool_]
) -> tuple[Numbers, dict[int, str]]:
    """Boxes numbered in the order of their first nodes."""
    n = len(clusters)
    keys = np.where(clusters >= 0, clusters + n, np.arange(n))[is_shown]
    unique, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    boxes = np.full(n, -1, np.int64)
    boxes[is_shown] = rank[inverse]
    return boxes, {int(rank[k]): headings[int(u) - n] for k, u in enumerate(unique.tolist()) if u >= n}


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
            frame_list.append(Frame(_cut(last), _printable(path), around))
        return frames[path]

    has_box = np.flatnonzero(boxes_of >= 0)
    order = has_box[np.argsort(boxes_of[has_box], kind="stable")]
    members = np.split(order, np.flatnonzero(np.diff(boxes_of[order])) + 1) if len(order) else []
    writer = _Labels(tape, folding.drawn_as, values, adjoints)
    homes = dict(zip(tape.inputs.tolist(), _homes_of_inputs(tape), strict=True))
    groups = all_groups(tape)
    boxes = []
    for number, nodes in enumerate(members):
        if number in folding.headings:
            heading = folding.headings[number]
            group = heading if heading in groups else ""
            boxes.append(writer.folded(nodes, heading, group, frame_of(group.rpartition("/")[0])))
        else:
            node = int(nodes[0])
            home = tape.group_of(node) if tape.opcodes[node] < INPUT else homes.get(node, "")
            boxes.append(writer.single(node, frame_of(home)))
    sources, targets = boxes_of[folding.drawn_as[tape.operands]], np.repeat(boxes_of, tape.operand_counts)
    pairs = np.unique(np.stack([targets, sources], 1)[(sources != targets) & (sources >= 0) & (targets >= 0)], axis=0)
    edges = [Edge(source, target) for target, source in pairs.tolist()]
    _copy_what_many_use(boxes, edges, folding.room)
    n_folded = len(folding.headings)
    description = (
        f"{repr(tape)[6:-1]}; {len(boxes)} boxes{f', {n_folded} of them folded' if n_folded else ''}. "
        f"Arrows point the way of {'adjoints, to operands' if is_reverse else 'values, to results'}."
    )
    return Picture(title, description, tuple(boxes), tuple(frame_list), tuple(edges), is_reverse)


def _copy_what_many_use(boxes: list[Box], edges: list[Edge], room: int) -> None:
    """A copy of each input and constant with many users beside all users but the first, while there is room."""
    uses: dict[int, list[int]] = {}
    for position, edge in enumerate(edges):
        if boxes[edge.source].kind in ("input", "parameter", "constant"):
            uses.setdefault(edge.source, []).append(position)
    for number, positions in sorted(uses.items(), key=lambda item: -len(item[1])):
        if not MAX_USERS < len(positions) <= room + 1:
            continue
        room -= len(positions) - 1
        box = boxes[number]
        for position in positions[1:]:
            target = edges[position].target
            title = f"copy of {box.title}"
            copy = replace(
                box, notes=(f"{box.kind} \u00b7 copy",), title=title, frame=boxes[target].frame, copy_of=number
            )
            edges[position] = Edge(len(boxes), target)
            boxes.append(copy)


class _Labels:
    def __init__(self, tape: Tape, drawn_as: Numbers, values: Mapping[int, Any], adjoints: Mapping[int, Any]) -> None:
        self.tape, self.drawn_as, self.values, self.adjoints = tape, drawn_as, values, adjoints
        self.names = tape._names_of_nodes
        self.outputs = set(tape.outputs.tolist())

    def single(self, node: int, frame: int) -> Box:
        tape, opcode = self.tape, int(self.tape.opcodes[node])
        shape = shape_text(tape.shape_of(node))
        name = self.names.get(node, "")
        # the frame around the box shows the path
        shown_name = _PATHS.sub("", name)
        what = "input" if opcode == INPUT else "constant" if opcode == CONSTANT else "operation"
        if opcode == INPUT:
            what = "parameter" if is_parameter_name(name) else what
            label = (shown_name if frame >= 0 else name) or f"%{node}"
        elif opcode == CONSTANT:
            constant = tape.constant_of(node)
            label = name or (constant_text(constant) if constant.size <= 3 else f"constant {shape}")
        else:
            numbers = self.drawn_as[tape.operands_of(node)].tolist()
            operands = [self._operand(operand) for operand in numbers]
            # a name that stands for two operands would tell nothing
            nodes_of = Counter(text for _, text in set(zip(numbers, operands, strict=True)))
            operands = [text if nodes_of[text] == 1 else None for text in operands]
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
        return Box(kind, _cut(label), tuple(map(_cut, filter(None, notes))), _lines(full), frame)

    def _operand(self, node: int) -> str | None:
        if self.tape.opcodes[node] == CONSTANT and is_number(self.tape.constant_of(node)):
            return constant_text(self.tape.constant_of(node))
        name = _PATHS.sub("", self.names.get(node, ""))
        return name if 0 < len(name) <= 16 else None

    def folded(self, nodes: Numbers, heading: str, group: str, frame: int) -> Box:
        tape = self.tape
        codes = tape.opcodes[nodes]
        counts = Counter(codes[codes < INPUT].tolist())
        n_operations = sum(counts.values())
        notes = [
            f"folded \u00b7 {n_operations:,} operations" if n_operations else f"folded \u00b7 {len(nodes):,} nodes"
        ]
        if counts:
            most = counts.most_common(3)
            parts = ", ".join(f"{count:,} {operation_of(code).name}" for code, count in most)
            notes.append(parts + (" ..." if len(counts) > len(most) else ""))
        parameters = nodes[codes == INPUT]
        if len(parameters) and n_operations:
            n_numbers = sum(math.prod(tape.shape_of(int(node))) for node in parameters)
            notes.append(f"{len(parameters):,} parameters \u00b7 {n_numbers:,} numbers")
        ends = [node for node in nodes.tolist() if node in self.outputs]
        for node in ends[:3]:
            name = _PATHS.sub("", self.names.get(node, f"%{node}"))
            name = name if name.startswith("output") else f"output {name}"
            notes.append(" ".join(filter(None, (name, shape_text(tape.shape_of(node))))))
        title = _lines([heading, *notes, f"nodes %{nodes[0]} to %{nodes[-1]}"])
        label = group.rpartition("/")[2] or heading
        return Box("folded", _cut(label), tuple(map(_cut, notes)), title, frame, _printable(group))


def _lines(texts: Iterable[str]) -> str:
    return "\n".join(map(_printable, texts))


def _printable(text: str) -> str:
    """The text in one line, without letters that no file format takes."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _cut(text: str) -> str:
    """The text in one line, its middle left out where it is long."""
    line = _printable(text)
    return line if len(line) <= MAX_LABEL else f"{line[: MAX_LABEL - 13]}…{line[-12:]}"
