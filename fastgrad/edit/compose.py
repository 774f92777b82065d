"""Tapes joined: one after the other, side by side, with some inputs given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np

from fastgrad.api import record
from fastgrad.edit.assembly import Assembly, End, Indices
from fastgrad.edit.places import input_position
from fastgrad.errors import InputError
from fastgrad.tape import Shape, Tape
from fastgrad.tape_names import input_names, output_names, suggestion

__all__ = ["compose", "ends", "output_ends", "parallel", "partial", "recorded_at"]

Function = Tape | Callable[..., Any]


def compose(
    g: Function,
    f: Tape,
    wires: Mapping[str, str] | None = None,
    *,
    keep: Sequence[str] = (),
    share: Sequence[str] | bool = (),
    groups: tuple[str, str] = ("", ""),
) -> Tape:
    """The tape of g after f: outputs of f are inputs of g. ``f >> g`` is the same.

    ``wires`` says which, from the names of g's inputs to those of f's outputs. Without it names that f's outputs and
    g's inputs have in common are joined; if there are none, f's outputs go to g's first inputs in order. The result has
    the inputs of f and then those of g that are not joined, and the outputs of g, after those of f that ``keep`` names.
    Inputs that both have, and that ``share`` names (True: any), are one. ``groups`` puts each part, f first, under a
    group. g may be a plain function, which is recorded here.

    Nothing is computed twice, and the work is linear in the sizes of the parts. Raises InputError where an output of f
    would be lost, for unknown names, and for shapes that do not fit, naming both ends.

    >>> import fastgrad, numpy as np
    >>> f = fastgrad.record(lambda x: np.sin(x), 1.0)
    >>> g = fastgrad.record(lambda y: y * y, 1.0)
    >>> float(fastgrad.compose(g, f)(np.pi / 2))
    1.0
    """
    if not isinstance(f, Tape):
        raise InputError(
            f"compose needs a tape as its inner function, not {type(f).__name__}, since nothing tells its shapes: "
            "record it, fastgrad.record(f, *inputs)."
        )
    keep = [keep] if isinstance(keep, str) else keep
    if not isinstance(g, Tape):
        g = recorded_at(g, _shapes_for(g, f, wires))
    joined = _joined(g, f, wires)
    names = output_names(f)
    lost = [name for k, name in enumerate(names) if k not in joined.values() and name not in keep]
    if lost:
        raise InputError(
            f"nothing takes {_listed('output', lost)} of the inner tape. Join it with wires=, keep it as an output "
            "with keep=, or take outputs with f.select(...)."
        )
    assembly = Assembly()
    inner = assembly.include(f, group=groups[0])
    wired = {position: int(inner[f.outputs[output]]) for position, output in joined.items()}
    wired |= {to: int(inner[f.inputs[of]]) for to, of in _shared(g, f, share, joined).items()}
    outer = assembly.include(g, wired, group=groups[1])
    kept = [End(int(inner[f.outputs[_position(names, name, "output")]]), name) for name in keep]
    inputs = ends(f, inner, groups[0]) + [end for k, end in enumerate(ends(g, outer, groups[1])) if k not in wired]
    outputs = [End(int(node), name) for node, name in zip(outer[g.outputs], g.output_names or _blank(g), strict=True)]
    if kept and not g.output_names:
        outputs = [End(end.node, name) for end, name in zip(outputs, output_names(g), strict=True)]
    return assembly.build(inputs, kept + outputs)


def _joined(g: Tape, f: Tape, wires: Mapping[str, str] | None) -> dict[int, int]:
    """Which output of f, by position, each input of g takes."""
    takes, gives = list(input_names(g)), list(output_names(f))
    if wires is not None:
        joined = {_position(takes, to, "input"): _position(gives, of, "output") for to, of in wires.items()}
    else:
        common = [name for name in takes if name in gives] if f.output_names and g.input_names else []
        if common:
            joined = {takes.index(name): gives.index(name) for name in common}
        else:
            if len(gives) > len(takes):
                raise InputError(
                    f"the inner tape has {len(gives)} outputs and the outer one {len(takes)} inputs. Say with wires= "
                    "which of them are joined."
                )
            joined = {k: k for k in range(len(gives))}
    for to, of in joined.items():
        given, taken = f.output_shapes[of], g.input_shapes[to]
        if given != taken:
            raise InputError(
                f"output {gives[of]!r} of the inner tape has shape {given}; input {takes[to]!r} of the outer tape "
                f"takes shape {taken}. Record them for shapes that fit."
            )
    return joined


def _shapes_for(g: Callable[..., Any], f: Tape, wires: Mapping[str, str] | None) -> Sequence[Shape]:
    """The shapes that a plain function is recorded for: those of the outputs that its parameters take."""
    try:
        parameters = list(signature(g).parameters)
    except ValueError:  # some functions written in C do not tell
        return f.output_shapes
    of = wires if wires is not None else {name: name for name in parameters if name in f.output_names}
    if not of or set(of) != set(parameters):
        return f.output_shapes
    gives = output_names(f)
    return [f.output_shapes[_position(gives, of[name], "output")] for name in parameters]


def _shared(g: Tape, f: Tape, share: Sequence[str] | bool, joined: Mapping[int, int]) -> dict[int, int]:
    """Which input of f, by position, inputs of g are one with."""
    takes, others = list(input_names(g)), list(input_names(f))
    common = [name for k, name in enumerate(takes) if name in others and k not in joined]
    wanted = _names_in(share, common)
    missing = [name for name in wanted if name not in common]
    if missing:
        raise InputError(f"{_listed('input', missing)} cannot be shared: both tapes must have it, and nothing give it.")
    found = {takes.index(name): others.index(name) for name in wanted}
    for to, of in found.items():
        _require_one_shape(takes[to], f.input_shapes[of], g.input_shapes[to])
    return found


def _names_in(share: Sequence[str] | bool, every: Sequence[str]) -> Sequence[str]:
    """What ``share`` says: names, one name, or whether it is all of them."""
    if isinstance(share, str):
        return [share]
    return list(every if share else ()) if isinstance(share, bool) else list(share)


def _require_one_shape(name: str, one: Shape, other: Shape) -> None:
    if one != other:
        raise InputError(f"input {name!r} cannot be shared: it has shape {one} in one tape and {other} in another.")


def parallel(*tapes: Tape, share: Sequence[str] | bool = (), groups: Sequence[str] = ()) -> Tape:
    """The tapes side by side: all their inputs, all their outputs.

    Inputs whose names ``share`` holds (True: any) are one input for all tapes that have them; other names that occur
    again get a number. ``groups`` puts each tape under a group. So a function into three dimensions is three tapes over
    one input. Raises InputError for names that no two tapes have, and for shared inputs of different shapes.

    >>> import fastgrad, numpy as np
    >>> x, y = (fastgrad.record(f, 0.0) for f in (lambda t: np.cos(t), lambda t: np.sin(t)))
    >>> [float(value) for value in fastgrad.parallel(x, y, share=["t"])(0.0)]
    [1.0, 0.0]
    """
    if not tapes or (groups and len(groups) != len(tapes)):
        raise InputError(f"parallel takes one or more tapes and, if any, a group for each; not {len(tapes)} tapes.")
    names = [name for tape in tapes for name in tape.input_names]
    shared = set(_names_in(share, names))
    alone = [name for name in shared if names.count(name) < 2]
    if alone and share is not True:
        raise InputError(f"{_listed('input', alone)} cannot be shared: it must be an input of two tapes or more.")
    assembly = Assembly()
    inputs: list[End] = []
    outputs: list[End] = []
    first: dict[str, tuple[int, Shape]] = {}
    has_names = any(tape.output_names for tape in tapes)
    for tape, group in zip(tapes, groups or [""] * len(tapes), strict=True):
        wires: dict[int, int] = {}
        for position, name in enumerate(tape.input_names):
            if name in shared and name in first:
                node, shape = first[name]
                _require_one_shape(name, shape, tape.input_shapes[position])
                wires[position] = node
        numbers = assembly.include(tape, wires, group=group)
        for position, end in enumerate(ends(tape, numbers, group)):
            name = tape.input_names[position] if tape.input_names else ""
            if name in shared:
                if name not in first:
                    first[name] = end.node, tape.input_shapes[position]
                    inputs.append(End(end.node, name))
            else:
                inputs.append(end)
        given = output_names(tape) if has_names else _blank(tape)
        outputs += [
            End(int(node), f"{group}/{name}" if group and name else name)
            for node, name in zip(numbers[tape.outputs], given, strict=True)
        ]
    return assembly.build(inputs, outputs)


def partial(tape: Tape, **values: Any) -> Tape:
    """The tape with these inputs given: they become constants of it. Names that Python refuses go in as ``**{...}``.

    The arrays are copied; a constant keeps its input's name, by which ``tape.constants_to_inputs`` makes it an input
    again. Raises InputError for unknown names and for shapes that do not fit.

    >>> import fastgrad
    >>> tape = fastgrad.record(lambda x, y: x - y, 1.0, 2.0)
    >>> float(fastgrad.partial(tape, y=10.0)(1.0))
    -9.0
    """
    assembly = Assembly()
    wires: dict[int, int] = {}
    for name, value in values.items():
        position = input_position(tape, name)
        array = np.array(value)
        if array.dtype.kind not in "biuf":
            raise InputError(f"input {name!r} takes an array of numbers, not {value!r}.")
        array = array.astype(np.float64)
        if array.shape != tape.input_shapes[position]:
            raise InputError(
                f"input {name!r} has shape {tape.input_shapes[position]}; the value given for it has {array.shape}."
            )
        array.flags.writeable = False
        wires[position] = assembly.add_constant(array, name)
    numbers = assembly.include(tape, wires)
    inputs = [end for position, end in enumerate(ends(tape, numbers)) if position not in wires]
    return assembly.build(inputs, output_ends(tape, numbers))


def ends(tape: Tape, numbers: Indices, group: str = "") -> list[End]:
    """The inputs of an included tape as such of the new one."""
    prefix = f"{group}/" if group else ""
    return [
        End(int(numbers[node]), prefix + name)
        for node, name in zip(tape.inputs.tolist(), input_names(tape), strict=True)
    ]


def output_ends(tape: Tape, numbers: Indices) -> list[End]:
    """The outputs of an included tape as such of the new one."""
    names = tape.output_names or _blank(tape)
    return [End(int(numbers[node]), name) for node, name in zip(tape.outputs.tolist(), names, strict=True)]


def recorded_at(function: Callable[..., Any], shapes: Sequence[Shape], inputs: Mapping[str, Any] | None = None) -> Tape:
    """The tape of a plain function of arrays of these shapes, and of further ones by name.

    Raises InputError where the function takes decisions by the values, which are not known here.
    """
    if not callable(function):
        raise InputError(f"a tape or a function of arrays is needed, not {type(function).__name__}.")
    tape = record(function, *(np.ones(shape)[()] for shape in shapes), **(inputs or {}))
    if len(tape.guard_nodes):
        raise InputError(
            f"the function decides by its values at {tape.guard_source_of(0) or 'a line that is not known'}, which an "
            "edit does not know. Record it yourself where it goes the way that is meant, and give the tape."
        )
    return tape


def _blank(tape: Tape) -> list[str]:
    return [""] * len(tape.outputs)


def _position(names: Sequence[str], name: str, what: str) -> int:
    if name in names:
        return list(names).index(name)
    remedy = suggestion(name, names, f"There are {', '.join(map(repr, names))}.")
    raise InputError(f"there is no {what} {name!r}. {remedy}")


def _listed(what: str, names: Sequence[str]) -> str:
    return f"{what}{'s' * (len(names) > 1)} {', '.join(map(repr, names))}"
