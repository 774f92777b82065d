"""Memory that a recorded function writes into: which node holds each of its elements now.

Recorded arrays hold real NumPy values, and a view of one holds a view of its memory, so NumPy itself says which arrays
see a write. A ``Storage`` belongs to one piece of memory that has been written into. It numbers the writes and notes,
for each element, the last write that reached it and the place of the element in what was written (the *piece*). A
recorded array knows at which write its node was right (its *stamp*); when it is used later, the elements written since
are taken from their pieces, and the others from its old node. So a loop that fills an array element by element, and
reads elements back, records scalars only; arrays are put together when an operation asks for one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgrad import array_ops
from fastgrad.recording.recorder import Recorder
from fastgrad.tape import ARRAY_OPERATION, Shape

# pieces that are put into one array by replacing slices; beyond that, elements are gathered
_MAX_UPDATES = 8


class Piece(NamedTuple):
    """A node and its shape."""

    node: int
    shape: Shape

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def root_of(value: NDArray[Any]) -> NDArray[Any]:
    """The array that owns the memory of a view."""
    root = value
    base = value.base
    while base is not None:
        if isinstance(base, np.ndarray):
            root = base
        base = getattr(base, "base", None)
    return root


class Storage:
    """What has been written into the memory of ``root`` since this recording began."""

    __slots__ = ("_address", "_recorder", "_source", "_written", "below", "pieces", "root")

    def __init__(self, recorder: Recorder, root: NDArray[Any]) -> None:
        self._recorder = recorder
        self.root = root
        self._address = _address(root)
        self._written = np.zeros_like(root, np.int32, subok=False)
        self._source = np.zeros_like(root, np.int64, subok=False)
        self.pieces: list[Piece] = []
        # the memory that NumPy's own code sees instead of ``root``, while that is still right
        self.below: Callable[[], NDArray[Any] | None] | None = None

    @property
    def count(self) -> int:
        """How many writes there have been."""
        return len(self.pieces)

    def write(self, value: NDArray[Any], index: Any, piece: Piece) -> None:
        """Note that ``value[index]``, a part of this memory, now holds ``piece``, broadcast to it."""
        self.pieces.append(piece)
        source = 0 if piece.size == 1 else np.arange(piece.size).reshape(piece.shape)
        self._over(self._source, value)[index] = source
        self._over(self._written, value)[index] = self.count
        if self.below is not None:
            self._change_below(self.below())

    def _change_below(self, memory: NDArray[Any] | None) -> None:
        """Have code that knows no protocol see truth values as they are (they are guarded), and no other values."""
        if memory is not None and memory.flags.writeable:
            plain = memory.view(np.ndarray)
            if plain.dtype.kind == "b":
                plain[...] = self.root
                return
            # a whole number that is no index into anything
            plain[...] = np.nan if plain.dtype.kind == "f" else np.iinfo(plain.dtype).min or np.iinfo(plain.dtype).max
        self.below = None

    def is_all_newer(self, value: NDArray[Any], stamp: int) -> bool:
        """Whether every element has been written since that stamp."""
        return bool((self._over(self._written, value) > stamp).all())

    def node(self, value: NDArray[Any], old: int, stamp: int) -> int:
        """The node of a view as it is now; ``old`` was its node at the write ``stamp``."""
        if value.size == 0:
            return self._recorder.array(np.zeros(value.shape))
        written = self._over(self._written, value)
        if written.ndim == 0:
            return self._scalar(value, int(written)) if written > stamp else old
        newer = written > stamp
        if not newer.any():
            return old
        # what is not newer is taken from the old node, as piece number 0
        which = np.where(newer, written, 0).ravel()
        source = np.where(newer, self._over(self._source, value), np.arange(value.size).reshape(value.shape)).ravel()
        return _Assembly(self._recorder, self.pieces, Piece(old, value.shape), which, source).node()

    def _scalar(self, value: NDArray[Any], write: int) -> int:
        piece = self.pieces[write - 1]
        if piece.shape == ():
            return piece.node
        source = np.array([self._over(self._source, value)])
        return _Assembly(self._recorder, self.pieces, Piece(-1, ()), np.array([write]), source).node()

    def _over(self, notes: NDArray[Any], value: NDArray[Any]) -> NDArray[Any]:
        """The notes on the elements of a view, in its order."""
        if value is self.root:
            return notes
        if value.size == 0:
            return np.zeros(value.shape, notes.dtype)
        old, new = self.root.itemsize, notes.itemsize
        offset = (_address(value) - self._address) // old * new
        strides = tuple([stride // old * new for stride in value.strides])
        return np.ndarray(value.shape, notes.dtype, notes, offset, strides)


def _address(array: NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


class _Assembly:
    """One array out of pieces: for each element, in order, which piece (0: the old node) and where in it."""

    def __init__(
        self,
        recorder: Recorder,
        pieces: list[Piece],
        old: Piece,
        which: NDArray[Any],
        source: NDArray[Any],
    ) -> None:
        self.recorder = recorder
        self.shape = old.shape
        self.which = which
        self.source = source
        self.parts = {int(k): pieces[k - 1] if k else old for k in np.unique(which)}

    def node(self) -> int:
        if len(self.parts) == 1:
            (part,) = self.parts.values()
            return self._taken(part, self.source, self.shape).node
        starts = self._starts_of_runs()
        if len(starts) <= 2 * len(self.parts) + 2:
            return self._joined(starts).node
        if len(self.parts) <= _MAX_UPDATES:
            updated = self._updated()
            if updated is not None:
                return updated.node
        return self._gathered().node

    # ---- ways to put it together

    def _starts_of_runs(self) -> NDArray[Any]:
        """Where, in order, another piece begins or the same one does not go on with its next element."""
        several = np.zeros(max(self.parts) + 1, np.int64)
        several[[k for k, part in self.parts.items() if part.size > 1]] = 1
        goes_on = (self.which[1:] == self.which[:-1]) & (np.diff(self.source) == several[self.which[1:]])
        return np.concatenate([[0], np.flatnonzero(~goes_on) + 1])

    def _joined(self, starts: NDArray[Any]) -> Piece:
        """The runs one after the other."""
        ends = np.append(starts[1:], len(self.which))
        runs = [
            self._taken(self.parts[int(self.which[start])], self.source[start:end], (int(end - start),))
            for start, end in zip(starts, ends, strict=True)
        ]
        return self._reshaped(self._add(array_ops.concatenate, 0, *runs), self.shape)

    def _updated(self) -> Piece | None:
        """One piece as a whole, with slices of it replaced by the others; None where they are no slices."""
        counts = {k: int((self.which == k).sum()) for k in self.parts}
        wholes = [k for k in self.parts if self._is_whole(k)]
        if not wholes:
            return None
        base = max(wholes, key=counts.__getitem__)
        result = self._taken(self.parts[base], self._whole_source(base), self.shape)
        which, source = self.which.reshape(self.shape), self.source.reshape(self.shape)
        for k in self.parts:
            if k == base:
                continue
            spec = _slice_of(which == k)
            if spec is None:
                return None
            part = source[array_ops.slices_of(spec)]
            result = self._add(
                array_ops.update_slice, spec, result, self._taken(self.parts[k], part.ravel(), part.shape)
            )
        return result

    def _is_whole(self, k: int) -> bool:
        """Whether a piece would fill the array with each element at its own place."""
        part = self.parts[k]
        if part.size == 1:
            return True
        at = self.which == k
        return part.size == len(self.which) and bool((self.source[at] == np.flatnonzero(at)).all())

    def _whole_source(self, k: int) -> NDArray[Any]:
        return np.zeros(len(self.which), np.int64) if self.parts[k].size == 1 else np.arange(len(self.which))

    def _gathered(self) -> Piece:
        """Every element from all pieces in a row."""
        flat = [self._reshaped(part, (part.size,)) for part in self.parts.values()]
        starts = np.zeros(max(self.parts) + 1, np.int64)
        starts[list(self.parts)] = np.cumsum([0, *(part.size for part in flat[:-1])])
        return self._gather(self._add(array_ops.concatenate, 0, *flat), self.source + starts[self.which], self.shape)

    # ---- nodes

    def _taken(self, piece: Piece, source: NDArray[Any], shape: Shape) -> Piece:
        """These elements of a piece, in this shape."""
        n = len(source)
        if piece.size == 1:
            if n == 1:
                return self._reshaped(piece, shape)
            return self._add(array_ops.broadcast_to, shape, self._reshaped(piece, ()))
        if n == 0:
            return self._reshaped(self._flat_slice(piece, 0, 0, 1), shape)
        start, step = int(source[0]), int(source[1] - source[0]) if n > 1 else 1
        if step != 0 and (source == start + step * np.arange(n)).all():
            return self._reshaped(self._flat_slice(piece, start, n, step), shape)
        return self._gather(piece, source, shape)

    def _flat_slice(self, piece: Piece, start: int, count: int, step: int) -> Piece:
        if (start, count, step) == (0, piece.size, 1):
            return piece
        flat = self._reshaped(piece, (piece.size,))
        return self._add(array_ops.slice_, ((start, count, step),), flat)

    def _gather(self, piece: Piece, positions: NDArray[Any], shape: Shape) -> Piece:
        positions = np.ascontiguousarray(positions).reshape(shape)
        return self._add(array_ops.gather, None, piece, Piece(self.recorder.array(positions), shape))

    def _reshaped(self, piece: Piece, shape: Shape) -> Piece:
        return piece if piece.shape == shape else self._add(array_ops.reshape, shape, piece)

    def _add(self, operation: array_ops.ArrayOperation, attribute: Any, *operands: Piece) -> Piece:
        shape = operation.shape_rule(attribute, *(operand.shape for operand in operands))
        nodes = tuple(operand.node for operand in operands)
        return Piece(self.recorder.add(ARRAY_OPERATION + operation.code, nodes, shape, attribute), shape)


def _slice_of(mask: NDArray[Any]) -> tuple[tuple[int, int, int], ...] | None:
    """The slice (start, count and step for each axis) whose elements are the true ones; None if there is none."""
    spec: list[tuple[int, int, int]] = []
    for axis in range(mask.ndim):
        others = tuple(k for k in range(mask.ndim) if k != axis)
        found = np.flatnonzero(mask.any(axis=others))
        step = int(found[1] - found[0]) if len(found) > 1 else 1
        if (np.diff(found) != step).any():
            return None
        spec.append((int(found[0]), len(found), step))
    return tuple(spec) if mask.sum() == math.prod(count for _, count, _ in spec) else None
