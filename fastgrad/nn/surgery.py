"""Networks changed: layers put in, replaced and taken out, weights shared, heads cut off and grafted.

All of it is one edit of the tape: whatever uses a node uses another value instead, which a further tape computes.
Parameters are kept by name, those that nothing uses any more are dropped, and new ones are initialised from a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fastgrad.errors import InputError
from fastgrad.nn.building import OUTPUT, recorded_layers
from fastgrad.nn.layers import opened
from fastgrad.tape import CONSTANT, INPUT, Tape, TapeBuilder

if TYPE_CHECKING:
    from fastgrad.nn.network import Network

__all__ = ["cut", "graft", "input_of", "insert_after", "remove", "rename", "replace_layer", "share"]

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class _Edit:
    """Uses of the node ``redirected`` take the value of ``source`` instead, or what ``part`` makes of it.

    ``part`` has the source as its first input; its others become inputs. The names ``moved`` go along with the uses.
    """

    redirected: int
    source: int
    part: Tape | None = None
    moved: frozenset[str] = frozenset()


def insert_after(network: Network, layer: str, new: Function, seed: int) -> Network:
    node = network.tape.number_of(f"{_known(network, layer)}/{OUTPUT}")
    return _with_part(network, node, node, new, seed, layer, _taken(network))


def replace_layer(network: Network, layer: str, new: Function, seed: int) -> Network:
    node = network.tape.number_of(f"{_known(network, layer)}/{OUTPUT}")
    # the name of what is replaced is free again
    taken = {path for path in _taken(network) if path != layer and not path.startswith(f"{layer}/")}
    return _with_part(network, node, input_of(network, layer), new, seed, layer, taken)


def graft(network: Network, head: Function, seed: int) -> Network:
    node = int(network.tape.outputs[0])
    return _with_part(network, node, node, opened(head), seed, "", _taken(network))


def remove(network: Network, layer: str) -> Network:
    tape = network.tape
    node, source = tape.number_of(f"{_known(network, layer)}/{OUTPUT}"), input_of(network, layer)
    if tape.shape_of(node) != tape.shape_of(source):
        raise InputError(
            f"layer {layer!r} cannot be removed: it makes shape {tape.shape_of(node)} of {tape.shape_of(source)}, and "
            "what follows needs the former. Replace it by a layer that does the same."
        )
    return network.with_tape(_edited(network, _Edit(node, source, None, _names_of_blocks(network, layer))))


def cut(network: Network, layer: str) -> Network:
    node = network.tape.number_of(f"{_known(network, layer)}/{OUTPUT}")
    return network.with_tape(_edited(network, None, node))


def share(network: Network, kept: str, other: str) -> Network:
    for name in (kept, other):
        if name not in network.parameters:
            raise InputError(f"the network has no parameter {name!r}; it has {', '.join(network.parameters)}.")
    shapes = network.parameters[kept].shape, network.parameters[other].shape
    if kept == other or shapes[0] != shapes[1]:
        raise InputError(
            f"{kept!r} and {other!r} cannot be one parameter: they have the shapes {shapes[0]} and {shapes[1]}. Give "
            "two parameters of one shape."
        )
    number_of = dict(zip(network.tape.input_names, network.tape.inputs.tolist(), strict=True))
    return network.with_tape(_edited(network, _Edit(number_of[other], number_of[kept])))


def rename(network: Network, layer: str, name: str) -> Network:
    if not isinstance(name, str) or not name or "/" in name:
        raise InputError(f"a layer's name must be text without slashes, not {name!r}.")
    block = _known(network, layer).rpartition("/")[0]
    path = f"{block}/{name}" if block else name
    if path in _taken(network):
        raise InputError(f"the network has a layer {path!r} already. Give this one another name.")

    def renamed(old: str) -> str:
        return path + old[len(layer) :] if old == layer or old.startswith(f"{layer}/") else old

    tape = replace(
        network.tape,
        groups=tuple(map(renamed, network.tape.groups)),
        node_names=tuple(map(renamed, network.tape.node_names)),
        input_names=tuple(map(renamed, network.tape.input_names)),
        output_names=tuple(map(renamed, network.tape.output_names)),
    )
    return replace(
        network,
        tape=tape,
        parameters={renamed(old): value for old, value in network.parameters.items()},
        frozen=frozenset(map(renamed, network.frozen)),
        dropout={renamed(old): rate for old, rate in network.dropout.items()},
    )


def input_of(network: Network, layer: str) -> int:
    """The node that a layer works on. Raises InputError where it is not one."""
    tape = network.tape
    inside = [group == layer or group.startswith(f"{layer}/") for group in (*tape.groups, "")]
    within = [inside[group] for group in tape.group_indices.tolist()]
    own = set(network.parameters) | set(network.dropout)
    not_data = {node for node, name in zip(tape.inputs.tolist(), tape.input_names, strict=True) if name in own}
    sources = {
        operand
        for node in range(len(tape))
        if within[node]
        for operand in tape.operands_of(node).tolist()
        if not within[operand] and operand not in not_data and tape.opcodes[operand] != CONSTANT
    }
    if len(sources) != 1:
        raise InputError(
            f"layer {layer!r} works on {len(sources)} values instead of one, as a layer does that is called several "
            "times. Edit the network's tape itself, and take it over by with_tape."
        )
    return int(sources.pop())


def _known(network: Network, layer: str) -> str:
    if layer not in network.layers:
        raise InputError(f"the network has no layer {layer!r}; it has {', '.join(network.layers)}.")
    return layer


def _taken(network: Network) -> set[str]:
    """Paths that new layers keep clear of."""
    return set(network.layers) | set(network.tape.groups)


def _names_of_blocks(network: Network, layer: str) -> frozenset[str]:
    """The names that say that a layer's result is also that of the blocks that it is the last part of."""
    node = network.tape.number_of(f"{layer}/{OUTPUT}")
    names = zip(network.tape.node_names, network.tape.named_nodes.tolist(), strict=True)
    return frozenset(
        name for name, of in names if of == node and layer.startswith(f"{name.rpartition('/')[0]}/") and "/" in name
    )


def _with_part(
    network: Network, node: int, source: int, new: Function, seed: int, layer: str, taken: set[str]
) -> Network:
    """The network with what ``new`` makes of ``source`` in the place of a node, in the same block as a layer."""
    tape = network.tape
    block = layer.rpartition("/")[0]
    part, building = recorded_layers(new, tape.shape_of(source), seed, taken, block)
    if len(tape.users_of(node)) and part.output_shapes[0] != tape.shape_of(node):
        raise InputError(
            f"what follows layer {layer!r} needs shape {tape.shape_of(node)}; the new layer makes "
            f"{part.output_shapes[0]} of {tape.shape_of(source)}."
        )
    moved = _names_of_blocks(network, layer) if layer else frozenset[str]()
    edited = _edited(network, _Edit(node, source, part, moved))
    return network.with_tape(edited, building.parameters, building.dropout)


def _edited(network: Network, edit: _Edit | None, output: int | None = None) -> Tape:
    """The network's tape after an edit, with another output if given, without what is then not needed."""
    tape = network.tape
    output = int(tape.outputs[0]) if output is None else output
    example = int(tape.inputs[tape.input_names.index(network.input_name)])
    needed = _needed(tape, edit, output)
    parts = [tape] if edit is None or edit.part is None else [tape, edit.part]
    builder = TapeBuilder(sources=tuple(source for part in parts for source in part.sources))
    new: dict[int, int] = {example: builder.append_input(tape.shape_of(example), network.input_name)}
    replacement: int | None = None

    def value_of(node: int) -> int:
        """The number of what is used in the place of a node."""
        nonlocal replacement
        if edit is None or node != edit.redirected:
            return plain(node)
        if replacement is None:
            replacement = plain(edit.source)
            if edit.part is not None:
                replacement = _append_part(builder, edit.part, replacement, len(tape.sources))
        return replacement

    def plain(node: int) -> int:
        if node not in new:  # inputs are added where they are first used
            new[node] = _append_input(builder, tape, node)
        return new[node]

    for node in needed:
        if tape.opcodes[node] != INPUT:
            new[node] = _append_node(builder, tape, node, list(map(value_of, tape.operands_of(node).tolist())))
    result = value_of(output)
    for name, node in zip(tape.node_names, tape.named_nodes.tolist(), strict=True):
        if edit is not None and name in edit.moved and replacement is not None:
            builder.named[name] = replacement
        elif node in new:
            builder.named[name] = new[node]
    for node, value, source in zip(
        tape.guard_nodes.tolist(), tape.guard_values.tolist(), tape.guard_sources.tolist(), strict=True
    ):
        builder.guards.append((value_of(node), value, source))
    return builder.build([result])


def _needed(tape: Tape, edit: _Edit | None, output: int) -> list[int]:
    """The nodes that the output and the guards need after the edit, in order."""
    needed = [False] * len(tape)

    def use(node: int) -> None:
        needed[edit.source if edit is not None and node == edit.redirected else node] = True

    for node in (output, *tape.guard_nodes.tolist()):
        use(node)
    for node in range(len(tape) - 1, -1, -1):
        if needed[node]:
            for operand in tape.operands_of(node).tolist():
                use(operand)
    return [node for node in range(len(tape)) if needed[node]]


def _append_input(builder: TapeBuilder, tape: Tape, node: int) -> int:
    position = tape.inputs.tolist().index(node)
    new = builder.append_input(tape.shape_of(node), tape.input_names[position])
    builder.group_indices[new] = builder.group_number(tape.group_of(node))
    return new


def _append_node(builder: TapeBuilder, tape: Tape, node: int, operands: Sequence[int], first_source: int = 0) -> int:
    source = int(tape.source_indices[node])
    source, group = source + first_source if source >= 0 else -1, builder.group_number(tape.group_of(node))
    if tape.opcodes[node] == CONSTANT:
        return builder.append_constant(tape.constant_of(node), source, group)
    return builder.append(
        int(tape.opcodes[node]), operands, tape.shape_of(node), tape.attribute_of(node), source, group
    )


def _append_part(builder: TapeBuilder, part: Tape, source: int, first_source: int) -> int:
    """The nodes of a tape, whose first input is the node ``source``; the number of its output."""
    new: Mapping[int, int] = (numbers := {int(part.inputs[0]): source})
    for node in range(len(part)):
        if part.opcodes[node] != INPUT:
            operands = [new[operand] for operand in part.operands_of(node).tolist()]
            numbers[node] = _append_node(builder, part, node, operands, first_source)
        elif node not in new:
            numbers[node] = _append_input(builder, part, node)
    for name, node in zip(part.node_names, part.named_nodes.tolist(), strict=True):
        builder.named.setdefault(name, new[node])
    for node, value, at in zip(
        part.guard_nodes.tolist(), part.guard_values.tolist(), part.guard_sources.tolist(), strict=True
    ):
        builder.guards.append((new[node], value, at + first_source if at >= 0 else -1))
    return new[int(part.outputs[0])]
