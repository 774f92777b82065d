"""Networks built: a Python function of layers, recorded for one example.

While it is recorded each layer enters a group of its own and adds its parameters as inputs of the tape, named by the
layer's path (``block/dense_1/kernel``). A layer that is called again uses the parameters that it has.
"""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.api import record
from fastgrad.errors import InputError
from fastgrad.naming import name
from fastgrad.nn.initialisers import Initialiser, generator_for
from fastgrad.recording.recorded_array import RecordedArray
from fastgrad.recording.recorder import Recorder, innermost_recorder
from fastgrad.tape import Shape, Tape
from fastgrad.tape_names import require_part

__all__ = ["Building", "Layer", "recorded_layers"]

Floats = NDArray[np.float64]
# the name of a layer's result within its group
OUTPUT = "output"


@dataclass
class Building:
    """What layers add to the network that is being recorded in this thread."""

    recorder: Recorder
    seed: int
    taken: set[str]
    parameters: dict[str, Floats] = field(default_factory=dict)
    # names of the masks of dropout with the share that is dropped
    dropout: dict[str, float] = field(default_factory=dict)
    _inputs: dict[str, RecordedArray] = field(default_factory=dict)
    # by identity; the layers themselves are kept, so that none takes the identity of another
    _paths: dict[int, tuple[Layer, str]] = field(default_factory=dict)

    @contextmanager
    def within(self, layer: Layer) -> Iterator[None]:
        """Be in the layer's group."""
        known = self._paths.get(id(layer))
        path = known[1] if known else self._new_path(layer)
        self._paths[id(layer)] = layer, path
        before = self.recorder.enter_group(path)
        try:
            yield
        finally:
            self.recorder.enter_group(before)

    def _new_path(self, layer: Layer) -> str:
        prefix = f"{self.recorder.group}/" if self.recorder.group else ""
        path = free = prefix + (layer.name or layer.automatic_name)
        if layer.name and path in self.taken:
            raise InputError(f"the network has a layer {path!r} already. Give this one another name.")
        number = 0
        while free in self.taken:
            number += 1
            free = f"{path}_{number}"
        self.taken.add(free)
        return free

    def parameter(self, name: str, shape: Shape, initialiser: Initialiser) -> Any:
        """The parameter of this name of the layer that is being recorded."""
        path = f"{self.recorder.group}/{name}"
        if path not in self.parameters:
            self.parameters[path] = np.asarray(initialiser(generator_for(self.seed, path), shape), np.float64)
            if self.parameters[path].shape != shape:
                raise InputError(f"the initialiser of {path!r} made shape {self.parameters[path].shape}, not {shape}.")
        found = self._input(path, self.parameters[path])
        if found.shape != shape:
            raise InputError(f"{path!r} has shape {found.shape}; a second use of its layer needs {shape}.")
        return found

    def mask(self, shape: Shape, rate: float) -> Any:
        """What dropout multiplies an array of this shape with: an input, each use of the layer having its own."""
        path = stem = f"{self.recorder.group}/mask"
        number = 1
        while path in self.dropout:
            number += 1
            path = f"{stem}_{number}"
        self.dropout[path] = rate
        return self._input(path, np.ones(shape))

    def _input(self, path: str, value: Floats) -> RecordedArray:
        if path not in self._inputs:
            self._inputs[path] = RecordedArray(self.recorder, self.recorder.add_input(value.shape, path), value)
        return self._inputs[path]


class _Current(threading.local):
    building: Building | None = None


_current = _Current()


class Layer(ABC):
    """A part of a network, called on the value of one example while the network is recorded."""

    name: str | None = None

    @abstractmethod
    def apply(self, x: Any) -> Any:
        """The layer's result; parameters come from ``self.parameter``."""

    def __call__(self, x: Any) -> Any:
        building = self._building()
        if self.name is not None:
            require_part(self.name, "layer's name")
        with building.within(self):
            return name(self.apply(x), OUTPUT)

    @property
    def automatic_name(self) -> str:
        """What layers of this kind are called where they get no name: ``layer_norm``, then ``layer_norm_1``, ..."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    def parameter(self, name: str, shape: Shape, initialiser: Initialiser) -> Any:
        """The layer's parameter of this name, made when it is first asked for."""
        return self._building().parameter(name, shape, initialiser)

    def _building(self) -> Building:
        building = _current.building
        if building is None:
            raise InputError(
                f"{type(self).__name__} was called outside a network. Call layers within the function that nn.build is "
                "given."
            )
        return building


def recorded_layers(
    function: Callable[[Any], Any], shape: Shape, seed: int, taken: Collection[str] = (), group: str = ""
) -> tuple[Tape, Building]:
    """The tape of a function of layers for one example, whose first input is ``x``, and what the layers added.

    Automatic names keep clear of the paths in ``taken``; everything is within ``group``.
    """
    found: list[Building] = []

    def run(x: Any) -> Any:
        recorder = innermost_recorder()
        assert recorder is not None
        before, _current.building = _current.building, Building(recorder, seed, set(taken))
        found[:] = [_current.building]
        outside = recorder.enter_group(group)
        try:
            return function(x)
        finally:
            recorder.enter_group(outside)
            _current.building = before

    with np.errstate(all="ignore"):  # what the example holds means nothing
        tape = record(run, np.zeros(shape))
    if len(tape.outputs) != 1:
        raise InputError(f"a network gives one array; this function returned {len(tape.outputs)}.")
    return tape, found[0]
