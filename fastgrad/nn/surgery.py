"""Networks changed: layers put in, replaced and taken out, weights shared, heads cut off and grafted.

All of it is one edit of the tape: whatever uses a node uses another value instead, which a further tape computes.
Parameters are kept by name, those that nothing uses any more are dropped, and new ones are initialised from a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgrad.edit.assembly import Assembly, End
from fastgrad.errors import InputError
from fastgrad.nn.building import OUTPUT, recorded_layers
from fastgrad.nn.layers import opened
from fastgrad.tape import CONSTANT, Tape
from fastgrad.tape_names import is_inside, is_within, nodes_of_group, require_part
from fastgrad.transform.symbolic import without_dead_nodes

if TYPE_CHECKING:
    from fastgrad.nn.network import Network

__all__ = ["cut", "graft", "input_of", "insert_after", "remove", "rename", "replace_layer", "result_of", "share"]

Function = Callable[[Any], Any]


def insert_after(network: Network, layer: str, new: Function, seed: int) -> Network:
    """See :meth:`fastgrad.nn.Network.insert_after`."""
    node = result_of(network, layer)
    return _with_part(network, node, node, new, seed, layer, frozenset())


def replace_layer(network: Network, layer: str, new: Function, seed: int) -> Network:
    """See :meth:`fastgrad.nn.Network.replace`."""
    node = result_of(network, layer)
    return _with_part(network, node, input_of(network, layer), new, seed, layer, _released(network, layer))


def graft(network: Network, head: Function, seed: int) -> Network:
    """See :meth:`fastgrad.nn.Network.graft`."""
    node = int(network.tape.outputs[0])
    return _with_part(network, node, node, opened(head), seed, "", frozenset())


def remove(network: Network, layer: str) -> Network:
    """See :meth:`fastgrad.nn.Network.remove`."""
    tape = network.tape
    node, source = result_of(network, layer), input_of(network, layer)
    if tape.shape_of(node) != tape.shape_of(source):
        raise InputError(
            f"layer {layer!r} cannot be removed: it makes shape {tape.shape_of(node)} of {tape.shape_of(source)}, and "
            "what follows needs the former. Replace it by a layer that does the same."
        )
    return network.with_tape(_redirected(network, node, source, moved=_names_of_blocks(network, layer)))


def cut(network: Network, layer: str) -> Network:
    """See :meth:`fastgrad.nn.Network.cut`."""
    node = result_of(network, layer)
    tape = replace(network.tape, outputs=np.array([node], np.uint32), output_names=())
    return network.with_tape(_without_unused_inputs(network, tape))


def share(network: Network, kept: str, other: str) -> Network:
    """See :meth:`fastgrad.nn.Network.share`."""
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
    return network.with_tape(_redirected(network, number_of[other], number_of[kept]))


def rename(network: Network, layer: str, name: str) -> Network:
    """See :meth:`fastgrad.nn.Network.rename`."""
    require_part(name, "layer's name")
    block = _known(network, layer).rpartition("/")[0]
    path = f"{block}/{name}" if block else name
    if path in _taken(network):
        raise InputError(f"the network has a layer {path!r} already. Give this one another name.")

    def renamed(old: str) -> str:
        return path + old[len(layer) :] if is_within(old, layer) else old

    return replace(
        network,
        tape=network.tape.rename({layer: path}),
        parameters={renamed(old): value for old, value in network.parameters.items()},
        frozen=frozenset(map(renamed, network.frozen)),
        dropout={renamed(old): rate for old, rate in network.dropout.items()},
    )


def input_of(network: Network, layer: str) -> int:
    """The node that a layer works on. Raises InputError where it is not one."""
    tape = network.tape
    within = nodes_of_group(tape, layer)
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


def result_of(network: Network, layer: str) -> int:
    """The node of a layer's result. Raises InputError for an unknown layer, and for one that has several."""
    name = f"{_known(network, layer)}/{OUTPUT}"
    named = dict(zip(network.tape.node_names, network.tape.named_nodes.tolist(), strict=True))
    if name not in named or f"{name}_2" in named:
        raise InputError(
            f"layer {layer!r} has several results instead of one, as a layer does that is called several times. Edit "
            "the network's tape itself, and take it over by with_tape."
        )
    return int(named[name])


def _known(network: Network, layer: str) -> str:
    if layer not in network.layers:
        raise InputError(f"the network has no layer {layer!r}; it has {', '.join(network.layers)}.")
    return layer


def _taken(network: Network) -> set[str]:
    """Paths that new layers keep clear of."""
    used = set(network.tape.group_indices.tolist()) - {-1}
    return set(network.layers) | {network.tape.groups[group] for group in used}


def _released(network: Network, layer: str) -> frozenset[str]:
    """The paths of a layer and those in it, which are free when it is replaced; none if others use its parameters."""
    tape, within = network.tape, nodes_of_group(network.tape, layer)
    own = {name for name in network.parameters if is_inside(name, layer)}
    users = [user for name in own for user in tape.users_of(name).tolist()]
    if not all(within[user] for user in users):
        return frozenset()
    return frozenset(path for path in _taken(network) if is_within(path, layer))


def _names_of_blocks(network: Network, layer: str) -> frozenset[str]:
    """The names that say that a layer's result is also that of the blocks that it is the last part of."""
    node = result_of(network, layer)
    names = zip(network.tape.node_names, network.tape.named_nodes.tolist(), strict=True)
    return frozenset(
        name for name, of in names if of == node and is_inside(layer, name.rpartition("/")[0]) and "/" in name
    )


def _with_part(
    network: Network, node: int, source: int, new: Function, seed: int, layer: str, released: frozenset[str]
) -> Network:
    """The network with what ``new`` makes of ``source`` in the place of a node, in the same block as a layer.

    Names of layers that are ``released`` may be given anew.
    """
    tape = network.tape
    block = layer.rpartition("/")[0]
    part, building = recorded_layers(new, tape.shape_of(source), seed, _taken(network) - released, block)
    if len(tape.users_of(node)) and part.output_shapes[0] != tape.shape_of(node):
        raise InputError(
            f"what follows layer {layer!r} needs shape {tape.shape_of(node)}; the new layer makes "
            f"{part.output_shapes[0]} of {tape.shape_of(source)}."
        )
    moved = _names_of_blocks(network, layer) if layer else frozenset[str]()
    edited = _redirected(network, node, source, part, moved, released)
    return network.with_tape(edited, building.parameters, building.dropout)


def _redirected(
    network: Network,
    node: int,
    source: int,
    part: Tape | None = None,
    moved: frozenset[str] = frozenset(),
    released: frozenset[str] = frozenset(),
) -> Tape:
    """The network's tape where all uses of a node take another one instead, or what ``part`` makes of that.

    The names ``moved`` go along with the uses; those of the layers ``released`` are dropped.
    """
    tape, assembly = network.tape, Assembly()
    kept = {
        name: source if name in moved else at
        for name, at in zip(tape.node_names, tape.named_nodes.tolist(), strict=True)
        if name.rpartition("/")[0] not in released and (part is None or name not in moved)
    }
    numbers = assembly.include(_named(tape, kept))
    of_tape = zip(tape.inputs.tolist(), tape.input_names, strict=True)
    inputs = [End(int(numbers[at]), name) for at, name in of_tape if name.rpartition("/")[0] not in released]
    n, new, output = len(assembly), int(numbers[source]), int(tape.outputs[0])
    if part is not None:
        of_part = dict(zip(part.node_names, part.named_nodes.tolist(), strict=True))
        included = assembly.include(_named(part, of_part | dict.fromkeys(moved, int(part.outputs[0]))), {0: new})
        new = int(included[part.outputs[0]])
        added = zip(part.inputs.tolist()[1:], part.input_names[1:], strict=True)
        inputs += [End(int(included[at]), name) for at, name in added]
    assembly.redirect(int(numbers[node]), new, before=n)
    outputs = [End(new if output == node else int(numbers[output]), "")]
    return _without_unused_inputs(network, assembly.build(inputs, outputs))


def _named(tape: Tape, names: dict[str, int]) -> Tape:
    """The tape with these names of nodes."""
    return replace(tape, node_names=tuple(names), named_nodes=np.array(list(names.values()), np.uint32))


def _without_unused_inputs(network: Network, tape: Tape) -> Tape:
    """The tape without inputs that nothing needs, but the example."""
    tape = without_dead_nodes(tape)
    used = {*tape.operands.tolist(), *tape.outputs.tolist(), *tape.guard_nodes.tolist()}
    kept = [
        node in used or name == network.input_name
        for node, name in zip(tape.inputs.tolist(), tape.input_names, strict=True)
    ]
    names = tuple(compress(tape.input_names, kept))
    return without_dead_nodes(replace(tape, inputs=tape.inputs[np.array(kept, bool)], input_names=names))
