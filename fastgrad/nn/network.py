"""A network: the tape of one example and the parameters that are inputs of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgrad.errors import InputError
from fastgrad.nn import surgery
from fastgrad.nn.building import OUTPUT, recorded_layers
from fastgrad.nn.execution import BatchedRun, examples
from fastgrad.nn.layers import opened
from fastgrad.nn.losses import Loss, Metric
from fastgrad.tape import Shape, Tape
from fastgrad.tape_names import is_inside

if TYPE_CHECKING:
    from fastgrad.draw.drawing import Drawing
    from fastgrad.files.container import Target
    from fastgrad.nn.history import History

__all__ = ["Network", "build"]

Floats = NDArray[np.float64]
Function = Callable[[Any], Any]


def build(function: Function, shape: Shape | int, *, seed: int = 0) -> Network:
    """The network of a function of layers, for examples of this shape.

    ``function`` is a ``Sequential``, a layer, or any Python function that calls layers (and NumPy) on the value of one
    example. Parameters are initialised from ``seed`` and their own path, so a layer that is put in between changes no
    other's. Raises InputError where layers do not fit what they get.

    >>> from fastgrad import nn
    >>> network = nn.build(nn.Sequential(nn.Dense(16, nn.relu), nn.Dense(3)), 4)
    >>> network.predict(np.zeros((2, 4))).shape
    (2, 3)
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    tape, building = recorded_layers(opened(function), shape, seed)
    return Network(tape, building.parameters, dropout=building.dropout)


@dataclass(frozen=True, eq=False)
class Network:
    """A tape for one example, its parameters by name, which of these are frozen, and the rates of its dropout masks.

    Nothing of it changes: training and edits give a new network, which shares what is the same. The tape's inputs are
    the parameters, the masks and one more, the example.
    """

    tape: Tape
    parameters: Mapping[str, Floats]
    frozen: frozenset[str] = frozenset()
    dropout: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {name: np.array(value, np.float64) for name, value in self.parameters.items()}
        for value in kept.values():
            value.flags.writeable = False
        object.__setattr__(self, "parameters", MappingProxyType(kept))
        object.__setattr__(self, "dropout", MappingProxyType(dict(self.dropout)))
        object.__setattr__(self, "frozen", frozenset(self.frozen))
        _check(self)

    def __repr__(self) -> str:
        size = sum(value.size for value in self.parameters.values())
        return f"<Network {self.input_shape} -> {self.output_shape}, {size:,} parameters>"

    def __reduce__(self) -> Any:
        """Pickled without the plans that are kept for running it."""
        return Network, (self.tape, dict(self.parameters), self.frozen, dict(self.dropout))

    # ---- reading

    @property
    def input_shape(self) -> Shape:
        """The shape of one example."""
        return self.tape.input_shapes[self.tape.input_names.index(self.input_name)]

    @property
    def output_shape(self) -> Shape:
        """The shape of what the network gives for one example."""
        return self.tape.output_shapes[0]

    @cached_property
    def input_name(self) -> str:
        """The name of the input that is the example."""
        return next(name for name in self.tape.input_names if name not in self.parameters and name not in self.dropout)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """The paths of the layers, in the order of their results; a layer within another comes before it."""
        named = zip(self.tape.named_nodes.tolist(), self.tape.node_names, strict=True)
        found = sorted((node, -name.count("/"), name) for node, name in named if _is_output(name))
        return tuple(dict.fromkeys(name.rpartition("/")[0] for _, _, name in found))

    @property
    def trainable(self) -> tuple[str, ...]:
        """The names of the parameters that training changes."""
        return tuple(name for name in self.parameters if name not in self.frozen)

    def parameters_of(self, layer: str) -> tuple[str, ...]:
        """The names of the parameters of a layer or of all layers in a block. Raises InputError for an unknown one."""
        if layer not in self.layers and not any(is_inside(path, layer) for path in self.layers):
            raise InputError(f"the network has no layer {layer!r}; it has {', '.join(self.layers)}.")
        return tuple(name for name in self.parameters if is_inside(name, layer))

    def summary(self, depth: int = 1) -> str:
        """A table of the layers (with ``depth``, those nested up to that level), their shapes and parameters.

        >>> from fastgrad import nn
        >>> print(nn.build(nn.Sequential(nn.Dense(16, nn.tanh), nn.Dense(3)), 4).freeze("dense").summary())
        input x [4]
        ----------------------------------------------------------------
        Group    Operations                     Output shape  Parameters
        ----------------------------------------------------------------
        dense    reshape x2, add, tanh, matmul  [16]                  80
        dense_1  reshape x2, add, matmul        [3]                   51
        ----------------------------------------------------------------
        9 operations, 131 parameters (1.05 KB)
        51 parameters are trained, 80 are frozen
        """
        frozen = sum(self.parameters[name].size for name in self.frozen)
        trained = sum(value.size for value in self.parameters.values()) - frozen
        table = self.tape.summary(depth, parameters=list(self.parameters))
        return f"{table}\n{trained:,} parameters are trained, {frozen:,} are frozen"

    def draw(self, format: str = "svg", *, folded: bool = True, **options: Any) -> Drawing:
        """The graph of one example; each layer is a box, or with ``folded=False`` each operation.

        Formats, other options and errors are those of :meth:`fastgrad.Tape.draw`.
        """
        if folded:
            own = {name.rpartition("/")[0] for name in (*self.parameters, *self.dropout)}
            boxes = [path for path in self.layers if path in own or not any(is_inside(of, path) for of in self.layers)]
            options.setdefault("fold_groups", [path for path in boxes if not any(is_inside(path, of) for of in boxes)])
        return self.tape.draw(format, **options)

    # ---- running

    def predict(self, x: ArrayLike, batch_size: int = 256) -> Floats:
        """What the network gives for each of many examples ``x``, of shape ``(n, *output_shape)``.

        Dropout does nothing. Raises InputError for examples of another shape.
        """
        return self.run(examples(x, self.input_shape, "x"), self.parameters, batch_size)

    def run(self, x: Floats, parameters: Mapping[str, Floats], batch_size: int) -> Floats:
        """``predict`` with other parameters, without checks."""
        of_masks = {name: np.ones(self.tape.input_shapes[self.tape.input_names.index(name)]) for name in self.dropout}
        given = {self.input_name: x, **parameters, **of_masks}
        return self._run([given[name] for name in self.tape.input_names], batch_size)

    @cached_property
    def _run(self) -> BatchedRun:
        return BatchedRun(self.tape, [self.tape.input_names.index(self.input_name)])

    def evaluate(
        self, x: ArrayLike, y: ArrayLike, *, loss: Loss, metrics: Sequence[Metric] = (), batch_size: int = 256
    ) -> dict[str, float]:
        """The mean loss and the metrics over many examples, by name. Raises InputError where these do not fit."""
        from fastgrad.nn.training import Evaluation

        return Evaluation(self, x, y, loss, metrics, batch_size)(self.parameters)

    def fit(self, x: ArrayLike, y: ArrayLike, **options: Any) -> tuple[Network, History]:
        """Train; a new network and the history of the losses. See :func:`fastgrad.nn.fit` for the options."""
        from fastgrad.nn.training import fit

        return fit(self, x, y, **options)

    # ---- keeping

    def save(self, target: Target) -> None:
        """Write the network to a path, or to a file opened for writing in binary; ``nn.load`` reads it."""
        from fastgrad.nn.keeping import save

        save(self, target)

    # ---- edits: new networks that keep the parameters

    def insert_after(self, layer: str, new: Function, *, seed: int = 0) -> Network:
        """Put a layer, or any function of layers, behind another one, within the same block.

        Its parameters are initialised from ``seed``. Raises InputError for an unknown layer, and where it changes the
        shape that something needs.

        >>> from fastgrad import nn
        >>> network = nn.build(nn.Sequential(nn.Dense(16, nn.relu), nn.Dense(3)), 4)
        >>> network.insert_after("dense", nn.LayerNorm()).layers
        ('dense/activation', 'dense', 'layer_norm', 'dense_1')
        """
        return surgery.insert_after(self, layer, new, seed)

    def replace(self, layer: str, new: Function, *, seed: int = 0) -> Network:
        """Put a layer, or any function of layers, in the place of another one. Errors as for ``insert_after``.

        >>> from fastgrad import nn
        >>> network = nn.build(nn.Sequential(nn.Dense(16, nn.relu), nn.Dense(3)), 4)
        >>> network.replace("dense/activation", nn.Activation(nn.tanh)).layers
        ('dense/activation', 'dense', 'dense_1')
        """
        return surgery.replace_layer(self, layer, new, seed)

    def remove(self, layer: str) -> Network:
        """Leave a layer out. Raises InputError for an unknown one, and for one that changes the shape."""
        return surgery.remove(self, layer)

    def cut(self, layer: str) -> Network:
        """Only what the result of a layer needs, which is what the network then gives."""
        return surgery.cut(self, layer)

    def graft(self, head: Function, *, seed: int = 0) -> Network:
        """Put layers behind the network; what they give is then what it gives."""
        return surgery.graft(self, head, seed)

    def share(self, kept: str, other: str) -> Network:
        """Use the parameter ``kept`` in the place of another of the same shape, which is dropped."""
        return surgery.share(self, kept, other)

    def rename(self, layer: str, name: str) -> Network:
        """Give a layer another name, without slashes; what is within it moves along."""
        return surgery.rename(self, layer, name)

    # ---- changing what is kept

    def with_parameters(self, parameters: Mapping[str, ArrayLike]) -> Network:
        """The network with some parameters replaced. Raises InputError for names or shapes that it does not have."""
        unknown = sorted(set(parameters) - set(self.parameters))
        if unknown:
            raise InputError(f"the network has no parameters {', '.join(unknown)}.")
        return dataclasses.replace(self, parameters={**self.parameters, **_arrays(parameters)})

    def with_tape(
        self,
        tape: Tape,
        parameters: Mapping[str, ArrayLike] | None = None,
        dropout: Mapping[str, float] | None = None,
    ) -> Network:
        """The network with another tape, keeping parameters, what is frozen and masks of dropout by name.

        ``parameters`` and ``dropout`` have those of the tape that the network has not; those that the tape lacks are
        dropped. Raises InputError where an input is left without a value, or a parameter's shape differs.
        """
        known = {**self.parameters, **_arrays(parameters or {})}
        kept = {name: known[name] for name in tape.input_names if name in known}
        rates = {name: rate for name, rate in {**self.dropout, **(dropout or {})}.items() if name in tape.input_names}
        return Network(tape, kept, (self.frozen & set(kept)) - set(parameters or ()), rates)

    def freeze(self, *layers: str) -> Network:
        """Keep training from changing the parameters of these layers or blocks. Raises InputError for unknown ones."""
        return dataclasses.replace(self, frozen=self.frozen | _all_of(map(self.parameters_of, layers)))

    def unfreeze(self, *layers: str) -> Network:
        """Undo ``freeze`` for these layers or blocks."""
        return dataclasses.replace(self, frozen=self.frozen - _all_of(map(self.parameters_of, layers)))


def _arrays(parameters: Mapping[str, ArrayLike]) -> dict[str, Floats]:
    return {name: np.asarray(value, np.float64) for name, value in parameters.items()}


def _all_of(groups: Iterable[Collection[str]]) -> frozenset[str]:
    return frozenset(name for group in groups for name in group)


def _is_output(name: str) -> bool:
    """Whether a node's name is that of a layer's result."""
    return re.fullmatch(rf".+/{OUTPUT}(_\d+)?", name) is not None


def _check(network: Network) -> None:
    tape = network.tape
    if len(tape.outputs) != 1:
        raise InputError(f"a network's tape has one output; this one has {len(tape.outputs)}.")
    shapes = dict(zip(tape.input_names, tape.input_shapes, strict=True))
    for name, value in network.parameters.items():
        if name not in shapes:
            raise InputError(f"the tape has no input {name!r} for the parameter of this name.")
        if shapes[name] != value.shape:
            raise InputError(f"parameter {name!r} has shape {value.shape}; the tape's input has {shapes[name]}.")
    for name, rate in network.dropout.items():
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 <= rate < 1.0:
            raise InputError(f"the mask {name!r} drops a share from 0 up to, but not including, 1, not {rate!r}.")
        if name in network.parameters:
            raise InputError(f"{name!r} is both a parameter and a mask of dropout.")
    rest = [name for name in shapes if name not in network.parameters and name not in network.dropout]
    if len(rest) != 1:
        raise InputError(
            f"one input of a network's tape is the example, all others are parameters or masks; {rest or 'none'} are "
            "left. Give the parameters that are missing by name."
        )
    unknown = sorted((network.frozen - set(network.parameters)) | (set(network.dropout) - set(shapes)))
    if unknown:
        raise InputError(f"the network has no parameters or masks {', '.join(unknown)}.")
