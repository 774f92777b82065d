"""One tape changed into another: what the methods of ``Tape`` do."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.edit.assembly import Assembly, End, described
from fastgrad.edit.compose import compose, ends, output_ends, recorded_at
from fastgrad.edit.places import group_at, input_position, node_of, place_of
from fastgrad.errors import InputError
from fastgrad.reachability import dependent_on, needed_for
from fastgrad.tape import CONSTANT, INPUT, Node, Shape, Tape, distinct, is_number
from fastgrad.tape_names import input_names, is_inside, output_names

__all__ = [
    "bypass",
    "constants_to_inputs",
    "cut",
    "graft",
    "insert_after",
    "insert_before",
    "regroup",
    "rename",
    "replace_node",
    "select",
    "share",
    "tap",
    "untie",
]

What = Tape | Callable[..., Any]
Where = int | str | Node


class _Edit:
    """An assembly of one tape and of what is put into it."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.assembly = Assembly()
        self.numbers = self.assembly.include(tape)
        self.inputs = ends(tape, self.numbers)
        self.outputs = output_ends(tape, self.numbers)

    def put_in(self, what: What, operands: Sequence[int], key: int, inputs: Mapping[str, Any] | None) -> int:
        """Include ``what`` on these nodes of the tape, at a place in its order; the node of its result."""
        shapes = [self.tape.shape_of(node) for node in operands]
        part = what if isinstance(what, Tape) else recorded_at(what, shapes, inputs)
        _check_part(part, shapes, [described(self.tape, node) for node in operands])
        numbers = self.assembly.include(part, dict(enumerate(operands)), key=key, default_group=self.tape.group_of(key))
        self.inputs += ends(part, numbers)[len(operands) :]
        return int(numbers[part.outputs[0]])

    def redirect_outputs(self, old: int, new: int) -> None:
        self.outputs = [End(new, end.name) if end.node == old else end for end in self.outputs]

    def build(self, optional: Container[int] = ()) -> Tape:
        """The tape, without those of the optional inputs that nothing needs any more."""
        return self.assembly.build(self.inputs, self.outputs, optional)


def _check_part(part: Tape, shapes: Sequence[Shape], operands: Sequence[str]) -> None:
    if len(part.outputs) != 1:
        raise InputError(
            f"what is put in must have one output; this has {len(part.outputs)}. Take one with select(...)."
        )
    if len(part.inputs) < len(shapes):
        raise InputError(
            f"what is put in has {len(part.inputs)} inputs for {len(shapes)} values: {' and '.join(operands)}."
        )
    for name, taken, given, operand in zip(input_names(part), part.input_shapes, shapes, operands, strict=False):
        if taken != given:
            raise InputError(f"{operand} has shape {given}; input {name!r} of what is put in takes shape {taken}.")


def insert_after(tape: Tape, place: Where, what: What, inputs: Mapping[str, Any] | None = None) -> Tape:
    """See :meth:`fastgrad.Tape.insert_after`."""
    node = node_of(tape, place)
    edit = _Edit(tape)
    new = edit.put_in(what, [node], node, inputs)
    edit.assembly.redirect(node, new, before=len(tape))
    edit.assembly.move_guards(node, new)
    edit.redirect_outputs(node, new)
    return edit.build()


def insert_before(
    tape: Tape, place: Where, what: What, operand: int | None = None, inputs: Mapping[str, Any] | None = None
) -> Tape:
    """See :meth:`fastgrad.Tape.insert_before`."""
    found = place_of(tape, place)
    operands = found.operands
    if operand is None and len(set(operands)) != 1:
        listed = ", ".join(f"{k}: {described(tape, node)}" for k, node in enumerate(operands))
        raise InputError(
            f"{place!r} works on {len(operands)} values ({listed}). Say with operand= before which of them."
        )
    position = 0 if operand is None else operand
    if not 0 <= position < len(operands):
        raise InputError(f"{place!r} works on {len(operands)} values; there is no operand {position}.")
    edit = _Edit(tape)
    new = edit.put_in(what, [operands[position]], operands[position], inputs)
    if operand is not None and operands == tuple(tape.operands_of(found.result).tolist()):
        edit.assembly.redirect_use(found.result, position, new)
    else:
        edit.assembly.redirect(operands[position], new, only=found.nodes)
    return edit.build()


def replace_node(tape: Tape, place: Where, what: What, inputs: Mapping[str, Any] | None = None) -> Tape:
    """See :meth:`fastgrad.Tape.replace_node`."""
    found = place_of(tape, place)
    if not found.operands:
        raise InputError(
            f"{described(tape, found.result)} works on nothing that could be given to what replaces it. Use freeze "
            "for an input, constants_to_inputs for a constant."
        )
    edit = _Edit(tape)
    new = edit.put_in(what, found.operands, found.result, inputs)
    return _taken_over(edit, found.result, new, found.nodes)


def bypass(tape: Tape, place: Where, operand: int | None = None) -> Tape:
    """See :meth:`fastgrad.Tape.bypass`."""
    found = place_of(tape, place)
    shape = tape.shape_of(found.result)
    if operand is not None:
        if not 0 <= operand < len(found.operands):
            raise InputError(f"{place!r} works on {len(found.operands)} values; there is no operand {operand}.")
        candidates = [found.operands[operand]]
    else:
        candidates = list(dict.fromkeys(found.operands))
    fitting = [node for node in candidates if tape.shape_of(node) == shape]
    if len(fitting) != 1:
        of = " and ".join(f"{described(tape, node)} of shape {tape.shape_of(node)}" for node in candidates) or "nothing"
        problem = "several of these could take its place" if fitting else "none of these has that shape"
        raise InputError(
            f"{place!r} cannot be left out: its result has shape {shape}, it works on {of}, and {problem}. Say with "
            "operand= which it is, or replace it."
        )
    return _taken_over(_Edit(tape), found.result, fitting[0], found.nodes)


def _taken_over(edit: _Edit, old: int, new: int, nodes: Sequence[int]) -> Tape:
    """The tape in which everything that was of ``old`` is of ``new``; inputs that only ``nodes`` used go."""
    tape = edit.tape
    edit.assembly.redirect(old, new, before=len(tape))
    edit.redirect_outputs(old, new)
    if new >= len(tape):
        edit.assembly.move_names_and_guards(old, new)
    if len(nodes) > 1:  # decisions that were taken inside a group go with it
        gone = set(nodes) - {old}
        edit.assembly.keep_guards(lambda guards: np.array([node not in gone for node in guards.tolist()], bool))
    return edit.build(_parameters(tape, nodes))


def _parameters(tape: Tape, nodes: Sequence[int]) -> set[int]:
    """The inputs that no others than these nodes use."""
    used = [node for member in nodes for node in tape.operands_of(member).tolist()]
    inputs = Counter(node for node in used if tape.opcodes[node] == INPUT)
    if not inputs:
        return set()
    uses = np.bincount(tape.operands, minlength=len(tape))
    return {node for node, count in inputs.items() if uses[node] == count}


def cut(tape: Tape, places: Sequence[Where]) -> tuple[Tape, Tape]:
    """See :meth:`fastgrad.Tape.cut`."""
    nodes = list(dict.fromkeys(node_of(tape, place) for place in places))
    if not nodes:
        raise InputError("say where the tape is cut: by the names or numbers of nodes.")
    names = _cut_names(tape, nodes)
    behind = _behind(tape, nodes)
    _refuse_other_ways(tape, nodes, behind)
    back = _Edit(tape)
    new = [End(back.assembly.add_input(tape.shape_of(node)), name) for node, name in zip(nodes, names, strict=True)]
    for node, end in zip(nodes, new, strict=True):
        back.assembly.redirect(node, end.node)
        back.redirect_outputs(node, end.node)
    back.assembly.drop_names(set(nodes))
    back.assembly.keep_guards(lambda guards: behind[guards])
    back.inputs = new + back.inputs
    return _front(tape, nodes, names, behind), back.build(set(tape.inputs.tolist()))


def _cut_names(tape: Tape, nodes: Sequence[int]) -> list[str]:
    """Names of the ends at these nodes; the inputs behind the cut keep theirs."""
    taken = input_names(tape)
    inner = [node for node in nodes if tape.opcodes[node] != INPUT]
    names = dict(zip(tape.inputs.tolist(), taken, strict=True))
    names |= zip(inner, distinct((*taken, *(_name_at(tape, node) for node in inner)))[len(taken) :], strict=True)
    return [names[node] for node in nodes]


def _front(tape: Tape, nodes: Sequence[int], names: Sequence[str], behind: NDArray[np.bool_]) -> Tape:
    """The tape up to these nodes, which are its outputs; ``behind`` are those that depend on them."""
    edit = _Edit(tape)
    edit.outputs = [End(node, name) for node, name in zip(nodes, names, strict=True)]
    edit.assembly.keep_guards(lambda guards: ~behind[guards])
    return edit.build(set(tape.inputs.tolist()))


def _behind(tape: Tape, nodes: Sequence[int]) -> NDArray[np.bool_]:
    """Which nodes depend on these, themselves left out."""
    behind = dependent_on(nodes, tape.operand_starts, tape.operands)
    behind[nodes] = False
    return behind


def _refuse_other_ways(tape: Tape, nodes: Sequence[int], behind: NDArray[np.bool_]) -> None:
    """Raise where something computed before the cut is used behind it."""
    starts, operands = tape.operand_starts, tape.operands
    guards = tape.guard_nodes[behind[tape.guard_nodes]]
    crosses = needed_for([nodes], starts, operands)
    crosses &= needed_for([tape.outputs, guards], starts, operands, given=nodes) & (tape.opcodes < INPUT)
    crosses[nodes] = False
    if crosses.any():
        crosses &= dependent_on(tape.inputs, starts, operands)  # what is made of constants may be on both sides
    for node in np.flatnonzero(crosses)[:1].tolist():
        raise InputError(
            f"the tape cannot be cut there: {described(tape, node)} is used on both sides. Cut at it, too: "
            f"cut(..., {tape.node(node).name or node!r})."
        )


def _name_at(tape: Tape, node: int) -> str:
    return tape.node(node).name or f"node{node}"


def graft(tape: Tape, place: Where, what: What, inputs: Mapping[str, Any] | None = None) -> Tape:
    """See :meth:`fastgrad.Tape.graft`."""
    node = node_of(tape, place)
    part = what if isinstance(what, Tape) else recorded_at(what, [tape.shape_of(node)], inputs)
    if not part.inputs.size:
        raise InputError("what is grafted takes no input: it needs one for the value at the place.")
    name = _name_at(tape, node)
    return compose(part, _front(tape, [node], [name], _behind(tape, [node])), {input_names(part)[0]: name})


def share(tape: Tape, kept: str, *others: str) -> Tape:
    """See :meth:`fastgrad.Tape.share`."""
    position = input_position(tape, kept)
    edit = _Edit(tape)
    target = int(tape.inputs[position])
    for name in others:
        other = input_position(tape, name)
        if other == position:
            raise InputError(f"{name!r} is the input that is kept; give others to share it with.")
        if tape.input_shapes[other] != tape.input_shapes[position]:
            raise InputError(
                f"{kept!r} has shape {tape.input_shapes[position]} and {name!r} has {tape.input_shapes[other]}: inputs "
                "must be of one shape to be shared."
            )
        old = int(tape.inputs[other])
        edit.assembly.redirect(old, target)
        edit.redirect_outputs(old, target)
        edit.assembly.move_names_and_guards(old, target)
        edit.inputs = [end for end in edit.inputs if end.node != old]
    return edit.build()


def untie(tape: Tape, name: str) -> Tape:
    """See :meth:`fastgrad.Tape.untie`."""
    position = input_position(tape, name)
    node = int(tape.inputs[position])
    users = list(dict.fromkeys(tape.users_of(node).tolist()))
    if len(users) < 2:
        raise InputError(f"input {name!r} has {len(users)} use{'s' * (len(users) != 1)}; there is nothing to untie.")
    edit = _Edit(tape)
    new = [node, *(edit.assembly.add_input(tape.shape_of(node)) for _ in users[1:])]
    edit.assembly.redirect_each_user(node, new)
    base, names = edit.inputs[position].name, {end.name for end in edit.inputs}
    free = (other for number in itertools.count(2) if (other := f"{base}_{number}") not in names)
    edit.inputs[position : position + 1] = [End(new[0], base), *map(End, new[1:], free)]
    return edit.build()


def constants_to_inputs(tape: Tape, names: Sequence[Where]) -> Tape:
    """See :meth:`fastgrad.Tape.constants_to_inputs`."""
    if names:
        nodes = list(dict.fromkeys(tape.number_of(name) for name in names))
    else:
        constants = np.flatnonzero(tape.opcodes == CONSTANT).tolist()
        nodes = [node for node in constants if not is_number(tape.constant_of(node))]
    edit = _Edit(tape)
    for node in nodes:
        if tape.opcodes[node] != CONSTANT:
            raise InputError(f"{described(tape, node)} is not a constant.")
    new = [edit.assembly.add_input(tape.shape_of(node)) for node in nodes]
    edit.inputs += [End(k, tape.node(node).name or f"constant{node}") for k, node in zip(new, nodes, strict=True)]
    edit.assembly.drop_names(set(nodes))
    now = edit.assembly.replace_all(np.array(nodes, np.int64), np.array(new, np.int64))
    edit.outputs = [End(int(now[end.node]), end.name) for end in edit.outputs]
    return edit.build()


def tap(tape: Tape, places: Sequence[Where], name: str | None = None) -> Tape:
    """See :meth:`fastgrad.Tape.tap`."""
    if name is not None and len(places) != 1:
        raise InputError("a name can be given to one extra output at a time.")
    nodes = [node_of(tape, place) for place in places]
    new = [name or _name_at(tape, node) for node in nodes]
    names = (*output_names(tape), *new)
    taken = [extra for k, extra in enumerate(names) if extra in names[:k]]
    if taken:
        raise InputError(f"the tape has an output {taken[0]!r} already. Give another name with name=.")
    return replace(tape, outputs=np.append(tape.outputs, nodes).astype(np.uint32), output_names=names)


def select(tape: Tape, outputs: Sequence[int | str]) -> Tape:
    """See :meth:`fastgrad.Tape.select`."""
    names = list(output_names(tape))
    positions = []
    for output in outputs:
        if isinstance(output, str) and output not in names:
            raise InputError(f"the tape has no output {output!r}; it has {', '.join(map(repr, names))}.")
        position = names.index(output) if isinstance(output, str) else output
        if not 0 <= position < len(names):
            raise InputError(f"the tape has {len(names)} outputs; there is no output {position}.")
        positions.append(position)
    edit = _Edit(tape)
    edit.outputs = [edit.outputs[position] for position in positions]
    return edit.build()


def rename(tape: Tape, names: Mapping[str, str]) -> Tape:
    """See :meth:`fastgrad.Tape.rename`."""
    known = {*tape.input_names, *tape.node_names, *tape.output_names, *tape.groups}
    for old in names:
        if old not in known and not any(is_inside(path, old) for path in known):
            tape.number_of(old)  # raises, with the names that are near it
    for new in names.values():
        _check_path(new)

    def renamed(path: str) -> str:
        if path in names:
            return names[path]
        around = path.rpartition("/")[0]
        return f"{renamed(around)}/{path.rpartition('/')[2]}" if around else path

    def all_renamed(paths: tuple[str, ...], what: str) -> tuple[str, ...]:
        found = tuple(map(renamed, paths))
        twice = [name for name, count in Counter(found).items() if count > 1 and name]
        if twice:
            raise InputError(f"two of the tape's {what} would be {twice[0]!r}. Choose another name.")
        return found

    groups = tuple(map(renamed, tape.groups))
    distinct_groups = tuple(dict.fromkeys(groups))  # two groups may become one
    numbers = np.array([distinct_groups.index(group) for group in groups] + [-1], np.int32)
    return replace(
        tape,
        input_names=all_renamed(tape.input_names, "inputs"),
        node_names=all_renamed(tape.node_names, "nodes"),
        output_names=all_renamed(tape.output_names, "outputs"),
        groups=distinct_groups,
        group_indices=numbers[tape.group_indices],
    )


def _check_path(name: str) -> None:
    if not isinstance(name, str) or not name or not all(name.split("/")):
        raise InputError(f"a name must be text, parts of a path between slashes, not {name!r}.")


def regroup(tape: Tape, places: Sequence[Where], path: str) -> Tape:
    """See :meth:`fastgrad.Tape.regroup`."""
    if path:
        _check_path(path)
    groups = tape.groups if not path or path in tape.groups else (*tape.groups, path)
    indices = tape.group_indices.copy()
    for place in places:
        nodes = group_at(tape, place)
        indices[node_of(tape, place) if nodes is None else nodes] = groups.index(path) if path else -1
    return replace(tape, groups=groups, group_indices=indices)
